/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio sockets to UNIX sockets, in the convention of Firecracker and Cloud Hypervisor.
 *
 * Who connects to the socket at `path` and writes "CONNECT 1234\n" is connected to port 1234 of
 * the guest and reads "OK 1073741824\n" (the host's port) once the guest accepted. Where the guest
 * connects to CID 2 port 1234, the socket at `path`_1234 is connected to.
 *
 * A connection holds at most VSOCK_BUFFER bytes of the guest's that its peer does not read; there
 * are at most VSOCK_CONNECTIONS.
 */
#ifndef ADIT_VMM_VIRTIO_VSOCK_H
#define ADIT_VMM_VIRTIO_VSOCK_H

#include "vmm/virtio/device.h"

#define VSOCK_BUFFER	  (64u << 10)
#define VSOCK_CONNECTIONS 1024u

/* cid: 3 to 2^32 - 2. The socket is listened on, and removed when the device goes. */
int vsock_create(struct virtio_device **out, const struct virtio_host *host, uint64_t cid,
		 const char *path, struct err *err);

#endif
