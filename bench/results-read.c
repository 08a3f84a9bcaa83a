/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of a run, as rows again. */
#include "bench/results-read.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "bench/results.h"

const char *results_text(const struct json_object *from, const char *key)
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

int results_row(const struct json_object *from, struct result_row *row)
{
	if (!json_object_is_type(from, json_type_object))
		return -EINVAL;
	row->bench = results_text(from, "bench");
	row->name = results_text(from, "name");
	row->reference_name = results_text(from, "reference_name");
	row->unit = results_text(from, "unit");
	row->job = results_text(from, "job");
	row->higher = !strcmp(results_text(from, "better"), "higher");
	row->bar = json_object_get_double(json_object_object_get(from, "reference"));
	if (get_samples(from, "adit_spread", &row->ours) || !row->ours.count)
		return -EINVAL;
	return get_samples(from, "reference_spread", &row->reference);
}

struct json_object *results_read(const char *path, struct err *err)
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
