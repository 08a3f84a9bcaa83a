/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: opening them, which one a group comes into, and what that says of the group's IOMMU.
 * A group that is bound together with others is asked alone first, for a container only says what
 * is true of all that are in it.
 */
#include "ioasid-client/providers/type1.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

/* The node that the context was opened from, again: each open of it is a container. */
static int open_another(const struct type1 *type1)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", type1->fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

static struct type1_container *container_new(struct ioasid_ctx *ctx, bool together, struct err *err)
{
	struct type1_container *container = calloc(1, sizeof(*container));
	struct type1 *type1 = type1_of(ctx);

	if (!container) {
		err_set(err, ENOMEM, "no memory for a VFIO container");
		return NULL;
	}
	container->together = together;
	container->fd = type1->fd_used ? open_another(type1) : type1->fd;
	if (container->fd < 0) {
		err_set(err, errno,
			"type1 needs another VFIO container for this IOMMU group, and it cannot be "
			"opened (%s); use provider iommufd",
			strerror(errno));
		free(container);
		return NULL;
	}
	if (container->fd == type1->fd)
		type1->fd_used = true;
	LIST_INSERT_HEAD(&type1->containers, container, of_ctx);
	return container;
}

static void container_free(struct ioasid_ctx *ctx, struct type1_container *container)
{
	struct type1 *type1 = type1_of(ctx);

	LIST_REMOVE(container, of_ctx);
	if (container->fd == type1->fd)
		type1->fd_used = false;
	else
		close(container->fd);
	free(container);
}

/* --- who is in one --------------------------------------------------------------------------- */

/* The first of a container brings its IOMMU, and the last takes it away. */
static int set_iommu(struct ioasid_ctx *ctx, const struct type1_group *group,
		     const struct type1_container *container, struct err *err)
{
	int r = container->groups ? 0 : type1_set_iommu(ctx->seam, container->fd);

	if (r == -EPERM)
		err_set(err, EPERM,
			"IOMMU group %d: interrupt remapping is off, so its devices could forge "
			"interrupts; switch that on in the firmware's setup and the kernel's "
			"command line",
			group->number);
	else if (r)
		err_set(err, -r, "IOMMU group %d: type1v2 does not serve it: %s", group->number,
			strerror(-r));
	return r;
}

static int enter(struct ioasid_ctx *ctx, struct type1_group *group,
		 struct type1_container *container, struct err *err)
{
	int r = group_set_container(ctx->seam, group->fd, container->fd);

	if (r) {
		err_set(err, -r, "IOMMU group %d cannot join a container: %s", group->number,
			strerror(-r));
		return r;
	}
	r = set_iommu(ctx, group, container, err);
	if (r) {
		group_unset_container(ctx->seam, group->fd);
		return r;
	}
	container->groups++;
	container->of_iommu += !group->emulated;
	group->container = container;
	return 0;
}

/* The container stays. */
static void step_out(struct ioasid_ctx *ctx, struct type1_group *group)
{
	struct type1_container *container = group->container;

	group_unset_container(ctx->seam, group->fd);
	container->groups--;
	container->of_iommu -= !group->emulated;
	group->container = NULL;
}

void type1_leave(struct ioasid_ctx *ctx, struct type1_group *group)
{
	struct type1_container *container = group->container;

	step_out(ctx, group);
	if (!container->groups)
		container_free(ctx, container);
}

/* --- what it says ---------------------------------------------------------------------------- */

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
	int r = type1_info(ctx->seam, group->container->fd, &head);

	if (r)
		return r;
	size = MAX(head.argsz, (uint32_t)sizeof(head));
	info = calloc(1, size);
	if (!info)
		return -ENOMEM;
	info->argsz = size;
	r = type1_info(ctx->seam, group->container->fd, info);
	if (!r) {
		info->argsz = MIN(info->argsz, size);
		group->page_sizes = info->flags & VFIO_IOMMU_INFO_PGSIZES ? info->iova_pgsizes : 0;
		group->page_sizes |= IOASID_PAGE_SIZE;
		take_ranges(group, info);
	}
	free(info);
	return r;
}

static int describe(const struct ioasid_ctx *ctx, struct type1_group *group, struct err *err)
{
	int r = read_info(ctx, group);

	if (r) {
		err_set(err, -r, "IOMMU group %d: what it reaches cannot be asked: %s",
			group->number, strerror(-r));
		return r;
	}
	group->snoop_enforced = type1_has(ctx->seam, group->container->fd, VFIO_DMA_CC_IOMMU);
	return 0;
}

/* --- together -------------------------------------------------------------------------------- */

/*
 * Into one that others are in. Its IOMMU has to do with snooping what theirs does, or what was told
 * of one of them would no longer be so. The kernel itself refuses one that must not reach what is
 * mapped there.
 */
static bool join(struct ioasid_ctx *ctx, struct type1_group *group,
		 struct type1_container *container)
{
	bool theirs = container->of_iommu ? container->snoop_enforced : group->snoop_enforced;

	if (!group->emulated && group->snoop_enforced != theirs)
		return false;
	if (enter(ctx, group, container, NULL))
		return false;
	if (!container->of_iommu ||
	    type1_has(ctx->seam, container->fd, VFIO_DMA_CC_IOMMU) == theirs)
		return true;
	step_out(ctx, group);
	return false;
}

/* From its own container, which is freed, into another; or into none, and back. */
static int gather(struct ioasid_ctx *ctx, struct type1_group *group, struct err *err)
{
	struct type1_container *own = group->container, *other;

	step_out(ctx, group);
	for (other = LIST_FIRST(&type1_of(ctx)->containers); other;
	     other = LIST_NEXT(other, of_ctx)) {
		if (other == own || !other->together || other->stuck || !join(ctx, group, other))
			continue;
		container_free(ctx, own);
		return 0;
	}
	return enter(ctx, group, own, err);
}

/*
 * Without a container of its own, where another cannot be opened: of a container that does not
 * enforce snooping it is not known whether this group's IOMMU would, so the answer is no.
 */
static int join_unasked(struct ioasid_ctx *ctx, struct type1_group *group)
{
	struct type1_container *other = LIST_FIRST(&type1_of(ctx)->containers);

	for (; other; other = LIST_NEXT(other, of_ctx)) {
		bool first = !other->of_iommu;

		if (!other->together || other->stuck || enter(ctx, group, other, NULL))
			continue;
		if (!describe(ctx, group, NULL) &&
		    (first || group->emulated || group->snoop_enforced == other->snoop_enforced))
			return 0;
		step_out(ctx, group);
	}
	return -ENOENT;
}

static bool others_are_together(const struct ioasid_ctx *ctx)
{
	const struct type1_container *other = LIST_FIRST(&type1_of(ctx)->containers);

	while (other && (!other->together || other->stuck))
		other = LIST_NEXT(other, of_ctx);
	return other;
}

/* As a group of its own, and then with others. */
static int settle(struct ioasid_ctx *ctx, struct type1_group *group, struct type1_container *own,
		  bool others, struct err *err)
{
	int r = enter(ctx, group, own, err);

	if (!r)
		r = describe(ctx, group, err);
	if (!r && others)
		r = gather(ctx, group, err);
	if (!r)
		return 0;
	if (group->container)
		step_out(ctx, group);
	container_free(ctx, own);
	return r;
}

int type1_settle(struct ioasid_ctx *ctx, struct type1_group *group, bool together, struct err *err)
{
	bool others = together && others_are_together(ctx);
	struct err none = { 0 };
	struct type1_container *own = container_new(ctx, together, &none);
	int r = 0;

	if (own)
		r = settle(ctx, group, own, others, err);
	else if (!others || join_unasked(ctx, group))
		r = err_set(err, none.code, "%s", none.text);
	if (r || !group->container)
		return r;
	if (!group->emulated)
		group->container->snoop_enforced = group->snoop_enforced;
	return 0;
}
