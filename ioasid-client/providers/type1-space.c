/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container map what a space maps, and nothing: attach, detach, map and unmap. Every loop
 * over containers and mappings either gets through or is undone.
 */
#include "ioasid-client/providers/type1.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ioasid-client/providers/locked.h"
#include "util/bits.h"

static struct mappings *mappings_of(const struct ioasid_space *space)
{
	return &((struct type1_space *)space->priv)->mappings;
}

/* Empties the container, which maps nothing else than what the space does: at once, or one by one.
 */
static int withdraw(const struct ioasid_ctx *ctx, const struct type1_group *group,
		    const struct ioasid_space *space)
{
	struct mapped mapped;
	uint64_t at = 0;
	int r = 0;

	if (!type1_unmap_all(ctx->seam, group->container))
		return 0;
	while (mappings_next(mappings_of(space), at, &mapped)) {
		int one = type1_unmap(ctx->seam, group->container, mapped.iova,
				      mapped.last - mapped.iova + 1);

		r = r ? r : one;
		at = mapped.last + 1;
		if (!at)
			break;
	}
	return r;
}

static int explain_map(struct ioasid_ctx *ctx, const struct ioasid_space *space,
		       const struct mapped *mapped, int r, struct err *err)
{
	struct ioasid_memory memory = { 0 };

	if (r == -ENOMEM) {
		type1_memory(ctx, &memory);
		return locked_explain(&memory, mapped->last - mapped->iova + 1, err);
	}
	if (r == -ENOSPC)
		return err_set(
			err, ENOSPC,
			"space %s: the container takes no more mappings; map larger ranges, or "
			"load vfio_iommu_type1 with a higher dma_entry_limit",
			space->name);
	/* -EIO would say that the state is blocked, which it is not. */
	return err_set(err, r == -EIO ? EINVAL : -r,
		       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
		       " cannot be mapped for IOMMU groups that are attached: %s",
		       space->name, mapped->iova, mapped->last, strerror(-r));
}

static int stuck(struct type1_group *group, const struct ioasid_space *space, int r,
		 struct err *err)
{
	group->stuck = true;
	return err_set(
		err, EIO,
		"IOMMU group %d: the kernel does not take space %s away from it (%s); unbind "
		"its devices",
		group->number, space->name, strerror(-r));
}

/* Maps in the container all that the space maps, or none of it. */
static int supply(struct ioasid_ctx *ctx, struct type1_group *group, struct ioasid_space *space,
		  struct err *err)
{
	struct mapped mapped;
	uint64_t at = 0;

	while (mappings_next(mappings_of(space), at, &mapped)) {
		int r = type1_map(ctx->seam, group->container, &mapped);

		if (r) {
			r = explain_map(ctx, space, &mapped, r, err);
			if (withdraw(ctx, group, space))
				r = stuck(group, space, -EIO, err);
			return r;
		}
		at = mapped.last + 1;
		if (!at)
			break;
	}
	group->live = space;
	return 0;
}

/*
 * From one space to another: blocked in between. Where neither the new nor the old can be mapped
 * the group ends blocked, and the device detached.
 */
int type1_attach(struct ioasid_device *device, struct ioasid_space *before, struct err *err)
{
	struct type1_group *group = ((struct type1_device *)device->priv)->group;
	struct ioasid_ctx *ctx = device->ctx;
	struct ioasid_space *old = group->live;
	int r;

	if (group->stuck)
		return err_set(err, EIO,
			       "IOMMU group %d could not be blocked before; unbind its devices",
			       group->number);
	if (old == device->space)
		return 0;
	if (old) {
		group->live = NULL;
		r = withdraw(ctx, group, old);
		if (r)
			return stuck(group, old, r, err);
	}
	r = supply(ctx, group, device->space, err);
	if (r && old && !group->stuck && supply(ctx, group, old, NULL))
		return err_set(
			err, EIO,
			"IOMMU group %d: neither space %s nor space %s can be mapped; the group "
			"is blocked and device %s detached",
			group->number, device->space->name, old->name, device->info.label);
	return r;
}

static bool group_attached(const struct ioasid_device *device)
{
	const struct type1_group *group = ((struct type1_device *)device->priv)->group;
	const struct ioasid_device *other;

	for (other = LIST_FIRST(&device->ctx->devices); other; other = LIST_NEXT(other, of_ctx)) {
		if (other != device && other->space &&
		    ((struct type1_device *)other->priv)->group == group)
			return true;
	}
	return false;
}

int type1_detach(struct ioasid_device *device, struct ioasid_space *from, struct err *err)
{
	struct type1_group *group = ((struct type1_device *)device->priv)->group;
	int r;

	if (!group->live || group_attached(device))
		return 0;
	group->live = NULL;
	r = withdraw(device->ctx, group, from);
	return r ? stuck(group, from, r, err) : 0;
}

/* In every container that shows the space, or in none. */
static int map_live(struct ioasid_space *space, const struct mapped *mapped, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct type1_group *group, *back;
	int r = 0;

	for (group = LIST_FIRST(&type1_of(ctx)->groups); group; group = LIST_NEXT(group, of_ctx)) {
		if (group->live != space)
			continue;
		r = type1_map(ctx->seam, group->container, mapped);
		if (r)
			break;
	}
	if (!r)
		return 0;
	r = explain_map(ctx, space, mapped, r, err);
	for (back = LIST_FIRST(&type1_of(ctx)->groups); back != group;
	     back = LIST_NEXT(back, of_ctx)) {
		if (back->live == space && type1_unmap(ctx->seam, back->container, mapped->iova,
						       mapped->last - mapped->iova + 1))
			r = stuck(back, space, -EIO, err);
	}
	return r;
}

static int map_one(struct ioasid_space *space, const struct mapped *new, struct err *err)
{
	int r = mappings_add(space, mappings_of(space), new, err);

	if (r)
		return r;
	r = map_live(space, new, err);
	if (r)
		mappings_remove(mappings_of(space), new->iova, new->last - new->iova + 1);
	return r;
}

int type1_space_map(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		    struct ioasid_garbage *garbage, struct err *err)
{
	const struct mapped new = {
		.iova = mapping->iova,
		.last = mapping->iova + (mapping->size - 1),
		.hva = mapping->hva,
		.rights = mapping->rights,
	};

	if (!mapping->hva)
		return err_set(
			err, EOPNOTSUPP,
			"space %s: type1 maps memory by its address, not by a descriptor alone",
			space->name);
	return map_one(space, &new, err);
}

int type1_space_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size,
		      struct ioasid_garbage *garbage, struct err *err)
{
	const struct ioasid_ctx *ctx = space->ctx;
	const struct type1_group *group;
	int r = mappings_check_unmap(space, mappings_of(space), iova, size, err);

	if (r)
		return r;
	for (group = LIST_FIRST(&type1_of(ctx)->groups); group; group = LIST_NEXT(group, of_ctx)) {
		if (group->live != space)
			continue;
		r = type1_unmap(ctx->seam, group->container, iova, size);
		if (r)
			return err_set(err, EIO,
				       "space %s: the kernel does not unmap %#" PRIx64
				       " to %#" PRIx64 " (%s); the space is blocked",
				       space->name, iova, iova + (size - 1), strerror(-r));
	}
	mappings_remove(mappings_of(space), iova, size);
	return 0;
}

/* Mapped again: type1 has no copy, so it is pinned again too. */
int type1_space_copy(struct ioasid_space *space, const struct ioasid_copy *copy,
		     struct ioasid_garbage *garbage, struct err *err)
{
	uint64_t at = 0, done = 0;
	int r = 0;

	while (!r && at < copy->size) {
		struct mapped piece;

		r = mappings_copy_piece(copy->from, mappings_of(copy->from), copy, &at, &piece,
					err);
		piece.copy = false;
		if (!r)
			r = map_one(space, &piece, err);
		if (!r)
			done = at;
	}
	if (r && done && type1_space_unmap(space, copy->iova, done, garbage, NULL) == -EIO)
		return err_set(err, EIO, "space %s: a copy failed midway and cannot be undone",
			       space->name);
	return r;
}
