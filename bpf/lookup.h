/* SPDX-License-Identifier: MIT
 * The live rule of highest rank for a packet, over the shapes in use: one hash lookup for each (tuple space search,
 * Srinivasan, Suri and Varghese 1999). */
#ifndef HEADWIND_BPF_LOOKUP_H
#define HEADWIND_BPF_LOOKUP_H

#include "env.h"
#include "packet.h"
#ifdef HW_EXPLAIN
#include <headwind/question.h>
struct hw_question hw_question SEC(".data.question");
#elif !defined(HW_XDP)
#include "sk_cgroup.h"
#endif

/* What tells plain packets apart, which have it at fixed places: IPv4 without a VLAN tag, options or fragments; TCP or
 * UDP, but not with the ports of DHCP. */
struct hw_plain {
	__u64 addresses;
	__u64 rest; /* ports, protocol, device slot plus 1, direction, peer; 0: it is none */
};

#define PLAIN_TRANSPORT (ETH_HLEN + sizeof(struct iphdr)) /* where its ports are */

/* Of a packet as it lies at the hook of that device (slot), for a subject on that side of it. */
HW_INLINE struct hw_plain plain_of(hw_context *context, __u32 device, enum hw_direction direction, bool peer)
{
	const struct ethhdr *ethernet = (void *)(long)context->data;
	const struct iphdr *ip = (const void *)(ethernet + 1);
	const struct hw_ports *ports = (const void *)(ip + 1);
	struct hw_plain plain = {};

	if ((void *)(ports + 1) > (void *)(long)context->data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    *(const __u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(LATER_FRAGMENT_V4 | MORE_FRAGMENTS_V4)) ||
	    (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
		return plain;
	plain.addresses = ip->saddr | (__u64)ip->daddr << 32;
	plain.rest = *(const __u32 *)ports | (__u64)ip->protocol << 32 | (__u64)(device + 1) << 40 |
	             (__u64)(peer << 1 | direction) << 60;
	return plain;
}

/* What is known of it so far. */
struct hw_lookup {
	/* Its key has the device, and `shape` as match() sets it; the cgroup changes with the shape's level. */
	struct hw_packet packet;
	__u64 version;
	__u64 best_rank;
	__u64 now;             /* CLOCK_BOOTTIME; 0: nobody asked yet */
	__u64 socket_cgroup;   /* see find_socket_cgroup */
	struct hw_plain plain; /* rest is 0 if it is not plain */
	__u32 best;            /* rule id; 0: none yet */
	__u32 memo;            /* where the outcome is */
	__u32 device;          /* slot */
	__u16 local_class;     /* of the ports (hw_port_classes), if a shape looks at them */
	__u16 remote_class;
	__u8 index;             /* of the shape to visit */
	__u8 direction;         /* hw_direction of the subject */
	bool peer;              /* the subject is at the device's peer (a pod, from its host) */
	bool passing;           /* the outcome holds for this packet, or this moment, only: not for a memo */
	bool has_socket_cgroup; /* looked for */
};

HW_FUNCTION __u32 probe_devices(__u32 ifindex)
{
	for (__u32 i = 1; i < HW_DEVICE_PROBES; i++) {
		__u32 slot = (ifindex + i) & (HW_MAX_DEVICES - 1);

		if (hw_control.devices[slot].ifindex == ifindex)
			return slot;
	}
	return HW_MAX_DEVICES;
}

/* The slot of a device in hw_control.devices; HW_MAX_DEVICES if it is none of ours. */
HW_INLINE __u32 find_device(__u32 ifindex)
{
	__u32 slot = ifindex & (HW_MAX_DEVICES - 1);

	return hw_control.devices[slot].ifindex == ifindex ? slot : probe_devices(ifindex);
}

HW_INLINE const struct hw_device *device_of(__u32 slot)
{
	return &hw_control.devices[slot & (HW_MAX_DEVICES - 1)];
}

/* Notes that packets come to this hook: mostly that is known. */
HW_INLINE void note_sight(__u32 slot, enum hw_direction side)
{
	struct hw_device *device = &hw_control.devices[slot & (HW_MAX_DEVICES - 1)];

	if (device->sight[side] != HW_SEEN)
		device->sight[side] = HW_SEEN;
}

/* One moment for the whole lookup: where one rule ends another may begin, and a packet shall meet one of them. */
HW_INLINE __u64 boottime_of(struct hw_lookup *lookup)
{
	if (!lookup->now)
		lookup->now = env_boottime();
	return lookup->now;
}

/* May is_due_now() be false? */
HW_INLINE bool is_timed(const struct hw_rule *rule)
{
	return rule->start || rule->deadline || rule->flap_period || rule->hours.days || rule->leased ||
	       rule->stoppable;
}

/* Of a rule of the version in force: is this its time? */
HW_INLINE bool is_due_now(const struct hw_rule *rule, struct hw_lookup *lookup)
{
	struct hw_lease *lease;
	__u32 key;

	if (rule->start && boottime_of(lookup) < rule->start)
		return false;
	if (rule->deadline && boottime_of(lookup) >= rule->deadline)
		return false;
	if (rule->flap_period && !hw_in_phase(rule, boottime_of(lookup)))
		return false;
	if (rule->hours.days && !hw_in_hours(&rule->hours, env_tai()))
		return false;
	if (rule->leased) {
		key = rule->state;
		lease = bpf_map_lookup_elem(&hw_leases, &key);
		if (!lease || boottime_of(lookup) >= lease->until)
			return false;
	}
	if (rule->stoppable) {
		key = rule->state;
		if (bpf_map_lookup_elem(&hw_stops, &key))
			return false;
	}
	return true;
}

/* The packet's fields that the shape looks at. */
HW_INLINE void mask_key(struct hw_key *to, const struct hw_lookup *lookup, const struct hw_shape *shape)
{
	const struct hw_key *key = &lookup->packet.key, *mask = &shape->mask;

	to->cgroup = key->cgroup & mask->cgroup;
	to->local[0] = key->local[0] & mask->local[0];
	to->local[1] = key->local[1] & mask->local[1];
	to->remote[0] = key->remote[0] & mask->remote[0];
	to->remote[1] = key->remote[1] & mask->remote[1];
	to->local_port =
	    shape->port_classes & HW_CLASS_OF_LOCAL_PORT ? lookup->local_class : key->local_port & mask->local_port;
	to->remote_port =
	    shape->port_classes & HW_CLASS_OF_REMOTE_PORT ? lookup->remote_class : key->remote_port & mask->remote_port;
	to->device = key->device & mask->device;
	to->protocol = key->protocol & mask->protocol;
}

/* Takes the rule if it is live and beats what the lookup has. (Not inlined: the verifier would follow each path through
 * it into each through the next candidate.) */
HW_FUNCTION int consider(struct hw_lookup *lookup, __u32 id)
{
	struct hw_rule *rule;

	if (!lookup)
		return 0;
	rule = bpf_map_lookup_elem(&hw_rules, &id);
	if (!rule || (lookup->best && rule->rank <= lookup->best_rank) || !hw_in_version(rule, lookup->version))
		return 0;
	if (rule->flows && hw_flow_number(&lookup->packet.key, rule->flow_seed) >= rule->flows)
		return 0;
	if (!is_due_now(rule, lookup)) {
		lookup->passing = true;
		return 0;
	}
	lookup->best = id;
	lookup->best_rank = rule->rank;
	return 0;
}

#if defined(HW_EXPLAIN)
HW_INLINE bool find_cgroup(hw_context *context, struct hw_lookup *lookup, int level)
{
	__u32 at = level;

	__asm__ volatile("" ::"r"(context)); /* used: see below */
	HW_OPAQUE(at);                       /* Linux 6.1 has to see that it is bound; clang knows */
	lookup->packet.key.cgroup = hw_question.cgroups[at & (HW_QUESTION_LEVELS - 1)];
	return true;
}
#elif defined(HW_XDP)
/* XDP has no socket: whether a rule of a cgroup wants the packet is not known there. */
HW_INLINE bool find_cgroup(hw_context *context, struct hw_lookup *lookup, int level)
{
	(void)lookup, (void)level;
	/* Used, or clang would pass visit_shape anything: the verifier wants the context. */
	__asm__ volatile("" ::"r"(context));
	return false;
}
#else
/* The ancestor of the sender's for what goes out, of the receiver's for what comes in. */
HW_INLINE bool find_cgroup(hw_context *context, struct hw_lookup *lookup, int level)
{
	if (lookup->direction == HW_OUT) {
		lookup->packet.key.cgroup = bpf_skb_ancestor_cgroup_id(context, level);
		return true;
	}
	if (!lookup->has_socket_cgroup) {
		lookup->has_socket_cgroup = true;
		lookup->socket_cgroup =
		    find_socket_cgroup(context, &lookup->packet,
		                       lookup->peer ? device_of(lookup->device)->peer_netns : BPF_F_CURRENT_NETNS);
	}
	lookup->packet.key.cgroup = ancestor_id(lookup->socket_cgroup, level);
	return true;
}
#endif

HW_INLINE bool is_default_device(const struct hw_shape *shape, __u32 flags)
{
	return (flags & HW_DEVICE_DEFAULT) &&
	       (shape->default_devices != HW_DEFAULTS_NOT_LO || !(flags & HW_DEVICE_LOOPBACK));
}

/* Visits one shape of the table in force; 1: no later shape can win. */
HW_FUNCTION int visit_shape(hw_context *context, struct hw_lookup *lookup)
{
	const struct hw_shape_table *table;
	const struct hw_shape *shape;
	struct hw_entry *entry;
	struct hw_key masked;
	__u32 bit;

	if (!lookup)
		return 1;
	table = &hw_control.tables[lookup->version & 1];
	if (lookup->index >= HW_MAX_SHAPES || lookup->index >= table->count)
		return 1;
	shape = &table->shapes[lookup->index];
	if (lookup->best && lookup->best_rank >= shape->max_rank)
		return 1;
	if (!(shape->directions & (1 << lookup->direction)) ||
	    !(shape->classes & (1 << (lookup->packet.packet_class & 7))) || shape->peer != lookup->peer ||
	    (shape->default_devices && !is_default_device(shape, device_of(lookup->device)->flags)) ||
	    (shape->ipv6_only && lookup->packet.ipv4))
		return 0;
	if (shape->cgroup_level) {
		lookup->passing = true;
		if (!find_cgroup(context, lookup, shape->cgroup_level - 1)) {
			lookup->best = 0; /* it may be beaten */
			return 1;
		}
	}
	mask_key(&masked, lookup, shape);
	bit = hw_filter_bit(&masked);
	if (!(shape->filter[bit / 64] >> bit % 64 & 1))
		return 0;
	masked.shape = shape->id;
	entry = bpf_map_lookup_elem(&hw_entries, &masked);
	if (!entry)
		return 0;
	for (int i = 0; i < HW_MAX_CANDIDATES; i++)
		if (entry->rules[i])
			consider(lookup, entry->rules[i]);
	return 0;
}

/* For shapes that look at them. (Not inlined: its callers have no room on the stack.) */
HW_FUNCTION int find_port_classes(struct hw_lookup *lookup)
{
	const __u16 *classes;

	if (!lookup)
		return 0;
	classes = hw_port_classes.of[hw_control.tables[lookup->version & 1].port_classes & 1];
	lookup->local_class = classes[bpf_ntohs(lookup->packet.key.local_port)];
	lookup->remote_class = classes[bpf_ntohs(lookup->packet.key.remote_port)];
	return 0;
}

/* The lookup itself. The packet's key, class, version, device, direction and peer are known. */
HW_INLINE void visit_shapes(hw_context *context, struct hw_lookup *lookup)
{
	lookup->has_socket_cgroup = false;
	lookup->passing = false;
	if (hw_control.tables[lookup->version & 1].has_classes)
		find_port_classes(lookup);
	for (__u32 i = 0; i < HW_MAX_SHAPES; i++) {
		lookup->index = i;
		if (visit_shape(context, lookup))
			break;
	}
}

#endif
