/* SPDX-License-Identifier: Apache-2.0 */
/* The statistics of adit bench: known answers, and intervals that hold what they should. */
#include <math.h>

#include "bench/samples.h"
#include "tests/unit/check.h"
#include "util/bits.h"

static struct samples of(const double *values, unsigned int count)
{
	struct samples samples = { .count = 0 };

	for (unsigned int i = 0; i < count; i++)
		samples_add(&samples, values[i]);
	return samples;
}

#define OF(...)                             \
	of((const double[]){ __VA_ARGS__ }, \
	   sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double))

#define assert_near(a, b) assert_true(fabs((a) - (b)) < 1e-9)

static void quantiles_are_those_of_r_type_7(void **state)
{
	const struct samples samples = OF(4, 1, 3, 2), odd = OF(9, 7, 8);

	(void)state;
	assert_near(samples_quantile(&samples, 0), 1);
	assert_near(samples_quantile(&samples, 0.25), 1.75);
	assert_near(samples_median(&samples), 2.5);
	assert_near(samples_quantile(&samples, 0.9), 3.7);
	assert_near(samples_quantile(&samples, 1), 4);
	assert_near(samples_median(&odd), 8);
}

static void quantiles_leave_the_order_of_the_rounds(void **state)
{
	struct samples samples = OF(4, 1, 3, 2);

	(void)state;
	samples_quantile(&samples, 0.5);
	samples_mad(&samples);
	assert_near(samples.value[0], 4);
	assert_near(samples.value[3], 2);
}

static void mad_is_the_median_distance_from_the_median(void **state)
{
	const struct samples samples = OF(1, 1, 2, 2, 4, 6, 9), one = OF(5);

	(void)state;
	assert_near(samples_mad(&samples), 1);
	assert_near(samples_mad(&one), 0);
}

static void no_samples_are_0(void **state)
{
	const struct samples none = { .count = 0 };
	struct prng prng = { 1 };
	const struct interval interval = ratio_interval(&none, NULL, 1, 0.99, &prng);

	(void)state;
	assert_near(samples_median(&none), 0);
	assert_near(samples_mad(&none), 0);
	assert_near(interval.high, 0);
}

static void samples_past_the_limit_are_dropped(void **state)
{
	struct samples samples = { .count = 0 };

	(void)state;
	for (unsigned int i = 0; i < SAMPLES_MAX + 5; i++)
		samples_add(&samples, i);
	assert_int_equal(samples.count, SAMPLES_MAX);
}

/* The sequence that implementations of splitmix64 are compared by. */
static void prng_is_splitmix64(void **state)
{
	struct prng prng = { 1234567 };

	(void)state;
	assert_true(prng_next(&prng) == 6457827717110365317u);
	assert_true(prng_next(&prng) == 3203168211198807973u);
	assert_true(prng_next(&prng) == 9817491932198370423u);
}

static void prng_below_stays_below_and_reaches_all(void **state)
{
	struct prng prng = { 7 };
	unsigned int seen = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		uint32_t n = prng_below(&prng, 5);

		assert_true(n < 5);
		seen |= 1u << n;
	}
	assert_int_equal(seen, 31);
}

/* Between 0 and 1. */
static double uniform(struct prng *prng)
{
	return (double)(prng_next(prng) >> 11) / 9007199254740992.0;
}

/* As times are: never below what the work takes, a long tail above. */
static double skewed(struct prng *prng, double least)
{
	double tail = -log(1 - uniform(prng));

	return least * (1 + 0.05 * tail + (prng_below(prng, 20) ? 0 : 2 * tail));
}

static void what_disturbs_a_whole_round_cancels(void **state)
{
	struct samples a = { .count = 0 }, b = { .count = 0 };
	struct prng prng = { 3 };
	struct interval interval;

	(void)state;
	for (unsigned int i = 0; i < 21; i++) {
		samples_add(&b, skewed(&prng, 100));
		samples_add(&a, 2 * b.value[i]);
	}
	interval = ratio_interval(&a, &b, 0, INTERVAL_LEVEL, &prng);
	assert_near(interval.low, 2);
	assert_near(interval.high, 2);
}

static void a_seed_gives_the_same_interval_again(void **state)
{
	const struct samples a = OF(5, 9, 4, 7, 6, 8, 7, 5), b = OF(3, 4, 5, 4, 3, 5, 4, 4);
	struct prng first = { 42 }, second = { 42 };
	const struct interval one = ratio_interval(&a, &b, 0, 0.99, &first);
	const struct interval other = ratio_interval(&a, &b, 0, 0.99, &second);

	(void)state;
	assert_near(one.low, other.low);
	assert_near(one.high, other.high);
	assert_true(one.low < one.high);
}

static void a_bar_divides_the_median_s_interval(void **state)
{
	const struct samples a = OF(10, 10, 10, 10, 10, 10, 10, 10, 10);
	struct prng prng = { 1 };
	const struct interval interval = ratio_interval(&a, NULL, 4, 0.99, &prng);

	(void)state;
	assert_near(interval.low, 2.5);
	assert_near(interval.high, 2.5);
}

static bool synthetic_run(struct prng *prng, double factor, struct interval *interval)
{
	struct samples a = { .count = 0 }, b = { .count = 0 };

	for (unsigned int i = 0; i < 21; i++) {
		double round = skewed(prng, 1); /* what meets both */

		samples_add(&a, factor * skewed(prng, 100) * round);
		samples_add(&b, skewed(prng, 100) * round);
	}
	*interval = ratio_interval(&a, &b, 0, INTERVAL_LEVEL, prng);
	return interval->low <= 1 && 1 <= interval->high;
}

static void a_floor_that_is_itself_is_1_within_the_interval_in_20_runs(void **state)
{
	struct prng prng = { 2026 };
	struct interval interval;
	unsigned int held = 0;

	(void)state;
	for (unsigned int run = 0; run < 20; run++) {
		held += synthetic_run(&prng, 1, &interval);
		assert_true(interval.high - interval.low < 0.5);
	}
	/* One of a hundred may miss, so one of twenty may. */
	assert_in_range(held, 19, 20);
}

/* 99 % of many: an interval that is too narrow, or one that holds everything, is not 99 %. */
static void intervals_hold_the_truth_as_often_as_they_say(void **state)
{
	struct prng prng = { 5 };
	struct interval interval;
	unsigned int held = 0;

	(void)state;
	for (unsigned int run = 0; run < 400; run++)
		held += synthetic_run(&prng, 1, &interval);
	assert_in_range(held, 390, 400);
}

static void a_floor_that_is_a_third_faster_is_seen_in_20_runs(void **state)
{
	struct prng prng = { 11 };
	struct interval interval;

	(void)state;
	for (unsigned int run = 0; run < 20; run++) {
		assert_false(synthetic_run(&prng, 1.5, &interval));
		assert_true(interval.low > 1);
	}
}

static void fill(struct samples *samples, struct prng *prng, double least)
{
	samples->count = 0;
	for (unsigned int i = 0; i < 21; i++)
		samples_add(samples, skewed(prng, least));
}

static void a_change_is_of_ratios_where_there_are_references(void **state)
{
	static struct samples ours, floor, slow_ours, slow_floor;
	struct prng prng = { 9 };
	const struct side before = { &ours, &floor }, after = { &slow_ours, &slow_floor };
	const struct side bare_before = { &ours, NULL }, bare_after = { &slow_ours, NULL };
	struct interval interval;

	(void)state;
	fill(&ours, &prng, 120);
	fill(&floor, &prng, 100);
	fill(&slow_ours, &prng, 360); /* a host at a third of its speed */
	fill(&slow_floor, &prng, 300);
	interval = change_interval(&before, &after, 0.99, &prng);
	assert_true(interval.low < 1 && interval.high > 1);
	interval = change_interval(&bare_before, &bare_after, 0.99, &prng);
	assert_true(interval.low > 2.5 && interval.high < 3.5);
}

static void predictions_are_off_by_percent_either_way(void **state)
{
	const struct samples said = { .value = { 110, 90, 257, 5, 0 }, .count = 5 };
	const struct samples is = { .value = { 100, 100, 256, 0, 0, 7 }, .count = 6 };
	const double off[] = { 10, 10, 0.390625, 100, 0 };
	const struct samples found = samples_off(&said, &is);

	(void)state;
	assert_int_equal(found.count, 5);
	for (unsigned int i = 0; i < found.count; i++)
		assert_true(fabs(found.value[i] - off[i]) < 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(predictions_are_off_by_percent_either_way),
		cmocka_unit_test(quantiles_are_those_of_r_type_7),
		cmocka_unit_test(quantiles_leave_the_order_of_the_rounds),
		cmocka_unit_test(mad_is_the_median_distance_from_the_median),
		cmocka_unit_test(no_samples_are_0),
		cmocka_unit_test(samples_past_the_limit_are_dropped),
		cmocka_unit_test(prng_is_splitmix64),
		cmocka_unit_test(prng_below_stays_below_and_reaches_all),
		cmocka_unit_test(what_disturbs_a_whole_round_cancels),
		cmocka_unit_test(a_seed_gives_the_same_interval_again),
		cmocka_unit_test(a_bar_divides_the_median_s_interval),
		cmocka_unit_test(a_floor_that_is_itself_is_1_within_the_interval_in_20_runs),
		cmocka_unit_test(intervals_hold_the_truth_as_often_as_they_say),
		cmocka_unit_test(a_floor_that_is_a_third_faster_is_seen_in_20_runs),
		cmocka_unit_test(a_change_is_of_ratios_where_there_are_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
