/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft provider: an IOMMU modelled in this process, for devices whose DMA our own engines do.
 * This is its management side; soft-dma.c is what engines call.
 */
#include "ioasid-client/providers/soft.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "util/bits.h"

#define PAGE_SHIFT 12

static int soft_open(struct ioasid_ctx *ctx, const char *node, int fd, struct err *err)
{
	struct soft_ctx *soft;

	if (fd >= 0)
		return err_set(err, EINVAL, "the soft provider needs no descriptor; leave it out");
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

static void soft_caps(struct ioasid_ctx *ctx, struct ioasid_caps *caps)
{
	*caps = (struct ioasid_caps){
		.atomic_replace = true,
		.pasids = true,
		.copy = true,
		.spaces_share_memory = true,
	};
}

static int check_model(const struct ioasid_soft_device *model, struct err *err)
{
	if (model->pasid_width > 20)
		return err_set(err, EINVAL, "a PASID width of %u bits is past the limit of 20",
			       model->pasid_width);
	if (model->emulated && model->pasid_width)
		return err_set(err, EINVAL, "an emulated device has no PASIDs of its own");
	if (model->addr_width && (model->addr_width < 12 || model->addr_width > 64))
		return err_set(err, EINVAL, "an address width of %u bits is not in 12 to 64",
			       model->addr_width);
	return 0;
}

static enum ioasid_snoop model_snoop(const struct ioasid_soft_device *model)
{
	if (model->emulated)
		return IOASID_SNOOP_NONE;
	return model->snoop_enforced ? IOASID_SNOOP_ENFORCED : IOASID_SNOOP_NOT_ENFORCED;
}

static int soft_bind(struct ioasid_device *device, const struct ioasid_source *source,
		     struct err *err)
{
	const struct ioasid_soft_device *model = &source->soft;
	struct soft_device *soft;
	int r;

	if (source->type != IOASID_SOURCE_SOFT)
		return err_set(err, ENOTSUP,
			       "the soft provider only makes model devices; a device of the host "
			       "needs a kernel provider");
	r = check_model(model, err);
	if (r)
		return r;
	soft = calloc(1, sizeof(*soft));
	if (!soft)
		return err_set(err, ENOMEM, "no memory for a model device");
	soft->iova.last = UINT64_MAX >> (model->addr_width ? 64 - model->addr_width : 0);
	device->priv = soft;
	device->info = (struct ioasid_device_info){
		.emulated = model->emulated,
		.isolation = IOASID_ISOLATION_SOFTWARE,
		.snoop = model_snoop(model),
		.pasid_width = model->pasid_width,
		.page_sizes = ~(uint64_t)(IOASID_PAGE_SIZE - 1),
		.iova_last = soft->iova.last,
		.iova = &soft->iova,
		.n_iova = 1,
		.hw = model->emulated ? "none" : "software",
		.group = model->group ? (int)model->group : -1,
	};
	return 0;
}

static void soft_unbind(struct ioasid_device *device)
{
	free(device->priv);
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

/* The extent's pages must be free. */
static int insert(struct ioasid_space *space, const struct soft_extent *extent,
		  struct ioasid_garbage *garbage, struct err *err)
{
	struct soft_space *soft = space->priv;
	struct soft_extent there;

	if (soft_map_first(&soft->map, extent->first, extent->last, &there))
		return err_set(err, EEXIST,
			       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
			       " overlaps the mapping from %#" PRIx64 " to %#" PRIx64
			       "; unmap that first",
			       space->name, extent_iova(extent), extent_end(extent),
			       extent_iova(&there), extent_end(&there));
	if (soft_map_insert(&soft->map, extent, garbage))
		return err_set(err, ENOMEM, "space %s: no memory to map IOVA %#" PRIx64,
			       space->name, extent_iova(extent));
	return 0;
}

static int soft_map(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		    struct ioasid_garbage *garbage, struct err *err)
{
	const struct soft_extent extent = {
		.first = mapping->iova >> PAGE_SHIFT,
		.last = (mapping->iova + mapping->size - 1) >> PAGE_SHIFT,
		.hva = mapping->hva,
		.rights = mapping->rights,
	};

	if (!mapping->hva)
		return err_set(err, EINVAL,
			       "space %s: the soft provider maps memory by its address, not by a "
			       "descriptor alone",
			       space->name);
	return insert(space, &extent, garbage, err);
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

	if (!soft_map_first(&soft->map, first, last, &low))
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

/* What of the source's extent lies in [first, last], moved to where it is copied. */
static struct soft_extent copied(const struct soft_extent *from, uint64_t first, uint64_t last,
				 uint64_t to)
{
	uint64_t low = MAX(from->first, first), high = MIN(from->last, last);

	return (struct soft_extent){
		.first = to + (low - first),
		.last = to + (high - first),
		.hva = from->hva + ((low - from->first) << PAGE_SHIFT),
	};
}

static int soft_copy(struct ioasid_space *space, const struct ioasid_copy *copy,
		     struct ioasid_garbage *garbage, struct err *err)
{
	const struct soft_space *from = copy->from->priv;
	struct soft_space *soft = space->priv;
	uint64_t first = copy->from_iova >> PAGE_SHIFT, to = copy->iova >> PAGE_SHIFT;
	uint64_t last = first + (copy->size >> PAGE_SHIFT) - 1, at = first;
	int r = 0;

	while (!r && at <= last) {
		struct soft_extent there, extent;

		if (!soft_map_find(&from->map, at, &there)) {
			r = err_set(err, ENOENT, "space %s: nothing is mapped at %#" PRIx64,
				    copy->from->name, at << PAGE_SHIFT);
			break;
		}
		extent = copied(&there, first, last, to);
		extent.rights = there.rights & copy->rights;
		r = extent.rights ? insert(space, &extent, garbage, err)
				  : err_set(err, EINVAL,
					    "space %s: the mapping at %#" PRIx64
					    " has none of the rights that are asked for",
					    copy->from->name, at << PAGE_SHIFT);
		if (!r)
			at = first + (extent.last - to) + 1;
	}
	if (r && at > first)
		soft_map_erase(&soft->map, to, to + (at - first) - 1, garbage);
	if (r)
		__atomic_fetch_add(&soft->generation, 1, __ATOMIC_SEQ_CST);
	return r;
}

/* The generic part has set device->space, which is all that a translation looks at. */
static int soft_attach(struct ioasid_device *device, struct ioasid_space *before, struct err *err)
{
	stale(device->ctx);
	return 0;
}

static int soft_detach(struct ioasid_device *device, struct ioasid_space *from, struct err *err)
{
	stale(device->ctx);
	return 0;
}

/* A number comes from free, so no IOTLB entry of it can match. */
static int soft_pasid_attach(struct ioasid_pasid *pasid, struct err *err)
{
	return 0;
}

static int soft_pasid_replace(struct ioasid_pasid *pasid, struct ioasid_space *before,
			      struct err *err)
{
	stale(pasid->ctx);
	return 0;
}

static int soft_pasid_detach(struct ioasid_pasid *pasid, struct err *err)
{
	stale(pasid->ctx);
	return 0;
}

const struct ioasid_provider ioasid_soft = {
	.name = "soft",
	.open = soft_open,
	.close = soft_close,
	.block = soft_block,
	.caps = soft_caps,
	.bind = soft_bind,
	.unbind = soft_unbind,
	.alloc = soft_alloc,
	.destroy = soft_destroy,
	.map = soft_map,
	.unmap = soft_unmap,
	.attach = soft_attach,
	.detach = soft_detach,
	.pasid_attach = soft_pasid_attach,
	.pasid_replace = soft_pasid_replace,
	.pasid_detach = soft_pasid_detach,
	.quiesce = soft_quiesce,
	.copy = soft_copy,
	.reap = soft_map_reap,
};
