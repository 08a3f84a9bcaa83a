/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults and locked memory as fault.h and memory.h describe them; a provider that does not report
 * them is said to.
 */
#include "ioasid-client/provider.h"

#include <errno.h>
#include <inttypes.h>

static int no_faults(const struct ioasid_ctx *ctx, struct err *err)
{
	return ioasid_lacks(ctx, "reports no faults", err);
}

int ioasid_faults_fd(struct ioasid_ctx *ctx, int *fd, struct err *err)
{
	return ctx->provider->faults_fd ? ctx->provider->faults_fd(ctx, fd, err)
					: no_faults(ctx, err);
}

int ioasid_faults_read(struct ioasid_ctx *ctx, struct ioasid_fault *faults, size_t n, size_t *got,
		       uint64_t *lost, struct err *err)
{
	uint64_t ignored;

	*got = 0;
	if (!ctx->provider->faults_read)
		return no_faults(ctx, err);
	return ctx->provider->faults_read(ctx, faults, n, got, lost ? lost : &ignored, err);
}

void ioasid_fault_note(const struct ioasid_device *device, uint32_t guest_pasid, uint64_t iova,
		       unsigned int rights)
{
	if (device->ctx->provider->fault_note)
		device->ctx->provider->fault_note(device, guest_pasid, iova, rights);
}

int ioasid_fault_respond(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
			 struct err *err)
{
	if (!ctx->provider->fault_respond)
		return no_faults(ctx, err);
	if (response != IOASID_RESPONSE_RETRY && response != IOASID_RESPONSE_INVALID)
		return err_set(err, EINVAL, "response %d is unknown", (int)response);
	return ctx->provider->fault_respond(ctx, cookie, response, err);
}

void ioasid_memory(struct ioasid_ctx *ctx, struct ioasid_memory *memory)
{
	*memory = (struct ioasid_memory){ .limit = UINT64_MAX, .left = UINT64_MAX };
	if (!ctx->provider->memory)
		return;
	pthread_mutex_lock(&ctx->lock);
	ctx->provider->memory(ctx, memory);
	pthread_mutex_unlock(&ctx->lock);
}

int ioasid_memory_predict(struct ioasid_ctx *ctx, uint64_t bytes, struct ioasid_memory *memory,
			  struct err *err)
{
	struct ioasid_memory now;

	ioasid_memory(ctx, &now);
	if (bytes > now.left)
		now.missing = bytes - now.left;
	if (memory)
		*memory = now;
	if (!now.missing)
		return 0;
	return err_set(err, ENOMEM,
		       "%" PRIu64 " bytes cannot be locked: %" PRIu64
		       " are missing of the limit of "
		       "%" PRIu64 "; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=)",
		       bytes, now.missing, now.limit);
}
