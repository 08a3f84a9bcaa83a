/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole DSA function that this process owns, and its work queues lent to tenants: virtual
 * functions with the back end "vfio", each of another VM. A queue is lent for as long as a PASID is
 * bound. It is a dedicated one, whose PASID is in its configuration, where no descriptor can name
 * another. (Shared queues would be of no use: ENQCMD takes the PASID of the process that submits.)
 *
 * What a tenant's guest does stays with it: its resets and aborts are aborts of its own queues, and
 * so is its end. What all tenants feel is a reset of the function: because it halted, or because a
 * queue could not be stopped. Then the function is set up anew, with every queue that is lent, and
 * each tenant is told (dsa_tenant_options.lost), by a thread of its own, so that one which does
 * not come back keeps nobody.
 *
 * Untested on hardware: there was none. Tests have a function of software (dsa-local.h) here.
 */
#ifndef ADIT_PASSTHROUGH_ADI_DSA_OWNER_H
#define ADIT_PASSTHROUGH_ADI_DSA_OWNER_H

#include "passthrough/adi/dsa.h"

struct dsa_owner;
struct dsa_tenant;
struct sandbox;

#define DSA_OWNER_QUEUES 64u

/* How the function is reached. Calls come from several threads, and may be of several at once. */
struct dsa_access {
	/* BAR0: 4 or 8 bytes, aligned. */
	uint64_t (*read)(void *arg, uint64_t offset, unsigned int size);
	void (*write)(void *arg, uint64_t offset, uint64_t value, unsigned int size);
	/* 64 bytes in one piece, to BAR2. */
	void (*store64)(void *arg, uint64_t offset, const void *bytes);
	/* A function-level reset, after which it may be the bus's master: 0 or -errno. */
	int (*reset)(void *arg);
	/* A PASID's DMA goes to a space of the function's context; goes nowhere. */
	int (*attach)(void *arg, uint32_t pasid, struct ioasid_space *space, struct err *err);
	void (*detach)(void *arg, uint32_t pasid);
	int interrupt;	      /* an eventfd: its first vector */
	uint64_t record_iova; /* from here on one page a queue, which no tenant maps */
	void *arg;
};

struct dsa_owner_options {
	const char *name;	 /* copied */
	unsigned int command_ms; /* how long a command of the function may take; 0: five seconds */
	const struct log *log;
	const struct sandbox *sandbox; /* for its thread and those of tenants; NULL: none */
};

/*
 * Resets the function and sets it up: all its queues dedicated, of one size, in one group with all
 * its engines. -ENOTSUP: it cannot be configured, or has no dedicated queues. What access points to
 * stays the caller's and valid.
 */
int dsa_owner_create(struct dsa_owner **out, const struct dsa_access *access,
		     const struct dsa_owner_options *options, struct err *err);
/* No tenant is left. The function is reset. */
void dsa_owner_destroy(struct dsa_owner *owner);
unsigned int dsa_owner_queues(const struct dsa_owner *owner);

struct dsa_tenant_options {
	const char *name; /* copied */
	/* The function's space that maps what that space of the tenant's maps; NULL: none does. */
	struct ioasid_space *(*twin)(void *arg, const struct ioasid_space *space);
	/* The function was reset under everybody. On the tenant's own thread; may wait. */
	void (*lost)(void *arg);
	void *arg;
};

int dsa_tenant_create(struct dsa_tenant **out, struct dsa_owner *owner,
		      const struct dsa_tenant_options *options, struct err *err);
/* For dsa_host.port; as long as the tenant lives. */
const struct dsa_port *dsa_tenant_port(const struct dsa_tenant *tenant);
/* It is told nothing any more: before what `lost` is about goes away. */
void dsa_tenant_hush(struct dsa_tenant *tenant);
/* All its PASIDs are unbound. */
void dsa_tenant_destroy(struct dsa_tenant *tenant);

#endif
