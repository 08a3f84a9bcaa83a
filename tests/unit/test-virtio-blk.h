/* SPDX-License-Identifier: Apache-2.0 */
/* A block device with its driver: what the tests on files and on devices of the host share. */
#ifndef ADIT_TESTS_UNIT_TEST_VIRTIO_BLK_H
#define ADIT_TESTS_UNIT_TEST_VIRTIO_BLK_H

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "tests/unit/test-virtio-device.h"
#include "vmm/virtio/blk.h"

#define SECTORS 2048u /* of the images */
#define HEADER	BENCH_BUFFERS
#define STATUS	(BENCH_BUFFERS + 0x100)
#define DATA	(BENCH_BUFFERS + 0x1000)

struct disk {
	struct bench b;
	struct blk *blk;
	char path[32];
};

static inline struct blk_options plain(const char *path)
{
	return (struct blk_options){ .id = "disk0",
				     .image = { .path = path },
				     .packed = true,
				     .queues = 2,
				     .queue_size = 64,
				     .serial = "0123456789abcdefghij" };
}

static inline void open_disk(struct disk *d, const struct blk_options *options)
{
	struct err err;

	bench_open(&d->b);
	assert_ok(blk_create(&d->blk, &d->b.host, options, &err), &err);
	bench_run(&d->b, blk_device(d->blk));
}

static inline void start(struct disk *d, uint64_t layout)
{
	bench_start(&d->b, layout | (bench_offered(&d->b) & 0xffffff), 2);
}

/* One request with its data at DATA; returns its status. */
static inline uint8_t request(struct disk *d, unsigned int queue, uint32_t type, uint64_t sector,
			      uint32_t bytes, uint32_t *used)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = { type, 0, sector };
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	const struct driver_piece pieces[] = {
		{ HEADER, 16, false },
		{ DATA, bytes, in },
		{ STATUS, 1, true },
	};
	uint8_t *status = guest_at(&d->b.memory, STATUS);

	memcpy(guest_at(&d->b.memory, HEADER), &header, sizeof(header));
	*status = 0xee;
	if (bytes)
		driver_add(&d->b.q[queue], pieces, 3);
	else
		driver_add(&d->b.q[queue], (struct driver_piece[]){ pieces[0], pieces[2] }, 2);
	bench_kick(&d->b, queue);
	bench_take(&d->b, queue, used);
	return *status;
}

/* A discard or write-zeroes of one segment. */
static inline uint8_t request_range(struct disk *d, uint32_t type, uint64_t sector, uint32_t n,
				    uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes segment = { .sector = sector,
								 .num_sectors = n,
								 .flags = flags };

	memcpy(guest_at(&d->b.memory, DATA), &segment, sizeof(segment));
	return request(d, 0, type, 0, sizeof(segment), NULL);
}

static inline void fill(struct disk *d, uint32_t bytes)
{
	uint8_t *data = guest_at(&d->b.memory, DATA);

	for (uint32_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)rand();
}

static inline void round_trip(struct disk *d, unsigned int queue, uint64_t sector, uint32_t bytes)
{
	uint8_t *data = guest_at(&d->b.memory, DATA), *copy = malloc(bytes);
	uint32_t used;

	fill(d, bytes);
	memcpy(copy, data, bytes);
	assert_int_equal(request(d, queue, VIRTIO_BLK_T_OUT, sector, bytes, &used), 0);
	assert_int_equal(used, 1);
	memset(data, 0, bytes);
	assert_int_equal(request(d, queue, VIRTIO_BLK_T_IN, sector, bytes, &used), 0);
	assert_int_equal(used, bytes + 1);
	assert_memory_equal(data, copy, bytes);
	free(copy);
}

/* Whether so many bytes at DATA are zeros. */
static inline bool are_zeros(struct disk *d, uint32_t bytes)
{
	const uint8_t *data = guest_at(&d->b.memory, DATA);

	for (uint32_t i = 0; i < bytes; i++) {
		if (data[i])
			return false;
	}
	return true;
}

static inline void assert_refused(const struct blk_options *options, int error, const char *word)
{
	struct bench b;
	struct blk *blk;
	struct err err;

	bench_open(&b);
	assert_int_equal(blk_create(&blk, &b.host, options, &err), -error);
	if (!strstr(err.text, word))
		fail_msg("'%s' is not in '%s'", word, err.text);
	bench_close(&b);
}

#endif
