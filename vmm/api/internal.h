/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's two files know of each other: client.c has one connection, server.c the
 * listener, the list of clients and the thread.
 */
#ifndef ADIT_VMM_API_INTERNAL_H
#define ADIT_VMM_API_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "util/log.h"
#include "util/loop.h"
#include "vmm/api/verbs.h"

#define CLIENT_READ	4096u
#define CLIENT_FDS	32u	 /* that come with one request; more are closed */
#define CLIENT_EVENTS	262144ul /* bytes of events that wait for one client */
#define REQUEST_SECONDS 10u	 /* for a request to come, and for an answer to be taken */
#define IDLE_SECONDS	300u

struct client {
	struct server *server;
	struct client *prev, *next;
	int fd;
	struct loop_watch *watch;
	uint32_t watched; /* events of the watch */
	struct http *http;
	pid_t pid;
	uid_t uid;

	char in[CLIENT_READ];
	size_t in_at, in_len;
	int fds[CLIENT_FDS]; /* with the request that is coming */
	unsigned int n_fds;
	char *out;
	size_t out_at, out_len, out_size;

	bool waits;	 /* for the life's operation: it is server->waiter; or for its errand: */
	uint64_t ticket; /* not 0 */
	bool events;	 /* gets events and sends nothing any more */
	bool closes;	 /* when `out` is sent */
	bool quits;	 /* and the process ends */
	uint64_t since;	 /* server_seconds of the last step forward */
};

/* Lines of events on their way to the loop's thread. */
struct event {
	struct event *next;
	size_t len;
	char line[];
};

struct server {
	struct life *life;
	const struct log *log;
	struct log_limit limit; /* for what clients can cause */
	struct loop *loop;
	pthread_t thread;
	bool started;

	int fd;
	char *path;
	struct stat made;	  /* what `path` was when we made it */
	struct loop_watch *watch; /* NULL: not accepting for now */
	struct loop_timer *sweep; /* while there are clients */

	struct client *clients;
	unsigned int n_clients;
	struct client *waiter; /* who gets the answer of the life's operation; NULL: gone */

	struct loop_work finished, arrived, stop;
	pthread_mutex_t lock;
	struct event *first, **last; /* under lock */
	size_t queued;		     /* bytes; under lock */
};

uint64_t server_seconds(void);

int client_open(struct server *server, int fd, pid_t pid, uid_t uid);
void client_close(struct client *client);
/* All three may close the client. */
void client_answer(struct client *client, const struct reply *reply);
void client_event(struct client *client, const char *line, size_t len);
void client_sweep(struct client *client, uint64_t now);

/* Nothing of a request is here and nothing is owed. */
bool client_is_idle(const struct client *client);

#endif
