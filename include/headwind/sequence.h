/* SPDX-License-Identifier: MIT
 *
 * What does not befall each packet by itself: losses in bursts, correlated ones, every n-th; correlated delays. A
 * Markov chain for each kind of event, and the series of the delays' scores, make one step for each wire packet that a
 * rule matches in one direction. Pure, as model.h.
 */
#ifndef HEADWIND_SEQUENCE_H
#define HEADWIND_SEQUENCE_H

#include "abi.h"
#include "law.h"
#include "model.h"

#define HW_CHAIN_STATES 4

/* Of a packet that finds the chain in state s: an event happens with probability event[s], then the chain moves. */
struct hw_chain {
	__u64 seed;
	__u64 event[HW_CHAIN_STATES];                   /* of 2^32 */
	__u64 to[HW_CHAIN_STATES][HW_CHAIN_STATES - 1]; /* of 2^63: from s to state 0; to 0 or 1; to 0, 1 or 2 */
	__u64 start[HW_CHAIN_STATES - 1];               /* where the first packet finds it, likewise */
	__u64 every;                                    /* an event at each so many-th packet; 0: none */
};

/* Under the id of a rule with HW_SEQUENCE. Read-only to the datapath. */
struct hw_sequence {
	struct hw_chain chains[HW_CHAINS]; /* by hw_event */
	__u32 used;                        /* a bit for each of them */
	__u32 pad;
	__u64 score_seed;
	/* Of the score of each delay with that of the next one, and sqrt(1 - correlation^2), of 2^24. `rest` is 0 where
	 * the sequence does not say the delays. */
	__s32 correlation, rest;
};

/* 1 if a < b, without a branch, which the verifier would follow both ways. Both at most 2^63. */
HW_INLINE __u64 hw_below(__u64 a, __u64 b)
{
	return (a - b) >> 63;
}

/* The state that these random bits choose. */
HW_INLINE __u8 hw_chain_choose(const __u64 *thresholds, __u64 bits)
{
	bits >>= 1;
	return (__u8)(3 - hw_below(bits, thresholds[0]) - hw_below(bits, thresholds[1]) -
	              hw_below(bits, thresholds[2]));
}

/* (Each direction has random numbers of its own.) */
HW_INLINE void hw_sequence_begin(const struct hw_sequence *sequence, struct hw_progress *progress, __u32 rule,
                                 __u32 direction)
{
	progress->index = (__u64)direction << 63;
	progress->rule = rule;
	for (int i = 0; i < HW_CHAINS; i++)
		progress->states[i] =
		    hw_chain_choose(sequence->chains[i].start, hw_mix(sequence->chains[i].seed + direction));
}

/* What befalls the next wire packet: a bit for each hw_event. */
HW_INLINE __u32 hw_sequence_step(const struct hw_sequence *sequence, struct hw_progress *progress)
{
	__u32 events = 0;

	for (int i = 0; i < HW_CHAINS; i++) {
		const struct hw_chain *chain = &sequence->chains[i];
		__u32 state = progress->states[i] & (HW_CHAIN_STATES - 1);
		__u64 bits, happens;

		if (!(sequence->used >> i & 1))
			continue;
		bits = hw_bits(chain->seed, progress->index);
		happens = hw_below((__u32)hw_mix(bits), chain->event[state]);
		if (chain->every && ((progress->index << 1 >> 1) + 1) % chain->every == 0)
			happens = 1;
		events |= (__u32)happens << i;
		progress->states[i] = hw_chain_choose(chain->to[state], bits);
	}
	progress->index++;
	return events;
}

/* The same, with all that chance decides of that packet. A copy's delay has the same correlation with its packet's as
 * the next packet's has. */
HW_INLINE void hw_sequence_fate(const struct hw_sequence *sequence, const volatile struct hw_scores *scores,
                                struct hw_progress *progress, struct hw_fate *fate)
{
	__u64 index = progress->index, bits;
	__s32 score, copys;

	fate->events = hw_sequence_step(sequence, progress);
	fate->flip = (__u32)(hw_mix(hw_bits(sequence->chains[HW_EVENT_CORRUPT].seed, index)) >> 32);
	if (!sequence->rest)
		return;
	bits = hw_bits(sequence->score_seed, index);
	score = hw_score(scores, (__u32)(bits >> 32));
	copys = hw_score(scores, (__u32)bits);
	if (index << 1 != 0)
		score = hw_next_score(progress->score, score, sequence->correlation, sequence->rest);
	progress->score = fate->score = score;
	fate->copy_score = hw_next_score(score, copys, sequence->correlation, sequence->rest);
}

#endif
