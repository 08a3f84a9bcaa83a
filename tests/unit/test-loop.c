/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: level semantics, cancellation against completions, timers, posts and stops. */
#include "tests/unit/test-loop.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

static void stop_before_run_counts(void **state)
{
	struct fixture *f = fixture_of(state);

	loop_stop(f->loop);
	run(f);
}

static void watch_is_level_triggered(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source s = { .stop_after = 5 };

	source_open(&s, f->loop, 1);
	run(f);
	assert_int_equal(s.calls, 5);
	assert_int_equal(s.ready, POLLIN);
	source_close(&s);
}

static void watch_falls_silent_once_drained(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source quiet = { .drain = true }, noisy = { .stop_after = 10 };

	source_open(&quiet, f->loop, 1);
	source_open(&noisy, f->loop, 1);
	run(f);
	assert_int_equal(quiet.calls, 1);
	source_close(&quiet);
	source_close(&noisy);
}

static void more_watches_than_ring_entries(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source s[300] = { 0 }, last = { .stop_after = 20 };

	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		s[i].drain = true;
		source_open(&s[i], f->loop, 1);
	}
	source_open(&last, f->loop, 1);
	run(f);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		assert_int_equal(s[i].calls, 1);
		source_close(&s[i]);
	}
	source_close(&last);
}

static void unwatch_beats_completion_in_ring(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source a = { .stop_after = 3 }, b = { .stop_after = 3 };

	/* Both are ready at once: whichever is called first silences the other. */
	a.victim = &b;
	b.victim = &a;
	source_open(&a, f->loop, 1);
	source_open(&b, f->loop, 1);
	run(f);
	assert_int_equal(MIN(a.calls, b.calls), 0);
	assert_int_equal(MAX(a.calls, b.calls), 3);
	if (a.watch)
		source_close(&a);
	if (b.watch)
		source_close(&b);
}

static void watch_can_end_itself(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source s = { 0 }, noisy = { .stop_after = 10 };

	s.victim = &s;
	source_open(&s, f->loop, 1);
	source_open(&noisy, f->loop, 1);
	run(f);
	assert_int_equal(s.calls, 1);
	source_close(&noisy);
}

static void reused_descriptor_is_a_new_watch(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source old = { 0 }, fresh = { .stop_after = 1 }, first = { .stop_after = 1 };

	source_open(&old, f->loop, 0);
	source_open(&first, f->loop, 1);
	run(f); /* `old` is armed in the kernel now */
	source_close(&first);
	source_close(&old);
	source_open(&fresh, f->loop, 1);
	assert_true(fresh.fd == old.fd || fresh.fd == first.fd);
	run(f);
	assert_int_equal(old.calls, 0);
	assert_int_equal(fresh.calls, 1);
	source_close(&fresh);
}

static void closed_peer_sees_end_after_destroy(void **state)
{
	struct loop_watch *watch;
	struct source tick = { .stop_after = 1 };
	struct loop *loop;
	struct err err;
	int fds[2];
	char c;

	fixture_of(state);
	assert_int_equal(loop_create(&loop, &err), 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(loop_watch(loop, fds[1], POLLERR, source_ready, &tick, &watch, &err), 0);
	source_open(&tick, loop, 1);
	assert_int_equal(loop_run(loop), 0);
	source_close(&tick);
	loop_unwatch(watch);
	close(fds[1]);
	loop_destroy(loop);
	assert_int_equal(read(fds[0], &c, 1), 0);
	close(fds[0]);
}

/* A peer that has ended its half and does not read, until it does. */
struct half {
	struct loop *loop;
	struct loop_watch *watch;
	struct loop_timer *timer;
	int fd, peer;
	unsigned int calls, called_before; /* it read */
	uint64_t turns;
	uint32_t ready;
};

static void half_ready(void *arg, uint32_t ready)
{
	struct half *h = arg;

	h->ready |= ready;
	/* It stays writable: called as often as there are turns. */
	if (++h->calls == 5)
		loop_stop(h->loop);
}

static void half_reads(void *arg)
{
	struct half *h = arg;
	struct loop_stats stats;
	char bytes[4096];

	h->called_before = h->calls;
	loop_read_stats(h->loop, &stats);
	h->turns = stats.turns;
	while (recv(h->peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void half_open(struct half *h, struct loop *loop, uint32_t events)
{
	char bytes[4096] = { 0 };
	struct err err;
	int fds[2];

	*h = (struct half){ .loop = loop };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	h->fd = fds[0];
	h->peer = fds[1];
	while (send(h->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(shutdown(h->peer, SHUT_WR), 0);
	assert_int_equal(loop_watch(loop, h->fd, events, half_ready, h, &h->watch, &err), 0);
	assert_int_equal(loop_timer(loop, 50 * MS, half_reads, h, &h->timer, &err), 0);
}

static void half_close(struct half *h)
{
	loop_unwatch(h->watch);
	loop_timer_cancel(h->timer);
	close(h->fd);
	close(h->peer);
}

static void a_peer_that_ended_its_half_does_not_keep_the_loop_awake(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source noisy = { .stop_after = 3 };
	struct half h;

	half_open(&h, f->loop, POLLOUT);
	run(f);
	assert_int_equal(h.called_before, 0);
	assert_true(h.turns < 20);
	assert_int_equal(h.ready, POLLOUT);
	/* Held it is called no more than once. */
	loop_watch_hold(h.watch, true);
	h.calls = 0;
	source_open(&noisy, f->loop, 1);
	for (int i = 0; i < 3; i++) {
		noisy.calls = 0;
		run(f);
	}
	assert_true(h.calls <= 1);
	loop_watch_hold(h.watch, false);
	h.calls = 0;
	noisy.stop_after = 0;
	run(f);
	assert_int_equal(h.calls, 5);
	source_close(&noisy);
	half_close(&h);
}

static void who_asks_is_told_that_the_peer_ended_its_half(void **state)
{
	struct fixture *f = fixture_of(state);
	struct half h;

	half_open(&h, f->loop, POLLOUT | POLLRDHUP);
	run(f);
	assert_int_equal(h.ready, POLLRDHUP);
	half_close(&h);
}

/* Watches that are armed for changes, and go before anything was asked for. */
static void watches_of_such_peers_can_end(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source noisy = { .stop_after = 10 };
	struct half h[4];

	source_open(&noisy, f->loop, 1);
	for (size_t i = 0; i < ARRAY_SIZE(h); i++)
		half_open(&h[i], f->loop, POLLOUT);
	for (int i = 0; i < 3; i++) {
		noisy.calls = 0;
		run(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(h); i++)
		half_close(&h[i]);
	for (int i = 0; i < 3; i++) {
		noisy.calls = 0;
		run(f);
	}
	source_close(&noisy);
}

static void bad_descriptor_is_said_once(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source bad = { .fd = -1 }, noisy = { .stop_after = 10 };
	struct err err;

	assert_int_equal(loop_watch(f->loop, -1, POLLIN, source_ready, &bad, &bad.watch, &err), 0);
	source_open(&noisy, f->loop, 1);
	run(f);
	assert_int_equal(bad.calls, 1);
	assert_int_equal(bad.ready, POLLNVAL);
	loop_unwatch(bad.watch);
	source_close(&noisy);
}

struct tick {
	struct loop *loop;
	struct loop_timer *timer;
	struct tick *cancels;
	unsigned int calls, order, *counter;
	bool stop, again, cancel_self;
};

static void tick_fired(void *arg)
{
	struct tick *t = arg;
	struct err err;

	t->calls++;
	if (t->counter)
		t->order = ++*t->counter;
	if (t->cancels) {
		loop_timer_cancel(t->cancels->timer);
		t->cancels->timer = NULL;
	}
	if (t->cancel_self || t->again) {
		loop_timer_cancel(t->timer);
		t->timer = NULL;
	}
	if (t->again && t->calls < 3)
		assert_int_equal(loop_timer(t->loop, MS, tick_fired, t, &t->timer, &err), 0);
	else if (t->stop)
		loop_stop(t->loop);
}

static void tick_open(struct tick *t, struct loop *loop, uint64_t ns)
{
	struct err err;

	t->loop = loop;
	assert_int_equal(loop_timer(loop, ns, tick_fired, t, &t->timer, &err), 0);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void timers_fire_once_in_order_and_not_early(void **state)
{
	struct fixture *f = fixture_of(state);
	unsigned int counter = 0;
	struct tick late = { .counter = &counter, .stop = true }, soon = { .counter = &counter };
	uint64_t start = now_ns();

	tick_open(&late, f->loop, 30 * MS);
	tick_open(&soon, f->loop, 5 * MS);
	run(f);
	assert_true(now_ns() - start >= 30 * MS);
	assert_int_equal(soon.order, 1);
	assert_int_equal(late.order, 2);
	assert_int_equal(soon.calls, 1);
	loop_timer_cancel(late.timer);
	loop_timer_cancel(soon.timer);
}

static void timers_cancel_each_other_and_themselves(void **state)
{
	struct fixture *f = fixture_of(state);
	struct tick victim = { 0 }, killer = { .cancels = &victim, .cancel_self = true };
	struct tick end = { .stop = true };

	tick_open(&killer, f->loop, 0);
	tick_open(&victim, f->loop, 10 * MS);
	tick_open(&end, f->loop, 20 * MS);
	run(f);
	assert_int_equal(killer.calls, 1);
	assert_int_equal(victim.calls, 0);
	loop_timer_cancel(end.timer);
}

static void timer_starts_its_successor(void **state)
{
	struct fixture *f = fixture_of(state);
	struct tick t = { .again = true, .stop = true };

	tick_open(&t, f->loop, 0);
	run(f);
	assert_int_equal(t.calls, 3);
}

static void longest_timer_does_not_fire(void **state)
{
	struct fixture *f = fixture_of(state);
	struct tick never = { 0 }, end = { .stop = true };

	tick_open(&never, f->loop, UINT64_MAX);
	tick_open(&end, f->loop, 5 * MS);
	run(f);
	assert_int_equal(never.calls, 0);
	loop_timer_cancel(never.timer);
	loop_timer_cancel(end.timer);
}

struct counted {
	struct loop_work work;
	struct loop *loop;
	unsigned int calls, stop_after, sum;
	unsigned int value; /* plain memory, written before each post */
	bool repost;
};

static void counted_run(void *arg)
{
	struct counted *c = arg;

	c->calls++;
	c->sum += c->value;
	if (c->calls == c->stop_after)
		loop_stop(c->loop);
	else if (c->repost)
		assert_true(loop_post(c->loop, &c->work));
}

static void pending_work_is_queued_once(void **state)
{
	struct fixture *f = fixture_of(state);
	struct counted c = { .loop = f->loop }, end = { .loop = f->loop, .stop_after = 1 };

	c.work = (struct loop_work){ .fn = counted_run, .arg = &c };
	end.work = (struct loop_work){ .fn = counted_run, .arg = &end };
	assert_true(loop_post(f->loop, &c.work));
	assert_false(loop_post(f->loop, &c.work));
	assert_true(loop_post(f->loop, &end.work));
	run(f);
	assert_int_equal(c.calls, 1);
	assert_true(loop_post(f->loop, &c.work));
	end.stop_after = 2;
	assert_true(loop_post(f->loop, &end.work));
	run(f);
	assert_int_equal(c.calls, 2);
}

static void work_that_posts_itself_starves_nobody(void **state)
{
	struct fixture *f = fixture_of(state);
	struct counted c = { .loop = f->loop, .repost = true };
	struct tick end = { .stop = true };

	c.work = (struct loop_work){ .fn = counted_run, .arg = &c };
	assert_true(loop_post(f->loop, &c.work));
	tick_open(&end, f->loop, MS);
	run(f);
	assert_true(c.calls > 0);
	loop_timer_cancel(end.timer);
}

static void stop_keeps_the_rest_for_the_next_run(void **state)
{
	struct fixture *f = fixture_of(state);
	struct counted a = { .loop = f->loop, .stop_after = 1 };
	struct counted b = { .loop = f->loop, .stop_after = 1 };

	a.work = (struct loop_work){ .fn = counted_run, .arg = &a };
	b.work = (struct loop_work){ .fn = counted_run, .arg = &b };
	loop_post(f->loop, &a.work);
	loop_post(f->loop, &b.work);
	run(f);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	run(f);
	assert_int_equal(b.calls, 1);
}

#define POSTERS 4
#define ROUNDS	2000

struct poster {
	struct counted counted;
	pthread_t thread;
	unsigned int queued, run;
	bool posted; /* handshake: the loop has taken the last one */
	unsigned int *left;
};

static void poster_run(void *arg)
{
	struct poster *p = arg;

	p->run++;
	p->counted.sum += p->counted.value;
	if (p->run == ROUNDS && !--*p->left)
		loop_stop(p->counted.loop);
	__atomic_store_n(&p->posted, false, __ATOMIC_RELEASE);
}

static void *poster_thread(void *arg)
{
	struct poster *p = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		while (__atomic_load_n(&p->posted, __ATOMIC_ACQUIRE))
			sched_yield();
		p->counted.value = i;
		p->posted = true;
		if (loop_post(p->counted.loop, &p->counted.work))
			p->queued++;
	}
	return NULL;
}

static void posts_of_many_threads_all_arrive(void **state)
{
	struct fixture *f = fixture_of(state);
	struct poster p[POSTERS] = { 0 };
	unsigned int left = POSTERS;

	for (int i = 0; i < POSTERS; i++) {
		p[i].left = &left;
		p[i].counted.loop = f->loop;
		p[i].counted.work = (struct loop_work){ .fn = poster_run, .arg = &p[i] };
		assert_int_equal(pthread_create(&p[i].thread, NULL, poster_thread, &p[i]), 0);
	}
	run(f);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(p[i].thread, NULL);
		assert_int_equal(p[i].queued, ROUNDS);
		assert_int_equal(p[i].run, ROUNDS);
		assert_int_equal(p[i].counted.sum, ROUNDS * (ROUNDS - 1) / 2);
	}
}

static void *stop_thread(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void stop_from_another_thread_wakes_a_sleeper(void **state)
{
	struct fixture *f = fixture_of(state);

	for (int i = 0; i < 200; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, stop_thread, f->loop), 0);
		run(f);
		pthread_join(thread, NULL);
	}
}

static void *run_thread(void *arg)
{
	return loop_run(arg) ? arg : NULL;
}

/* The kernel cancels a thread's requests when it ends: the next thread's run arms them again. */
static void watches_survive_a_change_of_thread(void **state)
{
	struct fixture *f = fixture_of(state);
	struct source s = { .drain = true, .stop_after = 1 }, first = { .stop_after = 1 };
	pthread_t thread;
	void *rc;

	source_open(&s, f->loop, 0);
	source_open(&first, f->loop, 1);
	assert_int_equal(pthread_create(&thread, NULL, run_thread, f->loop), 0);
	pthread_join(thread, &rc);
	assert_null(rc);
	source_close(&first);
	eventfd_write(s.fd, 1);
	run(f);
	assert_int_equal(s.calls, 1);
	source_close(&s);
}

/* The only way for a handler to reach the loop: a file-scope pointer of this test. */
static struct loop *signalled;

static void on_signal(int number)
{
	loop_stop(signalled);
}

static void *signal_thread(void *arg)
{
	syscall(SYS_tgkill, getpid(), *(pid_t *)arg, SIGUSR1);
	return NULL;
}

static void stop_from_a_signal_handler(void **state)
{
	struct fixture *f = fixture_of(state);
	struct sigaction action = { .sa_handler = on_signal }, old;
	pid_t self = (pid_t)syscall(SYS_gettid);

	signalled = f->loop;
	sigaction(SIGUSR1, &action, &old);
	for (int i = 0; i < 100; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, signal_thread, &self), 0);
		run(f);
		pthread_join(thread, NULL);
	}
	sigaction(SIGUSR1, &old, NULL);
}

struct stranger {
	struct loop *loop;
	int fd;
	pthread_t loops;
	bool elsewhere;
	unsigned int seen;
};

static void stranger_ready(void *arg, uint32_t ready)
{
	struct stranger *s = arg;
	eventfd_t value;

	(void)ready;
	eventfd_read(s->fd, &value);
	s->elsewhere = s->elsewhere || !pthread_equal(s->loops, pthread_self());
	__atomic_add_fetch(&s->seen, 1, __ATOMIC_SEQ_CST);
}

static void *watch_and_unwatch(void *arg)
{
	struct stranger *s = arg;
	struct loop_watch *watch;
	struct err err;

	for (unsigned int i = 1; i <= 200; i++) {
		if (loop_watch(s->loop, s->fd, POLLIN, stranger_ready, s, &watch, &err))
			break;
		if (eventfd_write(s->fd, 1))
			break;
		while (__atomic_load_n(&s->seen, __ATOMIC_SEQ_CST) < i)
			sched_yield();
		loop_unwatch(watch);
	}
	/* Nobody is called for this one. */
	if (!eventfd_write(s->fd, 1))
		loop_stop(s->loop);
	return NULL;
}

static void another_thread_watches_and_unwatches_while_the_loop_runs(void **state)
{
	struct fixture *f = fixture_of(state);
	struct stranger s = { .loop = f->loop, .loops = pthread_self() };
	pthread_t thread;

	s.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(s.fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, watch_and_unwatch, &s), 0);
	run(f);
	pthread_join(thread, NULL);
	assert_int_equal(s.seen, 200);
	assert_false(s.elsewhere);
	close(s.fd);
}

static void *unwatch_at_the_end(void *arg)
{
	struct stranger *s = arg;
	struct loop_watch *watch;
	struct err err;

	loop_stop(s->loop);
	for (unsigned int i = 0; i < 2000; i++) {
		if (!loop_watch(s->loop, s->fd, POLLIN, stranger_ready, s, &watch, &err))
			loop_unwatch(watch);
	}
	return NULL;
}

static void nobody_waits_for_a_loop_that_has_ended(void **state)
{
	struct fixture *f = fixture_of(state);
	struct stranger s = { .loop = f->loop, .loops = pthread_self() };
	pthread_t thread;

	s.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(s.fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, unwatch_at_the_end, &s), 0);
	run(f);
	pthread_join(thread, NULL);
	assert_int_equal(s.seen, 0);
	close(s.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(stop_before_run_counts),
		T(watch_is_level_triggered),
		T(watch_falls_silent_once_drained),
		T(more_watches_than_ring_entries),
		T(unwatch_beats_completion_in_ring),
		T(watch_can_end_itself),
		T(reused_descriptor_is_a_new_watch),
		T(closed_peer_sees_end_after_destroy),
		T(a_peer_that_ended_its_half_does_not_keep_the_loop_awake),
		T(who_asks_is_told_that_the_peer_ended_its_half),
		T(watches_of_such_peers_can_end),
		T(bad_descriptor_is_said_once),
		T(timers_fire_once_in_order_and_not_early),
		T(timers_cancel_each_other_and_themselves),
		T(timer_starts_its_successor),
		T(longest_timer_does_not_fire),
		T(pending_work_is_queued_once),
		T(work_that_posts_itself_starves_nobody),
		T(stop_keeps_the_rest_for_the_next_run),
		T(posts_of_many_threads_all_arrive),
		T(stop_from_another_thread_wakes_a_sleeper),
		T(watches_survive_a_change_of_thread),
		T(stop_from_a_signal_handler),
		T(another_thread_watches_and_unwatches_while_the_loop_runs),
		T(nobody_waits_for_a_loop_that_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
