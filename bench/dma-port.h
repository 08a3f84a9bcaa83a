/* SPDX-License-Identifier: Apache-2.0 */
/* A device for adit bench dma in this process: opened over VFIO, with memory mapped for its DMA. */
#ifndef ADIT_BENCH_DMA_PORT_H
#define ADIT_BENCH_DMA_PORT_H

#include "bench/dma-device.h"
#include "bench/map.h"

struct dma_port {
	struct dma_device device;
	uint64_t registers_size;
	int fd;			/* the VFIO device */
	struct ioasid_ctx *ctx; /* ours: it owns all of them */
	const struct ioasid_device *bound;
	int bare_iommu, bare_group; /* or the bare ioctls' */
};

/*
 * Opens the device by the provider's way, through ioasid-client or by the bare ioctls, maps memory
 * at MAP_IOVA, lets it be bus master, and brings it to work. 0, or -errno with a sentence; close
 * comes after a failure too.
 */
int dma_port_open(struct dma_port *port, const struct map_contest *provider, bool bare,
		  const struct bench_options *options, const struct map_memory *memory,
		  struct err *err);
/* Stops the device before its memory goes. */
void dma_port_close(struct dma_port *port);
/* What the device is at, in words: for the sentence of a failure. */
void dma_port_describe(struct dma_port *port, char *text, size_t size);

#endif
