/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the host in libvirt's words: PCI functions, mdevs and their parents, under names made
 * of what they are called in sysfs. Each call looks again.
 */
#ifndef ADIT_LIBVIRT_DRIVER_NODE_H
#define ADIT_LIBVIRT_DRIVER_NODE_H

#include "keeper/host.h"
#include "libvirt-driver/call.h"
#include "libvirt-driver/node-defined.h"

#define NODE_NAME 160u
#define NODE_ROOT "computer"

/* virConnectListAllNodeDeviceFlags */
enum node_cap {
	NODE_SYSTEM = 1 << 0,
	NODE_PCI = 1 << 1,
	NODE_MDEV_TYPES = 1 << 13,
	NODE_MDEV = 1 << 14,
};

struct node {
	char name[NODE_NAME];
	char parent[NODE_NAME]; /* "": the root has none */
	uint32_t caps;
	const struct host_function *function;
	const struct host_mdev *mdev;	    /* that is there */
	const struct node_defined *defined; /* of an mdev, there or not */
	const char *mdev_parent;	    /* a parent that is no PCI function */
};

/* All of them; they point into what was read. */
struct nodes {
	struct host_inventory inventory;
	struct node_defined_list defined;
	struct node *node;
	size_t n;
};
int nodes_read(struct nodes *nodes, const struct host *host);
void nodes_free(struct nodes *nodes);
const struct node *nodes_find(const struct nodes *nodes, const char *name);
/* An mdev that is defined and not there is not active; all else is. */
bool node_is_active(const struct node *node);
/* What the host has by itself is there after the next boot as well. */
bool node_is_persistent(const struct node *node);
/* The mdev that is there, or that is defined. */
struct change_mdev node_mdev(const struct node *node);

void node_name_mdev(char name[NODE_NAME], const char *uuid, const char *parent);
const char *node_cap_name(enum node_cap cap);
/* As it is defined where `defined`, if it is. The caller frees. NULL: no memory. */
char *node_xml(const struct nodes *nodes, const struct node *node, bool defined,
	       const struct host *host);

/* <device> of an mdev that shall be made or defined; its attributes are the caller's to put. */
int node_read_mdev(const char *xml, const struct nodes *nodes, struct node_defined *mdev,
		   struct refusal *refusal);

#endif
