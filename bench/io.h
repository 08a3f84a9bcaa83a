/* SPDX-License-Identifier: Apache-2.0 */
/* What the two sides of `adit bench io` share: the rows, and what came of each. */
#ifndef ADIT_BENCH_IO_H
#define ADIT_BENCH_IO_H

#include <stdint.h>

#include "bench/job.h"

struct io_result {
	double rate;   /* operations a second */
	double cpu_us; /* of one, of whoever does it and waits for it */
};

/* Of a hundred operations of a job, how many are writes. */
static inline unsigned int io_writes(const struct job *job)
{
	return !job->writes ? 0 : !job->reads ? 100 : 100 - job->rwmixread;
}

/*
 * The same job without a guest: this thread, io_uring, the file registered. Places and directions
 * as the guest's. 0 or -errno.
 */
int io_floor(int fd, const struct job *job, struct io_result *result);

/* The part about networks (io-net.c); where there can be none, a note says why. */
struct bench_run;
struct err;
int bench_io_net(struct bench_run *run, struct err *err);

#endif
