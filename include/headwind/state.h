/* SPDX-License-Identifier: MIT
 *
 * What the datapath writes (abi.h): what rules, flows and hooks remember and count.
 */
#ifndef HEADWIND_STATE_H
#define HEADWIND_STATE_H

#include <linux/bpf.h>
#include <linux/types.h>

#include "rule.h"

/* What one rule remembers in one direction. Key of the states and locals maps. */
struct hw_state_key {
	__u32 state;
	__u32 direction; /* hw_direction */
};

/* Bytes that a rule has in the line, by their time of departure, in slots of 2^shift ns (hw_rule.held_shift). What has
 * departed expires by itself, whatever became of it on the way. Kept only while the instance holds much. */
#define HW_RING_SLOTS 16
struct hw_ring {
	__u32 shift;
	__u32 pad;
	__u64 first;                /* number of the earliest slot, that of the last look */
	__u32 units[HW_RING_SLOTS]; /* of HW_RING_UNIT bytes, by number modulo HW_RING_SLOTS */
};
#define HW_RING_UNIT 64

/* How far a rule's sequence is, in one direction. */
struct hw_progress {
	__u64 index;            /* wire packets so far; the highest bit is the hw_direction */
	__u32 rule;             /* whose sequence it is: a changed rule begins anew */
	__u8 states[HW_CHAINS]; /* of its chains */
	__u32 dice[HW_CHAINS];  /* their last ones */
	__s32 score;            /* of the delay, that the last one had (law.h) */
	__u32 pad;
};

struct hw_state {
	struct bpf_spin_lock lock; /* guards all below: they advance together */
	__u32 fraction_q16;        /* of next_free */
	__u64 next_free;           /* CLOCK_MONOTONIC: when the link of `rate` is free again */
	__u32 since_reorder;       /* packets that were delayed since one was not; stops at reorder_gap - 1 */
	__u32 pad;
	__u64 last_depart; /* CLOCK_MONOTONIC: the latest departure under HW_TIMED_STEPS */
	struct hw_ring ring;
	struct hw_progress progress;
};

/* Why a wire packet was dropped. */
enum hw_drop_reason {
	HW_DROP_LOSS = 0,
	HW_DROP_PARTITION = 1,
	HW_DROP_QUEUE = 2,  /* the queue in front of `rate` was full */
	HW_DROP_HELD = 3,   /* the instance holds --max-held bytes already */
	HW_DROP_LINE = 4,   /* the pacer's qdisc refused it */
	HW_DROP_REJECT = 5, /* answered (--reject) */
	HW_DROP_REASONS = 6,
};

/* Why a packet passed that the rule should have changed, copied or held. All but the first kind are subject to loss and
 * partition as any packet; nothing else is done to them. */
enum hw_exemption {
	HW_EXEMPT_UNSTAMPABLE = 0, /* the kernel stamps only IP (a second VLAN tag hides it): it passed without delay */
	HW_EXEMPT_SHARED = 1,      /* the skb has another owner, who reads what is in it (pktgen, NC-SI) */
	HW_EXEMPT_IPSEC = 2,       /* it carries what IPsec's policy check, or a NIC that encrypts, must find */
	HW_EXEMPT_KTLS = 3,        /* plain text that a NIC is to encrypt (kernel TLS) */
	HW_EXEMPT_LINE = 4,        /* a part of the line that it needs is not there (hw_held) */
	HW_EXEMPTIONS = 5,
};

/* Wire packets; bytes are frames without FCS. */
struct hw_counters {
	__u64 packets; /* matched */
	__u64 bytes;
	__u64 dropped[HW_DROP_REASONS];
	__u64 corrupted;  /* a bit was flipped */
	__u64 duplicated; /* copies made */
	__u64 delayed;    /* handed to the pacer */
	__u64 reordered;  /* of these, without their delay */
	__u64 exempt[HW_EXEMPTIONS];
};

/* What a sequence says of a packet. */
struct hw_fate {
	__u32 events;     /* a bit for each hw_event, and HW_DRAWN */
	__u32 flip;       /* a die: which bit is flipped */
	__s32 score;      /* of its delay, with HW_DELAY_OF_SEQUENCE */
	__s32 copy_score; /* of its copy's */
};
#define HW_DRAWN (1U << 31) /* else it says so of none: each wire packet in it draws */

/* What one rule has on one CPU in one direction. tc programs run with bottom halves off and never interrupt each other
 * on a CPU: plain additions are exact. */
struct hw_cpu_state {
	struct hw_counters counters;
	__u64 next_event[HW_EVENTS]; /* the n-th wire packet from now meets the event; 0: not drawn yet */
	/* Whose chances `next_event` was drawn by: a changed rule draws anew. Never one with a sequence, which says for
	 * each packet what befalls it. */
	__u32 rule;
	/* What was received and segmented comes back through this CPU's backlog. As long as the last one has not, what
	 * follows goes that way too, or it would overtake. */
	__u32 returns;       /* number of the last one, 31 bits */
	__u32 returned;      /* number of the one that came back last */
	__u32 step;          /* of the timeline, that `next_event` was drawn in */
	struct hw_fate fate; /* of this packet, with HW_SEQUENCE */
};

/* A packet on its way through headwind2, which clears skb->cb and hands on every segment in the same call: one per CPU
 * will do. */
struct hw_segment_ctx {
	__u32 rule;
	__u16 tc_index;  /* the packet's own */
	__u16 direction; /* hw_direction of the subject */
	__u32 flow;      /* a hash of it, as its packets that are not segmented have; 0: the kernel's */
	__u32 drawn;     /* hw_fate.events, of the first wire packet that comes of it */
};

/* A flow that is steered, since packets of it were segmented: see steer.h. Plain stores of several CPUs: a lost one
 * costs what a wrong count does, and that ends with the first pause of HW_STEER_LOST. */
struct hw_steering {
	__u64 last; /* CLOCK_MONOTONIC: when a packet of it last went to headwind0 or came from there; 0: not steered */
	__u32 entered; /* packets that went there */
	__u32 left;    /* packets that came from there */
};

/* XDP metadata of a packet that XDP let pass: tc does not decide again. The same for all packets of a rule,
 * or GRO would not join them. */
struct hw_xdp_meta {
	__u32 nonce; /* hw_control.xdp_nonce */
	__u32 rule;
};

/* What passed a hook: the minute it is in, and those before. Minutes are CLOCK_BOOTTIME / 60 s. */
struct hw_past {
	__u64 minute;
	__u64 packets;
};
struct hw_hook {
	struct bpf_spin_lock lock; /* guards all below */
	__u32 pad;
	__u64 minute;
	__u64 packets;                        /* wire packets in it so far */
	struct hw_past past[HW_PAST_MINUTES]; /* at minute % HW_PAST_MINUTES */
};

/* What a rule touched at one hook in one minute. */
struct hw_share_key {
	__u32 state; /* hw_rule.state */
	__u32 hook;  /* device slot << 1 | hw_direction of the device's side; also the key of the hooks map */
};
struct hw_share {
	struct bpf_spin_lock lock; /* guards all below */
	__u32 pad;
	__u64 minute;
	__u64 touched; /* wire packets */
};

#endif
