/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application processor from its start-up IPI to CPL3. The first part is copied to TRAMPOLINE.
 * Paging and protection are switched on together, so that the way goes from real mode straight to
 * long mode: 32-bit paging does not exist on PVM hosts.
 */
#include "layout.h"
#include "vmm/platform.h"

	.text
	.code16
	.globl	kit_trampoline, kit_trampoline_end
kit_trampoline:				/* cs = TRAMPOLINE >> 4, ip = 0 */
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	gdtr - kit_trampoline
	mov	cr4 - kit_trampoline, %eax
	mov	%eax, %cr4
	mov	cr3 - kit_trampoline, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	mov	efer - kit_trampoline, %eax
	xor	%edx, %edx
	wrmsr
	mov	cr0 - kit_trampoline, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE0, $TRAMPOLINE + (long_mode - kit_trampoline)

	.code64
long_mode:
	mov	$SEL_DATA0, %eax
	mov	%eax, %ss
	mov	$kit_ap_long, %eax
	jmp	*%rax

	.align	8
gdt:	.quad	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	gdtr - gdt - 1
	.long	TRAMPOLINE + (gdt - kit_trampoline)
	.globl	kit_trampoline_registers
	.align	4
kit_trampoline_registers:		/* filled in by smp.c, in this order */
cr0:	.long	0
cr3:	.long	0
cr4:	.long	0
efer:	.long	0
kit_trampoline_end:

kit_ap_long:				/* one processor at a time: kit_ap_index is its own */
	mov	kit_ap_index, %r12d
	lea	1(%r12), %eax
	imul	$KSTACK_SIZE, %eax, %eax
	lea	kit_kstacks(%rax), %rsp
	mov	%r12d, %edi
	call	kit_load_tables
	mov	%r12, %rdi
	mov	$kit_ap_main, %eax
	lea	1(%r12), %ecx
	imul	$USTACK_SIZE, %ecx, %ecx
	add	$kit_ustacks, %ecx
	jmp	kit_enter_cpl3

	.section .note.GNU-stack, "", @progbits
