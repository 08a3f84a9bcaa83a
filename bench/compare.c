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

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/results.h"
#include "bench/samples.h"
#include "util/bits.h"

enum verdict {
	SAME,
	BETTER,
	WORSE,
	UNDECIDED, /* too few rounds */
	VERDICTS
};

struct row {
	const char *bench, *name, *reference_name, *unit;
	bool higher;
	struct samples ours, reference; /* reference.count 0: a bar */
	double bar;
};

/* --- what a file says: it may come from anywhere --------------------------------------------- */

static const char *text(const struct json_object *from, const char *key)
{
	const struct json_object *value = json_object_object_get(from, key);

	return json_object_is_type(value, json_type_string)
		       ? json_object_get_string((struct json_object *)value)
		       : "";
}

static int get_samples(const struct json_object *row, const char *key, struct samples *samples)
{
	const struct json_object *spread = json_object_object_get(row, key), *list;

	samples->count = 0;
	if (!spread)
		return 0;
	list = json_object_is_type(spread, json_type_object)
		       ? json_object_object_get(spread, "samples")
		       : NULL;
	if (!json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > SAMPLES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		double value = json_object_get_double(json_object_array_get_idx(list, i));

		if (!isfinite(value))
			return -EINVAL;
		samples_add(samples, value);
	}
	return 0;
}

static int get_row(const struct json_object *from, struct row *row)
{
	if (!json_object_is_type(from, json_type_object))
		return -EINVAL;
	row->bench = text(from, "bench");
	row->name = text(from, "name");
	row->reference_name = text(from, "reference_name");
	row->unit = text(from, "unit");
	row->higher = !strcmp(text(from, "better"), "higher");
	row->bar = json_object_get_double(json_object_object_get(from, "reference"));
	if (get_samples(from, "adit_spread", &row->ours) || !row->ours.count)
		return -EINVAL;
	return get_samples(from, "reference_spread", &row->reference);
}

static struct json_object *load(const char *path, struct err *err)
{
	struct json_object *file = json_object_from_file(path), *list = NULL;
	const struct json_object *format = NULL;

	if (!file) {
		err_set(err, EINVAL, "%s: no JSON can be read there", path);
		return NULL;
	}
	if (json_object_is_type(file, json_type_object)) {
		list = json_object_object_get(file, "results");
		format = json_object_object_get(file, "format");
	}
	if (json_object_is_type(list, json_type_array) &&
	    json_object_get_int(format) == RESULTS_FORMAT)
		return file;
	json_object_put(file);
	err_set(err, EINVAL, "%s: not what adit bench --json writes in format %d", path,
		RESULTS_FORMAT);
	return NULL;
}

/* The row of the same bench, name and reference; false: there is none, or not in the same unit. */
static bool find(const struct json_object *list, const struct row *like, struct row *row)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (get_row(json_object_array_get_idx(list, i), row))
			continue;
		if (!strcmp(row->bench, like->bench) && !strcmp(row->name, like->name) &&
		    !strcmp(row->reference_name, like->reference_name) &&
		    !strcmp(row->unit, like->unit) && row->higher == like->higher)
			return true;
	}
	return false;
}

/* --- two rows -------------------------------------------------------------------------------- */

static struct side side_of(const struct row *row)
{
	return (struct side){ &row->ours, row->reference.count ? &row->reference : NULL };
}

static double figure(const struct row *row)
{
	double ours = samples_median(&row->ours);

	return row->reference.count ? ours / samples_median(&row->reference) : ours;
}

static enum verdict judge(const struct row *before, const struct interval *interval, double change,
			  double threshold)
{
	if (interval->low <= 1 && interval->high >= 1)
		return SAME;
	if (fabs(change - 1) < threshold)
		return SAME;
	return (change > 1) == before->higher ? BETTER : WORSE;
}

static void print_row(const struct row *before, const struct row *after, double change,
		      const struct interval *interval, enum verdict verdict)
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

static enum verdict compare_row(const struct row *before, const struct row *after, double level,
				double threshold, struct prng *prng)
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

/* What makes two runs hard to compare is said, not refused: it may be what was changed. */
static void say_hosts(const struct json_object *a, const struct json_object *b)
{
	static const char *const keys[] = { "cpu", "kernel", "governor", "cpus_allowed" };
	const struct json_object *one = json_object_object_get(a, "host");
	const struct json_object *other = json_object_object_get(b, "host");

	if (!json_object_is_type(one, json_type_object) ||
	    !json_object_is_type(other, json_type_object))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(text(one, keys[i]), text(other, keys[i])) != 0)
			printf("note: %s differs: %s and %s\n", keys[i], text(one, keys[i]),
			       text(other, keys[i]));
	}
}

static void compare_all(const struct json_object *a, const struct json_object *b, double threshold,
			uint64_t seed, unsigned int count[VERDICTS], unsigned int *alone)
{
	const struct json_object *before = json_object_object_get(a, "results");
	const struct json_object *after = json_object_object_get(b, "results");
	size_t rows = json_object_array_length(before);
	double level = 1 - (1 - INTERVAL_LEVEL) / (double)MAX(rows, 1u);
	struct row *old = calloc(1, sizeof(*old)), *now = calloc(1, sizeof(*now));
	struct prng prng = { seed };

	if (!old || !now)
		abort();
	for (size_t i = 0; i < rows; i++) {
		if (get_row(json_object_array_get_idx(before, i), old) || !find(after, old, now))
			++*alone;
		else
			count[compare_row(old, now, level, threshold, &prng)]++;
	}
	free(now);
	free(old);
}

int bench_compare(const char *before, const char *after, double threshold, uint64_t seed)
{
	unsigned int count[VERDICTS] = { 0 }, alone = 0;
	struct json_object *a, *b = NULL;
	struct err err = { 0 };
	int status = COMPARE_UNUSABLE;

	a = load(before, &err);
	if (a)
		b = load(after, &err);
	if (!a || !b) {
		fprintf(stderr, "adit bench compare: %s\n", err.text);
		goto out;
	}
	printf("%-60s %9s %9s %9s [99 %% of all rows together]\n", "ratio, or figure of one's own",
	       "before", "after", "change");
	compare_all(a, b, threshold, seed, count, &alone);
	say_hosts(a, b);
	printf("%u better, %u worse, %u the same within noise and %.3g %%, %u with too few rounds, "
	       "%u in one file only\n",
	       count[BETTER], count[WORSE], count[SAME], threshold * 100, count[UNDECIDED], alone);
	status = count[WORSE] ? COMPARE_WORSE : count[BETTER] ? COMPARE_BETTER : COMPARE_SAME;
	if (!count[WORSE] && !count[BETTER] && !count[SAME]) {
		fprintf(stderr, "adit bench compare: no row can be compared\n");
		status = COMPARE_UNUSABLE;
	}
out:
	json_object_put(b);
	json_object_put(a);
	return status;
}
