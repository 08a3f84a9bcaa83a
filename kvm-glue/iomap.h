/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who answers at a guest address: the regions of one address space (MMIO or port I/O) that user
 * space emulates. vCPU threads look up without a lock inside an epoch section; whoever changes
 * the map (a BAR move, a hot plug) swaps the whole sorted table under a mutex.
 *
 * Guarantees
 *  - Regions never overlap: the second is refused with -EEXIST.
 *  - iomap_remove and iomap_move may be called inside an epoch section (a guest moves a BAR from a
 *    vCPU thread). A handler that another vCPU entered before may still be running when they
 *    return; who wants to free `opaque` calls epoch_wait first, outside any section.
 *  - Handlers see accesses of 1, 2, 4 or 8 bytes, aligned or not, wholly inside their region:
 *    what straddles a border or has another length is split into bytes; holes read as all ones.
 */
#ifndef ADIT_KVM_GLUE_IOMAP_H
#define ADIT_KVM_GLUE_IOMAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/epoch.h"

/* What a 64-byte store instruction was; see direct-store.h. */
enum store64_kind {
	STORE64_MOVDIR64B,
	STORE64_ENQCMD,
	STORE64_ENQCMDS
};

struct io_ops {
	/* size: 1, 2, 4 or 8; the value's upper bytes are ignored. NULL: reads as all ones. */
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned int size);
	/* NULL: ignored. */
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned int size);
	/*
	 * A 64-byte store to a portal; `data` is a private copy. offset is 64-byte aligned.
	 * Returns 0 when accepted (ENQCMD: ZF = 0), -EAGAIN for retry (ENQCMD: ZF = 1; a
	 * MOVDIR64B is dropped). NULL: the region is no portal.
	 */
	int (*store64)(void *opaque, uint64_t offset, enum store64_kind kind, const void *data);
};

struct io_region {
	uint64_t base; /* guest address or port */
	uint64_t size; /* bytes, > 0; base + size does not wrap */
	const struct io_ops *ops;
	void *opaque;
	const char *name; /* for logs; must outlive the region */
};

struct io_table;

struct iomap {
	struct io_table *table; /* the current one; swapped atomically */
	uint64_t generation;	/* from 1, grows with each change; atomic */
	pthread_mutex_t lock;	/* writers */
	struct epoch *epoch;	/* borrowed */
};

int iomap_init(struct iomap *map, struct epoch *epoch);
/* No reader may be left. */
void iomap_destroy(struct iomap *map);

/* -EEXIST overlap, -EINVAL empty or wrapping, -ENOMEM. The region is copied. */
int iomap_add(struct iomap *map, const struct io_region *region);
/* The region is known by base and opaque. -ENOENT. */
int iomap_remove(struct iomap *map, uint64_t base, const void *opaque);
/* Remove and add in one step that no lookup sees half done. Errors as iomap_add: nothing moved. */
int iomap_move(struct iomap *map, uint64_t base, const void *opaque, uint64_t new_base);

/* Inside an epoch section; the result is valid until its end. NULL: a hole. */
const struct io_region *iomap_find(const struct iomap *map, uint64_t addr);

/*
 * Inside an epoch section. len: 1 to 8. Return false where the access (or a byte of it) met a
 * hole; reads then got ones there, writes were lost there.
 */
bool iomap_read(const struct iomap *map, uint64_t addr, void *data, unsigned int len);
bool iomap_write(const struct iomap *map, uint64_t addr, const void *data, unsigned int len);

/*
 * The last region that a vCPU hit, since guests tend to stay with one. Zero-initialise; one thread
 * at a time. It never serves what iomap_find would not: it is good for one generation. One cache
 * line, with the handlers copied: each page that an exit does not touch is a TLB miss less.
 */
struct iomap_cache {
	uint64_t generation;
	uint64_t base, size;
	void *opaque;
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned int size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned int size);
};

/* As iomap_read and iomap_write, through a cache. */
bool iomap_read_cached(const struct iomap *map, struct iomap_cache *cache, uint64_t addr,
		       void *data, unsigned int len);
bool iomap_write_cached(const struct iomap *map, struct iomap_cache *cache, uint64_t addr,
			const void *data, unsigned int len);

#endif
