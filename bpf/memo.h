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

/* Where the outcome for a plain packet is kept. */
HW_INLINE __u32 index_of_plain(const struct hw_plain *plain)
{
	return memo_index(plain->addresses, plain->rest);
}

/* A hash of the packet's flow; 0 if it is not plain. */
HW_INLINE __u32 flow_of(const struct hw_plain *plain)
{
	return (plain->addresses * 0xd6e8feb86659fd93ULL + plain->rest * 0xa0761d6478bd642fULL) >> 32;
}

HW_INLINE bool is_of_plain(const struct hw_memo *memo, const struct hw_plain *plain)
{
	return memo->plain.rest == plain->rest && memo->plain.addresses == plain->addresses;
}

/* What is known of a plain packet: no rule wants it, or one does that depends on nothing else. NULL: it takes a
 * match(), for a subject at the peer, too. */
HW_INLINE struct hw_memo *known_outcome(const struct hw_plain *plain, __u64 version, __u32 device_flags)
{
	__u32 index = index_of_plain(plain);
	struct hw_memo *memo = bpf_map_lookup_elem(&hw_memos, &index);

	if (!memo || !plain->rest || !is_of_plain(memo, plain) || memo->version != version ||
	    memo->device_flags != device_flags || memo->timed)
		return NULL;
	if (!memo->rule_id && (device_flags & (HW_DEVICE_LOOPBACK | HW_DEVICE_PEER)))
		return NULL;
	return memo;
}

/* What is used of it after match(), of a plain packet. */
HW_INLINE void fill_plain(struct hw_packet *packet, __u8 protocol)
{
	packet->network = ETH_HLEN;
	packet->transport = PLAIN_TRANSPORT;
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
