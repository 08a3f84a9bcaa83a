/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Application processors: found in the MADT, started one after another by INIT and a start-up IPI,
 * so that the shared word kit_ap_index belongs to one of them at a time.
 */
#include "acpi.h"
#include "apic.h"
#include "internal.h"

#define START_CYCLES (2 * CYCLES_SECOND)

extern char kit_trampoline[], kit_trampoline_end[], kit_trampoline_registers[];

uint32_t kit_ap_index;

static struct {
	uint32_t apic_id[KIT_CPUS];
	uint32_t running; /* those that reached C, CPU 0 included */
	void (*fn)(unsigned int cpu);
} smp;

static uint64_t park(uint64_t a, uint64_t b, uint64_t c)
{
	for (;;)
		__asm__ volatile("cli; hlt");
	return 0;
}

_Noreturn void kit_ap_main(unsigned int cpu)
{
	lapic_enable();
	__atomic_store_n(&smp.running, cpu + 1, __ATOMIC_RELEASE);
	smp.fn(cpu);
	cpl0(park, 0, 0, 0);
	__builtin_unreachable();
}

uint32_t cpu_apic_id(unsigned int cpu)
{
	return smp.apic_id[cpu];
}

static void place_trampoline(void)
{
	uint32_t registers[4] = { (uint32_t)read_cr(0), (uint32_t)read_cr(3), (uint32_t)read_cr(4),
				  /* LMA follows from LME and PG */
				  (uint32_t)rdmsr(MSR_EFER) & ~0x400u };
	uint64_t size = (uint64_t)kit_trampoline_end - (uint64_t)kit_trampoline;

	memcpy((void *)TRAMPOLINE, kit_trampoline, size);
	memcpy((void *)(TRAMPOLINE + (uint64_t)kit_trampoline_registers - (uint64_t)kit_trampoline),
	       registers, sizeof(registers));
}

static bool start_one(unsigned int cpu)
{
	uint64_t end = rdtsc() + START_CYCLES;

	kit_ap_index = cpu;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	lapic_ipi(smp.apic_id[cpu], ICR_ASSERT | ICR_INIT);
	lapic_ipi(smp.apic_id[cpu], ICR_ASSERT | ICR_STARTUP | TRAMPOLINE >> 12);
	while (__atomic_load_n(&smp.running, __ATOMIC_ACQUIRE) != cpu + 1) {
		if (rdtsc() > end)
			return false;
		cpu_relax();
	}
	return true;
}

/* CPU 0 first, whatever its place in the MADT. */
static unsigned int find_cpus(void)
{
	unsigned int n = madt_cpus(smp.apic_id, KIT_CPUS);
	uint32_t self = lapic_id();

	if (!n) {
		n = (unsigned int)command_number("cpus", 1);
		for (unsigned int i = 0; i < n && i < KIT_CPUS; i++)
			smp.apic_id[i] = i;
	}
	if (n > KIT_CPUS)
		n = KIT_CPUS;
	for (unsigned int i = 1; i < n; i++) {
		if (smp.apic_id[i] == self) {
			smp.apic_id[i] = smp.apic_id[0];
			smp.apic_id[0] = self;
		}
	}
	return n;
}

unsigned int smp_start(void (*fn)(unsigned int cpu), unsigned int *expected)
{
	lapic_enable();
	smp.fn = fn;
	smp.running = 1;
	*expected = find_cpus();
	place_trampoline();
	for (unsigned int cpu = 1; cpu < *expected; cpu++) {
		if (!start_one(cpu))
			return cpu;
	}
	return *expected;
}
