/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's side of soft-map.h. Inserting first makes the nodes at the two edges of the range,
 * which may fail, then fills slots, which cannot. A subtree that lies wholly inside an erased range
 * is unlinked by one store and taken apart when it is reaped.
 */
#include "ioasid-client/providers/soft-map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ioasid-client/provider.h"
#include "util/bits.h"

/*
 * A range of pages, and a node that holds all of it. What is known of the node on the way down is
 * kept here: in the node it lies on a line that is not needed otherwise.
 */
struct part {
	struct soft_node *node;
	unsigned char *filled; /* of the node */
	uint64_t base;
	unsigned int shift;
	uint64_t first, last;
};

static unsigned int slot_index(const struct part *part, uint64_t page)
{
	return (unsigned int)((page - part->base) >> part->shift);
}

static uint64_t slot_start(const struct part *part, unsigned int i)
{
	return part->base + ((uint64_t)i << part->shift);
}

static struct soft_run *slot_run(char *slot)
{
	return (struct soft_run *)(slot - SOFT_RUN);
}

static struct soft_node *slot_node(const struct soft_node *node, unsigned int i)
{
	return (struct soft_node *)node->slot[i];
}

static bool is_leaf(const struct soft_node *node, unsigned int i)
{
	return soft_slot_tag(node->slot[i]);
}

/* The same range within slot i, and the node there if any; true where it covers the slot. */
static bool clip(const struct part *part, unsigned int i, struct part *inner)
{
	uint64_t start = slot_start(part, i), end = start + BIT_U64(part->shift) - 1;

	*inner = (struct part){
		.base = start,
		.first = MAX(part->first, start),
		.last = MIN(part->last, end),
	};
	if (part->shift < SOFT_SLOT_BITS)
		return true; /* one page */
	inner->node = slot_node(part->node, i);
	inner->filled = &part->node->filled[i];
	inner->shift = part->shift - SOFT_SLOT_BITS;
	return inner->first == start && inner->last == end;
}

/* The part of the range that the tree is high enough for; false: none. */
static bool clip_root(struct soft_map *map, uint64_t first, uint64_t last, struct part *part)
{
	struct soft_node *root = map->root;
	unsigned int shift = root ? root->shift & 63 : 0; /* 63: tells the analyser the bound */
	uint64_t end = ((uint64_t)SOFT_SLOTS << shift) - 1;

	if (!root)
		return false;
	*part = (struct part){
		.node = root,
		.filled = &map->filled,
		.shift = shift,
		.first = first,
		.last = MIN(last, end),
	};
	return first <= end;
}

static void set_slot(const struct part *part, unsigned int i, char *value)
{
	*part->filled += (unsigned char)(!!value - !!part->node->slot[i]);
	__atomic_store_n(&part->node->slot[i], value, __ATOMIC_RELEASE);
}

static void set_root(struct soft_map *map, struct soft_node *root, unsigned char filled)
{
	map->filled = filled;
	__atomic_store_n(&map->root, root, __ATOMIC_RELEASE);
}

static struct soft_node *new_node(unsigned int shift, uint64_t base)
{
	struct soft_node *node = calloc(1, sizeof(*node) + (shift ? SOFT_SLOTS : 0));

	if (node) {
		node->shift = shift;
		node->base = base;
	}
	return node;
}

static void drop_node(struct ioasid_garbage *garbage, struct soft_node *node, bool hollow)
{
	node->hollow = hollow;
	node->next = garbage->nodes;
	garbage->nodes = node;
}

static void drop_object(struct ioasid_garbage *garbage, struct soft_object *object)
{
	object->next = garbage->mappings;
	garbage->mappings = object;
}

/* A page's slot is all there is of it. Of a mapping's many, the one where it starts counts. */
static void drop_leaf(struct ioasid_garbage *garbage, char *slot, uint64_t start)
{
	struct soft_mapping *mapping;

	if (soft_slot_tag(slot) == SOFT_RUN)
		drop_object(garbage, &slot_run(slot)->object);
	if (soft_slot_tag(slot) != SOFT_MAPPING)
		return;
	mapping = (struct soft_mapping *)(slot - SOFT_MAPPING);
	if (mapping->extent.first == start)
		drop_object(garbage, &mapping->object);
}

/* --- runs: of the 64 pages of a slot one level above the lowest ------------------------------ */

/* Of the pages in [first, last], which lie in one run. */
static uint64_t run_bits(const struct part *part)
{
	uint64_t up_to_last = ~0ULL >> (SOFT_SLOTS - 1 - part->last % SOFT_SLOTS);

	return up_to_last & ~0ULL << part->first % SOFT_SLOTS;
}

/*
 * What the slot of a run's page 0 would be, from that of the page of the part. NULL: below the
 * lowest address, so this page has no run.
 */
static char *run_first(const struct part *part, char *slot)
{
	uint64_t before = part->first % SOFT_SLOTS * SOFT_PAGE_SIZE;

	return (uintptr_t)slot > before ? slot - before : NULL;
}

static bool first_in_run(const struct part *part, char *slot, struct soft_extent *extent)
{
	uint64_t there = slot_run(slot)->present & run_bits(part);

	return there &&
	       soft_slot_extent(slot, part->base + (unsigned int)__builtin_ctzll(there), extent);
}

static void set_run(struct soft_run *run, uint64_t present)
{
	__atomic_store_n(&run->present, present, __ATOMIC_RELEASE);
}

static char *new_run(char *first)
{
	struct soft_run *run = malloc(sizeof(*run));

	if (!run)
		return NULL;
	*run = (struct soft_run){ .first = first };
	return (char *)run + SOFT_RUN;
}

/* The lowest node that says what the run says; its count comes back in *filled. NULL: no memory. */
static struct soft_node *node_of_run(const struct soft_run *run, uint64_t base,
				     unsigned char *filled)
{
	struct soft_node *node = new_node(0, base);

	if (!node)
		return NULL;
	for (unsigned int i = 0; i < SOFT_SLOTS; i++) {
		if (run->present >> i & 1)
			node->slot[i] = run->first + i * SOFT_PAGE_SIZE;
	}
	*filled = (unsigned char)__builtin_popcountll(run->present);
	return node;
}

/* --- lookups --------------------------------------------------------------------------------- */

static bool first_in(const struct part *part, struct soft_extent *extent)
{
	unsigned int last = slot_index(part, part->last);

	for (unsigned int i = slot_index(part, part->first); i <= last; i++) {
		char *slot = part->node->slot[i];
		struct part inner;

		if (!slot)
			continue;
		clip(part, i, &inner);
		if (soft_slot_tag(slot) == SOFT_RUN) {
			if (first_in_run(&inner, slot, extent))
				return true;
		} else if (soft_slot_tag(slot) || !inner.node) {
			return soft_slot_extent(slot, inner.first, extent);
		} else if (first_in(&inner, extent)) {
			return true;
		}
	}
	return false;
}

bool soft_map_first(struct soft_map *map, uint64_t first, uint64_t last, struct soft_extent *extent)
{
	struct part all;

	if (first == last)
		return soft_map_find(map, first, extent);
	return clip_root(map, first, last, &all) && first_in(&all, extent);
}

/* --- inserting ------------------------------------------------------------------------------- */

/* Makes the tree high enough for the page, and for runs. */
static int reach(struct soft_map *map, uint64_t page)
{
	struct soft_node *root = map->root;

	if (!root) {
		unsigned int shift = SOFT_SLOT_BITS;

		while (page >> shift >= SOFT_SLOTS)
			shift += SOFT_SLOT_BITS;
		root = new_node(shift, 0);
		if (!root)
			return -ENOMEM;
		set_root(map, root, 0);
		return 0;
	}
	while (page >> root->shift >= SOFT_SLOTS) {
		struct soft_node *higher = new_node(root->shift + SOFT_SLOT_BITS, 0);

		if (!higher)
			return -ENOMEM;
		higher->slot[0] = (char *)root;
		higher->filled[0] = map->filled;
		set_root(map, higher, 1);
		root = higher;
	}
	return 0;
}

/* What is inserted: page is the slot of a single page, else NULL. */
struct insertion {
	struct ioasid_garbage *garbage;
	char *page;
};

/* A run takes the page where it fits; else its place is taken by a node. */
static int reserve_in_run(const struct insertion *insertion, const struct part *part,
			  unsigned int i, struct part *inner)
{
	char *slot = part->node->slot[i];
	unsigned char filled;

	if (insertion->page && slot_run(slot)->first == run_first(inner, insertion->page))
		return 0;
	inner->node = node_of_run(slot_run(slot), inner->base, &filled);
	if (!inner->node)
		return -ENOMEM;
	set_slot(part, i, (char *)inner->node);
	*inner->filled = filled;
	drop_object(insertion->garbage, &slot_run(slot)->object);
	return 0;
}

static int reserve(const struct insertion *insertion, const struct part *part);

static int reserve_edge(const struct insertion *insertion, const struct part *part, unsigned int i)
{
	struct part inner;

	if (clip(part, i, &inner))
		return 0;
	if (soft_slot_tag(part->node->slot[i]) == SOFT_RUN)
		return reserve_in_run(insertion, part, i, &inner);
	if (!inner.node && !inner.shift && insertion->page && run_first(&inner, insertion->page)) {
		char *run = new_run(run_first(&inner, insertion->page));

		if (run)
			set_slot(part, i, run);
		return run ? 0 : -ENOMEM;
	}
	if (!inner.node) {
		inner.node = new_node(inner.shift, inner.base);
		if (!inner.node)
			return -ENOMEM;
		set_slot(part, i, (char *)inner.node);
	}
	return reserve(insertion, &inner);
}

/* Only the first and the last slot of a range can be covered in part. */
static int reserve(const struct insertion *insertion, const struct part *part)
{
	unsigned int first = slot_index(part, part->first), last = slot_index(part, part->last);
	int r = reserve_edge(insertion, part, first);

	if (!r && last != first)
		r = reserve_edge(insertion, part, last);
	return r;
}

static void fill(const struct part *part, char *leaf)
{
	unsigned int last = slot_index(part, part->last);

	for (unsigned int i = slot_index(part, part->first); i <= last; i++) {
		char *slot = part->node->slot[i];
		struct part inner;

		if (clip(part, i, &inner))
			set_slot(part, i, leaf);
		else if (soft_slot_tag(slot) == SOFT_RUN)
			set_run(slot_run(slot), slot_run(slot)->present | run_bits(&inner));
		else
			fill(&inner, leaf);
	}
}

/* NULL: no memory. */
static char *make_leaf(const struct soft_extent *extent)
{
	struct soft_mapping *mapping;

	if (extent->first == extent->last)
		return extent->hva + (extent->rights << SOFT_RIGHTS_SHIFT | SOFT_PAGE);
	mapping = malloc(sizeof(*mapping));
	if (!mapping)
		return NULL;
	mapping->extent = *extent;
	return (char *)mapping + SOFT_MAPPING;
}

int soft_map_insert(struct soft_map *map, const struct soft_extent *extent,
		    struct ioasid_garbage *garbage)
{
	struct insertion insertion = { .garbage = garbage };
	char *leaf = make_leaf(extent);
	struct part all;
	int r;

	if (!leaf)
		return -ENOMEM;
	if (soft_slot_tag(leaf) == SOFT_PAGE)
		insertion.page = leaf;
	r = reach(map, extent->last);
	if (!r)
		r = clip_root(map, extent->first, extent->last, &all) ? reserve(&insertion, &all)
								      : -ENOMEM;
	if (r) {
		/* Nothing is mapped there: this takes away the nodes that were made. */
		soft_map_erase(map, extent->first, extent->last, garbage);
		drop_leaf(garbage, leaf, extent->first);
		return r;
	}
	fill(&all, leaf);
	return 0;
}

/* --- erasing --------------------------------------------------------------------------------- */

static void erase_in_run(const struct part *part, unsigned int i, const struct part *inner,
			 struct ioasid_garbage *garbage)
{
	struct soft_run *run = slot_run(part->node->slot[i]);
	uint64_t left = run->present & ~run_bits(inner);

	set_run(run, left);
	if (left)
		return;
	set_slot(part, i, NULL);
	drop_object(garbage, &run->object);
}

static void erase(const struct part *part, struct ioasid_garbage *garbage)
{
	unsigned int last = slot_index(part, part->last);

	for (unsigned int i = slot_index(part, part->first); i <= last; i++) {
		struct part inner;
		bool whole = clip(part, i, &inner);
		char *slot = part->node->slot[i];

		if (!slot)
			continue;
		if (soft_slot_tag(slot) == SOFT_RUN) {
			erase_in_run(part, i, &inner, garbage);
			continue;
		}
		if (soft_slot_tag(slot) || !inner.node) {
			drop_leaf(garbage, slot, inner.base);
			set_slot(part, i, NULL);
			continue;
		}
		if (!whole)
			erase(&inner, garbage);
		if (whole || !*inner.filled) {
			set_slot(part, i, NULL);
			drop_node(garbage, inner.node, !*inner.filled);
			*inner.filled = 0;
		}
	}
}

static bool can_lower(const struct soft_map *map)
{
	const struct soft_node *root = map->root;

	return !map->filled || (map->filled == 1 && root->slot[0] && !is_leaf(root, 0) &&
				root->shift > SOFT_SLOT_BITS);
}

/*
 * Takes away roots that are empty or whose only child is the lowest. What stays of a root is left
 * in it for readers that are inside.
 */
static void lower_root(struct soft_map *map, struct ioasid_garbage *garbage)
{
	struct soft_node *root = map->root;

	while (root && can_lower(map)) {
		struct soft_node *lower = map->filled ? slot_node(root, 0) : NULL;

		set_root(map, lower, lower ? root->filled[0] : 0);
		drop_node(garbage, root, true);
		root = lower;
	}
}

void soft_map_erase(struct soft_map *map, uint64_t first, uint64_t last,
		    struct ioasid_garbage *garbage)
{
	struct part all;

	if (clip_root(map, first, last, &all))
		erase(&all, garbage);
	lower_root(map, garbage);
}

/* Frees nodes, but only collects mappings and runs: a mapping may be looked at again from another
 * subtree. */
static void take_apart(struct soft_node *node, struct ioasid_garbage *garbage)
{
	for (unsigned int i = 0; !node->hollow && i < SOFT_SLOTS; i++) {
		if (!node->slot[i])
			continue;
		if (is_leaf(node, i))
			drop_leaf(garbage, node->slot[i],
				  node->base + ((uint64_t)i << node->shift));
		else
			take_apart(slot_node(node, i), garbage);
	}
	free(node);
}

void soft_map_reap(struct ioasid_garbage *garbage)
{
	struct soft_node *node;
	struct soft_object *object;

	while ((node = garbage->nodes)) {
		garbage->nodes = node->next;
		take_apart(node, garbage);
	}
	while ((object = garbage->mappings)) {
		garbage->mappings = object->next;
		free(object);
	}
}

void soft_map_clear(struct soft_map *map)
{
	struct ioasid_garbage garbage = { .nodes = map->root };

	*map = (struct soft_map){ 0 };
	soft_map_reap(&garbage);
}
