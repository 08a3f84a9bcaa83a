/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small guest of the trapped portal's suites: tables and 64 KiB of memory made here, a portal
 * that keeps what comes, and a bus whose every access is counted.
 */
#ifndef ADIT_TESTS_UNIT_TEST_DIRECT_STORE_H
#define ADIT_TESTS_UNIT_TEST_DIRECT_STORE_H

#include "tests/unit/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/direct-store.h"
#include "kvm-glue/vm.h"
#include "util/bits.h"

#define P  BIT_U64(0)
#define W  BIT_U64(1)
#define U  BIT_U64(2)
#define A  BIT_U64(5)
#define D  BIT_U64(6)
#define NX BIT_U64(63)

/* The guest: 64 KiB of memory with one table per level, 2 MiB mapped one to one. */
#define RAM	    0x10000u
#define PML4	    0x1000u
#define PT	    0x4000u
#define SOURCE	    0x8000u
#define PORTAL	    0x100000u
#define PORTAL_SIZE 0x2000u
#define RIP	    0x6000u

/* Destination RAX, source RCX. */
static const uint8_t movdir64b[] = { 0x66, 0x0f, 0x38, 0xf8, 0x01 };
__attribute__((unused)) static const uint8_t enqcmd[] = { 0xf2, 0x0f, 0x38, 0xf8, 0x01 };
static const uint8_t enqcmds[] = { 0xf3, 0x0f, 0x38, 0xf8, 0x01 };

struct portal {
	unsigned int calls;
	uint64_t offset;
	enum store64_kind kind;
	uint8_t data[64];
	int answer;
};

struct guest {
	uint8_t *ram;
	bool ram_is_ours;
	struct portal portal;
	struct io_region region;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct direct_store_cpu cpu;
	struct direct_store_bus bus;
	struct guest_fault fault;

	unsigned int entry_reads, reads, bytes_read;
	bool races; /* every swap is lost */
	void (*on_read)(struct guest *guest);
	pthread_t racer;
	bool stop; /* atomic */
};

static inline int portal_store64(void *opaque, uint64_t offset, enum store64_kind kind,
				 const void *data)
{
	struct portal *portal = opaque;

	portal->calls++;
	portal->offset = offset;
	portal->kind = kind;
	memcpy(portal->data, data, sizeof(portal->data));
	return portal->answer;
}

static const struct io_ops portal_ops = { .store64 = portal_store64 };

static inline uint64_t *pte(struct guest *g, uint64_t linear)
{
	return (uint64_t *)(g->ram + PT) + (linear >> 12 & 511);
}

static inline int guest_entry_read(void *arg, uint64_t gpa, uint64_t *entry)
{
	struct guest *g = arg;

	g->entry_reads++;
	if (gpa > RAM - 8)
		return -ENXIO;
	*entry = __atomic_load_n((uint64_t *)(g->ram + gpa), __ATOMIC_RELAXED);
	return 0;
}

static inline int guest_entry_swap(void *arg, uint64_t gpa, uint64_t old, uint64_t new)
{
	struct guest *g = arg;

	if (g->races)
		return -EAGAIN;
	return __atomic_compare_exchange_n((uint64_t *)(g->ram + gpa), &old, new, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
		       ? 0
		       : -EAGAIN;
}

static inline int guest_read(void *arg, uint64_t gpa, void *data, size_t len)
{
	struct guest *g = arg;

	g->reads++;
	g->bytes_read += (unsigned int)len;
	if (gpa > RAM || len > RAM - gpa)
		return -EFAULT;
	memcpy(data, g->ram + gpa, len);
	if (g->on_read)
		g->on_read(g);
	return 0;
}

static inline const struct io_region *guest_portal(void *arg, uint64_t gpa)
{
	struct guest *g = arg;

	return range_inside(gpa, 1, g->region.base, g->region.size) ? &g->region : NULL;
}

static inline void fill_tables(uint8_t *ram)
{
	uint64_t *entry = (uint64_t *)ram;

	for (unsigned int table = PML4; table < PT; table += 4096)
		entry[table / 8] = (table + 4096) | P | W | U | A;
	for (uint64_t i = 0; i < 512; i++)
		entry[PT / 8 + i] = i << 12 | P | W | U | A | D;
}

static inline struct kvm_sregs long_mode(const struct kvm_sregs *from, unsigned int cpl)
{
	struct kvm_segment data = {
		.limit = UINT32_MAX,
		.selector = 0x18,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
		.dpl = cpl,
	};
	struct kvm_sregs sregs = from ? *from : (struct kvm_sregs){ 0 };

	sregs.cs = (struct kvm_segment){
		.limit = UINT32_MAX,
		.selector = cpl ? 0x33 : 0x10,
		.type = 0xb,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
		.dpl = cpl,
	};
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
		    X86_CR0_PG;
	sregs.cr3 = PML4;
	sregs.cr4 = X86_CR4_PAE;
	sregs.efer = BIT_U64(8) | X86_EFER_LMA | X86_EFER_NXE | BIT_U64(0);
	return sregs;
}

static inline void guest_fill(struct guest *g)
{
	fill_tables(g->ram);
	for (unsigned int i = 0; i < 64; i++)
		g->ram[SOURCE + i] = (uint8_t)(0xc0 + i);
	store_le(g->ram + SOURCE, 0x5, 4); /* PASID 5 */
	g->region = (struct io_region){
		.base = PORTAL,
		.size = PORTAL_SIZE,
		.ops = &portal_ops,
		.opaque = &g->portal,
		.name = "portal",
	};
	g->regs = (struct kvm_regs){ .rax = PORTAL, .rcx = SOURCE, .rip = RIP, .rflags = 2 };
	g->sregs = long_mode(NULL, 0);
	g->cpu = (struct direct_store_cpu){ .sregs = &g->sregs, .maxphyaddr = 40 };
	g->bus = (struct direct_store_bus){
		.tables = { .read = guest_entry_read, .swap = guest_entry_swap, .arg = g },
		.read = guest_read,
		.portal = guest_portal,
		.arg = g,
	};
}

#endif
