/* SPDX-License-Identifier: MIT
 *
 * Everything that the BPF programs and the loader share: keys, values, enums, limits. Compiled by clang for BPF and by
 * g++ for the loader and the tests. Addresses and ports are in the packet's byte order, all else in the host's. Times
 * are nanoseconds; which clock is said at each.
 */
#ifndef HEADWIND_ABI_H
#define HEADWIND_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

#ifdef __cplusplus
#define HW_ASSERT static_assert
#else
#define HW_ASSERT _Static_assert
#endif

/* Raised whenever a layout below changes, or a rule can say what earlier programs would not heed: pins of another ABI
 * are refused, never reinterpreted. Programs of one ABI replace each other while packets flow, and work side by side
 * meanwhile (loader/engine/takeover.h): the maps and the marks on packets are all that they know of each other. */
#define HW_ABI_VERSION 18

enum hw_limits {
	HW_MAX_SHAPES = 32,           /* hash lookups one packet may cost; a rule that needs more is refused */
	HW_FILTER_BITS = 1024,        /* per shape; a power of two */
	HW_SHAPE_IDS = 64,            /* twice as many names: during a transaction old and new shapes exist together */
	HW_MAX_DEVICES = 1024,        /* 10 bits in tc_index */
	HW_DEVICE_PROBES = 8,         /* slots where an ifindex may be found */
	HW_MAX_ALIKE = 4,             /* rules with one and the same selector */
	HW_MAX_CANDIDATES = 8,        /* the same during a transaction: all of them may be changed at once */
	HW_DEFAULT_RULES = 1 << 12,   /* room an instance has; costs memory, and time to walk, even empty */
	HW_MAX_RULES = 1 << 20,       /* room it may have */
	HW_ENTRIES_PER_RULE = 1 << 2, /* on average; and */
	HW_MIN_ENTRIES = 1 << 17,     /* at least */
	HW_TEXTS_PER_RULE = 1 << 2,
	HW_PORTS = 1 << 16,
	HW_MAX_STEPS = 1 << 16,  /* of one timeline */
	HW_FRAGMENTED = 1 << 13, /* datagrams in fragments that are remembered */
	HW_STEERED = 1 << 12,    /* slots for steered flows, by their hash; a power of two */
	HW_STOP_WORDS = 104,     /* bytes */
	HW_PAST_MINUTES = 8,     /* a power of two */
	HW_TEXT_CHUNK = 240,     /* bytes of a rule's description per map element */
	HW_NAME_BYTES = 64,      /* of a rule, with a 0 at its end */
	HW_DAY = 86400,          /* s */
	HW_WEEK = 7 * HW_DAY,
};

/* Seen from the rule's subject (a container, a cgroup, this namespace); also the two sides of a device: egress and
 * ingress. They differ on a device whose subject is at the peer (HW_DEVICE_PEER), and on lo, where a packet is decided
 * once, at egress: for its sender, and if no rule wants it then, for its receiver. */
enum hw_direction { HW_OUT = 0, HW_IN = 1, HW_DIRECTIONS = 2 };

/* ---- matching -------------------------------------------------------------------------------------------------- */

/* What kind of frame it is. A shape says which of them it takes: ARP, neighbour discovery and DHCP, without which a
 * host loses its network, are matched only by rules that name them. */
enum hw_class {
	HW_ORDINARY = 0, /* IP */
	HW_ARP = 1,
	HW_ND = 2,
	HW_DHCP = 3,
	HW_FRAME = 4,    /* not IP, or an IP header that can't be read; hw_key.local_port is the EtherType */
	HW_HEADLESS = 5, /* IP whose protocol is not known: its extension headers end too early, or never */
};

/* What else than one of IP's 256 a protocol of a rule may be. Above are EtherTypes, from HW_FIRST_ETHERTYPE on. */
enum hw_pseudo_protocol {
	HW_PROTO_ARP = 256,
	HW_PROTO_ND = 257,
	HW_PROTO_DHCP = 258,
	HW_PROTO_LLC = 259,   /* frames with a length where others have their EtherType (802.3) */
	HW_PROTO_MPLS = 260,  /* two EtherTypes: unicast, multicast */
	HW_PROTO_PPPOE = 261, /* two EtherTypes: discovery, session */
};
#define HW_FIRST_ETHERTYPE 0x0600
#define HW_ETHERTYPE_LLC 4 /* stands for every length; ETH_P_802_2 */

/* What of a packet can be selected. Fields that a packet lacks are 0. Small, because with many rules a lookup costs
 * cache misses. */
struct hw_key {
	__u64 cgroup;   /* id of the ancestor, at the shape's level, of the sending socket's cgroup */
	__u64 local[2]; /* IPv4 addresses are IPv4-mapped (::ffff:a.b.c.d), packet byte order */
	__u64 remote[2];
	/* Packet byte order. Of a HW_FRAME its EtherType or HW_ETHERTYPE_LLC. In the keys of a shape that looks at the
	 * port's class, that. */
	__u16 local_port;
	__u16 remote_port;
	__u16 device; /* slot in hw_control.devices, plus 1 */
	__u8 protocol;
	__u8 shape; /* id: tells shapes apart whose masked keys look alike */
};

/* For rules without --dev. */
enum hw_default_devices {
	HW_DEFAULTS_NO = 0,     /* the key names a device, or any will do */
	HW_DEFAULTS_ALL = 1,    /* only on devices with HW_DEVICE_DEFAULT */
	HW_DEFAULTS_NOT_LO = 2, /* of these, not on lo */
};

enum hw_class_of { HW_CLASS_OF_LOCAL_PORT = 1 << 0, HW_CLASS_OF_REMOTE_PORT = 1 << 1 };

/* The class of each port, in host byte order; 0: it is in no rule's ranges. Ports are in one class if each rule with
 * ranges has all of them or none, so a rule needs an entry for each class of its ports, however many they are
 * (recursive flow classification, Gupta and McKeown 1999). One table is in force, as hw_shape_table.port_classes says;
 * a transaction that changes classes writes the other one. */
struct hw_port_classes {
	__u16 of[2][HW_PORTS];
};

/* One set of fields to look at. The program visits the shapes in use in order of max_rank, one lookup each. */
struct hw_shape {
	struct hw_key mask;   /* mask.shape is 0 */
	__u64 max_rank;       /* highest rank of any rule in this shape: a better match ends the lookup */
	__u8 id;              /* goes into hw_key.shape; stable while an entry uses it */
	__u8 directions;      /* bit 1 << hw_direction */
	__u8 classes;         /* bit 1 << hw_class of each that it takes */
	__u8 cgroup_level;    /* level of the ancestor plus 1; 0: the cgroup is not looked at */
	__u8 default_devices; /* hw_default_devices */
	__u8 ipv6_only;       /* 1: no IPv4 packet, whose mapped addresses a short IPv6 prefix would cover */
	__u8 peer;            /* 1: the subject is at the device's peer (a pod, from its host) */
	__u8 port_classes;    /* hw_class_of: of these ports it looks at the class, whatever the mask says */
	/* Bit hw_filter_bit(key) is set for each entry of the shape: where it is not, the lookup is saved. */
	__u64 filter[HW_FILTER_BITS / 64];
};

/* Candidates are written and cleared one word at a time while packets read them; order does not matter. */
struct hw_entry {
	struct bpf_spin_lock lock; /* for in-place updates (BPF_F_LOCK) only; the datapath never takes it */
	__u32 rules[HW_MAX_CANDIDATES];
};

/* Of a datagram in fragments: its later ones have no transport header. Packet byte order. */
struct hw_fragment_key {
	__u64 source[2]; /* as in hw_key */
	__u64 destination[2];
	__u32 identification;
	__u32 protocol; /* IPv4's; IPPROTO_FRAGMENT for IPv6, where the first fragment alone has it (RFC 8200) */
};
/* What its first fragment had. */
struct hw_fragment {
	__u64 seen; /* CLOCK_BOOTTIME */
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 packet_class; /* hw_class */
	__u16 pad;
};

/* ---- rules ----------------------------------------------------------------------------------------------------- */

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

struct hw_lease {
	struct bpf_spin_lock lock; /* for in-place updates (BPF_F_LOCK) only */
	__u32 pad;
	__u64 until; /* CLOCK_BOOTTIME */
};

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
	HW_EXEMPTIONS = 4,
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

/* A rule's description (JSON of the loader's), in pieces. */
struct hw_text_key {
	__u32 rule;
	__u32 chunk;
};
struct hw_text {
	__u16 length;
	char bytes[HW_TEXT_CHUNK - 2];
};

/* ---- the instance ---------------------------------------------------------------------------------------------- */

enum hw_device_flags {
	HW_DEVICE_DEFAULT = 1 << 0,  /* rules without --dev apply here */
	HW_DEVICE_LOOPBACK = 1 << 1, /* decided at egress only, and held there: packets keep their route */
	HW_DEVICE_PEER = 1 << 5,     /* there are rules for a subject at the peer */
	/* What comes in there was in another network namespace before (a veth, say), where anyone may write marks. */
	HW_DEVICE_BORDER = 1 << 8,
	/* The loader's notes: */
	HW_DEVICE_EGRESS = 1 << 2, /* our program is, or is about to be, attached there */
	HW_DEVICE_INGRESS = 1 << 3,
	HW_DEVICE_CLSACT = 1 << 4,  /* the clsact qdisc is ours */
	HW_DEVICE_XDP = 1 << 6,     /* the XDP program is, or is about to be, attached there */
	HW_DEVICE_GENERIC = 1 << 7, /* in generic mode: super-packets come, too (XDP reads this) */
};

/* One device with our programs on it. Found by probing HW_DEVICE_PROBES slots from ifindex % HW_MAX_DEVICES on. */
struct hw_device {
	__u32 ifindex; /* 0: free slot */
	__u32 flags;
	__s32 peer_netns; /* id, in the device's network namespace, of the one with its peer; for HW_DEVICE_PEER */
	__s32 on_return;  /* with HW_DEVICE_GENERIC: packets on the way back to its ingress; a lost one stays counted */
	char name[16];    /* when it was attached: rules with --dev follow names. The loader's note */
};

struct hw_shape_table {
	__u32 count;
	__u32 directions; /* of all the shapes */
	__u32 shares;     /* 1: some rule has a max_share */
	__u32 stale; /* entries removed since the filters were exact: their bits may still be set. The loader's note */
	__u32 transport;     /* 1: some rule looks at what later fragments have from their first one only */
	__u16 port_classes;  /* index in hw_port_classes.of */
	__u16 has_classes;   /* 1: some shape looks at the class of a port */
	__u32 stale_classes; /* rules with ranges removed since no class could be spared. The loader's note */
	__u32 pad;
	struct hw_shape shapes[HW_MAX_SHAPES]; /* highest max_rank first */
};

/* A sysctl that the instance changed. */
struct hw_saved {
	__u32 changed; /* 1: written before the sysctl itself */
	__u32 before;
};

/* Written by the loader through mmap, read by every packet. The rule set in force is `version` with the shapes of
 * tables[version & 1]: one store commits a transaction. */
struct hw_control {
	__u32 abi;       /* HW_ABI_VERSION, written last: 0 is an instance that was never finished */
	__u32 next_rule; /* id that the next rule gets */
	__u64 version;
	__u32 line_segment; /* ifindex of headwind2: what is sent there becomes wire packets; 0: no line */
	__u32 line_pace;    /* ifindex of headwind1: its egress holds packets */
	__u32 line_return;  /* ifindex of headwind0 */
	__u32 xdp_nonce;    /* random; proves that XDP metadata is ours */
	__u64 max_held;     /* bytes */
	__u64 netns_cookie; /* whose instance this is: inode numbers are used again */
	__u32 dirty;        /* 1: a transaction began; if no one is at it, clean up after it */
	__u32 tcx;          /* 1: attached with tcx, 0: clsact */
	__u64
	    programs; /* which programs: the loader's own_programs(); 0: of several versions, a take-over was killed */
	__u32 nonce;  /* hw_nonce of the programs */
	__u32 loopback_pace; /* ifindex of lo while its root qdisc is our fq, which holds what is sent there; 0: it is
	                        not */
	__u64 secret;        /* random: makes marks of HW_MARK_DONE that nobody can guess */
	__u64 longest_hold;  /* ns that packets wait for delay and rate at most, by all rules that there ever were */
	__u32 loopback_rps;  /* 1: lo's RPS is ours. The loader's note */
	__u32 steers;        /* 1: headwind0 receives a flow on one CPU, whichever sends */
	struct hw_saved route_localnet;
	struct hw_saved accept_local;
	struct hw_shape_table tables[2];
	struct hw_device devices[HW_MAX_DEVICES];
};

/* What the line held at that moment. Written by delayed packets, hence not beside what every packet reads. */
struct hw_held {
	__u64 at; /* CLOCK_MONOTONIC */
	__u64 bytes;
	/* Of headwind1 and lo: their struct net_device, to be read with bpf_probe_read_kernel(); 0: not known */
	__u64 pacer;
	__u64 loopback;
};

/* Shared by all instances of the host. */
struct hw_host {
	__u32 panic;           /* 1: no rule of any instance is live */
	__u32 backlog_changed; /* 1: we raised net.core.netdev_max_backlog, from: */
	__u32 backlog_before;
	__u32 pad;
};

/* A held packet costs the kernel its bytes and about this much more (struct sk_buff, shared info, rounding). */
#define HW_HELD_OVERHEAD 1024

HW_ASSERT(sizeof(struct hw_key) == 48, "hashed as a whole: no padding, or equal keys would differ");
HW_ASSERT(sizeof(struct hw_shape) == 64 + HW_FILTER_BITS / 8,
          "two cache lines per shape of the lookup: one of them filter");
HW_ASSERT(sizeof(struct hw_text) == HW_TEXT_CHUNK, "no hidden padding goes to the kernel");

#endif
