/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wait.h"

#include "util/bits.h"
#include "util/parallel.h"

#define PARTS 1000u

struct work {
	unsigned int done[PARTS]; /* atomic: how often each was */
	unsigned int inside;	  /* atomic */
};

static void do_part(void *arg, uint64_t part)
{
	struct work *work = arg;

	__atomic_fetch_add(&work->done[part], 1, __ATOMIC_RELAXED);
}

static void assert_each_once(const struct work *work, unsigned int n)
{
	for (unsigned int i = 0; i < PARTS; i++)
		assert_int_equal(work->done[i], i < n);
}

static void every_part_is_done_once(void **state)
{
	static const unsigned int threads[] = { 0, 1, 2, 7, 1000 };
	static const unsigned int parts[] = { 0, 1, 2, 999, PARTS };

	for (size_t t = 0; t < ARRAY_SIZE(threads); t++) {
		for (size_t n = 0; n < ARRAY_SIZE(parts); n++) {
			struct work work = { 0 };

			parallel_run(parts[n], threads[t], do_part, &work);
			assert_each_once(&work, parts[n]);
		}
	}
}

/* Nobody goes on before both are there. */
static void meet(void *arg, uint64_t part)
{
	struct work *work = arg;

	__atomic_fetch_add(&work->inside, 1, __ATOMIC_SEQ_CST);
	WAIT_FOR(__atomic_load_n(&work->inside, __ATOMIC_SEQ_CST) >= 2);
}

static void parts_are_done_side_by_side(void **state)
{
	struct work work = { 0 };

	parallel_run(2, 2, meet, &work);
	assert_int_equal(work.inside, 2);
}

static void work_goes_on_while_the_caller_does_other_things(void **state)
{
	struct work work = { 0 };
	struct parallel *p = parallel_new(PARTS, do_part, &work);

	assert_non_null(p);
	assert_int_equal(parallel_done(p), 0);
	parallel_start(p, 3);
	WAIT_FOR(parallel_done(p) == PARTS);
	assert_each_once(&work, PARTS);
	parallel_end(p);
	assert_each_once(&work, PARTS);
}

static void without_threads_the_end_does_it(void **state)
{
	struct work work = { 0 };
	struct parallel *p = parallel_new(PARTS, do_part, &work);

	assert_non_null(p);
	parallel_start(p, 0);
	parallel_end(p);
	assert_each_once(&work, PARTS);
}

static void there_is_a_cpu(void **state)
{
	assert_in_range(parallel_cpus(), 1, CPU_SETSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_is_done_once),
		cmocka_unit_test(parts_are_done_side_by_side),
		cmocka_unit_test(work_goes_on_while_the_caller_does_other_things),
		cmocka_unit_test(without_threads_the_end_does_it),
		cmocka_unit_test(there_is_a_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
