/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the plan that host devices make: each with its group, its reset and what is in its
 * way, the predicted coherency, and the budget of locked memory. From sysfs, before anything is
 * touched.
 */
#ifndef ADIT_VMM_PLAN_DEVICES_H
#define ADIT_VMM_PLAN_DEVICES_H

#include <stdio.h>

struct config;
struct host;
struct json_object;

/*
 * Adds "devices", "groups", "coherency", "peer_to_peer", "budget" and "problems" (sentences; run
 * would fail). host: NULL for this one.
 */
void plan_devices(struct json_object *plan, const struct config *config, const struct host *host);
void plan_devices_print(struct json_object *plan, FILE *to);

#endif
