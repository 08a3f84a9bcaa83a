/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that works through rows by itself (tests/guest/payload/diskload.c, netload.c), whoever
 * its monitor is: what it did of each, and what that took of the monitor's CPU time.
 */
#ifndef ADIT_BENCH_IO_GUEST_H
#define ADIT_BENCH_IO_GUEST_H

#include "bench/contest.h"
#include "bench/io.h"

struct io_guest {
	unsigned int rows;
	double cycles_second; /* of the TSC */
	/* A row ended. */
	void (*put)(struct turn *turn, unsigned int row, const struct io_result *result);
	/* A row begins, or has ended; may be NULL. */
	void (*during)(struct turn *turn, unsigned int row, bool begins);
};

/*
 * Runs argv to its end. good: the status that a guest which ends well ends its monitor with. 0 or
 * -errno with a sentence.
 */
int io_guest_run(struct turn *turn, char *const argv[], int good, const struct io_guest *guest,
		 struct err *err);

#endif
