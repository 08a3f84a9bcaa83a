/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's clock jumps by years, forwards and backwards, each time that somebody looks: what
 * waits for a time goes by another clock, so nothing comes early, late, or never.
 */
#include "tests/guest/harness.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/loop.h"

#define NS_PER_MS 1000000ull

static unsigned int looks; /* atomic */

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static const time_t jumps[] = { 0, 4102444800, 951782400, 253402300799, 1, 1709210096 };
	static int (*next)(clockid_t clock, struct timespec * now);

	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
		unsigned int n = __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED);

		*now = (struct timespec){ .tv_sec = jumps[n % ARRAY_SIZE(jumps)] };
		return 0;
	}
	if (!next)
		next = (__typeof__(next))dlsym(RTLD_NEXT, "clock_gettime");
	return next(clock, now);
}

/* Every wait in it that ends by itself: an ADI's engines, a disk's limits, a balloon's statistics.
 */
static void a_guest_does_not_notice(void **state)
{
	guest_passes(
		"demo", "",
		", \"spaces\": [{\"id\": \"w\", \"offset\": \"32M\", \"size\": \"16M\", \"rights\": \"rw\"}],"
		"\"adis\": [{\"id\": \"dsa0\", \"type\": \"dsa\", \"pasid\": {\"allow\": true},"
		"\"wqs\": [{\"size\": 16}]}],"
		"\"pasids\": [{\"adi\": \"dsa0\", \"guest\": 5, \"space\": \"w\"}]",
		1);
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

static void on_timer(void *arg)
{
	loop_stop(arg);
}

static void timers_take_as_long_as_they_should(void **state)
{
	struct loop_timer *timer;
	struct loop *loop;
	struct err err;
	uint64_t begun;

	assert_ok(loop_create(&loop, &err), &err);
	begun = monotonic_ns();
	assert_ok(loop_timer(loop, 5 * NS_PER_MS, on_timer, loop, &timer, &err), &err);
	assert_int_equal(loop_run(loop), 0);
	assert_true(monotonic_ns() - begun >= 5 * NS_PER_MS);
	loop_timer_cancel(timer);
	loop_destroy(loop);
}

static void lines_of_the_log_have_the_time_that_is_said(void **state)
{
	char path[] = "/tmp/adit-clock-XXXXXX", text[512] = "";
	const struct log log = { .fd = mkstemp(path), .level = LOG_INFO, .json = true };
	unsigned int before = __atomic_load_n(&looks, __ATOMIC_RELAXED);

	assert_true(log.fd >= 0);
	unlink(path);
	log_line(&log, LOG_INFO, "clock", "one");
	log_line(&log, LOG_INFO, "clock", "two");
	assert_true(pread(log.fd, text, sizeof(text) - 1, 0) > 0);
	close(log.fd);
	assert_non_null(strstr(text, "\"message\": \"one\"}\n{\"time\": "));
	assert_int_equal(__atomic_load_n(&looks, __ATOMIC_RELAXED), before + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_does_not_notice),
		cmocka_unit_test(timers_take_as_long_as_they_should),
		cmocka_unit_test(lines_of_the_log_have_the_time_that_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
