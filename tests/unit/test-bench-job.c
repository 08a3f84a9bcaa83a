/* SPDX-License-Identifier: Apache-2.0 */
/* Job files of adit bench: fio's names, and refusals that say where. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "bench/job.h"
#include "tests/unit/check.h"
#include "util/bits.h"

#define ALL (BIT_U64(JOB_KEYS) - 1)

static const struct job defaults = {
	.random = true, .reads = true, .bs = 4096, .iodepth = 1, .size = 64 * MIB, .rwmixread = 50
};

static struct jobs parse(const char *text)
{
	struct err err = { 0 };
	struct jobs jobs;

	assert_ok(jobs_parse(&jobs, "file", text, ALL, &defaults, &err), &err);
	return jobs;
}

static void a_job_that_says_nothing_is_the_bench_s(void **state)
{
	const struct jobs jobs = parse("{\"jobs\": [{\"name\": \"a\"}]}");

	(void)state;
	assert_int_equal(jobs.count, 1);
	assert_string_equal(jobs.job[0].name, "a");
	assert_int_equal(jobs.job[0].bs, 4096);
	assert_true(jobs.job[0].random && jobs.job[0].reads && !jobs.job[0].writes);
}

static void a_job_has_what_global_says_below_its_own(void **state)
{
	const struct jobs jobs =
		parse("{\"jobs\": [{\"name\": \"a\", \"bs\": 512}, {\"name\": \"b\"}], "
		      "\"global\": {\"iodepth\": 8, \"bs\": \"1m\"}}");

	/* Also where global comes behind them: JSON's members have no order. */
	(void)state;
	assert_int_equal(jobs.job[0].bs, 512);
	assert_int_equal(jobs.job[1].bs, MIB);
	assert_int_equal(jobs.job[0].iodepth, 8);
}

static void values_are_as_fio_writes_them(void **state)
{
	const struct jobs jobs =
		parse("{\"jobs\": [{\"name\": \"a\", \"readwrite\": \"randrw\", "
		      "\"blocksize\": \"64K\", \"size\": 1048576, \"runtime\": 0.25, "
		      "\"rwmixread\": 70, \"direct\": 1, \"pasid\": true, \"io_size\": \"2g\", "
		      "\"iodepth_batch_submit\": 16, \"number_ios\": 5, \"numjobs\": 4, "
		      "\"ramp_time\": 0.5}, "
		      "{\"name\": \"b\", \"rw\": \"write\"}]}");
	const struct job *job = &jobs.job[0];

	(void)state;
	assert_true(job->random && job->reads && job->writes && job->direct && job->pasid);
	assert_int_equal(job->bs, 64 * KIB);
	assert_int_equal(job->size, MIB);
	assert_int_equal(job->io_size, 2 * GIB);
	assert_int_equal(job->rwmixread, 70);
	assert_int_equal(job->iodepth_batch, 16);
	assert_int_equal(job->number_ios, 5);
	assert_true(job->runtime == 0.25 && job->ramp_time == 0.5);
	assert_int_equal(job->numjobs, 4);
	assert_true(!jobs.job[1].random && !jobs.job[1].reads && jobs.job[1].writes);
}

struct refusal {
	const char *text, *says;
};

static void what_is_wrong_is_refused_by_its_pointer(void **state)
{
	static const struct refusal refusals[] = {
		{ "{\"jobs\": [{\"name\": \"a\"}, {\"name\": \"b\", \"ioengine\": \"x\"}]}",
		  "file: /jobs/1/ioengine: unknown key; this bench knows rw, bs, " },
		{ "{\"globl\": {}, \"jobs\": [{\"name\": \"a\"}]}", "file: /globl: unknown key" },
		{ "{\"global\": {\"name\": \"a\"}, \"jobs\": []}",
		  "file: /global/name: unknown key" },
		{ "{\"jobs\": []}", "file: /jobs: a list of 1 to 16 jobs" },
		{ "{}", "file: /jobs: a list" },
		{ "{\"jobs\": [3]}", "file: /jobs/0: an object" },
		{ "[]", "file: : an object" },
		{ "{\"jobs\": [{}]}", "file: /jobs/0/name: it is missing" },
		{ "{\"jobs\": [{\"name\": \"\"}]}", "file: /jobs/0/name: a text of 1 to 39" },
		{ "{\"jobs\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}",
		  "file: /jobs/1/name: \"a\" is /jobs/0's already" },
		{ "{\"jobs\": [{\"name\": \"a\", \"bs\": \"4q\"}]}",
		  "file: /jobs/0/bs: \"4q\" is no size in bytes from 64 to 33554432" },
		{ "{\"jobs\": [{\"name\": \"a\", \"bs\": \"\"}]}", "/bs: \"\" is no size" },
		{ "{\"jobs\": [{\"name\": \"a\", \"bs\": -1}]}", "/bs: -1 is no size" },
		{ "{\"jobs\": [{\"name\": \"a\", \"bs\": 1e30}]}", "/bs: 1e30 is no size" },
		{ "{\"jobs\": [{\"name\": \"a\", \"iodepth\": 1.5}]}",
		  "/iodepth: 1.5 is no whole number from 1 to 64" },
		{ "{\"jobs\": [{\"name\": \"a\", \"iodepth\": \"4\"}]}",
		  "/iodepth: \"4\" is no whole number" },
		{ "{\"jobs\": [{\"name\": \"a\", \"runtime\": 0}]}",
		  "/runtime: 0 is no number of seconds from 0.001 to 60" },
		{ "{\"jobs\": [{\"name\": \"a\", \"rw\": \"trim\"}]}",
		  "/rw: \"trim\" is none of read, write" },
		{ "{\"jobs\": [{\"name\": \"a\", \"rw\": null}]}", "/rw: null is none of" },
		{ "{\"jobs\": [{\"name\": \"a\", \"direct\": 2}]}",
		  "/direct: 2 is neither true nor false" },
		{ "{\"jobs\": [{\"name\": \"a\", \"bs\": \"2m\", \"size\": \"1m\"}]}",
		  "/jobs/0/bs: 2097152 is more than the size of 1048576" },
		{ "{\"jobs\": [", "file: no JSON" },
		{ "", "file: no JSON" },
		{ "{\"jobs\": [{\"name\": \"a\"}]} x", "file: no JSON" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct err err = { 0 };
		struct jobs jobs;
		int ret = jobs_parse(&jobs, "file", refusals[i].text, ALL, &defaults, &err);

		if (ret != -EINVAL || !strstr(err.text, refusals[i].says))
			fail_msg("%s: %d: %s", refusals[i].text, ret, err.text);
	}
}

static void a_key_of_another_bench_is_unknown(void **state)
{
	struct err err = { 0 };
	struct jobs jobs;

	(void)state;
	assert_int_equal(jobs_parse(&jobs, "file", "{\"jobs\": [{\"name\": \"a\", \"bs\": 512}]}",
				    JOB_BIT(JOB_NUMBER_IOS), &defaults, &err),
			 -EINVAL);
	assert_string_equal(err.text, "file: /jobs/0/bs: unknown key; this bench knows number_ios");
}

static void seventeen_jobs_are_too_many(void **state)
{
	char text[1024] = "{\"jobs\": [";
	struct err err = { 0 };
	struct jobs jobs;

	(void)state;
	for (unsigned int i = 0; i <= JOBS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s{\"name\": \"%u\"}",
			 i ? ", " : "", i);
	strcat(text, "]}");
	assert_int_equal(jobs_parse(&jobs, "file", text, ALL, &defaults, &err), -EINVAL);
}

static void a_file_that_is_not_there_is_said_to_be(void **state)
{
	struct err err = { 0 };
	struct jobs jobs;

	(void)state;
	assert_int_equal(jobs_read(&jobs, "/nowhere/job", ALL, &defaults, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/job: "));
}

/* What a run's description says of a job is a job file again, and asks for the same. */
static void a_job_that_is_described_can_be_read_again(void **state)
{
	static const char *const words[] = { "read",	 "write",     "rw",
					     "randread", "randwrite", "randrw" };
	const unsigned int all = (unsigned int)ALL;
	char text[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct json_object *first, *second;
		struct jobs jobs;

		snprintf(text, sizeof(text),
			 "{\"jobs\": [{\"name\": \"a\", \"rw\": \"%s\", \"bs\": \"64k\", "
			 "\"iodepth\": 3, \"iodepth_batch\": 16, \"runtime\": 0.25, \"size\": "
			 "\"1g\", \"io_size\": \"64g\", \"number_ios\": 5, \"rwmixread\": 70, "
			 "\"direct\": true, \"pasid\": true, \"pasids\": 2, \"pasid_run\": 9, "
			 "\"numjobs\": 4, \"ramp_time\": 0.125}]}",
			 words[i]);
		jobs = parse(text);
		first = job_describe(&jobs.job[0], all);
		assert_string_equal(json_object_get_string(json_object_object_get(first, "rw")),
				    words[i]);
		assert_int_equal(json_object_object_length(first), JOB_KEYS + 1);
		snprintf(text, sizeof(text), "{\"jobs\": [%s]}", json_object_to_json_string(first));
		jobs = parse(text);
		second = job_describe(&jobs.job[0], all);
		assert_true(json_object_equal(first, second));
		assert_true(jobs.job[0].bs == 64 * KIB && jobs.job[0].io_size == 64 * GIB);
		assert_true(jobs_seconds(jobs.job, jobs.count) == 0.375);
		json_object_put(second);
		json_object_put(first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_that_says_nothing_is_the_bench_s),
		cmocka_unit_test(a_job_has_what_global_says_below_its_own),
		cmocka_unit_test(values_are_as_fio_writes_them),
		cmocka_unit_test(what_is_wrong_is_refused_by_its_pointer),
		cmocka_unit_test(a_key_of_another_bench_is_unknown),
		cmocka_unit_test(seventeen_jobs_are_too_many),
		cmocka_unit_test(a_file_that_is_not_there_is_said_to_be),
		cmocka_unit_test(a_job_that_is_described_can_be_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
