/* SPDX-License-Identifier: Apache-2.0 */
/* A loop with a far deadline, and descriptors that it watches: for the tests of util/loop.h. */
#ifndef ADIT_TESTS_UNIT_TEST_LOOP_H
#define ADIT_TESTS_UNIT_TEST_LOOP_H

#include "tests/unit/check.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/loop.h"

#define MS 1000000ULL

struct fixture {
	struct loop *loop;
	struct loop_timer *deadline;
	bool late;
};

static inline void deadline_passed(void *arg)
{
	struct fixture *f = arg;

	f->late = true;
	loop_stop(f->loop);
}

/* Every test has a far deadline, so that a lost event fails instead of hanging. */
static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = { 0 };
	int rc = loop_create(&f->loop, &err);

	if (rc == -ENOSYS || rc == -EPERM) {
		print_message("SKIP: %s\n", err.text);
		f->loop = NULL;
		*state = f;
		return 0;
	}
	assert_int_equal(rc, 0);
	rc = loop_timer(f->loop, 20000 * MS, deadline_passed, f, &f->deadline, &err);
	assert_int_equal(rc, 0);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->loop) {
		loop_timer_cancel(f->deadline);
		loop_destroy(f->loop);
	}
	free(f);
	return 0;
}

static inline struct fixture *fixture_of(void **state)
{
	struct fixture *f = *state;

	if (!f->loop)
		skip();
	return f;
}

static inline void run(struct fixture *f)
{
	assert_int_equal(loop_run(f->loop), 0);
	assert_false(f->late);
}

/* One eventfd watched; what the handler does is told by the members. */
struct source {
	struct loop *loop;
	struct loop_watch *watch;
	struct source *victim; /* unwatched and closed by the handler */
	int fd;
	unsigned int calls, stop_after;
	bool drain;
	uint32_t ready;
};

static inline void source_ready(void *arg, uint32_t ready)
{
	struct source *s = arg;
	eventfd_t value;

	s->calls++;
	s->ready = ready;
	if (s->drain)
		assert_int_equal(eventfd_read(s->fd, &value), 0);
	if (s->victim && s->victim->watch) {
		loop_unwatch(s->victim->watch);
		s->victim->watch = NULL;
		close(s->victim->fd);
	}
	if (s->calls == s->stop_after)
		loop_stop(s->loop);
}

static inline void source_open(struct source *s, struct loop *loop, unsigned int count)
{
	struct err err;

	s->loop = loop;
	s->fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(s->fd >= 0);
	assert_int_equal(loop_watch(loop, s->fd, POLLIN, source_ready, s, &s->watch, &err), 0);
}

static inline void source_close(struct source *s)
{
	loop_unwatch(s->watch);
	close(s->fd);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
