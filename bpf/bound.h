/* SPDX-License-Identifier: MIT
 * Which skbs must stay on their way, as they are: they can be dropped, and nothing else. Everything here reads the
 * kernel's own struct sk_buff, of which a program's context is the address. */
#ifndef HEADWIND_BPF_BOUND_H
#define HEADWIND_BPF_BOUND_H

#include "hit.h"
#include "packet.h"

/* Somebody else holds this very skb (not a clone of it) and reads it afterwards: pktgen, NC-SI. Nothing may be written
 * to it, and who clones it to redirect it runs into BUG_ON(skb_shared(skb)) in pskb_expand_head(). */
HW_INLINE bool is_shared(struct __sk_buff *context)
{
	int users = 1;

	READ_CONTEXT(&users, struct sk_buff, context, users.refs.counter);
	return users != 1 && works_around(HW_WORKAROUND_SHARED);
}

/* Is a NIC to encrypt this packet, which has a note of IPsec's? */
HW_FUNCTION int is_for_ipsec_offload(struct __sk_buff *context)
{
	__u32 id = bpf_core_enum_value(enum skb_ext_id, SKB_EXT_SEC_PATH);
	const struct sk_buff *skb = (const void *)context;
	const struct skb_ext *extensions = NULL;
	__u8 offset = 0;
	int olen = 0;

	if (id > 7)
		return 0;
	bpf_probe_read_kernel(&extensions, sizeof(extensions), &skb->extensions);
	bpf_probe_read_kernel(&offset, sizeof(offset), &extensions->offset[id]);
	bpf_probe_read_kernel(&olen, sizeof(olen),
	                      (const char *)extensions + offset * 8 + bpf_core_field_offset(struct sec_path, olen));
	return olen > 0;
}

/* Does IPsec's own note on the packet still matter? To what came in, for the policy check that it will meet; to what
 * goes out, if the device is to encrypt it. A redirect takes the note away. */
HW_INLINE bool has_ipsec_note(struct __sk_buff *context, enum hw_direction side)
{
	__u8 active = 0;

	if (!bpf_core_enum_value_exists(enum skb_ext_id, SKB_EXT_SEC_PATH))
		return false;
	READ_CONTEXT(&active, struct sk_buff, context, active_extensions);
	if (!(active >> bpf_core_enum_value(enum skb_ext_id, SKB_EXT_SEC_PATH) & 1))
		return false;
	return side == HW_IN || is_for_ipsec_offload(context);
}

/* Kernel TLS leaves encryption to the NIC, which needs the socket that a redirect takes away. */
HW_INLINE bool is_for_ktls(struct __sk_buff *context)
{
	const struct sk_buff *skb = (const void *)context;

	if (!bpf_core_field_exists(skb->decrypted))
		return false;
	if (!bpf_cast_to_kern_ctx)
		return BPF_CORE_READ_BITFIELD_PROBED(skb, decrypted);
	skb = bpf_cast_to_kern_ctx(context);
	return BPF_CORE_READ_BITFIELD(skb, decrypted);
}

/* Is the skb bound to stay? `why`: hw_exemption. */
HW_INLINE bool is_bound(struct __sk_buff *context, const struct hw_hit *hit, enum hw_exemption *why)
{
	*why = HW_EXEMPT_SHARED;
	if (is_shared(context))
		return true;
	*why = HW_EXEMPT_IPSEC;
	if (has_ipsec_note(context, hit->side) && works_around(HW_WORKAROUND_IPSEC))
		return true;
	*why = HW_EXEMPT_KTLS;
	return hit->side == HW_OUT && context->sk && is_for_ktls(context);
}

#endif
