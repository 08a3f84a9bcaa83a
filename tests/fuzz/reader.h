/* SPDX-License-Identifier: Apache-2.0 */
/* An input as numbers, little-endian, one after another; behind its end all are 0. */
#ifndef ADIT_TESTS_FUZZ_READER_H
#define ADIT_TESTS_FUZZ_READER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "util/bits.h"

struct reader {
	const uint8_t *data;
	size_t size;
};

static inline uint64_t take(struct reader *r, unsigned int bytes)
{
	uint8_t raw[8] = { 0 };
	size_t n = MIN(bytes, r->size);

	memcpy(raw, r->data, n);
	r->data += n;
	r->size -= n;
	return load_le(raw, 8);
}

#endif
