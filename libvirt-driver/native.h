/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain from the configuration that `adit run` would be given: what definition_parse makes of
 * XML, the other way round. The text is judged by what became of it: the XML's own configuration
 * must say all that the text says, else it is refused with the JSON pointer of the first
 * difference.
 */
#ifndef ADIT_LIBVIRT_DRIVER_NATIVE_H
#define ADIT_LIBVIRT_DRIVER_NATIVE_H

#include "libvirt-driver/definition.h"

#define NATIVE_MAX DEFINITION_MAX_XML /* bytes of a configuration */

/*
 * Where the text names sockets or terminals of a domain of this host, its UUID, which a
 * configuration has not. False: none, or of nobody's.
 */
bool native_uuid(const char *json, size_t len, const struct definition_host *host,
		 uint8_t uuid[XDR_UUID]);

/* uuid: NULL makes one. NULL: refused. Nothing is opened that the text names. */
struct definition *definition_from_native(const char *json, size_t len, const char *name,
					  const uint8_t *uuid, const struct definition_host *host,
					  struct refusal *refusal);

#endif
