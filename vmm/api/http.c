/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam to libhttp-parser. One file, so that another parser (llhttp has the same callbacks) is
 * one file's work. What the library takes and this API has no use for is refused here: upgrades,
 * CONNECT, and versions other than 1.0 and 1.1 (RFC 9112).
 */
#include "vmm/api/http.h"

#include <errno.h>
#include <http_parser.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/bits.h"

#define BODY_KEPT 4096u /* a larger buffer is given back with its message */

struct http {
	http_parser parser;
	enum http_side side;
	size_t max_body;

	bool amid, head_done, done, keep, wants_continue;
	unsigned int status; /* of HTTP_BAD; 0: none */
	size_t head;	     /* bytes of the head so far */
	char target[HTTP_MAX_TARGET + 1];
	size_t target_len;
	/* The current header's name, as far as one that matters is long. */
	char name[16];
	size_t name_len;
	bool in_value;
	char value[16];
	size_t value_len;

	char *body;
	size_t body_len, body_size;
};

/* Returned by a callback: ends the parsing. */
static int refuse(struct http *http, unsigned int status)
{
	if (!http->status)
		http->status = status;
	return -1;
}

static int on_begin(http_parser *parser)
{
	struct http *http = parser->data;

	http->amid = true;
	return 0;
}

static int on_url(http_parser *parser, const char *at, size_t n)
{
	struct http *http = parser->data;

	if (n > HTTP_MAX_TARGET - http->target_len || memchr(at, 0, n))
		return refuse(http, 414);
	memcpy(http->target + http->target_len, at, n);
	http->target_len += n;
	http->target[http->target_len] = 0;
	return 0;
}

/* Keeps the start; what does not fit only makes it longer than any name that matters. */
static void keep(char *text, size_t size, size_t *len, const char *at, size_t n)
{
	size_t room = size - 1 - MIN(*len, size - 1);

	memcpy(text + MIN(*len, size - 1), at, MIN(n, room));
	*len += n;
	text[MIN(*len, size - 1)] = 0;
}

static void end_header(struct http *http)
{
	if (!strcasecmp(http->name, "expect") && !strcasecmp(http->value, "100-continue"))
		http->wants_continue = true;
	http->name_len = 0;
	http->value_len = 0;
	http->name[0] = 0;
	http->value[0] = 0;
}

static int on_field(http_parser *parser, const char *at, size_t n)
{
	struct http *http = parser->data;

	if (http->in_value)
		end_header(http);
	http->in_value = false;
	keep(http->name, sizeof(http->name), &http->name_len, at, n);
	return 0;
}

static int on_value(http_parser *parser, const char *at, size_t n)
{
	struct http *http = parser->data;

	http->in_value = true;
	keep(http->value, sizeof(http->value), &http->value_len, at, n);
	return 0;
}

static int on_head_done(http_parser *parser)
{
	struct http *http = parser->data;

	end_header(http);
	http->head_done = true;
	if (parser->http_major != 1 || parser->http_minor > 1)
		return refuse(http, 505);
	if (parser->upgrade)
		return refuse(http, 501);
	/* Without a length the library says ULLONG_MAX. */
	if (parser->content_length != ULLONG_MAX && parser->content_length > http->max_body)
		return refuse(http, 413);
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t n)
{
	struct http *http = parser->data;

	if (n > http->max_body - http->body_len)
		return refuse(http, 413);
	if (http->body_size - http->body_len <= n) {
		size_t size = MAX(http->body_len + n + 1, MIN(2 * http->body_size, http->max_body));
		char *body = realloc(http->body, size);

		if (!body)
			return refuse(http, 503);
		http->body = body;
		http->body_size = size;
	}
	memcpy(http->body + http->body_len, at, n);
	http->body_len += n;
	http->body[http->body_len] = 0;
	return 0;
}

/* The parser stops behind this message: what follows it in the buffer is the next one's. */
static int on_done(http_parser *parser)
{
	struct http *http = parser->data;

	http->done = true;
	http->keep = http_should_keep_alive(parser);
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head_done,
	.on_body = on_body,
	.on_message_complete = on_done,
};

int http_create(struct http **out, enum http_side side, size_t max_body)
{
	struct http *http = calloc(1, sizeof(*http));

	*out = http;
	if (!http)
		return -ENOMEM;
	http->side = side;
	http->max_body = max_body;
	http_parser_init(&http->parser, side == HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE);
	http->parser.data = http;
	return 0;
}

void http_destroy(struct http *http)
{
	if (!http)
		return;
	free(http->body);
	free(http);
}

static enum http_state state_of(struct http *http)
{
	enum http_errno error = HTTP_PARSER_ERRNO(&http->parser);

	if (http->status)
		return HTTP_BAD;
	if (http->done)
		return HTTP_DONE;
	if (error == HPE_OK)
		return HTTP_MORE;
	http->status = error == HPE_INVALID_VERSION   ? 505
		       : error == HPE_HEADER_OVERFLOW ? 431
						      : 400;
	return HTTP_BAD;
}

enum http_state http_feed(struct http *http, const char *bytes, size_t n, size_t *taken)
{
	enum http_state state = state_of(http);

	*taken = 0;
	while (state == HTTP_MORE && *taken < n) {
		size_t piece = n - *taken, did;

		/* The library's own limit is for the whole process; this one is a connection's. */
		if (!http->head_done)
			piece = MIN(piece, HTTP_MAX_HEAD + 1 - http->head);
		did = http_parser_execute(&http->parser, &settings, bytes + *taken, piece);
		*taken += did;
		if (!http->head_done) {
			http->amid = http->amid || did;
			http->head += did;
			if (http->head > HTTP_MAX_HEAD)
				refuse(http, 431);
		}
		state = state_of(http);
	}
	return state;
}

enum http_state http_end(struct http *http)
{
	if (state_of(http) == HTTP_MORE)
		http_parser_execute(&http->parser, &settings, NULL, 0);
	return state_of(http);
}

void http_next(struct http *http)
{
	if (http->body_size > BODY_KEPT) {
		free(http->body);
		http->body = NULL;
		http->body_size = 0;
	}
	http->amid = false;
	http->head_done = false;
	http->done = false;
	http->wants_continue = false;
	http->head = 0;
	http->target_len = 0;
	http->target[0] = 0;
	http->in_value = false;
	http->body_len = 0;
	if (!http->status)
		http_parser_pause(&http->parser, 0);
}

const char *http_method(const struct http *http)
{
	return http_method_str((enum http_method)http->parser.method);
}

const char *http_target(const struct http *http)
{
	return http->target;
}

const char *http_body(const struct http *http, size_t *len)
{
	*len = http->body_len;
	return http->body_len ? http->body : "";
}

bool http_keeps_open(const struct http *http)
{
	return http->keep;
}

bool http_is_amid(const struct http *http)
{
	return http->amid;
}

bool http_wants_continue(struct http *http)
{
	bool wants = http->head_done && !http->done && http->wants_continue;

	if (wants)
		http->wants_continue = false;
	return wants;
}

unsigned int http_status(const struct http *http)
{
	return http->side == HTTP_RESPONSES && !http->status ? http->parser.status_code
							     : http->status;
}

const char *http_reason(unsigned int status)
{
	switch (status) {
#define REASON(number, name, text) \
	case number:               \
		return #text;
		HTTP_STATUS_MAP(REASON)
#undef REASON
	default:
		return "Unknown";
	}
}
