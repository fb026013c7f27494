/* SPDX-License-Identifier: MIT
 * Whether the line is there and how much it holds: asked of its own devices, whatever somebody did to them, and of
 * their qdiscs, since what is counted beside them drifts with each packet that is lost or segmented between fq and
 * headwind0. */
#ifndef HEADWIND_BPF_HELD_H
#define HEADWIND_BPF_HELD_H

#include "hit.h"
#include "kernel.h"
#include "packet.h"

#define HW_LINE_QUEUES 16         /* at most: line.cpp */
#define LOOPBACK_IFINDEX 1        /* in every network namespace */
#define HW_LOOK_INTERVAL 10000000 /* ns, at most */
#define HW_NO_FQ (~0ULL)

/* Is it in our network namespace? */
HW_FUNCTION int is_here(__u64 address)
{
	struct net *net = NULL;

	READ_AT(&net, struct net_device, address, nd_net.net);
	return (__u64)net == hw_held.net;
}

/* Is this still the device of that index in our network namespace, and can it send and receive? (A bridge without a
 * port, and a veth whose other end is down, have no carrier.) */
HW_FUNCTION int is_up(__u64 address, __u32 expected)
{
	unsigned long state = 0;
	unsigned int flags = 0;
	int ifindex = 0;

	READ_AT(&ifindex, struct net_device, address, ifindex);
	READ_AT(&flags, struct net_device, address, flags);
	READ_AT(&state, struct net_device, address, state);
	return (__u32)ifindex == expected && (flags & IFF_UP) && !(state & LINK_STATE_NOCARRIER) && is_here(address);
}

#define HW_PROGRAMS_LOOKED_AT 8 /* at a hook; ours is attached in front of all that are there */

/* Is one of Headwind's programs at the device's tcx hook? All of them have names that begin so. */
HW_INLINE bool has_tcx_program(__u64 address, __u32 direction)
{
	const struct bpf_mprog_entry *programs = NULL;

	if (direction == HW_OUT)
		READ_AT(&programs, struct net_device, address, tcx_egress);
	else
		READ_AT(&programs, struct net_device, address, tcx_ingress);
	for (int i = 0; i < HW_PROGRAMS_LOOKED_AT; i++) {
		const struct bpf_prog_aux *aux = NULL;
		const struct bpf_prog *program = NULL;
		__u64 name = 0;

		READ_AT(&program, struct bpf_mprog_entry, programs, fp_items[i].prog);
		if (!program)
			return false;
		READ_AT(&aux, struct bpf_prog, program, aux);
		READ_NAME_AT(&name, struct bpf_prog_aux, aux, name);
		if (name == WORD(__u64, "headwind"))
			return true;
	}
	return false;
}

/* Is our filter at the device's clsact hook? It has the first priority there is, and is of kind bpf. Another's filter
 * of that priority and kind, beside ours that is gone, is taken for it: the loader looks closer (line_damage()). */
HW_INLINE bool has_filter(__u64 address, __u32 direction)
{
	const struct tcf_proto_ops *ops = NULL;
	const struct mini_Qdisc *filters = NULL;
	const struct tcf_proto *first = NULL;
	__u32 priority = 0, kind = 0;

	if (direction == HW_OUT)
		READ_AT(&filters, struct net_device, address, miniq_egress);
	else
		READ_AT(&filters, struct net_device, address, miniq_ingress);
	READ_AT(&first, struct mini_Qdisc, filters, filter_list);
	READ_AT(&priority, struct tcf_proto, first, prio);
	READ_AT(&ops, struct tcf_proto, first, ops);
	READ_NAME_AT(&kind, struct tcf_proto_ops, ops, kind);
	return priority == 1U << 16 && kind == WORD(__u32, "bpf");
}

/* Is our program at the device's tc hook? (Where the kernel has tcx and the loader could not tell, it is a filter, and
 * nobody looks for it.) */
HW_FUNCTION int has_program(__u64 address, __u32 direction)
{
	if (bpf_core_field_exists(struct net_device, tcx_ingress))
		return !hw_control.tcx || has_tcx_program(address, direction);
	return has_filter(address, direction);
}

HW_INLINE bool is_fq(const struct Qdisc *qdisc)
{
	const struct Qdisc_ops *ops = NULL;
	__u32 id = 0;

	READ_AT(&ops, struct Qdisc, qdisc, ops);
	READ_NAME_AT(&id, struct Qdisc_ops, ops, id);
	return id == WORD(__u32, "fq\0");
}

/* Is fq at the device, as its root or below mq? */
HW_FUNCTION int device_has_fq(__u64 address)
{
	const struct netdev_queue *queues = NULL;
	const struct Qdisc *qdisc = NULL;

	READ_AT(&queues, struct net_device, address, _tx);
	READ_AT(&qdisc, struct netdev_queue, queues, qdisc);
	return is_fq(qdisc);
}

/* Bytes and packets in all queues of the device, with what each packet costs besides; HW_NO_FQ if one of them has
 * another qdisc. */
HW_FUNCTION __u64 ask_fqs(__u64 address)
{
	const struct netdev_queue *queues = NULL;
	unsigned int count = 0;
	__u64 bytes = 0;

	READ_AT(&queues, struct net_device, address, _tx);
	READ_AT(&count, struct net_device, address, num_tx_queues);
	for (unsigned int i = 0; i < HW_LINE_QUEUES && i < count; i++) {
		__u64 queue = (__u64)queues + i * bpf_core_type_size(struct netdev_queue);
		const struct Qdisc *qdisc = NULL;
		__u32 backlog = 0, packets = 0;

		READ_AT(&qdisc, struct netdev_queue, queue, qdisc);
		if (!is_fq(qdisc))
			return HW_NO_FQ;
		READ_AT(&backlog, struct Qdisc, qdisc, qstats.backlog);
		READ_AT(&packets, struct Qdisc, qdisc, q.qlen);
		bytes += backlog + (__u64)packets * HW_HELD_OVERHEAD;
	}
	return bytes;
}

/* Looks at what can hold packets, and how many bytes it holds. Several CPUs may look at once: each writes the truth.
 * The time comes first: who has changed the line then sets it back (note_device()), and all look again. */
HW_FUNCTION int look_at_pacers(__u64 now)
{
	__u64 line = HW_NO_FQ, loopback = HW_NO_FQ;

	hw_held.at = now;
	barrier();
	if (is_up(hw_held.pacer, hw_control.line_pace) && /* and so is headwind0, its other end */
	    is_here(hw_held.returns) && has_program(hw_held.returns, HW_IN))
		line = ask_fqs(hw_held.pacer);
	if (hw_control.loopback_pace && is_up(hw_held.loopback, LOOPBACK_IFINDEX))
		loopback = ask_fqs(hw_held.loopback);
	hw_held.bytes = (line == HW_NO_FQ ? 0 : line) + (loopback == HW_NO_FQ ? 0 : loopback);
	hw_held.paces = (line == HW_NO_FQ ? 0 : HW_LINE_PACES) | (loopback == HW_NO_FQ ? 0 : HW_LOOPBACK_PACES);
	return 0;
}

/* The same of what segments. */
HW_FUNCTION int look_at_segmenter(__u64 now)
{
	hw_held.segmenter_at = now;
	barrier();
	hw_held.segments = is_up(hw_held.segmenter, hw_control.line_segment) && /* and so is headwind0, its port */
	                   has_program(hw_held.returns, HW_OUT) &&
	                   (!hw_control.steers || has_program(hw_held.returns, HW_IN)); /* what is steered: steer.h */
	return 0;
}

/* ns until a part of the line is looked at again: once 100 Gbit/s could have brought 5% of what it may hold. */
HW_INLINE __u64 look_interval(void)
{
	__u64 interval = hw_control.max_held >> 8;

	return interval < HW_LOOK_INTERVAL ? interval : HW_LOOK_INTERVAL;
}

/* Can the line hold packets, or lo? Nothing is sent to a part of it that somebody has taken away: it would be lost. */
HW_INLINE bool line_paces(enum hw_paces who, __u64 now)
{
	if (!hw_held.returns)
		return true; /* nobody knows the devices, and so nobody looks */
	if (now - hw_held.at >= look_interval())
		look_at_pacers(now);
	return hw_held.paces & who;
}

/* Can the line segment packets? */
HW_INLINE bool line_segments(__u64 now)
{
	if (!hw_held.returns)
		return true;
	if (now - hw_held.segmenter_at >= look_interval())
		look_at_segmenter(now);
	return hw_held.segments;
}

/* Bytes that a rule has in the line, and those that it has from now on: see hw_ring. */
HW_FUNCTION __u64 own_held(__u32 state_id, __u32 direction, __u32 shift, __u64 now)
{
	struct hw_state_key key = {state_id, direction};
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &key);
	__u64 held;

	if (!state)
		return 0;
	bpf_spin_lock(&state->lock);
	held = hw_ring_held(&state->ring, shift, now);
	bpf_spin_unlock(&state->lock);
	return held;
}

HW_FUNCTION int note_own_held(__u32 state_id, __u32 direction, __u64 depart, __u32 charge)
{
	struct hw_state_key key = {state_id, direction};
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &key);

	if (!state)
		return 0;
	bpf_spin_lock(&state->lock);
	hw_ring_add(&state->ring, depart, charge);
	bpf_spin_unlock(&state->lock);
	return 0;
}

/* Has somebody moved the packet's device to another network namespace? Our programs go with it. */
HW_INLINE bool is_elsewhere(struct __sk_buff *skb)
{
	struct net_device *device = NULL;
	struct net *net = NULL;

	READ_CONTEXT(&device, struct sk_buff, skb, dev);
	READ_AT(&net, struct net_device, device, nd_net.net);
	return hw_held.net && hw_held.net != (__u64)net;
}

/* Notes where the kernel has a device of the line, or lo, when the loader runs this program for it, and that all of the
 * line is to be looked at. */
HW_INLINE void note_device(const struct __sk_buff *skb)
{
	const struct sk_buff *kernels = (const void *)skb;
	const struct net_device *device = NULL;
	struct net *net = NULL;

	bpf_probe_read_kernel(&device, sizeof(device), &kernels->dev);
	bpf_probe_read_kernel(&net, sizeof(net), &device->nd_net.net);
	hw_held.net = (__u64)net;
	if (skb->ifindex == LOOPBACK_IFINDEX)
		hw_held.loopback = (__u64)device;
	else if (skb->ifindex == hw_control.line_return)
		hw_held.returns = (__u64)device;
	else if (skb->ifindex == hw_control.line_segment)
		hw_held.segmenter = (__u64)device;
	else
		hw_held.pacer = (__u64)device;
	hw_held.at = hw_held.segmenter_at = 0;
}

#endif
