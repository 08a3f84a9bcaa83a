/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locked memory: what a context pins, what the limit leaves, and whether more will fit. Guest
 * memory counts, and so do BARs that are mapped for peer-to-peer DMA (iommufd counts those too).
 */
#ifndef ADIT_IOASID_CLIENT_MEMORY_H
#define ADIT_IOASID_CLIENT_MEMORY_H

#include "ioasid-client/types.h"

enum ioasid_accounting {
	IOASID_ACCOUNTING_NONE, /* soft pins nothing */
	IOASID_ACCOUNTING_USER, /* iommufd: all that the user has pinned, in whatever process */
	IOASID_ACCOUNTING_MM,	/* type1, and iommufd by choice: what this process has locked */
};

struct ioasid_memory {
	enum ioasid_accounting accounting;
	uint64_t pinned; /* bytes: by this context, as far as its calls say */
	uint64_t limit;	 /* RLIMIT_MEMLOCK; UINT64_MAX: none, or CAP_IPC_LOCK lifts it (in the first
			    user namespace) */
	/*
	 * limit less what is known to count against it. Of the user's other processes (io_uring,
	 * other VMs) nothing is known, so under IOASID_ACCOUNTING_USER this may be too much.
	 */
	uint64_t left;
	uint64_t missing; /* of the bytes that were asked about */
};

void ioasid_memory(struct ioasid_ctx *ctx, struct ioasid_memory *memory);
/*
 * Would `bytes` more fit? -ENOMEM: no; the sentence says how much is missing, of what limit, and
 * what raises it. memory may be NULL.
 */
int ioasid_memory_predict(struct ioasid_ctx *ctx, uint64_t bytes, struct ioasid_memory *memory,
			  struct err *err);

#endif
