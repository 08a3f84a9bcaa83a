/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio driver for payloads: the modern PCI transport, one buffer at a time on any layout. */
#ifndef ADIT_KIT_VIRTIO_H
#define ADIT_KIT_VIRTIO_H

#include "kit.h"
#include "pci.h"

#define VIRTIO_ID(type) ((0x1040u + (type)) << 16 | 0x1af4u)
#define VIRTIO_BLK	2
#define VIRTIO_RNG	4

#define VIRTIO_F_INDIRECT  (1UL << 28)
#define VIRTIO_F_EVENT_IDX (1UL << 29)
#define VIRTIO_F_VERSION_1 (1UL << 32)
#define VIRTIO_F_PACKED	   (1UL << 34)

#define VIRTIO_NEEDS_RESET 0x40
#define VIRTQ_ENTRIES	   16

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

struct piece {
	void *at;
	uint32_t len;
	bool write;
};

struct virtqueue {
	uint16_t index, next_avail, last_used;
	bool packed, avail_wrap, used_wrap;
	uint64_t doorbell;
	/* Split: descriptors, available, used. Packed: descriptors, driver and device events. */
	uint8_t ring[0x300] __attribute__((aligned(64)));
};
#define RING_DRIVER 0x100
#define RING_DEVICE 0x200

struct virtio {
	unsigned int slot;
	uint64_t common, notify, isr, device;
	uint32_t notify_step;
	struct msix msix;
};

/* The nth function of this type. False where there is none, or a capability is missing. */
bool virtio_find(struct virtio *v, unsigned int type, unsigned int nth);
void virtio_reset(struct virtio *v);
uint64_t virtio_offered(struct virtio *v);
/* Reset to FEATURES_OK; false where the device refuses. */
bool virtio_agree(struct virtio *v, uint64_t features);
/* MSI-X entry index + 1 goes to `vector`; 0: none. */
void virtio_queue(struct virtio *v, struct virtqueue *q, unsigned int index, uint64_t features,
		  unsigned int vector);
void virtio_ready(struct virtio *v);
uint8_t virtio_status(struct virtio *v);
void virtio_kick(struct virtqueue *q);
/* Makes one buffer of n pieces available (table: through an indirect table there; NULL: direct). */
void virtio_add(struct virtqueue *q, const struct piece *pieces, unsigned int n, void *table);
/* Waits for the next used buffer; false after a second or two, or when the device is broken. */
bool virtio_used(struct virtio *v, struct virtqueue *q, unsigned int n, uint32_t *written);

#endif
