/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One composed ADI on a vfio-user socket: the same function as in a VM of adit's own, over a
 * context of its own (the soft provider), served to one client after another.
 */
#ifndef ADIT_VMM_SERVE_H
#define ADIT_VMM_SERVE_H

#include "util/err.h"
#include "util/log.h"

struct serve;
struct serve_config;

/*
 * Listens on `path`; a socket that nobody listens on is replaced, another is -EADDRINUSE. config
 * and log are borrowed.
 */
int serve_create(struct serve **out, const char *path, const struct serve_config *config,
		 const struct log *log, struct err *err);
/* Removes the socket. */
void serve_destroy(struct serve *serve);

/* Until serve_stop: 0, or -errno where no more clients can be taken. */
int serve_run(struct serve *serve, struct err *err);
/* Any thread, also before serve_run. */
void serve_stop(struct serve *serve);

#endif
