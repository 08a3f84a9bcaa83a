/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables, walked from the RSDP. Offsets are those of ACPI 6.4 chapter 5. */
#ifndef ADIT_KIT_ACPI_H
#define ADIT_KIT_ACPI_H

#include "kit.h"

/* Of the table's first `length` bytes; 0 is right. */
uint8_t acpi_sum(const void *table, uint32_t length);
static inline uint32_t acpi_length(const uint8_t *table)
{
	return *(const uint32_t *)(table + 4);
}

/* NULL where there is none. */
const uint8_t *acpi_rsdp(void);
const uint8_t *acpi_xsdt(void);
/* signature: four characters. The DSDT is found through the FADT. */
const uint8_t *acpi_table(const char *signature);
/* How many tables the XSDT names, and the nth. */
unsigned int acpi_tables(void);
const uint8_t *acpi_nth(unsigned int n);

#define MADT_LAPIC  0
#define MADT_IOAPIC 1
#define MADT_X2APIC 9
/* The next MADT entry of this type behind `at` (NULL: the first); NULL at the end. */
const uint8_t *madt_next(const uint8_t *at, uint8_t type);
/* APIC ids of the enabled CPUs; returns their number (which may be more than max). 0: no MADT. */
unsigned int madt_cpus(uint32_t *ids, unsigned int max);
/* Bus 0's configuration space by the MCFG; 0 where there is none. */
uint64_t mcfg_base(void);

#endif
