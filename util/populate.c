/* SPDX-License-Identifier: Apache-2.0 */
#include "util/populate.h"

#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"
#include "util/clock.h"
#include "util/parallel.h"

/*
 * What a thread makes in one call, for which it holds the lock of the process's mappings: others
 * that map or unmap something wait as long. A huge page of 1 GiB cannot be made in parts.
 */
#define CHUNK (2 * MIB)

#define PAGE 4096u

/* Who waits hears how far it is. */
#define PAUSE_NS 2000000000u

struct populate {
	struct parallel *threads;
	char *base;
	uint64_t size, chunk;
	bool touches;
	const bool *stop;
	int failure; /* atomic: one of them; after it none is made */
	const struct log *log;
	uint64_t due; /* atomic: when the next line is; 0: nobody waits */
};

static void tell(struct populate *p)
{
	uint64_t due = __atomic_load_n(&p->due, __ATOMIC_ACQUIRE), now;

	if (!due)
		return;
	now = clock_ns();
	if (now < due || !__atomic_compare_exchange_n(&p->due, &due, now + PAUSE_NS, false,
						      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	log_line(p->log, LOG_INFO, "memory", "guest memory is being made: %llu of %llu MiB",
		 (unsigned long long)(parallel_done(p->threads) * p->chunk / MIB),
		 (unsigned long long)(p->size / MIB));
}

/*
 * Makes at most so many of the pages that are not there. A fault takes the lock of one mapping
 * (Linux 6.4 and later); MADV_POPULATE_WRITE takes that of all, and starves who maps or unmaps
 * something. What is there is left alone: the guest may run code in it, which every CPU that has it
 * would have to read anew. What comes meanwhile stays, whoever writes it; the race is by intent.
 */
__attribute__((no_sanitize("thread"))) static void touch(char *base, uint64_t size, uint64_t most)
{
	unsigned char there[CHUNK / PAGE] = { 0 };

	/* Where the kernel does not say, none is. */
	(void)mincore(base, size, there);
	for (uint64_t i = 0; i < size / PAGE && most; i++) {
		if (there[i] & 1)
			continue;
		__atomic_fetch_or(base + i * PAGE, 0, __ATOMIC_RELAXED);
		most--;
	}
}

/* The first page that is made may be a huge one, and with it all others are there. */
static void touch_chunk(char *base, uint64_t size)
{
	touch(base, size, 1);
	touch(base, size, UINT64_MAX);
}

static void make_chunk(void *arg, uint64_t part)
{
	struct populate *p = arg;
	uint64_t at = part * p->chunk;

	if (__atomic_load_n(&p->failure, __ATOMIC_RELAXED))
		return;
	if (p->stop && __atomic_load_n(p->stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(&p->failure, -ECANCELED, __ATOMIC_RELAXED);
		return;
	}
	if (p->touches)
		touch_chunk(p->base + at, MIN(p->chunk, p->size - at));
	else if (madvise(p->base + at, MIN(p->chunk, p->size - at), MADV_POPULATE_WRITE))
		__atomic_store_n(&p->failure, -errno, __ATOMIC_RELAXED);
	tell(p);
}

/* Confined before it makes any. */
static int start_thread(void *arg, void *(*run)(void *of), void *of, pthread_t *thread)
{
	const struct populate_options *options = arg;
	const struct sandbox_thread what = {
		.sandbox = options->sandbox,
		.role = SANDBOX_MEMORY,
		.name = "pages",
		.yields = options->yields,
		.run = run,
		.arg = of,
	};

	return sandbox_start_thread(&what, thread);
}

struct populate *populate_begin(const struct populate_options *options)
{
	const struct parallel_starter starter = { start_thread, (void *)options };
	struct populate *p = calloc(1, sizeof(*p));
	uint64_t chunk = MAX(options->hugepage, CHUNK);
	unsigned int threads = parallel_cpus();

	/* Who waits for them takes part, and is not to wait for the CPU. */
	if (options->yields && threads > 1)
		threads--;
	if (!p)
		return NULL;
	/* A huge page that cannot be had, or a page beyond a file's end, would end the process. */
	*p = (struct populate){ .base = options->base,
				.size = options->size,
				.chunk = chunk,
				.touches = options->yields && !options->hugepage && !options->file,
				.stop = options->stop };
	p->threads = parallel_new((options->size + chunk - 1) / chunk, make_chunk, p);
	if (!p->threads) {
		free(p);
		return NULL;
	}
	parallel_start_by(p->threads, threads, &starter);
	return p;
}

int populate_end(struct populate *populate, const struct log *log)
{
	int failure;

	populate->log = log;
	__atomic_store_n(&populate->due, clock_ns() + PAUSE_NS, __ATOMIC_RELEASE);
	parallel_end(populate->threads);
	failure = populate->failure;
	free(populate);
	return failure;
}

void populate_cancel(struct populate *populate)
{
	__atomic_store_n(&populate->failure, -ECANCELED, __ATOMIC_RELAXED);
	parallel_end(populate->threads);
	free(populate);
}
