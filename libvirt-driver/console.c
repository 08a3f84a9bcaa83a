/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between a terminal (or socket) of a domain and a stream. Neither side can make the other's
 * bytes pile up: a terminal is not read from while the client does not read, and a client that
 * sends more than a guest takes is told so and loses the stream.
 */
#include "libvirt-driver/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libvirt-driver/json.h"
#include "libvirt-driver/stream.h"
#include "util/bits.h"
#include "util/unix-socket.h"

#define WAITING	  65536u /* bytes that the guest has not taken */
#define KEY_CHARS 8u
#define PTS_MAJOR 136u /* to 143: Unix98 terminals, Documentation/admin-guide/devices.txt */
#define PTS_DIR	  "/dev/pts/"

struct console {
	struct daemon *daemon;
	struct console *next;
	uint8_t uuid[XDR_UUID];
	char key[KEY_CHARS]; /* "serial" or "console" */
	struct stream *stream;
	int fd;
	struct loop_watch *in, *out; /* in: NULL while the client does not read, and at the end */
	bool over;		     /* the domain's side has ended */
	size_t n;
	uint8_t waits[WAITING];
};

static void free_console(struct console *console)
{
	struct console **at = &console->daemon->consoles;

	while (*at != console)
		at = &(*at)->next;
	*at = console->next;
	loop_unwatch(console->in);
	loop_unwatch(console->out);
	close(console->fd);
	free(console);
}

static void fail(struct console *console, const char *why)
{
	struct refusal refusal;

	refuse(&refusal, FAULT_OPERATION_FAILED, "%s", why);
	stream_fail(console->stream, &refusal);
	free_console(console);
}

/* --- from the domain ------------------------------------------------------------------------- */

static void stop_reading(struct console *console)
{
	loop_unwatch(console->in);
	console->in = NULL;
}

static void on_readable(void *arg, uint32_t ready)
{
	struct console *console = arg;
	uint8_t bytes[STREAM_PIECE];
	ssize_t n = read(console->fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A terminal whose other end is closed reads as EIO. */
	if (n <= 0) {
		console->over = true;
		stop_reading(console);
		stream_send(console->stream, NULL, 0);
		return;
	}
	stream_send(console->stream, bytes, (size_t)n);
	if (stream_is_full(console->stream))
		stop_reading(console);
}

static int start_reading(struct console *console)
{
	return loop_watch(console->daemon->loop, console->fd, POLLIN, on_readable, console,
			  &console->in, NULL);
}

static void on_room(void *arg)
{
	struct console *console = arg;

	if (!console->in && !console->over && start_reading(console))
		console->over = true;
}

/* --- to the domain --------------------------------------------------------------------------- */

static void on_writable(void *arg, uint32_t ready)
{
	struct console *console = arg;
	ssize_t n = write(console->fd, console->waits, console->n);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		n = (ssize_t)console->n; /* reading tells the end */
	if (n > 0) {
		console->n -= (size_t)n;
		memmove(console->waits, console->waits + n, console->n);
	}
	if (console->n)
		return;
	loop_unwatch(console->out);
	console->out = NULL;
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
	struct console *console = arg;

	if (console->over)
		return;
	if (len > WAITING - console->n) {
		fail(console, "the guest does not read its console");
		return;
	}
	memcpy(console->waits + console->n, bytes, len);
	console->n += len;
	if (!console->out && loop_watch(console->daemon->loop, console->fd, POLLOUT, on_writable,
					console, &console->out, NULL))
		fail(console, "the console cannot be watched");
}

static void on_end(void *arg)
{
	free_console(arg);
}

/* --- opening --------------------------------------------------------------------------------- */

/* The link is the domain's to write: what it names must be a terminal, and is opened as one. */
static int open_terminal(const char *link, uid_t owner)
{
	char name[64];
	ssize_t n = readlink(link, name, sizeof(name) - 1);
	const char *digits = name + strlen(PTS_DIR);
	struct stat st;
	int fd;

	if (n < 0)
		return -errno;
	name[n] = 0;
	if (strncmp(name, PTS_DIR, strlen(PTS_DIR)) != 0 || !*digits ||
	    strspn(digits, "0123456789") != strlen(digits))
		return -ENOTTY;
	fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && st.st_uid == owner && S_ISCHR(st.st_mode) &&
	    major(st.st_rdev) >= PTS_MAJOR && major(st.st_rdev) < PTS_MAJOR + 8)
		return fd;
	close(fd);
	return -ENOTTY;
}

/* The descriptor or -errno; -ENOENT: it leads nowhere that could be talked to. */
static int open_sink(struct json_object *config, const char *key, uid_t owner)
{
	struct json_object *sink;
	const char *link, *socket;

	if (!json_object_object_get_ex(config, key, &sink))
		return -ENOENT;
	link = json_word(sink, "link", NULL);
	socket = json_word(sink, "socket", NULL);
	if (link)
		return open_terminal(link, owner);
	return socket ? unix_socket_connect(socket, SOCK_NONBLOCK) : -ENOENT;
}

static struct console *find(const struct daemon *daemon, const uint8_t uuid[XDR_UUID],
			    const char *key)
{
	struct console *console = daemon->consoles;

	while (console &&
	       (memcmp(console->uuid, uuid, XDR_UUID) != 0 || strcmp(console->key, key) != 0))
		console = console->next;
	return console;
}

static int make(struct call *call, const struct domain *domain, const char *key, int fd)
{
	static const struct stream_ops ops = { on_data, on_room, on_end };
	struct daemon *daemon = call->daemon;
	struct console *console = calloc(1, sizeof(*console));

	if (!console) {
		close(fd);
		return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for a console");
	}
	console->daemon = daemon;
	console->fd = fd;
	memcpy(console->uuid, domain_uuid(domain), XDR_UUID);
	memcpy(console->key, key, strlen(key) + 1);
	console->next = daemon->consoles;
	daemon->consoles = console;
	console->stream = stream_open(call, &ops, console);
	if (!console->stream) {
		free_console(console);
		return CALL_REFUSED;
	}
	if (!start_reading(console))
		return CALL_DONE;
	fail(console, "the console cannot be watched");
	return refuse(&call->refusal, FAULT_OPERATION_FAILED, "the console cannot be watched");
}

static bool is_named(const char *device, const char *key)
{
	size_t len = strlen(key);

	return !device ||
	       (!strncmp(device, key, len) && strspn(device + len, "01") == strlen(device + len));
}

int console_open(struct call *call, const struct domain *domain, const char *device, bool force)
{
	static const char *const keys[] = { "serial", "console" };
	struct json_object *config = json_tokener_parse(domain->live->config);
	struct console *other;
	int fd = -ENOENT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!is_named(device, keys[i]))
			continue;
		fd = open_sink(config, keys[i], domain->uid);
		if (fd != -ENOENT)
			break;
	}
	json_object_put(config);
	if (fd == -ENOENT)
		return refuse(&call->refusal, FAULT_OPERATION_FAILED,
			      "domain '%s' has no %.64s of type pty or unix", domain->live->name,
			      device ? device : "serial port or console");
	if (fd < 0)
		return refuse(&call->refusal, FAULT_OPERATION_FAILED,
			      "the console cannot be opened: %s", strerror(-fd));
	other = find(call->daemon, domain_uuid(domain), keys[i]);
	if (other && !force) {
		close(fd);
		return refuse(&call->refusal, FAULT_OPERATION_FAILED,
			      "somebody uses this console; --force takes it over");
	}
	if (other)
		fail(other, "another client has taken the console over");
	return make(call, domain, keys[i], fd);
}
