/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening what a device is reached by: its VFIO cdev or its group's node, and the nodes of the I/O
 * address spaces. Whoever may open them uses this: the keeper for its child, or adit by itself.
 */
#ifndef ADIT_KEEPER_NODE_H
#define ADIT_KEEPER_NODE_H

#include "keeper/host.h"

enum host_way {
	HOST_WAY_AUTO, /* the cdev where there is one */
	HOST_WAY_CDEV,
	HOST_WAY_GROUP,
};

/* Where a device is reached. */
struct host_found {
	struct host_name device; /* a BDF or UUID, also where a cdev's path was given */
	bool by_group;		 /* the node is its group's: the device is asked for by name */
	int group;
	char path[96];
};

/*
 * The device is checked as host_function_check does; nothing is opened. HOST_WAY_AUTO takes the
 * cdev where there is one.
 */
int host_find_device(const struct host *host, const struct host_name *name, enum host_way way,
		     const char *const *with, size_t n_with, struct host_found *out,
		     struct err *err);

/*
 * Opens the node and proves that it is the one that was found. A group's node opens once: who is
 * late is told so (-EBUSY). Returns the descriptor or -errno.
 */
int host_open_found(const struct host *host, const struct host_found *found, struct err *err);

/*
 * A node for I/O address spaces: `node`, else /dev/ioasid where it is, else /dev/iommu; or VFIO's
 * container. What opens is proved to be one. Returns the descriptor or -errno.
 */
int host_open_iommu(const struct host *host, const char *node, bool container, struct err *err);

#endif
