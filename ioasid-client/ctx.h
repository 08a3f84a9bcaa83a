/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: which provider serves one, and what that provider can do. */
#ifndef ADIT_IOASID_CLIENT_CTX_H
#define ADIT_IOASID_CLIENT_CTX_H

#include "ioasid-client/types.h"

/*
 * Which implementation serves a context. AUTO takes the first that answers, in this order, and
 * ioasid_ctx_reason says why it left those before.
 */
enum ioasid_provider_id {
	IOASID_PROVIDER_AUTO,
	IOASID_PROVIDER_IOMMUFD, /* /dev/iommu and VFIO character devices */
	IOASID_PROVIDER_TYPE1,	 /* /dev/vfio/vfio and VFIO groups */
	IOASID_PROVIDER_SOFT, /* a model in this process, for devices that are made of software */
};

/*
 * Opens a context. node: a path, or NULL for the provider's own: iommufd takes /dev/ioasid where a
 * kernel offers that name and else /dev/iommu, type1 takes /dev/vfio/vfio, soft opens none.
 * -ENOTSUP: no provider that may serve answers on this host; the sentence says which were tried,
 * why each was left and what mends it.
 */
int ioasid_ctx_open(struct ioasid_ctx **out, enum ioasid_provider_id provider, const char *node,
		    struct err *err);
/*
 * The same from a descriptor that somebody else opened. What it is is read from the descriptor:
 * one that is no node of the provider's is refused. On success the context owns it, on failure it
 * stays the caller's.
 */
int ioasid_ctx_open_fd(struct ioasid_ctx **out, enum ioasid_provider_id provider, int fd,
		       struct err *err);
/* Blocks all DMA, then frees every device, space and PASID of the context. */
void ioasid_ctx_close(struct ioasid_ctx *ctx);
/* "iommufd", "type1" or "soft". */
const char *ioasid_ctx_provider(const struct ioasid_ctx *ctx);
/* Why AUTO left the providers that come before the one that serves; "" where one was named. */
const char *ioasid_ctx_reason(const struct ioasid_ctx *ctx);
/* What the kernel's provider is reached by; -1 where there is none. Stays the context's. */
int ioasid_ctx_fd(const struct ioasid_ctx *ctx);

/* Which faults a provider can report at all. */
enum ioasid_faults {
	IOASID_FAULTS_NONE,
	IOASID_FAULTS_PAGE_REQUESTS, /* from devices with PRI, in spaces that have a fault queue */
	IOASID_FAULTS_ALL,	     /* every blocked access; what overflows is counted */
};

/* Of the provider on this kernel. A device may have less: struct ioasid_device_info. */
struct ioasid_caps {
	enum ioasid_faults faults;
	bool atomic_replace;	  /* attach moves a device with no moment in which its DMA fails */
	bool pasids;		  /* host PASIDs can be attached */
	bool copy;		  /* ioasid_copy pins nothing twice */
	bool map_file;		  /* a mapping's descriptor is used rather than its address */
	bool dirty;		  /* dirty logs */
	bool nesting;		  /* spaces over page tables of a guest */
	bool spaces_share_memory; /* what several devices map of one space is pinned once */
};
void ioasid_ctx_caps(struct ioasid_ctx *ctx, struct ioasid_caps *caps);

#endif
