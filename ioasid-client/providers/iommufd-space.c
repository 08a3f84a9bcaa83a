/* SPDX-License-Identifier: Apache-2.0 */
/* What is mapped in a space of iommufd: an IOAS beside our own record of it (mappings.h). */
#include "ioasid-client/providers/iommufd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

int iommufd_alloc(struct ioasid_space *space, struct err *err)
{
	struct iommufd_space *own = calloc(1, sizeof(*own));
	int r = own ? 0 : -ENOMEM;

	if (!r && space->options.faults)
		r = iommufd_fault_queue(space->ctx, err);
	if (!r && !space->options.parent) {
		r = ifd_ioas_alloc(&iommufd_of(space->ctx)->ifd, &own->ioas);
		if (r)
			err_set(err, -r, "the kernel makes no address space: %s", strerror(-r));
	}
	if (r) {
		free(own);
		return own ? r : err_set(err, ENOMEM, "no memory for an address space");
	}
	space->priv = own;
	return 0;
}

void iommufd_destroy(struct ioasid_space *space)
{
	struct iommufd_space *own = space->priv;

	iommufd_hwpts_destroy(space);
	if (own->ioas)
		ifd_destroy(&iommufd_of(space->ctx)->ifd, own->ioas);
	mappings_clear(&own->mappings);
	free(own);
}

/* Whether a device that is attached leaves this out of what may be mapped. */
static bool out_of_reach(const struct ioasid_space *space, const struct mapped *new,
			 const struct ioasid_device **who)
{
	const struct ioasid_device *device;

	for (device = LIST_FIRST(&space->devices); device; device = LIST_NEXT(device, of_space)) {
		size_t i = 0;

		while (i < device->info.n_iova && (new->iova < device->info.iova[i].first ||
						   new->last > device->info.iova[i].last))
			i++;
		if (i == device->info.n_iova) {
			*who = device;
			return true;
		}
	}
	return false;
}

static int explain_map(const struct ioasid_space *space, const struct mapped *new, int r,
		       struct err *err)
{
	const struct ioasid_device *who;

	if (r == -ENOMEM)
		return iommufd_no_memory(space->ctx, new->last - new->iova + 1, err);
	if (out_of_reach(space, new, &who))
		return err_set(err, EINVAL,
			       "space %s: IOVA %#" PRIx64 " to %#" PRIx64
			       " is in a range that device %s has reserved or does not reach",
			       space->name, new->iova, new->last, who->info.label);
	if (r == -EFAULT)
		return err_set(err, EFAULT, "space %s: there is no memory at %p to map",
			       space->name, new->hva);
	/* What generic code takes for "stopped midway" it is not. */
	return err_set(err, r == -EIO ? EINVAL : -r,
		       "space %s: IOVA %#" PRIx64 " cannot be mapped: %s", space->name, new->iova,
		       strerror(-r));
}

int iommufd_map(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		struct ioasid_garbage *garbage, struct err *err)
{
	struct iommufd_space *own = space->priv;
	const struct mapped new = {
		.iova = mapping->iova,
		.last = mapping->iova + (mapping->size - 1),
		.hva = mapping->hva,
		.rights = mapping->rights,
	};
	int r = mappings_add(space, &own->mappings, &new, err);
	bool midway;

	if (r)
		return r;
	r = iommufd_map_kernel(space, mapping, &midway);
	if (!r)
		return 0;
	if (midway)
		return err_set(err, EIO,
			       "space %s: a part of %#" PRIx64 " to %#" PRIx64
			       " is mapped (%s), and the kernel does not unmap it; the space is "
			       "blocked",
			       space->name, new.iova, new.last, strerror(-r));
	mappings_remove(&own->mappings, mapping->iova, mapping->size);
	return explain_map(space, &new, r, err);
}

int iommufd_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size,
		  struct ioasid_garbage *garbage, struct err *err)
{
	struct iommufd_space *own = space->priv;
	int r = mappings_check_unmap(space, &own->mappings, iova, size, err);

	if (r)
		return r;
	r = ifd_unmap(&iommufd_of(space->ctx)->ifd, own->ioas, iova, size);
	/* Trying again after one that stopped midway may find that all of it was gone. */
	if (r && !(r == -ENOENT && space->blocked))
		return err_set(err, EIO,
			       "space %s: the kernel does not unmap %#" PRIx64 " to %#" PRIx64
			       " (%s); the space is blocked",
			       space->name, iova, iova + (size - 1), strerror(-r));
	mappings_remove(&own->mappings, iova, size);
	return 0;
}

static int copy_piece(struct ioasid_space *space, const struct ioasid_copy *copy,
		      const struct mapped *piece, struct err *err)
{
	struct iommufd_space *own = space->priv;
	const struct iommufd_space *from = copy->from->priv;
	const struct ioasid_copy part = {
		.from_iova = copy->from_iova + (piece->iova - copy->iova),
		.iova = piece->iova,
		.size = piece->last - piece->iova + 1,
		.rights = piece->rights,
	};
	int r = mappings_add(space, &own->mappings, piece, err);

	if (r)
		return r;
	r = ifd_copy(&iommufd_of(space->ctx)->ifd, own->ioas, from->ioas, &part);
	if (!r)
		return 0;
	mappings_remove(&own->mappings, piece->iova, part.size);
	return explain_map(space, piece, r, err);
}

int iommufd_copy(struct ioasid_space *space, const struct ioasid_copy *copy,
		 struct ioasid_garbage *garbage, struct err *err)
{
	struct iommufd_space *from = copy->from->priv;
	uint64_t at = 0, done = 0;
	int r = 0;

	while (!r && at < copy->size) {
		struct mapped piece;

		r = mappings_copy_piece(copy->from, &from->mappings, copy, &at, &piece, err);
		if (!r)
			r = copy_piece(space, copy, &piece, err);
		if (!r)
			done = at;
	}
	if (r && done && iommufd_unmap(space, copy->iova, done, garbage, NULL) == -EIO)
		return err_set(err, EIO, "space %s: a copy failed midway and cannot be undone",
			       space->name);
	return r;
}

int iommufd_dirty_track(struct ioasid_space *space, bool on, struct err *err)
{
	const struct ifd *ifd = &iommufd_of(space->ctx)->ifd;
	struct iommufd_space *own = space->priv;
	struct iommufd_hwpt *hwpt, *back;
	int r = 0;

	for (hwpt = LIST_FIRST(&own->hwpts); hwpt; hwpt = LIST_NEXT(hwpt, of_space)) {
		r = ifd_set_dirty(ifd, hwpt->id, on);
		if (r)
			break;
	}
	if (!r) {
		own->tracking = on;
		return 0;
	}
	for (back = LIST_FIRST(&own->hwpts); back != hwpt; back = LIST_NEXT(back, of_space))
		ifd_set_dirty(ifd, back->id, own->tracking);
	return err_set(err, -r, "space %s: its dirty log does not %s: %s", space->name,
		       on ? "start" : "stop", strerror(-r));
}

int iommufd_dirty_read(struct ioasid_space *space, const struct ioasid_dirty *dirty,
		       struct err *err)
{
	const struct ifd *ifd = &iommufd_of(space->ctx)->ifd;
	const struct iommufd_space *own = space->priv;
	const struct iommufd_hwpt *hwpt;

	for (hwpt = LIST_FIRST(&own->hwpts); hwpt; hwpt = LIST_NEXT(hwpt, of_space)) {
		int r = ifd_get_dirty(ifd, hwpt->id, dirty);

		if (r)
			return err_set(err, -r, "space %s: its dirty log cannot be read: %s",
				       space->name, strerror(-r));
	}
	return 0;
}

#define BATCH 64u

static int invalidate_batch(const struct ioasid_space *space,
			    const struct ioasid_invalidation *list, uint32_t *n)
{
	const struct iommufd_space *own = space->priv;
	struct ifd_vtd_s1_invalidate entries[BATCH];
	const struct iommufd_hwpt *hwpt;
	uint32_t least = *n;
	int r = 0;

	for (uint32_t i = 0; i < *n; i++)
		entries[i] = (struct ifd_vtd_s1_invalidate){
			.addr = list[i].iova,
			.npages = list[i].pages,
			.flags = list[i].leaf ? IFD_VTD_S1_LEAF : 0,
		};
	for (hwpt = LIST_FIRST(&own->hwpts); hwpt; hwpt = LIST_NEXT(hwpt, of_space)) {
		uint32_t done = *n;
		int one = ifd_invalidate(&iommufd_of(space->ctx)->ifd, hwpt->id, entries, &done);

		least = MIN(least, done);
		r = r ? r : one;
	}
	*n = least;
	return r;
}

int iommufd_invalidate(struct ioasid_space *space, const struct ioasid_invalidation *list, size_t n,
		       size_t *done, struct err *err)
{
	while (*done < n) {
		uint32_t batch = (uint32_t)MIN(n - *done, BATCH);
		int r = invalidate_batch(space, list + *done, &batch);

		*done += batch;
		if (r)
			return err_set(err, -r, "space %s: invalidation %zu: %s", space->name,
				       *done, strerror(-r));
	}
	return 0;
}
