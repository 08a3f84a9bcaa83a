/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: which provider serves one, and the order in which everything ends when it closes. The
 * memory of a context outlives ioasid_ctx_close for as long as somebody holds a PASID or a DMA
 * handle of it, so that they can be let go in any order.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
	enum ioasid_provider_id id;
	const char *name;
	const struct ioasid_provider *provider; /* NULL: not built into this version */
} rows[] = {
	/* In the order in which AUTO asks them. */
	{ IOASID_PROVIDER_IOMMUFD, "iommufd", NULL },
	{ IOASID_PROVIDER_TYPE1, "type1", NULL },
	{ IOASID_PROVIDER_SOFT, "soft", &ioasid_soft },
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

static int open_row(struct ioasid_ctx *ctx, const struct row *row, const char *node,
		    struct err *err)
{
	int r;

	if (!row->provider)
		return err_set(err, ENOTSUP, "provider %s is not built into this version; use soft",
			       row->name);
	ctx->provider = row->provider;
	r = row->provider->open(ctx, node, err);
	if (r)
		ctx->provider = NULL;
	return r;
}

/* The node is meant for a kernel's provider: soft opens none, so AUTO does not pass it on. */
static int open_auto(struct ioasid_ctx *ctx, const char *node, struct err *err)
{
	size_t used = 0;

	for (size_t i = 0; i < ROWS; i++) {
		const char *for_row = rows[i].provider == &ioasid_soft ? NULL : node;
		struct err why = { 0 };

		if (!open_row(ctx, &rows[i], for_row, &why))
			return 0;
		if (used < sizeof(ctx->reason))
			used += (size_t)snprintf(ctx->reason + used, sizeof(ctx->reason) - used,
						 "%s%s", used ? "; " : "", why.text);
	}
	return err_set(err, ENOTSUP, "no provider answers on this host: %s", ctx->reason);
}

static int open_named(struct ioasid_ctx *ctx, enum ioasid_provider_id id, const char *node,
		      struct err *err)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].id == id)
			return open_row(ctx, &rows[i], node, err);
	}
	return err_set(err, EINVAL, "provider %d is unknown; use auto, iommufd, type1 or soft",
		       (int)id);
}

int ioasid_ctx_open(struct ioasid_ctx **out, enum ioasid_provider_id provider, const char *node,
		    struct err *err)
{
	struct ioasid_ctx *ctx = calloc(1, sizeof(*ctx));
	int r;

	if (!ctx)
		return err_set(err, ENOMEM, "no memory for an I/O address space context");
	ctx->refs = 1;
	ctx->lowest = 1;
	pthread_mutex_init(&ctx->lock, NULL);
	if (provider == IOASID_PROVIDER_AUTO)
		r = open_auto(ctx, node, err);
	else
		r = open_named(ctx, provider, node, err);
	if (r) {
		pthread_mutex_destroy(&ctx->lock);
		free(ctx);
		return r;
	}
	*out = ctx;
	return 0;
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

void ioasid_ctx_get(struct ioasid_ctx *ctx)
{
	__atomic_fetch_add(&ctx->refs, 1, __ATOMIC_RELAXED);
}

void ioasid_ctx_put(struct ioasid_ctx *ctx)
{
	if (__atomic_sub_fetch(&ctx->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ctx->provider->close(ctx);
	for (size_t i = 0; i < PASID_LEAVES; i++)
		free(ctx->leaf[i]);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx);
}
