/* SPDX-License-Identifier: MIT
 * Whether the line is there and how much it holds: asked of its own devices, whatever somebody did to them, and of
 * their qdiscs, since what is counted beside them drifts with each packet that is lost or segmented between fq and
 * headwind0. */
#ifndef HEADWIND_BPF_HELD_H
#define HEADWIND_BPF_HELD_H

#include "hit.h"
#include "kernel.h"
#include "packet.h"

#define HW_LINE_QUEUES 16  /* at most: line.cpp */
#define LOOPBACK_IFINDEX 1 /* in every network namespace */
#define HW_LOOK_INTERVAL 10000000 /* ns, at most */

/* Is this still the device of that index in our network namespace, and can it send and receive? (A bridge without a
 * port, and a veth whose other end is down, have no carrier.) */
HW_FUNCTION int is_up(__u64 address, __u32 expected)
{
	const struct net_device *device = (const void *)address;
	struct net *net = NULL;
	unsigned long state = 0;
	unsigned int flags = 0;
	int ifindex = 0;

	bpf_probe_read_kernel(&ifindex, sizeof(ifindex), &device->ifindex);
	bpf_probe_read_kernel(&flags, sizeof(flags), &device->flags);
	bpf_probe_read_kernel(&state, sizeof(state), &device->state);
	bpf_probe_read_kernel(&net, sizeof(net), &device->nd_net.net);
	return (__u32)ifindex == expected && (flags & IFF_UP) && !(state & LINK_STATE_NOCARRIER) &&
	       (__u64)net == hw_held.net;
}

/* Is there a program at the device's tc hook? (Nobody else's would be there alone.) */
HW_FUNCTION int has_program(__u64 address, __u32 direction)
{
	const struct net_device *device = (const void *)address;
	const struct mini_Qdisc *filters = NULL;
	void *first = NULL;

	if (bpf_core_field_exists(device->tcx_ingress)) {
		if (direction == HW_OUT)
			bpf_probe_read_kernel(&first, sizeof(first), &device->tcx_egress);
		else
			bpf_probe_read_kernel(&first, sizeof(first), &device->tcx_ingress);
		return first != NULL;
	}
	if (direction == HW_OUT)
		bpf_probe_read_kernel(&filters, sizeof(filters), &device->miniq_egress);
	else
		bpf_probe_read_kernel(&filters, sizeof(filters), &device->miniq_ingress);
	bpf_probe_read_kernel(&first, sizeof(first), &filters->filter_list);
	return first != NULL;
}

/* Is fq at the device, as its root or below mq? A device that is down, or has no carrier, has none. */
HW_FUNCTION int device_has_fq(__u64 address)
{
	const struct net_device *device = (const void *)address;
	const struct netdev_queue *queues = NULL;
	const struct Qdisc *qdisc = NULL;
	const struct Qdisc_ops *ops = NULL;
	char id[3] = {};

	bpf_probe_read_kernel(&queues, sizeof(queues), &device->_tx);
	bpf_probe_read_kernel(&qdisc, sizeof(qdisc), &queues->qdisc);
	bpf_probe_read_kernel(&ops, sizeof(ops), &qdisc->ops);
	bpf_probe_read_kernel(id, sizeof(id), &ops->id);
	return id[0] == 'f' && id[1] == 'q' && id[2] == 0;
}

/* Bytes and packets in all queues of the device, with what each packet costs besides. */
HW_FUNCTION __u64 ask_qdiscs(__u64 address)
{
	const struct net_device *device = (const void *)address;
	const char *queues = NULL;
	unsigned int count = 0;
	__u64 bytes = 0;

	bpf_probe_read_kernel(&queues, sizeof(queues), &device->_tx);
	bpf_probe_read_kernel(&count, sizeof(count), &device->num_tx_queues);
	for (unsigned int i = 0; i < HW_LINE_QUEUES && i < count; i++) {
		const struct netdev_queue *queue = (const void *)(queues + i * bpf_core_type_size(struct netdev_queue));
		const struct Qdisc *qdisc = NULL;
		__u32 backlog = 0, packets = 0;

		bpf_probe_read_kernel(&qdisc, sizeof(qdisc), &queue->qdisc);
		bpf_probe_read_kernel(&backlog, sizeof(backlog), &qdisc->qstats.backlog);
		bpf_probe_read_kernel(&packets, sizeof(packets), &qdisc->q.qlen);
		bytes += backlog + (__u64)packets * HW_HELD_OVERHEAD;
	}
	return bytes;
}

/* What the line can do, of hw_line_use, and the bytes that it holds. Several CPUs may ask at once: each writes the
 * truth. The time comes first: who has changed the line then sets it back (note_device()), and all look again. */
HW_FUNCTION int look_at_line(__u64 now)
{
	bool returns;
	__u64 bytes = 0;
	__u32 use = 0;

	hw_held.at = now;
	barrier();
	returns = is_up(hw_held.returns, hw_control.line_return);
	if (returns && is_up(hw_held.segmenter, hw_control.line_segment) && has_program(hw_held.returns, HW_OUT))
		use |= HW_LINE_SEGMENTS;
	if (returns && is_up(hw_held.pacer, hw_control.line_pace)) {
		bytes += ask_qdiscs(hw_held.pacer);
		if (device_has_fq(hw_held.pacer) && has_program(hw_held.returns, HW_IN))
			use |= HW_LINE_PACES;
	}
	if (hw_control.loopback_pace && is_up(hw_held.loopback, LOOPBACK_IFINDEX)) {
		bytes += ask_qdiscs(hw_held.loopback);
		if (device_has_fq(hw_held.loopback))
			use |= HW_LOOPBACK_PACES;
	}
	hw_held.bytes = bytes;
	hw_held.use = use;
	return 0;
}

/* The line is looked at again once 100 Gbit/s could have brought 5% of what it may hold. */
HW_INLINE void look_in_time(__u64 now)
{
	__u64 interval = hw_control.max_held >> 8;

	if (interval > HW_LOOK_INTERVAL)
		interval = HW_LOOK_INTERVAL;
	if (hw_held.returns && now - hw_held.at >= interval)
		look_at_line(now);
}

/* Can the line do this? Nothing is sent to a part of it that somebody has taken away: it would be lost. */
HW_INLINE bool line_can(enum hw_line_use use, __u64 now)
{
	look_in_time(now);
	return !hw_held.returns || (hw_held.use & use);
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
	hw_held.at = 0;
}

#endif
