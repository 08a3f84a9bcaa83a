/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench dma's loop over a device of our own making, and which devices it knows. */
#include <stdlib.h>
#include <string.h>

#include "bench/dma-internal.h"
#include "tests/unit/check.h"
#include "util/bits.h"

#define MEMORY (DMA_OWN + 16 * DMA_PAGE)

/* A device whose operations end at once, in the order of their lanes. */
struct model {
	struct dma_device device;
	uint64_t pending; /* lanes */
	uint64_t first, last, count, to_memory;
	uint64_t before; /* the last address */
	uint64_t in_order;
	unsigned int most; /* under way at a time */
	uint64_t stalls_after, fails_after;
};

static struct model *of(struct dma_device *d)
{
	return container_of(d, struct model, device);
}

static void model_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	struct model *m = of(d);

	assert_false(m->pending >> lane & 1);
	m->pending |= BIT_U64(lane);
	m->most = MAX(m->most, (unsigned int)__builtin_popcountll(m->pending));
	m->first = MIN(m->first, address);
	m->last = MAX(m->last, address);
	m->in_order += address == m->before + d->bytes;
	m->before = address;
	m->count++;
	m->to_memory += to_memory;
}

static uint64_t model_reap(struct dma_device *d)
{
	struct model *m = of(d);
	uint64_t done = m->pending & -m->pending;

	if (m->count > m->stalls_after)
		return 0;
	if (m->count > m->fails_after)
		d->failed++;
	m->pending &= ~done;
	return done;
}

static const struct dma_driver model_driver = { .name = "model",
						.submit = model_submit,
						.reap = model_reap };

static struct model model_of(void)
{
	return (struct model){
		.device = { .driver = &model_driver,
			    .address = GIB,
			    .size = MEMORY,
			    .patience = 20000000,
			    .lanes = DMA_LANES },
		.first = UINT64_MAX,
		.stalls_after = UINT64_MAX,
		.fails_after = UINT64_MAX,
	};
}

static const struct dma_load plain = {
	.bytes = DMA_PAGE, .batch = 1, .depth = 4, .size = 16 * DMA_PAGE, .ticks = 1, .least = 1000
};

static struct dma_result result;

static void a_load_keeps_so_many_under_way_and_takes_them_all(void **state)
{
	struct model m = model_of();

	(void)state;
	assert_true(dma_run(&m.device, &plain, &result));
	assert_int_equal(m.most, 4);
	assert_int_equal(m.pending, 0);
	assert_int_equal(m.count, result.done);
	assert_in_range(result.done, 1000, 1004);
}

static void addresses_stay_in_what_is_walked_over_and_off_the_queues(void **state)
{
	struct dma_load load = plain;
	struct model m;

	(void)state;
	for (int random = 0; random < 2; random++) {
		load.random = random;
		m = model_of();
		assert_true(dma_run(&m.device, &load, &result));
		assert_int_equal(m.first, GIB + DMA_OWN);
		assert_int_equal(m.last, GIB + DMA_OWN + 15 * DMA_PAGE);
		assert_true(random ? m.in_order < m.count / 4 : m.in_order > m.count / 2);
	}
}

static void a_load_without_writes_only_ever_writes_to_memory(void **state)
{
	struct dma_load load = plain;
	struct model m = model_of();

	(void)state;
	assert_true(dma_run(&m.device, &load, &result));
	assert_int_equal(m.to_memory, m.count);
	load.writes = 30;
	m = model_of();
	assert_true(dma_run(&m.device, &load, &result));
	assert_in_range(m.to_memory * 100 / m.count, 60, 80);
	load.writes = 100;
	m = model_of();
	assert_true(dma_run(&m.device, &load, &result));
	assert_int_equal(m.to_memory, 0);
}

static void a_batch_is_one_operation_over_all_its_moves(void **state)
{
	struct dma_load load = plain;
	struct model m = model_of();

	(void)state;
	load.batch = 4;
	assert_true(dma_run(&m.device, &load, &result));
	assert_int_equal(m.device.batch, 4);
	assert_int_equal(m.first, GIB + DMA_OWN);
	assert_int_equal(m.last, GIB + DMA_OWN + 12 * DMA_PAGE);
}

static void nothing_of_the_ramp_is_kept(void **state)
{
	struct dma_load load = plain;
	struct model m = model_of();

	(void)state;
	load.ramp = 1000000;
	load.least = 100;
	load.ticks = 0;
	assert_true(dma_run(&m.device, &load, &result));
	assert_in_range(result.done, 100, 108);
	assert_true(m.count > result.done); /* operations before it did begin */
	assert_int_equal(m.pending, 0);
	/* One that fails in it ends the load there. */
	m = model_of();
	m.fails_after = 10;
	assert_false(dma_run(&m.device, &load, &result));
	assert_in_range(result.done, 1, 12);
}

static void a_stride_leaves_gaps_and_all_of_it_in_what_is_walked_over(void **state)
{
	struct dma_load load = plain;
	struct model m = model_of();

	(void)state;
	load.bytes = 64;
	load.stride = DMA_PAGE + 64;
	load.size = 15 * load.stride;
	assert_true(dma_run(&m.device, &load, &result));
	assert_int_equal(m.first, GIB + DMA_OWN);
	assert_int_equal(m.last, GIB + DMA_OWN + 14 * load.stride);
	assert_int_equal(m.device.stride, load.stride);
	load.batch = 5;
	m = model_of();
	assert_true(dma_run(&m.device, &load, &result));
	assert_int_equal(m.last, GIB + DMA_OWN + 10 * load.stride);
}

static void lines_are_as_many_packed_as_spread_each_in_a_page_of_its_own(void **state)
{
	static const struct {
		unsigned int page_shift, lines, packed;
		uint64_t room;
		const char *spread;
	} rows[] = {
		{ 12, DMA_LINES, 64, 255 * MIB, "64 B, 4096 lines in 4096 pages" },
		{ 21, 112, 1, 255 * MIB, "64 B, 112 lines in 112 pages" },
		{ 21, 1008, 1, 2047 * MIB, "64 B, 1008 lines in 1008 pages" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jobs jobs = { .count = 3,
				     .job = { { .name = "other", .bs = 64, .size = MIB },
					      { .bs = 64, .lines = JOB_PACKED },
					      { .bs = 64, .lines = JOB_SPREAD } } };
		const struct job *packed = &jobs.job[1], *spread = &jobs.job[2];

		dma_fit_lines(&jobs, rows[i].page_shift, rows[i].room);
		assert_string_equal(jobs.job[0].name, "other");
		assert_int_equal(jobs.job[0].size, MIB);
		assert_int_equal(packed->size, rows[i].lines * 64ULL);
		assert_int_equal(packed->stride, 0);
		assert_int_equal(spread->stride, BIT_U64(rows[i].page_shift) + 64);
		assert_int_equal(spread->size, rows[i].lines * spread->stride);
		assert_true(spread->size <= rows[i].room);
		assert_string_equal(spread->name, rows[i].spread);
	}
}

static void strided_moves_of_a_batch_are_all_made(void **state)
{
	struct dma_device d = { .driver = &dma_cpu, .address = GIB, .patience = 20000000 };
	struct dma_load load = plain;

	(void)state;
	d.memory = calloc(1, MEMORY);
	assert_non_null(d.memory);
	assert_true(dma_cpu.start(&d));
	load.bytes = 64;
	load.stride = DMA_PAGE + 64;
	load.batch = 5;
	load.size = 15 * load.stride;
	assert_true(dma_prove(&d, &load));
	memset(d.memory + DMA_OWN, 0, MEMORY - DMA_OWN);
	assert_true(dma_run(&d, &load, &result));
	for (unsigned int i = 0; i < 15; i++) {
		const uint8_t *at = d.memory + DMA_OWN + i * load.stride;

		assert_memory_equal(at, d.memory + DMA_SOURCE, 64);
		assert_int_equal(at[64], 0);
	}
	free(d.memory);
}

/* --- the proof: memcpy, and what can go wrong with it ----------------------------------------- */

static unsigned int wrong_after; /* moves that are right */
static enum {
	SHORT,
	ELSEWHERE,
	NOTHING
} wrong;

static void wrong_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	uint64_t at = address - d->address;

	if (wrong_after-- > 0) {
		dma_cpu.submit(d, lane, address, to_memory);
		return;
	}
	wrong_after = 0;
	d->dsa.busy |= BIT_U64(lane);
	if (wrong == SHORT)
		memcpy(d->memory + at, d->memory + DMA_SOURCE, d->bytes - 1);
	else if (wrong == ELSEWHERE)
		memcpy(d->memory + at, d->memory + DMA_SOURCE + 8, d->bytes);
}

static bool prove(unsigned int right, unsigned int batch, uint64_t size)
{
	struct dma_driver driver = dma_cpu;
	struct dma_device d = {
		.driver = &driver, .address = GIB, .size = MEMORY, .patience = 20000000
	};
	struct dma_load load = plain;
	bool proven;

	driver.submit = wrong_submit;
	wrong_after = right;
	load.batch = batch;
	load.size = size;
	d.memory = calloc(1, MEMORY);
	assert_non_null(d.memory);
	assert_true(driver.start(&d));
	proven = dma_prove(&d, &load);
	if (!proven)
		assert_string_equal(d.at, "what arrived, which is not what was sent");
	free(d.memory);
	return proven;
}

static void data_that_arrives_is_proven(void **state)
{
	(void)state;
	assert_true(prove(1000, 1, 16 * DMA_PAGE));
	assert_true(prove(1000, 4, 16 * DMA_PAGE));
	/* Less memory than lanes are wide. */
	assert_true(prove(1000, 1, 2 * DMA_PAGE));
}

static void data_that_is_short_or_elsewhere_or_missing_is_seen(void **state)
{
	(void)state;
	for (int i = SHORT; i <= NOTHING; i++) {
		wrong = i;
		assert_false(prove(0, 1, 16 * DMA_PAGE));
		assert_false(prove(7, 1, 16 * DMA_PAGE)); /* the very last of the second pass */
		assert_false(prove(2, 4, 16 * DMA_PAGE));
	}
}

static void a_device_that_stalls_ends_the_load(void **state)
{
	struct model m = model_of();

	(void)state;
	m.stalls_after = 50;
	assert_false(dma_run(&m.device, &plain, &result));
	assert_in_range(result.done, 46, 50);
	assert_int_equal(m.device.failed, 0);
}

static void an_operation_that_fails_ends_the_load(void **state)
{
	struct model m = model_of();

	(void)state;
	m.fails_after = 20;
	assert_false(dma_run(&m.device, &plain, &result));
	assert_int_equal(m.device.failed, 1);
}

static void latencies_are_known_to_3_percent(void **state)
{
	static const uint64_t values[] = { 0,  1,    31,   32,	    33,	       63,
					   64, 1000, 4097, 1000000, 123456789, 1ULL << 40 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct dma_result one = { .done = 1 };
		double found;

		one.latency[dma_bucket(values[i])] = 1;
		found = (double)dma_latency(&one, 500);
		if (found < (double)values[i] * 0.97 || found > (double)values[i] * 1.03)
			fail_msg("%llu became %f", (unsigned long long)values[i], found);
	}
}

static void percentiles_are_those_of_the_counts(void **state)
{
	struct dma_result counts = { .done = 1000 };

	(void)state;
	counts.latency[dma_bucket(10)] = 500;
	counts.latency[dma_bucket(20)] = 490;
	counts.latency[dma_bucket(30)] = 10;
	assert_int_equal(dma_latency(&counts, 500), 10);
	assert_int_equal(dma_latency(&counts, 501), 20);
	assert_int_equal(dma_latency(&counts, 990), 20);
	assert_int_equal(dma_latency(&counts, 991), 30);
	assert_int_equal(dma_latency(&counts, 999), 30);
	memset(&counts, 0, sizeof(counts));
	assert_int_equal(dma_latency(&counts, 500), 0);
	/* No percentile is beyond the longest, though its bucket's middle is. */
	counts.longest = 1ULL << 40;
	counts.latency[dma_bucket(counts.longest)] = 1;
	assert_int_equal(dma_latency(&counts, 999), 1ULL << 40);
}

static void the_longest_latency_is_the_last_bucket_s(void **state)
{
	struct model m = model_of();
	unsigned int last = 0;

	(void)state;
	assert_true(dma_run(&m.device, &plain, &result));
	for (unsigned int i = 0; i < DMA_BUCKETS; i++)
		last = result.latency[i] ? i : last;
	assert_int_equal(dma_bucket(result.longest), last);
	assert_int_equal(dma_says_of(&result).longest, result.longest);
}

/* Of two parties with so many operations in the one round that there was; one had more. */
static void judge(struct dma_rows *rows, unsigned int operations)
{
	struct contest contest = { .party_count = 2 };

	dma_rows_name(rows, 0, "load", 4096, false);
	contest.samples = calloc(DMA_FIGURES, sizeof(*contest.samples));
	assert_non_null(contest.samples);
	samples_add(&contest.samples[DMA_OPERATIONS][0], 1e6);
	samples_add(&contest.samples[DMA_OPERATIONS][1], operations);
	dma_rows_judge(rows, 0, &contest);
	contest_free(&contest);
}

static void percentiles_with_few_operations_beyond_them_say_so(void **state)
{
	static const struct {
		unsigned int operations;
		const char *median, *tail;
		bool far_hidden;
	} rows[] = {
		{ 19, "load: p50, of few operations", "load: p99, of few operations", true },
		{ 20, "load: p50", "load: p99, of few operations", true },
		{ 999, "load: p50", "load: p99, of few operations", true },
		{ 1000, "load: p50", "load: p99", true },
		{ 9999, "load: p50", "load: p99", true },
		{ 10000, "load: p50", "load: p99", false },
	};
	struct dma_rows is;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		judge(&is, rows[i].operations);
		assert_string_equal(is.row[DMA_RATE].name, "load");
		assert_string_equal(is.row[DMA_MEDIAN].name, rows[i].median);
		assert_string_equal(is.row[DMA_TAIL].name, rows[i].tail);
		assert_string_equal(is.row[DMA_LONGEST].name, "load: max");
		assert_int_equal(is.row[DMA_FAR].hidden, rows[i].far_hidden);
		assert_false(is.row[DMA_OPERATIONS].hidden);
	}
	dma_rows_name(&is, 0, "load", 4096, true);
	assert_true(is.row[DMA_FAR].hidden && is.row[DMA_OPERATIONS].hidden);
	assert_false(is.row[DMA_TAIL].hidden);
}

static void devices_are_known_by_number_or_class(void **state)
{
	(void)state;
	assert_ptr_equal(dma_find(0x1234, 0x11e8, 0x00ff00), &dma_edu);
	assert_ptr_equal(dma_find(0x1b36, 0x0010, 0x010802), &dma_nvme_driver);
	assert_ptr_equal(dma_find(0x144d, 0xa80a, 0x010802), &dma_nvme_driver);
	assert_null(dma_find(0x8086, 0x10d3, 0x020000));
	assert_ptr_equal(dma_find(0x8086, 0x2021, 0x088000), &dma_ioat_driver);
	assert_ptr_equal(dma_find(0x8086, 0x6f27, 0x088000), &dma_ioat_driver);
	assert_null(dma_find(0x1234, 0x2021, 0x088000));
	assert_ptr_equal(dma_find(0x8086, 0x0b25, 0x088000), &dma_dsa_driver);
	assert_ptr_equal(dma_find(0x8086, 0x1212, 0x088000), &dma_dsa_driver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_load_keeps_so_many_under_way_and_takes_them_all),
		cmocka_unit_test(addresses_stay_in_what_is_walked_over_and_off_the_queues),
		cmocka_unit_test(a_load_without_writes_only_ever_writes_to_memory),
		cmocka_unit_test(a_batch_is_one_operation_over_all_its_moves),
		cmocka_unit_test(nothing_of_the_ramp_is_kept),
		cmocka_unit_test(a_stride_leaves_gaps_and_all_of_it_in_what_is_walked_over),
		cmocka_unit_test(lines_are_as_many_packed_as_spread_each_in_a_page_of_its_own),
		cmocka_unit_test(strided_moves_of_a_batch_are_all_made),
		cmocka_unit_test(data_that_arrives_is_proven),
		cmocka_unit_test(data_that_is_short_or_elsewhere_or_missing_is_seen),
		cmocka_unit_test(a_device_that_stalls_ends_the_load),
		cmocka_unit_test(an_operation_that_fails_ends_the_load),
		cmocka_unit_test(latencies_are_known_to_3_percent),
		cmocka_unit_test(percentiles_are_those_of_the_counts),
		cmocka_unit_test(the_longest_latency_is_the_last_bucket_s),
		cmocka_unit_test(percentiles_with_few_operations_beyond_them_say_so),
		cmocka_unit_test(devices_are_known_by_number_or_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
