/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an address leads: in a space that maps memory itself, and through the tables of a guest
 * that a nested space walks. The tables are in memory that the guest writes at any time: each entry
 * is read once and what follows goes by that copy.
 *
 * VT-d specification 4.1, sections 3.6 (first-stage translation), 3.8 (nested translation), 9.9 to
 * 9.11 (the entries). Intel's first stage is the format of x86 paging, with four or five levels.
 */
#include "ioasid-client/providers/soft.h"
#include "util/bits.h"

#define ENTRY_PRESENT  BIT_U64(0)
#define ENTRY_WRITE    BIT_U64(1)
#define ENTRY_USER     BIT_U64(2)
#define ENTRY_ACCESSED BIT_U64(5)
#define ENTRY_DIRTY    BIT_U64(6)
#define ENTRY_LARGE    BIT_U64(7)
#define ENTRY_EXTENDED BIT_U64(10) /* extended accessed */
#define ENTRY_NO_EXEC  BIT_U64(63)
#define ENTRY_ADDRESS  0x000ffffffffff000ULL
#define LARGE_IS_PAT   BIT_U64(12) /* in an entry that maps 2 MiB or 1 GiB */

#define LEVEL_BITS   9u
#define LARGEST_LEAF 2u	 /* level, counted from 0: 1 GiB */
#define TRIES	     64u /* how often a guest may change an entry under us */

bool soft_look(const struct soft_space *space, uint64_t iova, struct soft_found *found)
{
	bool tracking = __atomic_load_n(&space->tracking, __ATOMIC_ACQUIRE);
	struct soft_extent extent;

	if (!soft_map_find(&space->map, iova >> SOFT_PAGE_SHIFT, &extent))
		return false;
	*found = (struct soft_found){
		.first = soft_extent_iova(&extent),
		.last = soft_extent_end(&extent),
		.hva = extent.hva,
		.rights = extent.rights,
		.cached = tracking ? extent.rights & ~IOASID_WRITE : extent.rights,
		.log = tracking ? space->dirty : NULL,
		.log_first = soft_extent_iova(&extent),
	};
	return true;
}

/* A walk through the levels of a guest's tables. */
struct walk {
	const struct soft_space *space;
	uint64_t iova;
	unsigned int asked, rights; /* rights: what all entries so far allow */
	uint64_t leaf;		    /* the entry that maps the page */
	unsigned int shift;	    /* the page's size is 1 << shift */
};

/* Beyond the canonical addresses there is nothing. */
static bool canonical(const struct soft_space *space, uint64_t iova)
{
	uint64_t top = (uint64_t)((int64_t)iova >> (space->nesting.addr_width - 1));

	return !top || !~top;
}

static bool supervisor(const struct walk *walk)
{
	return walk->asked & IOASID_PRIVILEGED;
}

static bool reserved_bits(uint64_t entry, unsigned int level)
{
	if (!level || !(entry & ENTRY_LARGE))
		return false;
	if (level > LARGEST_LEAF)
		return true;
	return entry & ENTRY_ADDRESS & (BIT_U64(SOFT_PAGE_SHIFT + level * LEVEL_BITS) - 1) &
	       ~LARGE_IS_PAT;
}

/* Takes away what the entry does not allow; section 3.6.1. */
static void restrict_rights(struct walk *walk, uint64_t entry)
{
	bool protect = !supervisor(walk) || walk->space->nesting.flags & IOASID_VTD_S1_WPE;

	if (!(entry & ENTRY_USER) && !supervisor(walk))
		walk->rights = 0;
	if (!(entry & ENTRY_WRITE) && protect)
		walk->rights &= ~IOASID_WRITE;
	if (entry & ENTRY_NO_EXEC)
		walk->rights &= ~IOASID_EXEC;
}

/* The bits that the hardware sets in the entry: section 3.6.3. */
static uint64_t marks(const struct walk *walk, bool leaf)
{
	uint64_t bits = ENTRY_ACCESSED;

	if (walk->space->nesting.flags & IOASID_VTD_S1_EAFE)
		bits |= ENTRY_EXTENDED;
	if (leaf && walk->asked & IOASID_WRITE)
		bits |= ENTRY_DIRTY;
	return bits;
}

/* The entry at that address of the parent; false: nothing is there, or what must be set cannot. */
static bool read_entry(struct walk *walk, uint64_t address, unsigned int level, uint64_t *entry)
{
	unsigned int rights = walk->rights;
	struct soft_found found;
	uint64_t *at;

	if (!soft_look(walk->space->parent, address, &found) || !(found.rights & IOASID_READ))
		return false;
	at = (uint64_t *)(found.hva + (address - found.first));
	*entry = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < TRIES; i++) {
		bool leaf = !level || *entry & ENTRY_LARGE;
		uint64_t set = marks(walk, leaf);

		walk->rights = rights;
		restrict_rights(walk, *entry);
		/* Nothing is marked for an access that will not happen. */
		if (!(*entry & ENTRY_PRESENT) || reserved_bits(*entry, level) ||
		    walk->asked & ~walk->rights)
			return false;
		if ((*entry & set) == set)
			return true;
		if (!(found.rights & IOASID_WRITE))
			return false;
		if (found.log)
			soft_dirty_mark(found.log, found.log_first + (address - found.first),
					sizeof(*at));
		if (__atomic_compare_exchange_n(at, entry, *entry | set, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE)) {
			*entry |= set;
			return true;
		}
	}
	return false;
}

static bool walk_tables(struct walk *walk)
{
	unsigned int level = (walk->space->nesting.addr_width - SOFT_PAGE_SHIFT) / LEVEL_BITS;
	uint64_t table = walk->space->nesting.table;

	while (level--) {
		uint64_t index;

		walk->shift = SOFT_PAGE_SHIFT + level * LEVEL_BITS;
		index = walk->iova >> walk->shift & (BIT_U64(LEVEL_BITS) - 1);
		if (!read_entry(walk, table + index * sizeof(table), level, &walk->leaf))
			return false;
		if (!level || walk->leaf & ENTRY_LARGE)
			return true;
		table = walk->leaf & ENTRY_ADDRESS;
	}
	return false;
}

/* What the guest's page and the parent's mapping have in common around the address. */
static void combine(const struct walk *walk, uint64_t address, const struct soft_found *parent,
		    struct soft_found *found)
{
	uint64_t in_page = walk->iova & (BIT_U64(walk->shift) - 1);
	uint64_t before = MIN(in_page, address - parent->first);
	uint64_t after = MIN(BIT_U64(walk->shift) - 1 - in_page, parent->last - address);
	unsigned int rights = parent->rights;

	if (rights & IOASID_READ)
		rights |= IOASID_EXEC;
	if (supervisor(walk))
		rights |= IOASID_PRIVILEGED;
	*found = (struct soft_found){
		.first = walk->iova - before,
		.last = walk->iova + after,
		.hva = parent->hva + (address - parent->first) - before,
		.rights = rights & walk->rights,
		.log = parent->log,
		.log_first = address - before,
	};
	found->cached = found->rights;
	/* The first write through a clean entry has to mark it, each one in a log that log. */
	if (!(walk->leaf & ENTRY_DIRTY) || parent->log)
		found->cached &= ~IOASID_WRITE;
	/* What a supervisor may is nothing to go by for the next access. */
	if (supervisor(walk))
		found->cached = 0;
}

bool soft_walk(const struct soft_space *space, uint64_t iova, unsigned int rights,
	       struct soft_found *found)
{
	struct walk walk = {
		.space = space,
		.iova = iova,
		.asked = rights,
		.rights = IOASID_READ | IOASID_WRITE | IOASID_EXEC,
	};
	struct soft_found parent;
	uint64_t address;

	if (space->nesting.flags & IOASID_VTD_S1_SRE)
		walk.rights |= IOASID_PRIVILEGED;
	if (!canonical(space, iova) || rights & ~walk.rights || !walk_tables(&walk))
		return false;
	address = (walk.leaf & ENTRY_ADDRESS & ~(BIT_U64(walk.shift) - 1)) |
		  (iova & (BIT_U64(walk.shift) - 1));
	if (!soft_look(space->parent, address, &parent))
		return false;
	combine(&walk, address, &parent, found);
	return true;
}
