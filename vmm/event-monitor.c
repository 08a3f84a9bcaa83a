/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/event-monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/log.h"
#include "vmm/event.h"

#define FD   "fd="
#define PATH "path="

struct event_monitor {
	int fd;
	bool ours; /* and not its owner's */
	pthread_mutex_t lock;
	/* Under lock. */
	char *rest; /* the end of a line whose beginning was taken; NULL: none */
	size_t at, len;
	uint64_t lost; /* events since the last line that was taken */
};

int event_monitor_parse(const char *target, struct err *err)
{
	const char *number = target + strlen(FD);
	char *end;
	long fd;

	if (!strncmp(target, PATH, strlen(PATH)) && target[strlen(PATH)])
		return 0;
	if (!strncmp(target, FD, strlen(FD))) {
		fd = strtol(number, &end, 10);
		if (*number >= '0' && *number <= '9' && !*end && fd > STDIN_FILENO && fd <= INT_MAX)
			return (int)fd;
	}
	return err_set(err, EINVAL, "fd=N, of a descriptor past 0 that is open, or path=FILE");
}

/*
 * A terminal's write waits for who reads, but where it is opened anew: whoever else has this one
 * goes on waiting. The other end of a pseudoterminal would be another's, opened anew.
 */
static int terminal_descriptor(int fd)
{
	char path[32];
	int number, own;

	if (!isatty(fd) || !ioctl(fd, TIOCGPTN, &number))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own < 0 ? fd : own;
}

/* Where others write to the same description, it waits for them as before (log_descriptor). */
static int take_descriptor(struct event_monitor *monitor, int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st))
		return err_set(err, errno, "descriptor %d: %s", fd, strerror(errno));
	if ((flags & O_ACCMODE) == O_RDONLY)
		return err_set(err, EBADF, "descriptor %d: it is open for reading only", fd);
	if (S_ISSOCK(st.st_mode) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return err_set(err, errno, "descriptor %d: %s", fd, strerror(errno));
	monitor->fd = S_ISCHR(st.st_mode) ? terminal_descriptor(fd) : log_descriptor(fd);
	monitor->ours = monitor->fd != fd;
	return 0;
}

static int open_file(struct event_monitor *monitor, const char *path, struct err *err)
{
	monitor->fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (monitor->fd < 0 && errno == ENXIO)
		return err_set(err, ENXIO, "%s: nobody reads it: start who does before", path);
	if (monitor->fd < 0)
		return err_set(err, errno, "%s: %s", path, strerror(errno));
	monitor->ours = true;
	return 0;
}

int event_monitor_open(struct event_monitor **out, const char *target, struct err *err)
{
	struct event_monitor *monitor = calloc(1, sizeof(*monitor));
	int fd = event_monitor_parse(target, err), ret;

	*out = NULL;
	if (!monitor)
		return err_set(err, ENOMEM, "out of memory");
	if (fd < 0)
		ret = fd;
	else
		ret = fd ? take_descriptor(monitor, fd, err)
			 : open_file(monitor, target + strlen(PATH), err);
	if (ret) {
		free(monitor);
		return ret;
	}
	pthread_mutex_init(&monitor->lock, NULL);
	*out = monitor;
	return 0;
}

void event_monitor_close(struct event_monitor *monitor)
{
	if (!monitor)
		return;
	if (monitor->ours)
		close(monitor->fd);
	pthread_mutex_destroy(&monitor->lock);
	free(monitor->rest);
	free(monitor);
}

/* How much of it is taken at once. */
static size_t put(struct event_monitor *monitor, const char *text, size_t len)
{
	struct pollfd room = { .fd = monitor->fd, .events = POLLOUT };
	ssize_t n;

	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return 0;
	n = write(monitor->fd, text, len);
	return n < 0 ? 0 : (size_t)n;
}

/* Nothing else may follow what was begun. */
static bool finish_line(struct event_monitor *monitor)
{
	if (!monitor->rest)
		return true;
	monitor->at += put(monitor, monitor->rest + monitor->at, monitor->len - monitor->at);
	if (monitor->at < monitor->len)
		return false;
	free(monitor->rest);
	monitor->rest = NULL;
	return true;
}

/* False: nothing of it is there. */
static bool put_line(struct event_monitor *monitor, const char *event, const char *detail)
{
	struct json_object *object = event_object(event, detail);
	size_t len = 0, done = 0;
	const char *text;
	char *line = NULL;

	text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &len);
	if (text)
		line = malloc(len + 1);
	if (line) {
		memcpy(line, text, len);
		line[len++] = '\n';
		done = put(monitor, line, len);
	}
	if (done && done < len) {
		monitor->rest = line;
		monitor->at = done;
		monitor->len = len;
		line = NULL;
	}
	free(line);
	json_object_put(object);
	return done;
}

void event_monitor_tell(void *arg, const char *event, const char *detail)
{
	struct event_monitor *monitor = arg;
	char number[24];

	pthread_mutex_lock(&monitor->lock);
	if (finish_line(monitor) && monitor->lost) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)monitor->lost);
		if (put_line(monitor, "lost", number))
			monitor->lost = 0;
	}
	if (monitor->rest || monitor->lost || !put_line(monitor, event, detail))
		monitor->lost++;
	pthread_mutex_unlock(&monitor->lock);
}
