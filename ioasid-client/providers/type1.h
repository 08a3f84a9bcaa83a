/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the type1 provider share.
 *
 * A container is one address space that all groups in it reach from the moment they join, so each
 * group has a container of its own. A space is our record of mappings; the containers of the groups
 * that are attached to it have them, and those of others are empty: that is how a device is
 * blocked. Memory is therefore pinned and counted once for each attached group.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_TYPE1_H
#define ADIT_IOASID_CLIENT_PROVIDERS_TYPE1_H

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/mappings.h"
#include "ioasid-client/providers/type1-calls.h"

struct type1 {
	int fd; /* the container that was opened or handed over */
	bool fd_used;
	LIST_HEAD(type1_groups, type1_group) groups;
};

#define TYPE1_RANGES 64u /* what is past them is not used */

struct type1_group {
	LIST_ENTRY(type1_group) of_ctx;
	int number, fd, container;
	unsigned int devices;
	struct ioasid_space *live; /* what its container maps; NULL: nothing */
	bool stuck;		   /* the kernel kept some of it: nobody may be attached any more */
	uint64_t page_sizes;
	bool snoop_enforced;
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
