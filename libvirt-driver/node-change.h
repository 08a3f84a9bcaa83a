/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to the host that a client asks for: a driver may take seconds to let a device go, or
 * never do, so each is made by a child process, which has nothing but its task.
 */
#ifndef ADIT_LIBVIRT_DRIVER_NODE_CHANGE_H
#define ADIT_LIBVIRT_DRIVER_NODE_CHANGE_H

#include "keeper/change.h"
#include "libvirt-driver/node.h"

enum node_verb {
	NODE_DETACH,   /* a function from its driver to vfio-pci */
	NODE_REATTACH, /* and back to whoever wants it */
	NODE_RESET,
	NODE_CREATE, /* an mdev */
	NODE_REMOVE,
	NODE_AUTOSTART, /* all that are defined so and are not there */
};

struct node_task {
	enum node_verb verb;
	char bdf[HOST_NAME_CHARS + 1];
	struct node_defined mdev;
	bool with_text; /* what the call is answered with where it was done */
	char text[NODE_NAME];
};

/* CALL_LATER: the call is answered when the child has ended. Keeps no pointer of the task's. */
int node_change(struct call *call, const struct node_task *task);
/*
 * Makes the mdevs that are marked for it, and then calls fn. False: there is none, or no child
 * could be started (which is logged), and fn is not called.
 */
bool node_autostart(struct daemon *daemon, void (*fn)(struct daemon *daemon));
/* Lets go of the children that are under way. */
void node_changes_forget(struct daemon *daemon);

#endif
