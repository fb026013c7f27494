/* SPDX-License-Identifier: MIT
 * Datagrams in fragments: only the first one has a transport header. The later ones get what it said. Costs nothing
 * where no rule looks at that. */
#ifndef HEADWIND_BPF_FRAGMENT_H
#define HEADWIND_BPF_FRAGMENT_H

#include "env.h"
#include "packet.h"

/* For tc and XDP alike. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HW_FRAGMENTED);
	__type(key, struct hw_fragment_key);
	__type(value, struct hw_fragment);
} hw_fragments SEC(".maps");

/* No later fragment comes after that many ns: the kernel gives up on a datagram of IPv6 then, of IPv4 earlier. */
#define FRAGMENT_LIFE 60000000000ULL

/* Remembers a first fragment; a later one gets ports, protocol and class of its first. Its packet was parsed for that
 * direction. */
HW_FUNCTION int follow_first_fragment(struct hw_packet *packet, __u32 direction)
{
	struct hw_fragment_key key = {.protocol = IPPROTO_FRAGMENT};
	struct hw_fragment first = {.seen = env_boottime()};
	const struct hw_fragment *known;

	if (!packet)
		return 0;
	for (int i = 0; i < 2; i++) {
		key.source[i] = direction == HW_OUT ? packet->key.local[i] : packet->key.remote[i];
		key.destination[i] = direction == HW_OUT ? packet->key.remote[i] : packet->key.local[i];
	}
	key.identification = packet->identification;
	if (packet->ipv4)
		key.protocol = packet->key.protocol;
	if (!packet->later_fragment) {
		first.source_port = direction == HW_OUT ? packet->key.local_port : packet->key.remote_port;
		first.destination_port = direction == HW_OUT ? packet->key.remote_port : packet->key.local_port;
		first.protocol = packet->key.protocol;
		first.packet_class = packet->packet_class;
		bpf_map_update_elem(&hw_fragments, &key, &first, BPF_ANY);
		return 0;
	}
	known = bpf_map_lookup_elem(&hw_fragments, &key);
	if (!known || first.seen - known->seen >= FRAGMENT_LIFE)
		return 0;
	packet->key.local_port = direction == HW_OUT ? known->source_port : known->destination_port;
	packet->key.remote_port = direction == HW_OUT ? known->destination_port : known->source_port;
	packet->key.protocol = known->protocol;
	packet->packet_class = known->packet_class;
	return 0;
}

#endif
