/* SPDX-License-Identifier: Apache-2.0 */
/* Reading job files: one table of keys, and for each what it may say. */
#include "bench/job.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

#define FILE_MAX (1u << 20)

enum kind {
	KIND_RW,
	KIND_SIZE,    /* bytes: a number, or "4k" */
	KIND_COUNT,   /* a whole number */
	KIND_SECONDS, /* a number */
	KIND_BOOL,    /* also fio's 0 and 1 */
};

static const struct key {
	const char *name, *alias; /* fio has two names for some */
	enum kind kind;
	size_t offset;
	double min, max;
} keys_of_fio[JOB_KEYS] = {
	[JOB_RW] = { "rw", "readwrite", KIND_RW, 0, 0, 0 },
	[JOB_BS] = { "bs", "blocksize", KIND_SIZE, offsetof(struct job, bs), 64, 32 * MIB },
	[JOB_IODEPTH] = { "iodepth", NULL, KIND_COUNT, offsetof(struct job, iodepth), 1, 64 },
	[JOB_IODEPTH_BATCH] = { "iodepth_batch", "iodepth_batch_submit", KIND_COUNT,
				offsetof(struct job, iodepth_batch), 1, 1024 },
	[JOB_RUNTIME] = { "runtime", NULL, KIND_SECONDS, offsetof(struct job, runtime), 0.001, 60 },
	[JOB_SIZE] = { "size", NULL, KIND_SIZE, offsetof(struct job, size), 4096, 1 * GIB },
	[JOB_IO_SIZE] = { "io_size", NULL, KIND_SIZE, offsetof(struct job, io_size), 64, 64 * GIB },
	[JOB_NUMBER_IOS] = { "number_ios", NULL, KIND_COUNT, offsetof(struct job, number_ios), 1,
			     1000000 },
	[JOB_RWMIXREAD] = { "rwmixread", NULL, KIND_COUNT, offsetof(struct job, rwmixread), 0,
			    100 },
	[JOB_DIRECT] = { "direct", NULL, KIND_BOOL, offsetof(struct job, direct), 0, 1 },
	[JOB_PASID] = { "pasid", NULL, KIND_BOOL, offsetof(struct job, pasid), 0, 1 },
	[JOB_PASIDS] = { "pasids", NULL, KIND_COUNT, offsetof(struct job, pasids), 0, 16 },
	[JOB_NUMJOBS] = { "numjobs", NULL, KIND_COUNT, offsetof(struct job, numjobs), 1, 16 },
	[JOB_RAMP_TIME] = { "ramp_time", NULL, KIND_SECONDS, offsetof(struct job, ramp_time), 0,
			    60 },
	[JOB_PASID_RUN] = { "pasid_run", NULL, KIND_COUNT, offsetof(struct job, pasid_run), 1,
			    1000000 },
};

/* Where the reader is: for the sentence of a refusal. */
struct place {
	const char *file;
	char pointer[96];
	unsigned int keys;
};

static int refuse(const struct place *at, const char *key, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int refuse(const struct place *at, const char *key, struct err *err, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(err, EINVAL, "%s: %s%s%.60s: %s", at->file, at->pointer, key ? "/" : "",
		       key ? key : "", why);
}

/* --- values ---------------------------------------------------------------------------------- */

/* Of two words for one thing the first is fio's own. */
static const struct rw {
	const char *word;
	bool random, reads, writes;
} words_of_rw[] = {
	{ "read", false, true, false },	   { "write", false, false, true },
	{ "rw", false, true, true },	   { "readwrite", false, true, true },
	{ "randread", true, true, false }, { "randwrite", true, false, true },
	{ "randrw", true, true, true },
};

static int put_rw(struct job *job, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words_of_rw); i++) {
		const struct rw *rw = &words_of_rw[i];

		if (strcmp(word, rw->word) != 0)
			continue;
		job->random = rw->random;
		job->reads = rw->reads;
		job->writes = rw->writes;
		return 0;
	}
	return -EINVAL;
}

/* "4k" are 4096, as fio has it without kb_base; NAN: no such number. */
static double size_of(const char *text)
{
	static const char units[] = "kmg";
	char *end;
	double value = strtod(text, &end);
	const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;

	if (end == text || !isdigit((unsigned char)*text))
		return NAN;
	if (unit) {
		value *= (double)(KIB << 10 * (unit - units));
		end++;
	}
	return *end ? NAN : value;
}

/* A number in its limits, whole unless it is seconds. */
static bool number(const struct key *key, const struct json_object *value, double *number)
{
	bool text = key->kind == KIND_SIZE && json_object_is_type(value, json_type_string);

	if (text)
		*number = size_of(json_object_get_string((struct json_object *)value));
	else if (json_object_is_type(value, json_type_int) ||
		 json_object_is_type(value, json_type_double))
		*number = json_object_get_double(value);
	else
		return false;
	if (key->kind != KIND_SECONDS && *number != floor(*number))
		return false;
	return *number >= key->min && *number <= key->max;
}

static int put_bool(struct job *job, const struct key *key, const struct json_object *value)
{
	double n;

	if (json_object_is_type(value, json_type_boolean))
		*(bool *)((char *)job + key->offset) = json_object_get_boolean(value);
	else if (number(key, value, &n))
		*(bool *)((char *)job + key->offset) = n != 0;
	else
		return -EINVAL;
	return 0;
}

static int put_number(struct job *job, const struct key *key, const struct json_object *value)
{
	void *to = (char *)job + key->offset;
	double n;

	if (!number(key, value, &n))
		return -EINVAL;
	if (key->kind == KIND_SIZE)
		*(uint64_t *)to = (uint64_t)n;
	else if (key->kind == KIND_COUNT)
		*(unsigned int *)to = (unsigned int)n;
	else
		*(double *)to = n;
	return 0;
}

static int put(struct job *job, const struct key *key, struct json_object *value,
	       const struct place *at, struct err *err)
{
	const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);

	switch (key->kind) {
	case KIND_RW:
		if (json_object_is_type(value, json_type_string) &&
		    !put_rw(job, json_object_get_string(value)))
			return 0;
		return refuse(at, key->name, err,
			      "%.40s is none of read, write, rw, randread, randwrite and randrw",
			      text);
	case KIND_BOOL:
		return put_bool(job, key, value)
			       ? refuse(at, key->name, err, "%.40s is neither true nor false", text)
			       : 0;
	default:
		return put_number(job, key, value)
			       ? refuse(at, key->name, err, "%.40s is no %s from %.12g to %.12g",
					text,
					key->kind == KIND_SECONDS ? "number of seconds"
					: key->kind == KIND_SIZE  ? "size in bytes"
								  : "whole number",
					key->min, key->max)
			       : 0;
	}
}

/* --- keys ------------------------------------------------------------------------------------ */

static const struct key *find(const char *name)
{
	for (size_t i = 0; i < JOB_KEYS; i++) {
		const struct key *key = &keys_of_fio[i];

		if (!strcmp(name, key->name) || (key->alias && !strcmp(name, key->alias)))
			return key;
	}
	return NULL;
}

static int refuse_key(const char *name, const struct place *at, struct err *err)
{
	char list[200];
	size_t n = 0;

	for (size_t i = 0; i < JOB_KEYS; i++) {
		if (at->keys & JOB_BIT(i))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
					      keys_of_fio[i].name);
	}
	return refuse(at, name, err, "unknown key; this bench knows %s", list);
}

static int put_name(struct job *job, struct json_object *value, const struct place *at,
		    struct err *err)
{
	const char *name =
		json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";

	if (!*name || strlen(name) >= sizeof(job->name))
		return refuse(at, "name", err, "a text of 1 to %zu bytes is asked for",
			      sizeof(job->name) - 1);
	snprintf(job->name, sizeof(job->name), "%s", name);
	return 0;
}

static int read_job(struct job *job, struct json_object *from, bool global, const struct place *at,
		    struct err *err)
{
	int ret = 0;

	if (!json_object_is_type(from, json_type_object))
		return refuse(at, NULL, err, "an object is asked for");
	json_object_object_foreach(from, name, value)
	{
		const struct key *key = find(name);

		if (!strcmp(name, "name") && !global)
			ret = put_name(job, value, at, err);
		else if (!key || !(at->keys & JOB_BIT(key - keys_of_fio)))
			ret = refuse_key(name, at, err);
		else
			ret = put(job, key, value, at, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_job(const struct jobs *jobs, const struct place *at, struct err *err)
{
	const struct job *job = &jobs->job[jobs->count];

	if (!job->name[0])
		return refuse(at, "name", err, "it is missing: rows are called by it");
	for (unsigned int i = 0; i < jobs->count; i++) {
		if (!strcmp(job->name, jobs->job[i].name))
			return refuse(at, "name", err, "\"%s\" is /jobs/%u's already", job->name,
				      i);
	}
	if (at->keys & JOB_BIT(JOB_SIZE) && job->bs > job->size)
		return refuse(at, "bs", err, "%llu is more than the size of %llu",
			      (unsigned long long)job->bs, (unsigned long long)job->size);
	return 0;
}

static int read_all(struct jobs *jobs, struct json_object *from, struct place *at,
		    const struct job *defaults, struct err *err)
{
	struct json_object *list = NULL;
	struct job global = *defaults;
	int ret = 0;

	if (!json_object_is_type(from, json_type_object))
		return refuse(at, NULL, err, "an object with \"jobs\" is asked for");
	json_object_object_foreach(from, name, value)
	{
		if (!strcmp(name, "jobs")) {
			list = value;
		} else if (!strcmp(name, "global")) {
			snprintf(at->pointer, sizeof(at->pointer), "/global");
			ret = read_job(&global, value, true, at, err);
		} else {
			ret = refuse(at, name, err, "unknown key; there are global and jobs");
		}
		if (ret)
			return ret;
	}
	snprintf(at->pointer, sizeof(at->pointer), "/jobs");
	if (!json_object_is_type(list, json_type_array) || !json_object_array_length(list) ||
	    json_object_array_length(list) > JOBS_MAX)
		return refuse(at, NULL, err, "a list of 1 to %u jobs is asked for", JOBS_MAX);
	for (size_t i = 0; !ret && i < json_object_array_length(list); i++) {
		snprintf(at->pointer, sizeof(at->pointer), "/jobs/%zu", i);
		jobs->job[i] = global;
		jobs->job[i].name[0] = 0;
		jobs->job[i].index = (unsigned int)i;
		ret = read_job(&jobs->job[i], json_object_array_get_idx(list, i), false, at, err);
		if (!ret)
			ret = check_job(jobs, at, err);
		jobs->count++;
	}
	return ret;
}

int jobs_parse(struct jobs *jobs, const char *name, const char *text, unsigned int keys,
	       const struct job *defaults, struct err *err)
{
	struct place at = { .file = name, .keys = keys };
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *from;
	int ret;

	*jobs = (struct jobs){ 0 };
	if (!tokener)
		return err_set(err, ENOMEM, "no memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	from = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		ret = err_set(err, EINVAL, "%s: no JSON: %s", name,
			      json_tokener_error_desc(json_tokener_get_error(tokener)));
	else
		ret = read_all(jobs, from, &at, defaults, err);
	json_object_put(from);
	json_tokener_free(tokener);
	return ret;
}

int jobs_read(struct jobs *jobs, const char *path, unsigned int keys, const struct job *defaults,
	      struct err *err)
{
	char *text = malloc(FILE_MAX);
	FILE *file = fopen(path, "re");
	size_t n = 0;
	int ret = 0;

	if (!text || !file)
		ret = err_set(err, text ? errno : ENOMEM, "%s: %m", path);
	if (!ret)
		n = fread(text, 1, FILE_MAX, file);
	if (!ret && (ferror(file) || n == FILE_MAX))
		ret = err_set(err, EINVAL, "%s: it cannot be read, or has %u bytes or more", path,
			      FILE_MAX);
	if (!ret) {
		text[n] = 0;
		ret = jobs_parse(jobs, path, text, keys, defaults, err);
	}
	if (file)
		fclose(file);
	free(text);
	return ret;
}

/* --- and back --------------------------------------------------------------------------------- */

static const char *rw_of(const struct job *job)
{
	for (size_t i = 0; i < ARRAY_SIZE(words_of_rw); i++) {
		const struct rw *rw = &words_of_rw[i];

		if (rw->random == job->random && rw->reads == job->reads &&
		    rw->writes == job->writes)
			return rw->word;
	}
	return "none";
}

static struct json_object *value_of(const struct job *job, const struct key *key)
{
	const void *from = (const char *)job + key->offset;
	char text[32];

	switch (key->kind) {
	case KIND_RW:
		return json_object_new_string(rw_of(job));
	case KIND_SIZE:
		return json_object_new_int64((int64_t) * (const uint64_t *)from);
	case KIND_COUNT:
		return json_object_new_int64(*(const unsigned int *)from);
	case KIND_BOOL:
		return json_object_new_boolean(*(const bool *)from);
	case KIND_SECONDS:
		break;
	}
	snprintf(text, sizeof(text), "%.6g", *(const double *)from);
	return json_object_new_double_s(*(const double *)from, text);
}

struct json_object *job_describe(const struct job *job, unsigned int keys)
{
	struct json_object *to = json_object_new_object();

	json_object_object_add(to, "name", json_object_new_string(job->name));
	for (size_t i = 0; i < JOB_KEYS; i++) {
		if (keys & JOB_BIT(i))
			json_object_object_add(to, keys_of_fio[i].name,
					       value_of(job, &keys_of_fio[i]));
	}
	if (job->stride)
		json_object_object_add(to, "stride", json_object_new_int64((int64_t)job->stride));
	return to;
}

double jobs_seconds(const struct job *jobs, unsigned int count)
{
	double sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += jobs[i].ramp_time + jobs[i].runtime;
	return sum;
}
