/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of the 64-byte stores and the addresses of their operands (kvm-glue/insn.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <asm/processor-flags.h>
#include <errno.h>

#include "kvm-glue/insn.h"
#include "util/bits.h"

#define NONE INSN_NO_REG

enum {
	AX,
	CX,
	DX,
	BX,
	SP,
	BP,
	SI,
	DI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15
};

struct encoding {
	const char *text;
	enum cpu_mode mode;
	unsigned int len;
	uint8_t bytes[15];
	enum store64_kind kind;
	unsigned int addr_bytes, dest, base, index, scale;
	enum insn_segment segment;
	int32_t disp;
};

#define MOV STORE64_MOVDIR64B
#define ENQ STORE64_ENQCMD
#define ENS STORE64_ENQCMDS
#define M64 CPU_MODE_64
#define M32 CPU_MODE_32
#define M16 CPU_MODE_16

/* clang-format off */
static const struct encoding encodings[] = {
	{ "movdir64b rax, [rcx]", M64, 5, { 0x66, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "movdir64b rsp, [rbp+0x10]", M64, 6, { 0x66, 0x0f, 0x38, 0xf8, 0x65, 0x10 },
	  MOV, 8, SP, BP, NONE, 0, SEG_SS, 0x10 },
	{ "movdir64b r15, [r12]", M64, 7, { 0x66, 0x45, 0x0f, 0x38, 0xf8, 0x3c, 0x24 },
	  MOV, 8, R15, R12, NONE, 0, SEG_DS, 0 },
	{ "movdir64b r9, [r13+0]", M64, 7, { 0x66, 0x45, 0x0f, 0x38, 0xf8, 0x4d, 0x00 },
	  MOV, 8, R9, R13, NONE, 0, SEG_DS, 0 },
	{ "movdir64b rdx, [rsp]", M64, 6, { 0x66, 0x0f, 0x38, 0xf8, 0x14, 0x24 },
	  MOV, 8, DX, SP, NONE, 0, SEG_SS, 0 },
	{ "movdir64b rdx, [rsp+rbp*8-0x80]", M64, 7,
	  { 0x66, 0x0f, 0x38, 0xf8, 0x54, 0xec, 0x80 },
	  MOV, 8, DX, SP, BP, 3, SEG_SS, -0x80 },
	{ "movdir64b rdx, [rbp+r12*4+0x12345678]", M64, 11,
	  { 0x66, 0x42, 0x0f, 0x38, 0xf8, 0x94, 0xa5, 0x78, 0x56, 0x34, 0x12 },
	  MOV, 8, DX, BP, R12, 2, SEG_SS, 0x12345678 },
	{ "movdir64b rdx, [r12*2]", M64, 11,
	  { 0x66, 0x42, 0x0f, 0x38, 0xf8, 0x14, 0x65, 0x00, 0x00, 0x00, 0x00 },
	  MOV, 8, DX, NONE, R12, 1, SEG_DS, 0 },
	{ "movdir64b rdx, [rip+0x1234]", M64, 9,
	  { 0x66, 0x0f, 0x38, 0xf8, 0x15, 0x34, 0x12, 0x00, 0x00 },
	  MOV, 8, DX, INSN_RIP, NONE, 0, SEG_DS, 0x1234 },
	{ "movdir64b rdx, [rip-0x10], REX.B set", M64, 10,
	  { 0x66, 0x41, 0x0f, 0x38, 0xf8, 0x15, 0xf0, 0xff, 0xff, 0xff },
	  MOV, 8, DX, INSN_RIP, NONE, 0, SEG_DS, -0x10 },
	{ "movdir64b edx, [eip+0x1234]", M64, 10,
	  { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x15, 0x34, 0x12, 0x00, 0x00 },
	  MOV, 4, DX, INSN_RIP, NONE, 0, SEG_DS, 0x1234 },
	{ "movdir64b edi, [r8d+r9d*4]", M64, 8, { 0x67, 0x66, 0x43, 0x0f, 0x38, 0xf8, 0x3c, 0x88 },
	  MOV, 4, DI, R8, R9, 2, SEG_DS, 0 },
	{ "movdir64b rdi, fs:[rsi]", M64, 6, { 0x64, 0x66, 0x0f, 0x38, 0xf8, 0x3e },
	  MOV, 8, DI, SI, NONE, 0, SEG_FS, 0 },
	{ "movdir64b rdi, gs:[rbp+8]", M64, 7, { 0x65, 0x66, 0x0f, 0x38, 0xf8, 0x7d, 0x08 },
	  MOV, 8, DI, BP, NONE, 0, SEG_GS, 8 },
	{ "movdir64b rdi, fs:[0x1000]", M64, 11,
	  { 0x64, 0x66, 0x0f, 0x38, 0xf8, 0x3c, 0x25, 0x00, 0x10, 0x00, 0x00 },
	  MOV, 8, DI, NONE, NONE, 0, SEG_FS, 0x1000 },
	{ "enqcmd rax, [rcx]", M64, 5, { 0xf2, 0x0f, 0x38, 0xf8, 0x01 },
	  ENQ, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "enqcmd r8, gs:[rsp+8]", M64, 9,
	  { 0x65, 0xf2, 0x44, 0x0f, 0x38, 0xf8, 0x44, 0x24, 0x08 },
	  ENQ, 8, R8, SP, NONE, 0, SEG_GS, 8 },
	{ "enqcmds rax, [rcx]", M64, 5, { 0xf3, 0x0f, 0x38, 0xf8, 0x01 },
	  ENS, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "enqcmds r11, [r14+rsi*2+0x40]", M64, 8,
	  { 0xf3, 0x45, 0x0f, 0x38, 0xf8, 0x5c, 0x76, 0x40 },
	  ENS, 8, R11, R14, SI, 1, SEG_DS, 0x40 },
	{ "enqcmds eax, [ecx]", M64, 6, { 0x67, 0xf3, 0x0f, 0x38, 0xf8, 0x01 },
	  ENS, 4, AX, CX, NONE, 0, SEG_DS, 0 },

	{ "F2 wins over 66 before it", M64, 6, { 0x66, 0xf2, 0x0f, 0x38, 0xf8, 0x01 },
	  ENQ, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "F3 wins over 66 after it", M64, 6, { 0xf3, 0x66, 0x0f, 0x38, 0xf8, 0x01 },
	  ENS, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "the last of F2 F3", M64, 6, { 0xf2, 0xf3, 0x0f, 0x38, 0xf8, 0x01 },
	  ENS, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "the last of F3 F2", M64, 6, { 0xf3, 0xf2, 0x0f, 0x38, 0xf8, 0x01 },
	  ENQ, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "REX before another prefix does not count", M64, 6,
	  { 0x47, 0x66, 0x0f, 0x38, 0xf8, 0x01 }, MOV, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "of two REX the last counts", M64, 7, { 0x66, 0x44, 0x41, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 8, AX, R9, NONE, 0, SEG_DS, 0 },
	{ "REX.W changes nothing", M64, 6, { 0x66, 0x48, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 8, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "a DS prefix after FS is ignored in 64-bit mode", M64, 7,
	  { 0x64, 0x3e, 0x66, 0x0f, 0x38, 0xf8, 0x01 }, MOV, 8, AX, CX, NONE, 0, SEG_FS, 0 },
	{ "a CS prefix does not take RBP from SS in 64-bit mode", M64, 7,
	  { 0x2e, 0x66, 0x0f, 0x38, 0xf8, 0x45, 0x00 }, MOV, 8, AX, BP, NONE, 0, SEG_SS, 0 },
	{ "the last segment prefix counts", M64, 7, { 0x64, 0x65, 0x66, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 8, AX, CX, NONE, 0, SEG_GS, 0 },
	{ "fifteen bytes", M64, 15,
	  { 0x64, 0x64, 0x64, 0x66, 0x67, 0x45, 0x0f, 0x38, 0xf8, 0x9c, 0x76, 1, 2, 3, 0x84 },
	  MOV, 4, R11, R14, SI, 1, SEG_FS, (int32_t)0x84030201 },

	{ "movdir64b eax, [ecx]", M32, 5, { 0x66, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 4, AX, CX, NONE, 0, SEG_DS, 0 },
	{ "movdir64b eax, [ebp]", M32, 6, { 0x66, 0x0f, 0x38, 0xf8, 0x45, 0x00 },
	  MOV, 4, AX, BP, NONE, 0, SEG_SS, 0 },
	{ "movdir64b eax, [esp+4]", M32, 7, { 0x66, 0x0f, 0x38, 0xf8, 0x44, 0x24, 0x04 },
	  MOV, 4, AX, SP, NONE, 0, SEG_SS, 4 },
	{ "movdir64b eax, [0x12345678]", M32, 9,
	  { 0x66, 0x0f, 0x38, 0xf8, 0x05, 0x78, 0x56, 0x34, 0x12 },
	  MOV, 4, AX, NONE, NONE, 0, SEG_DS, 0x12345678 },
	{ "movdir64b eax, [ebx*4+0x10]", M32, 10,
	  { 0x66, 0x0f, 0x38, 0xf8, 0x04, 0x9d, 0x10, 0x00, 0x00, 0x00 },
	  MOV, 4, AX, NONE, BX, 2, SEG_DS, 0x10 },
	{ "movdir64b eax, es:[ecx]", M32, 6, { 0x26, 0x66, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 4, AX, CX, NONE, 0, SEG_ES, 0 },
	{ "movdir64b eax, ss:[ecx]", M32, 6, { 0x36, 0x66, 0x0f, 0x38, 0xf8, 0x01 },
	  MOV, 4, AX, CX, NONE, 0, SEG_SS, 0 },
	{ "movdir64b eax, cs:[ebp]", M32, 7, { 0x2e, 0x66, 0x0f, 0x38, 0xf8, 0x45, 0x00 },
	  MOV, 4, AX, BP, NONE, 0, SEG_CS, 0 },
	{ "movdir64b ax, [si]", M32, 6, { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x04 },
	  MOV, 2, AX, SI, NONE, 0, SEG_DS, 0 },
	{ "movdir64b ax, [bx+si]", M32, 6, { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x00 },
	  MOV, 2, AX, BX, SI, 0, SEG_DS, 0 },
	{ "movdir64b ax, [bp+di+4]", M32, 7, { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x43, 0x04 },
	  MOV, 2, AX, BP, DI, 0, SEG_SS, 4 },
	{ "movdir64b ax, [0x1234]", M32, 8, { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x06, 0x34, 0x12 },
	  MOV, 2, AX, NONE, NONE, 0, SEG_DS, 0x1234 },
	{ "enqcmds ax, [bp+0x1234]", M32, 8, { 0x67, 0xf3, 0x0f, 0x38, 0xf8, 0x86, 0x34, 0x12 },
	  ENS, 2, AX, BP, NONE, 0, SEG_SS, 0x1234 },

	{ "movdir64b ax, [bx]", M16, 5, { 0x66, 0x0f, 0x38, 0xf8, 0x07 },
	  MOV, 2, AX, BX, NONE, 0, SEG_DS, 0 },
	{ "movdir64b ax, [bp+si]", M16, 5, { 0x66, 0x0f, 0x38, 0xf8, 0x02 },
	  MOV, 2, AX, BP, SI, 0, SEG_SS, 0 },
	{ "movdir64b eax, [ecx+edx*2]", M16, 7, { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x04, 0x51 },
	  MOV, 4, AX, CX, DX, 1, SEG_DS, 0 },
	{ "enqcmds ax, [bx+di-2]", M16, 6, { 0xf3, 0x0f, 0x38, 0xf8, 0x41, 0xfe },
	  ENS, 2, AX, BX, DI, 0, SEG_DS, -2 },
	{ "enqcmd ax, [di]", M16, 5, { 0xf2, 0x0f, 0x38, 0xf8, 0x05 },
	  ENQ, 2, AX, DI, NONE, 0, SEG_DS, 0 },
	{ "movdir64b ax, ds:[bp+2]", M16, 7, { 0x3e, 0x66, 0x0f, 0x38, 0xf8, 0x46, 0x02 },
	  MOV, 2, AX, BP, NONE, 0, SEG_DS, 2 },
};

struct refusal {
	const char *text;
	enum cpu_mode mode;
	unsigned int len;
	uint8_t bytes[17];
	int ret;
};

static const struct refusal refusals[] = {
	{ "no mandatory prefix", M64, 4, { 0x0f, 0x38, 0xf8, 0x01 }, -ENOENT },
	{ "a mov", M64, 3, { 0x48, 0x8b, 0x01 }, -ENOENT },
	{ "0F 0B", M64, 2, { 0x0f, 0x0b }, -ENOENT },
	{ "movdiri, 0F 38 F9", M64, 4, { 0x0f, 0x38, 0xf9, 0x01 }, -ENOENT },
	{ "66 0F 3A F8", M64, 5, { 0x66, 0x0f, 0x3a, 0xf8, 0x01 }, -ENOENT },
	{ "REX2, which is no REX", M64, 6, { 0xd5, 0x80, 0x0f, 0x38, 0xf8, 0x01 }, -ENOENT },
	{ "EVEX", M64, 6, { 0x62, 0xf4, 0x7d, 0x08, 0xf8, 0x01 }, -ENOENT },
	{ "40h is INC outside 64-bit mode", M32, 6, { 0x66, 0x40, 0x0f, 0x38, 0xf8, 0x01 }, -ENOENT },
	{ "register source of MOVDIR64B", M64, 5, { 0x66, 0x0f, 0x38, 0xf8, 0xc1 }, -EILSEQ },
	{ "register source of ENQCMD", M64, 5, { 0xf2, 0x0f, 0x38, 0xf8, 0xff }, -EILSEQ },
	{ "LOCK", M64, 6, { 0xf0, 0x66, 0x0f, 0x38, 0xf8, 0x01 }, -EILSEQ },
	{ "LOCK between", M32, 6, { 0x66, 0xf0, 0x0f, 0x38, 0xf8, 0x01 }, -EILSEQ },
	{ "sixteen bytes", M64, 16,
	  { 0x64, 0x64, 0x64, 0x64, 0x66, 0x67, 0x45, 0x0f, 0x38, 0xf8, 0x9c, 0x76, 1, 2, 3, 4 },
	  -EINVAL },
	{ "prefixes without end", M64, 16,
	  { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	    0x66, 0x66 },
	  -EINVAL },
	{ "nothing", M64, 0, { 0 }, -EAGAIN },
};
/* clang-format on */

/* Decodes a copy that ends exactly at len, so that a sanitizer sees a read past it. */
static int decode(const uint8_t *bytes, unsigned int len, enum cpu_mode mode,
		  struct insn_store64 *insn)
{
	uint8_t *copy = malloc(len ? len : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	ret = insn_decode(len ? copy : copy + 1, len, mode, insn);
	free(copy);
	return ret;
}

static bool matches(const struct insn_store64 *insn, const struct encoding *e)
{
	return insn->kind == e->kind && insn->mode == e->mode && insn->len == e->len &&
	       insn->addr_bytes == e->addr_bytes && insn->dest == e->dest &&
	       insn->base == e->base && insn->index == e->index && insn->scale == e->scale &&
	       insn->segment == e->segment && insn->disp == e->disp;
}

static void decodes_every_form(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(encodings); i++) {
		const struct encoding *e = &encodings[i];
		struct insn_store64 insn;

		if (decode(e->bytes, e->len, e->mode, &insn) || !matches(&insn, e))
			fail_msg("%s", e->text);
	}
}

static void ignores_bytes_after_the_instruction(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(encodings); i++) {
		const struct encoding *e = &encodings[i];
		uint8_t bytes[32];
		struct insn_store64 insn;

		memset(bytes, 0xf0, sizeof(bytes));
		memcpy(bytes, e->bytes, e->len);
		assert_int_equal(decode(bytes, sizeof(bytes), e->mode, &insn), 0);
		assert_int_equal(insn.len, e->len);
	}
}

static void asks_for_more_at_every_truncation(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(encodings); i++) {
		const struct encoding *e = &encodings[i];

		for (unsigned int len = 0; len < e->len; len++) {
			struct insn_store64 insn;

			assert_int_equal(decode(e->bytes, len, e->mode, &insn), -EAGAIN);
		}
	}
}

static void refuses_what_is_not_a_store(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct insn_store64 insn;

		if (decode(r->bytes, r->len, r->mode, &insn) != r->ret)
			fail_msg("%s", r->text);
	}
}

/* --- addresses ------------------------------------------------------------------------------- */

static struct kvm_regs some_regs(void)
{
	return (struct kvm_regs){
		.rax = 0x10000,
		.rcx = 0x20001,
		.rdx = 0x30002,
		.rbx = 0x40003,
		.rsp = 0x50004,
		.rbp = 0x60005,
		.rsi = 0x70006,
		.rdi = 0x80007,
		.r8 = 0x90008,
		.r9 = 0xa0009,
		.r10 = 0xb000a,
		.r11 = 0xc000b,
		.r12 = 0xd000c,
		.r13 = 0xe000d,
		.r14 = 0xf000e,
		.r15 = 0x10000f,
		.rip = 0x7ff000,
		.rflags = 2,
	};
}

static struct kvm_segment flat(uint8_t type, bool db, bool l)
{
	return (struct kvm_segment){
		.limit = UINT32_MAX,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = db,
		.l = l,
	};
}

static struct kvm_sregs sregs_for(enum cpu_mode mode)
{
	struct kvm_sregs sregs = {
		.cs = flat(0xb, mode == CPU_MODE_32, mode == CPU_MODE_64),
		.ds = flat(3, true, false),
		.es = flat(3, true, false),
		.ss = flat(3, true, false),
		.fs = flat(3, true, false),
		.gs = flat(3, true, false),
		.cr0 = X86_CR0_PE,
	};

	if (mode == CPU_MODE_64) {
		sregs.cr0 |= X86_CR0_PG;
		sregs.cr4 = X86_CR4_PAE;
		sregs.efer = X86_EFER_LMA;
	}
	return sregs;
}

static struct insn_store64 plain(enum cpu_mode mode)
{
	return (struct insn_store64){
		.mode = mode,
		.len = 5,
		.addr_bytes = mode == CPU_MODE_64   ? 8
			      : mode == CPU_MODE_32 ? 4
						    : 2,
		.dest = AX,
		.base = CX,
		.index = NONE,
		.segment = SEG_DS,
	};
}

struct operands {
	int ret;
	uint64_t dest, source;
	struct guest_fault fault;
};

static struct operands resolve(const struct insn_store64 *insn, const struct kvm_regs *regs,
			       const struct kvm_sregs *sregs)
{
	struct operands o = { 0 };

	o.ret = insn_addresses(insn, regs, sregs, &o.dest, &o.source, &o.fault);
	return o;
}

static void assert_faults(const struct operands *o, unsigned int vector)
{
	assert_int_equal(o->ret, -EFAULT);
	assert_int_equal(o->fault.vector, vector);
	assert_true(o->fault.has_error_code);
	assert_int_equal(o->fault.error_code, 0);
}

static void adds_base_index_and_displacement(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);
	struct operands o;

	insn.base = R12;
	insn.index = R15;
	insn.scale = 3;
	insn.disp = -4;
	o = resolve(&insn, &regs, &sregs);
	assert_int_equal(o.ret, 0);
	assert_int_equal(o.dest, 0x10000);
	assert_int_equal(o.source, 0xd000c + 8 * 0x10000f - 4);
}

static void reaches_all_sixteen_registers(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);

	for (uint8_t i = 0; i < 16; i++) {
		struct operands o;

		insn.base = i;
		o = resolve(&insn, &regs, &sregs);
		assert_int_equal(o.ret, 0);
		assert_int_equal(o.source, (i + 1) * 0x10000 + i);
	}
}

static void rip_relative_counts_from_the_next_instruction(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);

	insn.base = INSN_RIP;
	insn.len = 9;
	insn.disp = -0x10;
	assert_int_equal(resolve(&insn, &regs, &sregs).source, 0x7ff000 + 9 - 0x10);

	insn.addr_bytes = 4;
	regs.rip = 0xffffffff80000000;
	insn.disp = 0x7fffffff;
	assert_int_equal(resolve(&insn, &regs, &sregs).source, 8);
}

static void address_size_cuts_both_operands(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);
	struct operands o;

	regs.rax = 0xdead000000010040;
	regs.rcx = 0xbeef000000000010;
	sregs.fs.base = 0x100000000000;
	insn.addr_bytes = 4;
	insn.segment = SEG_FS;
	insn.disp = -0x20;
	o = resolve(&insn, &regs, &sregs);
	assert_int_equal(o.ret, 0);
	assert_int_equal(o.dest, 0x10040);
	assert_int_equal(o.source, 0x1000fffffff0);
}

static void only_fs_and_gs_have_bases_in_64_bit_mode(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);
	struct operands o;

	sregs.es.base = sregs.ds.base = sregs.ss.base = 0x1000000;
	sregs.es.unusable = sregs.ds.unusable = 1;
	sregs.fs.base = 0x2000000;
	sregs.gs.base = 0xffff800000000000;
	o = resolve(&insn, &regs, &sregs);
	assert_int_equal(o.dest, 0x10000);
	assert_int_equal(o.source, 0x20001);
	insn.segment = SEG_FS;
	assert_int_equal(resolve(&insn, &regs, &sregs).source, 0x2020001);
	insn.segment = SEG_GS;
	assert_int_equal(resolve(&insn, &regs, &sregs).source, 0xffff800000020001);
}

static void unaligned_destination_is_gp(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);
	struct operands o;

	for (unsigned int low = 1; low < 64; low++) {
		regs.rax = 0x10000 + low;
		o = resolve(&insn, &regs, &sregs);
		assert_faults(&o, VECTOR_GP);
	}
}

static void non_canonical_is_gp_or_ss(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);
	struct insn_store64 insn = plain(CPU_MODE_64);
	struct operands o;

	regs.rax = 0x800000000000;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	sregs.cr4 |= X86_CR4_LA57;
	assert_int_equal(resolve(&insn, &regs, &sregs).ret, 0);
	regs.rax = 0x100000000000000;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);

	sregs.cr4 &= ~(uint64_t)X86_CR4_LA57;
	regs.rax = 0x10000;
	regs.rcx = regs.rbp = 0x7fffffffffc1; /* its 64th byte is not canonical */
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	insn.base = BP;
	insn.segment = SEG_SS;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_SS);
	insn.segment = SEG_FS;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	regs.rbp = 0x7fffffffffc0;
	assert_int_equal(resolve(&insn, &regs, &sregs).ret, 0);
}

static void segments_have_bases_and_limits_outside_64_bit_mode(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_32);
	struct insn_store64 insn = plain(CPU_MODE_32);
	struct operands o;

	sregs.es.base = 0xfffff000;
	sregs.ds.base = 0x1000;
	o = resolve(&insn, &regs, &sregs);
	assert_int_equal(o.ret, 0);
	assert_int_equal(o.dest, 0xf000); /* linear addresses wrap at 4 GiB */
	assert_int_equal(o.source, 0x21001);

	sregs.ds.limit = 0x20001 + 63;
	assert_int_equal(resolve(&insn, &regs, &sregs).ret, 0);
	sregs.ds.limit--;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	sregs.ds = flat(3, true, false);
	sregs.es.limit = 0x10000 + 62;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	sregs.es = flat(3, true, false);
	insn.segment = SEG_SS;
	sregs.ss.limit = 0xfff;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_SS);

	insn.segment = SEG_DS;
	regs.rcx = 0xffffffd0; /* runs past 4 GiB */
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
}

static void es_base_takes_part_in_the_alignment(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_32);
	struct insn_store64 insn = plain(CPU_MODE_32);
	struct operands o;

	sregs.es.base = 0x10;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	regs.rax = 0x10030;
	assert_int_equal(resolve(&insn, &regs, &sregs).dest, 0x10040);
}

static void segment_types_are_checked(void **state)
{
	static const struct {
		uint8_t type;
		bool read, write;
	} types[] = {
		{ 0x1, true, false }, { 0x3, true, true },  { 0x9, false, false },
		{ 0xb, true, false }, { 0xf, true, false },
	};
	struct kvm_regs regs = some_regs();
	struct insn_store64 insn = plain(CPU_MODE_32);

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct kvm_sregs sregs = sregs_for(CPU_MODE_32);

		sregs.ds.type = types[i].type;
		assert_int_equal(resolve(&insn, &regs, &sregs).ret, types[i].read ? 0 : -EFAULT);
		sregs = sregs_for(CPU_MODE_32);
		sregs.es.type = types[i].type;
		assert_int_equal(resolve(&insn, &regs, &sregs).ret, types[i].write ? 0 : -EFAULT);
	}
}

static void unusable_segments_fault(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_32);
	struct insn_store64 insn = plain(CPU_MODE_32);
	struct operands o;

	sregs.es.unusable = 1;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	sregs = sregs_for(CPU_MODE_32);
	sregs.ds.present = 0;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
}

static void expand_down_segments_begin_after_their_limit(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_32);
	struct insn_store64 insn = plain(CPU_MODE_32);
	struct operands o;

	sregs.ds.type = 7;
	sregs.ds.limit = 0x20000;
	assert_int_equal(resolve(&insn, &regs, &sregs).ret, 0);
	sregs.ds.limit = 0x20001;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
	sregs.ds.limit = 0x100;
	sregs.ds.db = 0; /* ends at 64 KiB */
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
}

static void sixteen_bit_offsets_wrap_before_the_segment(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_16);
	struct insn_store64 insn = plain(CPU_MODE_16);
	struct operands o;

	sregs.cr0 = 0; /* real mode: types do not count */
	sregs.ds.unusable = 1;
	sregs.ds.base = 0x12340;
	sregs.es.base = 0xf0000;
	regs.rax = 0xffff8040;
	regs.rbx = 0xfff0;
	regs.rsi = 0x30;
	insn.base = BX;
	insn.index = SI;
	o = resolve(&insn, &regs, &sregs);
	assert_int_equal(o.ret, 0);
	assert_int_equal(o.dest, 0xf8040);
	assert_int_equal(o.source, 0x12360);
	sregs.ds.limit = 0xffff;
	regs.rsi = 0;
	o = resolve(&insn, &regs, &sregs);
	assert_faults(&o, VECTOR_GP);
}

static void mode_and_privilege_follow_the_segments(void **state)
{
	struct kvm_regs regs = some_regs();
	struct kvm_sregs sregs = sregs_for(CPU_MODE_64);

	assert_int_equal(insn_mode(&sregs), CPU_MODE_64);
	assert_int_equal(insn_cpl(&regs, &sregs), 0);
	sregs.ss.dpl = 3;
	assert_int_equal(insn_cpl(&regs, &sregs), 3);
	sregs.ss.dpl = 0;
	sregs.cs.selector = 0x33;
	assert_int_equal(insn_cpl(&regs, &sregs), 3);
	sregs.cs.l = 0;
	assert_int_equal(insn_mode(&sregs), CPU_MODE_16);
	sregs.cs.db = 1;
	assert_int_equal(insn_mode(&sregs), CPU_MODE_32);
	sregs.efer = 0;
	sregs.cs.l = 1;
	assert_int_equal(insn_mode(&sregs), CPU_MODE_32);

	sregs.cr0 = 0;
	assert_int_equal(insn_cpl(&regs, &sregs), 0);
	sregs.cr0 = X86_CR0_PE;
	sregs.cs.selector = 0;
	regs.rflags |= X86_EFLAGS_VM;
	assert_int_equal(insn_cpl(&regs, &sregs), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_every_form),
		cmocka_unit_test(ignores_bytes_after_the_instruction),
		cmocka_unit_test(asks_for_more_at_every_truncation),
		cmocka_unit_test(refuses_what_is_not_a_store),
		cmocka_unit_test(adds_base_index_and_displacement),
		cmocka_unit_test(reaches_all_sixteen_registers),
		cmocka_unit_test(rip_relative_counts_from_the_next_instruction),
		cmocka_unit_test(address_size_cuts_both_operands),
		cmocka_unit_test(only_fs_and_gs_have_bases_in_64_bit_mode),
		cmocka_unit_test(unaligned_destination_is_gp),
		cmocka_unit_test(non_canonical_is_gp_or_ss),
		cmocka_unit_test(segments_have_bases_and_limits_outside_64_bit_mode),
		cmocka_unit_test(es_base_takes_part_in_the_alignment),
		cmocka_unit_test(segment_types_are_checked),
		cmocka_unit_test(unusable_segments_fault),
		cmocka_unit_test(expand_down_segments_begin_after_their_limit),
		cmocka_unit_test(sixteen_bit_offsets_wrap_before_the_segment),
		cmocka_unit_test(mode_and_privilege_follow_the_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
