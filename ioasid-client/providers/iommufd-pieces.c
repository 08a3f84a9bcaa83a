/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large mappings by several threads. A call of IOAS_MAP takes, zeroes and pins page after page;
 * calls for ranges apart from each other do not wait for one another, for they hold the IOAS's
 * domains_rwsem for reading and its iova_rwsem for moments only (Linux drivers/iommu/iommufd,
 * iopt_map_pages). What is mapped so is several areas in the kernel and one mapping here: an unmap
 * of the whole takes them all, and nobody asks for less.
 */
#include <errno.h>

#include "ioasid-client/providers/iommufd.h"
#include "util/bits.h"
#include "util/parallel.h"

#define PIECE GIB /* on its borders, so that pages of that size stay whole */

static int map_one(struct iommufd *iommufd, uint32_t ioas, const struct ioasid_mapping *mapping)
{
	if (mapping->fd >= 0 && !iommufd->no_map_file) {
		int r = ifd_map_file(&iommufd->ifd, ioas, mapping);

		if (r != -ENOTTY)
			return r;
		iommufd->no_map_file = true;
	}
	return mapping->hva ? ifd_map(&iommufd->ifd, ioas, mapping) : -EOPNOTSUPP;
}

/* The part of it that begins `at` bytes into it and ends on the next border. */
static struct ioasid_mapping piece_of(const struct ioasid_mapping *mapping, uint64_t at)
{
	struct ioasid_mapping piece = *mapping;

	piece.iova += at;
	piece.size = MIN(mapping->size - at, PIECE - piece.iova % PIECE);
	piece.fd_offset += at;
	if (piece.hva)
		piece.hva = (char *)piece.hva + at;
	return piece;
}

struct work {
	struct iommufd *iommufd;
	uint32_t ioas;
	const struct ioasid_mapping *mapping;
	uint64_t from; /* where the second piece begins */
	int failure;   /* atomic: one of them; after it none is begun */
};

static void map_piece(void *arg, uint64_t part)
{
	struct work *work = arg;
	const struct ioasid_mapping piece = piece_of(work->mapping, work->from + part * PIECE);
	int r;

	if (__atomic_load_n(&work->failure, __ATOMIC_RELAXED))
		return;
	r = map_one(work->iommufd, work->ioas, &piece);
	if (r)
		__atomic_store_n(&work->failure, r, __ATOMIC_RELAXED);
}

int iommufd_map_kernel(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		       bool *midway)
{
	const struct iommufd_space *own = space->priv;
	const struct ioasid_mapping first = piece_of(mapping, 0);
	struct work work = {
		.iommufd = iommufd_of(space->ctx),
		.ioas = own->ioas,
		.mapping = mapping,
		.from = first.size,
	};
	int r;

	*midway = false;
	/* By itself: it finds out whether this kernel maps descriptors. */
	r = map_one(work.iommufd, own->ioas, &first);
	if (r || first.size == mapping->size)
		return r;
	parallel_run((mapping->size - first.size + PIECE - 1) / PIECE, PARALLEL_MAX, map_piece,
		     &work);
	if (!work.failure)
		return 0;
	*midway = ifd_unmap(&work.iommufd->ifd, own->ioas, mapping->iova, mapping->size);
	return work.failure;
}
