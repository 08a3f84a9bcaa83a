/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guess of a passthrough budget: that there is one, whatever memory is asked for; and how good
 * it is on a model of a host, whose clock the test has.
 */
#include "vmm/map-estimate.h"

#include "tests/unit/check.h"
#include "util/bits.h"

static void every_kind_of_memory_has_a_guess(void **state)
{
	static const uint64_t pages[] = { 0, 2 * MIB };

	(void)state;
	for (unsigned int i = 0; i < 2 * 2 * ARRAY_SIZE(pages); i++) {
		const struct map_estimate what = {
			.size = 4 * GIB,
			.hugepage = pages[i / 4],
			.shared = i & 1,
			.by_group = i & 2,
		};

		/* At the least what its entries take. */
		assert_in_range(map_estimate_ns(&what), what.size / (4 * KIB) * 4, UINT64_MAX);
	}
}

/* A page that no host has: the guess is made with others. */
static void huge_pages_that_are_not_there_are_guessed_at(void **state)
{
	const struct map_estimate what = { .size = 4 * GIB, .hugepage = 64 * GIB, .shared = true };

	(void)state;
	assert_in_range(map_estimate_ns(&what), 1, UINT64_MAX);
}

static void no_memory_takes_no_time(void **state)
{
	(void)state;
	assert_int_equal(map_estimate_ns(&(struct map_estimate){ .shared = true }), 0);
}

/* --- a host that is shared -------------------------------------------------------------------- */

/* Of each `turn` ns this process has `share`; a MiB takes it `mib_ns` of CPU time. */
struct host {
	uint64_t now, turn, share, mib_ns;
	unsigned int samples;
};

/* By the clock, from now on. */
static uint64_t takes(struct host *host, uint64_t cpu)
{
	uint64_t start = host->now;

	while (cpu) {
		uint64_t at = host->now % host->turn, step;

		if (at >= host->share) {
			host->now += host->turn - at;
			continue;
		}
		step = MIN(host->share - at, cpu);
		host->now += step;
		cpu -= step;
	}
	return host->now - start;
}

static uint64_t sample_of(void *arg, const struct map_estimate *what, uint64_t size)
{
	struct host *host = arg;

	(void)what;
	host->samples++;
	return takes(host, size / MIB * host->mib_ns);
}

#define US 1000u
#define MS 1000000u

static void a_guess_has_the_load_that_the_map_will_have(void **state)
{
	static const struct host hosts[] = {
		{ .turn = 8 * MS, .share = 8 * MS, .mib_ns = 180 * US }, /* idle */
		{ .turn = 8 * MS, .share = 4 * MS, .mib_ns = 180 * US }, /* 2.9 ms fit in a turn */
		{ .turn = 12 * MS, .share = 3 * MS, .mib_ns = 100 * US },
		{ .turn = 16 * MS, .share = 4 * MS, .mib_ns = 30 * US }, /* several in a turn */
		{ .turn = 8 * MS, .share = 4 * MS, .mib_ns = 20 * MS },	 /* an emulated one */
	};
	const struct map_estimate what = { .size = 4 * GIB, .shared = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct host host = hosts[i];
		uint64_t guess = map_estimate_by(&what, sample_of, &host);
		uint64_t is = takes(&host, what.size / MIB * host.mib_ns);

		assert_in_range(guess, is * 3 / 4, is * 5 / 4);
	}
}

static void a_sample_that_takes_long_is_the_only_one_of_a_gigabyte(void **state)
{
	const struct map_estimate what = { .size = 4 * GIB, .hugepage = GIB, .shared = true };
	struct host host = { .turn = MS, .share = MS, .mib_ns = 100 * US };

	(void)state;
	assert_in_range(map_estimate_by(&what, sample_of, &host), 1, UINT64_MAX);
	assert_int_equal(host.samples, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_memory_has_a_guess),
		cmocka_unit_test(huge_pages_that_are_not_there_are_guessed_at),
		cmocka_unit_test(no_memory_takes_no_time),
		cmocka_unit_test(a_guess_has_the_load_that_the_map_will_have),
		cmocka_unit_test(a_sample_that_takes_long_is_the_only_one_of_a_gigabyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
