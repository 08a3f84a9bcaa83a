/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a network device: one tap interface with a descriptor for each queue pair,
 * opened by name or handed over.
 */
#ifndef ADIT_VMM_VIRTIO_TAP_H
#define ADIT_VMM_VIRTIO_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

#define TAP_PAIRS_MAX	 16u
#define TAP_HEADER_BYTES 12u /* struct virtio_net_hdr_v1 before every frame */

struct tap {
	unsigned int n;
	int fd[TAP_PAIRS_MAX];
	bool uso; /* the kernel segments UDP too (Linux 6.2) */
};

/*
 * name: an interface that exists, or, for who may make one, a new one. fd, where it is not -1: an
 * open tap (IFF_TAP, IFF_NO_PI, IFF_VNET_HDR), which is duplicated; it serves one pair.
 */
int tap_open(struct tap *tap, const char *name, int fd, unsigned int pairs, struct err *err);
void tap_close(struct tap *tap);
/* TUN_F_*: what the guest takes. 0 or -errno. */
int tap_offload(const struct tap *tap, unsigned int flags);
/* The first `pairs` descriptors carry frames, the others none. */
int tap_use(const struct tap *tap, unsigned int pairs);

#endif
