/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source of entropy: buffers of all shapes are filled and nothing beside them is, at most so
 * much of one; what is no ring of it breaks it; it stands resets with requests under way.
 */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "vmm/virtio/rng.h"

#define DATA  BENCH_BUFFERS
#define ROOM  0x10000u
#define TABLE (BENCH_BUFFERS + 0x20000)
#define MOST  4096u /* of one buffer */

static void open_source(struct bench *b, const char *src)
{
	struct virtio_device *device;
	struct err err;

	bench_open(b);
	assert_ok(rng_create(&device, &b->host, src, &err), &err);
	bench_run(b, device);
}

static void clear(struct bench *b)
{
	memset(guest_at(&b->memory, DATA), 0x55, ROOM);
}

/* How many bytes of [from, from + len) are not as clear() left them. */
static unsigned int changed(struct bench *b, uint64_t from, uint32_t len)
{
	const uint8_t *at = guest_at(&b->memory, from);
	unsigned int n = 0;

	for (uint32_t i = 0; i < len; i++)
		n += at[i] != 0x55;
	return n;
}

static uint32_t ask(struct bench *b, const struct driver_piece *pieces, unsigned int n)
{
	uint32_t written;

	driver_add(&b->q[0], pieces, n);
	bench_kick(b, 0);
	bench_take(b, 0, &written);
	return written;
}

static void buffers_are_filled_in_every_layout(void **state)
{
	const struct driver_piece pieces[] = { { DATA + 1, 100, true },
					       { DATA + 0x1000, 1, true },
					       { DATA + 0x2ffe, 899, true } };
	struct bench b;

	(void)state;
	open_source(&b, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		bench_start(&b, bench_layouts[i], 1);
		for (unsigned int n = 0; n < 40; n++) {
			clear(&b);
			assert_int_equal(ask(&b, pieces, 3), 1000);
			/* A byte in 256 is what it was; that so few are other is as good as never.
			 */
			assert_true(changed(&b, DATA + 1, 100) > 50);
			assert_true(changed(&b, DATA + 0x2ffe, 899) > 700);
			assert_int_equal(changed(&b, DATA, ROOM),
					 changed(&b, DATA + 1, 100) +
						 changed(&b, DATA + 0x1000, 1) +
						 changed(&b, DATA + 0x2ffe, 899));
		}
		if (bench_layouts[i] & VIRTIO_FEATURE(FEATURE_INDIRECT)) {
			uint32_t written;

			clear(&b);
			driver_add_indirect(&b.q[0], TABLE, pieces, 3);
			bench_kick(&b, 0);
			bench_take(&b, 0, &written);
			assert_int_equal(written, 1000);
			assert_true(changed(&b, DATA + 0x2ffe, 899) > 700);
		}
	}
	bench_close(&b);
}

/* The guest that wants more asks again; no buffer is too large or too small. */
static void one_buffer_gets_so_much_and_no_more(void **state)
{
	const struct driver_piece large = { DATA, ROOM, true }, none = { DATA, 16, false };
	const struct driver_piece both[] = { { DATA, 16, false }, { DATA + 16, 16, true } };
	struct bench b;

	(void)state;
	open_source(&b, NULL);
	bench_start(&b, bench_layouts[3], 1);
	clear(&b);
	assert_int_equal(ask(&b, &large, 1), MOST);
	assert_true(changed(&b, DATA, MOST) > MOST / 2);
	assert_int_equal(changed(&b, DATA + MOST, ROOM - MOST), 0);
	/* What is for reading is not written to. */
	clear(&b);
	assert_int_equal(ask(&b, &none, 1), 0);
	assert_int_equal(changed(&b, DATA, ROOM), 0);
	assert_int_equal(ask(&b, both, 2), 16);
	assert_int_equal(changed(&b, DATA, 16), 0);
	bench_close(&b);
}

/* All of a full queue, however much that is, over and over: each gets its own bytes. */
static void a_full_queue_is_served_to_the_end(void **state)
{
	struct bench b;

	(void)state;
	open_source(&b, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		bench_start(&b, bench_layouts[i], 1);
		for (unsigned int round = 0; round < 20; round++) {
			clear(&b);
			for (unsigned int n = 0; n < BENCH_QUEUE_SIZE; n++)
				driver_add(&b.q[0],
					   &(struct driver_piece){ DATA + 64 * n, 64, true }, 1);
			bench_kick(&b, 0);
			for (unsigned int n = 0; n < BENCH_QUEUE_SIZE; n++) {
				uint32_t written;

				bench_take(&b, 0, &written);
				assert_int_equal(written, 64);
			}
			for (unsigned int n = 0; n < BENCH_QUEUE_SIZE; n++)
				assert_true(changed(&b, DATA + 64 * n, 64) > 32);
			assert_int_equal(changed(&b, DATA + 64 * BENCH_QUEUE_SIZE, MOST), 0);
		}
	}
	bench_close(&b);
}

static void broken_rings_break_it_and_it_starts_again(void **state)
{
	/* No memory at all, across its end, wrapping. */
	const struct driver_piece bad[] = { { 0, 16, true },
					    { GUEST_BASE + GUEST_BYTES - 8, 16, true },
					    { UINT64_MAX - 7, 16, true } };
	const struct driver_piece good = { DATA, 64, true };
	const struct driver_piece order[] = { { DATA, 16, true }, { DATA + 16, 16, false } };
	struct bench b;

	(void)state;
	open_source(&b, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		for (size_t n = 0; n <= ARRAY_SIZE(bad); n++) {
			bench_start(&b, bench_layouts[i], 1);
			assert_int_equal(ask(&b, &good, 1), 64);
			clear(&b);
			if (n < ARRAY_SIZE(bad))
				driver_add(&b.q[0], &bad[n], 1);
			else
				driver_add(&b.q[0], order, 2);
			driver_add(&b.q[0], &good, 1);
			bench_kick(&b, 0);
			bench_wait(&b, 0);
			assert_int_equal(reg(&b, REG_STATUS, 1) & STATUS_NEEDS_RESET,
					 STATUS_NEEDS_RESET);
			assert_int_equal(driver_take(&b.q[0], NULL), -1);
			assert_int_equal(changed(&b, DATA, ROOM), 0);
		}
	}
	bench_start(&b, BENCH_VERSION_1, 1);
	assert_int_equal(ask(&b, &good, 1), 64);
	bench_close(&b);
}

/* Of the device, and of its queue alone; what was asked before is not filled after. */
static void resets_with_requests_under_way(void **state)
{
	struct bench b;

	(void)state;
	open_source(&b, NULL);
	for (unsigned int i = 0; i < 200; i++) {
		uint64_t features = bench_layouts[i % ARRAY_SIZE(bench_layouts)] | BENCH_RING_RESET;

		bench_start(&b, features, 1);
		for (unsigned int n = 0; n < BENCH_QUEUE_SIZE; n++)
			driver_add(&b.q[0], &(struct driver_piece){ DATA + 1024 * n, 1024, true },
				   1);
		bench_kick(&b, 0);
		if (i & 4)
			bench_queue_reset(&b, 0);
		else
			bench_reset(&b);
		/* TSan would see it, too. */
		clear(&b);
		bench_kick(&b, 0);
		if (i & 4)
			bench_queue(&b, 0, features);
		else
			bench_start(&b, features, 1);
		assert_int_equal(changed(&b, DATA, ROOM), 0);
		assert_int_equal(ask(&b, &(struct driver_piece){ DATA, 64, true }, 1), 64);
		assert_int_equal(changed(&b, DATA + 64, ROOM - 64), 0);
	}
	bench_close(&b);
}

static void it_leaves_under_way(void **state)
{
	struct bench b;

	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		open_source(&b, NULL);
		bench_start(&b, bench_layouts[i % ARRAY_SIZE(bench_layouts)], 1);
		for (unsigned int n = 0; n < BENCH_QUEUE_SIZE; n++)
			driver_add(&b.q[0], &(struct driver_piece){ DATA + 1024 * n, 1024, true },
				   1);
		bench_kick(&b, 0);
		bench_unplug(&b);
		clear(&b);
		assert_int_equal(changed(&b, DATA, ROOM), 0);
		bench_close(&b);
	}
}

static void bytes_come_from_the_device_that_was_named(void **state)
{
	const struct driver_piece piece = { DATA, 100, true };
	struct bench b;
	int pty;

	(void)state;
	open_source(&b, "/dev/zero");
	bench_start(&b, bench_layouts[0], 1);
	clear(&b);
	assert_int_equal(ask(&b, &piece, 1), 100);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(*(uint8_t *)guest_at(&b.memory, DATA + i), 0);
	bench_close(&b);
	/* One that has ended, and one that has nothing yet: no bytes, and nobody waits. */
	open_source(&b, "/dev/null");
	bench_start(&b, bench_layouts[0], 1);
	assert_int_equal(ask(&b, &piece, 1), 0);
	bench_close(&b);
	pty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty < 0 || grantpt(pty) || unlockpt(pty))
		skip_because("no terminal can be had");
	open_source(&b, ptsname(pty));
	bench_start(&b, bench_layouts[0], 1);
	assert_int_equal(ask(&b, &piece, 1), 0);
	assert_int_equal(write(pty, "dice\n", 5), 5);
	while (!ask(&b, &piece, 1))
		;
	assert_memory_equal(guest_at(&b.memory, DATA), "dice", 4);
	bench_close(&b);
	close(pty);
}

static void sources_that_end_or_block_are_refused(void **state)
{
	static const char *const sources[] = { "/etc/passwd", "/tmp", "/nonexistent" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		struct virtio_device *device;
		struct bench b;
		struct err err;

		bench_open(&b);
		assert_int_equal(rng_create(&device, &b.host, sources[i], &err),
				 i < 2 ? -EINVAL : -ENOENT);
		assert_non_null(strstr(err.text, "/rng/src: "));
		assert_non_null(strstr(err.text, sources[i]));
		bench_close(&b);
	}
}

/* What the driver made available and nobody took is served by the one that goes on. */
static void queues_go_on_where_they_stood(void **state)
{
	const struct driver_piece piece = { DATA, 100, true };

	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		struct bench from, to;

		open_source(&from, NULL);
		open_source(&to, NULL);
		bench_start(&from, bench_layouts[i], 1);
		/* Past the ring's end. */
		for (unsigned int n = 0; n < BENCH_QUEUE_SIZE + 5; n++)
			assert_int_equal(ask(&from, &piece, 1), 100);
		virtio_pause(from.device);
		for (unsigned int n = 0; n < 7; n++)
			driver_add(&from.q[0], &piece, 1);
		bench_kick(&from, 0);
		clear(&from);
		bench_go_on(&to, &from);
		for (unsigned int n = 0; n < 7; n++) {
			uint32_t written;

			bench_take(&to, 0, &written);
			assert_int_equal(written, 100);
		}
		assert_in_range(changed(&to, DATA, 100), 50, 100);
		for (unsigned int n = 0; n < BENCH_QUEUE_SIZE + 5; n++)
			assert_int_equal(ask(&to, &piece, 1), 100);
		assert_int_equal(reg(&to, REG_STATUS, 1), 0x0f);
		/* And the one that was saved has lost nothing. */
		virtio_resume(from.device);
		for (unsigned int n = 0; n < 7; n++)
			bench_take(&from, 0, NULL);
		bench_close(&from);
		bench_close(&to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_are_filled_in_every_layout),
		cmocka_unit_test(one_buffer_gets_so_much_and_no_more),
		cmocka_unit_test(a_full_queue_is_served_to_the_end),
		cmocka_unit_test(broken_rings_break_it_and_it_starts_again),
		cmocka_unit_test(resets_with_requests_under_way),
		cmocka_unit_test(it_leaves_under_way),
		cmocka_unit_test(bytes_come_from_the_device_that_was_named),
		cmocka_unit_test(sources_that_end_or_block_are_refused),
		cmocka_unit_test(queues_go_on_where_they_stood),
	};

	return cmocka_run_group_tests_name("virtio-rng", tests, NULL, NULL);
}
