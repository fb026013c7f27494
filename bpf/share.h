/* SPDX-License-Identifier: MIT
 * --max-share: a rule that touches more than that share of a hook's packets in a minute is stopped. Costs nothing where
 * no rule has one. */
#ifndef HEADWIND_BPF_SHARE_H
#define HEADWIND_BPF_SHARE_H

#include "hit.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, (HW_MAX_DEVICES) * (HW_DIRECTIONS));
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct hw_hook);
} hw_hooks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, (HW_DEFAULT_RULES) * (HW_DIRECTIONS));
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hw_share_key);
	__type(value, struct hw_share);
} hw_shares SEC(".maps");

#define NS_PER_MINUTE 60000000000ULL
/* Before its minute is over a rule is judged once the hook has had so many packets. */
#define ENOUGH_PACKETS 1000

/* More than that share, in whole packets: `share` may have been rounded by one in 2^32. */
HW_INLINE bool is_over(__u32 share, __u64 touched, __u64 packets)
{
	return touched << 32 > (share + 1ULL) * packets;
}

/* What a new element begins with. (Of words: a lock may not be in global data.) */
static const __u64 nothing[sizeof(struct hw_hook) / sizeof(__u64)];

/* The element of the hooks map, these packets included, and how many there were in this minute. NULL: no memory. */
HW_INLINE struct hw_hook *count_at_hook(__u32 key, __u64 minute, __u32 wire_packets, __u64 *packets)
{
	struct hw_hook *hook = bpf_map_lookup_elem(&hw_hooks, &key);

	if (!hook) {
		bpf_map_update_elem(&hw_hooks, &key, nothing, BPF_NOEXIST);
		hook = bpf_map_lookup_elem(&hw_hooks, &key);
		if (!hook)
			return NULL;
	}
	bpf_spin_lock(&hook->lock);
	if (hook->minute != minute) {
		hook->past[hook->minute % HW_PAST_MINUTES].minute = hook->minute;
		hook->past[hook->minute % HW_PAST_MINUTES].packets = hook->packets;
		hook->minute = minute;
		hook->packets = 0;
	}
	hook->packets += wire_packets;
	*packets = hook->packets;
	bpf_spin_unlock(&hook->lock);
	return hook;
}

HW_INLINE struct hw_share *find_share(const struct hw_share_key *key)
{
	struct hw_share *share = bpf_map_lookup_elem(&hw_shares, key);

	if (share)
		return share;
	bpf_map_update_elem(&hw_shares, key, nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&hw_shares, key);
}

/* Counts packets at a hook (hw_share_key.hook), and what their rule has touched there; max_share is 0 if it has none.
 * 1: too much, the rule is stopped from here on. */
HW_FUNCTION int is_over_share(__u32 hook_key, __u32 wire_packets, __u32 state, __u32 max_share)
{
	struct hw_share_key key = {.state = state, .hook = hook_key};
	struct hw_stop stop = {.at = env_boottime(), .cause = HW_STOP_SHARE};
	__u64 minute = stop.at / NS_PER_MINUTE, packets = 0, before, touched_before;
	struct hw_hook *hook = count_at_hook(hook_key, minute, wire_packets, &packets);
	const struct hw_past *past;
	struct hw_share *share;

	if (!max_share)
		return 0;
	share = find_share(&key);
	if (!hook || !share)
		return 1; /* what is not counted is not impaired */
	bpf_spin_lock(&share->lock);
	before = share->minute;
	touched_before = share->touched;
	if (before != minute) {
		share->minute = minute;
		share->touched = 0;
	}
	share->touched += wire_packets;
	stop.touched = share->touched;
	bpf_spin_unlock(&share->lock);

	past = &hook->past[before % HW_PAST_MINUTES];
	if (before != minute && past->minute == before && is_over(max_share, touched_before, past->packets)) {
		stop.touched = touched_before;
		stop.packets = past->packets;
	} else if (packets >= ENOUGH_PACKETS && is_over(max_share, stop.touched, packets)) {
		stop.packets = packets;
	} else {
		return 0;
	}
	bpf_map_update_elem(&hw_stops, &state, &stop, BPF_NOEXIST);
	return 1;
}

/* The same for a packet on its way; rule: NULL if none matched. */
HW_INLINE bool has_too_large_a_share(const struct hw_hit *hit, const struct hw_rule *rule)
{
	return is_over_share(hit->slot << 1 | hit->side, hit->packets, rule ? rule->state : 0,
	                     rule ? rule->max_share : 0);
}

#endif
