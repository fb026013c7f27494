/* SPDX-License-Identifier: MIT
 *
 * Delays that keep the order of packets. Their score is a function of time, the same for all packets of a rule, and
 * smooth: a delay that falls by less than time goes on lets no packet overtake another one. It begins with a score of
 * its own at each correlation time, and goes from one to the next along a quarter of a circle,
 *
 *   z = cos(x pi / 2) z_k + sin(x pi / 2) z_(k+1),   0 <= x < 1
 *
 * so at each instant it is a normal score, too, and each delay has its law exactly. (The loader sees to it that it is
 * slow enough: order_factor() in loader/chance/law.h.) Nothing is remembered, and no packet waits for another CPU.
 * Pure, as model.h.
 */
#ifndef HEADWIND_SMOOTH_H
#define HEADWIND_SMOOTH_H

#include "law.h"

/* sin(x pi / 2), 0 <= x <= 1, both multiples of 2^-31: the series of Taylor, whose next term is 2^-30 at most. */
HW_INLINE __u64 hw_quarter_sine(__u64 x)
{
	const __u64 terms[] = {122, 7728, 344545, 10053990, 171138612, 1387197337, 3373259426};
	__u64 square = x * x >> 31, sum = 0;

	for (unsigned int i = 0; i < sizeof(terms) / sizeof(terms[0]); i++)
		sum = terms[i] - (sum * square >> 31);
	return x * sum >> 31;
}

/* The score at this time, a multiple of 2^-32. `time`: correlation_time, at most 2^42 ns. */
HW_INLINE __s64 hw_smooth_score(const volatile struct hw_scores *scores, __u64 seed, __u64 time, __u64 at)
{
	__u64 knot = at / time, since = (at - knot * time) << 21;
	/* 31 bits of since / time, of which one division has room for 21: a coarser one would go in steps, backwards.
	 */
	__u64 x = since / time << 10 | (since % time << 10) / time;
	__s64 here = hw_score(scores, hw_dice(seed, knot)), next = hw_score(scores, hw_dice(seed, knot + 1));

	return (here * (__s64)hw_quarter_sine((1ULL << 31) - x) + next * (__s64)hw_quarter_sine(x)) >> 23;
}

#endif
