/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft provider's DMA: one handle per engine thread. Sections as in util/epoch.h: a pointer
 * that ioasid_translate gave is good until ioasid_dma_end; unmap, detach and unbind wait for open
 * sections, so an engine ends its section at least every 1 MiB of work and never blocks in one.
 *
 * Remote spaces (struct ioasid_remote) are the exception: what is not mapped in them is copied in
 * when it is translated, and what was changed of it is written back at the section's end, by calls
 * that may wait. Who waits for sections must be able to end those waits.
 */
#ifndef ADIT_IOASID_CLIENT_DMA_H
#define ADIT_IOASID_CLIENT_DMA_H

#include "ioasid-client/types.h"

struct ioasid_dma;

int ioasid_dma_open(struct ioasid_ctx *ctx, struct ioasid_dma **out, struct err *err);
void ioasid_dma_close(struct ioasid_dma *dma);
void ioasid_dma_begin(struct ioasid_dma *dma);
/* -EFAULT: not all that was written has reached a remote space; ioasid_dma_failed says from where.
 */
int ioasid_dma_end(struct ioasid_dma *dma);
uint64_t ioasid_dma_failed(const struct ioasid_dma *dma);
/*
 * To be added to rights: where the access is blocked, ask for the page (fault.h) rather than fail.
 * That needs a device with page_requests in a space with faults.
 */
#define IOASID_PAGE_REQUEST 0x100u
/*
 * Inside a section: where `iova` is in host memory for this device under this PASID
 * (IOASID_PASID_NONE: its RID space), and in *len how many bytes from there on are contiguous, at
 * most the *len asked for. NULL: blocked, unmapped or without the rights; the access must not
 * happen, and there is a fault record of it. rights may have IOASID_EXEC and, in nested spaces that
 * have supervisor requests, IOASID_PRIVILEGED.
 */
void *ioasid_translate(struct ioasid_dma *dma, const struct ioasid_device *device, uint32_t pasid,
		       uint64_t iova, uint64_t *len, unsigned int rights);
/*
 * After ioasid_translate gave NULL: the page request that was sent, or 0 where there is none and
 * the access has failed. Its answer must be taken, by one of:
 *  - ioasid_dma_wait, outside of sections: waits. 0: try again. -EFAULT: the access fails.
 *  - ioasid_dma_answer: does not wait: -EAGAIN while there is no answer.
 * Requests are answered whatever happens to device and space; a full ring of faults answers at
 * once.
 */
uint64_t ioasid_dma_request(const struct ioasid_dma *dma);
int ioasid_dma_wait(struct ioasid_dma *dma, uint64_t request);
int ioasid_dma_answer(struct ioasid_dma *dma, uint64_t request);
/* Nobody waits for the answer any more: who gives one is told so. */
void ioasid_dma_drop(struct ioasid_dma *dma, uint64_t request);
/*
 * For who does not wait: fn is called after an answer to one of the handle's requests, on the
 * thread that gives it or that takes the space away, and without the provider's locks; it may take
 * a lock under which translations are made. NULL: no more, and none is under way when this returns;
 * before the handle is closed.
 */
void ioasid_dma_on_answer(struct ioasid_dma *dma, void (*fn)(void *arg), void *arg);
/*
 * From any thread: while on, requests of the handle are answered with -EFAULT at once, those that
 * wait as well. For whoever has to stop an engine that may wait.
 */
void ioasid_dma_refuse(struct ioasid_dma *dma, bool on);

#endif
