/* SPDX-License-Identifier: Apache-2.0 */
/* How long it will take to pin guest memory and to enter it into an IOMMU: a guess, made here. */
#ifndef ADIT_VMM_MAP_ESTIMATE_H
#define ADIT_VMM_MAP_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

struct map_estimate {
	uint64_t size;	   /* bytes of guest memory */
	uint64_t hugepage; /* bytes of one; 0: none are asked for */
	bool shared;	   /* a memfd; else anonymous */
	bool by_group;	   /* type1; else iommufd */
};

/*
 * Nanoseconds; 0: there is no memory for a sample. Takes 16 to 128 MiB of such memory, by the
 * number of CPUs, or a page of 1 GiB, for a moment: three times at the least, and until 60 ms of it
 * say how much of the CPUs there is. A page of 1 GiB is one thread's work, and a guest of several
 * is guessed at as if they all were.
 */
uint64_t map_estimate_ns(const struct map_estimate *what);

/* The same by samples of the caller's: ns that `size` bytes of such memory take, or 0. */
uint64_t map_estimate_by(const struct map_estimate *what,
			 uint64_t (*sample)(void *arg, const struct map_estimate *what,
					    uint64_t size),
			 void *arg);

#endif
