/* SPDX-License-Identifier: Apache-2.0 */
/* Page requests: the fault queue of an iommufd, decoded, and its responses. */
#include "ioasid-client/providers/iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

/* Needs the lock. */
int iommufd_fault_queue(struct ioasid_ctx *ctx, struct err *err)
{
	struct iommufd *iommufd = iommufd_of(ctx);
	int r;

	if (iommufd->fault_fd >= 0)
		return 0;
	r = ifd_fault_alloc(&iommufd->ifd, &iommufd->fault_queue, &iommufd->fault_fd);
	if (r == -ENOTTY)
		return err_set(err, EOPNOTSUPP,
			       "this kernel has no fault queues (6.11 or later); leave it out");
	if (r)
		return err_set(err, -r, "the kernel makes no fault queue: %s", strerror(-r));
	fcntl(iommufd->fault_fd, F_SETFD, FD_CLOEXEC);
	return fcntl(iommufd->fault_fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

int iommufd_faults_fd(struct ioasid_ctx *ctx, int *fd, struct err *err)
{
	int r;

	pthread_mutex_lock(&ctx->lock);
	r = iommufd_fault_queue(ctx, err);
	if (!r)
		*fd = iommufd_of(ctx)->fault_fd;
	pthread_mutex_unlock(&ctx->lock);
	return r;
}

static const struct ioasid_device *device_of(const struct ioasid_ctx *ctx, uint32_t id)
{
	const struct ioasid_device *device = LIST_FIRST(&ctx->devices);

	while (device && ((struct iommufd_device *)device->priv)->id != id)
		device = LIST_NEXT(device, of_ctx);
	return device;
}

/* The guest's number of a host PASID that is active; NONE otherwise. */
static uint32_t guest_of(struct ioasid_ctx *ctx, const struct ioasid_device *device, uint32_t pasid)
{
	const char *slot;

	if (!device || !pasid || pasid > IOASID_PASID_MAX)
		return IOASID_PASID_NONE;
	slot = ioasid_pool_slot(ioasid_pool_of(ctx, device), pasid);
	if (!slot || ioasid_slot_parked(slot))
		return IOASID_PASID_NONE;
	return __atomic_load_n(&((const struct ioasid_pasid *)slot)->guest, __ATOMIC_RELAXED);
}

/* The kernel's permission bits are ours. Needs the lock. */
static void decode(struct ioasid_ctx *ctx, const struct ifd_pgfault *raw,
		   struct ioasid_fault *fault)
{
	const struct ioasid_device *device = device_of(ctx, raw->dev_id);

	*fault = (struct ioasid_fault){
		.host_pasid = raw->flags & IFD_FAULT_PASID_VALID ? raw->pasid : IOASID_PASID_NONE,
		.iova = raw->addr,
		.length = raw->length,
		.rights =
			raw->perm & (IOASID_READ | IOASID_WRITE | IOASID_EXEC | IOASID_PRIVILEGED),
		.waits = true,
		.last = raw->flags & IFD_FAULT_LAST_PAGE,
		.page_group = raw->grpid,
		.cookie = raw->cookie,
	};
	fault->guest_pasid = guest_of(ctx, device, fault->host_pasid);
	snprintf(fault->label, sizeof(fault->label), "%s", device ? device->info.label : "");
}

int iommufd_faults_read(struct ioasid_ctx *ctx, struct ioasid_fault *faults, size_t n, size_t *got,
			uint64_t *lost, struct err *err)
{
	struct ifd_pgfault raw[64];
	ssize_t bytes;
	int fd, r;

	*lost = 0; /* the hardware waits: the kernel keeps all or answers them itself */
	r = iommufd_faults_fd(ctx, &fd, err);
	if (r)
		return r;
	bytes = read(fd, raw, MIN(n, ARRAY_SIZE(raw)) * sizeof(raw[0]));
	if (bytes < 0 && errno == EAGAIN)
		return 0;
	if (bytes < 0 && errno == EINVAL)
		return err_set(err, EINVAL,
			       "a group of page requests has more than %zu; ask for more at a time",
			       MIN(n, ARRAY_SIZE(raw)));
	if (bytes < 0)
		return err_set(err, errno, "the fault queue cannot be read: %s", strerror(errno));
	pthread_mutex_lock(&ctx->lock);
	for (*got = 0; *got < (size_t)bytes / sizeof(raw[0]); ++*got)
		decode(ctx, &raw[*got], &faults[*got]);
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

int iommufd_fault_respond(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
			  struct err *err)
{
	const struct ifd_page_response answer = {
		.cookie = (uint32_t)cookie,
		.code = response == IOASID_RESPONSE_RETRY ? IFD_RESPONSE_SUCCESS
							  : IFD_RESPONSE_INVALID,
	};
	int fd, r;

	r = iommufd_faults_fd(ctx, &fd, err);
	if (r)
		return r;
	if (cookie == answer.cookie && write(fd, &answer, sizeof(answer)) == sizeof(answer))
		return 0;
	return err_set(err, ENOENT, "no page request waits for cookie %llu",
		       (unsigned long long)cookie);
}
