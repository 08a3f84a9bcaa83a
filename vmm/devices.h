/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assigned devices of a machine: one context for all, one space that holds all guest memory,
 * and for each device the way from its node to a function on the bus, in the order that keeps
 * everything closed until it is known to be right: KVM is told, the device is bound, the policies
 * are decided on what the IOMMU says, the function is made, its DMA is let into guest memory, the
 * guest sees it.
 */
#ifndef ADIT_VMM_DEVICES_H
#define ADIT_VMM_DEVICES_H

#include <stddef.h>

#include "util/err.h"
#include "util/log.h"

struct config;
struct devices;
struct hot_ram;
struct layout;
struct layout_request;
struct loop;
struct pci_bus;
struct ram;
struct vm;

/*
 * Binds all devices of the configuration; keeper: who takes, makes and opens them, 0: none. Before
 * the memory layout, which must keep out of what they cannot reach. *out is NULL where there are
 * none.
 */
int devices_open(struct devices **out, const struct config *config, int keeper, struct vm *vm,
		 const struct log *log, struct err *err);
/* Reserved ranges and the aperture; what request points to stays valid until devices_destroy. */
void devices_limit(const struct devices *devices, struct layout_request *request);

struct devices_place {
	struct pci_bus *bus;
	struct loop *loop;
	const struct ram *ram;
	struct hot_ram *hot; /* NULL: none */
	const struct layout *layout;
	/* As in struct machine_options. */
	void (*event)(void *arg, const char *event, const char *detail);
	void *event_arg;
	const struct sandbox *sandbox; /* for threads that devices start */
};
/* Guest memory into the space, then function by function. Before the guest runs. */
int devices_add(struct devices *devices, const struct devices_place *place, struct err *err);

/* Off the bus, DMA blocked, given back. No vCPU may be running. */
void devices_destroy(struct devices *devices);

#endif
