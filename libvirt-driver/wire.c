/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what every message has around what it carries. */
#include "libvirt-driver/wire.h"

#include <errno.h>

#define FROM_DOMAIN 6u /* virErrorDomain: who speaks */
#define LEVEL_ERROR 2

uint32_t wire_length(const uint8_t first[4], uint32_t max)
{
	struct xdr_in in;
	uint32_t len;

	xdr_in_begin(&in, first, 4);
	len = xdr_u32(&in);
	return len < WIRE_HEADER || len > max ? 0 : len;
}

void wire_get_header(struct xdr_in *in, struct wire_header *header)
{
	header->program = xdr_u32(in);
	header->version = xdr_u32(in);
	header->procedure = xdr_i32(in);
	header->type = xdr_i32(in);
	header->serial = xdr_u32(in);
	header->status = xdr_i32(in);
}

int wire_fds(const uint8_t *frame, uint32_t len)
{
	struct wire_header header;
	struct xdr_in in;
	uint32_t n;

	xdr_in_begin(&in, frame + 4, len - 4);
	wire_get_header(&in, &header);
	if (header.type != WIRE_CALL_WITH_FDS)
		return 0;
	n = xdr_u32(&in);
	return in.bad || n > WIRE_MAX_FDS ? -EPROTO : (int)n;
}

size_t wire_begin(struct xdr_out *out, const struct wire_header *header)
{
	size_t at = out->len;

	xdr_put_u32(out, 0);
	xdr_put_u32(out, header->program);
	xdr_put_u32(out, header->version);
	xdr_put_i32(out, header->procedure);
	xdr_put_i32(out, header->type);
	xdr_put_u32(out, header->serial);
	xdr_put_i32(out, header->status);
	return at;
}

void wire_end(struct xdr_out *out, size_t at)
{
	xdr_patch_u32(out, at, (uint32_t)(out->len - at));
}

void wire_put_error(struct xdr_out *out, enum fault fault, const char *text)
{
	xdr_put_i32(out, fault);
	xdr_put_i32(out, FROM_DOMAIN);
	xdr_put_opt_string(out, text);
	xdr_put_i32(out, LEVEL_ERROR);
	xdr_put_u32(out, 0); /* no domain */
	/* Clients print "str1" behind a text of their own where they know the fault. */
	xdr_put_opt_string(out, text);
	xdr_put_opt_string(out, NULL);
	xdr_put_opt_string(out, NULL);
	xdr_put_i32(out, 0);
	xdr_put_i32(out, 0);
	xdr_put_u32(out, 0); /* no network */
}
