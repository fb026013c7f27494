/* SPDX-License-Identifier: MIT
 * What the loader asks headwind_explain (bpf/explain.bpf.c): which rule would a packet get? Between one loader and the
 * program that it brings along: nothing of it is pinned. */
#ifndef HEADWIND_QUESTION_H
#define HEADWIND_QUESTION_H

#include <headwind/abi.h>

#define HW_QUESTION_LEVELS 256 /* as many as hw_shape.cgroup_level can name */

struct hw_question {
	struct hw_key key;                 /* as of a packet: without cgroup and shape */
	__u32 device;                      /* slot */
	__u8 packet_class;                 /* hw_class */
	__u8 ipv4;                         /* 1: it is */
	__u8 direction;                    /* hw_direction of the subject */
	__u8 peer;                         /* 1: the subject is at the device's peer */
	__u64 cgroups[HW_QUESTION_LEVELS]; /* ids of the ancestors of its socket's cgroup, and its own, by level; 0:
	                                      none */
};

#endif
