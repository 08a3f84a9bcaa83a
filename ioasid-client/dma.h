/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft provider's DMA: one handle per engine thread. Sections as in util/epoch.h: a pointer
 * that ioasid_translate gave is good until ioasid_dma_end; unmap, detach and unbind wait for open
 * sections, so an engine ends its section at least every 1 MiB of work and never blocks in one.
 */
#ifndef ADIT_IOASID_CLIENT_DMA_H
#define ADIT_IOASID_CLIENT_DMA_H

#include "ioasid-client/types.h"

struct ioasid_dma;

int ioasid_dma_open(struct ioasid_ctx *ctx, struct ioasid_dma **out, struct err *err);
void ioasid_dma_close(struct ioasid_dma *dma);
void ioasid_dma_begin(struct ioasid_dma *dma);
void ioasid_dma_end(struct ioasid_dma *dma);
/*
 * Inside a section: where `iova` is in host memory for this device under this PASID
 * (IOASID_PASID_NONE: its RID space), and in *len how many bytes from there on are contiguous, at
 * most the *len asked for. NULL: blocked, unmapped or without the rights; the access must not
 * happen.
 */
void *ioasid_translate(struct ioasid_dma *dma, const struct ioasid_device *device, uint32_t pasid,
		       uint64_t iova, uint64_t *len, unsigned int rights);

#endif
