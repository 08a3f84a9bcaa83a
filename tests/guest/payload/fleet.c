/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest of many: moves memory that is its own through its ADI, is kept to the window of its
 * PASID, says so, and powers off when it is told to.
 *
 * Words: number=1 (which guest this is); pasid=5 window=0x800000 size=0x800000 (bound by the
 * configuration).
 */
#include "acpi.h"
#include "apic.h"
#include "dsa.h"
#include "kit.h"

#define MOVDIR64B (1u << 28) /* CPUID 7.0 ECX */
#define VECTOR	  0x50
#define MOVE_SIZE 0x4000u
#define WAIT	  (30 * CYCLES_SECOND) /* many share the host's CPUs */

struct fleet {
	struct dsa dsa;
	uint32_t number;
	volatile struct dsa_completion *completion;
	uint8_t *source, *destination, *outside;
};

static uint8_t move(struct fleet *fleet, void *to)
{
	struct dsa_descriptor descriptor = {
		.flags = OP_MEMMOVE << 24 | FLAG_CRAV | FLAG_RCR,
		.completion = (uint64_t)fleet->completion,
		.source = (uint64_t)fleet->source,
		.destination = (uint64_t)to,
		.size = MOVE_SIZE,
	};

	memset((void *)fleet->completion, 0, sizeof(*fleet->completion));
	dsa_submit(&fleet->dsa, &descriptor);
	return dsa_wait((const struct dsa_completion *)fleet->completion, WAIT);
}

static void use_adi(struct fleet *fleet, uint32_t pasid)
{
	int rc = dsa_start(&fleet->dsa);
	uint8_t status;

	if (!rc)
		rc = dsa_queue_enable(&fleet->dsa, pasid);
	if (!test_check("fleet_queue_enable", !rc, "CMDSTS 0x%x", (uint32_t)rc))
		return;
	for (unsigned int i = 0; i < MOVE_SIZE; i++)
		fleet->source[i] = (uint8_t)(i * 13 + (i >> 8) * 7 + fleet->number * 31);
	status = move(fleet, fleet->destination);
	test_check("fleet_memory_moves",
		   status == STATUS_OK && !memcmp(fleet->source, fleet->destination, MOVE_SIZE),
		   "status 0x%x", status);
	fleet->outside[0] = 0xc7;
	status = move(fleet, fleet->outside);
	test_check("fleet_outside_faults",
		   (status & 0x7f) == STATUS_PAGE_FAULT && fleet->outside[0] == 0xc7, "status 0x%x",
		   status);
}

int payload_main(void)
{
	static struct fleet fleet;
	uint64_t window = command_number("window", 8 * MIB), size = command_number("size", 8 * MIB);

	fleet.number = (uint32_t)command_number("number", 1);
	fleet.completion = (void *)window;
	fleet.source = (void *)(window + size / 4);
	fleet.destination = (void *)(window + size / 2);
	fleet.outside = (void *)(window + size + MIB);
	if (!test_check("fleet_adi", pci_init() && dsa_find(&fleet.dsa, 0), "no 8086:0b25"))
		return 1;
	fleet.dsa.movdir64b_missing = !(cpuid(7, 0).ecx & MOVDIR64B);
	use_adi(&fleet, (uint32_t)command_number("pasid", 5));
	if (test_failures())
		return 1;
	lapic_enable();
	inl(PORT_GED_EVENTS);
	ioapic_route(PIN_GED, VECTOR, lapic_id(), 0);
	kprintf("verified %u\n", fleet.number);
	halt_until(VECTOR, 1);
	poweroff_machine();
}
