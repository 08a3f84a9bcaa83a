/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures that look at domains. */
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/procedures.h"
#include "libvirt-driver/run.h"
#include "libvirt-driver/session.h"
#include "libvirt-driver/stats.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

#define STATS_DOMAINS 256u /* named in one call */

struct domain *call_domain(struct call *call, struct domain_name *name)
{
	name->name = xdr_string(&call->in, NAME_BYTES);
	xdr_bytes(&call->in, name->uuid, XDR_UUID);
	xdr_i32(&call->in); /* the id that it had when the client looked */
	return domain_by_uuid(call->daemon, name->uuid);
}

int refuse_unknown(struct call *call, const struct domain_name *name)
{
	char uuid[UUID_TEXT];

	uuid_format(uuid, name->uuid);
	return refuse(&call->refusal, FAULT_NO_DOMAIN, "no domain '%.64s' with UUID %s", name->name,
		      uuid);
}

/* The domain of a call that takes it, and flags where `flags` is not NULL. */
struct domain *call_only_domain(struct call *call, uint32_t *flags)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);

	if (flags)
		*flags = xdr_u32(&call->in);
	if (!call_arguments(call))
		return NULL;
	if (!domain)
		refuse_unknown(call, &name);
	return domain;
}

int refuse_flags(struct call *call, uint32_t flags, uint32_t known)
{
	if (!(flags & ~known))
		return 0;
	return refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
		      "flags %#x of procedure %d are not supported", flags & ~known,
		      call->ticket.header.procedure);
}

/* --- finding --------------------------------------------------------------------------------- */

static int put_domain(struct call *call, const struct domain *domain)
{
	domain_put(call->out, domain);
	return CALL_DONE;
}

static int lookup_by_name(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct domain *domain;

	if (!call_arguments(call))
		return CALL_REFUSED;
	domain = domain_by_name(call->daemon, name);
	if (domain)
		return put_domain(call, domain);
	return refuse(&call->refusal, FAULT_NO_DOMAIN, "no domain with name '%.64s'", name);
}

static int lookup_by_uuid(struct call *call)
{
	struct domain_name name = { .name = "" };
	struct domain *domain;

	xdr_bytes(&call->in, name.uuid, XDR_UUID);
	if (!call_arguments(call))
		return CALL_REFUSED;
	domain = domain_by_uuid(call->daemon, name.uuid);
	return domain ? put_domain(call, domain) : refuse_unknown(call, &name);
}

static int lookup_by_id(struct call *call)
{
	int32_t id = xdr_i32(&call->in);
	struct domain *domain;

	if (!call_arguments(call))
		return CALL_REFUSED;
	domain = domain_by_id(call->daemon, id);
	if (domain)
		return put_domain(call, domain);
	return refuse(&call->refusal, FAULT_NO_DOMAIN, "no domain with id %d", id);
}

bool is_listed(const struct domain *domain, uint32_t flags)
{
	const struct {
		uint32_t yes, no;
		bool is;
	} groups[] = {
		{ BIT_U64(0), BIT_U64(1), domain->live != NULL },
		{ BIT_U64(2), BIT_U64(3), domain->kept != NULL },
		{ BIT_U64(8), BIT_U64(9),
		  flags & (BIT_U64(8) | BIT_U64(9)) &&
			  store_has_saved(domain->daemon, domain_uuid(domain)) },
		{ BIT_U64(10), BIT_U64(11), domain->autostart },
		{ BIT_U64(12), BIT_U64(13), false }, /* snapshots */
		{ BIT_U64(14), BIT_U64(15), false }, /* checkpoints */
	};
	const uint32_t states = BIT_U64(4) | BIT_U64(5) | BIT_U64(6) | BIT_U64(7);
	uint32_t state = domain->state == DOMAIN_RUNNING   ? BIT_U64(4)
			 : domain->state == DOMAIN_PAUSED  ? BIT_U64(5)
			 : domain->state == DOMAIN_SHUTOFF ? BIT_U64(6)
							   : BIT_U64(7);

	if (flags & states && !(flags & state))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		uint32_t both = groups[i].yes | groups[i].no;

		if (flags & both && !(flags & (groups[i].is ? groups[i].yes : groups[i].no)))
			return false;
	}
	return true;
}

static int list_all(struct call *call)
{
	int32_t need = xdr_i32(&call->in);
	uint32_t flags = xdr_u32(&call->in), n = 0;
	size_t at = call->out->len;

	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_u32(call->out, 0);
	for (struct domain *domain = call->daemon->domains; domain; domain = domain->next) {
		if (!is_listed(domain, flags))
			continue;
		if (need)
			domain_put(call->out, domain);
		n++;
	}
	xdr_patch_u32(call->out, at, need ? n : 0);
	xdr_put_u32(call->out, n);
	return CALL_DONE;
}

static uint32_t count(const struct daemon *daemon, bool live)
{
	uint32_t n = 0;

	for (struct domain *domain = daemon->domains; domain; domain = domain->next)
		n += live == (domain->live != NULL);
	return n;
}

static int num_of_domains(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_u32(call->out, count(call->daemon, true));
	return CALL_DONE;
}

static int num_of_defined(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_u32(call->out, count(call->daemon, false));
	return CALL_DONE;
}

/* The ids of what runs, or the names of what does not: the old forms of list_all. */
static int list_old(struct call *call, bool live)
{
	int32_t max = xdr_i32(&call->in);
	size_t at = call->out->len;
	uint32_t n = 0;

	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_u32(call->out, 0);
	for (struct domain *domain = call->daemon->domains; domain; domain = domain->next) {
		if (live != (domain->live != NULL) || max < 0 || n >= (uint32_t)max)
			continue;
		if (live)
			xdr_put_i32(call->out, domain->id);
		else
			xdr_put_string(call->out, domain->kept->name);
		n++;
	}
	xdr_patch_u32(call->out, at, n);
	return CALL_DONE;
}

static int list_ids(struct call *call)
{
	return list_old(call, true);
}

static int list_defined(struct call *call)
{
	return list_old(call, false);
}

/* --- looking --------------------------------------------------------------------------------- */

static int get_xml(struct call *call)
{
	enum {
		SECURE = 1,
		INACTIVE = 2,
		UPDATE_CPU = 4,
		MIGRATABLE = 8
	};
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);
	char *text;

	if (!domain || refuse_flags(call, flags, SECURE | INACTIVE | UPDATE_CPU))
		return CALL_REFUSED;
	if (flags & SECURE && call->readonly)
		return refuse(&call->refusal, FAULT_OPERATION_DENIED,
			      "secure XML is not for read-only connections");
	if (!domain->live || (flags & INACTIVE && domain->kept)) {
		xdr_put_string(call->out, domain->kept->xml);
		return CALL_DONE;
	}
	if (flags & INACTIVE) {
		xdr_put_string(call->out, domain->live->xml);
		return CALL_DONE;
	}
	text = definition_xml_with_id(domain->live, domain->id);
	if (!text)
		return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for a domain's XML");
	xdr_put_string(call->out, text);
	free(text);
	return CALL_DONE;
}

static int get_info(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);
	const struct definition *definition;
	struct run_times times;

	if (!domain)
		return CALL_REFUSED;
	definition = domain_definition(domain);
	run_times(domain, &times);
	xdr_put_u32(call->out, (uint32_t)domain->state);
	xdr_put_u64(call->out, definition->memory_kib);
	xdr_put_u64(call->out, definition->current_kib);
	xdr_put_u32(call->out, definition->vcpus);
	xdr_put_u64(call->out, times.user_ns + times.system_ns);
	return CALL_DONE;
}

static int get_state(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	xdr_put_i32(call->out, domain->state);
	xdr_put_i32(call->out, domain->reason);
	return CALL_DONE;
}

static int get_os_type(struct call *call)
{
	if (!call_only_domain(call, NULL))
		return CALL_REFUSED;
	xdr_put_string(call->out, "hvm");
	return CALL_DONE;
}

static int get_max_memory(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	if (!domain)
		return CALL_REFUSED;
	xdr_put_u64(call->out, domain_definition(domain)->memory_kib);
	return CALL_DONE;
}

static int get_max_vcpus(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	if (!domain)
		return CALL_REFUSED;
	xdr_put_i32(call->out, (int32_t)domain_definition(domain)->vcpus);
	return CALL_DONE;
}

/* The number is fixed: of what runs, of what is defined, at most and now. */
static int get_vcpus_flags(struct call *call)
{
	enum {
		LIVE = 1,
		CONFIG = 2,
		MAXIMUM = 4
	};
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, LIVE | CONFIG | MAXIMUM))
		return CALL_REFUSED;
	if ((flags & LIVE && !domain->live) || (flags & CONFIG && !domain->kept))
		return refuse(&call->refusal, FAULT_OPERATION_INVALID, "domain '%s' is not %s",
			      domain_definition(domain)->name,
			      flags & LIVE ? "running" : "persistent");
	xdr_put_i32(call->out, (int32_t)(flags & CONFIG ? domain->kept->vcpus
							: domain_definition(domain)->vcpus));
	return CALL_DONE;
}

static int put_flag(struct call *call, struct domain *domain, bool is)
{
	if (!domain)
		return CALL_REFUSED;
	xdr_put_i32(call->out, is);
	return CALL_DONE;
}

static int is_active(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return put_flag(call, domain, domain && domain->live);
}

static int is_persistent(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return put_flag(call, domain, domain && domain->kept);
}

static int get_autostart(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return put_flag(call, domain, domain && domain->autostart);
}

static int get_autostart_once(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return put_flag(call, domain, domain && domain->autostart_once);
}

static int is_updated(struct call *call)
{
	return put_flag(call, call_only_domain(call, NULL), false);
}

/* Snapshots: there are none. */
static int has_none(struct call *call)
{
	uint32_t flags;

	return put_flag(call, call_only_domain(call, &flags), false);
}

/* The domains that are named, or all, as far as the flags take them. */
static int get_stats(struct call *call)
{
	enum {
		LIST = 0xff, /* those of list_all */
		NOWAIT = 0x20000000,
		BACKING = 0x40000000, /* no disk has any */
		ENFORCE = 0x80000000u
	};
	uint32_t n = xdr_u32(&call->in), groups, flags;
	struct domain_name names[STATS_DOMAINS];
	struct stats *stats;
	bool added = true;

	for (uint32_t i = 0; i < n && i < STATS_DOMAINS; i++)
		call_domain(call, &names[i]);
	groups = xdr_u32(&call->in);
	flags = xdr_u32(&call->in);
	if (n > STATS_DOMAINS)
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "at most %u domains may be named at once; name none for all",
			      STATS_DOMAINS);
	if (!call_arguments(call) || refuse_flags(call, flags, LIST | NOWAIT | BACKING | ENFORCE))
		return CALL_REFUSED;
	stats = stats_begin(call, groups);
	if (!stats)
		return CALL_REFUSED;
	for (uint32_t i = 0; i < n && added; i++) {
		struct domain *domain = domain_by_uuid(call->daemon, names[i].uuid);

		if (!domain) {
			stats_free(stats);
			return refuse_unknown(call, &names[i]);
		}
		added = !is_listed(domain, flags & LIST) || !stats_add(stats, domain);
	}
	for (struct domain *domain = n ? NULL : call->daemon->domains; domain && added;
	     domain = domain->next)
		added = !is_listed(domain, flags & LIST) || !stats_add(stats, domain);
	if (added)
		return stats_run(stats);
	stats_free(stats);
	return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for statistics");
}

static int get_metadata(struct call *call)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	int32_t type = xdr_i32(&call->in);
	const struct definition *definition;
	const char *text;
	uint32_t flags;

	xdr_opt_string(&call->in, NAME_BYTES);
	flags = xdr_u32(&call->in);
	if (!call_arguments(call))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	if (type != METADATA_TITLE && type != METADATA_DESCRIPTION)
		return refuse(&call->refusal, FAULT_NO_SUPPORT,
			      "metadata elements are read from the domain's XML");
	definition = flags & 2 && domain->kept ? domain->kept : domain_definition(domain);
	text = type == METADATA_TITLE ? definition->title : definition->description;
	if (!text)
		return refuse(&call->refusal, FAULT_NO_METADATA, "the domain has no %s",
			      type == METADATA_TITLE ? "title" : "description");
	xdr_put_string(call->out, text);
	return CALL_DONE;
}

const struct procedure domain_procedures[] = {
	{ 14, true, get_xml },
	{ 15, true, get_autostart },
	{ 16, true, get_info },
	{ 17, true, get_max_memory },
	{ 18, true, get_max_vcpus },
	{ 19, true, get_os_type },
	{ 21, true, list_defined },
	{ 22, true, lookup_by_id },
	{ 23, true, lookup_by_name },
	{ 24, true, lookup_by_uuid },
	{ 25, true, num_of_defined },
	{ 37, true, list_ids },
	{ 51, true, num_of_domains },
	{ 150, true, is_active },
	{ 151, true, is_persistent },
	{ 187, true, has_none }, /* number of snapshots */
	{ 200, true, get_vcpus_flags },
	{ 202, true, is_updated },
	{ 212, true, get_state },
	{ 265, true, get_metadata },
	{ 344, true, get_stats },
	{ 273, true, list_all },
	{ 449, true, get_autostart_once },
};
const size_t n_domain_procedures = ARRAY_SIZE(domain_procedures);
