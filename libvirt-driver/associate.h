/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that a client has opened and associated with a domain under a name, for its next
 * start (virDomainFDAssociate). They are held until the client's connection ends or it gives others
 * under the name; nothing is believed of them, for adit looks at what it is given.
 */
#ifndef ADIT_LIBVIRT_DRIVER_ASSOCIATE_H
#define ADIT_LIBVIRT_DRIVER_ASSOCIATE_H

#include <stdint.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/definition.h"

/* Copies of fds; what was there under the name goes. */
int associate(struct daemon *daemon, uint64_t session, const uint8_t uuid[XDR_UUID],
	      const char *name, const int *fds, size_t n, struct refusal *refusal);
/* The iommufd of a definition; it stays ours. -1: refused. */
int association_find(const struct daemon *daemon, const struct definition *definition,
		     struct refusal *refusal);
/* All of a session. */
void associations_end(struct daemon *daemon, uint64_t session);

#endif
