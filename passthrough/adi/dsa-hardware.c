/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out jobs on a real DSA: one thread for each engine of the function, which takes a job,
 * has it checked, and waits for the device. Batches are read here in parts, as the software engine
 * reads them, and each of their descriptors is a submission of its own, so that nothing that the
 * guest can still change is ever looked at by the device.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa-hardware.h"
#include "passthrough/adi/dsa-threads.h"
#include "util/bits.h"
#include "util/sandbox.h"

#define MAX_BATCH_SHIFT 10u

struct engine {
	struct dsa_thread thread; /* first */
	struct dsa_work work;
	struct dsa_outcome outcome;
	struct dsa_batch batch;
};

struct hardware {
	struct dsa_threads threads; /* first */
	struct engine engine[DSA_MAX_ENGINES];
};

/* --- channels -------------------------------------------------------------------------------- */

/* With the lock held, or by the thread whose running job keeps the channel. */
static struct dsa_channel *find(struct dsa *dsa, uint32_t host)
{
	struct dsa_channel *channel = dsa->channels;

	while (channel && channel->host != host)
		channel = channel->next;
	return channel;
}

/* Of a running job: the channel stays until the job has ended. NULL: it is going away. */
static struct dsa_channel *channel_of(struct dsa *dsa, uint32_t host)
{
	struct dsa_channel *channel;

	pthread_mutex_lock(&dsa->lock);
	channel = find(dsa, host);
	if (channel && channel->stopped)
		channel = NULL;
	pthread_mutex_unlock(&dsa->lock);
	return channel;
}

static void free_channel(struct dsa_channel *channel)
{
	channel->ops->close(channel);
	pthread_mutex_destroy(&channel->in_use);
	free(channel);
}

static int hardware_bind(struct dsa *dsa, uint32_t host, const struct ioasid_space *space,
			 struct err *err)
{
	struct dsa_channel *channel = calloc(1, sizeof(*channel));
	struct dsa_piece piece[DSA_MAX_PIECES];
	unsigned int n = 0;
	int ret;

	if (!channel)
		return err_set(err, ENOMEM, "no memory for a way to the device");
	channel->ops = dsa->backend->channel;
	channel->host = host;
	channel->space = space;
	pthread_mutex_init(&channel->in_use, NULL);
	ret = dsa->host.reach(dsa->host.reach_arg, space, piece, &n, err);
	if (!ret)
		ret = channel->ops->open(dsa, channel, piece, n, err);
	if (ret) {
		pthread_mutex_destroy(&channel->in_use);
		free(channel);
		return ret;
	}
	pthread_mutex_lock(&dsa->lock);
	channel->next = dsa->channels;
	dsa->channels = channel;
	pthread_mutex_unlock(&dsa->lock);
	return 0;
}

static void hardware_block(struct dsa *dsa, uint32_t host)
{
	struct dsa_channel *channel;

	pthread_mutex_lock(&dsa->lock);
	channel = find(dsa, host);
	if (channel)
		__atomic_store_n(&channel->stopped, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&dsa->lock);
	if (channel)
		channel->ops->stop(channel);
}

static void hardware_unbind(struct dsa *dsa, uint32_t host)
{
	struct dsa_channel **at = &dsa->channels, *channel;

	pthread_mutex_lock(&dsa->lock);
	while (*at && (*at)->host != host)
		at = &(*at)->next;
	channel = *at;
	if (channel)
		*at = channel->next;
	pthread_mutex_unlock(&dsa->lock);
	if (channel)
		free_channel(channel);
}

/* --- one descriptor -------------------------------------------------------------------------- */

static void lose(struct dsa *dsa)
{
	const struct dsa_port *port = dsa->host.port;
	uint64_t losses = port ? port->losses(port->arg) : dsa->losses + 1;

	pthread_mutex_lock(&dsa->lock);
	if (losses != dsa->losses) {
		dsa->losses = losses;
		dsa_halt(dsa);
	}
	pthread_mutex_unlock(&dsa->lock);
}

void dsa_lost(struct dsa *dsa)
{
	if (dsa->host.port)
		lose(dsa);
}

static void gone(struct dsa_work *work)
{
	if (dsa_flagged(&work->live->revoked) || dsa_flagged(&work->live->forgotten)) {
		work->outcome->status = DSA_STATUS_PAGE_FAULT;
		work->outcome->fault = work->operands & 1 ? work->operand[0].address : 0;
		return;
	}
	work->outcome->status = 0;
	if (dsa_flagged(&work->live->abandon))
		return;
	work->outcome->status = DSA_STATUS_HARDWARE;
	lose(work->dsa);
}

/* The device's word is taken for the status, the result and the counts, within their limits. */
static void take_record(struct dsa_work *work, const struct dsa_reach *reach,
			const struct dsa_record *record)
{
	struct dsa_outcome *outcome = work->outcome;
	uint8_t code = record->status & ~DSA_STATUS_WRITE;

	outcome->status = record->status;
	outcome->result = record->result;
	outcome->bytes = MIN(record->bytes, work->job->descriptor.size);
	outcome->moved = code == DSA_STATUS_OK ? work->job->descriptor.size : outcome->bytes;
	memcpy(outcome->words, record->words, sizeof(outcome->words));
	if (code == DSA_STATUS_PAGE_FAULT || code == DSA_STATUS_PAGE_REFUSED)
		outcome->fault = dsa_reach_back(reach, record->fault);
}

/* The work has begun. In no section. */
static void run_on_device(struct dsa_work *work, struct dsa_channel *channel)
{
	struct dsa_descriptor descriptor;
	struct dsa_record record = { 0 };
	int ret;

	if (!channel) {
		gone(work);
		return;
	}
	work->outcome->status = dsa_private_make(&channel->reach, work, channel->descriptor_pasid,
						 &descriptor, &work->outcome->fault);
	if (work->outcome->status != DSA_STATUS_OK)
		return;
	pthread_mutex_lock(&channel->in_use);
	ret = channel->ops->run(channel, work->live, &descriptor, &record);
	pthread_mutex_unlock(&channel->in_use);
	if (ret || !(record.status & ~DSA_STATUS_WRITE))
		gone(work);
	else
		take_record(work, &channel->reach, &record);
}

/* --- batches --------------------------------------------------------------------------------- */

static enum dsa_step read_list(struct dsa_work *work, uint64_t budget)
{
	struct dsa_batch *batch = work->batch;
	uint64_t size = sizeof(batch->list[0]);
	uint32_t n = MIN(DSA_LIST, work->job->descriptor.size - batch->next);

	batch->loaded = batch->used = 0;
	if (dsa_read(work, 0, batch->next * size, batch->list, n * size))
		batch->loaded = n;
	else
		work->outcome->status =
			DSA_STATUS_BATCH_FAULT | (work->outcome->status & DSA_STATUS_WRITE);
	return DSA_STEP_DONE;
}

/* False: the batch ends here. */
static bool run_member(struct dsa_work *work, struct dsa_channel *channel)
{
	struct dsa_batch *batch = work->batch;

	batch->member.descriptor = batch->list[batch->used++];
	if (batch->failed && batch->member.descriptor.flags & DSA_FLAG_FENCE)
		return false;
	batch->member.batch_index = (uint16_t)batch->next;
	dsa_work_begin(&batch->work, work->dsa, work->dma, &batch->member, &batch->outcome, NULL);
	if (batch->work.operation)
		run_on_device(&batch->work, channel);
	dsa_report(work->dsa, work->dma, &batch->member, &batch->outcome, &work->outcome->vectors);
	work->outcome->moved += batch->outcome.moved;
	work->outcome->blocked = batch->outcome.blocked;
	if (!batch->outcome.status || batch->outcome.blocked) {
		work->outcome->status = batch->outcome.status;
		return false;
	}
	batch->failed |= batch->outcome.status != DSA_STATUS_OK;
	batch->next++;
	return true;
}

static void run_batch(struct dsa_work *work, struct dsa_channel *channel)
{
	struct dsa_batch *batch = work->batch;
	bool more = true;

	work->outcome->status = DSA_STATUS_OK;
	while (more && batch->next < work->job->descriptor.size) {
		if (batch->used == batch->loaded)
			(void)dsa_work_guarded(work, read_list, 0);
		more = batch->used < batch->loaded && run_member(work, channel);
	}
	work->outcome->bytes = batch->next;
	if (batch->failed && work->outcome->status == DSA_STATUS_OK)
		work->outcome->status = DSA_STATUS_BATCH_FAILED;
}

/* --- engines --------------------------------------------------------------------------------- */

/* The device's own drain would be about all tenants of its queue. */
static void run_drain(struct dsa_work *work)
{
	struct dsa *dsa = work->dsa;
	struct hardware *hardware;

	pthread_mutex_lock(&dsa->lock);
	hardware = dsa->backend_state;
	while (!dsa_job_is_oldest(dsa, work->job) && !dsa_flagged(&work->job->abandon))
		pthread_cond_wait(&hardware->threads.work, &dsa->lock);
	pthread_mutex_unlock(&dsa->lock);
	work->outcome->status = dsa_flagged(&work->job->abandon) ? 0 : DSA_STATUS_OK;
}

static void carry_out(struct engine *engine, struct dsa_job *job)
{
	struct dsa_channel *channel = channel_of(engine->thread.dsa, job->host);
	struct dsa_work *work = &engine->work;

	dsa_work_begin(work, engine->thread.dsa, engine->thread.dma, job, &engine->outcome,
		       &engine->batch);
	if (!work->operation)
		return;
	switch (dsa_opcode(&job->descriptor)) {
	case DSA_OP_BATCH:
		run_batch(work, channel);
		break;
	case DSA_OP_DRAIN:
		run_drain(work);
		break;
	default:
		run_on_device(work, channel);
	}
}

static void *engine_main(void *arg)
{
	struct engine *engine = arg;
	struct dsa *dsa = engine->thread.dsa;
	struct hardware *hardware;
	struct dsa_job *job;

	pthread_setname_np(pthread_self(), "dsa-engine");
	sandbox_enter(dsa->sandbox, dsa->host.port ? SANDBOX_FUNCTION : SANDBOX_ENGINE);
	pthread_mutex_lock(&dsa->lock);
	hardware = dsa->backend_state;
	while (!hardware->threads.quit) {
		job = dsa_job_take(dsa, engine->thread.index);
		if (!job) {
			pthread_cond_wait(&hardware->threads.work, &dsa->lock);
			continue;
		}
		pthread_mutex_unlock(&dsa->lock);
		carry_out(engine, job);
		dsa_report_end(dsa, engine->thread.dma, job, &engine->outcome);
		pthread_mutex_lock(&dsa->lock);
		dsa_job_done(dsa, job, &engine->outcome);
		pthread_cond_broadcast(&hardware->threads.work); /* for drains */
	}
	pthread_mutex_unlock(&dsa->lock);
	return NULL;
}

static int hardware_start(struct dsa *dsa)
{
	if (!dsa->backend_state)
		dsa->backend_state =
			dsa_threads_new(dsa, sizeof(struct hardware),
					offsetof(struct hardware, engine), sizeof(struct engine));
	return dsa_threads_start(dsa, engine_main);
}

/* What the soft engine does, which makes the checks; no page is ever waited for. */
#define HARDWARE                                                                         \
	.gencap = DSA_GENCAP_OVERLAP | DSA_GENCAP_CACHE_MEMORY | DSA_GENCAP_CACHE_CACHE, \
	.max_batch_shift = MAX_BATCH_SHIFT, .opcap = dsa_opcap, .start = hardware_start, \
	.kick = dsa_threads_kick, .stop = dsa_threads_stop, .bind = hardware_bind,       \
	.block = hardware_block, .unbind = hardware_unbind

const struct dsa_backend_ops dsa_idxd_backend = {
	.name = "idxd",
	.channel = &dsa_idxd_channel,
	HARDWARE,
};
const struct dsa_backend_ops dsa_vfio_backend = {
	.name = "vfio",
	.channel = &dsa_vfio_channel,
	HARDWARE,
};
