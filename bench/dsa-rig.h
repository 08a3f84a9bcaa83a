/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual DSA in this process, as `adit run` composes it, without a guest: what a guest's driver
 * writes to registers and portals is written through the VM's MMIO map.
 */
#ifndef ADIT_BENCH_DSA_RIG_H
#define ADIT_BENCH_DSA_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "ioasid-client/ioasid.h"
#include "passthrough/adi/dsa-regs.h"
#include "util/epoch.h"
#include "util/err.h"

#define DSA_RIG_QUEUE  64u /* entries */
#define DSA_RIG_PASID  5u
#define DSA_RIG_QUEUES 8u /* with 128 entries among them, as DSAs of Intel's have */

struct io_region;

struct dsa_rig {
	struct vm *vm;
	struct pci_bus *bus;
	struct ioasid_ctx *ctx;
	struct ioasid_space *space;
	struct dsa *dsa;
	struct epoch_reader reader;
	const struct io_region *portal; /* all of them */
	clockid_t engine_clock;		/* CPU time of the first engine's thread */
	uint8_t *memory;		/* guest address 0 on */
	uint64_t size;
	bool paged;
};

/*
 * size bytes of guest memory, `engines` engines, one dedicated queue, enabled; with PASIDs: under
 * DSA_RIG_PASID, bound to all memory. The reason for a failure is in err.
 */
int dsa_rig_open(struct dsa_rig *rig, uint64_t size, unsigned int engines, bool pasids,
		 struct err *err);
/*
 * The same with one engine and without PASIDs, and descriptors that may wait for a page: all memory
 * is in a space whose page requests somebody answers (ioasid_fault_respond).
 */
int dsa_rig_open_paged(struct dsa_rig *rig, uint64_t size, struct err *err);
/*
 * One engine and one shared queue of as many entries, enabled; with PASIDs: DSA_RIG_PASID is bound
 * to all memory, and descriptors name theirs.
 */
int dsa_rig_open_shared(struct dsa_rig *rig, uint64_t size, bool pasids, struct err *err);
/*
 * DSA_RIG_QUEUES queues and an engine, which nobody configured yet; PASIDs 1 to DSA_RIG_QUEUES are
 * bound to all memory but `unbound`, and so is what has none.
 */
int dsa_rig_open_queues(struct dsa_rig *rig, uint64_t size, uint32_t unbound, struct err *err);
void dsa_rig_close(struct dsa_rig *rig);

/* To the portal, as the exit of a MOVDIR64B ends. The caller knows that the queue has room. */
void dsa_rig_submit(struct dsa_rig *rig, const struct dsa_descriptor *descriptor);
/* As that of an ENQCMDS, to a shared queue. */
void dsa_rig_enqueue(struct dsa_rig *rig, const struct dsa_descriptor *descriptor);
/* Spins until the record at a guest address is written; its status. */
uint8_t dsa_rig_wait(struct dsa_rig *rig, uint64_t record);

#endif
