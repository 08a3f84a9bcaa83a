/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures about devices of the host. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/procedures-node.h"
#include "libvirt-driver/session.h"
#include "util/bits.h"

#define MAX_NODES 65536u

bool read_nodes(struct call *call, struct nodes *nodes)
{
	*nodes = (struct nodes){ 0 };
	if (!call_arguments(call))
		return false;
	if (!call->daemon->host) {
		refuse(&call->refusal, FAULT_NO_SUPPORT, "this daemon knows no devices");
		return false;
	}
	if (!nodes_read(nodes, call->daemon->host))
		return true;
	refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for the host's devices");
	return false;
}

const struct node *find_node(struct call *call, const char *name, struct nodes *nodes)
{
	const struct node *node;

	if (!read_nodes(call, nodes))
		return NULL;
	node = nodes_find(nodes, name);
	if (node)
		return node;
	nodes_free(nodes);
	refuse(&call->refusal, FAULT_NO_NODE_DEVICE, "no node device with matching name '%.100s'",
	       name);
	return NULL;
}

/* --- looking --------------------------------------------------------------------------------- */

/* Of each group with a bit set, one must fit. */
static bool is_taken(const struct node *node, uint32_t flags)
{
	const uint32_t inactive = 1u << 30, active = 1u << 31, persistent = 1u << 28,
		       transient = 1u << 29;
	uint32_t caps = flags & ~(inactive | active | persistent | transient);

	if (flags & (inactive | active) && !(flags & (node_is_active(node) ? active : inactive)))
		return false;
	if (flags & (persistent | transient) &&
	    !(flags & (node_is_persistent(node) ? persistent : transient)))
		return false;
	return !caps || caps & node->caps;
}

static int list_all(struct call *call)
{
	int32_t need = xdr_i32(&call->in);
	uint32_t flags = xdr_u32(&call->in), n = 0;
	size_t at = call->out->len;
	struct nodes nodes;

	if (!read_nodes(call, &nodes))
		return CALL_REFUSED;
	xdr_put_u32(call->out, 0);
	for (size_t i = 0; i < nodes.n && n < MAX_NODES; i++) {
		if (!is_taken(&nodes.node[i], flags))
			continue;
		if (need)
			xdr_put_string(call->out, nodes.node[i].name);
		n++;
	}
	xdr_patch_u32(call->out, at, need ? n : 0);
	xdr_put_u32(call->out, n);
	nodes_free(&nodes);
	return CALL_DONE;
}

/* The bit of a capability's name; 0: no device has it. NULL is all. */
static uint32_t cap_of(const char *name)
{
	static const enum node_cap caps[] = { NODE_SYSTEM, NODE_PCI, NODE_MDEV_TYPES, NODE_MDEV };

	if (!name)
		return UINT32_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (!strcmp(node_cap_name(caps[i]), name))
			return caps[i];
	}
	return 0;
}

/* The old forms, of what is there: how many, or their names. */
static int list_old(struct call *call, bool names)
{
	uint32_t cap = cap_of(xdr_opt_string(&call->in, NAME_BYTES)), n = 0;
	int32_t max = names ? xdr_i32(&call->in) : 0;
	size_t at = call->out->len;
	struct nodes nodes;

	xdr_u32(&call->in); /* flags: none are defined */
	if (!read_nodes(call, &nodes))
		return CALL_REFUSED;
	xdr_put_u32(call->out, 0);
	for (size_t i = 0; i < nodes.n; i++) {
		if (!(nodes.node[i].caps & cap) || !node_is_active(&nodes.node[i]) ||
		    (names && (max < 0 || n >= (uint32_t)max)))
			continue;
		if (names)
			xdr_put_string(call->out, nodes.node[i].name);
		n++;
	}
	xdr_patch_u32(call->out, at, n);
	nodes_free(&nodes);
	return CALL_DONE;
}

static int count(struct call *call)
{
	return list_old(call, false);
}

static int list_names(struct call *call)
{
	return list_old(call, true);
}

static int lookup(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct nodes nodes;

	if (!find_node(call, name, &nodes))
		return CALL_REFUSED;
	xdr_put_string(call->out, name);
	nodes_free(&nodes);
	return CALL_DONE;
}

static int get_xml(struct call *call)
{
	enum {
		INACTIVE = 1
	};
	const char *name = xdr_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);
	const struct node *node;
	struct nodes nodes;
	char *text;

	if (!call_arguments(call) || refuse_flags(call, flags, INACTIVE))
		return CALL_REFUSED;
	node = find_node(call, name, &nodes);
	if (!node)
		return CALL_REFUSED;
	text = node_xml(&nodes, node, flags & INACTIVE, call->daemon->host);
	nodes_free(&nodes);
	if (!text)
		return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for a device's XML");
	xdr_put_string(call->out, text);
	free(text);
	return CALL_DONE;
}

static int get_parent(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct nodes nodes;
	const struct node *node = find_node(call, name, &nodes);

	if (!node)
		return CALL_REFUSED;
	xdr_put_opt_string(call->out, *node->parent ? node->parent : NULL);
	nodes_free(&nodes);
	return CALL_DONE;
}

static int caps(struct call *call, bool names)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	int32_t max = names ? xdr_i32(&call->in) : INT32_MAX;
	size_t at = call->out->len;
	const struct node *node;
	struct nodes nodes;
	uint32_t n = 0;

	node = find_node(call, name, &nodes);
	if (!node)
		return CALL_REFUSED;
	xdr_put_u32(call->out, 0);
	for (uint32_t cap = 1; cap; cap <<= 1) {
		if (!(node->caps & cap) || max < 0 || n >= (uint32_t)max)
			continue;
		if (names)
			xdr_put_string(call->out, node_cap_name((enum node_cap)cap));
		n++;
	}
	xdr_patch_u32(call->out, at, n);
	nodes_free(&nodes);
	return CALL_DONE;
}

static int count_caps(struct call *call)
{
	return caps(call, false);
}

static int list_caps(struct call *call)
{
	return caps(call, true);
}

static int put_flag(struct call *call, bool (*is)(const struct node *node))
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct nodes nodes;
	const struct node *node = find_node(call, name, &nodes);

	if (!node)
		return CALL_REFUSED;
	xdr_put_i32(call->out, is(node));
	nodes_free(&nodes);
	return CALL_DONE;
}

static int is_active(struct call *call)
{
	return put_flag(call, node_is_active);
}

static int is_persistent(struct call *call)
{
	return put_flag(call, node_is_persistent);
}

/* --- changing -------------------------------------------------------------------------------- */

/* Whether a domain that runs has it: one's own DMA is not pulled from under it. */
static const struct domain *user_of(const struct daemon *daemon, const char *path)
{
	struct json_object *config, *devices, *name;
	struct domain *domain = daemon->domains;
	bool found = false;

	for (; domain; domain = domain->next) {
		config = domain->live ? json_tokener_parse(domain->live->config) : NULL;
		for (size_t i = 0; json_object_object_get_ex(config, "devices", &devices) &&
				   i < json_object_array_length(devices);
		     i++)
			found |= json_object_object_get_ex(json_object_array_get_idx(devices, i),
							   "path", &name) &&
				 !strcmp(json_object_get_string(name), path);
		json_object_put(config);
		if (found)
			return domain;
	}
	return NULL;
}

int start_node_change(struct call *call, const char *path, const struct node_task *task)
{
	const struct domain *user = user_of(call->daemon, path);

	if (user)
		return refuse(&call->refusal, FAULT_RESOURCE_BUSY, "%s is in use by domain '%s'",
			      path, user->live->name);
	return node_change(call, task);
}

static int change_function(struct call *call, const char *name, enum node_verb verb)
{
	struct node_task task = { .verb = verb };
	struct nodes nodes;
	const struct node *node = find_node(call, name, &nodes);

	if (!node)
		return CALL_REFUSED;
	if (node->function)
		memcpy(task.bdf, node->function->bdf, sizeof(task.bdf));
	nodes_free(&nodes);
	if (!*task.bdf)
		return refuse(&call->refusal, FAULT_INVALID_ARG, "%.100s is no PCI function", name);
	return start_node_change(call, task.bdf, &task);
}

static int detach(struct call *call)
{
	return change_function(call, xdr_string(&call->in, NAME_BYTES), NODE_DETACH);
}

static int detach_flags(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	const char *driver = xdr_opt_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);

	if (!call_arguments(call) || refuse_flags(call, flags, 0))
		return CALL_REFUSED;
	if (driver && strcmp(driver, "vfio") != 0 && strcmp(driver, "vfio-pci") != 0)
		return refuse(&call->refusal, FAULT_CONFIG_UNSUPPORTED,
			      "devices go to vfio and to no other driver");
	return change_function(call, name, NODE_DETACH);
}

static int reattach(struct call *call)
{
	return change_function(call, xdr_string(&call->in, NAME_BYTES), NODE_REATTACH);
}

static int reset(struct call *call)
{
	return change_function(call, xdr_string(&call->in, NAME_BYTES), NODE_RESET);
}

const struct procedure node_procedures[] = {
	{ 111, true, count },	      { 112, true, list_names }, { 113, true, lookup },
	{ 114, true, get_xml },	      { 115, true, get_parent }, { 116, true, count_caps },
	{ 117, true, list_caps },     { 118, false, detach },	 { 119, false, reattach },
	{ 120, false, reset },	      { 285, true, list_all },	 { 301, false, detach_flags },
	{ 435, true, is_persistent }, { 436, true, is_active },
};
const size_t n_node_procedures = ARRAY_SIZE(node_procedures);
