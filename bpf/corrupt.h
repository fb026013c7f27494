/* SPDX-License-Identifier: MIT
 * Corruption: one flipped bit that the receiver's stack can notice. */
#ifndef HEADWIND_BPF_CORRUPT_H
#define HEADWIND_BPF_CORRUPT_H

#include "packet.h"

/* Flips a bit of what the transport checksum covers, after that checksum is final (behind headwind2). Not TCP's data
 * offset nor UDP's length and checksum: the stack would drop such packets for another reason, or take a zero checksum
 * for "none". Of a frame that is not IP any bit behind its EtherType. Returns 1 if it did. */
HW_FUNCTION int flip_bit(struct __sk_buff *skb, __u32 has_die, __u32 die)
{
	struct hw_packet packet = {};
	__u32 at, bit;
	__u8 byte;

	if (!parse_packet(skb, HW_OUT, &packet))
		return 0;
	if (packet.end == 0 || packet.end > skb->len)
		packet.end = skb->len;
	if (packet.end <= packet.transport)
		return 0;
	at = (__u64)(has_die ? die : env_dice()) * ((packet.end - packet.transport) & 0x1ffff) * 8 >> 32;
	bit = at & 7;
	at >>= 3;
	if (!packet.later_fragment && packet.key.protocol == IPPROTO_TCP && at == 12)
		bit &= 3; /* the reserved bits below the data offset */
	if (!packet.later_fragment && packet.key.protocol == IPPROTO_UDP && at >= 4 && at < 8)
		at &= 3; /* the ports */
	at += packet.transport;
	if (bpf_skb_load_bytes(skb, at, &byte, sizeof(byte)) != 0)
		return 0;
	byte ^= 1 << bit;
	if (bpf_skb_store_bytes(skb, at, &byte, sizeof(byte), BPF_F_RECOMPUTE_CSUM) != 0)
		return 0;
	if (works_around(HW_WORKAROUND_VERIFIED)) /* what a NIC has verified would be trusted still */
		bpf_csum_level(skb, BPF_CSUM_LEVEL_RESET);
	return 1;
}

#endif
