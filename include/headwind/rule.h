/* SPDX-License-Identifier: MIT
 *
 * Rules, as the loader writes them and the datapath reads them (abi.h).
 */
#ifndef HEADWIND_RULE_H
#define HEADWIND_RULE_H

#include <linux/bpf.h>
#include <linux/types.h>

#include "limits.h"

enum hw_impairment_flags {
	HW_PASS = 1 << 0,        /* exclusion: leave the packet alone */
	HW_PARTITION = 1 << 1,   /* drop every packet */
	HW_REJECT_RST = 1 << 2,  /* what loss or partition takes is answered: TCP with RST, the rest with ICMP */
	HW_REJECT_ICMP = 1 << 3, /* all of it with ICMP */
	/* The sequence says each packet's delay, too, be it correlated or repeatable: the score of its law (law.h). */
	HW_DELAY_OF_SEQUENCE = 1 << 4,
	HW_AT_XDP = 1 << 5, /* XDP decides where it is attached: loss or partition of what comes in, nothing else */
	/* In every step of a timeline some step of which has a time component: all go through the pacer, and none
	 * overtakes one that came while the delay was longer. */
	HW_TIMED_STEPS = 1 << 6,
	/* What befalls a packet depends on what befell those before it: hw_sequences says it (sequence.h). Then a
	 * `threshold` says only whether there is an event of that kind. */
	HW_SEQUENCE = 1 << 7,
	/* The jitter makes no packet overtake another one of its flow. */
	HW_KEEPS_ORDER = 1 << 8,
	/* Packets come to the link of `rate` when their delay is over: a queue, as netem's. */
	HW_RATE_LAST = 1 << 9,
};

#define HW_REJECT (HW_REJECT_RST | HW_REJECT_ICMP)

/* What chance does to wire packets, in this order. */
enum hw_event {
	HW_EVENT_LOSS = 0,
	HW_EVENT_CORRUPT = 1,
	HW_EVENT_DUPLICATE = 2,
	HW_EVENTS = 3,        /* that have a hw_chance */
	HW_EVENT_REORDER = 3, /* has one in a sequence only */
	HW_CHAINS = 4,
};

/* A probability. No die is thrown per packet: the number of wire packets until the next event is drawn when an event
 * happens (geometric law, hw_draw_gap). */
struct hw_chance {
	__u64 threshold;     /* of 2^32: 0 never, 2^32 always */
	__u64 half_life_q24; /* wire packets after which half of the gaps have ended, -1 / log2(1 - p); 24 fractional
	                        bits */
};

/* What happens to a packet. See model.h for the arithmetic. */
struct hw_impairment {
	struct hw_chance events[HW_EVENTS];
	__u64 reorder;          /* threshold: goes without delay */
	__u64 delay;            /* ns */
	__u64 jitter;           /* ns */
	__u64 law;              /* of the jitter: key of hw_laws (law.h); 0: uniform, `jitter` is half its width */
	__u64 correlation_time; /* ns: the delay is a smooth function of time (smooth.h); 0: each packet has its own */
	__u64 ns_per_byte_q16;  /* 1 / rate: ns per byte, 16 fractional bits; 0: unlimited */
	__u64 queue;            /* ns: longest wait in front of `rate`; with HW_RATE_LAST for the delay and there */
	__u32 reorder_gap;      /* at least this many packets from one that went without delay to the next; 1 or more */
	__u32 flags;
};

/* One of the phases of a timeline (--ramp, --trace). The last one of a timeline that does not repeat never ends. */
struct hw_step {
	__u64 begin; /* ns since hw_rule.since, or since the period began */
	__u64 end;   /* the next step's begin */
	__u64 sent;  /* what the link of `rate` can send from the timeline's begin until this step's, in 1/256 bytes */
	struct hw_impairment impairment;
};

/* When of the local week a rule is in force. The zone's offset changes twice a year at most: `turn` is the next time,
 * so that no process needs to be there. The loader writes both sides of it. */
struct hw_hours {
	__u32 from, to;    /* s of the local day: in force from <= s < to; over midnight `to` is above HW_DAY */
	__u32 days;        /* those it begins on: bit 0 is Monday; 0: at all times */
	__u32 shift;       /* (CLOCK_TAI in s + shift) % HW_WEEK: s since Monday 00:00, local time */
	__u32 shift_after; /* the same, from `turn` on */
	__u32 pad;
	__u64 turn; /* CLOCK_TAI, s; ~0: never */
};

/* Read-only to the datapath. Seen by a packet that read version v iff born <= v < died. */
struct hw_rule {
	struct bpf_spin_lock lock; /* for in-place updates (BPF_F_LOCK) only */
	__u32 pad;
	__u64 rank; /* unique; the highest live match wins: priority, then specificity, then age */
	__u64 born;
	__u64 died;
	__u64 start;    /* CLOCK_BOOTTIME: not before; 0: at once */
	__u64 deadline; /* CLOCK_BOOTTIME; 0: none */
	__u32 leased;   /* 1: live only until the time in the leases map under `state` */
	__u32 flows;    /* of 2^32: it matches only flows whose hw_flow_number is below; 0: all */
	__u32 flow_seed;
	__u32 timeline;    /* key of hw_timelines, whose steps take the place of `impairment`; 0: none */
	__u64 since;       /* CLOCK_BOOTTIME: when flap and timeline began */
	__u64 flap_period; /* ns; 0: in force all the time. Else of each period from `since` on, */
	__u64 flap_up;     /* ns: no match so long, then in force until it ends */
	__u64 period;      /* ns: the timeline starts over; 0: never */
	__u32 state;       /* key of hw_state and hw_cpu_state: survives a change of the rule */
	__u32 steps; /* of the timeline; behind them stands one that is never in force, its `sent` that of a period */
	__u16 held_shift; /* of its hw_ring */
	__u16 stoppable;  /* 1: live only without an element in the stops map under `state` */
	__u32 max_share;  /* of 2^32: of a hook's packets in a minute, not more than which it may touch; 0: any */
	struct hw_hours hours;
	struct hw_impairment impairment;
};

/* Why a rule is stopped, for good, whose hw_rule.stoppable is set. */
enum hw_stop_cause {
	HW_STOP_SHARE = 1, /* --max-share: the datapath wrote it */
	HW_STOP_CHECK = 2, /* --stop-if: the agent wrote it */
};

/* Of the stops map, under hw_rule.state. */
struct hw_stop {
	__u64 at;                  /* CLOCK_BOOTTIME */
	__u64 touched;             /* HW_STOP_SHARE: so many */
	__u64 packets;             /* of so many of one hook in one minute */
	__u32 cause;               /* hw_stop_cause */
	__u32 told;                /* 1: the agent has said so */
	char words[HW_STOP_WORDS]; /* HW_STOP_CHECK: what the command said; ends with 0 */
};

struct hw_lease {
	struct bpf_spin_lock lock; /* for in-place updates (BPF_F_LOCK) only */
	__u32 pad;
	__u64 until; /* CLOCK_BOOTTIME */
};

/* A rule's description (JSON of the loader's), in pieces. */
struct hw_text_key {
	__u32 rule;
	__u32 chunk;
};
struct hw_text {
	__u16 length;
	char bytes[HW_TEXT_CHUNK - 2];
};

#endif
