/* SPDX-License-Identifier: Apache-2.0 */
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"

#define LINE_MAX_BYTES 1024

static const char *const level_names[] = { "error", "warn", "info", "debug" };

int log_level_parse(const char *word, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (!strcmp(word, level_names[i])) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* JSON string escapes (RFC 8259 section 7); stops before `out` would overflow. */
static size_t escape_json(char *out, size_t size, const char *in)
{
	size_t n = 0;

	for (; *in && n + 7 < size; in++) {
		unsigned char c = (unsigned char)*in;

		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c < 0x20) {
			n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = 0;
	return n;
}

static void emit(const struct log *log, enum log_level level, const char *area, const char *text)
{
	char line[LINE_MAX_BYTES * 2 + 128], escaped[LINE_MAX_BYTES * 2];
	struct pollfd room = { .fd = log->fd, .events = POLLOUT };
	struct timespec now;
	int n;

	if (log->json) {
		clock_gettime(CLOCK_REALTIME, &now);
		escape_json(escaped, sizeof(escaped), text);
		n = snprintf(line, sizeof(line),
			     "{\"time\": %lld.%06ld, \"level\": \"%s\", \"area\": \"%s\", "
			     "\"message\": \"%s\"}\n",
			     (long long)now.tv_sec, now.tv_nsec / 1000, level_names[level], area,
			     escaped);
	} else {
		n = snprintf(line, sizeof(line), "adit: %s: %s%s%s\n", area,
			     level == LOG_ERROR ? "error: " : "",
			     level == LOG_WARN ? "warning: " : "", text);
	}
	if (n < 0)
		return;
	/* A full or closed log must not stop a VM: what does not fit is lost. */
	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT) ||
	    write(log->fd, line, MIN((size_t)n, sizeof(line) - 1)) < 0)
		return;
}

int log_descriptor(int fd)
{
	struct stat st;
	char path[32];
	int own;

	if (fstat(fd, &st) || !S_ISFIFO(st.st_mode))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return own < 0 ? fd : own;
}

static bool wanted(const struct log *log, enum log_level level)
{
	return log && log->fd >= 0 && level <= log->level;
}

void log_line(const struct log *log, enum log_level level, const char *area, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (!wanted(log, level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit(log, level, area, text);
}

/* Racing callers may let a line too many pass: the bucket is a bound on noise, not a count. */
static bool take_token(struct log_limit *limit, uint32_t *dropped)
{
	struct timespec now;
	uint64_t second;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	second = (uint64_t)now.tv_sec;
	*dropped = 0;
	if (__atomic_exchange_n(&limit->second, second, __ATOMIC_RELAXED) != second) {
		__atomic_store_n(&limit->used, 0, __ATOMIC_RELAXED);
		*dropped = __atomic_exchange_n(&limit->dropped, 0, __ATOMIC_RELAXED);
	}
	if (__atomic_fetch_add(&limit->used, 1, __ATOMIC_RELAXED) < LOG_LIMIT_PER_SECOND)
		return true;
	__atomic_fetch_add(&limit->dropped, 1, __ATOMIC_RELAXED);
	return false;
}

void log_limited(const struct log *log, struct log_limit *limit, enum log_level level,
		 const char *area, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	uint32_t dropped;
	va_list ap;

	if (!wanted(log, level) || !take_token(limit, &dropped))
		return;
	if (dropped)
		log_line(log, level, area, "%u lines like these were dropped", dropped);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit(log, level, area, text);
}
