/* SPDX-License-Identifier: MIT
 * Which rule a packet gets: from the memo, or by a lookup. */
#ifndef HEADWIND_BPF_MATCH_H
#define HEADWIND_BPF_MATCH_H

#include "fragment.h"
#include "memo.h"

/* Whether a rule wants the packet, for a subject that sends or receives it there: matched_rule() is it. The caller has
 * set version, device, direction, peer and plain. The version is read once per packet: it sees one rule set, whatever
 * commits meanwhile. */
HW_FUNCTION int match(hw_context *context, struct hw_lookup *lookup)
{
	const struct hw_shape_table *table;
	struct hw_memo *memo = NULL;

	if (!lookup)
		return 0;
	table = &hw_control.tables[lookup->version & 1];
	if (!(table->directions & (1 << lookup->direction)))
		return 0;
	if (lookup->plain.rest) {
		memo = memo_at(lookup, index_of_plain(&lookup->plain));
		if (memo && is_of_plain(memo, &lookup->plain) && holds(memo, lookup)) {
			fill_plain(&lookup->packet, lookup->plain.rest >> 32);
			return memo->rule_id != 0;
		}
	}
	if (!parse_packet(context, lookup->direction, &lookup->packet))
		return 0;
	if (lookup->packet.fragment && table->transport && works_around(HW_WORKAROUND_FRAGMENTS))
		follow_first_fragment(&lookup->packet, lookup->direction);
	lookup->packet.key.device = lookup->device + 1;
	lookup->packet.key.shape =
	    lookup->packet.packet_class << 3 | lookup->packet.ipv4 << 2 | lookup->peer << 1 | lookup->direction;
	if (!lookup->plain.rest)
		memo = memo_of(lookup);
	if (!memo)
		return 0;
	if (lookup->plain.rest || !same_key(&memo->key, &lookup->packet.key) || !holds(memo, lookup)) {
		visit_shapes(context, lookup);
		keep(memo, lookup);
	}
	return memo->rule_id != 0;
}

/* After match() found one: valid until the next match() on this CPU. */
HW_INLINE struct hw_rule *matched_rule(const struct hw_lookup *lookup, __u32 *id)
{
	struct hw_memo *memo = bpf_map_lookup_elem(&hw_memos, &lookup->memo);

	*id = memo ? memo->rule_id : 0;
	return rule_in(memo);
}

#endif
