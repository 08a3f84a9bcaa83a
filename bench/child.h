/* SPDX-License-Identifier: Apache-2.0 */
/* Child programs, timed and weighed from outside. The watch ends them where they never end. */
#ifndef ADIT_BENCH_CHILD_H
#define ADIT_BENCH_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/contest.h"

struct child_times {
	double first_output_ms; /* from before exec to the first byte on its stdout */
	double marker_ms;	/* to the end of the marker; 0: it did not come */
	double exit_ms;		/* to its end being known */
	int status;		/* as waitpid gives it */
};

/*
 * Runs argv to its end; stderr goes nowhere. env: one more "NAME=value" or NULL. marker: a text to
 * look for in its output, or NULL; leave: kill it once that came.
 * 0 or -errno.
 */
int child_time(struct turn *turn, char *const argv[], const char *env, const char *marker,
	       bool leave, struct child_times *times);

/*
 * Runs argv to its end and calls `line` for each line of its output when it came, without its end.
 * Of lines longer than 4 KiB the beginning is lost. 0 or -errno; *status as waitpid gives it.
 */
int child_lines(struct turn *turn, char *const argv[], void (*line)(void *arg, int pid, char *text),
		void *arg, int *status);

/*
 * Starts argv, waits until it wrote `wait_for`, calls look (0 or -errno, which is returned), and
 * kills it.
 */
int child_look(struct turn *turn, char *const argv[], const char *wait_for,
	       int (*look)(int pid, void *arg), void *arg);

/*
 * Starts argv, waits until it wrote `wait_for`, reads its proportional memory (PSS, KiB) without
 * mappings of at least ram_bytes (the guest's RAM), and kills it.
 */
int child_pss(struct turn *turn, char *const argv[], const char *wait_for, uint64_t ram_bytes,
	      double *pss_kib);

/* The same of a process that is there, which lives on. 0 or -errno. */
int child_weigh(int pid, uint64_t ram_bytes, double *pss_kib);

/* Whether PATH has such a program. */
bool child_on_path(const char *program);

#endif
