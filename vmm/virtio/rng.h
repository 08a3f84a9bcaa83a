/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio entropy device: the host's random bytes, from getrandom(2) or from a device. */
#ifndef ADIT_VMM_VIRTIO_RNG_H
#define ADIT_VMM_VIRTIO_RNG_H

#include "vmm/virtio/device.h"

/* src: a character device of random bytes, or NULL. *out is to be put on the bus. */
int rng_create(struct virtio_device **out, const struct virtio_host *host, const char *src,
	       struct err *err);

#endif
