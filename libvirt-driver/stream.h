/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: bytes both ways beside the calls of one connection, from a call that opens one until
 * either side ends it. What waits to be sent is the session's to bound, so who feeds a stream asks
 * stream_is_full and goes on when it is told that there is room.
 */
#ifndef ADIT_LIBVIRT_DRIVER_STREAM_H
#define ADIT_LIBVIRT_DRIVER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/session.h"

#define STREAM_PIECE 16384u /* bytes of one frame */

struct stream;

struct streams {
	struct stream *first;
	unsigned int n;
};

struct stream_ops {
	/* The client has sent something. */
	void (*data)(void *arg, const uint8_t *bytes, size_t len);
	/* What was sent has left; called after stream_is_full said so. */
	void (*room)(void *arg);
	/* The last call: the client has ended it, or is gone. */
	void (*end)(void *arg);
};

/* Under the serial number of the call that opens it. NULL: refused, by the call. */
struct stream *stream_open(struct call *call, const struct stream_ops *ops, void *arg);

/* len 0: there will be no more. */
void stream_send(struct stream *stream, const void *bytes, size_t len);
bool stream_is_full(const struct stream *stream);
/* Ends it from this side with a reason; ops->end is not called, and the stream is gone. */
void stream_fail(struct stream *stream, const struct refusal *refusal);

/* --- for session.c --------------------------------------------------------------------------- */

/* A frame of the client's. One of a stream that is over is dropped: it crossed the end. */
void streams_take(struct streams *streams, const struct wire_header *header, const uint8_t *bytes,
		  size_t len);
void streams_have_room(struct streams *streams);
void streams_end(struct streams *streams);

#endif
