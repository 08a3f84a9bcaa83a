/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O address spaces: one context (one open /dev/iommu, or a model of it in this process), the
 * devices bound to it under labels, the address spaces that say what a device may reach, and the
 * host PASIDs that tag its DMA.
 *
 * Life. A context owns its devices, spaces and PASIDs; destroying one that is in use blocks its
 * DMA first, whatever order a caller closes things in. Objects are numbered by the caller's
 * pointers; a pointer is dead after its destroy call returns.
 *
 * Host PASIDs go free -> active -> parked -> free. A number is handed out again only when its last
 * holder (ioasid_pasid_hold) has let go, so that no descriptor in flight can meet a new owner.
 *
 * Threads. Every call may come from any thread; calls on one context are serialised inside, except
 * ioasid_translate, which takes no lock.
 *
 * Errors: 0 or -errno, with one sentence in err where there is one. A call that fails changes
 * nothing unless its comment says otherwise.
 */
#ifndef ADIT_IOASID_CLIENT_IOASID_H
#define ADIT_IOASID_CLIENT_IOASID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define IOASID_PASID_NONE 0u	   /* DMA without a PASID; never a host PASID's number */
#define IOASID_PASID_MAX  0xfffffu /* PCIe 6.0 section 10.5.1.2: 20 bits */
#define IOASID_PAGE_SIZE  4096u

#define IOASID_READ  1u
#define IOASID_WRITE 2u

struct ioasid_ctx;
struct ioasid_device;
struct ioasid_space;
struct ioasid_pasid;

/* Which implementation serves a context. AUTO takes the first that answers and says why. */
enum ioasid_provider_id {
	IOASID_PROVIDER_AUTO,
	IOASID_PROVIDER_IOMMUFD,
	IOASID_PROVIDER_TYPE1,
	IOASID_PROVIDER_SOFT,
};

/* What stands between a device's DMA and the rest of memory; named, never implied. */
enum ioasid_isolation {
	IOASID_ISOLATION_SOFTWARE, /* "software-checked": every access goes through ioasid_translate
				    */
	IOASID_ISOLATION_RID,	   /* "iommu-rid" */
	IOASID_ISOLATION_PASID,	   /* "iommu-pasid" */
	IOASID_ISOLATION_VENDOR,   /* "vendor-mdev": the kernel driver's own */
};

const char *ioasid_isolation_name(enum ioasid_isolation isolation);

/*
 * Opens a context. node: a path, or NULL for the provider's own (soft: needs none). -ENOTSUP: the
 * provider is not built into this version or does not answer on this host; the sentence says which
 * were tried and why each was left.
 */
int ioasid_ctx_open(struct ioasid_ctx **out, enum ioasid_provider_id provider, const char *node,
		    struct err *err);
/* Blocks all DMA, then frees every device, space and PASID of the context. */
void ioasid_ctx_close(struct ioasid_ctx *ctx);
/* "iommufd", "type1" or "soft". */
const char *ioasid_ctx_provider(const struct ioasid_ctx *ctx);

/* Where a device comes from. Kernel providers take descriptors; soft makes a model. */
struct ioasid_source {
	enum {
		IOASID_SOURCE_SOFT,
		IOASID_SOURCE_CDEV,
		IOASID_SOURCE_GROUP
	} type;
	union {
		struct {
			unsigned int pasid_width; /* 0 (no PASIDs) to 20 bits */
			bool snoop_enforced;
		} soft;
		int cdev_fd;
	};
};

struct ioasid_device_info {
	char label[64];
	enum ioasid_isolation isolation;
	bool snoop_enforced;
	unsigned int pasid_width;	/* 0: no PASIDs */
	uint64_t page_sizes;		/* bit n: pages of 2^n bytes */
	uint64_t iova_first, iova_last; /* inclusive */
};

/*
 * Binds a device under a label (1 to 63 printable characters, unique in the context: -EEXIST).
 * It reaches nothing before its first attach. Its descriptor stays the caller's.
 */
int ioasid_bind(struct ioasid_ctx *ctx, const struct ioasid_source *source, const char *label,
		struct ioasid_device **out, struct err *err);
/* Detaches its PASIDs and its space (DMA blocked when it returns), then forgets it. */
void ioasid_unbind(struct ioasid_device *device);
void ioasid_device_info(const struct ioasid_device *device, struct ioasid_device_info *info);

struct ioasid_space_options {
	const char *name;   /* for messages and tables; copied, 1 to 63 characters */
	bool pasid_capable; /* may be attached under a PASID */
};

/* An empty address space: nothing is reachable through it. */
int ioasid_alloc(struct ioasid_ctx *ctx, const struct ioasid_space_options *options,
		 struct ioasid_space **out, struct err *err);
/* Devices and PASIDs attached to it are blocked first; its PASIDs are parked. */
void ioasid_destroy(struct ioasid_space *space);
const char *ioasid_space_name(const struct ioasid_space *space);

/*
 * Maps [iova, iova + size) to host memory. All three page aligned, size > 0, no wrap. rights: at
 * least one of IOASID_READ, IOASID_WRITE. -EEXIST where any of it is mapped. The memory stays the
 * caller's and must outlive the mapping.
 */
int ioasid_map(struct ioasid_space *space, uint64_t iova, uint64_t size, void *hva,
	       unsigned int rights, struct err *err);
/*
 * Unmaps every mapping that lies inside [iova, iova + size). -ENOENT where there is none, -EINVAL
 * where one straddles a border. No translation of it is in use when it returns.
 */
int ioasid_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size, struct err *err);

/* DMA without a PASID goes to this space from now on; replaces another without an open moment. */
int ioasid_attach(struct ioasid_device *device, struct ioasid_space *space, struct err *err);
/* Blocked when it returns. Nothing attached: nothing happens. */
void ioasid_detach(struct ioasid_device *device);

/*
 * Takes a host PASID and attaches {device, space} under it. want: its number, or
 * IOASID_PASID_NONE for any free one. -EBUSY: active or parked, the sentence says which; -ERANGE:
 * past the device's width; -EOPNOTSUPP: the device has no PASIDs; -EINVAL: space is not
 * pasid_capable; -ENOSPC: none is free.
 */
int ioasid_pasid_attach(struct ioasid_device *device, struct ioasid_space *space, uint32_t want,
			struct ioasid_pasid **out, struct err *err);
/* Blocks the PASID's DMA and parks the number; it is free again once nobody holds it. */
void ioasid_pasid_detach(struct ioasid_pasid *pasid);
uint32_t ioasid_pasid_number(const struct ioasid_pasid *pasid);
/* Holders keep the number (and the object) from being reused, not its DMA from being blocked. */
void ioasid_pasid_hold(struct ioasid_pasid *pasid);
void ioasid_pasid_release(struct ioasid_pasid *pasid);

enum ioasid_pasid_state {
	IOASID_PASID_FREE,
	IOASID_PASID_ACTIVE,
	IOASID_PASID_PARKED
};
enum ioasid_pasid_state ioasid_pasid_state(struct ioasid_ctx *ctx, uint32_t number);

/*
 * The soft provider's DMA: one per engine thread. Sections as in util/epoch.h: a pointer that
 * ioasid_translate gave is good until ioasid_dma_end; unmap, detach and unbind wait for open
 * sections, so an engine ends its section at least every 1 MiB of work and never blocks in one.
 */
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
