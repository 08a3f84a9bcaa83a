/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a guest finds its devices: <address type='pci'>, and the slot of an ADI. What the XML does
 * not say is chosen here, once, and written down, so that it stays when others come and go. There
 * is one bus, and each device is function 0 of its slot.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/definition-devices.h"
#include "util/bits.h"

#define LAST_SLOT 31u /* of the bus; 0 is the host bridge */

int reader_place(struct reader *reader, enum place place, xmlNode *node, struct json_object *object)
{
	if (reader->n_placed == ARRAY_SIZE(reader->placed))
		return reader_refuse(reader,
				     "is one more than the %u devices that a guest has "
				     "slots for",
				     LAST_SLOT);
	reader->placed[reader->n_placed++] =
		(struct placed){ .place = place, .node = node, .object = object };
	return 0;
}

static int must_be_zero(struct reader *reader, const xmlNode *node, const char *name,
			const char *why)
{
	uint32_t value = 0;

	if (!node_attribute(node, name))
		return 0;
	if (reader_hex(reader, node, name, 0xffff, &value))
		return CALL_REFUSED;
	return value ? reader_refuse_attribute(reader, name, "must be 0, for %s", why) : 0;
}

static void write_address(xmlNode *address, uint32_t slot)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%02x", slot);
	while (address->properties)
		xmlRemoveProp(address->properties);
	xmlSetProp(address, (const xmlChar *)"type", (const xmlChar *)"pci");
	xmlSetProp(address, (const xmlChar *)"domain", (const xmlChar *)"0x0000");
	xmlSetProp(address, (const xmlChar *)"bus", (const xmlChar *)"0x00");
	xmlSetProp(address, (const xmlChar *)"slot", (const xmlChar *)text);
	xmlSetProp(address, (const xmlChar *)"function", (const xmlChar *)"0x0");
}

/* Without a slot it asks for one, as none at all does. */
int on_guest_address(struct reader *reader, xmlNode *node)
{
	uint32_t slot;

	if (must_be_zero(reader, node, "domain", "a guest has one PCI domain") ||
	    must_be_zero(reader, node, "bus", "a guest has one bus") ||
	    must_be_zero(reader, node, "function", "each device has a slot of its own"))
		return CALL_REFUSED;
	if (!node_attribute(node, "slot"))
		return 0;
	if (reader_hex(reader, node, "slot", LAST_SLOT, &slot))
		return CALL_REFUSED;
	if (!slot)
		return reader_refuse_attribute(reader, "slot",
					       "must be 1 to 31: the host bridge is in 0");
	reader_int(reader->device, "slot", slot);
	return 0;
}

/* The guest has a virtio console where something is on it; its slot is kept in any case. */
int on_controller(struct reader *reader, xmlNode *node)
{
	bool serial = !strcmp(node_attribute(node, "type"), "virtio-serial");

	for (const xmlNode *other = node->prev; other && serial; other = other->prev) {
		if (node_is(other, "controller") &&
		    !strcmp(node_attribute(other, "type"), "virtio-serial"))
			return reader_refuse(reader, "is there twice");
	}
	if (serial && node_attribute(node, "model"))
		return reader_refuse_attribute(reader, "model", "does not go with virtio-serial");
	reader->device = NULL;
	if (!serial)
		return 0;
	reader->device = reader_object(reader->more, "controller");
	return reader_place(reader, PLACE_CONSOLE, node, reader->device);
}

int on_controller_address(struct reader *reader, xmlNode *node)
{
	return reader->device ? on_guest_address(reader, node)
			      : reader_refuse(reader, "is not supported: the root has none");
}

/* --- after the walk -------------------------------------------------------------------------- */

static uint32_t slot_of(const struct placed *placed)
{
	struct json_object *slot;

	return json_object_object_get_ex(placed->object, "slot", &slot)
		       ? (uint32_t)json_object_get_int64(slot)
		       : 0;
}

static bool is_adi(const struct placed *placed)
{
	return placed->place == PLACE_ADI;
}

static int check_given(struct reader *reader, uint32_t *used)
{
	for (size_t i = 0; i < reader->n_placed; i++) {
		uint32_t slot = slot_of(&reader->placed[i]);
		const char *name = (const char *)reader->placed[i].node->name;

		if (slot > LAST_SLOT || (is_adi(&reader->placed[i]) && !slot &&
					 node_attribute(reader->placed[i].node, "slot")))
			return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
				      "adit:machine/adit:adi/@slot: must be 1 to %u", LAST_SLOT);
		if (slot && *used & 1u << slot)
			return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
				      "/domain/devices: slot %u of the bus is given to a second "
				      "device, <%s>; choose another, or leave its address out",
				      slot, name);
		*used |= slot ? 1u << slot : 0;
	}
	return 0;
}

static int write_slot(struct reader *reader, const struct placed *placed, uint32_t slot)
{
	xmlNode *address = placed->node->children;
	char text[16];

	if (is_adi(placed)) {
		snprintf(text, sizeof(text), "%u", slot);
		xmlSetProp(placed->node, (const xmlChar *)"slot", (const xmlChar *)text);
		return 0;
	}
	while (address && !node_is(address, "address"))
		address = address->next;
	if (!address)
		address = xmlNewChild(placed->node, NULL, (const xmlChar *)"address", NULL);
	if (!address)
		return refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for an address");
	write_address(address, slot);
	return 0;
}

/* A virtio console has a controller in libvirt's format, which bears its address. */
static int add_controller(struct reader *reader)
{
	xmlNode *devices = reader->root->children, *node = NULL;
	bool has = false;

	for (size_t i = 0; i < reader->n_placed; i++)
		has |= reader->placed[i].place == PLACE_CONSOLE;
	if (has || !json_object_object_get_ex(reader->config, "console", NULL))
		return 0;
	while (devices && !node_is(devices, "devices"))
		devices = devices->next;
	if (devices)
		node = xmlNewChild(devices, NULL, (const xmlChar *)"controller", NULL);
	if (!node)
		return refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for a controller");
	xmlSetProp(node, (const xmlChar *)"type", (const xmlChar *)"virtio-serial");
	xmlSetProp(node, (const xmlChar *)"index", (const xmlChar *)"0");
	return reader_place(reader, PLACE_CONSOLE, node, reader_object(reader->more, "controller"));
}

static int place_one(struct reader *reader, struct placed *placed, uint32_t *used)
{
	uint32_t slot = slot_of(placed);
	struct json_object *console;

	for (uint32_t s = 1; !slot && s <= LAST_SLOT; s++)
		slot = *used & 1u << s ? 0 : s;
	if (!slot)
		return refuse(reader->refusal, FAULT_CONFIG_UNSUPPORTED,
			      "/domain/devices: a guest has %u slots, and there are more devices",
			      LAST_SLOT);
	*used |= 1u << slot;
	/* At the end, where it is also where it was chosen here. */
	json_object_object_del(placed->object, "slot");
	reader_int(placed->object, "slot", slot);
	if (placed->place == PLACE_CONSOLE &&
	    json_object_object_get_ex(reader->config, "console", &console))
		reader_int(console, "slot", slot);
	return write_slot(reader, placed, slot);
}

int definition_finish_slots(struct reader *reader)
{
	uint32_t used = 0;

	if (add_controller(reader) || check_given(reader, &used))
		return CALL_REFUSED;
	/* In adit's own order, so that a machine is the same whether it is told or not. */
	for (unsigned int place = 0; place < PLACES; place++) {
		for (size_t i = 0; i < reader->n_placed; i++) {
			if (reader->placed[i].place == place &&
			    place_one(reader, &reader->placed[i], &used))
				return CALL_REFUSED;
		}
	}
	return 0;
}
