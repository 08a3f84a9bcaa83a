/* SPDX-License-Identifier: Apache-2.0 */
/* Two runs' JSON beside each other: what changed beyond noise. */
#ifndef ADIT_BENCH_COMPARE_H
#define ADIT_BENCH_COMPARE_H

#include <stdint.h>

enum compare_status {
	COMPARE_SAME = 0,     /* also where the second file has rows more */
	COMPARE_WORSE = 1,    /* some row */
	COMPARE_UNUSABLE = 2, /* a file, or no row is in both with enough rounds */
	COMPARE_BETTER = 3,   /* some row, none worse and none gone */
	COMPARE_GONE = 4,     /* some row is not there any more, or of another job; none worse */
};

/* Prints each row and returns the exit status. threshold: 0.02 passes over changes below 2 %. */
int bench_compare(const char *before, const char *after, double threshold, uint64_t seed);

#endif
