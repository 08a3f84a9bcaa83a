/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench's runner: whose turn it is and what is kept; and what it says of the host. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/contest.h"
#include "bench/host.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "tests/unit/check.h"
#include "tests/unit/tree.h"
#include "util/bits.h"

struct fixture {
	struct bench_options options;
	struct bench_run run;
	char turns[256]; /* who had one, in their order */
	unsigned int count;
	unsigned int leaves; /* this party has no turn but its first; 0: nobody */
	unsigned int fails;  /* this turn; 0: none */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = { 0 };

	f->options = (struct bench_options){
		.rounds = 4, .warm_up = -1, .node = -1, .patience = 600, .seed = 1
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
	free(f);
	return 0;
}

static int turn(struct turn *turn, struct err *err)
{
	struct fixture *f = turn->opaque;

	f->turns[f->count++] = (char)('0' + turn->party);
	if (f->fails && f->count == f->fails)
		return err_set(err, EIO, "the device is gone");
	if (f->leaves && turn->party == f->leaves)
		return err_set(err, ENOTSUP, "it has no such thing");
	turn_put(turn, 0, 100 * (turn->party + 1) + turn->round);
	return 0;
}

static const struct contest_row row = { .name = "row", .unit = "us", .target = 2 };

static struct contest contest_of(struct fixture *f, unsigned int parties)
{
	return (struct contest){
		.name = "contest",
		.parties = { "adit", "floor", "peer" },
		.party_count = parties,
		.rows = &row,
		.row_count = 1,
		.boots = true,
		.turn = turn,
		.opaque = f,
	};
}

static void each_party_is_first_as_often(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 2);
	struct err err = { 0 };

	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_string_equal(f->turns, "01100110");
}

static void each_party_comes_after_each_other(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 3);
	struct err err = { 0 };

	f->options.rounds = 6;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_string_equal(f->turns, "012120201"
				      "021102210");
}

static void warm_up_is_not_kept(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 2);
	struct err err = { 0 };

	contest.boots = false;
	contest.warm_up = 2;
	assert_ok(contest_run(&contest, &f->run, &err), &err);
	assert_int_equal(f->count, 12);
	assert_int_equal(contest_samples(&contest, 0, 1)->count, 4);
	assert_true(contest_samples(&contest, 0, 1)->value[0] == 202);
	contest_free(&contest);
}

static void a_contest_that_says_nothing_has_one_round_of_warm_up(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 1);
	struct err err = { 0 };

	contest.boots = false;
	assert_ok(contest_run(&contest, &f->run, &err), &err);
	assert_int_equal(f->count, 5);
	assert_int_equal(contest_samples(&contest, 0, 0)->count, 4);
	contest_free(&contest);
}

static void the_option_has_the_last_word_on_warm_up(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 1);
	struct err err = { 0 };

	contest.boots = false;
	contest.warm_up = 2;
	f->options.warm_up = 0;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_int_equal(f->count, 4);
}

static void a_contest_has_no_more_rounds_than_it_wants(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 1);
	struct err err = { 0 };

	contest.rounds_max = 3;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_int_equal(f->count, 3);
}

static void a_floor_that_is_self_is_the_first_party_s_work(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 2);
	struct err err = { 0 };

	f->options.self = true;
	assert_ok(contest_run(&contest, &f->run, &err), &err);
	assert_string_equal(f->turns, "00000000");
	assert_true(contest_samples(&contest, 0, 1)->value[0] == 100);
	contest_free(&contest);
}

static void a_party_that_cannot_has_no_more_turns_and_no_row(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 3);
	struct json_object *rows;
	struct err err = { 0 };

	f->leaves = 1;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_string_equal(f->turns, "012200220");
	rows = results_rows(f->run.results);
	assert_int_equal(json_object_array_length(rows), 1);
	rows = json_object_array_get_idx(rows, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(rows, "reference_name")),
			    "peer");
}

static bool first_row_says(const struct fixture *f, const char *key)
{
	struct json_object *first = json_object_array_get_idx(results_rows(f->run.results), 0);

	return json_object_get_boolean(json_object_object_get(first, key));
}

static void pass_over(void *arg, int pid, char *text)
{
	(void)arg;
	(void)pid;
	(void)text;
}

/* The peer's program says something in each turn, and in the third has no end. */
static int turn_with_a_program(struct turn *turn, struct err *err)
{
	const char *script = turn->round < 2 ? "echo well" : "echo stuck; exec sleep 1000";
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	struct fixture *f = turn->opaque;
	int status = 0, ret = 0;

	f->turns[f->count++] = (char)('0' + turn->party);
	turn_put(turn, 0, 100 * (turn->party + 1) + turn->round);
	if (turn->party == 2)
		ret = child_lines(turn, argv, pass_over, NULL, &status);
	return ret ? err_set(err, -ret, "no program") : 0;
}

static void a_peer_that_hangs_is_ended_and_the_others_go_on(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 3);
	struct json_object *rows;
	struct err err = { 0 };
	char *text = NULL;
	size_t size = 0;
	FILE *to;

	watch_stop(f->run.watch);
	f->options.patience = 1;
	assert_ok(watch_start(&f->run.watch, "test", f->options.patience, &err), &err);
	contest.turn = turn_with_a_program;
	contest.peers = 1u << 2;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	/* In the third round it is first, and in the fourth there is none of it. */
	assert_string_equal(f->turns, "01212020110");
	/* Its figures of the rounds before are none. */
	rows = results_rows(f->run.results);
	assert_int_equal(json_object_array_length(rows), 1);
	rows = json_object_array_get_idx(rows, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(rows, "reference_name")),
			    "floor");
	assert_int_equal(results_failures(f->run.results), 1);
	to = open_memstream(&text, &size);
	results_print(f->run.results, to);
	fclose(to);
	assert_non_null(strstr(text,
			       "FAILED: contest, round 3 of 4, peer: it was ended, since its "
			       "turn had no end within 1 s (--patience): sh said last: stuck\n"));
	free(text);
}

static void a_peer_that_fails_is_out_and_the_others_go_on(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 3);
	struct err err = { 0 };

	contest.peers = 1u << 2;
	f->fails = 3; /* the peer's first */
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_string_equal(f->turns, "012100110");
	assert_int_equal(results_failures(f->run.results), 1);
	assert_int_equal(json_object_array_length(results_rows(f->run.results)), 1);
}

static void a_verdict_of_few_rounds_is_not_clear(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 2);
	struct err err = { 0 };

	/* 0.5 of 2, whatever is drawn. */
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_true(first_row_says(f, "ok"));
	assert_false(first_row_says(f, "clear"));
}

static void a_verdict_of_eight_rounds_is_clear(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 2);
	struct err err = { 0 };

	f->options.rounds = 8;
	assert_ok(contest_hold(&contest, &f->run, &err), &err);
	assert_true(first_row_says(f, "ok"));
	assert_true(first_row_says(f, "clear"));
}

static void a_failure_says_where_it_was(void **state)
{
	struct fixture *f = *state;
	struct contest contest = contest_of(f, 2);
	struct err err = { 0 };

	f->fails = 3;
	assert_int_equal(contest_hold(&contest, &f->run, &err), -EIO);
	assert_string_equal(err.text, "contest, round 2 of 4, floor: the device is gone");
}

static void a_scratch_directory_goes_with_the_watch(void **state)
{
	struct fixture *f = *state;
	char path[256], file[300];
	struct err err = { 0 };
	FILE *to;

	assert_ok(watch_scratch(f->run.watch, NULL, path, sizeof(path), &err), &err);
	snprintf(file, sizeof(file), "%s/file", path);
	to = fopen(file, "we");
	assert_non_null(to);
	fclose(to);
	watch_stop(f->run.watch);
	f->run.watch = NULL;
	assert_int_equal(access(path, F_OK), -1);
}

/* --- the host -------------------------------------------------------------------------------- */

static const char *says(struct json_object *host, const char *key)
{
	return json_object_to_json_string_ext(json_object_object_get(host, key),
					      JSON_C_TO_STRING_PLAIN);
}

static void the_host_is_described_from_proc_and_sys(void **state)
{
	char root[] = "/tmp/test-bench-XXXXXX";
	struct json_object *host;

	(void)state;
	assert_non_null(mkdtemp(root));
	put_file(root, "/proc/cpuinfo",
		 "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu x\n");
	put_file(
		root, "/proc/cmdline",
		"root=UUID=secret mitigations=off iommu.strict=0 iommu.passthrough=1 isolcpus=1\n");
	put_file(root, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "12\n");
	put_file(root, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "5\n");
	put_file(root, "/sys/class/iommu/dmar0/intel-iommu/ecap", "f020df\n");
	host = host_describe(root);
	assert_string_equal(says(host, "cpu"), "\"Some CPU\"");
	assert_string_equal(says(host, "virtual"), "false");
	assert_string_equal(says(host, "governor"), "null");
	assert_string_equal(
		says(host, "kernel_options"),
		"[\"mitigations=off\",\"iommu.strict=0\",\"iommu.passthrough=1\",\"isolcpus=1\"]");
	assert_string_equal(says(host, "huge_pages"), "{\"2048 KiB\":{\"total\":12,\"free\":5}}");
	assert_string_equal(says(host, "iommu"), "[\"dmar0\"]");
	assert_string_equal(says(host, "iommu_enforces_snoop"), "true");
	json_object_put(host);
	/* One IOMMU that cannot is enough for a device behind it. */
	put_file(root, "/sys/class/iommu/dmar1/intel-iommu/ecap", "f0205f\n");
	host = host_describe(root);
	assert_string_equal(says(host, "iommu_enforces_snoop"), "false");
	json_object_put(host);
	remove_tree(root);
}

static void lists_of_cpus_that_are_none_are_refused(void **state)
{
	static const char *const lists[] = { "",    "x",    "1-",    "-1",	"3-1", "0,",
					     "0 1", "0,,1", "99999", "0-99999", "1--2" };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		err = (struct err){ 0 };
		assert_int_equal(host_pin_cpus(lists[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "0-3,8"));
	}
}

static void a_node_that_is_not_there_is_refused(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(host_pin_node(1000000, false, &err), -ENODEV);
	assert_int_equal(host_pin_node(1023, false, &err), -ENODEV);
}

#define WITH_RUN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RUN(each_party_is_first_as_often),
		WITH_RUN(each_party_comes_after_each_other),
		WITH_RUN(warm_up_is_not_kept),
		WITH_RUN(a_contest_that_says_nothing_has_one_round_of_warm_up),
		WITH_RUN(the_option_has_the_last_word_on_warm_up),
		WITH_RUN(a_contest_has_no_more_rounds_than_it_wants),
		WITH_RUN(a_floor_that_is_self_is_the_first_party_s_work),
		WITH_RUN(a_party_that_cannot_has_no_more_turns_and_no_row),
		WITH_RUN(a_peer_that_hangs_is_ended_and_the_others_go_on),
		WITH_RUN(a_peer_that_fails_is_out_and_the_others_go_on),
		WITH_RUN(a_verdict_of_few_rounds_is_not_clear),
		WITH_RUN(a_verdict_of_eight_rounds_is_clear),
		WITH_RUN(a_failure_says_where_it_was),
		WITH_RUN(a_scratch_directory_goes_with_the_watch),
		cmocka_unit_test(the_host_is_described_from_proc_and_sys),
		cmocka_unit_test(lists_of_cpus_that_are_none_are_refused),
		cmocka_unit_test(a_node_that_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
