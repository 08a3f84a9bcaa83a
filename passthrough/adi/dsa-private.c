/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a descriptor for hardware out of a guest's: pure arithmetic on private copies. What is not
 * named here does not get through.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapter 8.
 */
#include <stddef.h>
#include <string.h>

#include "passthrough/adi/dsa-hardware.h"
#include "util/bits.h"

#define FIELD(member) (uint8_t) offsetof(struct dsa_descriptor, member)
#define SOURCE	      FIELD(source)
#define DESTINATION   FIELD(destination)

/* Which address of the descriptor an operand is, as the operations number them; 0: none. */
static const uint8_t fields[DSA_OPS][DSA_OPERANDS] = {
	[DSA_OP_MEMMOVE] = { SOURCE, DESTINATION },
	[DSA_OP_FILL] = { DESTINATION },
	[DSA_OP_COMPARE] = { SOURCE, DESTINATION },
	[DSA_OP_COMPARE_PATTERN] = { SOURCE },
	[DSA_OP_DELTA_CREATE] = { SOURCE, DESTINATION, FIELD(delta.address) },
	[DSA_OP_DELTA_APPLY] = { SOURCE, DESTINATION },
	[DSA_OP_DUALCAST] = { SOURCE, DESTINATION, FIELD(destination2) },
	[DSA_OP_CRC] = { SOURCE, DESTINATION, FIELD(crc.seed_address) },
	[DSA_OP_COPY_CRC] = { SOURCE, DESTINATION, FIELD(crc.seed_address) },
	[DSA_OP_DIF_CHECK] = { SOURCE, DESTINATION },
	[DSA_OP_DIF_INSERT] = { SOURCE, DESTINATION },
	[DSA_OP_DIF_STRIP] = { SOURCE, DESTINATION },
	[DSA_OP_DIF_UPDATE] = { SOURCE, DESTINATION },
	[DSA_OP_CACHE_FLUSH] = { DESTINATION },
};

/*
 * Of the guest's flags. Traffic classes and steering are the host's to choose; a fault is never
 * waited for, since all that a descriptor can name is there.
 */
#define FLAGS_KEPT (DSA_FLAG_CHECK_RESULT | DSA_FLAG_CACHE | DSA_FLAG_STRICT_ORDER | 0xff0000u)

/* Where an operand is for the device, as far as pieces follow each other there too. */
static bool place(const struct dsa_reach *reach, const struct dsa_operand *operand, uint64_t *at,
		  uint64_t *fault)
{
	uint64_t left = operand->size, next = operand->address;
	bool first = true;

	for (unsigned int i = 0; i < reach->n && left; i++) {
		uint64_t into = next - reach->piece[i].iova, here;

		if (next < reach->piece[i].iova || into >= reach->piece[i].size ||
		    operand->rights & ~reach->piece[i].rights)
			continue;
		here = reach->piece[i].at + into;
		if (first)
			*at = here;
		else if (here != *at + (operand->size - left))
			break;
		first = false;
		left -= MIN(left, reach->piece[i].size - into);
		next = operand->address + (operand->size - left);
	}
	*fault = next;
	return !left;
}

static bool place_all(const struct dsa_reach *reach, const struct dsa_work *work,
		      struct dsa_descriptor *out, uint8_t *status, uint64_t *fault)
{
	const uint8_t *row = fields[dsa_opcode(&work->job->descriptor)];

	for (unsigned int i = 0; i < DSA_OPERANDS; i++) {
		const struct dsa_operand *operand = &work->operand[i];
		uint64_t at = 0;

		if (!(work->operands & 1u << i) || !operand->size)
			continue;
		*status = DSA_STATUS_HARDWARE;
		if (!row[i])
			return false;
		*status = DSA_STATUS_PAGE_FAULT |
			  (operand->rights & IOASID_WRITE ? DSA_STATUS_WRITE : 0);
		if (!place(reach, operand, &at, fault))
			return false;
		memcpy((char *)out + row[i], &at, sizeof(at));
	}
	return true;
}

/* Addresses that no operand vouched for are cleared before the operands are put in. */
uint8_t dsa_private_make(const struct dsa_reach *reach, const struct dsa_work *work, uint32_t pasid,
			 struct dsa_descriptor *out, uint64_t *fault)
{
	const struct dsa_descriptor *in = &work->job->descriptor;
	uint32_t opcode = dsa_opcode(in);
	uint8_t status = DSA_STATUS_OPCODE;

	*fault = 0;
	if (opcode >= DSA_OPS || opcode == DSA_OP_BATCH || opcode == DSA_OP_DRAIN)
		return status;
	*out = (struct dsa_descriptor){
		.pasid = pasid & DSA_DESCRIPTOR_PASID,
		.flags = opcode << DSA_OPCODE_SHIFT | (in->flags & FLAGS_KEPT) |
			 DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD,
		.size = in->size,
	};
	memcpy(out->reserved, in->reserved, sizeof(out->reserved));
	/* Patterns lie where other operations have an address. */
	if (opcode == DSA_OP_FILL)
		out->source = in->source;
	if (opcode == DSA_OP_COMPARE_PATTERN)
		out->destination = in->destination;
	for (unsigned int i = 0; i < DSA_OPERANDS; i++) {
		if (fields[opcode][i])
			memset((char *)out + fields[opcode][i], 0, sizeof(uint64_t));
	}
	return place_all(reach, work, out, &status, fault) ? DSA_STATUS_OK : status;
}

uint64_t dsa_reach_back(const struct dsa_reach *reach, uint64_t at)
{
	for (unsigned int i = 0; i < reach->n; i++) {
		if (at >= reach->piece[i].at && at - reach->piece[i].at < reach->piece[i].size)
			return reach->piece[i].iova + (at - reach->piece[i].at);
	}
	return UINT64_MAX;
}
