/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All processors: started by INIT and start-up IPI, counted exactly, and sending each other
 * interrupts that must all arrive. Words: cpus=N where there is no MADT, ipis=N per pair.
 */
#include "apic.h"
#include "kit.h"

#define VECTOR_FIRST 0x40 /* one per CPU, up to MAX_TARGETS */
#define MAX_TARGETS  128
#define ROUNDS	     10000

static uint64_t counter, locked_counter;
static struct spinlock lock;
static uint32_t go, done, wrong_cpu;

/* Each CPU adds ROUNDS twice, once by an atomic and once under the lock. */
static void count(unsigned int cpu)
{
	if (this_cpu() != cpu || lapic_id() != cpu_apic_id(cpu))
		__atomic_add_fetch(&wrong_cpu, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		__atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
		spin_lock(&lock);
		locked_counter++;
		spin_unlock(&lock);
	}
}

/* Asks CPU 0 for one answer and takes `ipis` interrupts, half of them out of a halt. */
static void worker(unsigned int cpu)
{
	uint64_t ipis = command_number("ipis", 10);

	count(cpu);
	__atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
	if (cpu >= MAX_TARGETS)
		return;
	while (__atomic_load_n(&go, __ATOMIC_ACQUIRE) != cpu)
		cpu_relax();
	if (cpu & 1) {
		halt_until(VECTOR_FIRST + cpu, ipis);
	} else {
		interrupts(true);
		while (irq_count(VECTOR_FIRST + cpu) < ipis)
			cpu_relax();
		interrupts(false);
	}
	lapic_ipi(cpu_apic_id(0), ICR_ASSERT | VECTOR_FIRST);
}

static bool wait_for(const uint32_t *word, uint32_t value)
{
	uint64_t end = rdtsc() + 10 * CYCLES_SECOND;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) {
		if (rdtsc() > end)
			return false;
		cpu_relax();
	}
	return true;
}

/* The same vector again is lost while it is pending: each is sent when the last was counted. */
static bool ipis_to(unsigned int cpu, uint64_t ipis)
{
	for (uint64_t i = 0; i < ipis; i++) {
		uint64_t end = rdtsc() + 4 * CYCLES_SECOND;

		lapic_ipi(cpu_apic_id(cpu), ICR_ASSERT | (VECTOR_FIRST + cpu));
		while (irq_count(VECTOR_FIRST + cpu) <= i) {
			if (rdtsc() > end)
				return false;
			cpu_relax();
		}
	}
	return true;
}

static void test_ipis(unsigned int cpus)
{
	uint64_t ipis = command_number("ipis", 10);
	unsigned int n = cpus < MAX_TARGETS ? cpus : MAX_TARGETS;

	for (unsigned int cpu = 1; cpu < n; cpu++) {
		__atomic_store_n(&go, cpu, __ATOMIC_RELEASE);
		if (!ipis_to(cpu, ipis)) {
			test_fail("smp_ipis", "CPU %u took %lu of %lu", cpu,
				  irq_count(VECTOR_FIRST + cpu), ipis);
			return;
		}
		if (!wait_count(VECTOR_FIRST, cpu, 4 * CYCLES_SECOND)) {
			test_fail("smp_ipis", "CPU %u did not answer", cpu);
			return;
		}
	}
	for (unsigned int cpu = 1; cpu < n; cpu++) {
		if (irq_count(VECTOR_FIRST + cpu) != ipis) {
			test_fail("smp_ipis", "CPU %u took %lu, not %lu", cpu,
				  irq_count(VECTOR_FIRST + cpu), ipis);
			return;
		}
	}
	test_check("smp_ipis", irq_count(VECTOR_FIRST) == n - 1, "CPU 0 took %lu answers of %u",
		   irq_count(VECTOR_FIRST), n - 1);
}

int payload_main(void)
{
	unsigned int expected, cpus = smp_start(worker, &expected);
	bool all;

	kprintf("%u of %u CPUs run, %s\n", cpus, expected, lapic_is_x2apic() ? "x2APIC" : "xAPIC");
	if (!test_check("smp_start", cpus == expected, "CPU %u of %u does not start", cpus,
			expected))
		return 1;
	count(0);
	all = wait_for(&done, cpus - 1);
	test_check("smp_all_ran", all, "%u of %u", done, cpus - 1);
	test_check("smp_identity", !wrong_cpu, "%u CPUs have another's APIC id", wrong_cpu);
	test_check("smp_counter", all && counter == (uint64_t)cpus * ROUNDS, "%lu", counter);
	test_check("smp_lock", all && locked_counter == (uint64_t)cpus * ROUNDS, "%lu",
		   locked_counter);
	if (cpus > 1)
		test_ipis(cpus);
	else
		test_skip("smp_ipis", "one CPU");
	return 0;
}
