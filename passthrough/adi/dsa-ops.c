/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out a descriptor: the table of operations, the checks that all share, and the frame
 * around every step. Every access to memory goes through dsa_reach, in a section that ends after
 * about DSA_SECTION_BYTES. Guest memory is written by others all the while: nothing read from it is
 * believed.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapters 5 and 8. In which order the
 * checks are made when a descriptor has several mistakes is our choice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"
#include "util/sigbus.h"

static enum dsa_step noop_step(struct dsa_work *work, uint64_t budget)
{
	return dsa_work_ends(work, DSA_STATUS_OK);
}

static const struct dsa_operation dsa_op_noop = {
	.step = noop_step,
	.flags = DSA_FLAGS_ALL,
};

static const struct dsa_operation *const operations[DSA_OPS] = {
	[DSA_OP_NOOP] = &dsa_op_noop,
	[DSA_OP_BATCH] = &dsa_op_batch,
	[DSA_OP_DRAIN] = &dsa_op_drain,
	[DSA_OP_MEMMOVE] = &dsa_op_memmove,
	[DSA_OP_FILL] = &dsa_op_fill,
	[DSA_OP_COMPARE] = &dsa_op_compare,
	[DSA_OP_COMPARE_PATTERN] = &dsa_op_compare_pattern,
	[DSA_OP_DELTA_CREATE] = &dsa_op_delta_create,
	[DSA_OP_DELTA_APPLY] = &dsa_op_delta_apply,
	[DSA_OP_DUALCAST] = &dsa_op_dualcast,
	[DSA_OP_CRC] = &dsa_op_crc,
	[DSA_OP_COPY_CRC] = &dsa_op_copy_crc,
	[DSA_OP_DIF_CHECK] = &dsa_op_dif_check,
	[DSA_OP_DIF_INSERT] = &dsa_op_dif_insert,
	[DSA_OP_DIF_STRIP] = &dsa_op_dif_strip,
	[DSA_OP_DIF_UPDATE] = &dsa_op_dif_update,
	[DSA_OP_CACHE_FLUSH] = &dsa_op_flush,
};

uint64_t dsa_opcap(unsigned int word)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(operations); i++) {
		if (operations[i] && i / 64 == word)
			bits |= BIT_U64(i % 64);
	}
	return bits;
}

/* --- operands -------------------------------------------------------------------------------- */

void dsa_operand_set(struct dsa_work *work, unsigned int i, uint64_t address, uint64_t size,
		     unsigned int rights)
{
	work->operand[i] =
		(struct dsa_operand){ .address = address, .size = size, .rights = rights };
	work->operands |= 1u << i;
}

static void fault(struct dsa_work *work, uint64_t address, unsigned int rights, uint8_t status)
{
	work->faulted = true;
	work->outcome->status = status | (rights & IOASID_WRITE ? DSA_STATUS_WRITE : 0);
	work->outcome->fault = address;
}

void dsa_work_forget_request(struct dsa_work *work)
{
	if (work->blocked.request)
		ioasid_dma_drop(work->dma, work->blocked.request);
	work->blocked.request = 0;
}

/* Whether to ask for a page that is not there is the descriptor's to say. */
static char *translate(struct dsa_work *work, uint64_t address, uint64_t *len, unsigned int rights)
{
	bool asks = work->job->descriptor.flags & DSA_FLAG_BLOCK_ON_FAULT;
	char *at = ioasid_translate(work->dma, work->dsa->device, work->job->host, address, len,
				    asks ? rights | IOASID_PAGE_REQUEST : rights);

	if (!at && asks) {
		dsa_work_forget_request(work);
		work->blocked.request = ioasid_dma_request(work->dma);
	}
	return at;
}

char *dsa_reach(struct dsa_work *work, unsigned int i, uint64_t offset, uint64_t *len)
{
	struct dsa_operand *operand = &work->operand[i];
	uint64_t address = operand->address + offset;
	char *at = NULL;

	if (!dsa_flagged(&work->live->revoked) && !dsa_flagged(&work->live->forgotten))
		at = translate(work, address, len, operand->rights);
	if (at && *len) {
		operand->near = address;
		operand->host = at;
		operand->host_len = *len;
		return at;
	}
	fault(work, address, operand->rights, DSA_STATUS_PAGE_FAULT);
	return NULL;
}

uint64_t dsa_reach_all(struct dsa_work *work, unsigned int n, uint64_t offset, uint64_t len,
		       char *at[])
{
	for (unsigned int i = 0; i < n; i++) {
		at[i] = dsa_reach(work, i, offset, &len);
		if (!at[i])
			return 0;
	}
	return len;
}

bool dsa_read(struct dsa_work *work, unsigned int i, uint64_t offset, void *to, uint64_t len)
{
	while (len) {
		uint64_t n = len;
		const char *from = dsa_reach(work, i, offset, &n);

		if (!from)
			return false;
		dsa_copy(to, from, n);
		to = (char *)to + n;
		offset += n;
		len -= n;
	}
	return true;
}

bool dsa_write(struct dsa_work *work, unsigned int i, uint64_t offset, const void *from,
	       uint64_t len)
{
	while (len) {
		uint64_t n = len;
		char *to = dsa_reach(work, i, offset, &n);

		if (!to)
			return false;
		dsa_copy(to, from, n);
		from = (const char *)from + n;
		offset += n;
		len -= n;
	}
	return true;
}

bool dsa_overlap(const struct dsa_work *work, unsigned int a, unsigned int b)
{
	const struct dsa_operand *x = &work->operand[a], *y = &work->operand[b];

	return range_overlaps(x->address, x->size, y->address, y->size);
}

enum dsa_step dsa_work_results(struct dsa_work *work, uint8_t result, bool expected)
{
	bool checked = work->job->descriptor.flags & DSA_FLAG_CHECK_RESULT;

	work->outcome->result = result;
	return dsa_work_ends(work, checked && !expected ? DSA_STATUS_FALSE : DSA_STATUS_OK);
}

/* --- the checks before ----------------------------------------------------------------------- */

static uint32_t bad_flags(const struct dsa_work *work)
{
	uint32_t flags = work->job->descriptor.flags & DSA_FLAGS_MASK;
	uint32_t bad = flags & ~work->operation->flags;

	/* A record cannot be asked for without saying where to. */
	if (flags & DSA_FLAG_RECORD && !(flags & DSA_FLAG_RECORD_VALID))
		bad |= DSA_FLAG_RECORD;
	if (flags & DSA_FLAG_BLOCK_ON_FAULT && !work->job->block_on_fault)
		bad |= DSA_FLAG_BLOCK_ON_FAULT;
	return bad;
}

static bool reserved_set(const struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;
	const struct dsa_operation *op = work->operation;
	uint64_t words[3], seen = 0;
	uint16_t word;

	memcpy(&word, d->reserved_word, sizeof(word));
	memcpy(words, d->reserved, sizeof(words));
	if (!op->specific_bytes)
		seen = words[0] | words[1] | words[2];
	for (unsigned int i = op->specific_bytes; i && i < sizeof(d->reserved); i = (i + 8) & ~7u)
		seen |= words[i / 8] >> i % 8 * 8;
	if (!(op->fields & DSA_USES_SOURCE))
		seen |= d->source;
	if (!(op->fields & DSA_USES_DESTINATION))
		seen |= d->destination;
	if (!(op->fields & (DSA_USES_SIZE | DSA_USES_COUNT)))
		seen |= d->size;
	return seen | word;
}

static uint8_t check(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	work->outcome->invalid_flags = bad_flags(work);
	if (work->outcome->invalid_flags)
		return DSA_STATUS_FLAGS;
	if (reserved_set(work))
		return DSA_STATUS_RESERVED;
	if (d->flags & DSA_FLAG_INTERRUPT && !dsa_vector_allowed(work->dsa, work->job))
		return DSA_STATUS_INTERRUPT;
	if (work->operation->fields & DSA_USES_SIZE &&
	    (!d->size || d->size > BIT_U64(work->job->max_xfer_shift)))
		return DSA_STATUS_SIZE;
	return work->operation->begin ? work->operation->begin(work) : DSA_STATUS_OK;
}

/* What goes on past 2^64 faults before anything is touched. False: so it is. */
static bool operands_end(struct dsa_work *work)
{
	for (unsigned int i = 0; i < DSA_OPERANDS; i++) {
		struct dsa_operand *operand = &work->operand[i];

		if (work->operands & 1u << i && range_wraps(operand->address, operand->size)) {
			fault(work, operand->address, operand->rights, DSA_STATUS_PAGE_FAULT);
			return false;
		}
	}
	return true;
}

/* True where the job goes no further. */
static bool must_stop(struct dsa_work *work)
{
	if (dsa_flagged(&work->live->abandon)) {
		work->outcome->status = 0;
		return true;
	}
	if (pci_function_bus_master(work->dsa->function))
		return false;
	work->outcome->status = DSA_STATUS_HARDWARE;
	work->outcome->blocked = true;
	return true;
}

static uint8_t begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;
	uint32_t opcode = dsa_opcode(d);
	uint8_t status;

	if (d->flags & DSA_FLAG_RECORD_VALID && !is_aligned(d->record, DSA_RECORD_ALIGN))
		return DSA_STATUS_RECORD_ALIGN;
	if (opcode >= ARRAY_SIZE(operations) || !operations[opcode])
		return DSA_STATUS_OPCODE;
	if (work->job->batch && (opcode == DSA_OP_BATCH || opcode == DSA_OP_DRAIN))
		return DSA_STATUS_OPCODE;
	work->operation = operations[opcode];
	status = check(work);
	if (status == DSA_STATUS_OK && !operands_end(work))
		status = work->outcome->status;
	return status;
}

void dsa_work_begin(struct dsa_work *work, struct dsa *dsa, struct ioasid_dma *dma,
		    const struct dsa_job *job, struct dsa_outcome *outcome, struct dsa_batch *batch)
{
	uint8_t status;

	/* By name: one memset of it all would be `rep stos`, which costs as much as the checks. */
	work->dsa = dsa;
	work->dma = dma;
	work->job = job;
	work->live = job->batch ? job->batch : job;
	work->outcome = outcome;
	work->operation = NULL;
	work->batch = batch;
	work->done = 0;
	work->faulted = false;
	work->operands = 0;
	work->blocked.status = 0;
	work->blocked.refused = false;
	work->blocked.request = 0;
	memset(&work->state, 0, sizeof(work->state));
	*outcome = (struct dsa_outcome){ 0 };
	if (must_stop(work))
		return;
	status = begin(work);
	if (status == DSA_STATUS_OK)
		return;
	work->operation = NULL;
	outcome->status = status;
}

/* --- steps ----------------------------------------------------------------------------------- */

/* SIGBUS: whose address it was. */
static bool lost(struct dsa_work *work, const char *address)
{
	for (unsigned int i = 0; i < DSA_OPERANDS; i++) {
		const struct dsa_operand *operand = &work->operand[i];

		if (work->operands & 1u << i && operand->host && address >= operand->host &&
		    address < operand->host + operand->host_len) {
			fault(work, operand->near + (uint64_t)(address - operand->host),
			      operand->rights, DSA_STATUS_TRANSLATION);
			return true;
		}
	}
	return false;
}

static enum dsa_step after_sigbus(struct dsa_work *work, const void *address)
{
	if (work->batch && work->batch->active && lost(&work->batch->work, address))
		return DSA_STEP_REPORT;
	/* Not the guest's: the monitor's own memory is gone, and so it goes too. */
	if (!lost(work, address))
		abort();
	return DSA_STEP_DONE;
}

enum dsa_step dsa_work_guarded(struct dsa_work *work,
			       enum dsa_step (*fn)(struct dsa_work *work, uint64_t budget),
			       uint64_t budget)
{
	enum dsa_step step;
	struct sigbus_guard guard;

	guard.address = NULL;
	ioasid_dma_begin(work->dma);
	if (!sigsetjmp(guard.env, 0)) {
		sigbus_arm(&guard);
		step = fn(work, budget);
		sigbus_disarm(&guard);
	} else {
		step = after_sigbus(work, guard.address);
	}
	if (!ioasid_dma_end(work->dma))
		return step;
	/* Memory of another process, which did not take all that was written. */
	fault(work, ioasid_dma_failed(work->dma), IOASID_WRITE, DSA_STATUS_PAGE_FAULT);
	return DSA_STEP_DONE;
}

/* The page that it waited for will not come. */
static enum dsa_step refused(struct dsa_work *work)
{
	struct dsa_outcome *outcome = work->outcome;

	if (work->blocked.status) {
		outcome->status = work->blocked.status;
		outcome->fault = work->blocked.address;
	}
	outcome->status = DSA_STATUS_PAGE_REFUSED | (outcome->status & DSA_STATUS_WRITE);
	return DSA_STEP_DONE;
}

/* A descriptor that may block on a fault waits for its page, unless the page cannot come. */
static enum dsa_step met_fault(struct dsa_work *work)
{
	struct dsa_outcome *outcome = work->outcome;

	if ((outcome->status & ~DSA_STATUS_WRITE) != DSA_STATUS_PAGE_FAULT ||
	    !(work->job->descriptor.flags & DSA_FLAG_BLOCK_ON_FAULT))
		return DSA_STEP_DONE;
	if (dsa_flagged(&work->live->revoked) || dsa_flagged(&work->live->forgotten))
		return refused(work);
	work->blocked.status = outcome->status;
	work->blocked.address = outcome->fault;
	work->faulted = false;
	outcome->status = 0;
	outcome->fault = 0;
	return DSA_STEP_WAIT;
}

static enum dsa_step ended(struct dsa_work *work)
{
	dsa_work_forget_request(work);
	if (work->operation->finish)
		work->operation->finish(work);
	return DSA_STEP_DONE;
}

static enum dsa_step after_step(struct dsa_work *work, enum dsa_step step)
{
	if (work->faulted)
		step = met_fault(work);
	else
		work->blocked.status = 0;
	return step == DSA_STEP_DONE ? ended(work) : step;
}

enum dsa_step dsa_work_advance(struct dsa_work *work, uint64_t budget)
{
	enum dsa_step step;

	if (work->blocked.refused) {
		(void)refused(work);
		return ended(work);
	}
	step = work->operation->step(work, budget);
	return after_step(work, step);
}

struct dsa_work *dsa_work_blocked(struct dsa_work *work)
{
	struct dsa_batch *batch = work->operation == &dsa_op_batch ? work->batch : NULL;

	if (work->blocked.status)
		return work;
	return batch && batch->active && batch->work.blocked.status ? &batch->work : NULL;
}

bool dsa_work_answered(struct dsa_work *blocked)
{
	int answer = ioasid_dma_answer(blocked->dma, blocked->blocked.request);

	if (answer == -EAGAIN)
		return false;
	blocked->blocked.request = 0;
	blocked->blocked.refused = answer;
	return true;
}

enum dsa_step dsa_work_step(struct dsa_work *work)
{
	enum dsa_step step;

	if (!work->operation)
		return DSA_STEP_DONE;
	if (must_stop(work))
		return ended(work);
	if (work->blocked.refused) {
		(void)refused(work);
		return ended(work);
	}
	if (work->operation->own_sections) {
		step = work->operation->step(work, DSA_SECTION_BYTES);
		return step == DSA_STEP_DONE ? ended(work) : step;
	}
	step = dsa_work_guarded(work, work->operation->step, DSA_SECTION_BYTES);
	return after_step(work, step);
}

void dsa_execute(struct dsa *dsa, struct ioasid_dma *dma, const struct dsa_job *job,
		 struct dsa_outcome *outcome)
{
	struct dsa_batch batch = { .active = false };
	struct dsa_work work;
	enum dsa_step step;

	dsa_work_begin(&work, dsa, dma, job, outcome, &batch);
	do
		step = dsa_work_step(&work);
	while (step == DSA_STEP_MORE);
	/* Nobody else would bring the page, or end the older descriptors. */
	if (step == DSA_STEP_WAIT) {
		(void)ended(&work);
		outcome->status = DSA_STATUS_PAGE_REFUSED;
	}
}
