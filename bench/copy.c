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

#include "bench/bench.h"
#include "bench/dsa-rig.h"
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
};

struct copy {
	const struct bench_options *options;
	struct results *results;
	struct dsa_rig plain, pasids;
	struct plot *plot;
};

static double read_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* --- the stream ------------------------------------------------------------------------------ */

static uint64_t region_of(const struct shape *shape)
{
	return shape->size < TARGETS_FROM && !shape->wide ? REGION_SMALL : REGION;
}

static uint64_t place_of(const struct shape *shape, uint64_t move)
{
	return move % (region_of(shape) / shape->size) * shape->size;
}

static unsigned int units_of(const struct shape *shape)
{
	uint64_t bytes = (uint64_t)shape->size * shape->batch;

	return (unsigned int)MIN(MAX(STREAM_BYTES / bytes, 3ULL), (uint64_t)STREAM_UNITS);
}

static unsigned int depth_of(const struct shape *shape)
{
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
	watch->begin = read_ns(clock);
}

static double stopwatch_stop(const struct stopwatch *watch)
{
	return read_ns(watch->clock) - watch->begin;
}

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
struct rates {
	struct samples engine, engine_memcpy, portal, portal_memcpy, wall, wall_memcpy;
};

/* What else runs on the machine only ever makes it slower: of a few times in a row the best. */
static double best_burst(struct dsa_rig *rig, const struct shape *shape)
{
	double best = INFINITY;

	for (unsigned int n = 0; n < BEST_OF; n++)
		best = fmin(best, burst(rig, shape, n, rig->engine_clock));
	return best;
}

/*
 * In turns with memcpy, so that a disturbance meets both; each on places that the other has not
 * just moved, for those are in the caches.
 */
static void add_bursts(struct dsa_rig *rig, const struct shape *shape, struct rates *rates)
{
	double ours = INFINITY, theirs = INFINITY;

	for (unsigned int n = 0; n < BEST_OF; n++) {
		ours = fmin(ours, burst(rig, shape, 2 * n, rig->engine_clock));
		theirs = fmin(theirs, memcpy_burst(rig, shape, 2 * n + 1));
	}
	samples_add(&rates->engine, shape->size / ours);
	samples_add(&rates->engine_memcpy, shape->size / theirs);
}

static void keep_best(struct timing *best, struct timing timing)
{
	best->cpu = fmin(best->cpu, timing.cpu);
	best->wall = fmin(best->wall, timing.wall);
}

/*
 * The stream before each leaves its part of the region in the caches, for the one as for the other:
 * else whoever goes second finds there what the first brought.
 */
static void add_streams(struct dsa_rig *rig, const struct shape *shape, struct rates *rates)
{
	struct timing ours = { INFINITY, INFINITY }, theirs = ours;

	for (unsigned int n = 0; n < BEST_OF_STREAMS; n++) {
		stream(rig, shape);
		keep_best(&ours, stream(rig, shape));
		memcpy_stream(rig, shape);
		keep_best(&theirs, memcpy_stream(rig, shape));
	}
	samples_add(&rates->portal, shape->size / ours.cpu);
	samples_add(&rates->portal_memcpy, shape->size / theirs.cpu);
	samples_add(&rates->wall, shape->size / ours.wall);
	samples_add(&rates->wall_memcpy, shape->size / theirs.wall);
}

static void sample(struct copy *copy, const struct shape *shape, struct dsa_rig *rig,
		   struct rates *rates)
{
	for (unsigned int i = 0; i < copy->options->rounds; i++) {
		add_bursts(rig, shape, rates);
		add_streams(rig, shape, rates);
	}
}

static void add_rate(struct copy *copy, const char *name, bool target, struct samples *ours,
		     struct samples *theirs)
{
	results_add(copy->results,
		    &(struct result){ .name = name,
				      .unit = "GB/s",
				      .reference_name = "memcpy",
				      .target = target ? ENGINE_TARGET : 0,
				      .higher = true },
		    ours, theirs);
}

static void measure(struct copy *copy, const struct shape *shape, bool pasids)
{
	struct rates *rates = calloc(1, sizeof(*rates));
	bool target = shape->size >= TARGETS_FROM;
	char name[96], size[16], how[48] = "";

	if (!rates)
		abort();
	sample(copy, shape, pasids ? &copy->pasids : &copy->plain, rates);
	size_name(shape->size, size);
	if (shape->batch > 1)
		snprintf(how, sizeof(how), " in batches of %u%s", shape->batch,
			 shape->cached ? ", cached" : "");
	snprintf(name, sizeof(name), "engine: %s%s%s", size, how, pasids ? ", PASID" : "");
	add_rate(copy, name, target, &rates->engine, &rates->engine_memcpy);
	if (!shape->cached)
		plot_point(copy->plot, shape->batch == 1 ? "single" : "batches", shape->size,
			   samples_quantile(&rates->engine, 0.5));
	if (shape->batch == 1)
		plot_point(copy->plot, "memcpy", shape->size,
			   samples_quantile(&rates->engine_memcpy, 0.5));
	snprintf(name, sizeof(name), "portal: %s%s%s", size, how, pasids ? ", PASID" : "");
	add_rate(copy, name, target && shape->batch >= 64, &rates->portal, &rates->portal_memcpy);
	snprintf(name, sizeof(name), "wall:   %s%s%s", size, how, pasids ? ", PASID" : "");
	add_rate(copy, name, false, &rates->wall, &rates->wall_memcpy);
	free(rates);
}

static void measure_small(struct copy *copy, uint32_t batch, bool pasids)
{
	const struct shape shape = { .size = 64, .batch = batch };
	static struct samples engine;
	char name[64];

	engine.count = 0;
	stream(pasids ? &copy->pasids : &copy->plain, &shape);
	for (unsigned int i = 0; i < copy->options->rounds; i++)
		samples_add(&engine, best_burst(pasids ? &copy->pasids : &copy->plain, &shape));
	snprintf(name, sizeof(name), "engine: 64 B in a batch of %u%s", batch,
		 pasids ? ", PASID" : "");
	results_add(copy->results,
		    &(struct result){ .name = name,
				      .unit = "ns",
				      .reference = DESCRIPTOR_LIMIT,
				      .reference_name = "bar",
				      .target = batch == MAX_BATCH ? 1 : 0 },
		    &engine, NULL);
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
	double begin = read_ns(CLOCK_THREAD_CPUTIME_ID);

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
	return (read_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / n;
}

static int measure_translation(struct copy *copy, struct err *err)
{
	const struct shape shape = { 4096, (uint32_t)MAX_BATCH, .wide = true };
	static struct samples cost, move;
	struct translation t = { 0 };
	int ret = translation_open(&t, &copy->pasids, err);

	cost.count = move.count = 0;
	for (unsigned int i = 0; !ret && i < copy->options->rounds; i++) {
		double best = INFINITY;

		for (unsigned int n = 0; n < BEST_OF; n++)
			best = fmin(best, translate_pages(&t));
		samples_add(&cost, best);
		samples_add(&move, best_burst(&copy->pasids, &shape));
	}
	translation_close(&t);
	if (ret)
		return ret;
	results_add(copy->results,
		    &(struct result){ .name = "PASID lookup and translation",
				      .unit = "ns",
				      .reference_name = "4 KiB move",
				      .target = TRANSLATION_LIMIT },
		    &cost, &move);
	return 0;
}

/* --- the bench ------------------------------------------------------------------------------- */

static int measure_all(struct copy *copy, struct err *err)
{
	static const uint32_t sizes[] = { 64,	    256,       1 * KIB, 4 * KIB, 16 * KIB,
					  64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 16 * MIB };
	static const uint32_t batches[] = { 2, 16, 64, 256, 1024 };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		measure(copy, &(struct shape){ .size = sizes[i], .batch = 1 }, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= MIB; i++)
		measure(copy, &(struct shape){ .size = sizes[i], .batch = 64 }, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= MIB; i += 2)
		measure(copy, &(struct shape){ .size = sizes[i], .batch = 64 }, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= MIB; i++) {
		if (sizes[i] >= TARGETS_FROM)
			measure(copy, &(struct shape){ sizes[i], 64, .cached = true }, false);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(batches); i++)
		measure_small(copy, batches[i], false);
	measure_small(copy, (uint32_t)MAX_BATCH, true);
	return measure_translation(copy, err);
}

/* Two engines on one queue; on two CPUs they share them with the thread that submits. */
static int measure_two(struct copy *copy, struct err *err)
{
	const struct shape shape = { .size = MIB, .batch = 1 };
	static struct samples two, one;
	struct dsa_rig rig;
	int ret = dsa_rig_open(&rig, MEMORY, 2, false, err);

	if (ret)
		return ret;
	two.count = one.count = 0;
	for (unsigned int i = 0; i < copy->options->rounds; i++) {
		samples_add(&two, shape.size / burst(&rig, &shape, i, CLOCK_MONOTONIC));
		samples_add(&one, shape.size / burst(&copy->plain, &shape, i, CLOCK_MONOTONIC));
	}
	dsa_rig_close(&rig);
	results_add(copy->results,
		    &(struct result){ .name = "1 MiB, two engines",
				      .unit = "GB/s",
				      .reference_name = "one engine",
				      .higher = true },
		    &two, &one);
	return 0;
}

static int run(struct copy *copy, struct err *err)
{
	int ret = dsa_rig_open(&copy->plain, MEMORY, 1, false, err);

	if (ret)
		return ret;
	ret = dsa_rig_open(&copy->pasids, MEMORY, 1, true, err);
	if (ret)
		goto close_plain;
	ret = measure_all(copy, err);
	if (!ret)
		ret = measure_two(copy, err);
	dsa_rig_close(&copy->pasids);
close_plain:
	dsa_rig_close(&copy->plain);
	return ret;
}

int bench_copy(const struct bench_options *options)
{
	struct copy copy = {
		.options = options,
		.results = results_new("copy"),
		.plot = plot_new("adit bench copy: memory moves by the software engine",
				 "bytes a descriptor", "GB/s"),
	};
	struct err err = { 0 };
	int ret = run(&copy, &err);

	if (ret) {
		fprintf(stderr, "adit bench copy: %s\n", err.text);
	} else {
		results_note(copy.results,
			     "single descriptors below 16 KiB measure the portal and the queue, "
			     "not the copy");
		results_note(copy.results,
			     "large moves go past the caches unless the descriptor asks for these "
			     "(cached); memcpy of these sizes does not");
		ret = results_print(copy.results, options->json_path);
		if (!ret && options->svg_path)
			ret = plot_write(copy.plot, options->svg_path);
		if (ret)
			fprintf(stderr, "adit bench copy: cannot write the results: %s\n",
				strerror(-ret));
	}
	plot_free(copy.plot);
	results_free(copy.results);
	return ret ? 1 : 0;
}
