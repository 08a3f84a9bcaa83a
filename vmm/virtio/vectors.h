/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of a virtio device as eventfds, so that the kernel raises them by itself: an eventfd
 * for each vector, which is an irqfd while the guest lets the vector through and counts while it
 * does not.
 */
#ifndef ADIT_VMM_VIRTIO_VECTORS_H
#define ADIT_VMM_VIRTIO_VECTORS_H

#include "util/err.h"

struct virtio_device;
struct virtio_vectors;

/* Before the device's function is on a bus. The device's own interrupts go the same way. */
int virtio_vectors_create(struct virtio_vectors **out, struct virtio_device *device,
			  struct err *err);
/* The guest runs no more, or the function is off its bus. NULL is allowed. */
void virtio_vectors_destroy(struct virtio_vectors *vectors);
/* -1 for VIRTIO_NO_VECTOR. */
int virtio_vectors_fd(const struct virtio_vectors *vectors, unsigned int vector);

#endif
