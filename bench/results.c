/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as a table for people and as JSON for machines; the same figures in both. The JSON holds
 * every sample in the order of the rounds, so that another program can draw its own conclusions.
 */
#include "bench/results.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/describe.h"
#include "bench/host.h"
#include "util/bits.h"

struct results {
	pthread_mutex_t lock; /* of all of it */
	struct json_object *json, *run, *list, *notes, *failures;
	const struct bench_options *options;
	const char *bench;
	struct prng prng;
	bool few; /* some row has too few rounds for its interval */
};

static void put_string(struct json_object *to, const char *key, const char *text)
{
	json_object_object_add(to, key, text ? json_object_new_string(text) : NULL);
}

static void put_double(struct json_object *row, const char *key, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", value);
	json_object_object_add(row, key, json_object_new_double_s(value, text));
}

struct results *results_new(const struct bench_options *options, const char *bench)
{
	struct results *results = calloc(1, sizeof(*results));

	if (!results)
		abort();
	pthread_mutex_init(&results->lock, NULL);
	results->options = options;
	results->bench = bench;
	results->prng.state = options->seed;
	results->json = json_object_new_object();
	results->list = json_object_new_array();
	results->notes = json_object_new_array();
	results->failures = json_object_new_array();
	json_object_object_add(results->json, "format", json_object_new_int(RESULTS_FORMAT));
	put_string(results->json, "bench", bench);
	json_object_object_add(results->json, "host", host_describe(""));
	results->run = describe_options(options);
	json_object_object_add(results->run, "qemu", NULL);
	json_object_object_add(results->run, "functions", json_object_new_array());
	json_object_object_add(results->run, "jobs", json_object_new_array());
	json_object_object_add(results->run, "contests", json_object_new_array());
	json_object_object_add(results->json, "run", results->run);
	json_object_object_add(results->json, "results", results->list);
	json_object_object_add(results->json, "notes", results->notes);
	json_object_object_add(results->json, "failures", results->failures);
	describe_functions(results, options);
	return results;
}

void results_free(struct results *results)
{
	json_object_put(results->json);
	pthread_mutex_destroy(&results->lock);
	free(results);
}

void results_bench(struct results *results, const char *bench)
{
	pthread_mutex_lock(&results->lock);
	results->bench = bench;
	pthread_mutex_unlock(&results->lock);
}

/* Whether it took it. */
static bool append_once(struct json_object *list, struct json_object *value)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (json_object_equal(json_object_array_get_idx(list, i), value))
			return false;
	}
	json_object_array_add(list, value);
	return true;
}

void results_describe(struct results *results, const char *key, struct json_object *value)
{
	struct json_object *is;

	pthread_mutex_lock(&results->lock);
	is = json_object_object_get(results->run, key);
	if (!json_object_is_type(is, json_type_array))
		json_object_object_add(results->run, key, value);
	else if (!append_once(is, value))
		json_object_put(value);
	pthread_mutex_unlock(&results->lock);
}

bool results_knows(const struct results *results, const char *key)
{
	return json_object_object_get(results->run, key) != NULL;
}

struct json_object *results_rows(const struct results *results)
{
	return results->list;
}

unsigned int results_count(const struct results *results)
{
	return (unsigned int)json_object_array_length(results->list);
}

static struct json_object *spread(const struct samples *samples)
{
	struct json_object *to = json_object_new_object(), *all = json_object_new_array();

	put_double(to, "median", samples_median(samples));
	put_double(to, "mad", samples_mad(samples));
	put_double(to, "q1", samples_quantile(samples, 0.25));
	put_double(to, "q3", samples_quantile(samples, 0.75));
	put_double(to, "min", samples_quantile(samples, 0));
	put_double(to, "max", samples_quantile(samples, 1));
	for (unsigned int i = 0; i < samples->count; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%.6g", samples->value[i]);
		json_object_array_add(all, json_object_new_double_s(samples->value[i], text));
	}
	json_object_object_add(to, "samples", all);
	return to;
}

/* Whether the target is met, and whether the interval leaves no doubt about it. */
static void put_verdict(struct json_object *row, const struct result *result, double ratio,
			const struct interval *interval, unsigned int rounds)
{
	bool ok = result->higher ? ratio >= result->target : ratio <= result->target;
	bool clear = rounds >= INTERVAL_ROUNDS &&
		     (interval->low > result->target || interval->high < result->target);

	json_object_object_add(row, "ok", json_object_new_boolean(ok));
	json_object_object_add(row, "clear", json_object_new_boolean(clear));
}

static void put_ratio(struct results *results, struct json_object *row, const struct result *result,
		      const struct samples *adit, const struct samples *reference)
{
	double theirs = reference ? samples_median(reference) : result->reference;
	double ratio = theirs != 0 ? samples_median(adit) / theirs : 0;
	struct interval interval =
		ratio_interval(adit, reference, theirs, INTERVAL_LEVEL, &results->prng);
	struct json_object *pair = json_object_new_array();

	put_double(row, "reference", theirs);
	put_string(row, "reference_name", result->reference_name);
	put_double(row, "ratio", ratio);
	json_object_array_add(pair, json_object_new_double(interval.low));
	json_object_array_add(pair, json_object_new_double(interval.high));
	json_object_object_add(row, "interval", pair);
	if (result->target > 0) {
		put_double(row, "target", result->target);
		put_verdict(row, result, ratio, &interval, adit->count);
	}
	if (adit->count < INTERVAL_ROUNDS)
		results->few = true;
}

void results_add(struct results *results, const struct result *result, const struct samples *adit,
		 const struct samples *reference)
{
	struct json_object *row = json_object_new_object();

	pthread_mutex_lock(&results->lock);
	put_string(row, "bench", results->bench);
	put_string(row, "name", result->name);
	put_string(row, "unit", result->unit);
	put_string(row, "better", result->higher ? "higher" : "lower");
	if (result->job)
		put_string(row, "job", result->job);
	put_double(row, "adit", samples_median(adit));
	if (result->reference_name)
		put_ratio(results, row, result, adit, reference);
	json_object_object_add(row, "adit_spread", spread(adit));
	if (reference)
		json_object_object_add(row, "reference_spread", spread(reference));
	json_object_array_add(results->list, row);
	pthread_mutex_unlock(&results->lock);
}

static void put_sentence(struct results *results, struct json_object *to, const char *fmt,
			 va_list ap)
{
	char text[640];

	vsnprintf(text, sizeof(text), fmt, ap);
	pthread_mutex_lock(&results->lock);
	json_object_array_add(to, json_object_new_string(text));
	pthread_mutex_unlock(&results->lock);
}

void results_note(struct results *results, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_sentence(results, results->notes, fmt, ap);
	va_end(ap);
}

void results_failed(struct results *results, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_sentence(results, results->failures, fmt, ap);
	va_end(ap);
}

unsigned int results_failures(const struct results *results)
{
	return (unsigned int)json_object_array_length(results->failures);
}

/* --- the table ------------------------------------------------------------------------------- */

static double number(const struct json_object *row, const char *key)
{
	return json_object_get_double(json_object_object_get(row, key));
}

static const char *string(const struct json_object *row, const char *key)
{
	return json_object_get_string(json_object_object_get(row, key));
}

/* "ok" and "MISSED" with a question mark where the interval holds the target. */
static void verdict(const struct json_object *row, char *target, char *text, size_t size)
{
	const struct json_object *ok = json_object_object_get(row, "ok");
	bool clear = json_object_get_boolean(json_object_object_get(row, "clear"));

	snprintf(target, size, "-");
	text[0] = 0;
	if (!ok)
		return;
	snprintf(target, size, "%s %.3g",
		 !strcmp(string(row, "better"), "lower") ? "<=" : ">=", number(row, "target"));
	snprintf(text, size, "%s%s", json_object_get_boolean(ok) ? "ok" : "MISSED",
		 clear ? "" : "?");
}

#define NAME_COLUMN	 42
#define NAME_COLUMN_MOST 84

/* As wide as the longest name, within reason. */
static int name_column(const struct results *results)
{
	size_t widest = NAME_COLUMN;

	for (size_t i = 0; i < json_object_array_length(results->list); i++)
		widest = MAX(widest,
			     strlen(string(json_object_array_get_idx(results->list, i), "name")));
	return (int)MIN(widest, (size_t)NAME_COLUMN_MOST);
}

#define SPREAD_COLUMN 6 /* characters; the sign of them is one, and two bytes */

/* The median distance from the median, in hundredths of this; blanks where there are no samples. */
static const char *deviation(const struct json_object *row, const char *key, char *text,
			     size_t size)
{
	const struct json_object *spread_of = json_object_object_get(row, key);
	double median = spread_of ? fabs(number(spread_of, "median")) : 0;
	double percent = median > 0 ? number(spread_of, "mad") / median * 100 : 0;

	if (spread_of)
		snprintf(text, size, "\302\261%*.*f%%", SPREAD_COLUMN - 2, percent < 99.95,
			 percent);
	else
		snprintf(text, size, "%*s", SPREAD_COLUMN, "");
	return text;
}

static void print_row(const struct json_object *row, int column, FILE *to)
{
	const struct json_object *interval = json_object_object_get(row, "interval");
	char target[32], text[32], spread_text[32];

	fprintf(to, "%-*s %9.4g %s %-5s", column, string(row, "name"), number(row, "adit"),
		deviation(row, "adit_spread", spread_text, sizeof(spread_text)),
		string(row, "unit"));
	if (!interval) {
		fprintf(to, "\n");
		return;
	}
	verdict(row, target, text, sizeof(text));
	fprintf(to, " %9.4g %s %-14s %7.3g [%.3g, %.3g] %s %s\n", number(row, "reference"),
		deviation(row, "reference_spread", spread_text, sizeof(spread_text)),
		string(row, "reference_name"), number(row, "ratio"),
		json_object_get_double(json_object_array_get_idx(interval, 0)),
		json_object_get_double(json_object_array_get_idx(interval, 1)), target, text);
}

static void print_sentences(const struct json_object *list, const char *what, FILE *to)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		fprintf(to, "%s: %s\n", what,
			json_object_get_string(json_object_array_get_idx(list, i)));
}

static void print_all(const struct results *results, FILE *to)
{
	int column = name_column(results);
	const char *bench = "";

	fprintf(to, "%-*s %9s %*s %-5s %9s %*s %-14s %7s [%.0f %% interval] target verdict\n",
		column, "name", "adit", SPREAD_COLUMN, "MAD", "", "reference", SPREAD_COLUMN, "MAD",
		"", "ratio", INTERVAL_LEVEL * 100);
	for (size_t i = 0; i < json_object_array_length(results->list); i++) {
		const struct json_object *row = json_object_array_get_idx(results->list, i);

		if (strcmp(bench, string(row, "bench")) != 0) {
			bench = string(row, "bench");
			fprintf(to, "%s:\n", bench);
		}
		print_row(row, column, to);
	}
	print_sentences(results->failures, "FAILED", to);
	print_sentences(results->notes, "note", to);
	if (results->few)
		fprintf(to, "note: intervals of fewer than %u rounds are less than %.0f %%\n",
			INTERVAL_ROUNDS, INTERVAL_LEVEL * 100);
	fprintf(to, "%u rounds; intervals by bootstrap, --seed %llu\n", results->options->rounds,
		(unsigned long long)results->options->seed);
}

/* Who reads it slowly, or not at all, keeps nobody from ending the bench. */
void results_print(struct results *results, FILE *to)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		abort();
	pthread_mutex_lock(&results->lock);
	print_all(results, file);
	pthread_mutex_unlock(&results->lock);
	fclose(file);
	fputs(text, to);
	free(text);
}

int results_write(struct results *results, const char *path)
{
	int ret = 0;

	pthread_mutex_lock(&results->lock);
	if (json_object_to_file_ext(path, results->json, JSON_C_TO_STRING_PRETTY))
		ret = errno ? -errno : -EIO;
	pthread_mutex_unlock(&results->lock);
	return ret;
}

void results_end(struct results *results, bool print, const char *failure)
{
	const char *path = results->options->json_path;

	results_failed(results, "%s", failure);
	if (path && results_write(results, path))
		fprintf(stderr, "%s: it cannot be written: %m\n", path);
	pthread_mutex_lock(&results->lock);
	if (print && results_count(results))
		print_all(results, stdout);
	fflush(stdout);
}
