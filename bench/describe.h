/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run was, for whoever reads its JSON later: what was asked for, on which functions, which
 * contests were held of which parties, and which jobs their rows are of.
 */
#ifndef ADIT_BENCH_DESCRIBE_H
#define ADIT_BENCH_DESCRIBE_H

#include "bench/bench.h"
#include "bench/contest.h"

struct json_object;

/* The options, those of which nothing was said too. A new object. */
struct json_object *describe_options(const struct bench_options *options);
/* A function as /sys below `root` ("": the host's) knows it. A new object. */
struct json_object *describe_function(const char *root, const char *bdf);
/* The function behind a VFIO character device; false: there is none. */
bool describe_cdev(const char *root, const char *cdev, char bdf[BDF_CHARS + 1]);

/* Into the run's description: every function that the options name. */
void describe_functions(struct results *results, const struct bench_options *options);
/* A contest of so many rounds, `warm_up` of which were not kept; its jobs; QEMU's version. */
void describe_contest(const struct contest *contest, struct bench_run *run, unsigned int rounds,
		      unsigned int warm_up);

#endif
