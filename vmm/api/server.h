/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's server: HTTP on a UNIX socket, on a thread and an event loop of its own, so that no
 * client is ever in the way of the VM's. Its socket is 0600, and peers whose uid is neither ours
 * nor root's are closed. Clients are bounded in number, in what they may send and in what is kept
 * for them; who is slow waits alone.
 */
#ifndef ADIT_VMM_API_SERVER_H
#define ADIT_VMM_API_SERVER_H

#include "util/err.h"
#include "util/log.h"

struct life;
struct loop;
struct sandbox;
struct server;

#define SERVER_MAX_CLIENTS 256u

/*
 * Listens at `path` (a socket there that nobody serves is replaced; -EADDRINUSE else) and listens
 * to the life. Nothing is served before server_start.
 */
int server_create(struct server **out, const char *path, struct life *life, const struct log *log,
		  struct err *err);
/*
 * After life_run: sends what the life told until now, closes all clients and ends the thread. NULL
 * is allowed, as is a server that was not started.
 */
void server_stop(struct server *server);
/* Stops first, where that was not done; removes the socket. NULL is allowed. */
void server_destroy(struct server *server);

/* For who wants to watch something on it before server_start. */
struct loop *server_loop(struct server *server);
/* sandbox: for its thread; NULL: none. */
int server_start(struct server *server, const struct sandbox *sandbox, struct err *err);

#endif
