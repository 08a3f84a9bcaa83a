/* SPDX-License-Identifier: Apache-2.0 */
/* Private to procedures-node.c and procedures-mdev.c: what calls about the host's devices begin
 * with. */
#ifndef ADIT_LIBVIRT_DRIVER_PROCEDURES_NODE_H
#define ADIT_LIBVIRT_DRIVER_PROCEDURES_NODE_H

#include "libvirt-driver/node-change.h"
#include "libvirt-driver/node.h"
#include "libvirt-driver/procedures.h"

/* False: refused. A daemon without a host to look at has no devices to speak of. */
bool read_nodes(struct call *call, struct nodes *nodes);
/* The device of that name; NULL: refused, and nothing to free. */
const struct node *find_node(struct call *call, const char *name, struct nodes *nodes);
/* A change to what adit calls `path`, unless a running domain has it. */
int start_node_change(struct call *call, const char *path, const struct node_task *task);

#endif
