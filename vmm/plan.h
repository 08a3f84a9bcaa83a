/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration will become on this host, worked out without making any of it: memory
 * layout, functions, spaces, the PASID table, isolation and coherency, and the budget of locked
 * memory. As a JSON object for machines; plan_print says the same for people.
 */
#ifndef ADIT_VMM_PLAN_H
#define ADIT_VMM_PLAN_H

#include <stdio.h>

#include "util/err.h"

struct config;
struct json_object;

/*
 * Errors are those that machine_create would give for the same reason. What is in the way of
 * devices, or wrong with the payload, does not keep the plan from being made: those sentences are
 * its "problems".
 */
int plan_make(struct json_object **out, const struct config *config, struct err *err);
void plan_print(struct json_object *plan, FILE *to);

/* plan-virtio.c: the devices as an array; reads images, and changes nothing. */
int plan_virtio(struct json_object **out, const struct config *config, struct err *err);
void plan_virtio_print(struct json_object *list, FILE *to);

#endif
