/* SPDX-License-Identifier: MIT
 * Which skbs must stay on their way, as they are: they can be dropped, and nothing else. Everything here reads the
 * kernel's own struct sk_buff, of which a program's context is the address. */
#ifndef HEADWIND_BPF_BOUND_H
#define HEADWIND_BPF_BOUND_H

#include "flight.h"
#include "packet.h"

/* Somebody else holds this very skb (not a clone of it) and reads it afterwards: pktgen, NC-SI. Nothing may be written
 * to it, and who clones it to redirect it runs into BUG_ON(skb_shared(skb)) in pskb_expand_head(). */
HW_INLINE bool is_shared(const struct sk_buff *skb)
{
	int users = 1;

	bpf_probe_read_kernel(&users, sizeof(users), &skb->users.refs.counter);
	return users != 1 && cured(HW_CURE_SHARED);
}

/* Does IPsec's own note on the packet still matter? To what came in, for the policy check that it will meet; to what
 * goes out, if the device is to encrypt it. A redirect takes the note away. */
HW_FUNCTION int has_ipsec_note(struct __sk_buff *context, __u32 side)
{
	const struct sk_buff *skb = (const void *)context;
	__u32 id = bpf_core_enum_value(enum skb_ext_id, SKB_EXT_SEC_PATH);
	const struct skb_ext *extensions = NULL;
	__u8 active = 0, offset = 0;
	int olen = 0;

	if (!bpf_core_enum_value_exists(enum skb_ext_id, SKB_EXT_SEC_PATH) || id > 7)
		return 0;
	bpf_probe_read_kernel(&active, sizeof(active), &skb->active_extensions);
	if (!(active >> id & 1))
		return 0;
	if (side == HW_IN)
		return 1;
	bpf_probe_read_kernel(&extensions, sizeof(extensions), &skb->extensions);
	bpf_probe_read_kernel(&offset, sizeof(offset), &extensions->offset[id]);
	bpf_probe_read_kernel(&olen, sizeof(olen),
	                      (const char *)extensions + offset * 8 + bpf_core_field_offset(struct sec_path, olen));
	return olen > 0;
}

/* Kernel TLS leaves encryption to the NIC, which needs the socket that a redirect takes away. */
HW_INLINE bool is_for_ktls(const struct sk_buff *skb)
{
	return bpf_core_field_exists(skb->decrypted) && BPF_CORE_READ_BITFIELD_PROBED(skb, decrypted);
}

/* Is the skb bound to stay? `why`: hw_exemption. */
HW_INLINE bool is_bound(struct __sk_buff *context, const struct hw_flight *flight, enum hw_exemption *why)
{
	const struct sk_buff *skb = (const void *)context;

	*why = HW_EXEMPT_SHARED;
	if (is_shared(skb))
		return true;
	*why = HW_EXEMPT_IPSEC;
	if (has_ipsec_note(context, flight->side) && cured(HW_CURE_IPSEC))
		return true;
	*why = HW_EXEMPT_KTLS;
	return flight->side == HW_OUT && context->sk && is_for_ktls(skb);
}

#endif
