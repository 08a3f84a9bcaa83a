/* SPDX-License-Identifier: Apache-2.0 */
/* An orderly guest: waits for the power button (the GED's interrupt), then switches itself off. */
#include "apic.h"
#include "kit.h"

#define VECTOR 0x50

int payload_main(void)
{
	uint32_t events;

	lapic_enable();
	inl(PORT_GED_EVENTS);
	ioapic_route(PIN_GED, VECTOR, lapic_id(), 0);
	kprintf("ready\n");
	halt_until(VECTOR, 1);
	events = inl(PORT_GED_EVENTS);
	test_check("power_button_event", events & GED_EVENT_POWER_BUTTON, "events 0x%x", events);
	events = inl(PORT_GED_EVENTS);
	test_check("power_button_read_clears", !events, "events 0x%x", events);
	if (test_failures())
		return 1;
	poweroff_machine();
}
