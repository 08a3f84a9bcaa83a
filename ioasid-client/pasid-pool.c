/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of host PASIDs: which are free, and which a context or a device may hand out. A slot
 * is read without a lock by whoever translates (ioasid_pool_slot), so leaves stay once made.
 */
#include "ioasid-client/pasid-pool.h"

#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"

enum ioasid_pasid_state pool_state(const struct ioasid_pasid_pool *pool, uint32_t number)
{
	const char *slot = ioasid_pool_slot(pool, number);

	if (!slot)
		return IOASID_PASID_FREE;
	return ioasid_slot_parked(slot) ? IOASID_PASID_PARKED : IOASID_PASID_ACTIVE;
}

/* 0 where all numbers up to max are taken. Full leaves are skipped whole. */
static uint32_t lowest_free(struct ioasid_pasid_pool *pool, uint32_t max)
{
	uint32_t number = MAX(pool->lowest, pool->first);

	while (number <= max) {
		const struct ioasid_pasid_leaf *leaf = pool->leaf[number >> PASID_LEAF_BITS];

		if (leaf && leaf->used == PASID_LEAF_SLOTS) {
			number = (uint32_t)align_up(number + 1, PASID_LEAF_SLOTS);
			continue;
		}
		if (pool_state(pool, number) == IOASID_PASID_FREE) {
			pool->lowest = number;
			return number;
		}
		number++;
	}
	return 0;
}

static int choose_any(struct ioasid_pasid_pool *pool, uint32_t max, uint32_t *number,
		      struct err *err)
{
	uint32_t last = MIN(max, pool->last);

	*number = lowest_free(pool, last);
	if (*number)
		return 0;
	return err_set(err, ENOSPC, "all host PASIDs from %u to %u are active or parked",
		       pool->first, last);
}

int pool_choose(struct ioasid_pasid_pool *pool, uint32_t want, uint32_t max, uint32_t *number,
		struct err *err)
{
	if (want == IOASID_PASID_NONE)
		return choose_any(pool, max, number, err);
	if (want < pool->first || want > pool->last)
		return err_set(err, ERANGE, "host PASID %u is not in the range of %u to %u", want,
			       pool->first, pool->last);
	*number = want;
	switch (pool_state(pool, want)) {
	case IOASID_PASID_ACTIVE:
		return err_set(err, EBUSY, "host PASID %u is active; detach it or choose another",
			       want);
	case IOASID_PASID_PARKED:
		return err_set(err, EBUSY,
			       "host PASID %u is parked until its last holder lets go; choose "
			       "another",
			       want);
	default:
		return 0;
	}
}

static void set_slot(struct ioasid_pasid_pool *pool, uint32_t number, char *content)
{
	struct ioasid_pasid_leaf *leaf = pool->leaf[number >> PASID_LEAF_BITS];

	__atomic_store_n(&leaf->slot[number & (PASID_LEAF_SLOTS - 1)], content, __ATOMIC_RELEASE);
}

int pool_take_slot(struct ioasid_pasid_pool *pool, uint32_t number, struct ioasid_pasid *pasid,
		   struct err *err)
{
	struct ioasid_pasid_leaf **leaf = &pool->leaf[number >> PASID_LEAF_BITS];

	if (!*leaf) {
		struct ioasid_pasid_leaf *fresh = calloc(1, sizeof(*fresh));

		if (!fresh)
			return err_set(err, ENOMEM, "no memory for host PASID %u", number);
		__atomic_store_n(leaf, fresh, __ATOMIC_RELEASE);
	}
	(*leaf)->used++;
	set_slot(pool, number, (char *)pasid);
	if (pool->lowest == number)
		pool->lowest++;
	return 0;
}

void pool_park_slot(struct ioasid_pasid_pool *pool, uint32_t number, struct ioasid_pasid *pasid)
{
	set_slot(pool, number, (char *)pasid + PASID_SLOT_PARKED);
}

void pool_free_slot(struct ioasid_pasid_pool *pool, uint32_t number)
{
	pool->leaf[number >> PASID_LEAF_BITS]->used--;
	set_slot(pool, number, NULL);
	if (number < pool->lowest)
		pool->lowest = number;
}

void pool_get(struct ioasid_pasid_pool *pool)
{
	__atomic_fetch_add(&pool->refs, 1, __ATOMIC_RELAXED);
}

void ioasid_pool_clear(struct ioasid_pasid_pool *pool)
{
	for (size_t i = 0; i < PASID_LEAVES; i++)
		free(pool->leaf[i]);
}

/* The context's own never goes to 0: the context counts as one of its users. */
void ioasid_pool_put(struct ioasid_pasid_pool *pool)
{
	if (__atomic_sub_fetch(&pool->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ioasid_pool_clear(pool);
	free(pool);
}

static int check_limits(uint32_t first, uint32_t last, struct err *err)
{
	if (first && first <= last && last <= IOASID_PASID_MAX)
		return 0;
	return err_set(err, EINVAL, "host PASIDs %u to %u are no range within 1 to %u", first, last,
		       IOASID_PASID_MAX);
}

static void set_limits(struct ioasid_pasid_pool *pool, uint32_t first, uint32_t last)
{
	pool->first = first;
	pool->last = last;
	pool->lowest = 1;
}

int ioasid_ctx_pasid_range(struct ioasid_ctx *ctx, uint32_t first, uint32_t last, struct err *err)
{
	int r = check_limits(first, last, err);

	if (r)
		return r;
	pthread_mutex_lock(&ctx->lock);
	set_limits(&ctx->pasids, first, last);
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

/* Needs the lock. */
static int device_range(struct ioasid_device *device, uint32_t first, uint32_t last,
			struct err *err)
{
	struct ioasid_pasid_pool *pool = device->pasids_own;

	if (last >> device->info.pasid_width)
		return err_set(err, ERANGE, "host PASID %u is past device %s's %u bits", last,
			       device->info.label, device->info.pasid_width);
	if (!LIST_EMPTY(&device->pasids))
		return err_set(err, EBUSY, "device %s has host PASIDs active; detach them first",
			       device->info.label);
	if (!pool) {
		pool = calloc(1, sizeof(*pool));
		if (!pool)
			return err_set(err, ENOMEM, "%s: no memory for host PASIDs of its own",
				       device->info.label);
		pool->refs = 1;
	}
	set_limits(pool, first, last);
	__atomic_store_n(&device->pasids_own, pool, __ATOMIC_RELEASE);
	return 0;
}

int ioasid_device_pasid_range(struct ioasid_device *device, uint32_t first, uint32_t last,
			      struct err *err)
{
	int r = check_limits(first, last, err);

	if (r)
		return r;
	pthread_mutex_lock(&device->ctx->lock);
	r = device_range(device, first, last, err);
	pthread_mutex_unlock(&device->ctx->lock);
	return r;
}
