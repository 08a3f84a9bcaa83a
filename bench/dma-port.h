/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device for adit bench dma in this process: opened over VFIO or vfio-user, with memory mapped
 * for its DMA.
 */
#ifndef ADIT_BENCH_DMA_PORT_H
#define ADIT_BENCH_DMA_PORT_H

#include "bench/dma-device.h"
#include "bench/map.h"

#define DMA_PATIENCE_SECONDS 20 /* for one operation */

struct vfio_sys;
struct vfu_client;

struct dma_port {
	struct dma_device device;
	const struct vfio_sys *sys; /* how fd is spoken to: the kernel's calls, or the client's */
	uint64_t registers_at, portals_at;
	volatile uint8_t *portals;
	uint64_t registers_size, portals_size;
	struct vfu_client *client; /* of a function that is served */
	int fd;			   /* the VFIO device */
	struct ioasid_ctx *ctx;	   /* ours: it owns all of them */
	const struct ioasid_device *bound;
	int bare_iommu, bare_group; /* or the bare ioctls' */
};

/* In the place of a provider: the function that options->socket serves over vfio-user. */
extern const struct map_contest dma_served;

/*
 * Opens the device by the provider's way, through ioasid-client or by the bare ioctls, maps memory
 * at MAP_IOVA, lets it be bus master, and brings it to work. 0, or -errno with a sentence; close
 * comes after a failure too. queues: NULL for one.
 */
int dma_port_open(struct dma_port *port, const struct map_contest *provider, bool bare,
		  const struct bench_options *options, const struct map_memory *memory,
		  const struct dma_queues *queues, struct err *err);
/* No device: the same memory for this CPU's memcpy. close comes after it. */
void dma_port_open_cpu(struct dma_port *port, const struct map_memory *memory);
/* Stops the device before its memory goes. */
void dma_port_close(struct dma_port *port);
/* What the device is at, in words: for the sentence of a failure. */
void dma_port_describe(struct dma_port *port, char *text, size_t size);

/* --- dma-served.c, for dma-port.c ------------------------------------------------------------ */

int dma_served_connect(struct dma_port *port, const struct bench_options *options,
		       const struct map_memory *memory, struct err *err);
/* Registers and portals are messages from now on. */
void dma_served_reach(struct dma_port *port);
void dma_served_close(struct dma_port *port);

#endif
