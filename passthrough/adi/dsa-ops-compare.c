/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare and compare pattern. Bytes completed is the offset of the first difference.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 8.3.6 and 8.3.7.
 */
#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

static enum dsa_step found(struct dsa_work *work, uint8_t result)
{
	return dsa_work_results(work, result, (work->job->descriptor.expected & 1) == result);
}

static void finish(struct dsa_work *work)
{
	work->outcome->bytes = (uint32_t)work->done;
}

static uint8_t compare_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, 0, d->source, d->size, IOASID_READ);
	dsa_operand_set(work, 1, d->source2, d->size, IOASID_READ);
	return d->expected > 1 ? DSA_STATUS_RESERVED : DSA_STATUS_OK;
}

static enum dsa_step compare_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[0].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		char *at[2];
		uint64_t n = dsa_reach_all(work, 2, work->done, end - work->done, at), same;

		if (!n)
			return DSA_STEP_DONE;
		same = dsa_equal(at[0], at[1], n);
		work->done += same;
		if (same < n)
			return found(work, DSA_RESULT_DIFFERENT);
	}
	return work->done < size ? DSA_STEP_MORE : found(work, DSA_RESULT_EQUAL);
}

const struct dsa_operation dsa_op_compare = {
	.begin = compare_begin,
	.step = compare_step,
	.finish = finish,
	.flags = DSA_FLAGS_READ | DSA_FLAG_CHECK_RESULT,
	.fields = DSA_USES_BOTH,
	.specific_bytes = 1,
};

static uint8_t pattern_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, 0, d->source, d->size, IOASID_READ);
	return d->expected > 1 ? DSA_STATUS_RESERVED : DSA_STATUS_OK;
}

static enum dsa_step pattern_step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[0].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		uint64_t n = end - work->done, same;
		const char *at = dsa_reach(work, 0, work->done, &n);

		if (!at)
			return DSA_STEP_DONE;
		same = dsa_equal_pattern(at, work->job->descriptor.compare_pattern, work->done % 8,
					 n);
		work->done += same;
		if (same < n)
			return found(work, DSA_RESULT_DIFFERENT);
	}
	return work->done < size ? DSA_STEP_MORE : found(work, DSA_RESULT_EQUAL);
}

const struct dsa_operation dsa_op_compare_pattern = {
	.begin = pattern_begin,
	.step = pattern_step,
	.finish = finish,
	.flags = DSA_FLAGS_READ | DSA_FLAG_CHECK_RESULT,
	.fields = DSA_USES_BOTH,
	.specific_bytes = 1,
};
