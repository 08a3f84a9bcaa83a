/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a device of the configuration to an open VFIO node, its own cdev or its group's: from a
 * descriptor that was handed over, from the keeper, or by opening it here. What a descriptor is
 * gets read from it. Without a keeper nothing is taken or made: what is not ready is refused.
 */
#ifndef ADIT_VMM_DEVICE_NODE_H
#define ADIT_VMM_DEVICE_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "keeper/node.h"
#include "util/err.h"
#include "vmm/config.h"

struct device_node {
	int fd;				/* -1: none */
	bool taken;			/* somebody else closes it */
	bool group;			/* a group's node, else a cdev */
	bool once;			/* a cdev that no further life could open */
	int number;			/* of the group, or -1 */
	char name[HOST_NAME_CHARS + 1]; /* BDF or UUID */
	int keeper;			/* that opens it; 0: none */
	unsigned int index;		/* in the keeper's list */
	struct host_found found;
};

struct device_node_from {
	const struct host *host; /* NULL: this one */
	int keeper;		 /* 0: none */
	bool one_life;		 /* no machine follows this one by a reset of its guest */
};

/*
 * Which node device `i` is reached by. A cdev that was handed over is opened anew, for an open file
 * of one binds once; where that is not allowed the VM has one life with it, or is refused.
 */
int device_node_find(struct device_node *node, const struct config *config, size_t i,
		     const struct device_node_from *from, struct err *err);
/* same: another device's open node of the same group, for a group opens once; else NULL. */
int device_node_open(struct device_node *node, const struct device_node *same, const char *id,
		     struct err *err);
void device_node_close(struct device_node *node);

#endif
