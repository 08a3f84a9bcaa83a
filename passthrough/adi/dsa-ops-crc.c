/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC generation and copy with CRC. The checksum is CRC-32C; flags choose whether seed and result
 * are inverted and in reflected bit order, and whether the bits of each byte are. Bytes are copied
 * to the engine first: what is copied on is what was summed.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), sections 8.3.11 and 8.3.12.
 */
#include <string.h>

#include "passthrough/adi/dsa-memory.h"
#include "passthrough/adi/dsa-work.h"
#include "util/bits.h"

enum {
	SOURCE,
	DESTINATION,
	SEED
};

static uint32_t reversed(uint32_t v)
{
	v = (v >> 1 & 0x55555555) | (v & 0x55555555) << 1;
	v = (v >> 2 & 0x33333333) | (v & 0x33333333) << 2;
	v = (v >> 4 & 0x0f0f0f0f) | (v & 0x0f0f0f0f) << 4;
	return __builtin_bswap32(v);
}

static void reverse_bytes(uint8_t *bytes, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(reversed(bytes[i]) >> 24);
}

/* Between the guest's form and the reflected, which dsa_crc32c works in. Its own inverse. */
static uint32_t reshaped(const struct dsa_work *work, uint32_t value)
{
	return work->job->descriptor.flags & DSA_CRC_BYPASS_INVERT ? reversed(value) : ~value;
}

static uint8_t begin_seed(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	if (d->crc.reserved_word)
		return DSA_STATUS_RESERVED;
	if (!(d->flags & DSA_CRC_READ_SEED)) {
		work->state.crc.value = reshaped(work, d->crc.seed);
		work->state.crc.seeded = true;
		return d->crc.seed_address ? DSA_STATUS_RESERVED : DSA_STATUS_OK;
	}
	dsa_operand_set(work, SEED, d->crc.seed_address, sizeof(uint32_t), IOASID_READ);
	return d->crc.seed_address % sizeof(uint32_t) ? DSA_STATUS_ALIGN : DSA_STATUS_OK;
}

static uint8_t crc_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;

	dsa_operand_set(work, SOURCE, d->source, d->size, IOASID_READ);
	return begin_seed(work);
}

static uint8_t copy_begin(struct dsa_work *work)
{
	const struct dsa_descriptor *d = &work->job->descriptor;
	uint8_t status = crc_begin(work);

	dsa_operand_set(work, DESTINATION, d->destination, d->size, IOASID_WRITE);
	if (status == DSA_STATUS_OK && dsa_overlap(work, SOURCE, DESTINATION))
		return DSA_STATUS_OVERLAP;
	return status;
}

static bool read_seed(struct dsa_work *work)
{
	uint32_t seed;

	if (work->state.crc.seeded)
		return true;
	if (!dsa_read(work, SEED, 0, &seed, sizeof(seed)))
		return false;
	work->state.crc.value = reshaped(work, seed);
	work->state.crc.seeded = true;
	return true;
}

/* The next bytes into the sum, and on to the destination. False: a fault. */
static bool sum(struct dsa_work *work, uint64_t want, bool copies)
{
	bool reflect = work->job->descriptor.flags & DSA_CRC_BYPASS_REFLECT;
	uint8_t bounce[DSA_BOUNCE];
	char *at[2];
	uint64_t n = dsa_reach_all(work, copies ? 2 : 1, work->done, MIN(want, sizeof(bounce)), at);

	if (!n)
		return false;
	dsa_copy(bounce, at[SOURCE], n);
	if (copies)
		dsa_copy(at[DESTINATION], bounce, n);
	if (reflect)
		reverse_bytes(bounce, n);
	work->state.crc.value = dsa_crc32c(work->state.crc.value, bounce, n);
	work->done += n;
	return true;
}

static enum dsa_step crc(struct dsa_work *work, uint64_t budget, bool copies)
{
	uint64_t size = work->operand[SOURCE].size, end = MIN(size, work->done + budget);

	if (!read_seed(work))
		return DSA_STEP_DONE;
	while (work->done < end) {
		if (!sum(work, end - work->done, copies))
			return DSA_STEP_DONE;
	}
	return work->done < size ? DSA_STEP_MORE : dsa_work_ends(work, DSA_STATUS_OK);
}

static enum dsa_step crc_step(struct dsa_work *work, uint64_t budget)
{
	return crc(work, budget, false);
}

static enum dsa_step copy_step(struct dsa_work *work, uint64_t budget)
{
	return crc(work, budget, true);
}

/* After a fault it is the sum so far, to go on from. */
static void crc_finish(struct dsa_work *work)
{
	work->outcome->bytes = (uint32_t)work->done;
	if (work->state.crc.seeded)
		work->outcome->crc = reshaped(work, work->state.crc.value);
}

static void copy_finish(struct dsa_work *work)
{
	crc_finish(work);
	work->outcome->moved = work->done;
}

#define CRC_FLAGS (DSA_CRC_READ_SEED | DSA_CRC_BYPASS_INVERT | DSA_CRC_BYPASS_REFLECT)

const struct dsa_operation dsa_op_crc = {
	.begin = crc_begin,
	.step = crc_step,
	.finish = crc_finish,
	.flags = DSA_FLAGS_READ | CRC_FLAGS,
	.fields = DSA_USES_SOURCE | DSA_USES_SIZE,
	.specific_bytes = 16,
};

const struct dsa_operation dsa_op_copy_crc = {
	.begin = copy_begin,
	.step = copy_step,
	.finish = copy_finish,
	.flags = DSA_FLAGS_WRITE | CRC_FLAGS,
	.fields = DSA_USES_BOTH,
	.specific_bytes = 16,
};
