/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where BARs may be, and where a new function's are put before the guest has a say: largest first,
 * each at the lowest free multiple of its size. Memory BARs do not share a page, so that one can
 * be mapped into the guest without what lies beside it.
 */
#include <errno.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define PAGE	 4096ULL
#define IO_SPACE 0x10000ULL
#define BELOW_4G (4 * GIB)

static int check_window(const char *name, const struct pci_window *window, uint64_t limit,
			struct err *err)
{
	uint64_t last = window->base + (window->size - 1);

	if (!window->size)
		return 0;
	if (!range_wraps(window->base, window->size) && last <= limit - 1)
		return 0;
	return err_set(err, EINVAL,
		       "the %s window 0x%llx + 0x%llx ends past 0x%llx: make it smaller", name,
		       (unsigned long long)window->base, (unsigned long long)window->size,
		       (unsigned long long)(limit - 1));
}

static bool windows_overlap(const struct pci_window *a, const struct pci_window *b)
{
	return range_overlaps(a->base, a->size, b->base, b->size);
}

int pci_windows_check(const struct pci_bus_options *options, struct err *err)
{
	const struct pci_window ecam = { options->ecam_base, PCI_ECAM_SIZE };
	int ret;

	if (!is_aligned(ecam.base, PCI_ECAM_SIZE))
		return err_set(err, EINVAL, "ECAM at 0x%llx must be aligned to 0x%llx",
			       (unsigned long long)ecam.base, PCI_ECAM_SIZE);
	/* A limit of 0 stands for 2^64. */
	ret = check_window("32-bit memory", &options->mem32, BELOW_4G, err);
	if (!ret)
		ret = check_window("64-bit memory", &options->mem64, 0, err);
	if (!ret)
		ret = check_window("I/O", &options->io, IO_SPACE, err);
	if (ret)
		return ret;
	if (windows_overlap(&options->mem32, &options->mem64) ||
	    windows_overlap(&options->mem32, &ecam) || windows_overlap(&options->mem64, &ecam))
		return err_set(err, EINVAL,
			       "the PCI memory windows at 0x%llx and 0x%llx and the ECAM at 0x%llx "
			       "must not overlap",
			       (unsigned long long)options->mem32.base,
			       (unsigned long long)options->mem64.base,
			       (unsigned long long)ecam.base);
	return 0;
}

static bool holds(const struct pci_window *window, uint64_t base, uint64_t size)
{
	return window->size && range_inside(base, size, window->base, window->size);
}

bool pci_window_holds(const struct pci_bus *bus, const struct pci_bar *bar, uint64_t address)
{
	const struct pci_bus_options *o = &bus->options;

	if (pci_bar_is_io(bar))
		return holds(&o->io, address, bar->size);
	return holds(&o->mem32, address, bar->size) || holds(&o->mem64, address, bar->size);
}

/* What a BAR takes up in its space. Neither can wrap: sizes are powers of two, bases multiples. */
static struct pci_span footprint(const struct pci_bar *bar, uint64_t address)
{
	uint64_t unit = pci_bar_is_io(bar) ? 1 : PAGE;

	return (struct pci_span){ align_down(address, unit), MAX(bar->size, unit) };
}

/* A BAR of `function` that lies in the way and could be decoded there; NULL: none. */
static const struct pci_bar *obstacle_in(const struct pci_bus *bus,
					 const struct pci_function *function,
					 const struct pci_bar *bar, struct pci_span want)
{
	for (unsigned int i = 0; i < PCI_BAR_SLOTS; i++) {
		const struct pci_bar *other = &function->bars[i];
		struct pci_span there;

		if (!other->function || other == bar || !other->address ||
		    pci_bar_is_io(other) != pci_bar_is_io(bar) ||
		    !pci_window_holds(bus, other, other->address))
			continue;
		there = footprint(other, other->address);
		if (range_overlaps(there.start, there.size, want.start, want.size))
			return other;
	}
	return NULL;
}

static const struct pci_bar *obstacle(const struct pci_bus *bus, const struct pci_bar *bar,
				      struct pci_span want)
{
	const struct pci_bar *other = obstacle_in(bus, bar->function, bar, want);

	for (unsigned int slot = 0; !other && slot < PCI_SLOTS; slot++) {
		if (bus->slots[slot])
			other = obstacle_in(bus, bus->slots[slot], bar, want);
	}
	return other;
}

/* The first multiple of `align` at or above `from`; false past 2^64. */
static bool next_multiple(uint64_t from, uint64_t align, uint64_t *out)
{
	*out = align_up(from, align);
	return *out >= from;
}

/*
 * Lowest place in the window, but never address 0, which stands for none. Every round passes one
 * obstacle, so there are few.
 */
static bool place_in(const struct pci_bus *bus, const struct pci_window *window,
		     const struct pci_bar *bar, uint64_t *address)
{
	uint64_t align = footprint(bar, 0).size, at;
	bool more = window->size && next_multiple(MAX(window->base, 1), align, &at);

	while (more && holds(window, at, align)) {
		const struct pci_bar *other = obstacle(bus, bar, (struct pci_span){ at, align });
		struct pci_span there;
		uint64_t last;

		if (!other) {
			*address = at;
			return true;
		}
		there = footprint(other, other->address);
		last = there.start + (there.size - 1);
		more = last != UINT64_MAX && next_multiple(last + 1, align, &at);
	}
	return false;
}

static int place(const struct pci_bus *bus, struct pci_bar *bar, struct err *err)
{
	const struct pci_window *mem32 = &bus->options.mem32, *mem64 = &bus->options.mem64;
	const struct pci_window *wide = pci_bar_is_io(bar) ? &bus->options.io : mem32;
	uint64_t address;
	bool found = false;

	if (bar->type == PCI_BAR_MEM64)
		found = place_in(bus, mem64, bar, &address);
	if (!found)
		found = place_in(bus, wide, bar, &address);
	if (found) {
		pci_bar_set_address(bar, address);
		return 0;
	}
	if (bar->type == PCI_BAR_MEM64 && mem64->size)
		wide = mem64;
	return err_set(err, ENOSPC,
		       "%s (%s, 0x%llx bytes) fits nowhere: its window has 0x%llx bytes at 0x%llx; "
		       "remove another device or make the window larger",
		       bar->label, pci_bar_type_name(bar->type), (unsigned long long)bar->size,
		       (unsigned long long)wide->size, (unsigned long long)wide->base);
}

int pci_bars_place(struct pci_bus *bus, struct pci_function *function, struct err *err)
{
	struct pci_bar *sorted[PCI_BAR_SLOTS] = { NULL };
	unsigned int count = 0;
	int ret = 0;

	for (unsigned int i = 0; i < PCI_BAR_SLOTS; i++) {
		struct pci_bar *bar = &function->bars[i];
		unsigned int at = count;

		if (!bar->function)
			continue;
		for (; at && sorted[at - 1]->size < bar->size; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = bar;
		count++;
	}
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = place(bus, sorted[i], err);
	for (unsigned int i = 0; ret && i < count; i++)
		pci_bar_set_address(sorted[i], 0);
	return ret;
}
