/* SPDX-License-Identifier: Apache-2.0 */
/* Private to definition*.c: a walk over a domain's XML, and what it has gathered. */
#ifndef ADIT_LIBVIRT_DRIVER_DEFINITION_READER_H
#define ADIT_LIBVIRT_DRIVER_DEFINITION_READER_H

#include <json-c/json.h>
#include <libxml/tree.h>

#include "libvirt-driver/definition.h"

#define READER_PATH 512u

/* In the order that adit gives slots in where none are said. */
enum place {
	PLACE_ADI,
	PLACE_HOSTDEV,
	PLACE_DISK,
	PLACE_INTERFACE,
	PLACE_RNG,
	PLACE_CONSOLE,
	PLACE_VSOCK,
	PLACE_BALLOON,
	PLACES
};

/* A device that has a slot: its element, and what "slot" is a member of. */
struct placed {
	enum place place;
	xmlNode *node;
	struct json_object *object;
};

struct reader {
	struct definition *definition;
	const struct definition_host *host;
	struct refusal *refusal;
	struct json_object *config; /* the root */
	struct json_object *more; /* of <adit:hostdev>, until the devices are known; controllers */
	struct json_object *bridges; /* of taps, by their names */
	struct json_object *device;  /* what the element around the current one has made, or NULL */
	xmlNode *root, *after_name;
	char path[READER_PATH]; /* of the current element, as a person would look for it */
	bool has_uuid, has_machine, hvm;
	bool has_serial; /* by <serial>; a <console> of the serial port only repeats it */
	bool console_is_serial;
	struct placed placed[31];
	size_t n_placed;
};

struct rule {
	const char *path; /* "domain/devices/disk" */
	/*
	 * Words: a name, or NAME=VALUE|VALUE where only these are taken; "!" before it where it
	 * must be there.
	 */
	const char *attributes;
	enum {
		RULE_ONCE = 1,	  /* at most once in its parent */
		RULE_TEXT = 2,	  /* holds text and no elements */
		RULE_FOREIGN = 4, /* other people's namespaces are kept as they are */
	} flags;
	int (*enter)(struct reader *reader, xmlNode *node);
	int (*leave)(struct reader *reader, xmlNode *node);
};

extern const struct rule definition_rules[];
extern const size_t n_definition_rules;

/* Both: -1, with the path of the element (and attribute) before the sentence. */
int reader_refuse(struct reader *reader, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int reader_refuse_attribute(struct reader *reader, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* NULL: not there. */
const char *node_attribute(const xmlNode *node, const char *name);
/* "": none. */
const char *node_text(const xmlNode *node);
bool node_is(const xmlNode *node, const char *name);
/* UTF-8 of which XML 1.0 §2.2 has every character, at least by its number. */
bool text_is_writable(const char *text);

/* Under the limits; the caller frees. NULL: refused. */
xmlDoc *definition_read_xml(const char *xml, size_t len, struct refusal *refusal);
/* What no single element can say; after the walk. */
int definition_finish(struct reader *reader);

#endif
