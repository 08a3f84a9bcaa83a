/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's DSA function by VFIO, reached as its owner reaches it (dsa-owner.h): registers by calls,
 * portals mapped, the first vector an eventfd, PASIDs through ioasid-client.
 *
 * Untested on hardware: there was none.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_ASSIGNED_H
#define ADIT_PASSTHROUGH_ADI_DSA_ASSIGNED_H

#include "passthrough/adi/dsa-owner.h"

struct dsa_assigned;
struct ioasid_device;
struct vfio_sys;

struct dsa_assigned_options {
	const char *name; /* copied */
	/* Bound, with PASIDs; reaches nothing without one, and stays the caller's. */
	struct ioasid_device *device;
	struct ioasid_ctx *ctx;
	int fd;			    /* of VFIO: the device's, borrowed */
	const struct vfio_sys *sys; /* borrowed; NULL: the kernel */
};

/* -ENOTSUP: it is no DSA, has no PASIDs, or lacks what a DSA has; the sentence says which. */
int dsa_assigned_create(struct dsa_assigned **out, const struct dsa_assigned_options *options,
			struct err *err);
/* Its owner is gone. */
void dsa_assigned_destroy(struct dsa_assigned *assigned);

const struct dsa_access *dsa_assigned_access(const struct dsa_assigned *assigned);

#endif
