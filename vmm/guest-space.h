/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory in the I/O space of the assigned devices: all of it, at the addresses that the guest
 * knows it by. Entering it makes the kernel take and pin every page, which is what the start of a
 * large guest with a device is spent on: so it goes by slices, and says how far it is. What is
 * plugged later (vmm/hot-ram.h) follows block by block.
 */
#ifndef ADIT_VMM_GUEST_SPACE_H
#define ADIT_VMM_GUEST_SPACE_H

#include <stdbool.h>

#include "util/err.h"
#include "util/log.h"

struct hot_ram;
struct ioasid_space;
struct layout;
struct ram;

/*
 * All RAM of the layout. After the devices were attached, for before that the kernel only notes
 * what it is told, and pins everything inside the first attach. stop: atomic: set, it gives up
 * before the next slice (-ECANCELED); may be NULL. After a failure the space is good for nothing
 * but to be destroyed.
 */
int guest_space_map(struct ioasid_space *space, const struct ram *ram, const struct layout *layout,
		    const bool *stop, const struct log *log, struct err *err);

/*
 * What is plugged, now and from here on, is in the space before the guest has it; none of it is
 * unplugged from here on. who: for messages; borrowed. hot: NULL: nothing to do.
 */
int guest_space_follow(struct ioasid_space *space, struct hot_ram *hot, const char *who,
		       struct err *err);

#endif
