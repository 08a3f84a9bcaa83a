/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which guest PASIDs of a table changed and were not read yet: a ring of numbers, each in it at
 * most once. Not locked: the table's lock covers it.
 */
#ifndef ADIT_IOASID_CLIENT_PASID_EVENTS_H
#define ADIT_IOASID_CLIENT_PASID_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct pasid_events;

int pasid_events_new(struct pasid_events **out, struct err *err);
void pasid_events_free(struct pasid_events *events);
int pasid_events_fd(const struct pasid_events *events);
void pasid_events_add(struct pasid_events *events, uint32_t guest);
/* The one that has waited longest; false: none. */
bool pasid_events_take(struct pasid_events *events, uint32_t *guest);
/* How many found no room since the last call. */
uint64_t pasid_events_lost(struct pasid_events *events);

#endif
