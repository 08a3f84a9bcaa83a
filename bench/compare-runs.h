/* SPDX-License-Identifier: Apache-2.0 */
/* Two runs' descriptions beside each other. */
#ifndef ADIT_BENCH_COMPARE_RUNS_H
#define ADIT_BENCH_COMPARE_RUNS_H

#include <stdbool.h>

struct json_object;

/* Prints a line for each thing that changes what is measured and is not the same in both files. */
void compare_runs(const struct json_object *a, const struct json_object *b);
/* Whether the job of that name asks for the same in both; also where neither has it. */
bool compare_same_job(const struct json_object *a, const struct json_object *b, const char *bench,
		      const char *job);

#endif
