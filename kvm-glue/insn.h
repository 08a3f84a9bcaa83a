/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three 64-byte store instructions, from bytes to operands and from operands to linear
 * addresses: MOVDIR64B (66 0F 38 F8), ENQCMD (F2 0F 38 F8) and ENQCMDS (F3 0F 38 F8). Nothing
 * else is decoded; no memory is touched.
 *
 * Source: Intel SDM volume 2, chapter 2 (formats) and the three instructions' pages; volume 1,
 * 3.3.7 (canonical addresses); volume 3, 5.3 and 5.5 (segment limits and types).
 *
 * Linear-address masking is not applied: a tagged pointer is non-canonical here and faults. The
 * REX2 and EVEX forms of APX are not decoded. CPUID must offer neither.
 */
#ifndef ADIT_KVM_GLUE_INSN_H
#define ADIT_KVM_GLUE_INSN_H

#include <linux/kvm.h>
#include <stdint.h>

#include "kvm-glue/iomap.h"
#include "kvm-glue/walk.h"

#define INSN_MAX_LEN 15u

enum cpu_mode {
	CPU_MODE_16,
	CPU_MODE_32,
	CPU_MODE_64
};

/* Numbered as the processor numbers them. */
enum insn_segment {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS
};

#define INSN_NO_REG 0xffu
#define INSN_RIP    0xfeu /* as base: the address of the next instruction */

struct insn_store64 {
	enum store64_kind kind;
	enum cpu_mode mode;
	uint8_t len;		   /* of the instruction, 1 to 15 */
	uint8_t addr_bytes;	   /* address size: 2, 4 or 8 */
	uint8_t dest;		   /* general register, 0 to 15; an offset into ES */
	uint8_t base, index;	   /* general register, INSN_NO_REG, or (base) INSN_RIP */
	uint8_t scale;		   /* the index is shifted by it: 0 to 3 */
	enum insn_segment segment; /* of the source */
	int32_t disp;
};

/*
 * Never reads past bytes[len].
 * -ENOENT: another instruction.  -EAGAIN: len ends inside this one.
 * -EINVAL: longer than 15 bytes, which is #GP(0).  -EILSEQ: LOCK or a register source: #UD.
 */
int insn_decode(const uint8_t *bytes, unsigned int len, enum cpu_mode mode,
		struct insn_store64 *insn);

/* Code segment and EFER say which bytes mean what. */
enum cpu_mode insn_mode(const struct kvm_sregs *sregs);
/* The privilege level; where two sources of it disagree, the lower privilege. */
unsigned int insn_cpl(const struct kvm_regs *regs, const struct kvm_sregs *sregs);

/*
 * Linear addresses of both operands. Checks the destination's alignment, canonical form and,
 * outside 64-bit mode, segment types and limits, of all 64 bytes.
 * -EFAULT: *fault holds the #GP(0) or #SS(0).
 */
int insn_addresses(const struct insn_store64 *insn, const struct kvm_regs *regs,
		   const struct kvm_sregs *sregs, uint64_t *dest, uint64_t *source,
		   struct guest_fault *fault);

#endif
