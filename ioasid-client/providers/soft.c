/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft provider: an IOMMU modelled in this process, for devices whose DMA our own engines do.
 * This is its management side; soft-dma.c is what engines call.
 */
#include "ioasid-client/providers/soft.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define PAGE_SHIFT 12

static int soft_open(struct ioasid_ctx *ctx, const char *node, struct err *err)
{
	struct soft_ctx *soft;

	if (node)
		return err_set(err, EINVAL, "the soft provider opens no node; leave %s out", node);
	soft = aligned_alloc(_Alignof(struct soft_ctx), sizeof(*soft));
	if (!soft)
		return err_set(err, ENOMEM, "no memory for the soft provider");
	epoch_init(&soft->epoch);
	soft->generation = 1;
	soft->blocked = false;
	ctx->priv = soft;
	return 0;
}

static void soft_close(struct ioasid_ctx *ctx)
{
	struct soft_ctx *soft = ctx->priv;

	epoch_destroy(&soft->epoch);
	free(soft);
}

static void stale(struct ioasid_ctx *ctx)
{
	struct soft_ctx *soft = ctx->priv;

	__atomic_fetch_add(&soft->generation, 1, __ATOMIC_SEQ_CST);
}

static void soft_block(struct ioasid_ctx *ctx)
{
	struct soft_ctx *soft = ctx->priv;

	__atomic_store_n(&soft->blocked, true, __ATOMIC_RELEASE);
	stale(ctx);
}

static void soft_quiesce(struct ioasid_ctx *ctx)
{
	struct soft_ctx *soft = ctx->priv;

	epoch_wait(&soft->epoch);
}

static int soft_bind(struct ioasid_device *device, const struct ioasid_source *source,
		     struct err *err)
{
	if (source->type != IOASID_SOURCE_SOFT)
		return err_set(err, ENOTSUP,
			       "the soft provider only makes model devices; a device of the host "
			       "needs a kernel provider");
	if (source->soft.pasid_width > 20)
		return err_set(err, EINVAL, "a PASID width of %u bits is past the limit of 20",
			       source->soft.pasid_width);
	device->info = (struct ioasid_device_info){
		.isolation = IOASID_ISOLATION_SOFTWARE,
		.snoop_enforced = source->soft.snoop_enforced,
		.pasid_width = source->soft.pasid_width,
		.page_sizes = ~(uint64_t)(IOASID_PAGE_SIZE - 1),
		.iova_first = 0,
		.iova_last = UINT64_MAX,
	};
	return 0;
}

static void soft_unbind(struct ioasid_device *device)
{
	(void)device;
}

static int soft_alloc(struct ioasid_space *space, struct err *err)
{
	struct soft_space *soft = calloc(1, sizeof(*soft));

	if (!soft)
		return err_set(err, ENOMEM, "no memory for an address space");
	soft->generation = 1;
	space->priv = soft;
	return 0;
}

static void soft_destroy(struct ioasid_space *space)
{
	struct soft_space *soft = space->priv;

	soft_map_clear(&soft->map);
	free(soft);
}

static uint64_t extent_iova(const struct soft_extent *extent)
{
	return extent->first << PAGE_SHIFT;
}

static uint64_t extent_end(const struct soft_extent *extent)
{
	return extent->last << PAGE_SHIFT | (IOASID_PAGE_SIZE - 1);
}

static int soft_map(struct ioasid_space *space, uint64_t iova, uint64_t size, void *hva,
		    unsigned int rights, struct ioasid_garbage *garbage, struct err *err)
{
	struct soft_space *soft = space->priv;
	const struct soft_extent extent = {
		.first = iova >> PAGE_SHIFT,
		.last = (iova + size - 1) >> PAGE_SHIFT,
		.hva = hva,
		.rights = rights,
	};
	struct soft_extent there;

	if (soft_map_next(&soft->map, extent.first, &there) && there.first <= extent.last)
		return err_set(err, EEXIST,
			       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
			       " overlaps the mapping from %#" PRIx64 " to %#" PRIx64
			       "; unmap that first",
			       space->name, iova, iova + size - 1, extent_iova(&there),
			       extent_end(&there));
	if (soft_map_insert(&soft->map, &extent, garbage))
		return err_set(err, ENOMEM, "space %s: no memory to map IOVA %#" PRIx64,
			       space->name, iova);
	return 0;
}

static int straddles(const struct ioasid_space *space, const struct soft_extent *extent,
		     uint64_t border, struct err *err)
{
	return err_set(err, EINVAL,
		       "space %s: the mapping from %#" PRIx64 " to %#" PRIx64 " straddles %#" PRIx64
		       "; mappings are unmapped whole",
		       space->name, extent_iova(extent), extent_end(extent), border);
}

static int soft_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size,
		      struct ioasid_garbage *garbage, struct err *err)
{
	struct soft_space *soft = space->priv;
	uint64_t first = iova >> PAGE_SHIFT, last = (iova + size - 1) >> PAGE_SHIFT;
	struct soft_extent low, high;

	if (!soft_map_next(&soft->map, first, &low) || low.first > last)
		return err_set(err, ENOENT,
			       "space %s: nothing is mapped from %#" PRIx64 " to %#" PRIx64,
			       space->name, iova, iova + size - 1);
	if (low.first < first)
		return straddles(space, &low, iova, err);
	if (soft_map_find(&soft->map, last, &high) && high.last > last)
		return straddles(space, &high, iova + size, err);
	soft_map_erase(&soft->map, first, last, garbage);
	__atomic_fetch_add(&soft->generation, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* The generic part has set device->space, which is all that a translation looks at. */
static int soft_attach(struct ioasid_device *device, struct err *err)
{
	stale(device->ctx);
	return 0;
}

static void soft_detach(struct ioasid_device *device)
{
	stale(device->ctx);
}

/* A number comes from free, so no IOTLB entry of it can match. */
static int soft_pasid_attach(struct ioasid_pasid *pasid, struct err *err)
{
	return 0;
}

static void soft_pasid_detach(struct ioasid_pasid *pasid)
{
	stale(pasid->ctx);
}

const struct ioasid_provider ioasid_soft = {
	.name = "soft",
	.open = soft_open,
	.close = soft_close,
	.block = soft_block,
	.bind = soft_bind,
	.unbind = soft_unbind,
	.alloc = soft_alloc,
	.destroy = soft_destroy,
	.map = soft_map,
	.unmap = soft_unmap,
	.attach = soft_attach,
	.detach = soft_detach,
	.pasid_attach = soft_pasid_attach,
	.pasid_detach = soft_pasid_detach,
	.quiesce = soft_quiesce,
	.reap = soft_map_reap,
};
