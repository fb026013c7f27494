/* SPDX-License-Identifier: MIT
 * What a packet is: the fields that rules select on. Fails open: what is not understood is not matched. */
#ifndef HEADWIND_BPF_PACKET_H
#define HEADWIND_BPF_PACKET_H

#include <stddef.h>

#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>

#include "kernel.h"
#include "maps.h"

/* What a program is given: at tc, or in the XDP front (front.bpf.c). */
#ifdef HW_FRONT
typedef struct xdp_md hw_context;
#define load_far bpf_xdp_load_bytes
#else
typedef struct __sk_buff hw_context;
#define load_far bpf_skb_load_bytes
#endif

struct hw_packet {
	struct hw_key key; /* cgroup, device and shape are 0 */
	__u32 network;     /* offset of the IP header; 0: not IP */
	__u32 transport;   /* offset of what follows the IP headers */
	__u32 end;         /* of the IP packet; padding of the frame may follow */
	__u8 packet_class; /* hw_class */
	bool ipv4;
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

/* Copies `length` bytes at `offset`, from the linear part if they are there, else from the fragments. */
HW_INLINE bool load_bytes(hw_context *context, __u32 offset, void *to, __u32 length)
{
	void *data = (void *)(long)context->data;
	void *data_end = (void *)(long)context->data_end;

	if (offset <= 0x3ff && data + offset + length <= data_end) {
		__builtin_memcpy(to, data + offset, length);
		return true;
	}
	return load_far(context, offset, to, length) == 0;
}

HW_INLINE bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

HW_INLINE bool is_dhcp(const struct hw_ports *ports)
{
	__u16 to = bpf_ntohs(ports->destination), from = bpf_ntohs(ports->source);

	return ((from == 67 || from == 68) && (to == 67 || to == 68)) ||   /* RFC 2131 */
	       ((from == 546 || from == 547) && (to == 546 || to == 547)); /* RFC 8415 */
}

HW_INLINE bool parse_transport(hw_context *context, __u32 direction, struct hw_packet *packet)
{
	struct hw_ports ports;
	__u8 icmp_type;

	if (packet->key.protocol == IPPROTO_ICMPV6) {
		if (!load_bytes(context, packet->transport, &icmp_type, sizeof(icmp_type)))
			return false;
		if (icmp_type >= 133 && icmp_type <= 137) /* RFC 4861 */
			packet->packet_class = HW_ND;
		return true;
	}
	if (!has_ports(packet->key.protocol))
		return true;
	if (!load_bytes(context, packet->transport, &ports, sizeof(ports)))
		return false;
	packet->key.local_port = direction == HW_OUT ? ports.source : ports.destination;
	packet->key.remote_port = direction == HW_OUT ? ports.destination : ports.source;
	if (packet->key.protocol == IPPROTO_UDP && is_dhcp(&ports))
		packet->packet_class = HW_DHCP;
	return true;
}

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
	packet->network = offset;
	packet->transport = offset + ip.ihl * 4;
	packet->end = offset + bpf_ntohs(ip.tot_len);
	packet->later_fragment = ip.frag_off & bpf_htons(0x1fff);
	return packet->later_fragment || parse_transport(context, direction, packet);
}

struct hw_ext_header {
	__u8 next;
	__u8 length;     /* 8-byte units without the first; AH: 4-byte units minus 2 */
	__be16 frag_off; /* fragment header only */
};

/* Where the walk over IPv6's extension headers is. */
struct hw_cursor {
	__u32 offset;
	__u8 next;           /* kind of the header at offset */
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
		cursor->later_fragment = (ext.frag_off & bpf_htons(0xfff8)) != 0;
		cursor->offset += 8;
	} else if (cursor->next == IPPROTO_AH) {
		cursor->offset += (ext.length + 2) * 4;
	} else {
		cursor->offset += (ext.length + 1) * 8;
	}
	cursor->next = ext.next;
	return 1;
}

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
	for (int i = 0; i < 8 && is_extension(cursor.next) && !cursor.later_fragment; i++)
		if (!skip_extension(context, &cursor))
			return false;
	packet->key.protocol = cursor.next;
	packet->network = offset;
	packet->transport = cursor.offset;
	packet->end = offset + sizeof(ip) + bpf_ntohs(ip.payload_len);
	packet->later_fragment = cursor.later_fragment;
	if (cursor.later_fragment)
		return true;
	return !is_extension(cursor.next) && parse_transport(context, direction, packet);
}

/* 0: not understood, the packet passes. */
HW_FUNCTION int parse_packet(hw_context *context, __u32 direction, struct hw_packet *packet)
{
	struct hw_vlan vlan;
	__be16 protocol = 0;
	__u32 offset = ETH_HLEN;

	if (!packet)
		return 0;
	__builtin_memset(packet, 0, sizeof(*packet));
	if (!load_bytes(context, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol)))
		return 0;
	for (int i = 0; i < 2; i++) { /* tags in the frame, besides one the kernel may hold in skb->vlan_tci */
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (!load_bytes(context, offset, &vlan, sizeof(vlan)))
			return 0;
		protocol = vlan.protocol;
		offset += sizeof(vlan);
	}
	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(context, direction, offset, packet);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(context, direction, offset, packet);
	if (protocol == bpf_htons(ETH_P_ARP)) {
		packet->packet_class = HW_ARP;
		return 1;
	}
	return 0;
}

#endif
