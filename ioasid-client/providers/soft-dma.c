/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DMA side of the soft provider: what an engine thread calls for every access of a device.
 * Nothing here takes a lock. A handle keeps a small IOTLB of mappings, direct-mapped; soft.h says
 * how its entries become stale.
 */
#include "ioasid-client/providers/soft.h"

#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"

#define IOTLB_ENTRIES 64u
#define DMA_RIGHTS    (IOASID_READ | IOASID_WRITE | IOASID_EXEC | IOASID_PRIVILEGED)

/* Matches only the generation it was filled in. generation 0 is never current: empty. */
struct iotlb_entry {
	uint64_t generation, space_generation;
	const struct ioasid_device *device;
	const struct soft_space *space; /* alive while generation is current */
	uint64_t first, last;		/* IOVA bytes, inclusive */
	char *hva;			/* of first */
	uint32_t pasid;
	uint32_t rights; /* with IOASID_PAGE_REQUEST, so that a hit need not mask it out */
};

struct ioasid_dma {
	struct epoch_reader reader;
	struct ioasid_ctx *ctx;
	struct soft_ctx *soft;
	uint64_t request;      /* of the last translation that gave NULL */
	bool refuses;	       /* atomic */
	struct soft_hook hook; /* soft_faults_hook */
	struct soft_copies copies;
	_Alignas(64) struct iotlb_entry iotlb[IOTLB_ENTRIES];
};

int ioasid_dma_open(struct ioasid_ctx *ctx, struct ioasid_dma **out, struct err *err)
{
	struct ioasid_dma *dma;

	if (ctx->provider != &ioasid_soft)
		return err_set(err, ENOTSUP,
			       "provider %s leaves DMA to the hardware; only soft translates here",
			       ctx->provider->name);
	dma = aligned_alloc(_Alignof(struct ioasid_dma), sizeof(*dma));
	if (!dma)
		return err_set(err, ENOMEM, "no memory for a DMA handle");
	memset(dma, 0, sizeof(*dma));
	dma->ctx = ctx;
	dma->soft = ctx->priv;
	soft_copies_init(&dma->copies);
	ioasid_ctx_get(ctx);
	epoch_join(&dma->soft->epoch, &dma->reader);
	*out = dma;
	return 0;
}

void ioasid_dma_close(struct ioasid_dma *dma)
{
	if (!dma)
		return;
	epoch_leave(&dma->soft->epoch, &dma->reader);
	soft_faults_close(dma->soft->faults, dma);
	ioasid_ctx_put(dma->ctx);
	free(dma);
}

void ioasid_dma_begin(struct ioasid_dma *dma)
{
	epoch_enter(&dma->soft->epoch, &dma->reader);
}

int ioasid_dma_end(struct ioasid_dma *dma)
{
	int ret = dma->copies.first ? soft_copies_out(&dma->copies) : 0;

	epoch_exit(&dma->reader);
	return ret;
}

uint64_t ioasid_dma_failed(const struct ioasid_dma *dma)
{
	return dma->copies.failed;
}

static struct iotlb_entry *iotlb_slot(struct ioasid_dma *dma, uint32_t pasid, uint64_t iova)
{
	uint64_t page = iova >> SOFT_PAGE_SHIFT;

	return &dma->iotlb[(page ^ page >> 6 ^ (uint64_t)pasid * 5) % IOTLB_ENTRIES];
}

static bool iotlb_hit(const struct ioasid_dma *dma, const struct iotlb_entry *entry,
		      const struct ioasid_device *device, uint32_t pasid, uint64_t iova,
		      unsigned int rights)
{
	return entry->generation == __atomic_load_n(&dma->soft->generation, __ATOMIC_ACQUIRE) &&
	       entry->device == device && entry->pasid == pasid && iova >= entry->first &&
	       iova <= entry->last && !(rights & ~entry->rights) &&
	       entry->space_generation ==
		       __atomic_load_n(&entry->space->generation, __ATOMIC_ACQUIRE);
}

const struct ioasid_space *soft_space_of(struct ioasid_ctx *ctx, const struct ioasid_device *device,
					 uint32_t pasid)
{
	const struct soft_device *model = device->priv;
	const struct ioasid_pasid *object;
	const char *slot;

	if (pasid > IOASID_PASID_MAX)
		return NULL;
	if (pasid == IOASID_PASID_NONE)
		return __atomic_load_n(&model->reach, __ATOMIC_ACQUIRE);
	slot = ioasid_pool_slot(ioasid_pool_of(ctx, device), pasid);
	if (!slot || ioasid_slot_parked(slot))
		return NULL;
	object = (const struct ioasid_pasid *)slot;
	if (object->device != device)
		return NULL;
	return __atomic_load_n(&object->space, __ATOMIC_ACQUIRE);
}

/* How far memory goes on past what was found into mappings beside it, at most to `asked`. */
static __attribute__((noinline)) uint64_t extend(const struct soft_space *space,
						 const struct iotlb_entry *entry, uint64_t iova,
						 uint64_t asked, unsigned int rights)
{
	const char *hva = entry->hva + (entry->last - entry->first) + 1;
	uint64_t got = entry->last - iova + 1, next = entry->last + 1;

	/* Another page of a guest's tables or of a dirty log is another walk. */
	if (space->parent || space->dirty)
		return got;
	while (got < asked && next) {
		struct soft_extent extent;
		uint64_t bytes;

		if (!soft_map_find(&space->map, next >> SOFT_PAGE_SHIFT, &extent) ||
		    extent.hva != hva || rights & DMA_RIGHTS & ~extent.rights)
			break;
		bytes = (extent.last - extent.first + 1) << SOFT_PAGE_SHIFT;
		hva += bytes;
		got += bytes;
		next += bytes;
	}
	return MIN(got, asked);
}

/* The access's length as far as it goes on. */
static uint64_t reach(const struct iotlb_entry *entry, uint64_t iova, uint64_t len,
		      unsigned int rights)
{
	if (len <= entry->last - iova + 1)
		return len;
	return extend(entry->space, entry, iova, len, rights);
}

static bool find(const struct soft_space *space, uint64_t iova, unsigned int rights,
		 struct soft_found *found)
{
	return space->parent ? soft_walk(space, iova, rights & DMA_RIGHTS, found)
			     : soft_look(space, iova, found);
}

/*
 * Past the IOTLB; what is found goes into the entry. The generations are read before what they
 * guard: soft.h.
 */
static char *walk(struct soft_access *access, struct iotlb_entry *entry)
{
	const struct soft_ctx *ctx = access->dma->soft;
	uint64_t generation = __atomic_load_n(&ctx->generation, __ATOMIC_ACQUIRE);
	const struct soft_space *space;
	struct soft_found found;
	uint64_t space_generation;

	access->space = soft_space_of(access->dma->ctx, access->device, access->pasid);
	if (!access->space || !(access->rights & DMA_RIGHTS))
		return NULL;
	space = access->space->priv;
	space_generation = __atomic_load_n(&space->generation, __ATOMIC_ACQUIRE);
	if (!find(space, access->iova, access->rights, &found))
		return NULL;
	*entry = (struct iotlb_entry){
		.generation = generation,
		.space_generation = space_generation,
		.device = access->device,
		.space = space,
		.first = found.first,
		.last = found.last,
		.hva = found.hva,
		.pasid = access->pasid,
		.rights = found.cached | IOASID_PAGE_REQUEST,
	};
	if (access->rights & DMA_RIGHTS & ~found.rights)
		return NULL;
	access->len = reach(entry, access->iova, access->len, access->rights);
	if (found.log && access->rights & IOASID_WRITE)
		soft_dirty_mark(found.log, found.log_first + (access->iova - found.first),
				access->len);
	return found.hva + (access->iova - found.first);
}

/* Where walk found nothing: memory that is reached by calls. */
static char *fetch(struct soft_access *access)
{
	unsigned int rights = access->rights & DMA_RIGHTS;
	const struct soft_space *space;
	struct soft_extent extent;

	if (!access->space || !rights || !access->len)
		return NULL;
	space = access->space->priv;
	if (!space->remote || soft_map_find(&space->map, access->iova >> SOFT_PAGE_SHIFT, &extent))
		return NULL;
	return soft_copy_in(&access->dma->copies, space, access->iova, &access->len, rights);
}

/* A function of its own: what it needs on the stack would cost every hit. */
static __attribute__((noinline)) void *translate_anew(struct ioasid_dma *dma,
						      const struct ioasid_device *device,
						      uint32_t pasid, uint64_t iova, uint64_t *len,
						      unsigned int rights)
{
	struct soft_access access = {
		.dma = dma,
		.device = device,
		.pasid = pasid,
		.iova = iova,
		.len = *len,
		.rights = rights,
	};
	char *at;

	*len = dma->request = 0;
	/* Past the end of a context its devices are dead, and no record can name them. */
	if (__atomic_load_n(&dma->soft->blocked, __ATOMIC_ACQUIRE))
		return NULL;
	at = walk(&access, iotlb_slot(dma, pasid, iova));
	if (!at)
		at = fetch(&access);
	if (at)
		*len = access.len;
	else
		dma->request = soft_fault_report(dma->soft->faults, &access);
	return at;
}

void *ioasid_translate(struct ioasid_dma *dma, const struct ioasid_device *device, uint32_t pasid,
		       uint64_t iova, uint64_t *len, unsigned int rights)
{
	const struct iotlb_entry *entry = iotlb_slot(dma, pasid, iova);

	if (!iotlb_hit(dma, entry, device, pasid, iova, rights) || !(rights & DMA_RIGHTS))
		return translate_anew(dma, device, pasid, iova, len, rights);
	*len = reach(entry, iova, *len, rights);
	return entry->hva + (iova - entry->first);
}

uint64_t ioasid_dma_request(const struct ioasid_dma *dma)
{
	return dma->request;
}

int ioasid_dma_wait(struct ioasid_dma *dma, uint64_t request)
{
	return soft_fault_answer(dma->soft->faults, request, true);
}

int ioasid_dma_answer(struct ioasid_dma *dma, uint64_t request)
{
	return soft_fault_answer(dma->soft->faults, request, false);
}

void ioasid_dma_drop(struct ioasid_dma *dma, uint64_t request)
{
	soft_fault_drop(dma->soft->faults, request);
}

void ioasid_dma_on_answer(struct ioasid_dma *dma, void (*fn)(void *arg), void *arg)
{
	soft_faults_hook(dma->soft->faults, &dma->hook, (struct soft_hook){ fn, arg });
}

struct soft_hook soft_dma_hook(const struct ioasid_dma *dma)
{
	return dma->hook;
}

void ioasid_dma_refuse(struct ioasid_dma *dma, bool on)
{
	__atomic_store_n(&dma->refuses, on, __ATOMIC_SEQ_CST);
	if (on)
		soft_faults_refuse(dma->soft->faults, dma);
}

bool soft_dma_refuses(const struct ioasid_dma *dma)
{
	return __atomic_load_n(&dma->refuses, __ATOMIC_SEQ_CST);
}
