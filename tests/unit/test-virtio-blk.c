/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device on real files: transfers in every layout, what the specification refuses, and
 * images that shrink, fill up, are locked or are no raw images.
 */
#include "tests/unit/test-virtio-blk.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "vmm/virtio/blk-internal.h"

static const char *make_image(char *path, off_t bytes)
{
	int fd;

	strcpy(path, "/tmp/adit-blk-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
	return path;
}

static void close_disk(struct disk *d)
{
	bench_close(&d->b);
	unlink(d->path);
}

static void what_is_written_is_read_in_every_layout(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	/* Through the page cache and past it, each with memory registered and not. */
	for (int mode = 0; mode < 4; mode++) {
		options.image.direct = mode & 1;
		options.pinned = mode & 2;
		open_disk(&d, &options);
		for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
			start(&d, bench_layouts[i]);
			for (unsigned int n = 0; n < 40; n++)
				round_trip(&d, n & 1, (n * 48) & ~7u, 4096 << (n & 3));
			assert_int_equal(request(&d, 0, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), 0);
		}
		bench_close(&d.b);
	}
	unlink(d.path);
}

/* Direct I/O from a buffer that the host cannot use as it is. */
static void direct_io_takes_any_buffer(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = { VIRTIO_BLK_T_OUT, 0, 8 };
	struct driver_piece pieces[] = { { HEADER, 16, false },
					 { DATA + 3, 1000, false },
					 { DATA + 0x2001, 3096, false },
					 { STATUS, 1, true } };
	uint8_t *a, *b, *status;

	options.image.direct = true;
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	a = guest_at(&d.b.memory, DATA + 3);
	b = guest_at(&d.b.memory, DATA + 0x2001);
	status = guest_at(&d.b.memory, STATUS);
	memset(a, 'a', 1000);
	memset(b, 'b', 3096);
	memcpy(guest_at(&d.b.memory, HEADER), &header, 16);
	*status = 0xee;
	driver_add(&d.b.q[0], pieces, 4);
	bench_kick(&d.b, 0);
	bench_take(&d.b, 0, NULL);
	assert_int_equal(*status, 0);
	memset(a, 0, 1000);
	memset(b, 0, 3096);
	header.type = VIRTIO_BLK_T_IN;
	memcpy(guest_at(&d.b.memory, HEADER), &header, 16);
	pieces[1].write = pieces[2].write = true;
	driver_add(&d.b.q[0], pieces, 4);
	bench_kick(&d.b, 0);
	bench_take(&d.b, 0, NULL);
	assert_int_equal(*status, 0);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(a[i], 'a');
	for (unsigned int i = 0; i < 3096; i++)
		assert_int_equal(b[i], 'b');
	close_disk(&d);
}

/* One indirect buffer: `n` pieces at DATA + 1, of `bytes` each. */
static void add_large(struct disk *d, unsigned int n, uint32_t bytes)
{
	struct driver_piece pieces[18] = { { HEADER, 16, false } };

	assert_true(n + 2 <= ARRAY_SIZE(pieces));
	for (unsigned int i = 0; i < n; i++)
		pieces[1 + i] = (struct driver_piece){ DATA + 1, bytes, true };
	pieces[1 + n] = (struct driver_piece){ STATUS, 1, true };
	assert_true(driver_add_indirect(&d->b.q[0], BENCH_BUFFERS + 0x200, pieces, n + 2) >= 0);
}

/* The rest of the queue waits, and is served to the end. */
static void bounce_buffers_have_a_limit(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, 16 * MIB));
	const unsigned int n = 3 * (unsigned int)(BLK_BOUNCED_MAX / (16 * MIB));
	uint32_t used;

	options.image.direct = true;
	open_disk(&d, &options);
	start(&d, bench_layouts[3]);
	round_trip(&d, 0, 0, 4096);
	bench_stop_loop(&d.b);
	memset(guest_at(&d.b.memory, HEADER), 0, 16);
	for (unsigned int i = 0; i < n; i++)
		add_large(&d, 4, 4 * MIB);
	assert_int_equal(bench_kick_here(&d.b, 0), BLK_BOUNCED_MAX / (16 * MIB));
	bench_run_loop(&d.b);
	bench_kick(&d.b, 0);
	for (unsigned int i = 0; i < n; i++) {
		bench_take(&d.b, 0, &used);
		assert_int_equal(used, 16 * MIB + 1);
	}
	virtio_lock(d.b.device);
	assert_int_equal(d.blk->bounced, 0);
	assert_int_equal(d.blk->in_flight, 0);
	virtio_unlock(d.b.device);
	close_disk(&d);
}

#define FAR	  (4 * GIB) /* more memory of the guest */
#define FAR_BYTES (40 * MIB)

static void open_large_disk(struct disk *d, const struct blk_options *options, uint8_t *memory)
{
	struct err err;

	bench_open(&d->b);
	d->b.memory.table.range[1] = (struct virtio_range){ FAR, FAR_BYTES, memory };
	d->b.memory.table.n = 2;
	assert_ok(blk_create(&d->blk, &d->b.host, options, &err), &err);
	bench_run(&d->b, blk_device(d->blk));
	start(d, bench_layouts[1]);
}

/* The first `bytes` at FAR in `n` pieces; what the ring was asked for, and how the first of it. */
static unsigned int transfer(struct disk *d, uint32_t type, unsigned int n, uint64_t bytes,
			     uint8_t *flags)
{
	const struct io_uring_sq *sq = &d->blk->ring.sq;
	struct driver_piece pieces[18] = { { HEADER, 16, false } };
	uint32_t header[4] = { type };
	bool in = type == VIRTIO_BLK_T_IN;
	unsigned int asked;
	uint32_t used;

	for (unsigned int i = 0; i < n; i++)
		pieces[1 + i] =
			(struct driver_piece){ FAR + bytes / n * i, (uint32_t)(bytes / n), in };
	pieces[1 + n] = (struct driver_piece){ STATUS, 1, true };
	memcpy(guest_at(&d->b.memory, HEADER), header, sizeof(header));
	virtio_lock(d->b.device);
	asked = sq->sqe_tail;
	virtio_unlock(d->b.device);
	assert_true(driver_add_indirect(&d->b.q[0], BENCH_BUFFERS + 0x200, pieces, n + 2) >= 0);
	bench_kick(&d->b, 0);
	bench_take(&d->b, 0, &used);
	assert_int_equal(used, in ? bytes + 1 : 1);
	assert_int_equal(*(uint8_t *)guest_at(&d->b.memory, STATUS), 0);
	virtio_lock(d->b.device);
	*flags = sq->sqes[asked & *sq->kring_mask].flags;
	asked = sq->sqe_tail - asked;
	virtio_unlock(d->b.device);
	return asked;
}

/* They are not the loop's, which has others to serve; a reset waits for no more than a part. */
static void large_copies_are_made_beside_the_loop_part_by_part(void **state)
{
	uint8_t *memory = aligned_alloc(4096, FAR_BYTES), *copy = malloc(FAR_BYTES), flags;
	struct disk d;
	struct blk_options options = plain(make_image(d.path, (off_t)FAR_BYTES));

	assert_true(memory && copy);
	for (uint64_t i = 0; i < FAR_BYTES; i++)
		copy[i] = (uint8_t)(i * 2654435761u >> 16);
	for (int mode = 0; mode < 4; mode++) {
		unsigned int n = mode & 1 ? 8 : 1;

		options.pinned = mode & 2;
		memcpy(memory, copy, FAR_BYTES);
		open_large_disk(&d, &options, memory);
		assert_true(transfer(&d, VIRTIO_BLK_T_OUT, n, FAR_BYTES, &flags) >= 3);
		assert_true(flags & IOSQE_ASYNC);
		memset(memory, 0, FAR_BYTES);
		assert_true(transfer(&d, VIRTIO_BLK_T_IN, n, FAR_BYTES, &flags) >= 3);
		assert_true(flags & IOSQE_ASYNC);
		assert_memory_equal(memory, copy, FAR_BYTES);
		transfer(&d, VIRTIO_BLK_T_IN, n, MIB, &flags);
		assert_false(flags & IOSQE_ASYNC);
		bench_close(&d.b);
	}
	unlink(d.path);
	free(memory);
	free(copy);
}

static void discard_and_write_zeroes_leave_zeros(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	struct virtio_blk_discard_write_zeroes segment = { .sector = 8, .num_sectors = 128 };
	const uint8_t *data;

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	data = guest_at(&d.b.memory, DATA);
	for (int unmap = 0; unmap < 2; unmap++) {
		round_trip(&d, 0, 0, 128 * 1024);
		segment.flags = (uint32_t)unmap;
		memcpy(guest_at(&d.b.memory, DATA), &segment, sizeof(segment));
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(segment),
					 NULL),
				 0);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 8, 65536, NULL), 0);
		for (unsigned int i = 0; i < 65536; i++)
			assert_int_equal(data[i], 0);
	}
	segment.flags = 0;
	memcpy(guest_at(&d.b.memory, DATA), &segment, sizeof(segment));
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_DISCARD, 0, sizeof(segment), NULL), 0);
	/* Unknown flags, flags of the other request, past the end, two segments. */
	segment.flags = 1;
	memcpy(guest_at(&d.b.memory, DATA), &segment, sizeof(segment));
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_DISCARD, 0, sizeof(segment), NULL),
			 VIRTIO_BLK_S_UNSUPP);
	segment.flags = 2;
	memcpy(guest_at(&d.b.memory, DATA), &segment, sizeof(segment));
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(segment), NULL),
			 VIRTIO_BLK_S_UNSUPP);
	segment.flags = 0;
	segment.sector = SECTORS - 8;
	segment.num_sectors = 9;
	memcpy(guest_at(&d.b.memory, DATA), &segment, sizeof(segment));
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(segment), NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_DISCARD, 0, 32, NULL), VIRTIO_BLK_S_IOERR);
	close_disk(&d);
}

/* Wherever the range is, and however zeros come about; the image behind is not written to. */
static void ranges_of_no_sectors_are_done(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	round_trip(&d, 0, 0, 4096);
	for (int written = 0; written < 2; written++) {
		virtio_lock(d.b.device);
		d.blk->no_unmap = d.blk->no_zero_range = written;
		virtio_unlock(d.b.device);
		for (uint32_t unmap = 0; unmap < 2; unmap++)
			assert_int_equal(request_range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, unmap),
					 0);
		assert_int_equal(request_range(&d, VIRTIO_BLK_T_DISCARD, SECTORS, 0, 0), 0);
		assert_int_equal(request_range(&d, VIRTIO_BLK_T_DISCARD, SECTORS + 1, 0, 0),
				 VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 4096, NULL), 0);
	assert_false(are_zeros(&d, 4096));
	assert_int_equal(request_range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 200, 0), 0);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 4096, NULL), 0);
	assert_true(are_zeros(&d, 4096));
	close_disk(&d);
}

static void requests_past_the_end_are_errors(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	assert_int_equal(reg(&d.b, VIRTIO_BAR_DEVICE, 8), SECTORS);
	round_trip(&d, 0, SECTORS - 1, 512);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, SECTORS - 1, 1024, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, SECTORS, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, ~0ULL, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 1ULL << 55, 512, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 511, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, 99, 0, 512, NULL), VIRTIO_BLK_S_UNSUPP);
	close_disk(&d);
}

static void serial_number_is_given(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	uint32_t used;

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_GET_ID, 0, 20, &used), 0);
	assert_int_equal(used, 21);
	assert_memory_equal(guest_at(&d.b.memory, DATA), "0123456789abcdefghij", 20);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_GET_ID, 0, 5, &used), 0);
	close_disk(&d);
}

static void readonly_disk_refuses_writes(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	options.image.readonly = true;
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	assert_true(bench_offered(&d.b) & VIRTIO_FEATURE(VIRTIO_BLK_F_RO));
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 512, NULL), 0);
	close_disk(&d);
}

static void truncated_image_is_an_error_to_the_guest(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	round_trip(&d, 0, 0, 65536);
	assert_int_equal(truncate(d.path, 4096), 0);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 64, 512, NULL), VIRTIO_BLK_S_IOERR);
	/* Half of it is there. */
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 8192, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 4096, NULL), 0);
	close_disk(&d);
}

/* A file size limit stands for a file system without room. */
static void an_image_that_cannot_grow_is_an_error_to_the_guest(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	struct rlimit old, less = { 4096, RLIM_INFINITY };

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	less.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	fill(&d, 512);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, 64, 512, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	round_trip(&d, 0, 64, 512);
	close_disk(&d);
}

static void resized_image_reaches_the_guest(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	struct err err;

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	assert_int_equal(truncate(d.path, SECTORS * 1024), 0);
	assert_ok(blk_resize(d.blk, 0, &err), &err);
	bench_wait(&d.b, 0);
	assert_int_equal(reg(&d.b, VIRTIO_BAR_DEVICE, 8), SECTORS * 2);
	round_trip(&d, 0, SECTORS * 2 - 8, 4096);
	close_disk(&d);
}

static void a_disk_grows_and_never_shrinks(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	struct stat st;
	struct err err;

	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	assert_ok(blk_resize(d.blk, SECTORS * 1024, &err), &err);
	bench_wait(&d.b, 0);
	assert_int_equal(reg(&d.b, VIRTIO_BAR_DEVICE, 8), SECTORS * 2);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_size, SECTORS * 1024);
	round_trip(&d, 0, SECTORS * 2 - 8, 4096);
	assert_int_equal(blk_resize(d.blk, SECTORS * 512, &err), -EINVAL);
	assert_non_null(strstr(err.text, "disk0: 1048576 bytes: it has 2097152"));
	assert_int_equal(blk_resize(d.blk, SECTORS * 1024 + 1, &err), -EINVAL);
	assert_int_equal(blk_resize(d.blk, UINT64_MAX - 511, &err), -EINVAL);
	assert_int_equal(reg(&d.b, VIRTIO_BAR_DEVICE, 8), SECTORS * 2);
	bench_close(&d.b);
	options.image.readonly = true;
	open_disk(&d, &options);
	assert_int_equal(blk_resize(d.blk, SECTORS * 2048, &err), -EROFS);
	close_disk(&d);
}

#define MS 1000000ULL

static void limits_are_kept_by_the_clock(void **state)
{
	const struct bucket bytes = { .size = 1000, .refill_ms = 10 }, none = { 0 };
	const struct bucket ops = { .size = 10, .burst = 5, .refill_ms = 100 };
	struct limiter limiter;

	limiter_init(&limiter, &none, &none, 0);
	limiter_take(&limiter, UINT64_MAX);
	assert_int_equal(limiter_wait(&limiter, 0), 0);
	limiter_init(&limiter, &bytes, &none, 0);
	limiter_take(&limiter, 999);
	assert_int_equal(limiter_wait(&limiter, 0), 0);
	/* One large request passes, and is paid for afterwards. */
	limiter_take(&limiter, 5001);
	assert_in_range(limiter_wait(&limiter, 0), 50 * MS, 51 * MS);
	assert_in_range(limiter_wait(&limiter, 40 * MS), 10 * MS, 11 * MS);
	assert_int_equal(limiter_wait(&limiter, 51 * MS), 0);
	/* What is not used is not saved up. */
	assert_int_equal(limiter_wait(&limiter, 100000 * MS), 0);
	limiter_take(&limiter, 1000);
	assert_int_not_equal(limiter_wait(&limiter, 100000 * MS), 0);
	limiter_init(&limiter, &none, &ops, 0);
	for (unsigned int i = 0; i < 15; i++) {
		assert_int_equal(limiter_wait(&limiter, 0), 0);
		limiter_take(&limiter, 1);
	}
	assert_int_not_equal(limiter_wait(&limiter, 0), 0);
	assert_int_equal(limiter_wait(&limiter, 11 * MS), 0);
}

static void requests_that_wait_for_a_limit_are_all_served(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	options.bytes = (struct bucket){ .size = 65536, .refill_ms = 20 };
	options.ops = (struct bucket){ .size = 1000, .refill_ms = 10 };
	open_disk(&d, &options);
	start(&d, bench_layouts[1]);
	for (unsigned int i = 0; i < 8; i++)
		round_trip(&d, i & 1, 0, 32768);
	close_disk(&d);
}

static void requests_without_room_for_a_status_break_the_device(void **state)
{
	const struct driver_piece bad[][2] = { { { HEADER, 16, false }, { DATA, 512, false } },
					       { { HEADER, 15, false }, { STATUS, 1, true } } };
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));

	open_disk(&d, &options);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start(&d, bench_layouts[i]);
		driver_add(&d.b.q[0], bad[i], 2);
		bench_kick(&d.b, 0);
		bench_wait(&d.b, 0);
		assert_int_equal(reg(&d.b, REG_STATUS, 1) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	}
	start(&d, BENCH_VERSION_1);
	round_trip(&d, 0, 0, 4096);
	close_disk(&d);
}

/* Requests by the hundred, resets in the middle; after each the device works. */
static void resets_with_requests_in_flight(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	const struct driver_piece pieces[] = { { HEADER, 16, false },
					       { DATA, 65536, true },
					       { STATUS, 1, true } };

	open_disk(&d, &options);
	for (unsigned int i = 0; i < 60; i++) {
		start(&d, bench_layouts[i % ARRAY_SIZE(bench_layouts)]);
		memset(guest_at(&d.b.memory, HEADER), 0, 16);
		for (unsigned int n = 0; n < 20; n++)
			driver_add(&d.b.q[n & 1], pieces, 3);
		bench_kick(&d.b, 0);
		bench_kick(&d.b, 1);
	}
	start(&d, BENCH_VERSION_1);
	round_trip(&d, 0, 0, 4096);
	close_disk(&d);
}

/* The same of one queue, while the other is served. */
static void queue_resets_with_requests_in_flight(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	const struct driver_piece pieces[] = { { HEADER, 16, false },
					       { DATA, 65536, true },
					       { STATUS, 1, true } };

	open_disk(&d, &options);
	for (unsigned int i = 0; i < 80; i++) {
		uint64_t features = bench_layouts[i % ARRAY_SIZE(bench_layouts)] | BENCH_RING_RESET;

		if (i % 4 == 0)
			start(&d, features);
		features = d.b.device->accepted;
		memset(guest_at(&d.b.memory, HEADER), 0, 16);
		for (unsigned int n = 0; n < 10; n++)
			driver_add(&d.b.q[0], pieces, 3);
		driver_add(&d.b.q[1], pieces, 3);
		bench_kick(&d.b, 0);
		bench_kick(&d.b, 1);
		bench_queue_reset(&d.b, 0);
		bench_take(&d.b, 1, NULL);
		bench_queue(&d.b, 0, features);
		round_trip(&d, 0, 8 * i, 4096);
	}
	close_disk(&d);
}

/* After it is gone nothing of it touches memory or the image, which another may open. */
static void a_disk_leaves_with_requests_in_flight(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	const struct driver_piece pieces[] = { { HEADER, 16, false },
					       { DATA, 65536, true },
					       { STATUS, 1, true } };

	for (unsigned int i = 0; i < 30; i++) {
		open_disk(&d, &options);
		start(&d, bench_layouts[i % ARRAY_SIZE(bench_layouts)]);
		memset(guest_at(&d.b.memory, HEADER), 0, 16);
		for (unsigned int n = 0; n < 20; n++)
			driver_add(&d.b.q[n & 1], pieces, 3);
		bench_kick(&d.b, 0);
		bench_kick(&d.b, 1);
		bench_unplug(&d.b);
		/* TSan and valgrind would see a write that is still under way. */
		memset(guest_at(&d.b.memory, DATA), 0x77, 65536);
		bench_close(&d.b);
	}
	unlink(d.path);
}

static void a_full_queue_is_served_to_the_end(void **state)
{
	struct disk d;
	const struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	const struct driver_piece pieces[] = { { HEADER, 16, false },
					       { DATA, 512, true },
					       { STATUS, 1, true } };

	open_disk(&d, &options);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		unsigned int sent = 0;

		start(&d, bench_layouts[i]);
		memset(guest_at(&d.b.memory, HEADER), 0, 16);
		for (unsigned int taken = 0; taken < 2000; taken++) {
			while (sent < 2000 && driver_add(&d.b.q[0], pieces, 3) >= 0)
				sent++;
			bench_kick(&d.b, 0);
			bench_take(&d.b, 0, NULL);
		}
	}
	close_disk(&d);
}

static void images_that_are_not_raw_are_refused_with_the_command(void **state)
{
	struct disk d;
	struct blk_options options = plain(make_image(d.path, SECTORS * 512));
	int fd = open(d.path, O_WRONLY);

	assert_int_equal(pwrite(fd, "QFI\xfb\0\0\0\3", 8, 0), 8);
	close(fd);
	assert_refused(&options, EINVAL, "qemu-img convert -O raw");
	options.image.raw = true;
	open_disk(&d, &options);
	close_disk(&d);
}

static void images_that_cannot_be_used_are_refused(void **state)
{
	struct disk d;
	struct blk_options options = plain("/nonexistent/image");

	assert_refused(&options, ENOENT, "/nonexistent/image");
	options.image.path = "/tmp";
	options.image.readonly = true;
	assert_refused(&options, EINVAL, "file or a block device");
	options = plain(make_image(d.path, 100));
	assert_refused(&options, EINVAL, "truncate");
	assert_int_equal(truncate(d.path, 4096), 0);
	open_disk(&d, &options);
	assert_refused(&options, EBUSY, "in use");
	close_disk(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_in_every_layout),
		cmocka_unit_test(direct_io_takes_any_buffer),
		cmocka_unit_test(bounce_buffers_have_a_limit),
		cmocka_unit_test(large_copies_are_made_beside_the_loop_part_by_part),
		cmocka_unit_test(discard_and_write_zeroes_leave_zeros),
		cmocka_unit_test(ranges_of_no_sectors_are_done),
		cmocka_unit_test(requests_past_the_end_are_errors),
		cmocka_unit_test(serial_number_is_given),
		cmocka_unit_test(readonly_disk_refuses_writes),
		cmocka_unit_test(truncated_image_is_an_error_to_the_guest),
		cmocka_unit_test(an_image_that_cannot_grow_is_an_error_to_the_guest),
		cmocka_unit_test(resized_image_reaches_the_guest),
		cmocka_unit_test(a_disk_grows_and_never_shrinks),
		cmocka_unit_test(limits_are_kept_by_the_clock),
		cmocka_unit_test(requests_that_wait_for_a_limit_are_all_served),
		cmocka_unit_test(requests_without_room_for_a_status_break_the_device),
		cmocka_unit_test(resets_with_requests_in_flight),
		cmocka_unit_test(queue_resets_with_requests_in_flight),
		cmocka_unit_test(a_disk_leaves_with_requests_in_flight),
		cmocka_unit_test(a_full_queue_is_served_to_the_end),
		cmocka_unit_test(images_that_are_not_raw_are_refused_with_the_command),
		cmocka_unit_test(images_that_cannot_be_used_are_refused),
	};

	return cmocka_run_group_tests_name("virtio-blk", tests, NULL, NULL);
}
