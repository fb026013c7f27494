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
	__u64 blend; /* of 2^32: so much of each die is the one before (--netem-compatible); 0: dice are independent */
	__u64 event[HW_CHAIN_STATES];                   /* of 2^32 */
	__u64 to[HW_CHAIN_STATES][HW_CHAIN_STATES - 1]; /* of 2^63: from s to state 0; to 0 or 1; to 0, 1 or 2 */
	__u64 start[HW_CHAIN_STATES - 1];               /* where the first packet finds it, likewise */
	__u64 every;                                    /* an event at each so many-th packet; 0: none */
};

/* Of the list of losses (--loss-pattern) of a rule: its packets are in blocks, of which only those are there that have
 * some. Read-only to the datapath. */
#define HW_LIST_BLOCK 512        /* packets */
#define HW_LIST_BLOCKS (1 << 14) /* of all rules */
struct hw_list_key {
	__u32 rule;
	__u32 block; /* index of its first packet / HW_LIST_BLOCK */
};
struct hw_list_block {
	__u64 bits[HW_LIST_BLOCK / 64]; /* bit index % HW_LIST_BLOCK: lost */
};

/* Under the id of a rule with HW_SEQUENCE. Read-only to the datapath. */
struct hw_sequence {
	struct hw_chain chains[HW_CHAINS]; /* by hw_event */
	__u32 used;                        /* a bit for each of them */
	__u32 netem;                       /* 1: a duplicate is a packet more, of which loss takes one (as netem's) */
	__u32 listed;                      /* so many packets the list of losses is about; 0: there is none */
	__u32 pad;
	__u64 score_seed;
	/* Of the score of each delay with that of the next one, and sqrt(1 - correlation^2), of 2^24. `rest` is 0 where
	 * the sequence does not say the delays. */
	__s32 correlation, rest;
};

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
	for (int i = 0; i < HW_CHAINS; i++) {
		__u64 bits = hw_mix(sequence->chains[i].seed + direction);

		progress->states[i] = hw_chain_choose(sequence->chains[i].start, bits);
		progress->dice[i] = (__u32)bits;
	}
}

/* The die of a chain, of 2^32, by the one before. netem's correlation is such a blend (get_crandom() in
 * net/sched/sch_netem.c): dice come to lie near the middle, so rare events become rarer, and common ones more common.
 */
HW_INLINE __u32 hw_chain_die(const struct hw_chain *chain, __u32 before, __u64 bits)
{
	return (__u32)(((__u32)hw_mix(bits) * ((1ULL << 32) - chain->blend) + before * chain->blend) >> 32);
}

/* What is left of these events where a duplicate is a packet more: loss takes one of the two, and else the copy is
 * tried for it, too. (Without branches.) */
HW_INLINE __u32 hw_netem_events(const struct hw_sequence *sequence, struct hw_progress *progress, __u32 events)
{
	const struct hw_chain *chain = &sequence->chains[HW_EVENT_LOSS];
	__u32 *before = &progress->dice[HW_EVENT_LOSS], twice = events >> HW_EVENT_DUPLICATE & sequence->netem;
	__u32 one = twice & events, again = twice & ~events;
	__u32 die = hw_chain_die(chain, *before, ~hw_bits(chain->seed, progress->index));
	__u32 lost = again & sequence->used & (__u32)hw_below(die, chain->event[0]);

	HW_ASSERT(HW_EVENT_LOSS == 0, "its bit is the lowest, in `events` and in `used`");
	*before ^= (*before ^ die) & (0U - again);
	return events & ~(one | (one | lost) << HW_EVENT_DUPLICATE);
}

/* The number of packets before the next one. */
HW_INLINE __u64 hw_packets_before(const struct hw_progress *progress)
{
	return progress->index << 1 >> 1;
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
		progress->dice[i] = hw_chain_die(chain, progress->dice[i], bits);
		happens = hw_below(progress->dice[i], chain->event[state]);
		if (chain->every && (hw_packets_before(progress) + 1) % chain->every == 0)
			happens = 1;
		events |= (__u32)happens << i;
		progress->states[i] = hw_chain_choose(chain->to[state], bits);
	}
	events = hw_netem_events(sequence, progress, events);
	progress->index++;
	return events;
}

HW_INLINE __u32 hw_is_listed(const struct hw_list_block *block, __u64 index)
{
	return block->bits[index / 64 % (HW_LIST_BLOCK / 64)] >> (index % 64) & 1;
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
