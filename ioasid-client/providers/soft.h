/* SPDX-License-Identifier: Apache-2.0 */
/* What the soft provider's management (soft.c) and its DMA (soft-dma.c) share. */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_SOFT_H
#define ADIT_IOASID_CLIENT_PROVIDERS_SOFT_H

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/soft-map.h"
#include "util/epoch.h"

/*
 * Generations make IOTLB entries stale. They grow after something was unlinked and before the
 * wait for open sections; an entry keeps the generations that were read before its walk. So an
 * entry filled from what is gone never matches again once the wait is over.
 */
struct soft_ctx {
	struct epoch epoch;
	/* Atomic, on a line of their own: every translation reads them. */
	_Alignas(64) uint64_t generation; /* of who is attached where */
	bool blocked;
};

struct soft_device {
	struct ioasid_range iova;
};

struct soft_space {
	struct soft_map map;
	uint64_t generation; /* atomic; of what is mapped */
};

#endif
