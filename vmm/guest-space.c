/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest-space.h"

#include <errno.h>
#include <time.h>

#include "ioasid-client/ioasid.h"
#include "util/bits.h"
#include "vmm/hot-ram.h"
#include "vmm/layout.h"
#include "vmm/ram.h"

/* A guest of more than a slice hears of the first, and then of one every so often. */
#define SLICE (16 * GIB)
#define PAUSE 2 /* seconds */

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

struct progress {
	const struct log *log;
	uint64_t done, all;
	time_t said; /* 0: nothing yet */
};

static void advance(struct progress *progress, uint64_t size)
{
	progress->done += size;
	if (progress->done == progress->all || (progress->said && now() < progress->said + PAUSE))
		return;
	progress->said = now();
	log_line(progress->log, LOG_INFO, "vfio",
		 "guest memory is being pinned for its devices: %llu of %llu GiB",
		 (unsigned long long)(progress->done / GIB),
		 (unsigned long long)(progress->all / GIB));
}

static int map_piece(struct ioasid_space *space, const struct ram *ram, const struct layout_ram *r,
		     const bool *stop, struct progress *progress, struct err *err)
{
	int ret = 0;

	for (uint64_t at = 0; !ret && at < r->size; at += SLICE) {
		const struct ioasid_mapping slice = {
			.iova = r->gpa + at,
			.size = MIN(r->size - at, SLICE),
			.hva = (char *)ram->base + r->offset + at,
			.rights = IOASID_READ | IOASID_WRITE,
			.fd = ram->fd,
			.fd_offset = r->offset + at,
		};

		if (stop && __atomic_load_n(stop, __ATOMIC_SEQ_CST))
			return err_set(err, ECANCELED, "the VM ended before its memory was pinned");
		ret = ioasid_map(space, &slice, err);
		if (!ret)
			advance(progress, slice.size);
	}
	return ret;
}

int guest_space_map(struct ioasid_space *space, const struct ram *ram, const struct layout *layout,
		    const bool *stop, const struct log *log, struct err *err)
{
	struct progress progress = { .log = log, .all = ram->size };
	int ret = 0;

	for (unsigned int i = 0; !ret && i < layout->n_ram; i++)
		ret = map_piece(space, ram, &layout->ram[i], stop, &progress, err);
	return ret;
}

static int add_block(void *arg, const struct hot_ram_block *block, struct err *err)
{
	const struct ioasid_mapping mapping = {
		.iova = block->gpa,
		.size = block->size,
		.hva = block->hva,
		.rights = IOASID_READ | IOASID_WRITE,
		.fd = block->fd,
		.fd_offset = block->fd_offset,
	};

	return ioasid_map(arg, &mapping, err);
}

static int remove_block(void *arg, const struct hot_ram_block *block, struct err *err)
{
	return ioasid_unmap(arg, block->gpa, block->size, err);
}

int guest_space_follow(struct ioasid_space *space, struct hot_ram *hot, const char *who,
		       struct err *err)
{
	const struct hot_ram_user user = {
		.name = who, .dma = true, .add = add_block, .remove = remove_block, .arg = space
	};

	return hot_ram_join(hot, &user, err);
}
