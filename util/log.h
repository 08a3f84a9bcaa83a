/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to one descriptor: text for people, JSON lines for machines. A struct log is owned by
 * whoever made it and handed down; nothing here is global. One write(2) a line, so that lines of
 * several threads do not mix. What a guest can provoke goes through log_limited().
 */
#ifndef ADIT_UTIL_LOG_H
#define ADIT_UTIL_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG
};

struct log {
	int fd;		      /* borrowed; -1 drops everything */
	enum log_level level; /* lines above it are dropped */
	bool json;	      /* {"time": ..., "level": ..., "area": ..., "message": ...} */
};

/* A token bucket for lines that a guest can cause: zero-initialise one per source. */
struct log_limit {
	uint64_t second; /* CLOCK_MONOTONIC second that `used` counts */
	uint32_t used;
	uint32_t dropped;
};

#define LOG_LIMIT_PER_SECOND 10

/*
 * A descriptor whose lines go where fd's go: for a pipe another one, so that a full pipe is an
 * error here, and a wait as before for who else has it. Else, and where that cannot be had, fd.
 */
int log_descriptor(int fd);

/*
 * log may be NULL: the line is dropped. Lines are cut at 1 KiB. One for which there is no room now
 * is lost: nobody waits for who reads.
 */
void log_line(const struct log *log, enum log_level level, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* At most LOG_LIMIT_PER_SECOND lines a second; the first after that says how many were dropped. */
void log_limited(const struct log *log, struct log_limit *limit, enum log_level level,
		 const char *area, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* "error", "warn", "info", "debug" -> *level; -EINVAL for other words. */
int log_level_parse(const char *word, enum log_level *level);

#endif
