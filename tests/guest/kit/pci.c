/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space, BARs and MSI-X of the functions on bus 0.
 *
 * Source: PCI Local Bus 3.0 sections 6.1, 6.2.5 and 6.8.
 */
#include "acpi.h"
#include "pci.h"

static uint64_t ecam;

bool pci_init(void)
{
	ecam = mcfg_base();
	if (!ecam)
		ecam = ECAM_BASE;
	if (!map_device(ecam, (uint64_t)PCI_SLOTS << 15))
		return false;
	return pci_id(0) != 0xffffffff;
}

uint64_t pci_read(unsigned int slot, unsigned int offset, unsigned int size)
{
	return mmio_read(ecam + (slot << 15) + offset, size);
}

void pci_write(unsigned int slot, unsigned int offset, uint64_t value, unsigned int size)
{
	mmio_write(ecam + (slot << 15) + offset, value, size);
}

int pci_find(uint32_t id, unsigned int from)
{
	for (unsigned int slot = from; slot < PCI_SLOTS; slot++) {
		if (pci_id(slot) == id)
			return (int)slot;
	}
	return -1;
}

unsigned int pci_capability(unsigned int slot, uint8_t id)
{
	unsigned int at, steps = 48;

	if (!(pci_read(slot, PCI_COMMAND + 2, 2) & 0x10))
		return 0;
	at = (unsigned int)pci_read(slot, PCI_CAPABILITIES, 1) & 0xfc;
	while (at && steps--) {
		if (pci_read(slot, at, 1) == id)
			return at;
		at = (unsigned int)pci_read(slot, at + 1, 1) & 0xfc;
	}
	return 0;
}

void pci_command(unsigned int slot, uint16_t set, uint16_t clear)
{
	uint64_t command = pci_read(slot, PCI_COMMAND, 2);

	pci_write(slot, PCI_COMMAND, (command & ~(uint64_t)clear) | set, 2);
}

/* Writes ones and reads back what stuck; the old value is put back. */
static uint32_t probe(unsigned int slot, unsigned int offset)
{
	uint32_t old = (uint32_t)pci_read(slot, offset, 4), stuck;

	pci_write(slot, offset, 0xffffffff, 4);
	stuck = (uint32_t)pci_read(slot, offset, 4);
	pci_write(slot, offset, old, 4);
	return stuck;
}

struct pci_bar pci_bar(unsigned int slot, unsigned int index)
{
	unsigned int offset = PCI_BAR0 + 4 * index;
	uint16_t command = (uint16_t)pci_read(slot, PCI_COMMAND, 2);
	uint32_t low = (uint32_t)pci_read(slot, offset, 4);
	struct pci_bar bar = { .io = low & 1 };
	uint64_t stuck;

	bar.is64 = !bar.io && (low & 6) == 4;
	bar.prefetchable = !bar.io && (low & 8);
	bar.address = low & (bar.io ? ~3u : ~15u);
	pci_command(slot, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	stuck = probe(slot, offset) & (bar.io ? ~3u : ~15u);
	if (bar.is64) {
		bar.address |= pci_read(slot, offset + 4, 4) << 32;
		stuck |= (uint64_t)probe(slot, offset + 4) << 32;
	} else if (stuck) {
		stuck |= 0xffffffff00000000;
		if (bar.io)
			stuck |= 0xffff0000;
	}
	pci_write(slot, PCI_COMMAND, command, 2);
	bar.size = -stuck;
	return bar;
}

void pci_bar_set(unsigned int slot, unsigned int index, uint64_t address)
{
	unsigned int offset = PCI_BAR0 + 4 * index;
	uint16_t command = (uint16_t)pci_read(slot, PCI_COMMAND, 2);
	bool is64 = (pci_read(slot, offset, 4) & 7) == 4;

	pci_command(slot, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	pci_write(slot, offset, (uint32_t)address, 4);
	if (is64)
		pci_write(slot, offset + 4, address >> 32, 4);
	pci_write(slot, PCI_COMMAND, command, 2);
}

uint64_t pci_bar_map(unsigned int slot, unsigned int index)
{
	struct pci_bar bar = pci_bar(slot, index);

	if (!bar.size || bar.io || !bar.address || !map_device(bar.address, bar.size))
		return 0;
	pci_command(slot, PCI_COMMAND_MEMORY, 0);
	return bar.address;
}

bool msix_find(unsigned int slot, struct msix *msix)
{
	uint32_t table, pba;
	uint64_t base;

	msix->capability = pci_capability(slot, PCI_CAPABILITY_MSIX);
	if (!msix->capability)
		return false;
	msix->vectors = ((unsigned int)pci_read(slot, msix->capability + 2, 2) & 0x7ff) + 1;
	table = (uint32_t)pci_read(slot, msix->capability + 4, 4);
	pba = (uint32_t)pci_read(slot, msix->capability + 8, 4);
	base = pci_bar_map(slot, table & 7);
	msix->table = base + (table & ~7u);
	if (!base)
		return false;
	base = pci_bar_map(slot, pba & 7);
	msix->pba = base + (pba & ~7u);
	return base;
}

void msix_enable(unsigned int slot, const struct msix *msix, bool on)
{
	uint64_t control = pci_read(slot, msix->capability + 2, 2);

	pci_write(slot, msix->capability + 2, on ? control | 0x8000 : control & ~0x8000UL, 2);
}

void msix_set(const struct msix *msix, unsigned int entry, unsigned int vector, uint32_t apic_id,
	      bool masked)
{
	uint64_t at = msix->table + 16UL * entry;

	write32(at + 12, 1);
	write32(at, 0xfee00000 | apic_id << 12);
	write32(at + 4, 0);
	write32(at + 8, vector);
	if (!masked)
		write32(at + 12, 0);
}
