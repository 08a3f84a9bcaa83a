/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC of the running CPU and the I/O APIC. */
#ifndef ADIT_KIT_APIC_H
#define ADIT_KIT_APIC_H

#include "kit.h"

#define IOAPIC_BASE 0xfec00000UL

/* Local APIC registers by their xAPIC offsets (SDM volume 3). */
#define LAPIC_ID	    0x020
#define LAPIC_VERSION	    0x030
#define LAPIC_SPURIOUS	    0x0f0
#define LAPIC_ICR	    0x300
#define LAPIC_LVT_TIMER	    0x320
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0

#define ICR_INIT	 0x500
#define ICR_STARTUP	 0x600
#define ICR_ASSERT	 0x4000
#define LVT_MASKED	 0x10000
#define LVT_PERIODIC	 0x20000
#define LVT_TSC_DEADLINE 0x40000

/*
 * Switches the APIC of this CPU on: x2APIC where CPUID has it and the word "xapic" is not given.
 * CPU 0 decides for all. Call it on every CPU that takes interrupts.
 */
void lapic_enable(void);
bool lapic_is_x2apic(void);
uint32_t lapic_id(void);
uint32_t lapic_read(uint32_t reg);
void lapic_write(uint32_t reg, uint32_t value);
/* low: delivery mode, vector and so on. */
void lapic_ipi(uint32_t apic_id, uint32_t low);

/* mode: 0 (one-shot) or LVT_PERIODIC; count in units of 16 bus cycles. */
void lapic_timer(unsigned int vector, uint32_t mode, uint32_t count);
void lapic_timer_stop(void);
/* False where CPUID does not offer it. tsc: the deadline. */
bool lapic_deadline(unsigned int vector, uint64_t tsc);

uint32_t ioapic_read(uint8_t reg);
void ioapic_write(uint8_t reg, uint32_t value);
#define IOAPIC_REG_ID	   0
#define IOAPIC_REG_VERSION 1
#define IOAPIC_LEVEL	   0x8000
#define IOAPIC_LOW	   0x2000
#define IOAPIC_MASKED	   0x10000
/* flags: IOAPIC_ bits. Delivered to this APIC id (below 255). */
void ioapic_route(unsigned int pin, unsigned int vector, uint32_t apic_id, uint32_t flags);
void ioapic_mask(unsigned int pin);
/* Of a routed pin: rewrites the low half of its entry, as masking and unmasking do. */
void ioapic_set(unsigned int pin, unsigned int vector, uint32_t flags);

#endif
