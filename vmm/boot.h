/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a payload finds in memory and in the registers of the boot processor when it starts: GDT,
 * page tables, command line, Linux zero page and PVH start info, at the places of vmm/platform.h.
 */
#ifndef ADIT_VMM_BOOT_H
#define ADIT_VMM_BOOT_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "vmm/layout.h"
#include "vmm/platform.h"

struct payload;

/* Guest memory before the VM runs: the layout and the mapping of its memfd. */
struct boot_memory {
	const struct layout *layout;
	void *base; /* host address of memfd offset 0 */
};

/* Host address of [gpa, gpa + len) where it lies wholly inside one piece of RAM, else NULL. */
void *boot_memory_at(const struct boot_memory *memory, uint64_t gpa, uint64_t len);

#define BOOT_MAPPED_END \
	0x100000000ULL /* the page tables map what is below: 4 GiB, reachable at CPL 3 */

/* Behind the GDT, inside the page at 0; 104 bytes, all zero but the I/O map base. */
#define BOOT_TSS (BOOT_GDT + 0x100)

/* Selectors of the GDT. 0x10 and 0x18 are Linux's __BOOT_CS and __BOOT_DS. */
#define BOOT_SEL_CODE32	   0x08
#define BOOT_SEL_CODE64	   0x10
#define BOOT_SEL_DATA	   0x18
#define BOOT_SEL_USER_DATA 0x28 /* | 3 at CPL 3 */
#define BOOT_SEL_USER_CODE 0x30
#define BOOT_SEL_TSS	   0x38
#define BOOT_GDT_BYTES	   0x48

/* Xen public headers, arch-x86/hvm/start_info.h, version 1. */
#define PVH_START_MAGIC	    0x336ec578
#define PVH_START_VERSION   1
#define PVH_MEMORY_RAM	    1 /* the types are those of e820 */
#define PVH_MEMORY_RESERVED 2

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct pvh_memory {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

enum boot_entry {
	BOOT_LONG_MODE, /* RSI = zero page, RBX = start info, RSP = BOOT_STACK_TOP */
	BOOT_PVH32,	/* 32-bit protected mode without paging, EBX = start info */
};

struct boot_state {
	enum boot_entry mode;
	uint64_t rip, rsi, rbx, rsp;
	uint64_t cr0, cr3, cr4, efer;
	uint64_t gdt_base;
	uint16_t gdt_limit;
};

/*
 * After the payload and its initramfs were loaded: writes the structures and fills *state.
 * rsdp_gpa 0: no ACPI. -E2BIG: the command line is longer than the kernel or BOOT_CMDLINE_MAX
 * allows. -ENOSPC: RAM does not cover the first MiB.
 */
int boot_prepare(const struct boot_memory *memory, const struct payload *payload,
		 const char *cmdline, uint64_t rsdp_gpa, struct boot_state *state, struct err *err);

/*
 * The boot processor's registers. *regs is overwritten; of *sregs (as KVM_GET_SREGS filled it)
 * everything but apic_base and pending interrupts is. No IDT: an exception that a payload did not
 * prepare for is a triple fault.
 */
void boot_registers(const struct boot_state *state, struct kvm_regs *regs, struct kvm_sregs *sregs);

#endif
