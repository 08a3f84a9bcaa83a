/* SPDX-License-Identifier: Apache-2.0 */
/* domstats: what many domains are and do, asked of their processes without waiting for any. */
#ifndef ADIT_LIBVIRT_DRIVER_STATS_H
#define ADIT_LIBVIRT_DRIVER_STATS_H

#include "libvirt-driver/call.h"
#include "libvirt-driver/domain.h"

struct stats;

/* groups: virDomainStatsTypes; 0: all. NULL: refused. */
struct stats *stats_begin(struct call *call, uint32_t groups);
int stats_add(struct stats *stats, const struct domain *domain);
/* CALL_LATER: the call is answered when all have, or have not in time. Takes it over. */
int stats_run(struct stats *stats);
/* Without an answer: those that are under way. */
void stats_free_all(struct daemon *daemon);
void stats_free(struct stats *stats);

#endif
