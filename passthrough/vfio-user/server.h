/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of one vfio-user connection, over an abstract device: negotiation, information,
 * region accesses, DMA maps, interrupts and reset as messages, and DMA toward a client that shares
 * no memory as messages the other way.
 *
 * The peer is hostile: every length, offset, count, flag and descriptor is checked here, so that
 * a device is only ever called with ranges inside what it declared. What a peer can do is to end
 * its own connection or to make its own device wait.
 *
 * Threads. vfu_serve runs on one thread and calls the device's operations there, one at a time.
 * vfu_fire and the DMA calls may come from any thread; vfu_stop as well. An operation must not wait
 * for a thread that waits in vfu_dma_read or vfu_dma_write: it would have to end the wait first, by
 * vfu_dma_refuse, because the answer is read by the thread that the operation runs on. (QEMU could
 * not answer either: it does so only between its own requests.)
 *
 * Source: QEMU docs/interop/vfio-user.rst.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_SERVER_H
#define ADIT_PASSTHROUGH_VFIO_USER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "passthrough/vfio-user/wire.h"
#include "util/err.h"
#include "util/log.h"

#define VFU_MAX_VECTORS 2048u

struct vfu_server;

/* A range of the client's memory; page aligned, not empty, without wrapping. */
struct vfu_range {
	uint64_t iova, size;
	bool read, write;
	int fd;		 /* -1: reached by messages only; borrowed for the call */
	uint64_t offset; /* of the range in fd */
};

struct vfu_region {
	uint64_t size; /* 0: there is no such region */
	bool read, write;
	/* The client may map it: a descriptor, where in it, and which areas (none: all of it). */
	bool mappable;
	int fd;
	uint64_t fd_offset;
	const struct vfu_area *areas;
	unsigned int n_areas;
};

/* Operations return 0 or -errno, which the client is told. NULL: -EOPNOTSUPP. */
struct vfu_device_ops {
	/* [offset, offset + count) lies in the region, which has the right; count > 0. */
	int (*read)(void *opaque, unsigned int region, uint64_t offset, void *data, uint32_t count);
	int (*write)(void *opaque, unsigned int region, uint64_t offset, const void *data,
		     uint32_t count);
	int (*map)(void *opaque, const struct vfu_range *range);
	/* Exactly one mapped range. Nothing of it is in use when it returns. */
	int (*unmap)(void *opaque, uint64_t iova, uint64_t size);
	void (*unmap_all)(void *opaque);
	int (*reset)(void *opaque);
};

struct vfu_device {
	const struct vfu_device_ops *ops;
	void *opaque;
	struct vfu_region regions[VFU_REGIONS];
	unsigned int vectors; /* of MSI-X, at most VFU_MAX_VECTORS */
	uint32_t max_maps;    /* how many ranges it takes: told to the client */
	const char *name;     /* for log lines */
	const struct log *log;
};

/* The socket is taken over, also after a failure. device and what it points to stay valid. */
int vfu_server_create(struct vfu_server **out, int socket, const struct vfu_device *device,
		      struct err *err);
/* No other thread may use it any more. */
void vfu_server_destroy(struct vfu_server *server);

/*
 * Until the client leaves or the connection is broken or stopped: 0, or -errno with a sentence.
 * Before it returns every range is unmapped (unmap_all), and interrupts have no receiver; the
 * device keeps its state, so that another connection can go on with it.
 */
int vfu_serve(struct vfu_server *server, struct err *err);
/* Ends vfu_serve. Any thread. */
void vfu_stop(struct vfu_server *server);

/* Raises MSI-X vector where the client has given an eventfd for it; else it is lost. */
void vfu_fire(struct vfu_server *server, unsigned int vector);

/*
 * DMA by messages, split by what the client takes in one. -ECANCELED: vfu_dma_refuse was called, or
 * the connection ended; -EFAULT: the client refused it.
 */
int vfu_dma_read(struct vfu_server *server, uint64_t iova, void *data, uint64_t size);
int vfu_dma_write(struct vfu_server *server, uint64_t iova, const void *data, uint64_t size);
/* true: all DMA calls that wait, and new ones, fail until it is called with false. Nests. */
void vfu_dma_refuse(struct vfu_server *server, bool refuse);

#endif
