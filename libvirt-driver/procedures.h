/* SPDX-License-Identifier: Apache-2.0 */
/* Private to procedures-*.c: what calls about a domain begin with. */
#ifndef ADIT_LIBVIRT_DRIVER_PROCEDURES_H
#define ADIT_LIBVIRT_DRIVER_PROCEDURES_H

#include "libvirt-driver/call.h"
#include "libvirt-driver/domain.h"

#define NAME_BYTES 4096u

/* virDomainMetadataType */
enum {
	METADATA_DESCRIPTION = 0,
	METADATA_TITLE = 1,
};

/* nonnull_domain, as a client has named it; the UUID alone decides. */
struct domain_name {
	const char *name;
	uint8_t uuid[XDR_UUID];
};

/* Reads it; NULL where there is none (the arguments must still be checked). */
struct domain *call_domain(struct call *call, struct domain_name *name);
/* The same for a call that has nothing else, or flags, behind it; NULL: refused. */
struct domain *call_only_domain(struct call *call, uint32_t *flags);
/* Refused where it runs, or is to go on from what the daemon keeps: it would be used up, or stale.
 */
int call_refuse_other_start(struct call *call, const struct domain *domain);
int refuse_unknown(struct call *call, const struct domain_name *name);
/* virConnectListAllDomainsFlags: of each group with a bit set, one must fit. */
bool is_listed(const struct domain *domain, uint32_t flags);
/* A flag that is not known would be a wish that is quietly dropped. */
int refuse_flags(struct call *call, uint32_t flags, uint32_t known);

#endif
