/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of adit bench map that need a device: map, attach and unmap of memory of several sizes
 * through ioasid-client and by the bare ioctls, in pages of 4 KiB and, where the host has some
 * reserved, 2 MiB and 1 GiB. Each round binds the device anew, for each party.
 *
 * Pages are pinned while a page table holds them: by map into a space that the device is attached
 * to, and by attach to a space in which they are mapped. Both are measured so.
 */
#include <stdio.h>
#include <unistd.h>

#include "bench/map.h"
#include "bench/results.h"
#include "util/bits.h"

int map_bind(const struct map_contest *provider, const struct bench_options *options,
	     struct ioasid_ctx *ctx, struct ioasid_device **device, struct err *err)
{
	struct ioasid_source source;
	int r = provider->open(options, &source, err);

	if (r)
		return r;
	r = ioasid_bind(ctx, &source, "device", device, err);
	if (r)
		close(source.type == IOASID_SOURCE_CDEV ? source.cdev.fd : source.group.fd);
	return r;
}

static int time_parts(struct ioasid_device *device, struct ioasid_space *space,
		      const struct ioasid_mapping *mapping, double us[MAP_PARTS], struct err *err)
{
	double start = map_now_us();
	int r = ioasid_map(space, mapping, err);

	us[MAP_MAP] = map_now_us() - start;
	if (!r)
		r = ioasid_detach(device, err);
	if (r)
		return r;
	start = map_now_us();
	r = ioasid_attach(device, space, err);
	us[MAP_ATTACH] = map_now_us() - start;
	if (r)
		return r;
	start = map_now_us();
	r = ioasid_unmap(space, mapping->iova, mapping->size, err);
	us[MAP_UNMAP] = map_now_us() - start;
	/* For the teardown. */
	return r ? r : ioasid_map(space, mapping, err);
}

static int our_round(const struct map_contest *contest, const struct bench_options *options,
		     const struct map_memory *memory, double us[MAP_PARTS], struct err *err)
{
	const struct ioasid_mapping mapping = {
		.iova = MAP_IOVA,
		.size = memory->size,
		.hva = memory->at,
		.rights = IOASID_READ | IOASID_WRITE,
		.fd = contest->by_file ? memory->fd : IOASID_NO_FD,
	};
	const struct ioasid_space_options wanted = { .name = "bench" };
	struct ioasid_device *device = NULL;
	struct ioasid_space *space = NULL;
	struct ioasid_ctx *ctx;
	double start;
	int r = ioasid_ctx_open(&ctx, contest->provider, NULL, err);

	if (r)
		return r;
	r = map_bind(contest, options, ctx, &device, err);
	if (!r)
		r = ioasid_alloc(ctx, &wanted, &space, err);
	if (!r)
		r = ioasid_attach(device, space, err);
	if (!r)
		r = time_parts(device, space, &mapping, us, err);
	start = map_now_us();
	ioasid_ctx_close(ctx);
	us[MAP_TEARDOWN] = map_now_us() - start;
	return r;
}

struct kernel_bench {
	const struct bench_options *options;
	const struct map_contest *provider;
	const struct map_memory *memory;
};

static int map_turn(struct turn *turn, struct err *err)
{
	const struct kernel_bench *b = turn->opaque;
	const struct map_contest *provider = b->provider;
	double us[MAP_PARTS];
	int r = turn->party ? provider->bare(b->options, b->memory, provider->by_file, us, err)
			    : our_round(provider, b->options, b->memory, us, err);

	for (unsigned int part = 0; !r && part < MAP_PARTS; part++)
		turn_put(turn, part, us[part]);
	return r;
}

static int measure(const struct map_contest *provider, struct bench_run *run,
		   const struct map_memory *memory, struct err *err)
{
	static const char *const parts[MAP_PARTS] = { "map", "attach", "unmap", "teardown" };
	struct kernel_bench b = { run->options, provider, memory };
	struct contest_row rows[MAP_PARTS];
	char names[MAP_PARTS][64];
	struct contest contest = {
		.name = provider->name,
		.parties = { "adit", "bare ioctls" },
		.party_count = 2,
		.rows = rows,
		.row_count = MAP_PARTS,
		.turn = map_turn,
		.opaque = &b,
	};

	for (int part = 0; part < MAP_PARTS; part++) {
		snprintf(names[part], sizeof(names[part]), "%s, %s in %s pages: %s", provider->name,
			 memory->size_name, memory->pages, parts[part]);
		rows[part] = (struct contest_row){
			.name = names[part],
			.unit = "us",
			.target = 1.02,
		};
	}
	return contest_hold(&contest, run, err);
}

static int measure_all(struct bench_run *run, const struct map_memory *memory, struct err *err)
{
	int r = 0;

	if (run->options->cdev)
		r = measure(&map_iommufd, run, memory, err);
	if (!r && run->options->cdev)
		r = measure(&map_iommufd_by_file, run, memory, err);
	if (!r && run->options->group)
		r = measure(&map_type1, run, memory, err);
	return r;
}

static int measure_budget(struct bench_run *run, unsigned int shift, struct err *err)
{
	int r = 0;

	if (run->options->cdev)
		r = bench_map_budget(&map_iommufd, shift, run, err);
	if (!r && run->options->group)
		r = bench_map_budget(&map_type1, shift, run, err);
	return r;
}

static int measure_size(struct bench_run *run, unsigned int shift, uint64_t size, uint64_t *last,
			struct err *err)
{
	bool there = size <= MAP_SIZE || shift > 12 || map_memory_is_there(size);
	struct map_memory memory;
	bool again;
	int r;

	if (!there) {
		results_note(run->results, "%llu MiB in pages of 4K: this host has too few free",
			     (unsigned long long)(size / MIB));
		return 0;
	}
	r = map_memory_new(&memory, shift, size);
	/* At least a page: of a gigabyte all sizes are one. */
	again = memory.size == *last;
	*last = memory.size;
	if (r) {
		if (!again)
			results_note(run->results, "%s in pages of %s: this host has too few free",
				     memory.size_name, memory.pages);
		return 0;
	}
	if (!again)
		r = measure_all(run, &memory, err);
	/* Freed first: there may be no more huge pages than these. */
	map_memory_free(&memory);
	return r || again ? r : bench_map_populate(run, &memory, err);
}

/* By size, to see what grows with it and what is there anyway. */
static int measure_pages(struct bench_run *run, unsigned int shift, struct err *err)
{
	static const uint64_t sizes[] = { 16 * MIB, MAP_SIZE, GIB };
	size_t count = run->options->brief ? ARRAY_SIZE(sizes) - 1 : ARRAY_SIZE(sizes);
	uint64_t last = 0;
	int r = 0;

	for (size_t i = 0; !r && i < count; i++)
		r = measure_size(run, shift, sizes[i], &last, err);
	return r;
}

int bench_map_kernel(struct bench_run *run, struct err *err)
{
	static const unsigned int shifts[] = { 12, 21, 30 };
	int r = 0;

	if (!run->options->cdev)
		results_note(run->results,
			     "iommufd: not measured without --cdev /dev/vfio/devices/vfioN");
	if (!run->options->group)
		results_note(run->results,
			     "type1: not measured without --group /dev/vfio/N --device BDF");
	for (size_t i = 0; !r && i < ARRAY_SIZE(shifts); i++)
		r = measure_pages(run, shifts[i], err);
	if (!run->options->device)
		results_note(run->results, "budget: not measured without --device BDF");
	/* In pages of a gigabyte it is the same work as one of 2 MiB, five hundred times. */
	for (size_t i = 0; !r && run->options->device && shifts[i] < 30; i++)
		r = measure_budget(run, shifts[i], err);
	return r;
}
