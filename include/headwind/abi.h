/* SPDX-License-Identifier: MIT
 *
 * Everything that the BPF programs and the loader share: keys, values, enums, limits; those of rules are in rule.h,
 * those that the datapath writes in state.h. Compiled by clang for BPF and by g++ for the loader and the tests.
 * Addresses and ports are in the packet's byte order, all else in the host's. Times are nanoseconds; which clock is
 * said at each.
 */
#ifndef HEADWIND_ABI_H
#define HEADWIND_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

#include "limits.h"
#include "rule.h"
#include "state.h"

#ifdef __cplusplus
#define HW_ASSERT static_assert
#else
#define HW_ASSERT _Static_assert
#endif

/* Raised whenever a layout here or there changes, or a rule can say what earlier programs would not heed: pins of
 * another ABI are refused, never reinterpreted. Programs of one ABI replace each other while packets flow, and work
 * side by side meanwhile (loader/engine/takeover.h): the maps and the marks on packets are all that they know of each
 * other. */
#define HW_ABI_VERSION 21

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

/* Whether packets come to a hook. */
enum hw_sight {
	HW_UNSEEN = 0,
	HW_SEEN = 1,
	/* No more than that, since a moment: counters of devices lag behind (queues, NICs that tell them once a
	   second). */
	HW_SEEN_BEFORE = 2,
};

/* One device with our programs on it. Found by probing HW_DEVICE_PROBES slots from ifindex % HW_MAX_DEVICES on. */
struct hw_device {
	__u32 ifindex; /* 0: free slot */
	__u16 flags;
	__u8 sight[HW_DIRECTIONS]; /* hw_sight of the hooks. Packets write HW_SEEN, once; the loader sets it back */
	__s32 peer_netns; /* id, in the device's network namespace, of the one with its peer; for HW_DEVICE_PEER */
	__s32 on_return;  /* with HW_DEVICE_GENERIC: packets on the way back to its ingress; a lost one stays counted */
	/* The loader's notes: */
	char name[16];               /* when it was attached: rules with --dev follow names */
	__u64 passed[HW_DIRECTIONS]; /* packets that the device had sent, and received, since when HW_UNSEEN counts */
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

/* Who can hold packets: it is there and up, and so is all that they come back by, and an fq is where it must be. */
enum hw_paces {
	HW_LINE_PACES = 1 << 0, /* headwind1 */
	HW_LOOPBACK_PACES = 1 << 1,
};
#define HW_LINE_SEGMENTS (1U << 2) /* beside these in what headwind_look returns: headwind2 */

/* What the line could do and held when it was last looked at. Written by packets that it is for, hence not beside what
 * every packet reads. */
struct hw_held {
	__u64 at; /* CLOCK_MONOTONIC; 0: it is to be looked at */
	__u64 bytes;
	__u64 paces; /* hw_paces */
	/* The same of headwind2: 1: it is there and up, and packets get from there to us. */
	__u64 segmenter_at;
	__u64 segments;
	/* Of headwind0, 2, 1 and lo: their struct net_device, to be read with bpf_probe_read_kernel(); 0: not known */
	__u64 returns, segmenter, pacer, loopback;
	__u64 net; /* struct net of our network namespace */
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
