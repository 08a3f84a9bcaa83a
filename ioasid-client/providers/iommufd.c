/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iommufd provider's row of the table: /dev/iommu (or what a kernel offers as /dev/ioasid) as a
 * context, attaching and detaching, and locked memory. iommufd.h says how the parts fit.
 */
#include "ioasid-client/providers/iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/providers/locked.h"
#include "util/bits.h"

static int open_node(const struct ioasid_seam *seam, const char *node, char *path, size_t size)
{
	static const char *const nodes[] = { "/dev/ioasid", "/dev/iommu" };
	int fd = -1;

	if (node) {
		snprintf(path, size, "%s", node);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes) && fd < 0; i++) {
		snprintf(path, size, "%s%s", seam->root, nodes[i]);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			break;
	}
	return fd;
}

static int explain_open(const char *path, int code, struct err *err)
{
	if (code == ENOENT || code == ENODEV || code == ENXIO)
		return err_set(
			err, ENOTSUP,
			"iommufd: there is no %s; load the iommufd module (CONFIG_IOMMUFD) or "
			"use provider type1",
			path);
	if (code == EACCES || code == EPERM)
		return err_set(
			err, ENOTSUP,
			"iommufd: %s is not open to this user; have it handed over or change "
			"its group",
			path);
	return err_set(err, ENOTSUP, "iommufd: %s: %s", path, strerror(code));
}

/* The least that an iommufd answers; whatever else was opened does not. */
static int probe(struct iommufd *iommufd, const char *path, struct err *err)
{
	int r = ifd_rlimit_mode(&iommufd->ifd, &iommufd->mm_accounting);

	if (!r)
		r = ifd_ioas_alloc(&iommufd->ifd, &iommufd->empty);
	if (!r)
		return 0;
	return err_set(err, ENOTSUP, "iommufd: %s does not answer as an iommufd: %s", path,
		       strerror(-r));
}

static int iommufd_open(struct ioasid_ctx *ctx, const char *node, int fd, struct err *err)
{
	struct iommufd *iommufd = calloc(1, sizeof(*iommufd));
	bool ours = fd < 0;
	char path[PATH_MAX];
	int r;

	if (!iommufd)
		return err_set(err, ENOMEM, "no memory for the iommufd provider");
	if (ours)
		fd = open_node(ctx->seam, node, path, sizeof(path));
	else
		snprintf(path, sizeof(path), "descriptor %d", fd);
	if (fd < 0) {
		r = explain_open(path, errno, err);
		goto fail;
	}
	*iommufd = (struct iommufd){
		.ifd = { .seam = ctx->seam, .fd = fd },
		.fault_fd = -1,
	};
	r = probe(iommufd, path, err);
	if (r)
		goto fail;
	ctx->priv = iommufd;
	return 0;
fail:
	if (ours && fd >= 0)
		close(fd);
	free(iommufd);
	return r;
}

static void iommufd_close(struct ioasid_ctx *ctx)
{
	struct iommufd *iommufd = iommufd_of(ctx);

	if (iommufd->fault_fd >= 0)
		close(iommufd->fault_fd);
	close(iommufd->ifd.fd);
	free(iommufd);
}

static void iommufd_block(struct ioasid_ctx *ctx)
{
	/* The generic part has detached every device. */
}

/* Which requests the running kernel knows; what a device's IOMMU can is asked at bind. */
static void ask(struct iommufd *iommufd)
{
	if (iommufd->asked)
		return;
	iommufd->asked = true;
	iommufd->no_map_file |= !ifd_knows(&iommufd->ifd, IFD_IOAS_MAP_FILE);
	iommufd->no_faults = !ifd_knows(&iommufd->ifd, IFD_FAULT_QUEUE_ALLOC);
	iommufd->no_dirty = !ifd_knows(&iommufd->ifd, IFD_HWPT_SET_DIRTY);
	iommufd->no_nesting = !ifd_knows(&iommufd->ifd, IFD_HWPT_INVALIDATE);
}

static void iommufd_caps(struct ioasid_ctx *ctx, struct ioasid_caps *caps)
{
	struct iommufd *iommufd = iommufd_of(ctx);

	ask(iommufd);
	*caps = (struct ioasid_caps){
		.faults = iommufd->no_faults ? IOASID_FAULTS_NONE : IOASID_FAULTS_PAGE_REQUESTS,
		.atomic_replace = true,
		.pasids = true,
		.copy = true,
		.map_file = !iommufd->no_map_file,
		.dirty = !iommufd->no_dirty,
		.nesting = !iommufd->no_nesting,
		.spaces_share_memory = true,
	};
}

static void iommufd_quiesce(struct ioasid_ctx *ctx)
{
	/* The kernel's calls return when their IOTLB flushes are done. */
}

static void iommufd_reap(struct ioasid_garbage *garbage)
{
	soft_map_reap(garbage);
}

static int iommufd_fd(const struct ioasid_ctx *ctx)
{
	return iommufd_of(ctx)->ifd.fd;
}

static int iommufd_device_fd(const struct ioasid_device *device)
{
	return ((const struct iommufd_device *)device->priv)->fd;
}

/* The kernel has moved the whole group: so do the members that count as attached. */
static void move_members(struct ioasid_device *device, struct iommufd_hwpt *hwpt)
{
	struct ioasid_device *other;

	for (other = LIST_FIRST(&device->space->devices); other;
	     other = LIST_NEXT(other, of_space)) {
		struct iommufd_device *dev = other->priv;
		struct iommufd_hwpt *old = dev->rid;

		if (other == device || other->info.group < 0 ||
		    other->info.group != device->info.group || old == hwpt)
			continue;
		dev->rid = hwpt;
		if (hwpt)
			hwpt->users++;
		iommufd_hwpt_put(device->ctx, old);
	}
}

static int iommufd_attach(struct ioasid_device *device, struct ioasid_space *before,
			  struct err *err)
{
	struct iommufd_device *dev = device->priv;
	struct iommufd_hwpt *old = dev->rid, *hwpt;
	int r = iommufd_enter(device, device->space, 0, &hwpt, err);

	if (r)
		return r;
	dev->rid = hwpt;
	if (before)
		move_members(device, hwpt);
	iommufd_hwpt_put(device->ctx, old);
	return 0;
}

static int iommufd_detach(struct ioasid_device *device, struct ioasid_space *from, struct err *err)
{
	struct iommufd_device *dev = device->priv;
	struct iommufd_hwpt *old = dev->rid;
	int r = iommufd_leave(device, 0, err);

	if (r)
		return r;
	dev->rid = NULL;
	iommufd_hwpt_put(device->ctx, old);
	return 0;
}

static int iommufd_pasid_attach(struct ioasid_pasid *pasid, struct err *err)
{
	struct iommufd_hwpt *hwpt;
	int r = iommufd_enter(pasid->device, pasid->space, pasid->number, &hwpt, err);

	pasid->priv = hwpt;
	return r;
}

static int iommufd_pasid_replace(struct ioasid_pasid *pasid, struct ioasid_space *before,
				 struct err *err)
{
	struct iommufd_hwpt *hwpt;
	int r = iommufd_enter(pasid->device, pasid->space, pasid->number, &hwpt, err);

	if (r)
		return r;
	iommufd_hwpt_put(pasid->ctx, pasid->priv);
	pasid->priv = hwpt;
	return 0;
}

static int iommufd_pasid_detach(struct ioasid_pasid *pasid, struct err *err)
{
	int r = iommufd_leave(pasid->device, pasid->number, err);

	if (r)
		return r;
	iommufd_hwpt_put(pasid->ctx, pasid->priv);
	pasid->priv = NULL;
	return 0;
}

/* Pages are pinned while a page table maps them; an mdev's driver pins what it needs itself. */
static bool pins(const struct ioasid_space *space)
{
	const struct ioasid_device *device = LIST_FIRST(&space->devices);

	while (device && device->info.emulated)
		device = LIST_NEXT(device, of_space);
	return device || !LIST_EMPTY(&space->pasids) || !LIST_EMPTY(&space->children);
}

static void iommufd_memory(struct ioasid_ctx *ctx, struct ioasid_memory *memory)
{
	const struct iommufd *iommufd = iommufd_of(ctx);
	const struct ioasid_space *space;
	uint64_t used;

	for (space = LIST_FIRST(&ctx->spaces); space; space = LIST_NEXT(space, of_ctx)) {
		if (pins(space))
			memory->pinned += ((struct iommufd_space *)space->priv)->mappings.bytes;
	}
	memory->accounting = iommufd->mm_accounting ? IOASID_ACCOUNTING_MM : IOASID_ACCOUNTING_USER;
	used = iommufd->mm_accounting ? locked_status(ctx->seam, "VmPin") : memory->pinned;
	locked_limit(ctx->seam, used, memory);
}

int iommufd_no_memory(struct ioasid_ctx *ctx, uint64_t bytes, struct err *err)
{
	struct ioasid_memory memory = { 0 };

	iommufd_memory(ctx, &memory);
	return locked_explain(&memory, bytes, err);
}

const struct ioasid_provider ioasid_iommufd = {
	.name = "iommufd",
	.open = iommufd_open,
	.close = iommufd_close,
	.block = iommufd_block,
	.caps = iommufd_caps,
	.bind = iommufd_bind,
	.unbind = iommufd_unbind,
	.alloc = iommufd_alloc,
	.destroy = iommufd_destroy,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.quiesce = iommufd_quiesce,
	.reap = iommufd_reap,
	.ctx_fd = iommufd_fd,
	.device_fd = iommufd_device_fd,
	.pasid_attach = iommufd_pasid_attach,
	.pasid_replace = iommufd_pasid_replace,
	.pasid_detach = iommufd_pasid_detach,
	.copy = iommufd_copy,
	.dirty_track = iommufd_dirty_track,
	.dirty_read = iommufd_dirty_read,
	.invalidate = iommufd_invalidate,
	.faults_fd = iommufd_faults_fd,
	.faults_read = iommufd_faults_read,
	.fault_respond = iommufd_fault_respond,
	.memory = iommufd_memory,
};
