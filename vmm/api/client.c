/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection. It has at most one request in work; the next is not read before the answer to the
 * last is sent, so that what a client can make us keep is one request and one answer. All of it
 * runs on the server's loop.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/api/http.h"
#include "vmm/api/internal.h"
#include "vmm/config.h"
#include "vmm/life.h"

#define OUT_KEPT 4096u

static void on_ready(void *arg, uint32_t ready);

int client_open(struct server *server, int fd, pid_t pid, uid_t uid)
{
	struct client *client = calloc(1, sizeof(*client));
	int ret = client ? 0 : -ENOMEM;

	if (!ret)
		ret = http_create(&client->http, HTTP_REQUESTS, CONFIG_MAX_BYTES);
	if (!ret)
		ret = loop_watch(server->loop, fd, POLLIN, on_ready, client, &client->watch, NULL);
	if (ret) {
		if (client)
			http_destroy(client->http);
		free(client);
		return ret;
	}
	client->server = server;
	client->fd = fd;
	client->watched = POLLIN;
	client->pid = pid;
	client->uid = uid;
	client->since = server_seconds();
	client->next = server->clients;
	if (client->next)
		client->next->prev = client;
	server->clients = client;
	server->n_clients++;
	return 0;
}

static void drop_fds(struct client *client)
{
	while (client->n_fds)
		close(client->fds[--client->n_fds]);
}

void client_close(struct client *client)
{
	struct server *server = client->server;

	if (client->prev)
		client->prev->next = client->next;
	else
		server->clients = client->next;
	if (client->next)
		client->next->prev = client->prev;
	server->n_clients--;
	if (server->waiter == client)
		server->waiter = NULL;
	/* Also where it could not be told, or did not listen. */
	if (client->quits)
		life_quit(server->life);
	loop_unwatch(client->watch);
	close(client->fd);
	drop_fds(client);
	http_destroy(client->http);
	free(client->out);
	free(client);
}

bool client_is_idle(const struct client *client)
{
	return !client->out_len && !client->waits && !client->events &&
	       !http_is_amid(client->http) && client->in_at == client->in_len;
}

/* False: it had to be closed. A hang-up is always watched. */
static bool want(struct client *client, uint32_t events)
{
	if (client->watched == events)
		return true;
	loop_unwatch(client->watch);
	client->watch = NULL;
	client->watched = events;
	if (!loop_watch(client->server->loop, client->fd, events, on_ready, client, &client->watch,
			NULL))
		return true;
	client_close(client);
	return false;
}

/* --- sending --------------------------------------------------------------------------------- */

/* False: no memory; nothing was added. */
static bool put(struct client *client, const char *bytes, size_t n)
{
	if (client->out_at) {
		client->out_len -= client->out_at;
		memmove(client->out, client->out + client->out_at, client->out_len);
		client->out_at = 0;
	}
	if (client->out_size - client->out_len < n) {
		size_t size = MAX(client->out_len + n, 512);
		char *out = realloc(client->out, size);

		if (!out)
			return false;
		client->out = out;
		client->out_size = size;
	}
	memcpy(client->out + client->out_len, bytes, n);
	client->out_len += n;
	return true;
}

/* Everything is sent. False: it is closed. */
static bool sent(struct client *client)
{
	bool closes = client->closes;

	client->out_at = 0;
	client->out_len = 0;
	if (client->out_size > OUT_KEPT) {
		free(client->out);
		client->out = NULL;
		client->out_size = 0;
	}
	if (closes)
		client_close(client);
	return !closes;
}

/* False: the client is closed. Who cannot be sent to any more is; that ends the process as well. */
static bool flush(struct client *client)
{
	while (client->out_at < client->out_len) {
		ssize_t n = send(client->fd, client->out + client->out_at,
				 client->out_len - client->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return want(client, POLLOUT);
		if (n < 0) {
			client->closes = true;
			break;
		}
		client->out_at += (size_t)n;
		client->since = server_seconds();
	}
	return sent(client);
}

static bool put_head(struct client *client, const struct reply *reply)
{
	char head[512];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\nServer: adit\r\n", reply->status,
			 http_reason(reply->status));

	if (reply->type)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Type: %s\r\n",
			      reply->type);
	if (reply->allow)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Allow: %s\r\n", reply->allow);
	/* RFC 9112 6.3: a 204 has no length, a stream ends with the connection. */
	if (reply->kind != REPLY_EVENTS && reply->status != 204)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n",
			      reply->len);
	if (client->closes || reply->kind == REPLY_EVENTS)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Connection: close\r\n");
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	return put(client, head, (size_t)n);
}

/* Puts the answer and ends the request. False: it is closed. */
static bool answer(struct client *client, const struct reply *reply)
{
	client->since = server_seconds();
	if (reply->kind == REPLY_QUIT ||
	    (reply->kind != REPLY_EVENTS && !http_keeps_open(client->http)))
		client->closes = true;
	client->events = reply->kind == REPLY_EVENTS;
	client->quits = reply->kind == REPLY_QUIT;
	http_next(client->http);
	if (!put_head(client, reply) || (reply->len && !put(client, reply->body, reply->len))) {
		client_close(client);
		return false;
	}
	return flush(client);
}

/* --- receiving ------------------------------------------------------------------------------- */

/* False: it is closed. */
static bool serve(struct client *client)
{
	struct server *server = client->server;
	struct request request = {
		.method = http_method(client->http),
		.target = http_target(client->http),
		.pid = client->pid,
		.uid = client->uid,
	};
	struct reply reply;
	bool open = true;

	request.body = http_body(client->http, &request.len);
	request.fds = client->fds;
	request.n_fds = client->n_fds;
	verbs_serve(server->life, server->log, &request, &reply);
	/* Taken, or of no use to it. */
	if (!request.n_fds)
		client->n_fds = 0;
	drop_fds(client);
	if (reply.kind == REPLY_LATER) {
		client->waits = true;
		client->ticket = reply.ticket;
		if (!reply.ticket)
			server->waiter = client;
		open = want(client, 0);
	} else {
		open = answer(client, &reply);
	}
	free(reply.body);
	return open;
}

static bool refuse(struct client *client)
{
	unsigned int status = http_status(client->http);
	struct server *server = client->server;
	struct reply reply = { 0 };
	bool open;

	log_limited(server->log, &server->limit, LOG_WARN, "api",
		    "a request of uid %u pid %d is refused with %u (%s)", client->uid, client->pid,
		    status, http_reason(status));
	reply_refuse(&reply, status,
		     "%s: a request is HTTP/1.1, its head at most %u bytes and its "
		     "body at most %u",
		     http_reason(status), HTTP_MAX_HEAD, CONFIG_MAX_BYTES);
	client->closes = true;
	open = answer(client, &reply);
	free(reply.body);
	return open;
}

static bool may_go_on(const struct client *client)
{
	return !client->waits && !client->out_len && !client->events && !client->closes;
}

/* Request after request out of what was read. False: it is closed. */
static bool serve_all(struct client *client)
{
	while (client->in_at < client->in_len && may_go_on(client)) {
		size_t taken;
		enum http_state state = http_feed(client->http, client->in + client->in_at,
						  client->in_len - client->in_at, &taken);

		client->in_at += taken;
		if (state == HTTP_BAD ? !refuse(client) : state == HTTP_DONE && !serve(client))
			return false;
	}
	if (!may_go_on(client))
		return true;
	if (http_wants_continue(client->http)) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

		if (!put(client, go_on, sizeof(go_on) - 1)) {
			client_close(client);
			return false;
		}
		if (!flush(client))
			return false;
	}
	return true;
}

/* Keeps as many as there is room for; the kernel closes what does not fit into the message. */
static void keep_fds(struct client *client, struct msghdr *message)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (client->n_fds < CLIENT_FDS && !client->events)
				client->fds[client->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static ssize_t receive_some(struct client *client)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CLIENT_FDS * sizeof(int))];
	struct iovec piece = { .iov_base = client->in, .iov_len = sizeof(client->in) };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t n;

	do {
		n = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		keep_fds(client, &message);
	return n;
}

/* What a client of events sends is thrown away; its end is seen so. */
static void receive(struct client *client)
{
	ssize_t n = receive_some(client);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	/* A request's time runs from its first byte. */
	if (!http_is_amid(client->http))
		client->since = server_seconds();
	client->in_at = 0;
	client->in_len = client->events ? 0 : (size_t)n;
	if (serve_all(client) && may_go_on(client))
		want(client, POLLIN);
}

static void on_ready(void *arg, uint32_t ready)
{
	struct client *client = arg;

	if (ready & (POLLERR | POLLNVAL) || (ready & POLLHUP && client->waits)) {
		client_close(client);
	} else if (ready & POLLOUT) {
		if (!flush(client) || client->out_len)
			return;
		if (serve_all(client) && (may_go_on(client) || client->events))
			want(client, POLLIN);
	} else if (ready & (POLLIN | POLLHUP)) {
		receive(client);
	}
}

void client_answer(struct client *client, const struct reply *reply)
{
	client->waits = false;
	client->ticket = 0;
	if (answer(client, reply) && serve_all(client) && may_go_on(client))
		want(client, POLLIN);
}

void client_event(struct client *client, const char *line, size_t len)
{
	struct server *server = client->server;

	if (client->out_len - client->out_at > CLIENT_EVENTS || !put(client, line, len)) {
		log_limited(server->log, &server->limit, LOG_WARN, "api",
			    "uid %u pid %d does not take its events: closed", client->uid,
			    client->pid);
		client_close(client);
		return;
	}
	flush(client);
}

void client_sweep(struct client *client, uint64_t now)
{
	uint64_t age = now - client->since;
	bool busy = client->out_len || http_is_amid(client->http);

	if (client->waits || (client->events && !client->out_len))
		return;
	if (age > (busy ? REQUEST_SECONDS : IDLE_SECONDS))
		client_close(client);
}
