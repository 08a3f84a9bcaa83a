/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VFIO_USER_VERSION: what either side of a connection can take, as JSON behind the numbers.
 * Source: QEMU docs/interop/vfio-user.rst, "VFIO_USER_VERSION".
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_VERSION_H
#define ADIT_PASSTHROUGH_VFIO_USER_VERSION_H

#include <stdint.h>

#include "passthrough/vfio-user/wire.h"
#include "util/err.h"

#define VFU_MAJOR 0u
#define VFU_MINOR 1u

/* Of the peer: what it accepts. The defaults of the specification where it says nothing. */
struct vfu_limits {
	uint16_t minor;
	uint32_t max_fds;
	uint32_t max_xfer; /* bytes, at most VFU_XFER_MAX */
	uint32_t max_maps;
	uint64_t page_sizes;
};

/* The body of a VERSION message, in either direction. -EPROTO where it is none that we can serve.
 */
int vfu_version_read(const struct vfu_message *message, struct vfu_limits *peer, struct err *err);
/* Fills the body with our own limits. */
int vfu_version_write(struct vfu_message *message, uint16_t minor, uint32_t max_maps);

#endif
