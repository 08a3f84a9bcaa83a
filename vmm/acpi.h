/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables of a machine, hardware-reduced: no PM timer, no SCI, no 8259. The DSDT is fixed
 * (vmm/dsdt.asl); the other tables are made here from what the configuration and the layout say.
 *
 * Source: ACPI 6.4 chapter 5; PCI Firmware 3.3 section 4.1.2 (MCFG).
 */
#ifndef ADIT_VMM_ACPI_H
#define ADIT_VMM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct acpi_window {
	uint64_t base, size; /* bytes; size 0: none */
};

struct acpi_request {
	unsigned int vcpus; /* APIC ids 0 to vcpus - 1 */
	struct acpi_window mmio32, mmio64, io;
	uint64_t ecam_base; /* below 4 GiB; bus 0: 1 MiB */
};

/*
 * Writes the tables into `out`, which the guest will see at gpa, a multiple of 16 below 4 GiB; the
 * RSDP comes first. *used receives the bytes taken. -ENOSPC: they do not fit; -EINVAL: gpa, or
 * a window that its descriptor cannot express. Nothing is promised about `out` then.
 */
int acpi_build(const struct acpi_request *request, void *out, uint64_t gpa, size_t size,
	       size_t *used, struct err *err);

#endif
