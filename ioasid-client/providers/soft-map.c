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

/* A range of pages, and a node that holds all of it. */
struct part {
	struct soft_node *node;
	uint64_t first, last;
};

static unsigned int slot_index(const struct soft_node *node, uint64_t page)
{
	return (unsigned int)((page - node->base) >> node->shift);
}

static uint64_t slot_start(const struct soft_node *node, unsigned int i)
{
	return node->base + ((uint64_t)i << node->shift);
}

/* The same range within slot i; true where it covers the slot. node is left to the caller. */
static bool clip(const struct part *part, unsigned int i, struct part *inner)
{
	uint64_t start = slot_start(part->node, i);
	uint64_t end = start + BIT_U64(part->node->shift) - 1;

	*inner = (struct part){
		.first = MAX(part->first, start),
		.last = MIN(part->last, end),
	};
	return inner->first == start && inner->last == end;
}

static struct soft_node *slot_node(const struct soft_node *node, unsigned int i)
{
	return (struct soft_node *)node->slot[i];
}

static bool is_leaf(const struct soft_node *node, unsigned int i)
{
	return soft_slot_bits(node->slot[i]) & SOFT_TAGS;
}

static void set_slot(struct soft_node *node, unsigned int i, char *value)
{
	if (value)
		node->used |= BIT_U64(i);
	else
		node->used &= ~BIT_U64(i);
	__atomic_store_n(&node->slot[i], value, __ATOMIC_RELEASE);
}

static void set_root(struct soft_map *map, struct soft_node *root)
{
	__atomic_store_n(&map->root, root, __ATOMIC_RELEASE);
}

static struct soft_node *new_node(unsigned int shift, uint64_t base)
{
	struct soft_node *node = calloc(1, sizeof(*node));

	if (node) {
		node->shift = shift;
		node->base = base;
	}
	return node;
}

static void drop_node(struct ioasid_garbage *garbage, struct soft_node *node)
{
	node->next = garbage->nodes;
	garbage->nodes = node;
}

/* A page's slot is all there is of it. Of a mapping's many, the one where it starts counts. */
static void drop_leaf(struct ioasid_garbage *garbage, const struct soft_node *node, unsigned int i)
{
	struct soft_mapping *mapping;

	if (!(soft_slot_bits(node->slot[i]) & SOFT_MAPPING))
		return;
	mapping = (struct soft_mapping *)(node->slot[i] - SOFT_MAPPING);
	if (mapping->extent.first != slot_start(node, i))
		return;
	mapping->next = garbage->mappings;
	garbage->mappings = mapping;
}

static bool next_in(const struct soft_node *node, uint64_t page, struct soft_extent *extent)
{
	uint64_t from = page > node->base ? (page - node->base) >> node->shift : 0;

	if (from >= SOFT_SLOTS)
		return false;
	for (uint64_t left = node->used & (~0ULL << from); left; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(left);

		if (is_leaf(node, i)) {
			soft_slot_extent(node->slot[i], slot_start(node, i), extent);
			return true;
		}
		if (next_in(slot_node(node, i), page, extent))
			return true;
	}
	return false;
}

bool soft_map_next(const struct soft_map *map, uint64_t page, struct soft_extent *extent)
{
	if (soft_map_find(map, page, extent))
		return true;
	return map->root && next_in(map->root, page, extent);
}

/* Makes the tree high enough for the page. */
static int reach(struct soft_map *map, uint64_t page)
{
	struct soft_node *root = map->root;

	if (!root) {
		unsigned int shift = 0;

		while (page >> shift >= SOFT_SLOTS)
			shift += SOFT_SLOT_BITS;
		root = new_node(shift, 0);
		if (!root)
			return -ENOMEM;
		set_root(map, root);
		return 0;
	}
	while (page >> root->shift >= SOFT_SLOTS) {
		struct soft_node *higher = new_node(root->shift + SOFT_SLOT_BITS, 0);

		if (!higher)
			return -ENOMEM;
		set_slot(higher, 0, (char *)root);
		set_root(map, higher);
		root = higher;
	}
	return 0;
}

static int reserve(const struct part *part);

static int reserve_edge(const struct part *part, unsigned int i)
{
	struct part inner;

	if (clip(part, i, &inner))
		return 0;
	if (!part->node->slot[i]) {
		struct soft_node *child =
			new_node(part->node->shift - SOFT_SLOT_BITS, slot_start(part->node, i));

		if (!child)
			return -ENOMEM;
		set_slot(part->node, i, (char *)child);
	}
	inner.node = slot_node(part->node, i);
	return reserve(&inner);
}

/* Only the first and the last slot of a range can be covered in part. */
static int reserve(const struct part *part)
{
	unsigned int first = slot_index(part->node, part->first),
		     last = slot_index(part->node, part->last);
	int r = reserve_edge(part, first);

	if (!r && last != first)
		r = reserve_edge(part, last);
	return r;
}

static void fill(const struct part *part, char *slot)
{
	unsigned int last = slot_index(part->node, part->last);

	for (unsigned int i = slot_index(part->node, part->first); i <= last; i++) {
		struct part inner;

		if (clip(part, i, &inner)) {
			set_slot(part->node, i, slot);
		} else {
			inner.node = slot_node(part->node, i);
			fill(&inner, slot);
		}
	}
}

static void erase(const struct part *part, struct ioasid_garbage *garbage)
{
	unsigned int last = slot_index(part->node, part->last);
	struct soft_node *node = part->node;

	for (unsigned int i = slot_index(part->node, part->first); i <= last; i++) {
		struct part inner;
		bool whole = clip(part, i, &inner);

		if (!node->slot[i])
			continue;
		if (is_leaf(node, i)) {
			drop_leaf(garbage, node, i);
			set_slot(node, i, NULL);
			continue;
		}
		inner.node = slot_node(node, i);
		if (!whole)
			erase(&inner, garbage);
		if (whole || !inner.node->used) {
			set_slot(node, i, NULL);
			drop_node(garbage, inner.node);
		}
	}
}

/*
 * Takes away roots that are empty or whose only child is the lowest. What stays of a root is left
 * in it for readers that are inside; it is emptied for the reaper, who must not follow it.
 */
static void lower_root(struct soft_map *map, struct ioasid_garbage *garbage)
{
	struct soft_node *root = map->root;

	while (root && (!root->used || (root->used == 1 && !is_leaf(root, 0)))) {
		struct soft_node *lower = root->used ? slot_node(root, 0) : NULL;

		set_root(map, lower);
		root->used = 0;
		drop_node(garbage, root);
		root = lower;
	}
}

/* The range may go past the tree's height: nothing is there. */
void soft_map_erase(struct soft_map *map, uint64_t first, uint64_t last,
		    struct ioasid_garbage *garbage)
{
	struct part all = { .node = map->root, .first = first };
	uint64_t end;

	if (!all.node)
		return;
	end = ((uint64_t)SOFT_SLOTS << all.node->shift) - 1;
	all.last = MIN(last, end);
	if (first <= end)
		erase(&all, garbage);
	lower_root(map, garbage);
}

/* NULL: no memory. */
static char *make_slot(const struct soft_extent *extent)
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
	struct part all = { .first = extent->first, .last = extent->last };
	char *slot = NULL;
	int r;

	r = reach(map, extent->last);
	if (!r) {
		all.node = map->root;
		r = reserve(&all);
	}
	if (!r) {
		slot = make_slot(extent);
		r = slot ? 0 : -ENOMEM;
	}
	if (r) {
		/* Nothing is mapped there: this takes away the nodes that were made. */
		soft_map_erase(map, extent->first, extent->last, garbage);
		return r;
	}
	fill(&all, slot);
	return 0;
}

/* Frees nodes, but only collects mappings: one may be looked at again from another subtree. */
static void take_apart(struct soft_node *node, struct ioasid_garbage *garbage)
{
	for (uint64_t left = node->used; left; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(left);

		if (is_leaf(node, i))
			drop_leaf(garbage, node, i);
		else
			take_apart(slot_node(node, i), garbage);
	}
	free(node);
}

void soft_map_reap(struct ioasid_garbage *garbage)
{
	struct soft_node *node;
	struct soft_mapping *mapping;

	while ((node = garbage->nodes)) {
		garbage->nodes = node->next;
		take_apart(node, garbage);
	}
	while ((mapping = garbage->mappings)) {
		garbage->mappings = mapping->next;
		free(mapping);
	}
}

void soft_map_clear(struct soft_map *map)
{
	struct ioasid_garbage garbage = { .nodes = map->root };

	map->root = NULL;
	soft_map_reap(&garbage);
}
