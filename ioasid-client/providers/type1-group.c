/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: a container for each, what it says of the IOMMU, and the devices that come out of it. A
 * group may be opened once in the whole system, so its devices share the first one's descriptor.
 */
#include "ioasid-client/providers/type1.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/providers/sysfs.h"
#include "util/bits.h"

/* The node that the context was opened from, again: each open of it is a container. */
static int container_get(struct ioasid_ctx *ctx, int *container, struct err *err)
{
	struct type1 *type1 = type1_of(ctx);
	char path[64];

	if (!type1->fd_used) {
		type1->fd_used = true;
		*container = type1->fd;
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", type1->fd);
	*container = open(path, O_RDWR | O_CLOEXEC);
	if (*container >= 0)
		return 0;
	return err_set(err, errno,
		       "type1 needs a VFIO container for each group, and another cannot be opened "
		       "(%s); use provider iommufd",
		       strerror(errno));
}

static void container_put(struct ioasid_ctx *ctx, int container)
{
	struct type1 *type1 = type1_of(ctx);

	if (container == type1->fd)
		type1->fd_used = false;
	else
		close(container);
}

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

static void take_ranges(struct type1_group *group, const struct vfio_iommu_type1_info *info)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	uint32_t at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;

	while (at && at + sizeof(*cap) <= info->argsz) {
		const struct vfio_info_cap_header *header =
			(const struct vfio_info_cap_header *)((const char *)info + at);

		if (header->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			break;
		at = header->next > at ? header->next : 0;
	}
	/* Where the kernel says nothing: all. */
	group->iova[0] = (struct ioasid_range){ .last = UINT64_MAX };
	group->n_iova = 1;
	cap = (const void *)((const char *)info + at);
	if (!at || !cap->nr_iovas ||
	    at + sizeof(*cap) + cap->nr_iovas * sizeof(cap->iova_ranges[0]) > info->argsz)
		return;
	group->n_iova = MIN(cap->nr_iovas, TYPE1_RANGES);
	for (size_t i = 0; i < group->n_iova; i++)
		group->iova[i] =
			(struct ioasid_range){ cap->iova_ranges[i].start, cap->iova_ranges[i].end };
}

static int read_info(const struct ioasid_ctx *ctx, struct type1_group *group)
{
	struct vfio_iommu_type1_info head = { .argsz = sizeof(head) };
	struct vfio_iommu_type1_info *info;
	uint32_t size;
	int r = type1_info(ctx->seam, group->container, &head);

	if (r)
		return r;
	size = MAX(head.argsz, (uint32_t)sizeof(head));
	info = calloc(1, size);
	if (!info)
		return -ENOMEM;
	info->argsz = size;
	r = type1_info(ctx->seam, group->container, info);
	if (!r) {
		info->argsz = MIN(info->argsz, size);
		group->page_sizes = info->flags & VFIO_IOMMU_INFO_PGSIZES ? info->iova_pgsizes : 0;
		group->page_sizes |= IOASID_PAGE_SIZE;
		take_ranges(group, info);
	}
	free(info);
	return r;
}

static int describe(const struct ioasid_ctx *ctx, struct type1_group *group)
{
	int r = read_info(ctx, group);

	group->snoop_enforced = type1_has(ctx->seam, group->container, VFIO_DMA_CC_IOMMU);
	if (!r)
		r = sysfs_members(ctx->seam, group->number, &group->members, &group->n_members);
	if (!r)
		r = sysfs_reserved(ctx->seam, group->number, &group->reserved, &group->n_reserved);
	return r;
}

static void group_free(struct type1_group *group)
{
	free(group->reserved);
	free(group->members);
	free(group);
}

/* Puts the group into a container of its own. Its descriptor stays the caller's on failure. */
static int group_join(struct ioasid_ctx *ctx, struct type1_group *group, struct err *err)
{
	int r = container_get(ctx, &group->container, err);

	if (r)
		return r;
	r = group_set_container(ctx->seam, group->fd, group->container);
	if (r) {
		container_put(ctx, group->container);
		return err_set(err, -r, "IOMMU group %d cannot join a container: %s", group->number,
			       strerror(-r));
	}
	r = type1_set_iommu(ctx->seam, group->container);
	if (r == -EPERM)
		err_set(err, EPERM,
			"IOMMU group %d: interrupt remapping is off, so its devices could forge "
			"interrupts; switch that on in the firmware's setup and the kernel's "
			"command line",
			group->number);
	else if (r)
		err_set(err, -r, "IOMMU group %d: type1v2 does not serve it: %s", group->number,
			strerror(-r));
	if (!r) {
		r = describe(ctx, group);
		if (r)
			err_set(err, -r, "IOMMU group %d: what it reaches cannot be asked: %s",
				group->number, strerror(-r));
	}
	if (r) {
		group_unset_container(ctx->seam, group->fd);
		container_put(ctx, group->container);
	}
	return r;
}

static int group_open(struct ioasid_ctx *ctx, int fd, const struct sysfs_device *id,
		      struct type1_group **out, struct err *err)
{
	struct type1_group *group;
	int r = check_status(ctx, fd, id, err);

	*out = NULL;
	if (r)
		return r;
	group = calloc(1, sizeof(*group));
	if (!group)
		return err_set(err, ENOMEM, "no memory for IOMMU group %d", id->group);
	group->number = id->group;
	group->fd = fd;
	r = group_join(ctx, group, err);
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
	group_unset_container(ctx->seam, group->fd);
	if (!keep_fd)
		close(group->fd);
	container_put(ctx, group->container);
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
	group = group_find(ctx, id.group);
	fresh = !group;
	if (fresh)
		r = group_open(ctx, source->group.fd, &id, &group, err);
	if (!group)
		goto fail;
	dev->fd = group_device_fd(ctx->seam, group->fd, id.name, source->vf_token);
	if (dev->fd < 0) {
		r = dev->fd == -EACCES
			    ? sysfs_explain_token(&id, source->vf_token, err)
			    : err_set(err, -dev->fd,
				      "device %s does not come out of IOMMU group %d: %s", id.name,
				      id.group, strerror(-dev->fd));
		if (fresh)
			group_close(ctx, group, true);
		goto fail;
	}
	/* The second device of a group brings the same descriptor, or a dup of it. */
	if (!fresh && source->group.fd != group->fd)
		close(source->group.fd);
	group->devices++;
	dev->group = group;
	device->priv = dev;
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
