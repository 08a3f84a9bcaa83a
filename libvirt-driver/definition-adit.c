/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <adit:machine>: what libvirt's format has no words for, under /domain/metadata, or at the end of
 * the domain. Attributes have the names of the configuration's keys (docs/configuration.md).
 */
#include <string.h>

#include "libvirt-driver/definition-devices.h"
#include "util/bits.h"

int on_machine(struct reader *reader, xmlNode *node)
{
	if (reader->has_machine)
		return reader_refuse(reader, "is there twice, in the domain and in its metadata");
	reader->has_machine = true;
	return 0;
}

static struct json_object *append(struct json_object *parent, const char *key)
{
	struct json_object *list, *object = json_object_new_object();

	if (!json_object_object_get_ex(parent, key, &list)) {
		list = json_object_new_array();
		json_object_object_add(parent, key, list);
	}
	json_object_array_add(list, object);
	return object;
}

/* As they are; adit knows what they may be. */
static void copy_strings(struct json_object *object, const xmlNode *node, const char *const *names)
{
	for (; *names; names++) {
		const char *value = node_attribute(node, *names);

		if (value)
			reader_string(object, *names, value);
	}
}

static void copy_bools(struct json_object *object, const xmlNode *node, const char *const *names)
{
	for (; *names; names++) {
		if (node_attribute(node, *names))
			reader_bool(object, *names, reader_says_yes(node, *names));
	}
}

static int copy_numbers(struct reader *reader, struct json_object *object, const xmlNode *node,
			const char *const *names)
{
	for (; *names; names++) {
		const char *value = node_attribute(node, *names);
		uint64_t number;

		if (!value)
			continue;
		if (reader_number(reader, *names, value, (1u << 20) - 1, &number))
			return CALL_REFUSED;
		reader_int(object, *names, number);
	}
	return 0;
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

int on_flat(struct reader *reader, xmlNode *node)
{
	struct json_object *payload = reader_object(reader->config, "payload");

	if (*node_attribute(node, "path") != '/')
		return reader_refuse_attribute(reader, "path", "must be an absolute path");
	reader_string(payload, "flat", node_attribute(node, "path"));
	copy_strings(payload, node, NAMES("address"));
	return 0;
}

int on_debug_exit(struct reader *reader, xmlNode *node)
{
	reader_bool(reader->config, "debug_exit", true);
	return 0;
}

int on_shutdown_timeout(struct reader *reader, xmlNode *node)
{
	uint64_t seconds;

	if (reader_number(reader, "seconds", node_attribute(node, "seconds"), 3600, &seconds))
		return CALL_REFUSED;
	reader_int(reader->config, "shutdown_timeout", seconds);
	return 0;
}

int on_poll(struct reader *reader, xmlNode *node)
{
	uint64_t ns;

	if (reader_number(reader, "max", node_attribute(node, "max"), 1000000, &ns))
		return CALL_REFUSED;
	reader_int(reader->config, "poll_max_ns", ns);
	return 0;
}

int on_adi(struct reader *reader, xmlNode *node)
{
	reader->device = append(reader->config, "adis");
	copy_strings(reader->device, node, NAMES("id", "type", "backend", "node"));
	copy_bools(reader->device, node, NAMES("fixed", "interrupt_handles", "event_log"));
	if (copy_numbers(reader, reader->device, node, NAMES("engines", "slot")))
		return CALL_REFUSED;
	return reader_place(reader, PLACE_ADI, node, reader->device);
}

int on_wq(struct reader *reader, xmlNode *node)
{
	struct json_object *wq = append(reader->device, "wqs");

	copy_strings(wq, node, NAMES("mode"));
	return copy_numbers(reader, wq, node, NAMES("size", "threshold", "group"));
}

int on_adi_pasid(struct reader *reader, xmlNode *node)
{
	struct json_object *pasid = reader_object(reader->device, "pasid");

	copy_bools(pasid, node, NAMES("allow"));
	return copy_numbers(reader, pasid, node, NAMES("width"));
}

int on_space(struct reader *reader, xmlNode *node)
{
	copy_strings(append(reader->config, "spaces"), node,
		     NAMES("id", "offset", "size", "rights"));
	return 0;
}

/* guest and wq are numbers, or one word each. */
int on_pasid(struct reader *reader, xmlNode *node)
{
	struct json_object *pasid = append(reader->config, "pasids");
	const char *guest = node_attribute(node, "guest"), *wq = node_attribute(node, "wq");

	copy_strings(pasid, node, NAMES("adi", "space"));
	if (!strcmp(guest, "none"))
		copy_strings(pasid, node, NAMES("guest"));
	else if (copy_numbers(reader, pasid, node, NAMES("guest")))
		return CALL_REFUSED;
	if (wq && !strcmp(wq, "all"))
		copy_strings(pasid, node, NAMES("wq"));
	else if (copy_numbers(reader, pasid, node, NAMES("wq")))
		return CALL_REFUSED;
	return copy_numbers(reader, pasid, node, NAMES("host"));
}

/* By the alias of a <hostdev>; the metadata may stand before the devices, so it waits. */
int on_hostdev_more(struct reader *reader, xmlNode *node)
{
	struct json_object *more = append(reader->more, "hostdevs");

	reader_string(more, "id", node_attribute(node, "alias"));
	copy_strings(more, node, NAMES("coherency", "via", "vf_token"));
	copy_bools(more, node, NAMES("unsafe_stale_reads", "allow_no_reset"));
	return 0;
}

static struct json_object *find_device(const struct reader *reader, const char *id)
{
	struct json_object *devices, *name;

	if (!json_object_object_get_ex(reader->config, "devices", &devices))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		struct json_object *device = json_object_array_get_idx(devices, i);

		if (json_object_object_get_ex(device, "id", &name) &&
		    !strcmp(json_object_get_string(name), id))
			return device;
	}
	return NULL;
}

int definition_finish_adit(struct reader *reader)
{
	struct json_object *list, *name;

	if (!json_object_object_get_ex(reader->more, "hostdevs", &list))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *more = json_object_array_get_idx(list, i), *device;

		json_object_object_get_ex(more, "id", &name);
		device = find_device(reader, json_object_get_string(name));
		if (!device)
			return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
				      "adit:machine/adit:hostdev[%zu]/@alias: no <hostdev> has the "
				      "alias \"%.64s\"",
				      i + 1, json_object_get_string(name));
		json_object_object_foreach(more, key, value)
		{
			json_object_object_add(device, key, json_object_get(value));
		}
	}
	return 0;
}
