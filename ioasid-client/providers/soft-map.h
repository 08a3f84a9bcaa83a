/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of an I/O address space are mapped to what: a radix tree over 52-bit page numbers,
 * 64 slots a node, as high as its largest page number needs. A mapping of one page is the slot
 * itself; a larger one is an object that slots at any level point to, so it costs at most two
 * partly used nodes a level however large it is. Pages that are mapped one by one to memory that
 * goes on as they do share a run, 64 pages in one object, until one comes that does not fit.
 *
 * Guarantees
 *  - soft_map_find takes no lock; it runs beside one writer, inside an epoch section.
 *  - No empty node stays linked.
 *  - What erase and a failed insert unlink goes to the garbage; the writer reaps it after a wait
 *    for open sections.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_SOFT_MAP_H
#define ADIT_IOASID_CLIENT_PROVIDERS_SOFT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ioasid_garbage;
struct soft_node;

#define SOFT_SLOT_BITS 6u
#define SOFT_SLOTS     (1u << SOFT_SLOT_BITS)

/*
 * What a slot holds, by its low bits: a node; a struct soft_mapping + SOFT_MAPPING; in the lowest
 * nodes a page's host address + its rights << SOFT_RIGHTS_SHIFT + SOFT_PAGE; or in place of such a
 * node a struct soft_run + SOFT_RUN.
 */
#define SOFT_MAPPING	  1u
#define SOFT_PAGE	  2u
#define SOFT_RUN	  3u
#define SOFT_TAGS	  3u
#define SOFT_RIGHTS_SHIFT 2
#define SOFT_ATTRIBUTES	  0xfffu
#define SOFT_PAGE_SIZE	  ((uint64_t)SOFT_ATTRIBUTES + 1)

/* A mapping as its readers see it. */
struct soft_extent {
	uint64_t first, last; /* page numbers, inclusive */
	char *hva;
	unsigned int rights;
};

/* What mappings and runs begin with; in the garbage it links them. */
struct soft_object {
	struct soft_object *next;
};

struct soft_mapping {
	struct soft_object object;
	struct soft_extent extent;
};

/* Page i, where its bit is set, is mapped as by the slot first + i * 4096. */
struct soft_run {
	struct soft_object object;
	uint64_t present; /* atomic; never 0 while linked and nobody writes */
	char *first;	  /* never changed */
};

/*
 * How many slots of a node are in use stands beside the slot that points to it: with many
 * mappings a change of one page then touches a single line of memory that is not in a cache.
 */
struct soft_node {
	char *slot[SOFT_SLOTS]; /* atomic */
	uint64_t base;		/* its first page */
	struct soft_node *next; /* in the garbage */
	unsigned int shift;	/* 48 at the most */
	bool hollow;		/* in the garbage: what its slots point to is none of its */
	unsigned char filled[]; /* writer only, [SOFT_SLOTS] but in the lowest nodes: of children */
};

struct soft_map {
	struct soft_node *root; /* atomic */
	unsigned char filled;	/* writer only: of the root */
};

static inline unsigned int soft_slot_bits(const char *slot)
{
	return (uintptr_t)slot & SOFT_ATTRIBUTES;
}

static inline unsigned int soft_slot_tag(const char *slot)
{
	return soft_slot_bits(slot) & SOFT_TAGS;
}

/* In a slot that is no node and not empty: the mapping of a page that it covers; false: none. */
static inline bool soft_slot_extent(char *slot, uint64_t page, struct soft_extent *extent)
{
	if (soft_slot_tag(slot) == SOFT_MAPPING) {
		*extent = ((const struct soft_mapping *)(slot - SOFT_MAPPING))->extent;
		return true;
	}
	if (soft_slot_tag(slot) == SOFT_RUN) {
		const struct soft_run *run = (const struct soft_run *)(slot - SOFT_RUN);
		uint64_t i = page % SOFT_SLOTS;

		if (!(__atomic_load_n(&run->present, __ATOMIC_ACQUIRE) >> i & 1))
			return false;
		slot = run->first + i * SOFT_PAGE_SIZE;
	}
	extent->first = extent->last = page;
	extent->hva = slot - soft_slot_bits(slot);
	extent->rights = soft_slot_bits(slot) >> SOFT_RIGHTS_SHIFT;
	return true;
}

/* The mapping that covers the page; false: none. */
static inline bool soft_map_find(const struct soft_map *map, uint64_t page,
				 struct soft_extent *extent)
{
	const struct soft_node *node = __atomic_load_n(&map->root, __ATOMIC_ACQUIRE);
	unsigned int shift;
	char *slot;

	if (!node || page >> node->shift >= SOFT_SLOTS)
		return false;
	/* Each level is SOFT_SLOT_BITS lower: the heads of the other nodes need not be read. */
	for (shift = node->shift;; shift -= SOFT_SLOT_BITS) {
		slot = __atomic_load_n(&node->slot[(page >> shift) & (SOFT_SLOTS - 1)],
				       __ATOMIC_ACQUIRE);
		if (soft_slot_tag(slot))
			return soft_slot_extent(slot, page, extent);
		if (!slot)
			return false;
		node = (const struct soft_node *)slot;
	}
}

/* Writer: the lowest mapping with a page in [first, last]; false: none. */
bool soft_map_first(struct soft_map *map, uint64_t first, uint64_t last,
		    struct soft_extent *extent);

/* Its pages must not be mapped, its address is page aligned. -ENOMEM leaves the map as it was. */
int soft_map_insert(struct soft_map *map, const struct soft_extent *extent,
		    struct ioasid_garbage *garbage);
/* No mapping may straddle a border of [first, last]. */
void soft_map_erase(struct soft_map *map, uint64_t first, uint64_t last,
		    struct ioasid_garbage *garbage);
void soft_map_reap(struct ioasid_garbage *garbage);
/* No reader may be left. */
void soft_map_clear(struct soft_map *map);

#endif
