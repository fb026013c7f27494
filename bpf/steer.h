/* SPDX-License-Identifier: MIT
 * Order in flows whose super-packets are segmented. What is segmented takes longer on its way than a super-packet that
 * stays whole, and a flow may send from several CPUs: the wire packets wait in one CPU's backlog behind the device (a
 * veth's) while the flow's next super-packet passes them, and TCP takes that for loss. So they go by headwind0's
 * ingress, where RPS has one CPU send on all that a flow sends, and what follows them goes there, too, until the flow
 * pauses. */
#ifndef HEADWIND_BPF_STEER_H
#define HEADWIND_BPF_STEER_H

#include "apply.h"
#include "match.h"

/* Slot by flow hash -> steering. Flows that share a slot are steered together. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HW_STEERED);
	__type(key, __u32);
	__type(value, struct hw_steering);
} hw_steerings SEC(".maps");

#define HW_STEER_REST 1000000LL   /* ns: what has come from headwind0 has left the device by then */
#define HW_STEER_LOST 100000000LL /* ns: what has not come from there by then was lost on the way */

HW_INLINE struct hw_steering *steering_of(struct __sk_buff *skb)
{
	__u32 slot = bpf_get_hash_recalc(skb) & (HW_STEERED - 1);

	return bpf_map_lookup_elem(&hw_steerings, &slot);
}

/* Does the packet, which is not held, go home by way of headwind0? */
HW_INLINE bool is_steered(struct __sk_buff *skb, const struct hw_hit *hit, enum hw_place place)
{
	struct hw_steering *steering;
	__u64 now;
	__s64 rest; /* < 0: another CPU's clock is a little ahead */

	if (!hw_control.steers || hit->side == HW_IN || (hit->device_flags & HW_DEVICE_LOOPBACK) ||
	    !works_around(HW_WORKAROUND_STEER))
		return false;
	if (place == BEHIND_SEGMENTER) /* it came by headwind0 */
		return true;
	steering = steering_of(skb);
	if (!steering || steering->last == 0)
		return false;
	now = env_monotonic();
	rest = now - steering->last;
	if (rest < HW_STEER_REST || (steering->entered != steering->left && rest < HW_STEER_LOST))
		return line_segments(now);
	steering->entered = steering->left = 0;
	steering->last = 0;
	return false;
}

HW_INLINE void enter_steering(struct __sk_buff *skb, const struct hw_hit *hit)
{
	struct hw_steering *steering = steering_of(skb);

	mark_for_return(skb, hit);
	skb->tc_index |= HW_MARK_STEERED;
	skb->cb[2] = skb->queue_mapping;
	skb->queue_mapping = 0; /* else it names the queue of headwind0 that it came in on */
	if (!steering)
		return;
	steering->last = env_monotonic();
	__sync_fetch_and_add(&steering->entered, 1);
}

HW_INLINE void leave_steering(struct __sk_buff *skb)
{
	struct hw_steering *steering = steering_of(skb);

	skb->queue_mapping = skb->cb[2];
	if (!steering)
		return;
	steering->last = env_monotonic();
	__sync_fetch_and_add(&steering->left, 1);
}

/* A copy goes home at once; the packet itself follows. */
HW_INLINE void send_copy(struct __sk_buff *skb, const struct hw_hit *hit, enum hw_place place)
{
	__u32 queue = skb->queue_mapping, ifindex = hw_control.line_return;
	__u64 flags = BPF_F_INGRESS;

	if (is_steered(skb, hit, place)) {
		enter_steering(skb, hit);
	} else {
		mark(skb, hit);
		ticket_take(skb, hit);
		ifindex = return_path(skb, false, &flags);
		if (stays_on_loopback(hit, place))
			flags = 0;
		note_way(skb, flags);
	}
	if (bpf_clone_redirect(skb, ifindex, flags) == 0)
		hit->cpu->counters.duplicated++;
	skb->cb[1] = 0;
	skb->tc_index = hit->tc_index;
	skb->queue_mapping = queue;
}

HW_INLINE int steer(struct __sk_buff *skb, const struct hw_hit *hit)
{
	enter_steering(skb, hit);
	return bpf_redirect(hw_control.line_return, BPF_F_INGRESS);
}

#endif
