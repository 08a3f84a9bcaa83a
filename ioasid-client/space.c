/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces: making and destroying them, and the checks that every provider's map and unmap
 * may rely on.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/bits.h"

int ioasid_alloc(struct ioasid_ctx *ctx, const struct ioasid_space_options *options,
		 struct ioasid_space **out, struct err *err)
{
	struct ioasid_space *space;
	int r;

	if (!ioasid_text_ok(options->name))
		return err_set(err, EINVAL, "a space's name must be 1 to 63 printable characters");
	space = calloc(1, sizeof(*space));
	if (!space)
		return err_set(err, ENOMEM, "%s: no memory for the address space", options->name);
	space->ctx = ctx;
	space->pasid_capable = options->pasid_capable;
	snprintf(space->name, sizeof(space->name), "%s", options->name);

	pthread_mutex_lock(&ctx->lock);
	r = ctx->provider->alloc(space, err);
	if (!r) {
		LIST_INSERT_HEAD(&ctx->spaces, space, of_ctx);
		*out = space;
	}
	pthread_mutex_unlock(&ctx->lock);
	if (r) {
		err_prefix(err, "%s", space->name);
		free(space);
	}
	return r;
}

void ioasid_space_block(struct ioasid_space *space)
{
	struct ioasid_device *device;
	struct ioasid_pasid *pasid;

	while ((device = LIST_FIRST(&space->devices))) {
		LIST_REMOVE(device, of_space);
		__atomic_store_n(&device->space, NULL, __ATOMIC_RELEASE);
		space->ctx->provider->detach(device);
	}
	while ((pasid = LIST_FIRST(&space->pasids)))
		ioasid_pasid_park(pasid);
}

void ioasid_space_free(struct ioasid_space *space)
{
	space->ctx->provider->destroy(space);
	free(space);
}

void ioasid_destroy(struct ioasid_space *space)
{
	struct ioasid_ctx *ctx = space->ctx;

	pthread_mutex_lock(&ctx->lock);
	ioasid_space_block(space);
	LIST_REMOVE(space, of_ctx);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	ioasid_space_free(space);
}

const char *ioasid_space_name(const struct ioasid_space *space)
{
	return space->name;
}

static int check_range(const struct ioasid_space *space, const char *what, uint64_t start,
		       uint64_t size, struct err *err)
{
	if (!size)
		return err_set(err, EINVAL, "space %s: the range at %s %#" PRIx64 " is empty",
			       space->name, what, start);
	if (!is_aligned(start | size, IOASID_PAGE_SIZE))
		return err_set(err, EINVAL,
			       "space %s: %s %#" PRIx64 " and size %#" PRIx64
			       " must be multiples of %u",
			       space->name, what, start, size, IOASID_PAGE_SIZE);
	if (range_wraps(start, size))
		return err_set(err, EINVAL,
			       "space %s: %s %#" PRIx64 " plus size %#" PRIx64
			       " does not fit in 64 bits",
			       space->name, what, start, size);
	return 0;
}

int ioasid_map(struct ioasid_space *space, uint64_t iova, uint64_t size, void *hva,
	       unsigned int rights, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct ioasid_garbage garbage = { 0 };
	int r;

	r = check_range(space, "IOVA", iova, size, err);
	if (!r)
		r = check_range(space, "host address", (uintptr_t)hva, size, err);
	if (r)
		return r;
	if (!hva)
		return err_set(err, EINVAL, "space %s: the host address is NULL", space->name);
	if (!rights || rights & ~(IOASID_READ | IOASID_WRITE))
		return err_set(err, EINVAL, "space %s: rights %#x are not read, write or both",
			       space->name, rights);

	pthread_mutex_lock(&ctx->lock);
	r = ctx->provider->map(space, iova, size, hva, rights, &garbage, err);
	pthread_mutex_unlock(&ctx->lock);
	if (garbage.nodes || garbage.mappings) {
		ctx->provider->quiesce(ctx);
		ctx->provider->reap(&garbage);
	}
	return r;
}

int ioasid_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct ioasid_garbage garbage = { 0 };
	int r;

	r = check_range(space, "IOVA", iova, size, err);
	if (r)
		return r;
	pthread_mutex_lock(&ctx->lock);
	r = ctx->provider->unmap(space, iova, size, &garbage, err);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	ctx->provider->reap(&garbage);
	return r;
}
