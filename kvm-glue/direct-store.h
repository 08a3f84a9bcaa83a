/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trapped portal: a guest's MOVDIR64B, ENQCMD or ENQCMDS to an MMIO hole ends KVM_RUN with
 * KVM_EXIT_INTERNAL_ERROR, suberror 1, since KVM does not emulate it. Here the instruction is
 * carried out: its bytes decoded (insn.h), both operands walked with the vCPU's own rights
 * (walk.h), the 64 bytes copied once, and the copy handed to the portal's store64.
 *
 * Guarantees
 *  - What the guest's code may not read or write itself is not read or written for it: it gets
 *    the exception that the instruction would have raised.
 *  - Only the bytes of the exit are decoded; the guest's code is not read again. The 64 bytes are
 *    read once, into private memory, before any of them is looked at.
 *  - Nothing here loops without bound, whatever other vCPUs write meanwhile.
 *
 * On hardware ENQCMD above CPL 0 does not exit, since guests have no IA32_PASID: it is #GP(0), and
 * here too. At CPL 0 the PASID is taken from the data, as ENQCMDS does: a guest's kernel can name
 * any of its PASIDs by ENQCMDS anyhow, and the gate (pasid-gate.h) judges each.
 */
#ifndef ADIT_KVM_GLUE_DIRECT_STORE_H
#define ADIT_KVM_GLUE_DIRECT_STORE_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm-glue/iomap.h"
#include "kvm-glue/walk.h"

struct vm;

enum direct_store_result {
	/*
	 * The registers were stepped: set them and run on. Drop the interrupt shadow of STI or MOV
	 * SS, if any. Where RIP did not move, the tables changed under the walk: the guest tries
	 * again by itself. A pending single step (TF) is reported one instruction late.
	 */
	DIRECT_STORE_DONE,
	/* The registers stay: inject *fault, and set CR2 where it is a #PF. */
	DIRECT_STORE_INJECTED,
	/* Another instruction or no portal: an unhandled exit. */
	DIRECT_STORE_NOT_OURS,
};

struct direct_store_cpu {
	const struct kvm_sregs *sregs;
	uint32_t pkru;		 /* XSAVE state; used only where sregs->cr4 has PKE (bit 22) */
	unsigned int maxphyaddr; /* what CPUID 80000008h tells the guest, 32 to 52 */
};

/*
 * Inside an epoch section of the VM. bytes and len: insn_bytes and insn_size of the exit, where
 * its flags say that they are valid; len is bounded here.
 */
enum direct_store_result direct_store(struct vm *vm, const struct direct_store_cpu *cpu,
				      const uint8_t *bytes, unsigned int len, struct kvm_regs *regs,
				      struct guest_fault *fault);

/* What a store reaches; direct_store fills it from the VM, tests from their own memory. */
struct direct_store_bus {
	struct walk_memory tables;
	/* Copies guest memory; not 0 where a byte of it is none. */
	int (*read)(void *arg, uint64_t gpa, void *data, size_t len);
	/* The region that takes a 64-byte store at gpa, else NULL. */
	const struct io_region *(*portal)(void *arg, uint64_t gpa);
	void *arg;
};

enum direct_store_result direct_store_on(const struct direct_store_bus *bus,
					 const struct direct_store_cpu *cpu, const uint8_t *bytes,
					 unsigned int len, struct kvm_regs *regs,
					 struct guest_fault *fault);

#endif
