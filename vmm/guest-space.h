/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory in the I/O space of the assigned devices: all of it, at the addresses that the guest
 * knows it by. Entering it makes the kernel take and pin every page, which is what the start of a
 * large guest with a device is spent on: so it goes by slices, and says how far it is. Memory that
 * comes later is vmm/hot-ram.h's.
 */
#ifndef ADIT_VMM_GUEST_SPACE_H
#define ADIT_VMM_GUEST_SPACE_H

#include "util/err.h"
#include "util/log.h"

struct ioasid_space;
struct layout;
struct ram;

/*
 * All RAM of the layout. After the devices were attached, for before that the kernel only notes
 * what it is told, and pins everything inside the first attach. After a failure the space is good
 * for nothing but to be destroyed.
 */
int guest_space_map(struct ioasid_space *space, const struct ram *ram, const struct layout *layout,
		    const struct log *log, struct err *err);

#endif
