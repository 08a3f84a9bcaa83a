/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio network device on a tap. A frame that the guest has no buffer for waits here (one for
 * each queue pair) and then in the tap; a frame that cannot be what it says is dropped. By choice,
 * frames are moved by the kernel's vhost-net.
 */
#ifndef ADIT_VMM_VIRTIO_NET_H
#define ADIT_VMM_VIRTIO_NET_H

#include "vmm/virtio/device.h"
#include "vmm/virtio/limiter.h"

struct hot_ram;
struct vhost_sys;

struct net_options {
	const char *id;
	const char *tap;    /* NULL with fd */
	int fd;		    /* -1 with tap; borrowed */
	const uint8_t *mac; /* NULL: a random one */
	uint16_t mtu;	    /* 0: none is told */
	unsigned int pairs;
	uint16_t queue_size;
	bool packed;
	bool csum, tso, uso;	     /* offer these offloads */
	struct bucket bytes, ops;    /* each way */
	bool vhost;		     /* frames are the kernel's (vhost.h); not with limits */
	struct hot_ram *hot;	     /* NULL: none; for vhost */
	const struct vhost_sys *sys; /* NULL: the host's; for vhost */
};

int net_create(struct virtio_device **out, const struct virtio_host *host,
	       const struct net_options *options, struct err *err);

#endif
