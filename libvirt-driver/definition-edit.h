/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to a definition that are smaller than another XML: one device, or the text of one
 * element. Each makes a new definition, which went through the same checks as any XML; the old one
 * stays as it was. NULL: refused.
 */
#ifndef ADIT_LIBVIRT_DRIVER_DEFINITION_EDIT_H
#define ADIT_LIBVIRT_DRIVER_DEFINITION_EDIT_H

#include "libvirt-driver/definition.h"

enum device_change {
	DEVICE_ATTACH,
	DEVICE_DETACH,
	DEVICE_UPDATE,
};

/*
 * A device is known by what cannot be there twice: a disk by its target, an interface by its MAC
 * address, a device of the host by its address, a channel by its name, others by being one.
 */
struct definition *definition_change_device(const struct definition *from,
					    enum device_change change, const char *xml,
					    const struct definition_host *host,
					    struct refusal *refusal);
/* The device that has the alias, or the name that adit gives it (device_id). */
struct definition *definition_detach_alias(const struct definition *from, const char *alias,
					   const struct definition_host *host,
					   struct refusal *refusal);

/*
 * Nothing of a machine that runs changes in place: refused by the path of what would be another, 0
 * where the two are the same.
 */
int definition_refuse_difference(const struct definition *from, const struct definition *to,
				 struct refusal *refusal);

/* The element of that name under <domain>: with the text, or gone where text is NULL. */
struct definition *definition_set_text(const struct definition *from, const char *element,
				       const char *text, const struct definition_host *host,
				       struct refusal *refusal);

/*
 * <memory> and <currentMemory>, in KiB. A domain that cannot give any back has no other current
 * memory than all of it.
 */
struct definition *definition_set_memory(const struct definition *from, uint64_t kib,
					 uint64_t current_kib, const struct definition_host *host,
					 struct refusal *refusal);

#endif
