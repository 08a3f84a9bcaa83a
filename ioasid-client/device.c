/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: binding one under a label, which space its DMA without a PASID goes to, and unbinding.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool label_taken(const struct ioasid_ctx *ctx, const char *label)
{
	const struct ioasid_device *device = LIST_FIRST(&ctx->devices);

	while (device && strcmp(device->info.label, label) != 0)
		device = LIST_NEXT(device, of_ctx);
	return device != NULL;
}

int ioasid_bind(struct ioasid_ctx *ctx, const struct ioasid_source *source, const char *label,
		struct ioasid_device **out, struct err *err)
{
	struct ioasid_device *device;
	int r;

	if (!ioasid_text_ok(label))
		return err_set(err, EINVAL, "a device label must be 1 to 63 printable characters");
	device = calloc(1, sizeof(*device));
	if (!device)
		return err_set(err, ENOMEM, "%s: no memory for the device", label);
	device->ctx = ctx;

	pthread_mutex_lock(&ctx->lock);
	if (label_taken(ctx, label)) {
		r = err_set(err, EEXIST,
			    "label %s is taken by another device of this context; choose another",
			    label);
		goto unlock;
	}
	r = ctx->provider->bind(device, source, err);
	if (r) {
		err_prefix(err, "%s", label);
		goto unlock;
	}
	snprintf(device->info.label, sizeof(device->info.label), "%s", label);
	LIST_INSERT_HEAD(&ctx->devices, device, of_ctx);
	*out = device;
	device = NULL;
unlock:
	pthread_mutex_unlock(&ctx->lock);
	free(device);
	return r;
}

static void set_space(struct ioasid_device *device, struct ioasid_space *space)
{
	if (device->space)
		LIST_REMOVE(device, of_space);
	if (space)
		LIST_INSERT_HEAD(&space->devices, device, of_space);
	__atomic_store_n(&device->space, space, __ATOMIC_RELEASE);
}

static void block_rid(struct ioasid_device *device)
{
	if (!device->space)
		return;
	set_space(device, NULL);
	device->ctx->provider->detach(device);
}

void ioasid_device_block(struct ioasid_device *device)
{
	struct ioasid_pasid *pasid;

	block_rid(device);
	while ((pasid = LIST_FIRST(&device->pasids)))
		ioasid_pasid_park(pasid);
}

void ioasid_device_free(struct ioasid_device *device)
{
	device->ctx->provider->unbind(device);
	free(device);
}

void ioasid_unbind(struct ioasid_device *device)
{
	struct ioasid_ctx *ctx = device->ctx;

	pthread_mutex_lock(&ctx->lock);
	ioasid_device_block(device);
	LIST_REMOVE(device, of_ctx);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	ioasid_device_free(device);
}

void ioasid_device_info(const struct ioasid_device *device, struct ioasid_device_info *info)
{
	*info = device->info;
}

int ioasid_attach(struct ioasid_device *device, struct ioasid_space *space, struct err *err)
{
	struct ioasid_ctx *ctx = device->ctx;
	struct ioasid_space *before;
	int r;

	if (space->ctx != ctx)
		return err_set(err, EINVAL, "device %s and space %s belong to different contexts",
			       device->info.label, space->name);
	pthread_mutex_lock(&ctx->lock);
	before = device->space;
	set_space(device, space);
	r = ctx->provider->attach(device, err);
	if (r)
		set_space(device, before);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	return r;
}

void ioasid_detach(struct ioasid_device *device)
{
	struct ioasid_ctx *ctx = device->ctx;

	pthread_mutex_lock(&ctx->lock);
	block_rid(device);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
}
