/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the soft provider: a ring of records that whoever polls empties, with a count of those
 * that found it full, and the page requests that wait for an answer.
 *
 * A request belongs to the DMA handle whose access was blocked, from its report to its answer being
 * taken. It is made only while the device still reaches the space, with the lock held that
 * soft_faults_cancel takes after the space was taken away: so none is left that nobody can answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ioasid-client/providers/soft.h"
#include "util/bits.h"

#define RECORDS	 256u
#define REQUESTS 256u

enum request_state {
	FREE,
	WAITS,
	RETRY,
	INVALID
};

struct request {
	enum request_state state;
	uint32_t use; /* how often the slot was taken; half of the cookie */
	const struct ioasid_dma *dma;
	const struct ioasid_device *device;
	uint32_t pasid;
};

struct soft_faults {
	pthread_mutex_t hooks; /* before lock: while somebody is told of an answer */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	int fd; /* -1 until somebody asks for it; readable while there are records */
	unsigned int first, count;
	uint64_t lost;
	struct ioasid_fault record[RECORDS];
	struct request request[REQUESTS];
};

int soft_faults_new(struct soft_faults **out)
{
	struct soft_faults *faults = calloc(1, sizeof(*faults));

	if (!faults)
		return -ENOMEM;
	faults->fd = -1;
	pthread_mutex_init(&faults->hooks, NULL);
	pthread_mutex_init(&faults->lock, NULL);
	pthread_cond_init(&faults->answered, NULL);
	*out = faults;
	return 0;
}

void soft_faults_free(struct soft_faults *faults)
{
	if (!faults)
		return;
	if (faults->fd >= 0)
		close(faults->fd);
	pthread_cond_destroy(&faults->answered);
	pthread_mutex_destroy(&faults->lock);
	pthread_mutex_destroy(&faults->hooks);
	free(faults);
}

static void raise_fd(const struct soft_faults *faults)
{
	if (faults->fd >= 0 && eventfd_write(faults->fd, 1))
		return; /* only when 2^64 - 2 were written: it is readable */
}

static void lower_fd(const struct soft_faults *faults)
{
	eventfd_t value;

	if (faults->fd >= 0 && eventfd_read(faults->fd, &value))
		return; /* nothing was raised */
}

/* --- page requests --------------------------------------------------------------------------- */

static uint64_t cookie_of(const struct soft_faults *faults, const struct request *request)
{
	return (uint64_t)request->use << 32 | (uint64_t)(request - faults->request + 1);
}

/* The request that has the cookie, or NULL. */
static struct request *find(struct soft_faults *faults, uint64_t cookie)
{
	uint64_t i = (cookie & UINT32_MAX) - 1;

	if (i >= REQUESTS || faults->request[i].state == FREE ||
	    cookie_of(faults, &faults->request[i]) != cookie)
		return NULL;
	return &faults->request[i];
}

static bool may_request(const struct soft_access *access)
{
	const struct soft_space *soft;

	if (!(access->rights & IOASID_PAGE_REQUEST) || !access->space ||
	    !access->device->info.page_requests || soft_dma_refuses(access->dma))
		return false;
	soft = access->space->priv;
	return soft->faults &&
	       access->space == soft_space_of(access->device->ctx, access->device, access->pasid);
}

static uint64_t new_request(struct soft_faults *faults, const struct soft_access *access)
{
	for (unsigned int i = 0; i < REQUESTS; i++) {
		struct request *request = &faults->request[i];

		if (request->state != FREE)
			continue;
		*request = (struct request){
			.state = WAITS,
			.use = request->use + 1,
			.dma = access->dma,
			.device = access->device,
			.pasid = access->pasid,
		};
		return cookie_of(faults, request);
	}
	return 0; /* as many wait as may: this access fails */
}

void soft_faults_hook(struct soft_faults *faults, struct soft_hook *hook, struct soft_hook value)
{
	pthread_mutex_lock(&faults->hooks);
	pthread_mutex_lock(&faults->lock);
	*hook = value;
	pthread_mutex_unlock(&faults->lock);
	pthread_mutex_unlock(&faults->hooks);
}

/* With the lock of hooks and without the other. */
static void tell(const struct soft_hook *hook)
{
	if (hook->fn)
		hook->fn(hook->arg);
}

/* Requests of the device under the PASID, or of a handle, are answered: no. */
static void refuse(struct soft_faults *faults, const struct ioasid_dma *dma,
		   const struct ioasid_device *device, uint32_t pasid)
{
	struct soft_hook hook[REQUESTS];
	unsigned int n = 0;

	pthread_mutex_lock(&faults->hooks);
	pthread_mutex_lock(&faults->lock);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		struct request *request = &faults->request[i];
		bool meant = dma ? request->dma == dma
				 : request->device == device && request->pasid == pasid;

		if (request->state != WAITS || !meant)
			continue;
		request->state = INVALID;
		hook[n++] = soft_dma_hook(request->dma);
	}
	pthread_cond_broadcast(&faults->answered);
	pthread_mutex_unlock(&faults->lock);
	for (unsigned int i = 0; i < n; i++)
		tell(&hook[i]);
	pthread_mutex_unlock(&faults->hooks);
}

void soft_faults_cancel(struct soft_faults *faults, const struct ioasid_device *device,
			uint32_t pasid)
{
	refuse(faults, NULL, device, pasid);
}

void soft_faults_refuse(struct soft_faults *faults, const struct ioasid_dma *dma)
{
	refuse(faults, dma, NULL, 0);
}

void soft_fault_drop(struct soft_faults *faults, uint64_t cookie)
{
	struct request *request;

	pthread_mutex_lock(&faults->lock);
	request = find(faults, cookie);
	if (request)
		request->state = FREE;
	pthread_mutex_unlock(&faults->lock);
}

void soft_faults_close(struct soft_faults *faults, const struct ioasid_dma *dma)
{
	pthread_mutex_lock(&faults->lock);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		if (faults->request[i].dma == dma)
			faults->request[i].state = FREE;
	}
	pthread_mutex_unlock(&faults->lock);
}

/* Needs the lock. */
static int take_answer(struct request *request)
{
	int r = request->state == WAITS ? -EAGAIN : request->state == RETRY ? 0 : -EFAULT;

	if (r != -EAGAIN)
		request->state = FREE;
	return r;
}

int soft_fault_answer(struct soft_faults *faults, uint64_t cookie, bool wait)
{
	struct request *request;
	int r;

	pthread_mutex_lock(&faults->lock);
	request = find(faults, cookie);
	while (wait && request && request->state == WAITS)
		pthread_cond_wait(&faults->answered, &faults->lock);
	r = request ? take_answer(request) : -EFAULT;
	pthread_mutex_unlock(&faults->lock);
	return r;
}

int soft_fault_respond(struct ioasid_ctx *ctx, uint64_t cookie, enum ioasid_response response,
		       struct err *err)
{
	struct soft_faults *faults = ((struct soft_ctx *)ctx->priv)->faults;
	struct soft_hook hook = { NULL };
	struct request *request;
	bool waited;

	pthread_mutex_lock(&faults->hooks);
	pthread_mutex_lock(&faults->lock);
	request = find(faults, cookie);
	waited = request && request->state == WAITS;
	if (waited) {
		hook = soft_dma_hook(request->dma);
		request->state = response == IOASID_RESPONSE_RETRY ? RETRY : INVALID;
		pthread_cond_broadcast(&faults->answered);
	}
	pthread_mutex_unlock(&faults->lock);
	tell(&hook);
	pthread_mutex_unlock(&faults->hooks);
	if (waited)
		return 0;
	return err_set(err, ENOENT, "no device waits for the answer to page request %#" PRIx64,
		       cookie);
}

/* --- records --------------------------------------------------------------------------------- */

/* What the guest calls the PASID, as far as it is bound now; in a section. */
static uint32_t guest_of(const struct soft_access *access)
{
	const char *slot;

	if (access->pasid == IOASID_PASID_NONE || access->pasid > IOASID_PASID_MAX)
		return IOASID_PASID_NONE;
	slot = ioasid_pool_slot(ioasid_pool_of(access->device->ctx, access->device), access->pasid);
	if (!slot || ioasid_slot_parked(slot))
		return IOASID_PASID_NONE;
	return __atomic_load_n(&((const struct ioasid_pasid *)slot)->guest, __ATOMIC_RELAXED);
}

uint64_t soft_fault_report(struct soft_faults *faults, const struct soft_access *access)
{
	struct ioasid_fault *record;
	uint64_t cookie = 0;

	pthread_mutex_lock(&faults->lock);
	if (faults->count == RECORDS) {
		/* A request that nobody reads of would wait for ever. */
		faults->lost++;
		goto unlock;
	}
	if (may_request(access))
		cookie = new_request(faults, access);
	record = &faults->record[(faults->first + faults->count++) % RECORDS];
	*record = (struct ioasid_fault){
		.host_pasid = access->pasid,
		.guest_pasid = guest_of(access),
		.iova = access->iova,
		.length = access->len,
		.rights = access->rights & ~IOASID_PAGE_REQUEST,
		.waits = cookie != 0,
		.last = true,
		.page_group = (uint32_t)cookie,
		.cookie = cookie,
	};
	memcpy(record->label, access->device->info.label, sizeof(record->label));
	if (faults->count == 1)
		raise_fd(faults);
unlock:
	pthread_mutex_unlock(&faults->lock);
	return cookie;
}

void soft_fault_note(const struct ioasid_device *device, uint32_t guest_pasid, uint64_t iova,
		     unsigned int rights)
{
	struct soft_faults *faults = ((struct soft_ctx *)device->ctx->priv)->faults;
	struct ioasid_fault *record;

	pthread_mutex_lock(&faults->lock);
	if (faults->count == RECORDS) {
		faults->lost++;
	} else {
		record = &faults->record[(faults->first + faults->count++) % RECORDS];
		*record = (struct ioasid_fault){
			.host_pasid = IOASID_PASID_NONE,
			.guest_pasid = guest_pasid,
			.iova = iova,
			.rights = rights,
			.last = true,
		};
		memcpy(record->label, device->info.label, sizeof(record->label));
		if (faults->count == 1)
			raise_fd(faults);
	}
	pthread_mutex_unlock(&faults->lock);
}

int soft_faults_fd(struct ioasid_ctx *ctx, int *fd, struct err *err)
{
	struct soft_faults *faults = ((struct soft_ctx *)ctx->priv)->faults;
	int r = 0;

	pthread_mutex_lock(&faults->lock);
	if (faults->fd < 0) {
		faults->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (faults->fd < 0)
			r = err_set(err, errno, "no descriptor for faults: %m");
		else if (faults->count)
			raise_fd(faults);
	}
	*fd = faults->fd;
	pthread_mutex_unlock(&faults->lock);
	return r;
}

int soft_faults_read(struct ioasid_ctx *ctx, struct ioasid_fault *out, size_t n, size_t *got,
		     uint64_t *lost, struct err *err)
{
	struct soft_faults *faults = ((struct soft_ctx *)ctx->priv)->faults;

	pthread_mutex_lock(&faults->lock);
	*got = MIN(n, faults->count);
	for (size_t i = 0; i < *got; i++)
		out[i] = faults->record[(faults->first + i) % RECORDS];
	faults->first = (unsigned int)((faults->first + *got) % RECORDS);
	faults->count -= (unsigned int)*got;
	if (!faults->count)
		lower_fd(faults);
	*lost = faults->lost;
	faults->lost = 0;
	pthread_mutex_unlock(&faults->lock);
	return 0;
}
