/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A contest: parties that do the same work in turns, adit first among them, and the rows that are
 * measured in each turn. Rounds that are not kept come first; then in every round each party has
 * one turn, and each is first as often as the others. So whatever disturbs the machine meets all.
 */
#ifndef ADIT_BENCH_CONTEST_H
#define ADIT_BENCH_CONTEST_H

#include <stdbool.h>

#include "bench/bench.h"
#include "bench/samples.h"
#include "util/err.h"

#define PARTIES_MAX 4u
#define ROWS_MAX    128u

struct job;

struct contest_row {
	const char *name, *unit;
	bool higher;   /* is better; else lower */
	double target; /* of the ratio to the second party, or to the bar; 0: none */
	/* A fixed bar instead of parties, or beside them; 0: none. */
	double bar;
	const char *bar_name;
	bool hidden;	       /* no row of the results: something is derived from it */
	const struct job *job; /* that it is a row of; NULL: none */
};

struct contest;

struct turn {
	struct bench_run *run;
	struct contest *contest;
	void *opaque;	    /* the contest's */
	unsigned int party; /* whose turn it is */
	unsigned int round; /* from 0, those that are not kept included */
	double *value;	    /* by row; NAN until put */
};

struct contest {
	const char *name;
	const char *parties[PARTIES_MAX]; /* [0]: adit */
	unsigned int party_count;
	unsigned int peers; /* bits of parties: others' programs, without which the rest goes on */
	const struct contest_row *rows;
	unsigned int row_count;
	unsigned int warm_up;	 /* rounds that are not kept, unless --warm-up says; 0: one */
	bool boots;		 /* a round is a Linux boot each: none is made for nothing */
	unsigned int rounds_max; /* no more than that; 0: as many as the run has */
	/* What each turn does, one after the other: their runtimes come on top of a turn's
	 * patience. job_keys: what a job file says of them (job.h). */
	const struct job *jobs;
	unsigned int job_count, job_keys;
	/* 0, or -errno with a sentence, which ends the bench. -ENOTSUP: this party cannot, and has
	 * no more turns; the sentence becomes a note. Not for party 0. A peer that fails otherwise,
	 * or whose program had to be ended, has no more either, and the run's status says so. With
	 * --retries a turn whose program had to be ended, anybody's, is taken again first. */
	int (*turn)(struct turn *turn, struct err *err);
	void *opaque;

	struct samples (*samples)[PARTIES_MAX]; /* by row; contest_run makes them */
	bool out[PARTIES_MAX];			/* has no more turns */
};

/* A party measured a row in its turn. */
void turn_put(struct turn *turn, unsigned int row, double value);
/* What the party is waiting for; a stall's message ends with it. */
void turn_state(struct turn *turn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* All rounds. contest_free comes after it, also where it failed. */
int contest_run(struct contest *contest, struct bench_run *run, struct err *err);
void contest_free(struct contest *contest);

/* Samples of a row, of what was kept; no samples where the party never measured it. */
const struct samples *contest_samples(const struct contest *contest, unsigned int row,
				      unsigned int party);
/* Adds each row, against each other party that measured it and its bar. */
void contest_report(struct contest *contest, struct bench_run *run);
/* The three above for a contest of which nothing else is derived. */
int contest_hold(struct contest *contest, struct bench_run *run, struct err *err);

#endif
