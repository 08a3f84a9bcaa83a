/* SPDX-License-Identifier: Apache-2.0 */
#include "util/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "util/bits.h"

struct parallel {
	void (*fn)(void *arg, uint64_t part);
	void *arg;
	uint64_t n;
	uint64_t next, done; /* atomic; next: which part nobody has begun */
	unsigned int n_threads;
	pthread_t threads[PARALLEL_MAX];
};

static void *take_part(void *arg)
{
	struct parallel *p = arg;
	uint64_t part;

	while ((part = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED)) < p->n) {
		p->fn(p->arg, part);
		__atomic_fetch_add(&p->done, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int start_plain(void *arg, void *(*run)(void *of), void *of, pthread_t *thread)
{
	return pthread_create(thread, NULL, run, of);
}

void parallel_start(struct parallel *parallel, unsigned int threads)
{
	parallel_start_by(parallel, threads, &(struct parallel_starter){ .start = start_plain });
}

void parallel_start_by(struct parallel *parallel, unsigned int threads,
		       const struct parallel_starter *starter)
{
	uint64_t most = MIN(parallel->n, MIN(threads, PARALLEL_MAX));

	while (parallel->n_threads < most &&
	       !starter->start(starter->arg, take_part, parallel,
			       &parallel->threads[parallel->n_threads]))
		parallel->n_threads++;
}

static void finish(struct parallel *p)
{
	take_part(p);
	while (p->n_threads)
		pthread_join(p->threads[--p->n_threads], NULL);
}

void parallel_run(uint64_t n, unsigned int threads, void (*fn)(void *arg, uint64_t part), void *arg)
{
	struct parallel p = { .fn = fn, .arg = arg, .n = n };

	/* What is left for others when this one has begun. */
	if (n > 1 && threads > 1)
		parallel_start(&p, (unsigned int)MIN(n - 1, threads - 1));
	finish(&p);
}

struct parallel *parallel_new(uint64_t n, void (*fn)(void *arg, uint64_t part), void *arg)
{
	struct parallel *p = calloc(1, sizeof(*p));

	if (p)
		*p = (struct parallel){ .fn = fn, .arg = arg, .n = n };
	return p;
}

void parallel_end(struct parallel *parallel)
{
	finish(parallel);
	free(parallel);
}

uint64_t parallel_done(const struct parallel *parallel)
{
	return __atomic_load_n(&parallel->done, __ATOMIC_ACQUIRE);
}

unsigned int parallel_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return (unsigned int)MAX(CPU_COUNT(&cpus), 1);
}
