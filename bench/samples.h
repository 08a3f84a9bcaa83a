/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What repeated measurements say: their median and spread, and how far the ratio of two of them is
 * known. Everything here is arithmetic on numbers; nothing measures.
 */
#ifndef ADIT_BENCH_SAMPLES_H
#define ADIT_BENCH_SAMPLES_H

#include <stdint.h>

#define SAMPLES_MAX 1001u

/* In the order of the rounds: values of one index in two of these were taken together. */
struct samples {
	double value[SAMPLES_MAX];
	unsigned int count;
};

void samples_add(struct samples *samples, double value); /* past SAMPLES_MAX: dropped */
/* Between two samples on a straight line, as R's type 7; 0 where there are none. */
double samples_quantile(const struct samples *samples, double fraction);
double samples_median(const struct samples *samples);
/* Median of the distances from the median; a normal deviation is 1.4826 of it. */
double samples_mad(const struct samples *samples);

/*
 * By how many percent each prediction was off what came of it, whichever way; 100 where it said
 * something and nothing came.
 */
struct samples samples_off(const struct samples *said, const struct samples *is);

/* splitmix64: any seed will do, and one that was printed gives the same numbers again. */
struct prng {
	uint64_t state;
};

uint64_t prng_next(struct prng *prng);
uint32_t prng_below(struct prng *prng, uint32_t limit); /* limit: 1 to 2^32 - 1 */

/*
 * Of a ratio of medians, or of two such ratios, by the bootstrap's percentiles: rounds are drawn
 * again, with what all parties took in them, so what disturbed a whole round cancels as it did in
 * the measurement. Where counts differ each is drawn for itself.
 */
#define INTERVAL_LEVEL 0.99
/* Of fewer rounds not even their extremes are 99 % of anything: 2 * 0.5^8 < 0.01. */
#define INTERVAL_ROUNDS 8u

struct interval {
	double low, high;
};

/* Of median(a) / median(b); b NULL: of median(a) / bar. {0, 0} where there is no such ratio. */
struct interval ratio_interval(const struct samples *a, const struct samples *b, double bar,
			       double level, struct prng *prng);

/* One side of a comparison: two runs' (after over before), each a ratio to its own reference. */
struct side {
	const struct samples *ours, *reference; /* reference NULL: as it is */
};

struct interval change_interval(const struct side *before, const struct side *after, double level,
				struct prng *prng);

#endif
