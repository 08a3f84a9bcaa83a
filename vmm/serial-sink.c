/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console sinks. One file: they differ in how they open and in what the end of a peer means (the
 * rows of `kinds`); reading, writing and waiting are the same for all.
 */
#include "vmm/serial-sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/unix-socket.h"

#define ESCAPE_KEY 0x01 /* Ctrl-A */
#define INPUT_MAX  64u

struct sink_kind {
	int (*open)(struct serial_sink *sink, const char *path, struct err *err);
	void (*close)(struct serial_sink *sink); /* may be NULL */
	/* Input ended or the peer hung up. NULL: no more input, output goes on. */
	void (*peer_gone)(struct serial_sink *sink);
};

struct serial_sink {
	const struct sink_kind *kind;
	struct loop *loop;
	const struct log *log;
	const struct serial_sink_ops *ops;
	void *arg;

	int in_fd, out_fd; /* -1: nothing to read, nobody to write to */
	struct loop_watch *in_watch, *out_watch;
	bool failing; /* the last write failed and was logged */

	/* tty: fds opened anew, closed with the sink; the one whose settings were changed */
	int own_in, own_out, raw_fd;
	struct termios saved;
	bool raw;    /* atomic: `saved` must be restored */
	bool escape; /* Ctrl-A was pressed */
	void (*quit)(void *arg);
	void *quit_arg;

	/* pty: master and the inotify descriptor that tells when a peer opens; socket: listener */
	int base_fd, notify_fd;
	struct loop_watch *base_watch;
	char *path;	/* socket, or link to the pty; removed at close */
	dev_t path_dev; /* identity of what `path` was when we made it */
	ino_t path_ino;
	char name[128];
};

static void input_ready(void *arg, uint32_t ready);
static void output_ready(void *arg, uint32_t ready);

/* --- watching -------------------------------------------------------------------------------- */

static void unwatch(struct loop_watch **watch)
{
	loop_unwatch(*watch);
	*watch = NULL;
}

/* Without memory for a watch the console is silent: said, never fatal. */
static void watch(struct serial_sink *sink, int fd, uint32_t events,
		  void (*fn)(void *arg, uint32_t ready), struct loop_watch **out)
{
	struct err err;

	if (!*out && loop_watch(sink->loop, fd, events, fn, sink, out, &err) < 0)
		log_line(sink->log, LOG_ERROR, "serial", "%s", err.text);
}

static void watch_input(struct serial_sink *sink)
{
	if (sink->ops && sink->in_fd >= 0)
		watch(sink, sink->in_fd, POLLIN, input_ready, &sink->in_watch);
}

/* --- reading --------------------------------------------------------------------------------- */

/* Takes Ctrl-A sequences out, in place. Returns the bytes left; never more than came. */
static size_t take_keys(struct serial_sink *sink, uint8_t *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (!sink->escape && data[i] == ESCAPE_KEY) {
			sink->escape = true;
			continue;
		}
		if (sink->escape && (data[i] == 'x' || data[i] == 'X')) {
			if (sink->quit)
				sink->quit(sink->quit_arg);
		} else {
			data[n++] = data[i];
		}
		sink->escape = false;
	}
	return n;
}

static void end_input(struct serial_sink *sink)
{
	unwatch(&sink->in_watch);
	if (sink->kind->peer_gone)
		sink->kind->peer_gone(sink);
	else
		sink->in_fd = -1;
}

static void input_ready(void *arg, uint32_t ready)
{
	struct serial_sink *sink = arg;
	uint8_t data[INPUT_MAX];
	size_t room = sink->ops->room(sink->arg);
	ssize_t n;

	if (!room) {
		unwatch(&sink->in_watch);
		return;
	}
	n = read(sink->in_fd, data, MIN(room, sizeof(data)));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_input(sink);
		return;
	}
	if (sink->raw)
		n = (ssize_t)take_keys(sink, data, (size_t)n);
	if (n)
		sink->ops->input(sink->arg, data, (size_t)n);
}

void serial_sink_resume(struct serial_sink *sink)
{
	watch_input(sink);
}

/* --- writing --------------------------------------------------------------------------------- */

static void output_ready(void *arg, uint32_t ready)
{
	struct serial_sink *sink = arg;

	unwatch(&sink->out_watch);
	if (sink->ops)
		sink->ops->writable(sink->arg);
}

/*
 * Stdout may block, and its flags are not ours to change: what poll(2) calls writable takes
 * PIPE_BUF bytes. The poll also tells a pty without a peer, which would take bytes for nobody.
 */
static int poll_output(struct serial_sink *sink, int timeout_ms)
{
	struct pollfd p = { .fd = sink->out_fd, .events = POLLOUT };

	return poll(&p, 1, timeout_ms) > 0 ? p.revents : 0;
}

static size_t output_lost(struct serial_sink *sink, size_t len, int error)
{
	if (!sink->failing)
		log_line(
			sink->log, LOG_WARN, "serial",
			"writing the console to %s failed (%s): its output is lost until that works "
			"again",
			*sink->name ? sink->name : "standard output", strerror(error));
	sink->failing = true;
	return len;
}

size_t serial_sink_write(struct serial_sink *sink, const void *data, size_t len)
{
	int ready;
	ssize_t n;

	/* Each call is a new attempt: what waited for writable() is the caller itself. */
	unwatch(&sink->out_watch);
	if (sink->out_fd < 0)
		return len;
	ready = poll_output(sink, 0);
	if ((ready & POLLHUP) && sink->kind->peer_gone) {
		sink->kind->peer_gone(sink);
		return len;
	}
	if (!ready)
		goto blocked;
	n = write(sink->out_fd, data, MIN(len, (size_t)PIPE_BUF));
	if (n >= 0) {
		sink->failing = false;
		/* Nothing written and no error: count it as lost rather than try for ever. */
		return n ? (size_t)n : len;
	}
	if (errno == EINTR || errno == EAGAIN)
		goto blocked;
	if (sink->kind->peer_gone) {
		sink->kind->peer_gone(sink);
		return len;
	}
	return output_lost(sink, len, errno);

blocked:
	watch(sink, sink->out_fd, POLLOUT, output_ready, &sink->out_watch);
	return sink->out_watch ? 0 : len;
}

void serial_sink_wait(struct serial_sink *sink, int timeout_ms)
{
	if (sink->out_fd >= 0)
		poll_output(sink, timeout_ms);
}

/* The peer has gone: whoever waited for it to read goes on, into the void. */
static void drop_peer(struct serial_sink *sink)
{
	bool waiting = sink->out_watch;

	unwatch(&sink->in_watch);
	unwatch(&sink->out_watch);
	sink->in_fd = -1;
	sink->out_fd = -1;
	if (waiting && sink->ops)
		sink->ops->writable(sink->arg);
}

/* --- nowhere, and a file --------------------------------------------------------------------- */

static int null_open(struct serial_sink *sink, const char *path, struct err *err)
{
	return 0;
}

static int file_open(struct serial_sink *sink, const char *path, struct err *err)
{
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(err, errno, "/serial/path: cannot append to \"%s\": %s", path,
			       strerror(errno));
	sink->out_fd = fd;
	sink->own_out = fd;
	snprintf(sink->name, sizeof(sink->name), "%s", path);
	return 0;
}

/* --- the terminal ---------------------------------------------------------------------------- */

/* A descriptor of the same terminal with flags of its own; where that is forbidden, the given one.
 */
static int reopen(int fd, int mode, int *own)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return *own >= 0 ? *own : fd;
}

/* Output keeps its post-processing: the monitor's own log lines share the screen. */
static int make_raw(struct serial_sink *sink, struct err *err)
{
	struct termios raw = sink->saved;

	raw.c_iflag &=
		(tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(sink->in_fd, TCSANOW, &raw) < 0)
		return err_set(err, errno, "the terminal on standard input cannot be made raw: %s",
			       strerror(errno));
	sink->raw_fd = sink->in_fd;
	__atomic_store_n(&sink->raw, true, __ATOMIC_SEQ_CST);
	return 0;
}

static int tty_open(struct serial_sink *sink, const char *path, struct err *err)
{
	pid_t foreground;

	if (sink->out_fd >= 0 && isatty(sink->out_fd))
		sink->out_fd = reopen(sink->out_fd, O_WRONLY, &sink->own_out);
	if (sink->in_fd < 0 || tcgetattr(sink->in_fd, &sink->saved) < 0)
		return 0;
	/* In the background the terminal is not ours: to read it would stop the process. */
	foreground = tcgetpgrp(sink->in_fd);
	if (foreground >= 0 && foreground != getpgrp()) {
		sink->in_fd = -1;
		return 0;
	}
	sink->in_fd = reopen(sink->in_fd, O_RDONLY, &sink->own_in);
	return make_raw(sink, err);
}

void serial_sink_restore(struct serial_sink *sink)
{
	if (__atomic_exchange_n(&sink->raw, false, __ATOMIC_SEQ_CST))
		tcsetattr(sink->raw_fd, TCSANOW, &sink->saved);
}

static void tty_close(struct serial_sink *sink)
{
	serial_sink_restore(sink);
}

/* --- what we put into the file system -------------------------------------------------------- */

static int remember_path(struct serial_sink *sink, const char *path, struct err *err)
{
	struct stat st;

	sink->path = strdup(path);
	if (!sink->path || lstat(path, &st) < 0)
		return err_set(err, sink->path ? errno : ENOMEM, "/serial/path: \"%s\": %s", path,
			       strerror(sink->path ? errno : ENOMEM));
	sink->path_dev = st.st_dev;
	sink->path_ino = st.st_ino;
	return 0;
}

/* Only what is still ours goes. */
static void remove_path(struct serial_sink *sink)
{
	struct stat st;

	if (sink->path && !lstat(sink->path, &st) && st.st_dev == sink->path_dev &&
	    st.st_ino == sink->path_ino)
		unlink(sink->path);
	free(sink->path);
}

/* --- a pseudo-terminal ----------------------------------------------------------------------- */

/* The master hangs up while nobody has the other side open, and says so to poll(2) only. */
static void pty_look(struct serial_sink *sink)
{
	struct pollfd p = { .fd = sink->base_fd, .events = POLLIN };

	if (poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP)) {
		sink->in_fd = sink->base_fd;
		sink->out_fd = sink->base_fd;
		watch_input(sink);
	} else if (sink->out_fd >= 0) {
		drop_peer(sink);
	}
}

static void pty_opened(void *arg, uint32_t ready)
{
	struct serial_sink *sink = arg;
	char events[sizeof(struct inotify_event) * 16];

	while (read(sink->notify_fd, events, sizeof(events)) > 0)
		;
	pty_look(sink);
}

/* Made raw here, and opened once: a master whose slave was never opened does not hang up. */
static int pty_slave(struct serial_sink *sink, struct err *err)
{
	struct termios raw;
	int fd = open(sink->name, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "pseudo-terminal %s: %s", sink->name, strerror(errno));
	if (!tcgetattr(fd, &raw)) {
		cfmakeraw(&raw);
		tcsetattr(fd, TCSANOW, &raw);
	}
	close(fd);
	return 0;
}

static int pty_link(struct serial_sink *sink, const char *path, struct err *err)
{
	struct stat st;
	int rc = symlink(sink->name, path);

	if (rc < 0 && errno == EEXIST && !lstat(path, &st) && S_ISLNK(st.st_mode) && !unlink(path))
		rc = symlink(sink->name, path);
	if (rc < 0)
		return err_set(err, errno, "/serial/path: cannot make \"%s\" a link to %s: %s%s",
			       path, sink->name, strerror(errno),
			       errno == EEXIST ? ", and it is no link that could be replaced" : "");
	return remember_path(sink, path, err);
}

static int pty_open(struct serial_sink *sink, const char *path, struct err *err)
{
	int rc;

	sink->base_fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (sink->base_fd < 0 || grantpt(sink->base_fd) < 0 || unlockpt(sink->base_fd) < 0 ||
	    ptsname_r(sink->base_fd, sink->name, sizeof(sink->name)))
		return err_set(err, errno, "no pseudo-terminal for the console (/dev/ptmx): %s",
			       strerror(errno));
	rc = pty_slave(sink, err);
	if (rc < 0)
		return rc;
	sink->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (sink->notify_fd < 0 || inotify_add_watch(sink->notify_fd, sink->name, IN_OPEN) < 0)
		return err_set(err, errno, "cannot watch %s for its opening (inotify): %s",
			       sink->name, strerror(errno));
	if (path) {
		rc = pty_link(sink, path, err);
		if (rc < 0)
			return rc;
	}
	watch(sink, sink->notify_fd, POLLIN, pty_opened, &sink->base_watch);
	log_line(sink->log, LOG_INFO, "serial", "the console is at %s", sink->name);
	return 0;
}

static void pty_close(struct serial_sink *sink)
{
	remove_path(sink);
}

/* --- a UNIX socket --------------------------------------------------------------------------- */

static void socket_client(void *arg, uint32_t ready)
{
	struct serial_sink *sink = arg;
	int fd = accept4(sink->base_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	/* The next one waits in the listener's queue. */
	unwatch(&sink->base_watch);
	if (fd < 0) {
		log_line(sink->log, LOG_ERROR, "serial", "no more clients at %s: accept: %s",
			 sink->name, strerror(errno));
		return;
	}
	sink->in_fd = fd;
	sink->out_fd = fd;
	watch_input(sink);
}

static void socket_peer_gone(struct serial_sink *sink)
{
	int fd = sink->out_fd;

	if (fd < 0)
		return;
	drop_peer(sink);
	close(fd);
	watch(sink, sink->base_fd, POLLIN, socket_client, &sink->base_watch);
}

static int socket_open(struct serial_sink *sink, const char *path, struct err *err)
{
	sink->base_fd = unix_socket_listen(path, 0600, 4, SOCK_NONBLOCK, NULL);
	if (sink->base_fd == -ENAMETOOLONG)
		return err_set(err, ENAMETOOLONG,
			       "/serial/path: \"%s\" has %zu bytes; a socket's path has 1 to %zu",
			       path, strlen(path), UNIX_SOCKET_PATH_MAX);
	if (sink->base_fd < 0)
		return err_set(err, -sink->base_fd, "/serial/path: cannot listen on \"%s\": %s",
			       path,
			       sink->base_fd == -EADDRINUSE
				       ? "it is in use by another process, or is no socket"
				       : strerror(-sink->base_fd));
	snprintf(sink->name, sizeof(sink->name), "%s", path);
	watch(sink, sink->base_fd, POLLIN, socket_client, &sink->base_watch);
	return remember_path(sink, path, err);
}

static void socket_close(struct serial_sink *sink)
{
	if (sink->out_fd >= 0)
		close(sink->out_fd);
	remove_path(sink);
}

/* --- all of them ----------------------------------------------------------------------------- */

static const struct sink_kind kinds[] = {
	[SERIAL_TTY] = { .open = tty_open, .close = tty_close },
	[SERIAL_FILE] = { .open = file_open },
	[SERIAL_PTY] = { .open = pty_open, .close = pty_close, .peer_gone = pty_look },
	[SERIAL_SOCKET] = { .open = socket_open,
			    .close = socket_close,
			    .peer_gone = socket_peer_gone },
	[SERIAL_NULL] = { .open = null_open },
};

static int open_kind(struct serial_sink **out, enum config_serial mode, const char *path, int in_fd,
		     int out_fd, struct loop *loop, const struct log *log, struct err *err)
{
	struct serial_sink *sink = malloc(sizeof(*sink));
	int rc;

	*out = NULL;
	if (!sink)
		return err_set(err, ENOMEM, "no memory for the console");
	*sink = (struct serial_sink){
		.kind = &kinds[mode],
		.loop = loop,
		.log = log,
		.in_fd = in_fd,
		.out_fd = out_fd,
		.own_in = -1,
		.own_out = -1,
		.base_fd = -1,
		.notify_fd = -1,
	};
	rc = sink->kind->open(sink, path, err);
	if (rc < 0) {
		serial_sink_close(sink);
		return rc;
	}
	*out = sink;
	return 0;
}

int serial_sink_open(struct serial_sink **out, enum config_serial mode, const char *path,
		     struct loop *loop, const struct log *log, struct err *err)
{
	bool tty = mode == SERIAL_TTY;

	return open_kind(out, mode, path, tty ? STDIN_FILENO : -1, tty ? STDOUT_FILENO : -1, loop,
			 log, err);
}

int serial_sink_open_streams(struct serial_sink **out, int in_fd, int out_fd, struct loop *loop,
			     const struct log *log, struct err *err)
{
	return open_kind(out, SERIAL_TTY, NULL, in_fd, out_fd, loop, log, err);
}

void serial_sink_on_quit(struct serial_sink *sink, void (*quit)(void *arg), void *arg)
{
	sink->quit = quit;
	sink->quit_arg = arg;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void serial_sink_close(struct serial_sink *sink)
{
	if (!sink)
		return;
	unwatch(&sink->in_watch);
	unwatch(&sink->out_watch);
	unwatch(&sink->base_watch);
	if (sink->kind->close)
		sink->kind->close(sink);
	close_fd(sink->own_in);
	close_fd(sink->own_out);
	close_fd(sink->notify_fd);
	close_fd(sink->base_fd);
	free(sink);
}

const char *serial_sink_name(const struct serial_sink *sink)
{
	return *sink->name ? sink->name : NULL;
}

void serial_sink_bind(struct serial_sink *sink, const struct serial_sink_ops *ops, void *arg)
{
	sink->ops = ops;
	sink->arg = arg;
	unwatch(&sink->in_watch);
	unwatch(&sink->out_watch);
	watch_input(sink);
}
