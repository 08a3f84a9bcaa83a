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

#define PAGE_SHIFT    12
#define IOTLB_ENTRIES 64u

/* Matches only the generation it was filled in. generation 0 is never current: empty. */
struct iotlb_entry {
	uint64_t generation, space_generation;
	const struct ioasid_device *device;
	const struct soft_space *space; /* alive while generation is current */
	uint64_t first, last;		/* IOVA bytes, inclusive */
	char *hva;			/* of first */
	uint32_t pasid;
	uint32_t rights;
};

struct ioasid_dma {
	struct epoch_reader reader;
	struct ioasid_ctx *ctx;
	struct soft_ctx *soft;
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
	ioasid_ctx_put(dma->ctx);
	free(dma);
}

void ioasid_dma_begin(struct ioasid_dma *dma)
{
	epoch_enter(&dma->soft->epoch, &dma->reader);
}

void ioasid_dma_end(struct ioasid_dma *dma)
{
	epoch_exit(&dma->reader);
}

static struct iotlb_entry *iotlb_slot(struct ioasid_dma *dma, uint32_t pasid, uint64_t iova)
{
	uint64_t page = iova >> PAGE_SHIFT;

	return &dma->iotlb[(page ^ page >> 6 ^ (uint64_t)pasid * 5) % IOTLB_ENTRIES];
}

static bool iotlb_hit(const struct ioasid_dma *dma, const struct iotlb_entry *entry,
		      const struct ioasid_device *device, uint32_t pasid, uint64_t iova)
{
	return entry->generation == __atomic_load_n(&dma->soft->generation, __ATOMIC_ACQUIRE) &&
	       entry->device == device && entry->pasid == pasid && iova >= entry->first &&
	       iova <= entry->last &&
	       entry->space_generation ==
		       __atomic_load_n(&entry->space->generation, __ATOMIC_ACQUIRE);
}

/* Which space the device reaches under the PASID; NULL: blocked. */
static const struct soft_space *find_space(const struct ioasid_dma *dma,
					   const struct ioasid_device *device, uint32_t pasid)
{
	const struct ioasid_space *space;
	const struct ioasid_pasid *object;
	const char *slot;

	if (__atomic_load_n(&dma->soft->blocked, __ATOMIC_ACQUIRE) || pasid > IOASID_PASID_MAX)
		return NULL;
	if (pasid == IOASID_PASID_NONE) {
		space = __atomic_load_n(&device->space, __ATOMIC_ACQUIRE);
		return space ? space->priv : NULL;
	}
	slot = ioasid_pool_slot(ioasid_pool_of(dma->ctx, device), pasid);
	if (!slot || ioasid_slot_parked(slot))
		return NULL;
	object = (const struct ioasid_pasid *)slot;
	if (object->device != device)
		return NULL;
	space = __atomic_load_n(&object->space, __ATOMIC_ACQUIRE);
	return space->priv;
}

/* The generations are read before what they guard: soft.h. */
static bool iotlb_fill(struct ioasid_dma *dma, struct iotlb_entry *entry,
		       const struct ioasid_device *device, uint32_t pasid, uint64_t iova)
{
	uint64_t generation = __atomic_load_n(&dma->soft->generation, __ATOMIC_ACQUIRE);
	const struct soft_space *space = find_space(dma, device, pasid);
	struct soft_extent extent;
	uint64_t space_generation;

	if (!space)
		return false;
	space_generation = __atomic_load_n(&space->generation, __ATOMIC_ACQUIRE);
	if (!soft_map_find(&space->map, iova >> PAGE_SHIFT, &extent))
		return false;
	*entry = (struct iotlb_entry){
		.generation = generation,
		.space_generation = space_generation,
		.device = device,
		.space = space,
		.first = extent.first << PAGE_SHIFT,
		.last = extent.last << PAGE_SHIFT | (IOASID_PAGE_SIZE - 1),
		.hva = extent.hva,
		.pasid = pasid,
		.rights = extent.rights,
	};
	return true;
}

/* How far memory goes on past the entry's end into mappings beside it, at most to `asked`. */
static uint64_t extend(const struct iotlb_entry *entry, uint64_t iova, uint64_t asked,
		       unsigned int rights)
{
	const char *hva = entry->hva + (entry->last - entry->first) + 1;
	uint64_t got = entry->last - iova + 1, next = entry->last + 1;

	while (got < asked && next) {
		struct soft_extent extent;
		uint64_t bytes;

		if (!soft_map_find(&entry->space->map, next >> PAGE_SHIFT, &extent) ||
		    extent.hva != hva || rights & ~extent.rights)
			break;
		bytes = (extent.last - extent.first + 1) << PAGE_SHIFT;
		hva += bytes;
		got += bytes;
		next += bytes;
	}
	return MIN(got, asked);
}

void *ioasid_translate(struct ioasid_dma *dma, const struct ioasid_device *device, uint32_t pasid,
		       uint64_t iova, uint64_t *len, unsigned int rights)
{
	struct iotlb_entry *entry = iotlb_slot(dma, pasid, iova);

	if (!iotlb_hit(dma, entry, device, pasid, iova) &&
	    !iotlb_fill(dma, entry, device, pasid, iova))
		goto blocked;
	if (!rights || rights & ~entry->rights)
		goto blocked;
	if (*len > entry->last - iova + 1)
		*len = extend(entry, iova, *len, rights);
	return entry->hva + (iova - entry->first);
blocked:
	*len = 0;
	return NULL;
}
