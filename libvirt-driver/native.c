/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the XML of a configuration, a function for each of its members, and compares at the end.
 */
#include "libvirt-driver/native.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libvirt-driver/bridge.h"
#include "libvirt-driver/definition-devices.h"
#include "libvirt-driver/definition-reader.h"
#include "libvirt-driver/json.h"
#include "util/bits.h"
#include "util/json-strict.h"

#define POINTER_BYTES 256u

/* --- reading --------------------------------------------------------------------------------- */

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static struct json_object *get_object(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return json_object_is_type(value, json_type_object) ? value : NULL;
}

/* How many elements it has; none where it is no array. */
static size_t count(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* Bytes as a number, or with a K, M, G or T behind it. */
static bool read_size(struct json_object *value, uint64_t *out)
{
	static const char letters[] = "KMGT";
	const char *text, *letter;
	char *end;

	if (json_object_is_type(value, json_type_int)) {
		*out = json_object_get_uint64(value);
		return json_object_get_int64(value) >= 0;
	}
	if (!json_object_is_type(value, json_type_string))
		return false;
	text = json_object_get_string(value);
	if (*text < '0' || *text > '9' || strlen(text) > 15)
		return false;
	*out = strtoull(text, &end, 10);
	letter = *end ? strchr(letters, *end) : NULL;
	if (*end && (!letter || end[1]))
		return false;
	for (const char *at = letters; letter && at <= letter; at++) {
		if (*out > UINT64_MAX / KIB)
			return false;
		*out *= KIB;
	}
	return true;
}

static struct json_object *read_text(const char *json, size_t len, struct refusal *refusal)
{
	struct json_object *object = NULL;

	if (len > NATIVE_MAX) {
		refuse(refusal, FAULT_INVALID_ARG, "a configuration has at most %u bytes",
		       NATIVE_MAX);
	} else if (json_strict_parse(&object, json, len, &refusal->err)) {
		refusal->fault = FAULT_INVALID_ARG;
	} else if (!json_object_is_type(object, json_type_object)) {
		refuse(refusal, FAULT_INVALID_ARG,
		       "(document): it must be a JSON object as adit run takes it");
		json_object_put(object);
		object = NULL;
	}
	return object;
}

/* --- writing --------------------------------------------------------------------------------- */

/* What cannot be written, or there was no memory for, is missing in the end, and found by the
 * comparison. */
static xmlNode *add(xmlNode *parent, const char *name)
{
	return parent ? xmlNewChild(parent, NULL, (const xmlChar *)name, NULL) : NULL;
}

static xmlNode *add_text(xmlNode *parent, const char *name, const char *text)
{
	return parent && text_is_writable(text)
		       ? xmlNewTextChild(parent, NULL, (const xmlChar *)name, (const xmlChar *)text)
		       : NULL;
}

/* Nothing where value is NULL. */
static void set(xmlNode *node, const char *name, const char *value)
{
	if (node && value && text_is_writable(value))
		xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

static bool is_true(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

/* A string, a number or a truth, as attributes have them; NULL: it is none of them. */
static const char *word_of(struct json_object *value)
{
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value) ? "yes" : "no";
	return json_object_is_type(value, json_type_string) ||
			       json_object_is_type(value, json_type_int)
		       ? json_object_get_string(value)
		       : NULL;
}

/* Attributes that have the names of the members. */
static void copy(xmlNode *node, struct json_object *from, const char *const *names)
{
	for (; *names; names++)
		set(node, *names, word_of(get(from, *names)));
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void write_payload(xmlNode *root, xmlNode *machine, struct json_object *config)
{
	struct json_object *payload = get_object(config, "payload");
	xmlNode *os = add(root, "os"), *flat;

	set(add_text(os, "type", "hvm"), "machine", "adit");
	if (get(payload, "kernel"))
		add_text(os, "kernel", json_word(payload, "kernel", ""));
	if (get(payload, "initramfs"))
		add_text(os, "initrd", json_word(payload, "initramfs", ""));
	if (get(payload, "cmdline"))
		add_text(os, "cmdline", json_word(payload, "cmdline", ""));
	if (!get(payload, "flat"))
		return;
	flat = add(machine, "flat");
	set(flat, "path", json_word(payload, "flat", ""));
	copy(flat, payload, NAMES("address"));
}

static void write_bytes(xmlNode *root, const char *name, uint64_t bytes)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	set(add_text(root, name, text), "unit", "bytes");
}

static void write_memory(xmlNode *root, struct json_object *config)
{
	struct json_object *memory = get_object(config, "memory");
	struct json_object *prefault = get(memory, "prefault"), *shared = get(memory, "shared");
	uint64_t size, balloon, page;
	xmlNode *backing;

	if (read_size(get(memory, "size"), &size)) {
		write_bytes(root, "memory", size);
		if (read_size(get(get_object(config, "balloon"), "size"), &balloon) &&
		    balloon <= size)
			write_bytes(root, "currentMemory", size - balloon);
	}
	backing = add(root, "memoryBacking");
	if (is_true(memory, "hugepages")) {
		xmlNode *pages = add(backing, "hugepages"), *one;
		char text[24];

		if (read_size(get(memory, "hugepage_size"), &page)) {
			one = add(pages, "page");
			snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)(page / KIB));
			set(one, "size", text);
			set(one, "unit", "KiB");
		}
	}
	if (shared)
		set(add(backing, "access"), "mode",
		    is_true(memory, "shared") ? "shared" : "private");
	if (prefault)
		set(add(backing, "allocation"), "mode",
		    is_true(memory, "prefault") ? "immediate" : "ondemand");
}

/* --- devices --------------------------------------------------------------------------------- */

static void write_slot(xmlNode *node, struct json_object *device)
{
	xmlNode *address = get(device, "slot") ? add(node, "address") : NULL;

	set(address, "type", "pci");
	set(address, "slot", address ? word_of(get(device, "slot")) : NULL);
}

/* libvirt's own bus of a disk is told by its name; any other name says it beside. */
static void write_disk(xmlNode *devices, struct json_object *disk, size_t index)
{
	const char *path = json_word(disk, "path", ""), *id = json_word(disk, "id", "");
	bool block = !strncmp(path, "/dev/", 5), named = !strncmp(id, "ua-", 3);
	xmlNode *node = add(devices, "disk"), *driver, *target;
	char next[16];

	set(node, "type", block ? "block" : "file");
	driver = add(node, "driver");
	set(driver, "type", !strcmp(json_word(disk, "image_type", ""), "Raw") ? "raw" : NULL);
	set(driver, "cache", is_true(disk, "direct") ? "none" : NULL);
	set(add(node, "source"), block ? "dev" : "file", path);
	target = add(node, "target");
	if (index < 26)
		snprintf(next, sizeof(next), "vd%c", 'a' + (int)index);
	else
		snprintf(next, sizeof(next), "vd%c%c", 'a' + (int)((index / 26 - 1) % 26),
			 'a' + (int)(index % 26));
	set(target, "dev", *id && !named ? id : next);
	set(target, "bus", "virtio");
	if (is_true(disk, "readonly"))
		add(node, "readonly");
	if (get(disk, "serial"))
		add_text(node, "serial", json_word(disk, "serial", ""));
	if (named)
		set(add(node, "alias"), "name", id);
	write_slot(node, disk);
}

/* -1: it is a tap of the daemon's, whose bridge is not told. */
static int write_net(xmlNode *devices, struct json_object *net, size_t index,
		     struct refusal *refusal)
{
	const char *mac = json_word(net, "mac", ""), *tap = json_word(net, "tap", "");
	const char *id = json_word(net, "id", "");
	xmlNode *node = add(devices, "interface"), *target;
	char own[TAP_NAME];

	bridge_tap_name(mac, own);
	if (*mac && !strcmp(tap, own))
		return refuse(
			refusal, FAULT_CONFIG_UNSUPPORTED,
			"/net/%zu/tap: \"%s\" is made for <interface type='bridge'>, of which a "
			"configuration has no bridge: define that interface by its XML",
			index, tap);
	set(node, "type", "ethernet");
	if (*mac)
		set(add(node, "mac"), "address", mac);
	target = add(node, "target");
	set(target, "dev", tap);
	set(target, "managed", "no");
	set(add(node, "model"), "type", "virtio");
	if (get(net, "mtu"))
		set(add(node, "mtu"), "size", word_of(get(net, "mtu")));
	if (!strncmp(id, "ua-", 3))
		set(add(node, "alias"), "name", id);
	write_slot(node, net);
	return 0;
}

static const char *sink_type(struct json_object *sink)
{
	const char *mode = json_word(sink, "mode", "");

	return !strcasecmp(mode, "File")     ? "file"
	       : !strcasecmp(mode, "Socket") ? "unix"
	       : !strcasecmp(mode, "Null")   ? "null"
					     : "pty";
}

static xmlNode *write_sink(xmlNode *devices, const char *name, struct json_object *sink)
{
	xmlNode *node = add(devices, name), *source;

	set(node, "type", sink_type(sink));
	if (get(sink, "socket")) {
		source = add(node, "source");
		set(source, "mode", "bind");
		set(source, "path", json_word(sink, "socket", ""));
	} else if (get(sink, "file")) {
		set(add(node, "source"), "path", json_word(sink, "file", ""));
	}
	return node;
}

static void write_console(xmlNode *devices, struct json_object *console)
{
	struct json_object *ports = get(console, "ports");
	xmlNode *target;

	if (get(console, "mode")) {
		target = add(write_sink(devices, "console", console), "target");
		set(target, "type", "virtio");
		set(target, "port", "0");
	}
	if (get(console, "slot")) {
		xmlNode *controller = add(devices, "controller");

		set(controller, "type", "virtio-serial");
		set(controller, "index", "0");
		write_slot(controller, console);
	}
	for (size_t i = 0; i < count(ports); i++) {
		struct json_object *port = json_object_array_get_idx(ports, i);

		target = add(write_sink(devices, "channel", port), "target");
		set(target, "type", "virtio");
		set(target, "name", json_word(port, "name", ""));
	}
}

static void write_single(xmlNode *devices, struct json_object *config)
{
	struct json_object *vsock = get_object(config, "vsock"), *rng = get_object(config, "rng");
	struct json_object *balloon = get_object(config, "balloon");
	xmlNode *node;

	if (vsock) {
		node = add(devices, "vsock");
		set(add(node, "cid"), "address", word_of(get(vsock, "cid")));
		write_slot(node, vsock);
	}
	if (rng) {
		node = add(devices, "rng");
		set(node, "model", "virtio");
		set(add_text(node, "backend", json_word(rng, "src", "/dev/urandom")), "model",
		    "random");
		write_slot(node, rng);
	}
	if (!balloon)
		return;
	node = add(devices, "memballoon");
	set(node, "model", "virtio");
	set(node, "autodeflate", is_true(balloon, "deflate_on_oom") ? "on" : NULL);
	set(node, "freePageReporting", is_true(balloon, "free_page_reporting") ? "on" : NULL);
	if (get(balloon, "statistics_interval"))
		set(add(node, "stats"), "period", word_of(get(balloon, "statistics_interval")));
	write_slot(node, balloon);
}

/* "0000:3b:00.0" in its parts, which the definition's reader judges. */
static void write_address(xmlNode *source, const char *path)
{
	static const struct {
		const char *name;
		int at, len;
	} parts[] = {
		{ "domain", 0, 4 }, { "bus", 5, 2 }, { "slot", 8, 2 }, { "function", 11, 1 }
	};
	xmlNode *address = add(source, "address");
	char text[8];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		snprintf(text, sizeof(text), "0x%.*s", parts[i].len, path + parts[i].at);
		set(address, parts[i].name, text);
	}
}

static void write_hostdev(xmlNode *devices, xmlNode *machine, struct json_object *device)
{
	static const char *const beside[] = { "coherency",	"via",
					      "vf_token",	"unsafe_stale_reads",
					      "allow_no_reset", NULL };
	const char *path = json_word(device, "path", ""), *id = json_word(device, "id", "");
	xmlNode *node = add(devices, "hostdev"), *more = NULL;
	char own[DEVICE_ID];
	bool function = strlen(path) == strlen("0000:00:00.0");

	set(node, "mode", "subsystem");
	set(node, "type", function ? "pci" : "mdev");
	set(node, "model", function ? NULL : "vfio-pci");
	set(node, "managed", is_true(device, "managed") ? "yes" : NULL);
	if (function)
		write_address(add(node, "source"), path);
	else
		set(add(add(node, "source"), "address"), "uuid", path);
	if (get(device, "rom"))
		set(add(node, "rom"), "bar", is_true(device, "rom") ? "on" : "off");
	if (!strncmp(id, "ua-", 3))
		set(add(node, "alias"), "name", id);
	write_slot(node, device);
	for (const char *const *name = beside; *name; name++) {
		if (get(device, *name) && !more)
			more = add(machine, "hostdev");
	}
	snprintf(own, sizeof(own), "%s", *id ? id : path);
	for (char *colon = own; (colon = strchr(colon, ':'));)
		*colon = '-';
	set(more, "alias", own);
	copy(more, device, beside);
}

/* --- what is adit's -------------------------------------------------------------------------- */

static void write_adi(xmlNode *machine, struct json_object *adi)
{
	struct json_object *wqs = get(adi, "wqs"), *pasid = get_object(adi, "pasid");
	xmlNode *node = add(machine, "adi");

	copy(node, adi,
	     NAMES("id", "type", "backend", "node", "engines", "slot", "fixed", "interrupt_handles",
		   "event_log"));
	for (size_t i = 0; i < count(wqs); i++)
		copy(add(node, "wq"), json_object_array_get_idx(wqs, i),
		     NAMES("mode", "size", "threshold", "group"));
	if (pasid)
		copy(add(node, "pasid"), pasid, NAMES("allow", "width"));
}

static void write_machine(xmlNode *machine, struct json_object *config)
{
	struct json_object *adis = get(config, "adis"), *spaces = get(config, "spaces");
	struct json_object *pasids = get(config, "pasids");

	if (is_true(config, "debug_exit"))
		add(machine, "debug-exit");
	if (get(config, "shutdown_timeout"))
		set(add(machine, "shutdown-timeout"), "seconds",
		    word_of(get(config, "shutdown_timeout")));
	if (get(config, "poll_max_ns"))
		set(add(machine, "poll"), "max", word_of(get(config, "poll_max_ns")));
	for (size_t i = 0; i < count(adis); i++)
		write_adi(machine, json_object_array_get_idx(adis, i));
	for (size_t i = 0; i < count(spaces); i++)
		copy(add(machine, "space"), json_object_array_get_idx(spaces, i),
		     NAMES("id", "offset", "size", "rights"));
	for (size_t i = 0; i < count(pasids); i++)
		copy(add(machine, "pasid"), json_object_array_get_idx(pasids, i),
		     NAMES("guest", "wq", "host", "adi", "space"));
}

static int write_devices(xmlNode *root, xmlNode *machine, struct json_object *config,
			 struct refusal *refusal)
{
	struct json_object *disks = get(config, "disks"), *net = get(config, "net");
	struct json_object *hostdevs = get(config, "devices");
	xmlNode *devices = add(root, "devices");

	for (size_t i = 0; i < count(disks); i++)
		write_disk(devices, json_object_array_get_idx(disks, i), i);
	for (size_t i = 0; i < count(net); i++) {
		if (write_net(devices, json_object_array_get_idx(net, i), i, refusal))
			return CALL_REFUSED;
	}
	write_sink(devices, "serial", get_object(config, "serial"));
	if (get_object(config, "console"))
		write_console(devices, get_object(config, "console"));
	write_single(devices, config);
	for (size_t i = 0; i < count(hostdevs); i++)
		write_hostdev(devices, machine, json_object_array_get_idx(hostdevs, i));
	return 0;
}

static int write_domain(xmlNode *root, struct json_object *config, const char *name,
			const uint8_t *uuid, struct refusal *refusal)
{
	xmlNode *machine = xmlNewDocNode(root->doc, NULL, (const xmlChar *)"machine", NULL);
	xmlNs *ns =
		machine ? xmlNewNs(machine, (const xmlChar *)DEFINITION_NS, (const xmlChar *)"adit")
			: NULL;
	char text[UUID_TEXT];
	int ret;

	/* Elements below it get its namespace from it. */
	xmlSetNs(machine, ns);
	set(root, "type", "kvm");
	add_text(root, "name", name);
	if (uuid) {
		uuid_format(text, uuid);
		add_text(root, "uuid", text);
	}
	write_memory(root, config);
	if (get(get_object(config, "cpus"), "boot_vcpus"))
		add_text(root, "vcpu", word_of(get(get_object(config, "cpus"), "boot_vcpus")));
	write_payload(root, machine, config);
	if (!strcmp(json_word(get_object(config, "iommu"), "provider", ""), "iommufd"))
		set(add(root, "iommufd"), "enabled", "yes");
	write_machine(machine, config);
	ret = write_devices(root, machine, config, refusal);
	if (machine && machine->children)
		xmlAddChild(root, machine);
	else
		xmlFreeNode(machine);
	return ret;
}

/* --- comparing ------------------------------------------------------------------------------- */

/* Where a member that is false is the same as none. */
static bool is_off(const char *key, struct json_object *value)
{
	static const char *const keys[] = { "direct",	 "readonly",	   "managed",
					    "hugepages", "deflate_on_oom", "free_page_reporting",
					    "debug_exit" };

	if (!json_object_is_type(value, json_type_boolean) || json_object_get_boolean(value))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!strcmp(key, keys[i]))
			return true;
	}
	return false;
}

static bool is_same(struct json_object *a, struct json_object *b)
{
	uint64_t x, y;

	return json_object_equal(a, b) || (read_size(a, &x) && read_size(b, &y) && x == y);
}

static int compare(struct json_object *asked, struct json_object *made, const char *at,
		   struct refusal *refusal);

static int compare_object(struct json_object *asked, struct json_object *made, const char *at,
			  struct refusal *refusal)
{
	char pointer[POINTER_BYTES];

	json_object_object_foreach(asked, key, value)
	{
		if (!get(made, key) && is_off(key, value))
			continue;
		snprintf(pointer, sizeof(pointer), "%s/%.64s", at, key);
		/* It is shown to a person, on a terminal. */
		for (char *c = pointer; *c; c++)
			*c = (char)((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
		if (compare(value, get(made, key), pointer, refusal))
			return CALL_REFUSED;
	}
	return 0;
}

/* All that is asked for is in what was made, which may have more. */
static int compare(struct json_object *asked, struct json_object *made, const char *at,
		   struct refusal *refusal)
{
	char pointer[POINTER_BYTES];

	if (json_object_is_type(asked, json_type_object) &&
	    json_object_is_type(made, json_type_object))
		return compare_object(asked, made, at, refusal);
	if (json_object_is_type(asked, json_type_array) &&
	    json_object_is_type(made, json_type_array) && count(asked) == count(made)) {
		for (size_t i = 0; i < count(asked); i++) {
			snprintf(pointer, sizeof(pointer), "%s/%zu", at, i);
			if (compare(json_object_array_get_idx(asked, i),
				    json_object_array_get_idx(made, i), pointer, refusal))
				return CALL_REFUSED;
		}
		return 0;
	}
	if (made && is_same(asked, made))
		return 0;
	if (!made)
		return refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
			      "%s: domain XML has no words for it", at);
	return refuse(refusal, FAULT_CONFIG_UNSUPPORTED,
		      "%s: %.64s cannot be said in domain XML, where it would be %.64s", at,
		      json_object_to_json_string(asked), json_object_to_json_string(made));
}

/* --- both ways ------------------------------------------------------------------------------- */

bool native_uuid(const char *json, size_t len, const struct definition_host *host,
		 uint8_t uuid[XDR_UUID])
{
	static const char *const places[][2] = { { "serial", "link" },
						 { "console", "link" },
						 { "vsock", "socket" } };
	size_t dir = host->run_dir ? strlen(host->run_dir) : 0;
	struct refusal refusal = { 0 };
	struct json_object *config = dir ? read_text(json, len, &refusal) : NULL;
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(places) && config && !found; i++) {
		const char *path = json_word(get_object(config, places[i][0]), places[i][1], "");
		char text[UUID_TEXT];

		if (strncmp(path, host->run_dir, dir) != 0 || path[dir] != '/')
			continue;
		snprintf(text, sizeof(text), "%.36s", path + dir + 1);
		found = uuid_parse(uuid, text);
	}
	json_object_put(config);
	return found;
}

static struct definition *parse_doc(xmlDoc *doc, const struct definition_host *host,
				    struct refusal *refusal)
{
	struct definition *definition = NULL;
	xmlChar *text = NULL;
	int len;

	xmlDocDumpMemory(doc, &text, &len);
	if (text)
		definition = definition_parse((const char *)text, (size_t)len, host, refusal);
	else
		refuse(refusal, FAULT_NO_MEMORY, "no memory for a domain's XML");
	xmlFree(text);
	return definition;
}

struct definition *definition_from_native(const char *json, size_t len, const char *name,
					  const uint8_t *uuid, const struct definition_host *host,
					  struct refusal *refusal)
{
	struct json_object *config = read_text(json, len, refusal), *made;
	struct definition *definition = NULL;
	xmlDoc *doc = config ? xmlNewDoc(NULL) : NULL;
	xmlNode *root = doc ? xmlNewDocNode(doc, NULL, (const xmlChar *)"domain", NULL) : NULL;

	if (root) {
		xmlDocSetRootElement(doc, root);
		if (!write_domain(root, config, name, uuid, refusal))
			definition = parse_doc(doc, host, refusal);
	} else if (config) {
		refuse(refusal, FAULT_NO_MEMORY, "no memory for a domain's XML");
	}
	if (definition) {
		made = json_tokener_parse(definition->config);
		if (compare(config, made, "", refusal)) {
			definition_free(definition);
			definition = NULL;
		}
		json_object_put(made);
	}
	xmlFreeDoc(doc);
	json_object_put(config);
	return definition;
}
