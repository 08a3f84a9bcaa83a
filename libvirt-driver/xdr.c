/* SPDX-License-Identifier: Apache-2.0 */
/* The codec: the only code that reads or writes bytes of the wire. */
#include "libvirt-driver/xdr.h"

#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

#define UNIT	   4u
#define FIRST_ROOM 256u

struct xdr_copy {
	struct xdr_copy *next;
	char text[];
};

static size_t padding(size_t len)
{
	return (UNIT - len % UNIT) % UNIT;
}

void xdr_in_begin(struct xdr_in *in, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	*in = (struct xdr_in){ .at = at, .end = at ? at + len : at };
}

bool xdr_in_is_whole(const struct xdr_in *in)
{
	return !in->bad && in->at == in->end;
}

bool xdr_in_end(struct xdr_in *in)
{
	while (in->copies) {
		struct xdr_copy *next = in->copies->next;

		free(in->copies);
		in->copies = next;
	}
	return xdr_in_is_whole(in);
}

/* NULL where fewer are left; then nothing can be read any more. */
static const uint8_t *take(struct xdr_in *in, size_t len)
{
	const uint8_t *at = in->at;

	if (in->bad || (size_t)(in->end - at) < len) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	return at;
}

static void take_padding(struct xdr_in *in, size_t len)
{
	const uint8_t *at = take(in, padding(len));

	for (size_t i = 0; at && i < padding(len); i++)
		in->bad |= at[i] != 0;
}

uint32_t xdr_u32(struct xdr_in *in)
{
	const uint8_t *at = take(in, UNIT);

	if (!at)
		return 0;
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int32_t xdr_i32(struct xdr_in *in)
{
	return (int32_t)xdr_u32(in);
}

uint64_t xdr_u64(struct xdr_in *in)
{
	uint64_t high = xdr_u32(in), low = xdr_u32(in);

	return in->bad ? 0 : high << 32 | low;
}

bool xdr_bool(struct xdr_in *in)
{
	uint32_t value = xdr_u32(in);

	in->bad |= value > 1;
	return value == 1;
}

void xdr_bytes(struct xdr_in *in, void *out, size_t len)
{
	const uint8_t *at = take(in, len);

	if (at)
		memcpy(out, at, len);
	else
		memset(out, 0, len);
	take_padding(in, len);
}

const char *xdr_string(struct xdr_in *in, size_t max)
{
	uint32_t len = xdr_u32(in);
	struct xdr_copy *copy;
	const uint8_t *at;

	if (len > max)
		in->bad = true;
	at = take(in, len);
	take_padding(in, len);
	if (!at || in->bad || memchr(at, 0, len))
		goto bad;
	copy = malloc(sizeof(*copy) + len + 1);
	if (!copy)
		goto bad;
	memcpy(copy->text, at, len);
	copy->text[len] = 0;
	copy->next = in->copies;
	in->copies = copy;
	return copy->text;
bad:
	in->bad = true;
	return "";
}

const char *xdr_opt_string(struct xdr_in *in, size_t max)
{
	const char *text;

	if (!xdr_bool(in))
		return NULL;
	text = xdr_string(in, max);
	return in->bad ? NULL : text;
}

/* NULL where it does not fit. */
static uint8_t *make_room(struct xdr_out *out, size_t len)
{
	size_t room = MAX(out->room, FIRST_ROOM);
	uint8_t *bytes;

	if (out->bad || len > out->max || out->len > out->max - len) {
		out->bad = true;
		return NULL;
	}
	while (room < out->len + len)
		room *= 2;
	if (room != out->room) {
		bytes = realloc(out->bytes, room);
		if (!bytes) {
			out->bad = true;
			return NULL;
		}
		out->bytes = bytes;
		out->room = room;
	}
	bytes = out->bytes + out->len;
	out->len += len;
	return bytes;
}

static void store(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

void xdr_put_u32(struct xdr_out *out, uint32_t value)
{
	uint8_t *at = make_room(out, UNIT);

	if (at)
		store(at, value);
}

void xdr_put_i32(struct xdr_out *out, int32_t value)
{
	xdr_put_u32(out, (uint32_t)value);
}

void xdr_put_u64(struct xdr_out *out, uint64_t value)
{
	xdr_put_u32(out, (uint32_t)(value >> 32));
	xdr_put_u32(out, (uint32_t)value);
}

void xdr_put_bytes(struct xdr_out *out, const void *bytes, size_t len)
{
	uint8_t *at = make_room(out, len + padding(len));

	if (!at)
		return;
	if (len)
		memcpy(at, bytes, len);
	memset(at + len, 0, padding(len));
}

void xdr_put_raw(struct xdr_out *out, const void *bytes, size_t len)
{
	uint8_t *at = len ? make_room(out, len) : NULL;

	if (at)
		memcpy(at, bytes, len);
}

void xdr_put_string(struct xdr_out *out, const char *text)
{
	size_t len = strlen(text);

	xdr_put_u32(out, (uint32_t)len);
	xdr_put_bytes(out, text, len);
}

void xdr_put_opt_string(struct xdr_out *out, const char *text)
{
	xdr_put_u32(out, text != NULL);
	if (text)
		xdr_put_string(out, text);
}

void xdr_patch_u32(struct xdr_out *out, size_t at, uint32_t value)
{
	if (!out->bad && at + UNIT <= out->len)
		store(out->bytes + at, value);
}
