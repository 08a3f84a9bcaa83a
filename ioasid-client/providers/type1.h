/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the type1 provider share.
 *
 * A container is one address space that all groups in it reach from the moment they join, and that
 * a group leaves with its last device alone. So each group has a container of its own, but for
 * those that are bound together: to the IOMMU they are one group then (ioasid-client/device.h). A
 * space is our record of mappings; the containers whose groups are attached to it have them, and
 * others are empty: that is how a device is blocked. Memory is pinned and counted once a container.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_TYPE1_H
#define ADIT_IOASID_CLIENT_PROVIDERS_TYPE1_H

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/mappings.h"
#include "ioasid-client/providers/type1-calls.h"

struct type1 {
	int fd; /* the container that was opened or handed over */
	bool fd_used;
	pthread_cond_t opened; /* with the context's lock: a group that was opening is not */
	LIST_HEAD(type1_containers, type1_container) containers;
	LIST_HEAD(type1_groups, type1_group) groups;
};

struct type1_container {
	LIST_ENTRY(type1_container) of_ctx;
	int fd;
	bool together;		   /* takes in others */
	bool snoop_enforced;	   /* while a group of an IOMMU is in it: of each of them */
	bool stuck;		   /* the kernel kept some of it: nobody may be attached any more */
	unsigned int groups;	   /* in it */
	unsigned int of_iommu;	   /* of these; the groups of mdevs are of none */
	struct ioasid_space *live; /* what it maps; NULL: nothing */
};

#define TYPE1_RANGES 64u /* what is past them is not used */

struct type1_group {
	LIST_ENTRY(type1_group) of_ctx;
	int number, fd;
	struct type1_container *container;
	unsigned int devices;
	uint64_t page_sizes;
	bool emulated, snoop_enforced;
	bool opening; /* a device of it, without the lock: nobody else goes on with the group */
	struct ioasid_range iova[TYPE1_RANGES], *reserved;
	struct ioasid_member *members;
	size_t n_iova, n_reserved, n_members;
};

struct type1_device {
	struct type1_group *group;
	int fd;
};

struct type1_space {
	struct mappings mappings;
};

/* type1-container.c */
/*
 * Puts a group, of which number, fd and emulated are set, into a container of its own; or,
 * together, into one that took in others so, where its IOMMU does as theirs does and the kernel
 * agrees. Fills what the container says of it. On failure the group's descriptor is in none.
 */
int type1_settle(struct ioasid_ctx *ctx, struct type1_group *group, bool together, struct err *err);
void type1_leave(struct ioasid_ctx *ctx, struct type1_group *group);

/* type1-group.c */
int type1_bind(struct ioasid_device *device, const struct ioasid_source *source, struct err *err);
void type1_unbind(struct ioasid_device *device);

/* type1-space.c */
int type1_attach(struct ioasid_device *device, struct ioasid_space *before, struct err *err);
int type1_detach(struct ioasid_device *device, struct ioasid_space *from, struct err *err);
int type1_space_map(struct ioasid_space *space, const struct ioasid_mapping *mapping,
		    struct ioasid_garbage *garbage, struct err *err);
int type1_space_unmap(struct ioasid_space *space, uint64_t iova, uint64_t size,
		      struct ioasid_garbage *garbage, struct err *err);
int type1_space_copy(struct ioasid_space *space, const struct ioasid_copy *copy,
		     struct ioasid_garbage *garbage, struct err *err);

/* type1.c */
void type1_memory(struct ioasid_ctx *ctx, struct ioasid_memory *memory);

static inline struct type1 *type1_of(const struct ioasid_ctx *ctx)
{
	return ctx->priv;
}

#endif
