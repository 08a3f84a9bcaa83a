/* SPDX-License-Identifier: Apache-2.0 */
/* Repeated measurements and their order statistics. */
#include <stdlib.h>

#include "bench/bench.h"

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

double samples_quantile(struct samples *samples, double fraction)
{
	if (!samples->count)
		return 0;
	qsort(samples->value, samples->count, sizeof(samples->value[0]), ascending);
	return samples->value[(unsigned int)(fraction * (samples->count - 1) + 0.5)];
}
