/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run by hand and by a test: `openapi-generate DOCUMENT` writes it with the schemas of the
 * configuration, and of its entries that the API takes, as the table of keys has them
 * (vmm/config-keys.c). All else, and those schemas' descriptions, is what was there.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/config-schema.h"

typedef struct json_object json;

#define SIZE_TEXT "^(0[xX][0-9A-Fa-f]+|[0-9]+[KMGTkmgt]?)$"

/* Which schema has the keys under which path. */
struct part {
	const char *name, *path;
	const char *only;    /* of the keys there, with a blank around each; NULL: all */
	const char *without; /* of the keys there, the same */
	const char *pasids;  /* whose list goes with it, of bindings on it; NULL: none does */
};

static const struct part parts[] = {
	{ .name = "Configuration", .path = "" },
	{ .name = "Disk", .path = "/disks/*" },
	{ .name = "Net", .path = "/net/*" },
	{ .name = "Adi", .path = "/adis/*", .pasids = "/pasids/*" },
	{ .name = "PasidAdd", .path = "/pasids/*" },
	{ .name = "Device", .path = "/devices/*", .without = " socket share " },
	{ .name = "UserDevice", .path = "/devices/*", .only = " id socket share slot " },
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "openapi: %s: %s\n", what, why);
	exit(1);
}

static void add(json *object, const char *key, json *value)
{
	json_object_object_add(object, key, value);
}

static void add_number(json *object, const char *key, uint64_t value)
{
	add(object, key, json_object_new_uint64(value));
}

static json *of_type(const char *type)
{
	json *object = json_object_new_object();

	add(object, "type", json_object_new_string(type));
	return object;
}

static bool is_listed(const char *list, const char *name)
{
	char word[128];

	snprintf(word, sizeof(word), " %s ", name);
	return list && strstr(list, word);
}

/* A descriptor by its number, or what the keeper does: for adit run's CONFIG alone. */
static bool comes_at_start(const char *name)
{
	size_t n = strlen(name);

	return !strcmp(name, "fd") || (n > 3 && !strcmp(name + n - 3, "_fd")) ||
	       is_listed(" managed mdev ", name);
}

/* The name of a key right under the path, or NULL. */
static const char *name_under(const char *path, const struct schema_key *key)
{
	size_t n = strlen(path);
	const char *name = key->path + n + 1;

	if (strncmp(key->path, path, n) != 0 || key->path[n] != '/' || strchr(name, '/') ||
	    comes_at_start(name))
		return NULL;
	return name;
}

static json *words_of(const struct schema_key *key, bool values)
{
	json *list = json_object_new_array();

	for (const struct schema_word *w = key->words; w->word; w++) {
		if (!w->later)
			json_object_array_add(list, values ? json_object_new_uint64(w->value)
							   : json_object_new_string(w->word));
	}
	return list;
}

static json *word(const struct schema_key *key)
{
	json *value = of_type("string");

	add(value, "enum", words_of(key, false));
	return value;
}

static json *number(const char *type, const struct schema_key *key)
{
	json *value = of_type(type);

	add_number(value, "minimum", key->min);
	add_number(value, "maximum", key->max);
	if (key->align)
		add_number(value, "multipleOf", key->align);
	return value;
}

static json *either(json *one, json *other)
{
	json *value = json_object_new_object(), *list = json_object_new_array();

	json_object_array_add(list, one);
	json_object_array_add(list, other);
	add(value, "oneOf", list);
	return value;
}

static json *size(const struct schema_key *key)
{
	json *bytes, *text;

	if (key->words) {
		bytes = of_type("integer");
		add(bytes, "enum", words_of(key, true));
		return either(bytes, word(key));
	}
	text = of_type("string");
	add(text, "pattern", json_object_new_string(SIZE_TEXT));
	return either(number("integer", key), text);
}

/* Of text the table has bytes; a document can only have characters, which are no more. */
static json *text(const struct schema_key *key, const char *pattern)
{
	json *value = of_type("string");

	if (key->min)
		add_number(value, "minLength", key->min);
	add_number(value, "maxLength", key->max);
	if (pattern)
		add(value, "pattern", json_object_new_string(pattern));
	return value;
}

static json *object_at(const struct part *part, const char *path);

static json *list_at(const struct part *part, const struct schema_key *key)
{
	json *value = of_type("array");
	char path[128];

	snprintf(path, sizeof(path), "%s/*", key->path);
	if (key->min)
		add_number(value, "minItems", key->min);
	add_number(value, "maxItems", key->max);
	add(value, "items", object_at(part, path));
	return value;
}

static json *value_of(const struct part *part, const struct schema_key *key)
{
	switch (key->type) {
	case SCHEMA_OBJECT:
		return object_at(part, key->path);
	case SCHEMA_LIST:
		return list_at(part, key);
	case SCHEMA_BOOL:
		return of_type("boolean");
	case SCHEMA_INT:
		return key->words ? either(number("integer", key), word(key))
				  : number("integer", key);
	case SCHEMA_SIZE:
		return size(key);
	case SCHEMA_SECONDS:
		return number("number", key);
	case SCHEMA_TEXT:
		return text(key, NULL);
	case SCHEMA_NAME:
		return text(key, "^[A-Za-z0-9_.-]*$");
	case SCHEMA_WORD:
		return word(key);
	}
	return NULL;
}

static bool has(const struct part *part, const char *path, const char *name)
{
	if (strcmp(path, part->path) != 0)
		return true;
	return (!part->only || is_listed(part->only, name)) && !is_listed(part->without, name);
}

static json *object_at(const struct part *part, const char *path)
{
	const struct schema *schema = config_schema();
	json *object = of_type("object"), *properties = json_object_new_object();
	json *required = json_object_new_array();

	for (size_t i = 0; i < schema->n; i++) {
		const struct schema_key *key = &schema->keys[i];
		const char *name = name_under(path, key);
		json *value;

		if (!name || !has(part, path, name))
			continue;
		value = value_of(part, key);
		add(value, "description", json_object_new_string(key->doc));
		if (key->fallback)
			add(value, "default", json_tokener_parse(key->fallback));
		add(properties, name, value);
		if (key->required)
			json_object_array_add(required, json_object_new_string(name));
	}
	add(object, "properties", properties);
	if (json_object_array_length(required))
		add(object, "required", required);
	else
		json_object_put(required);
	add(object, "additionalProperties", json_object_new_boolean(false));
	return object;
}

static json *bindings(const char *path)
{
	const struct part part = { .path = path, .without = " adi " };
	json *value = of_type("array"), *items = object_at(&part, path), *required, *others;

	/* What is left out is not asked for. */
	if (json_object_object_get_ex(items, "required", &required)) {
		others = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(required); i++) {
			json *one = json_object_array_get_idx(required, i);

			if (!is_listed(part.without, json_object_get_string(one)))
				json_object_array_add(others, json_object_get(one));
		}
		add(items, "required", others);
	}
	add(value, "items", items);
	return value;
}

static bool has_word(json *list, const char *word)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (!strcmp(json_object_get_string(json_object_array_get_idx(list, i)), word))
			return true;
	}
	return false;
}

/* What the table asks for, but an id, which the API finds where there is none; and what people do.
 */
static json *required_of(json *old, json *made)
{
	json *all = json_object_new_array(), *list, *const from[] = { old, made };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		if (!json_object_object_get_ex(from[i], "required", &list))
			continue;
		for (size_t j = 0; j < json_object_array_length(list); j++) {
			json *one = json_object_array_get_idx(list, j);
			const char *name = json_object_get_string(one);

			if (!has_word(all, name) && strcmp(name, "id") != 0)
				json_object_array_add(all, json_object_get(one));
		}
	}
	return all;
}

/* In the place of what is there, whose description is people's. */
static void replace(json *schemas, const struct part *part)
{
	json *old, *kept, *made = object_at(part, part->path), *properties;

	if (!json_object_object_get_ex(schemas, part->name, &old))
		fail(part->name, "is no schema of the document");
	if (part->pasids && json_object_object_get_ex(made, "properties", &properties))
		add(properties, "pasids", bindings(part->pasids));
	if (json_object_object_get_ex(old, "description", &kept))
		add(made, "description", json_object_get(kept));
	kept = required_of(old, made);
	if (json_object_array_length(kept)) {
		add(made, "required", kept);
	} else {
		json_object_put(kept);
		json_object_object_del(made, "required");
	}
	add(schemas, part->name, made);
}

/* Indented by one, as the document is. */
static void write_out(json *document)
{
	const char *at =
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE);

	while (*at) {
		size_t blanks = strspn(at, " "), rest = strcspn(at, "\n");

		printf("%*s%.*s\n", (int)(blanks / 2), "", (int)(rest - blanks), at + blanks);
		at += rest + (at[rest] == '\n');
	}
}

int main(int argc, char **argv)
{
	json *document, *components, *schemas;

	if (argc != 2)
		fail("usage", "openapi-generate DOCUMENT");
	document = json_object_from_file(argv[1]);
	if (!document || !json_object_object_get_ex(document, "components", &components) ||
	    !json_object_object_get_ex(components, "schemas", &schemas))
		fail(argv[1], "is no OpenAPI document with schemas");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		replace(schemas, &parts[i]);
	write_out(document);
	json_object_put(document);
	return fflush(stdout) ? 1 : 0;
}
