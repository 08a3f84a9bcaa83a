/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench noise: two parties that do the same, so that each ratio is 1 but for what the host
 * does to them. How wide the intervals are is what this host can tell apart in so many rounds; one
 * that does not hold 1 more often than it should is a host on which no figure can be trusted.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/contest.h"
#include "util/bits.h"

#define STEPS	 100000u
#define BYTES	 (4 * MIB)
#define SYSCALLS 2000u
#define WAKES	 100u

enum row {
	ARITHMETIC,
	COPY,
	SYSCALL,
	WAKE,
	ROWS
};

struct noise {
	uint8_t *from, *to;
	int ping, pong; /* eventfds of the thread that answers */
};

/* A chain of multiplications, which no two CPUs' caches or memories have a part in. */
static double arithmetic(void)
{
	uint64_t value = 1;
	double start = now_ns();

	for (unsigned int i = 0; i < STEPS; i++) {
		value = value * 6364136223846793005u + 1442695040888963407u;
		__asm__ volatile("" : "+r"(value));
	}
	return (now_ns() - start) / STEPS;
}

static double copy(const struct noise *noise)
{
	double start = now_ns();

	memcpy(noise->to, noise->from, BYTES);
	__asm__ volatile("" : : : "memory");
	return (double)BYTES / (now_ns() - start);
}

static double system_call(void)
{
	double start = now_ns();

	for (unsigned int i = 0; i < SYSCALLS; i++)
		syscall(SYS_getppid);
	return (now_ns() - start) / SYSCALLS;
}

/* Until ping's end: a value above 1. */
static void *answer(void *arg)
{
	const struct noise *noise = arg;
	uint64_t value;

	while (read(noise->ping, &value, sizeof(value)) == sizeof(value) && value == 1) {
		if (write(noise->pong, &value, sizeof(value)) != sizeof(value))
			break;
	}
	return NULL;
}

static double wake(const struct noise *noise)
{
	double start = now_ns();
	uint64_t value = 1;

	for (unsigned int i = 0; i < WAKES; i++) {
		if (write(noise->ping, &value, sizeof(value)) != sizeof(value) ||
		    read(noise->pong, &value, sizeof(value)) != sizeof(value))
			return 0;
	}
	return (now_ns() - start) / 1e3 / WAKES;
}

static int noise_turn(struct turn *turn, struct err *err)
{
	const struct noise *noise = turn->opaque;

	(void)err;
	turn_put(turn, ARITHMETIC, arithmetic());
	turn_put(turn, COPY, copy(noise));
	turn_put(turn, SYSCALL, system_call());
	turn_state(turn, "waiting for a thread that answers");
	turn_put(turn, WAKE, wake(noise));
	return 0;
}

static int measure(struct noise *noise, struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[ROWS] = {
		[ARITHMETIC] = { .name = "multiplication and addition", .unit = "ns" },
		[COPY] = { .name = "copy of 4 MiB", .unit = "GB/s", .higher = true },
		[SYSCALL] = { .name = "system call", .unit = "ns" },
		[WAKE] = { .name = "to a thread and back", .unit = "us" },
	};
	struct contest contest = {
		.name = "noise",
		.parties = { "one", "the other" },
		.party_count = 2,
		.rows = rows,
		.row_count = ROWS,
		.warm_up = 2,
		.turn = noise_turn,
		.opaque = noise,
	};

	return contest_hold(&contest, run, err);
}

int bench_noise(struct bench_run *run, struct err *err)
{
	struct noise noise = {
		.from = malloc(BYTES),
		.to = malloc(BYTES),
		.ping = eventfd(0, EFD_CLOEXEC),
		.pong = eventfd(0, EFD_CLOEXEC),
	};
	const uint64_t end = 2;
	pthread_t thread;
	int ret;

	if (!noise.from || !noise.to || noise.ping < 0 || noise.pong < 0 ||
	    pthread_create(&thread, NULL, answer, &noise)) {
		ret = err_set(err, ENOMEM, "no memory, descriptor or thread");
		goto out;
	}
	memset(noise.from, 1, BYTES);
	memset(noise.to, 2, BYTES);
	ret = measure(&noise, run, err);
	if (write(noise.ping, &end, sizeof(end)) == sizeof(end))
		pthread_join(thread, NULL);
out:
	free(noise.from);
	free(noise.to);
	if (noise.ping >= 0)
		close(noise.ping);
	if (noise.pong >= 0)
		close(noise.pong);
	return ret;
}
