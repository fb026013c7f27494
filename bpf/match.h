/* SPDX-License-Identifier: MIT
 * Which rule a packet gets: the live one of highest rank among the shapes in use. */
#ifndef HEADWIND_BPF_MATCH_H
#define HEADWIND_BPF_MATCH_H

#include "env.h"
#include "fragment.h"
#include "packet.h"
#ifndef HW_FRONT
#include "receiver.h"
#endif

/* What tells plain packets apart, which have it at fixed places: IPv4 without a VLAN tag, options or fragments; TCP or
 * UDP, but not with the ports of DHCP. */
struct hw_plain {
	__u64 addresses;
	__u64 rest; /* ports, protocol, device slot plus 1, direction, far; 0: it is none */
};

/* What match() found last for packets with this key: most have that of one shortly before. The loader does not know of
 * it; each object has its own. */
struct hw_memo {
	struct hw_plain plain; /* for plain packets: spares them parse_packet() */
	struct hw_key key;     /* unmasked; without cgroup; `shape`: what else of a packet decides, see match() */
	__u64 version;
	__u32 device_flags;
	__u32 rule_id; /* 0: none matches */
	__u32 timed;   /* 1: whether that rule is due depends on the moment */
	__u32 pad;
	/* That struct hw_rule, which stays as it is as long as the version is in force. As words, of which the first is
	 * not used: there may be no lock in here. */
	__u64 rule[sizeof(struct hw_rule) / sizeof(__u64)];
};

#define NO_VERSION (~0ULL) /* of a memo that is good for one packet */

#define MEMOS 64 /* 1 << the bits of memo_index() */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MEMOS);
	__type(key, __u32);
	__type(value, struct hw_memo);
} hw_memos SEC(".maps");

/* What the walk over the shapes knows. */
struct hw_walk {
	/* Its key has the device, and `shape` as memo_of says; the cgroup changes with the shape's level. */
	struct hw_packet packet;
	__u64 version;
	__u64 best_rank;
	__u64 now;             /* CLOCK_BOOTTIME; 0: nobody asked yet */
	__u64 receiver;        /* see find_receiver */
	struct hw_plain plain; /* rest is 0 if it is not plain */
	__u32 best;            /* rule id; 0: none yet */
	__u32 memo;            /* where the outcome is */
	__u32 device;          /* slot */
	__u32 shares;          /* of the version's hw_shape_table */
	__u16 local_class;     /* of the ports (hw_port_classes), if a shape looks at them */
	__u16 remote_class;
	__u8 index;        /* of the shape to visit */
	__u8 direction;    /* hw_direction of the party */
	bool far;          /* the party is at the far end of the device's cable */
	bool passing;      /* the outcome holds for this packet, or this moment, only: not for a memo */
	bool has_receiver; /* looked for */
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

/* One moment for the whole walk: where one rule ends another may begin, and a packet shall meet one of them. */
HW_INLINE __u64 boottime_of(struct hw_walk *walk)
{
	if (!walk->now)
		walk->now = env_boottime();
	return walk->now;
}

/* May is_due_now() be false? */
HW_INLINE bool is_timed(const struct hw_rule *rule)
{
	return rule->start || rule->deadline || rule->flap_period || rule->hours.days || rule->leased ||
	       rule->stoppable;
}

/* Of a rule of the version in force: is this its time? */
HW_INLINE bool is_due_now(const struct hw_rule *rule, struct hw_walk *walk)
{
	struct hw_lease *lease;
	__u32 key;

	if (rule->start && boottime_of(walk) < rule->start)
		return false;
	if (rule->deadline && boottime_of(walk) >= rule->deadline)
		return false;
	if (rule->flap_period && !hw_in_phase(rule, boottime_of(walk)))
		return false;
	if (rule->hours.days && !hw_in_hours(&rule->hours, env_tai()))
		return false;
	if (rule->leased) {
		key = rule->state;
		lease = bpf_map_lookup_elem(&hw_leases, &key);
		if (!lease || boottime_of(walk) >= lease->until)
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
HW_INLINE void mask_key(struct hw_key *to, const struct hw_walk *walk, const struct hw_shape *shape)
{
	const struct hw_key *key = &walk->packet.key, *mask = &shape->mask;

	to->cgroup = key->cgroup & mask->cgroup;
	to->local[0] = key->local[0] & mask->local[0];
	to->local[1] = key->local[1] & mask->local[1];
	to->remote[0] = key->remote[0] & mask->remote[0];
	to->remote[1] = key->remote[1] & mask->remote[1];
	to->local_port =
	    shape->port_classes & HW_CLASS_OF_LOCAL_PORT ? walk->local_class : key->local_port & mask->local_port;
	to->remote_port =
	    shape->port_classes & HW_CLASS_OF_REMOTE_PORT ? walk->remote_class : key->remote_port & mask->remote_port;
	to->device = key->device & mask->device;
	to->protocol = key->protocol & mask->protocol;
}

/* Takes the rule if it is live and beats what the walk has. (Not inlined: the verifier would follow each path through
 * it into each through the next candidate.) */
HW_FUNCTION int consider(struct hw_walk *walk, __u32 id)
{
	struct hw_rule *rule;

	if (!walk)
		return 0;
	rule = bpf_map_lookup_elem(&hw_rules, &id);
	if (!rule || (walk->best && rule->rank <= walk->best_rank) || !hw_in_version(rule, walk->version))
		return 0;
	if (rule->flows && hw_flow_number(&walk->packet.key, rule->flow_seed) >= rule->flows)
		return 0;
	if (!is_due_now(rule, walk)) {
		walk->passing = true;
		return 0;
	}
	walk->best = id;
	walk->best_rank = rule->rank;
	return 0;
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

HW_INLINE bool is_default_device(const struct hw_shape *shape, __u32 flags)
{
	return (flags & HW_DEVICE_DEFAULT) &&
	       (shape->default_devices != HW_DEFAULTS_NOT_LO || !(flags & HW_DEVICE_LOOPBACK));
}

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
	if (!(shape->directions & (1 << walk->direction)) ||
	    !(shape->classes & (1 << (walk->packet.packet_class & 7))) || shape->far != walk->far ||
	    (shape->default_devices && !is_default_device(shape, device_of(walk->device)->flags)) ||
	    (shape->ipv6_only && walk->packet.ipv4))
		return 0;
	if (shape->cgroup_level) {
		walk->passing = true;
		if (!find_cgroup(context, walk, shape->cgroup_level - 1)) {
			walk->best = 0; /* it may be beaten */
			return 1;
		}
	}
	mask_key(&masked, walk, shape);
	bit = hw_filter_bit(&masked);
	if (!(shape->filter[bit / 64] >> bit % 64 & 1))
		return 0;
	masked.shape = shape->id;
	entry = bpf_map_lookup_elem(&hw_entries, &masked);
	if (!entry)
		return 0;
	for (int i = 0; i < HW_MAX_CANDIDATES; i++)
		if (entry->rules[i])
			consider(walk, entry->rules[i]);
	return 0;
}

HW_INLINE bool same_key(const struct hw_key *a, const struct hw_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;
	__u64 differ = 0;

	for (int i = 0; i < (int)(sizeof(*a) / sizeof(*x)); i++)
		differ |= x[i] ^ y[i];
	return differ == 0;
}

/* (Multiply-shift, as hw_filter_bit().) */
HW_INLINE __u32 memo_index(__u64 a, __u64 b)
{
	return (a * 0x94d049bb133111ebULL + b * 0x9e3779b97f4a7c15ULL) >> 58;
}

HW_INLINE struct hw_memo *memo_at(struct hw_walk *walk, __u32 index)
{
	walk->memo = index;
	/* Linux 6.1 takes no map key that lies in the argument of a global function. */
	return bpf_map_lookup_elem(&hw_memos, &index);
}

HW_INLINE bool is_plain(hw_context *context, struct hw_walk *walk)
{
	const struct ethhdr *ethernet = (void *)(long)context->data;
	const struct iphdr *ip = (const void *)(ethernet + 1);
	const struct hw_ports *ports = (const void *)(ip + 1);

	if ((void *)(ports + 1) > (void *)(long)context->data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    *(const __u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(LATER_FRAGMENT_V4 | MORE_FRAGMENTS_V4)) ||
	    (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
		return false;
	walk->plain.addresses = ip->saddr | (__u64)ip->daddr << 32;
	walk->plain.rest = *(const __u32 *)ports | (__u64)ip->protocol << 32 | (__u64)(walk->device + 1) << 40 |
	                   (__u64)(walk->far << 1 | walk->direction) << 60;
	return true;
}

/* Where the outcome for a plain packet is kept. */
HW_INLINE struct hw_memo *memo_of_plain(struct hw_walk *walk)
{
	return memo_at(walk, memo_index(walk->plain.addresses, walk->plain.rest));
}

/* What is used of it after match(), of a packet that is_plain(). */
HW_INLINE void fill_plain(struct hw_packet *packet, __u8 protocol)
{
	packet->network = ETH_HLEN;
	packet->transport = ETH_HLEN + sizeof(struct iphdr);
	packet->key.protocol = protocol;
	packet->ipv4 = true;
}

/* Where the outcome for any other packet is kept. */
HW_INLINE struct hw_memo *memo_of(struct hw_walk *walk)
{
	const struct hw_key *key = &walk->packet.key;

	return memo_at(walk, memo_index(key->local[1] ^ key->remote[1] << 1,
	                                (key->local_port | (__u64)key->remote_port << 16) ^ key->shape));
}

HW_INLINE struct hw_rule *rule_in(struct hw_memo *memo)
{
	return memo && memo->rule_id ? (struct hw_rule *)memo->rule : NULL;
}

/* Does what the memo says still hold? */
HW_INLINE bool holds(struct hw_memo *memo, struct hw_walk *walk)
{
	if (memo->version != walk->version || memo->device_flags != device_of(walk->device)->flags)
		return false;
	return !memo->timed || is_due_now((struct hw_rule *)memo->rule, walk);
}

HW_INLINE void keep(struct hw_memo *memo, const struct hw_walk *walk)
{
	const struct hw_ports ports = {walk->packet.key.local_port, walk->packet.key.remote_port};
	const struct hw_rule *rule;
	__u32 id = walk->best;

	memo->version = NO_VERSION;
	memo->rule_id = memo->timed = 0;
	if (id) {
		rule = bpf_map_lookup_elem(&hw_rules, &id);
		if (!rule) /* it is being removed */
			return;
		HW_ASSERT(offsetof(struct hw_rule, rank) == sizeof(memo->rule[0]), "the lock is in the first word");
		__builtin_memcpy(&memo->rule[1], &rule->rank, sizeof(*rule) - sizeof(memo->rule[0]));
		memo->rule_id = id;
		memo->timed = is_timed(rule);
	}
	if (walk->passing)
		return;
	memo->key = walk->packet.key;
	memo->plain = walk->plain;
	if (has_dhcp_ports(&ports, true))
		memo->plain.rest = 0;
	memo->device_flags = device_of(walk->device)->flags;
	memo->version = walk->version;
}

/* For shapes that look at them. (Not inlined: match() has no room on the stack.) */
HW_FUNCTION int find_port_classes(struct hw_walk *walk)
{
	const __u16 *classes;

	if (!walk)
		return 0;
	classes = hw_port_classes.of[hw_control.tables[walk->version & 1].port_classes & 1];
	walk->local_class = classes[bpf_ntohs(walk->packet.key.local_port)];
	walk->remote_class = classes[bpf_ntohs(walk->packet.key.remote_port)];
	return 0;
}

/* Whether a rule wants the packet, for a party that sends or receives it there: matched_rule() is it. The caller has
 * set version, device, direction and far. The version is read once per packet: it sees one rule set, whatever commits
 * meanwhile. */
HW_FUNCTION int match(hw_context *context, struct hw_walk *walk)
{
	const struct hw_shape_table *table;
	struct hw_memo *memo = NULL;
	bool plain;

	if (!walk)
		return 0;
	table = &hw_control.tables[walk->version & 1];
	walk->shares = table->shares;
	if (!(table->directions & (1 << walk->direction)))
		return 0;
	plain = is_plain(context, walk);
	if (plain) {
		memo = memo_of_plain(walk);
		if (memo && memo->plain.rest == walk->plain.rest && memo->plain.addresses == walk->plain.addresses &&
		    holds(memo, walk)) {
			fill_plain(&walk->packet, walk->plain.rest >> 32);
			return memo->rule_id != 0;
		}
	}
	if (!parse_packet(context, walk->direction, &walk->packet))
		return 0;
	if (walk->packet.fragment && table->transport && cured(HW_CURE_FRAGMENTS))
		follow_first_fragment(&walk->packet, walk->direction);
	walk->packet.key.device = walk->device + 1;
	walk->packet.key.shape =
	    walk->packet.packet_class << 3 | walk->packet.ipv4 << 2 | walk->far << 1 | walk->direction;
	if (!plain)
		memo = memo_of(walk);
	if (!memo)
		return 0;
	if (plain || !same_key(&memo->key, &walk->packet.key) || !holds(memo, walk)) {
		walk->has_receiver = false;
		walk->passing = false;
		if (hw_control.tables[walk->version & 1].has_classes)
			find_port_classes(walk);
		for (__u32 i = 0; i < HW_MAX_SHAPES; i++) {
			walk->index = i;
			if (visit_shape(context, walk))
				break;
		}
		keep(memo, walk);
	}
	return memo->rule_id != 0;
}

/* After match() found one: valid until the next match() on this CPU. */
HW_INLINE struct hw_rule *matched_rule(const struct hw_walk *walk, __u32 *id)
{
	struct hw_memo *memo = bpf_map_lookup_elem(&hw_memos, &walk->memo);

	*id = memo ? memo->rule_id : 0;
	return rule_in(memo);
}

#endif
