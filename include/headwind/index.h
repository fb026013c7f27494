/* SPDX-License-Identifier: MIT
 * The index of rules: what each command of the loader reads of every rule. Known to no BPF program. */
#ifndef HEADWIND_INDEX_H
#define HEADWIND_INDEX_H

#include "abi.h"

/* Facts of a rule that the loader finds without reading its description. */
enum hw_index_flags {
	HW_INDEX_FORMER = 1 << 0,     /* of a change that waits: as the rule was before, which `pending` brings back */
	HW_INDEX_PENDING = 1 << 1,    /* of a change that waits, before or after: `pending` */
	HW_INDEX_SSH = 1 << 2,        /* leaves an SSH connection alone */
	HW_INDEX_PROTECT = 1 << 3,    /* leaves alone what --protect names */
	HW_INDEX_EVERYWHERE = 1 << 4, /* at every device that any rule is at */
	HW_INDEX_NAMED = 1 << 5,      /* has --dev; without this and the one above: at the default devices */
	HW_INDEX_WAITING = 1 << 6,    /* for a device of its --dev, which may be a pattern */
	HW_INDEX_SLOTS = 1 << 7,      /* is at more than two: hw_index_rest.slots */
	HW_INDEX_SUBJECT = 1 << 8,    /* for a container, a pod or a process */
	HW_INDEX_CGROUP = 1 << 9,     /* hw_index_rest.cgroup */
	HW_INDEX_CGROUPS = 1 << 10,   /* and others */
	HW_INDEX_HOURS = 1 << 11,
	HW_INDEX_LEASED = 1 << 12,
	HW_INDEX_CHECKED = 1 << 13, /* has --stop-if */
	HW_INDEX_SHARE = 1 << 14,   /* has --max-share */
	HW_INDEX_TIME = 1 << 15,    /* needs the pacer */
	HW_INDEX_LINE = 1 << 16,    /* needs the line */
	HW_INDEX_XDP = 1 << 17,     /* XDP may decide: as `xdp` says */
	HW_INDEX_PORT = 1 << 18,    /* names some local port by itself: it may mean an SSH connection */
	HW_INDEX_TIMELINE = 1 << 19,
	HW_INDEX_FLOWS = 1 << 20,      /* has --flows */
	HW_INDEX_NOT_LO = 1 << 21,     /* without --dev, and lo is not meant */
	HW_INDEX_LO_TIME = 1 << 22,    /* at lo, with a delay or a rate */
	HW_INDEX_LO_SEGMENT = 1 << 23, /* at lo, and sends packets through headwind2 */
	HW_INDEX_RANGES = 1 << 24,     /* looks at classes of ports: hw_index_rest.ports */
};

/* The index of rules: two arrays of the loader's, which maps them, and replaces them by larger ones when they are full.
 * This one is walked by each command, one cache line a rule. In force like its hw_rule: born
 * <= version < died. */
struct hw_index_entry {
	__u32 id; /* of the rule; 0: free */
	__u32 flags;
	__u64 born, died;
	__u64 rank;
	__u64 shapes;      /* bit 1 << hw_shape.id of each that it has an entry in */
	__u64 deadline;    /* CLOCK_BOOTTIME; 0: none */
	__u32 name_hash;   /* FNV-1a */
	__u32 state;       /* as in its hw_rule */
	__u16 slots[2];    /* plus 1, of hw_control.devices; 0: none */
	__u8 device_flags; /* hw_device_flags of the devices it is at */
	__u8 xdp;          /* the loader's Xdp */
	__u16 pad;
};

/* The rest, at the same place: read where flags say so, and where names may be equal. */
struct hw_index_rest {
	__u64 owner_hash;
	__u64 pending;  /* CLOCK_BOOTTIME: until then */
	__u64 cgroup;   /* id of the first */
	__u32 timeline; /* as in its hw_rule */
	__u32 clock;    /* a hash of the host's local clock, as its hours were written for */
	char name[HW_NAME_BYTES];
	__u64 slots[HW_MAX_DEVICES / 64]; /* bit: is at that one */
	__u16 ports[2];                   /* first and last of those whose class it looks at, at either end */
	__u32 pad;
};

HW_ASSERT(sizeof(struct hw_index_entry) == 64, "a cache line");
HW_ASSERT(HW_SHAPE_IDS <= 64, "hw_index_entry.shapes has a bit for each");

#endif
