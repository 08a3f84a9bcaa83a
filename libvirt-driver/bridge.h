/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces of a domain that are on a bridge of the host: their taps are made before the domain
 * needs them and are gone with it. A tap is named after the interface's MAC address, so that it is
 * found again by whoever comes later.
 */
#ifndef ADIT_LIBVIRT_DRIVER_BRIDGE_H
#define ADIT_LIBVIRT_DRIVER_BRIDGE_H

#include "libvirt-driver/definition.h"

#define TAP_NAME 16u /* IFNAMSIZ */

/* mac: as 52:54:00:12:34:56. */
void bridge_tap_name(const char *mac, char tap[TAP_NAME]);

/* A tap that is there, as adit opens it. The descriptor or -errno. */
int bridge_open_tap(const char *tap);

/* Those that `now` has and `before` (NULL: none) has not; all or none of them. */
int bridges_connect(const struct definition *now, const struct definition *before,
		    struct refusal *refusal);
/* Removes the taps of those that `before` has and `now` (NULL: none) has not. */
void bridges_disconnect(const struct definition *before, const struct definition *now);

#endif
