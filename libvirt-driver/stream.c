/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a session, found by serial number. */
#include "libvirt-driver/stream.h"

#include <stdlib.h>

#define STREAMS 8u
#define FULL	(256u << 10) /* bytes that wait for the client */

struct stream {
	struct stream *next;
	struct session *session;
	struct wire_header header; /* as frames of it have it */
	const struct stream_ops *ops;
	void *arg;
};

struct stream *stream_open(struct call *call, const struct stream_ops *ops, void *arg)
{
	struct streams *streams = session_streams(call->session);
	struct stream *stream;

	if (streams->n >= STREAMS) {
		refuse(&call->refusal, FAULT_OPERATION_FAILED,
		       "this connection has %u streams open already", STREAMS);
		return NULL;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream) {
		refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for a stream");
		return NULL;
	}
	stream->session = call->session;
	stream->header = call->ticket.header;
	stream->header.type = WIRE_STREAM;
	stream->ops = ops;
	stream->arg = arg;
	stream->next = streams->first;
	streams->first = stream;
	streams->n++;
	return stream;
}

static void drop(struct stream *stream)
{
	struct streams *streams = session_streams(stream->session);
	struct stream **at = &streams->first;

	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	streams->n--;
	free(stream);
}

static void send_frame(struct stream *stream, enum wire_status status, const void *bytes,
		       size_t len)
{
	stream->header.status = (int32_t)status;
	session_send(stream->session, &stream->header, bytes, len);
}

void stream_send(struct stream *stream, const void *bytes, size_t len)
{
	send_frame(stream, WIRE_CONTINUE, bytes, len);
}

bool stream_is_full(const struct stream *stream)
{
	size_t waits;

	session_pending(stream->session, &waits);
	return waits > FULL;
}

void stream_fail(struct stream *stream, const struct refusal *refusal)
{
	struct xdr_out body = { .max = WIRE_MAX_STRING };

	wire_put_error(&body, refusal->fault, refusal->err.text);
	send_frame(stream, WIRE_ERROR, body.bytes, body.len);
	free(body.bytes);
	drop(stream);
}

void streams_take(struct streams *streams, const struct wire_header *header, const uint8_t *bytes,
		  size_t len)
{
	struct stream *stream = streams->first;

	while (stream && (stream->header.serial != header->serial ||
			  stream->header.procedure != header->procedure))
		stream = stream->next;
	if (!stream)
		return;
	if (header->status == WIRE_CONTINUE) {
		if (len)
			stream->ops->data(stream->arg, bytes, len);
		return;
	}
	/* A finish and an abort wait for the same answer. */
	stream->ops->end(stream->arg);
	send_frame(stream, WIRE_OK, NULL, 0);
	drop(stream);
}

void streams_have_room(struct streams *streams)
{
	for (struct stream *stream = streams->first; stream; stream = stream->next)
		stream->ops->room(stream->arg);
}

void streams_end(struct streams *streams)
{
	for (struct stream *stream = streams->first, *next; stream; stream = next) {
		next = stream->next;
		stream->ops->end(stream->arg);
		free(stream);
	}
	*streams = (struct streams){ 0 };
}
