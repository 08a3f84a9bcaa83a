/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures about mdevs, which alone of the host's devices come and go by what clients say. */
#include <json-c/json.h>
#include <string.h>

#include "libvirt-driver/node-watch.h"
#include "libvirt-driver/procedures-node.h"
#include "util/bits.h"

enum {
	VALIDATE = 1
};

struct found {
	bool active, defined;
	struct node_defined mdev; /* as it is there, and how it would be made */
	struct change_mdev kept;  /* as it is defined */
};

/* The mdev of that name; its attributes are to be put. False: refused. */
static bool find_mdev(struct call *call, const char *name, struct found *out)
{
	struct nodes nodes;
	const struct node *node = find_node(call, name, &nodes);

	*out = (struct found){ 0 };
	if (!node)
		return false;
	out->active = node_is_active(node);
	out->mdev.mdev = node_mdev(node);
	if (node->defined) {
		out->defined = true;
		out->kept = node->defined->mdev;
		out->mdev.autostart = node->defined->autostart;
		out->mdev.attributes = json_object_get(node->defined->attributes);
	}
	nodes_free(&nodes);
	if (*out->mdev.mdev.uuid)
		return true;
	refuse(&call->refusal, FAULT_INVALID_ARG, "%.100s is no mdev; nothing else comes and goes",
	       name);
	return false;
}

/* The same for one that is defined, as it is. */
static bool find_defined(struct call *call, const char *name, struct node_defined *out)
{
	struct found found;

	if (!find_mdev(call, name, &found))
		return false;
	*out = found.mdev;
	out->mdev = found.kept;
	if (found.defined)
		return true;
	refuse(&call->refusal, FAULT_OPERATION_INVALID,
	       "%.100s is not defined: it is gone with the next boot, or nodedev-destroy", name);
	return false;
}

/* What <device> asks for, and the flags behind it. False: refused. */
static bool read_device_flags(struct call *call, struct node_defined *mdev, uint32_t *flags)
{
	const char *xml = xdr_string(&call->in, DEFINITION_MAX_XML);
	struct nodes nodes;
	int ret;

	*mdev = (struct node_defined){ 0 };
	*flags = xdr_u32(&call->in);
	if (!call_arguments(call) || !read_nodes(call, &nodes))
		return false;
	ret = node_read_mdev(xml, &nodes, mdev, &call->refusal);
	nodes_free(&nodes);
	if (!ret)
		return true;
	json_object_put(mdev->attributes);
	return false;
}

static bool read_device(struct call *call, struct node_defined *mdev)
{
	uint32_t flags;

	if (!read_device_flags(call, mdev, &flags))
		return false;
	if (!refuse_flags(call, flags, VALIDATE))
		return true;
	json_object_put(mdev->attributes);
	return false;
}

/* --- there ----------------------------------------------------------------------------------- */

static int create(struct call *call)
{
	struct node_task task = { .verb = NODE_CREATE, .with_text = true };
	int ret;

	if (!read_device(call, &task.mdev))
		return CALL_REFUSED;
	node_name_mdev(task.text, task.mdev.mdev.uuid, task.mdev.mdev.parent);
	ret = node_change(call, &task);
	json_object_put(task.mdev.attributes);
	return ret;
}

static int destroy(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct node_task task = { .verb = NODE_REMOVE };
	struct found found;
	int ret;

	if (!find_mdev(call, name, &found))
		return CALL_REFUSED;
	task.mdev = found.mdev;
	ret = found.active ? start_node_change(call, task.mdev.mdev.uuid, &task)
			   : refuse(&call->refusal, FAULT_OPERATION_INVALID, "%.100s is not active",
				    name);
	json_object_put(found.mdev.attributes);
	return ret;
}

static int start(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);
	struct node_task task = { .verb = NODE_CREATE };
	struct found found;
	int ret;

	if (!call_arguments(call) || refuse_flags(call, flags, 0) || !find_mdev(call, name, &found))
		return CALL_REFUSED;
	task.mdev = found.mdev;
	ret = found.active ? refuse(&call->refusal, FAULT_OPERATION_INVALID,
				    "%.100s is active already", name)
			   : node_change(call, &task);
	json_object_put(found.mdev.attributes);
	return ret;
}

/* --- defined --------------------------------------------------------------------------------- */

static int keep(struct call *call, const struct node_defined *mdev)
{
	if (!node_defined_write(mdev, call->daemon->host, &call->refusal.err)) {
		node_watch_look(call->daemon);
		return CALL_DONE;
	}
	call->refusal.fault = FAULT_OPERATION_FAILED;
	return CALL_REFUSED;
}

static int check_new(struct call *call, const struct node_defined *mdev, const char *name)
{
	struct host_mdev_type type;
	const struct node *node;
	struct nodes nodes;
	int ret = 0;

	if (!read_nodes(call, &nodes))
		return CALL_REFUSED;
	node = nodes_find(&nodes, name);
	if (node && node->defined)
		ret = refuse(&call->refusal, FAULT_OPERATION_FAILED,
			     "%s is defined already: undefine it before", name);
	else if (host_mdev_type_read(call->daemon->host, mdev->mdev.parent, mdev->mdev.type, &type))
		ret = refuse(&call->refusal, FAULT_XML,
			     "/device/capability/type/@id: %s makes no %s", mdev->mdev.parent,
			     mdev->mdev.type);
	else if (node && strcmp(node->mdev->type, mdev->mdev.type) != 0)
		ret = refuse(&call->refusal, FAULT_OPERATION_FAILED,
			     "%s is there, and of type %s: destroy it before, or define that type",
			     name, node->mdev->type);
	nodes_free(&nodes);
	return ret;
}

static int define(struct call *call)
{
	struct node_defined mdev;
	char name[NODE_NAME];
	int ret;

	if (!read_device(call, &mdev))
		return CALL_REFUSED;
	node_name_mdev(name, mdev.mdev.uuid, mdev.mdev.parent);
	ret = check_new(call, &mdev, name);
	if (!ret)
		ret = keep(call, &mdev);
	if (!ret)
		xdr_put_string(call->out, name);
	json_object_put(mdev.attributes);
	return ret;
}

/* One that is there stays. */
static int undefine(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	uint32_t flags = xdr_u32(&call->in);
	struct node_defined mdev;

	if (!call_arguments(call) || refuse_flags(call, flags, 0) ||
	    !find_defined(call, name, &mdev))
		return CALL_REFUSED;
	json_object_put(mdev.attributes);
	if (!node_defined_remove(&mdev.mdev, call->daemon->host, &call->refusal.err)) {
		node_watch_look(call->daemon);
		return CALL_DONE;
	}
	call->refusal.fault = FAULT_OPERATION_FAILED;
	return CALL_REFUSED;
}

/* What the host has by itself comes with it. */
static int get_autostart(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct nodes nodes;
	const struct node *node = find_node(call, name, &nodes);

	if (!node)
		return CALL_REFUSED;
	xdr_put_i32(call->out, node->defined ? node->defined->autostart : !node->mdev);
	nodes_free(&nodes);
	return CALL_DONE;
}

static int set_autostart(struct call *call)
{
	const char *name = xdr_string(&call->in, NAME_BYTES);
	int32_t on = xdr_i32(&call->in);
	struct node_defined mdev;
	int ret = CALL_DONE;

	if (!find_defined(call, name, &mdev))
		return CALL_REFUSED;
	if (mdev.autostart != (on != 0)) {
		mdev.autostart = on != 0;
		ret = keep(call, &mdev);
	}
	json_object_put(mdev.attributes);
	return ret;
}

/* The same mdev, with other attributes. */
static int check_update(struct call *call, const struct node_defined *was,
			const struct node_defined *now)
{
	const struct {
		const char *path, *was, *now;
	} same[] = {
		{ "/device/parent", was->mdev.parent, now->mdev.parent },
		{ "/device/capability/type/@id", was->mdev.type, now->mdev.type },
		{ "/device/capability/uuid", was->mdev.uuid, now->mdev.uuid },
	};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		if (strcmp(same[i].was, same[i].now) != 0)
			return refuse(&call->refusal, FAULT_CONFIG_UNSUPPORTED,
				      "%s: is %s and stays so: attributes alone can be updated",
				      same[i].path, same[i].was);
	}
	return 0;
}

/* virNodeDeviceUpdateFlags; none: what is there, or else what is defined. */
static int update(struct call *call)
{
	enum {
		AFFECT_LIVE = 1,
		AFFECT_CONFIG = 2
	};
	const char *name = xdr_string(&call->in, NAME_BYTES);
	struct node_defined was, now;
	struct found found;
	uint32_t flags;
	bool live;
	int ret;

	if (!read_device_flags(call, &now, &flags))
		return CALL_REFUSED;
	ret = refuse_flags(call, flags, AFFECT_LIVE | AFFECT_CONFIG);
	if (!ret && !find_mdev(call, name, &found))
		ret = CALL_REFUSED;
	if (ret)
		goto out;
	live = flags ? flags & AFFECT_LIVE : found.active;
	json_object_put(found.mdev.attributes);
	ret = CALL_REFUSED;
	if (live) {
		refuse(&call->refusal, FAULT_OPERATION_UNSUPPORTED,
		       "%.100s: what an mdev that is there has is its driver's to say; update its "
		       "definition (--config), and start it anew",
		       name);
	} else if (find_defined(call, name, &was)) {
		now.autostart = was.autostart;
		ret = check_update(call, &was, &now);
		json_object_put(was.attributes);
		if (!ret)
			ret = keep(call, &now);
	}
out:
	json_object_put(now.attributes);
	return ret;
}

const struct procedure mdev_procedures[] = {
	{ 123, false, create },	       { 124, false, destroy }, { 428, false, define },
	{ 429, false, undefine },      { 430, false, start },	{ 433, true, get_autostart },
	{ 434, false, set_autostart }, { 447, false, update },
};
const size_t n_mdev_procedures = ARRAY_SIZE(mdev_procedures);
