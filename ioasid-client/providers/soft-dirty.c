/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty logs of the soft provider: one bit a page, in leaves of 2^15 pages under four levels of
 * nodes with 512 slots, made by whoever writes there first. Nothing takes a lock; nodes stay until
 * the log goes. Where there is no memory for one, all pages count as dirty from then on until
 * tracking begins anew: too much is reported rather than too little.
 */
#include <stdlib.h>

#include "ioasid-client/providers/soft.h"
#include "util/bits.h"

#define NODE_BITS  9u
#define NODE_SLOTS (1u << NODE_BITS)
#define LEAF_BITS  15u /* of a page number */
#define LEAF_PAGES (1ULL << LEAF_BITS)
#define LEAF_WORDS (LEAF_PAGES / 64)
#define LEVELS	   5u /* nodes; 15 + 5 * 9 bits are more than the 52 of a page number */

struct leaf {
	uint64_t word[LEAF_WORDS]; /* atomic */
};

struct node {
	void *slot[NODE_SLOTS]; /* atomic: nodes, in the lowest level leaves */
};

struct soft_dirty {
	struct node root;
	bool all; /* atomic */
};

struct soft_dirty *soft_dirty_new(void)
{
	return calloc(1, sizeof(struct soft_dirty));
}

static void free_below(struct node *node, unsigned int level)
{
	for (unsigned int i = 0; i < NODE_SLOTS; i++) {
		if (node->slot[i] && level)
			free_below(node->slot[i], level - 1);
		free(node->slot[i]);
	}
}

void soft_dirty_free(struct soft_dirty *dirty)
{
	if (dirty)
		free_below(&dirty->root, LEVELS - 1);
	free(dirty);
}

/* What the slot points to, made where it is missing. NULL: no memory. */
static void *make(void **slot, size_t size)
{
	void *there = NULL, *fresh = calloc(1, size);

	if (!fresh)
		return NULL;
	if (__atomic_compare_exchange_n(slot, &there, fresh, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return fresh;
	free(fresh); /* another thread was faster */
	return there;
}

/* *span: how many pages lie in what is missing, where nothing may be made. */
static struct leaf *leaf_of(struct soft_dirty *dirty, uint64_t page, bool may_make, uint64_t *span)
{
	struct node *node = &dirty->root;

	for (unsigned int level = LEVELS; level--;) {
		void **slot =
			&node->slot[page >> (LEAF_BITS + level * NODE_BITS) & (NODE_SLOTS - 1)];
		void *next = __atomic_load_n(slot, __ATOMIC_ACQUIRE);

		if (!next && may_make)
			next = make(slot, level ? sizeof(struct node) : sizeof(struct leaf));
		*span = BIT_U64(LEAF_BITS + level * NODE_BITS);
		if (!next || !level)
			return next;
		node = next;
	}
	return NULL;
}

void soft_dirty_mark(struct soft_dirty *dirty, uint64_t iova, uint64_t len)
{
	uint64_t last = (iova + len - 1) >> SOFT_PAGE_SHIFT;

	for (uint64_t page = iova >> SOFT_PAGE_SHIFT; len && page <= last; page++) {
		uint64_t span;
		struct leaf *leaf = leaf_of(dirty, page, true, &span);

		if (!leaf) {
			__atomic_store_n(&dirty->all, true, __ATOMIC_RELEASE);
			return;
		}
		__atomic_fetch_or(&leaf->word[page % LEAF_PAGES / 64], BIT_U64(page % 64),
				  __ATOMIC_RELEASE);
	}
}

/* Whether the page is dirty; it is clean afterwards unless it is to be kept. */
static bool take(struct leaf *leaf, uint64_t page, bool keep)
{
	uint64_t *word = &leaf->word[page % LEAF_PAGES / 64], bit = BIT_U64(page % 64);

	if (!(__atomic_load_n(word, __ATOMIC_ACQUIRE) & bit))
		return false;
	if (!keep)
		__atomic_fetch_and(word, ~bit, __ATOMIC_ACQ_REL);
	return true;
}

static void report(const struct ioasid_dirty *out, uint64_t i)
{
	out->bitmap[i / 64] |= BIT_U64(i % 64);
}

void soft_dirty_read(struct soft_dirty *dirty, const struct ioasid_dirty *out)
{
	uint64_t last = (out->iova + out->size - 1) >> SOFT_PAGE_SHIFT;
	uint64_t first = out->iova >> SOFT_PAGE_SHIFT;

	if (__atomic_load_n(&dirty->all, __ATOMIC_ACQUIRE)) {
		for (uint64_t i = 0; i <= (out->size - 1) / out->page_size; i++)
			report(out, i);
		return;
	}
	for (uint64_t page = first; page <= last; page++) {
		uint64_t span;
		struct leaf *leaf = leaf_of(dirty, page, false, &span);

		if (!leaf)
			page |= span - 1;
		else if (take(leaf, page, out->keep))
			report(out, ((page - first) << SOFT_PAGE_SHIFT) / out->page_size);
	}
}

static void clear_below(struct node *node, unsigned int level)
{
	for (unsigned int i = 0; i < NODE_SLOTS; i++) {
		struct leaf *leaf = __atomic_load_n(&node->slot[i], __ATOMIC_ACQUIRE);

		if (leaf && level)
			clear_below((struct node *)leaf, level - 1);
		for (unsigned int j = 0; leaf && !level && j < LEAF_WORDS; j++)
			__atomic_store_n(&leaf->word[j], 0, __ATOMIC_RELAXED);
	}
}

void soft_dirty_clear(struct soft_dirty *dirty)
{
	clear_below(&dirty->root, LEVELS - 1);
	__atomic_store_n(&dirty->all, false, __ATOMIC_RELEASE);
}
