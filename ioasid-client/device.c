/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: binding one under a label, which space its DMA without a PASID goes to, and unbinding.
 */
#include "ioasid-client/provider.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_label(const struct ioasid_device *device, const char *label)
{
	while (device && strcmp(device->info.label, label) != 0)
		device = LIST_NEXT(device, of_ctx);
	return device != NULL;
}

static bool label_taken(const struct ioasid_ctx *ctx, const char *label)
{
	return has_label(LIST_FIRST(&ctx->devices), label) ||
	       has_label(LIST_FIRST(&ctx->coming), label);
}

static bool token_ok(const char *token)
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? token[i] != '-' : !isxdigit((unsigned char)token[i]))
			return false;
	}
	return !token[36];
}

int ioasid_bind(struct ioasid_ctx *ctx, const struct ioasid_source *source, const char *label,
		struct ioasid_device **out, struct err *err)
{
	struct ioasid_device *device;
	int r;

	if (!ioasid_text_ok(label))
		return err_set(err, EINVAL, "a device label must be 1 to 63 printable characters");
	if (source->vf_token && !token_ok(source->vf_token))
		return err_set(err, EINVAL, "%s: the VF token is no UUID", label);
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
	snprintf(device->info.label, sizeof(device->info.label), "%s", label);
	LIST_INSERT_HEAD(&ctx->coming, device, of_ctx);
	r = ctx->provider->bind(device, source, err);
	LIST_REMOVE(device, of_ctx);
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

static bool same_group(const struct ioasid_device *a, const struct ioasid_device *b)
{
	if (a->unit || b->unit)
		return a->unit == b->unit;
	return a->info.group >= 0 && a->info.group == b->info.group;
}

static int block_rid(struct ioasid_device *device, struct err *err)
{
	struct ioasid_space *from = device->space;
	int r;

	if (!from)
		return 0;
	set_space(device, NULL);
	r = device->ctx->provider->detach(device, from, err);
	if (r)
		device->failed = true;
	return r;
}

void ioasid_device_block(struct ioasid_device *device)
{
	struct ioasid_pasid *pasid;

	/* PASIDs first: a kernel may refuse to take the RID's page table away under them. */
	while ((pasid = LIST_FIRST(&device->pasids)))
		ioasid_pasid_park(pasid);
	block_rid(device, NULL);
}

void ioasid_device_free(struct ioasid_device *device)
{
	device->ctx->provider->unbind(device);
	if (device->pasids_own)
		ioasid_pool_put(device->pasids_own);
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

int ioasid_device_fd(const struct ioasid_device *device)
{
	const struct ioasid_provider *provider = device->ctx->provider;

	return provider->device_fd ? provider->device_fd(device) : -1;
}

struct ioasid_space *ioasid_device_space(const struct ioasid_device *device)
{
	return __atomic_load_n(&device->space, __ATOMIC_ACQUIRE);
}

/* A device that is not attached joins its group where that is; see ioasid_attach. */
static int check_group(const struct ioasid_device *device, const struct ioasid_space *space,
		       struct err *err)
{
	const struct ioasid_device *other;

	if (device->space)
		return 0;
	for (other = LIST_FIRST(&device->ctx->devices); other; other = LIST_NEXT(other, of_ctx)) {
		if (other == device || !same_group(other, device) || !other->space ||
		    other->space == space)
			continue;
		if (other->info.group != device->info.group)
			return err_set(err, EINVAL,
				       "device %s was bound together with %s, which is attached to "
				       "space %s; attach both to one space",
				       device->info.label, other->info.label, other->space->name);
		return err_set(err, EINVAL,
			       "device %s shares IOMMU group %d with %s, which is attached to "
			       "space %s; attach both to one space",
			       device->info.label, device->info.group, other->info.label,
			       other->space->name);
	}
	return 0;
}

/* An attached device takes the attached members of its group along. */
static void move_group(const struct ioasid_device *device, struct ioasid_space *from,
		       struct ioasid_space *to)
{
	struct ioasid_device *other;

	for (other = LIST_FIRST(&device->ctx->devices); other; other = LIST_NEXT(other, of_ctx)) {
		if (other != device && other->space == from && same_group(other, device))
			set_space(other, to);
	}
}

static int attach_locked(struct ioasid_device *device, struct ioasid_space *space, struct err *err)
{
	struct ioasid_space *before = device->space;
	int r;

	r = ioasid_space_check(space, device, err);
	if (!r)
		r = check_group(device, space, err);
	if (r || before == space)
		return r;
	if (before)
		move_group(device, before, space);
	set_space(device, space);
	r = device->ctx->provider->attach(device, before, err);
	if (!r)
		return 0;
	/* EIO: it reaches neither. */
	if (before)
		move_group(device, space, r == -EIO ? NULL : before);
	set_space(device, r == -EIO ? NULL : before);
	return r;
}

int ioasid_attach(struct ioasid_device *device, struct ioasid_space *space, struct err *err)
{
	struct ioasid_ctx *ctx = device->ctx;
	int r;

	pthread_mutex_lock(&ctx->lock);
	r = attach_locked(device, space, err);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	return r;
}

int ioasid_detach(struct ioasid_device *device, struct err *err)
{
	struct ioasid_ctx *ctx = device->ctx;
	int r;

	pthread_mutex_lock(&ctx->lock);
	r = block_rid(device, err);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	return r;
}
