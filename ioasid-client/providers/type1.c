/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The type1 provider's row of the table: /dev/vfio/vfio as a context, for kernels without iommufd.
 * It has no PASIDs, faults, nesting or dirty logs, and a device that moves between spaces is
 * blocked in between. type1.h says how spaces become containers.
 */
#include "ioasid-client/providers/type1.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/providers/locked.h"

static int explain_open(const char *path, int code, struct err *err)
{
	if (code == ENOENT || code == ENODEV || code == ENXIO)
		return err_set(
			err, ENOTSUP,
			"type1: there is no %s; load vfio and vfio_iommu_type1 (CONFIG_VFIO)",
			path);
	if (code == EACCES || code == EPERM)
		return err_set(
			err, ENOTSUP,
			"type1: %s is not open to this user; have it handed over or change its "
			"group",
			path);
	return err_set(err, ENOTSUP, "type1: %s: %s", path, strerror(code));
}

static int probe(const struct ioasid_seam *seam, int fd, const char *path, struct err *err)
{
	int version = type1_api_version(seam, fd);

	if (version != VFIO_API_VERSION)
		return err_set(err, ENOTSUP, "type1: %s does not answer as a VFIO container: %s",
			       path, strerror(version < 0 ? -version : EPROTO));
	if (!type1_has(seam, fd, VFIO_TYPE1v2_IOMMU))
		return err_set(err, ENOTSUP,
			       "type1: %s has no type1v2 IOMMU; load vfio_iommu_type1", path);
	return 0;
}

static int type1_open(struct ioasid_ctx *ctx, const char *node, int fd, struct err *err)
{
	struct type1 *type1 = calloc(1, sizeof(*type1));
	bool ours = fd < 0;
	char path[PATH_MAX];
	int r;

	if (!type1)
		return err_set(err, ENOMEM, "no memory for the type1 provider");
	if (ours) {
		snprintf(path, sizeof(path), "%s%s", node ? "" : ctx->seam->root,
			 node ? node : "/dev/vfio/vfio");
		fd = open(path, O_RDWR | O_CLOEXEC);
	} else {
		snprintf(path, sizeof(path), "descriptor %d", fd);
	}
	r = fd < 0 ? explain_open(path, errno, err) : probe(ctx->seam, fd, path, err);
	if (r) {
		if (ours && fd >= 0)
			close(fd);
		free(type1);
		return r;
	}
	type1->fd = fd;
	pthread_cond_init(&type1->opened, NULL);
	ctx->priv = type1;
	return 0;
}

static void type1_close(struct ioasid_ctx *ctx)
{
	close(type1_of(ctx)->fd);
	pthread_cond_destroy(&type1_of(ctx)->opened);
	free(type1_of(ctx));
}

static void type1_block(struct ioasid_ctx *ctx)
{
	/* The generic part has detached every device. */
}

static void type1_caps(struct ioasid_ctx *ctx, struct ioasid_caps *caps)
{
	*caps = (struct ioasid_caps){ .faults = IOASID_FAULTS_NONE };
}

static int type1_alloc(struct ioasid_space *space, struct err *err)
{
	space->priv = calloc(1, sizeof(struct type1_space));
	return space->priv ? 0 : err_set(err, ENOMEM, "no memory for an address space");
}

static void type1_destroy(struct ioasid_space *space)
{
	struct type1_space *own = space->priv;

	mappings_clear(&own->mappings);
	free(own);
}

static void type1_quiesce(struct ioasid_ctx *ctx)
{
	/* The kernel's calls return when their IOTLB flushes are done. */
}

static void type1_reap(struct ioasid_garbage *garbage)
{
	soft_map_reap(garbage);
}

static int type1_fd(const struct ioasid_ctx *ctx)
{
	return type1_of(ctx)->fd;
}

static int type1_device_fd(const struct ioasid_device *device)
{
	return ((const struct type1_device *)device->priv)->fd;
}

/* Every container pins for itself, and what it pins counts as locked memory of the process. */
void type1_memory(struct ioasid_ctx *ctx, struct ioasid_memory *memory)
{
	const struct type1_container *container = LIST_FIRST(&type1_of(ctx)->containers);

	for (; container; container = LIST_NEXT(container, of_ctx)) {
		const struct ioasid_space *live = container->live;

		if (live)
			memory->pinned += ((struct type1_space *)live->priv)->mappings.bytes;
	}
	memory->accounting = IOASID_ACCOUNTING_MM;
	locked_limit(ctx->seam, locked_status(ctx->seam, "VmLck"), memory);
}

const struct ioasid_provider ioasid_type1 = {
	.name = "type1",
	.open = type1_open,
	.close = type1_close,
	.block = type1_block,
	.caps = type1_caps,
	.bind = type1_bind,
	.unbind = type1_unbind,
	.alloc = type1_alloc,
	.destroy = type1_destroy,
	.map = type1_space_map,
	.unmap = type1_space_unmap,
	.attach = type1_attach,
	.detach = type1_detach,
	.quiesce = type1_quiesce,
	.reap = type1_reap,
	.ctx_fd = type1_fd,
	.device_fd = type1_device_fd,
	.copy = type1_space_copy,
	.memory = type1_memory,
};
