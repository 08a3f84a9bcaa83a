/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain as its XML defines it. The XML is kept in one canonical form, which defines the same
 * domain again, byte for byte; beside it stands the configuration that `adit run` takes.
 *
 * Every element and attribute is either carried out or refused with its path: nothing is dropped.
 * Parsing touches nothing but the text: no network, no DTD, no entities, bounded depth and size.
 */
#ifndef ADIT_LIBVIRT_DRIVER_DEFINITION_H
#define ADIT_LIBVIRT_DRIVER_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libvirt-driver/call.h"
#include "libvirt-driver/xdr.h"

#define DEVICE_ID	     64u /* bytes of a device's id, with the NUL */
#define DEFINITION_MAX_XML   (1u << 20)
#define DEFINITION_MAX_DEPTH 32u
#define DEFINITION_NS	     "urn:adit:domain:1"

#define UUID_TEXT 37u /* with the NUL */

struct definition {
	uint8_t uuid[XDR_UUID];
	int32_t id; /* as read; 0: none. It is no part of the definition */
	char *name;
	char *title, *description; /* NULL: none */
	uint64_t memory_kib, current_kib;
	uint32_t vcpus;
	bool no_reboot;	   /* a reset ends it */
	bool balloon;	   /* it can give memory back */
	char *iommu_group; /* the name of descriptors that a client associates; NULL: none */
	char *xml;
	char *config;  /* JSON */
	char *bridges; /* JSON: taps that need one, and its name; NULL: none */
};

struct definition_host {
	const char *run_dir; /* sockets and links of a domain are in RUN_DIR/UUID/vm; NULL: "." */
	const char *adit;    /* what <emulator> may name; NULL: nothing */
};

/* NULL and the refusal where it is not accepted: FAULT_XML, FAULT_CONFIG_UNSUPPORTED, ... */
struct definition *definition_parse(const char *xml, size_t len, const struct definition_host *host,
				    struct refusal *refusal);
void definition_free(struct definition *definition);
struct definition *definition_copy(const struct definition *from);

/* The canonical XML with the id of a running domain; the caller frees. NULL: no memory. */
char *definition_xml_with_id(const struct definition *definition, int32_t id);

void uuid_format(char text[UUID_TEXT], const uint8_t uuid[XDR_UUID]);
/* Lower or upper case, with its dashes and nothing else. */
bool uuid_parse(uint8_t uuid[XDR_UUID], const char *text);

#endif
