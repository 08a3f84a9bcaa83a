/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back end of the virtual DSA that runs a job when a fuzzer's input says so, on the fuzzer's own
 * thread, so that every run of an input is the same.
 */
#ifndef ADIT_TESTS_FUZZ_DSA_INLINE_H
#define ADIT_TESTS_FUZZ_DSA_INLINE_H

#include "tests/fuzz/dsa-stand-in.h"

static inline int inline_start(struct dsa *dsa)
{
	struct ioasid_dma *dma;

	if (!dsa->backend_state) {
		must(ioasid_dma_open(dsa->ctx, &dma, NULL));
		dsa->backend_state = dma;
	}
	return 0;
}

static inline void inline_kick(struct dsa *dsa)
{
}

static inline void inline_stop(struct dsa *dsa)
{
	if (dsa->backend_state)
		ioasid_dma_close(dsa->backend_state);
	dsa->backend_state = NULL;
}

static const struct dsa_backend_ops inline_backend = {
	.name = "inline",
	.start = inline_start,
	.kick = inline_kick,
	.stop = inline_stop,
};

/* The engine's next job, whole; false: it has none. */
static inline bool work(struct dsa *dsa, unsigned int engine)
{
	struct dsa_outcome outcome;
	struct dsa_job *job;

	if (!dsa->backend_state)
		return false;
	pthread_mutex_lock(&dsa->lock);
	job = dsa_job_take(dsa, engine);
	pthread_mutex_unlock(&dsa->lock);
	if (!job)
		return false;
	dsa_execute(dsa, dsa->backend_state, job, &outcome);
	dsa_report_end(dsa, dsa->backend_state, job, &outcome);
	pthread_mutex_lock(&dsa->lock);
	dsa_job_done(dsa, job, &outcome);
	pthread_mutex_unlock(&dsa->lock);
	return true;
}

#endif
