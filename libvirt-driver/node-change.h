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
	NODE_TAKE,	/* the functions of the task, which are known as they were before */
	NODE_RETURN,	/* and back to what they were */
	NODE_AUTOSTART, /* all that are defined so and are not there */
};

struct node_task {
	enum node_verb verb;
	char bdf[HOST_NAME_CHARS + 1];		 /* "": none, or several */
	uint8_t uuid[XDR_UUID];			 /* of the domain that it is for, if any */
	const struct change_function *functions; /* needed until the change has begun */
	size_t n_functions;
	struct node_defined mdev;
	bool with_text; /* what the call is answered with where it was done */
	char text[NODE_NAME];
};

/* Who is told of the end; failure: NULL where it was done. */
struct node_then {
	void (*fn)(void *arg, struct daemon *daemon, const struct node_task *task,
		   const struct refusal *failure);
	void *arg;
};

/* CALL_LATER: the call is answered when the child has ended. Keeps no pointer of the task's. */
int node_change(struct call *call, const struct node_task *task);
/* The same for the daemon's own. then->fn is not called where it is refused. */
int node_change_then(struct daemon *daemon, const struct node_task *task,
		     const struct node_then *then, struct refusal *refusal);
/*
 * Makes the mdevs that are marked for it. False: there is none, or no child could be started (which
 * is logged), and nobody is told.
 */
bool node_autostart(struct daemon *daemon, const struct node_then *then);
/* Lets go of the children that are under way. */
void node_changes_forget(struct daemon *daemon);

#endif
