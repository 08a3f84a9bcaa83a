/* SPDX-License-Identifier: Apache-2.0 */
/* Results as a table for people and as JSON for machines (docs/bench.schema.json). */
#ifndef ADIT_BENCH_RESULTS_H
#define ADIT_BENCH_RESULTS_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/samples.h"

#define RESULTS_FORMAT 2 /* of the JSON */

struct json_object;
struct results;

struct result {
	const char *name, *unit;
	const char *reference_name; /* NULL: there is nothing to compare it with */
	double reference;	    /* a fixed bar, where there are no samples of a reference */
	double target;		    /* ratio adit / reference that is asked for; 0: none */
	bool higher;		    /* better is higher; else lower */
};

/* The description of the run: the host's (host.c), and what the options say. */
struct results *results_new(const struct bench_options *options, const char *bench);
void results_free(struct results *results);
/* From now on rows are of that bench. */
void results_bench(struct results *results, const char *bench);
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
/* The rows as the JSON has them: an array that stays the results'. */
struct json_object *results_rows(const struct results *results);

#endif
