/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host PASIDs: the life free -> active -> parked -> free. Where numbers come from is pasid-pool.c.
 *
 * A number's slot holds its object while it is active or parked. Parking tags the slot, so that
 * no lookup follows the pointer once the context was quiesced; the object may then be freed by the
 * last holder at any time without waiting.
 */
#include "ioasid-client/pasid-pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t pasid_max(const struct ioasid_device *device)
{
	return (1u << device->info.pasid_width) - 1;
}

static int check_attach(const struct ioasid_device *device, const struct ioasid_space *space,
			uint32_t want, uint32_t max, struct err *err)
{
	const char *label = device->info.label;

	if (!device->info.pasid_width || !device->ctx->provider->pasid_attach)
		return err_set(err, EOPNOTSUPP,
			       "device %s has no PASIDs; attach a space to it without one", label);
	if (!space->options.pasid_capable)
		return err_set(err, EINVAL,
			       "space %s was not made for PASIDs; allocate it as pasid_capable",
			       space->name);
	if (want > max)
		return err_set(err, ERANGE,
			       "host PASID %u is past device %s's %u bits; use 1 to %u", want,
			       label, device->info.pasid_width, max);
	return ioasid_space_check(space, device, err);
}

/* With the object's slot taken: makes it reach its space. Needs the lock. */
static int activate(struct ioasid_pasid *pasid, struct err *err)
{
	int r = pasid->ctx->provider->pasid_attach(pasid, err);

	if (r) {
		pool_free_slot(pasid->pool, pasid->number);
		return r;
	}
	LIST_INSERT_HEAD(&pasid->device->pasids, pasid, of_device);
	LIST_INSERT_HEAD(&pasid->space->pasids, pasid, of_space);
	LIST_INSERT_HEAD(&pasid->ctx->attached, pasid, of_ctx);
	pool_get(pasid->pool);
	ioasid_ctx_get(pasid->ctx);
	return 0;
}

int ioasid_pasid_attach(struct ioasid_device *device, struct ioasid_space *space, uint32_t want,
			struct ioasid_pasid **out, struct err *err)
{
	struct ioasid_ctx *ctx = device->ctx;
	uint32_t max = pasid_max(device);
	struct ioasid_pasid *pasid;
	int r;

	pasid = calloc(1, sizeof(*pasid));
	if (!pasid)
		return err_set(err, ENOMEM, "no memory for a host PASID");
	*pasid = (struct ioasid_pasid){
		.ctx = ctx,
		.refs = 1,
		.device = device,
		.space = space,
	};

	pthread_mutex_lock(&ctx->lock);
	pasid->pool = ioasid_pool_of(ctx, device);
	r = check_attach(device, space, want, max, err);
	if (!r)
		r = pool_choose(pasid->pool, want, max, &pasid->number, err);
	if (!r)
		r = pool_take_slot(pasid->pool, pasid->number, pasid, err);
	if (!r)
		r = activate(pasid, err);
	pthread_mutex_unlock(&ctx->lock);
	if (!r) {
		*out = pasid;
		return 0;
	}
	/* A lookup may have met the slot while the provider refused. */
	ctx->provider->quiesce(ctx);
	free(pasid);
	return r;
}

static void set_space(struct ioasid_pasid *pasid, struct ioasid_space *space)
{
	LIST_REMOVE(pasid, of_space);
	LIST_INSERT_HEAD(&space->pasids, pasid, of_space);
	__atomic_store_n(&pasid->space, space, __ATOMIC_RELEASE);
}

static int replace_locked(struct ioasid_pasid *pasid, struct ioasid_space *space, struct err *err)
{
	const struct ioasid_provider *provider = pasid->ctx->provider;
	struct ioasid_space *before = pasid->space;
	int r;

	if (pool_state(pasid->pool, pasid->number) != IOASID_PASID_ACTIVE)
		return err_set(err, ENOENT, "host PASID %u is parked; attach another",
			       pasid->number);
	r = check_attach(pasid->device, space, pasid->number, pasid_max(pasid->device), err);
	if (r || before == space)
		return r;
	if (!provider->pasid_replace)
		return ioasid_lacks(pasid->ctx, "moves no host PASID; detach and attach it", err);
	set_space(pasid, space);
	r = provider->pasid_replace(pasid, before, err);
	if (r)
		set_space(pasid, before);
	return r;
}

int ioasid_pasid_replace(struct ioasid_pasid *pasid, struct ioasid_space *space, struct err *err)
{
	struct ioasid_ctx *ctx = pasid->ctx;
	int r;

	pthread_mutex_lock(&ctx->lock);
	r = replace_locked(pasid, space, err);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	return r;
}

void ioasid_pasid_park(struct ioasid_pasid *pasid)
{
	struct ioasid_ctx *ctx = pasid->ctx;

	pool_park_slot(pasid->pool, pasid->number, pasid);
	LIST_REMOVE(pasid, of_device);
	LIST_REMOVE(pasid, of_space);
	if (!ctx->provider->pasid_detach(pasid, NULL))
		return;
	/* It may still reach the space: nobody else may ever be given the number. */
	ioasid_pasid_hold(pasid);
	LIST_INSERT_HEAD(&ctx->stuck, pasid, of_device);
}

void ioasid_pasid_detach(struct ioasid_pasid *pasid)
{
	struct ioasid_ctx *ctx = pasid->ctx;

	pthread_mutex_lock(&ctx->lock);
	if (pool_state(pasid->pool, pasid->number) == IOASID_PASID_ACTIVE)
		ioasid_pasid_park(pasid);
	LIST_REMOVE(pasid, of_ctx);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	ioasid_pasid_release(pasid);
}

uint32_t ioasid_pasid_number(const struct ioasid_pasid *pasid)
{
	return pasid->number;
}

const char *ioasid_pasid_state_name(enum ioasid_pasid_state state)
{
	static const char *const names[] = {
		[IOASID_PASID_FREE] = "free",
		[IOASID_PASID_ACTIVE] = "active",
		[IOASID_PASID_PARKED] = "parked",
	};

	return names[state];
}

void ioasid_pasid_info(struct ioasid_pasid *pasid, struct ioasid_pasid_info *info)
{
	*info = (struct ioasid_pasid_info){
		.number = pasid->number,
		.guest = __atomic_load_n(&pasid->guest, __ATOMIC_RELAXED),
	};
	pthread_mutex_lock(&pasid->ctx->lock);
	info->state = pool_state(pasid->pool, pasid->number);
	if (info->state == IOASID_PASID_ACTIVE) {
		memcpy(info->device, pasid->device->info.label, sizeof(info->device));
		memcpy(info->space, pasid->space->name, sizeof(info->space));
	}
	pthread_mutex_unlock(&pasid->ctx->lock);
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
	pool_free_slot(pasid->pool, pasid->number);
	pthread_mutex_unlock(&ctx->lock);
	ioasid_pool_put(pasid->pool);
	free(pasid);
	ioasid_ctx_put(ctx);
}

void ioasid_pasids_drop(struct ioasid_ctx *ctx)
{
	struct ioasid_pasid *pasid;

	while ((pasid = LIST_FIRST(&ctx->attached))) {
		LIST_REMOVE(pasid, of_ctx);
		ioasid_pasid_release(pasid);
	}
	/* The devices are gone, and with them the last way to reach anything. */
	while ((pasid = LIST_FIRST(&ctx->stuck))) {
		LIST_REMOVE(pasid, of_device);
		ioasid_pasid_release(pasid);
	}
}

static enum ioasid_pasid_state state_in(struct ioasid_ctx *ctx,
					const struct ioasid_pasid_pool *pool, uint32_t number)
{
	enum ioasid_pasid_state state;

	if (!number || number > IOASID_PASID_MAX)
		return IOASID_PASID_FREE;
	pthread_mutex_lock(&ctx->lock);
	state = pool_state(pool, number);
	pthread_mutex_unlock(&ctx->lock);
	return state;
}

enum ioasid_pasid_state ioasid_pasid_state(struct ioasid_ctx *ctx, uint32_t number)
{
	return state_in(ctx, &ctx->pasids, number);
}

enum ioasid_pasid_state ioasid_device_pasid_state(struct ioasid_device *device, uint32_t number)
{
	return state_in(device->ctx, ioasid_pool_of(device->ctx, device), number);
}
