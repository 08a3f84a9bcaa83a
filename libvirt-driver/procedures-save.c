/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures that save a domain to a file, and start it from one. */
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/procedures.h"
#include "libvirt-driver/run.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

/* virDomainSaveRestoreFlags */
enum {
	SAVE_BYPASS_CACHE = 1,
	SAVE_RUNNING = 2,
	SAVE_PAUSED = 4,
	SAVE_RESET_NVRAM = 8, /* there is none */
};

#define PARAMS_MAX 16u
#define PARAM_TEXT 7 /* virTypedParameterType */

struct place {
	const char *file, *xml; /* xml: NULL: as it is */
	uint32_t flags;
};

static struct definition_host host_of(const struct call *call)
{
	return (struct definition_host){ call->daemon->run_dir, call->daemon->adit };
}

static int check_flags(struct call *call, uint32_t flags, uint32_t known)
{
	if (flags & SAVE_BYPASS_CACHE)
		return refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
			      "a saved domain's memory is mapped from the host's page cache: it "
			      "cannot be bypassed");
	if ((flags & (SAVE_RUNNING | SAVE_PAUSED)) == (SAVE_RUNNING | SAVE_PAUSED))
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "a domain goes on running or paused, not both");
	return refuse_flags(call, flags, known | SAVE_RUNNING | SAVE_PAUSED);
}

/*
 * What virDomainSaveParams and its like take: a string for each of what older calls have, and
 * nothing that is not known.
 */
static int read_params(struct call *call, struct place *place)
{
	uint32_t n = xdr_u32(&call->in);
	const char *strange = NULL;

	*place = (struct place){ 0 };
	for (uint32_t i = 0; i < n && i < PARAMS_MAX && !strange; i++) {
		const char *name = xdr_string(&call->in, NAME_BYTES);
		int32_t type = xdr_i32(&call->in);

		if (type != PARAM_TEXT || !name)
			strange = name ? name : "";
		else if (!strcmp(name, "file"))
			place->file = xdr_string(&call->in, NAME_BYTES);
		else if (!strcmp(name, "dxml"))
			place->xml = xdr_string(&call->in, DEFINITION_MAX_XML);
		else
			strange = name;
	}
	if (n > PARAMS_MAX)
		strange = "more than 16 of them";
	if (strange)
		return refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
			      "parameter %.64s: \"file\" and \"dxml\" are known, and a domain is "
			      "saved in adit's format alone",
			      strange);
	place->flags = xdr_u32(&call->in);
	return 0;
}

/* NULL: refused. The definition that a client gives instead of another, of the same domain. */
static struct definition *replacement(struct call *call, const char *xml,
				      const uint8_t uuid[XDR_UUID], const char *name)
{
	const struct definition_host host = host_of(call);
	struct definition *definition = definition_parse(xml, strlen(xml), &host, &call->refusal);

	if (!definition ||
	    (!memcmp(definition->uuid, uuid, XDR_UUID) && !strcmp(definition->name, name)))
		return definition;
	definition_free(definition);
	refuse(&call->refusal, FAULT_CONFIG_UNSUPPORTED,
	       "the XML is of another domain: a saved one keeps its name and its UUID");
	return NULL;
}

/* --- to a file ------------------------------------------------------------------------------- */

static int save_to(struct call *call, struct domain *domain, struct saved_target *target,
		   const struct place *place)
{
	struct definition *other = NULL;
	struct run_save_how how = {
		.managed = !place->file,
		.running = place->flags & SAVE_RUNNING,
		.paused = place->flags & SAVE_PAUSED,
	};
	int ret;

	if (place->xml) {
		other = replacement(call, place->xml, domain_uuid(domain),
				    domain_definition(domain)->name);
		if (!other) {
			saved_drop(target);
			return CALL_REFUSED;
		}
		how.xml = other->xml;
	}
	ret = run_save(domain, target, &how, &call->ticket, &call->refusal);
	definition_free(other);
	return ret;
}

static int save(struct call *call, struct domain *domain, const struct domain_name *name,
		const struct place *place)
{
	struct saved_target target;

	if (!call_arguments(call) || check_flags(call, place->flags, 0))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, name);
	if (!domain->run)
		return run_refuse_inactive(domain, &call->refusal);
	if (!place->file)
		return refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
			      "parameter \"file\" is missing: managed-save keeps the file itself");
	if (saved_begin(&target, place->file, domain_uuid(domain), &call->refusal))
		return CALL_REFUSED;
	return save_to(call, domain, &target, place);
}

static int save_old(struct call *call)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	const struct place place = { .file = xdr_string(&call->in, NAME_BYTES) };

	return save(call, domain, &name, &place);
}

static int save_flags(struct call *call)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	struct place place;

	place.file = xdr_string(&call->in, NAME_BYTES);
	place.xml = xdr_opt_string(&call->in, DEFINITION_MAX_XML);
	place.flags = xdr_u32(&call->in);
	return save(call, domain, &name, &place);
}

static int save_params(struct call *call)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	struct place place;

	return read_params(call, &place) ? CALL_REFUSED : save(call, domain, &name, &place);
}

static int managed_save(struct call *call)
{
	struct saved_target target;
	struct place place = { 0 };
	struct domain *domain = call_only_domain(call, &place.flags);

	if (!domain || check_flags(call, place.flags, 0))
		return CALL_REFUSED;
	if (!domain->run)
		return run_refuse_inactive(domain, &call->refusal);
	if (!domain->kept)
		return refuse(
			&call->refusal, FAULT_OPERATION_INVALID,
			"domain '%s' is transient: nothing would start it from there; save it "
			"to a file",
			domain_definition(domain)->name);
	if (store_begin_saved(call->daemon, domain_uuid(domain), &target, &call->refusal))
		return CALL_REFUSED;
	return save_to(call, domain, &target, &place);
}

static int has_managed_save(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	xdr_put_i32(call->out, store_has_saved(call->daemon, domain_uuid(domain)));
	return CALL_DONE;
}

static int managed_save_remove(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	return store_remove_saved(call->daemon, domain_uuid(domain), &call->refusal);
}

/* --- from a file ----------------------------------------------------------------------------- */

/* The domain as the file has it, or as the client has it instead. NULL: refused. */
static struct definition *saved_definition(struct call *call, const struct saved *saved,
					   const char *xml)
{
	const struct definition_host host = host_of(call);
	struct definition *definition =
				  definition_parse(saved->xml, saved->len, &host, &call->refusal),
			  *other;

	if (!definition || !xml)
		return definition;
	other = replacement(call, xml, definition->uuid, definition->name);
	definition_free(definition);
	return other;
}

static int start_saved(struct call *call, struct definition *definition, struct saved *saved,
		       uint32_t flags)
{
	struct domain *domain = domain_for(call->daemon, definition, &call->refusal);
	int ret;

	if (!domain || call_refuse_other_start(call, domain)) {
		definition_free(definition);
		saved_close(saved);
		return CALL_REFUSED;
	}
	domain->live = definition;
	ret = run_restore(domain, saved, false, &call->ticket,
			  (flags & SAVE_PAUSED ? RUN_PAUSED : 0) |
				  (flags & SAVE_RUNNING ? RUN_RUNNING : 0),
			  &call->refusal);
	if (ret == CALL_REFUSED)
		domain_let_go(domain);
	return ret;
}

static int restore(struct call *call, const struct place *place)
{
	struct definition *definition;
	struct saved saved;

	if (!call_arguments(call) || check_flags(call, place->flags, SAVE_RESET_NVRAM))
		return CALL_REFUSED;
	if (!place->file)
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "parameter \"file\" is missing: what shall the domain go on from?");
	if (saved_open(&saved, place->file, false, &call->refusal))
		return CALL_REFUSED;
	definition = saved_definition(call, &saved, place->xml);
	if (definition)
		return start_saved(call, definition, &saved, place->flags);
	saved_close(&saved);
	return CALL_REFUSED;
}

static int restore_old(struct call *call)
{
	const struct place place = { .file = xdr_string(&call->in, NAME_BYTES) };

	return restore(call, &place);
}

static int restore_flags(struct call *call)
{
	struct place place;

	place.file = xdr_string(&call->in, NAME_BYTES);
	place.xml = xdr_opt_string(&call->in, DEFINITION_MAX_XML);
	place.flags = xdr_u32(&call->in);
	return restore(call, &place);
}

static int restore_params(struct call *call)
{
	struct place place;

	return read_params(call, &place) ? CALL_REFUSED : restore(call, &place);
}

/* What of a file is told is a definition that is accepted here, and nothing else. */
static int put_saved(struct call *call, struct saved *saved)
{
	struct definition *definition = saved_definition(call, saved, NULL);

	saved_close(saved);
	if (!definition)
		return CALL_REFUSED;
	xdr_put_string(call->out, definition->xml);
	definition_free(definition);
	return CALL_DONE;
}

enum {
	SECURE = 1
};

static int image_get_xml(struct call *call)
{
	const char *file = xdr_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);
	struct saved saved;

	if (!call_arguments(call) || refuse_flags(call, flags, SECURE) ||
	    saved_open(&saved, file, false, &call->refusal))
		return CALL_REFUSED;
	return put_saved(call, &saved);
}

/* The state that the daemon keeps for a domain. */
static int open_managed(struct call *call, const struct domain *domain, bool change,
			struct saved *saved)
{
	*saved = (struct saved){ .fd = -1 };
	if (!store_has_saved(call->daemon, domain_uuid(domain)))
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' has no managed save image",
			      domain_definition(domain)->name);
	return store_open_saved(call->daemon, domain_uuid(domain), saved, change, &call->refusal);
}

static int managed_get_xml(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);
	struct saved saved;

	if (!domain || refuse_flags(call, flags, SECURE) ||
	    open_managed(call, domain, false, &saved))
		return CALL_REFUSED;
	return put_saved(call, &saved);
}

/* Closes it. xml: NULL: as it is. */
static int change_saved(struct call *call, struct saved *saved, const struct place *place)
{
	struct definition *definition = saved_definition(call, saved, place->xml);
	bool paused =
		place->flags & SAVE_PAUSED || (saved->paused && !(place->flags & SAVE_RUNNING));
	int ret = CALL_REFUSED;

	if (definition && !saved_check(definition, &call->refusal))
		ret = saved_change(saved, definition->xml, paused,
				   place->file ? place->file : definition->name, &call->refusal);
	definition_free(definition);
	saved_close(saved);
	return ret;
}

static int image_define_xml(struct call *call)
{
	struct saved saved;
	struct place place;

	place.file = xdr_string(&call->in, NAME_BYTES);
	place.xml = xdr_string(&call->in, DEFINITION_MAX_XML);
	place.flags = xdr_u32(&call->in);
	if (!call_arguments(call) || check_flags(call, place.flags, 0) ||
	    saved_open(&saved, place.file, true, &call->refusal))
		return CALL_REFUSED;
	return change_saved(call, &saved, &place);
}

static int managed_define_xml(struct call *call)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	struct place place = { 0 };
	struct saved saved;

	place.xml = xdr_opt_string(&call->in, DEFINITION_MAX_XML);
	place.flags = xdr_u32(&call->in);
	if (!call_arguments(call) || check_flags(call, place.flags, 0))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	return open_managed(call, domain, true, &saved) ? CALL_REFUSED
							: change_saved(call, &saved, &place);
}

const struct procedure save_procedures[] = {
	{ 54, false, restore_old },
	{ 55, false, save_old },
	{ 182, false, managed_save },
	{ 183, true, has_managed_save },
	{ 184, false, managed_save_remove },
	{ 232, false, save_flags },
	{ 233, false, restore_flags },
	/* They name a file of the host, which the daemon opens as who it is. */
	{ 235, false, image_get_xml },
	{ 236, false, image_define_xml },
	{ 388, false, managed_get_xml },
	{ 389, false, managed_define_xml },
	{ 440, false, save_params },
	{ 441, false, restore_params },
};
const size_t n_save_procedures = ARRAY_SIZE(save_procedures);
