/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mapped in a space of a kernel provider, as this process knows it. The kernels unmap from
 * left to right and stop where a mapping straddles the border, with what came before gone; asking
 * here first keeps "a call that fails changes nothing". It also gives refusals their sentences, the
 * accounting its sum, and type1 what to map when a device is attached.
 *
 * All need the context's lock.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_MAPPINGS_H
#define ADIT_IOASID_CLIENT_PROVIDERS_MAPPINGS_H

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/soft-map.h"

struct mappings {
	struct soft_map map;
	uint64_t bytes; /* mapped, copies left out */
};

/* Bytes of address space, inclusive. */
struct mapped {
	uint64_t iova, last;
	void *hva;
	unsigned int rights;
	bool copy; /* of what is mapped, and so pinned, elsewhere */
};

/* -EEXIST where any of it is mapped; -ENOMEM. */
int mappings_add(struct ioasid_space *space, struct mappings *mappings, const struct mapped *new,
		 struct err *err);
/* Before an unmap: -ENOENT where there is nothing, -EINVAL where one straddles a border. */
int mappings_check_unmap(const struct ioasid_space *space, struct mappings *mappings, uint64_t iova,
			 uint64_t size, struct err *err);
/* Forgets all in the range, which mappings_check_unmap agreed to or mappings_add made. */
void mappings_remove(struct mappings *mappings, uint64_t iova, uint64_t size);
void mappings_clear(struct mappings *mappings);
/* The first that ends at iova or after it; false: none. */
bool mappings_next(struct mappings *mappings, uint64_t iova, struct mapped *found);

/*
 * The pieces of a copy: what of the mapping at *at lies in the copy's range, moved to where it
 * goes. 0, or -ENOENT (nothing is mapped there), -EINVAL (none of the rights). *at moves past it.
 */
int mappings_copy_piece(const struct ioasid_space *from, struct mappings *mappings,
			const struct ioasid_copy *copy, uint64_t *at, struct mapped *piece,
			struct err *err);

#endif
