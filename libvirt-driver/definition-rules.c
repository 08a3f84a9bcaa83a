/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each element of a domain's XML means to adit: one row each, and what is no row is refused.
 * The head of a domain is here; its devices are in definition-devices.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "libvirt-driver/definition-devices.h"
#include "util/bits.h"

#define NAME_MAX_BYTES 255u
#define MAX_VCPUS      255u

/* --- small pieces ---------------------------------------------------------------------------- */

static int keep_text(struct reader *reader, char **out, const char *text)
{
	*out = strdup(text);
	return *out ? 0 : refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for a domain");
}

int reader_number(struct reader *reader, const char *attribute, const char *text, uint64_t max,
		  uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno && *out <= max)
		return 0;
	if (attribute)
		return reader_refuse_attribute(reader, attribute,
					       "must be a number up to %llu, not \"%.32s\"",
					       (unsigned long long)max, text);
	return reader_refuse(reader, "must be a number up to %llu, not \"%.32s\"",
			     (unsigned long long)max, text);
}

struct json_object *reader_object(struct json_object *parent, const char *key)
{
	struct json_object *object;

	if (json_object_object_get_ex(parent, key, &object))
		return object;
	object = json_object_new_object();
	json_object_object_add(parent, key, object);
	return object;
}

void reader_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

void reader_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

void reader_int(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_int64((int64_t)value));
}

bool reader_says_yes(const xmlNode *node, const char *name)
{
	const char *value = node_attribute(node, name);

	return value && (!strcmp(value, "yes") || !strcmp(value, "on"));
}

/* libvirt's units: powers of 1000 with a B behind them, of 1024 with none or an iB. */
static uint64_t unit_bytes(const char *unit)
{
	static const char letters[] = "kmgt";
	const char *letter;
	uint64_t bytes = 1, base;

	if (!unit)
		return KIB;
	if (!strcmp(unit, "b") || !strcmp(unit, "bytes"))
		return 1;
	letter = *unit ? strchr(letters, *unit | 0x20) : NULL;
	if (!letter ||
	    (unit[1] && strcasecmp(unit + 1, "b") != 0 && strcasecmp(unit + 1, "ib") != 0))
		return 0;
	base = strcasecmp(unit + 1, "b") != 0 ? 1024 : 1000;
	for (const char *at = letters; at <= letter; at++)
		bytes *= base;
	return bytes;
}

/* Bytes of a text with a unit beside it. */
static int read_size(struct reader *reader, const xmlNode *node, const char *text, uint64_t *out)
{
	const char *unit = node_attribute(node, "unit");
	uint64_t bytes = unit_bytes(unit);

	if (!bytes)
		return reader_refuse_attribute(reader, "unit", "\"%.32s\" is no unit of memory",
					       unit);
	if (reader_number(reader, NULL, text, 16 * TIB / bytes, out))
		return CALL_REFUSED;
	*out *= bytes;
	return 0;
}

/* --- the head -------------------------------------------------------------------------------- */

static int on_domain(struct reader *reader, xmlNode *node)
{
	const char *id = node_attribute(node, "id");

	/* Of a running domain: where its XML is defined again, nothing is kept of it. */
	reader->definition->id = id ? (int32_t)strtol(id, NULL, 10) : 0;
	xmlUnsetProp(node, (const xmlChar *)"id");
	return 0;
}

static int on_name(struct reader *reader, xmlNode *node)
{
	const char *name = node_text(node);
	size_t len = strlen(name);

	reader->after_name = node;
	if (!len || len > NAME_MAX_BYTES)
		return reader_refuse(reader, "must be of 1 to %u bytes", NAME_MAX_BYTES);
	for (const char *at = name; *at; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f || *at == '/')
			return reader_refuse(reader,
					     "must hold no \"/\" and no control characters");
	}
	return keep_text(reader, &reader->definition->name, name);
}

static int on_uuid(struct reader *reader, xmlNode *node)
{
	char text[UUID_TEXT];

	if (!uuid_parse(reader->definition->uuid, node_text(node)))
		return reader_refuse(reader, "\"%.64s\" is no UUID", node_text(node));
	uuid_format(text, reader->definition->uuid);
	xmlNodeSetContent(node, (const xmlChar *)text);
	reader->has_uuid = true;
	return 0;
}

static int on_title(struct reader *reader, xmlNode *node)
{
	if (strchr(node_text(node), '\n'))
		return reader_refuse(reader, "must be one line");
	return keep_text(reader, &reader->definition->title, node_text(node));
}

static int on_description(struct reader *reader, xmlNode *node)
{
	return keep_text(reader, &reader->definition->description, node_text(node));
}

/* Rewritten in KiB, which is what clients expect to read. */
static int read_memory(struct reader *reader, xmlNode *node, uint64_t *kib)
{
	char text[24];

	if (read_size(reader, node, node_text(node), kib))
		return CALL_REFUSED;
	if (*kib < MIB || *kib % (4 * KIB))
		return reader_refuse(reader,
				     "must be 1 MiB or more, in steps of 4 KiB, not %llu "
				     "bytes",
				     (unsigned long long)*kib);
	*kib /= KIB;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)*kib);
	xmlNodeSetContent(node, (const xmlChar *)text);
	xmlSetProp(node, (const xmlChar *)"unit", (const xmlChar *)"KiB");
	return 0;
}

static int on_memory(struct reader *reader, xmlNode *node)
{
	return read_memory(reader, node, &reader->definition->memory_kib);
}

static int on_current_memory(struct reader *reader, xmlNode *node)
{
	return read_memory(reader, node, &reader->definition->current_kib);
}

static int on_page(struct reader *reader, xmlNode *node)
{
	struct json_object *memory = reader_object(reader->config, "memory");
	uint64_t bytes = 0;

	if (read_size(reader, node, node_attribute(node, "size"), &bytes))
		return CALL_REFUSED;
	if (bytes != 2 * MIB && bytes != GIB)
		return reader_refuse_attribute(reader, "size", "must be 2 MiB or 1 GiB");
	reader_string(memory, "hugepage_size", bytes == GIB ? "1G" : "2M");
	return 0;
}

static int on_hugepages(struct reader *reader, xmlNode *node)
{
	reader_bool(reader_object(reader->config, "memory"), "hugepages", true);
	return 0;
}

static int on_access(struct reader *reader, xmlNode *node)
{
	reader_bool(reader_object(reader->config, "memory"), "shared",
		    !strcmp(node_attribute(node, "mode"), "shared"));
	return 0;
}

static int on_allocation(struct reader *reader, xmlNode *node)
{
	reader_bool(reader_object(reader->config, "memory"), "prefault",
		    !strcmp(node_attribute(node, "mode"), "immediate"));
	return 0;
}

static int on_vcpu(struct reader *reader, xmlNode *node)
{
	uint64_t n;

	if (reader_number(reader, NULL, node_text(node), MAX_VCPUS, &n))
		return CALL_REFUSED;
	if (!n)
		return reader_refuse(reader, "must be 1 or more");
	reader->definition->vcpus = (uint32_t)n;
	return 0;
}

static int on_type(struct reader *reader, xmlNode *node)
{
	if (strcmp(node_text(node), "hvm") != 0)
		return reader_refuse(reader, "\"%.32s\" is not supported, it must be hvm",
				     node_text(node));
	reader->hvm = true;
	/* Clients show what is written there, and take nothing for granted. */
	if (!node_attribute(node, "arch"))
		xmlSetProp(node, (const xmlChar *)"arch", (const xmlChar *)"x86_64");
	if (!node_attribute(node, "machine"))
		xmlSetProp(node, (const xmlChar *)"machine", (const xmlChar *)"adit");
	return 0;
}

static int on_payload_path(struct reader *reader, xmlNode *node)
{
	const char *key = node_is(node, "initrd") ? "initramfs" : (const char *)node->name;

	if (strcmp(key, "cmdline") != 0 && *node_text(node) != '/')
		return reader_refuse(reader, "must be an absolute path");
	reader_string(reader_object(reader->config, "payload"), key, node_text(node));
	return 0;
}

/* on_poweroff, on_reboot, on_crash: what adit does, spelled out. */
static int on_end(struct reader *reader, xmlNode *node)
{
	const char *text = node_text(node);
	bool reboot = node_is(node, "on_reboot");

	if (!strcmp(text, "destroy")) {
		reader->definition->no_reboot |= reboot;
		return 0;
	}
	if (reboot && !strcmp(text, "restart"))
		return 0;
	return reader_refuse(reader, "\"%.32s\" is not supported, it must be %s", text,
			     reboot ? "restart or destroy" : "destroy");
}

static int on_iommufd(struct reader *reader, xmlNode *node)
{
	const char *group = node_attribute(node, "fdgroup");

	if (reader_says_yes(node, "enabled"))
		reader_string(reader_object(reader->config, "iommu"), "provider", "iommufd");
	else if (group)
		return reader_refuse_attribute(reader, "fdgroup", "needs enabled='yes'");
	return group ? keep_text(reader, &reader->definition->iommu_group, group) : 0;
}

/* --- what no single element can say ---------------------------------------------------------- */

/* RFC 4122 §4.4. */
static int make_uuid(struct reader *reader)
{
	uint8_t *uuid = reader->definition->uuid;
	char text[UUID_TEXT];
	xmlNode *node;

	if (getrandom(uuid, XDR_UUID, 0) != XDR_UUID)
		return refuse(reader->refusal, FAULT_INTERNAL, "no random bytes for a UUID");
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	uuid_format(text, uuid);
	node = xmlNewDocNode(reader->root->doc, NULL, (const xmlChar *)"uuid",
			     (const xmlChar *)text);
	if (!node || !xmlAddNextSibling(reader->after_name, node))
		return refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for a UUID");
	return 0;
}

static int finish_memory(struct reader *reader)
{
	struct definition *definition = reader->definition;
	struct json_object *balloon;

	if (!definition->memory_kib)
		return refuse(reader->refusal, FAULT_XML, "/domain/memory: is missing");
	if (!definition->current_kib)
		definition->current_kib = definition->memory_kib;
	if (definition->current_kib > definition->memory_kib)
		return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
			      "/domain/currentMemory: must not be more than /domain/memory");
	reader_int(reader_object(reader->config, "memory"), "size", definition->memory_kib * KIB);
	if (definition->current_kib == definition->memory_kib)
		return 0;
	if (!json_object_object_get_ex(reader->config, "balloon", &balloon))
		return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
			      "/domain/currentMemory: less than /domain/memory needs "
			      "<memballoon model='virtio'/>");
	reader_int(balloon, "size", (definition->memory_kib - definition->current_kib) * KIB);
	return 0;
}

int definition_finish(struct reader *reader)
{
	struct json_object *payload;

	if (!reader->definition->name)
		return refuse(reader->refusal, FAULT_XML, "/domain/name: is missing");
	if (!reader->hvm)
		return refuse(reader->refusal, FAULT_XML, "/domain/os/type: is missing");
	payload = reader_object(reader->config, "payload");
	if (!json_object_object_get_ex(payload, "kernel", NULL) &&
	    !json_object_object_get_ex(payload, "flat", NULL))
		return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
			      "/domain/os/kernel: is missing; adit has no firmware");
	if (!reader->has_uuid && make_uuid(reader))
		return CALL_REFUSED;
	if (!reader->definition->vcpus)
		reader->definition->vcpus = 1;
	reader_int(reader_object(reader->config, "cpus"), "boot_vcpus", reader->definition->vcpus);
	return finish_memory(reader) || definition_finish_devices(reader) ||
			       definition_finish_adit(reader) || definition_finish_slots(reader)
		       ? CALL_REFUSED
		       : 0;
}

/* --- the rows -------------------------------------------------------------------------------- */

#define D     "domain/devices/"
#define A     "adit:machine/"
#define ONCE  RULE_ONCE
#define TEXT  RULE_TEXT
#define SINKS "!type=pty|file|unix|null"
#define PCI   "!type=pci domain bus slot function multifunction=off"

const struct rule definition_rules[] = {
	{ "domain", "!type=kvm id", 0, on_domain },
	{ "domain/name", "", ONCE | TEXT, on_name },
	{ "domain/uuid", "", ONCE | TEXT, on_uuid },
	{ "domain/title", "", ONCE | TEXT, on_title },
	{ "domain/description", "", ONCE | TEXT, on_description },
	{ "domain/metadata", "", ONCE | RULE_FOREIGN },
	{ "domain/memory", "unit", ONCE | TEXT, on_memory },
	{ "domain/currentMemory", "unit", ONCE | TEXT, on_current_memory },
	{ "domain/memoryBacking", "", ONCE },
	{ "domain/memoryBacking/hugepages", "", ONCE, on_hugepages },
	{ "domain/memoryBacking/hugepages/page", "!size unit", ONCE, on_page },
	{ "domain/memoryBacking/source", "!type=memfd", ONCE },
	{ "domain/memoryBacking/access", "!mode=shared|private", ONCE, on_access },
	{ "domain/memoryBacking/allocation", "!mode=immediate|ondemand", ONCE, on_allocation },
	{ "domain/vcpu", "placement=static", ONCE | TEXT, on_vcpu },
	{ "domain/os", "", ONCE },
	{ "domain/os/type", "arch=x86_64 machine=adit|microvm", ONCE | TEXT, on_type },
	{ "domain/os/kernel", "", ONCE | TEXT, on_payload_path },
	{ "domain/os/initrd", "", ONCE | TEXT, on_payload_path },
	{ "domain/os/cmdline", "", ONCE | TEXT, on_payload_path },
	{ "domain/features", "", ONCE },
	{ "domain/features/acpi", "", ONCE },
	{ "domain/features/apic", "", ONCE },
	{ "domain/cpu", "!mode=host-passthrough check=none migratable=on|off", ONCE },
	{ "domain/clock", "!offset=utc", ONCE },
	{ "domain/on_poweroff", "", ONCE | TEXT, on_end },
	{ "domain/on_reboot", "", ONCE | TEXT, on_end },
	{ "domain/on_crash", "", ONCE | TEXT, on_end },
	{ "domain/iommufd", "!enabled=yes|no fdgroup", ONCE, on_iommufd },
	{ "domain/devices", "", ONCE },
	{ D "emulator", "", ONCE | TEXT, on_emulator },
	{ D "controller", "!type=pci|virtio-serial index=0 model=pcie-root", 0, on_controller },
	{ D "controller/address", PCI, ONCE, on_controller_address },

	{ D "disk", "!type=file|block device=disk", 0, on_disk, leave_disk },
	{ D "disk/driver", "name=adit|qemu !type=raw cache=none|default", ONCE, on_disk_driver },
	{ D "disk/source", "file dev", ONCE, on_disk_source },
	{ D "disk/target", "!dev bus=virtio", ONCE, on_disk_target },
	{ D "disk/readonly", "", ONCE, on_disk_readonly },
	{ D "disk/serial", "", ONCE | TEXT, on_disk_serial },
	{ D "disk/alias", "!name", ONCE, on_alias },
	{ D "disk/address", PCI, ONCE, on_guest_address },

	{ D "interface", "!type=ethernet|bridge", 0, on_interface, leave_interface },
	{ D "interface/source", "!bridge", ONCE },
	{ D "interface/mac", "!address", ONCE, on_mac },
	{ D "interface/target", "!dev managed=no", ONCE },
	{ D "interface/model", "!type=virtio", ONCE },
	{ D "interface/mtu", "!size", ONCE, on_mtu },
	{ D "interface/alias", "!name", ONCE, on_alias },
	{ D "interface/address", PCI, ONCE, on_guest_address },

	{ D "serial", SINKS, ONCE, on_serial, leave_sink },
	{ D "serial/source", "path mode=bind", ONCE, on_sink_source },
	{ D "serial/target", "type=isa-serial port=0", ONCE },
	{ D "serial/target/model", "name=isa-serial", ONCE },
	{ D "console", SINKS, ONCE, on_console, leave_sink },
	{ D "console/source", "path mode=bind", ONCE, on_sink_source },
	{ D "console/target", "type=serial|virtio port=0", ONCE },
	{ D "channel", "!type=pty|file|unix|null", 0, on_channel, leave_sink },
	{ D "channel/source", "path mode=bind", ONCE, on_sink_source },
	{ D "channel/target", "!type=virtio !name", ONCE, on_channel_target },

	{ D "vsock", "model=virtio", ONCE, on_vsock, leave_vsock },
	{ D "vsock/cid", "auto=no !address", ONCE, on_cid },
	{ D "vsock/address", PCI, ONCE, on_guest_address },
	{ D "rng", "!model=virtio", ONCE, on_rng },
	{ D "rng/backend", "!model=random", ONCE | TEXT, on_rng_backend },
	{ D "rng/address", PCI, ONCE, on_guest_address },
	{ D "memballoon", "!model=virtio|none autodeflate=on|off freePageReporting=on|off", ONCE,
	  on_balloon },
	{ D "memballoon/stats", "!period", ONCE, on_balloon_stats },
	{ D "memballoon/address", PCI, ONCE, on_guest_address },

	{ D "hostdev", "!mode=subsystem !type=pci|mdev managed=yes|no model=vfio-pci", 0,
	  on_hostdev, leave_hostdev },
	{ D "hostdev/driver", "name=vfio iommufd=yes|no", ONCE, on_hostdev_driver },
	{ D "hostdev/source", "", ONCE },
	{ D "hostdev/source/address", "domain bus slot function uuid", ONCE, on_hostdev_address },
	{ D "hostdev/rom", "bar=on|off", ONCE, on_hostdev_rom },
	{ D "hostdev/alias", "!name", ONCE, on_alias },
	{ D "hostdev/address", PCI, ONCE, on_guest_address },

	{ "adit:machine", "", ONCE, on_machine },
	{ A "adit:flat", "!path address", ONCE, on_flat },
	{ A "adit:debug-exit", "", ONCE, on_debug_exit },
	{ A "adit:shutdown-timeout", "!seconds", ONCE, on_shutdown_timeout },
	{ A "adit:poll", "!max", ONCE, on_poll },
	{ A "adit:adi",
	  "!id !type=dsa backend=soft|idxd node engines slot fixed=yes|no interrupt_handles=yes|no "
	  "event_log=yes|no",
	  0, on_adi },
	{ A "adit:adi/adit:wq", "mode=dedicated|shared size threshold group", 0, on_wq },
	{ A "adit:adi/adit:pasid", "!allow=yes|no width", ONCE, on_adi_pasid },
	{ A "adit:space", "!id !offset !size rights=rw|r", 0, on_space },
	{ A "adit:pasid", "!guest wq host !adi space", 0, on_pasid },
	{ A "adit:hostdev",
	  "!alias coherency=auto|enforce|allow|deny|guest-pat unsafe_stale_reads=yes|no "
	  "allow_no_reset=yes|no via=auto|cdev|group vf_token",
	  0, on_hostdev_more },
};
const size_t n_definition_rules = ARRAY_SIZE(definition_rules);
