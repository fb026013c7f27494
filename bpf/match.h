/* SPDX-License-Identifier: MIT
 * Which rule a packet gets: the live one of highest rank among the shapes in use. */
#ifndef HEADWIND_BPF_MATCH_H
#define HEADWIND_BPF_MATCH_H

#include "env.h"
#include "packet.h"
#ifndef HW_FRONT
#include "receiver.h"
#endif

/* What the walk over the shapes knows. */
struct hw_walk {
	struct hw_packet packet; /* its key's device is set; the cgroup changes with the shape's level */
	__u64 version;
	__u64 best_rank;
	__u32 best;        /* rule id; 0: none yet */
	__u32 index;       /* of the shape to visit */
	__u32 device;      /* slot */
	__u8 direction;    /* hw_direction of the party */
	bool far;          /* the party is at the far end of the device's cable */
	bool has_receiver; /* looked for */
	__u64 receiver;    /* see find_receiver */
};

/* The slot of a device in hw_control.devices; HW_MAX_DEVICES if it is none of ours. */
HW_FUNCTION __u32 find_device(__u32 ifindex)
{
	for (__u32 i = 0; i < HW_DEVICE_PROBES; i++) {
		__u32 slot = (ifindex + i) & (HW_MAX_DEVICES - 1);

		if (hw_control.devices[slot].ifindex == ifindex)
			return slot;
	}
	return HW_MAX_DEVICES;
}

HW_INLINE const struct hw_device *device_of(__u32 slot)
{
	return &hw_control.devices[slot & (HW_MAX_DEVICES - 1)];
}

HW_INLINE bool is_live(const struct hw_rule *rule, __u64 version)
{
	struct hw_lease *lease;
	__u32 key;

	if (!hw_in_version(rule, version))
		return false;
	if (rule->deadline && env_boottime() >= rule->deadline)
		return false;
	if (rule->flap_period && !hw_in_phase(rule, env_boottime()))
		return false;
	if (rule->leased) {
		key = rule->state;
		lease = bpf_map_lookup_elem(&hw_leases, &key);
		if (!lease || env_boottime() >= lease->until)
			return false;
	}
	return true;
}

HW_INLINE void mask_key(struct hw_key *to, const struct hw_key *key, const struct hw_key *mask)
{
	to->cgroup = key->cgroup & mask->cgroup;
	to->local[0] = key->local[0] & mask->local[0];
	to->local[1] = key->local[1] & mask->local[1];
	to->remote[0] = key->remote[0] & mask->remote[0];
	to->remote[1] = key->remote[1] & mask->remote[1];
	to->local_port = key->local_port & mask->local_port;
	to->remote_port = key->remote_port & mask->remote_port;
	to->device = key->device & mask->device;
	to->protocol = key->protocol & mask->protocol;
}

/* Takes the best live rule of one entry if it beats what the walk has. */
HW_INLINE void consider(const struct hw_entry *entry, struct hw_walk *walk)
{
	struct hw_rule *rule;
	__u32 id;

	for (int i = 0; i < HW_MAX_CANDIDATES; i++) {
		id = entry->rules[i];
		if (id == 0)
			continue;
		rule = bpf_map_lookup_elem(&hw_rules, &id);
		if (!rule || (walk->best && rule->rank <= walk->best_rank) || !is_live(rule, walk->version))
			continue;
		if (rule->flows && hw_flow_number(&walk->packet.key, rule->flow_seed) >= rule->flows)
			continue;
		walk->best = id;
		walk->best_rank = rule->rank;
	}
}

#ifdef HW_FRONT
/* XDP has no socket: whether a rule of a cgroup wants the packet is not known there. */
HW_INLINE bool find_cgroup(hw_context *context, struct hw_walk *walk, int level)
{
	(void)walk, (void)level;
	/* Used, or clang would pass visit_shape anything: the verifier wants the context. */
	__asm__ volatile("" ::"r"(context));
	return false;
}
#else
/* The ancestor of the sender's for what goes out, of the receiver's for what comes in. */
HW_INLINE bool find_cgroup(hw_context *context, struct hw_walk *walk, int level)
{
	if (walk->direction == HW_OUT) {
		walk->packet.key.cgroup = bpf_skb_ancestor_cgroup_id(context, level);
		return true;
	}
	if (!walk->has_receiver) {
		walk->has_receiver = true;
		walk->receiver = find_receiver(context, &walk->packet,
		                               walk->far ? device_of(walk->device)->far_netns : BPF_F_CURRENT_NETNS);
	}
	walk->packet.key.cgroup = ancestor_id(walk->receiver, level);
	return true;
}
#endif

/* Visits one shape of the table in force; 1: no later shape can win. */
HW_FUNCTION int visit_shape(hw_context *context, struct hw_walk *walk)
{
	const struct hw_shape_table *table;
	const struct hw_shape *shape;
	struct hw_entry *entry;
	struct hw_key masked;
	__u32 bit;

	if (!walk)
		return 1;
	table = &hw_control.tables[walk->version & 1];
	if (walk->index >= HW_MAX_SHAPES || walk->index >= table->count)
		return 1;
	shape = &table->shapes[walk->index];
	if (walk->best && walk->best_rank >= shape->max_rank)
		return 1;
	if (!(shape->directions & (1 << walk->direction)) || shape->packet_class != walk->packet.packet_class ||
	    shape->far != walk->far ||
	    (shape->default_devices && !(device_of(walk->device)->flags & HW_DEVICE_DEFAULT)) ||
	    (shape->ipv6_only && walk->packet.ipv4))
		return 0;
	if (shape->cgroup_level && !find_cgroup(context, walk, shape->cgroup_level - 1)) {
		walk->best = 0; /* it may be beaten */
		return 1;
	}
	mask_key(&masked, &walk->packet.key, &shape->mask);
	bit = hw_filter_bit(&masked);
	if (!(shape->filter[bit / 64] >> bit % 64 & 1))
		return 0;
	masked.shape = shape->id;
	entry = bpf_map_lookup_elem(&hw_entries, &masked);
	if (entry)
		consider(entry, walk);
	return 0;
}

/* The id of the rule the packet gets, for a party that sends or receives it there; 0: none. The caller has set version,
 * device, direction and far. The version is read once per packet: it sees one rule set, whatever commits meanwhile. */
HW_FUNCTION __u32 match(hw_context *context, struct hw_walk *walk)
{
	if (!walk || !(hw_control.tables[walk->version & 1].directions & (1 << walk->direction)) ||
	    !parse_packet(context, walk->direction, &walk->packet))
		return 0;
	walk->packet.key.device = walk->device + 1;
	walk->has_receiver = false;
	for (__u32 i = 0; i < HW_MAX_SHAPES; i++) {
		walk->index = i;
		if (visit_shape(context, walk))
			break;
	}
	return walk->best;
}

#endif
