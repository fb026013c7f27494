/* SPDX-License-Identifier: MIT
 * The instance's maps. Pinned; they outlive the command that made them. Elements are not preallocated; the loader makes
 * the maps larger for instances of many rules. */
#ifndef HEADWIND_BPF_MAPS_H
#define HEADWIND_BPF_MAPS_H

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <headwind/abi.h>
#include <headwind/marks.h>
#include <headwind/model.h>
#include <headwind/testing.h>

/* A function that is not inlined and that the verifier looks at once, not once for each way that leads to it. */
#define HW_FUNCTION __attribute__((noinline))

/* {shape, masked key} -> rules that select it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_MIN_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hw_key);
	__type(value, struct hw_entry);
} hw_entries SEC(".maps");

/* Rule id -> config. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct hw_rule);
} hw_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct hw_lease);
} hw_leases SEC(".maps");

/* hw_rule.state -> why it is stopped. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct hw_stop);
} hw_stops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, (HW_DEFAULT_RULES) * (HW_DIRECTIONS));
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hw_state_key);
	__type(value, struct hw_state);
} hw_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, (HW_DEFAULT_RULES) * (HW_DIRECTIONS));
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hw_state_key);
	__type(value, struct hw_cpu_state);
} hw_cpu_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_segment_ctx);
} hw_segment_ctxs SEC(".maps");

/* The loader's own: rule descriptions. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, (HW_DEFAULT_RULES) * (HW_TEXTS_PER_RULE));
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hw_text_key);
	__type(value, struct hw_text);
} hw_texts SEC(".maps");

/* One for the whole host, so that `panic` is one write. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct hw_host);
} hw_host SEC(".maps");

/* Global data is read without a lookup. */
struct hw_control hw_control SEC(".data.control");
struct hw_held hw_held SEC(".data.held");
struct hw_port_classes hw_port_classes; /* alone in .bss: the object file is spared its zeros */

/* Fixed when the programs are loaded. */
const volatile __u16 hw_nonce = 0;           /* random, in skb->cb[3] */
const volatile __u8 hw_tcx = 1;              /* attached with tcx, else clsact */
const volatile __u32 hw_workarounds_off = 0; /* tests: those taken out (hw_workaround) */

HW_INLINE bool works_around(enum hw_workaround trap)
{
	return !(hw_workarounds_off & trap);
}

#endif
