/* SPDX-License-Identifier: MIT
 * How much the line holds: asked of its own qdiscs, since what is counted beside them drifts with each packet that is
 * lost or segmented between fq and headwind0. */
#ifndef HEADWIND_BPF_HELD_H
#define HEADWIND_BPF_HELD_H

#include "hit.h"
#include "packet.h"

#define HW_LINE_QUEUES 16  /* at most: line.cpp */
#define LOOPBACK_IFINDEX 1 /* in every network namespace */

/* Bytes and packets in all queues of the device, with what each packet costs besides. `expected`: its ifindex. */
HW_FUNCTION __u64 ask_qdiscs(__u64 address, __u32 expected)
{
	const struct net_device *device = (const void *)address;
	const char *queues = NULL;
	unsigned int count = 0;
	__u64 bytes = 0;
	int ifindex = 0;

	bpf_probe_read_kernel(&ifindex, sizeof(ifindex), &device->ifindex);
	if ((__u32)ifindex != expected) /* somebody deleted it */
		return 0;
	bpf_probe_read_kernel(&queues, sizeof(queues), &device->_tx);
	bpf_probe_read_kernel(&count, sizeof(count), &device->num_tx_queues);
	for (unsigned int i = 0; i < HW_LINE_QUEUES && i < count; i++) {
		const struct netdev_queue *queue = (const void *)(queues + i * bpf_core_type_size(struct netdev_queue));
		const struct Qdisc *qdisc = NULL;
		__u32 backlog = 0, packets = 0;

		bpf_probe_read_kernel(&qdisc, sizeof(qdisc), &queue->qdisc);
		bpf_probe_read_kernel(&backlog, sizeof(backlog), &qdisc->qstats.backlog);
		bpf_probe_read_kernel(&packets, sizeof(packets), &qdisc->q.qlen);
		bytes += backlog + (__u64)packets * HW_HELD_OVERHEAD;
	}
	return bytes;
}

/* Bytes that the line holds. They are asked for again once 100 Gbit/s could have brought 5% of what is allowed. Several
 * CPUs may do so at once: each writes the truth. */
HW_INLINE __u64 held_now(__u64 now)
{
	if (hw_held.pacer && now - hw_held.at >= hw_control.max_held >> 8) {
		hw_held.bytes = ask_qdiscs(hw_held.pacer, hw_control.line_pace);
		if (hw_control.loopback_pace)
			hw_held.bytes += ask_qdiscs(hw_held.loopback, hw_control.loopback_pace);
		hw_held.at = now;
	}
	return hw_held.bytes;
}

/* Bytes that a rule has in the line, and those that it has from now on: see hw_ring. */
HW_FUNCTION __u64 own_held(__u32 state_id, __u32 direction, __u32 shift, __u64 now)
{
	struct hw_state_key key = {state_id, direction};
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &key);
	__u64 held;

	if (!state)
		return 0;
	bpf_spin_lock(&state->lock);
	held = hw_ring_held(&state->ring, shift, now);
	bpf_spin_unlock(&state->lock);
	return held;
}

HW_FUNCTION int note_own_held(__u32 state_id, __u32 direction, __u64 depart, __u32 charge)
{
	struct hw_state_key key = {state_id, direction};
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &key);

	if (!state)
		return 0;
	bpf_spin_lock(&state->lock);
	hw_ring_add(&state->ring, depart, charge);
	bpf_spin_unlock(&state->lock);
	return 0;
}

/* Notes where the kernel has headwind1 or lo, when the loader runs this program for it. */
HW_INLINE void note_pacer(const struct __sk_buff *skb)
{
	const struct sk_buff *kernels = (const void *)skb;
	const struct net_device *device = NULL;

	bpf_probe_read_kernel(&device, sizeof(device), &kernels->dev);
	if (skb->ifindex == LOOPBACK_IFINDEX)
		hw_held.loopback = (__u64)device;
	else
		hw_held.pacer = (__u64)device;
}

#endif
