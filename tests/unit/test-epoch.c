/* SPDX-License-Identifier: Apache-2.0 */
/* The guarantees of util/epoch.h: what waits for whom, and when the retired are freed. */
#include "tests/unit/check.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/bits.h"
#include "util/epoch.h"

static bool load(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void store(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_SEQ_CST);
}

static void yields(void)
{
	for (int i = 0; i < 200; i++)
		sched_yield();
}

struct object {
	struct epoch_retired retired;
	unsigned int *freed;
};

static void free_object(struct epoch_retired *retired)
{
	struct object *object = container_of(retired, struct object, retired);

	(*object->freed)++;
	free(object);
}

static void retire(struct epoch *epoch, unsigned int *freed)
{
	struct object *object = calloc(1, sizeof(*object));

	object->freed = freed;
	epoch_retire(epoch, &object->retired, free_object);
}

static void wait_without_sections_returns(void **state)
{
	struct epoch epoch;
	struct epoch_reader reader;

	epoch_init(&epoch);
	epoch_wait(&epoch);
	epoch_join(&epoch, &reader);
	epoch_wait(&epoch);
	epoch_enter(&epoch, &reader);
	epoch_exit(&reader);
	epoch_wait(&epoch);
	epoch_leave(&epoch, &reader);
	epoch_destroy(&epoch);
}

struct waiter {
	struct epoch *epoch;
	bool called, returned;
};

static void *wait_thread(void *arg)
{
	struct waiter *w = arg;

	store(&w->called);
	epoch_wait(w->epoch);
	store(&w->returned);
	return NULL;
}

static void wait_ends_after_the_sections_that_were_open(void **state)
{
	struct epoch epoch;
	struct epoch_reader early, late;
	struct waiter w = { .epoch = &epoch };
	uint64_t before;
	pthread_t thread;

	epoch_init(&epoch);
	epoch_join(&epoch, &early);
	epoch_join(&epoch, &late);
	epoch_enter(&epoch, &early);
	before = __atomic_load_n(&epoch.current, __ATOMIC_SEQ_CST);
	assert_int_equal(pthread_create(&thread, NULL, wait_thread, &w), 0);
	while (__atomic_load_n(&epoch.current, __ATOMIC_SEQ_CST) == before)
		sched_yield();
	/* This one began after the call: nobody waits for it. */
	epoch_enter(&epoch, &late);
	yields();
	assert_false(load(&w.returned));
	epoch_exit(&early);
	pthread_join(thread, NULL);
	assert_true(load(&w.returned));
	epoch_exit(&late);
	epoch_leave(&epoch, &early);
	epoch_leave(&epoch, &late);
	epoch_destroy(&epoch);
}

static void retire_frees_only_what_no_section_sees(void **state)
{
	struct epoch epoch;
	struct epoch_reader reader, other;
	unsigned int seen = 0, unseen = 0;

	epoch_init(&epoch);
	epoch_join(&epoch, &reader);
	epoch_join(&epoch, &other);
	epoch_enter(&epoch, &reader);
	retire(&epoch, &seen); /* inside a section: allowed */
	assert_int_equal(seen, 0);
	epoch_enter(&epoch, &other);
	epoch_exit(&reader);
	retire(&epoch, &unseen);
	assert_int_equal(seen, 1); /* other began after it was retired */
	assert_int_equal(unseen, 0);
	epoch_exit(&other);
	epoch_wait(&epoch);
	assert_int_equal(unseen, 1);
	epoch_leave(&epoch, &reader);
	epoch_leave(&epoch, &other);
	epoch_destroy(&epoch);
}

static void destroy_frees_what_is_retired(void **state)
{
	struct epoch epoch;
	struct epoch_reader reader;
	unsigned int freed = 0;

	epoch_init(&epoch);
	epoch_join(&epoch, &reader);
	epoch_enter(&epoch, &reader);
	retire(&epoch, &freed);
	retire(&epoch, &freed);
	epoch_exit(&reader);
	epoch_leave(&epoch, &reader);
	assert_int_equal(freed, 0);
	epoch_destroy(&epoch);
	assert_int_equal(freed, 2);
}

static void retired_do_not_pile_up(void **state)
{
	struct epoch epoch;
	unsigned int freed = 0;

	epoch_init(&epoch);
	for (unsigned int i = 1; i <= 1000; i++) {
		retire(&epoch, &freed);
		assert_in_range(freed, i - 1, i);
	}
	epoch_destroy(&epoch);
	assert_int_equal(freed, 1000);
}

/* --- readers follow a pointer while writers replace what it points to ------------------------ */

#define LIVE 0x600d600d600d600dULL

struct box {
	struct epoch_retired retired;
	uint64_t value; /* atomic; 0 once freed: a reader that sees it is too late */
};

struct race {
	struct epoch epoch;
	struct box *box;      /* atomic */
	uint64_t bad, looked; /* atomic */
	bool stop;
};

static void bury(struct box *box)
{
	__atomic_store_n(&box->value, 0, __ATOMIC_RELAXED);
	free(box);
}

static void bury_retired(struct epoch_retired *retired)
{
	bury(container_of(retired, struct box, retired));
}

static void *race_reader(void *arg)
{
	struct race *race = arg;
	struct epoch_reader reader;

	epoch_join(&race->epoch, &reader);
	while (!load(&race->stop)) {
		const struct box *box;

		epoch_enter(&race->epoch, &reader);
		box = __atomic_load_n(&race->box, __ATOMIC_ACQUIRE);
		for (int i = 0; i < 8; i++) {
			if (__atomic_load_n(&box->value, __ATOMIC_RELAXED) != LIVE)
				__atomic_fetch_add(&race->bad, 1, __ATOMIC_RELAXED);
		}
		epoch_exit(&reader);
		__atomic_fetch_add(&race->looked, 1, __ATOMIC_RELAXED);
	}
	epoch_leave(&race->epoch, &reader);
	return NULL;
}

static struct box *new_box(void)
{
	struct box *box = calloc(1, sizeof(*box));

	box->value = LIVE;
	return box;
}

static void *race_writer(void *arg)
{
	struct race *race = arg;

	for (int i = 0; i < 2000 || __atomic_load_n(&race->looked, __ATOMIC_RELAXED) < 2000; i++) {
		struct box *old = __atomic_exchange_n(&race->box, new_box(), __ATOMIC_ACQ_REL);

		if (i % 2) {
			epoch_wait(&race->epoch);
			bury(old);
		} else {
			epoch_retire(&race->epoch, &old->retired, bury_retired);
		}
	}
	return NULL;
}

static void readers_never_see_the_freed(void **state)
{
	struct race race = { .box = new_box() };
	pthread_t reader[2], writer[2];

	epoch_init(&race.epoch);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&reader[i], NULL, race_reader, &race), 0);
		assert_int_equal(pthread_create(&writer[i], NULL, race_writer, &race), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	store(&race.stop);
	for (int i = 0; i < 2; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(race.bad, 0);
	bury(race.box);
	epoch_destroy(&race.epoch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wait_without_sections_returns),
		cmocka_unit_test(wait_ends_after_the_sections_that_were_open),
		cmocka_unit_test(retire_frees_only_what_no_section_sees),
		cmocka_unit_test(destroy_frees_what_is_retired),
		cmocka_unit_test(retired_do_not_pile_up),
		cmocka_unit_test(readers_never_see_the_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
