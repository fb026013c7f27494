/* SPDX-License-Identifier: MIT
 * What is done to a packet: counting, marking, dropping, detours. */
#ifndef HEADWIND_BPF_APPLY_H
#define HEADWIND_BPF_APPLY_H

#include "env.h"
#include "packet.h"

#define NEXT                                                                                                           \
	(-1) /* TCX_NEXT, and TC_ACT_UNSPEC: go on with the next program. Never TC_ACT_OK: on tcx it                   \
	      * ends the chain and skips the programs behind us. */
#define TC_ACT_SHOT 2
#define TC_ACT_STOLEN 4
#define TSTAMP_MONOTONIC 1 /* BPF_SKB_TSTAMP_DELIVERY_MONO */
#define PACKET_LOOPBACK 5

/* A matched packet on its way. */
struct hw_flight {
	struct hw_state_key key;         /* of the rule's state and local */
	const struct hw_impairment *imp; /* of the rule */
	struct hw_local *local;          /* of this CPU */
	__u32 rule_id;
	__u32 slot; /* device it was matched on, and to which it goes back */
	enum hw_direction direction;
	__u16 tc_index; /* the packet's own */
	__u32 packets;  /* wire packets in the skb */
	__u64 bytes;    /* of them all, frames without FCS */
};

/* Ends the packet without telling the sender. TC_ACT_SHOT at egress would make TCP enter CWR without any loss; tcx
 * knows no TC_ACT_STOLEN, but redirecting to device 0, which does not exist, frees the packet and reports success. */
HW_INLINE int end_silently(void)
{
	if (!cured(HW_CURE_SILENT))
		return TC_ACT_SHOT;
	return hw_tcx ? bpf_redirect(0, 0) : TC_ACT_STOLEN;
}

HW_INLINE int drop(const struct hw_flight *flight, enum hw_cause cause)
{
	flight->local->counters.dropped[cause] += flight->packets;
	return end_silently();
}

HW_INLINE void count_match(const struct hw_flight *flight)
{
	flight->local->counters.packets += flight->packets;
	flight->local->counters.bytes += flight->bytes;
}

HW_INLINE void mark(struct __sk_buff *skb, const struct hw_flight *flight)
{
	skb->cb[3] = (__u32)hw_nonce << 16 | flight->tc_index;
	skb->cb[4] = flight->rule_id;
	skb->tc_index = HW_MARK(hw_tag, flight->direction, flight->slot);
}

/* Marked by this instance, here or at another of its hooks? */
HW_INLINE bool has_our_tag(const struct __sk_buff *skb)
{
	return HW_MARK_TAG(skb->tc_index) == hw_tag;
}

HW_INLINE bool has_our_nonce(const struct __sk_buff *skb)
{
	return skb->cb[3] >> 16 == hw_nonce || !cured(HW_CURE_NONCE);
}

/* The device that a marked packet belongs to, and bpf_redirect's flags for the direction it came from. */
HW_INLINE __u32 home(const struct __sk_buff *skb, __u64 *flags)
{
	const struct hw_device *device = &hw_control.devices[HW_MARK_SLOT(skb->tc_index)];
	bool inwards = HW_MARK_DIRECTION(skb->tc_index) == HW_IN || (device->flags & HW_DEVICE_LOOPBACK);

	*flags = inwards ? BPF_F_INGRESS : 0;
	return device->ifindex;
}

HW_INLINE int redirect_home(struct __sk_buff *skb)
{
	__u64 flags;
	__u32 ifindex = home(skb, &flags);

	return bpf_redirect(ifindex, flags);
}

/* An answer goes where the packet came from: against its direction. */
HW_INLINE int redirect_back(struct __sk_buff *skb)
{
	const struct hw_device *device = &hw_control.devices[HW_MARK_SLOT(skb->tc_index)];
	bool inwards = HW_MARK_DIRECTION(skb->tc_index) == HW_OUT || (device->flags & HW_DEVICE_LOOPBACK);

	return bpf_redirect(device->ifindex, inwards ? BPF_F_INGRESS : 0);
}

/* A copy goes home at once; the packet itself follows. */
HW_INLINE void send_copy(struct __sk_buff *skb, const struct hw_flight *flight)
{
	__u64 flags;
	__u32 ifindex;

	mark(skb, flight);
	ifindex = home(skb, &flags);
	if (bpf_clone_redirect(skb, ifindex, flags) == 0)
		flight->local->counters.duplicated++;
	skb->tc_index = flight->tc_index;
}

/* The detour through headwind0 keeps the order only of what takes it: is one under way on this CPU? */
HW_INLINE bool in_detour(const struct hw_local *local)
{
	return (local->detours & 0xffff) != local->arrived_detour || local->arrived_packets < local->detour_packets;
}

HW_INLINE void enter_detour(struct __sk_buff *skb, const struct hw_flight *flight)
{
	flight->local->detours++;
	flight->local->detour_packets = flight->packets;
	skb->cb[2] = flight->local->detours & 0xffff;
}

HW_INLINE void leave_detour(const struct __sk_buff *skb, struct hw_local *local)
{
	__u32 number = skb->cb[2] & 0xffff;

	if (local->arrived_detour != number) {
		local->arrived_detour = number;
		local->arrived_packets = 0;
	}
	local->arrived_packets++;
}

/* Through headwind0, whose offloads are off: arrives at cut_in as wire packets with real checksums. A packet that will
 * wait must not count against its socket (TCP Small Queues would throttle it to nothing): a clone has no owner. */
HW_INLINE int redirect_to_cut(struct __sk_buff *skb, const struct hw_flight *flight)
{
	__u32 line = hw_control.line_cut;

	if (line == 0)
		return NEXT;
	mark(skb, flight);
	enter_detour(skb, flight);
	if (!hw_needs_time(flight->imp) || !skb->sk || !cured(HW_CURE_CLONE))
		return bpf_redirect(line, 0);
	if (bpf_clone_redirect(skb, line, 0) != 0) {
		count_match(flight); /* cut_in, which counts otherwise, will not see it */
		return drop(flight, HW_CAUSE_LINE);
	}
	return end_silently();
}

HW_INLINE void hold(__s64 bytes)
{
	__sync_fetch_and_add(&hw_held.bytes, bytes);
}

/* fq waits for the earliest packet of a flow it once throttled, and its flows are symmetric: rules and directions that
 * shared one would delay each other, and so would packets of a rule that may let a later one go first. */
HW_INLINE void set_flow_of_fq(struct __sk_buff *skb, const struct hw_flight *flight)
{
	__u32 hash =
	    hw_may_reorder(flight->imp) && cured(HW_CURE_SPREAD) ? bpf_get_prandom_u32() : bpf_get_hash_recalc(skb);

	hash ^= flight->rule_id * 0x9e3779b1U + (flight->slot << 1 | flight->direction) * 0x85ebca77U;
	hash *= 0xc2b2ae35U;
	bpf_set_hash(skb, hash ^ hash >> 15);
}

/* Has headwind1's fq hold the packet until `depart`. A clone is sent: it leaves the sender's socket alone and tells
 * whether the qdisc took it. NEXT: the packet can't be held. */
HW_INLINE int pace(struct __sk_buff *skb, const struct hw_flight *flight, __u64 depart)
{
	struct hw_counters *counters = &flight->local->counters;
	__s64 charge = (__s64)skb->len + HW_HELD_OVERHEAD;

	if (bpf_skb_set_tstamp(skb, depart, TSTAMP_MONOTONIC) != 0) {
		counters->unstampable += flight->packets;
		return NEXT;
	}
	mark(skb, flight);
	if (cured(HW_CURE_FLOWS))
		set_flow_of_fq(skb, flight);
	hold(charge);
	if (!cured(HW_CURE_CLONE))
		return bpf_redirect(hw_control.line_pace, 0);
	if (bpf_clone_redirect(skb, hw_control.line_pace, 0) == 0) {
		counters->delayed += flight->packets;
	} else {
		hold(-charge);
		counters->dropped[HW_CAUSE_LINE] += flight->packets;
	}
	return end_silently();
}

#endif
