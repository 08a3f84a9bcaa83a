/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain XML from any bytes: refused with a sentence, or taken; then its one form defines the same
 * again byte for byte, also with an id, and its configuration is JSON. Anything else aborts.
 */
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/definition.h"
#include "libvirt-driver/native.h"
#include "vmm/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct definition_host host = { "/run/x", "/usr/bin/adit" };

static void must(int true_now)
{
	if (!true_now)
		abort();
}

static void define_again(const struct definition *first, const char *xml)
{
	struct refusal refusal = { 0 };
	struct definition *again = definition_parse(xml, strlen(xml), &host, &refusal);

	must(again && !strcmp(again->xml, first->xml) && !strcmp(again->name, first->name));
	must(!memcmp(again->uuid, first->uuid, XDR_UUID));
	must(again->memory_kib == first->memory_kib && again->vcpus == first->vcpus);
	definition_free(again);
}

/* JSON in any case; whether adit takes it is its own affair, and said by a sentence. */
static void check_config(const struct definition *definition)
{
	struct json_object *object = json_tokener_parse(definition->config);
	struct config config;
	struct err err;

	must(object && json_object_is_type(object, json_type_object));
	json_object_put(object);
	if (!config_parse(&config, definition->config, strlen(definition->config), &err))
		config_free(&config);
	else
		must(*err.text);
}

/* XML of a configuration that came of XML has the same one, or is refused. */
static void check_native(const struct definition *definition)
{
	struct refusal refusal = { 0 };
	struct definition *again =
		definition_from_native(definition->config, strlen(definition->config),
				       definition->name, definition->uuid, &host, &refusal);
	struct json_object *first, *second;

	if (!again) {
		must(refusal.fault && *refusal.err.text);
		return;
	}
	first = json_tokener_parse(definition->config);
	second = json_tokener_parse(again->config);
	must(json_object_equal(first, second));
	json_object_put(first);
	json_object_put(second);
	definition_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct refusal refusal = { 0 };
	struct definition *definition = definition_parse((const char *)data, size, &host, &refusal);
	char *live;

	if (!definition) {
		must(refusal.fault && *refusal.err.text);
		return 0;
	}
	define_again(definition, definition->xml);
	live = definition_xml_with_id(definition, 7);
	must(live != NULL);
	define_again(definition, live);
	free(live);
	check_config(definition);
	check_native(definition);
	definition_free(definition);
	return 0;
}
