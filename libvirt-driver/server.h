/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets that clients come to. A listener serves a bounded number of them; who comes then
 * waits in its queue, and not in the way of another listener's.
 */
#ifndef ADIT_LIBVIRT_DRIVER_SERVER_H
#define ADIT_LIBVIRT_DRIVER_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "libvirt-driver/daemon.h"
#include "util/err.h"

struct listener;

/*
 * A socket at `path` with that mode from its first moment on. A socket that nobody serves any more
 * is replaced; one that somebody serves is not. The directory is made (0755) where it is missing.
 */
int listener_open(struct listener **out, struct daemon *daemon, const char *path, mode_t mode,
		  bool readonly, struct err *err);
/* One that listens already, as systemd hands it over; the descriptor is taken over. */
int listener_adopt(struct listener **out, struct daemon *daemon, int fd, struct err *err);
/* Closes its clients, and removes the path where it was made here. NULL is allowed. */
void listener_close(struct listener *listener);

#endif
