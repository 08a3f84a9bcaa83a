/* SPDX-License-Identifier: Apache-2.0 */
/* PCI functions of bus 0 through the ECAM: every device number, function 0. */
#ifndef ADIT_KIT_PCI_H
#define ADIT_KIT_PCI_H

#include "kit.h"

#define PCI_SLOTS 32

#define PCI_COMMAND	    0x04
#define PCI_COMMAND_IO	    0x1
#define PCI_COMMAND_MEMORY  0x2
#define PCI_COMMAND_MASTER  0x4
#define PCI_CLASS	    0x08
#define PCI_HEADER_TYPE	    0x0e
#define PCI_BAR0	    0x10
#define PCI_CAPABILITIES    0x34
#define PCI_CAPABILITY_MSIX 0x11
#define PCI_CAPABILITY_PCIE 0x10

/* By the MCFG, else where platform.h says. False where nothing answers there. */
bool pci_init(void);

/* size: 1, 2, 4 or 8 bytes, any offset. */
uint64_t pci_read(unsigned int slot, unsigned int offset, unsigned int size);
void pci_write(unsigned int slot, unsigned int offset, uint64_t value, unsigned int size);
static inline uint32_t pci_id(unsigned int slot) /* device << 16 | vendor */
{
	return (uint32_t)pci_read(slot, 0, 4);
}
/* The first slot from `from` on that has this id; -1. */
int pci_find(uint32_t id, unsigned int from);
/* Offset of a capability, 0 where there is none. */
unsigned int pci_capability(unsigned int slot, uint8_t id);
/* Sets and clears bits of the command register. */
void pci_command(unsigned int slot, uint16_t set, uint16_t clear);

struct pci_bar {
	uint64_t address, size; /* size 0: not implemented */
	bool io, is64, prefetchable;
};
/* Sizes a BAR with decoding off, and puts everything back. */
struct pci_bar pci_bar(unsigned int slot, unsigned int index);
void pci_bar_set(unsigned int slot, unsigned int index, uint64_t address);
/* Switches memory decoding on and maps the BAR. 0 where it cannot be. */
uint64_t pci_bar_map(unsigned int slot, unsigned int index);

struct msix {
	unsigned int capability, vectors;
	uint64_t table, pba; /* addresses, mapped */
};
/* False where the function has no MSI-X or its table cannot be mapped. */
bool msix_find(unsigned int slot, struct msix *msix);
void msix_enable(unsigned int slot, const struct msix *msix, bool on);
/* Sends `vector` to this APIC id (below 256); masked or not. */
void msix_set(const struct msix *msix, unsigned int entry, unsigned int vector, uint32_t apic_id,
	      bool masked);

#endif
