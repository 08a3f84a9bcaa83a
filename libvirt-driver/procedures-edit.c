/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures that change a part of a definition: a device, a number, a title. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libvirt-driver/definition-edit.h"
#include "libvirt-driver/procedures.h"
#include "libvirt-driver/run.h"
#include "util/bits.h"

/* virDomainModificationImpact */
enum {
	AFFECT_LIVE = 1,
	AFFECT_CONFIG = 2,
};

static struct definition_host host_of(const struct call *call)
{
	return (struct definition_host){ call->daemon->run_dir, call->daemon->adit };
}

/* CURRENT is what runs, or else what is defined. Refused where what is asked for is not there. */
static int resolve(struct call *call, const struct domain *domain, uint32_t *flags)
{
	if (!(*flags & (AFFECT_LIVE | AFFECT_CONFIG)))
		*flags |= domain->live ? AFFECT_LIVE : AFFECT_CONFIG;
	if (*flags & AFFECT_LIVE && !domain->live)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID, "domain '%s' is not running",
			      domain_definition(domain)->name);
	if (*flags & AFFECT_CONFIG && !domain->kept)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' is transient: there is no definition to change",
			      domain_definition(domain)->name);
	return 0;
}

/* What a running domain is stays as it is; the definition alone changes. */
static int keep(struct call *call, struct definition *changed)
{
	if (!changed)
		return CALL_REFUSED;
	return domain_define(call->daemon, changed, &call->refusal) ? CALL_DONE : CALL_REFUSED;
}

/* --- devices --------------------------------------------------------------------------------- */

/* The domain as it runs, as it is defined, or both. Each was judged whole before adit is asked. */
static int change_both(struct call *call, struct domain *domain, uint32_t flags, bool attach,
		       struct definition *live, struct definition *kept)
{
	if ((flags & AFFECT_LIVE && !live) || (flags & AFFECT_CONFIG && !kept)) {
		definition_free(live);
		definition_free(kept);
		return CALL_REFUSED;
	}
	if (flags & AFFECT_LIVE)
		return run_change_device(domain, attach, live, kept, &call->ticket, &call->refusal);
	return keep(call, kept);
}

/* A running domain is not changed: what it has already is there in any case, the rest is refused.
 */
static int update(struct call *call, struct domain *domain, const char *xml, uint32_t flags)
{
	const struct definition_host host = host_of(call);
	struct definition *live;
	int ret;

	if (flags & AFFECT_LIVE) {
		live = definition_change_device(domain->live, DEVICE_UPDATE, xml, &host,
						&call->refusal);
		ret = live ? definition_refuse_difference(domain->live, live, &call->refusal)
			   : CALL_REFUSED;
		definition_free(live);
		if (ret)
			return ret;
	}
	if (!(flags & AFFECT_CONFIG))
		return CALL_DONE;
	return keep(call, definition_change_device(domain->kept, DEVICE_UPDATE, xml, &host,
						   &call->refusal));
}

static int change(struct call *call, enum device_change change, bool has_flags)
{
	enum {
		FORCE = 4 /* of an update: there is nothing that it would override */
	};
	const struct definition_host host = host_of(call);
	struct definition *live = NULL, *kept = NULL;
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	const char *xml = xdr_string(&call->in, DEFINITION_MAX_XML);
	/* The old forms are for what runs. */
	uint32_t flags = has_flags ? xdr_u32(&call->in) : AFFECT_LIVE;

	if (!call_arguments(call) ||
	    refuse_flags(call, flags,
			 AFFECT_LIVE | AFFECT_CONFIG | (change == DEVICE_UPDATE ? FORCE : 0)))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	if (resolve(call, domain, &flags))
		return CALL_REFUSED;
	if (change == DEVICE_UPDATE)
		return update(call, domain, xml, flags);
	if (flags & AFFECT_LIVE)
		live = definition_change_device(domain->live, change, xml, &host, &call->refusal);
	if (flags & AFFECT_CONFIG && (live || !(flags & AFFECT_LIVE)))
		kept = definition_change_device(domain->kept, change, xml, &host, &call->refusal);
	return change_both(call, domain, flags, change == DEVICE_ATTACH, live, kept);
}

static int attach(struct call *call)
{
	return change(call, DEVICE_ATTACH, false);
}

static int attach_flags(struct call *call)
{
	return change(call, DEVICE_ATTACH, true);
}

static int detach(struct call *call)
{
	return change(call, DEVICE_DETACH, false);
}

static int detach_flags(struct call *call)
{
	return change(call, DEVICE_DETACH, true);
}

static int update_flags(struct call *call)
{
	return change(call, DEVICE_UPDATE, true);
}

static int detach_alias(struct call *call)
{
	const struct definition_host host = host_of(call);
	struct definition *live = NULL, *kept = NULL;
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	const char *alias = xdr_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);

	if (!call_arguments(call) || refuse_flags(call, flags, AFFECT_LIVE | AFFECT_CONFIG))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	if (resolve(call, domain, &flags))
		return CALL_REFUSED;
	if (flags & AFFECT_LIVE)
		live = definition_detach_alias(domain->live, alias, &host, &call->refusal);
	if (flags & AFFECT_CONFIG && (live || !(flags & AFFECT_LIVE)))
		kept = definition_detach_alias(domain->kept, alias, &host, &call->refusal);
	return change_both(call, domain, flags, false, live, kept);
}

/* --- numbers --------------------------------------------------------------------------------- */

enum {
	OF_MAXIMUM = 4 /* VIR_DOMAIN_VCPU_MAXIMUM and VIR_DOMAIN_MEM_MAXIMUM */
};

/* A CPU that comes to a running guest is none that adit has; the two numbers are one here. */
static int set_vcpus(struct call *call, struct domain *domain, uint32_t n, uint32_t flags)
{
	const struct definition_host host = host_of(call);
	char text[24];

	if (resolve(call, domain, &flags))
		return CALL_REFUSED;
	if (flags & AFFECT_LIVE && flags & OF_MAXIMUM)
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "the most vCPUs of a running domain cannot be changed; --config "
			      "changes what the next start finds");
	if (flags & AFFECT_LIVE && n != domain->live->vcpus)
		return refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
			      "the %u vCPUs of a running domain stay as they are, for adit plugs "
			      "none; --config changes what the next start finds",
			      domain->live->vcpus);
	if (!(flags & AFFECT_CONFIG))
		return CALL_DONE;
	snprintf(text, sizeof(text), "%" PRIu32, n);
	return keep(call, definition_set_text(domain->kept, "vcpu", text, &host, &call->refusal));
}

static int call_set_vcpus(struct call *call, bool has_flags)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	uint32_t n = xdr_u32(&call->in);
	/* The old forms are for what runs. */
	uint32_t flags = has_flags ? xdr_u32(&call->in) : AFFECT_LIVE;

	if (!call_arguments(call) ||
	    refuse_flags(call, flags, AFFECT_LIVE | AFFECT_CONFIG | OF_MAXIMUM))
		return CALL_REFUSED;
	return domain ? set_vcpus(call, domain, n, flags) : refuse_unknown(call, &name);
}

static int set_vcpus_old(struct call *call)
{
	return call_set_vcpus(call, false);
}

static int set_vcpus_flags(struct call *call)
{
	return call_set_vcpus(call, true);
}

/* Of the definition alone; what it may have now is not more, and all of it without a balloon. */
static int set_max_memory(struct call *call, struct domain *domain, uint64_t kib, uint32_t flags)
{
	const struct definition_host host = host_of(call);
	const struct definition *kept = domain->kept;
	uint64_t current;

	if (flags & AFFECT_LIVE)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "the maximum memory of a running domain cannot be changed; --config "
			      "changes what the next start finds");
	current = kept->balloon ? MIN(kept->current_kib, kib) : kib;
	return keep(call, definition_set_memory(kept, kib, current, &host, &call->refusal));
}

/* NULL: refused. */
static struct definition *less_memory(struct call *call, const struct definition *from,
				      uint64_t kib)
{
	const struct definition_host host = host_of(call);

	if (kib <= from->memory_kib)
		return definition_set_memory(from, from->memory_kib, kib, &host, &call->refusal);
	refuse(&call->refusal, FAULT_INVALID_ARG,
	       "%" PRIu64 " KiB are more than the domain's maximum memory, which is %" PRIu64
	       " KiB",
	       kib, from->memory_kib);
	return NULL;
}

static int set_current_memory(struct call *call, struct domain *domain, uint64_t kib,
			      uint32_t flags)
{
	struct definition *live = NULL, *kept;

	if (flags & AFFECT_LIVE && !domain->live->balloon)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "the memory of a running domain changes by its balloon, which this "
			      "one has not: it needs <memballoon model='virtio'/>");
	if (flags & AFFECT_LIVE) {
		live = less_memory(call, domain->live, kib);
		if (!live)
			return CALL_REFUSED;
	}
	kept = flags & AFFECT_CONFIG ? less_memory(call, domain->kept, kib) : NULL;
	if (flags & AFFECT_CONFIG && !kept) {
		definition_free(live);
		return CALL_REFUSED;
	}
	return live ? run_change_memory(domain, live, kept, &call->ticket, &call->refusal)
		    : keep(call, kept);
}

static int set_memory(struct call *call, bool has_flags, uint32_t flags)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	uint64_t kib = xdr_u64(&call->in);

	if (has_flags)
		flags = xdr_u32(&call->in);
	if (!call_arguments(call) ||
	    refuse_flags(call, flags, AFFECT_LIVE | AFFECT_CONFIG | OF_MAXIMUM))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	if (resolve(call, domain, &flags))
		return CALL_REFUSED;
	return flags & OF_MAXIMUM ? set_max_memory(call, domain, kib, flags)
				  : set_current_memory(call, domain, kib, flags);
}

static int set_memory_flags(struct call *call)
{
	return set_memory(call, true, 0);
}

static int set_memory_old(struct call *call)
{
	return set_memory(call, false, AFFECT_LIVE);
}

static int set_max_memory_old(struct call *call)
{
	return set_memory(call, false, OF_MAXIMUM);
}

/* --- words ----------------------------------------------------------------------------------- */

static int set_metadata(struct call *call)
{
	const struct definition_host host = host_of(call);
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	int32_t type = xdr_i32(&call->in);
	const char *text = xdr_opt_string(&call->in, DEFINITION_MAX_XML), *element;
	uint32_t flags;

	xdr_opt_string(&call->in, NAME_BYTES); /* key and URI, of an element */
	xdr_opt_string(&call->in, NAME_BYTES);
	flags = xdr_u32(&call->in);
	if (!call_arguments(call) || refuse_flags(call, flags, AFFECT_LIVE | AFFECT_CONFIG))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	if (type != METADATA_TITLE && type != METADATA_DESCRIPTION)
		return refuse(&call->refusal, FAULT_NO_SUPPORT,
			      "metadata elements are written by defining the domain's XML");
	if (resolve(call, domain, &flags))
		return CALL_REFUSED;
	element = type == METADATA_TITLE ? "title" : "description";
	text = text && *text ? text : NULL;
	if (flags & AFFECT_LIVE) {
		struct definition *live =
			definition_set_text(domain->live, element, text, &host, &call->refusal);

		if (!live || run_change_words(domain, live, &call->refusal))
			return CALL_REFUSED;
	}
	if (!(flags & AFFECT_CONFIG))
		return CALL_DONE;
	return keep(call, definition_set_text(domain->kept, element, text, &host, &call->refusal));
}

const struct procedure edit_procedures[] = {
	{ 8, false, attach },
	{ 13, false, detach },
	{ 30, false, set_max_memory_old },
	{ 31, false, set_memory_old },
	{ 32, false, set_vcpus_old },
	{ 160, false, attach_flags },
	{ 161, false, detach_flags },
	{ 174, false, update_flags },
	{ 199, false, set_vcpus_flags },
	{ 204, false, set_memory_flags },
	{ 264, false, set_metadata },
	{ 392, false, detach_alias },
};
const size_t n_edit_procedures = ARRAY_SIZE(edit_procedures);
