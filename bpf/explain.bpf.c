// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Answers which rule a packet would get, that nobody sends: the lookup of the other programs, over the same maps, for
 * what hw_question says. At no hook; `headwind explain` loads it, runs it and lets it go.
 */
#define HW_EXPLAIN
#include "lookup.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Returns the id of the rule; 0: none wants it. */
SEC("tc")
int headwind_explain(struct __sk_buff *skb)
{
	struct hw_lookup lookup = {};

	lookup.version = *(volatile __u64 *)&hw_control.version;
	lookup.device = hw_question.device;
	lookup.direction = hw_question.direction & 1;
	lookup.peer = hw_question.peer != 0;
	lookup.packet.key = hw_question.key;
	lookup.packet.packet_class = hw_question.packet_class;
	lookup.packet.ipv4 = hw_question.ipv4 != 0;
	if (!(hw_control.tables[lookup.version & 1].directions & (1 << lookup.direction)))
		return 0;
	visit_shapes(skb, &lookup);
	return lookup.best;
}
