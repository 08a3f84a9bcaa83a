/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes interrupts that the host sends. Words: vector=0x60 count=10; halt (wait in hlt at CPL0
 * instead of spinning at CPL3); echo (a '.' after each, so that the host can send the next: an
 * interrupt that is pending already takes in another of its vector); xapic.
 */
#include "apic.h"
#include "kit.h"

static void wait_one(unsigned int vector, uint64_t count, bool halt)
{
	if (halt) {
		halt_until(vector, count);
		return;
	}
	interrupts(true);
	while (irq_count(vector) < count)
		cpu_relax();
	interrupts(false);
}

int payload_main(void)
{
	unsigned int vector = (unsigned int)command_number("vector", 0x60) & 0xff;
	uint64_t count = command_number("count", 10);
	bool halt = command_word("halt", NULL), echo = command_word("echo", NULL);

	lapic_enable();
	kprintf("ready\n");
	for (uint64_t i = 1; i <= count; i++) {
		wait_one(vector, i, halt);
		if (echo)
			kprintf(".");
	}
	kprintf("%scount %lu\n", echo ? "\n" : "", irq_count(vector));
	test_check("irq_count", irq_count(vector) == count, "%lu, not %lu", irq_count(vector),
		   count);
	return 0;
}
