/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to run*.c: functions that the daemon takes from their host drivers for a domain that runs
 * already (those it starts with are adit-keeper's). What they were before is written to RUN/UUID/
 * taken.json beforehand, so that whichever daemon sees them go, or the domain end, gives them back.
 */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_TAKEN_H
#define ADIT_LIBVIRT_DRIVER_RUN_TAKEN_H

#include "libvirt-driver/domain.h"
#include "libvirt-driver/node-change.h"

struct json_object;

/* The functions and mdevs of a configuration, by their names; at most max. */
size_t taken_names(struct json_object *config, const char **names, size_t max);

/*
 * 0: it is on vfio-pci already, and stays so; CALL_LATER: `then` is called when it has been taken,
 * or could not be. config: what the domain will have, with it.
 */
int taken_take(const struct domain *domain, const char *bdf, struct json_object *config,
	       const struct node_then *then, struct refusal *refusal);
/* It could not be taken: there is nothing to give back. */
void taken_forget(struct daemon *daemon, const uint8_t uuid[XDR_UUID], const char *bdf);
/* Back to its driver, if it was taken here; nobody waits for it. */
void taken_return(const struct domain *domain, const char *bdf);
/* All of them; false: there is none, and `then` is not called. NULL: nobody waits. */
bool taken_return_all(const struct domain *domain, const struct node_then *then);

#endif
