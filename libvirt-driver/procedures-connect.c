/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures about the connection and the host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/host.h"
#include "libvirt-driver/native.h"
#include "libvirt-driver/procedures.h"
#include "libvirt-driver/session.h"
#include "util/bits.h"

#define NATIVE_FORMAT	 "adit-json"
#define AUTH_NONE	 0
#define NAME_MAX_BYTES	 1024u
#define MAX_VCPUS	 255
#define LIBVIRT_VERSION	 9000000ull /* 9.0.0: the protocol as it is served here */
#define HOST_MODEL_CHARS 32u

static int auth_list(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	/* The socket's mode has decided. */
	xdr_put_u32(call->out, 1);
	xdr_put_i32(call->out, AUTH_NONE);
	return CALL_DONE;
}

static int supports_feature(struct call *call)
{
	enum {
		FD_PASSING = 8,
		KEEPALIVE = 10,
		EVENT_CALLBACKS = 14,
		CLOSE_CALLBACK = 15
	};
	int32_t feature = xdr_i32(&call->in);

	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_i32(call->out, feature == KEEPALIVE || feature == EVENT_CALLBACKS ||
				       feature == CLOSE_CALLBACK ||
				       (feature == FD_PASSING && !call->readonly));
	return CALL_DONE;
}

static int connect_open(struct call *call)
{
	xdr_opt_string(&call->in, NAME_MAX_BYTES); /* the URI: there is one driver */
	xdr_u32(&call->in);			   /* flags: which socket it is has decided */
	return call_arguments(call) ? CALL_DONE : CALL_REFUSED;
}

static int connect_close(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	session_end(call->session);
	return CALL_DONE;
}

static int nothing(struct call *call)
{
	return call_arguments(call) ? CALL_DONE : CALL_REFUSED;
}

static int get_type(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_string(call->out, "adit");
	return CALL_DONE;
}

/* libvirt's numbers: a million for the first part, a thousand for the second. */
static uint64_t own_version(void)
{
	unsigned int major = 0, minor = 0, patch = 0;

	sscanf(ADIT_VERSION, "%u.%u.%u", &major, &minor, &patch);
	return major * 1000000ull + minor * 1000ull + patch;
}

static int get_version(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_u64(call->out, own_version());
	return CALL_DONE;
}

static int get_lib_version(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_u64(call->out, LIBVIRT_VERSION);
	return CALL_DONE;
}

static int get_hostname(struct call *call)
{
	char name[256] = "";

	if (!call_arguments(call))
		return CALL_REFUSED;
	gethostname(name, sizeof(name) - 1);
	xdr_put_string(call->out, name);
	return CALL_DONE;
}

static int get_uri(struct call *call)
{
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_string(call->out, geteuid() ? "adit:///session" : "adit:///system");
	return CALL_DONE;
}

static int node_get_info(struct call *call)
{
	struct host_info info;

	if (!call_arguments(call))
		return CALL_REFUSED;
	host_info(&info);
	/* An array of char: four bytes each. */
	for (unsigned int i = 0; i < HOST_MODEL_CHARS; i++)
		xdr_put_i32(call->out, info.model[i]);
	xdr_put_u64(call->out, info.memory_kib);
	xdr_put_i32(call->out, info.cpus);
	xdr_put_i32(call->out, info.mhz);
	xdr_put_i32(call->out, info.nodes);
	xdr_put_i32(call->out, info.sockets);
	xdr_put_i32(call->out, info.cores);
	xdr_put_i32(call->out, info.threads);
	return CALL_DONE;
}

static int put_text(struct call *call, char *text)
{
	if (!text)
		return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for an answer");
	xdr_put_string(call->out, text);
	free(text);
	return CALL_DONE;
}

static int get_capabilities(struct call *call)
{
	return call_arguments(call) ? put_text(call, host_capabilities(call->daemon))
				    : CALL_REFUSED;
}

static bool fits(const char *asked, const char *ours)
{
	return !asked || !strcmp(asked, ours);
}

static int get_domain_capabilities(struct call *call)
{
	const char *emulator = xdr_opt_string(&call->in, NAME_MAX_BYTES);
	const char *arch = xdr_opt_string(&call->in, NAME_MAX_BYTES);
	const char *machine = xdr_opt_string(&call->in, NAME_MAX_BYTES);
	const char *type = xdr_opt_string(&call->in, NAME_MAX_BYTES);

	xdr_u32(&call->in); /* flags: none are defined */
	if (!call_arguments(call))
		return CALL_REFUSED;
	if (!fits(emulator, call->daemon->adit ? call->daemon->adit : "") ||
	    !fits(arch, "x86_64") || !fits(type, "kvm") ||
	    (!fits(machine, "adit") && !fits(machine, "microvm")))
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "adit runs kvm domains of machine adit on x86_64 and nothing else");
	return put_text(call, host_domain_capabilities(call->daemon));
}

/* What `adit run` would be given. */
static int xml_to_native(struct call *call)
{
	const struct definition_host host = { call->daemon->run_dir, call->daemon->adit };
	const char *format = xdr_string(&call->in, NAME_MAX_BYTES);
	const char *xml = xdr_string(&call->in, DEFINITION_MAX_XML);
	uint32_t flags = xdr_u32(&call->in);
	struct definition *definition;

	if (!call_arguments(call) || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	if (strcmp(format, NATIVE_FORMAT) != 0)
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "the native format is " NATIVE_FORMAT ", not \"%.64s\"", format);
	definition = definition_parse(xml, strlen(xml), &host, &call->refusal);
	if (!definition)
		return CALL_REFUSED;
	xdr_put_string(call->out, definition->config);
	definition_free(definition);
	return CALL_DONE;
}

/*
 * The other way. A configuration has no name; where it is of a domain that is known here, which is
 * told by its sockets and terminals, the XML is of that one.
 */
static int native_to_xml(struct call *call)
{
	const struct definition_host host = { call->daemon->run_dir, call->daemon->adit };
	const char *format = xdr_string(&call->in, NAME_MAX_BYTES);
	const char *json = xdr_string(&call->in, NATIVE_MAX);
	uint32_t flags = xdr_u32(&call->in);
	struct definition *definition;
	struct domain *domain = NULL;
	uint8_t uuid[XDR_UUID];
	bool known;

	if (!call_arguments(call) || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	if (strcmp(format, NATIVE_FORMAT) != 0)
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "the native format is " NATIVE_FORMAT ", not \"%.64s\"", format);
	known = native_uuid(json, strlen(json), &host, uuid);
	if (known)
		domain = domain_by_uuid(call->daemon, uuid);
	definition = definition_from_native(json, strlen(json),
					    domain ? domain_definition(domain)->name : "unnamed",
					    known ? uuid : NULL, &host, &call->refusal);
	if (!definition)
		return CALL_REFUSED;
	xdr_put_string(call->out, definition->xml);
	definition_free(definition);
	return CALL_DONE;
}

static int get_max_vcpus(struct call *call)
{
	xdr_opt_string(&call->in, NAME_MAX_BYTES);
	if (!call_arguments(call))
		return CALL_REFUSED;
	xdr_put_i32(call->out, MAX_VCPUS);
	return CALL_DONE;
}

const struct procedure connect_procedures[] = {
	{ 1, true, connect_open },
	{ 2, true, connect_close },
	{ 3, true, get_type },
	{ 4, true, get_version },
	{ 5, true, get_max_vcpus },
	{ 6, true, node_get_info },
	{ 7, true, get_capabilities },
	{ 59, true, get_hostname },
	{ 60, true, supports_feature },
	{ 66, true, auth_list },
	{ 110, true, get_uri },
	{ 135, false, native_to_xml },
	{ 136, true, xml_to_native },
	{ 157, true, get_lib_version },
	{ 342, true, get_domain_capabilities },
	/* The closing of a connection is what tells its end; there is nothing to remember. */
	{ 360, true, nothing },
	{ 361, true, nothing },
};
const size_t n_connect_procedures = ARRAY_SIZE(connect_procedures);
