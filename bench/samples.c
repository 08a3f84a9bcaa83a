/* SPDX-License-Identifier: Apache-2.0 */
/* Order statistics of repeated measurements, and the bootstrap that says how far to trust them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/samples.h"
#include "util/bits.h"

#define DRAWS	     2000u
#define DRAWS_CHANGE 20000u /* many rows share one error probability: further out in the tails */

void samples_add(struct samples *samples, double value)
{
	if (samples->count < SAMPLES_MAX)
		samples->value[samples->count++] = value;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts them. */
static double quantile(double *value, unsigned int count, double fraction)
{
	double place = fraction * (count - 1);
	unsigned int below = (unsigned int)place;

	qsort(value, count, sizeof(*value), ascending);
	if (below + 1 >= count)
		return value[count - 1];
	return value[below] + (place - below) * (value[below + 1] - value[below]);
}

double samples_quantile(const struct samples *samples, double fraction)
{
	double sorted[SAMPLES_MAX] = { 0 };

	if (!samples->count)
		return 0;
	memcpy(sorted, samples->value, samples->count * sizeof(sorted[0]));
	return quantile(sorted, samples->count, fraction);
}

double samples_median(const struct samples *samples)
{
	return samples_quantile(samples, 0.5);
}

double samples_mad(const struct samples *samples)
{
	double median = samples_median(samples), distance[SAMPLES_MAX];

	if (!samples->count)
		return 0;
	for (unsigned int i = 0; i < samples->count; i++)
		distance[i] = fabs(samples->value[i] - median);
	return quantile(distance, samples->count, 0.5);
}

struct samples samples_off(const struct samples *said, const struct samples *is)
{
	struct samples off = { .count = 0 };

	for (unsigned int i = 0; i < MIN(said->count, is->count); i++) {
		if (is->value[i] != 0)
			samples_add(&off, fabs(said->value[i] / is->value[i] - 1) * 100);
		else
			samples_add(&off, said->value[i] != 0 ? 100 : 0);
	}
	return off;
}

uint64_t prng_next(struct prng *prng)
{
	uint64_t z = prng->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t prng_below(struct prng *prng, uint32_t limit)
{
	return (uint32_t)((prng_next(prng) >> 32) * limit >> 32);
}

/* --- the bootstrap --------------------------------------------------------------------------- */

static void draw_rounds(struct prng *prng, uint32_t *rounds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		rounds[i] = prng_below(prng, count);
}

static double median_of(const struct samples *samples, const uint32_t *rounds)
{
	double drawn[SAMPLES_MAX] = { 0 };

	for (unsigned int i = 0; i < samples->count; i++)
		drawn[i] = samples->value[rounds[i]];
	return quantile(drawn, samples->count, 0.5);
}

/* The ratio of one draw; NAN where its reference is 0. */
static double draw_ratio(const struct samples *a, const struct samples *b, struct prng *prng)
{
	uint32_t rounds[SAMPLES_MAX];
	double ours, theirs;

	draw_rounds(prng, rounds, a->count);
	ours = median_of(a, rounds);
	if (!b)
		return ours;
	if (b->count != a->count)
		draw_rounds(prng, rounds, b->count);
	theirs = median_of(b, rounds);
	return theirs != 0 ? ours / theirs : NAN;
}

static struct interval percentiles(double *ratios, unsigned int count, double level)
{
	struct interval interval = { 0, 0 };

	if (!count)
		return interval;
	interval.low = quantile(ratios, count, (1 - level) / 2);
	interval.high = quantile(ratios, count, (1 + level) / 2);
	return interval;
}

struct interval ratio_interval(const struct samples *a, const struct samples *b, double bar,
			       double level, struct prng *prng)
{
	double ratios[DRAWS];
	unsigned int count = 0;

	if (!a->count || (b ? !b->count : bar == 0))
		return (struct interval){ 0, 0 };
	for (unsigned int i = 0; i < DRAWS; i++) {
		double ratio = draw_ratio(a, b, prng);

		if (!isnan(ratio))
			ratios[count++] = b ? ratio : ratio / bar;
	}
	return percentiles(ratios, count, level);
}

struct interval change_interval(const struct side *before, const struct side *after, double level,
				struct prng *prng)
{
	double *ratios = calloc(DRAWS_CHANGE, sizeof(*ratios));
	struct interval interval;
	unsigned int count = 0;

	if (!ratios)
		abort();
	for (unsigned int i = 0; i < DRAWS_CHANGE; i++) {
		double old = draw_ratio(before->ours, before->reference, prng);
		double now = draw_ratio(after->ours, after->reference, prng);

		if (!isnan(old) && !isnan(now) && old != 0)
			ratios[count++] = now / old;
	}
	interval = percentiles(ratios, count, level);
	free(ratios);
	return interval;
}
