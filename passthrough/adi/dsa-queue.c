/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: which descriptors become one, and the account of every job from its queue to its end. It
 * is one file because drain, abort and revocation are true only if every place that moves a job
 * agrees with them.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapter 3 (work queues). That a
 * dedicated queue takes PASID and privilege from WQCFG and ignores the descriptor's own is section
 * 3.2 as remembered, as is that it drops what does not fit. Which SWERR code then goes with it is
 * our choice: 20h for a full queue, 1ah (record address) for a PASID that was refused. The
 * privilege bit of a shared queue's descriptors is cleared: no work runs as supervisor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"

int dsa_jobs_create(struct dsa *dsa, struct err *err)
{
	for (unsigned int i = 0; i < DSA_MAX_WQS; i++)
		TAILQ_INIT(&dsa->wq[i].jobs);
	TAILQ_INIT(&dsa->free_jobs);
	/* Full queues, and every engine may hold one descriptor of each. */
	dsa->n_jobs = dsa->total_size + dsa->engines * dsa->wqs;
	dsa->job = calloc(dsa->n_jobs, sizeof(*dsa->job));
	if (!dsa->job)
		return err_set(err, ENOMEM, "%s: no memory for %u descriptors", dsa->id,
			       dsa->n_jobs);
	for (unsigned int i = 0; i < dsa->n_jobs; i++)
		TAILQ_INSERT_TAIL(&dsa->free_jobs, &dsa->job[i], link);
	return 0;
}

void dsa_jobs_destroy(struct dsa *dsa)
{
	free(dsa->job);
}

/* --- submission ------------------------------------------------------------------------------ */

static const char *const refusals[PASID_VERDICTS] = {
	[PASID_REFUSE_KEY] = "this ADI may not use PASIDs",
	[PASID_REFUSE_WIDTH] = "it is not in the ADI's range",
	[PASID_REFUSE_UNBOUND] = "it is bound to nothing",
};

static void judge_pasid(struct dsa *dsa, struct dsa_job *job, uint32_t mode)
{
	bool shared = !(mode & DSA_WQCFG_DEDICATED);

	job->guest = shared ? job->descriptor.pasid : mode >> DSA_WQCFG_PASID_SHIFT;
	job->guest &= DSA_DESCRIPTOR_PASID;
	job->host = pasid_table_lookup(dsa->table, job->guest);
}

/* The queue's own default binding, else the one for all. */
static uint32_t fallback(const struct dsa *dsa, unsigned int wq)
{
	return dsa->fallback[wq] ? dsa->fallback[wq] : dsa->fallback[DSA_ALL_WQS];
}

/*
 * With the lock held. Fills what the queue decides. A descriptor without a PASID is let through to
 * all guest memory only where the ADI may not use PASIDs at all and never had a default binding.
 */
static enum pasid_verdict judge(struct dsa *dsa, unsigned int wq, struct dsa_job *job)
{
	uint32_t mode = dsa->wq[wq].config[DSA_WQCFG_MODE];
	uint32_t limits = dsa->wq[wq].config[DSA_WQCFG_LIMITS];
	enum pasid_verdict verdict;

	job->wq = (uint8_t)wq;
	job->max_xfer_shift = limits & 0x1f;
	job->max_batch_shift = limits >> DSA_WQCFG_BATCH_SHIFT & 0xf;
	job->block_on_fault = mode & DSA_WQCFG_BLOCK_ON_FAULT;
	job->guest_pasid = mode & DSA_WQCFG_PASID_ENABLE;
	if (job->guest_pasid) {
		judge_pasid(dsa, job, mode);
		job->descriptor.pasid = job->guest;
		return pasid_gate_pass(&dsa->gate, job->guest, job->host);
	}
	job->descriptor.pasid = 0;
	job->host = fallback(dsa, wq);
	verdict = job->host || dsa->open ? PASID_ADMIT : PASID_REFUSE_UNBOUND;
	dsa_count(&dsa->gate.count[verdict], 1);
	return verdict;
}

/* With the lock held. */
static bool has_room(const struct dsa *dsa, unsigned int wq, enum dsa_way way)
{
	const uint32_t *config = dsa->wq[wq].config;
	unsigned int word = way == DSA_LIMITED ? DSA_WQCFG_THRESHOLD : DSA_WQCFG_ENTRIES;

	return dsa->wq[wq].queued < (config[word] & 0xffff) &&
	       dsa->wq[wq].queued < (config[DSA_WQCFG_ENTRIES] & 0xffff) &&
	       !TAILQ_EMPTY(&dsa->free_jobs);
}

/* With the lock held. */
static void enqueue(struct dsa *dsa, const struct dsa_job *accepted)
{
	struct dsa_wq *wq = &dsa->wq[accepted->wq];
	struct dsa_job *job = TAILQ_FIRST(&dsa->free_jobs);

	TAILQ_REMOVE(&dsa->free_jobs, job, link);
	*job = *accepted;
	job->state = DSA_JOB_QUEUED;
	job->sequence = ++dsa->sequence;
	TAILQ_INSERT_TAIL(&wq->jobs, job, link);
	wq->queued++;
	dsa_count(&dsa->counters.accepted, 1);
	if (accepted->guest_pasid)
		pasid_table_used(dsa->table, accepted->guest);
	else
		dsa_count(&dsa->counters.without_pasid, 1);
	dsa->backend->kick(dsa);
}

bool dsa_job_restore(struct dsa *dsa, const struct dsa_job *saved)
{
	struct dsa_job job = *saved;
	enum pasid_verdict verdict = PASID_ADMIT;

	if (job.guest_pasid) {
		job.host = pasid_table_lookup(dsa->table, job.guest);
		verdict = pasid_gate_pass(&dsa->gate, job.guest, job.host);
		job.descriptor.pasid = job.guest;
	} else {
		job.host = fallback(dsa, job.wq);
		verdict = job.host || dsa->open ? PASID_ADMIT : PASID_REFUSE_UNBOUND;
		job.descriptor.pasid = 0;
	}
	if (verdict != PASID_ADMIT || TAILQ_EMPTY(&dsa->free_jobs) ||
	    dsa->wq[job.wq].queued >= (dsa->wq[job.wq].config[DSA_WQCFG_ENTRIES] & 0xffff))
		return false;
	enqueue(dsa, &job);
	dsa->command.waited += job.waited;
	return true;
}

/* With the lock held. A queue takes what comes in its own way only, and what is refused takes no
 * place in it. */
static int submit(struct dsa *dsa, unsigned int wq, enum dsa_way way, struct dsa_job *job,
		  enum pasid_verdict *verdict)
{
	if (!dsa->wq[wq].enabled || dsa_wq_shared(dsa, wq) != (way != DSA_POSTED))
		return -EAGAIN;
	if (way != DSA_POSTED && !has_room(dsa, wq, way))
		return -EAGAIN;
	*verdict = judge(dsa, wq, job);
	if (*verdict != PASID_ADMIT) {
		dsa_swerr(dsa, job, DSA_STATUS_RECORD_FAULT, job->descriptor.record, 0);
		return -EACCES;
	}
	if (!has_room(dsa, wq, way)) {
		dsa_swerr(dsa, job, DSA_STATUS_HARDWARE, 0, 0);
		return -EAGAIN;
	}
	enqueue(dsa, job);
	return 0;
}

int dsa_submit(struct dsa *dsa, unsigned int wq, enum dsa_way way, const void *bytes)
{
	enum pasid_verdict verdict = PASID_ADMIT;
	struct dsa_job job = { 0 };
	int ret;

	memcpy(&job.descriptor, bytes, sizeof(job.descriptor));
	pthread_mutex_lock(&dsa->lock);
	ret = submit(dsa, wq, way, &job, &verdict);
	pthread_mutex_unlock(&dsa->lock);
	if (verdict != PASID_ADMIT)
		ioasid_fault_note(dsa->device, job.guest, job.descriptor.record, IOASID_WRITE);
	if (verdict != PASID_ADMIT)
		log_limited(dsa->log, &dsa->limit, LOG_WARN, "dsa",
			    "%s: work queue %u: descriptor with guest PASID %u%s refused: %s",
			    dsa->id, wq, job.guest, job.guest_pasid ? "" : " (none)",
			    refusals[verdict]);
	else if (ret)
		dsa_count(way == DSA_POSTED ? &dsa->counters.dropped : &dsa->counters.retried, 1);
	return ret;
}

/* --- the account: all with the lock held, but for the last ----------------------------------- */

struct dsa_job *dsa_job_take_from(struct dsa *dsa, unsigned int wq)
{
	struct dsa_job *job = dsa->resting ? NULL : TAILQ_FIRST(&dsa->wq[wq].jobs);

	if (!job)
		return NULL;
	TAILQ_REMOVE(&dsa->wq[wq].jobs, job, link);
	dsa->wq[wq].queued--;
	dsa->running++;
	job->state = DSA_JOB_RUNNING;
	return job;
}

struct dsa_job *dsa_job_take(struct dsa *dsa, unsigned int engine)
{
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		unsigned int n = (dsa->engine_next[engine] + i) % dsa->wqs;
		struct dsa_job *job =
			dsa->engine_wqs[engine] & 1u << n ? dsa_job_take_from(dsa, n) : NULL;

		if (!job)
			continue;
		dsa->engine_next[engine] = n + 1;
		return job;
	}
	return NULL;
}

void dsa_job_wait(struct dsa *dsa, struct dsa_job *job)
{
	job->state = DSA_JOB_WAITING;
	dsa->running--;
	dsa->waiting++;
	pthread_cond_broadcast(&dsa->rest);
}

/*
 * While the engines rest, only what will touch nothing any more goes on, to its end; or all that
 * was begun does.
 */
bool dsa_job_resume(struct dsa *dsa, struct dsa_job *job)
{
	if (dsa->resting && !dsa->finishing && !job->abandon && !job->forgotten)
		return false;
	job->state = DSA_JOB_RUNNING;
	dsa->running++;
	dsa->waiting--;
	return true;
}

bool dsa_job_is_oldest(const struct dsa *dsa, const struct dsa_job *job)
{
	for (unsigned int i = 0; i < dsa->n_jobs; i++) {
		const struct dsa_job *other = &dsa->job[i];

		if (other->state != DSA_JOB_FREE && other->wq == job->wq &&
		    other->sequence < job->sequence)
			return false;
	}
	return true;
}

static void release(struct dsa *dsa, struct dsa_job *job)
{
	bool waited = job->waited;

	job->state = DSA_JOB_FREE;
	job->waited = false;
	TAILQ_INSERT_HEAD(&dsa->free_jobs, job, link);
	pthread_cond_broadcast(&dsa->rest);
	if (waited) {
		dsa->command.waited--;
		dsa_command_progress(dsa);
	}
}

void dsa_job_done(struct dsa *dsa, struct dsa_job *job, const struct dsa_outcome *outcome)
{
	if (!outcome->status)
		dsa_count(&dsa->counters.aborted, 1);
	else if (outcome->status == DSA_STATUS_OK || outcome->status == DSA_STATUS_FALSE)
		dsa_count(&dsa->counters.completed, 1);
	else
		dsa_count(&dsa->counters.failed, 1);
	dsa_count(&dsa->counters.bytes, outcome->moved);
	dsa->running--;
	release(dsa, job);
}

void dsa_note_fault(struct dsa *dsa, const struct dsa_job *job, const struct dsa_outcome *outcome)
{
	if ((outcome->status & ~DSA_STATUS_WRITE) != DSA_STATUS_PAGE_FAULT)
		return;
	dsa_count(&dsa->counters.faults, 1);
	log_limited(dsa->log, &dsa->limit, LOG_WARN, "dsa",
		    "%s: work queue %u: fault: %s %#llx, guest PASID %u%s, host PASID %u", dsa->id,
		    job->wq, outcome->status & DSA_STATUS_WRITE ? "write to" : "read of",
		    (unsigned long long)outcome->fault, job->guest,
		    job->guest_pasid ? "" : " (none)", job->host);
}

static void wait_for(struct dsa *dsa, struct dsa_job *job)
{
	if (!job->waited)
		dsa->command.waited++;
	job->waited = true;
}

void dsa_jobs_wait(struct dsa *dsa, dsa_job_match *match, uint32_t arg)
{
	for (unsigned int i = 0; i < dsa->n_jobs; i++) {
		struct dsa_job *job = &dsa->job[i];

		if (job->state != DSA_JOB_FREE && match(job, arg))
			wait_for(dsa, job);
	}
}

static void drop(struct dsa *dsa, struct dsa_job *job)
{
	struct dsa_wq *wq = &dsa->wq[job->wq];

	TAILQ_REMOVE(&wq->jobs, job, link);
	wq->queued--;
	dsa_count(&dsa->counters.aborted, 1);
	release(dsa, job);
}

/* False: it is at work, and was told to stop. */
static bool end(struct dsa *dsa, struct dsa_job *job)
{
	if (job->state == DSA_JOB_QUEUED) {
		drop(dsa, job);
		return true;
	}
	__atomic_store_n(&job->abandon, true, __ATOMIC_RELAXED);
	return false;
}

void dsa_jobs_abort(struct dsa *dsa, dsa_job_match *match, uint32_t arg)
{
	for (unsigned int i = 0; i < dsa->n_jobs; i++) {
		struct dsa_job *job = &dsa->job[i];

		if (job->state != DSA_JOB_FREE && match(job, arg) && !end(dsa, job))
			wait_for(dsa, job);
	}
	dsa->backend->kick(dsa);
}

void dsa_jobs_abandon(struct dsa *dsa)
{
	for (unsigned int i = 0; i < dsa->n_jobs; i++) {
		if (dsa->job[i].state != DSA_JOB_FREE)
			(void)end(dsa, &dsa->job[i]);
	}
	dsa->backend->kick(dsa);
}

/* Marks the jobs of a host PASID; false where none is left that could reach anything. */
static bool revoke(struct dsa *dsa, uint32_t host)
{
	bool left = false;

	for (unsigned int i = 0; i < dsa->n_jobs; i++) {
		struct dsa_job *job = &dsa->job[i];

		if (job->state == DSA_JOB_FREE || job->host != host)
			continue;
		__atomic_store_n(&job->revoked, true, __ATOMIC_RELAXED);
		/* No engine would come to it before the PASID is gone. */
		if (job->state != DSA_JOB_RUNNING && dsa->resting)
			__atomic_store_n(&job->forgotten, true, __ATOMIC_RELAXED);
		left |= !job->forgotten;
	}
	dsa->backend->kick(dsa);
	return left;
}

void dsa_jobs_mark(struct dsa *dsa, uint32_t host)
{
	pthread_mutex_lock(&dsa->lock);
	(void)revoke(dsa, host);
	pthread_mutex_unlock(&dsa->lock);
}

void dsa_jobs_revoke(struct dsa *dsa, uint32_t host)
{
	pthread_mutex_lock(&dsa->lock);
	while (revoke(dsa, host))
		pthread_cond_wait(&dsa->rest, &dsa->lock);
	pthread_mutex_unlock(&dsa->lock);
}
