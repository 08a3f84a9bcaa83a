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

static struct type1_container *container_of_device(const struct ioasid_device *device)
{
	return ((const struct type1_device *)device->priv)->group->container;
}

/* Empties the container, which maps nothing else than what the space does: at once, or one by one.
 */
static int withdraw(const struct ioasid_ctx *ctx, const struct type1_container *container,
		    const struct ioasid_space *space)
{
	struct mapped mapped;
	uint64_t at = 0;
	int r = 0;

	if (!type1_unmap_all(ctx->seam, container->fd))
		return 0;
	while (mappings_next(mappings_of(space), at, &mapped)) {
		int one = type1_unmap(ctx->seam, container->fd, mapped.iova,
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

static int stuck(struct type1_container *container, const struct ioasid_space *space, int r,
		 struct err *err)
{
	container->stuck = true;
	return err_set(
		err, EIO,
		"space %s: the kernel does not take it away from %u IOMMU groups that are attached "
		"(%s); unbind their devices",
		space->name, container->groups, strerror(-r));
}

/* Maps in the container all that the space maps, or none of it. */
static int supply(struct ioasid_ctx *ctx, struct type1_container *container,
		  struct ioasid_space *space, struct err *err)
{
	struct mapped mapped;
	uint64_t at = 0;

	while (mappings_next(mappings_of(space), at, &mapped)) {
		int r = type1_map(ctx->seam, container->fd, &mapped);

		if (r) {
			r = explain_map(ctx, space, &mapped, r, err);
			if (withdraw(ctx, container, space))
				r = stuck(container, space, -EIO, err);
			return r;
		}
		at = mapped.last + 1;
		if (!at)
			break;
	}
	container->live = space;
	return 0;
}

/*
 * From one space to another: blocked in between. Where neither the new nor the old can be mapped
 * the container ends blocked, and the device detached.
 */
int type1_attach(struct ioasid_device *device, struct ioasid_space *before, struct err *err)
{
	struct type1_container *container = container_of_device(device);
	struct ioasid_ctx *ctx = device->ctx;
	struct ioasid_space *old = container->live;
	int r;

	if (container->stuck)
		return err_set(err, EIO,
			       "device %s could not be blocked before; unbind it and what shares "
			       "its VFIO container",
			       device->info.label);
	if (old == device->space)
		return 0;
	if (old) {
		container->live = NULL;
		r = withdraw(ctx, container, old);
		if (r)
			return stuck(container, old, r, err);
	}
	r = supply(ctx, container, device->space, err);
	if (r && old && !container->stuck && supply(ctx, container, old, NULL))
		return err_set(
			err, EIO,
			"device %s: neither space %s nor space %s can be mapped; it is blocked and "
			"detached, with all that shares its VFIO container",
			device->info.label, device->space->name, old->name);
	return r;
}

static bool others_attached(const struct ioasid_device *device)
{
	const struct ioasid_device *other;

	for (other = LIST_FIRST(&device->ctx->devices); other; other = LIST_NEXT(other, of_ctx)) {
		if (other != device && other->space &&
		    container_of_device(other) == container_of_device(device))
			return true;
	}
	return false;
}

int type1_detach(struct ioasid_device *device, struct ioasid_space *from, struct err *err)
{
	struct type1_container *container = container_of_device(device);
	int r;

	if (!container->live || others_attached(device))
		return 0;
	container->live = NULL;
	r = withdraw(device->ctx, container, from);
	return r ? stuck(container, from, r, err) : 0;
}

/* In every container that shows the space, or in none. */
static int map_live(struct ioasid_space *space, const struct mapped *mapped, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct type1_container *container, *back;
	int r = 0;

	for (container = LIST_FIRST(&type1_of(ctx)->containers); container;
	     container = LIST_NEXT(container, of_ctx)) {
		if (container->live != space)
			continue;
		r = type1_map(ctx->seam, container->fd, mapped);
		if (r)
			break;
	}
	if (!r)
		return 0;
	r = explain_map(ctx, space, mapped, r, err);
	for (back = LIST_FIRST(&type1_of(ctx)->containers); back != container;
	     back = LIST_NEXT(back, of_ctx)) {
		if (back->live == space &&
		    type1_unmap(ctx->seam, back->fd, mapped->iova, mapped->last - mapped->iova + 1))
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
	const struct type1_container *container;
	int r = mappings_check_unmap(space, mappings_of(space), iova, size, err);

	if (r)
		return r;
	for (container = LIST_FIRST(&type1_of(ctx)->containers); container;
	     container = LIST_NEXT(container, of_ctx)) {
		if (container->live != space)
			continue;
		r = type1_unmap(ctx->seam, container->fd, iova, size);
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
