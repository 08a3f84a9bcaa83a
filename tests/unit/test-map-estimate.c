/* SPDX-License-Identifier: Apache-2.0 */
/* The guess of a passthrough budget: that there is one, whatever memory is asked for. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_memory_has_a_guess),
		cmocka_unit_test(huge_pages_that_are_not_there_are_guessed_at),
		cmocka_unit_test(no_memory_takes_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
