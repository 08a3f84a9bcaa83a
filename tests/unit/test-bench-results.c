/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench's JSON: read again it is what was written, and it says what the run was. */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/describe.h"
#include "bench/job.h"
#include "bench/results-read.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "tests/unit/check.h"
#include "tests/unit/tree.h"
#include "util/bits.h"

struct fixture {
	struct bench_options options;
	struct bench_run run;
	char dir[64], path[96];
};

static int setup(void **state)
{
	static char *const argv[] = { (char *)"bench", (char *)"test", NULL };
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = { 0 };

	snprintf(f->dir, sizeof(f->dir), "/tmp/test-bench-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/out.json", f->dir);
	f->options = (struct bench_options){
		.argv = argv,
		.argc = 2,
		.rounds = 3,
		.warm_up = -1,
		.node = -1,
		.vms = 1,
		.patience = 60,
		.seed = 1,
	};
	f->run = (struct bench_run){ .options = &f->options, .bench = "test" };
	f->run.results = results_new(&f->options, "test");
	assert_ok(watch_start(&f->run.watch, "test", f->options.patience, &err), &err);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	watch_stop(f->run.watch);
	results_free(f->run.results);
	remove_tree(f->dir);
	free(f);
	return 0;
}

static struct json_object *write_and_read(struct fixture *f)
{
	struct json_object *file;
	struct err err = { 0 };

	assert_int_equal(results_write(f->run.results, f->path), 0);
	file = results_read(f->path, &err);
	assert_ok(file ? 0 : -EINVAL, &err);
	return file;
}

/* The JSON has six digits of each. */
static void assert_near(double a, double b)
{
	assert_true(fabs(a - b) <= 1e-5 * fabs(b));
}

static void assert_same(const struct samples *a, const struct samples *b)
{
	assert_int_equal(a->count, b->count);
	for (unsigned int i = 0; i < a->count; i++)
		assert_near(a->value[i], b->value[i]);
	assert_near(samples_median(a), samples_median(b));
}

static void what_was_written_is_read_again(void **state)
{
	static const double ours[] = { 3, 0.1, 123456, 1e-9, 7.25, 2.0 / 3, 1e12 };
	static const double theirs[] = { 1, -2.5, 4e5, 0, 5, 6.125, 1.0 / 3 };
	static struct samples adit, reference;
	static struct result_row row;
	struct fixture *f = *state;
	struct json_object *file, *list;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		samples_add(&adit, ours[i]);
		samples_add(&reference, theirs[i]);
	}
	results_add(f->run.results,
		    &(struct result){ .name = "fast",
				      .unit = "GB/s",
				      .higher = true,
				      .reference_name = "floor",
				      .job = "a job" },
		    &adit, &reference);
	results_add(f->run.results,
		    &(struct result){ .name = "slow",
				      .unit = "ns",
				      .reference_name = "bar",
				      .reference = 120 },
		    &adit, NULL);
	file = write_and_read(f);
	list = json_object_object_get(file, "results");
	assert_int_equal(json_object_array_length(list), 2);
	assert_int_equal(results_row(json_object_array_get_idx(list, 0), &row), 0);
	assert_string_equal(row.bench, "test");
	assert_string_equal(row.name, "fast");
	assert_string_equal(row.unit, "GB/s");
	assert_string_equal(row.reference_name, "floor");
	assert_string_equal(row.job, "a job");
	assert_true(row.higher);
	assert_same(&row.ours, &adit);
	assert_same(&row.reference, &reference);
	assert_int_equal(results_row(json_object_array_get_idx(list, 1), &row), 0);
	assert_string_equal(row.unit, "ns");
	assert_false(row.higher);
	assert_same(&row.ours, &adit);
	assert_int_equal(row.reference.count, 0);
	assert_near(row.bar, 120);
	json_object_put(file);
}

static struct json_object *of_run(struct json_object *file, const char *key)
{
	return json_object_object_get(json_object_object_get(file, "run"), key);
}

static const char *plain(struct json_object *value)
{
	return json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
}

static const struct job job = { .name = "mixed",
				.random = true,
				.reads = true,
				.writes = true,
				.bs = 4096,
				.iodepth = 16,
				.runtime = 0.25,
				.rwmixread = 70 };
static const struct contest_row rows[] = { { .name = "mixed", .unit = "k/s", .job = &job } };

/* The peer leaves in the second round. */
static int turn(struct turn *turn, struct err *err)
{
	if (turn->party == 1 && turn->round)
		return err_set(err, ENOTSUP, "not today");
	turn_put(turn, 0, turn->round);
	return 0;
}

static struct contest contest_of(const char *peer)
{
	return (struct contest){
		.name = "contest",
		.parties = { "adit", peer },
		.party_count = 2,
		.rows = rows,
		.row_count = 1,
		.warm_up = 1,
		.jobs = &job,
		.job_count = 1,
		.job_keys = JOB_BIT(JOB_RW) | JOB_BIT(JOB_BS) | JOB_BIT(JOB_IODEPTH) |
			    JOB_BIT(JOB_RUNTIME) | JOB_BIT(JOB_RWMIXREAD),
		.turn = turn,
	};
}

static void contests_and_their_jobs_are_described(void **state)
{
	struct contest first = contest_of("peer"), again = contest_of("peer");
	struct fixture *f = *state;
	struct json_object *file;
	struct err err = { 0 };

	assert_ok(contest_hold(&first, &f->run, &err), &err);
	assert_ok(contest_hold(&again, &f->run, &err), &err);
	file = write_and_read(f);
	/* The same once more is not told twice. */
	assert_string_equal(plain(of_run(file, "jobs")),
			    "[{\"name\":\"mixed\",\"rw\":\"randrw\",\"bs\":4096,\"iodepth\":16,"
			    "\"runtime\":0.25,\"rwmixread\":70,\"bench\":\"test\"}]");
	assert_string_equal(plain(of_run(file, "contests")),
			    "[{\"bench\":\"test\",\"name\":\"contest\",\"parties\":[\"adit\","
			    "\"peer\"],\"left\":[\"peer\"],\"warm_up\":1,\"rounds\":3}]");
	assert_string_equal(plain(of_run(file, "argv")), "[\"bench\",\"test\"]");
	assert_string_equal(plain(of_run(file, "qemu")), "null");
	json_object_put(file);
}

static int all_turns(struct turn *turn, struct err *err)
{
	(void)err;
	turn_put(turn, 0, 1);
	return 0;
}

static void the_version_of_a_qemu_that_took_part_is_asked(void **state)
{
	struct contest contest = contest_of("qemu-microvm");
	struct fixture *f = *state;
	char *before = strdup(getenv("PATH")), program[128];
	struct json_object *file;
	struct err err = { 0 };
	FILE *to;

	snprintf(program, sizeof(program), "%s/qemu-system-x86_64", f->dir);
	to = fopen(program, "we");
	assert_non_null(to);
	fputs("#!/bin/sh\necho \"QEMU of $1\"\necho Copyright\n", to);
	fclose(to);
	chmod(program, 0700);
	setenv("PATH", f->dir, 1);
	contest.turn = all_turns;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	setenv("PATH", before, 1);
	free(before);
	file = write_and_read(f);
	assert_string_equal(plain(of_run(file, "qemu")), "\"QEMU of --version\"");
	json_object_put(file);
}

/* --- functions -------------------------------------------------------------------------------- */

static void a_function_is_described_from_sys(void **state)
{
	struct fixture *f = *state;
	char bdf[BDF_CHARS + 1], link[128];
	struct json_object *function;

	put_file(f->dir, "/sys/bus/pci/devices/0000:6a:01.0/vendor", "0x8086\n");
	put_file(f->dir, "/sys/bus/pci/devices/0000:6a:01.0/device", "0x0b25\n");
	put_file(f->dir, "/sys/bus/pci/devices/0000:6a:01.0/numa_node", "1\n");
	put_file(f->dir, "/sys/class/vfio-dev/vfio7/dev", "511:7\n");
	snprintf(link, sizeof(link), "%s/sys/class/vfio-dev/vfio7/device", f->dir);
	assert_int_equal(symlink("../../../0000:6a:01.0", link), 0);
	assert_true(describe_cdev(f->dir, "/dev/vfio/devices/vfio7", bdf));
	assert_string_equal(bdf, "0000:6a:01.0");
	assert_false(describe_cdev(f->dir, "/dev/vfio/devices/vfio8", bdf));
	function = describe_function(f->dir, "0000:6a:01.0");
	assert_string_equal(plain(function), "{\"bdf\":\"0000:6a:01.0\",\"vendor\":\"0x8086\","
					     "\"device\":\"0x0b25\",\"node\":1}");
	json_object_put(function);
	put_file(f->dir, "/sys/bus/pci/devices/0000:6a:01.0/numa_node", "-1\n");
	function = describe_function(f->dir, "0000:6a:01.0");
	assert_string_equal(plain(json_object_object_get(function, "node")), "null");
	json_object_put(function);
}

#define WITH_RUN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RUN(what_was_written_is_read_again),
		WITH_RUN(contests_and_their_jobs_are_described),
		WITH_RUN(the_version_of_a_qemu_that_took_part_is_asked),
		WITH_RUN(a_function_is_described_from_sys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
