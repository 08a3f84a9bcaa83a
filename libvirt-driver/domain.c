/* SPDX-License-Identifier: Apache-2.0 */
/* The list of domains and what defining does to it. What runs is in run.c. */
#include "libvirt-driver/domain.h"

#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/run.h"
#include "libvirt-driver/session.h"
#include "libvirt-driver/store.h"

#define DEFINED_ADDED	0
#define DEFINED_UPDATED 1

const struct definition *domain_definition(const struct domain *domain)
{
	return domain->live ? domain->live : domain->kept;
}

const uint8_t *domain_uuid(const struct domain *domain)
{
	return domain_definition(domain)->uuid;
}

void domain_put(struct xdr_out *out, const struct domain *domain)
{
	const struct definition *definition = domain_definition(domain);

	xdr_put_string(out, definition->name);
	xdr_put_bytes(out, definition->uuid, XDR_UUID);
	xdr_put_i32(out, domain->id);
}

/* Most UUIDs are random; who makes up others finds them a little later. */
static struct domain **bucket_of(const struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	unsigned int hash = 0;

	for (unsigned int i = 0; i < XDR_UUID; i++)
		hash = hash * 31 + uuid[i];
	return (struct domain **)&daemon->by_uuid[hash % DAEMON_BUCKETS];
}

/* A domain that is just being made has neither definition yet. */
static const struct definition *any(const struct domain *domain)
{
	return domain_definition(domain);
}

struct domain *domain_by_uuid(const struct daemon *daemon, const uint8_t uuid[XDR_UUID])
{
	struct domain *domain = *bucket_of(daemon, uuid);

	while (domain && (!any(domain) || memcmp(domain->uuid, uuid, XDR_UUID) != 0))
		domain = domain->beside;
	return domain;
}

struct domain *domain_by_name(const struct daemon *daemon, const char *name)
{
	struct domain *domain = daemon->domains;

	while (domain && (!any(domain) || strcmp(any(domain)->name, name) != 0))
		domain = domain->next;
	return domain;
}

struct domain *domain_by_id(const struct daemon *daemon, int32_t id)
{
	struct domain *domain = daemon->domains;

	while (domain && (id < 0 || domain->id != id))
		domain = domain->next;
	return domain;
}

static struct domain *add(struct daemon *daemon, const uint8_t uuid[XDR_UUID],
			  struct refusal *refusal)
{
	struct domain **bucket = bucket_of(daemon, uuid);
	struct domain *domain;

	if (daemon->n_domains >= DAEMON_MAX_DOMAINS) {
		refuse(refusal, FAULT_OPERATION_FAILED,
		       "there are %u domains already; undefine one", DAEMON_MAX_DOMAINS);
		return NULL;
	}
	domain = calloc(1, sizeof(*domain));
	if (!domain) {
		refuse(refusal, FAULT_NO_MEMORY, "no memory for a domain");
		return NULL;
	}
	domain->daemon = daemon;
	domain->id = -1;
	domain->state = DOMAIN_SHUTOFF;
	memcpy(domain->uuid, uuid, XDR_UUID);
	domain->beside = *bucket;
	*bucket = domain;
	domain->prev = daemon->last_domain;
	if (domain->prev)
		domain->prev->next = domain;
	else
		daemon->domains = domain;
	daemon->last_domain = domain;
	daemon->n_domains++;
	return domain;
}

static void take_out(struct domain *domain)
{
	struct domain **at = bucket_of(domain->daemon, domain->uuid);

	while (*at != domain)
		at = &(*at)->beside;
	*at = domain->beside;
	if (domain->prev)
		domain->prev->next = domain->next;
	else
		domain->daemon->domains = domain->next;
	if (domain->next)
		domain->next->prev = domain->prev;
	else
		domain->daemon->last_domain = domain->prev;
	domain->daemon->n_domains--;
	run_free(domain->run);
	definition_free(domain->kept);
	definition_free(domain->live);
	free(domain);
}

void domain_let_go(struct domain *domain)
{
	if (!domain->kept && !domain->live)
		take_out(domain);
}

void domains_free(struct daemon *daemon)
{
	struct domain *domain = daemon->domains, *next;

	for (; domain; domain = next) {
		next = domain->next;
		take_out(domain);
	}
}

struct domain *domain_for(struct daemon *daemon, const struct definition *definition,
			  struct refusal *refusal)
{
	struct domain *named = domain_by_name(daemon, definition->name);
	struct domain *domain = domain_by_uuid(daemon, definition->uuid);
	char uuid[UUID_TEXT];

	if (named == domain)
		return domain ? domain : add(daemon, definition->uuid, refusal);
	uuid_format(uuid, domain_uuid(named ? named : domain));
	refuse(refusal, FAULT_DOM_EXIST, "domain '%s' is there already with UUID %s",
	       domain_definition(named ? named : domain)->name, uuid);
	return NULL;
}

struct domain *domain_define(struct daemon *daemon, struct definition *definition,
			     struct refusal *refusal)
{
	struct domain *domain = domain_for(daemon, definition, refusal);
	int ret = domain ? store_save(daemon, definition, refusal) : CALL_REFUSED;
	bool updated;

	if (ret) {
		definition_free(definition);
		if (domain)
			domain_let_go(domain);
		return NULL;
	}
	updated = domain->kept != NULL;
	definition_free(domain->kept);
	domain->kept = definition;
	sessions_tell_lifecycle(daemon, domain, LIFECYCLE_DEFINED,
				updated ? DEFINED_UPDATED : DEFINED_ADDED);
	return domain;
}

int domain_undefine(struct domain *domain, struct refusal *refusal)
{
	if (!domain->kept)
		return refuse(refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' is transient: nothing of it is defined",
			      domain_definition(domain)->name);
	if (store_remove(domain->daemon, domain->kept->uuid, refusal))
		return CALL_REFUSED;
	domain->autostart = false;
	domain->autostart_once = false;
	sessions_tell_lifecycle(domain->daemon, domain, LIFECYCLE_UNDEFINED, 0);
	definition_free(domain->kept);
	domain->kept = NULL;
	domain_let_go(domain);
	return 0;
}

int domain_set_autostart(struct domain *domain, bool once, bool on, struct refusal *refusal)
{
	if (!domain->kept)
		return refuse(refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' is transient: it cannot be started by itself",
			      domain_definition(domain)->name);
	if (store_autostart(domain->daemon, domain->kept->uuid, once, on, refusal))
		return CALL_REFUSED;
	*(once ? &domain->autostart_once : &domain->autostart) = on;
	return 0;
}
