/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composed ADIs on vfio-user sockets, one each: the same functions as in VMs of adit's own, each
 * over a context of its own (the soft provider). Each socket has a thread and serves one client
 * after another; a client reaches its own function and nothing else.
 */
#ifndef ADIT_VMM_SERVE_H
#define ADIT_VMM_SERVE_H

#include "util/err.h"
#include "util/log.h"

struct sandbox;
struct serve;
struct serve_config;

/*
 * paths: a socket for each ADI of the configuration. config, log and sandbox are borrowed;
 * sandbox is for the threads of serve_run, or NULL.
 */
int serve_create(struct serve **out, char *const *paths, const struct serve_config *config,
		 const struct log *log, const struct sandbox *sandbox, struct err *err);
/* Removes the sockets. */
void serve_destroy(struct serve *serve);

/* Until serve_stop: 0, or -errno where a socket can take no more clients, which ends all. */
int serve_run(struct serve *serve, struct err *err);
/* Any thread, also before serve_run. */
void serve_stop(struct serve *serve);

#endif
