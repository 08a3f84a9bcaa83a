/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a vfio-user connection, shaped as the calls by which passthrough/vfio
 * reaches a device of the kernel: an assigned function does not know the difference.
 *
 * The server is not trusted with anything but what it is given. Guest memory is shared by choice:
 * as descriptors, which the server then has for good, or by messages, which are checked against the
 * ranges here. What it says of its device is checked before it is believed; what it offers to map
 * is mapped only where it cannot shrink. A server that ends, breaks the protocol or does not answer
 * is gone: every call fails from then on, and its owner is told once.
 *
 * Source: QEMU docs/interop/vfio-user.rst.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_CLIENT_H
#define ADIT_PASSTHROUGH_VFIO_USER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"

#define VFU_CLIENT_RANGES 32u

struct sandbox;
struct vfio_sys;
struct vfu_client;

/* Guest memory that the device may reach; page aligned. */
struct vfu_shared {
	uint64_t iova, size;
	void *hva;
	int fd; /* behind hva */
	uint64_t fd_offset;
};

struct vfu_client_options {
	const char *name;   /* for messages; copied */
	const char *socket; /* path; NULL: `fd` is connected, and taken over in any case */
	int fd;
	bool messages; /* memory is not given away: the server asks for each access */
	struct vfu_shared shared[VFU_CLIENT_RANGES];
	unsigned int n_shared;
	unsigned int timeout_ms; /* for an answer; 0: 10 seconds */
	const struct log *log;
	const struct sandbox *sandbox; /* for the thread that receives */
	/* Once, on any thread, where the server is gone. Not after destroy. */
	void (*gone)(void *opaque);
	void *opaque;
};

int vfu_client_create(struct vfu_client **out, const struct vfu_client_options *options,
		      struct err *err);
/* Nobody is in a call any more. */
void vfu_client_destroy(struct vfu_client *client);

/* For vfio_options.sys; its fd does not matter. Lives as long as the client. */
const struct vfio_sys *vfu_client_sys(const struct vfu_client *client);

#endif
