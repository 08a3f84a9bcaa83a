/* SPDX-License-Identifier: Apache-2.0 */
/* Where host PASIDs' numbers come from (pasid-pool.c), for pasid.c. All need the context's lock. */
#ifndef ADIT_IOASID_CLIENT_PASID_POOL_H
#define ADIT_IOASID_CLIENT_PASID_POOL_H

#include "ioasid-client/provider.h"

enum ioasid_pasid_state pool_state(const struct ioasid_pasid_pool *pool, uint32_t number);
/* Checks the number that is wanted, or finds the lowest free one where none is. */
int pool_choose(struct ioasid_pasid_pool *pool, uint32_t want, uint32_t max, uint32_t *number,
		struct err *err);
int pool_take_slot(struct ioasid_pasid_pool *pool, uint32_t number, struct ioasid_pasid *pasid,
		   struct err *err);
void pool_park_slot(struct ioasid_pasid_pool *pool, uint32_t number, struct ioasid_pasid *pasid);
void pool_free_slot(struct ioasid_pasid_pool *pool, uint32_t number);
void pool_get(struct ioasid_pasid_pool *pool);

#endif
