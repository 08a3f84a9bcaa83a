/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory move, fill and dualcast: the operations that only write.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 8.3.4, 8.3.5 and 8.3.10.
 */
#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

#define STREAM_PIECE (16 * KIB) /* what is contiguous; each ends with a fence */

enum {
	SOURCE,
	DESTINATION,
	DESTINATION2
};

static void count(struct dsa_work *work)
{
	work->outcome->bytes = (uint32_t)work->done;
	work->outcome->moved = work->done;
}

/*
 * Without Cache Control a write is to go to memory rather than to a cache (section 8.1, flags; as
 * remembered), and that is also the faster way for what is large.
 *
 * Where the destination lies above a source that it overlaps, the move goes from the end to the
 * start, and the record of a fault says so in its result field.
 */
static uint8_t memmove_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, SOURCE, d->source, d->size, IOASID_READ);
	dsa_operand_set(work, DESTINATION, d->destination, d->size, IOASID_WRITE);
	work->state.move.down = d->destination > d->source && d->destination - d->source < d->size;
	work->state.move.stream = d->size >= work->dsa->stream_from &&
				  !(d->flags & DSA_FLAG_CACHE) &&
				  !dsa_overlap(work, SOURCE, DESTINATION);
	return DSA_STATUS_OK;
}

/* The next bytes, as many as are contiguous at both ends. 0: a fault. */
static uint64_t move_up(struct dsa_work *work, uint64_t want)
{
	char *at[2];
	uint64_t n = dsa_reach_all(work, 2, work->done, want, at);

	if (n >= STREAM_PIECE && work->state.move.stream)
		dsa_copy_stream(at[DESTINATION], at[SOURCE], n);
	else if (n)
		dsa_copy(at[DESTINATION], at[SOURCE], n);
	return n;
}

static uint64_t before_in_page(uint64_t end)
{
	return ((end - 1) & (IOASID_PAGE_SIZE - 1)) + 1;
}

/* The same from the end. Pages are the least that is contiguous, so n never crosses one. */
static uint64_t move_down(struct dsa_work *work, uint64_t want)
{
	uint64_t left = work->operand[SOURCE].size - work->done, n = want;
	char *at[2];

	n = MIN(n, before_in_page(work->operand[SOURCE].address + left));
	n = MIN(n, before_in_page(work->operand[DESTINATION].address + left));
	if (dsa_reach_all(work, 2, left - n, n, at) != n)
		return 0;
	dsa_copy(at[DESTINATION], at[SOURCE], n);
	return n;
}

static enum dsa_step memmove_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[SOURCE].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		uint64_t want = end - work->done;
		uint64_t n = work->state.move.down ? move_down(work, want) : move_up(work, want);

		if (!n)
			return DSA_STEP_DONE;
		work->done += n;
	}
	if (work->done < size)
		return DSA_STEP_MORE;
	return dsa_work_ends(work, DSA_STATUS_OK);
}

static void memmove_finish(struct dsa_work *work)
{
	work->outcome->result = work->state.move.down;
	count(work);
}

const struct dsa_operation dsa_op_memmove = {
	.begin = memmove_begin,
	.step = memmove_step,
	.finish = memmove_finish,
	.flags = DSA_FLAGS_WRITE,
	.fields = DSA_USES_BOTH,
};

/* --- fill: the pattern stands where a source's address would --------------------------------- */

static uint8_t fill_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, 0, d->destination, d->size, IOASID_WRITE);
	return DSA_STATUS_OK;
}

static enum dsa_step fill_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[0].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		uint64_t n = end - work->done;
		char *to = dsa_reach(work, 0, work->done, &n);

		if (!to)
			return DSA_STEP_DONE;
		dsa_fill(to, work->job->descriptor.pattern, work->done % 8, n);
		work->done += n;
	}
	if (work->done < size)
		return DSA_STEP_MORE;
	return dsa_work_ends(work, DSA_STATUS_OK);
}

const struct dsa_operation dsa_op_fill = {
	.begin = fill_begin,
	.step = fill_step,
	.finish = count,
	.flags = DSA_FLAGS_WRITE,
	.fields = DSA_USES_BOTH,
};

/* --- dualcast -------------------------------------------------------------------------------- */

static uint8_t dualcast_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, SOURCE, d->source, d->size, IOASID_READ);
	dsa_operand_set(work, DESTINATION, d->destination, d->size, IOASID_WRITE);
	dsa_operand_set(work, DESTINATION2, d->destination2, d->size, IOASID_WRITE);
	if ((d->destination ^ d->destination2) & (IOASID_PAGE_SIZE - 1))
		return DSA_STATUS_DUALCAST;
	if (dsa_overlap(work, SOURCE, DESTINATION) || dsa_overlap(work, SOURCE, DESTINATION2) ||
	    dsa_overlap(work, DESTINATION, DESTINATION2))
		return DSA_STATUS_OVERLAP;
	return DSA_STATUS_OK;
}

/* By way of the engine, so that both destinations are given the same bytes. */
static enum dsa_step dualcast_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[SOURCE].size, end = MIN(size, work->done + budget);
	uint8_t bounce[DSA_BOUNCE];

	while (work->done < end) {
		uint64_t n = MIN(end - work->done, sizeof(bounce));
		char *at[3];

		n = dsa_reach_all(work, 3, work->done, n, at);
		if (!n)
			return DSA_STEP_DONE;
		dsa_copy(bounce, at[SOURCE], n);
		dsa_copy(at[DESTINATION], bounce, n);
		dsa_copy(at[DESTINATION2], bounce, n);
		work->done += n;
	}
	if (work->done < size)
		return DSA_STEP_MORE;
	return dsa_work_ends(work, DSA_STATUS_OK);
}

const struct dsa_operation dsa_op_dualcast = {
	.begin = dualcast_begin,
	.step = dualcast_step,
	.finish = count,
	.flags = DSA_FLAGS_WRITE | DSA_DUALCAST_STEER,
	.fields = DSA_USES_BOTH,
	.specific_bytes = 8,
};
