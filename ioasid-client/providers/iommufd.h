/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the iommufd provider share.
 *
 * A space is an IOAS (what is mapped) and the HWPTs (page tables) that devices made of it. Where
 * nothing special is asked of a page table the kernel finds or makes one itself: attach names the
 * IOAS. PASIDs, fault queues, dirty logs and nesting need HWPTs that we allocate, each for a
 * device; others join it where the kernel lets them.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_IOMMUFD_H
#define ADIT_IOASID_CLIENT_PROVIDERS_IOMMUFD_H

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/iommufd-calls.h"
#include "ioasid-client/providers/mappings.h"

struct iommufd {
	struct ifd ifd;
	uint32_t empty;	  /* an IOAS in which nothing is ever mapped: where a device goes that the
			   * kernel refuses to detach */
	bool no_map_file; /* ENOTTY: a kernel before 6.13 */
	bool asked;	  /* the next three are known */
	bool no_faults, no_dirty, no_nesting;
	bool mm_accounting;
	uint32_t fault_queue;
	int fault_fd; /* -1: no space has asked for it yet */
};

struct iommufd_hwpt {
	LIST_ENTRY(iommufd_hwpt) of_space;
	struct ioasid_space *space;
	uint32_t id;
	uint32_t flags;
	unsigned int users; /* RIDs and PASIDs; parents of nested ones are kept without */
};

struct iommufd_device {
	int fd;
	uint32_t id;		  /* of the device in iommufd; of the access, for an mdev */
	struct iommufd_hwpt *rid; /* NULL: detached, or on a page table of the kernel's choice */
	struct ioasid_range *iova, *reserved;
	struct ioasid_member *members;
};

struct iommufd_space {
	uint32_t ioas; /* 0: nested */
	struct mappings mappings;
	bool tracking; /* the dirty log is on */
	LIST_HEAD(iommufd_hwpts, iommufd_hwpt) hwpts;
};

/* iommufd-hwpt.c: puts a RID (pasid 0) or a PASID on a page table of the space. */
int iommufd_enter(struct ioasid_device *device, struct ioasid_space *space, uint32_t pasid,
		  struct iommufd_hwpt **hwpt, struct err *err);
/* Takes it off whatever it is on, or at least to where nothing is mapped. */
int iommufd_leave(struct ioasid_device *device, uint32_t pasid, struct err *err);
/* hwpt: one that iommufd_enter gave and its user has left; may be NULL. */
void iommufd_hwpt_put(struct ioasid_ctx *ctx, struct iommufd_hwpt *hwpt);
void iommufd_hwpts_destroy(struct ioasid_space *space);

/* iommufd-device.c */
int iommufd_bind(struct ioasid_device *device, const struct ioasid_source *source, struct err *err);
void iommufd_unbind(struct ioasid_device *device);

/* iommufd-space.c */
int iommufd_alloc(struct ioasid_space *space, struct err *err);
void iommufd_destroy(struct ioasid_space *space);
int iommufd_map(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		struct ioasid_garbage *garbage, struct err *err);
int iommufd_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size,
		  struct ioasid_garbage *garbage, struct err *err);
int iommufd_copy(struct ioasid_space *space, const struct ioasid_copy *copy,
		 struct ioasid_garbage *garbage, struct err *err);
int iommufd_dirty_track(struct ioasid_space *space, bool on, struct err *err);
int iommufd_dirty_read(struct ioasid_space *space, const struct ioasid_dirty *dirty,
		       struct err *err);
int iommufd_invalidate(struct ioasid_space *space, const struct ioasid_invalidation *list, size_t n,
		       size_t *done, struct err *err);

/*
 * iommufd-pieces.c: the kernel's part of it, several pieces at once where it is large. On failure
 * nothing of it is mapped; midway: parts are, and the kernel does not take them back.
 */
int iommufd_map_kernel(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		       bool *midway);

/* iommufd-fault.c: the context's one queue, made when the first space asks for it. */
int iommufd_fault_queue(struct ioasid_ctx *ctx, struct err *err);
int iommufd_faults_fd(struct ioasid_ctx *ctx, int *fd, struct err *err);
int iommufd_faults_read(struct ioasid_ctx *ctx, struct ioasid_fault *faults, size_t n, size_t *got,
			uint64_t *lost, struct err *err);
int iommufd_fault_respond(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
			  struct err *err);

/* -ENOMEM with what is missing to pin `bytes` more. Needs the lock. */
int iommufd_no_memory(struct ioasid_ctx *ctx, uint64_t bytes, struct err *err);

static inline struct iommufd *iommufd_of(const struct ioasid_ctx *ctx)
{
	return ctx->priv;
}

#endif
