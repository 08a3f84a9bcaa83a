/* SPDX-License-Identifier: Apache-2.0 */
/* Work of parts that do not wait for one another, by several threads. */
#ifndef ADIT_UTIL_PARALLEL_H
#define ADIT_UTIL_PARALLEL_H

#include <pthread.h>
#include <stdint.h>

#define PARALLEL_MAX 16u /* threads beside the caller's, whatever is asked for */

/*
 * Calls fn for each part below n, in their order of beginning, by at most `threads` threads, this
 * one among them; returns when all calls have. Where none can be started this one makes them all.
 */
void parallel_run(uint64_t n, unsigned int threads, void (*fn)(void *arg, uint64_t part),
		  void *arg);

/*
 * The same while the caller does other things. fn runs from parallel_start on, in threads other
 * than the caller's; those that cannot be started are not missed, for parallel_end takes part until
 * nothing is left to begin, waits for the last call, and frees it. NULL: no memory.
 */
struct parallel *parallel_new(uint64_t n, void (*fn)(void *arg, uint64_t part), void *arg);
void parallel_start(struct parallel *parallel, unsigned int threads);
/* The same by threads that `start` starts, each to call run(of); it returns 0, or none was. */
struct parallel_starter {
	int (*start)(void *arg, void *(*run)(void *of), void *of, pthread_t *thread);
	void *arg;
};
void parallel_start_by(struct parallel *parallel, unsigned int threads,
		       const struct parallel_starter *starter);
void parallel_end(struct parallel *parallel);
/* How many calls have returned; any thread, fn itself too. */
uint64_t parallel_done(const struct parallel *parallel);

/* CPUs that this thread may run on; at least 1. */
unsigned int parallel_cpus(void);

#endif
