/* SPDX-License-Identifier: Apache-2.0 */
/* What clocks say, as numbers that differences are taken of. */
#ifndef ADIT_BENCH_CLOCK_H
#define ADIT_BENCH_CLOCK_H

#include <time.h>

static inline double clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The one on the wall. */
static inline double now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline double now_seconds(void)
{
	return now_ns() / 1e9;
}

#endif
