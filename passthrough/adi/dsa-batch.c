/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch and drain: the descriptors that are about other descriptors.
 *
 * A batch's list is copied to the engine in parts, and each descriptor is carried out from the copy
 * as a job of its own, one after the other. Reporting one may take locks, which is done between
 * sections; most need no more than their record, which is written in the section at hand: that is
 * what makes a small descriptor of a batch cheap.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 3.8 (batches, fence), 8.3.2
 * and 8.3.3. As remembered: a batch or a drain within a batch is an unsupported operation; a fence
 * ends the batch where a descriptor before it did not end with status success, a false predicate
 * included; descriptors completed counts those that were processed, however they ended.
 */
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

#define MEMBER_COST 256u /* bytes of work that beginning one is counted as */

enum {
	LIST,
	RECORD = DSA_OPERANDS - 1
};

/* What a descriptor of the batch has of it; its marks are looked at where they are set. */
static struct dsa_job member_of(const struct dsa_job *job)
{
	return (struct dsa_job){
		.host = job->host,
		.guest = job->guest,
		.guest_pasid = job->guest_pasid,
		.wq = job->wq,
		.max_xfer_shift = job->max_xfer_shift,
		.block_on_fault = job->block_on_fault,
		.sequence = job->sequence,
		.batch = job,
	};
}

static uint8_t begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;
	struct dsa_batch *batch = work->batch;

	dsa_operand_set(work, LIST, d->source, (uint64_t)d->size * sizeof(*d), IOASID_READ);
	batch->next = batch->loaded = batch->used = 0;
	batch->active = batch->failed = false;
	batch->member = member_of(work->job);
	if (d->size < 2 || d->size > BIT_U64(work->job->max_batch_shift))
		return DSA_STATUS_BATCH_SIZE;
	if (d->source % DSA_BATCH_ALIGN)
		return DSA_STATUS_BATCH_ALIGN;
	if (!range_wraps(d->source, work->operand[LIST].size))
		return DSA_STATUS_OK;
	work->outcome->fault = d->source;
	return DSA_STATUS_BATCH_FAULT;
}

/*
 * The submitter's CPU has the list in its caches: the next part is on its way here while this one
 * is carried out. Where memory does not go on like that, it is a prefetch of something else.
 */
static void prefetch(const struct dsa_operand *list, uint64_t offset)
{
	uint64_t end = MIN(list->size, offset + DSA_LIST * sizeof(struct dsa_descriptor));
	const char *base = list->host + (list->address - list->near);

	for (; offset < end; offset += sizeof(struct dsa_descriptor))
		__builtin_prefetch(base + offset);
}

/* The next part of the list. False: a fault, and nothing of that part is begun. */
static bool load(struct dsa_work *work)
{
	struct dsa_batch *batch = work->batch;
	uint32_t n = MIN(DSA_LIST, work->job->descriptor.size - batch->next);
	uint64_t size = sizeof(batch->list[0]);

	if (!dsa_read(work, LIST, batch->next * size, batch->list, n * size)) {
		work->outcome->status =
			DSA_STATUS_BATCH_FAULT | (work->outcome->status & DSA_STATUS_WRITE);
		return false;
	}
	prefetch(&work->operand[LIST], (batch->next + n) * size);
	batch->loaded = n;
	batch->used = 0;
	return true;
}

/* False: the batch ends here. */
static bool begin_member(struct dsa_work *work)
{
	struct dsa_batch *batch = work->batch;

	if (batch->next == work->job->descriptor.size)
		return false;
	if (batch->used == batch->loaded && !load(work))
		return false;
	batch->member.descriptor = batch->list[batch->used];
	if (batch->failed && batch->member.descriptor.flags & DSA_FLAG_FENCE)
		return false;
	batch->member.batch_index = (uint16_t)batch->next;
	dsa_work_begin(&batch->work, work->dsa, work->dma, &batch->member, &batch->outcome, NULL);
	batch->used++;
	batch->active = true;
	return true;
}

static void end_member(struct dsa_work *work)
{
	struct dsa_batch *batch = work->batch;

	batch->next++;
	batch->active = false;
	batch->failed |= batch->outcome.status != DSA_STATUS_OK;
	work->outcome->moved += batch->outcome.moved;
}

/* All that there is to report is a record, and it could be written. */
static bool report_here(struct dsa_work *work)
{
	struct dsa_work *member = &work->batch->work;
	const struct dsa_descriptor *d = &work->batch->member.descriptor;
	uint64_t len = sizeof(struct dsa_record);
	char *at;

	if (member->outcome->status != DSA_STATUS_OK || d->flags & DSA_FLAG_INTERRUPT)
		return false;
	if (!(d->flags & DSA_FLAG_RECORD))
		return true;
	if (!pci_function_bus_master(work->dsa->function) || dsa_flagged(&work->live->forgotten))
		return false;
	dsa_operand_set(member, RECORD, d->record, len, IOASID_WRITE);
	at = ioasid_translate(work->dma, work->dsa->device, work->job->host, d->record, &len,
			      IOASID_WRITE);
	if (!at || len != sizeof(struct dsa_record))
		return false;
	member->operand[RECORD].near = d->record;
	member->operand[RECORD].host = at;
	member->operand[RECORD].host_len = len;
	dsa_record_store(at, member->outcome);
	return true;
}

/* One descriptor, as far as it goes. DSA_STEP_DONE: the batch ends. */
static enum dsa_step one_member(struct dsa_work *work, uint64_t budget)
{
	struct dsa_work *member = &work->batch->work;
	enum dsa_step step = DSA_STEP_DONE;
	uint64_t before;

	if (!work->batch->active && !begin_member(work))
		return DSA_STEP_DONE;
	before = member->done;
	if (member->operation)
		step = dsa_work_advance(member, budget);
	work->done += member->done - before + MEMBER_COST;
	if (step != DSA_STEP_DONE)
		return step;
	if (!report_here(work))
		return DSA_STEP_REPORT;
	end_member(work);
	return DSA_STEP_MORE;
}

/* As many as the budget has room for, in one section. work->done is what they cost. */
static enum dsa_step members(struct dsa_work *work, uint64_t budget)
{
	uint64_t end = work->done + budget;
	enum dsa_step step = DSA_STEP_MORE;

	while (step == DSA_STEP_MORE && work->done < end)
		step = one_member(work, end - work->done);
	return step;
}

/* False: the batch must not go on, for its descriptors were told to stop. */
static bool report_member(struct dsa_work *work)
{
	struct dsa_batch *batch = work->batch;

	dsa_report(work->dsa, work->dma, &batch->member, &batch->outcome, &work->outcome->vectors);
	if (!batch->outcome.status || batch->outcome.blocked) {
		work->outcome->status = batch->outcome.status;
		work->outcome->blocked = batch->outcome.blocked;
		work->outcome->moved += batch->outcome.moved;
		return false;
	}
	end_member(work);
	return true;
}

static enum dsa_step batch_step(struct dsa_work *work, uint64_t budget)
{
	enum dsa_step step = dsa_work_guarded(work, members, budget);

	if (step == DSA_STEP_REPORT)
		return report_member(work) ? DSA_STEP_MORE : DSA_STEP_DONE;
	if (step != DSA_STEP_DONE)
		return step;
	if (work->faulted)
		return dsa_work_ends(work, DSA_STATUS_BATCH_FAULT);
	return dsa_work_ends(work, work->batch->failed ? DSA_STATUS_BATCH_FAILED : DSA_STATUS_OK);
}

static void batch_finish(struct dsa_work *work)
{
	if (work->batch->active)
		dsa_work_forget_request(&work->batch->work);
	work->outcome->bytes = work->batch->next;
}

const struct dsa_operation dsa_op_batch = {
	.begin = begin,
	.step = batch_step,
	.finish = batch_finish,
	.flags = DSA_FLAGS_ALL,
	.fields = DSA_USES_SOURCE | DSA_USES_COUNT,
	.own_sections = true,
};

/* --- drain: waits for what its queue accepted before it -------------------------------------- */

static enum dsa_step drain_step(struct dsa_work *work, uint64_t budget)
{
	bool oldest;

	pthread_mutex_lock(&work->dsa->lock);
	oldest = dsa_job_is_oldest(work->dsa, work->job);
	pthread_mutex_unlock(&work->dsa->lock);
	return oldest ? dsa_work_ends(work, DSA_STATUS_OK) : DSA_STEP_WAIT;
}

const struct dsa_operation dsa_op_drain = {
	.step = drain_step,
	.flags = DSA_FLAGS_ALL | DSA_DRAIN_NO_READ_BACK,
	.own_sections = true,
};
