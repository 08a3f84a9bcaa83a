/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base address registers: their bits, and how what the guest programs becomes a region in the
 * VM's maps. A BAR answers exactly while its space is enabled in the command register, its address
 * lies in a window, and nobody else held the place first; one that must wait for a place gets it
 * as soon as it is given up. Configuration reads always give back what was written.
 *
 * Source: PCI Express Base 6.0 section 7.5.1.2.1; PCI Local Bus 3.0 section 6.2.5.1 (sizing).
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "kvm-glue/vm.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define BAR_MIN_MEM 16u
#define BAR_MIN_IO  4u
#define BAR_MAX_IO  256u /* PCI Express Base 6.0 section 7.5.1.2.1 */
#define ROM_MIN	    0x800u
#define ROM_MAX	    0x1000000u /* PCI Local Bus 3.0 section 6.2.5.2 */

static const struct io_ops silent_ops = { 0 };

const char *pci_bar_type_name(enum pci_bar_type type)
{
	switch (type) {
	case PCI_BAR_MEM32:
		return "32-bit";
	case PCI_BAR_MEM64:
		return "64-bit";
	case PCI_BAR_IO:
		return "I/O";
	}
	return "unknown";
}

static unsigned int bar_index(const struct pci_bar *bar)
{
	return (unsigned int)(bar - bar->function->bars);
}

static bool is_rom(const struct pci_bar *bar)
{
	return bar_index(bar) == PCI_BAR_ROM;
}

static uint8_t *bar_register(const struct pci_bar *bar, uint8_t *space)
{
	if (is_rom(bar))
		return space + PCI_ROM_ADDRESS;
	return space + PCI_BASE_ADDRESS_0 + 4UL * bar_index(bar);
}

static unsigned int bar_bytes(const struct pci_bar *bar)
{
	return bar->type == PCI_BAR_MEM64 ? 8 : 4;
}

static uint64_t address_mask(const struct pci_bar *bar)
{
	return ~(bar->size - 1) & mask_bytes(bar_bytes(bar));
}

static int check_size(const struct pci_function *function, unsigned int index,
		      enum pci_bar_type type, uint64_t size, struct err *err)
{
	uint64_t min = type == PCI_BAR_IO ? BAR_MIN_IO : BAR_MIN_MEM, max = 1ULL << 63;

	if (type == PCI_BAR_IO)
		max = BAR_MAX_IO;
	else if (type == PCI_BAR_MEM32)
		max = 2 * GIB;
	if (is_pow2(size) && size >= min && size <= max)
		return 0;
	return err_set(err, EINVAL,
		       "%s: %s BAR %u of 0x%llx bytes: the size must be a power of two from 0x%llx "
		       "to 0x%llx",
		       function->name, pci_bar_type_name(type), index, (unsigned long long)size,
		       (unsigned long long)min, (unsigned long long)max);
}

static bool taken(const struct pci_function *function, unsigned int index)
{
	return function->bars[index].function || function->bars[index].upper;
}

static int check_index(const struct pci_function *function, unsigned int index,
		       enum pci_bar_type type, struct err *err)
{
	unsigned int last = index + (type == PCI_BAR_MEM64);

	if (index >= PCI_BARS || last >= PCI_BARS)
		return err_set(err, EINVAL, "%s: a %s BAR cannot be at index %u: there are %u",
			       function->name, pci_bar_type_name(type), index, PCI_BARS);
	if (taken(function, index) || taken(function, last))
		return err_set(err, EEXIST, "%s: BAR %u or %u is in use: take another index",
			       function->name, index, last);
	return 0;
}

int pci_function_rom(struct pci_function *function, uint64_t size, const struct io_ops *ops,
		     void *opaque, struct err *err)
{
	struct pci_bar *bar = &function->bars[PCI_BAR_ROM];
	int ret = pci_function_check_unplugged(function, err);

	if (ret)
		return ret;
	if (bar->function)
		return err_set(err, EEXIST, "%s has an expansion ROM already", function->name);
	if (!is_pow2(size) || size < ROM_MIN || size > ROM_MAX)
		return err_set(err, EINVAL,
			       "%s: expansion ROM of 0x%llx bytes: the size must be a power of two "
			       "from 0x%x to 0x%x",
			       function->name, (unsigned long long)size, ROM_MIN, ROM_MAX);
	*bar = (struct pci_bar){ .function = function,
				 .type = PCI_BAR_MEM32,
				 .size = size,
				 .ops = ops,
				 .opaque = opaque };
	snprintf(bar->label, sizeof(bar->label), "%s ROM", function->name);
	store_le(function->writable + PCI_ROM_ADDRESS, address_mask(bar) | PCI_ROM_ADDRESS_ENABLE,
		 4);
	return 0;
}

int pci_function_bar(struct pci_function *function, unsigned int index, enum pci_bar_type type,
		     bool prefetchable, uint64_t size, const struct io_ops *ops, void *opaque,
		     struct err *err)
{
	uint64_t flags = PCI_BASE_ADDRESS_SPACE_MEMORY;
	struct pci_bar *bar;
	int ret;

	ret = pci_function_check_unplugged(function, err);
	if (!ret)
		ret = check_index(function, index, type, err);
	if (!ret)
		ret = check_size(function, index, type, size, err);
	if (ret)
		return ret;
	if (type == PCI_BAR_IO && prefetchable)
		return err_set(err, EINVAL, "%s: I/O BAR %u cannot be prefetchable", function->name,
			       index);

	bar = &function->bars[index];
	*bar = (struct pci_bar){ .function = function,
				 .type = type,
				 .prefetchable = prefetchable,
				 .size = size,
				 .ops = ops,
				 .opaque = opaque };
	snprintf(bar->label, sizeof(bar->label), "%s BAR %u", function->name, index);
	if (type == PCI_BAR_MEM64) {
		function->bars[index + 1].upper = true;
		flags |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	}
	if (type == PCI_BAR_IO)
		flags = PCI_BASE_ADDRESS_SPACE_IO;
	if (prefetchable)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	store_le(bar_register(bar, function->config), flags, bar_bytes(bar));
	store_le(bar_register(bar, function->writable), address_mask(bar), bar_bytes(bar));
	return 0;
}

/* The device's handlers go into the map directly where the core has no part in the BAR. */
void pci_bar_prepare(struct pci_bar *bar)
{
	const struct pci_msix *msix = bar->function->msix;
	const struct io_ops *ops = bar->ops ? bar->ops : &silent_ops;

	bar->region = (struct io_region){
		.size = bar->size,
		.ops = ops,
		.opaque = bar->ops ? bar->opaque : bar,
		.name = bar->label,
	};
	if (msix && (msix->table_bar == bar_index(bar) || msix->pba_bar == bar_index(bar))) {
		bar->region.ops = ops->store64 ? &pci_msix_portal_ops : &pci_msix_bar_ops;
		bar->region.opaque = bar;
	}
}

void pci_bar_set_address(struct pci_bar *bar, uint64_t address)
{
	uint8_t *at = bar_register(bar, bar->function->config);
	uint64_t flags = load_le(at, bar_bytes(bar)) & ~address_mask(bar);

	store_le(at, flags | (address & address_mask(bar)), bar_bytes(bar));
	__atomic_store_n(&bar->address, address, __ATOMIC_RELEASE);
}

static struct iomap *bar_map(const struct pci_bar *bar)
{
	struct vm *vm = bar->function->bus->vm;

	return pci_bar_is_io(bar) ? vm_pio(vm) : vm_mmio(vm);
}

static bool enabled(const struct pci_bar *bar)
{
	uint16_t bit = pci_bar_is_io(bar) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	struct pci_function *function = bar->function;

	if (function->blocked || !(function->command & bit))
		return false;
	return !is_rom(bar) || function->config[PCI_ROM_ADDRESS] & PCI_ROM_ADDRESS_ENABLE;
}

/*
 * Going on without it would leave a window onto a device that moved, or onto freed memory: where
 * the map cannot shrink for want of memory, wait for some.
 */
void pci_unmap(struct iomap *map, uint64_t base, const void *opaque)
{
	while (iomap_remove(map, base, opaque) == -ENOMEM)
		sched_yield();
}

static void unmap(struct pci_bar *bar)
{
	pci_bar_hide(bar);
	pci_unmap(bar_map(bar), bar->region.base, bar->region.opaque);
	bar->mapped = false;
}

/* First step: leave the place that the registers no longer name; move where that is possible. */
static void follow(struct pci_bar *bar)
{
	uint8_t *at = bar_register(bar, bar->function->config);
	uint64_t address = load_le(at, bar_bytes(bar)) & address_mask(bar);
	bool wanted;

	if (address != bar->address || !enabled(bar))
		bar->complained = false;
	__atomic_store_n(&bar->address, address, __ATOMIC_RELEASE);
	wanted = enabled(bar) && pci_window_holds(bar->function->bus, bar, address);
	if (!bar->mapped || (wanted && bar->region.base == address))
		return;
	/* Gone from the old place first; until it is at the new one, accesses exit and are
	 * answered. */
	pci_bar_hide(bar);
	if (wanted && !iomap_move(bar_map(bar), bar->region.base, bar->region.opaque, address))
		bar->region.base = address;
	else
		unmap(bar);
	if (bar->mapped)
		pci_bar_show(bar);
}

static void complain(struct pci_bar *bar, const char *why)
{
	struct pci_bus *bus = bar->function->bus;

	/* All ones is how a guest asks for the size. */
	if (bar->complained || bar->address == address_mask(bar))
		return;
	bar->complained = true;
	log_limited(bus->options.log, &bus->limit, LOG_WARN, "pci",
		    "%s at 0x%llx (0x%llx bytes) is not decoded: %s", bar->label,
		    (unsigned long long)bar->address, (unsigned long long)bar->size, why);
}

/* Second step: take the place that the registers name, if it is free. */
static void claim(struct pci_bar *bar)
{
	int ret;

	if (bar->mapped || !enabled(bar))
		return;
	if (!pci_window_holds(bar->function->bus, bar, bar->address)) {
		complain(bar, "no window of the root bus holds it");
		return;
	}
	bar->region.base = bar->address;
	ret = iomap_add(bar_map(bar), &bar->region);
	bar->mapped = !ret;
	if (ret)
		complain(bar, ret == -EEXIST ? "something else is there" : strerror(-ret));
	else
		bar->complained = false;
	if (bar->mapped)
		pci_bar_show(bar);
}

static void claim_all(struct pci_bus *bus)
{
	for (unsigned int slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned int i = 0; bus->slots[slot] && i < PCI_BAR_SLOTS; i++) {
			if (bus->slots[slot]->bars[i].function)
				claim(&bus->slots[slot]->bars[i]);
		}
	}
}

void pci_bars_apply(struct pci_function *function)
{
	for (unsigned int i = 0; i < PCI_BAR_SLOTS; i++) {
		if (function->bars[i].function)
			follow(&function->bars[i]);
	}
	claim_all(function->bus);
}

void pci_bars_withdraw(struct pci_function *function)
{
	for (unsigned int i = 0; i < PCI_BAR_SLOTS; i++) {
		if (function->bars[i].mapped)
			unmap(&function->bars[i]);
	}
	claim_all(function->bus);
}
