/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves under many PASIDs in adit bench dma, without a device: a shared queue of a virtual DSA in
 * this process, whose descriptors name theirs, as those of an ENQCMDS do, and the soft provider,
 * which translates. Each PASID has a space and memory of its own there, at the same addresses as
 * all others. Beside it: the same moves, of the same memory in the same order, in one space under
 * no PASID. What is left are the PASIDs: their lookup, and translations that no two of them share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/clock.h"
#include "bench/dma-internal.h"
#include "bench/dsa-rig.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"

#define PASIDS_MOST 4096u
#define FIRST	    (DSA_RIG_PASID + 1)
/* Of each PASID's memory. */
#define SOURCE	    0u
#define DESTINATION DMA_PAGE
#define RECORDS	    (2ULL * DMA_PAGE)
#define SLICE	    (3ULL * DMA_PAGE)
#define RECORD	    64ULL
#define DEPTH	    DSA_RIG_QUEUE
#define BURSTS	    128u /* besides the first, which finds caches as others left them */
#define MEMORY	    (PASIDS_MOST * SLICE)

_Static_assert(DEPTH *RECORD <= DMA_PAGE, "records lie in their page");

static const struct shape {
	const char *name;
	unsigned int pasids, in_row;
	bool brief;
} shapes[] = {
	{ "1 PASID", 1, 1, true },
	{ "16 PASIDs in turn", 16, 1, false },
	{ "256 PASIDs in turn", 256, 1, true },
	{ "256 PASIDs, 64 in a row", 256, 64, false },
	{ "4096 PASIDs in turn", 4096, 1, true },
	{ "4096 PASIDs, 64 in a row", 4096, 64, false },
};

enum soft_row {
	ENGINE = DMA_FIGURES, /* CPU time of the engine's thread for a move that waited for it */
	ROWS
};

struct soft {
	struct dma_device device;
	struct dsa_rig rig;
	bool pasids;
	unsigned int in_row;
	unsigned int slice[DEPTH]; /* that a lane's move is in */
};

struct soft_bench {
	const struct dma *dma;
	struct soft with, without;
	const struct shape *shape[ARRAY_SIZE(shapes)];
	unsigned int shapes;
};

/* --- a driver ---------------------------------------------------------------------------------
 */

static struct soft *of(struct dma_device *d)
{
	return container_of(d, struct soft, device);
}

static uint8_t *memory_of(const struct soft *soft, unsigned int slice)
{
	return soft->rig.memory + slice * SLICE;
}

static uint64_t *record_of(const struct soft *soft, unsigned int lane)
{
	return (uint64_t *)(memory_of(soft, soft->slice[lane]) + RECORDS + lane * RECORD);
}

static void move(struct soft *soft, unsigned int lane, unsigned int slice)
{
	uint64_t base = soft->pasids ? 0 : slice * SLICE;
	const struct dsa_descriptor d = {
		.pasid = soft->pasids ? FIRST + slice : 0,
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD,
		.record = base + RECORDS + lane * RECORD,
		.source = base + SOURCE,
		.destination = base + DESTINATION,
		.size = DMA_PAGE,
	};

	soft->slice[lane] = slice;
	__atomic_store_n(record_of(soft, lane), 0, __ATOMIC_RELEASE);
	soft->device.dsa.busy |= BIT_U64(lane);
	dsa_rig_enqueue(&soft->rig, &d);
}

/* The load walks over places; so many of them in a row are one PASID's. */
static void soft_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	(void)to_memory;
	move(of(d), lane, (unsigned int)((address - DMA_OWN) / DMA_PAGE / of(d)->in_row));
}

static uint64_t soft_reap(struct dma_device *d)
{
	uint64_t done = 0;

	for (uint64_t left = d->dsa.busy; left; left &= left - 1) {
		unsigned int lane = (unsigned int)__builtin_ctzll(left);
		uint64_t record = __atomic_load_n(record_of(of(d), lane), __ATOMIC_ACQUIRE);

		if (!(uint8_t)record)
			continue;
		done |= BIT_U64(lane);
		if ((uint8_t)record != DSA_STATUS_OK) {
			d->failed++;
			d->error = (uint8_t)record;
		}
	}
	d->dsa.busy &= ~done;
	return done;
}

static const struct dma_driver soft_driver = {
	.name = "soft",
	.submit = soft_submit,
	.reap = soft_reap,
};

/* --- the proof -------------------------------------------------------------------------------- */

/* No two sources are the same, so what went through another's space is seen. */
static void fill(const struct soft *soft, unsigned int slice, unsigned int salt)
{
	uint64_t *word = (uint64_t *)(memory_of(soft, slice) + SOURCE);

	for (uint64_t i = 0; i < DMA_PAGE / 8; i++)
		word[i] = ((uint64_t)slice << 32 | salt << 16 | i) * 0x9e3779b97f4a7c15u;
	memset(memory_of(soft, slice) + DESTINATION, 0x5a, DMA_PAGE);
}

static bool moved(const struct soft *soft, unsigned int slice)
{
	return !memcmp(memory_of(soft, slice) + DESTINATION, memory_of(soft, slice) + SOURCE,
		       DMA_PAGE);
}

/* False: one failed, or they stay away. */
static bool settle(struct soft *soft)
{
	uint64_t last = dma_ticks();

	while (soft->device.dsa.busy && !soft->device.failed &&
	       dma_ticks() - last < soft->device.patience) {
		if (soft_reap(&soft->device))
			last = dma_ticks();
	}
	return !soft->device.dsa.busy && !soft->device.failed;
}

/* A move under each PASID, after which all destinations have to be their sources. */
static bool prove(struct soft *soft, unsigned int pasids, unsigned int salt)
{
	soft->device.failed = 0;
	for (unsigned int i = 0; i < pasids; i++)
		fill(soft, i, salt);
	for (unsigned int i = 0; i < pasids; i += DEPTH) {
		for (unsigned int lane = 0; lane < DEPTH && i + lane < pasids; lane++)
			move(soft, lane, i + lane);
		if (!settle(soft))
			return false;
	}
	for (unsigned int i = 0; i < pasids; i++) {
		if (!moved(soft, i))
			return false;
	}
	return true;
}

/* --- turns ----------------------------------------------------------------------------------- */

/* ns of the engine's thread for a move: of bursts that are accepted while it rests. */
static bool burst(struct soft *soft, const struct shape *shape, unsigned int first, double *ns)
{
	double begin;
	bool good;

	dsa_engines_stop(soft->rig.dsa);
	for (unsigned int lane = 0; lane < DEPTH; lane++)
		move(soft, lane, (first + lane) / shape->in_row % shape->pasids);
	begin = clock_ns(soft->rig.engine_clock);
	dsa_engines_start(soft->rig.dsa);
	good = settle(soft);
	*ns = (clock_ns(soft->rig.engine_clock) - begin) / DEPTH;
	return good;
}

static bool bursts(struct soft *soft, const struct shape *shape, double *ns)
{
	double one, sum = 0;

	if (!burst(soft, shape, 0, &one))
		return false;
	for (unsigned int i = 1; i <= BURSTS; i++) {
		if (!burst(soft, shape, i * DEPTH, &one))
			return false;
		sum += one;
	}
	*ns = sum / BURSTS;
	return true;
}

static int one_shape(struct soft_bench *bench, struct soft *soft, struct turn *turn,
		     unsigned int index, struct err *err)
{
	static struct dma_result result;
	const struct dma *dma = bench->dma;
	const struct shape *shape = bench->shape[index];
	const struct dma_load load = {
		.bytes = DMA_PAGE,
		.batch = 1,
		.depth = DEPTH,
		.size = (uint64_t)shape->pasids * shape->in_row * DMA_PAGE,
		.ticks = (uint64_t)((dma->options.brief ? DMA_RUNTIME_BRIEF : DMA_RUNTIME) *
				    dma->hertz),
		.least = 2 * DEPTH,
	};
	struct dma_says says;
	double ns = 0;

	turn_state(turn, "%s: a move under each", shape->name);
	soft->in_row = shape->in_row;
	if (!prove(soft, shape->pasids, turn->round & 0xff))
		return err_set(err, EIO,
			       "%s: what arrived is not what was sent, or stayed away; the last "
			       "record that says so has status 0x%x",
			       shape->name, soft->device.error);
	turn_state(turn, "%s: moves", shape->name);
	if (!dma_run(&soft->device, &load, &result) || !bursts(soft, shape, &ns))
		return err_set(err, EIO,
			       "%s: after %llu moves one failed or stayed away: the last status "
			       "is 0x%x",
			       shape->name, (unsigned long long)result.done, soft->device.error);
	says = dma_says_of(&result);
	dma_rows_put(turn, index * ROWS, &says, DMA_PAGE, 1, dma->hertz);
	turn_put(turn, index * ROWS + ENGINE, ns);
	return 0;
}

static int soft_turn(struct turn *turn, struct err *err)
{
	struct soft_bench *bench = turn->opaque;
	struct soft *soft = turn->party ? &bench->without : &bench->with;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < bench->shapes; i++)
		ret = one_shape(bench, soft, turn, i, err);
	return ret;
}

/* --- the bench ------------------------------------------------------------------------------- */

/* A space of its own for each, in which its slice begins at 0. */
static int bind_slices(struct soft *soft, struct err *err)
{
	const struct ioasid_space_options options = { .name = "slice", .pasid_capable = true };
	int ret = 0;

	for (unsigned int i = 0; !ret && i < PASIDS_MOST; i++) {
		struct ioasid_space *space;

		ret = ioasid_alloc(soft->rig.ctx, &options, &space, err);
		if (!ret)
			ret = ioasid_map_hva(space, 0, SLICE, memory_of(soft, i),
					     IOASID_READ | IOASID_WRITE, err);
		if (!ret)
			ret = dsa_pasid_bind(soft->rig.dsa, FIRST + i, space, IOASID_PASID_NONE,
					     NULL, err);
	}
	return ret;
}

static int soft_open(struct soft *soft, const struct dma *dma, bool pasids, struct err *err)
{
	int ret = dsa_rig_open_shared(&soft->rig, MEMORY, pasids, err);

	if (ret)
		return ret;
	soft->pasids = pasids;
	soft->device = (struct dma_device){
		.driver = &soft_driver,
		.patience = (uint64_t)(dma->hertz * DMA_PATIENCE_SECONDS),
	};
	ret = pasids ? bind_slices(soft, err) : 0;
	if (ret)
		dsa_rig_close(&soft->rig);
	return ret;
}

static int hold(struct soft_bench *bench, struct bench_run *run, struct err *err)
{
	struct dma_rows rows;
	struct contest contest = {
		.name = "soft",
		.parties = { "adit", "no PASIDs" },
		.party_count = 2,
		.rows = rows.row,
		.row_count = bench->shapes * ROWS,
		.warm_up = 1,
		.turn = soft_turn,
		.opaque = bench,
	};
	int ret;

	_Static_assert(ARRAY_SIZE(shapes) * ROWS <= ROWS_MAX, "all shapes have their rows");
	for (unsigned int i = 0; i < bench->shapes; i++) {
		char name[80], *engine = rows.name[i * ROWS + ENGINE];

		snprintf(name, sizeof(name), "soft: 4 KiB, depth %u, %s", DEPTH,
			 bench->shape[i]->name);
		dma_rows_name(&rows, i * ROWS, name, DMA_PAGE, run->options->brief);
		snprintf(engine, sizeof(rows.name[0]), "%s: engine's CPU time", name);
		rows.row[i * ROWS + ENGINE] = (struct contest_row){ .name = engine, .unit = "ns" };
	}
	ret = contest_run(&contest, run, err);
	for (unsigned int i = 0; !ret && i < bench->shapes; i++)
		dma_rows_judge(&rows, i * ROWS, &contest);
	if (!ret)
		contest_report(&contest, run);
	contest_free(&contest);
	return ret;
}

int dma_soft_measure(const struct dma *dma, struct bench_run *run, struct err *err)
{
	struct soft_bench *bench = calloc(1, sizeof(*bench));
	int ret;

	if (!bench)
		return err_set(err, ENOMEM, "no memory");
	bench->dma = dma;
	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++) {
		if (shapes[i].brief || !dma->options.brief)
			bench->shape[bench->shapes++] = &shapes[i];
	}
	ret = soft_open(&bench->with, dma, true, err);
	if (ret)
		goto out;
	ret = soft_open(&bench->without, dma, false, err);
	if (!ret) {
		ret = hold(bench, run, err);
		dsa_rig_close(&bench->without.rig);
	}
	dsa_rig_close(&bench->with.rig);
out:
	free(bench);
	return ret;
}
