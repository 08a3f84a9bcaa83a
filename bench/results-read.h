/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what results.c wrote. A file may come from anywhere: nothing of it is believed. */
#ifndef ADIT_BENCH_RESULTS_READ_H
#define ADIT_BENCH_RESULTS_READ_H

#include <stdbool.h>

#include "bench/samples.h"
#include "util/err.h"

struct json_object;

/* Texts are the file's, and "" where it has none. */
struct result_row {
	const char *bench, *name, *reference_name, *unit, *job;
	bool higher;
	struct samples ours, reference; /* reference.count 0: a bar, or nothing */
	double bar;
};

/* A new object with a list of results; NULL: none, with a sentence. */
struct json_object *results_read(const char *path, struct err *err);
/* A text of an object; "": there is none. */
const char *results_text(const struct json_object *from, const char *key);
/* One of the results. 0, or -EINVAL: it is no row. */
int results_row(const struct json_object *from, struct result_row *row);

#endif
