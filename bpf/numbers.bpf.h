/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The number that tells a record from all others of its CPU and load generation. */
#ifndef PODCORDER_NUMBERS_BPF_H
#define PODCORDER_NUMBERS_BPF_H

#include "maps.bpf.h"

#ifdef RAW_TRACEPOINTS

#define LEVELS 16 /* one for each of task, soft and hard interrupt and NMI would do */

/* Per CPU. */
struct numbers {
	__u64 level; /* how many programs are at taking a number */
	__u64 last[LEVELS];
};

MAP(numbers, PERCPU_ARRAY, 1, __u32, struct numbers);

/*
 * The atomic addition that hands back a value is of 5.12. Without it: what
 * interrupts a program on its CPU ends before that goes on, so whoever raised
 * the level has the count of that level for itself until it lowers it again.
 * The level stands above the count (NUMBER_LEVEL_SHIFT), from LEVELS on, so
 * that no number is one that the other build gives.
 */
static __always_inline __u64 next_number(struct counters *counts)
{
	__u32 zero = 0;
	struct numbers *own = bpf_map_lookup_elem(&numbers, &zero);
	volatile struct numbers *now = own;
	__u64 level, number;

	if (!own)
		return 0; /* an array of one: cannot fail */
	__sync_fetch_and_add(&own->level, 1);
	level = now->level & (LEVELS - 1);
	number = now->last[level] + 1;
	now->last[level] = number;
	__sync_fetch_and_add(&own->level, -1);
	return (LEVELS | level) << NUMBER_LEVEL_SHIFT | number;
}

#else

static __always_inline __u64 next_number(struct counters *counts)
{
	return __sync_fetch_and_add(&counts->sequence, 1) + 1;
}

#endif

#endif /* PODCORDER_NUMBERS_BPF_H */
