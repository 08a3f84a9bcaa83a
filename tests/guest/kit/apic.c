/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC (x2APIC through its MSRs, else xAPIC through its page) and I/O APIC.
 *
 * Source: Intel SDM volume 3, "Advanced programmable interrupt controller"; Intel 82093AA data
 * sheet.
 */
#include "apic.h"
#include "internal.h"

#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2	 (1u << 10)
#define SPURIOUS_ENABLE	 0x100
#define CPUID1_X2APIC	 (1u << 21)
#define CPUID1_DEADLINE	 (1u << 24)
#define DIVIDE_BY_16	 3

static bool decided;

bool lapic_is_x2apic(void)
{
	return kit_x2apic;
}

void lapic_enable(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!decided) {
		kit_x2apic = (base & APIC_BASE_X2) ||
			     (!command_word("xapic", NULL) && (cpuid(1, 0).ecx & CPUID1_X2APIC));
		decided = true;
	}
	/* From off to x2APIC is a step too far for the hardware. */
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (kit_x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2);
	lapic_write(LAPIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
}

uint32_t lapic_read(uint32_t reg)
{
	if (kit_x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4));
	return read32(LAPIC_BASE + reg);
}

void lapic_write(uint32_t reg, uint32_t value)
{
	if (kit_x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		write32(LAPIC_BASE + reg, value);
}

uint32_t lapic_id(void)
{
	return kit_x2apic ? lapic_read(LAPIC_ID) : lapic_read(LAPIC_ID) >> 24;
}

void lapic_ipi(uint32_t apic_id, uint32_t low)
{
	if (kit_x2apic) {
		wrmsr(MSR_X2APIC + (LAPIC_ICR >> 4), (uint64_t)apic_id << 32 | low);
		return;
	}
	write32(LAPIC_BASE + LAPIC_ICR + 0x10, apic_id << 24);
	write32(LAPIC_BASE + LAPIC_ICR, low);
}

void lapic_timer(unsigned int vector, uint32_t mode, uint32_t count)
{
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
	lapic_write(LAPIC_LVT_TIMER, mode | vector);
	lapic_write(LAPIC_TIMER_INITIAL, count);
}

void lapic_timer_stop(void)
{
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
}

bool lapic_deadline(unsigned int vector, uint64_t tsc)
{
	if (!(cpuid(1, 0).ecx & CPUID1_DEADLINE))
		return false;
	lapic_write(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | vector);
	wrmsr(MSR_TSC_DEADLINE, tsc);
	return true;
}

uint32_t ioapic_read(uint8_t reg)
{
	write32(IOAPIC_BASE, reg);
	return read32(IOAPIC_BASE + 0x10);
}

void ioapic_write(uint8_t reg, uint32_t value)
{
	write32(IOAPIC_BASE, reg);
	write32(IOAPIC_BASE + 0x10, value);
}

void ioapic_route(unsigned int pin, unsigned int vector, uint32_t apic_id, uint32_t flags)
{
	uint8_t reg = (uint8_t)(0x10 + 2 * pin);

	ioapic_write(reg, IOAPIC_MASKED);
	ioapic_write(reg + 1, apic_id << 24);
	ioapic_write(reg, flags | vector);
}

void ioapic_set(unsigned int pin, unsigned int vector, uint32_t flags)
{
	ioapic_write((uint8_t)(0x10 + 2 * pin), flags | vector);
}

void ioapic_mask(unsigned int pin)
{
	ioapic_set(pin, 0, IOAPIC_MASKED);
}
