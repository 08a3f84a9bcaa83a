/* SPDX-License-Identifier: Apache-2.0 */
/* What the two sides of `adit bench io` share: the rows, and what came of each. */
#ifndef ADIT_BENCH_IO_H
#define ADIT_BENCH_IO_H

#include <stdbool.h>
#include <stdint.h>

struct io_row {
	const char *name;
	bool write;
	uint32_t bytes;
	unsigned int depth; /* requests under way */
	double target;	    /* rate, of io_uring's; 0: none */
};

struct io_result {
	double rate;   /* operations a second */
	double cpu_us; /* of one, of whoever does it and waits for it */
};

/*
 * The same row without a guest: this thread, io_uring, the file registered. Random places as the
 * guest's. 0 or -errno.
 */
int io_floor(int fd, uint64_t size, const struct io_row *row, double seconds,
	     struct io_result *result);

#endif
