/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench compare A.json B.json: what changed from one run to the other beyond noise. Rows are
 * compared by their ratio to what ran beside them, so that a host that was slower as a whole
 * changed nothing; rows with a bar by their own figure.
 *
 * A table of many rows is asked one question: did anything change? So all rows together share 1 %
 * of error, and each interval is that much wider. What differs from run to run without anybody's
 * doing, and no sample of one run knows (where code and memory came to lie), the threshold covers.
 */
#include "bench/compare.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare-runs.h"
#include "bench/results-read.h"
#include "bench/samples.h"
#include "util/bits.h"

enum verdict {
	SAME,
	BETTER,
	WORSE,
	UNDECIDED, /* too few rounds */
	VERDICTS
};

/* --- two rows -------------------------------------------------------------------------------- */

static struct side side_of(const struct result_row *row)
{
	return (struct side){ &row->ours, row->reference.count ? &row->reference : NULL };
}

static double figure(const struct result_row *row)
{
	double ours = samples_median(&row->ours);

	return row->reference.count ? ours / samples_median(&row->reference) : ours;
}

static enum verdict judge(const struct result_row *before, const struct interval *interval,
			  double change, double threshold)
{
	if (interval->low <= 1 && interval->high >= 1)
		return SAME;
	if (fabs(change - 1) < threshold)
		return SAME;
	return (change > 1) == before->higher ? BETTER : WORSE;
}

static void print_row(const struct result_row *before, const struct result_row *after,
		      double change, const struct interval *interval, enum verdict verdict)
{
	static const char *const words[VERDICTS] = { "", "better", "WORSE", "too few rounds" };
	char name[128];

	snprintf(name, sizeof(name), "%s: %s%s%s", before->bench, before->name,
		 before->reference.count ? " / " : "",
		 before->reference.count ? before->reference_name : "");
	printf("%-60s %9.4g %9.4g %+7.1f %% [%+.1f, %+.1f] %s\n", name, figure(before),
	       figure(after), (change - 1) * 100, (interval->low - 1) * 100,
	       (interval->high - 1) * 100, words[verdict]);
}

static enum verdict compare_row(const struct result_row *before, const struct result_row *after,
				double level, double threshold, struct prng *prng)
{
	const struct side old = side_of(before), now = side_of(after);
	double base = figure(before), change = base != 0 ? figure(after) / base : NAN;
	struct interval interval;
	enum verdict verdict;

	if (!isfinite(change))
		return UNDECIDED;
	interval = change_interval(&old, &now, level, prng);
	if (before->ours.count < INTERVAL_ROUNDS || after->ours.count < INTERVAL_ROUNDS)
		verdict = UNDECIDED;
	else
		verdict = judge(before, &interval, change, threshold);
	print_row(before, after, change, &interval, verdict);
	return verdict;
}

/* --- two files ------------------------------------------------------------------------------- */

struct tally {
	unsigned int verdict[VERDICTS];
	unsigned int gone, added; /* in the first file only, in the second only */
};

/* The row of the same bench, name and reference; false: there is none, or not in the same unit. */
static bool find(const struct json_object *file, const struct result_row *like,
		 struct result_row *row)
{
	const struct json_object *list = json_object_object_get(file, "results");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (results_row(json_object_array_get_idx(list, i), row))
			continue;
		if (!strcmp(row->bench, like->bench) && !strcmp(row->name, like->name) &&
		    !strcmp(row->reference_name, like->reference_name) &&
		    !strcmp(row->unit, like->unit) && row->higher == like->higher)
			return true;
	}
	return false;
}

static void name_row(const struct result_row *row, const char *what)
{
	printf("%s: %s%s%s: %s\n", row->bench, row->name, row->reference_name[0] ? " / " : "",
	       row->reference_name, what);
}

/* Rows of one file that the other does not have; those that are no rows are nobody's. */
static unsigned int name_others(const struct json_object *in, const struct json_object *not_in,
				const char *what)
{
	const struct json_object *list = json_object_object_get(in, "results");
	struct result_row *row = calloc(1, sizeof(*row)), *other = calloc(1, sizeof(*other));
	unsigned int n = 0;

	if (!row || !other)
		abort();
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (results_row(json_object_array_get_idx(list, i), row) ||
		    find(not_in, row, other))
			continue;
		name_row(row, what);
		n++;
	}
	free(other);
	free(row);
	return n;
}

static void compare_all(const struct json_object *a, const struct json_object *b, double threshold,
			uint64_t seed, struct tally *tally)
{
	const struct json_object *before = json_object_object_get(a, "results");
	size_t rows = json_object_array_length(before);
	double level = 1 - (1 - INTERVAL_LEVEL) / (double)MAX(rows, 1u);
	struct result_row *old = calloc(1, sizeof(*old)), *now = calloc(1, sizeof(*now));
	struct prng prng = { seed };

	if (!old || !now)
		abort();
	for (size_t i = 0; i < rows; i++) {
		if (results_row(json_object_array_get_idx(before, i), old) || !find(b, old, now))
			continue;
		if (!strcmp(old->job, now->job) && compare_same_job(a, b, old->bench, old->job)) {
			tally->verdict[compare_row(old, now, level, threshold, &prng)]++;
		} else {
			name_row(old, "of another job: not compared");
			tally->gone++;
		}
	}
	free(now);
	free(old);
	tally->gone += name_others(a, b, "in the first file only");
	tally->added += name_others(b, a, "in the second file only");
}

static int status_of(const struct tally *tally)
{
	const unsigned int *count = tally->verdict;

	if (!count[WORSE] && !count[BETTER] && !count[SAME])
		return COMPARE_UNUSABLE;
	if (count[WORSE])
		return COMPARE_WORSE;
	if (tally->gone)
		return COMPARE_GONE;
	return count[BETTER] ? COMPARE_BETTER : COMPARE_SAME;
}

int bench_compare(const char *before, const char *after, double threshold, uint64_t seed)
{
	struct json_object *a, *b = NULL;
	struct tally tally = { 0 };
	struct err err = { 0 };
	int status = COMPARE_UNUSABLE;

	a = results_read(before, &err);
	if (a)
		b = results_read(after, &err);
	if (!a || !b) {
		fprintf(stderr, "adit bench compare: %s\n", err.text);
		goto out;
	}
	printf("%-60s %9s %9s %9s [99 %% of all rows together]\n", "ratio, or figure of one's own",
	       "before", "after", "change");
	compare_all(a, b, threshold, seed, &tally);
	compare_runs(a, b);
	printf("%u better, %u worse, %u the same within noise and %.3g %%, %u with too few rounds, "
	       "%u gone, %u new\n",
	       tally.verdict[BETTER], tally.verdict[WORSE], tally.verdict[SAME], threshold * 100,
	       tally.verdict[UNDECIDED], tally.gone, tally.added);
	status = status_of(&tally);
	if (status == COMPARE_UNUSABLE)
		fprintf(stderr, "adit bench compare: no row can be compared\n");
out:
	json_object_put(b);
	json_object_put(a);
	return status;
}
