/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create and apply delta records: which 8-byte words of a buffer differ from another's, as 10-byte
 * entries of a 16-bit word index and the new word.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 8.3.8 and 8.3.9. Which
 * buffers may overlap which, and that an expected result of create is a mask with one bit a result,
 * is as remembered.
 */
#include <string.h>

#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

#define WORD 8u

/* --- create: what the second source has that the first has not ------------------------------- */

enum {
	SOURCE,
	SOURCE2,
	RECORD
};

static uint8_t create_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, SOURCE, d->source, d->size, IOASID_READ);
	dsa_operand_set(work, SOURCE2, d->source2, d->size, IOASID_READ);
	dsa_operand_set(work, RECORD, d->delta.address, d->delta.max_size, IOASID_WRITE);
	if (d->delta.reserved_word || d->delta.expected > 7)
		return DSA_STATUS_RESERVED;
	if (d->size % WORD || d->size > DSA_DELTA_SOURCE)
		return DSA_STATUS_SIZE;
	if (d->delta.max_size % DSA_DELTA_ENTRY || d->delta.max_size < DSA_DELTA_MIN)
		return DSA_STATUS_DELTA_SIZE;
	if ((d->source | d->source2 | d->delta.address) % WORD)
		return DSA_STATUS_ALIGN;
	if (dsa_overlap(work, RECORD, SOURCE) || dsa_overlap(work, RECORD, SOURCE2))
		return DSA_STATUS_OVERLAP;
	return DSA_STATUS_OK;
}

static enum dsa_step created(struct dsa_work *work, uint8_t result)
{
	uint8_t mask = work->job->descriptor.delta.expected;

	return dsa_work_results(work, result, mask >> result & 1);
}

/* False: a fault, or the record is full, which leaves the outcome without a fault. */
static bool add_entry(struct dsa_work *work, uint64_t word)
{
	uint16_t index = (uint16_t)(work->done / WORD);
	uint8_t entry[DSA_DELTA_ENTRY];

	if (work->state.delta.size + DSA_DELTA_ENTRY > work->operand[RECORD].size)
		return false;
	memcpy(entry, &index, sizeof(index));
	memcpy(entry + sizeof(index), &word, sizeof(word));
	if (!dsa_write(work, RECORD, work->state.delta.size, entry, sizeof(entry)))
		return false;
	work->state.delta.size += DSA_DELTA_ENTRY;
	return true;
}

/* Over n bytes that are contiguous in both; each word of the second is read once. */
static bool add_differences(struct dsa_work *work, const char *a, const char *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += WORD) {
		uint64_t word = dsa_load64(b + i);

		if (dsa_load64(a + i) != word && !add_entry(work, word))
			return false;
		work->done += WORD;
	}
	return true;
}

static enum dsa_step create_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[SOURCE].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		char *at[2];
		uint64_t n = dsa_reach_all(work, 2, work->done, end - work->done, at);

		if (n && add_differences(work, at[SOURCE], at[SOURCE2], n))
			continue;
		return work->faulted ? DSA_STEP_DONE : created(work, DSA_RESULT_OVERFLOW);
	}
	if (work->done < size)
		return DSA_STEP_MORE;
	return created(work, work->state.delta.size ? DSA_RESULT_DIFFERENT : DSA_RESULT_EQUAL);
}

static void create_finish(struct dsa_work *work)
{
	work->outcome->bytes = (uint32_t)work->done;
	work->outcome->delta_size = work->state.delta.size;
	work->outcome->moved = work->state.delta.size;
}

const struct dsa_operation dsa_op_delta_create = {
	.begin = create_begin,
	.step = create_step,
	.finish = create_finish,
	.flags = DSA_FLAGS_WRITE | DSA_FLAG_CHECK_RESULT,
	.fields = DSA_USES_BOTH,
	.specific_bytes = 17,
};

/* --- apply: the record's size is the work, the destination's the bound ----------------------- */

enum {
	DELTA,
	DESTINATION
};

static uint8_t apply_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, DELTA, d->source, d->delta_size, IOASID_READ);
	dsa_operand_set(work, DESTINATION, d->destination, d->size, IOASID_WRITE);
	if (d->size % WORD || d->size > DSA_DELTA_SOURCE)
		return DSA_STATUS_SIZE;
	if (!d->delta_size || d->delta_size % DSA_DELTA_ENTRY)
		return DSA_STATUS_DELTA_SIZE;
	if ((d->source | d->destination) % WORD)
		return DSA_STATUS_ALIGN;
	if (dsa_overlap(work, DELTA, DESTINATION))
		return DSA_STATUS_OVERLAP;
	return DSA_STATUS_OK;
}

/* state.delta.size: one more than the last index. */
static uint8_t apply_entry(struct dsa_work *work, const uint8_t *entry)
{
	uint64_t offset, word;
	uint16_t index;

	memcpy(&index, entry, sizeof(index));
	memcpy(&word, entry + sizeof(index), sizeof(word));
	offset = (uint64_t)index * WORD;
	if (index < work->state.delta.size)
		return DSA_STATUS_DELTA_ORDER;
	if (offset >= work->operand[DESTINATION].size)
		return DSA_STATUS_DELTA_OFFSET;
	if (!dsa_write(work, DESTINATION, offset, &word, sizeof(word)))
		return work->outcome->status;
	work->state.delta.size = index + 1u;
	work->done += DSA_DELTA_ENTRY;
	work->outcome->moved += WORD;
	return DSA_STATUS_OK;
}

static enum dsa_step apply_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[DELTA].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		uint8_t entry[DSA_DELTA_ENTRY], status;

		if (!dsa_read(work, DELTA, work->done, entry, sizeof(entry)))
			return DSA_STEP_DONE;
		status = apply_entry(work, entry);
		if (status != DSA_STATUS_OK)
			return dsa_work_ends(work, status);
	}
	return work->done < size ? DSA_STEP_MORE : dsa_work_ends(work, DSA_STATUS_OK);
}

static void apply_finish(struct dsa_work *work)
{
	work->outcome->bytes = (uint32_t)work->done;
}

const struct dsa_operation dsa_op_delta_apply = {
	.begin = apply_begin,
	.step = apply_step,
	.finish = apply_finish,
	.flags = DSA_FLAGS_WRITE,
	.fields = DSA_USES_BOTH,
	.specific_bytes = 4,
};
