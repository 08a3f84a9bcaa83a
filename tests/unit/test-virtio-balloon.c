/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: pages that go back to the host read as zeros, and nothing beside them does. */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <poll.h>
#include <sys/mman.h>

#include "tests/unit/wait.h"
#include "vmm/virtio/balloon.h"

#define PAGES	  (BENCH_BUFFERS + 0x100000)
#define NUMBERS	  BENCH_BUFFERS
#define REPORTING VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING)
#define STATS	  VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ)

struct tent {
	struct bench b;
	unsigned int reached;
	uint64_t bytes; /* as was told last */
	struct balloon *balloon;
	uint8_t *heap; /* what the bench had */
};

static void on_reached(void *arg, uint64_t bytes)
{
	struct tent *t = arg;

	t->reached++;
	t->bytes = bytes;
}

/* Guest memory as the machine has it: a mapping, shared (memfd) or private. */
static void open_with(struct tent *t, bool shared, uint64_t size, unsigned int barred)
{
	const struct balloon_options options = { .size = size,
						 .shared = shared,
						 .reporting = true,
						 .stats_ms = 1,
						 .barred = barred,
						 .reached = on_reached,
						 .arg = t };
	struct err err;
	int fd = shared ? memfd_create("guest", MFD_CLOEXEC) : -1;
	uint8_t *memory;

	t->reached = 0;
	bench_open(&t->b);
	if (shared)
		assert_int_equal(ftruncate(fd, GUEST_BYTES), 0);
	memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
		      shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	if (fd >= 0)
		close(fd);
	t->heap = t->b.memory.bytes;
	t->b.memory.bytes = t->b.memory.table.range[0].hva = memory;
	assert_ok(balloon_create(&t->balloon, &t->b.host, &options, &err), &err);
	bench_run(&t->b, balloon_device(t->balloon));
}

static void open_tent(struct tent *t, bool shared)
{
	open_with(t, shared, 1 << 20, 0);
}

static void close_tent(struct tent *t)
{
	uint8_t *memory = t->b.memory.bytes;

	t->b.memory.bytes = t->heap;
	bench_close(&t->b);
	munmap(memory, GUEST_BYTES);
}

static void fill_pages(struct tent *t, unsigned int n)
{
	memset(guest_at(&t->b.memory, PAGES), 0x55, n * 4096UL);
}

/* Page i is gone where `gone` has bit i, and is whole where not. */
static void assert_pages(struct tent *t, unsigned int n, uint64_t gone)
{
	const uint8_t *at = guest_at(&t->b.memory, PAGES);

	for (unsigned int i = 0; i < n * 4096; i++)
		assert_int_equal(at[i], gone >> (i / 4096) & 1 ? 0 : 0x55);
}

static void inflated_pages_go_back(void **state)
{
	const uint32_t first = (uint32_t)(PAGES >> 12);
	/* Up, down, alone, twice, and what is no RAM. */
	const uint32_t numbers[] = { first + 1,	 first + 2,  first + 3, first + 8,  first + 7,
				     first + 12, first + 12, 0,		0xffffffff, 0xfffffffe };
	const struct driver_piece piece = { NUMBERS, sizeof(numbers), false };

	for (int shared = 0; shared < 2; shared++) {
		struct tent t;

		open_tent(&t, shared);
		for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
			bench_start(&t.b, bench_layouts[i], 2);
			fill_pages(&t, 16);
			memcpy(guest_at(&t.b.memory, NUMBERS), numbers, sizeof(numbers));
			driver_add(&t.b.q[0], &piece, 1);
			bench_kick(&t.b, 0);
			bench_take(&t.b, 0, NULL);
			assert_pages(&t, 16, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 7 | 1 << 8 | 1 << 12);
			driver_add(&t.b.q[1], &piece, 1);
			bench_kick(&t.b, 1);
			bench_take(&t.b, 1, NULL);
		}
		close_tent(&t);
	}
}

/* Every other page of some, a buffer for each 64 of them, or a piece; later ones wait a turn. */
static void many_runs_of_pages_are_several_turns(void **state)
{
	const uint32_t first = (uint32_t)(PAGES >> 12);
	struct driver_piece numbers = { NUMBERS, 256, false }, pieces[64];
	struct tent t;

	open_tent(&t, true);
	bench_start(&t.b, bench_layouts[3] | REPORTING, 3);
	fill_pages(&t, 768);
	for (uint32_t i = 0; i < 192; i++) {
		uint32_t number = first + 2 * i;

		memcpy(guest_at(&t.b.memory, NUMBERS + 4 * i), &number, 4);
	}
	/* What is given back is so before the test is the loop. */
	driver_add(&t.b.q[1], &numbers, 1);
	bench_kick(&t.b, 1);
	bench_take(&t.b, 1, NULL);
	bench_stop_loop(&t.b);
	for (unsigned int buffer = 0; buffer < 3; buffer++, numbers.gpa += 256)
		driver_add(&t.b.q[0], &numbers, 1);
	for (unsigned int buffer = 0; buffer < 3; buffer++) {
		for (unsigned int i = 0; i < 64; i++)
			pieces[i] = (struct driver_piece){
				PAGES + 4096UL * (384 + 2 * (64 * buffer + i)), 4096, true
			};
		driver_add_indirect(&t.b.q[2], NUMBERS + 0x1000 * (1 + buffer), pieces, 64);
	}
	assert_int_equal(bench_kick_here(&t.b, 0), 1);
	assert_int_equal(bench_kick_here(&t.b, 2), 1);
	bench_run_loop(&t.b);
	for (unsigned int buffer = 0; buffer < 3; buffer++) {
		bench_take(&t.b, 0, NULL);
		bench_take(&t.b, 2, NULL);
	}
	for (unsigned int i = 0; i < 768; i++)
		assert_int_equal(*(uint8_t *)guest_at(&t.b.memory, PAGES + 4096UL * i),
				 i & 1 ? 0x55 : 0);
	close_tent(&t);
}

static void reported_pages_go_back_and_parts_of_pages_do_not(void **state)
{
	const struct driver_piece pieces[] = { { PAGES + 4096, 8192, true },
					       { PAGES + 5 * 4096 + 100, 8192, true },
					       { PAGES + 9 * 4096, 4095, true } };
	struct balloon_stats stats;
	struct tent t;

	open_tent(&t, true);
	/* Without statistics the reporting queue is the third, with them the fourth. */
	bench_start(&t.b, bench_layouts[1] | REPORTING, 3);
	fill_pages(&t, 16);
	driver_add(&t.b.q[2], pieces, 3);
	bench_kick(&t.b, 2);
	bench_take(&t.b, 2, NULL);
	assert_pages(&t, 16, 1 << 1 | 1 << 2 | 1 << 6);
	bench_start(&t.b, bench_layouts[1] | REPORTING | STATS, 4);
	fill_pages(&t, 16);
	driver_add(&t.b.q[3], pieces, 3);
	bench_kick(&t.b, 3);
	bench_take(&t.b, 3, NULL);
	assert_pages(&t, 16, 1 << 1 | 1 << 2 | 1 << 6);
	balloon_read_stats(t.balloon, &stats);
	assert_int_equal(stats.reported, 6 * 4096);
	close_tent(&t);
}

static void statistics_are_asked_for_and_kept(void **state)
{
	const struct virtio_balloon_stat told[] = { { VIRTIO_BALLOON_S_MEMFREE, 1234 },
						    { VIRTIO_BALLOON_S_MEMTOT, 5678 },
						    { 99, 1 } };
	const struct driver_piece piece = { NUMBERS, sizeof(told), false };
	struct balloon_stats stats;
	struct tent t;

	open_tent(&t, true);
	bench_start(&t.b, bench_layouts[3] | STATS | BENCH_RING_RESET, 3);
	memcpy(guest_at(&t.b.memory, NUMBERS), told, sizeof(told));
	for (unsigned int i = 0; i < 3; i++) {
		driver_add(&t.b.q[2], &piece, 1);
		bench_kick(&t.b, 2);
		bench_take(&t.b, 2, NULL);
	}
	balloon_read_stats(t.balloon, &stats);
	assert_int_equal(stats.value[VIRTIO_BALLOON_S_MEMFREE], 1234);
	assert_int_equal(stats.value[VIRTIO_BALLOON_S_MEMTOT], 5678);
	assert_int_equal(stats.value[VIRTIO_BALLOON_S_MAJFLT], UINT64_MAX);
	/* The buffer in which the driver waits is forgotten with its queue. */
	driver_add(&t.b.q[2], &piece, 1);
	bench_kick(&t.b, 2);
	bench_queue_reset(&t.b, 2);
	bench_queue(&t.b, 2, bench_layouts[3]);
	driver_add(&t.b.q[2], &piece, 1);
	bench_kick(&t.b, 2);
	bench_take(&t.b, 2, NULL);
	close_tent(&t);
}

static void count(void *arg)
{
	__atomic_add_fetch((unsigned int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* The time for a question comes and goes while nothing may be said. */
static void statistics_are_asked_for_after_a_long_pause(void **state)
{
	const struct driver_piece piece = { NUMBERS, sizeof(struct virtio_balloon_stat), false };
	struct pollfd answer = { .events = POLLIN };
	struct loop_timer *timer;
	unsigned int passed = 0;
	struct tent t;
	struct err err;

	open_tent(&t, true);
	bench_start(&t.b, bench_layouts[3] | STATS, 3);
	driver_add(&t.b.q[2], &piece, 1);
	bench_kick(&t.b, 2);
	bench_take(&t.b, 2, NULL);
	bench_stop_loop(&t.b);
	driver_add(&t.b.q[2], &piece, 1);
	assert_int_equal(bench_kick_here(&t.b, 2), 1);
	virtio_pause(t.b.device);
	/* After the question's. */
	assert_ok(loop_timer(t.b.loop, 10000000, count, &passed, &timer, &err), &err);
	bench_run_loop(&t.b);
	WAIT_FOR(__atomic_load_n(&passed, __ATOMIC_SEQ_CST));
	driver_want_next(&t.b.q[2]);
	virtio_resume(t.b.device);
	answer.fd = t.b.irq[3];
	assert_int_equal(poll(&answer, 1, 60000), 1);
	bench_take(&t.b, 2, NULL);
	bench_stop_loop(&t.b);
	loop_timer_cancel(timer);
	bench_run_loop(&t.b);
	close_tent(&t);
}

static void the_size_is_told_and_answered(void **state)
{
	struct balloon_stats stats;
	struct tent t;
	struct err err;

	open_tent(&t, false);
	bench_start(&t.b, bench_layouts[1], 2);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE, 4), 256);
	assert_ok(balloon_resize(t.balloon, 8 << 20, &err), &err);
	bench_wait(&t.b, 0);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE, 4), 2048);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 2000, 4);
	set(&t.b, VIRTIO_BAR_DEVICE, 0, 4);
	balloon_read_stats(t.balloon, &stats);
	assert_int_equal(stats.wanted, 8 << 20);
	assert_int_equal(stats.actual, 2000 * 4096);
	close_tent(&t);
}

static void it_is_told_once_that_the_guest_has_got_there(void **state)
{
	struct tent t;
	struct err err;

	open_tent(&t, false);
	bench_start(&t.b, bench_layouts[1], 2);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 256, 4);
	assert_int_equal(t.reached, 0); /* nobody has asked for it */
	assert_ok(balloon_resize(t.balloon, 2 << 20, &err), &err);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 511, 4);
	assert_int_equal(t.reached, 0);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 512, 4);
	assert_int_equal(t.reached, 1);
	assert_int_equal(t.bytes, 2 << 20);
	/* A guest that goes to and fro makes no more of it. */
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 511, 4);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 512, 4);
	assert_int_equal(t.reached, 1);
	assert_ok(balloon_resize(t.balloon, 2 << 20, &err), &err);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 512, 4);
	assert_int_equal(t.reached, 1);
	assert_ok(balloon_resize(t.balloon, 0, &err), &err);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 0, 4);
	assert_int_equal(t.reached, 2);
	assert_int_equal(t.bytes, 0);
	close_tent(&t);
}

/* Inflates one page and reports another; whether they went back. */
static bool one_goes(struct tent *t)
{
	const struct driver_piece numbers = { NUMBERS, 4, false };
	const struct driver_piece page = { PAGES + 4096, 4096, true };
	const uint32_t first = (uint32_t)(PAGES >> 12);
	const uint8_t *at = guest_at(&t->b.memory, PAGES);

	fill_pages(t, 2);
	memcpy(guest_at(&t->b.memory, NUMBERS), &first, sizeof(first));
	driver_add(&t->b.q[0], &numbers, 1);
	bench_kick(&t->b, 0);
	bench_take(&t->b, 0, NULL);
	driver_add(&t->b.q[3], &page, 1);
	bench_kick(&t->b, 3);
	bench_take(&t->b, 3, NULL);
	assert_int_equal(at[0], at[4096]);
	return !at[0];
}

static void nothing_goes_back_while_something_does_dma(void **state)
{
	struct balloon_stats stats;
	struct tent t;
	struct err err;

	(void)state;
	for (unsigned int barred = 0; barred < 3; barred++) {
		open_with(&t, true, 0, barred);
		bench_start(&t.b, bench_layouts[3] | REPORTING | STATS, 4);
		assert_int_equal(one_goes(&t), !barred);
		assert_ok(balloon_bar(t.balloon, "dsa0", &err), &err);
		assert_false(one_goes(&t));
		balloon_read_stats(t.balloon, &stats);
		assert_int_equal(stats.reported, barred ? 0 : 4096);
		assert_int_equal(balloon_check(t.balloon, 4096, &err), -EBUSY);
		assert_int_equal(balloon_resize(t.balloon, 4096, &err), -EBUSY);
		assert_non_null(
			strstr(err.text, "a balloon of 4096 bytes: devices or ADIs do DMA"));
		assert_ok(balloon_resize(t.balloon, 0, &err), &err);
		assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE, 4), 0);
		/* The last of them lets go. */
		for (unsigned int i = 0; i <= barred; i++) {
			assert_false(one_goes(&t));
			balloon_unbar(t.balloon);
		}
		assert_true(one_goes(&t));
		assert_ok(balloon_check(t.balloon, 4096, &err), &err);
		close_tent(&t);
	}
	/* A machine may have none. */
	assert_ok(balloon_bar(NULL, "dsa0", &err), &err);
	balloon_unbar(NULL);
}

/* What it has, and what it shall have: both are in the way of who comes, and the sentence says so.
 */
static void who_does_dma_waits_until_the_balloon_is_empty(void **state)
{
	struct tent t;
	struct err err;

	(void)state;
	open_tent(&t, true);
	bench_start(&t.b, bench_layouts[1] | REPORTING | STATS, 4);
	assert_int_equal(balloon_bar(t.balloon, "dsa0", &err), -EBUSY);
	assert_non_null(strstr(err.text,
			       "dsa0: does DMA to guest memory, of which the balloon has 0 "
			       "bytes and shall have 1048576"));
	assert_true(one_goes(&t));
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 256, 4);
	assert_ok(balloon_resize(t.balloon, 0, &err), &err);
	assert_int_equal(balloon_bar(t.balloon, "dsa0", &err), -EBUSY);
	assert_non_null(strstr(err.text, "has 1048576 bytes and shall have 0"));
	assert_true(one_goes(&t));
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 0, 4);
	assert_ok(balloon_bar(t.balloon, "dsa0", &err), &err);
	assert_false(one_goes(&t));
	/* Who was refused has not barred it. */
	balloon_unbar(t.balloon);
	assert_true(one_goes(&t));
	close_tent(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inflated_pages_go_back),
		cmocka_unit_test(many_runs_of_pages_are_several_turns),
		cmocka_unit_test(reported_pages_go_back_and_parts_of_pages_do_not),
		cmocka_unit_test(statistics_are_asked_for_and_kept),
		cmocka_unit_test(statistics_are_asked_for_after_a_long_pause),
		cmocka_unit_test(the_size_is_told_and_answered),
		cmocka_unit_test(it_is_told_once_that_the_guest_has_got_there),
		cmocka_unit_test(nothing_goes_back_while_something_does_dma),
		cmocka_unit_test(who_does_dma_waits_until_the_balloon_is_empty),
	};

	return cmocka_run_group_tests_name("virtio-balloon", tests, NULL, NULL);
}
