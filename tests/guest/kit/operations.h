/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation of DSA 1.0, submitted through a portal and compared with what this side computes
 * by itself.
 */
#ifndef ADIT_KIT_OPERATIONS_H
#define ADIT_KIT_OPERATIONS_H

#include "dsa.h"

#define OPERATIONS_AREA 0x80000UL /* bytes */

struct operations {
	struct dsa *dsa;
	uint8_t *area; /* page aligned, what the queue reaches */
	uint64_t wait; /* cycles, for what must come */
	/* of the last one that went wrong */
	uint8_t status, expected;
};

struct operation_check {
	const char *name;
	bool (*run)(struct operations *ops);
};

/* Ended by a NULL name. */
extern const struct operation_check operation_checks[];

/* Submits and waits; the record's status, 0 where none came. The completion address is set here. */
uint8_t operations_submit(struct operations *ops, struct dsa_descriptor *descriptor);
const struct dsa_completion *operations_record(const struct operations *ops);
/* A descriptor with places for both buffers and a record. */
struct dsa_descriptor operations_make(const struct operations *ops, uint32_t opcode, uint32_t size);

#endif
