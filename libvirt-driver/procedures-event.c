/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures by which a client says what it wants to hear of: domains, devices of the host. */
#include "libvirt-driver/node-watch.h"
#include "libvirt-driver/procedures.h"
#include "libvirt-driver/session.h"
#include "util/bits.h"

#define EVENT_IDS 64 /* more than libvirt has; those that never come may be asked for */

/* id: of session_register and its like. */
static int put_callback(struct call *call, int id)
{
	if (id < 0)
		return refuse(&call->refusal, FAULT_OPERATION_FAILED,
			      "this connection has registered as many callbacks as it may");
	xdr_put_i32(call->out, id);
	return CALL_DONE;
}

static int register_domain(struct call *call)
{
	int32_t event = xdr_i32(&call->in);
	bool one = xdr_bool(&call->in);
	uint8_t uuid[XDR_UUID];

	if (one) {
		xdr_string(&call->in, NAME_BYTES);
		xdr_bytes(&call->in, uuid, sizeof(uuid));
		xdr_i32(&call->in);
	}
	if (!call_arguments(call))
		return CALL_REFUSED;
	if (event < 0 || event >= EVENT_IDS)
		return refuse(&call->refusal, FAULT_INVALID_ARG, "there is no event %d", event);
	return put_callback(call, session_register(call->session, event, one ? uuid : NULL));
}

static int register_node(struct call *call)
{
	int32_t event = xdr_i32(&call->in);
	const char *name = xdr_opt_string(&call->in, NAME_BYTES);

	if (!call_arguments(call))
		return CALL_REFUSED;
	if (event != 0 && event != 1)
		return refuse(&call->refusal, FAULT_INVALID_ARG,
			      "devices of the host have no event %d", event);
	if (node_watch_begin(call->daemon, &call->refusal))
		return CALL_REFUSED;
	return put_callback(call, session_register_node(call->session, event, name));
}

static int deregister(struct call *call)
{
	int32_t id = xdr_i32(&call->in);

	if (!call_arguments(call))
		return CALL_REFUSED;
	if (session_deregister(call->session, id))
		return refuse(&call->refusal, FAULT_INVALID_ARG, "there is no callback %d", id);
	return CALL_DONE;
}

const struct procedure event_procedures[] = {
	{ 316, true, register_domain },
	{ 317, true, deregister },
	{ 374, true, register_node },
	{ 375, true, deregister },
};
const size_t n_event_procedures = ARRAY_SIZE(event_procedures);
