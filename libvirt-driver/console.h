/* SPDX-License-Identifier: Apache-2.0 */
/* A domain's serial port or console, at the other end of a client's stream. */
#ifndef ADIT_LIBVIRT_DRIVER_CONSOLE_H
#define ADIT_LIBVIRT_DRIVER_CONSOLE_H

#include "libvirt-driver/call.h"
#include "libvirt-driver/domain.h"

/*
 * Opens a stream of the call. device: "serial" or "console", with or without a number; NULL: the
 * serial port where it leads somewhere, else the console. A console has one user: another is
 * refused, or takes it over where `force`.
 */
int console_open(struct call *call, const struct domain *domain, const char *device, bool force);

#endif
