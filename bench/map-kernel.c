/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of adit bench map that need a device: map, attach and unmap of 256 MiB through
 * ioasid-client and by the bare ioctls, interleaved, in pages of 4 KiB and, where the host has some
 * reserved, 2 MiB and 1 GiB. Each round binds the device anew, for each contestant.
 *
 * Pages are pinned while a page table holds them: by map into a space that the device is attached
 * to, and by attach to a space in which they are mapped. Both are measured so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/map.h"
#include "util/bits.h"

static int bind_device(const struct map_contest *contest, const struct bench_options *options,
		       struct ioasid_ctx *ctx, struct ioasid_device **device, struct err *err)
{
	struct ioasid_source source;
	int r = contest->open(options, &source, err);

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
	return r;
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
	int r = ioasid_ctx_open(&ctx, contest->provider, NULL, err);

	if (r)
		return r;
	r = bind_device(contest, options, ctx, &device, err);
	if (!r)
		r = ioasid_alloc(ctx, &wanted, &space, err);
	if (!r)
		r = ioasid_attach(device, space, err);
	if (!r)
		r = time_parts(device, space, &mapping, us, err);
	ioasid_ctx_close(ctx);
	return r;
}

static void report(struct results *results, const struct map_contest *contest,
		   const struct map_memory *memory, struct samples (*samples)[MAP_PARTS])
{
	static const char *const parts[MAP_PARTS] = { "map", "attach", "unmap" };
	char name[64];
	const struct result row = {
		.name = name,
		.unit = "us",
		.reference_name = "bare ioctls",
		.target = 1.02,
	};

	for (int part = 0; part < MAP_PARTS; part++) {
		snprintf(name, sizeof(name), "%s, %s pages: %s", contest->name, memory->pages,
			 parts[part]);
		results_add(results, &row, &samples[0][part], &samples[1][part]);
	}
}

static int measure(const struct map_contest *contest, const struct bench_options *options,
		   struct results *results, const struct map_memory *memory, struct err *err)
{
	/* Ours, and the bare ones. */
	struct samples(*samples)[MAP_PARTS] = calloc(2, sizeof(*samples));
	int r = samples ? 0 : err_set(err, ENOMEM, "no memory for samples");

	for (unsigned int i = 0; !r && i < 2 * options->rounds; i++) {
		/* Ours bare, bare ours: each is first as often. */
		bool bare = (i + i / 2) % 2;
		double us[MAP_PARTS];

		r = bare ? contest->bare(options, memory, contest->by_file, us, err)
			 : our_round(contest, options, memory, us, err);
		for (int part = 0; !r && part < MAP_PARTS; part++)
			samples_add(&samples[bare][part], us[part]);
	}
	if (!r)
		report(results, contest, memory, samples);
	free(samples);
	return r;
}

static int measure_all(const struct bench_options *options, struct results *results,
		       const struct map_memory *memory, struct err *err)
{
	int r = 0;

	if (options->cdev)
		r = measure(&map_iommufd, options, results, memory, err);
	if (!r && options->cdev)
		r = measure(&map_iommufd_by_file, options, results, memory, err);
	if (!r && options->group)
		r = measure(&map_type1, options, results, memory, err);
	return r;
}

int bench_map_kernel(const struct bench_options *options, struct results *results, struct err *err)
{
	static const unsigned int shifts[] = { 12, 21, 30 };
	int r = 0;

	if (!options->cdev)
		results_note(results,
			     "iommufd: not measured without --cdev /dev/vfio/devices/vfioN");
	if (!options->group)
		results_note(results,
			     "type1: not measured without --group /dev/vfio/N --device BDF");
	for (size_t i = 0; !r && i < ARRAY_SIZE(shifts); i++) {
		struct map_memory memory;

		if (map_memory_new(&memory, shifts[i])) {
			results_note(results, "pages of %s: this host has too few free",
				     memory.pages);
			continue;
		}
		r = measure_all(options, results, &memory, err);
		/* Freed first: there may be no more huge pages than these. */
		map_memory_free(&memory);
		if (!r)
			r = bench_map_populate(options, results, shifts[i], err);
	}
	return r;
}
