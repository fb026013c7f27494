// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Headwind's tc programs. The way of a packet:
 *
 *            device D, egress or ingress                    egress() ingress()
 *                 │ came back from the line, or was impaired at another hook ─► go on
 *                 │ no live rule matches ─────────────────────────────────────► go on
 *                 ▼
 *        rule decides per wire packet, packet may be a super-packet?
 *            │ no                               │ yes
 *            │                                  ▼
 *            │                     headwind0 egress, offloads off: the kernel segments
 *            │                                  ▼
 *            │                     headwind1 ingress           cut_in()
 *            ▼                                  ▼
 *        decide() ─ drop ─► silent
 *                 │ rule without time component ─► go on (from the line: back to D)
 *                 ▼
 *        headwind1 egress: fq holds the packet until skb->tstamp
 *                 ▼
 *        headwind0 ingress                                   pace_out(): back to D
 */
#include "apply.h"
#include "env.h"
#include "maps.h"
#include "match.h"
#include "packet.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

HW_INLINE bool panicking(void)
{
	__u32 zero = 0;
	struct hw_host *host = bpf_map_lookup_elem(&hw_host, &zero);

	return host && host->panic;
}

/* Takes the time component of the rule: waits for `rate`, then for `delay`. */
HW_INLINE int decide_time(struct __sk_buff *skb, const struct hw_impairment *imp, struct hw_flight *flight)
{
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &flight->key);
	__u64 ready = env_monotonic(), depart = 0;
	int cause;

	if (!state || hw_control.line_pace == 0)
		return NEXT;
	if (hw_held.bytes + skb->len + HW_HELD_OVERHEAD > (__s64)hw_control.max_held) {
		count_drop(flight, HW_CAUSE_HELD);
		return end_silently();
	}
	/* An earliest departure time of TCP's pacing counts; a receive timestamp (wall clock) does not. */
	if ((skb->tstamp_type == TSTAMP_MONOTONIC || !cured(HW_CURE_TSTAMP)) && skb->tstamp > ready)
		ready = skb->tstamp;
	bpf_spin_lock(&state->lock);
	cause = hw_schedule(imp, state, ready, skb->len, &depart);
	bpf_spin_unlock(&state->lock);
	if (cause) {
		count_drop(flight, cause);
		return end_silently();
	}
	return pace(skb, flight, depart);
}

/* The fate of a packet that needs no cutting, or is a wire packet. NEXT: it goes on unimpaired. */
HW_INLINE int decide(struct __sk_buff *skb, const struct hw_impairment *imp, struct hw_flight *flight)
{
	count_match(flight);
	if (imp->flags & HW_PASS)
		return NEXT;
	if (imp->flags & HW_PARTITION) {
		count_drop(flight, HW_CAUSE_PARTITION);
		return end_silently();
	}
	if (imp->loss && hw_happens(imp->loss, env_dice())) {
		count_drop(flight, HW_CAUSE_LOSS);
		return end_silently();
	}
	if (hw_needs_time(imp))
		return decide_time(skb, imp, flight);
	return NEXT;
}

/* Must this packet go through headwind0 first? Super-packets of rules that decide per wire packet; and all that may
 * follow one closely, or it would overtake: whatever waits, and TCP. */
HW_INLINE bool needs_cut(const struct __sk_buff *skb, const struct hw_impairment *imp, const struct hw_packet *packet)
{
	if (imp->flags || !hw_needs_wire(imp) || !cured(HW_CURE_CUT))
		return false;
	return skb->gso_size || hw_needs_time(imp) || packet->key.protocol == IPPROTO_TCP;
}

/* Back from the line, or impaired at another of our hooks? A packet's own tc_index is given back. */
HW_INLINE bool is_done(struct __sk_buff *skb, const struct hw_flight *flight)
{
	if (!has_our_tag(skb))
		return false;
	if (skb->tc_index != HW_MARK(hw_tag, flight->direction, flight->slot))
		return true;
	if (!has_our_nonce(skb))
		return false;
	if (skb->cb[3] & 0xffff)
		skb->tc_index = skb->cb[3] & 0xffff;
	return true;
}

HW_INLINE int device_hook(struct __sk_buff *skb, enum hw_direction direction)
{
	struct hw_flight flight = {.direction = direction};
	struct hw_walk walk = {.direction = direction};
	struct hw_packet packet;
	struct hw_rule *rule;
	__u32 headers;
	int verdict;

	walk.version = *(volatile __u64 *)&hw_control.version;
	flight.slot = find_device(skb->ifindex);
	if (flight.slot >= HW_MAX_DEVICES || hw_control.tables[walk.version & 1].count == 0 || is_done(skb, &flight))
		return NEXT;
	/* PACKET_LOOPBACK is the stack's own copy of a multicast: it has no MAC header, a redirect would free it. */
	if ((skb->pkt_type == PACKET_LOOPBACK && cured(HW_CURE_MULTICAST)) || panicking() ||
	    !parse_packet(skb, direction, &packet))
		return NEXT;
	walk.key = packet.key;
	walk.key.device = flight.slot + 1;
	walk.packet_class = packet.packet_class;
	walk.ipv4 = packet.ipv4;
	flight.rule_id = match(skb, &walk);
	rule = flight.rule_id ? bpf_map_lookup_elem(&hw_rules, &flight.rule_id) : NULL;
	if (!rule)
		return NEXT;

	flight.key.state = rule->state;
	flight.key.direction = direction;
	flight.counters = bpf_map_lookup_elem(&hw_counters, &flight.key);
	headers = skb->gso_size ? header_bytes(skb, &packet) : 0;
	flight.packets = wire_packets(skb, headers);
	flight.bytes = skb->len + (__u64)headers * (flight.packets - 1);
	if (needs_cut(skb, &rule->impairment, &packet))
		return redirect_to_cut(skb, &flight, hw_needs_time(&rule->impairment));
	verdict = decide(skb, &rule->impairment, &flight);
	/* Went through its impairment: another hook on its way (pod, then NIC) shall not impair it again. */
	if (verdict == NEXT && !(rule->impairment.flags & HW_PASS) && skb->tc_index == 0)
		skb->tc_index = HW_MARK(hw_tag, direction, flight.slot);
	return verdict;
}

SEC("tc")
int egress(struct __sk_buff *skb)
{
	return device_hook(skb, HW_OUT);
}

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	return device_hook(skb, HW_IN);
}

/* headwind1 ingress: wire packets of rules that decide on each. */
SEC("tc")
int cut_in(struct __sk_buff *skb)
{
	struct hw_flight flight = {.packets = 1, .bytes = skb->len};
	struct hw_rule *rule;
	int verdict = NEXT;

	if (!has_our_tag(skb) || !has_our_nonce(skb))
		return NEXT;
	flight.direction = HW_MARK_DIRECTION(skb->tc_index);
	flight.slot = HW_MARK_SLOT(skb->tc_index);
	flight.rule_id = skb->cb[4];
	rule = bpf_map_lookup_elem(&hw_rules, &flight.rule_id);
	skb->tc_index = skb->cb[3] & 0xffff; /* as it was, for mark() */
	if (rule) {
		flight.key.state = rule->state;
		flight.key.direction = flight.direction;
		flight.counters = bpf_map_lookup_elem(&hw_counters, &flight.key);
		verdict = decide(skb, &rule->impairment, &flight);
	}
	if (verdict != NEXT)
		return verdict;
	mark(skb, &flight);
	return redirect_home(skb);
}

/* headwind0 ingress: packets whose time has come. */
SEC("tc")
int pace_out(struct __sk_buff *skb)
{
	if (!has_our_tag(skb) || !has_our_nonce(skb))
		return NEXT;
	hold(-((__s64)skb->len + HW_HELD_OVERHEAD));
	skb->tstamp = 0;
	bpf_set_hash_invalid(skb);
	return redirect_home(skb);
}
