/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's memory at the server: the ranges that it mapped, the descriptors behind them, and the
 * I/O address spaces in which they appear. A space is a window of the client's DMA addresses; a
 * range appears in each as far as it lies inside.
 *
 * A memfd (or another file that is memory) is mapped whole and once however many ranges of it there
 * are, so that 4 KiB ranges of a virtual IOMMU do not use up this process's mappings. It may be cut
 * by its client at any time: whoever touches it does so under a guard (util/sigbus.h), and what
 * fails then is that client's. Ranges with other descriptors, whose pages a file system of the
 * client's could hold back, or with none, are reached by messages.
 *
 * Clients of one process share its address space, so what one of them can take up of it is limited:
 * what is past the limit is reached by messages.
 *
 * One thread, but for vfu_memory_asks.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_MEMORY_H
#define ADIT_PASSTHROUGH_VFIO_USER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/vfio-user/server.h"

#define VFU_MAX_RANGES UINT16_MAX /* QEMU's default */
#define VFU_MAX_FILES  256u	  /* memfds that are mapped at a time */
#define VFU_MAX_MAPPED (4ULL << 40)

struct vfu_memory;

int vfu_memory_create(struct vfu_memory **out, const struct log *log, struct err *err);
/* Its spaces must be gone or empty: vfu_memory_unmap_all. */
void vfu_memory_destroy(struct vfu_memory *memory);

/* What is mapped from now on appears in the space, clipped to the window. No range is mapped yet.
 */
int vfu_memory_add_space(struct vfu_memory *memory, struct ioasid_space *space,
			 struct ioasid_range window, unsigned int rights, struct err *err);

/* -EEXIST where any of it is mapped; -EACCES: the descriptor cannot be written; -EINVAL: it is
 * shorter than the range says. */
int vfu_memory_map(struct vfu_memory *memory, const struct vfu_range *range);
/* Exactly one range: else -ENOENT. No access to it is under way when it returns. */
int vfu_memory_unmap(struct vfu_memory *memory, uint64_t iova, uint64_t size);
void vfu_memory_unmap_all(struct vfu_memory *memory);

/*
 * Any thread: may the client be asked for these addresses? Where it shares memory by descriptors,
 * only for ranges that it mapped without a usable one: the rest is nothing, and some clients
 * (Cloud Hypervisor) take a question for the answer to one of theirs.
 */
bool vfu_memory_asks(struct vfu_memory *memory, uint64_t iova, uint64_t size);

#endif
