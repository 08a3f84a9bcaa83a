/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio over MMIO, which other monitors' machines have in place of PCI: as far as a queue. */
#ifndef ADIT_KIT_MMIO_H
#define ADIT_KIT_MMIO_H

#include "kit.h"

struct mmio {
	uint64_t base, device, doorbell; /* the doorbell takes 4 bytes, a queue's index */
};

/* The first of this type at one of `n` places from `base` on. False: there is none. */
bool mmio_find(struct mmio *m, uint64_t base, unsigned int n, unsigned int type);
/* Reset to FEATURES_OK; false where the device refuses. */
bool mmio_agree(struct mmio *m, uint64_t features);
/* False: it has no queue of so many entries. Nobody is interrupted. */
bool mmio_queue(struct mmio *m, unsigned int index, unsigned int entries, const void *descriptors,
		const void *driver, const void *device);
bool mmio_ready(struct mmio *m);

#endif
