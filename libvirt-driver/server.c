/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners and the connections of their clients. Who may connect is the socket's mode; where that
 * lets only the owner in, the peer's uid is looked at as well, for a mode can be changed.
 */
#include "libvirt-driver/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libvirt-driver/session.h"
#include "libvirt-driver/wire.h"
#include "util/bits.h"
#include "util/unix-socket.h"

#define MAX_CLIENTS 64u
#define BACKLOG	    64
#define PIECE	    65536u

struct connection {
	struct listener *listener;
	struct connection *prev, *next;
	int fd;
	struct loop_watch *in, *out; /* out: only while something waits */
	struct session *session;
};

struct listener {
	struct daemon *daemon;
	int fd;
	struct loop_watch *watch; /* NULL while it is full */
	bool readonly, private;
	bool made;	  /* the path is ours to remove */
	struct stat stat; /* and what it was then */
	char path[UNIX_SOCKET_PATH_MAX + 1];
	struct connection *connections;
	unsigned int n;
};

static int watch_listener(struct listener *listener, struct err *err);

/* --- connections ----------------------------------------------------------------------------- */

static void drop(struct connection *connection)
{
	struct listener *listener = connection->listener;

	if (connection->prev)
		connection->prev->next = connection->next;
	else
		listener->connections = connection->next;
	if (connection->next)
		connection->next->prev = connection->prev;
	listener->n--;
	loop_unwatch(connection->in);
	loop_unwatch(connection->out);
	session_destroy(connection->session);
	close(connection->fd);
	free(connection);
	if (listener->fd >= 0 && !listener->watch)
		watch_listener(listener, NULL);
}

static void on_writable(void *arg, uint32_t ready);

/* There is something to send: when the kernel takes it, not from within whoever made it. */
static void want_out(void *arg)
{
	struct connection *connection = arg;

	if (!connection->out)
		loop_watch(connection->listener->daemon->loop, connection->fd, POLLOUT, on_writable,
			   connection, &connection->out, NULL);
}

/* As recv(2); the descriptors among them go to the session first. -1 with EPROTO: not taken. */
static ssize_t receive(struct connection *connection, void *piece, size_t len)
{
	union {
		char bytes[CMSG_SPACE(WIRE_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { piece, len };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(connection->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	bool taken = n < 0 || !(message.msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&message); c;
	     c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (session_give(connection->session, fd))
				taken = false;
		}
	}
	if (taken)
		return n;
	errno = EPROTO;
	return -1;
}

/* False: the connection is gone. */
static bool flush(struct connection *connection)
{
	const uint8_t *bytes;
	size_t len;

	while (bytes = session_pending(connection->session, &len), len) {
		ssize_t n = send(connection->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			want_out(connection);
			return true;
		}
		if (n < 0) {
			drop(connection);
			return false;
		}
		session_sent(connection->session, (size_t)n);
	}
	loop_unwatch(connection->out);
	connection->out = NULL;
	if (!session_is_over(connection->session))
		return true;
	drop(connection);
	return false;
}

static void on_writable(void *arg, uint32_t ready)
{
	flush(arg);
}

static void on_readable(void *arg, uint32_t ready)
{
	struct connection *connection = arg;
	struct daemon *daemon = connection->listener->daemon;
	uint8_t piece[PIECE];
	size_t waits;
	ssize_t n;
	int ret;

	/* Who does not take answers is not read from: the next turn looks again. */
	session_pending(connection->session, &waits);
	if (waits > PIECE && !flush(connection))
		return;
	n = receive(connection, piece, sizeof(piece));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(connection);
		return;
	}
	ret = session_feed(connection->session, piece, (size_t)n);
	if (ret)
		log_line(daemon->log, LOG_WARN, "client", "closed: %s",
			 ret == -EPROTO ? "it does not speak the protocol" : strerror(-ret));
	flush(connection);
}

static int add(struct listener *listener, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	const struct session_options options = {
		.readonly = listener->readonly,
		.ready = want_out,
		.arg = connection,
	};

	if (!connection)
		return -ENOMEM;
	connection->listener = listener;
	connection->fd = fd;
	if (session_create(&connection->session, listener->daemon, &options) ||
	    loop_watch(listener->daemon->loop, fd, POLLIN, on_readable, connection, &connection->in,
		       NULL)) {
		session_destroy(connection->session);
		free(connection);
		return -ENOMEM;
	}
	connection->next = listener->connections;
	if (connection->next)
		connection->next->prev = connection;
	listener->connections = connection;
	if (++listener->n == MAX_CLIENTS) {
		loop_unwatch(listener->watch);
		listener->watch = NULL;
	}
	return 0;
}

static bool may_connect(const struct listener *listener, int fd)
{
	const struct log *log = listener->daemon->log;
	socklen_t len = sizeof(struct ucred);
	struct ucred peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (listener->private && peer.uid && peer.uid != geteuid()) {
		log_line(log, LOG_WARN, "client", "uid %u pid %d refused: the socket is private",
			 peer.uid, peer.pid);
		return false;
	}
	log_line(log, LOG_DEBUG, "client", "uid %u pid %d%s", peer.uid, peer.pid,
		 listener->readonly ? ", read-only" : "");
	return true;
}

static void on_client(void *arg, uint32_t ready)
{
	struct listener *listener = arg;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && (!may_connect(listener, fd) || add(listener, fd)))
		close(fd);
}

/* --- listeners ------------------------------------------------------------------------------- */

static int watch_listener(struct listener *listener, struct err *err)
{
	return loop_watch(listener->daemon->loop, listener->fd, POLLIN, on_client, listener,
			  &listener->watch, err);
}

static int make_parent(const char *path)
{
	char dir[UNIX_SOCKET_PATH_MAX + 1];
	char *slash;

	memcpy(dir, path, strlen(path) + 1);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int listen_at(struct listener *listener, const char *path, mode_t mode)
{
	/* The mode is the one that was asked for. */
	mode_t mask = umask(0);

	listener->fd = unix_socket_listen(path, mode, BACKLOG, SOCK_NONBLOCK, &listener->stat);
	umask(mask);
	return listener->fd < 0 ? listener->fd : 0;
}

static struct listener *make(struct daemon *daemon, int fd)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener) {
		listener->daemon = daemon;
		listener->fd = fd;
	}
	return listener;
}

int listener_open(struct listener **out, struct daemon *daemon, const char *path, mode_t mode,
		  bool readonly, struct err *err)
{
	struct listener *listener;
	int ret;

	*out = NULL;
	if (strlen(path) > UNIX_SOCKET_PATH_MAX)
		return err_set(err, ENAMETOOLONG, "%s: longer than a socket's name may be (%zu)",
			       path, UNIX_SOCKET_PATH_MAX);
	listener = make(daemon, -1);
	if (!listener)
		return err_set(err, ENOMEM, "no memory for a listener");
	ret = make_parent(path);
	if (!ret)
		ret = listen_at(listener, path, mode);
	if (ret) {
		free(listener);
		return err_set(err, -ret, "%s: %s", path,
			       ret == -EADDRINUSE ? "somebody serves it, or it is no socket"
						  : strerror(-ret));
	}
	memcpy(listener->path, path, strlen(path) + 1);
	listener->made = true;
	listener->readonly = readonly;
	listener->private = !(mode & 077);
	*out = listener;
	return watch_listener(listener, err);
}

int listener_adopt(struct listener **out, struct daemon *daemon, int fd, struct err *err)
{
	struct sockaddr_un address = { 0 };
	socklen_t len = sizeof(address);
	struct stat st;
	size_t n;

	*out = NULL;
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    address.sun_family != AF_UNIX || address.sun_path[0] != '/' ||
	    !memchr(address.sun_path, 0, sizeof(address.sun_path)) ||
	    stat(address.sun_path, &st) < 0)
		return err_set(err, EINVAL, "descriptor %d: no UNIX socket with a path", fd);
	*out = make(daemon, fd);
	if (!*out)
		return err_set(err, ENOMEM, "no memory for a listener");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	n = strlen(address.sun_path);
	memcpy((*out)->path, address.sun_path, n + 1);
	(*out)->readonly = n > 3 && !strcmp(address.sun_path + n - 3, "-ro");
	(*out)->private = !(st.st_mode & 077);
	return watch_listener(*out, err);
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	loop_unwatch(listener->watch);
	close(listener->fd);
	listener->fd = -1;
	for (struct connection *connection = listener->connections, *next; connection;
	     connection = next) {
		next = connection->next;
		drop(connection);
	}
	if (listener->made)
		unix_socket_remove(listener->path, &listener->stat);
	free(listener);
}
