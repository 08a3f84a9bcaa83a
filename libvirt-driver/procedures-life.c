/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures that change domains. */
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/console.h"
#include "libvirt-driver/procedures.h"
#include "libvirt-driver/run.h"
#include "libvirt-driver/store.h"
#include "util/bits.h"

/* --- definitions ----------------------------------------------------------------------------- */

static int define(struct call *call, const char *xml)
{
	const struct definition_host host = { call->daemon->run_dir, call->daemon->adit };
	struct definition *definition = definition_parse(xml, strlen(xml), &host, &call->refusal);
	struct domain *domain;

	if (!definition)
		return CALL_REFUSED;
	domain = domain_define(call->daemon, definition, &call->refusal);
	if (!domain)
		return CALL_REFUSED;
	domain_put(call->out, domain);
	return CALL_DONE;
}

static int define_xml(struct call *call)
{
	const char *xml = xdr_string(&call->in, DEFINITION_MAX_XML);

	return call_arguments(call) ? define(call, xml) : CALL_REFUSED;
}

static int define_xml_flags(struct call *call)
{
	enum {
		VALIDATE = 1 /* what is not known is refused in any case */
	};
	const char *xml = xdr_string(&call->in, DEFINITION_MAX_XML);
	uint32_t flags = xdr_u32(&call->in);

	if (!call_arguments(call) || refuse_flags(call, flags, VALIDATE))
		return CALL_REFUSED;
	return define(call, xml);
}

/* A saved state without a definition would be of nobody. */
static int undefine_domain(struct call *call, struct domain *domain, bool with_saved)
{
	bool saved = store_has_saved(call->daemon, domain_uuid(domain));

	if (saved && !with_saved)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' has a managed save image: remove it, or undefine both "
			      "(--managed-save)",
			      domain_definition(domain)->name);
	if (saved && domain->kept &&
	    store_remove_saved(call->daemon, domain_uuid(domain), &call->refusal))
		return CALL_REFUSED;
	return domain_undefine(domain, &call->refusal);
}

static int undefine(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return domain ? undefine_domain(call, domain, false) : CALL_REFUSED;
}

static int undefine_flags(struct call *call)
{
	enum {
		MANAGED_SAVE = 1,
		SNAPSHOTS = 2, /* of things that there are none of */
		NVRAM = 4,
		KEEP_NVRAM = 8,
		CHECKPOINTS = 16
	};
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain ||
	    refuse_flags(call, flags, MANAGED_SAVE | SNAPSHOTS | NVRAM | KEEP_NVRAM | CHECKPOINTS))
		return CALL_REFUSED;
	return undefine_domain(call, domain, flags & MANAGED_SAVE);
}

static int mark(struct call *call, bool once)
{
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	int32_t on = xdr_i32(&call->in);

	if (!call_arguments(call))
		return CALL_REFUSED;
	return domain ? domain_set_autostart(domain, once, on != 0, &call->refusal)
		      : refuse_unknown(call, &name);
}

static int set_autostart(struct call *call)
{
	return mark(call, false);
}

static int set_autostart_once(struct call *call)
{
	return mark(call, true);
}

/* --- starting -------------------------------------------------------------------------------- */

/* virDomainCreateFlags */
enum {
	START_PAUSED = 1,
	START_AUTODESTROY = 2,	/* with the connection */
	START_BYPASS_CACHE = 4, /* of a saved image, where there is one */
	START_FORCE_BOOT = 8,	/* which is removed */
	START_VALIDATE = 16,	/* what is not known is refused in any case */
	START_RESET_NVRAM = 32, /* there is none */
};

static int start(struct call *call, struct domain *domain, unsigned int how)
{
	if (domain->live)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' is already running", domain_definition(domain)->name);
	domain->live = definition_copy(domain->kept);
	if (!domain->live)
		return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory to start a domain");
	return run_start_or_restore(domain, &call->ticket, how, &call->refusal);
}

static int create(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return domain ? start(call, domain, 0) : CALL_REFUSED;
}

static unsigned int how_to_start(uint32_t flags)
{
	return RUN_WITH_DOMAIN | (flags & START_PAUSED ? RUN_PAUSED : 0) |
	       (flags & START_AUTODESTROY ? RUN_AUTODESTROY : 0);
}

static int create_flags(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);
	bool saved;

	if (!domain || refuse_flags(call, flags,
				    START_PAUSED | START_AUTODESTROY | START_BYPASS_CACHE |
					    START_FORCE_BOOT | START_RESET_NVRAM))
		return CALL_REFUSED;
	saved = store_has_saved(call->daemon, domain_uuid(domain));
	if (saved && flags & START_BYPASS_CACHE)
		return refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
			      "a saved domain's memory is mapped from the host's page cache: it "
			      "cannot be bypassed");
	if (saved && flags & START_FORCE_BOOT && !domain->live &&
	    store_remove_saved(call->daemon, domain_uuid(domain), &call->refusal))
		return CALL_REFUSED;
	return start(call, domain, how_to_start(flags));
}

int call_refuse_other_start(struct call *call, const struct domain *domain)
{
	const char *name = domain_definition(domain) ? domain_definition(domain)->name : "";

	if (domain->live)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID,
			      "domain '%s' is already running", name);
	if (!domain->kept || !store_has_saved(call->daemon, domain->uuid))
		return 0;
	return refuse(
		&call->refusal, FAULT_OPERATION_INVALID,
		"domain '%s' has a managed save image, which would be stale after this: start "
		"it from there, or remove it",
		name);
}

/* A transient domain, or one run of a defined one by other XML. */
static int create_xml(struct call *call)
{
	const struct definition_host host = { call->daemon->run_dir, call->daemon->adit };
	const char *xml = xdr_string(&call->in, DEFINITION_MAX_XML);
	uint32_t flags = xdr_u32(&call->in);
	struct definition *definition;
	struct domain *domain;
	int ret;

	if (!call_arguments(call) ||
	    refuse_flags(call, flags,
			 START_PAUSED | START_AUTODESTROY | START_VALIDATE | START_RESET_NVRAM))
		return CALL_REFUSED;
	definition = definition_parse(xml, strlen(xml), &host, &call->refusal);
	if (!definition)
		return CALL_REFUSED;
	domain = domain_for(call->daemon, definition, &call->refusal);
	if (!domain || call_refuse_other_start(call, domain)) {
		definition_free(definition);
		return CALL_REFUSED;
	}
	domain->live = definition;
	ret = run_start(domain, &call->ticket, how_to_start(flags), &call->refusal);
	if (ret == CALL_REFUSED)
		domain_let_go(domain);
	return ret;
}

/* --- what runs ------------------------------------------------------------------------------- */

static int ask(struct call *call, enum run_verb verb)
{
	struct domain *domain = call_only_domain(call, NULL);

	return domain ? run_ask(domain, verb, &call->ticket, &call->refusal) : CALL_REFUSED;
}

static int suspend(struct call *call)
{
	return ask(call, RUN_PAUSE);
}

static int resume(struct call *call)
{
	return ask(call, RUN_RESUME);
}

static int shut_down(struct call *call)
{
	return ask(call, RUN_POWER_BUTTON);
}

static int shut_down_flags(struct call *call)
{
	enum {
		ACPI = 1
	};
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, ACPI))
		return CALL_REFUSED;
	return run_ask(domain, RUN_POWER_BUTTON, &call->ticket, &call->refusal);
}

/* Through the guest, which is asked as for a shutdown. */
static int reboot(struct call *call)
{
	enum {
		ACPI = 1
	};
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, ACPI))
		return CALL_REFUSED;
	return run_ask(domain, RUN_POWER_CYCLE, &call->ticket, &call->refusal);
}

/* adit's reboot does not ask the guest: a reset. */
static int reset(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	return run_ask(domain, RUN_REBOOT, &call->ticket, &call->refusal);
}

static int destroy(struct call *call)
{
	struct domain *domain = call_only_domain(call, NULL);

	return domain ? run_destroy(domain, &call->ticket, &call->refusal) : CALL_REFUSED;
}

static int destroy_flags(struct call *call)
{
	uint32_t flags;
	struct domain *domain = call_only_domain(call, &flags);

	if (!domain || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	return run_destroy(domain, &call->ticket, &call->refusal);
}

static int open_console(struct call *call)
{
	enum {
		FORCE = 1,
		SAFE = 2 /* one user at a time, which holds in any case */
	};
	struct domain_name name;
	struct domain *domain = call_domain(call, &name);
	const char *device = xdr_opt_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);

	if (!call_arguments(call) || refuse_flags(call, flags, FORCE | SAFE))
		return CALL_REFUSED;
	if (!domain)
		return refuse_unknown(call, &name);
	if (!domain->live)
		return refuse(&call->refusal, FAULT_OPERATION_INVALID, "domain '%s' is not running",
			      domain_definition(domain)->name);
	return console_open(call, domain, device, flags & FORCE);
}

const struct procedure life_procedures[] = {
	{ 9, false, create },
	{ 10, false, create_xml },
	{ 11, false, define_xml },
	{ 12, false, destroy },
	{ 27, false, reboot },
	{ 28, false, resume },
	{ 29, false, set_autostart },
	{ 33, false, shut_down },
	{ 34, false, suspend },
	{ 35, false, undefine },
	{ 196, false, create_flags },
	{ 201, false, open_console },
	{ 231, false, undefine_flags },
	{ 234, false, destroy_flags },
	{ 245, false, reset },
	{ 258, false, shut_down_flags },
	{ 350, false, define_xml_flags },
	{ 450, false, set_autostart_once },
};
const size_t n_life_procedures = ARRAY_SIZE(life_procedures);
