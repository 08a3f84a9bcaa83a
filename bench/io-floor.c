/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of adit bench io: a thread that does what the guest's requests come to and nothing
 * else. Like the guest it takes all that is complete, and submits as many again in one call.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <time.h>

#include "bench/io.h"
#include "util/bits.h"

#define PAGE 4096u

struct floor {
	struct io_uring ring;
	const struct io_row *row;
	uint64_t places, random, done;
	unsigned int in_flight;
	uint8_t *buffers;
	int error;
};

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add(struct floor *floor, uint64_t i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);
	uint8_t *buffer = floor->buffers + i * floor->row->bytes;
	uint64_t at;

	floor->random = floor->random * 6364136223846793005UL + 1442695040888963407UL;
	at = (floor->random >> 33) % floor->places * floor->row->bytes;
	if (floor->row->write)
		io_uring_prep_write(sqe, 0, buffer, floor->row->bytes, at);
	else
		io_uring_prep_read(sqe, 0, buffer, floor->row->bytes, at);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, i);
	floor->in_flight++;
}

static void take(struct floor *floor, bool more)
{
	struct io_uring_cqe *cqe;

	floor->error = io_uring_submit_and_wait(&floor->ring, 1);
	floor->error = MIN(floor->error, 0);
	while (!floor->error && !io_uring_peek_cqe(&floor->ring, &cqe)) {
		uint64_t i = io_uring_cqe_get_data64(cqe);

		if (cqe->res != (int)floor->row->bytes)
			floor->error = cqe->res < 0 ? cqe->res : -EIO;
		io_uring_cqe_seen(&floor->ring, cqe);
		floor->in_flight--;
		floor->done++;
		if (more)
			add(floor, i);
	}
}

static int run(struct floor *floor, double seconds, struct io_result *result)
{
	double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end;

	for (unsigned int i = 0; i < floor->row->depth; i++)
		add(floor, i);
	do {
		take(floor, true);
		end = now(CLOCK_MONOTONIC);
	} while (!floor->error && end - start < seconds);
	while (!floor->error && floor->in_flight)
		take(floor, false);
	end = now(CLOCK_MONOTONIC);
	result->rate = (double)floor->done / (end - start);
	result->cpu_us = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)floor->done;
	return floor->error;
}

int io_floor(int fd, uint64_t size, const struct io_row *row, double seconds,
	     struct io_result *result)
{
	struct floor floor = { .row = row, .places = size / row->bytes, .random = 1 };
	int ret = io_uring_queue_init(row->depth, &floor.ring, 0);

	if (ret)
		return ret;
	floor.buffers = aligned_alloc(PAGE, (size_t)row->bytes * row->depth);
	ret = floor.buffers ? io_uring_register_files(&floor.ring, &fd, 1) : -ENOMEM;
	if (!ret)
		ret = run(&floor, seconds, result);
	/* Waits for what an error left under way. */
	io_uring_queue_exit(&floor.ring);
	free(floor.buffers);
	return ret;
}
