/* SPDX-License-Identifier: Apache-2.0 */
/* Results as a table for people and as JSON for machines; the same figures in both. */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "bench/bench.h"

struct results {
	struct json_object *json, *list, *notes;
};

struct results *results_new(const char *bench)
{
	struct results *results = calloc(1, sizeof(*results));
	struct json_object *host = json_object_new_object();
	struct utsname name;

	if (!results)
		abort();
	uname(&name);
	results->json = json_object_new_object();
	results->list = json_object_new_array();
	results->notes = json_object_new_array();
	json_object_object_add(results->json, "bench", json_object_new_string(bench));
	json_object_object_add(host, "kernel", json_object_new_string(name.release));
	json_object_object_add(host, "machine", json_object_new_string(name.machine));
	json_object_object_add(results->json, "host", host);
	json_object_object_add(results->json, "results", results->list);
	json_object_object_add(results->json, "notes", results->notes);
	return results;
}

void results_free(struct results *results)
{
	json_object_put(results->json);
	free(results);
}

static void put_double(struct json_object *row, const char *key, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", value);
	json_object_object_add(row, key, json_object_new_double_s(value, text));
}

static void put_quartiles(struct json_object *row, const char *key, struct samples *samples)
{
	struct json_object *pair = json_object_new_array();

	json_object_array_add(pair, json_object_new_double(samples_quantile(samples, 0.25)));
	json_object_array_add(pair, json_object_new_double(samples_quantile(samples, 0.75)));
	json_object_object_add(row, key, pair);
}

void results_add(struct results *results, const struct result *result, struct samples *adit,
		 struct samples *reference)
{
	struct json_object *row = json_object_new_object();
	double ours = adit ? samples_quantile(adit, 0.5) : result->adit;
	double theirs = reference ? samples_quantile(reference, 0.5) : result->reference;
	double ratio = theirs > 0 ? ours / theirs : 0;

	json_object_object_add(row, "name", json_object_new_string(result->name));
	json_object_object_add(row, "unit", json_object_new_string(result->unit));
	put_double(row, "adit", ours);
	put_double(row, "reference", theirs);
	json_object_object_add(row, "reference_name",
			       json_object_new_string(result->reference_name));
	put_double(row, "ratio", ratio);
	put_double(row, "target", result->target);
	json_object_object_add(row, "better",
			       json_object_new_string(result->higher ? "higher" : "lower"));
	if (result->target > 0)
		json_object_object_add(row, "ok",
				       json_object_new_boolean(result->higher
								       ? ratio >= result->target
								       : ratio <= result->target));
	if (adit)
		put_quartiles(row, "adit_quartiles", adit);
	if (reference)
		put_quartiles(row, "reference_quartiles", reference);
	json_object_array_add(results->list, row);
}

void results_note(struct results *results, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_array_add(results->notes, json_object_new_string(text));
}

static double number(struct json_object *row, const char *key)
{
	return json_object_get_double(json_object_object_get(row, key));
}

static const char *string(struct json_object *row, const char *key)
{
	return json_object_get_string(json_object_object_get(row, key));
}

static void print_row(struct json_object *row)
{
	struct json_object *ok = json_object_object_get(row, "ok");
	char target[32] = "-";

	if (ok)
		snprintf(target, sizeof(target), "%s %.3g",
			 !strcmp(string(row, "better"), "lower") ? "<=" : ">=",
			 number(row, "target"));
	printf("%-34s %10.4g %-4s %10.4g %-14s %7.2f  %-8s %s\n", string(row, "name"),
	       number(row, "adit"), string(row, "unit"), number(row, "reference"),
	       string(row, "reference_name"), number(row, "ratio"), target,
	       !ok			     ? ""
	       : json_object_get_boolean(ok) ? "ok"
					     : "MISSED");
}

int results_print(struct results *results, const char *json_path)
{
	printf("%-34s %10s %-4s %10s %-14s %7s  %-8s\n", "name", "adit", "", "reference", "",
	       "ratio", "target");
	for (size_t i = 0; i < json_object_array_length(results->list); i++)
		print_row(json_object_array_get_idx(results->list, i));
	for (size_t i = 0; i < json_object_array_length(results->notes); i++)
		printf("note: %s\n",
		       json_object_get_string(json_object_array_get_idx(results->notes, i)));
	if (json_path && json_object_to_file_ext(json_path, results->json, JSON_C_TO_STRING_PRETTY))
		return errno ? -errno : -EIO;
	return 0;
}
