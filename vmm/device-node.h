/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a device of the configuration to an open VFIO node: the cdev of its own, or its group's.
 * Nothing is bound, made or taken here: what is not ready is refused.
 */
#ifndef ADIT_VMM_DEVICE_NODE_H
#define ADIT_VMM_DEVICE_NODE_H

#include <stdbool.h>

#include "util/err.h"
#include "vmm/config.h"

struct device_node {
	int fd;	       /* -1: none */
	bool taken;    /* somebody else closes it */
	bool group;    /* a group's node, else a cdev */
	int number;    /* of the group, where it is one */
	char name[64]; /* BDF or UUID; "" where only the descriptor knows */
	char path[128];
};

/* Which node; a descriptor that was handed over is there already. */
int device_node_find(struct device_node *node, const struct config_device *device,
		     enum config_provider provider, struct err *err);
/* same: another device's open node of the same group, for a group opens once; else NULL. */
int device_node_open(struct device_node *node, const struct device_node *same, const char *id,
		     struct err *err);
void device_node_close(struct device_node *node);

#endif
