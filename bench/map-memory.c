/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that adit bench map maps: a memfd as guest RAM is one; and what it takes to have all
 * of it there, which is the kernel's alone.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/map.h"
#include "util/bits.h"
#include "util/populate.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

double map_now_us(void)
{
	return now_ns() / 1e3;
}

static const char *pages_of(unsigned int page_shift)
{
	return page_shift == 12 ? "4K" : page_shift == 21 ? "2M" : "1G";
}

int map_memory_empty(struct map_memory *memory, unsigned int page_shift, uint64_t size)
{
	unsigned int huge = page_shift > 12 ? MFD_HUGETLB | page_shift << MFD_HUGE_SHIFT : 0;

	*memory = (struct map_memory){
		.pages = pages_of(page_shift),
		.page_shift = page_shift,
		.size = MAX(size, BIT_U64(page_shift)),
		.at = MAP_FAILED,
	};
	snprintf(memory->size_name, sizeof(memory->size_name), "%llu MiB",
		 (unsigned long long)(memory->size / MIB));
	memory->fd = memfd_create("bench-map", MFD_CLOEXEC | huge);
	if (memory->fd >= 0 && !ftruncate(memory->fd, (off_t)memory->size))
		memory->at =
			mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	if (memory->at != MAP_FAILED)
		return 0;
	map_memory_free(memory);
	return -ENOMEM;
}

void map_memory_free(struct map_memory *memory)
{
	if (memory->at != MAP_FAILED)
		munmap(memory->at, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
}

/* By fallocate, by madvise, or by touching each page. */
enum populating {
	BY_MADVISE,
	BY_FALLOCATE,
	BY_TOUCH,
	POPULATING
};

/* us of it; below 0 where there is too little. */
static double populate(const struct map_memory *memory, enum populating how)
{
	double start = map_now_us();
	int r = 0;

	if (how == BY_FALLOCATE)
		r = fallocate(memory->fd, 0, 0, (off_t)memory->size);
	else if (how == BY_MADVISE)
		r = madvise(memory->at, memory->size, MADV_POPULATE_WRITE);
	for (uint64_t at = 0; how == BY_TOUCH && at < memory->size;
	     at += BIT_U64(memory->page_shift))
		((volatile uint8_t *)memory->at)[at] = 1;
	return r ? -1 : map_now_us() - start;
}

int map_memory_new(struct map_memory *memory, unsigned int page_shift, uint64_t size)
{
	int r = map_memory_empty(memory, page_shift, size);

	if (!r && populate(memory, BY_MADVISE) < 0) {
		map_memory_free(memory);
		r = -ENOMEM;
	}
	return r;
}

bool map_memory_is_there(uint64_t size)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (file && !kib && fgets(line, sizeof(line), file))
		(void)sscanf(line, "MemAvailable: %llu kB", &kib);
	if (file)
		fclose(file);
	return kib * KIB >= 2 * size;
}

static int populate_turn(struct turn *turn, struct err *err)
{
	const struct map_memory *wanted = turn->opaque;
	struct map_memory memory;
	double us = -1;

	if (!map_memory_empty(&memory, wanted->page_shift, wanted->size)) {
		us = populate(&memory, turn->party);
		map_memory_free(&memory);
	}
	if (us < 0)
		return err_set(err, ENOMEM, "%llu MiB in pages of %s cannot be had again",
			       (unsigned long long)(memory.size / MIB), memory.pages);
	turn_put(turn, 0, us);
	return 0;
}

int bench_map_populate(struct bench_run *run, const struct map_memory *like, struct err *err)
{
	char name[64];
	const struct contest_row row = { .name = name, .unit = "us" };
	struct contest contest = {
		.name = name,
		.parties = { [BY_MADVISE] = "populate",
			     [BY_FALLOCATE] = "fallocate",
			     [BY_TOUCH] = "first faults" },
		.party_count = POPULATING,
		.rows = &row,
		.row_count = 1,
		.turn = populate_turn,
		.opaque = (void *)like,
	};

	snprintf(name, sizeof(name), "memory, %s in %s pages: populate", like->size_name,
		 like->pages);
	return contest_hold(&contest, run, err);
}
