/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a domain. Names, ranges and what goes with what are checked again by adit when
 * the domain starts; here is what XML can say and JSON cannot.
 */
#include "libvirt-driver/definition-devices.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libvirt-driver/bridge.h"
#include "util/bits.h"

#define DISK_NAME_MAX 16u
#define ALIAS_PREFIX  "ua-" /* libvirt's, of names that a person has given */

/* A new member of an array under the root, which the elements inside it fill. */
static void begin_device(struct reader *reader, const char *array)
{
	struct json_object *list;

	if (!json_object_object_get_ex(reader->config, array, &list)) {
		list = json_object_new_array();
		json_object_object_add(reader->config, array, list);
	}
	reader->device = json_object_new_object();
	json_object_array_add(list, reader->device);
}

static bool has(const struct reader *reader, const char *key)
{
	return json_object_object_get_ex(reader->device, key, NULL);
}

/* Where a domain's own sockets and links are. */
static int own_path(struct reader *reader, char *out, size_t size, const char *name)
{
	char uuid[UUID_TEXT];

	uuid_format(uuid, reader->definition->uuid);
	if (snprintf(out, size, "%s/%s/vm/%s", reader->host->run_dir ? reader->host->run_dir : ".",
		     uuid, name) < (int)size)
		return 0;
	return reader_refuse(reader, "the daemon's run directory has too long a name for sockets");
}

static int absolute(struct reader *reader, const char *attribute, const char *path)
{
	if (*path == '/')
		return 0;
	return reader_refuse_attribute(reader, attribute, "must be an absolute path");
}

int on_emulator(struct reader *reader, xmlNode *node)
{
	if (reader->host->adit && !strcmp(node_text(node), reader->host->adit))
		return 0;
	return reader_refuse(reader, "only %s runs domains; leave the element out",
			     reader->host->adit ? reader->host->adit : "adit");
}

/* Other aliases are made up by libvirt's tools for a running domain: nothing of ours. */
int on_alias(struct reader *reader, xmlNode *node)
{
	const char *name = node_attribute(node, "name");

	if (strncmp(name, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) != 0)
		return reader_refuse_attribute(reader, "name",
					       "must begin with \"" ALIAS_PREFIX "\"");
	return 0;
}

/* --- names ----------------------------------------------------------------------------------- */

static const xmlNode *child_of(const xmlNode *node, const char *name)
{
	const xmlNode *child = node ? node->children : NULL;

	while (child && !node_is(child, name))
		child = child->next;
	return child;
}

static const char *word_of(const xmlNode *node, const char *name)
{
	const char *value = node ? node_attribute(node, name) : NULL;

	return value ? value : "";
}

static void name_hostdev(const xmlNode *address, char id[DEVICE_ID])
{
	const char *uuid = node_attribute(address, "uuid");

	if (uuid)
		snprintf(id, DEVICE_ID, "%.36s", uuid);
	else
		snprintf(id, DEVICE_ID, "%04lx-%02lx-%02lx.%lx",
			 strtoul(word_of(address, "domain"), NULL, 0),
			 strtoul(word_of(address, "bus"), NULL, 0),
			 strtoul(word_of(address, "slot"), NULL, 0),
			 strtoul(word_of(address, "function"), NULL, 0));
}

void device_id(const xmlNode *device, char id[DEVICE_ID])
{
	const char *alias = word_of(child_of(device, "alias"), "name");
	const xmlNode *address = child_of(child_of(device, "source"), "address");
	size_t n = 0;

	*id = 0;
	if (*alias)
		snprintf(id, DEVICE_ID, "%.63s", alias);
	else if (node_is(device, "disk"))
		snprintf(id, DEVICE_ID, "%.63s", word_of(child_of(device, "target"), "dev"));
	else if (node_is(device, "interface"))
		snprintf(id, DEVICE_ID, "net-%.59s", word_of(child_of(device, "mac"), "address"));
	else if (node_is(device, "hostdev") && address)
		name_hostdev(address, id);
	/* A name has no colons, and letters of one case here. */
	for (const char *at = id; !*alias && *at; at++) {
		if (*at != ':')
			id[n++] = (char)tolower((unsigned char)*at);
	}
	if (!*alias)
		id[n] = 0;
}

static void name_device(struct reader *reader, const xmlNode *node)
{
	char id[DEVICE_ID];

	device_id(node, id);
	reader_string(reader->device, "id", id);
}

/* --- disks ----------------------------------------------------------------------------------- */

int on_disk(struct reader *reader, xmlNode *node)
{
	begin_device(reader, "disks");
	return reader_place(reader, PLACE_DISK, node, reader->device);
}

int leave_disk(struct reader *reader, xmlNode *node)
{
	if (!has(reader, "path"))
		return reader_refuse(reader, "<source> is missing");
	/* Formats are never guessed: what a guest writes could become one. */
	if (!has(reader, "image_type"))
		return reader_refuse(reader, "<driver type='raw'/> is missing");
	if (!has(reader, "target"))
		return reader_refuse(reader, "<target dev='vdX'/> is missing");
	json_object_object_del(reader->device, "target");
	name_device(reader, node);
	return 0;
}

/* The disk's name, which stays its own whatever others come and go. */
int on_disk_target(struct reader *reader, xmlNode *node)
{
	const char *dev = node_attribute(node, "dev");

	if (strspn(dev, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(dev) || !*dev ||
	    strlen(dev) > DISK_NAME_MAX)
		return reader_refuse_attribute(reader, "dev", "\"%.64s\" is no name of a disk",
					       dev);
	/* libvirt's bus of such a name; what it means is written down. */
	if (!node_attribute(node, "bus") && strncmp(dev, "vd", 2) != 0)
		return reader_refuse_attribute(reader, "bus", "is missing, it must be virtio");
	xmlSetProp(node, (const xmlChar *)"bus", (const xmlChar *)"virtio");
	for (const xmlNode *other = node->parent->prev; other; other = other->prev) {
		if (node_is(other, "disk") &&
		    !strcmp(word_of(child_of(other, "target"), "dev"), dev))
			return reader_refuse_attribute(reader, "dev", "\"%s\" is there twice", dev);
	}
	reader_bool(reader->device, "target", true);
	return 0;
}

int on_disk_driver(struct reader *reader, xmlNode *node)
{
	const char *cache = node_attribute(node, "cache");

	reader_string(reader->device, "image_type", "Raw");
	if (cache && !strcmp(cache, "none"))
		reader_bool(reader->device, "direct", true);
	return 0;
}

int on_disk_source(struct reader *reader, xmlNode *node)
{
	bool block = !strcmp(node_attribute(node->parent, "type"), "block");
	const char *key = block ? "dev" : "file", *path = node_attribute(node, key);

	if (!path)
		return reader_refuse_attribute(reader, key, "is missing");
	if (node_attribute(node, block ? "file" : "dev"))
		return reader_refuse_attribute(reader, block ? "file" : "dev",
					       "does not go with this type of disk");
	if (absolute(reader, key, path))
		return CALL_REFUSED;
	reader_string(reader->device, "path", path);
	return 0;
}

int on_disk_readonly(struct reader *reader, xmlNode *node)
{
	reader_bool(reader->device, "readonly", true);
	return 0;
}

int on_disk_serial(struct reader *reader, xmlNode *node)
{
	reader_string(reader->device, "serial", node_text(node));
	return 0;
}

/* --- interfaces ------------------------------------------------------------------------------ */

int on_interface(struct reader *reader, xmlNode *node)
{
	begin_device(reader, "net");
	return reader_place(reader, PLACE_INTERFACE, node, reader->device);
}

int on_mac(struct reader *reader, xmlNode *node)
{
	reader_string(reader->device, "mac", node_attribute(node, "address"));
	return 0;
}

int on_mtu(struct reader *reader, xmlNode *node)
{
	uint64_t size;

	if (reader_number(reader, "size", node_attribute(node, "size"), 65535, &size))
		return CALL_REFUSED;
	reader_int(reader->device, "mtu", size);
	return 0;
}

/* The guest keeps its address over starts, so it is part of the definition. */
static int make_mac(struct reader *reader, xmlNode *interface)
{
	uint8_t bytes[3];
	xmlNode *node = NULL;
	char text[18];

	if (getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes))
		node = xmlNewDocNode(interface->doc, NULL, (const xmlChar *)"mac", NULL);
	if (!node)
		return refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for a MAC address");
	snprintf(text, sizeof(text), "52:54:00:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2]);
	xmlSetProp(node, (const xmlChar *)"address", (const xmlChar *)text);
	if (interface->children)
		xmlAddPrevSibling(interface->children, node);
	else
		xmlAddChild(interface, node);
	reader_string(reader->device, "mac", text);
	return 0;
}

/* A tap that somebody has made, and keeps. */
static int read_tap(struct reader *reader, const xmlNode *interface)
{
	const xmlNode *target = child_of(interface, "target");

	if (child_of(interface, "source"))
		return reader_refuse(reader, "<source> goes with type bridge");
	if (!target || !node_attribute(target, "managed"))
		return reader_refuse(reader, "<target dev='TAP' managed='no'/> is missing");
	reader_string(reader->device, "tap", node_attribute(target, "dev"));
	return 0;
}

/* A tap of the daemon's: its name follows from the MAC address, and is written down. */
static int read_bridge(struct reader *reader, xmlNode *interface)
{
	const char *mac = word_of(child_of(interface, "mac"), "address");
	const char *bridge = word_of(child_of(interface, "source"), "bridge");
	xmlNode *target = (xmlNode *)child_of(interface, "target");
	char tap[TAP_NAME];

	if (!*bridge || strlen(bridge) >= TAP_NAME || strchr(bridge, '/'))
		return reader_refuse(reader, "<source bridge='NAME'/> is missing, or no name");
	bridge_tap_name(mac, tap);
	if (target &&
	    (strcmp(node_attribute(target, "dev"), tap) != 0 || node_attribute(target, "managed")))
		return reader_refuse(reader, "<target> must be %s, or left out", tap);
	if (!target) {
		target = xmlNewChild(interface, NULL, (const xmlChar *)"target", NULL);
		if (!target)
			return refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for a target");
		xmlSetProp(target, (const xmlChar *)"dev", (const xmlChar *)tap);
	}
	reader_string(reader->device, "tap", tap);
	reader_string(reader->bridges, tap, bridge);
	return 0;
}

int leave_interface(struct reader *reader, xmlNode *node)
{
	if (!has(reader, "mac") && make_mac(reader, node))
		return CALL_REFUSED;
	if (!strcmp(node_attribute(node, "type"), "bridge") ? read_bridge(reader, node)
							    : read_tap(reader, node))
		return CALL_REFUSED;
	name_device(reader, node);
	return 0;
}

/* --- where bytes lead ------------------------------------------------------------------------ */

static int begin_sink(struct reader *reader, struct json_object *object, const xmlNode *node)
{
	static const struct {
		const char *type, *mode;
	} modes[] = {
		{ "pty", "Pty" }, { "file", "File" }, { "unix", "Socket" }, { "null", "Null" }
	};
	const char *type = node_attribute(node, "type");

	reader->device = object;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(type, modes[i].type))
			reader_string(object, "mode", modes[i].mode);
	}
	return 0;
}

int on_serial(struct reader *reader, xmlNode *node)
{
	if (reader->console_is_serial)
		return reader_refuse(reader, "must stand before the <console> that repeats it");
	reader->has_serial = true;
	return begin_sink(reader, reader_object(reader->config, "serial"), node);
}

static bool targets_virtio(const xmlNode *console)
{
	for (const xmlNode *child = console->children; child; child = child->next) {
		const char *type = node_is(child, "target") ? node_attribute(child, "type") : NULL;

		if (type)
			return !strcmp(type, "virtio");
	}
	return false;
}

/* Without a virtio target it is the serial port by its other name. */
int on_console(struct reader *reader, xmlNode *node)
{
	if (targets_virtio(node))
		return begin_sink(reader, reader_object(reader->config, "console"), node);
	reader->console_is_serial = true;
	if (!reader->has_serial)
		return begin_sink(reader, reader_object(reader->config, "serial"), node);
	for (const xmlNode *other = node->parent->children; other; other = other->next) {
		if (node_is(other, "serial") &&
		    strcmp(node_attribute(other, "type"), node_attribute(node, "type")) != 0)
			return reader_refuse_attribute(
				reader, "type", "must be that of the <serial> that it repeats");
	}
	reader->device = NULL;
	return 0;
}

int on_channel(struct reader *reader, xmlNode *node)
{
	struct json_object *console = reader_object(reader->config, "console"), *ports;

	if (!json_object_object_get_ex(console, "ports", &ports)) {
		ports = json_object_new_array();
		json_object_object_add(console, "ports", ports);
	}
	reader->device = json_object_new_object();
	json_object_array_add(ports, reader->device);
	return begin_sink(reader, reader->device, node);
}

int on_channel_target(struct reader *reader, xmlNode *node)
{
	reader_string(reader->device, "name", node_attribute(node, "name"));
	return 0;
}

int on_sink_source(struct reader *reader, xmlNode *node)
{
	const char *path = node_attribute(node, "path");
	const char *type = node_attribute(node->parent, "type");

	/* The path of a terminal is what a running domain was given. */
	if (!reader->device || !path || !strcmp(type, "pty"))
		return 0;
	if (!strcmp(type, "null"))
		return reader_refuse_attribute(reader, "path", "does not go with this type");
	if (absolute(reader, "path", path))
		return CALL_REFUSED;
	reader_string(reader->device, !strcmp(type, "unix") ? "socket" : "file", path);
	return 0;
}

int leave_sink(struct reader *reader, xmlNode *node)
{
	const char *type = node_attribute(node, "type");

	if (!reader->device)
		return 0;
	if ((!strcmp(type, "unix") && !has(reader, "socket")) ||
	    (!strcmp(type, "file") && !has(reader, "file")))
		return reader_refuse(reader, "<source path='/...'/> is missing");
	if (node_is(node, "channel") && !has(reader, "name"))
		return reader_refuse(reader, "<target type='virtio' name='...'/> is missing");
	return 0;
}

/* --- vsock, rng, balloon --------------------------------------------------------------------- */

int on_vsock(struct reader *reader, xmlNode *node)
{
	reader->device = reader_object(reader->config, "vsock");
	return reader_place(reader, PLACE_VSOCK, node, reader->device);
}

int on_cid(struct reader *reader, xmlNode *node)
{
	uint64_t cid;

	if (reader_number(reader, "address", node_attribute(node, "address"), UINT32_MAX, &cid))
		return CALL_REFUSED;
	reader_int(reader->device, "cid", cid);
	return 0;
}

int leave_vsock(struct reader *reader, xmlNode *node)
{
	if (has(reader, "cid"))
		return 0;
	return reader_refuse(reader, "<cid address='N'/> is missing; adit does not choose one");
}

int on_rng(struct reader *reader, xmlNode *node)
{
	reader->device = reader_object(reader->config, "rng");
	return reader_place(reader, PLACE_RNG, node, reader->device);
}

int on_rng_backend(struct reader *reader, xmlNode *node)
{
	const char *path = node_text(node);

	/* Without a file it is getrandom(2), which /dev/urandom is too. */
	if (!*path || !strcmp(path, "/dev/urandom"))
		return 0;
	if (*path != '/')
		return reader_refuse(reader, "must be an absolute path");
	reader_string(reader->device, "src", path);
	return 0;
}

int on_balloon(struct reader *reader, xmlNode *node)
{
	if (!strcmp(node_attribute(node, "model"), "none")) {
		if (node->children || node_attribute(node, "autodeflate") ||
		    node_attribute(node, "freePageReporting"))
			return reader_refuse(reader, "model none has nothing to set");
		return 0;
	}
	reader->device = reader_object(reader->config, "balloon");
	reader->definition->balloon = true;
	if (reader_says_yes(node, "autodeflate"))
		reader_bool(reader->device, "deflate_on_oom", true);
	if (reader_says_yes(node, "freePageReporting"))
		reader_bool(reader->device, "free_page_reporting", true);
	return reader_place(reader, PLACE_BALLOON, node, reader->device);
}

int on_balloon_stats(struct reader *reader, xmlNode *node)
{
	uint64_t seconds;

	if (reader_number(reader, "period", node_attribute(node, "period"), 3600, &seconds))
		return CALL_REFUSED;
	reader_int(reader->device, "statistics_interval", seconds);
	return 0;
}

/* --- devices of the host --------------------------------------------------------------------- */

int on_hostdev(struct reader *reader, xmlNode *node)
{
	bool mdev = !strcmp(node_attribute(node, "type"), "mdev");

	if (mdev && reader_says_yes(node, "managed"))
		return reader_refuse_attribute(reader, "managed",
					       "an mdev has no driver to be "
					       "taken from");
	begin_device(reader, "devices");
	if (reader_says_yes(node, "managed"))
		reader_bool(reader->device, "managed", true);
	return reader_place(reader, PLACE_HOSTDEV, node, reader->device);
}

int leave_hostdev(struct reader *reader, xmlNode *node)
{
	if (!has(reader, "path"))
		return reader_refuse(reader, "<source><address .../></source> is missing");
	name_device(reader, node);
	return 0;
}

int on_hostdev_driver(struct reader *reader, xmlNode *node)
{
	if (reader_says_yes(node, "iommufd"))
		reader_string(reader_object(reader->config, "iommu"), "provider", "iommufd");
	return 0;
}

int reader_hex(struct reader *reader, const xmlNode *node, const char *name, uint32_t max,
	       uint32_t *out)
{
	const char *text = node_attribute(node, name);
	unsigned long value;
	char *end;

	*out = 0;
	if (!text && !strcmp(name, "domain"))
		return 0;
	if (!text)
		return reader_refuse_attribute(reader, name, "is missing");
	value = strtoul(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || value > max)
		return reader_refuse_attribute(reader, name, "\"%.16s\" is not from 0 to %#x", text,
					       max);
	*out = (uint32_t)value;
	return 0;
}

int on_hostdev_address(struct reader *reader, xmlNode *node)
{
	bool mdev = !strcmp(node_attribute(node->parent->parent, "type"), "mdev");
	const char *uuid = node_attribute(node, "uuid");
	uint32_t domain, bus, slot, function;
	uint8_t bytes[XDR_UUID];
	char text[UUID_TEXT];

	if (mdev != (uuid != NULL) || (mdev && node_attribute(node, "bus")))
		return reader_refuse(reader, "an mdev has a uuid, a function has bus, slot and "
					     "function");
	if (mdev) {
		if (!uuid_parse(bytes, uuid))
			return reader_refuse_attribute(reader, "uuid", "\"%.64s\" is no UUID",
						       uuid);
		uuid_format(text, bytes);
	} else {
		if (reader_hex(reader, node, "domain", 0xffff, &domain) ||
		    reader_hex(reader, node, "bus", 0xff, &bus) ||
		    reader_hex(reader, node, "slot", 0x1f, &slot) ||
		    reader_hex(reader, node, "function", 7, &function))
			return CALL_REFUSED;
		snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", domain, bus, slot, function);
	}
	reader_string(reader->device, "path", text);
	return 0;
}

int on_hostdev_rom(struct reader *reader, xmlNode *node)
{
	reader_bool(reader->device, "rom", reader_says_yes(node, "bar"));
	return 0;
}

/* --- after the walk -------------------------------------------------------------------------- */

/* A terminal is found under one name as long as the domain runs. */
static int link_terminal(struct reader *reader, const char *key)
{
	struct json_object *sink, *mode;
	char path[512];

	if (!json_object_object_get_ex(reader->config, key, &sink) ||
	    !json_object_object_get_ex(sink, "mode", &mode) ||
	    strcmp(json_object_get_string(mode), "Pty") != 0)
		return 0;
	if (own_path(reader, path, sizeof(path), key))
		return CALL_REFUSED;
	reader_string(sink, "link", path);
	return 0;
}

int definition_finish_devices(struct reader *reader)
{
	struct json_object *vsock;
	char path[108];

	/* Without a serial port in the XML nothing of the daemon's becomes one. */
	if (!json_object_object_get_ex(reader->config, "serial", NULL))
		reader_string(reader_object(reader->config, "serial"), "mode", "Null");
	if (link_terminal(reader, "serial") || link_terminal(reader, "console"))
		return CALL_REFUSED;
	if (!json_object_object_get_ex(reader->config, "vsock", &vsock))
		return 0;
	if (own_path(reader, path, sizeof(path) - 12, "vsock"))
		return CALL_REFUSED;
	reader_string(vsock, "socket", path);
	return 0;
}
