/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run*.c: as whom a domain's process runs. */
#ifndef ADIT_LIBVIRT_DRIVER_RUN_USER_H
#define ADIT_LIBVIRT_DRIVER_RUN_USER_H

#include "libvirt-driver/call.h"
#include "libvirt-driver/domain.h"

/*
 * A uid that no other domain's process has, of those that the daemon gives; the daemon's own where
 * it gives none. Refused: all are in use.
 */
int user_choose(struct domain *domain, struct refusal *refusal);
/* Whether the daemon gives domains' processes uids. */
static inline bool user_is_own(const struct daemon *daemon)
{
	return daemon->uid_first;
}

#endif
