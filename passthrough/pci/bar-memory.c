/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of a BAR that are host memory: KVM slots that exist exactly while the BAR is decoded, at
 * the place where it is decoded. The whole BAR is in the I/O map as well, so that what has no slot
 * (the pages around an MSI-X table, a KVM without free slots) is answered by the device's handlers.
 */
#include <errno.h>
#include <sched.h>

#include "kvm-glue/memory.h"
#include "kvm-glue/vm.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define PAGE 4096u

static int check_part(const struct pci_bar *bar, const struct pci_span *span, const void *hva,
		      struct err *err)
{
	if (!span->size || !is_aligned(span->start | span->size | (uintptr_t)hva, PAGE) ||
	    !range_inside(span->start, span->size, 0, bar->size))
		return err_set(err, EINVAL,
			       "%s: host memory for 0x%llx + 0x%llx of it must be page aligned and "
			       "inside its 0x%llx bytes",
			       bar->label, (unsigned long long)span->start,
			       (unsigned long long)span->size, (unsigned long long)bar->size);
	if (bar->n_parts == PCI_SPANS_MAX)
		return err_set(err, ENOSPC, "%s: %u parts of it are host memory already",
			       bar->label, PCI_SPANS_MAX);
	for (unsigned int i = 0; i < bar->n_parts; i++) {
		const struct pci_span *other = &bar->parts[i].span;

		if (range_overlaps(span->start, span->size, other->start, other->size))
			return err_set(err, EEXIST, "%s: 0x%llx + 0x%llx is host memory already",
				       bar->label, (unsigned long long)span->start,
				       (unsigned long long)span->size);
	}
	return 0;
}

int pci_function_bar_memory(struct pci_function *function, unsigned int index, uint64_t offset,
			    uint64_t size, void *hva, struct err *err)
{
	const struct pci_span span = { offset, size };
	struct pci_bar *bar;
	int ret = pci_function_check_unplugged(function, err);

	if (ret)
		return ret;
	if (index >= PCI_BARS || !function->bars[index].function ||
	    pci_bar_is_io(&function->bars[index]))
		return err_set(err, EINVAL, "%s: BAR %u is no memory BAR", function->name, index);
	bar = &function->bars[index];
	ret = check_part(bar, &span, hva, err);
	if (!ret)
		bar->parts[bar->n_parts++] = (struct pci_bar_part){ .span = span, .hva = hva };
	return ret;
}

int pci_function_bar_mirror(struct pci_function *function, unsigned int index, uint64_t offset,
			    const struct pci_mirror_ops *ops, void *opaque)
{
	struct pci_bar *bar = index < PCI_BARS ? &function->bars[index] : NULL;
	int ret = pci_function_check_unplugged(function, NULL);

	for (unsigned int i = 0; !ret && bar && i < bar->n_parts; i++) {
		if (bar->parts[i].span.start != offset)
			continue;
		bar->parts[i].mirror = ops;
		bar->parts[i].mirror_opaque = opaque;
		return 0;
	}
	return ret ? ret : -ENOENT;
}

static void mirror_show(struct pci_bar_part *part, uint64_t gpa)
{
	if (!part->mirror || part->mirrored)
		return;
	part->mirror->show(part->mirror_opaque, gpa);
	part->mirrored = true;
}

static void mirror_hide(struct pci_bar_part *part)
{
	if (part->mirrored)
		part->mirror->hide(part->mirror_opaque);
	part->mirrored = false;
}

void pci_bar_show(struct pci_bar *bar)
{
	struct pci_bus *bus = bar->function->bus;

	for (unsigned int i = 0; i < bar->n_parts; i++) {
		struct pci_bar_part *part = &bar->parts[i];
		const struct vm_memory memory = {
			.gpa = bar->region.base + part->span.start,
			.size = part->span.size,
			.hva = part->hva,
			.device = true,
		};
		struct err err;

		if (!is_aligned(memory.gpa, PAGE))
			continue;
		mirror_show(part, memory.gpa);
		if (part->shown)
			continue;
		part->shown = !vm_memory_add(bus->vm, &memory, &part->slot, &err);
		if (!part->shown)
			log_limited(bus->options.log, &bus->limit, LOG_WARN, "pci",
				    "%s at 0x%llx: %s; accesses there are slow", bar->label,
				    (unsigned long long)bar->region.base, err.text);
	}
	pci_bar_listen(bar);
}

/* A part that stayed would be a window onto a device that moved: as pci_unmap, wait for memory. */
void pci_bar_hide(struct pci_bar *bar)
{
	struct vm *vm = bar->function->bus->vm;

	pci_bar_unlisten(bar);
	for (unsigned int i = 0; i < bar->n_parts; i++) {
		struct pci_bar_part *part = &bar->parts[i];

		mirror_hide(part);
		while (part->shown && vm_memory_unlink(vm, part->slot, NULL) == -ENOMEM)
			sched_yield();
		part->shown = false;
	}
}
