/* SPDX-License-Identifier: MIT
 * The delay of a packet, with its jitter. */
#ifndef HEADWIND_BPF_LAW_H
#define HEADWIND_BPF_LAW_H

#include "hit.h"

/* hw_impairment.law -> that law. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct hw_law);
} hw_laws SEC(".maps");

HW_FUNCTION __s32 draw_score(void)
{
	return hw_score(&hw_scores, env_dice());
}

HW_FUNCTION __u64 delay_by_law(__u64 law_key, __u64 delay, __u64 jitter, __s32 score)
{
	struct hw_law *law = bpf_map_lookup_elem(&hw_laws, &law_key);

	return law ? hw_by_law(delay, jitter, hw_law_at(law, score)) : delay; /* else the rule is being removed */
}

HW_INLINE __u64 draw_delay(const struct hw_hit *hit, bool copy)
{
	const struct hw_impairment *imp = hit->imp;
	const struct hw_fate *fate = &hit->cpu->fate;
	__s32 score;

	if (imp->jitter == 0)
		return imp->delay;
	if (imp->law == 0)
		return hw_uniform(imp, env_dice());
	if (imp->flags & HW_DELAY_OF_SEQUENCE)
		score = copy ? fate->copy_score : fate->score;
	else
		score = draw_score();
	return delay_by_law(imp->law, imp->delay, imp->jitter, score);
}

#endif
