/* SPDX-License-Identifier: Apache-2.0 */
/* A check for each operation, over buffers that do not lie on page borders. */
#include "operations.h"

#define A_OFFSET       0x10040UL
#define B_OFFSET       0x20300UL
#define C_OFFSET       0x40300UL
#define LIST_OFFSET    0x60000UL
#define RECORDS_OFFSET 0x70000UL
#define SIZE	       12000u

#define OP_BATCH	   0x01
#define OP_DRAIN	   0x02
#define OP_FILL		   0x04
#define OP_COMPARE	   0x05
#define OP_COMPARE_PATTERN 0x06
#define OP_DELTA_CREATE	   0x07
#define OP_DELTA_APPLY	   0x08
#define OP_DUALCAST	   0x09
#define OP_CRC		   0x10
#define OP_COPY_CRC	   0x11
#define OP_DIF_CHECK	   0x12
#define OP_DIF_INSERT	   0x13
#define OP_DIF_STRIP	   0x14
#define OP_DIF_UPDATE	   0x15
#define OP_CACHE_FLUSH	   0x20

#define FLAG_FENCE	  0x01u
#define FLAG_CHECK_RESULT 0x80u
#define STATUS_FALSE	  0x02
#define STATUS_BATCH	  0x05
#define STATUS_DIF	  0x09

/* A byte of the area that a check uses. */
static uint8_t *at(const struct operations *ops, uint64_t offset)
{
	return ops->area + offset;
}

const struct dsa_completion *operations_record(const struct operations *ops)
{
	return (const struct dsa_completion *)ops->area;
}

struct dsa_descriptor operations_make(const struct operations *ops, uint32_t opcode, uint32_t size)
{
	return (struct dsa_descriptor){
		.flags = opcode << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)ops->area,
		.source = (uint64_t)at(ops, A_OFFSET),
		.destination = (uint64_t)at(ops, B_OFFSET),
		.size = size,
	};
}

uint8_t operations_submit(struct operations *ops, struct dsa_descriptor *descriptor)
{
	memset(ops->area, 0, sizeof(struct dsa_completion));
	descriptor->completion = (uint64_t)ops->area;
	dsa_submit(ops->dsa, descriptor);
	return dsa_wait(operations_record(ops), ops->wait);
}

static bool ends(struct operations *ops, struct dsa_descriptor *descriptor, uint8_t status)
{
	ops->expected = status;
	ops->status = operations_submit(ops, descriptor);
	return ops->status == status;
}

static void scramble(uint8_t *bytes, uint32_t n, uint32_t seed)
{
	for (uint32_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

/* --- moves ----------------------------------------------------------------------------------- */

static bool check_noop(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_NOOP, 0);

	d.source = d.destination = 0;
	return ends(ops, &d, STATUS_OK);
}

static bool check_drain(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DRAIN, 0);

	d.source = d.destination = 0;
	return ends(ops, &d, STATUS_OK);
}

static bool check_memmove(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_MEMMOVE, SIZE);

	scramble(at(ops, A_OFFSET), SIZE + 64, 1);
	if (!ends(ops, &d, STATUS_OK) || memcmp(at(ops, A_OFFSET), at(ops, B_OFFSET), SIZE))
		return false;
	/* Onto itself, upwards: the bytes that were there must arrive. */
	d.destination = d.source + 24;
	return ends(ops, &d, STATUS_OK) && !memcmp(at(ops, A_OFFSET) + 24, at(ops, B_OFFSET), SIZE);
}

static bool check_fill(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_FILL, SIZE - 3);
	uint8_t *to = at(ops, B_OFFSET);

	d.source = 0x8877665544332211;
	to[SIZE - 3] = 0xee;
	if (!ends(ops, &d, STATUS_OK) || to[SIZE - 3] != 0xee)
		return false;
	for (uint32_t i = 0; i < SIZE - 3; i++) {
		if (to[i] != 0x11 * (i % 8 + 1))
			return false;
	}
	return true;
}

static bool check_dualcast(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DUALCAST, SIZE);

	scramble(at(ops, A_OFFSET), SIZE, 2);
	d.reserved1[0] = (uint64_t)at(ops, C_OFFSET);
	return ends(ops, &d, STATUS_OK) && !memcmp(at(ops, A_OFFSET), at(ops, B_OFFSET), SIZE) &&
	       !memcmp(at(ops, A_OFFSET), at(ops, C_OFFSET), SIZE);
}

static bool check_cache_flush(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_CACHE_FLUSH, SIZE);

	d.source = 0;
	return ends(ops, &d, STATUS_OK);
}

/* --- comparisons ----------------------------------------------------------------------------- */

static bool check_compare(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_COMPARE, SIZE);

	scramble(at(ops, A_OFFSET), SIZE, 3);
	memcpy(at(ops, B_OFFSET), at(ops, A_OFFSET), SIZE);
	d.flags |= FLAG_CHECK_RESULT;
	if (!ends(ops, &d, STATUS_OK) || operations_record(ops)->result)
		return false;
	at(ops, B_OFFSET)[7777] ^= 4;
	return ends(ops, &d, STATUS_FALSE) && operations_record(ops)->result == 1 &&
	       operations_record(ops)->bytes == 7777;
}

static bool check_compare_pattern(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_COMPARE_PATTERN, SIZE);
	uint8_t *from = at(ops, A_OFFSET);

	for (uint32_t i = 0; i < SIZE; i++)
		from[i] = (uint8_t)(0xf0 + i % 8);
	d.destination = 0xf7f6f5f4f3f2f1f0;
	if (!ends(ops, &d, STATUS_OK) || operations_record(ops)->result)
		return false;
	from[SIZE - 1] ^= 1;
	return ends(ops, &d, STATUS_OK) && operations_record(ops)->result == 1 &&
	       operations_record(ops)->bytes == SIZE - 1;
}

/* --- delta records: what B has that A has not, carried over to A ----------------------------- */

static bool create_delta(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DELTA_CREATE, SIZE);

	scramble(at(ops, A_OFFSET), SIZE, 4);
	memcpy(at(ops, B_OFFSET), at(ops, A_OFFSET), SIZE);
	at(ops, B_OFFSET)[16] ^= 1;
	at(ops, B_OFFSET)[SIZE - 1] ^= 1;
	d.reserved1[0] = (uint64_t)at(ops, C_OFFSET);
	d.reserved1[1] = 80;
	return ends(ops, &d, STATUS_OK);
}

static bool check_delta_create(struct operations *ops)
{
	const uint8_t *entry = at(ops, C_OFFSET);

	return create_delta(ops) && operations_record(ops)->result == 1 &&
	       operations_record(ops)->specific[0] == 20 && entry[0] == 2 && !entry[1] &&
	       !memcmp(entry + 2, at(ops, B_OFFSET) + 16, 8) &&
	       (entry[10] | entry[11] << 8) == SIZE / 8 - 1;
}

static bool check_delta_apply(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DELTA_APPLY, SIZE);

	if (!create_delta(ops))
		return false;
	d.source = (uint64_t)at(ops, C_OFFSET);
	d.destination = (uint64_t)at(ops, A_OFFSET);
	d.reserved1[0] = 20;
	return ends(ops, &d, STATUS_OK) && !memcmp(at(ops, A_OFFSET), at(ops, B_OFFSET), SIZE);
}

/* --- checksums ------------------------------------------------------------------------------- */

static uint32_t crc32c(const uint8_t *bytes, uint32_t n, uint32_t seed)
{
	uint32_t crc = ~seed;

	for (uint32_t i = 0; i < n; i++) {
		crc ^= bytes[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static bool check_crc(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_CRC, 9);

	memcpy(at(ops, A_OFFSET), "123456789", 9);
	d.destination = 0;
	if (!ends(ops, &d, STATUS_OK) || operations_record(ops)->specific[0] != 0xe3069283)
		return false;
	scramble(at(ops, A_OFFSET), SIZE, 5);
	d.size = SIZE;
	d.reserved1[0] = 0x12345678;
	return ends(ops, &d, STATUS_OK) &&
	       operations_record(ops)->specific[0] == crc32c(at(ops, A_OFFSET), SIZE, 0x12345678);
}

static bool check_copy_crc(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_COPY_CRC, SIZE);

	scramble(at(ops, A_OFFSET), SIZE, 6);
	return ends(ops, &d, STATUS_OK) &&
	       operations_record(ops)->specific[0] == crc32c(at(ops, A_OFFSET), SIZE, 0) &&
	       !memcmp(at(ops, A_OFFSET), at(ops, B_OFFSET), SIZE);
}

/* --- DIF: blocks of 512 bytes, tags 0x1234 and 0x10000 on ------------------------------------ */

#define BLOCKS	    5u
#define TAGS	    (0x10000UL | 0x1234UL << 48)
#define SOURCE_TAGS 1 /* of reserved1 */
#define DEST_TAGS   2

static uint16_t guard_of(const uint8_t *block)
{
	uint32_t crc = 0;

	for (unsigned int i = 0; i < 512; i++) {
		crc ^= (uint32_t)block[i] << 8;
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? (crc << 1 ^ 0x8bb7) & 0xffff : crc << 1;
	}
	return (uint16_t)crc;
}

/* B holds A's blocks, each with the field that belongs behind it. */
static bool is_protected(const struct operations *ops, const uint8_t *blocks, uint32_t ref)
{
	for (uint32_t i = 0; i < BLOCKS; i++) {
		const uint8_t *block = blocks + i * 520, *field = block + 512;
		uint16_t guard = guard_of(at(ops, A_OFFSET) + i * 512);

		if (memcmp(block, at(ops, A_OFFSET) + i * 512, 512) || field[0] != guard >> 8 ||
		    field[1] != (guard & 0xff) || field[2] != 0x12 || field[3] != 0x34 ||
		    field[4] != (uint8_t)(ref >> 24) || field[5] != (uint8_t)(ref >> 16) ||
		    field[6] != (uint8_t)(ref >> 8) || field[7] != (uint8_t)(ref + i))
			return false;
	}
	return true;
}

static bool insert(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DIF_INSERT, BLOCKS * 512);

	scramble(at(ops, A_OFFSET), BLOCKS * 512, 7);
	d.reserved1[DEST_TAGS] = TAGS;
	return ends(ops, &d, STATUS_OK);
}

static bool check_dif_insert(struct operations *ops)
{
	return insert(ops) && is_protected(ops, at(ops, B_OFFSET), 0x10000);
}

static bool check_dif_check(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DIF_CHECK, BLOCKS * 520);

	if (!insert(ops))
		return false;
	d.source = (uint64_t)at(ops, B_OFFSET);
	d.destination = 0;
	d.reserved1[SOURCE_TAGS] = TAGS;
	if (!ends(ops, &d, STATUS_OK))
		return false;
	/* A guard, then a reference tag. */
	at(ops, B_OFFSET)[3 * 520 + 100] ^= 1;
	if (!ends(ops, &d, STATUS_DIF) || operations_record(ops)->result != 1 ||
	    operations_record(ops)->bytes != 3 * 520)
		return false;
	at(ops, B_OFFSET)[2 * 520 + 519] ^= 1;
	return ends(ops, &d, STATUS_DIF) && operations_record(ops)->result == 4 &&
	       operations_record(ops)->bytes == 2 * 520;
}

static bool check_dif_strip(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DIF_STRIP, BLOCKS * 520);

	if (!insert(ops))
		return false;
	d.source = (uint64_t)at(ops, B_OFFSET);
	d.destination = (uint64_t)at(ops, C_OFFSET);
	d.reserved1[SOURCE_TAGS] = TAGS;
	return ends(ops, &d, STATUS_OK) &&
	       !memcmp(at(ops, A_OFFSET), at(ops, C_OFFSET), BLOCKS * 512);
}

static bool check_dif_update(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_DIF_UPDATE, BLOCKS * 520);

	if (!insert(ops))
		return false;
	d.source = (uint64_t)at(ops, B_OFFSET);
	d.destination = (uint64_t)at(ops, C_OFFSET);
	d.reserved1[SOURCE_TAGS] = TAGS;
	d.reserved1[DEST_TAGS] = TAGS + 0x990000;
	return ends(ops, &d, STATUS_OK) && is_protected(ops, at(ops, C_OFFSET), 0x9a0000);
}

/* --- batches --------------------------------------------------------------------------------- */

static struct dsa_descriptor *listed(const struct operations *ops, unsigned int i)
{
	return (struct dsa_descriptor *)at(ops, LIST_OFFSET) + i;
}

static uint8_t member_status(const struct operations *ops, unsigned int i)
{
	return at(ops, RECORDS_OFFSET)[i * 32UL];
}

/* A comparison; what stands behind its fence is done only where it held. */
static bool check_batch(struct operations *ops)
{
	struct dsa_descriptor d = operations_make(ops, OP_BATCH, 3);

	*listed(ops, 0) = operations_make(ops, OP_MEMMOVE, 256);
	*listed(ops, 1) = operations_make(ops, OP_COMPARE, 256);
	listed(ops, 1)->flags |= FLAG_CHECK_RESULT;
	*listed(ops, 2) = operations_make(ops, OP_FILL, 8);
	listed(ops, 2)->flags |= FLAG_FENCE;
	listed(ops, 2)->source = 0x5a5a5a5a5a5a5a5a;
	listed(ops, 2)->destination = (uint64_t)at(ops, C_OFFSET);
	memset(at(ops, RECORDS_OFFSET), 0, 96);
	for (unsigned int i = 0; i < 3; i++)
		listed(ops, i)->completion = (uint64_t)at(ops, RECORDS_OFFSET) + i * 32;
	scramble(at(ops, A_OFFSET), 256, 8);
	at(ops, C_OFFSET)[0] = 0;
	d.source = (uint64_t)at(ops, LIST_OFFSET);
	d.destination = 0;
	if (!ends(ops, &d, STATUS_OK) || operations_record(ops)->bytes != 3 ||
	    at(ops, C_OFFSET)[0] != 0x5a || member_status(ops, 2) != STATUS_OK)
		return false;
	listed(ops, 0)->size = 255;
	at(ops, B_OFFSET)[255] ^= 1;
	at(ops, C_OFFSET)[0] = 0;
	return ends(ops, &d, STATUS_BATCH) && member_status(ops, 1) == STATUS_FALSE &&
	       operations_record(ops)->bytes == 2 && !at(ops, C_OFFSET)[0];
}

const struct operation_check operation_checks[] = {
	{ "noop", check_noop },
	{ "batch", check_batch },
	{ "drain", check_drain },
	{ "memmove", check_memmove },
	{ "fill", check_fill },
	{ "compare", check_compare },
	{ "compare_pattern", check_compare_pattern },
	{ "delta_create", check_delta_create },
	{ "delta_apply", check_delta_apply },
	{ "dualcast", check_dualcast },
	{ "crc", check_crc },
	{ "copy_crc", check_copy_crc },
	{ "dif_check", check_dif_check },
	{ "dif_insert", check_dif_insert },
	{ "dif_strip", check_dif_strip },
	{ "dif_update", check_dif_update },
	{ "cache_flush", check_cache_flush },
	{ NULL, NULL },
};
