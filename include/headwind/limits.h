/* SPDX-License-Identifier: MIT
 *
 * Sizes of what BPF programs and loader share.
 */
#ifndef HEADWIND_LIMITS_H
#define HEADWIND_LIMITS_H

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

#endif
