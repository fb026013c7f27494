/* SPDX-License-Identifier: MIT
 *
 * The decision, pure: rule, state, clock, random numbers and packet length in, fate out. No helper, no map, no packet
 * pointer; integers and fixed point only, unsigned division never. Compiled by clang for BPF and by g++ for the tests.
 */
#ifndef HEADWIND_MODEL_H
#define HEADWIND_MODEL_H

#include "abi.h"
#include "marks.h"

#define HW_INLINE static inline __attribute__((always_inline))

/* Keeps the compiler from knowing anything about a value. So it computes what is compared and then added to a table's
 * address once, which Linux 6.12 has to see; and turns no arithmetic into branches, which the verifier would follow
 * both ways. */
#define HW_OPAQUE(value) __asm__("" : "+r"(value))

/* 1 if a < b, without a branch. Both at most 2^63. */
HW_INLINE __u64 hw_below(__u64 a, __u64 b)
{
	return (a - b) >> 63;
}

/* The bit of a masked key in its shape's filter. (Multiply-shift hashing of the key's words, without the shape's id;
 * Dietzfelbinger, Hagerup, Katajainen, Penttonen 1997.) */
HW_INLINE __u32 hw_filter_bit(const struct hw_key *key)
{
	__u64 rest =
	    key->local_port | (__u64)key->remote_port << 16 | (__u64)key->device << 32 | (__u64)key->protocol << 48;
	__u64 sum = key->cgroup * 0x9e3779b97f4a7c15ULL + key->local[0] * 0xbf58476d1ce4e5b9ULL +
	            key->local[1] * 0x94d049bb133111ebULL + key->remote[0] * 0xd6e8feb86659fd93ULL +
	            key->remote[1] * 0xc2b2ae3d27d4eb4fULL + rest * 0x165667b19e3779f9ULL;

	HW_ASSERT(HW_FILTER_BITS == 1 << 10, "the 10 highest bits of the sum");
	return (__u32)(sum >> 54);
}

/* Does an event of this probability happen? threshold 0: never; 2^32: always. */
HW_INLINE int hw_happens(__u64 threshold, __u32 dice)
{
	return dice < threshold;
}

/* Every bit of the result depends on every bit of z. (Finalizer of splitmix64; Steele, Lea, Flood 2014.) */
HW_INLINE __u64 hw_mix(__u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* The n-th random number of a seed, counter based: it does not depend on what was drawn before. */
HW_INLINE __u64 hw_bits(__u64 seed, __u64 n)
{
	return hw_mix(seed + (n + 1) * 0x9e3779b97f4a7c15ULL);
}
HW_INLINE __u32 hw_dice(__u64 seed, __u64 n)
{
	return (__u32)(hw_bits(seed, n) >> 32);
}

/* What skb->tc_index says of a packet that has met its fate in that span of time. */
HW_INLINE __u16 hw_done_mark(__u64 secret, __u64 epoch)
{
	return HW_MARK_DONE | (__u16)(hw_mix(secret + epoch * 0x9e3779b97f4a7c15ULL) >> 49);
}

/* A random number that all packets of a flow share: of its 5-tuple and the seed. The same in both directions and at
 * both ends, hence a sum. A later fragment whose first one was not seen has no ports and counts as another flow. */
HW_INLINE __u32 hw_flow_number(const struct hw_key *key, __u32 seed)
{
	__u64 local = hw_mix(hw_mix(key->local[0] + key->local_port) ^ key->local[1]);
	__u64 remote = hw_mix(hw_mix(key->remote[0] + key->remote_port) ^ key->remote[1]);

	return hw_dice(local + remote, (__u64)seed << 8 | key->protocol);
}

/* -log2((dice + 1/2) / 2^32), 24 fractional bits: 0 .. 33. Bit by bit: squaring a number doubles its logarithm. */
HW_INLINE __u64 hw_minus_log2_q24(__u32 dice)
{
	__u64 x = ((__u64)dice << 1 | 1) << 31; /* at most 64 bits; of 2^64 */
	__u32 whole = 0, fraction = 0;

	for (__u32 shift = 32; shift != 0; shift >>= 1) {
		__u32 up = x >> (64 - shift) ? 0 : shift;

		x <<= up;
		whole += up;
	}
	x >>= 32; /* 1 <= x / 2^31 < 2 */
	for (int i = 0; i < 24; i++) {
		__u64 carry;

		x = x * x >> 31;
		carry = x >> 32;
		x >>= carry;
		fraction = fraction << 1 | (__u32)carry;
	}
	return ((__u64)(whole + 1) << 24) - fraction;
}

/* The number of the wire packet that meets the next event, counted from 1: geometric law, by inversion of its
 * distribution function. */
HW_INLINE __u64 hw_draw_gap(const struct hw_chance *chance, __u32 dice)
{
	__u64 log;
	__u64 whole = chance->half_life_q24 >> 24, fraction = chance->half_life_q24 & 0xffffff;

	/* What the law says, too; without the logarithm, which would cost more than all the rest of a likely loss. */
	if (chance->threshold >> 28 && dice + chance->threshold >= 1ULL << 32)
		return 1;
	log = hw_minus_log2_q24(dice); /* 30 bits */
	return 1 + ((log * whole + (log * fraction >> 24)) >> 24);
}

/* Would an event come within the next `packets` wire packets? The caller has drawn `next_event`. */
HW_INLINE int hw_event_within(const struct hw_chance *chance, __u64 next_event, __u32 packets)
{
	return chance->threshold != 0 && next_event <= packets;
}

/* Counts `packets` wire packets, of which only the last may meet the event. Does it? */
HW_INLINE int hw_event_happens(const struct hw_chance *chance, __u64 *next_event, __u32 packets)
{
	if (chance->threshold == 0)
		return 0;
	if (*next_event > packets) {
		*next_event -= packets;
		return 0;
	}
	*next_event = 0; /* to be drawn */
	return 1;
}

/* Has a time component, or another step of its timeline has: every matched packet goes through the pacer, also one that
 * need not wait (a shortcut would overtake). */
HW_INLINE int hw_needs_time(const struct hw_impairment *imp)
{
	return imp->delay != 0 || imp->ns_per_byte_q16 != 0 || (imp->flags & HW_TIMED_STEPS);
}

/* Packets of one flow may leave in another order than they came. */
HW_INLINE int hw_may_reorder(const struct hw_impairment *imp)
{
	return (imp->jitter != 0 && !(imp->flags & HW_KEEPS_ORDER)) || imp->reorder != 0;
}

/* Counts on each wire packet, or delays each on its own. (What chance does is another matter: see hw_event_within.) */
HW_INLINE int hw_needs_wire(const struct hw_impairment *imp)
{
	return imp->ns_per_byte_q16 != 0 || hw_may_reorder(imp);
}

/* From delay - jitter to delay + jitter, ns, all alike; not below 0. (Other laws: law.h.) */
HW_INLINE __u64 hw_uniform(__u64 delay, __u64 jitter, __u32 dice)
{
	__u64 drawn = delay + (jitter * (2 * (__u64)(dice >> 12) + 1) >> 20); /* jitter has at most 42 bits */

	return drawn < jitter ? 0 : drawn - jitter;
}

#define HW_LONGEST_EDT 10000000000ULL /* ns ahead; as fq has it (horizon) */

/* When a packet goes. */
struct hw_timing {
	__u64 depart;  /* CLOCK_MONOTONIC */
	int reordered; /* went without delay */
};

/* A wire packet that comes to the link, CLOCK_MONOTONIC. */
struct hw_arrival {
	__u64 now;
	__u64 edt; /* the earliest departure that its sender asked for, as of TCP's pacing and SO_TXTIME; 0: none */
};

/* Does hw_schedule() look at the state? If not, hw_due() and the delay say the same. */
HW_INLINE int hw_needs_state(const struct hw_impairment *imp)
{
	return imp->ns_per_byte_q16 != 0 || imp->reorder != 0 || (imp->flags & HW_TIMED_STEPS);
}

/* When it would go on if there were no rule. */
HW_INLINE __u64 hw_due(const struct hw_arrival *arrival)
{
	__u64 edt = arrival->edt, latest = arrival->now + HW_LONGEST_EDT;

	if (edt > latest)
		edt = latest;
	return edt > arrival->now ? edt : arrival->now;
}

/* 1 if this packet goes without its delay. As netem: after one that did, the next gap - 1 packets do not. */
HW_INLINE __u64 hw_goes_early(const struct hw_impairment *imp, const struct hw_state *state, __u32 dice)
{
	__u64 early = hw_below(imp->reorder_gap, state->since_reorder + 2ULL) & hw_below(dice, imp->reorder);

	HW_OPAQUE(early);
	return early;
}

/* Rate, queue, delay and reordering for a wire packet that keeps the link busy for `busy_q16` ns (16 fractional bits;
 * at most 63 bits) and would be delayed by `delay`. Returns 0 and the timing, or HW_DROP_QUEUE: the packet is dropped
 * and nothing has changed. The caller holds state->lock (which is why there is no call in here: Linux 6.1 allows none
 * under a lock).
 *
 *   next_free = max(now, next_free) + busy    depart = max(next_free, edt) + delay
 *
 * and with HW_RATE_LAST, where packets that go early pass the link by,
 *
 *   next_free = max(now + delay, next_free) + busy    depart = max(next_free, edt + delay)
 *
 * A packet has passed the link when its last bit has. Its own edt moves it and nothing else: senders choose it freely.
 */
HW_INLINE int hw_schedule_busy(const struct hw_impairment *imp, struct hw_state *state,
                               const struct hw_arrival *arrival, __u64 busy_q16, __u64 delay, __u32 dice,
                               struct hw_timing *timing)
{
	__u64 early = hw_goes_early(imp, state, dice), unless_early = early - 1; /* all bits, or none */
	__u64 last = imp->flags / HW_RATE_LAST & 1, due = hw_due(arrival), before, passed;

	HW_OPAQUE(last);
	delay &= unless_early;
	before = delay & (0 - last);
	passed = arrival->now + before;
	if (imp->ns_per_byte_q16 && !(early & last)) {
		if (state->next_free > passed) {
			if (state->next_free - arrival->now + (busy_q16 >> 16) > imp->queue)
				return HW_DROP_QUEUE;
			passed = state->next_free;
			busy_q16 += state->fraction_q16;
		}
		passed += busy_q16 >> 16;
		state->next_free = passed;
		state->fraction_q16 = busy_q16 & 0xffff;
	}
	timing->depart = passed + delay - before;
	timing->reordered = (int)early;
	if ((imp->flags & HW_TIMED_STEPS) && !early) {
		if (timing->depart > state->last_depart)
			state->last_depart = timing->depart;
		else if (!hw_may_reorder(imp))
			timing->depart = state->last_depart;
	}
	if (due + before > passed)
		timing->depart += due + before - passed;
	state->since_reorder += (__u32)hw_below(state->since_reorder + 1ULL, imp->reorder_gap);
	state->since_reorder &= (__u32)unless_early;
	return 0;
}

/* The same for a packet of `length` bytes on a link of one rate. */
HW_INLINE int hw_schedule(const struct hw_impairment *imp, struct hw_state *state, const struct hw_arrival *arrival,
                          __u32 length, __u64 delay, __u32 dice, struct hw_timing *timing)
{
	/* 17 bits of length, 46 of ns_per_byte_q16 (compile.cpp sees to that) */
	return hw_schedule_busy(imp, state, arrival, (__u64)length * imp->ns_per_byte_q16, delay, dice, timing);
}

/* ---- what a rule holds in the line ---- */

/* Moves the ring on to `now`, CLOCK_MONOTONIC, and returns the bytes that have not departed, those of the slot of `now`
 * included. Forgets all if `shift` is another one. */
HW_INLINE __u64 hw_ring_held(struct hw_ring *ring, __u32 shift, __u64 now)
{
	__u64 slot = now >> (shift & 63), units = 0;
	__s64 passed = ring->shift == shift ? (__s64)(slot - ring->first) : HW_RING_SLOTS;

	for (__u32 i = 0; i < HW_RING_SLOTS; i++) {
		if ((__s64)i < passed)
			ring->units[(ring->first + i) & (HW_RING_SLOTS - 1)] = 0;
		units += ring->units[(ring->first + i) & (HW_RING_SLOTS - 1)];
	}
	if (passed > 0)
		ring->first = slot;
	ring->shift = shift;
	return units * HW_RING_UNIT;
}

/* After hw_ring_held(). What departs later than the ring reaches counts until then. */
HW_INLINE void hw_ring_add(struct hw_ring *ring, __u64 depart, __u32 bytes)
{
	__u64 slot = (depart >> (ring->shift & 63)) - ring->first;

	if (slot >= HW_RING_SLOTS)
		slot = HW_RING_SLOTS - 1;
	ring->units[(ring->first + slot) & (HW_RING_SLOTS - 1)] += (bytes + HW_RING_UNIT - 1) / HW_RING_UNIT;
}

#define HW_HELD_SHARE 16

/* May a rule that holds `own` of the `held` bytes of its instance hold `bytes` more? Each may hold HW_HELD_SHARE times
 * what is free (dynamic thresholds: Choudhury and Hahne, 1998): however many hold all they may, something stays free
 * for one that holds little. */
HW_INLINE int hw_may_hold(__u64 max, __u64 held, __u64 own, __u64 bytes)
{
	return held < max && bytes <= max - held && own + bytes <= HW_HELD_SHARE * (max - held);
}

/* Live for a packet that read `version`? Deadline and lease are judged by the caller's clock. */
HW_INLINE int hw_in_version(const struct hw_rule *rule, __u64 version)
{
	return rule->born <= version && version < rule->died;
}

/* Is it in force in this phase of its --flap? `now` is CLOCK_BOOTTIME. (A division, but only for those that flap.) */
HW_INLINE int hw_in_phase(const struct hw_rule *rule, __u64 now)
{
	return (now - rule->since) % rule->flap_period >= rule->flap_up;
}

/* s since Monday 00:00, local time. `now` is CLOCK_TAI, s. */
HW_INLINE __u32 hw_second_of_week(const struct hw_hours *hours, __u64 now)
{
	return (__u32)((now + (now < hours->turn ? hours->shift : hours->shift_after)) % HW_WEEK);
}

/* Are these its hours? `now` is CLOCK_TAI, ns. What begins on one day lasts into the next if it goes over midnight. */
HW_INLINE int hw_in_hours(const struct hw_hours *hours, __u64 now)
{
	__u32 second = hw_second_of_week(hours, now / 1000000000);
	__u32 day = second / HW_DAY, of_day = second % HW_DAY, yesterday = (day + 6) % 7;

	if ((hours->days >> day & 1) && of_day >= hours->from && of_day < hours->to)
		return 1;
	return (hours->days >> yesterday & 1) && of_day + HW_DAY < hours->to;
}

#endif
