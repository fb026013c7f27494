/* SPDX-License-Identifier: MIT
 * Timelines: which step of one is in force, and how long its link is busy with a packet. */
#ifndef HEADWIND_BPF_TIMELINE_H
#define HEADWIND_BPF_TIMELINE_H

#include "env.h"

struct hw_steps {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP); /* each as long as its timeline */
	__uint(key_size, sizeof(__u32));    /* clang leaves the type of an inner map's value out */
	__uint(value_size, sizeof(struct hw_step));
};

/* Id -> steps, by time. Rules share one as long as a change leaves it as it is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__array(values, struct hw_steps);
} hw_timelines SEC(".maps");

/* The last step of a timeline that begins at `value` or before: counted in time or, with `by_sent`, in what the link
 * has sent. */
HW_FUNCTION __u32 search_steps(__u32 timeline, __u32 count, __u64 value, __u32 by_sent)
{
	void *steps = bpf_map_lookup_elem(&hw_timelines, &timeline);
	__u32 first = 0, behind = count, middle;
	const struct hw_step *step;

	if (!steps)
		return 0;
	HW_ASSERT(HW_MAX_STEPS == 1 << 16, "halved 16 times, one is left");
	for (int i = 0; i < 16 && behind - first > 1; i++) {
		middle = first + (behind - first) / 2;
		step = bpf_map_lookup_elem(steps, &middle);
		if (!step)
			return 0;
		if ((by_sent ? step->sent : step->begin) <= value)
			first = middle;
		else
			behind = middle;
	}
	return first;
}

HW_INLINE __u64 time_in_period(const struct hw_rule *rule, __u64 boottime)
{
	__u64 at = boottime - rule->since;

	return rule->period ? at % rule->period : at;
}

/* The step in force, of a rule with a timeline. `index`: in, where to look first; out, which one it is. */
HW_INLINE const struct hw_step *step_now(const struct hw_rule *rule, __u32 *index)
{
	__u32 timeline = rule->timeline, guess = *index;
	__u64 at = time_in_period(rule, env_boottime());
	void *steps = bpf_map_lookup_elem(&hw_timelines, &timeline);
	const struct hw_step *step;

	if (!steps)
		return NULL;
	step = bpf_map_lookup_elem(steps, &guess);
	if (step && step->begin <= at && at < step->end)
		return step;
	guess = search_steps(timeline, rule->steps, at, 0);
	*index = guess;
	return bpf_map_lookup_elem(steps, &guess);
}

/* How long a link whose rate is that of the steps is busy with `length` bytes from `start` (CLOCK_MONOTONIC) on: ns, 16
 * fractional bits. Through how many steps that goes does not matter. */
HW_FUNCTION __u64 time_on_link(__u32 rule_id, __u64 start, __u32 length)
{
	const struct hw_rule *rule = bpf_map_lookup_elem(&hw_rules, &rule_id);
	__u64 at, busy_q16, left, rest, sent, laps = 0, wait;
	const struct hw_step *step, *next, *all;
	__u32 timeline, index, behind;
	void *steps;

	if (!rule)
		return 0;
	timeline = rule->timeline;
	steps = bpf_map_lookup_elem(&hw_timelines, &timeline);
	at = time_in_period(rule, env_boottime() + (start - env_monotonic()));
	index = search_steps(timeline, rule->steps, at, 0);
	step = steps ? bpf_map_lookup_elem(steps, &index) : NULL;
	if (!step || step->impairment.ns_per_byte_q16 == 0)
		return 0;
	busy_q16 = length * step->impairment.ns_per_byte_q16;
	left = step->end - at;
	if (busy_q16 >> 16 < left || left >> 40) /* 2^40 ns: no queue is that long */
		return busy_q16;

	/* This step sends a part. The rest has been sent when the timeline's sum has grown by as much. */
	rest = ((__u64)length << 8) - (left << 24) / step->impairment.ns_per_byte_q16;
	wait = left - step->end;
	index++;
	behind = rule->steps;
	next = bpf_map_lookup_elem(steps, &index);
	all = bpf_map_lookup_elem(steps, &behind);
	if (!next || !all)
		return busy_q16;
	sent = next->sent + rest;
	if (rule->period && all->sent) {
		laps = sent / all->sent;
		sent -= laps * all->sent;
	}
	index = search_steps(timeline, rule->steps, sent, 1);
	next = bpf_map_lookup_elem(steps, &index);
	if (!next)
		return busy_q16;
	rest = sent - next->sent; /* at most 25 bits */
	wait += laps * rule->period + next->begin;
	if (wait >> 46)
		return ~0ULL >> 1;
	return (wait << 16) + (rest >> 8) * next->impairment.ns_per_byte_q16 +
	       ((rest & 0xff) * next->impairment.ns_per_byte_q16 >> 8);
}

#endif
