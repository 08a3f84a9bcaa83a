/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft provider's rows of adit bench map: how map and unmap grow with the number of mappings,
 * what a translation costs with and without the IOTLB, and guest PASIDs looked up and changed.
 *
 * Times are of the thread's CPU, so that another program on a busy machine weighs less; no page of
 * what is mapped is ever touched.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "bench/map.h"
#include "bench/results.h"
#include "ioasid-client/ioasid.h"
#include "ioasid-client/pasid-table.h"
#include "util/bits.h"

#define PAGE	 ((uint64_t)IOASID_PAGE_SIZE)
#define FEW	 1000u
#define MANY	 1000000u
#define PAIRS	 100000u
#define ACCESSES 200000u
#define GUESTS	 1024u
#define BEST_OF	 5u /* of a row that takes less than a millisecond */

enum row {
	PAIR, /* beside the same among few */
	HIT,
	MISS,
	LOOKUP,
	RATE,
	ROWS
};

struct soft_bench {
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	struct ioasid_space *few, *many;
	struct ioasid_dma *dma;
	struct ioasid_pasid *host;
	struct pasid_table *table;
	struct epoch epoch;
	struct err *err;
	uint64_t seed;
	uint64_t sum; /* of results, so that none is left out */
	bool stop;    /* atomic */
};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* limit: below 2^32. Without a division, which would cost as much as what is measured. */
static uint64_t below(struct soft_bench *b, uint64_t limit)
{
	b->seed = b->seed * 6364136223846793005 + 1442695040888963407;
	return (b->seed >> 32) * limit >> 32;
}

static int map_page(struct soft_bench *b, struct ioasid_space *space, uint64_t page)
{
	return ioasid_map_hva(space, page * PAGE, PAGE, (char *)0x100000000000 + page * PAGE,
			      IOASID_READ | IOASID_WRITE, b->err);
}

static int fill(struct soft_bench *b, struct ioasid_space **space, const char *name, uint64_t pages)
{
	const struct ioasid_space_options options = { .name = name, .pasid_capable = true };
	int r = ioasid_alloc(b->ctx, &options, space, b->err);

	for (uint64_t page = 0; !r && page < pages; page++)
		r = map_page(b, *space, page);
	return r;
}

static int setup(struct soft_bench *b)
{
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
					      .soft = { .pasid_width = 20 } };
	int r = ioasid_ctx_open(&b->ctx, IOASID_PROVIDER_SOFT, NULL, b->err);

	if (!r)
		r = ioasid_bind(b->ctx, &source, "model", &b->device, b->err);
	if (!r)
		r = fill(b, &b->few, "few", FEW);
	if (!r)
		r = fill(b, &b->many, "many", MANY);
	if (!r)
		r = ioasid_attach(b->device, b->many, b->err);
	if (!r)
		r = ioasid_pasid_attach(b->device, b->many, 7, &b->host, b->err);
	if (!r)
		r = pasid_table_create(&b->table, &b->epoch, b->err);
	if (!r)
		r = ioasid_dma_open(b->ctx, &b->dma, b->err);
	for (uint32_t guest = 1; !r && guest <= GUESTS; guest++)
		r = pasid_table_bind(b->table, guest, b->host, b->err);
	return r;
}

/* Unmaps a page and maps it again, in no order; ns of both. */
static int time_pairs(struct soft_bench *b, struct ioasid_space *space, uint64_t pages,
		      struct turn *turn)
{
	double start = now_ns();
	int r = 0;

	for (unsigned int i = 0; !r && i < PAIRS; i++) {
		uint64_t page = below(b, pages);

		r = ioasid_unmap(space, page * PAGE, PAGE, b->err);
		if (!r)
			r = map_page(b, space, page);
	}
	turn_put(turn, PAIR, (now_ns() - start) / PAIRS);
	return r;
}

static void time_translate(struct soft_bench *b, uint64_t pages, struct turn *turn, enum row row)
{
	double start;

	ioasid_dma_begin(b->dma);
	start = now_ns();
	for (unsigned int i = 0; i < ACCESSES; i++) {
		uint64_t len = 64;

		b->sum += (uintptr_t)ioasid_translate(b->dma, b->device, IOASID_PASID_NONE,
						      below(b, pages) * PAGE, &len, IOASID_READ);
	}
	turn_put(turn, row, (now_ns() - start) / ACCESSES);
	ioasid_dma_end(b->dma);
}

static void *writer(void *arg)
{
	struct soft_bench *b = arg;

	for (uint32_t i = 0; !__atomic_load_n(&b->stop, __ATOMIC_RELAXED); i++) {
		uint32_t guest = 2 * GUESTS + i % GUESTS;

		if (pasid_table_bind(b->table, guest, b->host, NULL) ||
		    pasid_table_unbind(b->table, guest, NULL))
			break;
	}
	return NULL;
}

/* With sections of GUESTS lookups, for the writer waits for their end. */
static int time_lookups(struct soft_bench *b, double *best)
{
	const unsigned int sections = ACCESSES / GUESTS;
	struct epoch_reader reader;
	pthread_t thread;
	double start;

	b->stop = false;
	if (pthread_create(&thread, NULL, writer, b))
		return err_set(b->err, EAGAIN, "no thread for the writer");
	epoch_join(&b->epoch, &reader);
	start = now_ns();
	for (unsigned int i = 0; i < sections; i++) {
		epoch_enter(&b->epoch, &reader);
		for (uint32_t guest = 1; guest <= GUESTS; guest++)
			b->sum += pasid_table_lookup(b->table, guest);
		epoch_exit(&reader);
	}
	*best = fmin(*best, (now_ns() - start) / ((double)sections * GUESTS));
	epoch_leave(&b->epoch, &reader);
	__atomic_store_n(&b->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return 0;
}

/* Another program on the CPU's other half makes a time so short half as long again, or not. */
static int best_lookups(struct soft_bench *b, struct turn *turn)
{
	double best = INFINITY;
	int r = 0;

	for (unsigned int n = 0; !r && n < BEST_OF; n++)
		r = time_lookups(b, &best);
	turn_put(turn, LOOKUP, best);
	return r;
}

static int time_bind(struct soft_bench *b, struct turn *turn)
{
	double start = now_ns();
	int r = 0;

	for (uint32_t i = 0; !r && i < ACCESSES; i++) {
		uint32_t guest = 2 * GUESTS + i % GUESTS;

		r = pasid_table_bind(b->table, guest, b->host, b->err);
		if (!r)
			r = pasid_table_unbind(b->table, guest, b->err);
	}
	turn_put(turn, RATE, ACCESSES / ((now_ns() - start) / 1e3));
	return r;
}

static int soft_turn(struct turn *turn, struct err *err)
{
	struct soft_bench *b = turn->opaque;
	int r;

	b->err = err;
	if (turn->party)
		return time_pairs(b, b->few, FEW, turn);
	r = time_pairs(b, b->many, MANY, turn);
	if (r)
		return r;
	time_translate(b, 16, turn, HIT);
	time_translate(b, MANY, turn, MISS);
	r = best_lookups(b, turn);
	return r ? r : time_bind(b, turn);
}

static int measure(struct soft_bench *b, struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[ROWS] = {
		[PAIR] = { .name = "soft: unmap + map, 10^6 live", .unit = "ns", .target = 3 },
		[HIT] = { "soft: translate, in the IOTLB", "ns", false, 1, 10, "10 ns" },
		[MISS] = { "soft: translate, walk of 10^6 pages", "ns", false, 1, 200, "200 ns" },
		[LOOKUP] = { "PASID lookup beside a writer", "ns", false, 1, 3, "3 ns" },
		[RATE] = { "PASID bind + unbind", "M/s", true, 1, 2, "2 M/s" },
	};
	struct contest contest = {
		.name = "soft",
		.parties = { "adit", "10^3 live" },
		.party_count = 2,
		.rows = rows,
		.row_count = ROWS,
		.turn = soft_turn,
		.opaque = b,
	};

	return contest_hold(&contest, run, err);
}

int bench_map_soft(struct bench_run *run, struct err *err)
{
	struct soft_bench *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(err, ENOMEM, "no memory");
	b->seed = 0x9e3779b97f4a7c15;
	b->err = err;
	epoch_init(&b->epoch);
	r = setup(b);
	if (!r)
		r = measure(b, run, err);
	ioasid_dma_close(b->dma);
	pasid_table_destroy(b->table);
	ioasid_ctx_close(b->ctx);
	epoch_destroy(&b->epoch);
	free(b);
	return r;
}
