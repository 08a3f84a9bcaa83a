/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in an address space: map, unmap, copy, dirty logs and invalidation, with the checks that
 * every provider may rely on.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <inttypes.h>

#include "util/bits.h"
#include "util/clock.h"

/* --- how long it takes ----------------------------------------------------------------------- */

static void count(uint64_t *calls, uint64_t *sum, uint64_t *longest, uint64_t since)
{
	uint64_t took = clock_ns() - since, before = __atomic_load_n(longest, __ATOMIC_RELAXED);

	while (took > before && !__atomic_compare_exchange_n(longest, &before, took, true,
							     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_fetch_add(sum, took, __ATOMIC_RELAXED);
	__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
}

static void count_map(struct ioasid_space *space, uint64_t since, uint64_t bytes)
{
	struct ioasid_space_stats *stats = &space->stats;

	__atomic_fetch_add(&stats->map_bytes, bytes, __ATOMIC_RELAXED);
	count(&stats->maps, &stats->map_ns, &stats->map_longest_ns, since);
}

static void count_unmap(struct ioasid_space *space, uint64_t since)
{
	struct ioasid_space_stats *stats = &space->stats;

	count(&stats->unmaps, &stats->unmap_ns, &stats->unmap_longest_ns, since);
}

void ioasid_space_stats(const struct ioasid_space *space, struct ioasid_space_stats *out)
{
	const struct ioasid_space_stats *stats = &space->stats;

	*out = (struct ioasid_space_stats){
		.maps = __atomic_load_n(&stats->maps, __ATOMIC_RELAXED),
		.map_bytes = __atomic_load_n(&stats->map_bytes, __ATOMIC_RELAXED),
		.map_ns = __atomic_load_n(&stats->map_ns, __ATOMIC_RELAXED),
		.map_longest_ns = __atomic_load_n(&stats->map_longest_ns, __ATOMIC_RELAXED),
		.unmaps = __atomic_load_n(&stats->unmaps, __ATOMIC_RELAXED),
		.unmap_ns = __atomic_load_n(&stats->unmap_ns, __ATOMIC_RELAXED),
		.unmap_longest_ns = __atomic_load_n(&stats->unmap_longest_ns, __ATOMIC_RELAXED),
	};
}

/* --- mapping --------------------------------------------------------------------------------- */

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

static int check_rights(const struct ioasid_space *space, unsigned int rights, struct err *err)
{
	if (rights && !(rights & ~(IOASID_READ | IOASID_WRITE)))
		return 0;
	return err_set(err, EINVAL, "space %s: rights %#x are not read, write or both", space->name,
		       rights);
}

/* Whether anything may be added to it at all. Needs the lock. */
static int check_open(const struct ioasid_space *space, struct err *err)
{
	if (space->blocked)
		return err_set(err, EIO, "space %s is blocked since an unmap failed; destroy it",
			       space->name);
	if (space->options.parent)
		return err_set(err, EINVAL,
			       "space %s is nested: its guest maps in it, and this program in %s",
			       space->name, space->options.parent->name);
	return 0;
}

static int check_width(const struct ioasid_space *space, uint64_t iova, uint64_t size,
		       struct err *err)
{
	unsigned int width = space->options.addr_width;

	if (!width || iova + (size - 1) <= UINT64_MAX >> (64 - width))
		return 0;
	return err_set(err, EINVAL, "space %s: IOVA %#" PRIx64 " is past its %u bits", space->name,
		       iova + (size - 1), width);
}

static int check_mapping(const struct ioasid_space *space, const struct ioasid_mapping *mapping,
			 struct err *err)
{
	int r;

	r = check_range(space, "IOVA", mapping->iova, mapping->size, err);
	if (!r)
		r = check_width(space, mapping->iova, mapping->size, err);
	if (!r)
		r = check_range(space, "host address", (uintptr_t)mapping->hva, mapping->size, err);
	if (!r && mapping->fd >= 0)
		r = check_range(space, "file offset", mapping->fd_offset, mapping->size, err);
	if (!r && !mapping->hva && mapping->fd < 0)
		r = err_set(err, EINVAL, "space %s: the host address is NULL", space->name);
	return r ? r : check_rights(space, mapping->rights, err);
}

static void reap(struct ioasid_ctx *ctx, struct ioasid_garbage *garbage)
{
	if (!garbage->nodes && !garbage->mappings)
		return;
	ctx->provider->quiesce(ctx);
	ctx->provider->reap(garbage);
}

/* Stopped midway: nobody may reach what is left in it. Needs the lock. */
static void block_for_good(struct ioasid_space *space)
{
	space->blocked = true;
	ioasid_space_block(space);
}

static int unmap_locked(struct ioasid_space *space, uint64_t iova, uint64_t size,
			struct ioasid_garbage *garbage, struct err *err)
{
	int r = space->ctx->provider->unmap(space, iova, size, garbage, err);

	if (r == -EIO)
		block_for_good(space);
	return r;
}

int ioasid_map_batch(struct ioasid_space *space, const struct ioasid_mapping *mappings, size_t n,
		     struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct ioasid_garbage garbage = { 0 };
	size_t done = 0;
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = check_mapping(space, &mappings[i], err);
	if (r)
		return r;
	pthread_mutex_lock(&ctx->lock);
	r = check_open(space, err);
	while (!r && done < n) {
		uint64_t since = clock_ns();

		r = ctx->provider->map(space, &mappings[done], &garbage, err);
		count_map(space, since, r ? 0 : mappings[done].size);
		if (r == -EIO)
			block_for_good(space);
		if (!r)
			done++;
	}
	while (r && done) {
		done--;
		unmap_locked(space, mappings[done].iova, mappings[done].size, &garbage, NULL);
	}
	pthread_mutex_unlock(&ctx->lock);
	reap(ctx, &garbage);
	return r;
}

int ioasid_map(struct ioasid_space *space, const struct ioasid_mapping *mapping, struct err *err)
{
	return ioasid_map_batch(space, mapping, 1, err);
}

int ioasid_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct ioasid_garbage garbage = { 0 };
	uint64_t since;
	int r;

	r = check_range(space, "IOVA", iova, size, err);
	if (r)
		return r;
	pthread_mutex_lock(&ctx->lock);
	since = clock_ns();
	r = unmap_locked(space, iova, size, &garbage, err);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	count_unmap(space, since);
	ctx->provider->reap(&garbage);
	return r;
}

int ioasid_copy(struct ioasid_space *space, const struct ioasid_copy *copy, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	struct ioasid_garbage garbage = { 0 };
	int r;

	if (copy->from->ctx != ctx)
		return err_set(err, EINVAL, "spaces %s and %s belong to different contexts",
			       copy->from->name, space->name);
	r = check_range(space, "IOVA", copy->iova, copy->size, err);
	if (!r)
		r = check_width(space, copy->iova, copy->size, err);
	if (!r)
		r = check_range(copy->from, "IOVA", copy->from_iova, copy->size, err);
	if (!r)
		r = check_rights(space, copy->rights, err);
	if (r)
		return r;
	pthread_mutex_lock(&ctx->lock);
	r = check_open(space, err);
	if (!r) {
		uint64_t since = clock_ns();

		r = ctx->provider->copy(space, copy, &garbage, err);
		count_map(space, since, r ? 0 : copy->size);
		if (r == -EIO)
			block_for_good(space);
	}
	pthread_mutex_unlock(&ctx->lock);
	reap(ctx, &garbage);
	return r;
}

static int check_dirty(const struct ioasid_space *space, struct err *err)
{
	const struct ioasid_provider *provider = space->ctx->provider;

	if (!provider->dirty_track || !provider->dirty_read)
		return ioasid_lacks(space->ctx, "keeps no dirty logs", err);
	if (!space->options.dirty)
		return err_set(err, EINVAL, "space %s has no dirty log; allocate it with one",
			       space->name);
	return 0;
}

int ioasid_dirty_track(struct ioasid_space *space, bool on, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	int r = check_dirty(space, err);

	if (r)
		return r;
	pthread_mutex_lock(&ctx->lock);
	r = ctx->provider->dirty_track(space, on, err);
	pthread_mutex_unlock(&ctx->lock);
	/* What was translated before may be written until then, and is in no log. */
	ctx->provider->quiesce(ctx);
	return r;
}

int ioasid_dirty_read(struct ioasid_space *space, const struct ioasid_dirty *dirty, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	int r = check_dirty(space, err);

	if (!r)
		r = check_range(space, "IOVA", dirty->iova, dirty->size, err);
	if (r)
		return r;
	if (!is_pow2(dirty->page_size) || dirty->page_size < IOASID_PAGE_SIZE ||
	    !is_aligned(dirty->iova, dirty->page_size))
		return err_set(err, EINVAL,
			       "space %s: a dirty log in pages of %#" PRIx64 " cannot begin at "
			       "%#" PRIx64 "; use a power of two from %u on, and a multiple of it",
			       space->name, dirty->page_size, dirty->iova, IOASID_PAGE_SIZE);
	pthread_mutex_lock(&ctx->lock);
	r = ctx->provider->dirty_read(space, dirty, err);
	pthread_mutex_unlock(&ctx->lock);
	/* What is reported has been written when the caller looks at it. */
	ctx->provider->quiesce(ctx);
	return r;
}

int ioasid_invalidate(struct ioasid_space *space, const struct ioasid_invalidation *list, size_t n,
		      size_t *done, struct err *err)
{
	struct ioasid_ctx *ctx = space->ctx;
	size_t carried_out = 0;
	int r;

	if (done)
		*done = 0;
	if (!space->options.parent)
		return err_set(err, EINVAL, "space %s is not nested: unmap invalidates by itself",
			       space->name);
	if (!ctx->provider->invalidate)
		return ioasid_lacks(ctx, "nests no spaces", err);
	for (size_t i = 0; i < n; i++) {
		if (!is_aligned(list[i].iova, IOASID_PAGE_SIZE))
			return err_set(err, EINVAL,
				       "space %s: invalidation %zu begins at %#" PRIx64
				       ", which is not a multiple of %u",
				       space->name, i, list[i].iova, IOASID_PAGE_SIZE);
	}
	pthread_mutex_lock(&ctx->lock);
	r = ctx->provider->invalidate(space, list, n, &carried_out, err);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	if (done)
		*done = carried_out;
	return r;
}
