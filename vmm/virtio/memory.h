/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM as virtio devices reach it: a table of ranges that stands for the machine's life, and
 * what is plugged of a region that is mapped as long, so that a lookup needs no lock and a pointer
 * that was got stays good. Nothing but RAM is in it: a
 * ring or buffer in a device's BAR is refused, so devices cannot be made to write to each other.
 */
#ifndef ADIT_VMM_VIRTIO_MEMORY_H
#define ADIT_VMM_VIRTIO_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "util/bits.h"
#include "vmm/hot-ram.h"
#include "vmm/layout.h"

struct virtio_range {
	uint64_t gpa, size; /* bytes, not wrapping */
	uint8_t *hva;
};

struct virtio_memory {
	unsigned int n;
	struct virtio_range range[LAYOUT_MAX_RAM];
	const struct hot_ram *hot; /* NULL: none */
};

/* Host address of [gpa, gpa + len), len > 0, where it lies inside one range; else NULL. */
static inline uint8_t *virtio_memory_at(const struct virtio_memory *memory, uint64_t gpa,
					uint64_t len)
{
	for (unsigned int i = 0; i < memory->n; i++) {
		const struct virtio_range *r = &memory->range[i];

		if (range_inside(gpa, len, r->gpa, r->size))
			return r->hva + (gpa - r->gpa);
	}
	return memory->hot ? hot_ram_at(memory->hot, gpa, len) : NULL;
}

#endif
