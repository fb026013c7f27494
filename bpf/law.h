/* SPDX-License-Identifier: MIT
 * The delay of a packet, with its jitter. */
#ifndef HEADWIND_BPF_LAW_H
#define HEADWIND_BPF_LAW_H

#include <headwind/smooth.h>

#include "hit.h"

/* hw_impairment.law -> that law. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct hw_law);
} hw_laws SEC(".maps");

/* `score`: as the sequence has it, if that says the delays. (Out of line: the verifier looks at it once.) */
HW_FUNCTION __u64 draw_jittered(__u64 law_key, __u64 delay, __u64 jitter, __u32 flags, __s32 score)
{
	struct hw_law *law;

	if (law_key == 0)
		return hw_uniform(delay, jitter, env_dice());
	law = bpf_map_lookup_elem(&hw_laws, &law_key);
	if (!law)
		return delay; /* the rule is being removed */
	if (!(flags & HW_DELAY_OF_SEQUENCE))
		score = hw_score(&hw_scores, env_dice());
	return hw_by_law(delay, jitter, hw_law_at(law, (__s64)score << 8));
}

/* The delay of what comes then, where delays keep the order. */
HW_FUNCTION __u64 smooth_delay(const struct hw_impairment *imp, const struct hw_arrival *arrival, __u64 seed)
{
	struct hw_law *law;
	__u64 law_key;
	__s64 score;

	if (!imp || !arrival)
		return 0; /* never: for the verifier */
	law_key = imp->law;
	law = bpf_map_lookup_elem(&hw_laws, &law_key);
	if (!law)
		return imp->delay; /* the rule is being removed */
	score = hw_smooth_score(&hw_scores, seed, imp->correlation_time, hw_due(arrival));
	return hw_by_law(imp->delay, imp->jitter, hw_law_at(law, score));
}

HW_INLINE __u64 draw_delay(const struct hw_hit *hit, const struct hw_arrival *arrival, bool copy)
{
	const struct hw_impairment *imp = hit->imp;
	const struct hw_fate *fate = &hit->cpu->fate;

	if (imp->jitter == 0)
		return imp->delay;
	if (imp->correlation_time != 0)
		return smooth_delay(imp, arrival,
		                    hw_bits(hw_control.secret, (__u64)hit->key.state << 1 | hit->key.direction));
	return draw_jittered(imp->law, imp->delay, imp->jitter, imp->flags, copy ? fate->copy_score : fate->score);
}

#endif
