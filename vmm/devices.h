/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assigned devices of a machine: one context for all, one space that holds all guest memory,
 * and for each device the way from its node to a function on the bus, in the order that keeps
 * everything closed until it is known to be right: KVM is told, the device is bound, the policies
 * are decided on what the IOMMU says, the function is made, its DMA is let into the space, the
 * guest sees it.
 */
#ifndef ADIT_VMM_DEVICES_H
#define ADIT_VMM_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/log.h"
#include "util/state.h"
#include "vmm/config.h"

struct devices;
struct hot_ram;
struct ioasid_space;
struct layout;
struct layout_request;
struct loop;
struct pci_bus;
struct ram;
struct vfio_counters;
struct vm;

/*
 * Opens the nodes of all devices of the configuration; keeper: who takes, makes and opens them, 0:
 * none; one_life: as of struct device_node_from. Also where there are none: they can come later.
 */
int devices_open(struct devices **out, const struct config *config, int keeper, bool one_life,
		 struct vm *vm, const struct log *log, struct err *err);
/* Some of them reach memory by themselves: all of the guest's will be pinned. */
bool devices_pin(const struct devices *devices);
/*
 * Begins to bind them, which is when the kernel opens and resets them: side by side, by threads of
 * its own that end in devices_bind or devices_destroy. Before pages are made, since these threads
 * need mappings of their own and would wait for each piece of that.
 */
int devices_bind_start(struct devices *devices, struct err *err);
/* Waits for them. Before the memory layout, which must keep out of what they cannot reach. */
int devices_bind(struct devices *devices, struct err *err);
/* Reserved ranges and the aperture; what request points to stays valid until devices_destroy. */
void devices_limit(const struct devices *devices, struct layout_request *request);

struct devices_place {
	const bool *ending; /* atomic: the machine comes to its end; set before devices_give_up */
	struct pci_bus *bus;
	struct loop *loop;
	struct ram *ram;
	struct hot_ram *hot; /* NULL: none */
	const struct layout *layout;
	/* As in struct machine_options. */
	void (*event)(void *arg, const char *event, const char *detail);
	void *event_arg;
	const struct sandbox *sandbox; /* for threads that devices start */
	/* Any thread: a host asks for a device back (devices_wanted). */
	void (*wake)(void *arg);
	void *wake_arg;
};
/*
 * Function by function, at a space that has what is plugged, from here on, and nothing else. Before
 * the guest runs: none of what it plugs can be unplugged, which would wait for its vCPUs.
 */
int devices_add(struct devices *devices, const struct devices_place *place, struct err *err);
/*
 * Guest memory into the space; nothing where it is there. May the guest run meanwhile? Its vCPU
 * waits where it lets a device do DMA, until this has returned: not with so much memory that it
 * would be long, nor with mdevs. On the thread that makes machines.
 * After a failure no device ever does DMA; -ECANCELED: the machine comes to its end.
 */
bool devices_map_late(const struct devices *devices);
int devices_map(struct devices *devices, struct err *err);
/* Any thread: vCPUs that wait for it go on, without. */
void devices_give_up(struct devices *devices);

/*
 * These on the thread that makes machines, while the guest runs. Device i of config, all or
 * nothing; the characters of its id stay where they are until it is removed.
 */
int devices_plug(struct devices *devices, const struct config *config, size_t i, struct err *err);
/* Its DMA is blocked and it is closed when this returns. False: there is none of that id. */
bool devices_remove(struct devices *devices, const char *id);
/* The id of one in that slot; of one that its host asks for. */
bool devices_in(struct devices *devices, unsigned int slot, char *id, size_t size);
bool devices_wanted(struct devices *devices, char *id, size_t size);

/* Any thread. 0: there is none of that id. */
unsigned int devices_slot(struct devices *devices, const char *id);

/* What was decided of no-snoop DMA, for the devices that are there and so for the VM. Any thread.
 */
struct devices_coherency {
	bool wbinvd, guest_pat; /* it works; it is honoured */
	size_t n;
	struct devices_coherency_row {
		char id[64];
		const char *policy, *iommu_enforces, *isolation;
		bool told, no_snoop;
	} device[CONFIG_MAX_DEVICES];
};
void devices_coherency(struct devices *devices, struct devices_coherency *out);

/* Any thread, for what they count: the space of guest memory, if it is there, and each device. */
void devices_space(struct devices *devices,
		   void (*fn)(void *arg, const char *provider, const struct ioasid_space *space),
		   void *arg);
void devices_counters(struct devices *devices,
		      void (*fn)(void *arg, const char *id, const struct vfio_counters *counters),
		      void *arg);

/*
 * On the thread that makes machines, while no vCPU runs: see vmm/machine-state.h for the order.
 * stop: they do no DMA and raise no interrupt until devices_start; -EOPNOTSUPP names one whose
 * driver offers no migration, and none has been disturbed. start is called after any failure too:
 * -EIO names one that could not go on as it was, the log all of them.
 */
int devices_stop(struct devices *devices, struct err *err);
int devices_start(struct devices *devices, struct err *err);
/* Those that are stopped. */
int devices_save(struct devices *devices, struct state_out *out, struct err *err);
/* Around pci_bus_load. They are stopped from then on. */
int devices_load(struct devices *devices, struct state_in *in);
int devices_loaded(struct devices *devices, struct state_in *in);

/* Off the bus, DMA blocked, given back. No vCPU may be running. */
void devices_destroy(struct devices *devices);

#endif
