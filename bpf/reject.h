/* SPDX-License-Identifier: MIT
 * Answers to packets that are rejected: the packet itself becomes a TCP RST or an ICMP error and goes back. Made of
 * wire packets that headwind2 made only: their checksums are real. */
#ifndef HEADWIND_BPF_REJECT_H
#define HEADWIND_BPF_REJECT_H

#include "packet.h"

#define ANSWER_TTL 64
/* <linux/icmp.h> cannot be compiled for BPF. */
#define ICMP_ECHO 8
#define ICMP_ECHOREPLY 0
#define ICMP_TIMESTAMP 13
#define ICMP_TIMESTAMPREPLY 14
#define ICMP_DEST_UNREACH 3
#define ICMP_PKT_FILTERED 13 /* administratively prohibited */
/* What an ICMP error quotes at most: headers with a few options or extensions, and 8 bytes behind them. */
#define MAX_QUOTE 96

/* The checksum field of 32-bit sums. */
HW_INLINE __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* RFC 8200 section 8.1 */
struct hw_pseudo6 {
	struct in6_addr source, destination;
	__be32 length;
	__be32 next; /* the byte at the end */
};
struct hw_pseudo4 {
	__be32 source, destination;
	__be16 protocol; /* the second byte */
	__be16 length;
};

HW_INLINE bool swap_macs(struct __sk_buff *skb)
{
	__u8 from[2 * ETH_ALEN], to[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, from, sizeof(from)) != 0)
		return false;
	__builtin_memcpy(to, from + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(to + ETH_ALEN, from, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, to, sizeof(to), 0) == 0;
}

/* The IP header of an answer with `length` bytes behind it, at the packet's own place, and the sum of its pseudo header
 * for the transport checksum. False: it failed. */
HW_INLINE bool put_ipv4(struct __sk_buff *skb, __u32 at, struct iphdr *quoted, __u32 length, __u32 protocol, __u32 *sum)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = ANSWER_TTL, .protocol = protocol};
	struct hw_pseudo4 pseudo;

	ip.tot_len = bpf_htons(sizeof(ip) + length);
	ip.saddr = quoted->daddr;
	ip.daddr = quoted->saddr;
	ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	pseudo.source = ip.saddr;
	pseudo.destination = ip.daddr;
	pseudo.protocol = bpf_htons(protocol);
	pseudo.length = bpf_htons(length);
	*sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	return bpf_skb_store_bytes(skb, at, &ip, sizeof(ip), 0) == 0;
}

HW_INLINE bool put_ipv6(struct __sk_buff *skb, __u32 at, struct ipv6hdr *quoted, __u32 length, __u32 protocol,
                        __u32 *sum)
{
	struct ipv6hdr ip = {.version = 6, .hop_limit = ANSWER_TTL, .nexthdr = protocol};
	struct hw_pseudo6 pseudo;

	ip.payload_len = bpf_htons(length);
	ip.saddr = quoted->daddr;
	ip.daddr = quoted->saddr;
	pseudo.source = ip.saddr;
	pseudo.destination = ip.daddr;
	pseudo.length = bpf_htonl(length);
	pseudo.next = bpf_htonl(protocol);
	*sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	return bpf_skb_store_bytes(skb, at, &ip, sizeof(ip), 0) == 0;
}

/* RFC 9293, 3.10.7.1: acceptable to whatever state the sender is in. */
HW_INLINE void fill_reset(struct tcphdr *to, const struct tcphdr *from, __u32 payload)
{
	to->source = from->dest;
	to->dest = from->source;
	to->doff = sizeof(*to) / 4;
	to->rst = 1;
	if (from->ack) {
		to->seq = from->ack_seq;
	} else {
		to->ack = 1;
		to->ack_seq = bpf_htonl(bpf_ntohl(from->seq) + payload + from->syn + from->fin);
	}
}

HW_FUNCTION int answer_with_reset(struct __sk_buff *skb, struct hw_packet *packet)
{
	struct tcphdr from, to = {};
	__u32 sum = 0, at;

	if (!packet || bpf_skb_load_bytes(skb, packet->transport, &from, sizeof(from)) != 0 || from.rst)
		return 0;
	if (packet->end < packet->transport + from.doff * 4U)
		return 0;
	fill_reset(&to, &from, packet->end - packet->transport - from.doff * 4U);
	if (packet->ipv4) {
		struct iphdr ip;

		at = packet->network + sizeof(ip);
		if (bpf_skb_load_bytes(skb, packet->network, &ip, sizeof(ip)) != 0 ||
		    bpf_skb_change_tail(skb, at + sizeof(to), 0) != 0 ||
		    !put_ipv4(skb, packet->network, &ip, sizeof(to), IPPROTO_TCP, &sum))
			return 0;
	} else {
		struct ipv6hdr ip;

		at = packet->network + sizeof(ip);
		if (bpf_skb_load_bytes(skb, packet->network, &ip, sizeof(ip)) != 0 ||
		    bpf_skb_change_tail(skb, at + sizeof(to), 0) != 0 ||
		    !put_ipv6(skb, packet->network, &ip, sizeof(to), IPPROTO_TCP, &sum))
			return 0;
	}
	to.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&to, sizeof(to), sum));
	return bpf_skb_store_bytes(skb, at, &to, sizeof(to), 0) == 0;
}

/* An ICMP error behind its IP header: 8 bytes, then the quote. Zeroes behind it do not change the sum. */
struct hw_icmp_head {
	__u8 type, code;
	__be16 checksum;
	__be32 unused;
};
struct hw_icmp {
	struct hw_icmp_head head;
	__u8 quote[MAX_QUOTE];
};

/* Loads the packet's headers and 8 bytes more (RFC 792), a multiple of 4 in all. 0: there are not that many. */
HW_INLINE __u32 load_quote(struct __sk_buff *skb, const struct hw_packet *packet, struct hw_icmp *icmp)
{
	__u32 length = packet->transport + 8 - packet->network;

	if (length > MAX_QUOTE)
		length = MAX_QUOTE;
	if (length < sizeof(struct iphdr) || packet->network + length > packet->end)
		return 0;
	return bpf_skb_load_bytes(skb, packet->network, icmp->quote, length) == 0 ? length : 0;
}

/* RFC 1122, 3.2.2.6: no error about an error. */
HW_INLINE bool is_icmp_error(struct __sk_buff *skb, const struct hw_packet *packet)
{
	__u8 type;

	if (packet->key.protocol != IPPROTO_ICMP && packet->key.protocol != IPPROTO_ICMPV6)
		return false;
	if (bpf_skb_load_bytes(skb, packet->transport, &type, sizeof(type)) != 0)
		return true;
	if (packet->key.protocol == IPPROTO_ICMPV6)
		return type < 128;
	return type != ICMP_ECHO && type != ICMP_ECHOREPLY && type != ICMP_TIMESTAMP && type != ICMP_TIMESTAMPREPLY;
}

HW_FUNCTION int answer_with_icmp4(struct __sk_buff *skb, struct hw_packet *packet)
{
	struct hw_icmp icmp = {.head = {.type = ICMP_DEST_UNREACH, .code = ICMP_PKT_FILTERED}};
	__u32 length, pseudo;

	if (!packet)
		return 0;
	length = load_quote(skb, packet, &icmp);
	if (length == 0 || bpf_skb_change_tail(skb, packet->network + length, 0) != 0 ||
	    bpf_skb_adjust_room(skb, sizeof(struct iphdr) + sizeof(icmp.head), BPF_ADJ_ROOM_MAC, 0) != 0)
		return 0;
	icmp.head.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), 0));
	return put_ipv4(skb, packet->network, (struct iphdr *)icmp.quote, sizeof(icmp.head) + length, IPPROTO_ICMP,
	                &pseudo) &&
	       bpf_skb_store_bytes(skb, packet->network + sizeof(struct iphdr), &icmp.head, sizeof(icmp.head), 0) == 0;
}

HW_FUNCTION int answer_with_icmp6(struct __sk_buff *skb, struct hw_packet *packet)
{
	struct hw_icmp icmp = {.head = {.type = ICMPV6_DEST_UNREACH, .code = ICMPV6_ADM_PROHIBITED}};
	__u32 length, sum = 0;

	if (!packet)
		return 0;
	length = load_quote(skb, packet, &icmp);
	if (length < sizeof(struct ipv6hdr) || bpf_skb_change_tail(skb, packet->network + length, 0) != 0 ||
	    bpf_skb_adjust_room(skb, sizeof(struct ipv6hdr) + sizeof(icmp.head), BPF_ADJ_ROOM_MAC, 0) != 0 ||
	    !put_ipv6(skb, packet->network, (struct ipv6hdr *)icmp.quote, sizeof(icmp.head) + length, IPPROTO_ICMPV6,
	              &sum))
		return 0;
	icmp.head.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), sum));
	return bpf_skb_store_bytes(skb, packet->network + sizeof(struct ipv6hdr), &icmp.head, sizeof(icmp.head), 0) ==
	       0;
}

/* Addresses that are never answered: groups, and no address at all. */
HW_INLINE bool is_answerable(struct __sk_buff *skb, const struct hw_packet *packet)
{
	struct ethhdr ethernet;

	if (packet->network != ETH_HLEN || packet->later_fragment || packet->packet_class != HW_ORDINARY)
		return false;
	if (bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)) != 0 || (ethernet.h_dest[0] & 1))
		return false;
	/* local is the source: the packet was parsed as sent. On lo even a packet to a group has no group's MAC
	 * address. */
	if (!packet->ipv4)
		return (packet->key.local[0] | packet->key.local[1]) != 0 && (packet->key.remote[0] & 0xff) != 0xff;
	return packet->key.local[1] >> 32 != 0 && (packet->key.remote[1] >> 32 & 0xe0) != 0xe0;
}

/* Makes the packet the answer to itself. 0: it is of a kind that gets none. */
HW_FUNCTION int make_reject(struct __sk_buff *skb, __u32 reset)
{
	struct hw_packet packet = {};
	int made;

	if (!parse_packet(skb, HW_OUT, &packet) || !is_answerable(skb, &packet) || is_icmp_error(skb, &packet))
		return 0;
	if (reset && packet.key.protocol == IPPROTO_TCP)
		made = answer_with_reset(skb, &packet);
	else if (packet.ipv4)
		made = answer_with_icmp4(skb, &packet);
	else
		made = answer_with_icmp6(skb, &packet);
	return made && swap_macs(skb);
}

#endif
