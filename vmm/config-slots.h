/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of the PCI bus that a configuration gives to devices by itself. */
#ifndef ADIT_VMM_CONFIG_SLOTS_H
#define ADIT_VMM_CONFIG_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "vmm/config.h"

#define CONFIG_MAX_SLOTTED \
	(CONFIG_MAX_ADIS + 2 * CONFIG_MAX_DEVICES + CONFIG_MAX_DISKS + CONFIG_MAX_NET + 4)

struct config_slot {
	const char *place; /* "disks"; of the singles "rng" */
	size_t index;	   /* in its list */
	bool single;
	const char *name; /* of its function; borrowed from the configuration */
	uint32_t slot;	  /* 0: any */
};

/* Every device that has a function. Returns how many. */
size_t config_slots(const struct config *config, struct config_slot out[CONFIG_MAX_SLOTTED]);
/* None twice. -EINVAL. */
int config_settle_slots(const struct config *config, struct err *err);

#endif
