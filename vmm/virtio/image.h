/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file or block device behind a disk: opened, locked, and measured. Raw contents only: an image
 * format is refused with the command that converts it, unless the configuration says "Raw", which
 * means that the bytes are the guest's own whatever they look like.
 */
#ifndef ADIT_VMM_VIRTIO_IMAGE_H
#define ADIT_VMM_VIRTIO_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct image_options {
	const char *path; /* NULL with fd */
	int fd;		  /* without a path: it is open there, and stays so */
	bool readonly, direct;
	bool raw;      /* do not look for image formats */
	bool unlocked; /* only to look at it */
};

struct image {
	int fd;
	uint64_t size; /* bytes, a multiple of 512 */
	bool block_device;
	uint32_t logical, physical; /* block sizes in bytes, powers of two from 512 */
	uint32_t minimum;	    /* bytes of the smallest request that is no waste */
	uint32_t optimal;	    /* bytes of a good request, 0: unknown */
	uint32_t misaligned;	    /* bytes from the start to the first whole physical block */
	uint32_t granule;	    /* bytes of what can be discarded alone; 0: nothing can */
	uint32_t memory_align;	    /* direct I/O: of buffers; else 1 */
};

/*
 * A writable image is locked against every other adit that would open it, a read-only one against
 * writers (open file description locks; -EBUSY, after two seconds, for one that was killed lets go
 * of its image a little after its end). A block device that the host itself uses (mounted,
 * swap, a part of something) is not opened for writing by its path: -EBUSY.
 */
int image_open(struct image *image, const struct image_options *options, struct err *err);
void image_close(struct image *image);
/*
 * Makes a file larger; where it has this size already, nothing. Never smaller, and a block device
 * has the size that it has: -EINVAL with a sentence.
 */
int image_grow(const struct image *image, uint64_t bytes, struct err *err);
/* Its size now, rounded down to sectors; or -errno. */
int64_t image_size(const struct image *image);

#endif
