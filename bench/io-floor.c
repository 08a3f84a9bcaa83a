/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of adit bench io: a thread that does what the guest's requests come to and nothing
 * else. Like the guest it takes all that is complete, and submits as many again in one call.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "bench/clock.h"
#include "bench/io.h"
#include "util/bits.h"

#define PAGE 4096u

struct floor {
	struct io_uring ring;
	const struct job *job;
	uint64_t places, place, random, done;
	unsigned int in_flight;
	uint8_t *buffers;
	int error;
};

static void add(struct floor *floor, uint64_t i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);
	const struct job *job = floor->job;
	uint8_t *buffer = floor->buffers + i * job->bs;
	bool write;

	floor->random = floor->random * 6364136223846793005UL + 1442695040888963407UL;
	write = (floor->random >> 40) % 100 < io_writes(job);
	if (job->random)
		floor->place = (floor->random >> 33) % floor->places;
	if (write)
		io_uring_prep_write(sqe, 0, buffer, (unsigned int)job->bs, floor->place * job->bs);
	else
		io_uring_prep_read(sqe, 0, buffer, (unsigned int)job->bs, floor->place * job->bs);
	floor->place = floor->place + 1 < floor->places ? floor->place + 1 : 0;
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

		if (cqe->res != (int)floor->job->bs)
			floor->error = cqe->res < 0 ? cqe->res : -EIO;
		io_uring_cqe_seen(&floor->ring, cqe);
		floor->in_flight--;
		floor->done++;
		if (more)
			add(floor, i);
	}
}

static int run(struct floor *floor, struct io_result *result)
{
	double start = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), end;

	for (unsigned int i = 0; i < floor->job->iodepth; i++)
		add(floor, i);
	do {
		take(floor, true);
		end = clock_ns(CLOCK_MONOTONIC);
	} while (!floor->error && (end - start) / 1e9 < floor->job->runtime);
	while (!floor->error && floor->in_flight)
		take(floor, false);
	end = clock_ns(CLOCK_MONOTONIC);
	result->rate = (double)floor->done / (end - start) * 1e9;
	result->cpu_us = (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3 / (double)floor->done;
	return floor->error;
}

int io_floor(int fd, const struct job *job, struct io_result *result)
{
	struct floor floor = { .job = job, .places = job->size / job->bs, .random = 1 };
	int ret = io_uring_queue_init(job->iodepth, &floor.ring, 0);

	if (ret)
		return ret;
	floor.buffers = aligned_alloc(PAGE, align_up(job->bs * job->iodepth, PAGE));
	ret = floor.buffers ? io_uring_register_files(&floor.ring, &fd, 1) : -ENOMEM;
	if (!ret)
		ret = run(&floor, result);
	/* Waits for what an error left under way. */
	io_uring_queue_exit(&floor.ring);
	free(floor.buffers);
	return ret;
}
