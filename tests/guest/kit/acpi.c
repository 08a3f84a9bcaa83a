/* SPDX-License-Identifier: Apache-2.0 */
/* The walk from the RSDP to the few tables that payloads look at. */
#include "acpi.h"

#define HEADER_SIZE 36
#define MADT_FIRST  44
#define FADT_X_DSDT 140
#define MCFG_BASE   44

static uint64_t get64(const uint8_t *p)
{
	return *(const uint64_t *)p;
}

uint8_t acpi_sum(const void *table, uint32_t length)
{
	const uint8_t *bytes = table;
	uint8_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return sum;
}

const uint8_t *acpi_rsdp(void)
{
	const uint8_t *rsdp = (const uint8_t *)rsdp_address();

	return rsdp && !memcmp(rsdp, "RSD PTR ", 8) ? rsdp : NULL;
}

const uint8_t *acpi_xsdt(void)
{
	const uint8_t *rsdp = acpi_rsdp();
	const uint8_t *xsdt = rsdp ? (const uint8_t *)get64(rsdp + 24) : NULL;

	return xsdt && !memcmp(xsdt, "XSDT", 4) ? xsdt : NULL;
}

unsigned int acpi_tables(void)
{
	const uint8_t *xsdt = acpi_xsdt();

	return xsdt ? (acpi_length(xsdt) - HEADER_SIZE) / 8 : 0;
}

const uint8_t *acpi_nth(unsigned int n)
{
	return (const uint8_t *)get64(acpi_xsdt() + HEADER_SIZE + 8UL * n);
}

const uint8_t *acpi_table(const char *signature)
{
	const uint8_t *fadt;

	if (!memcmp(signature, "DSDT", 4)) {
		fadt = acpi_table("FACP");
		return fadt ? (const uint8_t *)get64(fadt + FADT_X_DSDT) : NULL;
	}
	for (unsigned int i = 0; i < acpi_tables(); i++) {
		if (!memcmp(acpi_nth(i), signature, 4))
			return acpi_nth(i);
	}
	return NULL;
}

const uint8_t *madt_next(const uint8_t *at, uint8_t type)
{
	const uint8_t *madt = acpi_table("APIC");

	if (!madt)
		return NULL;
	at = at ? at + at[1] : madt + MADT_FIRST;
	for (; at < madt + acpi_length(madt) && at[1]; at += at[1]) {
		if (at[0] == type)
			return at;
	}
	return NULL;
}

unsigned int madt_cpus(uint32_t *ids, unsigned int max)
{
	unsigned int n = 0;
	const uint8_t *at = NULL;

	while ((at = madt_next(at, MADT_LAPIC))) {
		if (!(at[4] & 1))
			continue;
		if (n < max)
			ids[n] = at[3];
		n++;
	}
	while ((at = madt_next(at, MADT_X2APIC))) {
		if (!(at[8] & 1))
			continue;
		if (n < max)
			ids[n] = *(const uint32_t *)(at + 4);
		n++;
	}
	return n;
}

uint64_t mcfg_base(void)
{
	const uint8_t *mcfg = acpi_table("MCFG");

	return mcfg ? get64(mcfg + MCFG_BASE) : 0;
}
