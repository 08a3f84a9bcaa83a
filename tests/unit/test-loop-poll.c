/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop looks for before it sleeps, and what it is told not to watch meanwhile. */
#include "tests/unit/test-loop.h"

#include <pthread.h>
#include <sched.h>

#include "util/spin.h"

static void how_long_to_look_is_learned(void **state)
{
	static const struct {
		uint64_t looked, waited, most, next;
	} rows[] = {
		{ 0, 1000, 32768, SPIN_FIRST_NS },
		{ 4000, 1000, 32768, 4000 },
		{ 4000, 4001, 32768, 8000 },
		{ 16000, 20000, 32768, 32000 },
		{ 32000, 32700, 32768, 32768 },
		{ 32768, 32769, 32768, 0 },
		{ 0, 32769, 32768, 0 },
		{ 0, 0, 32768, 0 },
		{ 0, 1, 0, 0 },
		{ 4000, 0, 1000, 1000 },
		{ 0, 500, 1000, 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(spin_next(rows[i].looked, rows[i].waited, rows[i].most),
				 rows[i].next);
}

struct looker {
	struct loop *loop;
	struct loop_poller poller, *other;
	unsigned int looks, rests;
	unsigned int found_at;	   /* which look finds something; 0: none */
	bool found_at_rest, stops; /* the loop, when something was found or at the rest */
};

static bool looker_look(void *arg)
{
	struct looker *l = arg;

	if (++l->looks != l->found_at)
		return false;
	loop_poll_came(l->loop, &l->poller);
	if (l->other)
		loop_poll_end(l->loop, l->other);
	if (l->stops)
		loop_stop(l->loop);
	return true;
}

static bool looker_rest(void *arg)
{
	struct looker *l = arg;

	l->rests++;
	assert_false(l->poller.on);
	if (l->stops && l->found_at_rest)
		loop_stop(l->loop);
	return l->found_at_rest;
}

/* It has learned to look for so long. */
static void looker_open(struct looker *l, struct loop *loop, uint64_t ns)
{
	l->loop = loop;
	l->poller = (struct loop_poller){ .look = looker_look, .rest = looker_rest, .arg = l };
	l->poller.ns = ns;
	loop_poll_most(loop, 100000 * MS);
	assert_int_equal(loop_poll(loop, &l->poller), ns > 0);
}

static void a_poller_that_has_learned_nothing_is_not_looked_at(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker l = { .found_at = 1 };
	struct source s = { .stop_after = 3 };

	looker_open(&l, f->loop, 0);
	source_open(&s, f->loop, 1);
	run(f);
	assert_int_equal(l.looks + l.rests, 0);
	/* What came soon is looked for the next time. */
	loop_poll_came(f->loop, &l.poller);
	assert_true(loop_poll(f->loop, &l.poller));
	loop_poll_end(f->loop, &l.poller);
	source_close(&s);
}

static void what_is_looked_for_is_found_without_being_told(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker l = { .found_at = 1000, .stops = true };

	looker_open(&l, f->loop, 100000 * MS);
	run(f);
	assert_int_equal(l.looks, 1000);
	assert_int_equal(l.rests, 0);
	assert_false(l.poller.on);
}

static void a_look_in_vain_ends_before_the_sleep(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker l = { 0 };
	struct source s = { .stop_after = 1 };

	looker_open(&l, f->loop, 1);
	source_open(&s, f->loop, 1);
	run(f);
	assert_int_equal(l.looks, 1);
	assert_int_equal(l.rests, 1);
	source_close(&s);
}

static void what_came_at_the_last_moment_is_not_slept_over(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker l = { .found_at_rest = true, .stops = true };

	/* Nothing else could end this run but the fixture's deadline. */
	looker_open(&l, f->loop, 1);
	run(f);
	assert_int_equal(l.rests, 1);
}

static void pollers_may_end_each_other(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker behind = { 0 }, ender = { .found_at = 2, .stops = true }, before = { 0 };

	/* Newest first. */
	looker_open(&behind, f->loop, 100000 * MS);
	looker_open(&ender, f->loop, 100000 * MS);
	looker_open(&before, f->loop, 100000 * MS);
	ender.other = &behind.poller;
	run(f);
	assert_int_equal(before.looks, 2);
	assert_int_equal(behind.looks, 1);
	assert_true(before.poller.on);
	assert_false(ender.poller.on || behind.poller.on);
	ender.looks = 0;
	ender.other = &before.poller;
	looker_open(&ender, f->loop, 100000 * MS);
	run(f);
	assert_false(ender.poller.on || before.poller.on);
	loop_poll_end(f->loop, &before.poller);
}

/* One that always finds something keeps none of the others from being looked at. */
struct busy {
	struct looker looker;
	unsigned int turns;
};

static bool busy_look(void *arg)
{
	struct busy *b = arg;

	loop_poll_came(b->looker.loop, &b->looker.poller);
	loop_poll(b->looker.loop, &b->looker.poller);
	if (++b->turns == 100)
		loop_stop(b->looker.loop);
	return true;
}

static void a_busy_poller_keeps_nobody_waiting(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker quiet = { 0 };
	struct busy busy = { .turns = 0 };
	struct source s = { .drain = true };

	looker_open(&quiet, f->loop, 100000 * MS);
	looker_open(&busy.looker, f->loop, 100000 * MS);
	busy.looker.poller.look = busy_look;
	busy.looker.poller.arg = &busy;
	source_open(&s, f->loop, 1);
	run(f);
	assert_true(quiet.looks >= 99);
	assert_int_equal(s.calls, 1);
	loop_poll_end(f->loop, &quiet.poller);
	loop_poll_end(f->loop, &busy.looker.poller);
	source_close(&s);
}

struct bringer {
	struct source *source;
	struct loop_work work;
	unsigned int worked;
};

static void bring_work(void *arg)
{
	struct bringer *b = arg;

	b->worked++;
}

static void *bring(void *arg)
{
	struct bringer *b = arg;

	loop_post(b->source->loop, &b->work);
	while (__atomic_load_n(&b->work.pending, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(eventfd_write(b->source->fd, 1), 0);
	return NULL;
}

/* It looks for longer than the test may take; others are served all the same. */
static void who_looks_serves_others(void **state)
{
	struct fixture *f = fixture_of(state);
	struct looker l = { 0 };
	struct source s = { .stop_after = 1, .drain = true };
	struct bringer b = { .source = &s, .work = { .fn = bring_work, .arg = &b } };
	pthread_t thread;

	looker_open(&l, f->loop, 100000 * MS);
	source_open(&s, f->loop, 0);
	assert_int_equal(pthread_create(&thread, NULL, bring, &b), 0);
	run(f);
	pthread_join(thread, NULL);
	assert_int_equal(b.worked, 1);
	assert_int_equal(l.rests, 0);
	assert_true(l.looks > 0);
	loop_poll_end(f->loop, &l.poller);
	source_close(&s);
}

static void a_held_watch_is_silent_until_it_is_let_go(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source held = { 0 }, other = { .stop_after = 5 };

	source_open(&held, f->loop, 1);
	loop_watch_hold(held.watch, true);
	source_open(&other, f->loop, 1);
	run(f);
	assert_int_equal(held.calls, 0);
	loop_watch_hold(held.watch, false);
	other.calls = 0;
	run(f);
	assert_true(held.calls > 0);
	/* One that is armed may come once more. */
	loop_watch_hold(held.watch, true);
	held.calls = other.calls = 0;
	run(f);
	assert_true(held.calls <= 1);
	source_close(&held);
	source_close(&other);
}

static bool look_in_vain(void *arg)
{
	return false;
}

static bool let_go(void *arg)
{
	struct source *held = arg;

	loop_watch_hold(held->watch, false);
	return false;
}

/* Who looks for longer than the test may take keeps nobody else's watch from being armed. */
static void what_a_rest_lets_go_is_watched_while_others_look(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source held = { .stop_after = 1 }, first = { .stop_after = 1 };
	struct looker looks = { 0 }, rests = { 0 };

	source_open(&held, f->loop, 1);
	loop_watch_hold(held.watch, true);
	source_open(&first, f->loop, 1);
	run(f);
	source_close(&first);
	looker_open(&looks, f->loop, 100000 * MS);
	looker_open(&rests, f->loop, 1);
	rests.poller.rest = let_go;
	rests.poller.arg = &held;
	rests.poller.look = look_in_vain;
	run(f);
	assert_int_equal(held.calls, 1);
	assert_true(looks.poller.on);
	loop_poll_end(f->loop, &looks.poller);
	source_close(&held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_long_to_look_is_learned),
		T(a_poller_that_has_learned_nothing_is_not_looked_at),
		T(what_is_looked_for_is_found_without_being_told),
		T(a_look_in_vain_ends_before_the_sleep),
		T(what_came_at_the_last_moment_is_not_slept_over),
		T(pollers_may_end_each_other),
		T(a_busy_poller_keeps_nobody_waiting),
		T(who_looks_serves_others),
		T(what_a_rest_lets_go_is_watched_while_others_look),
		T(a_held_watch_is_silent_until_it_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
