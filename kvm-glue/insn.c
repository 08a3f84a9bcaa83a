/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of the 64-byte stores and their addresses; see insn.h. */
#include "kvm-glue/insn.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/bits.h"

#define REX_B 1u
#define REX_X 2u
#define REX_R 4u

#define REG_SP 4u
#define REG_BP 5u

struct cursor {
	const uint8_t *bytes;
	unsigned int len, pos;
};

struct prefixes {
	uint8_t repeat; /* 0xf2 or 0xf3, the last one; 0: none */
	uint8_t rex;	/* 0: none, or not right before the opcode */
	bool operand_size, address_size, lock;
	bool has_segment;
	enum insn_segment segment;
};

static int next_byte(struct cursor *cur, uint8_t *byte)
{
	if (cur->pos >= INSN_MAX_LEN)
		return -EINVAL;
	if (cur->pos >= cur->len)
		return -EAGAIN;
	*byte = cur->bytes[cur->pos++];
	return 0;
}

/* A sign-extended displacement of 1, 2 or 4 bytes. */
static int next_disp(struct cursor *cur, unsigned int bytes, int32_t *disp)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t byte;
		int ret = next_byte(cur, &byte);

		if (ret)
			return ret;
		value |= (uint32_t)byte << i * 8;
	}
	if (bytes)
		*disp = (int32_t)(value << (32 - bytes * 8)) >> (32 - bytes * 8);
	return 0;
}

/* True where the byte is a legacy prefix. In 64-bit mode four of the segments are ignored. */
static bool legacy_prefix(uint8_t byte, enum cpu_mode mode, struct prefixes *prefixes)
{
	enum insn_segment segment;

	switch (byte) {
	case 0x66:
		prefixes->operand_size = true;
		return true;
	case 0x67:
		prefixes->address_size = true;
		return true;
	case 0xf0:
		prefixes->lock = true;
		return true;
	case 0xf2:
	case 0xf3:
		prefixes->repeat = byte;
		return true;
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		if (mode == CPU_MODE_64)
			return true;
		segment = (enum insn_segment)(byte >> 3 & 3);
		break;
	case 0x64:
		segment = SEG_FS;
		break;
	case 0x65:
		segment = SEG_GS;
		break;
	default:
		return false;
	}
	prefixes->has_segment = true;
	prefixes->segment = segment;
	return true;
}

/* Takes the prefixes and the first opcode byte. REX counts only right before the opcode. */
static int take_prefixes(struct cursor *cur, enum cpu_mode mode, struct prefixes *prefixes,
			 uint8_t *opcode)
{
	for (;;) {
		int ret = next_byte(cur, opcode);

		if (ret)
			return ret;
		if (legacy_prefix(*opcode, mode, prefixes))
			prefixes->rex = 0;
		else if (mode == CPU_MODE_64 && (*opcode & 0xf0) == 0x40)
			prefixes->rex = *opcode;
		else
			return 0;
	}
}

/* F2 and F3 win over 66, wherever they stand; of the two the last (SDM volume 2, 2.1.2). */
static int take_opcode(struct cursor *cur, enum cpu_mode mode, struct prefixes *prefixes,
		       enum store64_kind *kind)
{
	static const uint8_t tail[] = { 0x38, 0xf8 };
	uint8_t byte;
	int ret;

	ret = take_prefixes(cur, mode, prefixes, &byte);
	if (ret)
		return ret;
	if (byte != 0x0f)
		return -ENOENT;
	for (unsigned int i = 0; i < ARRAY_SIZE(tail); i++) {
		ret = next_byte(cur, &byte);
		if (ret)
			return ret;
		if (byte != tail[i])
			return -ENOENT;
	}
	if (!prefixes->repeat && !prefixes->operand_size)
		return -ENOENT;
	*kind = prefixes->repeat == 0xf2 ? STORE64_ENQCMD
		: prefixes->repeat	 ? STORE64_ENQCMDS
					 : STORE64_MOVDIR64B;
	return 0;
}

static unsigned int address_bytes(enum cpu_mode mode, bool prefix)
{
	switch (mode) {
	case CPU_MODE_64:
		return prefix ? 4 : 8;
	case CPU_MODE_32:
		return prefix ? 2 : 4;
	default:
		return prefix ? 4 : 2;
	}
}

/* Volume 2, table 2-1. */
static int take_memory16(struct cursor *cur, uint8_t modrm, struct insn_store64 *insn)
{
	static const struct {
		uint8_t base, index;
	} forms[8] = {
		{ 3, 6 },	    { 3, 7 },
		{ 5, 6 },	    { 5, 7 }, /* BX+SI, BX+DI, BP+SI, BP+DI */
		{ 6, INSN_NO_REG }, { 7, INSN_NO_REG },
		{ 5, INSN_NO_REG }, { 3, INSN_NO_REG },
	};
	unsigned int mod = modrm >> 6, rm = modrm & 7;

	if (mod == 0 && rm == 6) {
		insn->base = INSN_NO_REG;
		return next_disp(cur, 2, &insn->disp);
	}
	insn->base = forms[rm].base;
	insn->index = forms[rm].index;
	return next_disp(cur, mod, &insn->disp);
}

/* Volume 2, tables 2-2 and 2-3. Forms that 4 and 5 mark look at three bits, not at REX.B. */
static int take_memory32(struct cursor *cur, uint8_t modrm, uint8_t rex, struct insn_store64 *insn)
{
	unsigned int mod = modrm >> 6, low = modrm & 7, disp_bytes = 0;
	bool sib_form = low == REG_SP;

	if (sib_form) {
		uint8_t sib, index;
		int ret = next_byte(cur, &sib);

		if (ret)
			return ret;
		low = sib & 7;
		index = (sib >> 3 & 7) | (rex & REX_X ? 8 : 0);
		if (index != REG_SP) {
			insn->index = index;
			insn->scale = sib >> 6;
		}
	}
	insn->base = low | (rex & REX_B ? 8 : 0);
	if (mod == 1) {
		disp_bytes = 1;
	} else if (mod == 2) {
		disp_bytes = 4;
	} else if (low == REG_BP) {
		disp_bytes = 4;
		insn->base = !sib_form && insn->mode == CPU_MODE_64 ? INSN_RIP : INSN_NO_REG;
	}
	return next_disp(cur, disp_bytes, &insn->disp);
}

int insn_decode(const uint8_t *bytes, unsigned int len, enum cpu_mode mode,
		struct insn_store64 *insn)
{
	struct cursor cur = { .bytes = bytes, .len = len };
	struct prefixes prefixes = { 0 };
	uint8_t modrm;
	int ret;

	*insn = (struct insn_store64){ .mode = mode, .base = INSN_NO_REG, .index = INSN_NO_REG };
	ret = take_opcode(&cur, mode, &prefixes, &insn->kind);
	if (ret)
		return ret;
	ret = next_byte(&cur, &modrm);
	if (ret)
		return ret;
	if (modrm >> 6 == 3)
		return -EILSEQ;
	insn->addr_bytes = (uint8_t)address_bytes(mode, prefixes.address_size);
	insn->dest = (modrm >> 3 & 7) | (prefixes.rex & REX_R ? 8 : 0);
	ret = insn->addr_bytes == 2 ? take_memory16(&cur, modrm, insn)
				    : take_memory32(&cur, modrm, prefixes.rex, insn);
	if (ret)
		return ret;
	if (prefixes.lock)
		return -EILSEQ;
	if (prefixes.has_segment)
		insn->segment = prefixes.segment;
	else
		insn->segment = insn->base == REG_SP || insn->base == REG_BP ? SEG_SS : SEG_DS;
	insn->len = (uint8_t)cur.pos;
	return 0;
}

/* --- addresses ------------------------------------------------------------------------------- */

enum cpu_mode insn_mode(const struct kvm_sregs *sregs)
{
	if (sregs->efer & X86_EFER_LMA && sregs->cs.l)
		return CPU_MODE_64;
	return sregs->cs.db ? CPU_MODE_32 : CPU_MODE_16;
}

static bool real_or_v86(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	return !(sregs->cr0 & X86_CR0_PE) ||
	       (regs->rflags & X86_EFLAGS_VM && !(sregs->efer & X86_EFER_LMA));
}

unsigned int insn_cpl(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	unsigned int stack = sregs->ss.dpl & 3, code = sregs->cs.selector & 3;

	if (!(sregs->cr0 & X86_CR0_PE))
		return 0;
	if (real_or_v86(regs, sregs))
		return 3;
	return MAX(stack, code);
}

static uint64_t gpr(const struct kvm_regs *regs, unsigned int number)
{
	switch (number) {
	case 0:
		return regs->rax;
	case 1:
		return regs->rcx;
	case 2:
		return regs->rdx;
	case 3:
		return regs->rbx;
	case 4:
		return regs->rsp;
	case 5:
		return regs->rbp;
	case 6:
		return regs->rsi;
	case 7:
		return regs->rdi;
	case 8:
		return regs->r8;
	case 9:
		return regs->r9;
	case 10:
		return regs->r10;
	case 11:
		return regs->r11;
	case 12:
		return regs->r12;
	case 13:
		return regs->r13;
	case 14:
		return regs->r14;
	default:
		return regs->r15;
	}
}

static const struct kvm_segment *segment_of(const struct kvm_sregs *sregs, enum insn_segment which)
{
	switch (which) {
	case SEG_ES:
		return &sregs->es;
	case SEG_CS:
		return &sregs->cs;
	case SEG_SS:
		return &sregs->ss;
	case SEG_DS:
		return &sregs->ds;
	case SEG_FS:
		return &sregs->fs;
	default:
		return &sregs->gs;
	}
}

static uint64_t source_offset(const struct insn_store64 *insn, const struct kvm_regs *regs)
{
	uint64_t offset = (uint64_t)(int64_t)insn->disp;

	if (insn->base == INSN_RIP)
		offset += regs->rip + insn->len;
	else if (insn->base != INSN_NO_REG)
		offset += gpr(regs, insn->base);
	if (insn->index != INSN_NO_REG)
		offset += gpr(regs, insn->index) << insn->scale;
	return offset & mask_bytes(insn->addr_bytes);
}

static int segment_fault(enum insn_segment which, struct guest_fault *fault)
{
	*fault = (struct guest_fault){
		.vector = which == SEG_SS ? VECTOR_SS : VECTOR_GP,
		.has_error_code = true,
	};
	return -EFAULT;
}

/* Volume 3, 5.5: what the segment's type lets one do. */
static bool type_allows(const struct kvm_segment *segment, bool write)
{
	bool code = segment->type & 8, right = segment->type & 2; /* readable code, writable data */

	if (segment->unusable || !segment->present || !segment->s)
		return false;
	return write ? !code && right : !code || right;
}

/* Volume 3, 5.3. Limits are in bytes whatever the granularity, as KVM reports them. */
static bool limit_allows(const struct kvm_segment *segment, uint64_t first, uint64_t last)
{
	bool expand_down = (segment->type & 0xc) == 4;

	if (!expand_down)
		return last <= segment->limit;
	return first > segment->limit && last <= (segment->db ? UINT32_MAX : UINT16_MAX);
}

static int legacy_linear(const struct kvm_regs *regs, const struct kvm_sregs *sregs,
			 enum insn_segment which, uint64_t offset, bool write, uint64_t *linear,
			 struct guest_fault *fault)
{
	const struct kvm_segment *segment = segment_of(sregs, which);
	bool typed = !real_or_v86(regs, sregs);

	if ((typed && !type_allows(segment, write)) || !limit_allows(segment, offset, offset + 63))
		return segment_fault(which, fault);
	*linear = (uint32_t)(segment->base + offset);
	return 0;
}

static int long_linear(const struct kvm_sregs *sregs, enum insn_segment which, uint64_t offset,
		       uint64_t *linear, struct guest_fault *fault)
{
	unsigned int bits = canonical_bits(sregs->cr4);

	*linear = offset;
	if (which == SEG_FS || which == SEG_GS)
		*linear += segment_of(sregs, which)->base;
	if (!is_canonical(*linear, bits) || !is_canonical(*linear + 63, bits))
		return segment_fault(which, fault);
	return 0;
}

static int linear_of(const struct insn_store64 *insn, const struct kvm_regs *regs,
		     const struct kvm_sregs *sregs, enum insn_segment which, uint64_t offset,
		     bool write, uint64_t *linear, struct guest_fault *fault)
{
	if (insn->mode == CPU_MODE_64)
		return long_linear(sregs, which, offset, linear, fault);
	return legacy_linear(regs, sregs, which, offset, write, linear, fault);
}

int insn_addresses(const struct insn_store64 *insn, const struct kvm_regs *regs,
		   const struct kvm_sregs *sregs, uint64_t *dest, uint64_t *source,
		   struct guest_fault *fault)
{
	uint64_t offset = gpr(regs, insn->dest) & mask_bytes(insn->addr_bytes);
	int ret;

	ret = linear_of(insn, regs, sregs, SEG_ES, offset, true, dest, fault);
	if (ret)
		return ret;
	if (!is_aligned(*dest, 64))
		return segment_fault(SEG_ES, fault);
	return linear_of(insn, regs, sregs, insn->segment, source_offset(insn, regs), false, source,
			 fault);
}
