/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that servers give to a machine over vfio-user: a connection and an assigned function
 * each, with all guest memory shared as the configuration says. A server that is gone takes its
 * function off the bus; the machine goes on.
 */
#ifndef ADIT_VMM_USER_DEVICES_H
#define ADIT_VMM_USER_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/log.h"

struct config;
struct config_user_device;
struct devices_place;
struct user_devices;
struct vm;

/* Before the guest runs. Also where the configuration has none: they can come later. */
int user_devices_create(struct user_devices **out, const struct config *config, struct vm *vm,
			const struct devices_place *place, const struct log *log, struct err *err);
/*
 * As vmm/devices.h has it: while the guest runs, on the thread that makes machines; the slot from
 * any.
 */
int user_devices_plug(struct user_devices *devices, const struct config_user_device *config,
		      struct err *err);
bool user_devices_remove(struct user_devices *devices, const char *id);
bool user_devices_in(struct user_devices *devices, unsigned int slot, char *id, size_t size);
/* The id of one whose server is gone. */
bool user_devices_lost(struct user_devices *devices, char *id, size_t size);
unsigned int user_devices_slot(struct user_devices *devices, const char *id);
/* No vCPU may be running. */
void user_devices_destroy(struct user_devices *devices);

#endif
