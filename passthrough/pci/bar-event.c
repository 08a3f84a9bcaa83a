/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes of the guest that signal a descriptor inside the kernel, at a place of a BAR: they exist
 * exactly while the BAR is decoded and go where it goes, as its host memory does.
 */
#include <errno.h>

#include "kvm-glue/irq.h"
#include "kvm-glue/vm.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

static struct ioevent place(const struct pci_bar *bar, const struct pci_bar_event *event)
{
	return (struct ioevent){
		.address = bar->region.base + event->offset,
		.size = (uint8_t)event->size,
		.match = true,
		.data = event->data,
	};
}

/* Where KVM refuses, the write exits and is answered by the BAR's handlers. */
void pci_bar_listen(struct pci_bar *bar)
{
	for (unsigned int i = 0; i < bar->n_events; i++) {
		const struct ioevent at = place(bar, &bar->events[i].event);

		if (!bar->events[i].added)
			bar->events[i].added = !ioevent_add(bar->function->bus->vm, &at,
							    bar->events[i].event.fd, NULL);
	}
}

void pci_bar_unlisten(struct pci_bar *bar)
{
	for (unsigned int i = 0; i < bar->n_events; i++) {
		const struct ioevent at = place(bar, &bar->events[i].event);

		if (bar->events[i].added)
			ioevent_remove(bar->function->bus->vm, &at, bar->events[i].event.fd);
		bar->events[i].added = false;
	}
}

int pci_function_bar_event(struct pci_function *function, unsigned int index,
			   const struct pci_bar_event *event)
{
	struct pci_bus *bus = function->bus;
	struct pci_bar *bar;
	int ret = 0;

	if (!bus || index >= PCI_BARS || !function->bars[index].function ||
	    pci_bar_is_io(&function->bars[index]) ||
	    !range_inside(event->offset, event->size, 0, function->bars[index].size))
		return -EINVAL;
	bar = &function->bars[index];
	pthread_mutex_lock(&bus->lock);
	if (bar->n_events == PCI_EVENTS_MAX)
		ret = -ENOSPC;
	else
		bar->events[bar->n_events++].event = *event;
	if (!ret && bar->mapped)
		pci_bar_listen(bar);
	pthread_mutex_unlock(&bus->lock);
	return ret;
}
