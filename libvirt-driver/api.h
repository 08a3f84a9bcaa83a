/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of one adit process: one request on one connection to its API socket (docs/api.md),
 * answered by calls on the loop's thread.
 */
#ifndef ADIT_LIBVIRT_DRIVER_API_H
#define ADIT_LIBVIRT_DRIVER_API_H

#include <stddef.h>
#include <sys/types.h>

#include "util/loop.h"

struct api;

struct api_handler {
	/* A whole line of the body (of events), without its end. NULL: the body is kept for done.
	 */
	void (*line)(void *arg, const char *line);
	/* Once, at the end. status: HTTP's, or 0 where no whole answer came. */
	void (*done)(void *arg, unsigned int status, const char *body);
	void *arg;
};

struct api_request {
	const char *method, *verb;
	const char *body; /* NULL: none */
	const int *fds;	  /* that go with it; they stay the caller's */
	size_t n_fds;	  /* at most API_MAX_FDS */
	uid_t uid;	  /* whose socket it must be: another's may have been put there */
};
#define API_MAX_FDS 4u

/* Connects and sends at once; -errno where nobody listens, -EPERM where another user does. */
int api_ask(struct api **out, struct loop *loop, const char *socket,
	    const struct api_request *request, const struct api_handler *handler);
/* Whom it talks to; -1 where the kernel does not say. */
pid_t api_peer(const struct api *api);
/*
 * Takes what has come by now, for a process that is gone: its last words count, in whatever order
 * the kernel tells of them and of its end. done may be called, as ever. NULL is allowed.
 */
void api_drain(struct api *api);
/* Before or after done; nothing is called any more. NULL is allowed. */
void api_close(struct api *api);

#endif
