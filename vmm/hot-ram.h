/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a guest gets and gives back while it runs: a region of guest-physical space in blocks
 * of one size, each plugged or not. What asks for blocks is a device (vmm/virtio/mem.h); this is
 * the host's side of it.
 *
 * Guarantees
 *  - A block is in every I/O space before the guest can reach it, and out of the guest's reach
 *    before it leaves the first of them.
 *  - A call that fails changes nothing: what was done for some blocks or some users is undone.
 *  - What the guest has not plugged costs the host nothing and is not found by any lookup.
 *  - While something does DMA into it, nothing is unplugged: pinned pages do not come free, and a
 *    device would go on using pages that the guest does not see any more.
 */
#ifndef ADIT_VMM_HOT_RAM_H
#define ADIT_VMM_HOT_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"

#define HOT_RAM_BLOCKS_MAX 512u
#define HOT_RAM_BLOCK_MIN  (2ULL << 20)

struct hot_ram;
struct vm;

struct hot_ram_options {
	uint64_t gpa, size;	/* whole blocks */
	uint64_t block_size;	/* see hot_ram_block_size */
	uint64_t hugepage_size; /* 0: none; else at most block_size */
	bool shared, prefault;	/* as for ram_create; a block is prefaulted when it is plugged */
	const struct log *log;	/* borrowed; may be NULL */
};

struct hot_ram_block {
	uint64_t gpa, size;
	void *hva; /* stays mapped until hot_ram_destroy */
	int fd;	   /* -1 where not shared */
	uint64_t fd_offset;
};

/* Whoever has to know of each block: an I/O space, a kernel's table, KVM. */
struct hot_ram_user {
	const char *name; /* for messages; borrowed */
	bool dma;	  /* devices reach blocks through it: none is unplugged while it is there */
	bool guest;	  /* it is the guest's own way to the block: last in, first out */
	int (*add)(void *arg, const struct hot_ram_block *block, struct err *err);
	int (*remove)(void *arg, const struct hot_ram_block *block, struct err *err);
	void *arg; /* tells users from each other */
};

enum hot_ram_state {
	HOT_RAM_UNPLUGGED,
	HOT_RAM_PLUGGED,
	HOT_RAM_MIXED,
};

/* The size of a block: the smallest that makes few enough of them. -EINVAL: not whole ones. */
int hot_ram_block_size(uint64_t size, uint64_t hugepage_size, uint64_t *block_size,
		       struct err *err);

int hot_ram_create(struct hot_ram **out, const struct hot_ram_options *options, struct err *err);
/* Users are gone, or do not care. NULL is allowed. */
void hot_ram_destroy(struct hot_ram *hot);

/* --- any thread; user->add and ->remove are called with the region locked --------------------- */

/* What is plugged already is added to it now. On failure it has not joined. NULL: nothing to do. */
int hot_ram_join(struct hot_ram *hot, const struct hot_ram_user *user, struct err *err);
/* From here on it is told nothing; what it has stays as it is. */
void hot_ram_leave(struct hot_ram *hot, const void *arg);
/* The guest reaches blocks by slots of KVM, one each. */
int hot_ram_show(struct hot_ram *hot, struct vm *vm, struct err *err);

/* Blocks first to first + n - 1, n > 0. -ERANGE: outside. -EEXIST: one is plugged already. */
int hot_ram_plug(struct hot_ram *hot, unsigned int first, unsigned int n, struct err *err);
/* Their pages go back to the host. -ERANGE; -ENOENT: one is not plugged; -EBUSY: DMA. */
int hot_ram_unplug(struct hot_ram *hot, unsigned int first, unsigned int n, struct err *err);
/* All that is plugged. -EBUSY: nothing is; else what could not be stays, and the rest is gone. */
int hot_ram_unplug_all(struct hot_ram *hot, struct err *err);

/* --- any thread, without a lock: what these say can be otherwise a moment later --------------- */

/* Of blocks that are inside. */
enum hot_ram_state hot_ram_state(const struct hot_ram *hot, unsigned int first, unsigned int n);
/* Why nothing can be unplugged: a user's name, or NULL. */
const char *hot_ram_pinned_by(const struct hot_ram *hot);
uint64_t hot_ram_plugged(const struct hot_ram *hot); /* bytes */
/* Where the region is mapped, plugged or not. */
uint8_t *hot_ram_base(const struct hot_ram *hot);
const struct hot_ram_options *hot_ram_options(const struct hot_ram *hot);

/*
 * Host address of [gpa, gpa + len), len > 0, where it lies in plugged blocks alone; else NULL. A
 * pointer got before an unplug can still be used after, and then reaches pages that belong to
 * nobody and go back to the host when the next block is plugged.
 */
uint8_t *hot_ram_at(const struct hot_ram *hot, uint64_t gpa, uint64_t len);

#endif
