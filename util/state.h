/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of things as bytes, and back: sections with a name and a version, in each of them fields
 * that are numbers or bytes, numbered in the order in which they were put. Who loads takes them in
 * that order and says with each what it may be at the most.
 *
 * What is read is hostile. Guarantees
 *  - Nothing outside the bytes is read, whatever the lengths in them say; sections' names are
 *    printable and differ.
 *  - The first thing that is wrong is one sentence, and from there on every number is 0 and every
 *    byte 0: who loads looks once, at the end of a section (state_leave), before it believes any.
 *  - A field too few or too many in a section, and a section that nobody asked for, are wrong too:
 *    what is not understood is not passed over.
 */
#ifndef ADIT_UTIL_STATE_H
#define ADIT_UTIL_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define STATE_NAME_MAX	   95u
#define STATE_SECTIONS_MAX 1024u

/* --- saving ---------------------------------------------------------------------------------- */

struct state_out {
	uint8_t *data;
	size_t len, room;
	size_t section; /* where the open one begins */
	uint16_t field;
	int ret; /* 0, or -errno of the first failure: looked at once, at the end */
};

void state_out_free(struct state_out *out);
void state_begin(struct state_out *out, uint16_t version, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void state_end(struct state_out *out);
void state_put(struct state_out *out, uint64_t number);
void state_put_bytes(struct state_out *out, const void *data, size_t len);

/* --- loading --------------------------------------------------------------------------------- */

struct state_in {
	const uint8_t *data; /* borrowed */
	size_t len;
	struct err *err;
	int ret; /* 0, or -errno of what was wrong first; *err has the sentence */
	unsigned int n_sections;
	uint32_t entered[STATE_SECTIONS_MAX / 32];
	/* The section that was entered. */
	char name[STATE_NAME_MAX + 1];
	const uint8_t *at, *end;
	uint16_t field;
};

/* -EPROTO with a sentence. err is borrowed until state_close. */
int state_open(struct state_in *in, const void *data, size_t len, struct err *err);
/* The name of a section, by its place; false past the last. */
bool state_name(const struct state_in *in, unsigned int index, char name[STATE_NAME_MAX + 1]);
/* -EPROTO: there is none of that name, or it is of another version. */
int state_enter(struct state_in *in, uint16_t version, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A number up to `max`. */
uint64_t state_take(struct state_in *in, uint64_t max);
static inline bool state_take_bool(struct state_in *in)
{
	return state_take(in, 1);
}
/* Exactly so many bytes. */
void state_take_bytes(struct state_in *in, void *data, size_t len);
/* Up to `max` bytes, which stay where they are, without alignment; NULL: there is something wrong.
 */
const uint8_t *state_take_some(struct state_in *in, size_t max, size_t *len);
/* What was taken goes together with nothing: the section is wrong. Returns -EPROTO. */
int state_refuse(struct state_in *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* 0 where all of it was right, and taken. */
int state_leave(struct state_in *in);
/* 0 where nothing was wrong and every section was entered. */
int state_close(struct state_in *in);

/* CRC-32 (IEEE 802.3) of bytes that came to harm by accident; a liar computes it as well. */
uint32_t state_checksum(const void *data, size_t len);

#endif
