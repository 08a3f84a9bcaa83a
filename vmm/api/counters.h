/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine counts, as names and numbers: one walk for vm.counters and for /metrics. */
#ifndef ADIT_VMM_API_COUNTERS_H
#define ADIT_VMM_API_COUNTERS_H

#include <stdint.h>

struct config;
struct machine;

/* Calls emit for each counter; those of a device ("vcpus", "balloon", an ADI's id) in a row. */
void counters_read(struct machine *machine, const struct config *config,
		   void (*emit)(void *arg, const char *device, const char *name, uint64_t value),
		   void *arg);

#endif
