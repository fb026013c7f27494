/* SPDX-License-Identifier: MIT
 * A matched packet on its way: its rule, what the rule has on this CPU, and what chance does to it. For tc and XDP
 * alike: they share counters and dice. */
#ifndef HEADWIND_BPF_FLIGHT_H
#define HEADWIND_BPF_FLIGHT_H

#include "env.h"
#ifndef HW_FRONT
#include "timeline.h"
#endif

/* A matched packet on its way. */
struct hw_flight {
	struct hw_state_key key;         /* of the rule's state and local */
	const struct hw_impairment *imp; /* of the rule */
	struct hw_local *local;          /* of this CPU */
	__u64 bytes;                     /* of all wire packets in the skb, frames without FCS */
	__u32 packets;                   /* those */
	__u32 rule_id;
	__u32 slot;      /* device it was matched on, and to which it goes back */
	__u16 tc_index;  /* the packet's own */
	__u8 direction;  /* hw_direction of the party */
	__u8 side;       /* hw_direction of the device */
	__u8 held_shift; /* of the rule */
};

HW_INLINE bool panicking(void)
{
	__u32 zero = 0;
	struct hw_host *host = bpf_map_lookup_elem(&hw_host, &zero);

	return host && host->panic;
}

HW_INLINE void count_match(const struct hw_flight *flight)
{
	flight->local->counters.packets += flight->packets;
	flight->local->counters.bytes += flight->bytes;
}

HW_INLINE void count_drop(const struct hw_flight *flight, enum hw_cause cause)
{
	flight->local->counters.dropped[cause] += flight->packets;
}

/* What the rule has on this CPU. NULL: the rule is being removed. */
HW_INLINE struct hw_local *find_local(const struct hw_flight *flight)
{
	struct hw_local *local = bpf_map_lookup_elem(&hw_locals, &flight->key);

	if (local && local->rule != flight->rule_id) {
		__builtin_memset(local->until, 0, sizeof(local->until));
		local->rule = flight->rule_id;
	}
	return local;
}

#ifndef HW_FRONT
/* The impairment is that of this moment. What chance drew in another step is drawn anew: its law has no memory. */
HW_INLINE bool enter_step(struct hw_flight *flight, const struct hw_rule *rule)
{
	struct hw_local *local = flight->local;
	__u32 index = local->step;
	const struct hw_step *step = step_now(rule, &index);

	if (!step)
		return false;
	if (index != local->step) {
		__builtin_memset(local->until, 0, sizeof(local->until));
		local->step = index;
	}
	flight->imp = &step->impairment;
	return true;
}
#endif

/* False: the rule is gone. */
HW_INLINE bool board(struct hw_flight *flight, struct hw_rule *rule)
{
	flight->imp = &rule->impairment;
	flight->held_shift = rule->held_shift;
	flight->key.state = rule->state;
	flight->key.direction = flight->direction;
	flight->local = find_local(flight);
#ifndef HW_FRONT /* XDP gets no rules with a timeline */
	if (flight->local && rule->timeline)
		return enter_step(flight, rule);
#endif
	return flight->local;
}

/* Out of line: the verifier looks at it once. */
HW_FUNCTION __u64 draw_gap(__u64 threshold, __u64 half_life_q24)
{
	struct hw_chance chance = {.threshold = threshold, .half_life_q24 = half_life_q24};

	return hw_draw_gap(&chance, env_dice());
}

/* Would this event befall one of the skb's wire packets? */
HW_INLINE bool is_due(const struct hw_flight *flight, enum hw_event event)
{
	const struct hw_chance *chance = &flight->imp->events[event];
	__u64 *until = &flight->local->until[event];

	if (chance->threshold != 0 && *until == 0)
		*until = draw_gap(chance->threshold, chance->half_life_q24);
	return hw_event_within(chance, *until, flight->packets);
}

/* Does it befall this wire packet, or this super-packet that holds none it befalls? */
HW_INLINE bool happens(const struct hw_flight *flight, enum hw_event event)
{
	is_due(flight, event); /* draws */
	return hw_event_happens(&flight->imp->events[event], &flight->local->until[event], flight->packets);
}

#endif
