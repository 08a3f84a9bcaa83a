/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the generic part of ioasid-client and the providers under it: the objects themselves
 * and the table of operations. The generic part owns labels, numbers, lists, rules and the lock; a
 * provider owns what makes DMA reach memory.
 *
 * The lock is never held while waiting for DMA: a call unlinks under the lock, drops it, calls
 * quiesce, and only then frees. Whoever finds nothing left to unlink still calls quiesce, for the
 * thread that did the unlinking may not be through with its own.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDER_H
#define ADIT_IOASID_CLIENT_PROVIDER_H

#include <pthread.h>
#include <sys/queue.h>

#include "ioasid-client/ioasid.h"

/* What map or unmap unlinked and reap frees; the provider knows what these are. */
struct ioasid_garbage {
	void *nodes, *mappings;
};

/*
 * One row per implementation. All are called with the context's lock held except quiesce, reap,
 * destroy, close and unbind, and the fault calls, which may wait for no lock. The generic part's
 * own pointers are already set to what is wanted when attach, detach and the pasid calls run, and
 * are put back where one fails. Arguments are checked as the public headers say; what is left to a
 * provider is what only it can know.
 *
 * A row without an operation (NULL) refuses it with -EOPNOTSUPP; those down to `reap` are in all.
 */
struct ioasid_provider {
	const char *name;
	/* fd: -1, or what ioasid_ctx_open_fd was given, owned from success on. */
	int (*open)(struct ioasid_ctx *ctx, const char *node, int fd, struct err *err);
	/* Frees ctx->priv; nothing refers to the context any more. */
	void (*close)(struct ioasid_ctx *ctx);
	/* The context closes: no translation may begin, whatever is still attached. */
	void (*block)(struct ioasid_ctx *ctx);
	void (*caps)(struct ioasid_ctx *ctx, struct ioasid_caps *caps);
	/*
	 * Fills device->info but for the label. It lets go of the lock while the kernel opens the
	 * device, which it may have to reset first: others are bound meanwhile.
	 */
	int (*bind)(struct ioasid_device *device, const struct ioasid_source *source,
		    struct err *err);
	void (*unbind)(struct ioasid_device *device);
	/* space->options are what was asked for; their name is space->name. */
	int (*alloc)(struct ioasid_space *space, struct err *err);
	void (*destroy)(struct ioasid_space *space);
	/* These three: -EIO: it stopped midway; the generic part blocks the space. */
	int (*map)(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		   struct ioasid_garbage *garbage, struct err *err);
	int (*unmap)(struct ioasid_space *space, uint64_t iova, uint64_t size,
		     struct ioasid_garbage *garbage, struct err *err);
	int (*copy)(struct ioasid_space *space, const struct ioasid_copy *copy,
		    struct ioasid_garbage *garbage, struct err *err);
	/* before: the space it was attached to, or NULL. -EIO: it is detached now. */
	int (*attach)(struct ioasid_device *device, struct ioasid_space *before, struct err *err);
	/* from: what it was attached to. Failing means that it may still reach that. */
	int (*detach)(struct ioasid_device *device, struct ioasid_space *from, struct err *err);
	/* Returns when no DMA uses what was unlinked before the call. */
	void (*quiesce)(struct ioasid_ctx *ctx);
	void (*reap)(struct ioasid_garbage *garbage);

	int (*ctx_fd)(const struct ioasid_ctx *ctx);
	int (*device_fd)(const struct ioasid_device *device);
	int (*pasid_attach)(struct ioasid_pasid *pasid, struct err *err);
	int (*pasid_replace)(struct ioasid_pasid *pasid, struct ioasid_space *before,
			     struct err *err);
	int (*pasid_detach)(struct ioasid_pasid *pasid, struct err *err);
	int (*dirty_track)(struct ioasid_space *space, bool on, struct err *err);
	int (*dirty_read)(struct ioasid_space *space, const struct ioasid_dirty *dirty,
			  struct err *err);
	int (*invalidate)(struct ioasid_space *space, const struct ioasid_invalidation *list,
			  size_t n, size_t *done, struct err *err);
	int (*faults_fd)(struct ioasid_ctx *ctx, int *fd, struct err *err);
	int (*faults_read)(struct ioasid_ctx *ctx, struct ioasid_fault *faults, size_t n,
			   size_t *got, uint64_t *lost, struct err *err);
	int (*fault_respond)(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
			     struct err *err);
	/* Any thread. May be NULL. */
	void (*fault_note)(const struct ioasid_device *device, uint32_t guest_pasid, uint64_t iova,
			   unsigned int rights);
	/* Fills accounting, limit, pinned and left. Without it: nothing is pinned. */
	void (*memory)(struct ioasid_ctx *ctx, struct ioasid_memory *memory);
};

extern const struct ioasid_provider ioasid_iommufd, ioasid_type1, ioasid_soft;

/* -EOPNOTSUPP: "provider NAME WHAT; MEND". */
int ioasid_lacks(const struct ioasid_ctx *ctx, const char *what, struct err *err);

/* Host PASIDs by number, in leaves that stay once made: 8 MiB at the most. */
#define PASID_LEAF_BITS	 10u
#define PASID_LEAF_SLOTS (1u << PASID_LEAF_BITS)
#define PASID_LEAVES	 ((IOASID_PASID_MAX + 1) / PASID_LEAF_SLOTS)

/* In a slot: the number is parked, and whoever looks it up for DMA must not follow the pointer. */
#define PASID_SLOT_PARKED 1u

struct ioasid_pasid_leaf {
	unsigned int used;
	char *slot[PASID_LEAF_SLOTS]; /* atomic: a struct ioasid_pasid, + PASID_SLOT_PARKED */
};

/* A context's numbers, or those of a device that has its own. */
struct ioasid_pasid_pool {
	uint32_t first, last;			      /* what is handed out */
	uint32_t lowest;			      /* no number below it is free */
	uint32_t refs;				      /* of a device's: it and its PASIDs */
	struct ioasid_pasid_leaf *leaf[PASID_LEAVES]; /* atomic */
};

struct ioasid_seam;

struct ioasid_ctx {
	const struct ioasid_provider *provider;
	const struct ioasid_seam *seam; /* providers/seam.h; outlives the context */
	void *priv;
	pthread_mutex_t lock;
	/* Atomic: the opener, every PASID object and every DMA handle keep the memory of this. */
	uint32_t refs;
	char reason[512]; /* why AUTO left the providers before this one; empty otherwise */
	LIST_HEAD(ioasid_ctx_devices, ioasid_device) devices;
	struct ioasid_ctx_devices
		coming; /* by of_ctx: being bound; they have a label and no more */
	LIST_HEAD(ioasid_ctx_spaces, ioasid_space) spaces;
	struct ioasid_pasid_pool pasids;
	LIST_HEAD(ioasid_ctx_pasids, ioasid_pasid)
	attached; /* ioasid_pasid_detach not called yet */
	/* By of_device: those that could not be blocked; held until the context closes. */
	LIST_HEAD(ioasid_ctx_stuck, ioasid_pasid) stuck;
};

struct ioasid_device {
	struct ioasid_ctx *ctx;
	struct ioasid_space *space;	      /* atomic: where DMA without a PASID goes, or NULL */
	struct ioasid_pasid_pool *pasids_own; /* atomic; NULL: the context's */
	/* Compared: what its group is to the IOMMU, where that is more than info.group, or NULL. */
	const void *unit;
	bool failed; /* could not be blocked; only unbind may follow */
	LIST_ENTRY(ioasid_device) of_ctx;
	LIST_ENTRY(ioasid_device) of_space;		      /* while space is set */
	LIST_HEAD(ioasid_device_pasids, ioasid_pasid) pasids; /* the active ones */
	struct ioasid_device_info info;
	void *priv;
};

struct ioasid_space {
	struct ioasid_ctx *ctx;
	void *priv;
	bool blocked; /* an unmap stopped midway; only unmap and destroy may follow */
	LIST_ENTRY(ioasid_space) of_ctx;
	LIST_HEAD(ioasid_space_devices, ioasid_device) devices;
	LIST_HEAD(ioasid_space_pasids, ioasid_pasid) pasids; /* the active ones */
	LIST_HEAD(ioasid_space_children, ioasid_space) children;
	LIST_ENTRY(ioasid_space) of_parent; /* while options.parent is set */
	struct ioasid_space_options options;
	struct ioasid_space_stats stats; /* atomic, each for itself */
	char name[64];
};

struct ioasid_pasid {
	struct ioasid_ctx *ctx;
	struct ioasid_pasid_pool *pool;
	uint32_t number;
	uint32_t refs;	/* atomic: one is the attacher's, until ioasid_pasid_detach */
	uint32_t guest; /* atomic: what pasid-table.h binds to it, for fault records */
	/* A lookup may be reading them; space is atomic. Meaningless once the number is parked. */
	struct ioasid_device *device;
	struct ioasid_space *space;
	LIST_ENTRY(ioasid_pasid) of_device, of_space; /* while active */
	LIST_ENTRY(ioasid_pasid) of_ctx;	      /* until ioasid_pasid_detach */
	void *priv;
};

static inline bool ioasid_slot_parked(const char *slot)
{
	return (uintptr_t)slot & PASID_SLOT_PARKED;
}

static inline struct ioasid_pasid_pool *ioasid_pool_of(struct ioasid_ctx *ctx,
						       const struct ioasid_device *device)
{
	struct ioasid_pasid_pool *own = __atomic_load_n(&device->pasids_own, __ATOMIC_ACQUIRE);

	return own ? own : &ctx->pasids;
}

/* The slot's content, or NULL. */
static inline char *ioasid_pool_slot(const struct ioasid_pasid_pool *pool, uint32_t number)
{
	const struct ioasid_pasid_leaf *leaf =
		__atomic_load_n(&pool->leaf[number >> PASID_LEAF_BITS], __ATOMIC_ACQUIRE);

	if (!leaf)
		return NULL;
	return __atomic_load_n(&leaf->slot[number & (PASID_LEAF_SLOTS - 1)], __ATOMIC_ACQUIRE);
}

static inline bool ioasid_text_ok(const char *text)
{
	size_t n = 0;

	if (!text)
		return false;
	for (; text[n]; n++) {
		if (n == 63 || text[n] < 0x20 || text[n] > 0x7e)
			return false;
	}
	return n > 0;
}

/* What is to be opened: a node by its path (NULL: the provider's own), or a descriptor (else -1).
 */
struct ioasid_target {
	const char *node;
	int fd;
	const struct ioasid_seam *seam;
};
int ioasid_ctx_open_target(struct ioasid_ctx **out, enum ioasid_provider_id provider,
			   const struct ioasid_target *target, struct err *err);

void ioasid_ctx_get(struct ioasid_ctx *ctx);
void ioasid_ctx_put(struct ioasid_ctx *ctx);

/* These three need the lock. */
void ioasid_device_block(struct ioasid_device *device);
void ioasid_space_block(struct ioasid_space *space);
void ioasid_pasid_park(struct ioasid_pasid *pasid);

/* What attach and the pasid calls ask of a space before its provider does. Needs the lock. */
int ioasid_space_check(const struct ioasid_space *space, const struct ioasid_device *device,
		       struct err *err);

/* After the lock was dropped and the context quiesced; see device.c, space.c, pasid.c. */
void ioasid_device_free(struct ioasid_device *device);
void ioasid_space_free(struct ioasid_space *space);
void ioasid_pool_put(struct ioasid_pasid_pool *pool);
void ioasid_pool_clear(struct ioasid_pasid_pool *pool);
/* The context closes: takes back the references of those that were attached and not detached. */
void ioasid_pasids_drop(struct ioasid_ctx *ctx);

#endif
