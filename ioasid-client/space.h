/* SPDX-License-Identifier: Apache-2.0 */
/* Address spaces: their attributes, what is mapped in them, dirty logs and nesting. */
#ifndef ADIT_IOASID_CLIENT_SPACE_H
#define ADIT_IOASID_CLIENT_SPACE_H

#include "ioasid-client/types.h"

enum ioasid_snoop_policy {
	IOASID_SNOOP_KERNEL,  /* enforced where the IOMMU can */
	IOASID_SNOOP_ENFORCE, /* attach refuses a device whose IOMMU does not enforce (-EINVAL) */
	IOASID_SNOOP_ALLOW,   /* attach refuses one whose IOMMU does (-EOPNOTSUPP: Linux offers no
			       * way to stop it); mdevs are refused by both */
};

/* A guest's own page tables, which a nested space walks. */
struct ioasid_nesting {
	enum ioasid_format format;
	uint64_t table;		 /* an address in the parent */
	unsigned int addr_width; /* 48 or 57 */
	uint64_t flags;		 /* VTD_S1: IOASID_VTD_S1_* */
};
#define IOASID_VTD_S1_SRE  1u /* supervisor requests */
#define IOASID_VTD_S1_EAFE 2u /* extended accessed flag */
#define IOASID_VTD_S1_WPE  4u /* write protection of supervisor requests */

/*
 * Memory that cannot be mapped, but read and written by calls (another process's): it is what a
 * space holds where nothing is mapped. Calls come from DMA handles (dma.h), several at once, may
 * wait, and return 0 or -errno. Only the soft provider has such spaces.
 */
struct ioasid_remote {
	int (*read)(void *opaque, uint64_t iova, void *data, uint64_t size);
	int (*write)(void *opaque, uint64_t iova, const void *data, uint64_t size);
	void *opaque;
	struct ioasid_range range; /* nothing outside of it is asked for */
	unsigned int rights;
};

/* Zeros are a plain space. */
struct ioasid_space_options {
	const char *name;	 /* for messages and tables; copied, 1 to 63 characters */
	bool pasid_capable;	 /* may be attached under a PASID */
	bool faults;		 /* page requests in it are reported (fault.h) */
	bool dirty;		 /* has a dirty log */
	bool nest_parent;	 /* others may nest over it; not together with faults */
	unsigned int addr_width; /* IOVAs need no more bits; 0: as the devices have. attach refuses
				  * a device that has fewer */
	enum ioasid_snoop_policy snoop;
	/*
	 * A nested space: its parent (nest_parent) translates what the guest's tables give. Nothing
	 * can be mapped in it. The parent outlives it: destroying that one destroys it first.
	 */
	struct ioasid_space *parent;
	struct ioasid_nesting nesting;
	struct ioasid_remote remote; /* read not NULL: it is one */
};

/*
 * An empty address space: nothing is reachable through it. -EOPNOTSUPP: an attribute that the
 * provider lacks; the sentence names it.
 */
int ioasid_alloc(struct ioasid_ctx *ctx, const struct ioasid_space_options *options,
		 struct ioasid_space **out, struct err *err);
/* Devices and PASIDs attached to it are blocked first; its PASIDs are parked. */
void ioasid_destroy(struct ioasid_space *space);
const char *ioasid_space_name(const struct ioasid_space *space);

#define IOASID_NO_FD (-1)

struct ioasid_mapping {
	uint64_t iova, size;
	void *hva;	     /* where the memory is in this process */
	unsigned int rights; /* IOASID_READ, IOASID_WRITE */
	/*
	 * IOASID_NO_FD, or what the memory is: a memfd or a dma-buf. Used where the provider's
	 * caps.map_file says so (then hva may be NULL); else the memory is mapped by hva. The
	 * descriptor stays the caller's and may be closed at once.
	 */
	int fd;
	uint64_t fd_offset;
};

/*
 * Maps [iova, iova + size) to host memory. All page aligned, size > 0, no wrap. -EEXIST where any
 * of it is mapped. -EINVAL: in a range that an attached device has reserved. -ENOMEM as for
 * ioasid_attach. The memory stays the caller's and must outlive the mapping.
 */
int ioasid_map(struct ioasid_space *space, const struct ioasid_mapping *mapping, struct err *err);
/* The same of memory that has no descriptor. */
static inline int ioasid_map_hva(struct ioasid_space *space, uint64_t iova, uint64_t size,
				 void *hva, unsigned int rights, struct err *err)
{
	const struct ioasid_mapping mapping = {
		.iova = iova,
		.size = size,
		.hva = hva,
		.rights = rights,
		.fd = IOASID_NO_FD,
	};

	return ioasid_map(space, &mapping, err);
}
/* All of them or none. */
int ioasid_map_batch(struct ioasid_space *space, const struct ioasid_mapping *mappings, size_t n,
		     struct err *err);
/*
 * Unmaps every mapping that lies inside [iova, iova + size). -ENOENT where there is none, -EINVAL
 * where one straddles a border. No translation of it is in use when it returns.
 *
 * -EIO: the kernel stopped midway. Then the space is blocked for good: whoever was attached is
 * detached, its PASIDs are parked, and all that it accepts is unmap, which may be tried again, and
 * ioasid_destroy.
 */
int ioasid_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size, struct err *err);

/*
 * How long it took to map and unmap, the wait for others that do so in the context not counted;
 * what an unmap waits for who translates is. Copies are maps, and what failed counts as well. Any
 * thread, as long as the space is there; figures of one call may be seen before its others.
 */
struct ioasid_space_stats {
	uint64_t maps, map_bytes, map_ns, map_longest_ns;
	uint64_t unmaps, unmap_ns, unmap_longest_ns;
};
void ioasid_space_stats(const struct ioasid_space *space, struct ioasid_space_stats *out);

/*
 * Maps in `space` at iova what `from` maps at from_iova, with at most its rights; nothing is
 * pinned or counted twice where caps.copy says so. -ENOENT: not all of the range is mapped there.
 * The copy stays when the original is unmapped.
 */
struct ioasid_copy {
	struct ioasid_space *from;
	uint64_t from_iova, iova, size;
	unsigned int rights;
};
int ioasid_copy(struct ioasid_space *space, const struct ioasid_copy *copy, struct err *err);

/*
 * Dirty log of a space that was allocated with it. Starting forgets what was dirty. While no device
 * is attached nothing is written and nothing is dirty.
 */
int ioasid_dirty_track(struct ioasid_space *space, bool on, struct err *err);
/*
 * Ors into `bitmap` one bit for each page of `page_size` (a power of two, at least 4 KiB) of
 * [iova, iova + size) that was written since tracking began or it was last cleared. iova must be
 * aligned to page_size; bitmap has 64 pages a word.
 */
struct ioasid_dirty {
	uint64_t iova, size, page_size;
	uint64_t *bitmap;
	bool keep; /* do not clear what is reported */
};
int ioasid_dirty_read(struct ioasid_space *space, const struct ioasid_dirty *dirty,
		      struct err *err);

/* The guest changed its tables: forget what was cached of [iova, iova + pages * 4 KiB). */
struct ioasid_invalidation {
	uint64_t iova;
	uint64_t pages; /* UINT64_MAX with iova 0: all */
	bool leaf;	/* only leaves changed, no table */
};
/* Of a nested space. *done (may be NULL) receives how many were carried out, also on failure. */
int ioasid_invalidate(struct ioasid_space *space, const struct ioasid_invalidation *list, size_t n,
		      size_t *done, struct err *err);

#endif
