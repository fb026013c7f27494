/* SPDX-License-Identifier: MIT
 * Rules with HW_SEQUENCE: what befalls a packet depends on those before it, whichever CPU they are on. One chain per
 * rule and direction. Costs nothing where a rule has none. */
#ifndef HEADWIND_BPF_SEQUENCE_H
#define HEADWIND_BPF_SEQUENCE_H

#include <headwind/sequence.h>

#include "env.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_DEFAULT_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct hw_sequence);
} hw_sequences SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HW_LIST_BLOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hw_list_key);
	__type(value, struct hw_list_block);
} hw_lists SEC(".maps");

const volatile struct hw_scores hw_scores = {}; /* fixed when the programs are loaded */

/* What the wire packets of a super-packet would meet. (Not on the stack: the verifier would follow each value.) */
struct hw_trial {
	struct hw_progress progress;
	__u32 events;
	__u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_trial);
} hw_trials SEC(".maps");

struct hw_trial_context {
	struct hw_sequence *sequence;
	struct hw_trial *trial;
	__u32 rule;
};

/* Is that packet on the rule's list of losses? Then the bit of a loss. (No map is looked up under a lock: where the
 * sequence stands is known before.) */
HW_FUNCTION __u32 listed_loss(__u32 rule, __u64 index)
{
	struct hw_list_key key = {.rule = rule, .block = index / HW_LIST_BLOCK};
	struct hw_list_block *block = bpf_map_lookup_elem(&hw_lists, &key);

	return block ? hw_is_listed(block, index) << HW_EVENT_LOSS : 0;
}

static long try_packet(__u32 index __attribute__((unused)), struct hw_trial_context *context)
{
	__u64 before = hw_packets_before(&context->trial->progress);

	context->trial->events |= hw_sequence_step(context->sequence, &context->trial->progress);
	if (before < context->sequence->listed)
		context->trial->events |= listed_loss(context->rule, before);
	return context->trial->events != 0; /* 1: enough */
}

HW_INLINE void begin_sequence(const struct hw_sequence *sequence, struct hw_state *state, __u32 rule, __u32 direction)
{
	if (state->progress.rule < rule) /* a packet that still sees the former rule does not begin its sequence anew */
		hw_sequence_begin(sequence, &state->progress, rule, direction);
}

/* If no event befalls any of the super-packet's wire packets they are counted: HW_DRAWN. Else, or if another CPU's
 * packet came between, none is: what there is, without HW_DRAWN. */
HW_INLINE __u32 try_sequence(const struct hw_sequence *sequence, struct hw_state *state, __u32 rule, __u32 direction,
                             __u32 packets)
{
	__u32 zero = 0;
	struct hw_trial *trial = bpf_map_lookup_elem(&hw_trials, &zero);
	struct hw_trial_context context = {.sequence = (struct hw_sequence *)sequence, .trial = trial, .rule = rule};
	bool undisturbed;
	__u64 before;

	if (!trial)
		return sequence->used;
	trial->events = 0;
	bpf_spin_lock(&state->lock);
	begin_sequence(sequence, state, rule, direction);
	trial->progress = state->progress;
	bpf_spin_unlock(&state->lock);
	before = trial->progress.index;
	bpf_loop(packets, try_packet, &context, 0);
	if (trial->events)
		return trial->events;
	bpf_spin_lock(&state->lock);
	undisturbed = state->progress.index == before && state->progress.rule == trial->progress.rule;
	if (undisturbed)
		state->progress = trial->progress;
	bpf_spin_unlock(&state->lock);
	return undisturbed ? HW_DRAWN : sequence->used;
}

/* hw_fate.events of this packet; of a wire packet also the rest of `fate`. */
HW_FUNCTION __u32 draw_sequence(__u32 rule, __u32 state_id, __u32 direction, __u32 packets, struct hw_fate *fate)
{
	struct hw_state_key key = {.state = state_id, .direction = direction};
	struct hw_sequence *sequence = bpf_map_lookup_elem(&hw_sequences, &rule);
	struct hw_state *state = bpf_map_lookup_elem(&hw_states, &key);

	__u64 before;

	if (!sequence || !state || !fate)
		return HW_DRAWN; /* the rule is being removed */
	if (packets > 1)         /* where it says the delays they will be segmented in any case */
		return sequence->rest ? sequence->used : try_sequence(sequence, state, rule, direction, packets);
	bpf_spin_lock(&state->lock);
	begin_sequence(sequence, state, rule, direction);
	before = hw_packets_before(&state->progress);
	hw_sequence_fate(sequence, &hw_scores, &state->progress, fate);
	bpf_spin_unlock(&state->lock);
	if (before < sequence->listed)
		fate->events |= listed_loss(rule, before);
	return HW_DRAWN | fate->events;
}

#endif
