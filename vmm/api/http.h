/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 messages out of bytes, each within limits: the only file that knows the parser library.
 * Bytes come in any pieces; what is no HTTP, or past a limit, ends the connection with a status.
 */
#ifndef ADIT_VMM_API_HTTP_H
#define ADIT_VMM_API_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_MAX_TARGET 255u  /* bytes of a request's target */
#define HTTP_MAX_HEAD	8192u /* bytes of the first line and all headers */

struct http;

enum http_state {
	HTTP_MORE, /* the message is not complete */
	HTTP_DONE, /* it is; http_next goes on to the one after it */
	HTTP_BAD,  /* no message can follow; http_status says why */
};

enum http_side {
	HTTP_REQUESTS,
	HTTP_RESPONSES
};

/* max_body: bytes; a longer body is refused before it is kept. */
int http_create(struct http **out, enum http_side side, size_t max_body);
void http_destroy(struct http *http);

/* Takes bytes up to the message's end and says how many; the rest belongs to the next one. */
enum http_state http_feed(struct http *http, const char *bytes, size_t n, size_t *taken);
/* The peer ended the stream, which completes a response without a length. */
enum http_state http_end(struct http *http);
/* Forgets the message that is done, and the memory of a large body. */
void http_next(struct http *http);

/* Of a message that is done (requests: "GET", "/api/v1/vm.info"); valid until http_next. */
const char *http_method(const struct http *http);
const char *http_target(const struct http *http);
const char *http_body(const struct http *http, size_t *len); /* followed by a NUL */
bool http_keeps_open(const struct http *http);
/* Bytes of a message have come, but not all. */
bool http_is_amid(const struct http *http);
/* True once: the peer waits for "100 Continue" before it sends its body. */
bool http_wants_continue(struct http *http);

/* Responses: their status. Requests after HTTP_BAD: what to answer, 400 to 505. */
unsigned int http_status(const struct http *http);

/* "Not Found" for 404; never NULL. */
const char *http_reason(unsigned int status);

#endif
