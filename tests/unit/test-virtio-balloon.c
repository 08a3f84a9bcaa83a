/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: pages that go back to the host read as zeros, and nothing beside them does. */
#include "tests/unit/test-virtio-device.h"

#include <linux/virtio_balloon.h>
#include <sys/mman.h>

#include "vmm/virtio/balloon.h"

#define PAGES	  (BENCH_BUFFERS + 0x100000)
#define NUMBERS	  BENCH_BUFFERS
#define REPORTING VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING)
#define STATS	  VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ)

struct tent {
	struct bench b;
	struct balloon *balloon;
	uint8_t *heap; /* what the bench had */
};

/* Guest memory as the machine has it: a mapping, shared (memfd) or private. */
static void open_tent(struct tent *t, bool shared)
{
	const struct balloon_options options = {
		.size = 1 << 20, .shared = shared, .reporting = true, .stats_ms = 1
	};
	struct err err;
	int fd = shared ? memfd_create("guest", MFD_CLOEXEC) : -1;
	uint8_t *memory;

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

static void the_size_is_told_and_answered(void **state)
{
	struct balloon_stats stats;
	struct tent t;

	open_tent(&t, false);
	bench_start(&t.b, bench_layouts[1], 2);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE, 4), 256);
	balloon_resize(t.balloon, 8 << 20);
	bench_wait(&t.b, 0);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE, 4), 2048);
	set(&t.b, VIRTIO_BAR_DEVICE + 4, 2000, 4);
	set(&t.b, VIRTIO_BAR_DEVICE, 0, 4);
	balloon_read_stats(t.balloon, &stats);
	assert_int_equal(stats.wanted, 8 << 20);
	assert_int_equal(stats.actual, 2000 * 4096);
	close_tent(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inflated_pages_go_back),
		cmocka_unit_test(reported_pages_go_back_and_parts_of_pages_do_not),
		cmocka_unit_test(statistics_are_asked_for_and_kept),
		cmocka_unit_test(the_size_is_told_and_answered),
	};

	return cmocka_run_group_tests_name("virtio-balloon", tests, NULL, NULL);
}
