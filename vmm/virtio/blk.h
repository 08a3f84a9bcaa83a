/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio block device on a raw image.
 *
 * Guarantees
 *  - What the guest flushed is on stable storage; without the flush feature, or with the cache
 *    switched off by the driver, every write is before it completes.
 *  - Whatever the image does (truncated, full, an I/O error, gone), the guest's request ends with
 *    an error, and the log says why.
 *  - After a reset, and after the device is gone, no transfer of it touches memory.
 */
#ifndef ADIT_VMM_VIRTIO_BLK_H
#define ADIT_VMM_VIRTIO_BLK_H

#include "vmm/virtio/device.h"
#include "vmm/virtio/image.h"
#include "vmm/virtio/limiter.h"

#define BLK_SERIAL_MAX 20u

struct blk;

struct blk_options {
	const char *id; /* for logs; copied */
	struct image_options image;
	bool packed;
	unsigned int queues; /* 1 to 32 */
	uint16_t queue_size; /* a power of two from 4 */
	const char *serial;  /* up to BLK_SERIAL_MAX bytes; NULL: the id */
	struct bucket bytes, ops;
	/*
	 * Guest memory is there for good: it is registered with the ring, so that transfers of one
	 * piece find their pages pinned. Not with a balloon, which takes pages away.
	 */
	bool pinned;
};

int blk_create(struct blk **out, const struct virtio_host *host, const struct blk_options *options,
	       struct err *err);
struct virtio_device *blk_device(struct blk *blk);
/*
 * Any thread: the image has another size now, or, where size is not 0, is made that large (see
 * image_grow); the guest is told. -errno of the image.
 */
int blk_resize(struct blk *blk, uint64_t size, struct err *err);

#endif
