/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that come to a machine and leave it while its guest runs. They are made and taken apart
 * on one thread, that of machine_run, which waits here for the machine's end: whatever they need to
 * open is opened by who opened the others, and whoever serves the guest never does. Other threads
 * ask, by waking it.
 *
 * A guest hears of a new function by ACPI. It is asked by ACPI to let go of one, and lets go by
 * ejecting its slot; who takes a function away without has it end under the guest's hands.
 */
#ifndef ADIT_VMM_HOTPLUG_H
#define ADIT_VMM_HOTPLUG_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "vmm/config.h"

struct adis;
struct devices;
struct hotplug;
struct power;
struct user_devices;
struct virtio_devices;

struct hotplug_parts {
	const struct log *log;
	struct power *power;
	struct pci_bus *bus;
	struct adis *adis;
	struct virtio_devices *virtio;
	struct devices *devices;
	struct user_devices *user_devices;
};

/* What comes: one of these, in a configuration that is borrowed for the call. */
struct hotplug_part {
	const struct config *config;
	const struct config_disk *disk;
	const struct config_net *net;
	const struct config_adi *adi;
	const struct config_device *device;
	const struct config_user_device *user_device;
};

int hotplug_create(struct hotplug **out, struct err *err);
void hotplug_destroy(struct hotplug *hotplug);
/* Before anybody asks for anything; parts outlive it. */
void hotplug_connect(struct hotplug *hotplug, const struct hotplug_parts *parts);

/* --- any thread, with any lock ------------------------------------------------------------- */

/* The waiting thread looks at what there is to do. */
void hotplug_wake(struct hotplug *hotplug);
/* From now on it does not wait. */
void hotplug_end(struct hotplug *hotplug);
/* The guest has ejected the slot (power_ops). */
void hotplug_ejected(struct hotplug *hotplug, unsigned int slot);

/* --- any thread ---------------------------------------------------------------------------- */

/* The slot of what is called so and can leave; 0: nothing. */
unsigned int hotplug_slot(struct hotplug *hotplug, const char *id);
/* Asks the guest to let go. -ENOENT. */
int hotplug_ask(struct hotplug *hotplug, const char *id, struct err *err);

/* --- the thread of machine_run ------------------------------------------------------------- */

/*
 * Until hotplug_end: calls serve whenever it was woken, or the time that serve returned has come
 * (CLOCK_MONOTONIC in nanoseconds; 0: none).
 */
void hotplug_wait(struct hotplug *hotplug, uint64_t (*serve)(void *arg), void *arg);
/*
 * Made, on the bus, and the guest told. The characters of its id stay where they are until it has
 * left. On failure nothing of it is left. Returns its slot or -errno.
 */
int hotplug_add(struct hotplug *hotplug, const struct hotplug_part *part, struct err *err);
/* Takes it away now. -ENOENT. */
int hotplug_remove(struct hotplug *hotplug, const char *id, struct err *err);
/* Takes away what the guest has ejected, and what its host asks back or its server left. */
void hotplug_let_go(struct hotplug *hotplug);
/* What is gone by now: the id of one; false: no more. */
bool hotplug_departed(struct hotplug *hotplug, char id[CONFIG_ID_MAX + 1]);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t hotplug_now(void);

#endif
