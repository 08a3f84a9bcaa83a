/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is not the same of two runs beside their figures. It is said, by name and with both values,
 * and not refused: it may be what was changed.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "bench/compare-runs.h"
#include "bench/results-read.h"
#include "util/bits.h"

/* What changes nothing that is measured, and what is compared by itself. All else is looked at, so
 * that what is described in future is too. */
static const char *const run_ignored[] = { "started", "argv", "rounds",	  "seed",     "level",
					   "job",     "jobs", "contests", "patience", "retries" };
static const char *const host_ignored[] = { "load" };

static bool is_one_of(const char *key, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(key, list[i]))
			return true;
	}
	return false;
}

static const char *plain(const struct json_object *value)
{
	return json_object_to_json_string_ext((struct json_object *)value, JSON_C_TO_STRING_PLAIN);
}

static bool same(const struct json_object *a, const struct json_object *b)
{
	return a == b || (a && b && json_object_equal((void *)a, (void *)b));
}

static void say(const char *where, const char *key, const struct json_object *a,
		const struct json_object *b)
{
	if (!same(a, b))
		printf("note: %s: %s differs: %s and %s\n", where, key, plain(a), plain(b));
}

/* Members of both, then those of b alone. */
static void say_members(const char *where, struct json_object *a, struct json_object *b,
			const char *const *ignored, size_t count)
{
	if (!json_object_is_type(a, json_type_object) || !json_object_is_type(b, json_type_object))
		return;
	json_object_object_foreach(a, key, value)
	{
		if (!is_one_of(key, ignored, count))
			say(where, key, value, json_object_object_get(b, key));
	}
	json_object_object_foreach(b, name, other)
	{
		if (!is_one_of(name, ignored, count) && !json_object_object_get_ex(a, name, NULL))
			say(where, name, NULL, other);
	}
}

/* How many huge pages are free is another number every time. */
static void forget_free(const struct json_object *host)
{
	struct json_object *sizes = json_object_is_type(host, json_type_object)
					    ? json_object_object_get(host, "huge_pages")
					    : NULL;

	if (!json_object_is_type(sizes, json_type_object))
		return;
	json_object_object_foreach(sizes, name, size)
	{
		(void)name;
		if (json_object_is_type(size, json_type_object))
			json_object_object_del(size, "free");
	}
}

static struct json_object *run_of(const struct json_object *file)
{
	struct json_object *run = json_object_object_get(file, "run");

	return json_object_is_type(run, json_type_object) ? run : NULL;
}

static const struct json_object *job_of(const struct json_object *file, const char *bench,
					const char *name)
{
	const struct json_object *run = run_of(file);
	const struct json_object *jobs = run ? json_object_object_get(run, "jobs") : NULL;

	for (size_t i = 0;
	     json_object_is_type(jobs, json_type_array) && i < json_object_array_length(jobs);
	     i++) {
		const struct json_object *job = json_object_array_get_idx(jobs, i);

		if (json_object_is_type(job, json_type_object) &&
		    !strcmp(results_text(job, "bench"), bench) &&
		    !strcmp(results_text(job, "name"), name))
			return job;
	}
	return NULL;
}

bool compare_same_job(const struct json_object *a, const struct json_object *b, const char *bench,
		      const char *job)
{
	return same(job_of(a, bench, job), job_of(b, bench, job));
}

/* Those that are in both; of one that is in one file alone the rows say so. */
static void say_jobs(const struct json_object *a, const struct json_object *b)
{
	const struct json_object *run = run_of(a);
	const struct json_object *jobs = run ? json_object_object_get(run, "jobs") : NULL;
	char where[128];

	for (size_t i = 0;
	     json_object_is_type(jobs, json_type_array) && i < json_object_array_length(jobs);
	     i++) {
		const struct json_object *job = json_object_array_get_idx(jobs, i), *other;

		if (!json_object_is_type(job, json_type_object))
			continue;
		other = job_of(b, results_text(job, "bench"), results_text(job, "name"));
		snprintf(where, sizeof(where), "%s: job", results_text(job, "bench"));
		if (other)
			say(where, results_text(job, "name"), job, other);
	}
}

void compare_runs(const struct json_object *a, const struct json_object *b)
{
	struct json_object *host = json_object_object_get(a, "host");
	struct json_object *other = json_object_object_get(b, "host");

	forget_free(host);
	forget_free(other);
	say_members("run", run_of(a), run_of(b), run_ignored, ARRAY_SIZE(run_ignored));
	say_jobs(a, b);
	say_members("host", host, other, host_ignored, ARRAY_SIZE(host_ignored));
}
