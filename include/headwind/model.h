/* SPDX-License-Identifier: MIT
 *
 * The decision, pure: rule, state, clock, random numbers and packet length in, fate out. No helper, no map, no packet
 * pointer; integers and fixed point only, unsigned division never. Compiled by clang for BPF and by g++ for the tests.
 */
#ifndef HEADWIND_MODEL_H
#define HEADWIND_MODEL_H

#include "abi.h"

#define HW_INLINE static inline __attribute__((always_inline))

/* The bit of a masked key in its shape's filter. (Multiply-shift hashing of the key's words, without the shape's id;
 * Dietzfelbinger, Hagerup, Katajainen, Penttonen 1997.) */
HW_INLINE __u32 hw_filter_bit(const struct hw_key *key)
{
	__u64 rest =
	    key->local_port | (__u64)key->remote_port << 16 | (__u64)key->device << 32 | (__u64)key->protocol << 48;
	__u64 sum = key->cgroup * 0x9e3779b97f4a7c15ULL + key->local[0] * 0xbf58476d1ce4e5b9ULL +
	            key->local[1] * 0x94d049bb133111ebULL + key->remote[0] * 0xd6e8feb86659fd93ULL +
	            key->remote[1] * 0xc2b2ae3d27d4eb4fULL + rest * 0x165667b19e3779f9ULL;

	return (__u32)(sum >> 32) >> 22 & (HW_FILTER_BITS - 1);
}

/* Does an event of this probability happen? threshold 0: never; 2^32: always. */
HW_INLINE int hw_happens(__u64 threshold, __u32 dice)
{
	return dice < threshold;
}

/* The n-th random number of a seed, counter based: it does not depend on what was drawn before.
 * (Finalizer of splitmix64; Steele, Lea, Flood 2014.) */
HW_INLINE __u32 hw_dice(__u64 seed, __u64 n)
{
	__u64 z = seed + (n + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (__u32)((z ^ (z >> 31)) >> 32);
}

/* Needs wire packets: each is decided, or counted by the rate, on its own. */
HW_INLINE int hw_needs_wire(const struct hw_impairment *imp)
{
	return imp->loss != 0 || imp->ns_per_byte_q16 != 0;
}

/* Has a time component: every matched packet goes through the pacer, also one that need not wait (a shortcut would
 * overtake). */
HW_INLINE int hw_needs_time(const struct hw_impairment *imp)
{
	return imp->delay != 0 || imp->ns_per_byte_q16 != 0;
}

/* Rate, queue and delay for a wire packet of `length` bytes that is ready at `ready` (CLOCK_MONOTONIC).
 * Returns 0 and the time to let it go, or HW_CAUSE_QUEUE: the packet is dropped and nothing has changed.
 * The caller holds state->lock (which is why there is no call in here: Linux 6.1 allows none under a lock).
 *
 *   start = max(ready, next_free)    next_free = start + length / rate    depart = start + delay
 */
HW_INLINE int hw_schedule(const struct hw_impairment *imp, struct hw_state *state, __u64 ready, __u32 length,
                          __u64 *depart)
{
	__u64 start = ready;

	if (imp->ns_per_byte_q16) {
		/* 17 bits of length, 47 of ns_per_byte_q16 (compile.cpp sees to that) */
		__u64 busy_q16 = (__u64)length * imp->ns_per_byte_q16;

		if (state->next_free > ready) {
			if (state->next_free - ready + (busy_q16 >> 16) > imp->queue)
				return HW_CAUSE_QUEUE;
			start = state->next_free;
			busy_q16 += state->fraction_q16;
		}
		state->next_free = start + (busy_q16 >> 16);
		state->fraction_q16 = busy_q16 & 0xffff;
	}
	*depart = start + imp->delay;
	return 0;
}

/* Live for a packet that read `version`? Deadline and lease are judged by the caller's clock. */
HW_INLINE int hw_in_version(const struct hw_rule *rule, __u64 version)
{
	return rule->born <= version && version < rule->died;
}

#endif
