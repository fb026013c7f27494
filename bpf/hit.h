/* SPDX-License-Identifier: MIT
 * A matched packet on its way: its rule, what the rule has on this CPU, and what chance does to it. For tc and XDP
 * alike: they share counters and dice. */
#ifndef HEADWIND_BPF_HIT_H
#define HEADWIND_BPF_HIT_H

#include "env.h"
#ifndef HW_XDP
#include "sequence.h"
#include "timeline.h"
#endif

/* A matched packet on its way. */
struct hw_hit {
	struct hw_state_key key;         /* of the rule's state and CPU states */
	const struct hw_impairment *imp; /* of the rule */
	struct hw_cpu_state *cpu;        /* of this CPU */
	__u64 bytes;                     /* of all wire packets in the skb, frames without FCS */
	__u32 packets;                   /* those */
	__u32 rule_id;
	__u32 flow;         /* a hash of its flow; 0: the kernel's has to do */
	__u32 slot;         /* device it was matched on, and to which it goes back */
	__u32 device_flags; /* hw_device_flags of that device */
	__u16 tc_index;     /* the packet's own */
	__u8 direction;     /* hw_direction of the subject */
	__u8 side;          /* hw_direction of the device */
	__u8 held_shift;    /* of the rule */
	__u8 protocol;      /* hw_key.protocol */
	__u16 transport;    /* offset of what is behind the headers of Ethernet and IP */
};

HW_INLINE bool panicking(void)
{
	__u32 zero = 0;
	struct hw_host *host = bpf_map_lookup_elem(&hw_host, &zero);

	return host && host->panic;
}

HW_INLINE void count_match(const struct hw_hit *hit)
{
	hit->cpu->counters.packets += hit->packets;
	hit->cpu->counters.bytes += hit->bytes;
}

HW_INLINE void count_drop(const struct hw_hit *hit, enum hw_drop_reason reason)
{
	hit->cpu->counters.dropped[reason] += hit->packets;
}

#ifndef HW_XDP /* gets no rules with a sequence */
/* What befalls the packet by its rule's sequence, as if it had been drawn by its chances: it, or one of its `packets`
 * wire packets. `drawn`: what is known of it. */
HW_INLINE void draw_events(const struct hw_hit *hit, struct hw_cpu_state *cpu, __u32 packets, __u32 drawn)
{
	if (!(drawn & HW_DRAWN))
		drawn = draw_sequence(hit->rule_id, hit->key.state, hit->key.direction, packets, &cpu->fate);
	for (int i = 0; i < HW_EVENTS; i++)
		cpu->next_event[i] = drawn >> i & 1 ? 1 : hit->packets + 1ULL;
	cpu->fate.events = drawn;
	cpu->rule = 0; /* should an earlier rule come back it finds nothing of its own here */
}
#endif

/* What the rule has on this CPU. NULL: the rule is being removed. `drawn`: what a sequence is known to say of the
 * packet (hw_fate.events). */
HW_INLINE struct hw_cpu_state *find_cpu_state(const struct hw_hit *hit, __u32 drawn __attribute__((unused)))
{
	struct hw_cpu_state *cpu = bpf_map_lookup_elem(&hw_cpu_states, &hit->key);

	if (!cpu || cpu->rule == hit->rule_id)
		return cpu;
#ifndef HW_XDP
	if (hit->imp->flags & HW_SEQUENCE) {
		draw_events(hit, cpu, hit->packets, drawn);
		return cpu;
	}
#endif
	__builtin_memset(cpu->next_event, 0, sizeof(cpu->next_event));
	cpu->rule = hit->rule_id;
	cpu->fate.events = 0;
	return cpu;
}

#ifndef HW_XDP
/* The impairment is that of this moment. What chance drew in another step is drawn anew: its law has no memory. */
HW_INLINE bool enter_step(struct hw_hit *hit, const struct hw_rule *rule)
{
	struct hw_cpu_state *cpu = hit->cpu;
	__u32 index = cpu->step;
	const struct hw_step *step = step_now(rule, &index);

	if (!step)
		return false;
	if (index != cpu->step) {
		if (!(hit->imp->flags & HW_SEQUENCE))
			__builtin_memset(cpu->next_event, 0, sizeof(cpu->next_event));
		cpu->step = index;
	}
	hit->imp = &step->impairment;
	return true;
}
#endif

/* False: the rule is gone. */
HW_INLINE bool find_hit(struct hw_hit *hit, struct hw_rule *rule, __u32 drawn)
{
	hit->imp = &rule->impairment;
	hit->held_shift = rule->held_shift;
	hit->key.state = rule->state;
	hit->key.direction = hit->direction;
	hit->cpu = find_cpu_state(hit, drawn);
#ifndef HW_XDP /* XDP gets no rules with a timeline */
	if (hit->cpu && rule->timeline)
		return enter_step(hit, rule);
#endif
	return hit->cpu;
}

/* Out of line: the verifier looks at it once. */
HW_FUNCTION __u64 draw_gap(__u64 threshold, __u64 half_life_q24)
{
	struct hw_chance chance = {.threshold = threshold, .half_life_q24 = half_life_q24};

	return hw_draw_gap(&chance, env_dice());
}

/* Would this event befall one of the skb's wire packets? */
HW_INLINE bool is_due(const struct hw_hit *hit, enum hw_event event)
{
	const struct hw_chance *chance = &hit->imp->events[event];
	__u64 *next_event = &hit->cpu->next_event[event];

	if (chance->threshold != 0 && *next_event == 0)
		*next_event = draw_gap(chance->threshold, chance->half_life_q24);
	return hw_event_within(chance, *next_event, hit->packets);
}

/* Does it befall this wire packet, or this super-packet that holds none it befalls? */
HW_INLINE bool happens(const struct hw_hit *hit, enum hw_event event)
{
	is_due(hit, event); /* draws */
	return hw_event_happens(&hit->imp->events[event], &hit->cpu->next_event[event], hit->packets);
}

#endif
