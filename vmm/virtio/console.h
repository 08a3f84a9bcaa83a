/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio console: port 0 is the guest's console, further ports are named channels, each with a
 * sink of its own (terminal, file, pseudo-terminal, socket, nothing).
 *
 * What the guest writes waits in its buffers while a sink blocks; what a peer writes waits in the
 * kernel while the guest offers no buffers. Nothing is held in the monitor beyond 256 bytes a port.
 */
#ifndef ADIT_VMM_VIRTIO_CONSOLE_H
#define ADIT_VMM_VIRTIO_CONSOLE_H

#include "vmm/config.h"
#include "vmm/virtio/device.h"

#define CONSOLE_PORTS_MAX 16u

struct console_port_options {
	const char *name; /* NULL for port 0 */
	enum config_serial mode;
	const char *path; /* as for serial_sink_open */
};

struct console_options {
	unsigned int n; /* 1 to CONSOLE_PORTS_MAX */
	struct console_port_options ports[CONSOLE_PORTS_MAX];
	/* Ctrl-A x at a terminal; may be NULL. */
	void (*quit)(void *arg);
	void *quit_arg;
};

int console_create(struct virtio_device **out, const struct virtio_host *host,
		   const struct console_options *options, struct err *err);

#endif
