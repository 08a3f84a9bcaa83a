/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared level-triggered pin with two sources, which the host test provides at a port: a write
 * asserts the sources of its bits, a read tells who asserts and takes back the lowest of them. Bit
 * 2 of a write: that read masks the pin first, as another CPU might. Words: pin=20 port=0x2000
 * rounds=10.
 */
#include "apic.h"
#include "kit.h"

#define VECTOR	  0x61
#define LEVEL_LOW (IOAPIC_LEVEL | IOAPIC_LOW)

static uint16_t port;
static uint64_t seen[2];

/* At CPL0, before the EOI. */
static void take_one(uint64_t vector)
{
	uint32_t who = inl(port);

	if (who & 1)
		seen[0]++;
	else if (who & 2)
		seen[1]++;
}

int payload_main(void)
{
	unsigned int pin = (unsigned int)command_number("pin", 20);
	uint64_t rounds = command_number("rounds", 10);
	uint64_t quiet;

	port = (uint16_t)command_number("port", 0x2000);
	lapic_enable();
	kit_irq_handler[VECTOR] = take_one;
	ioapic_route(pin, VECTOR, lapic_id(), LEVEL_LOW);

	/* One interrupt a source, though both came at once: the second after the first one's EOI.
	 */
	for (uint64_t i = 0; i < rounds; i++) {
		outl(port, 3);
		halt_until(VECTOR, 2 * (i + 1));
	}
	test_check("level_both_sources", seen[0] == rounds && seen[1] == rounds,
		   "%lu and %lu of %lu", seen[0], seen[1], rounds);
	test_check("level_count", irq_count(VECTOR) == 2 * rounds, "%lu", irq_count(VECTOR));

	/* Masked: nothing comes; unmasked with the source still asserted: it comes. */
	ioapic_set(pin, VECTOR, LEVEL_LOW | IOAPIC_MASKED);
	outl(port, 1);
	quiet = irq_count(VECTOR);
	interrupts(true);
	for (int i = 0; i < 1000; i++)
		cpu_relax();
	interrupts(false);
	test_check("level_masked", irq_count(VECTOR) == quiet, "%lu, was %lu", irq_count(VECTOR),
		   quiet);
	ioapic_route(pin, VECTOR, lapic_id(), LEVEL_LOW);
	halt_until(VECTOR, quiet + 1);
	test_check("level_unmasked", seen[0] == rounds + 1, "%lu", seen[0]);

	/* Masked between its interrupt and the EOI: the pin is alive when it is unmasked. */
	quiet = irq_count(VECTOR);
	for (uint64_t i = 1; i <= 2; i++) {
		ioapic_set(pin, VECTOR, LEVEL_LOW);
		outl(port, 5);
		halt_until(VECTOR, quiet + i);
	}
	test_check("level_masked_before_eoi",
		   seen[0] == rounds + 3 && irq_count(VECTOR) == quiet + 2, "%lu taken of %lu",
		   seen[0] - rounds - 1, irq_count(VECTOR) - quiet);
	return (int)test_failures();
}
