/* SPDX-License-Identifier: Apache-2.0 */
/* Where two definitions say different things: the path of the first element or attribute. */
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>

#include "libvirt-driver/definition-edit.h"
#include "libvirt-driver/definition-reader.h"

struct path {
	char text[READER_PATH];
	size_t len;
};

static const xmlNode *element(const xmlNode *node)
{
	while (node && node->type != XML_ELEMENT_NODE)
		node = node->next;
	return node;
}

static void push(struct path *path, const char *mark, const char *name)
{
	int n = snprintf(path->text + path->len, sizeof(path->text) - path->len, "/%s%.64s", mark,
			 name);

	if (n > 0 && (size_t)n < sizeof(path->text) - path->len)
		path->len += (size_t)n;
}

/* An attribute of one that the other has not, or otherwise. */
static bool has_other_attribute(const xmlNode *one, const xmlNode *other, struct path *path)
{
	for (const xmlAttr *at = one->properties; at; at = at->next) {
		const char *name = (const char *)at->name;
		const char *value = node_attribute(one, name);
		const char *against = node_attribute(other, name);

		if (value && against && !strcmp(value, against))
			continue;
		push(path, "@", name);
		return true;
	}
	return false;
}

static bool is_other(const xmlNode *one, const xmlNode *other, struct path *path)
{
	const xmlNode *a = element(one->children), *b = element(other->children);
	size_t len = path->len;

	push(path, "", (const char *)one->name);
	if (has_other_attribute(one, other, path) || has_other_attribute(other, one, path))
		return true;
	if (!a && !b && strcmp(node_text(one), node_text(other)) != 0)
		return true;
	for (; a && b; a = element(a->next), b = element(b->next)) {
		/* One of them is more, or less, than was there. */
		if (!node_is(a, (const char *)b->name)) {
			push(path, "", (const char *)b->name);
			return true;
		}
		if (is_other(a, b, path))
			return true;
	}
	if (a || b) {
		push(path, "", (const char *)(a ? a : b)->name);
		return true;
	}
	path->len = len;
	path->text[len] = 0;
	return false;
}

int definition_refuse_difference(const struct definition *from, const struct definition *to,
				 struct refusal *refusal)
{
	struct path path = { .len = 0 };
	xmlDoc *one, *other;
	int ret = 0;

	if (!strcmp(from->xml, to->xml))
		return 0;
	one = definition_read_xml(from->xml, strlen(from->xml), refusal);
	other = one ? definition_read_xml(to->xml, strlen(to->xml), refusal) : NULL;
	if (!other)
		ret = CALL_REFUSED;
	else if (is_other(xmlDocGetRootElement(one), xmlDocGetRootElement(other), &path))
		ret = refuse(refusal, FAULT_OPERATION_UNSUPPORTED,
			     "%s: stays as it is while the domain runs: detach the device and "
			     "attach it anew, or use --config for the next start",
			     path.text);
	xmlFreeDoc(one);
	xmlFreeDoc(other);
	return ret;
}
