/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/adi/dsa-owner.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-owner-internal.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/sandbox.h"

#define COMMAND_MS 5000u

/* --- losses ---------------------------------------------------------------------------------- */

static uint64_t losses_of(const struct dsa_owner *owner)
{
	return __atomic_load_n(&owner->losses, __ATOMIC_ACQUIRE);
}

/*
 * With the lend lock held. The function is reset first: who sees the count grow knows that nothing
 * of it is under way. A function that does not come back is tried again by nobody.
 */
static void lose(struct dsa_owner *owner, const char *why)
{
	struct err err = { 0 };
	int ret;

	if (owner->dead)
		return;
	log_line(owner->log, LOG_ERROR, "dsa", "%s: %s: it is reset, which all its tenants feel",
		 owner->name, why);
	pthread_rwlock_wrlock(&owner->way);
	ret = owner_set_up(owner, &err);
	owner->dead = ret != 0;
	__atomic_fetch_add(&owner->losses, 1, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&owner->way);
	if (ret)
		log_line(owner->log, LOG_ERROR, "dsa", "%s: it is lost for good: %s", owner->name,
			 err.text);
	pthread_mutex_lock(&owner->news);
	pthread_cond_broadcast(&owner->lost);
	pthread_mutex_unlock(&owner->news);
}

static void *watch(void *arg)
{
	struct dsa_owner *owner = arg;
	struct pollfd fds[] = { { owner->access.interrupt, POLLIN, 0 },
				{ owner->stop, POLLIN, 0 } };
	uint64_t n;

	while (poll(fds, ARRAY_SIZE(fds), -1) >= 0 || errno == EINTR) {
		if (fds[1].revents)
			break;
		if (!fds[0].revents || read(owner->access.interrupt, &n, sizeof(n)) < 0)
			continue;
		pthread_mutex_lock(&owner->lend);
		if (!owner->dead && owner_read_interrupt(owner))
			lose(owner, "it has halted");
		pthread_mutex_unlock(&owner->lend);
	}
	return NULL;
}

static void *tell(void *arg)
{
	struct dsa_tenant *tenant = arg;
	struct dsa_owner *owner = tenant->owner;

	pthread_mutex_lock(&owner->news);
	while (!tenant->hushed) {
		uint64_t losses = losses_of(owner);

		if (losses == tenant->told) {
			pthread_cond_wait(&owner->lost, &owner->news);
			continue;
		}
		tenant->told = losses;
		pthread_mutex_unlock(&owner->news);
		tenant->options.lost(tenant->options.arg);
		pthread_mutex_lock(&owner->news);
	}
	pthread_mutex_unlock(&owner->news);
	return NULL;
}

/* --- queues ---------------------------------------------------------------------------------- */

static struct dsa_record *record_of(const struct dsa_owner *owner, unsigned int queue)
{
	return (struct dsa_record *)(owner->records + (size_t)queue * IOASID_PAGE_SIZE);
}

static uint64_t record_iova(const struct dsa_owner *owner, unsigned int queue)
{
	return owner->access.record_iova + (uint64_t)queue * IOASID_PAGE_SIZE;
}

/* With the lend lock held. */
static int find_free(const struct dsa_owner *owner, unsigned int *queue, struct err *err)
{
	for (*queue = 0; *queue < owner->shape.queues; (*queue)++) {
		if (!owner->queue[*queue].tenant)
			return 0;
	}
	return err_set(err, ENOSPC,
		       "%s: all its %u queues are lent; each binding of a PASID takes one",
		       owner->name, owner->shape.queues);
}

/* With the lend lock held: the queue's PASID reaches the space and its own page for records. */
static int open_space(struct dsa_owner *owner, unsigned int queue, uint32_t pasid,
		      struct ioasid_space *space, struct err *err)
{
	int ret = ioasid_map_hva(space, record_iova(owner, queue), IOASID_PAGE_SIZE,
				 record_of(owner, queue), IOASID_READ | IOASID_WRITE, err);

	if (ret)
		return ret;
	ret = owner->access.attach(owner->access.arg, pasid, space, err);
	if (ret)
		ioasid_unmap(space, record_iova(owner, queue), IOASID_PAGE_SIZE, NULL);
	return ret;
}

static void close_space(struct dsa_owner *owner, unsigned int queue)
{
	const struct owner_queue *lent = &owner->queue[queue];

	owner->access.detach(owner->access.arg, lent->pasid);
	ioasid_unmap(lent->space, record_iova(owner, queue), IOASID_PAGE_SIZE, NULL);
}

/* With the lend lock held. */
static int lend(struct dsa_tenant *tenant, unsigned int queue, uint32_t pasid,
		struct ioasid_space *space, struct err *err)
{
	struct dsa_owner *owner = tenant->owner;
	int ret = open_space(owner, queue, pasid, space, err);

	if (ret)
		return ret;
	owner->queue[queue] =
		(struct owner_queue){ .tenant = tenant, .pasid = pasid, .space = space };
	ret = owner_enable_queue(owner, queue, pasid, err);
	if (!ret)
		return 0;
	close_space(owner, queue);
	owner->queue[queue] = (struct owner_queue){ 0 };
	return ret;
}

static int tenant_attach(void *arg, uint32_t host, const struct ioasid_space *space,
			 const struct dsa_piece *pieces, unsigned int n, struct dsa_lane *lane,
			 struct err *err)
{
	struct dsa_tenant *tenant = arg;
	struct dsa_owner *owner = tenant->owner;
	struct ioasid_space *twin = tenant->options.twin(tenant->options.arg, space);
	unsigned int queue = 0;
	int ret;

	if (!twin)
		return err_set(err, EINVAL, "%s: space %s is not one that %s reaches", tenant->name,
			       ioasid_space_name(space), owner->name);
	pthread_mutex_lock(&owner->lend);
	ret = owner->dead ? err_set(err, EIO, "%s: the function is lost", owner->name)
			  : find_free(owner, &queue, err);
	if (!ret)
		ret = lend(tenant, queue, host, twin, err);
	pthread_mutex_unlock(&owner->lend);
	if (ret)
		return ret;
	*lane = (struct dsa_lane){
		.queue = queue,
		.record = record_of(owner, queue),
		.record_iova = record_iova(owner, queue),
	};
	return 0;
}

/* A queue that cannot be stopped takes the function with it: its DMA must not outlive the space. */
static void tenant_detach(void *arg, const struct dsa_lane *lane)
{
	struct dsa_tenant *tenant = arg;
	struct dsa_owner *owner = tenant->owner;
	struct owner_queue *queue = &owner->queue[lane->queue];

	pthread_mutex_lock(&owner->lend);
	queue->tenant = NULL; /* a reset of the function leaves it disabled */
	if (!owner->dead && owner_reset_queue(owner, lane->queue))
		lose(owner, "a queue cannot be reset");
	close_space(owner, lane->queue);
	pthread_mutex_unlock(&owner->lend);
}

static void tenant_abort(void *arg, const struct dsa_lane *lane)
{
	struct dsa_tenant *tenant = arg;
	struct dsa_owner *owner = tenant->owner;

	pthread_mutex_lock(&owner->lend);
	if (!owner->dead && owner_abort_queue(owner, lane->queue))
		lose(owner, "a queue cannot be aborted");
	pthread_mutex_unlock(&owner->lend);
}

/* Of a function that is lost for good every try is one more loss. */
static int tenant_submit(void *arg, const struct dsa_lane *lane, uint64_t losses,
			 const struct dsa_descriptor *descriptor)
{
	const struct dsa_tenant *tenant = arg;
	struct dsa_owner *owner = tenant->owner;
	int ret = 0;

	pthread_rwlock_rdlock(&owner->way);
	if (owner->dead)
		__atomic_fetch_add(&owner->losses, 1, __ATOMIC_RELEASE);
	if (owner->dead || losses_of(owner) != losses)
		ret = -EIO;
	else
		owner->access.store64(owner->access.arg,
				      (uint64_t)lane->queue * DSA_WQ_PORTALS + DSA_PORTAL_PAGE,
				      descriptor);
	pthread_rwlock_unlock(&owner->way);
	return ret;
}

static uint64_t tenant_losses(void *arg)
{
	const struct dsa_tenant *tenant = arg;

	return losses_of(tenant->owner);
}

/* The watcher does it, also where the interrupt did not come. */
static void tenant_look(void *arg)
{
	const struct dsa_tenant *tenant = arg;
	struct dsa_owner *owner = tenant->owner;
	const uint64_t one = 1;
	bool halted;

	pthread_rwlock_rdlock(&owner->way);
	halted = !owner->dead && owner_halted(owner);
	pthread_rwlock_unlock(&owner->way);
	if (halted && write(owner->access.interrupt, &one, sizeof(one)) < 0)
		return;
}

/* --- tenants --------------------------------------------------------------------------------- */

static int start_tenant(struct dsa_tenant *tenant)
{
	const struct sandbox_thread what = {
		.sandbox = tenant->owner->sandbox,
		.role = SANDBOX_FUNCTION,
		.name = "dsa-tenant",
		.run = tell,
		.arg = tenant,
	};

	return sandbox_start_thread(&what, &tenant->thread);
}

int dsa_tenant_create(struct dsa_tenant **out, struct dsa_owner *owner,
		      const struct dsa_tenant_options *options, struct err *err)
{
	struct dsa_tenant *tenant = calloc(1, sizeof(*tenant));
	int ret;

	if (!tenant)
		return err_set(err, ENOMEM, "%s: no memory for a tenant", owner->name);
	snprintf(tenant->name, sizeof(tenant->name), "%s", options->name);
	tenant->owner = owner;
	tenant->options = *options;
	tenant->told = losses_of(owner);
	tenant->port = (struct dsa_port){
		.attach = tenant_attach,
		.detach = tenant_detach,
		.submit = tenant_submit,
		.abort = tenant_abort,
		.losses = tenant_losses,
		.look = tenant_look,
		.arg = tenant,
	};
	ret = start_tenant(tenant);
	if (ret) {
		free(tenant);
		return err_set(err, -ret, "%s: no thread: %s", owner->name, strerror(-ret));
	}
	tenant->running = true;
	*out = tenant;
	return 0;
}

const struct dsa_port *dsa_tenant_port(const struct dsa_tenant *tenant)
{
	return &tenant->port;
}

void dsa_tenant_hush(struct dsa_tenant *tenant)
{
	struct dsa_owner *owner;

	if (!tenant || !tenant->running)
		return;
	owner = tenant->owner;
	pthread_mutex_lock(&owner->news);
	tenant->hushed = true;
	pthread_cond_broadcast(&owner->lost);
	pthread_mutex_unlock(&owner->news);
	pthread_join(tenant->thread, NULL);
	tenant->running = false;
}

void dsa_tenant_destroy(struct dsa_tenant *tenant)
{
	dsa_tenant_hush(tenant);
	free(tenant);
}

/* --- life ------------------------------------------------------------------------------------ */

unsigned int dsa_owner_queues(const struct dsa_owner *owner)
{
	return owner->shape.queues;
}

static int start(struct dsa_owner *owner, struct err *err)
{
	size_t size = (size_t)DSA_OWNER_QUEUES * IOASID_PAGE_SIZE;
	const struct sandbox_thread watcher = {
		.sandbox = owner->sandbox,
		.role = SANDBOX_FUNCTION,
		.name = "dsa-owner",
		.run = watch,
		.arg = owner,
	};
	void *records = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ret;

	owner->records = records == MAP_FAILED ? NULL : records;
	owner->stop = eventfd(0, EFD_CLOEXEC);
	if (!owner->records || owner->stop < 0)
		return err_set(err, errno, "%s: no memory or descriptor: %s", owner->name,
			       strerror(errno));
	ret = owner_set_up(owner, err);
	if (ret)
		return ret;
	ret = sandbox_start_thread(&watcher, &owner->watcher);
	return ret ? err_set(err, -ret, "%s: no thread: %s", owner->name, strerror(-ret)) : 0;
}

static void free_owner(struct dsa_owner *owner)
{
	if (owner->records)
		munmap(owner->records, (size_t)DSA_OWNER_QUEUES * IOASID_PAGE_SIZE);
	if (owner->stop >= 0)
		close(owner->stop);
	pthread_cond_destroy(&owner->lost);
	pthread_mutex_destroy(&owner->news);
	pthread_rwlock_destroy(&owner->way);
	pthread_mutex_destroy(&owner->lend);
	free(owner);
}

int dsa_owner_create(struct dsa_owner **out, const struct dsa_access *access,
		     const struct dsa_owner_options *options, struct err *err)
{
	struct dsa_owner *owner = calloc(1, sizeof(*owner));
	int ret;

	if (!owner)
		return err_set(err, ENOMEM, "%s: no memory for its owner", options->name);
	snprintf(owner->name, sizeof(owner->name), "%s", options->name);
	owner->log = options->log;
	owner->sandbox = options->sandbox;
	owner->access = *access;
	owner->command_ms = options->command_ms ? options->command_ms : COMMAND_MS;
	pthread_mutex_init(&owner->lend, NULL);
	pthread_rwlock_init(&owner->way, NULL);
	pthread_mutex_init(&owner->news, NULL);
	pthread_cond_init(&owner->lost, NULL);
	ret = start(owner, err);
	if (ret) {
		free_owner(owner);
		return ret;
	}
	*out = owner;
	return 0;
}

void dsa_owner_destroy(struct dsa_owner *owner)
{
	const uint64_t one = 1;

	if (!owner)
		return;
	if (write(owner->stop, &one, sizeof(one)) < 0)
		return;
	pthread_join(owner->watcher, NULL);
	if (!owner->dead)
		(void)owner->access.reset(owner->access.arg);
	free_owner(owner);
}
