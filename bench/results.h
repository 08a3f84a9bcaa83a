/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as a table for people and as JSON for machines (docs/bench.schema.json). Any thread may
 * call these: the watch ends a bench beside the thread that measures.
 */
#ifndef ADIT_BENCH_RESULTS_H
#define ADIT_BENCH_RESULTS_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/samples.h"

#define RESULTS_FORMAT 3   /* of the JSON */
#define RESULTS_LINE   160 /* bytes of a program's version */

struct json_object;
struct results;

struct result {
	const char *name, *unit;
	const char *reference_name; /* NULL: there is nothing to compare it with */
	double reference;	    /* a fixed bar, where there are no samples of a reference */
	double target;		    /* ratio adit / reference that is asked for; 0: none */
	bool higher;		    /* better is higher; else lower */
	const char *job;	    /* by name; NULL: a row of the bench's own */
};

/* The description of the run: the host's (host.c), and what the options say (describe.c). */
struct results *results_new(const struct bench_options *options, const char *bench);
void results_free(struct results *results);
/* From now on rows are of that bench. */
void results_bench(struct results *results, const char *bench);
/* More of the run's description, which takes `value`: into the list of that name, unless one like
 * it is there; or as the value itself. */
void results_describe(struct results *results, const char *key, struct json_object *value);
bool results_knows(const struct results *results, const char *key); /* such a value */
/* Values are medians; reference NULL: the bar. */
void results_add(struct results *results, const struct result *result, const struct samples *adit,
		 const struct samples *reference);
/* A remark for the reader: what was not measured and why. */
void results_note(struct results *results, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Something failed of which the other rows know nothing: it is told, and the run is no success. */
void results_failed(struct results *results, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
unsigned int results_failures(const struct results *results);
unsigned int results_count(const struct results *results); /* of its rows */
/* The table. */
void results_print(struct results *results, FILE *to);
/* 0 or -errno. */
int results_write(struct results *results, const char *path);
/*
 * The end of a bench that did not get to its own: the failure, the table (on stdout where `print`),
 * and the JSON that was asked for. Nobody adds, prints or writes anything after it: who tries waits
 * for the end of the process, which has to follow.
 */
void results_end(struct results *results, bool print, const char *failure);
/* The rows as the JSON has them: an array that stays the results'. */
struct json_object *results_rows(const struct results *results);

#endif
