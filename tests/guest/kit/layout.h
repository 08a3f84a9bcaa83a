/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and selectors that the kit's C and assembly agree on. Only #define lines. */
#ifndef ADIT_KIT_LAYOUT_H
#define ADIT_KIT_LAYOUT_H

#define KIT_CPUS    256
#define KSTACK_SIZE 4096  /* CPL0: stubs and short services */
#define USTACK_SIZE 16384 /* CPL3: payload code */

/* PVM wants the selectors that Linux uses at CPL3. */
#define SEL_CODE0 0x10
#define SEL_DATA0 0x18
#define SEL_DATA3 0x2b
#define SEL_CODE3 0x33
#define SEL_TSS	  0x40 /* CPU 0; 16 bytes each */

#define TRAMPOLINE 0x1000 /* start-up IPI vector 0x01 */

/* %r11 at the ud2 that means "call %rax at CPL0"; any other ud2 is a fault. */
#define CPL0_MAGIC 0x30746964

#define VECTOR_SPURIOUS 0xff

#define MSR_APIC_BASE	 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC	 0x800
#define MSR_EFER	 0xc0000080
#define LAPIC_EOI	 0xb0
#define MSR_X2APIC_EOI	 0x80b

#endif
