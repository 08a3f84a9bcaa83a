/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of a load in adit bench dma: its rate, its latencies, and of how many operations they
 * are; a percentile with hardly an operation beyond it says so, or is left out.
 */
#include <stdio.h>
#include <string.h>

#include "bench/dma-internal.h"
#include "util/bits.h"

#define BEYOND 10u /* operations, at least: of fewer the next turn may say anything */

static const struct {
	const char *suffix;
	unsigned int of_1000; /* of a percentile */
	bool brief;
} figures[DMA_FIGURES] = {
	[DMA_RATE] = { "", 0, true },	       [DMA_MEDIAN] = { ": p50", 500, true },
	[DMA_TAIL] = { ": p99", 990, true },   [DMA_FAR] = { ": p99.9", 999, false },
	[DMA_LONGEST] = { ": max", 0, false }, [DMA_OPERATIONS] = { ": operations", 0, false },
};

struct dma_says dma_says_of(const struct dma_result *result)
{
	return (struct dma_says){
		.done = (double)result->done,
		.ticks = (double)result->ticks,
		.median = (double)dma_latency(result, figures[DMA_MEDIAN].of_1000),
		.tail = (double)dma_latency(result, figures[DMA_TAIL].of_1000),
		.far = (double)dma_latency(result, figures[DMA_FAR].of_1000),
		.longest = (double)result->longest,
	};
}

static double rate_by(uint64_t bytes)
{
	return bytes <= 4096 ? 1e-3 : (double)bytes / 1e6;
}

void dma_rows_put(struct turn *turn, unsigned int first, const struct dma_says *says,
		  uint64_t bytes, unsigned int batch, double hertz)
{
	const double us = 1e6 / hertz;

	turn_put(turn, first + DMA_RATE, says->done * batch * hertz / says->ticks * rate_by(bytes));
	turn_put(turn, first + DMA_MEDIAN, says->median * us);
	turn_put(turn, first + DMA_TAIL, says->tail * us);
	turn_put(turn, first + DMA_FAR, says->far * us);
	turn_put(turn, first + DMA_LONGEST, says->longest * us);
	turn_put(turn, first + DMA_OPERATIONS, says->done);
}

void dma_rows_name(struct dma_rows *rows, unsigned int first, const char *name, uint64_t bytes,
		   bool brief)
{
	for (unsigned int i = 0; i < DMA_FIGURES; i++) {
		struct contest_row *row = &rows->row[first + i];

		snprintf(rows->name[first + i], sizeof(rows->name[0]), "%.100s%s", name,
			 figures[i].suffix);
		*row = (struct contest_row){
			.name = rows->name[first + i],
			.unit = i == DMA_OPERATIONS ? "ops"
				: i != DMA_RATE	    ? "us"
				: bytes <= 4096	    ? "k/s"
						    : "MB/s",
			.higher = i == DMA_RATE || i == DMA_OPERATIONS,
			.hidden = brief && !figures[i].brief,
		};
	}
}

/* The fewest that any party had in a round. */
static double fewest(const struct contest *contest, unsigned int row)
{
	double least = 0;

	for (unsigned int party = 0; party < contest->party_count; party++) {
		const struct samples *samples = contest_samples(contest, row, party);
		double count = samples_quantile(samples, 0);

		if (samples->count && (!least || count < least))
			least = count;
	}
	return least;
}

void dma_rows_judge(struct dma_rows *rows, unsigned int first, const struct contest *contest)
{
	double operations = fewest(contest, first + DMA_OPERATIONS);

	for (unsigned int i = 0; i < DMA_FIGURES; i++) {
		char *name = rows->name[first + i];
		size_t used = strlen(name);

		if (!figures[i].of_1000 ||
		    operations * (1000 - figures[i].of_1000) >= BEYOND * 1000)
			continue;
		if (i == DMA_FAR)
			rows->row[first + i].hidden = true;
		else
			snprintf(name + used, sizeof(rows->name[0]) - used, ", of few operations");
	}
}
