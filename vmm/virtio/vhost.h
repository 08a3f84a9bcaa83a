/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of a network device in the kernel's hands (vhost-net): a worker of the kernel moves frames
 * between a tap and the guest's rings, and neither side needs this process for it. The control
 * queue, features, resets and everything else stay here.
 *
 * The kernel knows guest memory by a table, which has what is plugged before the guest has it, and
 * not any more when it is unplugged.
 *
 * All calls with the device's lock held.
 *
 * Source: Linux include/uapi/linux/vhost.h, drivers/vhost.
 */
#ifndef ADIT_VMM_VIRTIO_VHOST_H
#define ADIT_VMM_VIRTIO_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct hot_ram;
struct vhost;
struct virtio_memory;
struct virtq;

/* The system's calls, for tests that have no such node: 0 or more, or -errno. */
struct vhost_sys {
	int (*open)(void *arg);
	int (*ioctl)(void *arg, int fd, unsigned long request, void *data);
	void *arg;
};

struct vhost_options {
	unsigned int pairs;
	const struct virtio_memory *memory;
	struct hot_ram *hot;	     /* NULL: none */
	const struct vhost_sys *sys; /* NULL: the host's /dev/vhost-net */
};

/* -ENOENT, -EACCES, ...: the node cannot be opened, and what to do. */
int vhost_create(struct vhost **out, const struct vhost_options *options, struct err *err);
/* Rings are stopped first. NULL is allowed. */
void vhost_destroy(struct vhost *vhost);

/* The driver is ready; features: what it accepted. Before the first ring of that life. */
int vhost_start(struct vhost *vhost, uint64_t features, struct err *err);

struct vhost_ring {
	struct virtq *vq; /* as virtq_start left it, or vhost_ring_stop */
	int kick, call;	  /* eventfds; call: -1: no interrupts */
	int broken;	  /* an eventfd that counts where the kernel gives the ring up */
	int tap;
};

/* queue: 2 for each pair, receiving first. The kernel has it from here on. */
int vhost_ring_start(struct vhost *vhost, unsigned int queue, const struct vhost_ring *ring,
		     struct err *err);
/* When it returns, the kernel touches neither ring nor buffers; vq goes on from there. */
void vhost_ring_stop(struct vhost *vhost, unsigned int queue, struct virtq *vq);

#endif
