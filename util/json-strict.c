/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over a JSON text before json-c parses it. json-c keeps the last of duplicate keys,
 * saturates integers, takes NaN and lets \u0000 end a C string early; each of these would make the
 * text mean something else than its author reads, so the walk refuses them by place.
 */
#include "util/json-strict.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/bits.h"

#define POINTER_MAX 256 /* of a message's 508 bytes */
#define CUT	    "..."

struct scan {
	const char *p, *end;
	const char *text;
	struct err *err;
};

/* --- pointers and printable text ------------------------------------------------------------- */

/* Bytes of the UTF-8 character that starts with c, if it is valid. */
static size_t utf8_len(char c)
{
	unsigned char u = (unsigned char)c;

	return u < 0x80 ? 1 : u < 0xe0 ? 2 : u < 0xf0 ? 3 : 4;
}

/* How the character at c is shown: pieces of a pointer are escaped (RFC 6901 section 3). */
static size_t show(char out[8], const char *c, bool pointer, size_t *taken)
{
	unsigned char u = (unsigned char)*c;

	*taken = utf8_len(*c);
	for (size_t i = 1; i < *taken; i++) {
		if (((unsigned char)c[i] & 0xc0) != 0x80) /* also the final NUL */
			*taken = 1;
	}
	if (*taken == 1 && u >= 0x80)
		return (size_t)snprintf(out, 8, "?");
	if (pointer && (u == '~' || u == '/'))
		return (size_t)snprintf(out, 8, "~%d", u == '/');
	if (u < 0x20 || u == 0x7f)
		return (size_t)snprintf(out, 8, "\\u%04x", u);
	if (u == 0xc2 && (unsigned char)c[1] < 0xa0) /* C1 controls steer terminals too */
		return (size_t)snprintf(out, 8, "\\u%04x", (unsigned char)c[1]);
	memcpy(out, c, *taken);
	return *taken;
}

/* Appends at n, never past size: what does not fit is cut and shown so. Returns the new end. */
static size_t append(char *out, size_t size, size_t n, const char *text, bool pointer)
{
	const size_t room = size - sizeof(CUT);
	char piece[8];
	size_t taken;

	if (n > room)
		return n;
	for (; *text; text += taken) {
		size_t len = show(piece, text, pointer, &taken);

		if (n + len > room) {
			memcpy(out + n, CUT, sizeof(CUT));
			return size - 1;
		}
		memcpy(out + n, piece, len);
		n += len;
	}
	out[n] = 0;
	return n;
}

void json_printable(char *out, size_t size, const char *text)
{
	append(out, size, 0, text, false);
}

static size_t pointer(char *out, size_t size, const struct json_at *at)
{
	char index[24];
	size_t n;

	if (!at || !at->up)
		return 0;
	n = pointer(out, size, at->up);
	if (n + 1 > size - sizeof(CUT))
		return append(out, size, n, CUT, false);
	out[n++] = '/';
	out[n] = 0;
	if (at->key)
		return append(out, size, n, at->key, true);
	snprintf(index, sizeof(index), "%zu", at->index);
	return append(out, size, n, index, false);
}

static int refuse_at(struct err *err, const struct json_at *at, const char *fmt, va_list ap)
{
	char where[POINTER_MAX] = "(document)";

	pointer(where, sizeof(where), at);
	err_setv(err, EINVAL, fmt, ap);
	err_prefix(err, "%s", where);
	return -EINVAL;
}

int json_refuse(struct err *err, const struct json_at *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	refuse_at(err, at, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* --- the walk -------------------------------------------------------------------------------- */

/* Line and column (both from 1, in characters) of the scan's position go before the reason. */
static int refuse(struct scan *s, const struct json_at *at, const char *why)
{
	unsigned int line = 1, column = 1;

	for (const char *c = s->text; c < s->p; c++) {
		if (*c == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)*c & 0xc0) != 0x80) {
			column++;
		}
	}
	return json_refuse(s->err, at, "%s (line %u, column %u)", why, line, column);
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool next_is(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool hex4(struct scan *s, uint32_t *out)
{
	uint32_t v = 0;

	if (s->end - s->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = s->p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	s->p += 4;
	*out = v;
	return true;
}

/* After the backslash. NULL, or the reason why not; the same for the functions below. */
static const char *scan_escape(struct scan *s, uint32_t *out)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name = s->p < s->end && *s->p ? strchr(names, *s->p) : NULL;
	uint32_t low;

	if (name) {
		*out = (uint32_t)values[name - names];
		s->p++;
		return NULL;
	}
	if (!next_is(s, 'u') || !hex4(s, out))
		return "a backslash goes before one of \" \\ / b f n r t or u and four hex digits";
	if (!*out)
		return "strings may not hold NUL (\\u0000)";
	if (*out < 0xd800 || *out > 0xdfff)
		return NULL;
	if (*out > 0xdbff || !next_is(s, '\\') || !next_is(s, 'u') || !hex4(s, &low) ||
	    low < 0xdc00 || low > 0xdfff)
		return "half of a surrogate pair is no character";
	*out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
	return NULL;
}

/* Unicode 15 table 3-7: no overlong forms, no surrogates, nothing past U+10FFFF. */
static const char *scan_utf8(struct scan *s, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)*s->p;
	size_t len = utf8_len(*s->p);
	uint32_t v = first & (len == 1 ? 0x7fu : 0xffu >> (len + 1));

	if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || (size_t)(s->end - s->p) < len)
		return "invalid UTF-8";
	for (size_t i = 1; i < len; i++) {
		unsigned char c = (unsigned char)s->p[i];

		if ((c & 0xc0) != 0x80)
			return "invalid UTF-8";
		v = v << 6 | (c & 0x3f);
	}
	if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return "invalid UTF-8";
	s->p += len;
	*out = v;
	return NULL;
}

static size_t put_utf8(char *out, uint32_t v)
{
	if (v < 0x80) {
		out[0] = (char)v;
		return 1;
	}
	if (v < 0x800) {
		out[0] = (char)(0xc0 | v >> 6);
		out[1] = (char)(0x80 | (v & 0x3f));
		return 2;
	}
	if (v < 0x10000) {
		out[0] = (char)(0xe0 | v >> 12);
		out[1] = (char)(0x80 | (v >> 6 & 0x3f));
		out[2] = (char)(0x80 | (v & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | v >> 18);
	out[1] = (char)(0x80 | (v >> 12 & 0x3f));
	out[2] = (char)(0x80 | (v >> 6 & 0x3f));
	out[3] = (char)(0x80 | (v & 0x3f));
	return 4;
}

/* After the opening quote, past the closing one. key: NULL, or JSON_MAX_KEY + 1 bytes. */
static const char *scan_string(struct scan *s, char *key)
{
	const char *why;
	char utf8[4];
	uint32_t v;
	size_t n = 0, len;

	while (!next_is(s, '"')) {
		if (s->p == s->end)
			return "the string does not end";
		if ((unsigned char)*s->p < 0x20)
			return "control characters in strings are written \\u00XX";
		why = next_is(s, '\\') ? scan_escape(s, &v) : scan_utf8(s, &v);
		if (why)
			return why;
		if (!key)
			continue;
		len = put_utf8(utf8, v);
		if (n + len > JSON_MAX_KEY)
			return "the key is longer than 255 bytes";
		memcpy(key + n, utf8, len);
		n += len;
	}
	if (key)
		key[n] = 0;
	return NULL;
}

static size_t skip_digits(struct scan *s)
{
	const char *start = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return (size_t)(s->p - start);
}

static const char *scan_number(struct scan *s)
{
	const char *start = s->p, *first;
	bool integer = true;
	size_t digits;

	next_is(s, '-');
	first = s->p;
	digits = skip_digits(s);
	if (!digits || (digits > 1 && *first == '0'))
		return "this is no number of JSON";
	if (next_is(s, '.')) {
		integer = false;
		if (!skip_digits(s))
			return "digits must follow the point of a number";
	}
	if (next_is(s, 'e') || next_is(s, 'E')) {
		integer = false;
		if (!next_is(s, '+'))
			next_is(s, '-');
		if (!skip_digits(s))
			return "digits must follow the e of a number";
	}
	if (integer && digits > JSON_MAX_DIGITS)
		return "an integer has at most 18 digits";
	if (s->p - start > (ptrdiff_t)JSON_MAX_NUMBER)
		return "a number has at most 64 characters";
	return NULL;
}

static const char *scan_scalar(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };

	if (s->p == s->end)
		return "the text ends where a value is due";
	if (next_is(s, '"'))
		return scan_string(s, NULL);
	if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9'))
		return scan_number(s);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - s->p) >= n && !memcmp(s->p, words[i], n)) {
			s->p += n;
			return NULL;
		}
	}
	return "a value is due here: an object, an array, a string, a number, true, false or null";
}

static int scan_value(struct scan *s, const struct json_at *at, unsigned int depth);

/* Keys are compared as they read, so that "\u0061" is "a"; each was scanned well before. */
static bool seen(const struct scan *s, const char *const *keys, size_t n, const char *key)
{
	char other[JSON_MAX_KEY + 1];

	for (size_t i = 0; i < n; i++) {
		struct scan again = { .p = keys[i], .end = s->end };

		if (!scan_string(&again, other) && !strcmp(other, key))
			return true;
	}
	return false;
}

static int scan_object(struct scan *s, const struct json_at *at, unsigned int depth)
{
	const char *keys[JSON_MAX_KEYS], *why;
	char key[JSON_MAX_KEY + 1];
	struct json_at here = { .up = at, .key = key };
	size_t n = 0;
	int ret;

	skip_space(s);
	if (next_is(s, '}'))
		return 0;
	do {
		skip_space(s);
		if (!next_is(s, '"'))
			return refuse(s, at, "a key in double quotes is due");
		if (n == JSON_MAX_KEYS)
			return refuse(s, at, "an object has at most 64 keys");
		keys[n] = s->p;
		why = scan_string(s, key);
		if (why)
			return refuse(s, at, why);
		if (seen(s, keys, n++, key))
			return refuse(s, &here, "this key is there twice; remove one");
		skip_space(s);
		if (!next_is(s, ':'))
			return refuse(s, &here, "a colon is due after the key");
		ret = scan_value(s, &here, depth);
		if (ret)
			return ret;
		skip_space(s);
	} while (next_is(s, ','));
	return next_is(s, '}') ? 0 : refuse(s, at, "a comma or } is due");
}

static int scan_array(struct scan *s, const struct json_at *at, unsigned int depth)
{
	struct json_at here = { .up = at };
	int ret;

	skip_space(s);
	if (next_is(s, ']'))
		return 0;
	do {
		ret = scan_value(s, &here, depth);
		if (ret)
			return ret;
		here.index++;
		skip_space(s);
	} while (next_is(s, ','));
	return next_is(s, ']') ? 0 : refuse(s, at, "a comma or ] is due");
}

static int scan_value(struct scan *s, const struct json_at *at, unsigned int depth)
{
	const char *why;

	skip_space(s);
	if (s->p < s->end && (*s->p == '{' || *s->p == '[')) {
		if (depth == JSON_MAX_DEPTH)
			return refuse(s, at, "arrays and objects go at most 32 deep");
		return *s->p++ == '{' ? scan_object(s, at, depth + 1)
				      : scan_array(s, at, depth + 1);
	}
	why = scan_scalar(s);
	return why ? refuse(s, at, why) : 0;
}

int json_strict_parse(struct json_object **out, const char *text, size_t len, struct err *err)
{
	struct scan s = { .p = text, .end = text + len, .text = text, .err = err };
	const struct json_at root = { 0 };
	struct json_tokener *tokener;
	enum json_tokener_error code;
	int ret;

	*out = NULL;
	ret = scan_value(&s, &root, 0);
	if (ret)
		return ret;
	skip_space(&s);
	if (s.p < s.end)
		return refuse(&s, &root, "something follows the end of the JSON text");
	tokener = json_tokener_new_ex(JSON_MAX_DEPTH + 1);
	if (!tokener)
		return err_set(err, ENOMEM, "(document): out of memory");
	/*
	 * No flags: the scan above was strict already, and in its own strict mode json-c 0.18 takes
	 * every byte above 0x7f for a control character.
	 */
	*out = json_tokener_parse_ex(tokener, text, (int)len);
	code = json_tokener_get_error(tokener);
	/* A bare number's end is only known from what follows it. */
	if (code == json_tokener_continue) {
		*out = json_tokener_parse_ex(tokener, "", 1);
		code = json_tokener_get_error(tokener);
	}
	if (code != json_tokener_success)
		ret = json_refuse(err, &root, "%s", json_tokener_error_desc(code));
	json_tokener_free(tokener);
	return ret;
}
