/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine and its process count: one walk, for vm.counters and for /metrics. */
#ifndef ADIT_VMM_API_COUNTERS_H
#define ADIT_VMM_API_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct life_view;
struct machine;

struct counter {
	/* "vcpus", "adi", "virtio", "device", "ioapic", "space", "loop", "balloon", "hotplug" */
	const char *kind;
	const char *device;   /* an id where there may be several, else NULL */
	const char *provider; /* of a space, whose id is one among its provider's; else NULL */
	const char *name;
	bool goes_down; /* a gauge, in Prometheus's words */
	uint64_t value;
};

/* Calls emit for each, those of a device in a row. */
void counters_read(struct machine *machine, const struct config *config,
		   void (*emit)(void *arg, const struct counter *counter), void *arg);

/* metrics.c: Prometheus's text, allocated; NULL: no memory. What is not there (no machine) has no
 * line. */
char *counters_metrics(const struct life_view *view);

#endif
