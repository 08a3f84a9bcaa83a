/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run*.c: one device of a running domain that comes or goes. */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_DEVICE_H
#define ADIT_LIBVIRT_DRIVER_RUN_DEVICE_H

#include "keeper/name.h"
#include "libvirt-driver/definition.h"
#include "libvirt-driver/run-given.h"
#include "libvirt-driver/run.h"

/* How adit is asked for it. */
struct device_request {
	const char *verb;
	char id[DEVICE_ID];
	char *body; /* JSON; the caller frees */
};

/* From what is in one of the two definitions and not in the other. */
int device_request(const struct definition *before, const struct definition *after, bool attach,
		   struct device_request *request, struct refusal *refusal);

/* The function that must be taken from its host driver before; false: there is none. */
bool device_request_takes(const struct device_request *request, char bdf[HOST_NAME_CHARS + 1]);

/*
 * Makes the body what a running adit takes: it takes nothing from host drivers. For a process that
 * may not open what the device is of, that is opened, and goes with the request.
 */
int device_request_open(const struct domain *domain, const struct definition *after,
			struct device_request *request, struct given *given,
			struct refusal *refusal);

/* The id of a device that the definition has and a machine's configuration has not. */
bool device_is_gone(const struct definition *live, struct json_object *config, char id[DEVICE_ID]);

#endif
