/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything of a machine but its memory, saved and loaded. What a machine is (its processors,
 * memory, devices, windows, and which guest PASIDs reach what) comes from the configuration alone:
 * state is loaded into a machine that was made of one, and where it belongs to another machine it
 * is refused. So nothing of the host, and no right of a device, is taken from a state.
 */
#ifndef ADIT_VMM_MACHINE_STATE_H
#define ADIT_VMM_MACHINE_STATE_H

#include "util/err.h"
#include "util/state.h"

struct adis;
struct config;
struct cpuid;
struct devices;
struct ioapic;
struct layout;
struct pci_bus;
struct power;
struct processors;
struct rtc;
struct serial;
struct virtio_devices;
struct vm;

struct machine_state_parts {
	const struct config *config;
	const struct layout *layout;
	const struct cpuid *cpuid;
	struct vm *vm;
	struct processors *processors;
	struct ioapic *ioapic;
	struct serial *serial;
	struct rtc *rtc;
	struct power *power;
	struct pci_bus *bus;
	struct virtio_devices *virtio;
	struct adis *adis;
	struct devices *devices;
};

/* -EOPNOTSUPP names what of a configuration a snapshot does not carry. */
int machine_state_check(const struct config *config, struct err *err);
/*
 * After the check, while the machine is paused, its loop runs and its devices are stopped
 * (devices_stop), which they stay until its memory is saved. -EOPNOTSUPP names the first device
 * that a snapshot does not carry, -EBUSY one that has something under way which does not end.
 */
int machine_state_save(const struct machine_state_parts *parts, struct state_out *out,
		       struct err *err);
/*
 * Instead of a payload, into a machine that has memory and has not run. Assigned devices are
 * stopped from then on, until devices_start.
 */
int machine_state_load(const struct machine_state_parts *parts, struct state_in *in);

#endif
