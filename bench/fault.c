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
#include <sched.h>
#include <stdio.h>
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
#define TRIES	    1000u /* of which a turn takes the median and p99: one is a few us */
#define TRIES_BRIEF 100u  /* and no p99 */
#define WAIT_NS	    1000000.0
#define PASS_NS	    200000.0 /* for moves of which some were refused: of these there is no record */

static unsigned int tries_of(const struct turn *turn)
{
	return turn->run->options->brief ? TRIES_BRIEF : TRIES;
}

/* Rows come twice: a median each, and behind all of them the tail of each. */
static void put(struct turn *turn, unsigned int row, const struct samples *ns)
{
	turn_put(turn, row, samples_median(ns) / 1e3);
	turn_put(turn, turn->contest->row_count / 2 + row, samples_quantile(ns, 0.99) / 1e3);
}

static void name_rows(struct contest_row *rows, char (*names)[80], const char *const *what,
		      unsigned int count, bool brief)
{
	for (unsigned int i = 0; i < 2 * count; i++) {
		snprintf(names[i], sizeof(names[i]), "%s%s", what[i % count],
			 i < count ? "" : ": p99");
		rows[i] = (struct contest_row){
			.name = names[i],
			.unit = "us",
			.hidden = brief && i >= count,
		};
	}
}

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
	const char *rows[2];
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
	for (unsigned int i = 0; !ret && i < tries_of(turn); i++) {
		double a = 0, b = 0;

		if (turn->party)
			ret = plain_move(&trial->rig, &a, err);
		else
			ret = kind->once(&trial->rig, turn->round * TRIES + i, &a, &b, err);
		samples_add(&whole, a);
		samples_add(&own, b);
	}
	put(turn, kind->whole, &whole);
	if (!turn->party)
		put(turn, kind->own, &own);
	return ret;
}

/* The trial's rig is open already, and closed here. */
static int hold_trial(struct trial *trial, struct bench_run *run, struct err *err)
{
	struct contest_row rows[4];
	char names[4][80];
	struct contest contest = {
		.name = trial->kind->name,
		.parties = { "adit", "no fault" },
		.party_count = 2,
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.warm_up = 1,
		.turn = trial_turn,
		.opaque = trial,
	};
	int fd, ret;

	name_rows(rows, names, trial->kind->rows, 2, run->options->brief);
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
	static const struct kind kind = {
		.name = "fault",
		.state = "waiting for the record of a move",
		.rows = { "fault: to its completion record", "fault: to its report" },
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
	static const struct kind kind = {
		.name = "page request",
		.state = "waiting for a page request, or the record behind it",
		.rows = { "page request: to its reader",
			  "page request: from its answer to the move's end" },
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
	BIND,  /* of the guest's number, to the host's that is free again by then */
	REUSE, /* from the begin of unbind until its number is taken again */
	PASID_ROWS
};

struct load {
	struct dsa_rig rig;
	uint32_t host;
	pthread_t thread;
	bool stop;	/* atomic */
	uint64_t moved; /* atomic */
	uint64_t failed;
};

static uint8_t wait_until(struct dsa_rig *rig, unsigned int lane, double end)
{
	const uint64_t *record = (const uint64_t *)(rig->memory + RECORDS + lane * 32ULL);
	uint64_t word;

	while (!(word = __atomic_load_n(record, __ATOMIC_ACQUIRE)) && now_ns() < end)
		__builtin_ia32_pause();
	return (uint8_t)word;
}

static void *load_thread(void *arg)
{
	struct load *load = arg;

	while (!__atomic_load_n(&load->stop, __ATOMIC_RELAXED)) {
		double end = now_ns() + PASS_NS;

		for (unsigned int lane = 0; lane < UNDER_WAY; lane++)
			submit(&load->rig, SOURCE, lane);
		for (unsigned int lane = 0; lane < UNDER_WAY; lane++) {
			if (wait_until(&load->rig, lane, end) == DSA_STATUS_OK)
				__atomic_fetch_add(&load->moved, 1, __ATOMIC_RELAXED);
			else
				load->failed++;
		}
	}
	return NULL;
}

/*
 * Until nobody holds the number any more, which a descriptor under way may. ns: of the call that
 * bound it, without those before.
 */
static int bind_again(struct load *load, double *ns, struct err *err)
{
	double end = now_ns() + 1e3 * WAIT_NS, start;
	int ret;

	do {
		start = now_ns();
		ret = dsa_pasid_bind(load->rig.dsa, DSA_RIG_PASID, load->rig.space, load->host,
				     NULL, err);
	} while (ret == -EBUSY && start < end);
	*ns = now_ns() - start;
	return ret;
}

/* What is measured without moves under the PASID would be called "under load" for nothing. */
static int wait_for_moves(struct load *load, struct err *err)
{
	uint64_t before = __atomic_load_n(&load->moved, __ATOMIC_RELAXED);
	double end = now_ns() + 1e3 * WAIT_NS;

	while (__atomic_load_n(&load->moved, __ATOMIC_RELAXED) == before) {
		if (now_ns() > end)
			return err_set(err, EIO,
				       "no move ended well under PASID %u within %.0f s of its "
				       "being bound: there is no load",
				       load->host, WAIT_NS / 1e6);
		sched_yield();
	}
	return 0;
}

static int cycle(struct load *load, struct samples ns[PASID_ROWS], struct err *err)
{
	double start = now_ns(), bind = 0;
	int ret = dsa_pasid_unbind(load->rig.dsa, DSA_RIG_PASID, err);

	samples_add(&ns[UNBIND], now_ns() - start);
	if (!ret)
		ret = bind_again(load, &bind, err);
	samples_add(&ns[BIND], bind);
	samples_add(&ns[REUSE], now_ns() - start);
	return ret;
}

static int pasid_turn(struct turn *turn, struct err *err)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	struct load *load = turn->opaque;
	struct samples ns[PASID_ROWS] = { 0 };
	int ret = 0;

	load->stop = false;
	if (!turn->party && pthread_create(&load->thread, NULL, load_thread, load))
		return err_set(err, EAGAIN, "no thread for the load");
	turn_state(turn, "PASID %u is bound again and again", load->host);
	for (unsigned int i = 0; !ret && i < tries_of(turn); i++) {
		nanosleep(&pause, NULL);
		if (!turn->party)
			ret = wait_for_moves(load, err);
		if (!ret)
			ret = cycle(load, ns, err);
	}
	__atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
	if (!turn->party)
		pthread_join(load->thread, NULL);
	for (unsigned int row = 0; row < PASID_ROWS; row++)
		put(turn, row, &ns[row]);
	return ret;
}

static int hold_pasids(struct load *load, struct bench_run *run, struct err *err)
{
	static const char *const what[PASID_ROWS] = {
		[UNBIND] = "PASID: unbind under load",
		[BIND] = "PASID: bind under load",
		[REUSE] = "PASID: unbind to reuse under load",
	};
	struct contest_row rows[2 * PASID_ROWS];
	char names[2 * PASID_ROWS][80];
	struct contest contest = {
		.name = "PASID",
		.parties = { "adit", "idle" },
		.party_count = 2,
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.warm_up = 1,
		.turn = pasid_turn,
		.opaque = load,
	};
	int ret = dsa_pasid_unbind(load->rig.dsa, DSA_RIG_PASID, err);

	name_rows(rows, names, what, PASID_ROWS, run->options->brief);
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
