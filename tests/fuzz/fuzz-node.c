/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mdevs that shall be, from any bytes: a client's node device XML, or a file of mdevctl's, which
 * anybody may have written. An input that begins with '<' is the one, any other the other.
 *
 * What is taken has names that can stand in a path and text that XML can hold; its XML defines the
 * same again, and so does its file. Anything else is refused: XML with a sentence.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A parent that is a function, one that is none, and one that makes nothing. */
static struct host_function function = { .bdf = "0000:3b:00.0", .group = HOST_NO_GROUP };
static struct node node[] = {
	{ .name = "pci_0000_3b_00_0",
	  .parent = NODE_ROOT,
	  .caps = NODE_PCI | NODE_MDEV_TYPES,
	  .function = &function },
	{ .name = "mtty", .parent = NODE_ROOT, .caps = NODE_MDEV_TYPES, .mdev_parent = "mtty" },
	{ .name = NODE_ROOT, .caps = NODE_SYSTEM },
};
static const struct nodes nodes = { .node = node, .n = sizeof(node) / sizeof(node[0]) };

static void must(int true_now)
{
	if (!true_now)
		abort();
}

static void check_same(const struct node_defined *a, const struct node_defined *b)
{
	must(!strcmp(a->mdev.type, b->mdev.type));
	must(json_object_equal(a->attributes, b->attributes));
}

/* As the daemon would tell it to a client, who sends it back. */
static void check_xml(const struct node_defined *defined)
{
	const struct host host = { .root = "/nonexistent" };
	struct refusal refusal = { 0 };
	struct node_defined again;
	const struct node *parent = strcmp(defined->mdev.parent, "mtty") != 0 ? &node[0] : &node[1];
	struct node it = { .caps = NODE_MDEV, .defined = defined };
	char *xml;

	node_name_mdev(it.name, defined->mdev.uuid, defined->mdev.parent);
	memcpy(it.parent, parent->name, sizeof(it.parent));
	xml = node_xml(&nodes, &it, true, &host);
	must(xml != NULL);
	must(!node_read_mdev(xml, &nodes, &again, &refusal));
	check_same(defined, &again);
	must(!strcmp(defined->mdev.uuid, again.mdev.uuid));
	must(!strcmp(defined->mdev.parent, again.mdev.parent));
	json_object_put(again.attributes);
	free(xml);
}

static void check_file(const struct node_defined *defined)
{
	struct json_object *object = node_defined_describe(defined);
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY);
	struct node_defined again = { 0 };

	must(node_defined_parse(&again, text, strlen(text)));
	check_same(defined, &again);
	must(defined->autostart == again.autostart);
	json_object_put(again.attributes);
	json_object_put(object);
}

static void check_taken(const struct node_defined *defined)
{
	must(host_part_is_sane(defined->mdev.type) && strlen(defined->mdev.type) < HOST_TEXT);
	check_xml(defined);
	check_file(defined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node_defined defined = { 0 };
	struct refusal refusal = { 0 };
	char *text = malloc(size + 1);

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	if (*text != '<') {
		memcpy(defined.mdev.parent, "mtty", 5);
		memcpy(defined.mdev.uuid, "c2177883-f1bb-47f0-914d-32a22e3a8804", 37);
		if (node_defined_parse(&defined, text, size))
			check_taken(&defined);
		else
			must(!defined.attributes);
	} else if (!node_read_mdev(text, &nodes, &defined, &refusal)) {
		check_taken(&defined);
	} else {
		must(refusal.fault && *refusal.err.text);
	}
	json_object_put(defined.attributes);
	free(text);
	return 0;
}
