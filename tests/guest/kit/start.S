/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry from the monitor, the interrupt stubs, and the way from CPL3 to CPL0 and back. CPL0 code is
 * emulated at about a microsecond an instruction on PVM hosts, so everything here is short, and
 * payloads live at CPL3.
 *
 * The trap is ud2: SYSCALL and INT n do not work at all on such hosts, exceptions do.
 */
#include "layout.h"
#include "vmm/platform.h"

	.section .text.start, "ax"
	.globl	_start
_start:					/* rbx: PVH start info, rsi: boot_params */
	mov	$kit_kstacks + KSTACK_SIZE, %rsp
	mov	%rbx, %r12
	mov	%rsi, %r13
	xor	%edi, %edi
	call	kit_load_tables
	mov	%r12, %rdi
	mov	%r13, %rsi
	mov	$kit_main, %eax
	mov	$kit_ustacks + USTACK_SIZE, %ecx
	jmp	kit_enter_cpl3

	.text
	.globl	kit_enter_cpl3
kit_enter_cpl3:				/* rax: function, rcx: stack top; rdi, rsi: arguments */
	sub	$8, %rcx		/* as after a call; nothing returns to there */
	pushq	$SEL_DATA3
	push	%rcx
	pushq	$2			/* interrupts off */
	pushq	$SEL_CODE3
	push	%rax
	iretq

/* uint64_t cpl0(fn, a, b, c): runs fn(a, b, c) at CPL0 with interrupts off. */
	.globl	cpl0
cpl0:
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	$CPL0_MAGIC, %r11d
	ud2
	xor	%r11d, %r11d	/* else the next instruction that is undefined would be a call */
	ret

stub_ud:
	cmp	$CPL0_MAGIC, %r11
	jne	1f
	addq	$2, (%rsp)
	sub	$8, %rsp
	cld
	call	*%rax
	add	$8, %rsp
	iretq
1:	push	$0
	push	$6
	jmp	trap

	.macro	save_registers
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	.endm
	.macro	restore_registers
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	.endm

trap:					/* vector and error code are pushed */
	save_registers
	mov	%rsp, %rdi
	mov	%cr2, %rsi
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	kit_exception
	mov	%rbp, %rsp
	restore_registers
	add	$16, %rsp
	iretq

interrupt:				/* vector is pushed */
	push	%rax
	mov	8(%rsp), %rax
	cmpq	$0, kit_irq_handler(, %rax, 8)
	jne	with_handler
counted:
	lock incq kit_irq_count(, %rax, 8)
	cmpb	$0, kit_x2apic
	jne	1f
	mov	$LAPIC_BASE + LAPIC_EOI, %eax
	movl	$0, (%rax)
	jmp	2f
1:	push	%rcx
	push	%rdx
	mov	$MSR_X2APIC_EOI, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	pop	%rdx
	pop	%rcx
2:	pop	%rax
	add	$8, %rsp
	iretq
with_handler:				/* before the count and the EOI */
	save_registers
	mov	%rax, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	*kit_irq_handler(, %rax, 8)
	mov	%rbp, %rsp
	restore_registers
	jmp	counted

stub_spurious:
	iretq

/* Exceptions that push an error code: 8, 10 to 14, 17, 21, 29, 30. */
	.set	ERROR_CODES, 0x60227d00

/* One stub per vector, 16 bytes apart. */
	.globl	kit_stubs
	.align	16
kit_stubs:
	.set	vector, 0
	.rept	256
	.align	16
	.if	vector == 6
	jmp	stub_ud
	.elseif	vector == VECTOR_SPURIOUS
	jmp	stub_spurious
	.elseif	vector >= 32
	pushq	$vector
	jmp	interrupt
	.else
	.if	!(ERROR_CODES >> vector & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap
	.endif
	.set	vector, vector + 1
	.endr

	.section .noinit, "aw", @nobits
	.globl	kit_kstacks, kit_ustacks
	.align	4096
kit_kstacks:
	.skip	KIT_CPUS * KSTACK_SIZE
kit_ustacks:
	.skip	KIT_CPUS * USTACK_SIZE

	.section .note.GNU-stack, "", @progbits
