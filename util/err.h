/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error that a person will read. Functions return 0 or -errno; those whose reason must reach
 * a person also take a struct err *, which may be NULL, and fill it with one sentence that names
 * the value, the limit and the mend.
 */
#ifndef ADIT_UTIL_ERR_H
#define ADIT_UTIL_ERR_H

#include <stdarg.h>

struct err {
	int code;	/* positive errno, 0 while nothing was set */
	char text[508]; /* one sentence without a trailing newline; cut, never overrun */
};

/* Both return -code, so that "return err_set(err, EINVAL, ...)" reads as it acts. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_setv(struct err *err, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* Puts "PREFIX: " before the text that is there. Returns -err->code. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
