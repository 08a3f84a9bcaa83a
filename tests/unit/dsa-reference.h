/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every operation of DSA 1.0 does, written down a second time: byte by byte and bit by bit,
 * over one flat array that stands for the I/O addresses [base, base + size). Nothing here is shared
 * with the engine but the descriptor's layout. Checks of descriptors are not part of it: it is
 * given good ones, that may run off the array's end.
 */
#ifndef ADIT_TESTS_UNIT_DSA_REFERENCE_H
#define ADIT_TESTS_UNIT_DSA_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "passthrough/adi/dsa-regs.h"

struct reference {
	uint8_t *flat;
	uint64_t base, size;
	/* What the record must say. */
	uint8_t status, result;
	uint32_t bytes;
	uint64_t fault;
	uint32_t words[4];
};

static inline bool ref_mapped(const struct reference *ref, uint64_t at)
{
	return at >= ref->base && at - ref->base < ref->size;
}

static inline bool ref_end(struct reference *ref, uint8_t status, uint64_t fault)
{
	ref->status = status;
	ref->fault = fault;
	return false;
}

static inline bool ref_get(struct reference *ref, uint64_t at, uint8_t *byte)
{
	if (!ref_mapped(ref, at))
		return ref_end(ref, DSA_STATUS_PAGE_FAULT, at);
	*byte = ref->flat[at - ref->base];
	return true;
}

static inline bool ref_put(struct reference *ref, uint64_t at, uint8_t byte)
{
	if (!ref_mapped(ref, at))
		return ref_end(ref, DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE, at);
	ref->flat[at - ref->base] = byte;
	return true;
}

static inline void ref_results(struct reference *ref, const struct dsa_descriptor *d,
			       uint8_t result, bool expected)
{
	ref->result = result;
	ref->status =
		d->flags & DSA_FLAG_CHECK_RESULT && !expected ? DSA_STATUS_FALSE : DSA_STATUS_OK;
}

/* A byte is moved to both destinations or to none. */
static inline void ref_move(struct reference *ref, const struct dsa_descriptor *d)
{
	bool two = d->flags >> DSA_OPCODE_SHIFT == DSA_OP_DUALCAST;
	uint8_t byte, old;

	for (; ref->bytes < d->size; ref->bytes++) {
		uint64_t to = d->destination + ref->bytes;

		if (!ref_get(ref, d->source + ref->bytes, &byte))
			return;
		old = ref_mapped(ref, to) ? ref->flat[to - ref->base] : 0;
		if (!ref_put(ref, to, byte))
			return;
		if (two && !ref_put(ref, d->destination2 + ref->bytes, byte)) {
			ref->flat[to - ref->base] = old;
			return;
		}
	}
	ref->status = DSA_STATUS_OK;
}

/* To a destination inside the source, from the end; all of it is mapped. */
static inline void ref_move_down(struct reference *ref, const struct dsa_descriptor *d)
{
	for (uint32_t i = d->size; i-- > 0;)
		ref->flat[d->destination - ref->base + i] = ref->flat[d->source - ref->base + i];
	ref->bytes = d->size;
	ref->result = 1;
	ref->status = DSA_STATUS_OK;
}

static inline void ref_fill(struct reference *ref, const struct dsa_descriptor *d)
{
	for (; ref->bytes < d->size; ref->bytes++) {
		uint8_t byte = (uint8_t)(d->pattern >> ref->bytes % 8 * 8);

		if (!ref_put(ref, d->destination + ref->bytes, byte))
			return;
	}
	ref->status = DSA_STATUS_OK;
}

static inline void ref_compare(struct reference *ref, const struct dsa_descriptor *d, bool pattern)
{
	for (; ref->bytes < d->size; ref->bytes++) {
		uint8_t a, b = (uint8_t)(d->compare_pattern >> ref->bytes % 8 * 8);

		if (!ref_get(ref, d->source + ref->bytes, &a) ||
		    (!pattern && !ref_get(ref, d->source2 + ref->bytes, &b)))
			return;
		if (a != b) {
			ref_results(ref, d, 1, d->expected == 1);
			return;
		}
	}
	ref_results(ref, d, 0, d->expected == 0);
}

static inline bool ref_word(struct reference *ref, uint64_t at, uint8_t *word)
{
	for (unsigned int i = 0; i < 8; i++) {
		if (!ref_get(ref, at + i, &word[i]))
			return false;
	}
	return true;
}

static inline void ref_delta_create(struct reference *ref, const struct dsa_descriptor *d)
{
	for (; ref->bytes < d->size; ref->bytes += 8) {
		uint32_t index = ref->bytes / 8;
		uint8_t a[8], entry[10] = { (uint8_t)index, (uint8_t)(index >> 8) };

		if (!ref_word(ref, d->source + ref->bytes, a) ||
		    !ref_word(ref, d->source2 + ref->bytes, entry + 2))
			return;
		if (!memcmp(a, entry + 2, 8))
			continue;
		if (ref->words[0] + 10 > d->delta.max_size) {
			ref_results(ref, d, 2, d->delta.expected & 4);
			return;
		}
		for (unsigned int i = 0; i < 10; i++) {
			if (!ref_put(ref, d->delta.address + ref->words[0] + i, entry[i]))
				return;
		}
		ref->words[0] += 10;
	}
	ref_results(ref, d, !!ref->words[0], d->delta.expected & (ref->words[0] ? 2 : 1));
}

static inline void ref_delta_apply(struct reference *ref, const struct dsa_descriptor *d)
{
	int last = -1;

	for (; ref->bytes < d->delta_size; ref->bytes += 10) {
		uint8_t entry[10];
		int index;

		for (unsigned int i = 0; i < 10; i++) {
			if (!ref_get(ref, d->source + ref->bytes + i, &entry[i]))
				return;
		}
		index = entry[0] | entry[1] << 8;
		if (index <= last) {
			ref->status = DSA_STATUS_DELTA_ORDER;
			return;
		}
		if ((uint32_t)index * 8 >= d->size) {
			ref->status = DSA_STATUS_DELTA_OFFSET;
			return;
		}
		last = index;
		for (unsigned int i = 0; i < 8; i++) {
			if (!ref_put(ref, d->destination + (uint32_t)index * 8 + i, entry[2 + i]))
				return;
		}
	}
	ref->status = DSA_STATUS_OK;
}

static inline uint32_t ref_mirror(uint32_t value, unsigned int bits)
{
	uint32_t out = 0;

	for (unsigned int i = 0; i < bits; i++)
		out |= (value >> i & 1) << (bits - 1 - i);
	return out;
}

/* As the specification words it: most significant bit first, mirrored and inverted around it. */
static inline void ref_crc(struct reference *ref, const struct dsa_descriptor *d, bool copies)
{
	bool plain = d->flags & DSA_CRC_BYPASS_INVERT, straight = d->flags & DSA_CRC_BYPASS_REFLECT;
	uint32_t crc = d->crc.seed;

	if (d->flags & DSA_CRC_READ_SEED) {
		uint8_t seed[4];

		for (unsigned int i = 0; i < 4; i++) {
			if (!ref_get(ref, d->crc.seed_address + i, &seed[i]))
				return;
		}
		memcpy(&crc, seed, 4);
	}
	crc = plain ? crc : ref_mirror(~crc, 32);
	for (; ref->bytes < d->size; ref->bytes++) {
		uint8_t byte;

		if (!ref_get(ref, d->source + ref->bytes, &byte))
			break;
		if (copies && !ref_put(ref, d->destination + ref->bytes, byte))
			break;
		crc ^= (straight ? byte : ref_mirror(byte, 8)) << 24;
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc & 0x80000000 ? crc << 1 ^ 0x1edc6f41 : crc << 1;
	}
	ref->words[0] = plain ? crc : ~ref_mirror(crc, 32);
	if (ref->bytes == d->size)
		ref->status = DSA_STATUS_OK;
}

/* --- DIF: 512, 520, 4096 or 4104 bytes, and eight behind them -------------------------------- */

static inline uint16_t ref_guard(const struct dsa_descriptor *d, const uint8_t *block, uint32_t n)
{
	uint32_t crc = d->dif.flags & DSA_DIF_INVERT_SEED ? 0xffff : 0;

	for (uint32_t i = 0; i < n; i++) {
		crc ^= (uint32_t)block[i] << 8;
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? (crc << 1 ^ 0x8bb7) & 0xffff : crc << 1;
	}
	return (uint16_t)(d->dif.flags & DSA_DIF_INVERT_RESULT ? ~crc : crc);
}

static inline uint8_t ref_dif_faults(const struct dsa_descriptor *d,
				     const struct dsa_dif_tags *tags, const uint8_t *block,
				     uint32_t n)
{
	uint32_t guard = (uint32_t)block[n] << 8 | block[n + 1];
	uint32_t app = (uint32_t)block[n + 2] << 8 | block[n + 3];
	uint32_t ref = (uint32_t)block[n + 4] << 24 | (uint32_t)block[n + 5] << 16 |
		       (uint32_t)block[n + 6] << 8 | block[n + 7];
	uint8_t flags = d->dif.source_flags, bad = 0;

	if (flags & 2 && guard == 0xffff && app == 0xffff && ref == 0xffffffff)
		return flags & 1 ? DSA_DIF_ALL_F : 0;
	if (flags & 4 && app == 0xffff)
		return 0;
	if (flags & 8 && app == 0xffff && ref == 0xffffffff)
		return 0;
	if (!(flags & 0x20) && guard != ref_guard(d, block, n))
		bad |= 1;
	for (unsigned int bit = 0; bit < 16; bit++) {
		if (!(tags->app_mask >> bit & 1) && (tags->app >> bit & 1) != (app >> bit & 1))
			bad |= 2;
	}
	if (!(flags & 0x40) && ref != tags->ref)
		bad |= 4;
	return bad;
}

static inline void ref_dif_make(const struct dsa_descriptor *d, const struct dsa_dif_tags *tags,
				uint8_t *block, uint32_t n, uint8_t passes)
{
	uint16_t guard = ref_guard(d, block, n), app = tags->app & (uint16_t)~tags->app_mask;

	if (!(passes & 0x20)) {
		block[n] = (uint8_t)(guard >> 8);
		block[n + 1] = (uint8_t)guard;
	}
	if (!(passes & 0x08)) {
		block[n + 2] = (uint8_t)(app >> 8);
		block[n + 3] = (uint8_t)app;
	}
	for (unsigned int i = 0; i < 4 && !(passes & 0x40); i++)
		block[n + 4 + i] = (uint8_t)(tags->ref >> (24 - 8 * i));
}

static inline void ref_dif(struct reference *ref, const struct dsa_descriptor *d)
{
	static const uint32_t sizes[] = { 512, 520, 4096, 4104 };
	uint32_t op = d->flags >> DSA_OPCODE_SHIFT, n = sizes[d->dif.flags & 3], out = 0;
	bool checks = op != DSA_OP_DIF_INSERT, writes = op != DSA_OP_DIF_CHECK;
	bool makes = op == DSA_OP_DIF_INSERT || op == DSA_OP_DIF_UPDATE;
	struct dsa_dif_tags source = d->dif.source, destination = d->dif.destination;
	uint8_t block[4112];

	while (ref->bytes < d->size) {
		for (uint32_t i = 0; i < n + (checks ? 8 : 0); i++) {
			if (!ref_get(ref, d->source + ref->bytes + i, &block[i]))
				goto out;
		}
		ref->result = checks ? ref_dif_faults(d, &source, block, n) : 0;
		if (ref->result) {
			ref->status = DSA_STATUS_DIF;
			goto out;
		}
		if (makes)
			ref_dif_make(d, &destination, block, n,
				     checks ? d->dif.destination_flags : 0);
		for (uint32_t i = 0; writes && i < n + (makes ? 8 : 0); i++) {
			if (!ref_put(ref, d->destination + out + i, block[i]))
				goto out;
		}
		out += n + (makes ? 8 : 0);
		ref->bytes += n + (checks ? 8 : 0);
		source.app += d->dif.source_flags >> 4 & 1;
		source.ref += !(d->dif.source_flags & 0x80);
		destination.app += d->dif.destination_flags >> 4 & 1;
		destination.ref += !(d->dif.destination_flags & 0x80);
	}
	ref->status = DSA_STATUS_OK;
out:
	if (checks)
		memcpy(&ref->words[0], &source, 8);
	if (makes)
		memcpy(&ref->words[2], &destination, 8);
}

static inline void ref_flush(struct reference *ref, const struct dsa_descriptor *d)
{
	uint8_t byte;

	for (; ref->bytes < d->size; ref->bytes++) {
		if (!ref_get(ref, d->destination + ref->bytes, &byte))
			return;
	}
	ref->status = DSA_STATUS_OK;
}

static inline void ref_run(struct reference *ref, const struct dsa_descriptor *d)
{
	ref->status = ref->result = 0;
	ref->bytes = 0;
	ref->fault = 0;
	memset(ref->words, 0, sizeof(ref->words));
	switch (d->flags >> DSA_OPCODE_SHIFT) {
	case DSA_OP_MEMMOVE:
		if (d->destination > d->source && d->destination - d->source < d->size)
			ref_move_down(ref, d);
		else
			ref_move(ref, d);
		break;
	case DSA_OP_DUALCAST:
		ref_move(ref, d);
		break;
	case DSA_OP_FILL:
		ref_fill(ref, d);
		break;
	case DSA_OP_COMPARE:
	case DSA_OP_COMPARE_PATTERN:
		ref_compare(ref, d, d->flags >> DSA_OPCODE_SHIFT == DSA_OP_COMPARE_PATTERN);
		break;
	case DSA_OP_DELTA_CREATE:
		ref_delta_create(ref, d);
		break;
	case DSA_OP_DELTA_APPLY:
		ref_delta_apply(ref, d);
		break;
	case DSA_OP_CRC:
	case DSA_OP_COPY_CRC:
		ref_crc(ref, d, d->flags >> DSA_OPCODE_SHIFT == DSA_OP_COPY_CRC);
		break;
	case DSA_OP_CACHE_FLUSH:
		ref_flush(ref, d);
		break;
	default:
		ref_dif(ref, d);
	}
}

#endif
