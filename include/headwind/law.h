/* SPDX-License-Identifier: MIT
 *
 * Laws of delays. A random number becomes a normal score z, and a law is a table over z: T(z) = Q(Phi(z)), where Q is
 * its quantile function, counted in jitters from the delay. So scores that are correlated give delays that are, and
 * each delay keeps its law (Gaussian copula). Pure, as model.h.
 */
#ifndef HEADWIND_LAW_H
#define HEADWIND_LAW_H

#include "model.h"

/* A score is a multiple of 2^-24. The table has the scores below 0, at shares v / 2^32 of all that is below: for v from
 * 2^13 to 2^31, with 32 steps to each doubling, so it is the finer the farther out. */
#define HW_SCORE_ONE (1 << 24)
#define HW_SCORE_STEPS 32
#define HW_SCORE_FIRST 13
#define HW_SCORE_KNOTS ((31 - HW_SCORE_FIRST) * HW_SCORE_STEPS + 1)

struct hw_scores {
	__s32 at[HW_SCORE_KNOTS];
};

/* T at scores from -4.5 to 4.5 (beyond which is 1 in 294,000 on each side), with straight lines between. */
#define HW_LAW_STEPS 64 /* to a score of 1 */
#define HW_LAW_KNOTS (9 * HW_LAW_STEPS + 1)
#define HW_LAW_ONE (1 << 20) /* a jitter */

/* A law that rules share. */
struct hw_law {
	struct bpf_spin_lock lock; /* for in-place updates (BPF_F_LOCK) of `users` only */
	__u32 users;               /* rules that have it. The loader's note */
	__s32 at[HW_LAW_KNOTS];    /* never falls */
};

/* The number of the highest bit that is set; of 0 it is 0. */
HW_INLINE __u32 hw_log2(__u32 v)
{
	__u64 rest = v, bit = 0;

	for (__u32 shift = 16; shift != 0; shift >>= 1) {
		__u64 above = rest >> shift, up;

		HW_OPAQUE(above);
		up = ((0 - above) >> 63) * shift; /* shift, unless above is 0 */
		rest >>= up;
		bit += up;
	}
	return (__u32)bit;
}

/* The normal score that the dice have. (`volatile`: constants that are set when the program is loaded.) */
HW_INLINE __s32 hw_score(const volatile struct hw_scores *scores, __u32 dice)
{
	__u32 v = dice & 0x7fffffff, octave, knot, width;
	__s64 here, next;

	if (v < 1U << HW_SCORE_FIRST)
		v = 1U << HW_SCORE_FIRST;
	octave = hw_log2(v) - HW_SCORE_FIRST; /* 0 .. 17 */
	width = octave + HW_SCORE_FIRST - 5;  /* log2 of the distance from one knot to the next */
	knot = octave * HW_SCORE_STEPS + (v >> width) - HW_SCORE_STEPS;
	HW_OPAQUE(knot);
	if (knot >= HW_SCORE_KNOTS - 1)
		return 0; /* never: for the verifier */
	v &= (1U << width) - 1;
	here = scores->at[knot];
	next = scores->at[knot + 1];
	here += (next - here) * (__s64)(2 * (__u64)v + 1) >> (width + 1);
	return (__s32)(here * (1 - 2 * (__s64)(dice >> 31)));
}

/* The next score of a series in which each has this correlation with the one before; `rest` is
 * sqrt(1 - correlation^2). Both are multiples of 2^-24. */
HW_INLINE __s32 hw_next_score(__s32 before, __s32 fresh, __s32 correlation, __s32 rest)
{
	return (__s32)(((__s64)before * correlation + (__s64)fresh * rest + (HW_SCORE_ONE / 2)) >> 24);
}

/* T(score). Both are multiples of 2^-32: fine enough for a score that changes with time (smooth.h). */
HW_INLINE __s64 hw_law_at(const struct hw_law *law, __s64 score)
{
	const __s64 most = (HW_LAW_KNOTS - 1) / 2 * ((1LL << 32) / HW_LAW_STEPS);
	__u64 place, knot;
	__s64 here, next;

	if (score < -most)
		score = -most;
	if (score > most - 1)
		score = most - 1;
	place = (__u64)(score + most);
	HW_ASSERT(HW_LAW_STEPS == 1 << 6, "a knot at each 2^26");
	knot = place >> 26;
	HW_OPAQUE(knot);
	if (knot >= HW_LAW_KNOTS - 1)
		return 0; /* never: for the verifier */
	here = law->at[knot];
	next = law->at[knot + 1];
	return here * (1 << 12) + ((next - here) * (__s64)(place & ((1 << 26) - 1)) >> 14);
}

/* delay + jitter * value, ns, not below 0. `value` is a multiple of 2^-32 below 2^11, `jitter` has at most 42 bits. */
HW_INLINE __u64 hw_by_law(__u64 delay, __u64 jitter, __s64 value)
{
	__u64 size = (__u64)(value < 0 ? -value : value);
	__u64 offset = (jitter * (size >> 22) >> 10) + (jitter * (size & ((1 << 22) - 1)) >> 32);

	if (value >= 0)
		return delay + offset;
	return offset < delay ? delay - offset : 0;
}

#endif
