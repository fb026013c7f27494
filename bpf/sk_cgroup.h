/* SPDX-License-Identifier: MIT
 * The cgroup of the socket that a packet is for. At tc no helper tells it, so the kernel's own structures are read. */
#ifndef HEADWIND_BPF_SK_CGROUP_H
#define HEADWIND_BPF_SK_CGROUP_H

#include "packet.h"

/* Is the packet for this host? It may be on its way through, and only look as if it were for a socket here that takes
 * any address. bpf_fib_lookup says that it would not forward it, or that the device forwards nothing. */
HW_INLINE bool is_for_this_host(struct __sk_buff *skb, const struct hw_packet *packet)
{
	struct bpf_fib_lookup route = {.ifindex = skb->ifindex, .l4_protocol = packet->key.protocol};
	long result;

	if (packet->ipv4) {
		route.family = 2; /* AF_INET */
		route.ipv4_src = packet->key.remote[1] >> 32;
		route.ipv4_dst = packet->key.local[1] >> 32;
	} else {
		route.family = 10; /* AF_INET6 */
		__builtin_memcpy(route.ipv6_src, packet->key.remote, sizeof(route.ipv6_src));
		__builtin_memcpy(route.ipv6_dst, packet->key.local, sizeof(route.ipv6_dst));
	}
	result = bpf_fib_lookup(skb, &route, sizeof(route), 0);
	return result == BPF_FIB_LKUP_RET_NOT_FWDED || result == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* struct cgroup * of the TCP or UDP socket that the packet is for, as a number; 0: there is none. The packet's local
 * end is the receiver. Of a connection under way that is the listening socket; TIME_WAIT has none. `netns`: id of the
 * receiver's network namespace as seen from the device's, or BPF_F_CURRENT_NETNS. */
HW_FUNCTION __u64 find_socket_cgroup(struct __sk_buff *skb, const struct hw_packet *packet, __s32 netns)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv6);
	struct bpf_sock *socket;
	struct cgroup *cgroup = NULL;
	__u64 address = 0;
	bool connected;

	if (!packet || packet->key.local_port == 0)
		return 0;
	if (packet->ipv4) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.saddr = packet->key.remote[1] >> 32;
		tuple.ipv4.daddr = packet->key.local[1] >> 32;
		tuple.ipv4.sport = packet->key.remote_port;
		tuple.ipv4.dport = packet->key.local_port;
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, packet->key.remote, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, packet->key.local, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = packet->key.remote_port;
		tuple.ipv6.dport = packet->key.local_port;
	}
	if (packet->key.protocol == IPPROTO_TCP)
		socket = bpf_sk_lookup_tcp(skb, &tuple, size, netns, 0);
	else if (packet->key.protocol == IPPROTO_UDP)
		socket = bpf_sk_lookup_udp(skb, &tuple, size, netns, 0);
	else
		return 0;
	if (!socket)
		return 0;
	connected = socket->dst_port != 0;
	/* The verifier lets no one compute with a socket's address: its copy is a number. */
	bpf_probe_read_kernel(&address, sizeof(address), &socket);
	bpf_probe_read_kernel(&cgroup, sizeof(cgroup), &((struct sock *)address)->sk_cgrp_data.cgroup);
	bpf_sk_release(socket);
	if (!connected && netns == BPF_F_CURRENT_NETNS && !is_for_this_host(skb, packet))
		return 0;
	return (__u64)cgroup;
}

/* As bpf_skb_ancestor_cgroup_id: id of the ancestor at that level; 0: there is none. */
HW_INLINE __u64 ancestor_id(__u64 of, int level)
{
	struct cgroup *cgroup = (struct cgroup *)of, *ancestor = NULL;
	struct kernfs_node *node = NULL;
	int depth = -1;
	__u64 id = 0;

	if (!of)
		return 0;
	bpf_probe_read_kernel(&depth, sizeof(depth), &cgroup->level);
	if (level > depth)
		return 0;
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
	bpf_probe_read_kernel(&node, sizeof(node), &ancestor->kn);
	bpf_probe_read_kernel(&id, sizeof(id), &node->id);
	return id;
}

#endif
