/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration mechanism #1: an address at port 0xcf8, data at 0xcfc. Kernels use it before they
 * know of the ECAM; Linux 6.1 complains where it is absent. It reaches the first 256 bytes of a
 * function through the same path as the ECAM does.
 *
 * Source: PCI Local Bus 3.0 section 3.2.2.3.2.
 */
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define ADDRESS_OFFSET 0u /* from 0xcf8 */
#define DATA_OFFSET    4u

#define ADDRESS_ENABLE	 BIT_U64(31)
#define ADDRESS_WRITABLE 0x80fffffcu
#define ADDRESS_BUS(a)	 ((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a) ((a) >> 8 & 0xff)
#define ADDRESS_REG(a)	 ((a)&0xfc)

#define ECAM_DEVFN_SHIFT 12

/* Where the data port leads now; false where that is nowhere. */
static bool selected(const struct pci_bus *bus, uint64_t offset, unsigned int size, uint64_t *ecam)
{
	uint32_t address = __atomic_load_n(&bus->address, __ATOMIC_RELAXED);

	if (!(address & ADDRESS_ENABLE) || ADDRESS_BUS(address) || offset < DATA_OFFSET ||
	    offset + size > DATA_OFFSET + 4)
		return false;
	*ecam = (uint64_t)ADDRESS_DEVFN(address) << ECAM_DEVFN_SHIFT |
		(ADDRESS_REG(address) + (offset - DATA_OFFSET));
	return true;
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_bus *bus = opaque;
	uint64_t ecam;

	if (offset == ADDRESS_OFFSET && size == 4)
		return __atomic_load_n(&bus->address, __ATOMIC_RELAXED);
	return selected(bus, offset, size, &ecam) ? pci_ecam_read(bus, ecam, size) : ~0ULL;
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_bus *bus = opaque;
	uint64_t ecam;

	if (offset == ADDRESS_OFFSET && size == 4)
		__atomic_store_n(&bus->address, (uint32_t)value & ADDRESS_WRITABLE,
				 __ATOMIC_RELAXED);
	else if (selected(bus, offset, size, &ecam))
		pci_ecam_write(bus, ecam, value, size);
}

const struct io_ops pci_bus_ports = { .read = ports_read, .write = ports_write };
