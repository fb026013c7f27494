/* SPDX-License-Identifier: MIT
 * What a packet is: the fields that rules select on. What is not understood of it stays 0, and no rule that looks at
 * it matches. */
#ifndef HEADWIND_BPF_PACKET_H
#define HEADWIND_BPF_PACKET_H

#include <stddef.h>

#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "kernel.h"
#include "maps.h"

/* What a program is given: at tc, or in XDP (xdp.bpf.c). VLAN_TAGS: how many tags may be in the frame; the
 * kernel takes the outermost one out of it between the two. */
#ifdef HW_XDP
typedef struct xdp_md hw_context;
#define load_far bpf_xdp_load_bytes
#define VLAN_TAGS 3
#else
typedef struct __sk_buff hw_context;
#define load_far bpf_skb_load_bytes
#define VLAN_TAGS 2
#endif

struct hw_packet {
	struct hw_key key;    /* cgroup, device and shape are 0 */
	__u32 network;        /* offset of what follows the Ethernet header and its tags */
	__u32 transport;      /* offset of what follows the IP headers; as `network` if there are none */
	__u32 end;            /* of the IP packet; padding of the frame may follow; 0: not IP */
	__u32 identification; /* of a fragment; packet byte order */
	__u8 packet_class;    /* hw_class */
	bool ipv4;
	bool fragment;
	bool later_fragment; /* no transport header at `transport` */
};

struct hw_vlan {
	__be16 tci;
	__be16 protocol;
};

struct hw_ports {
	__be16 source;
	__be16 destination;
};

/* Copies `length` bytes at `offset`, from the linear part if they are there, else from the fragments. Where Ethernet's
 * 14 bytes come first what follows is aligned to 4 (NET_IP_ALIGN); else clang copies byte by byte. */
HW_INLINE bool load_bytes(hw_context *context, __u32 offset, void *to, __u32 length)
{
	void *data = (void *)(long)context->data;
	void *data_end = (void *)(long)context->data_end;

	barrier_var(offset); /* Linux 6.12 has to see that what is added is what was compared */
	if (offset <= 0x3ff && data + offset + length <= data_end) {
		__builtin_memcpy(to, __builtin_assume_aligned(data + offset, 4), length);
		return true;
	}
	return load_far(context, offset, to, length) == 0;
}

HW_INLINE bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

#define UDP_HEADER 8
#define BOOTP_HEADER 236
#define DHCP_COOKIE 0x63825363   /* RFC 2131 */
#define LAST_DHCPV6_MESSAGE 37   /* IANA: 1 .. 37 */
#define ND_HOP_LIMIT 255         /* RFC 4861: with any other it has been forwarded, and is none */
#define LATER_FRAGMENT_V4 0x1fff /* of iphdr.frag_off */
#define MORE_FRAGMENTS_V4 0x2000
#define LATER_FRAGMENT_V6 0xfff8 /* of the fragment header's offset */
#define MORE_FRAGMENTS_V6 0x0001

HW_INLINE bool has_dhcp_ports(const struct hw_ports *ports, bool ipv4)
{
	__u16 to = bpf_ntohs(ports->destination), from = bpf_ntohs(ports->source);

	if (ipv4) /* RFC 2131 */
		return (from == 67 || from == 68) && (to == 67 || to == 68);
	return (from == 546 || from == 547) && (to == 546 || to == 547); /* RFC 8415 */
}

/* Does a packet with its ports look like DHCP? */
HW_FUNCTION int is_dhcp(hw_context *context, const struct hw_packet *packet)
{
	__be32 cookie;
	__u8 message;

	if (!packet)
		return 0;
	if (packet->ipv4)
		return load_far(context, packet->transport + UDP_HEADER + BOOTP_HEADER, &cookie, sizeof(cookie)) == 0 &&
		       cookie == bpf_htonl(DHCP_COOKIE);
	return load_far(context, packet->transport + UDP_HEADER, &message, sizeof(message)) == 0 && message >= 1 &&
	       message <= LAST_DHCPV6_MESSAGE;
}

HW_INLINE void parse_transport(hw_context *context, __u32 direction, __u8 hop_limit, struct hw_packet *packet)
{
	struct hw_ports ports;
	__u8 icmp_type;

	if (packet->key.protocol == IPPROTO_ICMPV6) {
		if (!packet->ipv4 && hop_limit == ND_HOP_LIMIT &&
		    load_bytes(context, packet->transport, &icmp_type, sizeof(icmp_type)) && icmp_type >= 133 &&
		    icmp_type <= 137) /* RFC 4861 */
			packet->packet_class = HW_ND;
		return;
	}
	if (!has_ports(packet->key.protocol) || !load_bytes(context, packet->transport, &ports, sizeof(ports)))
		return;
	packet->key.local_port = direction == HW_OUT ? ports.source : ports.destination;
	packet->key.remote_port = direction == HW_OUT ? ports.destination : ports.source;
	if (packet->key.protocol == IPPROTO_UDP && has_dhcp_ports(&ports, packet->ipv4) && is_dhcp(context, packet))
		packet->packet_class = HW_DHCP;
}

/* False: it is none. */
HW_INLINE bool parse_ipv4(hw_context *context, __u32 direction, __u32 offset, struct hw_packet *packet)
{
	struct iphdr ip;
	__u64 source, destination;

	if (!load_bytes(context, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return false;
	source = (__u64)bpf_htonl(0xffff) | (__u64)ip.saddr << 32;
	destination = (__u64)bpf_htonl(0xffff) | (__u64)ip.daddr << 32;
	packet->key.local[1] = direction == HW_OUT ? source : destination;
	packet->key.remote[1] = direction == HW_OUT ? destination : source;
	packet->key.protocol = ip.protocol;
	packet->ipv4 = true;
	packet->transport = offset + ip.ihl * 4;
	packet->end = offset + bpf_ntohs(ip.tot_len);
	if (ip.frag_off & bpf_htons(LATER_FRAGMENT_V4 | MORE_FRAGMENTS_V4)) {
		packet->fragment = true;
		packet->identification = ip.id;
		packet->later_fragment = ip.frag_off & bpf_htons(LATER_FRAGMENT_V4);
	}
	if (!packet->later_fragment)
		parse_transport(context, direction, 0, packet);
	return true;
}

#define MAX_EXTENSIONS 8

struct hw_ext_header {
	__u8 next;
	__u8 length;     /* 8-byte units without the first; AH: 4-byte units minus 2 */
	__be16 frag_off; /* fragment header only */
};

/* Where the walk over IPv6's extension headers is. */
struct hw_cursor {
	__u32 offset;
	__u32 identification;
	__u8 next; /* kind of the header at offset */
	bool fragment;
	bool later_fragment; /* what follows is not the start of a packet */
};

HW_INLINE bool is_extension(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_FRAGMENT ||
	       header == IPPROTO_DSTOPTS || header == IPPROTO_AH || header == IPPROTO_MH || header == 139 /* HIP */ ||
	       header == 140 /* Shim6 */;
}

/* Steps over one extension header (RFC 8200). 0: it is not there. */
HW_FUNCTION int skip_extension(hw_context *context, struct hw_cursor *cursor)
{
	struct hw_ext_header ext;

	if (!cursor || load_far(context, cursor->offset, &ext, sizeof(ext)) != 0)
		return 0;
	if (cursor->next == IPPROTO_FRAGMENT) {
		if (load_far(context, cursor->offset + sizeof(ext), &cursor->identification,
		             sizeof(cursor->identification)) != 0)
			return 0;
		cursor->fragment = (ext.frag_off & bpf_htons(LATER_FRAGMENT_V6 | MORE_FRAGMENTS_V6)) != 0;
		cursor->later_fragment = (ext.frag_off & bpf_htons(LATER_FRAGMENT_V6)) != 0;
		cursor->offset += 8;
	} else if (cursor->next == IPPROTO_AH) {
		cursor->offset += (ext.length + 2) * 4;
	} else {
		cursor->offset += (ext.length + 1) * 8;
	}
	cursor->next = ext.next;
	return 1;
}

/* False: it is none. */
HW_INLINE bool parse_ipv6(hw_context *context, __u32 direction, __u32 offset, struct hw_packet *packet)
{
	struct hw_cursor cursor = {.offset = offset + sizeof(struct ipv6hdr)};
	struct ipv6hdr ip;
	__u64 source[2], destination[2];

	if (!load_bytes(context, offset, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	__builtin_memcpy(source, &ip.saddr, sizeof(source));
	__builtin_memcpy(destination, &ip.daddr, sizeof(destination));
	for (int i = 0; i < 2; i++) {
		packet->key.local[i] = direction == HW_OUT ? source[i] : destination[i];
		packet->key.remote[i] = direction == HW_OUT ? destination[i] : source[i];
	}
	cursor.next = ip.nexthdr;
	for (int i = 0; i < MAX_EXTENSIONS && is_extension(cursor.next) && !cursor.later_fragment; i++)
		if (!skip_extension(context, &cursor))
			break;
	packet->transport = cursor.offset;
	packet->end = offset + sizeof(ip) + bpf_ntohs(ip.payload_len);
	packet->fragment = cursor.fragment;
	packet->later_fragment = cursor.later_fragment;
	packet->identification = cursor.identification;
	if (is_extension(cursor.next)) {
		packet->packet_class = HW_HEADLESS;
		return true;
	}
	packet->key.protocol = cursor.next;
	if (!cursor.later_fragment)
		parse_transport(context, direction, ip.hop_limit, packet);
	return true;
}

/* Fills in what the frame has of `packet`, which is 0 before. */
HW_FUNCTION int parse_packet(hw_context *context, __u32 direction, struct hw_packet *packet)
{
	struct hw_vlan vlan;
	__be16 protocol = 0;
	__u32 offset = ETH_HLEN;

	if (!packet)
		return 0;
	load_bytes(context, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol));
	for (int i = 0; i < VLAN_TAGS; i++) { /* in the frame, besides one the kernel may hold in skb->vlan_tci */
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (!load_bytes(context, offset, &vlan, sizeof(vlan)))
			break;
		protocol = vlan.protocol;
		offset += sizeof(vlan);
	}
	packet->network = offset;
	packet->transport = offset;
	if (protocol == bpf_htons(ETH_P_IP) && parse_ipv4(context, direction, offset, packet))
		return 1;
	if (protocol == bpf_htons(ETH_P_IPV6) && parse_ipv6(context, direction, offset, packet))
		return 1;
	if (protocol == bpf_htons(ETH_P_ARP)) {
		packet->packet_class = HW_ARP;
		return 1;
	}
	packet->packet_class = HW_FRAME;
	packet->key.local_port = bpf_ntohs(protocol) < HW_FIRST_ETHERTYPE ? bpf_htons(HW_ETHERTYPE_LLC) : protocol;
	return 1;
}

#endif
