/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces: making and destroying them, and the rules that hold whatever provider serves.
 * What is in a space (map, copy, dirty logs) is contents.c.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SPACE_FLAGS (IOASID_VTD_S1_SRE | IOASID_VTD_S1_EAFE | IOASID_VTD_S1_WPE)

static int check_nesting(const struct ioasid_ctx *ctx, const struct ioasid_space_options *options,
			 struct err *err)
{
	const struct ioasid_nesting *nesting = &options->nesting;

	if (!options->parent) {
		if (nesting->format == IOASID_FORMAT_NONE)
			return 0;
		return err_set(err, EINVAL,
			       "a nested space needs a parent; allocate one as "
			       "nest_parent first");
	}
	if (options->parent->ctx != ctx)
		return err_set(err, EINVAL, "its parent %s belongs to another context",
			       options->parent->name);
	if (!options->parent->options.nest_parent)
		return err_set(err, EINVAL,
			       "its parent %s was not made for nesting; allocate that as "
			       "nest_parent",
			       options->parent->name);
	if (options->nest_parent || options->dirty)
		return err_set(err, EINVAL,
			       "a nested space is neither a parent nor has it a dirty log; "
			       "ask its parent");
	if (nesting->format != IOASID_FORMAT_VTD_S1)
		return err_set(err, EINVAL, "table format %d is unknown; VT-d first stage is %d",
			       (int)nesting->format, (int)IOASID_FORMAT_VTD_S1);
	if (nesting->addr_width != 48 && nesting->addr_width != 57)
		return err_set(err, EINVAL, "guest tables of %u bits do not exist; use 48 or 57",
			       nesting->addr_width);
	if (nesting->table & (IOASID_PAGE_SIZE - 1))
		return err_set(err, EINVAL, "the guest table's address is not a multiple of %u",
			       IOASID_PAGE_SIZE);
	if (nesting->flags & ~(uint64_t)SPACE_FLAGS)
		return err_set(err, EINVAL, "nesting flags past %#x are unknown", SPACE_FLAGS);
	return 0;
}

static int check_options(const struct ioasid_ctx *ctx, const struct ioasid_space_options *options,
			 struct err *err)
{
	if (options->addr_width && (options->addr_width < 12 || options->addr_width > 64))
		return err_set(err, EINVAL, "an address width of %u bits is not in 12 to 64",
			       options->addr_width);
	if (options->snoop > IOASID_SNOOP_ALLOW)
		return err_set(err, EINVAL, "snoop policy %d is unknown", (int)options->snoop);
	if (options->nest_parent && options->faults)
		return err_set(err, EINVAL,
			       "a parent of nested spaces has no fault queue of its own; "
			       "give them one");
	return check_nesting(ctx, options, err);
}

static int check_caps(struct ioasid_ctx *ctx, const struct ioasid_space_options *options,
		      struct err *err)
{
	struct ioasid_caps caps = { 0 };

	ctx->provider->caps(ctx, &caps);
	if (options->faults && caps.faults == IOASID_FAULTS_NONE)
		return ioasid_lacks(ctx, "reports no faults here; leave the fault queue out", err);
	if (options->remote.read && ctx->provider != &ioasid_soft)
		return ioasid_lacks(ctx, "has no remote spaces; only soft has", err);
	if (options->dirty && !caps.dirty)
		return ioasid_lacks(ctx, "keeps no dirty logs here; leave it out", err);
	if ((options->nest_parent || options->parent) && !caps.nesting)
		return ioasid_lacks(ctx, "nests no spaces here; shadow the guest's tables with map",
				    err);
	return 0;
}

static void link_space(struct ioasid_space *space)
{
	struct ioasid_space *parent = space->options.parent;

	LIST_INSERT_HEAD(&space->ctx->spaces, space, of_ctx);
	if (parent)
		LIST_INSERT_HEAD(&parent->children, space, of_parent);
}

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
	snprintf(space->name, sizeof(space->name), "%s", options->name);
	space->options = *options;
	space->options.name = space->name;

	pthread_mutex_lock(&ctx->lock);
	r = check_options(ctx, options, err);
	if (!r)
		r = check_caps(ctx, options, err);
	if (!r)
		r = ctx->provider->alloc(space, err);
	if (!r) {
		link_space(space);
		*out = space;
	}
	pthread_mutex_unlock(&ctx->lock);
	if (r) {
		err_prefix(err, "space %s", space->name);
		free(space);
	}
	return r;
}

void ioasid_space_block(struct ioasid_space *space)
{
	struct ioasid_device *device;
	struct ioasid_pasid *pasid;
	struct ioasid_space *child;

	for (child = LIST_FIRST(&space->children); child; child = LIST_NEXT(child, of_parent))
		ioasid_space_block(child);
	while ((pasid = LIST_FIRST(&space->pasids)))
		ioasid_pasid_park(pasid);
	while ((device = LIST_FIRST(&space->devices))) {
		LIST_REMOVE(device, of_space);
		__atomic_store_n(&device->space, NULL, __ATOMIC_RELEASE);
		if (space->ctx->provider->detach(device, space, NULL))
			device->failed = true;
	}
}

void ioasid_space_free(struct ioasid_space *space)
{
	space->ctx->provider->destroy(space);
	free(space);
}

/* The space and its children, so that children come before their parent. */
static void unlink_space(struct ioasid_space *space, struct ioasid_ctx_spaces *dead)
{
	struct ioasid_space *child;

	LIST_REMOVE(space, of_ctx);
	LIST_INSERT_HEAD(dead, space, of_ctx);
	while ((child = LIST_FIRST(&space->children))) {
		LIST_REMOVE(child, of_parent);
		unlink_space(child, dead);
	}
}

void ioasid_destroy(struct ioasid_space *space)
{
	struct ioasid_ctx_spaces dead = LIST_HEAD_INITIALIZER(dead);
	struct ioasid_ctx *ctx = space->ctx;

	pthread_mutex_lock(&ctx->lock);
	ioasid_space_block(space);
	if (space->options.parent)
		LIST_REMOVE(space, of_parent);
	unlink_space(space, &dead);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);
	while ((space = LIST_FIRST(&dead))) {
		LIST_REMOVE(space, of_ctx);
		ioasid_space_free(space);
	}
}

const char *ioasid_space_name(const struct ioasid_space *space)
{
	return space->name;
}

static int check_snoop(const struct ioasid_space *space, const struct ioasid_device *device,
		       struct err *err)
{
	const char *label = device->info.label;
	enum ioasid_snoop snoop = device->info.snoop;

	if (space->options.snoop == IOASID_SNOOP_KERNEL)
		return 0;
	if (snoop == IOASID_SNOOP_NONE)
		return err_set(
			err, EINVAL,
			"space %s asks for a snoop policy, and device %s has no IOMMU of its "
			"own to carry it out; leave the policy to the kernel",
			space->name, label);
	if (space->options.snoop == IOASID_SNOOP_ENFORCE && snoop != IOASID_SNOOP_ENFORCED)
		return err_set(err, EINVAL,
			       "space %s enforces snooping, which the IOMMU of device %s cannot",
			       space->name, label);
	if (space->options.snoop == IOASID_SNOOP_ALLOW && snoop == IOASID_SNOOP_ENFORCED)
		return err_set(err, EOPNOTSUPP,
			       "space %s allows no-snoop DMA, but the IOMMU of device %s enforces "
			       "snooping and Linux offers no way to stop it",
			       space->name, label);
	return 0;
}

int ioasid_space_check(const struct ioasid_space *space, const struct ioasid_device *device,
		       struct err *err)
{
	const char *label = device->info.label;
	unsigned int width = space->options.addr_width;

	if (space->ctx != device->ctx)
		return err_set(err, EINVAL, "device %s and space %s belong to different contexts",
			       label, space->name);
	if (device->failed)
		return err_set(err, EIO, "device %s could not be detached before; unbind it",
			       label);
	if (space->blocked)
		return err_set(err, EIO, "space %s is blocked since an unmap failed; destroy it",
			       space->name);
	if (width && device->info.iova_last < UINT64_MAX >> (64 - width))
		return err_set(err, EINVAL,
			       "space %s has addresses of %u bits, device %s reaches %#llx at most",
			       space->name, width, label,
			       (unsigned long long)device->info.iova_last);
	if (space->options.dirty && !device->info.dirty)
		return err_set(err, EOPNOTSUPP,
			       "the IOMMU of device %s keeps no dirty logs, which space %s has",
			       label, space->name);
	if (space->options.parent && device->info.emulated)
		return err_set(err, EINVAL, "device %s has no IOMMU that walks nested space %s",
			       label, space->name);
	if (space->options.parent &&
	    !(device->info.nesting & IOASID_FORMAT_BIT(space->options.nesting.format)))
		return err_set(err, EOPNOTSUPP,
			       "the IOMMU of device %s does not nest tables as space %s has", label,
			       space->name);
	return check_snoop(space, device, err);
}
