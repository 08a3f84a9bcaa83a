/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench copy: memory moves by the software engine beside memcpy of the same bytes in the same
 * run. Descriptors, alone or in batches, are accepted while the engine rests and then carried out
 * in one go ("engine"), or written to the portal while others are under way ("portal"). memcpy
 * walks the same addresses in the same order.
 *
 * "engine" and "portal" rows are CPU time, of the engine's thread and of the one that calls memcpy:
 * all that accepted descriptors cost up to their records, whoever else wants the CPUs. "wall" rows
 * are the same streams by the clock on the wall, with the thread that submits; they need two idle
 * CPUs to mean something.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/clock.h"
#include "bench/contest.h"
#include "bench/dsa-rig.h"
#include "bench/job.h"
#include "bench/plot.h"
#include "bench/results.h"
#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"

#define REGION		(32 * MIB) /* that moves walk over, source and destination */
#define REGION_SMALL	MIB	   /* of moves below 64 KiB */
#define SOURCE		0ULL
#define DESTINATION	REGION
#define LISTS		(2 * REGION)
#define RECORDS		(LISTS + DEPTH * MAX_BATCH * 64ULL)
#define MEMORY		(RECORDS + MIB)
#define MAX_BATCH	1024ULL
#define DEPTH		4ULL	   /* batches, or 16 times as many single descriptors, under way */
#define STREAM_BYTES	(24 * MIB) /* that one sample moves, at least three units */
#define BEST_OF		5u
#define BEST_OF_STREAMS 2u
#define STREAM_UNITS	400u /* and at most so many */

#define ENGINE_TARGET	  0.95	/* of memcpy's rate, from 64 KiB on */
#define DESCRIPTOR_LIMIT  120.0 /* ns, of 64 bytes in a batch of 1024 */
#define TRANSLATION_LIMIT 0.03	/* of a 4 KiB move */
#define TARGETS_FROM	  (64 * KIB)

struct shape {
	uint32_t size, batch; /* bytes of a move; descriptors of a unit, 1: no batch */
	bool wide;	      /* over all of the region, however small the moves */
	bool cached;	      /* the descriptors ask for the caches, where memcpy leaves all */
	/* 0: as the bench has them by itself */
	uint64_t region;    /* that moves walk over */
	unsigned int depth; /* units under way */
	uint64_t bytes;	    /* that one stream moves */
};

struct copy {
	struct bench_run *run;
	struct dsa_rig plain, pasids;
};

/* --- the stream ------------------------------------------------------------------------------ */

static uint64_t region_of(const struct shape *shape)
{
	if (shape->region)
		return shape->region;
	return shape->size < TARGETS_FROM && !shape->wide ? REGION_SMALL : REGION;
}

static uint64_t place_of(const struct shape *shape, uint64_t move)
{
	return move % (region_of(shape) / shape->size) * shape->size;
}

static unsigned int units_of(const struct shape *shape)
{
	uint64_t bytes = (uint64_t)shape->size * shape->batch;

	if (shape->bytes)
		return (unsigned int)MAX(shape->bytes / bytes, 1ULL);
	return (unsigned int)MIN(MAX(STREAM_BYTES / bytes, 3ULL), (uint64_t)STREAM_UNITS);
}

static unsigned int depth_of(const struct shape *shape)
{
	if (shape->depth)
		return shape->depth;
	return (unsigned int)(shape->batch > 1 ? DEPTH : 16 * DEPTH);
}

static uint64_t record_of(const struct shape *shape, unsigned int lane)
{
	return RECORDS + (shape->batch > 1 ? lane * (MAX_BATCH + 1) : lane) * 32;
}

static void describe(struct dsa_descriptor *d, const struct shape *shape, uint64_t move,
		     uint64_t record)
{
	*d = (struct dsa_descriptor){
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD | (shape->cached ? DSA_FLAG_CACHE : 0),
		.record = record,
		.source = SOURCE + place_of(shape, move),
		.destination = DESTINATION + place_of(shape, move),
		.size = shape->size,
	};
}

/* The unit's descriptor, and the list behind it where it is a batch. */
static void prepare(struct dsa_rig *rig, const struct shape *shape, unsigned int unit,
		    unsigned int lane, struct dsa_descriptor *d)
{
	uint64_t list = LISTS + lane * MAX_BATCH * 64ULL, record = record_of(shape, lane);

	if (shape->batch == 1) {
		describe(d, shape, unit, record);
		return;
	}
	for (unsigned int i = 0; i < shape->batch; i++)
		describe((struct dsa_descriptor *)(rig->memory + list) + i, shape,
			 (uint64_t)unit * shape->batch + i, record + (i + 1) * 32ULL);
	*d = (struct dsa_descriptor){
		.flags = DSA_OP_BATCH << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD,
		.record = record,
		.source = list,
		.size = shape->batch,
	};
}

struct stopwatch {
	clockid_t clock;
	double begin;
};

static void stopwatch_start(struct stopwatch *watch, clockid_t clock)
{
	watch->clock = clock;
	watch->begin = clock_ns(clock);
}

static double stopwatch_stop(const struct stopwatch *watch)
{
	return clock_ns(watch->clock) - watch->begin;
}

/* There is nothing to measure in moves that fail: an engine that does so is broken. */
static void expect_ok(struct dsa_rig *rig, uint64_t record)
{
	uint8_t status = dsa_rig_wait(rig, record);

	if (status == DSA_STATUS_OK)
		return;
	fprintf(stderr, "adit bench copy: a move ended with status 0x%x\n", status);
	exit(1);
}

/* ns for a move: of the CPU time of who makes it, and by the clock on the wall. */
struct timing {
	double cpu, wall;
};

/* Units through the portal, submitted while others are under way. */
static struct timing stream(struct dsa_rig *rig, const struct shape *shape)
{
	unsigned int units = units_of(shape), depth = MIN(depth_of(shape), units), sent = 0;
	double moves = (double)units * shape->batch;
	struct dsa_descriptor d[16 * DEPTH];
	struct stopwatch cpu, wall;

	for (unsigned int lane = 0; lane < depth; lane++)
		prepare(rig, shape, lane, lane, &d[lane]);
	stopwatch_start(&cpu, rig->engine_clock);
	stopwatch_start(&wall, CLOCK_MONOTONIC);
	for (unsigned int done = 0; done < units; done++) {
		for (; sent < units && sent < done + depth; sent++) {
			*(uint64_t *)(rig->memory + record_of(shape, sent % depth)) = 0;
			dsa_rig_submit(rig, &d[sent % depth]);
		}
		expect_ok(rig, record_of(shape, done % depth));
	}
	return (struct timing){ stopwatch_stop(&cpu) / moves, stopwatch_stop(&wall) / moves };
}

static void copy_unit(struct dsa_rig *rig, const struct shape *shape, unsigned int unit)
{
	for (unsigned int i = 0; i < shape->batch; i++) {
		uint64_t at = place_of(shape, (uint64_t)unit * shape->batch + i);

		memcpy(rig->memory + DESTINATION + at, rig->memory + SOURCE + at, shape->size);
		__asm__ volatile("" : : : "memory");
	}
}

/* The same moves by memcpy, lane after lane. */
static struct timing memcpy_stream(struct dsa_rig *rig, const struct shape *shape)
{
	unsigned int units = units_of(shape), depth = MIN(depth_of(shape), units);
	double moves = (double)units * shape->batch;
	struct stopwatch cpu, wall;

	stopwatch_start(&cpu, CLOCK_THREAD_CPUTIME_ID);
	stopwatch_start(&wall, CLOCK_MONOTONIC);
	for (unsigned int unit = 0; unit < units; unit++)
		copy_unit(rig, shape, unit % depth);
	return (struct timing){ stopwatch_stop(&cpu) / moves, stopwatch_stop(&wall) / moves };
}

/* As many units as have a place of their own, accepted while the engine rests; then it starts. */
static double burst_once(struct dsa_rig *rig, const struct shape *shape, unsigned int turn,
			 clockid_t clock)
{
	unsigned int depth = depth_of(shape);
	struct dsa_descriptor d;
	struct stopwatch watch;

	dsa_engines_stop(rig->dsa);
	for (unsigned int lane = 0; lane < depth; lane++) {
		prepare(rig, shape, turn * depth + lane, lane, &d);
		*(uint64_t *)(rig->memory + record_of(shape, lane)) = 0;
		dsa_rig_submit(rig, &d);
	}
	stopwatch_start(&watch, clock);
	dsa_engines_start(rig->dsa);
	for (unsigned int lane = 0; lane < depth; lane++)
		expect_ok(rig, record_of(shape, lane));
	return stopwatch_stop(&watch) / ((double)depth * shape->batch);
}

/* The turn before it leaves the caches as a turn leaves them, for this CPU as for memcpy's. */
static double burst(struct dsa_rig *rig, const struct shape *shape, unsigned int turn,
		    clockid_t clock)
{
	burst_once(rig, shape, 2 * turn, clock);
	return burst_once(rig, shape, 2 * turn + 1, clock);
}

/* The same moves, and a sleep before them, as the engine has one. */
static double memcpy_burst(struct dsa_rig *rig, const struct shape *shape, unsigned int turn)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	unsigned int depth = depth_of(shape);
	struct stopwatch watch;

	for (unsigned int lane = 0; lane < depth; lane++)
		copy_unit(rig, shape, 2 * turn * depth + lane);
	nanosleep(&pause, NULL);
	stopwatch_start(&watch, CLOCK_THREAD_CPUTIME_ID);
	for (unsigned int lane = 0; lane < depth; lane++)
		copy_unit(rig, shape, (2 * turn + 1) * depth + lane);
	return stopwatch_stop(&watch) / ((double)depth * shape->batch);
}

/* --- rows ------------------------------------------------------------------------------------ */

static const char *size_name(uint32_t size, char *text)
{
	if (size >= MIB)
		snprintf(text, 16, "%u MiB", (unsigned int)(size / MIB));
	else if (size >= KIB)
		snprintf(text, 16, "%u KiB", (unsigned int)(size / KIB));
	else
		snprintf(text, 16, "%u B", size);
	return text;
}

/* Of one shape: the engine's rate by its CPU time, and the stream's by the wall clock. */
enum rate_row {
	ENGINE,
	PORTAL,
	WALL,
	RATES
};

struct rates {
	struct dsa_rig *rig;
	const struct shape *shape;
};

/* What else runs on the machine only ever makes it slower: of a few times in a row the best. */
static double best_burst(struct dsa_rig *rig, const struct shape *shape)
{
	double best = INFINITY;

	for (unsigned int n = 0; n < BEST_OF; n++)
		best = fmin(best, burst(rig, shape, 2 * n, rig->engine_clock));
	return best;
}

/* On places that the engine has not just moved, for those are in the caches. */
static double best_memcpy_burst(struct dsa_rig *rig, const struct shape *shape)
{
	double best = INFINITY;

	for (unsigned int n = 0; n < BEST_OF; n++)
		best = fmin(best, memcpy_burst(rig, shape, 2 * n + 1));
	return best;
}

/*
 * The first stream of each is not counted: it finds the caches as the other left them, and whoever
 * goes second would find there what the first brought.
 */
static struct timing best_stream(struct dsa_rig *rig, const struct shape *shape,
				 struct timing (*one)(struct dsa_rig *rig,
						      const struct shape *shape))
{
	struct timing best = { INFINITY, INFINITY }, timing;

	one(rig, shape);
	for (unsigned int n = 0; n < BEST_OF_STREAMS; n++) {
		timing = one(rig, shape);
		best.cpu = fmin(best.cpu, timing.cpu);
		best.wall = fmin(best.wall, timing.wall);
	}
	return best;
}

static int rates_turn(struct turn *turn, struct err *err)
{
	const struct rates *rates = turn->opaque;
	const struct shape *shape = rates->shape;
	struct timing timing;
	double ns;

	(void)err;
	turn_state(turn, "waiting for the records of a burst");
	ns = turn->party ? best_memcpy_burst(rates->rig, shape) : best_burst(rates->rig, shape);
	turn_put(turn, ENGINE, shape->size / ns);
	turn_state(turn, "waiting for the records of a stream");
	timing = best_stream(rates->rig, shape, turn->party ? memcpy_stream : stream);
	turn_put(turn, PORTAL, shape->size / timing.cpu);
	turn_put(turn, WALL, shape->size / timing.wall);
	return 0;
}

static void draw(struct copy *copy, const struct shape *shape, const struct contest *contest)
{
	if (!copy->run->plot)
		return;
	if (!shape->cached)
		plot_point(copy->run->plot, shape->batch == 1 ? "single" : "batches", shape->size,
			   samples_median(contest_samples(contest, ENGINE, 0)));
	if (shape->batch == 1)
		plot_point(copy->run->plot, "memcpy", shape->size,
			   samples_median(contest_samples(contest, ENGINE, 1)));
}

#define COPY_KEYS                                                                                  \
	(JOB_BIT(JOB_BS) | JOB_BIT(JOB_IODEPTH) | JOB_BIT(JOB_IODEPTH_BATCH) | JOB_BIT(JOB_SIZE) | \
	 JOB_BIT(JOB_IO_SIZE) | JOB_BIT(JOB_PASID))

/* job: that it is called by; NULL: it is known by its shape. */
static int measure_as(struct copy *copy, const struct job *job, const struct shape *shape,
		      bool pasids, struct err *err)
{
	static const char *const kinds[RATES] = { "engine", "portal", "wall" };
	struct rates rates = { pasids ? &copy->pasids : &copy->plain, shape };
	bool target = !job && shape->size >= TARGETS_FROM;
	struct contest_row rows[RATES] = { 0 };
	char names[RATES][96], size[16], how[48] = "";
	struct contest contest = {
		.name = names[ENGINE],
		.parties = { "adit", "memcpy" },
		.party_count = 2,
		.rows = rows,
		.row_count = RATES,
		.jobs = job,
		.job_count = job ? 1 : 0,
		.job_keys = COPY_KEYS,
		.turn = rates_turn,
		.opaque = &rates,
	};
	int ret;

	size_name(shape->size, size);
	if (shape->batch > 1)
		snprintf(how, sizeof(how), " in batches of %u%s", shape->batch,
			 shape->cached ? ", cached" : "");
	for (int i = 0; i < RATES; i++) {
		if (job)
			snprintf(names[i], sizeof(names[i]), "%s: %s", kinds[i], job->name);
		else
			snprintf(names[i], sizeof(names[i]), "%s: %s%s%s", kinds[i], size, how,
				 pasids ? ", PASID" : "");
		rows[i] = (struct contest_row){
			.name = names[i], .unit = "GB/s", .higher = true, .job = job
		};
	}
	rows[ENGINE].target = target ? ENGINE_TARGET : 0;
	rows[PORTAL].target = target && shape->batch >= 64 ? ENGINE_TARGET : 0;
	ret = contest_run(&contest, copy->run, err);
	if (!ret) {
		contest_report(&contest, copy->run);
		if (!pasids)
			draw(copy, shape, &contest);
	}
	contest_free(&contest);
	return ret;
}

static int measure(struct copy *copy, const struct shape *shape, bool pasids, struct err *err)
{
	return measure_as(copy, NULL, shape, pasids, err);
}

static int small_turn(struct turn *turn, struct err *err)
{
	const struct rates *rates = turn->opaque;

	(void)err;
	turn_put(turn, 0, best_burst(rates->rig, rates->shape));
	return 0;
}

static int measure_small(struct copy *copy, uint32_t batch, bool pasids, struct err *err)
{
	const struct shape shape = { .size = 64, .batch = batch };
	struct rates rates = { pasids ? &copy->pasids : &copy->plain, &shape };
	char name[64];
	const struct contest_row row = {
		.name = name,
		.unit = "ns",
		.bar = DESCRIPTOR_LIMIT,
		.bar_name = "120 ns",
		.target = batch == MAX_BATCH ? 1 : 0,
	};
	struct contest contest = {
		.name = name,
		.parties = { "adit" },
		.party_count = 1,
		.rows = &row,
		.row_count = 1,
		.warm_up = 1,
		.turn = small_turn,
		.opaque = &rates,
	};

	snprintf(name, sizeof(name), "engine: 64 B in a batch of %u%s", batch,
		 pasids ? ", PASID" : "");
	return contest_hold(&contest, copy->run, err);
}

/* --- what a PASID costs: the lookup of the host's number, and both addresses translated ------ */

struct translation {
	struct epoch epoch;
	struct epoch_reader reader;
	struct pasid_table *table;
	struct ioasid_pasid *host;
	struct ioasid_device *device;
	struct ioasid_dma *dma;
};

static int translation_open(struct translation *t, struct dsa_rig *rig, struct err *err)
{
	const struct ioasid_source source = {
		.type = IOASID_SOURCE_SOFT,
		.soft = { .pasid_width = 20, .snoop_enforced = true },
	};
	int ret = ioasid_bind(rig->ctx, &source, "translation", &t->device, err);

	epoch_init(&t->epoch);
	epoch_join(&t->epoch, &t->reader);
	if (!ret)
		ret = ioasid_attach(t->device, rig->space, err);
	if (!ret)
		ret = ioasid_pasid_attach(t->device, rig->space, IOASID_PASID_NONE, &t->host, err);
	if (!ret)
		ret = pasid_table_create(&t->table, &t->epoch, err);
	if (!ret)
		ret = pasid_table_bind(t->table, DSA_RIG_PASID, t->host, err);
	if (!ret)
		ret = ioasid_dma_open(rig->ctx, &t->dma, err);
	return ret;
}

static void translation_close(struct translation *t)
{
	if (t->dma)
		ioasid_dma_close(t->dma);
	if (t->table)
		pasid_table_destroy(t->table);
	epoch_leave(&t->epoch, &t->reader);
	epoch_destroy(&t->epoch);
	if (t->host)
		ioasid_pasid_detach(t->host);
	if (t->device)
		ioasid_unbind(t->device);
}

/* Sections are the exit's and the step's: they are there without a PASID too. */
static double translate_pages(struct translation *t)
{
	const unsigned int n = 20000;
	double begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	epoch_enter(&t->epoch, &t->reader);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t from = 4096, to = 4096, at = i % (REGION / 4096) * 4096ULL;
		uint32_t host;

		if (!(i % 64))
			ioasid_dma_begin(t->dma);
		host = pasid_table_lookup(t->table, DSA_RIG_PASID);
		if (!ioasid_translate(t->dma, t->device, host, SOURCE + at, &from, IOASID_READ) ||
		    !ioasid_translate(t->dma, t->device, host, DESTINATION + at, &to, IOASID_WRITE))
			abort();
		if (i % 64 == 63 || i == n - 1)
			ioasid_dma_end(t->dma);
	}
	epoch_exit(&t->reader);
	return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / n;
}

struct price {
	struct translation translation;
	struct dsa_rig *rig;
};

static int price_turn(struct turn *turn, struct err *err)
{
	const struct shape shape = { 4096, (uint32_t)MAX_BATCH, .wide = true };
	struct price *price = turn->opaque;
	double best = INFINITY;

	(void)err;
	for (unsigned int n = 0; !turn->party && n < BEST_OF; n++)
		best = fmin(best, translate_pages(&price->translation));
	turn_put(turn, 0, turn->party ? best_burst(price->rig, &shape) : best);
	return 0;
}

static int measure_translation(struct copy *copy, struct err *err)
{
	static const struct contest_row row = { .name = "PASID lookup and translation",
						.unit = "ns",
						.target = TRANSLATION_LIMIT };
	struct price price = { .rig = &copy->pasids };
	struct contest contest = {
		.name = row.name,
		.parties = { "adit", "4 KiB move" },
		.party_count = 2,
		.rows = &row,
		.row_count = 1,
		.turn = price_turn,
		.opaque = &price,
	};
	int ret = translation_open(&price.translation, &copy->pasids, err);

	if (!ret)
		ret = contest_hold(&contest, copy->run, err);
	translation_close(&price.translation);
	return ret;
}

/* --- the bench ------------------------------------------------------------------------------- */

static const uint32_t sizes[] = { 64,	    256,       1 * KIB, 4 * KIB, 16 * KIB,
				  64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 16 * MIB };

/* For a summary: one of each kind. */
static int measure_brief(struct copy *copy, struct err *err)
{
	int ret = measure(copy, &(struct shape){ .size = MIB, .batch = 1 }, false, err);

	if (!ret)
		ret = measure(copy, &(struct shape){ .size = 64 * KIB, .batch = 64 }, false, err);
	if (!ret)
		ret = measure_small(copy, (uint32_t)MAX_BATCH, false, err);
	return ret ? ret : measure_translation(copy, err);
}

static int measure_all(struct copy *copy, struct err *err)
{
	static const uint32_t batches[] = { 2, 16, 64, 256, 1024 };
	int ret = 0;

	if (copy->run->options->brief)
		return measure_brief(copy, err);
	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(sizes); i++)
		ret = measure(copy, &(struct shape){ .size = sizes[i], .batch = 1 }, false, err);
	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(sizes) && sizes[i] <= MIB; i++)
		ret = measure(copy, &(struct shape){ .size = sizes[i], .batch = 64 }, false, err);
	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(sizes) && sizes[i] <= MIB; i += 2)
		ret = measure(copy, &(struct shape){ .size = sizes[i], .batch = 64 }, true, err);
	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(sizes) && sizes[i] <= MIB; i++) {
		if (sizes[i] >= TARGETS_FROM)
			ret = measure(copy, &(struct shape){ sizes[i], 64, .cached = true }, false,
				      err);
	}
	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(batches); i++)
		ret = measure_small(copy, batches[i], false, err);
	if (!ret)
		ret = measure_small(copy, (uint32_t)MAX_BATCH, true, err);
	return ret ? ret : measure_translation(copy, err);
}

/* Lists of descriptors, records and their queue have room for so many. */
static int check_job(const struct job *job, const char *path, unsigned int i, struct err *err)
{
	unsigned int depth = (unsigned int)(job->iodepth_batch > 1 ? DEPTH : 16 * DEPTH);

	if (job->iodepth > depth)
		return err_set(err, EINVAL, "%s: /jobs/%u/iodepth: %u is more than the %u %s", path,
			       i, job->iodepth, depth,
			       job->iodepth_batch > 1 ? "batches that there is room for"
						      : "that the queue has");
	if (job->size > REGION)
		return err_set(err, EINVAL, "%s: /jobs/%u/size: %llu is more than %llu", path, i,
			       (unsigned long long)job->size, REGION);
	return 0;
}

static int measure_jobs(struct copy *copy, struct err *err)
{
	static const struct job defaults = {
		.bs = 64 * KIB,
		.iodepth = 1,
		.iodepth_batch = 1,
		.size = REGION,
		.io_size = STREAM_BYTES,
	};
	const char *path = copy->run->options->job_path;
	struct jobs jobs;
	int ret = jobs_read(&jobs, path, COPY_KEYS, &defaults, err);

	for (unsigned int i = 0; !ret && i < jobs.count; i++)
		ret = check_job(&jobs.job[i], path, i, err);
	for (unsigned int i = 0; !ret && i < jobs.count; i++) {
		const struct job *job = &jobs.job[i];
		const struct shape shape = {
			.size = (uint32_t)job->bs,
			.batch = job->iodepth_batch,
			.region = job->size,
			.depth = job->iodepth,
			.bytes = job->io_size,
		};

		ret = measure_as(copy, job, &shape, job->pasid, err);
	}
	return ret;
}

struct two {
	struct dsa_rig engines;
	struct dsa_rig *one;
};

static int two_turn(struct turn *turn, struct err *err)
{
	const struct shape shape = { .size = MIB, .batch = 1 };
	struct two *two = turn->opaque;
	struct dsa_rig *rig = turn->party ? two->one : &two->engines;

	(void)err;
	turn_put(turn, 0, shape.size / burst(rig, &shape, turn->round, CLOCK_MONOTONIC));
	return 0;
}

/* Two engines on one queue; on two CPUs they share them with the thread that submits. */
static int measure_two(struct copy *copy, struct err *err)
{
	static const struct contest_row row = { .name = "1 MiB, two engines",
						.unit = "GB/s",
						.higher = true };
	struct two two = { .one = &copy->plain };
	struct contest contest = {
		.name = row.name,
		.parties = { "adit", "one engine" },
		.party_count = 2,
		.rows = &row,
		.row_count = 1,
		.turn = two_turn,
		.opaque = &two,
	};
	int ret = dsa_rig_open(&two.engines, MEMORY, 2, false, err);

	if (ret)
		return ret;
	ret = contest_hold(&contest, copy->run, err);
	dsa_rig_close(&two.engines);
	return ret;
}

static int measure_with_rigs(struct copy *copy, struct err *err)
{
	int ret = dsa_rig_open(&copy->plain, MEMORY, 1, false, err);

	if (ret)
		return ret;
	ret = dsa_rig_open(&copy->pasids, MEMORY, 1, true, err);
	if (ret)
		goto close_plain;
	ret = copy->run->options->job_path ? measure_jobs(copy, err) : measure_all(copy, err);
	if (!ret && !copy->run->options->job_path)
		ret = measure_two(copy, err);
	dsa_rig_close(&copy->pasids);
close_plain:
	dsa_rig_close(&copy->plain);
	return ret;
}

int bench_copy(struct bench_run *run, struct err *err)
{
	struct copy copy = { .run = run };

	if (!run->options->brief && !run->options->job_path)
		run->plot = plot_new("adit bench copy: memory moves by the software engine",
				     "bytes a descriptor", "GB/s");
	results_note(run->results, "single descriptors below 16 KiB measure the portal and the "
				   "queue, not the copy");
	results_note(run->results, "large moves go past the caches unless the descriptor asks for "
				   "these (cached); memcpy of these sizes does not");
	return measure_with_rigs(&copy, err);
}
