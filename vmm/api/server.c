/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener, the clients and the thread. The life tells of its operations and events from other
 * threads; both are noted and posted to the loop, so that clients belong to one thread.
 */
#include "vmm/api/server.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/sandbox.h"
#include "util/unix-socket.h"
#include "vmm/api/internal.h"
#include "vmm/event.h"
#include "vmm/life.h"

#define BACKLOG	     128
#define ACCEPTS	     16 /* in one turn of the loop */
#define STACK_BYTES  (256ul * 1024)
#define SWEEP_NS     1000000000ull
#define EVENTS_QUEUE 1048576ul

uint64_t server_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

/* --- the socket ------------------------------------------------------------------------------ */

static int open_socket(struct server *server, const char *path, struct err *err)
{
	server->path = strdup(path);
	if (!server->path)
		return err_set(err, ENOMEM, "no memory for the API");
	server->fd = unix_socket_listen(path, 0600, BACKLOG, SOCK_NONBLOCK, &server->made);
	if (server->fd >= 0)
		return 0;
	if (server->fd == -ENAMETOOLONG)
		return err_set(err, ENAMETOOLONG,
			       "--api-socket: \"%s\" has %zu bytes; a socket's path has 1 to %zu",
			       path, strlen(path), UNIX_SOCKET_PATH_MAX);
	return err_set(err, -server->fd, "--api-socket: cannot listen on \"%s\": %s", path,
		       server->fd == -EADDRINUSE
			       ? "it is in use by another process, or is no socket"
			       : strerror(-server->fd));
}

/* --- clients --------------------------------------------------------------------------------- */

static void on_connection(void *arg, uint32_t ready);

static void watch_listener(struct server *server)
{
	if (!server->watch)
		loop_watch(server->loop, server->fd, POLLIN, on_connection, server, &server->watch,
			   NULL);
}

static void unwatch_listener(struct server *server)
{
	loop_unwatch(server->watch);
	server->watch = NULL;
}

static void on_sweep(void *arg)
{
	struct server *server = arg;
	struct client *client, *next;
	uint64_t now = server_seconds();

	loop_timer_cancel(server->sweep);
	server->sweep = NULL;
	for (client = server->clients; client; client = next) {
		next = client->next;
		client_sweep(client, now);
	}
	watch_listener(server);
	if (server->clients || !server->watch)
		loop_timer(server->loop, SWEEP_NS, on_sweep, server, &server->sweep, NULL);
}

static void keep_sweeping(struct server *server)
{
	if (!server->sweep)
		loop_timer(server->loop, SWEEP_NS, on_sweep, server, &server->sweep, NULL);
}

/* Room for one more: of those that owe and are owed nothing, who did so for longest goes. */
static bool make_room(struct server *server)
{
	struct client *oldest = NULL;

	if (server->n_clients < SERVER_MAX_CLIENTS)
		return true;
	for (struct client *client = server->clients; client; client = client->next) {
		if (client_is_idle(client) && client->since + 1 < server_seconds() &&
		    (!oldest || client->since <= oldest->since))
			oldest = client;
	}
	if (oldest)
		client_close(oldest);
	return oldest;
}

static bool is_welcome(struct server *server, int fd, struct ucred *peer)
{
	socklen_t size = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0)
		return false;
	if (!peer->uid || peer->uid == geteuid())
		return true;
	log_limited(server->log, &server->limit, LOG_WARN, "api",
		    "uid %u pid %d is refused: the API is for uid %u and root", peer->uid,
		    peer->pid, geteuid());
	return false;
}

/*
 * Who finds no room waits in the listener's queue until the next sweep; so does everybody when the
 * process is out of descriptors, which asking again at once would not mend.
 */
static void on_connection(void *arg, uint32_t ready)
{
	struct server *server = arg;

	keep_sweeping(server);
	for (unsigned int i = 0; i < ACCEPTS; i++) {
		struct ucred peer;
		int fd;

		if (!make_room(server)) {
			unwatch_listener(server);
			return;
		}
		fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0) {
			log_limited(server->log, &server->limit, LOG_WARN, "api",
				    "no connection can be accepted for now: %s", strerror(errno));
			unwatch_listener(server);
			return;
		}
		if (!is_welcome(server, fd, &peer) || client_open(server, fd, peer.pid, peer.uid))
			close(fd);
	}
}

/* --- what the life tells --------------------------------------------------------------------- */

/* Who asked may be gone; what was done is told all the same. */
static void tell_done(struct server *server, const struct life_done *done)
{
	struct client *client = server->clients;
	struct reply reply;

	while (client && client->ticket != done->ticket)
		client = client->next;
	log_line(server->log, LOG_INFO, "api", "errand %llu: %s%s",
		 (unsigned long long)done->ticket, done->ret ? "refused: " : "done, ",
		 done->ret ? done->err.text : done->id);
	if (!client)
		return;
	verbs_done(&reply, done);
	client_answer(client, &reply);
	free(reply.body);
}

static void on_errands(struct server *server)
{
	struct life_done done;

	while (life_collect_errand(server->life, &done))
		tell_done(server, &done);
}

static void on_finished(void *arg)
{
	struct server *server = arg;
	struct client *client;
	struct reply reply;
	struct err err;
	int ret;

	/* May begin an operation: that of a request that came behind an errand's. */
	on_errands(server);
	if (!life_collect(server->life, &ret, &err))
		return;
	client = server->waiter;
	server->waiter = NULL;
	if (!client)
		return;
	verbs_finished(&reply, ret, &err);
	client_answer(client, &reply);
	free(reply.body);
}

static struct event *take_events(struct server *server)
{
	struct event *first;

	pthread_mutex_lock(&server->lock);
	first = server->first;
	server->first = NULL;
	server->last = &server->first;
	server->queued = 0;
	pthread_mutex_unlock(&server->lock);
	return first;
}

static void on_events(void *arg)
{
	struct server *server = arg;
	struct event *event = take_events(server), *next_event;

	for (; event; event = next_event) {
		struct client *client, *next;

		next_event = event->next;
		for (client = server->clients; client; client = next) {
			next = client->next;
			if (client->events)
				client_event(client, event->line, event->len);
		}
		free(event);
	}
}

static void finished(void *arg)
{
	struct server *server = arg;

	loop_post(server->loop, &server->finished);
}

static struct event *make_event(const char *word, const char *detail)
{
	struct json_object *object = event_object(word, detail);
	struct event *event;
	const char *text;
	size_t len;

	text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &len);
	event = text ? malloc(sizeof(*event) + len + 1) : NULL;
	if (event) {
		event->next = NULL;
		memcpy(event->line, text, len);
		event->line[len] = '\n';
		event->len = len + 1;
	}
	json_object_put(object);
	return event;
}

/* Without room or memory an event is lost, which a guest that resets in a loop could cause. */
static void on_life_event(void *arg, const char *word, const char *detail)
{
	struct server *server = arg;
	struct event *event = make_event(word, detail);

	if (!event)
		return;
	pthread_mutex_lock(&server->lock);
	if (server->queued + event->len > EVENTS_QUEUE) {
		free(event);
		event = NULL;
	} else {
		*server->last = event;
		server->last = &event->next;
		server->queued += event->len;
	}
	pthread_mutex_unlock(&server->lock);
	if (event)
		loop_post(server->loop, &server->arrived);
}

/* --- its life -------------------------------------------------------------------------------- */

/* Posted last: what was posted before it has been sent. */
static void on_stop(void *arg)
{
	struct server *server = arg;

	while (server->clients)
		client_close(server->clients);
	loop_stop(server->loop);
}

static void *serve(void *arg)
{
	struct server *server = arg;
	int ret;

	ret = loop_run(server->loop);
	if (ret)
		log_line(server->log, LOG_ERROR, "api", "event loop: %s", strerror(-ret));
	return NULL;
}

int server_create(struct server **out, const char *path, struct life *life, const struct log *log,
		  struct err *err)
{
	struct server *server = calloc(1, sizeof(*server));
	int ret;

	*out = NULL;
	if (!server)
		return err_set(err, ENOMEM, "no memory for the API's server");
	server->life = life;
	server->log = log;
	server->fd = -1;
	server->last = &server->first;
	server->finished = (struct loop_work){ .fn = on_finished, .arg = server };
	server->arrived = (struct loop_work){ .fn = on_events, .arg = server };
	server->stop = (struct loop_work){ .fn = on_stop, .arg = server };
	pthread_mutex_init(&server->lock, NULL);
	ret = loop_create(&server->loop, err);
	if (!ret)
		ret = open_socket(server, path, err);
	if (!ret)
		ret = loop_watch(server->loop, server->fd, POLLIN, on_connection, server,
				 &server->watch, err);
	if (ret) {
		server_destroy(server);
		return ret;
	}
	life_listen(life, finished, server);
	life_watch(life, on_life_event, server);
	*out = server;
	return 0;
}

void server_stop(struct server *server)
{
	if (!server || !server->started)
		return;
	loop_post(server->loop, &server->stop);
	pthread_join(server->thread, NULL);
	server->started = false;
}

void server_destroy(struct server *server)
{
	struct event *event, *next;

	if (!server)
		return;
	server_stop(server);
	while (server->clients)
		client_close(server->clients);
	unwatch_listener(server);
	loop_timer_cancel(server->sweep);
	if (server->loop)
		loop_destroy(server->loop);
	if (server->fd >= 0) {
		unix_socket_remove(server->path, &server->made);
		close(server->fd);
	}
	for (event = take_events(server); event; event = next) {
		next = event->next;
		free(event);
	}
	pthread_mutex_destroy(&server->lock);
	free(server->path);
	free(server);
}

struct loop *server_loop(struct server *server)
{
	return server->loop;
}

int server_start(struct server *server, const struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_thread what = {
		.sandbox = sandbox,
		.role = SANDBOX_API,
		.name = "api",
		.stack = STACK_BYTES,
		.run = serve,
		.arg = server,
	};
	int ret = sandbox_start_thread(&what, &server->thread);

	server->started = !ret;
	return ret ? err_set(err, -ret, "starting the API's thread: %s", strerror(-ret)) : 0;
}
