/* SPDX-License-Identifier: Apache-2.0 */
/* Names and XML of the host's devices, and the XML that asks for an mdev. */
#include "libvirt-driver/node.h"

#include <errno.h>
#include <json-c/json.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/change.h"
#include "libvirt-driver/definition-reader.h"
#include "util/bits.h"

/* --- names ----------------------------------------------------------------------------------- */

/* libvirt's: what sysfs has, and an underscore for everything that is no letter or digit. */
static void name_it(char name[NODE_NAME], const char *prefix, const char *text, const char *suffix)
{
	snprintf(name, NODE_NAME, "%s%s%s%s", prefix, text, *suffix ? "_" : "", suffix);
	for (char *at = name; *at; at++) {
		if (strchr("-:.", *at))
			*at = '_';
	}
}

void node_name_mdev(char name[NODE_NAME], const char *uuid, const char *parent)
{
	name_it(name, "mdev_", uuid, parent);
}

static bool is_function(const struct host_inventory *inventory, const char *name)
{
	for (size_t i = 0; i < inventory->n_functions; i++) {
		if (!strcmp(inventory->functions[i].bdf, name))
			return true;
	}
	return false;
}

static void name_parent(const struct host_inventory *inventory, const char *parent,
			char name[NODE_NAME])
{
	name_it(name, is_function(inventory, parent) ? "pci_" : "", parent, "");
}

static struct node *add(struct nodes *nodes, uint32_t caps)
{
	struct node *node = &nodes->node[nodes->n++];

	*node = (struct node){ .parent = NODE_ROOT, .caps = caps };
	return node;
}

static bool is_parent(const struct host_inventory *inventory, const char *name)
{
	for (size_t i = 0; i < inventory->n_types; i++) {
		if (!strcmp(inventory->types[i].parent, name))
			return true;
	}
	return false;
}

/* Parents of mdevs that are no PCI functions; a parent's types stand together. */
static void add_other_parents(struct nodes *nodes)
{
	const struct host_inventory *inventory = &nodes->inventory;
	const char *last = "";

	for (size_t i = 0; i < inventory->n_types; i++) {
		const char *parent = inventory->types[i].parent;
		struct node *node;

		if (!strcmp(parent, last) || is_function(inventory, parent))
			continue;
		last = parent;
		node = add(nodes, NODE_MDEV_TYPES);
		node->mdev_parent = parent;
		name_it(node->name, "", parent, "");
	}
}

static const struct node_defined *definition_of(const struct nodes *nodes,
						const struct host_mdev *mdev)
{
	for (size_t i = 0; i < nodes->defined.n; i++) {
		const struct node_defined *defined = &nodes->defined.item[i];

		if (!strcmp(defined->mdev.uuid, mdev->uuid) &&
		    !strcmp(defined->mdev.parent, mdev->parent))
			return defined;
	}
	return NULL;
}

/* Those that are there have it already. */
static void add_defined(struct nodes *nodes)
{
	size_t there = nodes->n;

	for (size_t i = 0; i < nodes->defined.n; i++) {
		const struct node_defined *defined = &nodes->defined.item[i];
		const char *parent = defined->mdev.parent;
		bool known = false;
		struct node *node;

		for (size_t j = 0; j < there; j++)
			known |= nodes->node[j].defined == defined;
		if (known)
			continue;
		node = add(nodes, NODE_MDEV);
		node->defined = defined;
		node_name_mdev(node->name, defined->mdev.uuid, parent);
		/* One that is gone leaves what is defined of it to the root. */
		if (is_parent(&nodes->inventory, parent))
			name_parent(&nodes->inventory, parent, node->parent);
	}
}

int nodes_read(struct nodes *nodes, const struct host *host)
{
	struct host_inventory *inventory = &nodes->inventory;

	*nodes = (struct nodes){ 0 };
	if (host_scan(host, inventory))
		return -ENOMEM;
	if (!node_defined_read(&nodes->defined, host))
		nodes->node = calloc(1 + inventory->n_functions + inventory->n_types +
					     inventory->n_mdevs + nodes->defined.n,
				     sizeof(*nodes->node));
	if (!nodes->node) {
		nodes_free(nodes);
		return -ENOMEM;
	}
	*add(nodes, NODE_SYSTEM) = (struct node){ .name = NODE_ROOT, .caps = NODE_SYSTEM };
	for (size_t i = 0; i < inventory->n_functions; i++) {
		const struct host_function *function = &inventory->functions[i];
		struct node *node = add(nodes, NODE_PCI);

		node->function = function;
		if (is_parent(inventory, function->bdf))
			node->caps |= NODE_MDEV_TYPES;
		name_it(node->name, "pci_", function->bdf, "");
	}
	add_other_parents(nodes);
	for (size_t i = 0; i < inventory->n_mdevs; i++) {
		const struct host_mdev *mdev = &inventory->mdevs[i];
		struct node *node = add(nodes, NODE_MDEV);

		node->mdev = mdev;
		node->defined = definition_of(nodes, mdev);
		node_name_mdev(node->name, mdev->uuid, mdev->parent);
		name_parent(inventory, mdev->parent, node->parent);
	}
	add_defined(nodes);
	return 0;
}

void nodes_free(struct nodes *nodes)
{
	free(nodes->node);
	node_defined_free(&nodes->defined);
	host_inventory_free(&nodes->inventory);
	*nodes = (struct nodes){ 0 };
}

const struct node *nodes_find(const struct nodes *nodes, const char *name)
{
	for (size_t i = 0; i < nodes->n; i++) {
		if (!strcmp(nodes->node[i].name, name))
			return &nodes->node[i];
	}
	return NULL;
}

bool node_is_active(const struct node *node)
{
	return node->mdev || !node->defined;
}

bool node_is_persistent(const struct node *node)
{
	return node->defined || !node->mdev;
}

struct change_mdev node_mdev(const struct node *node)
{
	struct change_mdev mdev = { 0 };

	if (!node->mdev)
		return node->defined ? node->defined->mdev : mdev;
	memcpy(mdev.uuid, node->mdev->uuid, sizeof(mdev.uuid));
	memcpy(mdev.parent, node->mdev->parent, sizeof(mdev.parent));
	memcpy(mdev.type, node->mdev->type, sizeof(mdev.type));
	return mdev;
}

const char *node_cap_name(enum node_cap cap)
{
	switch (cap) {
	case NODE_SYSTEM:
		return "system";
	case NODE_PCI:
		return "pci";
	case NODE_MDEV_TYPES:
		return "mdev_types";
	case NODE_MDEV:
		return "mdev";
	}
	return "";
}

/* --- XML ------------------------------------------------------------------------------------- */

static xmlNode *element(xmlNode *parent, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* With text where there is any; it is escaped. */
static xmlNode *element(xmlNode *parent, const char *name, const char *fmt, ...)
{
	char text[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return xmlNewTextChild(parent, NULL, (const xmlChar *)name,
			       *text ? (const xmlChar *)text : NULL);
}

static void attribute(xmlNode *node, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void attribute(xmlNode *node, const char *name, const char *fmt, ...)
{
	char text[HOST_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)text);
}

static xmlNode *capability(xmlNode *parent, enum node_cap cap)
{
	xmlNode *node = element(parent, "capability", "%s", "");

	attribute(node, "type", "%s", node_cap_name(cap));
	return node;
}

static void put_address(xmlNode *parent, const char *bdf)
{
	unsigned int domain, bus, slot, function;
	xmlNode *node;

	if (sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return;
	node = element(parent, "address", "%s", "");
	attribute(node, "domain", "0x%04x", domain);
	attribute(node, "bus", "0x%02x", bus);
	attribute(node, "slot", "0x%02x", slot);
	attribute(node, "function", "0x%x", function);
}

static void put_group(xmlNode *parent, int group, const struct host *host)
{
	struct host_member members[32];
	xmlNode *node;
	size_t n = 0;

	if (group == HOST_NO_GROUP)
		return;
	node = element(parent, "iommuGroup", "%s", "");
	attribute(node, "number", "%d", group);
	host_group_members(host, group, members, ARRAY_SIZE(members), &n);
	for (size_t i = 0; i < MIN(n, ARRAY_SIZE(members)); i++)
		put_address(node, members[i].name);
}

static void put_types(xmlNode *parent, const struct nodes *nodes, const char *name)
{
	const struct host_inventory *inventory = &nodes->inventory;
	xmlNode *types = capability(parent, NODE_MDEV_TYPES);

	for (size_t i = 0; i < inventory->n_types; i++) {
		const struct host_mdev_type *type = &inventory->types[i];
		xmlNode *node;

		if (strcmp(type->parent, name) != 0)
			continue;
		node = element(types, "type", "%s", "");
		attribute(node, "id", "%s", type->type);
		if (*type->name)
			element(node, "name", "%s", type->name);
		element(node, "deviceAPI", "%s", type->api);
		element(node, "availableInstances", "%u", type->available);
	}
}

static void put_function(xmlNode *device, const struct nodes *nodes, const struct node *node,
			 const struct host *host)
{
	const struct host_function *function = node->function;
	xmlNode *pci = capability(device, NODE_PCI), *more;
	unsigned int domain = 0, bus = 0, slot = 0, nr = 0;

	sscanf(function->bdf, "%x:%x:%x.%x", &domain, &bus, &slot, &nr);
	element(pci, "class", "0x%06x", function->class);
	element(pci, "domain", "%u", domain);
	element(pci, "bus", "%u", bus);
	element(pci, "slot", "%u", slot);
	element(pci, "function", "%u", nr);
	attribute(element(pci, "product", "%s", ""), "id", "0x%04x", function->device);
	attribute(element(pci, "vendor", "%s", ""), "id", "0x%04x", function->vendor);
	if (*function->pf) {
		more = element(pci, "capability", "%s", "");
		attribute(more, "type", "phys_function");
		put_address(more, function->pf);
	}
	if (function->max_vfs) {
		more = element(pci, "capability", "%s", "");
		attribute(more, "type", "virt_functions");
		attribute(more, "maxCount", "%u", function->max_vfs);
	}
	if (node->caps & NODE_MDEV_TYPES)
		put_types(pci, nodes, function->bdf);
	put_group(pci, function->group, host);
	if (function->numa_node >= 0)
		attribute(element(pci, "numa", "%s", ""), "node", "%d", function->numa_node);
}

static void put_attributes(xmlNode *parent, struct json_object *list)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object_object_foreach(json_object_array_get_idx(list, i), name, value)
		{
			xmlNode *node = element(parent, "attr", "%s", "");

			attribute(node, "name", "%s", name);
			xmlSetProp(node, (const xmlChar *)"value",
				   (const xmlChar *)json_object_get_string(value));
		}
	}
}

static void put_mdev(xmlNode *device, const struct node *it, bool defined, const struct host *host)
{
	const struct change_mdev mdev = defined ? it->defined->mdev : node_mdev(it);
	xmlNode *node = capability(device, NODE_MDEV);

	attribute(element(node, "type", "%s", ""), "id", "%s", mdev.type);
	element(node, "uuid", "%s", mdev.uuid);
	element(node, "parent_addr", "%s", mdev.parent);
	put_group(node, it->mdev ? it->mdev->group : HOST_NO_GROUP, host);
	if (it->defined)
		put_attributes(node, it->defined->attributes);
}

/* What the firmware says of itself; its letters may be any. "": nothing. */
static void read_dmi(const struct host *host, char text[HOST_TEXT], const char *name)
{
	if (sysfs_read(host, text, HOST_TEXT, "/sys/class/dmi/id/%s", name) < 0)
		*text = 0;
	for (char *at = text; *at; at++) {
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	}
}

static void put_dmi(xmlNode *parent, const struct host *host, const char *tag, const char *name)
{
	char text[HOST_TEXT];

	read_dmi(host, text, name);
	if (*text)
		element(parent, tag, "%s", text);
}

/* hardware, its uuid and firmware are always there: libvirt's schema wants them. */
static void put_system(xmlNode *device, const struct host *host)
{
	xmlNode *node = capability(device, NODE_SYSTEM), *part;
	uint8_t uuid[XDR_UUID] = { 0 };
	char text[HOST_TEXT], known[UUID_TEXT];

	put_dmi(node, host, "product", "product_name");
	part = element(node, "hardware", "%s", "");
	put_dmi(part, host, "vendor", "sys_vendor");
	put_dmi(part, host, "version", "product_version");
	read_dmi(host, text, "product_uuid");
	if (!uuid_parse(uuid, text))
		memset(uuid, 0, sizeof(uuid));
	uuid_format(known, uuid);
	element(part, "uuid", "%s", known);
	part = element(node, "firmware", "%s", "");
	put_dmi(part, host, "vendor", "bios_vendor");
	put_dmi(part, host, "version", "bios_version");
	put_dmi(part, host, "release_date", "bios_date");
}

static void put_path(xmlNode *device, const struct node *node, const struct host *host)
{
	char path[PATH_MAX];
	int ret = -ENOENT;

	if (node->function)
		ret = sysfs_real(host, path, "/sys/bus/pci/devices/%s", node->function->bdf);
	else if (node->mdev)
		ret = sysfs_real(host, path, "/sys/bus/mdev/devices/%s", node->mdev->uuid);
	else if (node->mdev_parent)
		ret = sysfs_real(host, path, "/sys/class/mdev_bus/%s", node->mdev_parent);
	if (!ret)
		element(device, "path", "%s", path);
}

static char *write_xml(xmlDoc *doc)
{
	xmlBuffer *buffer = xmlBufferCreate();
	char *text = NULL;

	if (buffer && xmlNodeDump(buffer, doc, xmlDocGetRootElement(doc), 0, 1) >= 0 &&
	    asprintf(&text, "%s\n", (const char *)xmlBufferContent(buffer)) < 0)
		text = NULL;
	xmlBufferFree(buffer);
	return text;
}

char *node_xml(const struct nodes *nodes, const struct node *node, bool defined,
	       const struct host *host)
{
	xmlDoc *doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNode *device = doc ? xmlNewDocNode(doc, NULL, (const xmlChar *)"device", NULL) : NULL;
	const char *driver = node->function ? node->function->driver : "";
	char *text;

	if (!device) {
		xmlFreeDoc(doc);
		return NULL;
	}
	xmlDocSetRootElement(doc, device);
	element(device, "name", "%s", node->name);
	put_path(device, node, host);
	if (*node->parent)
		element(device, "parent", "%s", node->parent);
	if (*driver)
		element(element(device, "driver", "%s", ""), "name", "%s", driver);
	if (node->function)
		put_function(device, nodes, node, host);
	else if (node->caps & NODE_MDEV)
		put_mdev(device, node, defined && node->defined, host);
	else if (node->mdev_parent)
		put_types(device, nodes, node->mdev_parent);
	else
		put_system(device, host);
	text = write_xml(doc);
	xmlFreeDoc(doc);
	return text;
}

/* --- an mdev that shall be ------------------------------------------------------------------- */

static const xmlNode *child_of(const xmlNode *node, const char *name)
{
	const xmlNode *child = node ? node->children : NULL;

	while (child && !node_is(child, name))
		child = child->next;
	return child;
}

/* sysfs's name of a parent, by its name here. */
static const char *parent_of(const struct nodes *nodes, const char *name)
{
	const struct node *node = nodes_find(nodes, name);

	if (!node || !(node->caps & NODE_MDEV_TYPES))
		return NULL;
	return node->function ? node->function->bdf : node->mdev_parent;
}

/* <attr name value>, in their order. */
static int read_attributes(const xmlNode *cap, struct json_object **out, struct refusal *refusal)
{
	for (const xmlNode *child = cap->children; child; child = child->next) {
		const char *name, *value;
		struct json_object *one;

		if (!node_is(child, "attr"))
			continue;
		name = node_attribute(child, "name");
		value = node_attribute(child, "value");
		if (!name || !value || !host_part_is_sane(name))
			return refuse(refusal, FAULT_XML,
				      "/device/capability/attr: needs a name and a value");
		if (!*out)
			*out = json_object_new_array();
		if (json_object_array_length(*out) == NODE_ATTRIBUTES_MAX)
			return refuse(refusal, FAULT_XML, "/device/capability/attr: at most %u",
				      NODE_ATTRIBUTES_MAX);
		one = json_object_new_object();
		json_object_object_add(one, name, json_object_new_string(value));
		json_object_array_add(*out, one);
	}
	return 0;
}

static int read_mdev(const xmlNode *root, const struct nodes *nodes, struct node_defined *out,
		     struct refusal *refusal)
{
	struct change_mdev *mdev = &out->mdev;
	const xmlNode *parent = child_of(root, "parent"), *cap = child_of(root, "capability");
	const xmlNode *type = child_of(cap, "type"), *uuid = child_of(cap, "uuid");
	const char *cap_type = cap ? node_attribute(cap, "type") : NULL;
	const char *id = type ? node_attribute(type, "id") : NULL;
	const char *name = parent ? parent_of(nodes, node_text(parent)) : NULL;

	if (!cap_type || strcmp(cap_type, "mdev") != 0)
		return refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
			      "/device/capability/@type: must be mdev; nothing else is made");
	if (!name)
		return refuse(refusal, FAULT_XML,
			      "/device/parent: \"%.64s\" is no device that makes mdevs",
			      parent ? node_text(parent) : "");
	if (!id || !host_part_is_sane(id) || strlen(id) >= sizeof(mdev->type))
		return refuse(refusal, FAULT_XML, "/device/capability/type/@id: is no type");
	if (uuid && host_uuid_parse(mdev->uuid, node_text(uuid)))
		return refuse(refusal, FAULT_XML, "/device/capability/uuid: \"%.64s\" is no UUID",
			      node_text(uuid));
	if (!uuid && change_uuid(mdev->uuid, &refusal->err)) {
		refusal->fault = FAULT_INTERNAL;
		return CALL_REFUSED;
	}
	snprintf(mdev->parent, sizeof(mdev->parent), "%s", name);
	snprintf(mdev->type, sizeof(mdev->type), "%s", id);
	return read_attributes(cap, &out->attributes, refusal);
}

int node_read_mdev(const char *xml, const struct nodes *nodes, struct node_defined *mdev,
		   struct refusal *refusal)
{
	xmlDoc *doc = definition_read_xml(xml, strlen(xml), refusal);
	int ret;

	*mdev = (struct node_defined){ 0 };
	if (!doc)
		return CALL_REFUSED;
	if (node_is(xmlDocGetRootElement(doc), "device"))
		ret = read_mdev(xmlDocGetRootElement(doc), nodes, mdev, refusal);
	else
		ret = refuse(refusal, FAULT_XML, "the root element must be <device>");
	xmlFreeDoc(doc);
	return ret;
}
