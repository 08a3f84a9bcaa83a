/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with a bus, guest memory, an I/O address space context and a virtual DSA, and what a
 * guest's driver would do with it through the VM's MMIO map: where every test of passthrough/adi
 * starts from.
 */
#ifndef ADIT_TESTS_UNIT_TEST_DSA_H
#define ADIT_TESTS_UNIT_TEST_DSA_H

#include "tests/unit/check.h"
#include "tests/unit/wait.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ioasid-client/ioasid.h"
#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa-internal.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define ECAM	    0xe0000000ULL
#define MEMORY	    (16 * MIB)
#define WINDOW	    (8 * MIB) /* 4 MiB of guest memory from here on */
#define WINDOW_SIZE (4 * MIB)
/* 256 MiB of I/O addresses over the one MiB at LONG_BACKING: descriptors that take a while. */
#define LONG_IOVA    (4 * GIB)
#define LONG_SIZE    (256 * MIB)
#define LONG_BACKING (15 * MIB)
#define RECORD	     0x1000ULL

struct dsa_rig {
	struct vm *vm;
	struct pci_bus *bus;
	struct epoch_reader reader;
	struct ioasid_ctx *ctx;
	struct ioasid_space *guest, *window;
	struct dsa *dsa;
	uint8_t *memory;
	struct err err;
	uint64_t fired[1 + DSA_MAX_WQS]; /* atomic, by vector */
};

static inline void rig_deliver(void *arg, const struct msi_message *message)
{
	struct dsa_rig *rig = arg;

	__atomic_fetch_add(&rig->fired[message->data], 1, __ATOMIC_SEQ_CST);
}

/* --- accesses as a vCPU makes them ----------------------------------------------------------- */

static inline uint64_t mmio_read(struct dsa_rig *rig, uint64_t address, unsigned int size)
{
	uint64_t value = 0;

	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	iomap_read(vm_mmio(rig->vm), address, &value, size);
	epoch_exit(&rig->reader);
	return value;
}

static inline void mmio_write(struct dsa_rig *rig, uint64_t address, uint64_t value,
			      unsigned int size)
{
	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	iomap_write(vm_mmio(rig->vm), address, &value, size);
	epoch_exit(&rig->reader);
}

static inline uint64_t cfg_at(struct dsa_rig *rig, unsigned int offset)
{
	return ECAM + ((uint64_t)pci_function_slot(dsa_function(rig->dsa)) << 15) + offset;
}

static inline uint64_t reg_at(struct dsa_rig *rig, uint64_t offset)
{
	return pci_function_bar_address(dsa_function(rig->dsa), DSA_BAR_REGISTERS) + offset;
}

static inline uint64_t portal_at(struct dsa_rig *rig, unsigned int wq, uint64_t offset)
{
	return pci_function_bar_address(dsa_function(rig->dsa), DSA_BAR_PORTALS) +
	       (uint64_t)wq * DSA_WQ_PORTALS + offset;
}

static inline uint64_t reg_read(struct dsa_rig *rig, uint64_t offset, unsigned int size)
{
	return mmio_read(rig, reg_at(rig, offset), size);
}

static inline void reg_write(struct dsa_rig *rig, uint64_t offset, uint64_t value,
			     unsigned int size)
{
	mmio_write(rig, reg_at(rig, offset), value, size);
}

static inline int portal_store(struct dsa_rig *rig, struct epoch_reader *reader, uint64_t address,
			       enum store64_kind kind, const void *bytes)
{
	const struct io_region *region;
	int ret = -ENXIO;

	epoch_enter(vm_epoch(rig->vm), reader);
	region = iomap_find(vm_mmio(rig->vm), address);
	if (region && region->ops->store64)
		ret = region->ops->store64(region->opaque, address - region->base, kind, bytes);
	epoch_exit(reader);
	return ret;
}

static inline int submit(struct dsa_rig *rig, unsigned int wq, const struct dsa_descriptor *d)
{
	return portal_store(rig, &rig->reader, portal_at(rig, wq, DSA_PORTAL_PAGE),
			    STORE64_MOVDIR64B, d);
}

/* --- commands -------------------------------------------------------------------------------- */

static inline void command_start(struct dsa_rig *rig, uint32_t code, uint32_t operand)
{
	reg_write(rig, DSA_CMD, (uint64_t)code << DSA_CMD_CODE_SHIFT | operand, 4);
}

static inline uint32_t command_end(struct dsa_rig *rig)
{
	WAIT_FOR(!(reg_read(rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE));
	return (uint32_t)reg_read(rig, DSA_CMDSTS, 4);
}

static inline uint32_t command(struct dsa_rig *rig, uint32_t code, uint32_t operand)
{
	command_start(rig, code, operand);
	return command_end(rig);
}

static inline volatile struct dsa_record *record_at(struct dsa_rig *rig, uint64_t gpa)
{
	return (volatile struct dsa_record *)(rig->memory + gpa);
}

static inline uint8_t status_at(struct dsa_rig *rig, uint64_t gpa)
{
	return (uint8_t)__atomic_load_n((uint64_t *)(rig->memory + gpa), __ATOMIC_ACQUIRE);
}

static inline struct dsa_counters counters(struct dsa_rig *rig)
{
	struct dsa_counters c;

	dsa_counters_read(rig->dsa, &c);
	return c;
}

/* --- driving --------------------------------------------------------------------------------- */

static inline void wqcfg_write(struct dsa_rig *rig, unsigned int wq, unsigned int word,
			       uint32_t value)
{
	reg_write(rig, DSA_WQCFG + wq * DSA_WQCFG_SIZE + word * 4ULL, value, 4);
}

static inline uint32_t wqcfg_read(struct dsa_rig *rig, unsigned int wq, unsigned int word)
{
	return (uint32_t)reg_read(rig, DSA_WQCFG + wq * DSA_WQCFG_SIZE + word * 4ULL, 4);
}

/* pasid 0: the queue uses none. */
static inline void wq_mode(struct dsa_rig *rig, unsigned int wq, uint32_t pasid)
{
	uint32_t mode = DSA_WQCFG_DEDICATED | 1u << DSA_WQCFG_PRIORITY_SHIFT;

	if (pasid)
		mode |= DSA_WQCFG_PASID_ENABLE | pasid << DSA_WQCFG_PASID_SHIFT;
	wqcfg_write(rig, wq, DSA_WQCFG_MODE, mode);
}

/* All queues and engines in group 0. */
static inline void device_enable(struct dsa_rig *rig)
{
	reg_write(rig, DSA_GRPCFG, (1u << rig->dsa->wqs) - 1, 8);
	reg_write(rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, (1u << rig->dsa->engines) - 1, 8);
	assert_int_equal(command(rig, DSA_ENABLE_DEVICE, 0), 0);
}

static inline void wq_enable(struct dsa_rig *rig, unsigned int wq, uint32_t pasid)
{
	wq_mode(rig, wq, pasid);
	assert_int_equal(command(rig, DSA_ENABLE_WQ, wq), 0);
}

static inline struct dsa_descriptor noop(void)
{
	return (struct dsa_descriptor){
		.flags = DSA_OP_NOOP << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD,
		.record = RECORD,
	};
}

static inline struct dsa_descriptor move(uint64_t to, uint64_t from, uint32_t size)
{
	return (struct dsa_descriptor){
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD,
		.record = RECORD,
		.source = from,
		.destination = to,
		.size = size,
	};
}

static inline struct dsa_descriptor move_with_record(uint64_t to, uint64_t from, uint32_t size,
						     uint64_t record)
{
	struct dsa_descriptor d = move(to, from, size);

	d.record = record;
	return d;
}

/* 255.5 MiB from one half of each MiB to the other. */
static inline struct dsa_descriptor long_move(void)
{
	return move(LONG_IOVA, LONG_IOVA + MIB / 2, (uint32_t)(LONG_SIZE - MIB / 2));
}

/* Nothing of a long move is at work: it would carry one half's bytes into the other. */
static inline void assert_quiet(struct dsa_rig *rig)
{
	uint8_t *backing = rig->memory + LONG_BACKING;

	memset(backing, 0xa1, MIB / 2);
	memset(backing + MIB / 2, 0xb2, MIB / 2);
	for (unsigned int look = 0; look < 8; look++) {
		for (unsigned int i = 0; i < MIB; i += 64)
			assert_int_equal(((volatile uint8_t *)backing)[i],
					 i < MIB / 2 ? 0xa1 : 0xb2);
	}
}

/* Submits to queue 0, waits for everything to end, and returns the record's status. */
static inline uint8_t run(struct dsa_rig *rig, const struct dsa_descriptor *d)
{
	memset(rig->memory + (d->record & (MEMORY - 1) & ~31ULL), 0, sizeof(struct dsa_record));
	assert_int_equal(submit(rig, 0, d), 0);
	assert_int_equal(command(rig, DSA_DRAIN_ALL, 0), 0);
	return status_at(rig, d->record & (MEMORY - 1) & ~31ULL);
}

static inline uint8_t swerr_code(struct dsa_rig *rig)
{
	uint64_t swerr = reg_read(rig, DSA_SWERR, 8);

	return swerr & DSA_SWERR_VALID ? (uint8_t)(swerr >> DSA_SWERR_CODE_SHIFT) : 0;
}

static inline void swerr_ack(struct dsa_rig *rig)
{
	reg_write(rig, DSA_SWERR, DSA_SWERR_VALID | DSA_SWERR_OVERFLOW, 8);
}

/* Vector n carries the data n. */
static inline void msix_enable(struct dsa_rig *rig)
{
	struct pci_function *function = dsa_function(rig->dsa);

	for (unsigned int v = 0; v <= rig->dsa->wqs; v++) {
		uint64_t entry = reg_at(rig, DSA_MSIX_TABLE) + v * 16ULL;

		mmio_write(rig, entry, 0xfee00000, 8);
		mmio_write(rig, entry + 8, v, 8);
	}
	mmio_write(rig, cfg_at(rig, function->msix->capability + PCI_MSIX_FLAGS),
		   PCI_MSIX_FLAGS_ENABLE, 2);
}

static inline uint64_t fired(struct dsa_rig *rig, unsigned int vector)
{
	return __atomic_load_n(&rig->fired[vector], __ATOMIC_SEQ_CST);
}

static inline void bus_master(struct dsa_rig *rig, bool on)
{
	mmio_write(rig, cfg_at(rig, PCI_COMMAND),
		   PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0), 2);
}

/* --- a back end that never gets to work: the test does it, step by step ---------------------- */

static inline int never_start(struct dsa *dsa)
{
	return 0;
}

static inline void never(struct dsa *dsa)
{
}

static const struct dsa_backend_ops idle_backend = {
	.name = "idle",
	.start = never_start,
	.kick = never,
	.stop = never,
};

static inline struct dsa_job *take_job(struct dsa_rig *rig)
{
	struct dsa_job *job;

	pthread_mutex_lock(&rig->dsa->lock);
	job = dsa_job_take(rig->dsa, 0);
	pthread_mutex_unlock(&rig->dsa->lock);
	return job;
}

/* Carries the job out as an engine does; what it came to. */
static inline struct dsa_outcome end_job(struct dsa_rig *rig, struct dsa_job *job)
{
	struct dsa_outcome outcome;
	struct ioasid_dma *dma;

	assert_ok(ioasid_dma_open(rig->ctx, &dma, &rig->err), &rig->err);
	dsa_execute(rig->dsa, dma, job, &outcome);
	dsa_report_end(rig->dsa, dma, job, &outcome);
	ioasid_dma_close(dma);
	pthread_mutex_lock(&rig->dsa->lock);
	dsa_job_done(rig->dsa, job, &outcome);
	pthread_mutex_unlock(&rig->dsa->lock);
	return outcome;
}

/* --- building -------------------------------------------------------------------------------- */

static inline struct ioasid_space *rig_space(struct dsa_rig *rig, const char *name, uint64_t iova,
					     uint64_t size, unsigned int rights)
{
	const struct ioasid_space_options options = { .name = name, .pasid_capable = true };
	struct ioasid_space *space;

	assert_ok(ioasid_alloc(rig->ctx, &options, &space, &rig->err), &rig->err);
	assert_ok(ioasid_map_hva(space, iova, size, rig->memory + iova, rights, &rig->err),
		  &rig->err);
	return space;
}

static inline void rig_map_long(struct dsa_rig *rig, struct ioasid_space *space)
{
	for (uint64_t at = 0; at < LONG_SIZE; at += MIB)
		assert_ok(ioasid_map_hva(space, LONG_IOVA + at, MIB, rig->memory + LONG_BACKING,
					 IOASID_READ | IOASID_WRITE, &rig->err),
			  &rig->err);
}

static inline struct dsa_options rig_options(bool pasids)
{
	return (struct dsa_options){
		.id = "dsa0",
		.wqs = 2,
		.wq = { { .size = 16 }, { .size = 16 } },
		.engines = 2,
		.pasid = { .allow = pasids, .width = 20 },
	};
}

static inline void rig_add(struct dsa_rig *rig, const struct dsa_options *options)
{
	struct pci_function *function;

	assert_ok(dsa_create(&rig->dsa, rig->vm, rig->ctx, rig->guest, options, &rig->err),
		  &rig->err);
	function = dsa_function(rig->dsa);
	function->msix->deliver = rig_deliver;
	function->msix->deliver_arg = rig;
	assert_ok(pci_bus_add(rig->bus, function, -1, &rig->err), &rig->err);
	bus_master(rig, true);
}

/* False, with the reason in err, where there is no VM to be had. */
static inline bool rig_open(struct dsa_rig *rig, const struct dsa_options *options)
{
	static const struct pci_bus_options windows = {
		.mem32 = { 0xc0000000, 0x20000000 },
		.mem64 = { 1ULL << 40, 1ULL << 38 },
		.ecam_base = ECAM,
	};
	const struct vm_options vm_options = { .kvm_fd = -1 };

	memset(rig, 0, sizeof(*rig));
	if (vm_create(&rig->vm, &vm_options, &rig->err))
		return false;
	epoch_join(vm_epoch(rig->vm), &rig->reader);
	assert_ok(pci_bus_create(&rig->bus, rig->vm, &windows, &rig->err), &rig->err);
	rig->memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig->memory, MAP_FAILED);
	assert_ok(ioasid_ctx_open(&rig->ctx, IOASID_PROVIDER_SOFT, NULL, &rig->err), &rig->err);
	rig->guest = rig_space(rig, "guest", 0, MEMORY, IOASID_READ | IOASID_WRITE);
	rig->window = rig_space(rig, "window", WINDOW, WINDOW_SIZE, IOASID_READ | IOASID_WRITE);
	rig_map_long(rig, rig->guest);
	rig_map_long(rig, rig->window);
	if (options)
		rig_add(rig, options);
	return true;
}

static inline void rig_close(struct dsa_rig *rig)
{
	pci_bus_destroy(rig->bus);
	ioasid_ctx_close(rig->ctx);
	munmap(rig->memory, MEMORY);
	epoch_leave(vm_epoch(rig->vm), &rig->reader);
	vm_destroy(rig->vm);
}

#define RIG(rig, options)                                        \
	struct dsa_rig rig;                                      \
	do {                                                     \
		const struct dsa_options options_ = (options);   \
		if (!rig_open(&(rig), &options_))                \
			skip_because("no VM: %s", rig.err.text); \
	} while (0)

/* A repeatable generator for the property tests. */
static inline uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*state >> 33);
}

#endif
