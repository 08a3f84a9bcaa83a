/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device for payloads that keep their rings themselves and poll: over PCI, or over MMIO as
 * other monitors' machines have it (word mmio=: the first of 24 places). Nobody is interrupted.
 */
#ifndef ADIT_KIT_BARE_H
#define ADIT_KIT_BARE_H

#include "kit.h"
#include "virtio.h"

struct bare {
	struct virtio pci;
	uint64_t mmio;	 /* 0: it is on PCI */
	uint64_t device; /* its own registers */
};

/* The first of this type. False: there is none. */
bool bare_find(struct bare *b, unsigned int type);
/* Reset to FEATURES_OK; false where the device refuses. */
bool bare_agree(struct bare *b, uint64_t features);
/* False: it has no queue of so many entries. */
bool bare_queue(struct bare *b, unsigned int index, unsigned int entries, const void *descriptors,
		const void *driver, const void *device, uint64_t *doorbell);
bool bare_ready(struct bare *b);

static inline void bare_ring(const struct bare *b, uint64_t doorbell, unsigned int index)
{
	if (b->mmio)
		write32(doorbell, index);
	else
		write16(doorbell, (uint16_t)index);
}

#endif
