/* SPDX-License-Identifier: Apache-2.0 */
/* The one runner of all benches: whose turn it is, what is kept of it, and that it ends. */
#include "bench/contest.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/describe.h"
#include "bench/job.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

void turn_put(struct turn *turn, unsigned int row, double value)
{
	turn->value[row] = value;
}

void turn_state(struct turn *turn, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	watch_state(turn->run->watch, "%s", text);
}

static void progress(const struct bench_run *run, const struct contest *contest, unsigned int round,
		     unsigned int total, unsigned int party)
{
	if (run->progress)
		fprintf(stderr, "\r\033[K%s: %s: round %u of %u: %s ", run->bench, contest->name,
			round + 1, total, contest->parties[party]);
}

static void progress_end(const struct bench_run *run)
{
	if (run->progress)
		fprintf(stderr, "\r\033[K");
}

static void keep(struct contest *contest, unsigned int party, const double *value)
{
	for (unsigned int row = 0; row < contest->row_count; row++) {
		if (!isnan(value[row]))
			samples_add(&contest->samples[row][party], value[row]);
	}
}

/* No further turns, and no figures of the rounds before: it does not do what the others do. */
static void put_out(struct contest *contest, unsigned int party)
{
	contest->out[party] = true;
	for (unsigned int row = 0; row < contest->row_count; row++)
		contest->samples[row][party].count = 0;
}

/* How the turn went: 0 where there was one, or the party is out; else the bench's end. */
static int judge(struct contest *contest, const struct turn *turn, int ret, const char *where,
		 struct err *err)
{
	struct results *results = turn->run->results;
	const char *who = contest->parties[turn->party];
	bool peer = contest->peers & 1u << turn->party;
	char state[200], limit[96];

	if (watch_late(turn->run->watch, state, sizeof(state))) {
		put_out(contest, turn->party);
		watch_limit(turn->run->watch, limit, sizeof(limit));
		results_failed(results, "%s: it was ended, since its turn had no end within %s: %s",
			       where, limit, state);
	} else if (ret == -ENOTSUP && turn->party) {
		put_out(contest, turn->party);
		results_note(results, "%s: no turn for %s: %s", contest->name, who, err->text);
	} else if (ret && peer) {
		put_out(contest, turn->party);
		results_failed(results, "%s: %s", where, err->code ? err->text : strerror(-ret));
	} else if (ret) {
		if (!err->code)
			err_set(err, -ret, "%s", strerror(-ret));
		return err_prefix(err, "%s", where);
	}
	*err = (struct err){ 0 };
	return 0;
}

/* It had no end, and is taken again: who it was is said, for it may be his fault. */
static bool again(const struct turn *turn, const char *where, struct err *err)
{
	struct bench_run *run = turn->run;
	char state[200], limit[96];

	if (run->retried >= run->options->retries || !watch_late(run->watch, state, sizeof(state)))
		return false;
	run->retried++;
	watch_limit(run->watch, limit, sizeof(limit));
	results_note(run->results, "%s: taken again, since it had no end within %s: %s", where,
		     limit, state);
	*err = (struct err){ 0 };
	return true;
}

static int one_turn(struct contest *contest, struct bench_run *run, unsigned int round,
		    unsigned int total, unsigned int warm_up, unsigned int party, struct err *err)
{
	double value[ROWS_MAX];
	char where[160];
	/* A floor that is itself: the first party's work, in the place of the others. */
	struct turn turn = {
		.run = run,
		.contest = contest,
		.opaque = contest->opaque,
		.party = run->options->self ? 0 : party,
		.round = round,
		.value = value,
	};
	int ret;

	progress(run, contest, round, total, party);
	snprintf(where, sizeof(where), "%s, round %u of %u, %s", contest->name, round + 1, total,
		 contest->parties[party]);
	do {
		for (unsigned int row = 0; row < contest->row_count; row++)
			value[row] = NAN;
		watch_turn(run->watch, "%s", where);
		watch_allow(run->watch, jobs_seconds(contest->jobs, contest->job_count));
		if (contest->peers & 1u << turn.party || run->retried < run->options->retries)
			watch_spare(run->watch);
		ret = contest->turn(&turn, err);
	} while (again(&turn, where, err));
	ret = judge(contest, &turn, ret, where, err);
	watch_turn(run->watch, NULL);
	if (!ret && round >= warm_up && !contest->out[party])
		keep(contest, party, value);
	return ret;
}

/*
 * Who is next after `i` others, of `count`: each is first as often as the others, and every other
 * round goes the other way round, so that nobody always finds what one of them left.
 */
static unsigned int next_in(unsigned int round, unsigned int i, unsigned int count)
{
	return round / count % 2 ? (round + count - i) % count : (round + i) % count;
}

static int one_round(struct contest *contest, struct bench_run *run, unsigned int round,
		     unsigned int total, unsigned int warm_up, struct err *err)
{
	unsigned int in[PARTIES_MAX], count = 0;
	int ret = 0;

	for (unsigned int party = 0; party < contest->party_count; party++) {
		if (!contest->out[party])
			in[count++] = party;
	}
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = one_turn(contest, run, round, total, warm_up, in[next_in(round, i, count)],
			       err);
	return ret;
}

/* The first round pays for what later ones find done: it is kept of nobody. */
static unsigned int warm_up_of(const struct contest *contest, const struct bench_options *options)
{
	if (options->warm_up >= 0)
		return (unsigned int)options->warm_up;
	return contest->boots ? 0 : MAX(contest->warm_up, 1u);
}

int contest_run(struct contest *contest, struct bench_run *run, struct err *err)
{
	const struct bench_options *options = run->options;
	unsigned int rounds = options->rounds, warm_up = warm_up_of(contest, options), held = 0;
	int ret = 0;

	if (contest->rounds_max)
		rounds = MIN(rounds, contest->rounds_max);
	contest->samples = calloc(contest->row_count, sizeof(*contest->samples));
	if (!contest->samples || contest->row_count > ROWS_MAX)
		return err_set(err, ENOMEM, "%s: no memory for the samples of %u rows",
			       contest->name, contest->row_count);
	while (!ret && held < warm_up + rounds) {
		ret = one_round(contest, run, held, warm_up + rounds, warm_up, err);
		held += !ret;
	}
	progress_end(run);
	describe_contest(contest, run, held, MIN(held, warm_up));
	return ret;
}

void contest_free(struct contest *contest)
{
	free(contest->samples);
	contest->samples = NULL;
}

const struct samples *contest_samples(const struct contest *contest, unsigned int row,
				      unsigned int party)
{
	return &contest->samples[row][party];
}

static void report_row(struct contest *contest, struct bench_run *run, unsigned int row)
{
	const struct contest_row *from = &contest->rows[row];
	const struct samples *ours = contest_samples(contest, row, 0);
	struct result result = {
		.name = from->name,
		.unit = from->unit,
		.higher = from->higher,
		.job = from->job ? from->job->name : NULL,
	};
	bool alone = true;

	for (unsigned int party = 1; party < contest->party_count; party++) {
		const struct samples *theirs = contest_samples(contest, row, party);

		if (!theirs->count)
			continue;
		alone = false;
		result.reference_name = contest->parties[party];
		result.target = party == 1 && from->bar == 0 ? from->target : 0;
		results_add(run->results, &result, ours, theirs);
	}
	result.reference = from->bar;
	result.reference_name = from->bar_name;
	result.target = from->bar != 0 ? from->target : 0;
	if (from->bar != 0 || alone)
		results_add(run->results, &result, ours, NULL);
}

void contest_report(struct contest *contest, struct bench_run *run)
{
	for (unsigned int row = 0; row < contest->row_count; row++) {
		if (!contest->rows[row].hidden && contest_samples(contest, row, 0)->count)
			report_row(contest, run, row);
	}
}

int contest_hold(struct contest *contest, struct bench_run *run, struct err *err)
{
	int ret = contest_run(contest, run, err);

	if (!ret)
		contest_report(contest, run);
	contest_free(contest);
	return ret;
}
