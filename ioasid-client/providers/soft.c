/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft provider: an IOMMU modelled in this process, for devices whose DMA our own engines do.
 * This is its management side; soft.h says where the rest is.
 */
#include "ioasid-client/providers/soft.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "util/bits.h"

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
	if (soft_faults_new(&soft->faults)) {
		free(soft);
		return err_set(err, ENOMEM, "no memory for the soft provider's faults");
	}
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
	soft_faults_free(soft->faults);
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
		.faults = IOASID_FAULTS_ALL,
		.atomic_replace = true,
		.pasids = true,
		.copy = true,
		.dirty = true,
		.nesting = true,
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
	if (model->emulated && (model->nesting || model->page_requests))
		return err_set(err, EINVAL,
			       "an emulated device has no IOMMU that nests or requests pages");
	if (model->pasid_rights & ~(IOASID_EXEC | IOASID_PRIVILEGED))
		return err_set(err, EINVAL, "PASID rights %#x are not exec and privileged",
			       model->pasid_rights);
	if (model->nesting & ~IOASID_FORMAT_BIT(IOASID_FORMAT_VTD_S1))
		return err_set(err, EINVAL, "formats %#x are not those that the model nests: %#x",
			       model->nesting, IOASID_FORMAT_BIT(IOASID_FORMAT_VTD_S1));
	if (model->reserved.last < model->reserved.first)
		return err_set(err, EINVAL, "the reserved range ends before it begins");
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

static void describe(struct ioasid_device_info *info, const struct ioasid_soft_device *model,
		     const struct soft_device *soft)
{
	*info = (struct ioasid_device_info){
		.emulated = model->emulated,
		.page_requests = model->page_requests,
		.dirty = model->dirty,
		.isolation = IOASID_ISOLATION_SOFTWARE,
		.snoop = model_snoop(model),
		.pasid_width = model->pasid_width,
		.pasid_rights = model->pasid_rights,
		.page_sizes = ~(uint64_t)(IOASID_PAGE_SIZE - 1),
		.iova_last = soft->iova.last,
		.iova = &soft->iova,
		.n_iova = 1,
		.reserved = &soft->reserved,
		.n_reserved = soft->reserved.last != 0,
		.nesting = model->nesting,
		.hw = model->emulated ? "none" : "software",
		.group = model->group ? (int)model->group : -1,
	};
}

/* The space that a member of the device's group is attached to, or NULL. Needs the lock. */
static const struct ioasid_space *group_space(const struct ioasid_device *device)
{
	const struct ioasid_device *other;

	if (device->info.group < 0)
		return device->space;
	for (other = LIST_FIRST(&device->ctx->devices); other; other = LIST_NEXT(other, of_ctx)) {
		if (other->info.group == device->info.group && other->space)
			return other->space;
	}
	return device->space;
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
	soft->reserved = model->reserved;
	device->priv = soft;
	describe(&device->info, model, soft);
	soft->reach = group_space(device);
	return 0;
}

static void soft_unbind(struct ioasid_device *device)
{
	free(device->priv);
}

static int soft_alloc(struct ioasid_space *space, struct err *err)
{
	const struct ioasid_space_options *options = &space->options;
	struct soft_space *soft = calloc(1, sizeof(*soft));

	if (!soft)
		return err_set(err, ENOMEM, "no memory for an address space");
	soft->generation = 1;
	soft->faults = options->faults;
	soft->remote = options->remote.read ? &options->remote : NULL;
	if (options->parent) {
		soft->parent = options->parent->priv;
		soft->nesting = options->nesting;
	}
	if (options->dirty) {
		soft->dirty = soft_dirty_new();
		if (!soft->dirty) {
			free(soft);
			return err_set(err, ENOMEM, "no memory for a dirty log");
		}
	}
	space->priv = soft;
	return 0;
}

static void soft_destroy(struct ioasid_space *space)
{
	struct soft_space *soft = space->priv;

	soft_map_clear(&soft->map);
	soft_dirty_free(soft->dirty);
	free(soft);
}

/* What IOTLBs hold of the space, and of those nested over it, is no longer good. */
static void outdate(const struct ioasid_space *space)
{
	const struct ioasid_space *child;
	struct soft_space *soft = space->priv;

	__atomic_fetch_add(&soft->generation, 1, __ATOMIC_SEQ_CST);
	for (child = LIST_FIRST(&space->children); child; child = LIST_NEXT(child, of_parent))
		outdate(child);
}

/* --- what fits ------------------------------------------------------------------------------- */

static bool outside(const struct soft_device *model, uint64_t first, uint64_t last)
{
	if (first < model->iova.first || last > model->iova.last)
		return true;
	return model->reserved.last && first <= model->reserved.last &&
	       last >= model->reserved.first;
}

/* A mapping that devices which are attached already cannot have. */
static int check_extent(const struct ioasid_space *space, const struct soft_extent *extent,
			struct err *err)
{
	const struct ioasid_device *device;

	for (device = LIST_FIRST(&space->devices); device; device = LIST_NEXT(device, of_space)) {
		if (outside(device->priv, soft_extent_iova(extent), soft_extent_end(extent)))
			return err_set(err, EINVAL,
				       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
				       " is reserved or out of reach on device %s, which is "
				       "attached",
				       space->name, soft_extent_iova(extent),
				       soft_extent_end(extent), device->info.label);
	}
	return 0;
}

static bool any_mapping(struct soft_space *soft, uint64_t first, uint64_t last,
			struct soft_extent *there)
{
	return first <= last &&
	       soft_map_first(&soft->map, first >> SOFT_PAGE_SHIFT, last >> SOFT_PAGE_SHIFT, there);
}

/* A device that cannot have what is mapped already. */
static int check_device(const struct ioasid_device *device, const struct ioasid_space *space,
			struct err *err)
{
	const struct soft_device *model = device->priv;
	struct soft_space *soft = space->priv;
	struct soft_extent there;

	if ((model->iova.last == UINT64_MAX ||
	     !any_mapping(soft, model->iova.last + 1, UINT64_MAX, &there)) &&
	    (!model->reserved.last ||
	     !any_mapping(soft, model->reserved.first, model->reserved.last, &there)))
		return 0;
	return err_set(err, EINVAL,
		       "space %s maps IOVA %#" PRIx64 " to %#" PRIx64
		       ", which is reserved or out of reach on device %s; unmap that first",
		       space->name, soft_extent_iova(&there), soft_extent_end(&there),
		       device->info.label);
}

/* --- what is mapped -------------------------------------------------------------------------- */

/* The extent's pages must be free. */
static int insert(struct ioasid_space *space, const struct soft_extent *extent,
		  struct ioasid_garbage *garbage, struct err *err)
{
	struct soft_space *soft = space->priv;
	struct soft_extent there;
	int r = check_extent(space, extent, err);

	if (r)
		return r;
	if (soft_map_first(&soft->map, extent->first, extent->last, &there))
		return err_set(err, EEXIST,
			       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
			       " overlaps the mapping from %#" PRIx64 " to %#" PRIx64
			       "; unmap that first",
			       space->name, soft_extent_iova(extent), soft_extent_end(extent),
			       soft_extent_iova(&there), soft_extent_end(&there));
	if (soft_map_insert(&soft->map, extent, garbage))
		return err_set(err, ENOMEM, "space %s: no memory to map IOVA %#" PRIx64,
			       space->name, soft_extent_iova(extent));
	return 0;
}

static int soft_map(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		    struct ioasid_garbage *garbage, struct err *err)
{
	const struct soft_extent extent = {
		.first = mapping->iova >> SOFT_PAGE_SHIFT,
		.last = (mapping->iova + mapping->size - 1) >> SOFT_PAGE_SHIFT,
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
		       space->name, soft_extent_iova(extent), soft_extent_end(extent), border);
}

static int soft_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size,
		      struct ioasid_garbage *garbage, struct err *err)
{
	struct soft_space *soft = space->priv;
	uint64_t first = iova >> SOFT_PAGE_SHIFT, last = (iova + size - 1) >> SOFT_PAGE_SHIFT;
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
	outdate(space);
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
		.hva = from->hva + ((low - from->first) << SOFT_PAGE_SHIFT),
	};
}

static int soft_copy(struct ioasid_space *space, const struct ioasid_copy *copy,
		     struct ioasid_garbage *garbage, struct err *err)
{
	const struct soft_space *from = copy->from->priv;
	struct soft_space *soft = space->priv;
	uint64_t first = copy->from_iova >> SOFT_PAGE_SHIFT, to = copy->iova >> SOFT_PAGE_SHIFT;
	uint64_t last = first + (copy->size >> SOFT_PAGE_SHIFT) - 1, at = first;
	int r = 0;

	while (!r && at <= last) {
		struct soft_extent there, extent;

		if (!soft_map_find(&from->map, at, &there)) {
			r = err_set(err, ENOENT, "space %s: nothing is mapped at %#" PRIx64,
				    copy->from->name, at << SOFT_PAGE_SHIFT);
			break;
		}
		extent = copied(&there, first, last, to);
		extent.rights = there.rights & copy->rights;
		r = extent.rights ? insert(space, &extent, garbage, err)
				  : err_set(err, EINVAL,
					    "space %s: the mapping at %#" PRIx64
					    " has none of the rights that are asked for",
					    copy->from->name, at << SOFT_PAGE_SHIFT);
		if (!r)
			at = first + (extent.last - to) + 1;
	}
	if (r && at > first)
		soft_map_erase(&soft->map, to, to + (at - first) - 1, garbage);
	if (r)
		outdate(space);
	return r;
}

static int soft_dirty_track(struct ioasid_space *space, bool on, struct err *err)
{
	struct soft_space *soft = space->priv;

	if (on)
		soft_dirty_clear(soft->dirty);
	__atomic_store_n(&soft->tracking, on, __ATOMIC_RELEASE);
	outdate(space);
	return 0;
}

static int read_dirty(struct ioasid_space *space, const struct ioasid_dirty *dirty, struct err *err)
{
	struct soft_space *soft = space->priv;

	soft_dirty_read(soft->dirty, dirty);
	return 0;
}

/* All that is cached of the space: VT-d specification 6.5.1.2 lets hardware drop more than asked.
 */
static int soft_invalidate(struct ioasid_space *space, const struct ioasid_invalidation *list,
			   size_t n, size_t *done, struct err *err)
{
	if (n)
		outdate(space);
	*done = n;
	return 0;
}

/* --- who is attached ------------------------------------------------------------------------- */

/* The generic part has set device->space; all members of the group reach what one does. */
static void regroup(const struct ioasid_device *device)
{
	struct soft_ctx *soft = device->ctx->priv;
	const struct ioasid_space *space = group_space(device);
	const struct ioasid_device *other;

	for (other = LIST_FIRST(&device->ctx->devices); other; other = LIST_NEXT(other, of_ctx)) {
		struct soft_device *model = other->priv;

		if (other != device &&
		    (device->info.group < 0 || other->info.group != device->info.group))
			continue;
		if (model->reach == space)
			continue;
		__atomic_store_n(&model->reach, space, __ATOMIC_RELEASE);
		soft_faults_cancel(soft->faults, other, IOASID_PASID_NONE);
	}
	stale(device->ctx);
}

static int soft_attach(struct ioasid_device *device, struct ioasid_space *before, struct err *err)
{
	int r = check_device(device, device->space, err);

	if (!r)
		regroup(device);
	return r;
}

static int soft_detach(struct ioasid_device *device, struct ioasid_space *from, struct err *err)
{
	regroup(device);
	return 0;
}

/* A number comes from free, so no IOTLB entry of it can match. */
static int soft_pasid_attach(struct ioasid_pasid *pasid, struct err *err)
{
	return 0;
}

static void end_requests(const struct ioasid_pasid *pasid)
{
	struct soft_ctx *soft = pasid->ctx->priv;

	stale(pasid->ctx);
	soft_faults_cancel(soft->faults, pasid->device, pasid->number);
}

static int soft_pasid_replace(struct ioasid_pasid *pasid, struct ioasid_space *before,
			      struct err *err)
{
	end_requests(pasid);
	return 0;
}

static int soft_pasid_detach(struct ioasid_pasid *pasid, struct err *err)
{
	end_requests(pasid);
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
	.reap = soft_map_reap,
	.copy = soft_copy,
	.dirty_track = soft_dirty_track,
	.dirty_read = read_dirty,
	.invalidate = soft_invalidate,
	.faults_fd = soft_faults_fd,
	.faults_read = soft_faults_read,
	.fault_respond = soft_fault_respond,
	.fault_note = soft_fault_note,
};
