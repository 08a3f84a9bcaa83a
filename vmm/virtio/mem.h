/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio memory device: the guest asks for blocks of a region (vmm/hot-ram.h) until it has as
 * much as is wanted, or gives back until it has no more.
 *
 * A block may have to be zeroed, pinned and mapped for DMA before it is the guest's, which takes
 * long: requests are carried out one at a time on a thread of the device's own, so that the loop
 * goes on. Plugged blocks outlive resets of the device, and end with the machine.
 */
#ifndef ADIT_VMM_VIRTIO_MEM_H
#define ADIT_VMM_VIRTIO_MEM_H

#include "vmm/virtio/device.h"

struct hot_ram;
struct mem;
struct sandbox;

struct mem_stats {
	uint64_t wanted, plugged, most; /* bytes */
};

struct mem_options {
	struct hot_ram *hot;	       /* borrowed */
	uint64_t wanted;	       /* bytes that the guest shall have at first, whole blocks */
	const struct sandbox *sandbox; /* for the thread; NULL: none */
};

int mem_create(struct mem **out, const struct virtio_host *host, const struct mem_options *options,
	       struct err *err);
struct virtio_device *mem_device(struct mem *mem);

/*
 * Any thread: so many bytes are wanted from now on; the guest is told and takes its time. -EINVAL:
 * no whole blocks, or more than the region has. -EBUSY: less than is plugged, while devices do DMA
 * into it.
 */
int mem_resize(struct mem *mem, uint64_t wanted, struct err *err);
void mem_read_stats(struct mem *mem, struct mem_stats *stats);

#endif
