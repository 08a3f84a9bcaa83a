/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of adit bench map. Each adds its rows; 0 or -errno.
 *
 * What the kernel's providers are measured with is shared: memory of some page size, and a contest
 * of ioasid-client with the bare ioctls of one provider.
 */
#ifndef ADIT_BENCH_MAP_H
#define ADIT_BENCH_MAP_H

#include <errno.h>

#include "bench/contest.h"
#include "ioasid-client/ioasid.h"
#include "util/err.h"

int bench_map_kernel(struct bench_run *run, struct err *err);
int bench_map_devices(struct bench_run *run, struct err *err);
int bench_map_pasids(struct bench_run *run, struct err *err);
int bench_map_soft(struct bench_run *run, struct err *err);
int bench_map_share(struct bench_run *run, struct err *err);

double map_now_us(void);

/* --- memory (map-memory.c) ------------------------------------------------------------------- */

struct map_memory {
	const char *pages; /* their size, for people */
	unsigned int page_shift;
	uint64_t size;
	char size_name[24];
	int fd;
	void *at;
};

/* Guest memory, all of it there; -ENOMEM where the host has too little of such pages. At least a
 * page, whatever the size. */
int map_memory_new(struct map_memory *memory, unsigned int page_shift, uint64_t size);
/* The same without its pages: whoever touches it first makes them. */
int map_memory_empty(struct map_memory *memory, unsigned int page_shift, uint64_t size);
void map_memory_free(struct map_memory *memory);
/* Whether that leaves the host as much again. */
bool map_memory_is_there(uint64_t size);
/* The row of populating as much, in such pages; its own is free by then. */
int bench_map_populate(struct bench_run *run, const struct map_memory *like, struct err *err);

/* --- a contest: one provider beside the ioctls that it is made of ---------------------------- */

#define MAP_IOVA (4 * GIB)
#define MAP_SIZE (256 * MIB)

enum map_part {
	MAP_MAP,
	MAP_ATTACH,
	MAP_UNMAP,
	MAP_TEARDOWN, /* of everything, with all mapped and the device attached */
	MAP_PARTS
};

struct map_contest {
	const char *name;
	enum ioasid_provider_id provider;
	bool by_file; /* memory by its descriptor */
	/* What ioasid_bind takes: opened anew for each round. */
	int (*open)(const struct bench_options *options, struct ioasid_source *source,
		    struct err *err);
	/* One round by the bare ioctls, from open to close; us[] are what the parts took. */
	int (*bare)(const struct bench_options *options, const struct map_memory *memory,
		    bool by_file, double us[MAP_PARTS], struct err *err);
};

/* The rows of what adit check predicts of memory in such pages; needs --device. */
int bench_map_budget(const struct map_contest *provider, unsigned int page_shift,
		     struct bench_run *run, struct err *err);

/* Opens and binds it, for a context. */
int map_bind(const struct map_contest *provider, const struct bench_options *options,
	     struct ioasid_ctx *ctx, struct ioasid_device **device, struct err *err);

extern const struct map_contest map_iommufd, map_iommufd_by_file, map_type1;

#endif
