/* SPDX-License-Identifier: Apache-2.0 */
#include "util/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

/* A section: length of what follows the header, version, length of the name, name, fields. */
#define SECTION_LENGTH	0u
#define SECTION_VERSION 4u
#define SECTION_NAME	6u
#define SECTION_HEADER	8u

/* A field: its number, its kind, its length, its bytes. */
#define FIELD_NUMBER 0u
#define FIELD_KIND   2u
#define FIELD_LENGTH 4u
#define FIELD_HEADER 8u
#define KIND_NUMBER  1u
#define KIND_BYTES   2u

#define ROOM_MIN 16384u

/* --- saving ---------------------------------------------------------------------------------- */

void state_out_free(struct state_out *out)
{
	free(out->data);
	*out = (struct state_out){ 0 };
}

/* `len` bytes more, or NULL. */
static uint8_t *extend(struct state_out *out, size_t len)
{
	size_t room = MAX(out->room, ROOM_MIN);
	uint8_t *data;

	if (out->ret)
		return NULL;
	while (room - out->len < len && room < UINT32_MAX)
		room *= 2;
	if (room - out->len < len) {
		out->ret = -EFBIG;
		return NULL;
	}
	if (room != out->room) {
		data = realloc(out->data, room);
		if (!data) {
			out->ret = -ENOMEM;
			return NULL;
		}
		out->data = data;
		out->room = room;
	}
	data = out->data + out->len;
	out->len += len;
	return data;
}

void state_begin(struct state_out *out, uint16_t version, const char *fmt, ...)
{
	char name[STATE_NAME_MAX + 1];
	size_t at = out->len, len;
	uint8_t *data;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	if (n <= 0 || n >= (int)sizeof(name)) {
		out->ret = out->ret ? out->ret : -ENAMETOOLONG;
		return;
	}
	len = (size_t)n;
	data = extend(out, SECTION_HEADER + len);
	if (!data)
		return;
	store_le(data + SECTION_VERSION, version, 2);
	store_le(data + SECTION_NAME, len, 2);
	memcpy(data + SECTION_HEADER, name, len);
	out->section = at;
	out->field = 0;
}

void state_end(struct state_out *out)
{
	if (!out->ret)
		store_le(out->data + out->section + SECTION_LENGTH,
			 out->len - out->section - SECTION_HEADER, 4);
}

static void put(struct state_out *out, unsigned int kind, const void *from, size_t len)
{
	uint8_t *data = extend(out, FIELD_HEADER + len);

	if (!data)
		return;
	store_le(data + FIELD_NUMBER, ++out->field, 2);
	store_le(data + FIELD_KIND, kind, 2);
	store_le(data + FIELD_LENGTH, len, 4);
	if (len)
		memcpy(data + FIELD_HEADER, from, len);
}

void state_put(struct state_out *out, uint64_t number)
{
	put(out, KIND_NUMBER, &number, sizeof(number));
}

void state_put_bytes(struct state_out *out, const void *data, size_t len)
{
	put(out, KIND_BYTES, data, len);
}

/* --- loading --------------------------------------------------------------------------------- */

struct section {
	const uint8_t *name, *fields, *end;
	size_t name_len;
	uint16_t version;
};

static int refuse_all(struct state_in *in, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse_all(struct state_in *in, const char *fmt, ...)
{
	va_list ap;

	if (in->ret)
		return in->ret;
	va_start(ap, fmt);
	in->ret = err_setv(in->err, EPROTO, fmt, ap);
	va_end(ap);
	return in->ret;
}

/* The section at *at, which is then past it. False: the lengths do not fit. */
static bool next_section(const struct state_in *in, size_t *at, struct section *section)
{
	const uint8_t *header = in->data + *at;
	size_t left = in->len - *at, len, name;

	if (left < SECTION_HEADER)
		return false;
	len = load_le(header + SECTION_LENGTH, 4);
	name = load_le(header + SECTION_NAME, 2);
	if (len > left - SECTION_HEADER || !name || name > STATE_NAME_MAX || name > len)
		return false;
	*section = (struct section){
		.name = header + SECTION_HEADER,
		.name_len = name,
		.fields = header + SECTION_HEADER + name,
		.end = header + SECTION_HEADER + len,
		.version = (uint16_t)load_le(header + SECTION_VERSION, 2),
	};
	*at += SECTION_HEADER + len;
	return true;
}

static bool printable(const struct section *section)
{
	for (size_t i = 0; i < section->name_len; i++) {
		if (section->name[i] < 0x20 || section->name[i] > 0x7e)
			return false;
	}
	return true;
}

static bool is_called(const struct section *section, const void *name, size_t len)
{
	return section->name_len == len && !memcmp(section->name, name, len);
}

/* The index of the first one of that name, or -1. */
static int find(const struct state_in *in, const void *name, size_t len, struct section *section)
{
	size_t at = 0;

	for (int i = 0; at < in->len && next_section(in, &at, section); i++) {
		if (is_called(section, name, len))
			return i;
	}
	return -1;
}

int state_open(struct state_in *in, const void *data, size_t len, struct err *err)
{
	struct section section, first;
	size_t at = 0;

	*in = (struct state_in){ .data = data, .len = len, .err = err };
	while (at < len) {
		size_t from = at;

		if (in->n_sections == STATE_SECTIONS_MAX)
			return refuse_all(in, "the state has more than %u sections",
					  STATE_SECTIONS_MAX);
		if (!next_section(in, &at, &section) || !printable(&section))
			return refuse_all(in, "the state is damaged at byte %zu of %zu", from, len);
		if (find(in, section.name, section.name_len, &first) != (int)in->n_sections)
			return refuse_all(in, "the state has two sections \"%.*s\"",
					  (int)section.name_len, (const char *)section.name);
		in->n_sections++;
	}
	return 0;
}

bool state_name(const struct state_in *in, unsigned int index, char name[STATE_NAME_MAX + 1])
{
	struct section section;
	size_t at = 0;

	do {
		if (at >= in->len || !next_section(in, &at, &section))
			return false;
	} while (index--);
	memcpy(name, section.name, section.name_len);
	name[section.name_len] = '\0';
	return true;
}

int state_enter(struct state_in *in, uint16_t version, const char *fmt, ...)
{
	struct section section;
	va_list ap;
	int n, index;

	if (in->ret)
		return in->ret;
	va_start(ap, fmt);
	n = vsnprintf(in->name, sizeof(in->name), fmt, ap);
	va_end(ap);
	index = n > 0 && n < (int)sizeof(in->name) ? find(in, in->name, (size_t)n, &section) : -1;
	if (index < 0)
		return refuse_all(in, "the state has no section \"%s\"", in->name);
	if (section.version != version)
		return refuse_all(in, "section \"%s\" is of version %u; %u is understood here",
				  in->name, section.version, version);
	in->entered[index / 32] |= 1u << index % 32;
	in->at = section.fields;
	in->end = section.end;
	in->field = 0;
	return 0;
}

int state_refuse(struct state_in *in, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return refuse_all(in, "section \"%s\": %s", in->name, text);
}

/* The next field's bytes, where it is of that kind; NULL: it is not. */
static const uint8_t *take(struct state_in *in, unsigned int kind, size_t *len)
{
	const uint8_t *field = in->at;
	size_t left = (size_t)(in->end - in->at);

	if (in->ret)
		return NULL;
	in->field++;
	if (left < FIELD_HEADER || load_le(field + FIELD_NUMBER, 2) != in->field ||
	    load_le(field + FIELD_KIND, 2) != kind ||
	    load_le(field + FIELD_LENGTH, 4) > left - FIELD_HEADER) {
		state_refuse(in, "field %u is damaged, or not there", in->field);
		return NULL;
	}
	*len = load_le(field + FIELD_LENGTH, 4);
	in->at = field + FIELD_HEADER + *len;
	return field + FIELD_HEADER;
}

uint64_t state_take(struct state_in *in, uint64_t max)
{
	size_t len;
	const uint8_t *data = take(in, KIND_NUMBER, &len);
	uint64_t number;

	if (!data)
		return 0;
	number = len == sizeof(number) ? load_le(data, sizeof(number)) : 0;
	if (len == sizeof(number) && number <= max)
		return number;
	state_refuse(in, "field %u: %#llx is more than %#llx", in->field,
		     (unsigned long long)number, (unsigned long long)max);
	return 0;
}

void state_take_bytes(struct state_in *in, void *out, size_t len)
{
	size_t has;
	const uint8_t *data = take(in, KIND_BYTES, &has);

	if (data && has == len) {
		memcpy(out, data, len);
		return;
	}
	if (data)
		state_refuse(in, "field %u: has %zu bytes instead of %zu", in->field, has, len);
	memset(out, 0, len);
}

const uint8_t *state_take_some(struct state_in *in, size_t max, size_t *len)
{
	const uint8_t *data = take(in, KIND_BYTES, len);

	if (data && *len <= max)
		return data;
	if (data)
		state_refuse(in, "field %u: has %zu bytes, and at most %zu can be", in->field, *len,
			     max);
	*len = 0;
	return NULL;
}

int state_leave(struct state_in *in)
{
	if (!in->ret && in->at != in->end)
		state_refuse(in, "goes on after its last field, which is %u", in->field);
	return in->ret;
}

int state_close(struct state_in *in)
{
	struct section section;
	size_t at = 0;

	for (unsigned int i = 0; !in->ret && next_section(in, &at, &section); i++) {
		if (!(in->entered[i / 32] >> i % 32 & 1))
			refuse_all(in,
				   "the state has a section \"%.*s\", for which there is nothing",
				   (int)section.name_len, (const char *)section.name);
	}
	return in->ret;
}

/* Half a byte at a time: the table is small, and so is what it is used for. */
uint32_t state_checksum(const void *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2d4, 0x86d3d2b0, 0xa00ae278, 0xbdbdf21c,
	};
	const uint8_t *bytes = data;
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
