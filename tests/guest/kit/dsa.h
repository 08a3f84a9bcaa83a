/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's driver for one DSA function: enough to reset it, give it one dedicated work queue and
 * submit to its limited portal. Commands and completions are polled.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0).
 */
#ifndef ADIT_KIT_DSA_H
#define ADIT_KIT_DSA_H

#include "kit.h"
#include "pci.h"

#define DSA_PCI_ID 0x0b258086

#define DSA_VERSION  0x00
#define DSA_GENCAP   0x10
#define DSA_WQCAP    0x20
#define DSA_GRPCAP   0x30
#define DSA_ENGCAP   0x38
#define DSA_OPCAP    0x40
#define DSA_OFFSETS  0x60
#define DSA_GENSTS   0x90
#define DSA_INTCAUSE 0x98
#define DSA_CMD	     0xa0
#define DSA_CMDSTS   0xa8
#define DSA_SWERR    0xc0

#define GENCAP_CONFIG (1UL << 31)

#define CMD_ENABLE_DEVICE  1
#define CMD_DISABLE_DEVICE 2
#define CMD_DRAIN_ALL	   3
#define CMD_RESET_DEVICE   5
#define CMD_ENABLE_WQ	   6
#define CMD_DISABLE_WQ	   7
#define CMD_INTERRUPT	   (1u << 31)
#define INTCAUSE_CMD	   2

#define OP_NOOP	   0
#define OP_MEMMOVE 3

#define FLAG_CRAV 0x04 /* completion record address valid */
#define FLAG_RCR  0x08 /* write one */
#define FLAG_RCI  0x10 /* and interrupt */

#define STATUS_OK	  0x01
#define STATUS_PAGE_FAULT 0x03
#define STATUS_WRITE	  0x80 /* what faulted was a write */

#define SWERR_VALID    0x1
#define SWERR_OVERFLOW 0x2

struct dsa_descriptor {
	uint32_t pasid; /* of shared queues only */
	uint32_t flags; /* opcode << 24 | flags */
	uint64_t completion, source, destination;
	uint32_t size;
	uint16_t interrupt;
	uint16_t reserved0;
	uint64_t reserved1[3];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct dsa_descriptor) == 64, "DSA descriptor");

struct dsa_completion {
	uint8_t status, result;
	uint16_t fault_info;
	uint32_t bytes;
	uint64_t fault_address;
	uint64_t specific[2];
};
_Static_assert(sizeof(struct dsa_completion) == 32, "DSA completion record");

struct dsa {
	unsigned int slot;
	uint64_t registers, portals; /* BAR0 and BAR2 */
	uint64_t wqcfg, grpcfg, msixperm;
	unsigned int wqs, wq_size, engines;
	bool movdir64b_missing; /* set by the payload, or at the first submission that faults */
	unsigned int portal_slot;
};

/* Maps BAR0 and BAR2 of the first function from slot `from` on. False: there is none. */
bool dsa_find(struct dsa *dsa, unsigned int from);
/* Runs a command and waits for its end. The CMDSTS error (0: done), or -1 where it hangs. */
int dsa_command(struct dsa *dsa, uint32_t command, uint32_t operand);
/* Reset, work queue 0 in group 0 with every engine, device enabled. What dsa_command returned. */
int dsa_start(struct dsa *dsa);
/* Enables work queue 0 as a dedicated queue; pasid 0: without one. */
int dsa_queue_enable(struct dsa *dsa, uint32_t pasid);
int dsa_queue_disable(struct dsa *dsa);
/* MOVDIR64B to the limited portal of queue 0; eight 8-byte stores where the CPU has none. */
void dsa_submit(struct dsa *dsa, const struct dsa_descriptor *descriptor);
/* Waits for the status byte; 0 where none came within `cycles`. */
uint8_t dsa_wait(const struct dsa_completion *completion, uint64_t cycles);

#endif
