/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XDR (RFC 4506) as libvirt's RPC uses it: every item takes a multiple of four bytes, big-endian;
 * char, short and bool take four.
 *
 * Reading and writing keep one flag: after the first thing that did not fit, everything reads as
 * zero and nothing is written, so that a caller checks once, at the end.
 */
#ifndef ADIT_LIBVIRT_DRIVER_XDR_H
#define ADIT_LIBVIRT_DRIVER_XDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XDR_UUID 16u

struct xdr_copy;

/* The bytes stay the caller's. Strings are copies that live until xdr_in_end. */
struct xdr_in {
	const uint8_t *at, *end;
	struct xdr_copy *copies;
	bool bad;
};

void xdr_in_begin(struct xdr_in *in, const void *bytes, size_t len);
/* Frees the strings. True where all was there, was well formed, and nothing is left over. */
bool xdr_in_end(struct xdr_in *in);
bool xdr_in_is_whole(const struct xdr_in *in);

uint32_t xdr_u32(struct xdr_in *in);
int32_t xdr_i32(struct xdr_in *in);
uint64_t xdr_u64(struct xdr_in *in);
/* 0 or 1 and nothing else. */
bool xdr_bool(struct xdr_in *in);
/* Fixed opaque data, padded; zeroes where it is cut. */
void xdr_bytes(struct xdr_in *in, void *out, size_t len);
/* At most max bytes, without NUL, padding zero. Never NULL: "" where it is bad. */
const char *xdr_string(struct xdr_in *in, size_t max);
/* NULL where the sender has sent none (or it is bad). */
const char *xdr_opt_string(struct xdr_in *in, size_t max);

struct xdr_out {
	uint8_t *bytes; /* the caller frees; NULL while empty */
	size_t len, room;
	size_t max; /* more than that is bad */
	bool bad;   /* too long, or no memory */
};

void xdr_put_u32(struct xdr_out *out, uint32_t value);
void xdr_put_i32(struct xdr_out *out, int32_t value);
void xdr_put_u64(struct xdr_out *out, uint64_t value);
void xdr_put_bytes(struct xdr_out *out, const void *bytes, size_t len);
/* Bytes of no type: what is behind them is not aligned. */
void xdr_put_raw(struct xdr_out *out, const void *bytes, size_t len);
void xdr_put_string(struct xdr_out *out, const char *text);
/* NULL: none. */
void xdr_put_opt_string(struct xdr_out *out, const char *text);
/* Writes over four bytes that are there. */
void xdr_patch_u32(struct xdr_out *out, size_t at, uint32_t value);

#endif
