// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Headwind's XDP program, at the ingress of devices where it is wanted: loss and partition, before the kernel has built
 * anything around the packet. tc's ingress() is always attached behind it and gets what it leaves undecided:
 *
 *        device D ─► xdp()    the rule that wins is certain, and loss or partition is all it does?
 *                      │ yes                            │ no: XDP_PASS, as if it were not there
 *                      │ taken ─► XDP_DROP              │
 *                      ▼                                ▼
 *                    XDP_PASS, with metadata          ingress() decides
 *                      ▼
 *                    ingress() sees hw_xdp_meta: goes on
 */
#define HW_XDP
#include "hit.h"
#include "match.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define CACHE_LINE 64 /* SMP_CACHE_BYTES of x86-64 and arm64 */

/* In generic mode the packet is an skb already and may be a super-packet, of any length. No helper tells; but the
 * context is the kernel's struct xdp_buff, whose buffer ends with the skb's shared info. */
HW_INLINE bool is_super_packet(struct xdp_md *context)
{
	struct xdp_buff *buffer = NULL;
	void *start = NULL;
	__u64 info = (bpf_core_type_size(struct skb_shared_info) + CACHE_LINE - 1) & ~(__u64)(CACHE_LINE - 1);
	__u32 size = 0;
	unsigned short gso_size = 1;

	if (!works_around(HW_WORKAROUND_WHOLE))
		return false;
	/* The verifier lets no one compute with the context's address: its copy is a number. */
	bpf_probe_read_kernel(&buffer, sizeof(buffer), &context);
	bpf_probe_read_kernel(&start, sizeof(start), &buffer->data_hard_start);
	bpf_probe_read_kernel(&size, sizeof(size), &buffer->frame_sz);
	bpf_probe_read_kernel(&gso_size, sizeof(gso_size),
	                      &((struct skb_shared_info *)(start + size - info))->gso_size);
	return gso_size != 0;
}

/* False: this driver has no metadata. */
HW_INLINE bool write_xdp_meta(struct xdp_md *context, __u32 rule)
{
	struct hw_xdp_meta *meta;

	if (bpf_xdp_adjust_meta(context, -(int)sizeof(*meta)) != 0)
		return false;
	meta = (void *)(long)context->data_meta;
	if ((void *)(meta + 1) > (void *)(long)context->data)
		return false;
	meta->nonce = hw_control.xdp_nonce;
	meta->rule = rule;
	return true;
}

/* As tc counts it: the outermost VLAN tag is no part of an skb there. */
HW_INLINE __u64 frame_bytes(struct xdp_md *context, const struct hw_packet *packet)
{
	return bpf_xdp_get_buff_len(context) - (packet->network > ETH_HLEN ? sizeof(struct hw_vlan) : 0);
}

HW_INLINE int drop(const struct hw_hit *hit, enum hw_drop_reason reason)
{
	count_drop(hit, reason);
	return XDP_DROP;
}

/* The loader adds BPF_F_XDP_HAS_FRAGS where that works. */
SEC("xdp")
int headwind_xdp(struct xdp_md *context)
{
	struct hw_hit hit = {.side = HW_IN, .direction = HW_IN, .packets = 1};
	struct hw_lookup lookup = {.direction = HW_IN};
	const struct hw_device *device;
	struct hw_rule *rule;

	hit.slot = find_device(context->ingress_ifindex);
	if (hit.slot >= HW_MAX_DEVICES)
		return XDP_PASS;
	note_sight(hit.slot, HW_IN);
	if (panicking())
		return XDP_PASS;
	device = device_of(hit.slot);
	if ((device->flags & HW_DEVICE_GENERIC) && (device->on_return != 0 || is_super_packet(context)))
		return XDP_PASS;
	lookup.version = *(volatile __u64 *)&hw_control.version;
	lookup.device = hit.slot;
	lookup.plain = plain_of(context, hit.slot, HW_IN, false);
	rule = match(context, &lookup) ? matched_rule(&lookup, &hit.rule_id) : NULL;
	if (!rule || !(rule->impairment.flags & HW_AT_XDP) || !find_hit(&hit, rule, 0))
		return XDP_PASS;
	hit.bytes = frame_bytes(context, &lookup.packet);
	if (hit.imp->flags & HW_PARTITION) {
		count_match(&hit);
		return drop(&hit, HW_DROP_PARTITION);
	}
	/* First, since it may fail: then nothing has been counted, and tc decides. */
	if (!is_due(&hit, HW_EVENT_LOSS) && !write_xdp_meta(context, hit.rule_id))
		return XDP_PASS;
	count_match(&hit);
	return happens(&hit, HW_EVENT_LOSS) ? drop(&hit, HW_DROP_LOSS) : XDP_PASS;
}
