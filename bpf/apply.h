/* SPDX-License-Identifier: MIT
 * What is done to a packet: counting, marking, dropping, detours. */
#ifndef HEADWIND_BPF_APPLY_H
#define HEADWIND_BPF_APPLY_H

#include "held.h"
#include "hit.h"
#include "packet.h"

/* TCX_NEXT, and TC_ACT_UNSPEC: go on with the next program. Never TC_ACT_OK: on tcx it ends the chain and skips the
 * programs behind us. */
#define NEXT (-1)
#define TC_ACT_SHOT 2
#define TC_ACT_STOLEN 4
#define TSTAMP_MONOTONIC 1 /* BPF_SKB_TSTAMP_DELIVERY_MONO */
#define PACKET_HOST 0
#define PACKET_LOOPBACK 5

/* Where a packet's fate is decided: at the hook that matched it, or once it is a wire packet. */
enum hw_place { AT_DEVICE, BEHIND_SEGMENTER };

/* Wire packets in this super-packet. gso_segs may be 0 (tap, virtio), hence the division where it is. */
HW_INLINE __u32 wire_packets(struct __sk_buff *skb, __u32 headers)
{
	if (skb->gso_segs != 0)
		return skb->gso_segs;
	return skb->len > headers ? (skb->len - headers + skb->gso_size - 1) / skb->gso_size : 1;
}

/* Bytes of headers that each wire packet of this skb carries. */
HW_INLINE __u32 header_bytes(struct __sk_buff *skb, const struct hw_hit *hit)
{
	__u8 data_offset;

	if (hit->protocol == IPPROTO_UDP)
		return hit->transport + sizeof(struct udphdr);
	if (hit->protocol != IPPROTO_TCP) /* what is in it is not known */
		return hit->transport;
	if (!load_bytes(skb, hit->transport + 12, &data_offset, sizeof(data_offset)))
		return hit->transport + sizeof(struct tcphdr);
	return hit->transport + (data_offset >> 4) * 4;
}

/* Ends the packet without telling the sender. TC_ACT_SHOT at egress would make TCP enter CWR without any loss; tcx
 * knows no TC_ACT_STOLEN, but redirecting to device 0, which does not exist, frees the packet and reports success. */
HW_INLINE int end_silently(void)
{
	if (!works_around(HW_WORKAROUND_SILENT))
		return TC_ACT_SHOT;
	return hw_tcx ? bpf_redirect(0, 0) : TC_ACT_STOLEN;
}

HW_INLINE int drop(const struct hw_hit *hit, enum hw_drop_reason reason)
{
	count_drop(hit, reason);
	/* what has come in has no sender here to tell: the cheapest way */
	return hit->side == HW_IN ? TC_ACT_SHOT : end_silently();
}

/* For its way through the line. */
HW_INLINE void mark(struct __sk_buff *skb, const struct hw_hit *hit)
{
	skb->cb[0] = skb->priority;
	skb->cb[2] = 0;
	skb->cb[3] = (__u32)hw_nonce << 16 | hit->tc_index;
	skb->cb[4] = hit->rule_id;
	skb->tc_index = HW_MARK(hit->side, hit->slot);
}

/* For its way by headwind0, which takes each packet for another host's, and forgets its priority. */
HW_INLINE void mark_for_return(struct __sk_buff *skb, const struct hw_hit *hit)
{
	mark(skb, hit);
	if (skb->pkt_type == PACKET_HOST)
		skb->tc_index |= HW_MARK_HOST;
	if (works_around(HW_WORKAROUND_PRIORITY))
		skb->cb[4] = skb->priority;
}

/* Is it one that this instance sent through its line? */
HW_INLINE bool is_from_line(const struct __sk_buff *skb)
{
	return HW_IS_LINE_MARK(skb->tc_index) && (skb->cb[3] >> 16 == hw_nonce || !works_around(HW_WORKAROUND_NONCE));
}

/* The packet's own tc_index: a mark that says "done" and does not hold here is another instance's, or forged. */
HW_INLINE __u16 own_tc_index(const struct __sk_buff *skb)
{
	return skb->tc_index & HW_MARK_DONE ? 0 : skb->tc_index;
}

/* The packet has met its fate: another hook on its way (pod, then NIC) shall not impair it again. */
HW_INLINE void mark_done(struct __sk_buff *skb, __u16 tc_index)
{
	skb->tc_index = tc_index ? tc_index : hw_done_mark(hw_control.secret, env_epoch());
}

/* Has it met its fate at another hook of this instance, not long ago? */
HW_INLINE bool is_marked_done(const struct __sk_buff *skb, const struct hw_hit *hit)
{
	__u64 epoch;

	if (!(skb->tc_index & HW_MARK_DONE))
		return false;
	if (hit->side == HW_IN && (hit->device_flags & HW_DEVICE_BORDER) && works_around(HW_WORKAROUND_BORDER))
		return false;
	epoch = env_epoch();
	return skb->tc_index == hw_done_mark(hw_control.secret, epoch) ||
	       skb->tc_index == hw_done_mark(hw_control.secret, epoch - 1);
}

/* Where a marked packet goes: to the device it belongs to, on its way or, `back`, against it. With bpf_redirect's
 * flags. What came from lo has passed its egress: it enters at ingress. */
HW_INLINE __u32 return_path(const struct __sk_buff *skb, bool back, __u64 *flags)
{
	const struct hw_device *device = &hw_control.devices[HW_MARK_SLOT(skb->tc_index)];
	bool inwards = (HW_MARK_SIDE(skb->tc_index) == HW_IN) != back;

	*flags = inwards || (device->flags & HW_DEVICE_LOOPBACK) ? BPF_F_INGRESS : 0;
	return device->ifindex;
}

/* Generic XDP sees what is injected at ingress as if it had come in. There is no telling it apart, so as long as any is
 * on its way, XDP decides nothing. (If one is lost, never again: tc does.) */
HW_INLINE void inject_begin(struct __sk_buff *skb, __u64 flags)
{
	struct hw_device *device = &hw_control.devices[HW_MARK_SLOT(skb->tc_index)];
	__u32 counted = 0;

	if ((flags & BPF_F_INGRESS) && (device->flags & HW_DEVICE_GENERIC) && works_around(HW_WORKAROUND_INJECTED)) {
		counted = hw_control.xdp_nonce;
		__sync_fetch_and_add(&device->on_return, 1);
	}
	skb->cb[1] = counted;
}

/* At ingress, of a packet from the line. */
HW_INLINE void inject_end(struct __sk_buff *skb, __u32 slot)
{
	if (skb->cb[1] != hw_control.xdp_nonce)
		return;
	skb->cb[1] = 0;
	__sync_fetch_and_add(&hw_control.devices[slot & (HW_MAX_DEVICES - 1)].on_return, -1);
}

/* Where no hook of ours will know the packet again, it is marked as one that has met its fate. */
HW_INLINE void note_way(struct __sk_buff *skb, __u64 flags)
{
	__u32 hooks = hw_control.devices[HW_MARK_SLOT(skb->tc_index)].flags;

	inject_begin(skb, flags);
	if (!(hooks & (flags & BPF_F_INGRESS ? HW_DEVICE_INGRESS : HW_DEVICE_EGRESS)))
		mark_done(skb, skb->cb[3] & 0xffff);
}

/* Injected at ingress, a packet waits in this CPU's backlog: it gets a number. */
HW_INLINE void ticket_take(struct __sk_buff *skb, const struct hw_hit *hit)
{
	if (hit->side != HW_IN)
		return;
	hit->cpu->returns = (hit->cpu->returns + 1) & 0x7fffffff;
	skb->cb[2] = hit->cpu->returns << 1 | hit->direction;
}

HW_INLINE int redirect_marked(struct __sk_buff *skb, bool back)
{
	__u64 flags;
	__u32 ifindex = return_path(skb, back, &flags);

	note_way(skb, flags);
	return bpf_redirect(ifindex, flags);
}

HW_INLINE int return_to_device(struct __sk_buff *skb, const struct hw_hit *hit)
{
	mark(skb, hit);
	ticket_take(skb, hit);
	return redirect_marked(skb, false);
}

/* A packet on lo that has not left it, and so has its route and its connection, stays there. */
HW_INLINE bool stays_on_loopback(const struct hw_hit *hit, enum hw_place place)
{
	return place == AT_DEVICE && (hit->device_flags & HW_DEVICE_LOOPBACK) && works_around(HW_WORKAROUND_ROUTE);
}

/* Is a packet of this rule still in the backlog, so that one that went on at once would overtake it? */
HW_INLINE bool must_queue_behind(const struct hw_hit *hit)
{
	return hit->side == HW_IN && hit->cpu->returned != hit->cpu->returns && works_around(HW_WORKAROUND_ORDER);
}

/* A packet that is back from the backlog. */
HW_INLINE void ticket_return(const struct __sk_buff *skb)
{
	struct hw_state_key key = {.direction = skb->cb[2] & 1};
	__u32 rule_id = skb->cb[4];
	struct hw_rule *rule;
	struct hw_cpu_state *cpu;

	if (skb->cb[2] == 0)
		return;
	rule = bpf_map_lookup_elem(&hw_rules, &rule_id);
	if (!rule)
		return;
	key.state = rule->state;
	cpu = bpf_map_lookup_elem(&hw_cpu_states, &key);
	if (cpu)
		cpu->returned = skb->cb[2] >> 1;
}

HW_INLINE struct hw_segment_ctx *segment_ctx(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&hw_segment_ctxs, &zero);
}

/* Through headwind2, whose offloads are off: segment() gets wire packets with real checksums, before this call is over,
 * so that order is kept. A packet that will wait must not count against its socket (TCP Small Queues would throttle it
 * to nothing): a clone has no owner. */
HW_INLINE int redirect_to_segmenter(struct __sk_buff *skb, const struct hw_hit *hit)
{
	struct hw_segment_ctx *segment = segment_ctx();
	__u32 line = hw_control.line_segment;

	if (!segment)
		return NEXT;
	mark(skb, hit);
	segment->rule = hit->rule_id;
	segment->flow = hit->flow;
	segment->tc_index = hit->tc_index;
	segment->direction = hit->direction;
	segment->drawn = hit->cpu->fate.events;
	if (!hw_needs_time(hit->imp) || !skb->sk || !works_around(HW_WORKAROUND_CLONE))
		return bpf_redirect(line, 0);
	if (bpf_clone_redirect(skb, line, 0) != 0) {
		count_match(hit); /* segment(), which counts otherwise, will not see it */
		return drop(hit, HW_DROP_LINE);
	}
	return end_silently();
}

/* fq waits for the earliest packet of a flow it once throttled, and its flows are symmetric: rules and directions that
 * shared one would delay each other, and so would packets of a rule that may let a later one go first. */
HW_INLINE void set_flow_of_fq(struct __sk_buff *skb, const struct hw_hit *hit)
{
	__u32 hash = hit->flow;

	if (hw_may_reorder(hit->imp) && works_around(HW_WORKAROUND_SPREAD))
		hash = bpf_get_prandom_u32();
	else if (!hash)
		hash = bpf_get_hash_recalc(skb); /* a forwarded packet has none yet: some 600 instructions */
	hash ^= hit->rule_id * 0x9e3779b1U + (hit->slot << 1 | hit->side) * 0x85ebca77U;
	hash *= 0xc2b2ae35U;
	bpf_set_hash(skb, hash ^ hash >> 15);
}

/* The device whose fq holds the packet: headwind1, or lo itself. 0: none, the packet can't be held. */
HW_INLINE __u32 pacer_of(const struct hw_hit *hit, enum hw_place place, __u64 now)
{
	bool loopback = stays_on_loopback(hit, place);

	if (!line_paces(loopback ? HW_LOOPBACK_PACES : HW_LINE_PACES, now))
		return 0;
	return loopback ? hw_control.loopback_pace : hw_control.line_pace;
}

/* Has the fq of `pacer` hold the packet, or a copy of it, until `depart`. Of a packet with a socket a clone is sent: it
 * leaves the socket alone. On lo a clone, too, passes this hook again. NEXT: the packet can't be held. */
HW_INLINE int pace(struct __sk_buff *skb, const struct hw_hit *hit, __u64 depart, bool copy, __u32 pacer)
{
	struct hw_counters *counters = &hit->cpu->counters;

	if (bpf_skb_set_tstamp(skb, depart, TSTAMP_MONOTONIC) != 0) {
		counters->exempt[HW_EXEMPT_UNSTAMPABLE] += hit->packets;
		return NEXT;
	}
	mark_for_return(skb, hit);
	if (works_around(HW_WORKAROUND_PRIORITY))
		skb->priority = 0; /* before 6.7 fq does not hold TC_PRIO_CONTROL at all */
	if (works_around(HW_WORKAROUND_FLOWS))
		set_flow_of_fq(skb, hit);
	skb->queue_mapping = 0; /* else headwind1 takes it for the queue it came in on; now the hash names the queue */
	if (!copy && (!skb->sk || !works_around(HW_WORKAROUND_CLONE))) {
		counters->delayed += hit->packets;
		return bpf_redirect(pacer, 0);
	}
	if (bpf_clone_redirect(skb, pacer, 0) == 0) {
		counters->delayed += hit->packets;
	} else {
		counters->dropped[HW_DROP_LINE] += hit->packets;
	}
	if (copy && works_around(HW_WORKAROUND_PRIORITY))
		skb->priority = skb->cb[4]; /* it will be sent, too */
	return end_silently();
}

#endif
