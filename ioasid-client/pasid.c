/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host PASIDs: the allocator and the life free -> active -> parked -> free.
 *
 * A number's slot holds its object while it is active or parked. Parking tags the slot, so that
 * no lookup follows the pointer once the context was quiesced; the object may then be freed by the
 * last holder at any time without waiting. Numbers are per context: one is active for one device.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"

static char **slot_of(struct ioasid_ctx *ctx, uint32_t number)
{
	struct ioasid_pasid_leaf *leaf = ctx->leaf[number >> PASID_LEAF_BITS];

	return leaf ? &leaf->slot[number & (PASID_LEAF_SLOTS - 1)] : NULL;
}

static enum ioasid_pasid_state state_of(struct ioasid_ctx *ctx, uint32_t number)
{
	char *const *slot = slot_of(ctx, number);

	if (!slot || !*slot)
		return IOASID_PASID_FREE;
	return ioasid_slot_parked(*slot) ? IOASID_PASID_PARKED : IOASID_PASID_ACTIVE;
}

/* 0 where all numbers up to max are taken. Full leaves are skipped whole. */
static uint32_t lowest_free(struct ioasid_ctx *ctx, uint32_t max)
{
	uint32_t number = ctx->lowest;

	while (number <= max) {
		const struct ioasid_pasid_leaf *leaf = ctx->leaf[number >> PASID_LEAF_BITS];

		if (leaf && leaf->used == PASID_LEAF_SLOTS) {
			number = (uint32_t)align_up(number + 1, PASID_LEAF_SLOTS);
			continue;
		}
		if (state_of(ctx, number) == IOASID_PASID_FREE) {
			ctx->lowest = number;
			return number;
		}
		number++;
	}
	return 0;
}

static int take_slot(struct ioasid_pasid *pasid, struct err *err)
{
	struct ioasid_ctx *ctx = pasid->ctx;
	struct ioasid_pasid_leaf **leaf = &ctx->leaf[pasid->number >> PASID_LEAF_BITS];

	if (!*leaf) {
		struct ioasid_pasid_leaf *fresh = calloc(1, sizeof(*fresh));

		if (!fresh)
			return err_set(err, ENOMEM, "no memory for host PASID %u", pasid->number);
		__atomic_store_n(leaf, fresh, __ATOMIC_RELEASE);
	}
	(*leaf)->used++;
	__atomic_store_n(slot_of(ctx, pasid->number), (char *)pasid, __ATOMIC_RELEASE);
	if (ctx->lowest == pasid->number)
		ctx->lowest++;
	return 0;
}

static void free_slot(struct ioasid_ctx *ctx, uint32_t number)
{
	ctx->leaf[number >> PASID_LEAF_BITS]->used--;
	__atomic_store_n(slot_of(ctx, number), NULL, __ATOMIC_RELEASE);
	if (number < ctx->lowest)
		ctx->lowest = number;
}

static int check_attach(const struct ioasid_device *device, const struct ioasid_space *space,
			uint32_t want, uint32_t max, struct err *err)
{
	const char *label = device->info.label;

	if (space->ctx != device->ctx)
		return err_set(err, EINVAL, "device %s and space %s belong to different contexts",
			       label, space->name);
	if (!device->info.pasid_width)
		return err_set(err, EOPNOTSUPP,
			       "device %s has no PASIDs; attach a space to it without one", label);
	if (!space->pasid_capable)
		return err_set(err, EINVAL,
			       "space %s was not made for PASIDs; allocate it as pasid_capable",
			       space->name);
	if (want > max)
		return err_set(err, ERANGE,
			       "host PASID %u is past device %s's %u bits; use 1 to %u", want,
			       label, device->info.pasid_width, max);
	return 0;
}

static int choose_number(struct ioasid_ctx *ctx, uint32_t want, uint32_t max, uint32_t *number,
			 struct err *err)
{
	if (want == IOASID_PASID_NONE) {
		*number = lowest_free(ctx, max);
		if (*number)
			return 0;
		return err_set(err, ENOSPC, "all host PASIDs from 1 to %u are active or parked",
			       max);
	}
	*number = want;
	switch (state_of(ctx, want)) {
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

int ioasid_pasid_attach(struct ioasid_device *device, struct ioasid_space *space, uint32_t want,
			struct ioasid_pasid **out, struct err *err)
{
	struct ioasid_ctx *ctx = device->ctx;
	uint32_t max = (1u << device->info.pasid_width) - 1;
	struct ioasid_pasid *pasid;
	int r;

	r = check_attach(device, space, want, max, err);
	if (r)
		return r;
	pasid = calloc(1, sizeof(*pasid));
	if (!pasid)
		return err_set(err, ENOMEM, "no memory for a host PASID");
	pasid->ctx = ctx;
	pasid->refs = 1;
	pasid->attached = true;
	pasid->device = device;
	pasid->space = space;

	pthread_mutex_lock(&ctx->lock);
	r = choose_number(ctx, want, max, &pasid->number, err);
	if (!r)
		r = take_slot(pasid, err);
	if (r)
		goto unlock;
	r = ctx->provider->pasid_attach(pasid, err);
	if (r) {
		free_slot(ctx, pasid->number);
		goto unlock;
	}
	LIST_INSERT_HEAD(&device->pasids, pasid, of_device);
	LIST_INSERT_HEAD(&space->pasids, pasid, of_space);
	ioasid_ctx_get(ctx);
	*out = pasid;
unlock:
	pthread_mutex_unlock(&ctx->lock);
	if (r) {
		/* A lookup may have met the slot while the provider refused. */
		ctx->provider->quiesce(ctx);
		free(pasid);
	}
	return r;
}

void ioasid_pasid_park(struct ioasid_pasid *pasid)
{
	__atomic_store_n(slot_of(pasid->ctx, pasid->number), (char *)pasid + PASID_SLOT_PARKED,
			 __ATOMIC_RELEASE);
	pasid->ctx->provider->pasid_detach(pasid);
	LIST_REMOVE(pasid, of_device);
	LIST_REMOVE(pasid, of_space);
}

void ioasid_pasid_detach(struct ioasid_pasid *pasid)
{
	struct ioasid_ctx *ctx = pasid->ctx;

	pthread_mutex_lock(&ctx->lock);
	if (state_of(ctx, pasid->number) == IOASID_PASID_ACTIVE)
		ioasid_pasid_park(pasid);
	pasid->attached = false;
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	ioasid_pasid_release(pasid);
}

uint32_t ioasid_pasid_number(const struct ioasid_pasid *pasid)
{
	return pasid->number;
}

void ioasid_pasid_hold(struct ioasid_pasid *pasid)
{
	__atomic_fetch_add(&pasid->refs, 1, __ATOMIC_RELAXED);
}

void ioasid_pasid_release(struct ioasid_pasid *pasid)
{
	struct ioasid_ctx *ctx = pasid->ctx;

	if (__atomic_sub_fetch(&pasid->refs, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_lock(&ctx->lock);
	free_slot(ctx, pasid->number);
	pthread_mutex_unlock(&ctx->lock);
	free(pasid);
	ioasid_ctx_put(ctx);
}

LIST_HEAD(pasid_list, ioasid_pasid);

/* All are parked, so of_device is free to collect with. */
static void collect_attached(const struct ioasid_pasid_leaf *leaf, struct pasid_list *list)
{
	for (unsigned int i = 0; i < PASID_LEAF_SLOTS; i++) {
		struct ioasid_pasid *pasid;

		if (!leaf->slot[i])
			continue;
		pasid = (struct ioasid_pasid *)(leaf->slot[i] - PASID_SLOT_PARKED);
		if (pasid->attached) {
			pasid->attached = false;
			LIST_INSERT_HEAD(list, pasid, of_device);
		}
	}
}

void ioasid_pasids_drop(struct ioasid_ctx *ctx)
{
	struct pasid_list list = LIST_HEAD_INITIALIZER(list);
	struct ioasid_pasid *pasid;

	pthread_mutex_lock(&ctx->lock);
	for (unsigned int i = 0; i < PASID_LEAVES; i++) {
		if (ctx->leaf[i])
			collect_attached(ctx->leaf[i], &list);
	}
	pthread_mutex_unlock(&ctx->lock);
	while ((pasid = LIST_FIRST(&list))) {
		LIST_REMOVE(pasid, of_device);
		ioasid_pasid_release(pasid);
	}
}

enum ioasid_pasid_state ioasid_pasid_state(struct ioasid_ctx *ctx, uint32_t number)
{
	enum ioasid_pasid_state state;

	if (!number || number > IOASID_PASID_MAX)
		return IOASID_PASID_FREE;
	pthread_mutex_lock(&ctx->lock);
	state = state_of(ctx, number);
	pthread_mutex_unlock(&ctx->lock);
	return state;
}
