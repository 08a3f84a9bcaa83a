/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a keeper and its child, over a SOCK_SEQPACKET pair: one request, one reply. A request
 * names an operation and a place in the list that the keeper was started with, and nothing else:
 * there is no path, name or number in it that could lead elsewhere. Descriptors come with replies
 * (SCM_RIGHTS), at most one each.
 */
#ifndef ADIT_KEEPER_PROTOCOL_H
#define ADIT_KEEPER_PROTOCOL_H

#include <stdint.h>

#include "keeper/name.h"

#define KEEPER_MAX_DEVICES 31
#define KEEPER_TEXT	   512

enum keeper_op {
	KEEPER_TAKE,	/* have the device ready (taken, or made); the reply says which it is */
	KEEPER_OPEN,	/* its cdev or its group's node, by `way` (enum host_way) */
	KEEPER_RELEASE, /* back to its host driver, or removed; the child has closed it */
	KEEPER_IOMMU,	/* a node for I/O address spaces: `way` 0 iommufd, 1 VFIO's container */
	KEEPER_OPS
};

struct keeper_request {
	uint32_t op;
	uint32_t index; /* of the device in the keeper's list; 0 for KEEPER_IOMMU */
	uint32_t way;
	uint32_t zero;
};

struct keeper_reply {
	int32_t code; /* 0 or -errno */
	int32_t group;
	uint32_t kind;	   /* enum host_kind of `name` */
	uint32_t by_group; /* the descriptor is a group's */
	char name[HOST_NAME_CHARS + 1];
	char text[KEEPER_TEXT]; /* the sentence where code is not 0 */
};

#endif
