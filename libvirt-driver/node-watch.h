/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of the host's devices: while a client has asked for them, what is there is compared with
 * what was, after each change that a client has made and after each that the kernel tells of.
 */
#ifndef ADIT_LIBVIRT_DRIVER_NODE_WATCH_H
#define ADIT_LIBVIRT_DRIVER_NODE_WATCH_H

#include "libvirt-driver/call.h"

/* From now on; again is nothing. CALL_REFUSED where there is nothing to look at, or no memory. */
int node_watch_begin(struct daemon *daemon, struct refusal *refusal);
/* Tells what has changed since the last time; for a daemon whom nobody has asked it ends. */
void node_watch_look(struct daemon *daemon);
void node_watch_end(struct daemon *daemon);

#endif
