/* SPDX-License-Identifier: Apache-2.0 */
/* The domains that virtaditd knows: defined, running or both; found by name, UUID or id. */
#ifndef ADIT_LIBVIRT_DRIVER_DOMAIN_H
#define ADIT_LIBVIRT_DRIVER_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/definition.h"
#include "libvirt-driver/xdr.h"

/* virDomainState, and the reasons that adit has. */
enum domain_state {
	DOMAIN_RUNNING = 1,
	DOMAIN_PAUSED = 3,
	DOMAIN_SHUTOFF = 5,
};
enum {
	RUNNING_UNKNOWN = 0,
	RUNNING_BOOTED = 1,
	RUNNING_RESTORED = 3,
	RUNNING_UNPAUSED = 5,
	RUNNING_SAVE_CANCELED = 7,
	PAUSED_USER = 1,
	PAUSED_SAVE = 3,
	SHUTOFF_UNKNOWN = 0,
	SHUTOFF_SHUTDOWN = 1,
	SHUTOFF_DESTROYED = 2,
	SHUTOFF_CRASHED = 3,
	SHUTOFF_SAVED = 5,
	SHUTOFF_FAILED = 6,
};

struct run;

/* kept: what is defined; live: what runs. One of them is always there. */
struct domain {
	struct daemon *daemon;
	struct domain *prev, *next;
	struct domain *beside; /* in its bucket */
	uint8_t uuid[XDR_UUID];
	struct definition *kept;	/* NULL: transient, gone with its end */
	struct definition *live;	/* NULL: not running */
	struct run *run;		/* there where live is */
	uint32_t uid;			/* of its process, where there is one */
	uint64_t owner;			/* the session that it ends with; 0: none */
	bool autostart, autostart_once; /* with the host, always and the next time */
	int32_t id;			/* -1: not running */
	int32_t state, reason;
};

/* What the domain is at the moment: live, else kept. */
const struct definition *domain_definition(const struct domain *domain);
const uint8_t *domain_uuid(const struct domain *domain);
/* nonnull_domain of the wire. */
void domain_put(struct xdr_out *out, const struct domain *domain);

struct domain *domain_by_uuid(const struct daemon *daemon, const uint8_t uuid[XDR_UUID]);
struct domain *domain_by_name(const struct daemon *daemon, const char *name);
struct domain *domain_by_id(const struct daemon *daemon, int32_t id);

/*
 * The domain that a definition is of: the one with its UUID, or a new one. Refused where the name
 * belongs to another UUID, or the other way round. The definition stays the caller's.
 */
struct domain *domain_for(struct daemon *daemon, const struct definition *definition,
			  struct refusal *refusal);
/* Frees it where nothing is left of it: neither defined nor running. */
void domain_let_go(struct domain *domain);
void domains_free(struct daemon *daemon);

/* Kept on stable storage before they return; takes the definition over in any case. */
struct domain *domain_define(struct daemon *daemon, struct definition *definition,
			     struct refusal *refusal);
int domain_undefine(struct domain *domain, struct refusal *refusal);
int domain_set_autostart(struct domain *domain, bool once, bool on, struct refusal *refusal);

#endif
