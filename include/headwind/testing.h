/* SPDX-License-Identifier: MIT
 * What tests do to the BPF programs: feed clock and dice, take workarounds out. */
#ifndef HEADWIND_TESTING_H
#define HEADWIND_TESTING_H

#include <linux/types.h>

/* Used instead of the kernel's clock and random numbers when the object was loaded with hw_fed = true. */
struct hw_feed {
	__u64 monotonic;
	__u64 boottime;
	__u64 tai;
	__u64 dice; /* number of dice thrown so far: the n-th is hw_dice(seed, n) */
	__u64 seed;
};

/* Workarounds for traps of the kernel, which tests take out to show that they notice (hw_workarounds_off). Never set
 * otherwise. */
enum hw_workaround {
	HW_WORKAROUND_CLONE = 1 << 0,      /* held packets have no owner: TCP Small Queues */
	HW_WORKAROUND_SILENT = 1 << 1,     /* drops are not reported to the sender */
	HW_WORKAROUND_SEGMENT = 1 << 2,    /* super-packets are segmented before a decision */
	HW_WORKAROUND_FLOWS = 1 << 3,      /* rules and directions do not share a flow of fq */
	HW_WORKAROUND_TSTAMP = 1 << 4,     /* only a monotonic skb->tstamp is a departure time */
	HW_WORKAROUND_NONCE = 1 << 5,      /* tc_index alone does not prove that a packet is back */
	HW_WORKAROUND_MULTICAST = 1 << 6,  /* PACKET_LOOPBACK copies pass */
	HW_WORKAROUND_VERIFIED = 1 << 11,  /* a flipped bit is no longer verified by the NIC */
	HW_WORKAROUND_REAL_CSUM = 1 << 12, /* a bit is flipped only after the checksum is real */
	HW_WORKAROUND_ORDER = 1 << 13,     /* what follows a packet that comes back through the backlog does, too */
	HW_WORKAROUND_SPREAD = 1 << 14,    /* packets that may overtake do not share a flow of fq */
	HW_WORKAROUND_XDP_META = 1 << 15,  /* what XDP let pass meets no second fate at tc */
	HW_WORKAROUND_WHOLE = 1 << 16,     /* XDP in generic mode leaves super-packets to tc */
	HW_WORKAROUND_INJECTED = 1 << 17,  /* and what we inject at ingress ourselves */
	HW_WORKAROUND_SHARED = 1 << 18,    /* an skb with another owner is not touched */
	HW_WORKAROUND_PRIORITY = 1 << 20,  /* fq does not see a packet's priority, and what comes after the line does */
	HW_WORKAROUND_IPSEC = 1 << 21,     /* what came through IPsec stays on its way */
	HW_WORKAROUND_BORDER = 1 << 22,    /* marks from other network namespaces prove nothing */
	HW_WORKAROUND_PACING = 1 << 23,    /* a socket that fq paces stays paced */
	HW_WORKAROUND_ROUTE = 1 << 24,     /* what lo holds keeps its route and connection */
	HW_WORKAROUND_FRAGMENTS = 1 << 25, /* later fragments follow the first */
	HW_WORKAROUND_STEER =
	    1 << 26, /* what follows packets that were segmented stays behind them, whichever CPU sends it */
	/* The loader's: */
	HW_WORKAROUND_RPS = 1 << 19,     /* headwind0 receives a flow on one CPU */
	HW_WORKAROUND_FQ = 1 << 7,       /* fq's limits and horizon */
	HW_WORKAROUND_BACKLOG = 1 << 8,  /* netdev_max_backlog */
	HW_WORKAROUND_LOOPBACK = 1 << 9, /* route_localnet and accept_local, for what lo sends through the line */
	HW_WORKAROUND_MTU = 1 << 10,     /* the line takes every size */
};

#endif
