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
 * Nanoseconds; 0: there is no memory for a sample. Takes 16 MiB of such memory three times, or a
 * page of 1 GiB once, for a moment.
 */
uint64_t map_estimate_ns(const struct map_estimate *what);

#endif
