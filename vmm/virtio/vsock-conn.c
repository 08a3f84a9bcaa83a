/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: a UNIX socket on one side, ports and credit on the other.
 *
 * Source: OASIS virtio 1.2, section 5.10.6; the text protocol: Firecracker's docs/vsock.md.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/virtio/vsock-internal.h"

#define ANSWER_NS 2000000000u /* as long as clients wait by Linux's default (af_vsock.c) */
#define ACCEPT_NS 1000000000u

static void conn_ready(void *arg, uint32_t ready);

/* --- life ------------------------------------------------------------------------------------ */

struct conn *conn_new(struct vsock *vsock, int fd, enum conn_state state)
{
	struct conn *conn = vsock->n_conns < VSOCK_CONNECTIONS ? calloc(1, sizeof(*conn)) : NULL;

	if (!conn)
		return NULL;
	conn->vsock = vsock;
	conn->fd = fd;
	conn->state = state;
	conn->next = vsock->conns;
	vsock->conns = conn;
	vsock->n_conns++;
	return conn;
}

static void unwatch(struct conn *conn)
{
	loop_unwatch(conn->watch);
	conn->watch = NULL;
	conn->events = 0;
}

static void stop_timer(struct conn *conn)
{
	loop_timer_cancel(conn->timer);
	conn->timer = NULL;
}

static void hang_up(struct conn *conn)
{
	unwatch(conn);
	stop_timer(conn);
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}

void conn_free(struct conn *conn)
{
	struct conn **at = &conn->vsock->conns;

	while (*at != conn)
		at = &(*at)->next;
	*at = conn->next;
	conn->vsock->n_conns--;
	hang_up(conn);
	free(conn->buffer);
	free(conn);
}

void conn_reset(struct conn *conn)
{
	hang_up(conn);
	conn->state = CONN_DEAD;
	conn->tell = TELL_RESET;
}

uint32_t conn_credit(const struct conn *conn)
{
	uint32_t in_flight = conn->tx_count - conn->peer_forwarded;

	return in_flight < conn->peer_buffer ? conn->peer_buffer - in_flight : 0;
}

static uint32_t wanted(const struct conn *conn)
{
	uint32_t events = 0;

	if (conn->state == CONN_HELLO)
		return POLLIN;
	if (conn->state != CONN_OPEN)
		return 0;
	if (!conn->host_ended && conn_credit(conn) && !conn->vsock->starved)
		events |= POLLIN;
	if (conn->used)
		events |= POLLOUT;
	return events;
}

void conn_watch(struct conn *conn)
{
	uint32_t events = wanted(conn);
	struct err err;

	if (events == conn->events)
		return;
	unwatch(conn);
	if (!events)
		return;
	if (loop_watch(conn->vsock->host.loop, conn->fd, events, conn_ready, conn, &conn->watch,
		       &err))
		conn_reset(conn);
	else
		conn->events = events;
}

/* --- from the guest to the host -------------------------------------------------------------- */

/* The guest learns that there is room again when half of it came free. */
static void forward(struct conn *conn, uint32_t n)
{
	conn->forwarded += n;
	if (conn->forwarded - conn->told_forwarded >= VSOCK_BUFFER / 2)
		conn->tell |= TELL_CREDIT;
}

static void end_output(struct conn *conn)
{
	if (conn->used || !conn->guest_ended)
		return;
	(void)shutdown(conn->fd, SHUT_WR);
	if (conn->host_ended)
		conn_reset(conn);
}

/* The peer reads no more. What it wrote before still reaches the guest. */
static void output_lost(struct conn *conn)
{
	conn->used = 0;
	conn->guest_ended = true;
	if (conn->host_ended)
		conn_reset(conn);
}

static void write_buffer(struct conn *conn)
{
	while (conn->used) {
		uint32_t n = MIN(conn->used, VSOCK_BUFFER - conn->start);
		ssize_t done =
			send(conn->fd, conn->buffer + conn->start, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (done < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (done <= 0) {
			output_lost(conn);
			return;
		}
		conn->start = (conn->start + (uint32_t)done) % VSOCK_BUFFER;
		conn->used -= (uint32_t)done;
		forward(conn, (uint32_t)done);
	}
	end_output(conn);
}

bool conn_take(struct conn *conn, const struct virtq_chain *chain, uint64_t skip, uint32_t len)
{
	if (len > VSOCK_BUFFER - conn->used || conn->guest_ended)
		return false;
	if (!conn->buffer)
		conn->buffer = malloc(VSOCK_BUFFER);
	if (!conn->buffer)
		return false;
	conn->rx_count += len;
	while (len) {
		uint32_t at = (conn->start + conn->used) % VSOCK_BUFFER;
		uint32_t n = MIN(len, VSOCK_BUFFER - at);

		virtq_read(chain, skip, conn->buffer + at, n);
		conn->used += n;
		skip += n;
		len -= n;
	}
	write_buffer(conn);
	return true;
}

void conn_shutdown(struct conn *conn, uint32_t flags)
{
	if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND)
		conn->guest_ended = true;
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		conn->host_ended = true;
		(void)shutdown(conn->fd, SHUT_RD);
	}
	end_output(conn);
}

/* --- from the host: who comes, and with what ------------------------------------------------- */

static uint32_t free_port(struct vsock *vsock)
{
	for (;;) {
		uint32_t port = vsock->next_port++;
		bool taken = false;

		if (vsock->next_port < VSOCK_FIRST_PORT)
			vsock->next_port = VSOCK_FIRST_PORT;
		for (struct conn *c = vsock->conns; c; c = c->next)
			taken |= c->host_port == port;
		if (!taken)
			return port;
	}
}

/* "CONNECT 1234": the port, or false. */
static bool parse_hello(const char *line, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	uint64_t value = 0;

	if (strncmp(line, word, sizeof(word) - 1) != 0)
		return false;
	line += sizeof(word) - 1;
	if (!*line)
		return false;
	for (; *line >= '0' && *line <= '9'; line++) {
		value = value * 10 + (uint64_t)(*line - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*port = (uint32_t)value;
	return !*line;
}

/* Of what the guest was not told it hears no end either. */
static void on_late(void *arg)
{
	struct conn *conn = arg;
	struct vsock *vsock = conn->vsock;

	virtio_lock(vsock->device);
	if (conn->tell & TELL_REQUEST) {
		conn_free(conn);
	} else {
		conn_reset(conn);
		vsock_pump(vsock);
	}
	virtio_unlock(vsock->device);
}

/* Byte by byte: what follows the line is the guest's. */
static void read_hello(struct conn *conn)
{
	struct vsock *vsock = conn->vsock;
	struct err err;
	ssize_t n;

	while (conn->n_hello < VSOCK_HELLO_MAX) {
		char *at = conn->hello + conn->n_hello;

		n = recv(conn->fd, at, 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			break;
		conn->n_hello++;
		if (*at != '\n')
			continue;
		*at = 0;
		if (!virtio_live(vsock->device, 0) || !parse_hello(conn->hello, &conn->guest_port))
			break;
		if (loop_timer(vsock->host.loop, ANSWER_NS, on_late, conn, &conn->timer, &err))
			break;
		conn->host_port = free_port(vsock);
		conn->state = CONN_ASKED;
		conn->tell = TELL_REQUEST;
		conn_watch(conn);
		vsock_pump(vsock);
		return;
	}
	conn_free(conn);
}

void conn_accepted(struct conn *conn)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "OK %u\n", conn->host_port);

	stop_timer(conn);
	conn->state = CONN_OPEN;
	if (send(conn->fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		conn_reset(conn);
}

int conn_dial(struct vsock *vsock, uint32_t guest_port, uint32_t port)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd, n = snprintf(to.sun_path, sizeof(to.sun_path), "%s_%u", vsock->path, port);
	struct conn *conn;

	if (n < 0 || (size_t)n >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its backlog is full, which is a refusal like others. */
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to))) {
		n = -errno;
		close(fd);
		return n;
	}
	conn = conn_new(vsock, fd, CONN_OPEN);
	if (!conn) {
		close(fd);
		return -EMFILE;
	}
	conn->guest_port = guest_port;
	conn->host_port = port;
	conn->tell = TELL_RESPONSE;
	return 0;
}

static void on_ready(struct conn *conn, uint32_t ready)
{
	struct vsock *vsock = conn->vsock;

	if (conn->state == CONN_HELLO) {
		read_hello(conn);
		return;
	}
	if (ready & POLLOUT)
		write_buffer(conn);
	/* Where input is watched, the end of the peer reads as its end. */
	else if (ready & (POLLHUP | POLLERR) && !(ready & POLLIN))
		output_lost(conn);
	if (virtio_live(vsock->device, 0))
		vsock_pump(vsock);
	else
		unwatch(conn); /* paused or broken: a kick watches again */
}

static void conn_ready(void *arg, uint32_t ready)
{
	struct conn *conn = arg;
	struct virtio_device *device = conn->vsock->device;

	virtio_lock(device);
	on_ready(conn, ready);
	virtio_unlock(device);
}

/* --- the listener ---------------------------------------------------------------------------- */

static int watch_listener(struct vsock *vsock, struct err *err);

static void on_accept_again(void *arg)
{
	struct vsock *vsock = arg;
	struct err err;

	loop_timer_cancel(vsock->listen_timer);
	vsock->listen_timer = NULL;
	(void)watch_listener(vsock, &err);
}

/* Asking again at once would not mend it: clients wait in the listener's queue for a second. */
static void rest_listener(struct vsock *vsock, int error)
{
	struct err err;

	log_limited(vsock->host.log, &vsock->limit, LOG_WARN, "vsock",
		    "no connection can be accepted for now: %s", strerror(error));
	if (loop_timer(vsock->host.loop, ACCEPT_NS, on_accept_again, vsock, &vsock->listen_timer,
		       &err))
		return;
	loop_unwatch(vsock->listen_watch);
	vsock->listen_watch = NULL;
}

static void take_client(struct vsock *vsock, int fd)
{
	struct conn *conn = conn_new(vsock, fd, CONN_HELLO);

	if (conn) {
		conn_watch(conn);
		return;
	}
	close(fd);
	log_limited(vsock->host.log, &vsock->limit, LOG_WARN, "vsock",
		    "a client is refused: there are %u connections", vsock->n_conns);
}

static void on_client(void *arg, uint32_t ready)
{
	struct vsock *vsock = arg;
	int fd = accept4(vsock->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int error = fd < 0 ? errno : 0;

	virtio_lock(vsock->device);
	if (!error)
		take_client(vsock, fd);
	else if (error != EAGAIN && error != EINTR && error != ECONNABORTED)
		rest_listener(vsock, error);
	virtio_unlock(vsock->device);
}

static int watch_listener(struct vsock *vsock, struct err *err)
{
	return loop_watch(vsock->host.loop, vsock->listen_fd, POLLIN, on_client, vsock,
			  &vsock->listen_watch, err);
}

int vsock_listen(struct vsock *vsock, struct err *err)
{
	vsock->listen_fd = unix_socket_listen(vsock->path, 0777, 64, SOCK_NONBLOCK, &vsock->made);
	if (vsock->listen_fd < 0)
		return err_set(err, -vsock->listen_fd, "/vsock/socket: %s: %s", vsock->path,
			       vsock->listen_fd == -EADDRINUSE
				       ? "is there already and somebody listens on it"
				       : strerror(-vsock->listen_fd));
	return watch_listener(vsock, err);
}

void vsock_unlisten(struct vsock *vsock)
{
	loop_unwatch(vsock->listen_watch);
	loop_timer_cancel(vsock->listen_timer);
	if (vsock->listen_fd >= 0) {
		unix_socket_remove(vsock->path, &vsock->made);
		close(vsock->listen_fd);
	}
}
