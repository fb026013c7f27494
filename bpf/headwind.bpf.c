// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Headwind's tc programs. (In the kernel each one's name begins with headwind_, by which the loader finds them at
 * devices: loader/datapath/attached.h.) The way of a packet:
 *
 *            device D, egress or ingress                    egress() ingress()
 *                 │ came back from the line, or was impaired at another hook ─► go on
 *                 │ decided in XDP, which let it pass (xdp.bpf.c) ──────────► go on
 *                 │ no live rule matches ─────────────────────────────────────► go on
 *                 ▼
 *        rule decides per wire packet, packet may be a super-packet?
 *            │ no                               │ yes
 *            │                                  ▼
 *            │                     headwind2, a bridge with its offloads off: the kernel segments
 *            │                                  ▼
 *            │                     headwind0 egress            segment()
 *            ▼                                  ▼
 *        decide() ─ drop ─► silent
 *                 │ rule without time component ─► pass_on() (from the line: back to D; steered: by headwind0, at once)
 *                 ▼
 *        headwind1 egress: fq holds the packet until skb->tstamp (on lo its own fq does, and lets it go on)
 *                 ▼
 *        headwind0 ingress                                   pace_out(): back to D
 */
#include "reject.h"
#include "apply.h"
#include "bound.h"
#include "corrupt.h"
#include "held.h"
#include "law.h"
#include "match.h"
#include "pacing.h"
#include "share.h"
#include "steer.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* When the packet comes. Its timestamp is an earliest departure time if it is monotonic; one of receipt is wall clock.
 */
HW_INLINE struct hw_arrival arrival_of(const struct __sk_buff *skb)
{
	struct hw_arrival arrival = {.now = env_monotonic()};

	if (skb->tstamp_type == TSTAMP_MONOTONIC || !works_around(HW_WORKAROUND_TSTAMP))
		arrival.edt = skb->tstamp;
	return arrival;
}

/* Waits for rate and reordering together with the rule's other packets. hw_drop_reason, or NEXT: the rule is gone. */
HW_INLINE int take_turn(struct __sk_buff *skb, const struct hw_hit *hit, const struct hw_arrival *arrival, __u64 delay,
                        struct hw_timing *timing)
{
	const struct hw_impairment *imp = hit->imp;
	__u64 busy_q16 = (__u64)skb->len * imp->ns_per_byte_q16; /* 17 and 46 bits (compile.cpp sees to that) */
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &hit->key);
	__u64 comes = arrival->now + (imp->flags & HW_RATE_LAST ? delay : 0);
	__u32 dice = imp->reorder ? env_dice() : 0;
	int reason;

	if (!state)
		return NEXT;
	if (imp->flags & (HW_TIMED_STEPS | HW_SEQUENCE)) {
		/* Where the rate changes while it is sent. (Another CPU's packet that comes between makes its start a
		 * little wrong.) */
		if ((imp->flags & HW_TIMED_STEPS) && imp->ns_per_byte_q16)
			busy_q16 =
			    time_on_link(hit->rule_id, state->next_free > comes ? state->next_free : comes, skb->len);
		if (imp->flags & HW_SEQUENCE)
			dice = hit->cpu->fate.events >> HW_EVENT_REORDER & 1 ? 0 : ~0U;
	}
	bpf_spin_lock(&state->lock);
	reason = hw_schedule_busy(imp, state, arrival, busy_q16, delay, dice, timing);
	bpf_spin_unlock(&state->lock);
	return reason;
}

/* The packet waits for `rate`, then for `delay`; or a copy of it does. (Not inlined: it would be twice on the stack.)
 */
static __attribute__((noinline)) int decide_time(struct __sk_buff *skb, const struct hw_hit *hit,
                                                 const struct hw_arrival *arrival, bool copy, enum hw_place place)
{
	const struct hw_impairment *imp = hit->imp;
	struct hw_timing timing = {};
	__u64 delay = draw_delay(hit, arrival, copy);
	__u32 pacer = pacer_of(hit, place, arrival->now);
	__u64 held = hw_held.bytes, max = hw_control.max_held;
	__u32 charge = skb->len + HW_HELD_OVERHEAD;
	bool crowded = held > max / 8; /* else nobody is in anybody's way */
	int reason;

	if (pacer == 0) {
		hit->cpu->counters.exempt[HW_EXEMPT_LINE] += hit->packets;
		return NEXT;
	}
	if (crowded &&
	    !hw_may_hold(max, held, own_held(hit->key.state, hit->key.direction, hit->held_shift, arrival->now),
	                 charge))
		return drop(hit, HW_DROP_HELD);
	if (hw_needs_state(imp)) {
		reason = take_turn(skb, hit, arrival, delay, &timing);
		if (reason)
			return reason > 0 ? drop(hit, reason) : NEXT;
	} else {
		timing.depart = hw_due(arrival) + delay;
	}
	if (crowded)
		note_own_held(hit->key.state, hit->key.direction, timing.depart, charge);
	hit->cpu->counters.reordered += timing.reordered;
	return pace(skb, hit, timing.depart, copy, pacer);
}

/* What loss or partition takes: nobody is told, unless the rule says so (needs_segmenting() sees to it that it is
 * BEHIND_SEGMENTER).
 */
HW_INLINE int drop_or_reject(struct __sk_buff *skb, const struct hw_hit *hit, enum hw_place place,
                             enum hw_drop_reason reason)
{
	if (place == AT_DEVICE || !(hit->imp->flags & HW_REJECT))
		return drop(hit, reason);
	count_drop(hit, HW_DROP_REJECT);
	if (!make_reject(skb, hit->imp->flags & HW_REJECT_RST))
		return end_silently();
	mark(skb, hit);
	return redirect_marked(skb, true);
}

/* The fate of a wire packet, or of a super-packet that needs no segmenting. NEXT: it goes on. */
HW_INLINE int decide(struct __sk_buff *skb, const struct hw_hit *hit, enum hw_place place)
{
	const struct hw_impairment *imp = hit->imp;
	struct hw_arrival arrival;
	int copies = 1;

	count_match(hit);
	if (imp->flags & HW_PASS)
		return NEXT;
	if (imp->flags & HW_PARTITION)
		return drop_or_reject(skb, hit, place, HW_DROP_PARTITION);
	if (happens(hit, HW_EVENT_LOSS))
		return drop_or_reject(skb, hit, place, HW_DROP_LOSS);
	if (happens(hit, HW_EVENT_CORRUPT))
		hit->cpu->counters.corrupted += flip_bit(skb, imp->flags & HW_SEQUENCE, hit->cpu->fate.flip);
	if (happens(hit, HW_EVENT_DUPLICATE))
		copies = 2;
	if (!hw_needs_time(imp)) {
		if (copies == 2)
			send_copy(skb, hit, place);
		return NEXT;
	}
	arrival = arrival_of(skb); /* before a copy is stamped */
	if (copies == 2) {
		if (decide_time(skb, hit, &arrival, true, place) == NEXT)
			return NEXT;
		hit->cpu->counters.duplicated++;
	}
	return decide_time(skb, hit, &arrival, false, place);
}

/* The fate of an skb that must stay as and where it is: it can be dropped, and nothing else. */
HW_INLINE int decide_bound(struct __sk_buff *skb, const struct hw_hit *hit, enum hw_exemption why)
{
	const struct hw_impairment *imp = hit->imp;

	count_match(hit);
	if (imp->flags & HW_PASS)
		return NEXT;
	if (imp->flags & HW_PARTITION)
		return drop(hit, HW_DROP_PARTITION);
	if ((imp->flags & HW_SEQUENCE) && !(hit->cpu->fate.events & HW_DRAWN)) /* a super-packet, here as one */
		draw_events(hit, hit->cpu, 1, 0);
	if (happens(hit, HW_EVENT_LOSS))
		return drop(hit, HW_DROP_LOSS);
	hit->cpu->counters.exempt[why] += hit->packets;
	if (why != HW_EXEMPT_SHARED) /* nothing may be written to that one */
		mark_done(skb, hit->tc_index);
	return NEXT;
}

/* Must this packet go through headwind2 first? What is decided per wire packet and is none yet, and what needs a real
 * checksum. */
HW_INLINE bool needs_segmenting(const struct __sk_buff *skb, const struct hw_hit *hit)
{
	const struct hw_impairment *imp = hit->imp;

	if (!skb->gso_size && !imp->events[HW_EVENT_CORRUPT].threshold && !(imp->flags & HW_REJECT))
		return false; /* the usual case */
	if ((imp->flags & HW_PASS) || !works_around(HW_WORKAROUND_SEGMENT))
		return false;
	if (imp->flags & HW_PARTITION)
		return imp->flags & HW_REJECT;
	/* Nobody segments what lo carries: what is sent in one piece arrives in one. A bit is flipped in wire packets
	 * only.
	 */
	if (stays_on_loopback(hit, AT_DEVICE))
		return is_due(hit, HW_EVENT_CORRUPT) || (is_due(hit, HW_EVENT_LOSS) && (imp->flags & HW_REJECT));
	if (is_due(hit, HW_EVENT_CORRUPT) && (works_around(HW_WORKAROUND_REAL_CSUM) || skb->gso_size))
		return true;
	if (is_due(hit, HW_EVENT_LOSS) && (skb->gso_size || (imp->flags & HW_REJECT)))
		return true;
	return skb->gso_size && (hw_needs_wire(imp) || is_due(hit, HW_EVENT_DUPLICATE));
}

/* Back from the line, or impaired at another of our hooks? What the line changed of a packet is given back. */
HW_INLINE bool already_impaired(struct __sk_buff *skb, const struct hw_hit *hit)
{
	if (!is_from_line(skb))
		return is_marked_done(skb, hit);
	if (hit->side == HW_IN) {
		inject_end(skb, hit->slot);
		ticket_return(skb);
		if (works_around(HW_WORKAROUND_PRIORITY))
			skb->priority = skb->cb[0];
	}
	mark_done(skb, skb->cb[3] & 0xffff);
	return true;
}

/* The packet's rule: for a subject here; on lo also for the receiver; then for one at the device's peer. */
HW_INLINE struct hw_rule *look_up_rule(struct __sk_buff *skb, struct hw_hit *hit, const struct hw_plain *plain,
                                       __u64 version)
{
	struct hw_lookup lookup = {.version = version, .device = hit->slot, .direction = hit->side, .plain = *plain};
	int found = match(skb, &lookup);

	if (!found && (hit->device_flags & (HW_DEVICE_LOOPBACK | HW_DEVICE_PEER))) {
		__builtin_memset(&lookup.packet, 0, sizeof(lookup.packet));
		lookup.peer = (hit->device_flags & HW_DEVICE_PEER) != 0;
		lookup.direction = hit->side == HW_OUT ? HW_IN : HW_OUT;
		lookup.plain = plain_of(skb, hit->slot, lookup.direction, lookup.peer);
		found = match(skb, &lookup);
	}
	hit->direction = lookup.direction;
	hit->transport = lookup.packet.transport;
	hit->protocol = lookup.packet.key.protocol;
	return found ? matched_rule(&lookup, &hit->rule_id) : NULL;
}

/* The same for most packets, of which it is known. */
HW_INLINE struct hw_rule *find_rule(struct __sk_buff *skb, struct hw_hit *hit, const struct hw_plain *plain,
                                    __u64 version)
{
	struct hw_memo *memo = known_outcome(plain, version, hit->device_flags);

	if (!memo)
		return look_up_rule(skb, hit, plain, version);
	hit->transport = PLAIN_TRANSPORT;
	hit->protocol = plain->rest >> 32;
	hit->rule_id = memo->rule_id;
	return rule_in(memo);
}

/* The packet has met its fate and goes on. */
HW_INLINE int pass_on(struct __sk_buff *skb, const struct hw_hit *hit, enum hw_place place)
{
	if (is_steered(skb, hit, place))
		return steer(skb, hit);
	if (place == BEHIND_SEGMENTER || must_queue_behind(hit))
		return return_to_device(skb, hit);
	mark_done(skb, hit->tc_index);
	return NEXT;
}

/* Id of the rule by which XDP let the packet pass; 0: XDP has decided nothing. */
HW_INLINE __u32 passed_by_xdp(const struct __sk_buff *skb)
{
	const struct hw_xdp_meta *meta = (void *)(long)skb->data_meta;

	if ((void *)(meta + 1) > (void *)(long)skb->data || meta->nonce != hw_control.xdp_nonce ||
	    !works_around(HW_WORKAROUND_XDP_META))
		return 0;
	return meta->rule;
}

/* XDP has decided: nothing is left but to keep the order. */
HW_INLINE int follow_xdp(struct __sk_buff *skb, struct hw_hit *hit)
{
	struct hw_rule *rule = bpf_map_lookup_elem(&hw_rules, &hit->rule_id);

	return rule && !panicking() && find_hit(hit, rule, 0) ? pass_on(skb, hit, AT_DEVICE) : NEXT;
}

/* How many wire packets it is, and their bytes. (On lo each packet is one.) */
HW_INLINE void weigh(struct __sk_buff *skb, struct hw_hit *hit)
{
	__u32 headers;

	hit->packets = 1;
	hit->bytes = skb->len;
	if (!skb->gso_size || stays_on_loopback(hit, AT_DEVICE))
		return;
	headers = header_bytes(skb, hit);
	hit->packets = wire_packets(skb, headers);
	hit->bytes += (__u64)headers * (hit->packets - 1);
}

/* A packet that no hook has met. */
HW_INLINE int meet(struct __sk_buff *skb, struct hw_hit *hit, __u64 version)
{
	struct hw_plain plain = plain_of(skb, hit->slot, hit->side, false);
	struct hw_rule *rule = find_rule(skb, hit, &plain, version);
	__u32 shares = hw_control.tables[version & 1].shares;
	enum hw_exemption why;
	int verdict;

	if ((!rule && !shares) || panicking() || is_elsewhere(skb))
		return NEXT;
	/* PACKET_LOOPBACK is the stack's own copy of a multicast: it has no MAC header, a redirect would free it. */
	if (skb->pkt_type == PACKET_LOOPBACK && works_around(HW_WORKAROUND_MULTICAST))
		return NEXT;
	weigh(skb, hit);
	hit->flow = flow_of(&plain);
	if ((shares && has_too_large_a_share(hit, rule)) || !rule || !find_hit(hit, rule, 0))
		return NEXT;
	if (is_bound(skb, hit, &why))
		return decide_bound(skb, hit, why);
	if (hit->side == HW_OUT && hw_needs_time(hit->imp) && !pace_as_fq(skb, hit)) {
		count_match(hit);
		return drop(hit, HW_DROP_QUEUE);
	}
	if (needs_segmenting(skb, hit))
		return hw_control.line_segment && line_segments(env_monotonic())
		           ? redirect_to_segmenter(skb, hit)
		           : decide_bound(skb, hit, HW_EXEMPT_LINE);
	verdict = decide(skb, hit, AT_DEVICE);
	if (verdict != NEXT || (hit->imp->flags & HW_PASS))
		return verdict;
	return pass_on(skb, hit, AT_DEVICE);
}

HW_INLINE int device_hook(struct __sk_buff *skb, enum hw_direction side)
{
	struct hw_hit hit; /* what is known of it is set: most packets match no rule */
	__u64 version = *(volatile __u64 *)&hw_control.version;

	hit.side = hit.direction = side;
	hit.slot = find_device(skb->ifindex);
	if (hit.slot >= HW_MAX_DEVICES)
		return NEXT;
	note_sight(hit.slot, side);
	hit.device_flags = device_of(hit.slot)->flags;
	if (already_impaired(skb, &hit))
		return NEXT;
	if (stays_on_loopback(&hit, AT_DEVICE))
		skb->tstamp = 0; /* lo heeds no departure time, unless our fq is there */
	hit.tc_index = own_tc_index(skb);
	hit.rule_id = side == HW_IN ? passed_by_xdp(skb) : 0;
	return hit.rule_id ? follow_xdp(skb, &hit) : meet(skb, &hit, version);
}

SEC("tc")
int headwind_egress(struct __sk_buff *skb)
{
	return device_hook(skb, HW_OUT);
}

SEC("tc")
int headwind_ingress(struct __sk_buff *skb)
{
	return device_hook(skb, HW_IN);
}

/* headwind0 egress: what comes from headwind2, as wire packets. */
SEC("tc")
int headwind_segment(struct __sk_buff *skb)
{
	struct hw_hit hit = {.packets = 1, .bytes = skb->len};
	struct hw_segment_ctx *segment = segment_ctx();
	struct hw_rule *rule;
	int verdict;

	if (!HW_IS_LINE_MARK(skb->tc_index) || !segment)
		return NEXT;
	hit.side = HW_MARK_SIDE(skb->tc_index);
	hit.direction = segment->direction;
	hit.slot = HW_MARK_SLOT(skb->tc_index);
	hit.device_flags = device_of(hit.slot)->flags;
	hit.rule_id = segment->rule;
	hit.flow = segment->flow;
	hit.tc_index = segment->tc_index;
	rule = bpf_map_lookup_elem(&hw_rules, &hit.rule_id);
	if (!rule || !find_hit(&hit, rule, segment->drawn)) {
		mark(skb, &hit);
		return redirect_marked(skb, false);
	}
	segment->drawn &= HW_DRAWN; /* the events were the first one's */
	verdict = decide(skb, &hit, BEHIND_SEGMENTER);
	return verdict == NEXT ? pass_on(skb, &hit, BEHIND_SEGMENTER) : verdict;
}

/* At no hook: the loader runs it once for each device of the line. */
SEC("tc")
int headwind_note_device(struct __sk_buff *skb)
{
	note_device(skb);
	return NEXT;
}

/* At no hook: the loader runs it. Returns the parts of the line that packets are sent to: hw_paces, and
 * HW_LINE_SEGMENTS. */
SEC("tc")
int headwind_look(struct __sk_buff *skb)
{
	__u64 now = env_monotonic();

	(void)skb;
	if (!hw_held.returns)
		return HW_LINE_PACES | HW_LOOPBACK_PACES | HW_LINE_SEGMENTS; /* nobody looks */
	look_at_pacers(now);
	look_at_segmenter(now);
	return hw_held.paces | (hw_held.segments ? HW_LINE_SEGMENTS : 0);
}

/* headwind0 ingress: packets whose time has come. */
SEC("tc")
int headwind_pace_out(struct __sk_buff *skb)
{
	if (!is_from_line(skb))
		return NEXT;
	if (skb->tc_index & HW_MARK_STEERED) {
		leave_steering(skb);
	} else {
		skb->tstamp = 0;
		skb->queue_mapping = 0; /* it was headwind1's */
		bpf_set_hash_invalid(skb);
	}
	skb->cb[2] = 0; /* it has no number */
	if (skb->tc_index & HW_MARK_HOST) {
		skb->tc_index &= ~HW_MARK_HOST;
		bpf_skb_change_type(skb, PACKET_HOST);
	}
	if (works_around(HW_WORKAROUND_PRIORITY))
		skb->priority = skb->cb[0] = skb->cb[4];
	return redirect_marked(skb, false);
}
