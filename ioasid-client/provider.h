/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the generic part of ioasid-client and the providers under it: the objects themselves
 * and the table of operations. The generic part owns labels, numbers, lists and the lock; a
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
 * destroy, close and unbind. The generic part's own pointers are already set to what is wanted when
 * attach, detach and the pasid calls run, and are put back where one fails.
 */
struct ioasid_provider {
	const char *name;
	int (*open)(struct ioasid_ctx *ctx, const char *node, struct err *err);
	/* Frees ctx->priv; nothing refers to the context any more. */
	void (*close)(struct ioasid_ctx *ctx);
	/* The context closes: no translation may begin, whatever is still attached. */
	void (*block)(struct ioasid_ctx *ctx);
	/* Fills device->info but for the label. */
	int (*bind)(struct ioasid_device *device, const struct ioasid_source *source,
		    struct err *err);
	void (*unbind)(struct ioasid_device *device);
	int (*alloc)(struct ioasid_space *space, struct err *err);
	void (*destroy)(struct ioasid_space *space);
	int (*map)(struct ioasid_space *space, uint64_t iova, uint64_t size, void *hva,
		   unsigned int rights, struct ioasid_garbage *garbage, struct err *err);
	int (*unmap)(struct ioasid_space *space, uint64_t iova, uint64_t size,
		     struct ioasid_garbage *garbage, struct err *err);
	int (*attach)(struct ioasid_device *device, struct err *err);
	void (*detach)(struct ioasid_device *device);
	int (*pasid_attach)(struct ioasid_pasid *pasid, struct err *err);
	void (*pasid_detach)(struct ioasid_pasid *pasid);
	/* Returns when no DMA uses what was unlinked before the call. */
	void (*quiesce)(struct ioasid_ctx *ctx);
	void (*reap)(struct ioasid_garbage *garbage);
};

extern const struct ioasid_provider ioasid_soft;

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

struct ioasid_ctx {
	const struct ioasid_provider *provider;
	void *priv;
	pthread_mutex_t lock;
	/* Atomic: the opener, every PASID object and every DMA handle keep the memory of this. */
	uint32_t refs;
	uint32_t lowest;  /* no PASID below it is free */
	char reason[256]; /* why AUTO left the providers before this one; empty otherwise */
	LIST_HEAD(ioasid_ctx_devices, ioasid_device) devices;
	LIST_HEAD(ioasid_ctx_spaces, ioasid_space) spaces;
	struct ioasid_pasid_leaf *leaf[PASID_LEAVES]; /* atomic */
};

struct ioasid_device {
	struct ioasid_ctx *ctx;
	struct ioasid_space *space; /* atomic: where DMA without a PASID goes, or NULL */
	LIST_ENTRY(ioasid_device) of_ctx;
	LIST_ENTRY(ioasid_device) of_space;		      /* while space is set */
	LIST_HEAD(ioasid_device_pasids, ioasid_pasid) pasids; /* the active ones */
	struct ioasid_device_info info;
	void *priv;
};

struct ioasid_space {
	struct ioasid_ctx *ctx;
	void *priv;
	LIST_ENTRY(ioasid_space) of_ctx;
	LIST_HEAD(ioasid_space_devices, ioasid_device) devices;
	LIST_HEAD(ioasid_space_pasids, ioasid_pasid) pasids; /* the active ones */
	bool pasid_capable;
	char name[64];
};

struct ioasid_pasid {
	struct ioasid_ctx *ctx;
	uint32_t number;
	uint32_t refs; /* atomic: one is the attacher's, until ioasid_pasid_detach */
	/* Never changed: a lookup may be reading them. Meaningless once the number is parked. */
	struct ioasid_device *device;
	struct ioasid_space *space;
	LIST_ENTRY(ioasid_pasid) of_device, of_space; /* while active */
	bool attached;				      /* ioasid_pasid_detach was not called yet */
};

static inline bool ioasid_slot_parked(const char *slot)
{
	return (uintptr_t)slot & PASID_SLOT_PARKED;
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

/* Why AUTO left the providers that come before the one that serves; "" where one was named. */
const char *ioasid_ctx_reason(const struct ioasid_ctx *ctx);

void ioasid_ctx_get(struct ioasid_ctx *ctx);
void ioasid_ctx_put(struct ioasid_ctx *ctx);

/* These three need the lock. */
void ioasid_device_block(struct ioasid_device *device);
void ioasid_space_block(struct ioasid_space *space);
void ioasid_pasid_park(struct ioasid_pasid *pasid);

/* After the lock was dropped and the context quiesced; see device.c, space.c, pasid.c. */
void ioasid_device_free(struct ioasid_device *device);
void ioasid_space_free(struct ioasid_space *space);
/* The context closes: takes back the references of those that were attached and not detached. */
void ioasid_pasids_drop(struct ioasid_ctx *ctx);

#endif
