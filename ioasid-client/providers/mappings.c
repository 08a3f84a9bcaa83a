/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/providers/mappings.h"

#include <errno.h>
#include <inttypes.h>

#include "util/bits.h"

#define PAGE_SHIFT 12
#define LAST_PAGE  (UINT64_MAX >> PAGE_SHIFT)
#define COPY	   16u /* beside the rights in an extent */

static struct mapped from_extent(const struct soft_extent *extent)
{
	return (struct mapped){
		.iova = extent->first << PAGE_SHIFT,
		.last = extent->last << PAGE_SHIFT | (IOASID_PAGE_SIZE - 1),
		.hva = extent->hva,
		.rights = extent->rights & ~COPY,
		.copy = extent->rights & COPY,
	};
}

bool mappings_next(struct mappings *mappings, uint64_t iova, struct mapped *found)
{
	struct soft_extent extent;

	if (!soft_map_first(&mappings->map, iova >> PAGE_SHIFT, LAST_PAGE, &extent))
		return false;
	*found = from_extent(&extent);
	return true;
}

/* Nobody translates through this map: what it unlinks can go at once. */
static void reap(struct ioasid_garbage *garbage)
{
	soft_map_reap(garbage);
}

int mappings_add(struct ioasid_space *space, struct mappings *mappings, const struct mapped *new,
		 struct err *err)
{
	const struct soft_extent extent = {
		.first = new->iova >> PAGE_SHIFT,
		.last = new->last >> PAGE_SHIFT,
		.hva = new->hva,
		.rights = new->rights | (new->copy ? COPY : 0),
	};
	struct ioasid_garbage garbage = { 0 };
	struct mapped there;
	int r;

	if (mappings_next(mappings, new->iova, &there) && there.iova <= new->last)
		return err_set(err, EEXIST,
			       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
			       " overlaps the mapping from %#" PRIx64 " to %#" PRIx64
			       "; unmap that first",
			       space->name, new->iova, new->last, there.iova, there.last);
	r = soft_map_insert(&mappings->map, &extent, &garbage);
	reap(&garbage);
	if (r)
		return err_set(err, ENOMEM, "space %s: no memory to map IOVA %#" PRIx64,
			       space->name, new->iova);
	if (!new->copy)
		mappings->bytes += new->last - new->iova + 1;
	return 0;
}

static int straddles(const struct ioasid_space *space, const struct mapped *mapped, uint64_t border,
		     struct err *err)
{
	return err_set(err, EINVAL,
		       "space %s: the mapping from %#" PRIx64 " to %#" PRIx64 " straddles %#" PRIx64
		       "; mappings are unmapped whole",
		       space->name, mapped->iova, mapped->last, border);
}

int mappings_check_unmap(const struct ioasid_space *space, struct mappings *mappings, uint64_t iova,
			 uint64_t size, struct err *err)
{
	uint64_t last = iova + (size - 1);
	struct mapped found;

	if (!mappings_next(mappings, iova, &found) || found.iova > last)
		return err_set(err, ENOENT,
			       "space %s: nothing is mapped from %#" PRIx64 " to %#" PRIx64,
			       space->name, iova, last);
	if (found.iova < iova)
		return straddles(space, &found, iova, err);
	if (mappings_next(mappings, last, &found) && found.iova <= last && found.last > last)
		return straddles(space, &found, iova + size, err);
	return 0;
}

void mappings_remove(struct mappings *mappings, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + (size - 1), at = iova;
	struct ioasid_garbage garbage = { 0 };
	struct mapped found;

	while (mappings_next(mappings, at, &found) && found.iova <= last) {
		if (!found.copy)
			mappings->bytes -= found.last - found.iova + 1;
		at = found.last + 1;
		if (!at)
			break;
	}
	soft_map_erase(&mappings->map, iova >> PAGE_SHIFT, last >> PAGE_SHIFT, &garbage);
	reap(&garbage);
}

void mappings_clear(struct mappings *mappings)
{
	soft_map_clear(&mappings->map);
	mappings->bytes = 0;
}

int mappings_copy_piece(const struct ioasid_space *from, struct mappings *mappings,
			const struct ioasid_copy *copy, uint64_t *at, struct mapped *piece,
			struct err *err)
{
	uint64_t end = copy->from_iova + (copy->size - 1), low = copy->from_iova + *at, high;
	struct mapped found;

	if (!mappings_next(mappings, low, &found) || found.iova > low)
		return err_set(err, ENOENT, "space %s: nothing is mapped at %#" PRIx64, from->name,
			       low);
	high = MIN(found.last, end);
	*piece = (struct mapped){
		.iova = copy->iova + *at,
		.last = copy->iova + *at + (high - low),
		.hva = (char *)found.hva + (low - found.iova),
		.rights = found.rights & copy->rights,
		.copy = true,
	};
	if (!piece->rights)
		return err_set(err, EINVAL,
			       "space %s: the mapping at %#" PRIx64
			       " has none of the rights that are asked for",
			       from->name, low);
	*at += high - low + 1;
	return 0;
}
