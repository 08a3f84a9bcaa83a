/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench fault: what it takes until a fault of an ADI is known, what a move takes that waits
 * for its page and goes on once that was brought, and what a PASID takes on its way from bound to
 * bound again while descriptors run under it. On a virtual DSA in this process and the soft
 * provider, which reports every fault; by the clock on the wall, for it is threads that wait for
 * each other.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/clock.h"
#include "bench/contest.h"
#include "bench/dsa-rig.h"
#include "bench/results.h"
#include "ioasid-client/fault.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"

#define MEMORY	    (4 * MIB)
#define NOWHERE	    (64 * GIB) /* mapped by nobody */
#define SOURCE	    MIB
#define DESTINATION (2 * MIB)
#define RECORDS	    (3 * MIB)
#define MOVE	    4096u
#define UNDER_WAY   8u
#define TRIES	    20u /* of which a turn takes the median: one is a few us */
#define WAIT_NS	    1000000.0

/* flags: besides those of a move that has a record. */
static void submit_with(struct dsa_rig *rig, uint32_t flags, uint64_t source, unsigned int lane)
{
	const struct dsa_descriptor d = {
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD | flags,
		.record = RECORDS + lane * 32ULL,
		.source = source,
		.destination = DESTINATION,
		.size = MOVE,
	};

	__atomic_store_n((uint64_t *)(rig->memory + d.record), 0, __ATOMIC_RELEASE);
	dsa_rig_submit(rig, &d);
}

static void submit(struct dsa_rig *rig, uint64_t source, unsigned int lane)
{
	submit_with(rig, 0, source, lane);
}

/* --- faults and page requests ---------------------------------------------------------------- */

/* What becomes of a move from where nothing is, and a moment of it that a move that works has not.
 */
struct kind {
	const char *name, *state;
	const struct contest_row *rows;
	unsigned int whole, own; /* which rows */
	/* Fills both in ns. salt: another one each time. */
	int (*once)(struct dsa_rig *rig, unsigned int salt, double *whole, double *own,
		    struct err *err);
};

struct trial {
	struct dsa_rig rig;
	const struct kind *kind;
};

static int plain_move(struct dsa_rig *rig, double *whole, struct err *err)
{
	double start = now_ns();

	submit(rig, SOURCE, 0);
	if (dsa_rig_wait(rig, RECORDS) != DSA_STATUS_OK)
		return err_set(err, EIO, "a move failed");
	*whole = now_ns() - start;
	return 0;
}

static int trial_turn(struct turn *turn, struct err *err)
{
	struct trial *trial = turn->opaque;
	const struct kind *kind = trial->kind;
	struct samples whole = { 0 }, own = { 0 };
	int ret = 0;

	turn_state(turn, "%s", kind->state);
	for (unsigned int i = 0; !ret && i < TRIES; i++) {
		double a = 0, b = 0;

		if (turn->party)
			ret = plain_move(&trial->rig, &a, err);
		else
			ret = kind->once(&trial->rig, turn->round * TRIES + i, &a, &b, err);
		samples_add(&whole, a);
		samples_add(&own, b);
	}
	turn_put(turn, kind->whole, samples_median(&whole) / 1e3);
	if (!turn->party)
		turn_put(turn, kind->own, samples_median(&own) / 1e3);
	return ret;
}

/* The trial's rig is open already, and closed here. */
static int hold_trial(struct trial *trial, struct bench_run *run, struct err *err)
{
	struct contest contest = {
		.name = trial->kind->name,
		.parties = { "adit", "no fault" },
		.party_count = 2,
		.rows = trial->kind->rows,
		.row_count = 2,
		.warm_up = 1,
		.turn = trial_turn,
		.opaque = trial,
	};
	int fd, ret;

	/* From here on they are kept for a reader. */
	ret = ioasid_faults_fd(trial->rig.ctx, &fd, err);
	if (!ret)
		ret = contest_hold(&contest, run, err);
	dsa_rig_close(&trial->rig);
	return ret;
}

static int no_faults(struct dsa_rig *rig, struct err *err)
{
	struct ioasid_fault fault;
	size_t got = 1;
	int ret = 0;

	while (!ret && got)
		ret = ioasid_faults_read(rig->ctx, &fault, 1, &got, NULL, err);
	return ret;
}

/* The engine has the report out before its record: what is asked here is when a reader has it. */
static int one_fault(struct dsa_rig *rig, unsigned int salt, double *record, double *report,
		     struct err *err)
{
	struct ioasid_fault fault;
	size_t got = 0;
	double start;
	int ret = no_faults(rig, err);

	if (ret)
		return ret;
	start = now_ns();
	submit(rig, NOWHERE, 0);
	if (dsa_rig_wait(rig, RECORDS) == DSA_STATUS_OK)
		return err_set(err, EIO, "a move from 0x%llx, where nothing is, worked", NOWHERE);
	*record = now_ns() - start;
	ret = ioasid_faults_read(rig->ctx, &fault, 1, &got, NULL, err);
	*report = now_ns() - start;
	if (!ret && (!got || align_down(fault.iova, 4096) != NOWHERE))
		return err_set(err, EIO, "the fault at 0x%llx was not reported", NOWHERE);
	return ret;
}

static int measure_faults(struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[] = {
		{ .name = "fault: to its completion record", .unit = "us" },
		{ .name = "fault: to its report", .unit = "us" },
	};
	static const struct kind kind = {
		.name = "fault",
		.state = "waiting for the record of a move",
		.rows = rows,
		.whole = 0,
		.own = 1,
		.once = one_fault,
	};
	struct trial trial = { .kind = &kind };
	int ret = dsa_rig_open(&trial.rig, MEMORY, 1, false, err);

	return ret ? ret : hold_trial(&trial, run, err);
}

/* The reader is this thread, and looks all the time. */
static int read_request(struct dsa_rig *rig, struct ioasid_fault *fault, struct err *err)
{
	double end = now_ns() + 1e3 * WAIT_NS;
	size_t got = 0;
	int ret = 0;

	while (!ret && !got && now_ns() < end)
		ret = ioasid_faults_read(rig->ctx, fault, 1, &got, NULL, err);
	if (!ret && (!got || !fault->waits || align_down(fault->iova, 4096) != NOWHERE))
		ret = err_set(err, EIO, "the page at 0x%llx was not asked for", NOWHERE);
	return ret;
}

/* What is brought is the page of the source, by which the move is known to have read it. */
static int one_request(struct dsa_rig *rig, unsigned int salt, double *answered, double *asked,
		       struct err *err)
{
	struct ioasid_fault fault = { 0 };
	double start;
	int ret;

	memset(rig->memory + SOURCE, (int)(salt & 0xff), MOVE);
	memset(rig->memory + DESTINATION, (int)(~salt & 0xff), MOVE);
	start = now_ns();
	submit_with(rig, DSA_FLAG_BLOCK_ON_FAULT, NOWHERE, 0);
	ret = read_request(rig, &fault, err);
	*asked = now_ns() - start;
	if (!ret)
		ret = ioasid_map_hva(rig->space, NOWHERE, MOVE, rig->memory + SOURCE, IOASID_READ,
				     err);
	start = now_ns();
	if (!ret)
		ret = ioasid_fault_respond(rig->ctx, fault.cookie, IOASID_RESPONSE_RETRY, err);
	if (ret)
		return ret;
	if (dsa_rig_wait(rig, RECORDS) != DSA_STATUS_OK ||
	    memcmp(rig->memory + SOURCE, rig->memory + DESTINATION, MOVE) != 0)
		ret = err_set(err, EIO, "a move whose page was brought did not bring it");
	*answered = now_ns() - start;
	return ret ? ret : ioasid_unmap(rig->space, NOWHERE, MOVE, err);
}

static int measure_requests(struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[] = {
		{ .name = "page request: to its reader", .unit = "us" },
		{ .name = "page request: from its answer to the move's end", .unit = "us" },
	};
	static const struct kind kind = {
		.name = "page request",
		.state = "waiting for a page request, or the record behind it",
		.rows = rows,
		.whole = 1,
		.own = 0,
		.once = one_request,
	};
	struct trial trial = { .kind = &kind };
	int ret = dsa_rig_open_paged(&trial.rig, MEMORY, err);

	return ret ? ret : hold_trial(&trial, run, err);
}

/* --- PASIDs ---------------------------------------------------------------------------------- */

enum pasid_row {
	UNBIND,
	REUSE, /* from the begin of unbind until its number is taken again */
	PASID_ROWS
};

struct load {
	struct dsa_rig rig;
	uint32_t host;
	pthread_t thread;
	bool stop; /* atomic */
	uint64_t moved, failed;
};

/* Of one that was refused there is no record: it is not waited for longer than that. */
static uint8_t wait_a_while(struct dsa_rig *rig, unsigned int lane)
{
	const uint64_t *record = (const uint64_t *)(rig->memory + RECORDS + lane * 32ULL);
	double end = now_ns() + WAIT_NS;
	uint64_t word;

	while (!(word = __atomic_load_n(record, __ATOMIC_ACQUIRE)) && now_ns() < end)
		__builtin_ia32_pause();
	return (uint8_t)word;
}

static void *load_thread(void *arg)
{
	struct load *load = arg;

	while (!__atomic_load_n(&load->stop, __ATOMIC_RELAXED)) {
		for (unsigned int lane = 0; lane < UNDER_WAY; lane++)
			submit(&load->rig, SOURCE, lane);
		for (unsigned int lane = 0; lane < UNDER_WAY; lane++) {
			if (wait_a_while(&load->rig, lane) == DSA_STATUS_OK)
				load->moved++;
			else
				load->failed++;
		}
	}
	return NULL;
}

/* Until nobody holds the number any more, which a descriptor under way may. */
static int bind_again(struct load *load, struct err *err)
{
	double end = now_ns() + 1e3 * WAIT_NS;
	int ret;

	do
		ret = dsa_pasid_bind(load->rig.dsa, DSA_RIG_PASID, load->rig.space, load->host,
				     NULL, err);
	while (ret == -EBUSY && now_ns() < end);
	return ret;
}

static int cycle(struct load *load, struct samples *unbind, struct samples *reuse, struct err *err)
{
	double start = now_ns();
	int ret = dsa_pasid_unbind(load->rig.dsa, DSA_RIG_PASID, err);

	samples_add(unbind, now_ns() - start);
	if (!ret)
		ret = bind_again(load, err);
	samples_add(reuse, now_ns() - start);
	return ret;
}

static int pasid_turn(struct turn *turn, struct err *err)
{
	const struct timespec pause = { .tv_nsec = 200000 }; /* for the load to come up */
	struct load *load = turn->opaque;
	struct samples unbind = { 0 }, reuse = { 0 };
	int ret = 0;

	load->stop = false;
	if (!turn->party && pthread_create(&load->thread, NULL, load_thread, load))
		return err_set(err, EAGAIN, "no thread for the load");
	for (unsigned int i = 0; !ret && i < TRIES; i++) {
		turn_state(turn, "PASID %u is bound again", load->host);
		nanosleep(&pause, NULL);
		ret = cycle(load, &unbind, &reuse, err);
	}
	__atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
	if (!turn->party)
		pthread_join(load->thread, NULL);
	turn_put(turn, UNBIND, samples_median(&unbind) / 1e3);
	turn_put(turn, REUSE, samples_median(&reuse) / 1e3);
	return ret;
}

static int hold_pasids(struct load *load, struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[PASID_ROWS] = {
		[UNBIND] = { .name = "PASID: unbind under load", .unit = "us" },
		[REUSE] = { .name = "PASID: unbind to reuse under load", .unit = "us" },
	};
	struct contest contest = {
		.name = "PASID",
		.parties = { "adit", "idle" },
		.party_count = 2,
		.rows = rows,
		.row_count = PASID_ROWS,
		.warm_up = 1,
		.turn = pasid_turn,
		.opaque = load,
	};
	int ret = dsa_pasid_unbind(load->rig.dsa, DSA_RIG_PASID, err);

	if (!ret)
		ret = dsa_pasid_bind(load->rig.dsa, DSA_RIG_PASID, load->rig.space,
				     IOASID_PASID_NONE, &load->host, err);
	if (!ret)
		ret = contest_hold(&contest, run, err);
	return ret;
}

int bench_fault(struct bench_run *run, struct err *err)
{
	struct load *load = calloc(1, sizeof(*load));
	int ret = measure_faults(run, err);

	if (!load)
		return err_set(err, ENOMEM, "no memory");
	if (!ret)
		ret = measure_requests(run, err);
	if (!ret)
		ret = dsa_rig_open(&load->rig, MEMORY, 1, true, err);
	if (!ret) {
		ret = hold_pasids(load, run, err);
		results_note(run->results,
			     "PASID: %llu moves ended well under it, %llu met it unbound",
			     (unsigned long long)load->moved, (unsigned long long)load->failed);
		dsa_rig_close(&load->rig);
	}
	free(load);
	return ret;
}
