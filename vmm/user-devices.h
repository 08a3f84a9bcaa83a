/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that servers give to a machine over vfio-user: a connection and an assigned function
 * each, with all guest memory shared as the configuration says. A server that is gone takes its
 * function off the bus; the machine goes on.
 */
#ifndef ADIT_VMM_USER_DEVICES_H
#define ADIT_VMM_USER_DEVICES_H

#include "util/err.h"
#include "util/log.h"

struct config;
struct devices_place;
struct user_devices;
struct vm;

/* Before the guest runs. *out is NULL where the configuration has none. */
int user_devices_create(struct user_devices **out, const struct config *config, struct vm *vm,
			const struct devices_place *place, const struct log *log, struct err *err);
/* No vCPU may be running. */
void user_devices_destroy(struct user_devices *devices);

#endif
