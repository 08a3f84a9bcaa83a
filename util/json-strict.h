/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON text as adit accepts it (RFC 8259, and stricter), and the JSON pointers that its refusals
 * start with. json-c builds the tree; what json-c lets pass is refused here before it sees it.
 */
#ifndef ADIT_UTIL_JSON_STRICT_H
#define ADIT_UTIL_JSON_STRICT_H

#include <stddef.h>

#include "util/err.h"

struct json_object;

#define JSON_MAX_DEPTH	32u  /* arrays and objects inside each other */
#define JSON_MAX_KEYS	64u  /* keys of one object */
#define JSON_MAX_KEY	255u /* bytes of a key, escapes decoded */
#define JSON_MAX_DIGITS 18u  /* of an integer: every such number fits 64 bits */
#define JSON_MAX_NUMBER 64u  /* characters of any number */

/* A value's place in a document: a chain up to the root, each link on its function's stack. */
struct json_at {
	const struct json_at *up; /* NULL: the root */
	const char *key;	  /* NULL: an array's element */
	size_t index;
};

/*
 * -EINVAL, with "POINTER: SENTENCE" in err. POINTER is RFC 6901's; the root's, which is empty, is
 * written "(document)". Control characters are shown as \u00XX and long pointers are cut.
 */
int json_refuse(struct err *err, const struct json_at *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Hostile text for a message: printable, cut at whole characters. size at least 16. */
void json_printable(char *out, size_t size, const char *text);

/*
 * The tree of a text, to be freed with json_object_put; NULL for a bare null. Refused beside what
 * RFC 8259 excludes: duplicate keys, NUL in strings, halves of surrogate pairs, invalid UTF-8, and
 * what is past the limits above. The sentence names line and column. -EINVAL, -ENOMEM.
 */
int json_strict_parse(struct json_object **out, const char *text, size_t len, struct err *err);

#endif
