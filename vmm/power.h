/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a machine ends and how it is told things: ACPI sleep and reset registers, the older ways to
 * reset (port 0xcf9, the keyboard controller's pulse), the debug-exit port, and the generic event
 * device (GED) through which the guest learns of the power button and of PCI hot plug.
 *
 * Source: ACPI 6.4 sections 4.8.3.6 (reset), 4.8.3.7 (sleep), 5.6.9 (GED).
 */
#ifndef ADIT_VMM_POWER_H
#define ADIT_VMM_POWER_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "util/state.h"

struct vm;
struct ioapic;
struct io_ops;
struct iomap;
struct power;

enum power_reason {
	POWER_OFF,
	POWER_RESET,
	POWER_DEBUG_EXIT
};

/*
 * Both are called on a vCPU thread, inside an epoch section of the VM, without a lock held, and as
 * often as the guest likes: they note what was asked and return.
 */
struct power_ops {
	/* value: what was written to the debug-exit port, else 0. */
	void (*stop)(void *arg, enum power_reason reason, uint32_t value);
	/* The guest has let go of the function in `slot` (1 to 31), asked or not. May be NULL. */
	void (*eject)(void *arg, unsigned int slot);
};

int power_create(struct power **out, struct vm *vm, struct ioapic *ioapic,
		 const struct power_ops *ops, void *arg, bool debug_exit, const struct log *log,
		 struct err *err);
/* When no vCPU runs, before the I/O APIC goes. NULL: nothing. */
void power_destroy(struct power *power);

/*
 * Before vCPUs run: who answers at the eight ports from 0xcf8 but for the one-byte accesses to
 * reset control at 0xcf9, which lies among them. Without, they read as all ones.
 */
void power_share_cf8(struct power *power, const struct io_ops *ops, void *opaque);

/* Any thread. What the guest does about it is its own affair. */
void power_button_press(struct power *power);
/* Any thread. slot: 1 to 31; up: a function has appeared there, else: the guest shall eject it. */
void power_hotplug_notify(struct power *power, unsigned int slot, bool up);

/* The section "power", while no vCPU runs: events that the guest has not read yet. */
void power_save(struct power *power, struct state_out *out);
int power_load(struct power *power, struct state_in *in);

/*
 * The same registers without a VM, for tests: ports go to `pio` (removed by power_destroy), and
 * `pulse` stands for an edge on PIN_GED. It is called under the registers' lock.
 */
struct power_wiring {
	struct iomap *pio;
	void (*pulse)(void *opaque);
	void *opaque;
};
int power_open(struct power **out, const struct power_wiring *wiring, const struct power_ops *ops,
	       void *arg, bool debug_exit, const struct log *log, struct err *err);

#endif
