/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host PASIDs. They go free -> active -> parked -> free. A number is handed out again only when its
 * last holder (ioasid_pasid_hold) has let go, so that no descriptor in flight can meet a new owner.
 *
 * Numbers come from the context's range, where one is active for one device, or from a range that
 * a device keeps for itself, where it means nothing to other devices.
 */
#ifndef ADIT_IOASID_CLIENT_PASID_H
#define ADIT_IOASID_CLIENT_PASID_H

#include "ioasid-client/types.h"

/*
 * Which numbers the context may hand out, [first, last] within 1 to IOASID_PASID_MAX (all, until
 * this is called). Numbers that are active or parked already are not touched.
 */
int ioasid_ctx_pasid_range(struct ioasid_ctx *ctx, uint32_t first, uint32_t last, struct err *err);
/*
 * Gives the device numbers of its own: what it attaches under comes from [first, last], and the
 * context's range no longer applies to it. -EBUSY: it has PASIDs active. -ERANGE: past its width.
 */
int ioasid_device_pasid_range(struct ioasid_device *device, uint32_t first, uint32_t last,
			      struct err *err);

/*
 * Takes a host PASID and attaches {device, space} under it. want: its number, or
 * IOASID_PASID_NONE for any free one. -EBUSY: active or parked, the sentence says which; -ERANGE:
 * past the device's width or outside the range; -EOPNOTSUPP: the device has no PASIDs; -EINVAL:
 * space is not pasid_capable, or does not fit the device; -ENOSPC: none is free.
 */
int ioasid_pasid_attach(struct ioasid_device *device, struct ioasid_space *space, uint32_t want,
			struct ioasid_pasid **out, struct err *err);
/* The PASID's DMA goes to another space from now on, without an open moment. -ENOENT: parked. */
int ioasid_pasid_replace(struct ioasid_pasid *pasid, struct ioasid_space *space, struct err *err);
/*
 * Blocks the PASID's DMA and parks the number; it is free again once nobody holds it. Where the
 * kernel refuses every way of blocking it, the number stays parked until the context closes.
 */
void ioasid_pasid_detach(struct ioasid_pasid *pasid);
uint32_t ioasid_pasid_number(const struct ioasid_pasid *pasid);
/* Holders keep the number (and the object) from being reused, not its DMA from being blocked. */
void ioasid_pasid_hold(struct ioasid_pasid *pasid);
void ioasid_pasid_release(struct ioasid_pasid *pasid);

enum ioasid_pasid_state {
	IOASID_PASID_FREE,
	IOASID_PASID_ACTIVE,
	IOASID_PASID_PARKED
};
/* "free", "active" or "parked". */
const char *ioasid_pasid_state_name(enum ioasid_pasid_state state);

/* What a holder may know of a PASID; device and space are "" once it is parked. */
struct ioasid_pasid_info {
	uint32_t number;
	enum ioasid_pasid_state state;
	uint32_t guest; /* what is bound to it, as fault records name it, or IOASID_PASID_NONE */
	char device[64], space[64];
};
void ioasid_pasid_info(struct ioasid_pasid *pasid, struct ioasid_pasid_info *info);

/* Of a number of the context's range. */
enum ioasid_pasid_state ioasid_pasid_state(struct ioasid_ctx *ctx, uint32_t number);
/* As this device would attach under it: of its own range where it has one. */
enum ioasid_pasid_state ioasid_device_pasid_state(struct ioasid_device *device, uint32_t number);

#endif
