/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: which provider serves one, and the order in which everything ends when it closes. The
 * memory of a context outlives ioasid_ctx_close for as long as somebody holds a PASID or a DMA
 * handle of it, so that they can be let go in any order.
 */
#include "ioasid-client/provider.h"
#include "ioasid-client/providers/seam.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
	enum ioasid_provider_id id;
	const struct ioasid_provider *provider;
} rows[] = {
	/* In the order in which AUTO asks them. */
	{ IOASID_PROVIDER_IOMMUFD, &ioasid_iommufd },
	{ IOASID_PROVIDER_TYPE1, &ioasid_type1 },
	{ IOASID_PROVIDER_SOFT, &ioasid_soft },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

const char *ioasid_isolation_name(enum ioasid_isolation isolation)
{
	switch (isolation) {
	case IOASID_ISOLATION_SOFTWARE:
		return "software-checked";
	case IOASID_ISOLATION_RID:
		return "iommu-rid";
	case IOASID_ISOLATION_PASID:
		return "iommu-pasid";
	case IOASID_ISOLATION_VENDOR:
		return "vendor-mdev";
	}
	return "unknown";
}

static int open_row(struct ioasid_ctx *ctx, const struct row *row,
		    const struct ioasid_target *target, struct err *err)
{
	int r;

	ctx->provider = row->provider;
	r = row->provider->open(ctx, target->node, target->fd, err);
	if (r)
		ctx->provider = NULL;
	return r;
}

/*
 * The node is meant for a kernel's provider: soft opens none, so AUTO does not pass it on. It does
 * not take soft either where a descriptor was handed over, which can only mean the kernel's.
 */
static int open_auto(struct ioasid_ctx *ctx, const struct ioasid_target *target, struct err *err)
{
	size_t used = 0;

	for (size_t i = 0; i < ROWS; i++) {
		bool soft = rows[i].provider == &ioasid_soft;
		const struct ioasid_target for_row = {
			.node = soft ? NULL : target->node,
			.fd = target->fd,
		};
		struct err why = { 0 };

		if (!open_row(ctx, &rows[i], &for_row, &why))
			return 0;
		if (used < sizeof(ctx->reason))
			used += (size_t)snprintf(ctx->reason + used, sizeof(ctx->reason) - used,
						 "%s%s", used ? "; " : "", why.text);
	}
	return err_set(err, ENOTSUP, "no provider answers on this host: %s", ctx->reason);
}

static int open_named(struct ioasid_ctx *ctx, enum ioasid_provider_id id,
		      const struct ioasid_target *target, struct err *err)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].id == id)
			return open_row(ctx, &rows[i], target, err);
	}
	return err_set(err, EINVAL, "provider %d is unknown; use auto, iommufd, type1 or soft",
		       (int)id);
}

int ioasid_ctx_open_target(struct ioasid_ctx **out, enum ioasid_provider_id provider,
			   const struct ioasid_target *target, struct err *err)
{
	struct ioasid_ctx *ctx = calloc(1, sizeof(*ctx));
	int r;

	if (!ctx)
		return err_set(err, ENOMEM, "no memory for an I/O address space context");
	ctx->refs = 1;
	ctx->seam = target->seam;
	ctx->pasids = (struct ioasid_pasid_pool){
		.first = 1, .last = IOASID_PASID_MAX, .lowest = 1, .refs = 1
	};
	pthread_mutex_init(&ctx->lock, NULL);
	if (provider == IOASID_PROVIDER_AUTO)
		r = open_auto(ctx, target, err);
	else
		r = open_named(ctx, provider, target, err);
	if (r) {
		pthread_mutex_destroy(&ctx->lock);
		free(ctx);
		return r;
	}
	*out = ctx;
	return 0;
}

int ioasid_ctx_open(struct ioasid_ctx **out, enum ioasid_provider_id provider, const char *node,
		    struct err *err)
{
	const struct ioasid_target target = {
		.node = node,
		.fd = -1,
		.seam = &ioasid_seam_kernel,
	};

	return ioasid_ctx_open_target(out, provider, &target, err);
}

int ioasid_ctx_open_fd(struct ioasid_ctx **out, enum ioasid_provider_id provider, int fd,
		       struct err *err)
{
	const struct ioasid_target target = { .fd = fd, .seam = &ioasid_seam_kernel };

	if (fd < 0)
		return err_set(err, EBADF, "descriptor %d is none", fd);
	return ioasid_ctx_open_target(out, provider, &target, err);
}

void ioasid_ctx_close(struct ioasid_ctx *ctx)
{
	struct ioasid_device *device;
	struct ioasid_space *space;

	if (!ctx)
		return;
	pthread_mutex_lock(&ctx->lock);
	for (device = LIST_FIRST(&ctx->devices); device; device = LIST_NEXT(device, of_ctx))
		ioasid_device_block(device);
	ctx->provider->block(ctx);
	pthread_mutex_unlock(&ctx->lock);
	ctx->provider->quiesce(ctx);

	while ((device = LIST_FIRST(&ctx->devices))) {
		LIST_REMOVE(device, of_ctx);
		ioasid_device_free(device);
	}
	while ((space = LIST_FIRST(&ctx->spaces))) {
		LIST_REMOVE(space, of_ctx);
		ioasid_space_free(space);
	}
	ioasid_pasids_drop(ctx);
	ioasid_ctx_put(ctx);
}

const char *ioasid_ctx_provider(const struct ioasid_ctx *ctx)
{
	return ctx->provider->name;
}

const char *ioasid_ctx_reason(const struct ioasid_ctx *ctx)
{
	return ctx->reason;
}

int ioasid_ctx_fd(const struct ioasid_ctx *ctx)
{
	return ctx->provider->ctx_fd ? ctx->provider->ctx_fd(ctx) : -1;
}

void ioasid_ctx_caps(struct ioasid_ctx *ctx, struct ioasid_caps *caps)
{
	*caps = (struct ioasid_caps){ 0 };
	pthread_mutex_lock(&ctx->lock);
	ctx->provider->caps(ctx, caps);
	pthread_mutex_unlock(&ctx->lock);
}

int ioasid_lacks(const struct ioasid_ctx *ctx, const char *what, struct err *err)
{
	return err_set(err, EOPNOTSUPP, "provider %s %s", ctx->provider->name, what);
}

void ioasid_ctx_get(struct ioasid_ctx *ctx)
{
	__atomic_fetch_add(&ctx->refs, 1, __ATOMIC_RELAXED);
}

void ioasid_ctx_put(struct ioasid_ctx *ctx)
{
	if (__atomic_sub_fetch(&ctx->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ctx->provider->close(ctx);
	ioasid_pool_clear(&ctx->pasids);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx);
}
