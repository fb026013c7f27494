/* SPDX-License-Identifier: MIT
 * Outcomes of lookups, by packet, so that most packets of a flow need none. */
#ifndef HEADWIND_BPF_MEMO_H
#define HEADWIND_BPF_MEMO_H

#include "lookup.h"

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

HW_INLINE struct hw_memo *memo_at(struct hw_lookup *lookup, __u32 index)
{
	lookup->memo = index;
	/* Linux 6.1 takes no map key that lies in the argument of a global function. */
	return bpf_map_lookup_elem(&hw_memos, &index);
}

HW_INLINE bool is_plain(hw_context *context, struct hw_lookup *lookup)
{
	const struct ethhdr *ethernet = (void *)(long)context->data;
	const struct iphdr *ip = (const void *)(ethernet + 1);
	const struct hw_ports *ports = (const void *)(ip + 1);

	if ((void *)(ports + 1) > (void *)(long)context->data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    *(const __u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(LATER_FRAGMENT_V4 | MORE_FRAGMENTS_V4)) ||
	    (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
		return false;
	lookup->plain.addresses = ip->saddr | (__u64)ip->daddr << 32;
	lookup->plain.rest = *(const __u32 *)ports | (__u64)ip->protocol << 32 | (__u64)(lookup->device + 1) << 40 |
	                     (__u64)(lookup->peer << 1 | lookup->direction) << 60;
	return true;
}

/* Where the outcome for a plain packet is kept. */
HW_INLINE struct hw_memo *memo_of_plain(struct hw_lookup *lookup)
{
	return memo_at(lookup, memo_index(lookup->plain.addresses, lookup->plain.rest));
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
HW_INLINE struct hw_memo *memo_of(struct hw_lookup *lookup)
{
	const struct hw_key *key = &lookup->packet.key;

	return memo_at(lookup, memo_index(key->local[1] ^ key->remote[1] << 1,
	                                  (key->local_port | (__u64)key->remote_port << 16) ^ key->shape));
}

HW_INLINE struct hw_rule *rule_in(struct hw_memo *memo)
{
	return memo && memo->rule_id ? (struct hw_rule *)memo->rule : NULL;
}

/* Does what the memo says still hold? */
HW_INLINE bool holds(struct hw_memo *memo, struct hw_lookup *lookup)
{
	if (memo->version != lookup->version || memo->device_flags != device_of(lookup->device)->flags)
		return false;
	return !memo->timed || is_due_now((struct hw_rule *)memo->rule, lookup);
}

HW_INLINE void keep(struct hw_memo *memo, const struct hw_lookup *lookup)
{
	const struct hw_ports ports = {lookup->packet.key.local_port, lookup->packet.key.remote_port};
	const struct hw_rule *rule;
	__u32 id = lookup->best;

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
	if (lookup->passing)
		return;
	memo->key = lookup->packet.key;
	memo->plain = lookup->plain;
	if (has_dhcp_ports(&ports, true))
		memo->plain.rest = 0;
	memo->device_flags = device_of(lookup->device)->flags;
	memo->version = lookup->version;
}

#endif
