/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups, and the devices that come out of them. A group may be opened once in the whole system, so
 * its devices share the first one's descriptor.
 */
#include "ioasid-client/providers/type1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/providers/sysfs.h"

static int check_status(const struct ioasid_ctx *ctx, int fd, const struct sysfs_device *id,
			struct err *err)
{
	uint32_t flags;
	int r = group_status(ctx->seam, fd, &flags);

	if (r)
		return err_set(err, -r, "IOMMU group %d does not answer: %s", id->group,
			       strerror(-r));
	if (!(flags & VFIO_GROUP_FLAGS_VIABLE))
		return sysfs_explain_group(ctx->seam, id, EPERM, err);
	if (flags & VFIO_GROUP_FLAGS_CONTAINER_SET)
		return err_set(err, EBUSY, "IOMMU group %d is in a container already; open it anew",
			       id->group);
	return 0;
}

static void group_free(struct type1_group *group)
{
	free(group->reserved);
	free(group->members);
	free(group);
}

static int group_open(struct ioasid_ctx *ctx, const struct ioasid_source *source,
		      const struct sysfs_device *id, struct type1_group **out, struct err *err)
{
	struct type1_group *group;
	int r = check_status(ctx, source->group.fd, id, err);

	*out = NULL;
	if (r)
		return r;
	group = calloc(1, sizeof(*group));
	if (!group)
		return err_set(err, ENOMEM, "no memory for IOMMU group %d", id->group);
	group->number = id->group;
	group->fd = source->group.fd;
	group->emulated = id->mdev;
	r = sysfs_members(ctx->seam, group->number, &group->members, &group->n_members);
	if (!r)
		r = sysfs_reserved(ctx->seam, group->number, &group->reserved, &group->n_reserved);
	if (r)
		err_set(err, -r, "IOMMU group %d: sysfs does not say what is in it: %s",
			group->number, strerror(-r));
	else
		r = type1_settle(ctx, group, source->group.together, err);
	if (r) {
		group_free(group);
		return r;
	}
	LIST_INSERT_HEAD(&type1_of(ctx)->groups, group, of_ctx);
	*out = group;
	return 0;
}

/* keep_fd: the caller's descriptor goes back to it. */
static void group_close(struct ioasid_ctx *ctx, struct type1_group *group, bool keep_fd)
{
	LIST_REMOVE(group, of_ctx);
	type1_leave(ctx, group);
	if (!keep_fd)
		close(group->fd);
	group_free(group);
}

static struct type1_group *group_find(const struct ioasid_ctx *ctx, int number)
{
	struct type1_group *group = LIST_FIRST(&type1_of(ctx)->groups);

	while (group && group->number != number)
		group = LIST_NEXT(group, of_ctx);
	return group;
}

static void fill_info(struct ioasid_device *device, const struct type1_group *group,
		      const struct sysfs_device *id)
{
	device->info = (struct ioasid_device_info){
		.emulated = id->mdev,
		.isolation = id->mdev ? IOASID_ISOLATION_VENDOR : IOASID_ISOLATION_RID,
		.snoop = id->mdev		 ? IOASID_SNOOP_NONE
			 : group->snoop_enforced ? IOASID_SNOOP_ENFORCED
						 : IOASID_SNOOP_NOT_ENFORCED,
		.page_sizes = group->page_sizes,
		.iova_first = group->iova[0].first,
		.iova_last = group->iova[group->n_iova - 1].last,
		.iova = group->iova,
		.n_iova = group->n_iova,
		.reserved = group->reserved,
		.n_reserved = group->n_reserved,
		.hw = sysfs_hw(id),
		.group = group->number,
		.members = group->members,
		.n_members = group->n_members,
	};
	snprintf(device->info.name, sizeof(device->info.name), "%s", id->name);
}

/* Whose group the descriptor is, and that the device is of it. */
static int identify(const struct ioasid_ctx *ctx, const struct ioasid_source *source,
		    struct sysfs_device *id, struct err *err)
{
	int number, r;

	if (source->type != IOASID_SOURCE_GROUP)
		return err_set(err, ENOTSUP,
			       "provider type1 takes VFIO groups only; character devices need "
			       "provider iommufd, models need soft");
	number = sysfs_group(ctx->seam, source->group.fd, err);
	if (number < 0)
		return number;
	r = sysfs_named(ctx->seam, source->group.name, id, err);
	if (r)
		return r;
	if (id->group != number)
		return err_set(err, EINVAL,
			       "device %s is in IOMMU group %d, the descriptor is of group %d",
			       id->name, id->group, number);
	return 0;
}

static int explain_open(const struct sysfs_device *id, const char *token, int r, struct err *err)
{
	if (r == -EACCES)
		return sysfs_explain_token(id, token, err);
	return err_set(err, -r, "device %s does not come out of IOMMU group %d: %s", id->name,
		       id->group, strerror(-r));
}

/* Groups do not wait for one another; the group stays, and others of its devices wait. */
static int device_open(struct ioasid_ctx *ctx, struct type1_group *group,
		       const struct ioasid_source *source, const struct sysfs_device *id, int *out,
		       struct err *err)
{
	int r = source->group.joined ? source->group.joined(source->group.opaque, err) : 0;

	if (r)
		return r;
	group->opening = true;
	pthread_mutex_unlock(&ctx->lock);
	r = group_device_fd(ctx->seam, group->fd, id->name, source->vf_token);
	pthread_mutex_lock(&ctx->lock);
	group->opening = false;
	pthread_cond_broadcast(&type1_of(ctx)->opened);
	*out = r;
	return r < 0 ? explain_open(id, source->vf_token, r, err) : 0;
}

/* *fresh: nobody had it yet. */
static int group_of(struct ioasid_ctx *ctx, const struct ioasid_source *source,
		    const struct sysfs_device *id, struct type1_group **group, bool *fresh,
		    struct err *err)
{
	while ((*group = group_find(ctx, id->group)) && (*group)->opening)
		pthread_cond_wait(&type1_of(ctx)->opened, &ctx->lock);
	*fresh = !*group;
	return *fresh ? group_open(ctx, source, id, group, err) : 0;
}

int type1_bind(struct ioasid_device *device, const struct ioasid_source *source, struct err *err)
{
	struct ioasid_ctx *ctx = device->ctx;
	struct sysfs_device id = { .group = -1 };
	struct type1_group *group;
	struct type1_device *dev;
	bool fresh;
	int r;

	r = identify(ctx, source, &id, err);
	if (r)
		return r;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return err_set(err, ENOMEM, "no memory for device %s", id.name);
	r = group_of(ctx, source, &id, &group, &fresh, err);
	if (!group)
		goto fail;
	group->devices++;
	r = device_open(ctx, group, source, &id, &dev->fd, err);
	if (r) {
		/* Those that it was opened for may have left meanwhile. */
		if (!--group->devices)
			group_close(ctx, group, fresh);
		goto fail;
	}
	/* The second device of a group brings the same descriptor, or a dup of it. */
	if (!fresh && source->group.fd != group->fd)
		close(source->group.fd);
	dev->group = group;
	device->priv = dev;
	device->unit = group->container;
	fill_info(device, group, &id);
	return 0;
fail:
	free(dev);
	return r;
}

void type1_unbind(struct ioasid_device *device)
{
	struct ioasid_ctx *ctx = device->ctx;
	struct type1_device *dev = device->priv;

	close(dev->fd);
	pthread_mutex_lock(&ctx->lock);
	if (!--dev->group->devices)
		group_close(ctx, dev->group, false);
	pthread_mutex_unlock(&ctx->lock);
	free(dev);
}
