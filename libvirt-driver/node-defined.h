/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mdevs that are defined, whether they are there or not: mdevctl's own files,
 * /etc/mdevctl.d/PARENT/ UUID (mdevctl(8), "CONFIGURATION FILE FORMAT"), so that both know the same
 * ones. Each call looks again.
 */
#ifndef ADIT_LIBVIRT_DRIVER_NODE_DEFINED_H
#define ADIT_LIBVIRT_DRIVER_NODE_DEFINED_H

#include "keeper/change.h"

#define NODE_DEFINED_DIR    "/etc/mdevctl.d"
#define NODE_ATTRIBUTES_MAX 64u

struct json_object;

struct node_defined {
	struct change_mdev mdev;
	bool autostart;
	/* [{ NAME: VALUE }, ...], what is written to the mdev once it is made; NULL: nothing. */
	struct json_object *attributes;
};

struct node_defined_list {
	struct node_defined *item;
	size_t n;
};

/*
 * The text of one file, without its parent and UUID, which its name has. False: mdevctl has not
 * written that, or it could not be told to a client; nothing of it is kept then.
 */
bool node_defined_parse(struct node_defined *out, const char *text, size_t len);
/* And back: the object is the caller's. */
struct json_object *node_defined_describe(const struct node_defined *defined);

/* -ENOMEM alone; what cannot be read, or is not what mdevctl writes, is not there. */
int node_defined_read(struct node_defined_list *list, const struct host *host);
void node_defined_free(struct node_defined_list *list);

/* One as it shall be from now on; in place of another where there is one. */
int node_defined_write(const struct node_defined *defined, const struct host *host,
		       struct err *err);
int node_defined_remove(const struct change_mdev *mdev, const struct host *host, struct err *err);

/*
 * Makes it, and writes its attributes in their order; one that does not take them is removed
 * again. A driver may take its time: for a child process.
 */
int node_defined_make(const struct node_defined *defined, const struct host *host, struct err *err);

#endif
