/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical XML is taken apart, changed and read again: there is one way to judge a domain. */
#include "libvirt-driver/definition-edit.h"

#include <inttypes.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libvirt-driver/definition-devices.h"
#include "util/bits.h"

static xmlNode *child_of(const xmlNode *node, const char *name)
{
	xmlNode *child = node ? node->children : NULL;

	while (child && !node_is(child, name))
		child = child->next;
	return child;
}

/* --- which device ---------------------------------------------------------------------------- */

static bool same_number(const char *a, const char *b)
{
	return strtoul(a ? a : "0", NULL, 0) == strtoul(b ? b : "0", NULL, 0);
}

/* Of its source: a UUID, or the parts of a PCI address in whatever way they are written. */
static bool same_address(const xmlNode *a, const xmlNode *b)
{
	static const char *const parts[] = { "domain", "bus", "slot", "function" };
	const char *uuid = node_attribute(a, "uuid"), *other = node_attribute(b, "uuid");

	if (uuid || other)
		return uuid && other && !strcasecmp(uuid, other);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!same_number(node_attribute(a, parts[i]), node_attribute(b, parts[i])))
			return false;
	}
	return true;
}

/* Where the element stands that tells one device from another of its name. */
static const struct kind {
	const char *name, *element, *attribute;
} kinds[] = {
	{ "disk", "target", "dev" },	 { "interface", "mac", "address" },
	{ "channel", "target", "name" }, { "hostdev", "source", NULL },
	{ "rng", NULL, NULL },		 { "vsock", NULL, NULL },
};

static const struct kind *kind_of(const xmlNode *device)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (node_is(device, kinds[i].name))
			return &kinds[i];
	}
	return NULL;
}

/* NULL: it does not say which one it is. */
static const xmlNode *mark_of(const struct kind *kind, const xmlNode *device)
{
	const xmlNode *mark = kind->element ? child_of(device, kind->element) : device;

	if (mark && kind->attribute)
		return node_attribute(mark, kind->attribute) ? mark : NULL;
	return mark && kind->element ? child_of(mark, "address") : mark;
}

static bool same_device(const struct kind *kind, const xmlNode *a, const xmlNode *b)
{
	const xmlNode *mark = mark_of(kind, a), *other = mark_of(kind, b);

	if (!mark || !other)
		return false;
	if (kind->attribute)
		return !strcasecmp(node_attribute(mark, kind->attribute),
				   node_attribute(other, kind->attribute));
	return !kind->element || same_address(mark, other);
}

static xmlNode *find_same(const xmlNode *devices, const struct kind *kind, const xmlNode *device)
{
	xmlNode *other = devices->children;

	while (other && (!node_is(other, kind->name) || !same_device(kind, other, device)))
		other = other->next;
	return other;
}

/* --- changing -------------------------------------------------------------------------------- */

/* Behind the last of its name, so that those before it keep their order. */
static int insert(xmlNode *devices, const xmlNode *device, struct refusal *refusal)
{
	xmlNode *copy = xmlDocCopyNode((xmlNode *)device, devices->doc, 1), *after = NULL;

	for (xmlNode *other = devices->children; other; other = other->next) {
		if (node_is(other, (const char *)device->name))
			after = other;
	}
	if (copy && (after ? xmlAddNextSibling(after, copy) : xmlAddChild(devices, copy)))
		return 0;
	xmlFreeNode(copy);
	return refuse(refusal, FAULT_NO_MEMORY, "no memory for a device");
}

static void remove_node(xmlNode *node)
{
	xmlUnlinkNode(node);
	xmlFreeNode(node);
}

/* Where the guest finds it does not change with it, unless it is said. */
static void keep_place(const xmlNode *from, xmlNode *to)
{
	xmlNode *address = child_of(from, "address");

	if (address && !child_of(to, "address"))
		xmlAddChild(to, xmlDocCopyNode(address, to->doc, 1));
}

static int change_device(xmlNode *devices, enum device_change change, const xmlNode *device,
			 struct refusal *refusal)
{
	const struct kind *kind = kind_of(device);
	xmlNode *same;

	if (!kind)
		return refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
			      "/%.64s: cannot be changed by itself; define the domain again",
			      (const char *)device->name);
	/* A new interface is given an address of its own. */
	if (!mark_of(kind, device) && (change != DEVICE_ATTACH || !node_is(device, "interface")))
		return refuse(refusal, FAULT_XML, "/%s/%s: is missing; it says which device it is",
			      kind->name, kind->element);
	same = find_same(devices, kind, device);
	if (change == DEVICE_ATTACH && same)
		return refuse(refusal, FAULT_OPERATION_INVALID,
			      "the domain has this %s already; update it, or detach it first",
			      kind->name);
	if (change != DEVICE_ATTACH && !same)
		return refuse(refusal, FAULT_DEVICE_MISSING, "the domain has no such %s",
			      kind->name);
	if (change == DEVICE_ATTACH)
		return insert(devices, device, refusal);
	if (change == DEVICE_UPDATE) {
		xmlNode *copy = xmlDocCopyNode((xmlNode *)device, devices->doc, 1);

		if (!copy || !xmlAddNextSibling(same, copy))
			return refuse(refusal, FAULT_NO_MEMORY, "no memory for a device");
		keep_place(same, copy);
	}
	remove_node(same);
	return 0;
}

/* --- the way of every change ----------------------------------------------------------------- */

static xmlDoc *take_apart(const struct definition *from, struct refusal *refusal)
{
	return definition_read_xml(from->xml, strlen(from->xml), refusal);
}

static struct definition *put_together(xmlDoc *doc, int ret, const struct definition_host *host,
				       struct refusal *refusal)
{
	struct definition *definition = NULL;
	xmlChar *text = NULL;
	int len;

	if (!ret) {
		xmlDocDumpMemory(doc, &text, &len);
		if (text)
			definition =
				definition_parse((const char *)text, (size_t)len, host, refusal);
		else
			refuse(refusal, FAULT_NO_MEMORY, "no memory for a domain's XML");
	}
	xmlFree(text);
	xmlFreeDoc(doc);
	return definition;
}

/* Made where the domain has none. */
static xmlNode *devices_of(xmlDoc *doc)
{
	xmlNode *root = xmlDocGetRootElement(doc), *devices = child_of(root, "devices");

	return devices ? devices : xmlNewChild(root, NULL, (const xmlChar *)"devices", NULL);
}

struct definition *definition_change_device(const struct definition *from,
					    enum device_change change, const char *xml,
					    const struct definition_host *host,
					    struct refusal *refusal)
{
	xmlDoc *device = definition_read_xml(xml, strlen(xml), refusal);
	xmlDoc *doc = device ? take_apart(from, refusal) : NULL;
	struct definition *definition = NULL;

	if (doc)
		definition = put_together(doc,
					  change_device(devices_of(doc), change,
							xmlDocGetRootElement(device), refusal),
					  host, refusal);
	xmlFreeDoc(device);
	return definition;
}

struct definition *definition_detach_alias(const struct definition *from, const char *alias,
					   const struct definition_host *host,
					   struct refusal *refusal)
{
	xmlDoc *doc = take_apart(from, refusal);
	xmlNode *device = doc ? devices_of(doc)->children : NULL;

	if (!doc)
		return NULL;
	for (; device; device = device->next) {
		char id[DEVICE_ID] = "";

		if (kind_of(device))
			device_id(device, id);
		if (*id && !strcmp(id, alias))
			break;
	}
	if (device)
		remove_node(device);
	return put_together(doc,
			    device ? 0
				   : refuse(refusal, FAULT_DEVICE_MISSING,
					    "no device has the alias \"%.64s\"", alias),
			    host, refusal);
}

static xmlNode *make_element(xmlNode *root, const char *name)
{
	xmlNode *node = xmlNewDocNode(root->doc, NULL, (const xmlChar *)name, NULL);

	/* Behind the name, where the schema has title and description. */
	return node ? xmlAddNextSibling(child_of(root, "name"), node) : NULL;
}

static int set_text(xmlNode *root, const char *element, const char *text, struct refusal *refusal)
{
	xmlNode *node = child_of(root, element), *words;

	if (!text) {
		if (node)
			remove_node(node);
		return 0;
	}
	words = xmlNewDocText(root->doc, (const xmlChar *)text);
	if (!node)
		node = make_element(root, element);
	if (!node || !words) {
		xmlFreeNode(words);
		return refuse(refusal, FAULT_NO_MEMORY, "no memory for a <%s>", element);
	}
	xmlNodeSetContent(node, NULL);
	xmlUnsetProp(node, (const xmlChar *)"unit");
	xmlAddChild(node, words);
	return 0;
}

struct definition *definition_set_text(const struct definition *from, const char *element,
				       const char *text, const struct definition_host *host,
				       struct refusal *refusal)
{
	xmlDoc *doc = take_apart(from, refusal);

	if (!doc)
		return NULL;
	return put_together(doc, set_text(xmlDocGetRootElement(doc), element, text, refusal), host,
			    refusal);
}

static int set_kib(xmlNode *root, const char *element, uint64_t kib, struct refusal *refusal)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, kib);
	return set_text(root, element, text, refusal);
}

struct definition *definition_set_memory(const struct definition *from, uint64_t kib,
					 uint64_t current_kib, const struct definition_host *host,
					 struct refusal *refusal)
{
	xmlDoc *doc = take_apart(from, refusal);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	int ret;

	if (!doc)
		return NULL;
	ret = set_kib(root, "memory", kib, refusal);
	if (!ret && (child_of(root, "currentMemory") || current_kib != kib))
		ret = set_kib(root, "currentMemory", current_kib, refusal);
	return put_together(doc, ret, host, refusal);
}
