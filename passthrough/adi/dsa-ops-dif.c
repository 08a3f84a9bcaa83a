/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data integrity fields: check, insert, strip and update the eight bytes behind each block: a CRC
 * of the block, an application tag and a reference tag, all big-endian. A block and its field are
 * copied to the engine, judged there, and only what was judged is written on.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 8.3.13 to 8.3.16. What
 * remains unchecked where an all-ones pattern is detected is as remembered.
 */
#include <string.h>

#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

#define FIELD	  8u
#define MAX_BLOCK 4104u

enum {
	SOURCE,
	DESTINATION
};

struct field {
	uint16_t guard, app;
	uint32_t ref;
};

static const uint16_t block_sizes[4] = { 512, 520, 4096, MAX_BLOCK };

static struct field decoded(const uint8_t *at)
{
	struct field field;

	memcpy(&field, at, sizeof(field));
	return (struct field){ __builtin_bswap16(field.guard), __builtin_bswap16(field.app),
			       __builtin_bswap32(field.ref) };
}

static void encode(uint8_t *at, const struct field *field)
{
	const struct field out = { __builtin_bswap16(field->guard), __builtin_bswap16(field->app),
				   __builtin_bswap32(field->ref) };

	memcpy(at, &out, sizeof(out));
}

static uint16_t guard_of(const struct dsa_work *work, const uint8_t *block)
{
	uint8_t flags = work->job->descriptor.dif.flags;
	uint16_t crc = flags & DSA_DIF_INVERT_SEED ? 0xffff : 0;

	crc = dsa_crc16_t10(crc, block, work->state.dif.block);
	return flags & DSA_DIF_INVERT_RESULT ? (uint16_t)~crc : crc;
}

/* --- the source's fields --------------------------------------------------------------------- */

/* All ones in what is looked at: the block is not protected. */
static bool unprotected(uint8_t flags, const struct field *field)
{
	bool app = field->app == 0xffff, ref = field->ref == 0xffffffff;

	return (flags & DSA_DIF_SRC_F_APP && app) || (flags & DSA_DIF_SRC_F_TAGS && app && ref) ||
	       (flags & DSA_DIF_SRC_F_ALL && app && ref && field->guard == 0xffff);
}

/* What is wrong with the block: DSA_DIF_BAD_*. */
static uint8_t faults_of(const struct dsa_work *work, const uint8_t *block)
{
	const struct dsa_dif_tags *tags = &work->state.dif.source;
	uint8_t flags = work->job->descriptor.dif.source_flags, bad = 0;
	struct field field = decoded(block + work->state.dif.block);

	if (flags & DSA_DIF_SRC_F_ALL && flags & DSA_DIF_SRC_F_ERROR && field.guard == 0xffff &&
	    field.app == 0xffff && field.ref == 0xffffffff)
		return DSA_DIF_ALL_F;
	if (unprotected(flags, &field))
		return 0;
	if (!(flags & DSA_DIF_SRC_NO_GUARD) && guard_of(work, block) != field.guard)
		bad |= DSA_DIF_BAD_GUARD;
	if ((tags->app ^ field.app) & ~tags->app_mask & 0xffff)
		bad |= DSA_DIF_BAD_APP;
	if (!(flags & DSA_DIF_SRC_NO_REF) && tags->ref != field.ref)
		bad |= DSA_DIF_BAD_REF;
	return bad;
}

static void next_source(struct dsa_work *work)
{
	uint8_t flags = work->job->descriptor.dif.source_flags;

	if (flags & DSA_DIF_SRC_APP_COUNTS)
		work->state.dif.source.app++;
	if (!(flags & DSA_DIF_SRC_REF_FIXED))
		work->state.dif.source.ref++;
}

/* --- the destination's ----------------------------------------------------------------------- */

/* Behind the block; what passes through is taken from the field that is there. */
static void make_field(struct dsa_work *work, uint8_t *block, bool update)
{
	const struct dsa_dif_tags *tags = &work->state.dif.destination;
	uint8_t passes = update ? work->job->descriptor.dif.destination_flags : 0;
	uint8_t *at = block + work->state.dif.block;
	struct field field = update ? decoded(at) : (struct field){ 0 };

	if (!(passes & DSA_DIF_DST_GUARD_PASSES))
		field.guard = guard_of(work, block);
	if (!(passes & DSA_DIF_DST_APP_PASSES))
		field.app = tags->app & ~tags->app_mask & 0xffff;
	if (!(passes & DSA_DIF_DST_REF_PASSES))
		field.ref = tags->ref;
	encode(at, &field);
}

static void next_destination(struct dsa_work *work)
{
	uint8_t flags = work->job->descriptor.dif.destination_flags;

	if (flags & DSA_DIF_DST_APP_COUNTS)
		work->state.dif.destination.app++;
	if (!(flags & DSA_DIF_DST_REF_FIXED))
		work->state.dif.destination.ref++;
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* What an operation has of the two sides, as its row says. */
struct sides {
	bool checks; /* the source has fields */
	bool writes; /* there is a destination */
	bool makes;  /* it has fields */
};

static struct sides sides_of(const struct dsa_work *work)
{
	uint32_t op = dsa_opcode(&work->job->descriptor);

	return (struct sides){
		.checks = op != DSA_OP_DIF_INSERT,
		.writes = op != DSA_OP_DIF_CHECK,
		.makes = op == DSA_OP_DIF_INSERT || op == DSA_OP_DIF_UPDATE,
	};
}

static bool reserved_set(const struct dsa_work *work, const struct sides *sides)
{
	const struct dsa_descriptor *d = &work->job->descriptor;
	static const struct dsa_dif_tags none;
	uint8_t bits = d->dif.flags & (uint8_t)~0x0f;

	for (unsigned int i = 0; i < sizeof(d->dif.reserved_bytes); i++)
		bits |= d->dif.reserved_bytes[i];
	if (!sides->checks)
		bits |= d->dif.source_flags | !!memcmp(&d->dif.source, &none, sizeof(none));
	if (!sides->makes)
		bits |= d->dif.destination_flags |
			!!memcmp(&d->dif.destination, &none, sizeof(none));
	bits |= d->dif.destination_flags & DSA_DIF_DST_RESERVED;
	if (dsa_opcode(d) == DSA_OP_DIF_INSERT)
		bits |= d->dif.destination_flags &
			(DSA_DIF_DST_APP_PASSES | DSA_DIF_DST_GUARD_PASSES |
			 DSA_DIF_DST_REF_PASSES);
	return bits;
}

static uint8_t begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;
	struct sides sides = sides_of(work);
	uint32_t block = block_sizes[d->dif.flags & DSA_DIF_BLOCK];
	uint64_t out;

	work->state.dif.block = block;
	work->state.dif.source_step = block + (sides.checks ? FIELD : 0);
	work->state.dif.destination_step = sides.writes ? block + (sides.makes ? FIELD : 0) : 0;
	work->state.dif.source = d->dif.source;
	work->state.dif.destination = d->dif.destination;
	if (reserved_set(work, &sides))
		return DSA_STATUS_RESERVED;
	if (d->size % work->state.dif.source_step)
		return DSA_STATUS_SIZE;
	out = (uint64_t)d->size / work->state.dif.source_step * work->state.dif.destination_step;
	dsa_operand_set(work, SOURCE, d->source, d->size, IOASID_READ);
	if (sides.writes)
		dsa_operand_set(work, DESTINATION, d->destination, out, IOASID_WRITE);
	return sides.writes && dsa_overlap(work, SOURCE, DESTINATION) ? DSA_STATUS_OVERLAP
								      : DSA_STATUS_OK;
}

/* DSA_STATUS_OK: the next. A fault is in the outcome already. */
static uint8_t one_block(struct dsa_work *work, const struct sides *sides)
{
	uint64_t at = work->done / work->state.dif.source_step * work->state.dif.destination_step;
	uint8_t block[MAX_BLOCK + FIELD];

	if (!dsa_read(work, SOURCE, work->done, block, work->state.dif.source_step))
		return work->outcome->status;
	if (sides->checks) {
		work->outcome->result = faults_of(work, block);
		if (work->outcome->result)
			return DSA_STATUS_DIF;
	}
	if (sides->makes)
		make_field(work, block, sides->checks);
	if (sides->writes &&
	    !dsa_write(work, DESTINATION, at, block, work->state.dif.destination_step))
		return work->outcome->status;
	return DSA_STATUS_OK;
}

static enum dsa_step step(struct dsa_work *work, uint64_t budget)
{
	uint64_t size = work->operand[SOURCE].size, end = MIN(size, work->done + budget);
	struct sides sides = sides_of(work);

	while (work->done < end) {
		uint8_t status = one_block(work, &sides);

		if (status != DSA_STATUS_OK)
			return dsa_work_ends(work, status);
		if (sides.checks)
			next_source(work);
		if (sides.makes)
			next_destination(work);
		work->done += work->state.dif.source_step;
		work->outcome->moved += work->state.dif.destination_step;
	}
	return work->done < size ? DSA_STEP_MORE : dsa_work_ends(work, DSA_STATUS_OK);
}

/* The tags of the block that it stopped at, to go on from. */
static void finish(struct dsa_work *work)
{
	struct sides sides = sides_of(work);

	work->outcome->bytes = (uint32_t)work->done;
	if (sides.checks)
		work->outcome->dif[0] = work->state.dif.source;
	if (sides.makes)
		work->outcome->dif[1] = work->state.dif.destination;
}

#define DIF_ROW(allowed, used)                                                      \
	{                                                                           \
		.begin = begin, .step = step, .finish = finish, .flags = (allowed), \
		.fields = (used), .specific_bytes = 24,                             \
	}

const struct dsa_operation dsa_op_dif_check =
	DIF_ROW(DSA_FLAGS_READ, DSA_USES_SOURCE | DSA_USES_SIZE);
const struct dsa_operation dsa_op_dif_insert = DIF_ROW(DSA_FLAGS_WRITE, DSA_USES_BOTH);
const struct dsa_operation dsa_op_dif_strip = DIF_ROW(DSA_FLAGS_WRITE, DSA_USES_BOTH);
const struct dsa_operation dsa_op_dif_update = DIF_ROW(DSA_FLAGS_WRITE, DSA_USES_BOTH);
