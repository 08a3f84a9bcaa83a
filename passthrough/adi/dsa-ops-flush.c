/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache flush. With the cache control flag lines are only written back; without it they also leave
 * the caches. Reading suffices: a flush changes no byte.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), section 8.3.17.
 */
#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

static uint8_t begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, 0, d->destination, d->size, IOASID_READ);
	work->state.flush = dsa_flush_way(!(d->flags & DSA_FLAG_CACHE));
	return DSA_STATUS_OK;
}

static enum dsa_step step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[0].size, end = MIN(size, work->done + budget);

	while (work->done < end) {
		uint64_t n = end - work->done;
		char *at = dsa_reach(work, 0, work->done, &n);

		if (!at)
			return DSA_STEP_DONE;
		dsa_flush(at, n, work->state.flush);
		work->done += n;
	}
	return work->done < size ? DSA_STEP_MORE : dsa_work_ends(work, DSA_STATUS_OK);
}

static void finish(struct dsa_work *work)
{
	work->outcome->bytes = (uint32_t)work->done;
}

const struct dsa_operation dsa_op_flush = {
	.begin = begin,
	.step = step,
	.finish = finish,
	.flags = DSA_FLAGS_WRITE,
	.fields = DSA_USES_DESTINATION | DSA_USES_SIZE,
};
