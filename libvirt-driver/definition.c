/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain XML: parsed by libxml2 under limits, walked along the rules, brought into its one form.
 * What each element means is in definition-rules.c.
 */
#include "libvirt-driver/definition.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt-driver/definition-reader.h"
#include "util/bits.h"

#define ID_BYTES 32u /* ' id="2147483647"' */

/* --- UUIDs ----------------------------------------------------------------------------------- */

void uuid_format(char text[UUID_TEXT], const uint8_t uuid[XDR_UUID])
{
	char *at = text;

	for (unsigned int i = 0; i < XDR_UUID; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		at += sprintf(at, "%02x", uuid[i]);
	}
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uuid_parse(uint8_t uuid[XDR_UUID], const char *text)
{
	for (unsigned int i = 0; i < XDR_UUID; i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		high = hex(text[0]);
		low = high < 0 ? -1 : hex(text[1]);
		if (low < 0)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return !*text;
}

/* --- refusals -------------------------------------------------------------------------------- */

int reader_refuse(struct reader *reader, const char *fmt, ...)
{
	va_list ap;

	reader->refusal->fault = FAULT_CONFIG_UNSUPPORTED;
	va_start(ap, fmt);
	err_setv(&reader->refusal->err, EINVAL, fmt, ap);
	va_end(ap);
	err_prefix(&reader->refusal->err, "/%s", reader->path);
	return CALL_REFUSED;
}

int reader_refuse_attribute(struct reader *reader, const char *name, const char *fmt, ...)
{
	va_list ap;

	reader->refusal->fault = FAULT_CONFIG_UNSUPPORTED;
	va_start(ap, fmt);
	err_setv(&reader->refusal->err, EINVAL, fmt, ap);
	va_end(ap);
	err_prefix(&reader->refusal->err, "/%s/@%.64s", reader->path, name);
	return CALL_REFUSED;
}

/* --- the tree -------------------------------------------------------------------------------- */

const char *node_attribute(const xmlNode *node, const char *name)
{
	for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
		if (!attribute->ns && !strcmp((const char *)attribute->name, name))
			return attribute->children ? (const char *)attribute->children->content
						   : "";
	}
	return NULL;
}

const char *node_text(const xmlNode *node)
{
	return node->children && node->children->content ? (const char *)node->children->content
							 : "";
}

bool text_is_writable(const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (*at < 0x20 && *at != '\t' && *at != '\n' && *at != '\r')
			return false;
		if (at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe) /* U+FFFE, U+FFFF */
			return false;
	}
	return xmlCheckUTF8((const xmlChar *)text);
}

bool node_is(const xmlNode *node, const char *name)
{
	return node && node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static bool is_ours(const xmlNode *node)
{
	return node->ns && !strcmp((const char *)node->ns->href, DEFINITION_NS);
}

static bool is_blank(const xmlNode *node)
{
	const unsigned char *text = node->content;

	while (text && (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r'))
		text++;
	return !text || !*text;
}

static xmlNode *drop(xmlNode *node)
{
	xmlNode *next = node->next;

	xmlUnlinkNode(node);
	xmlFreeNode(node);
	return next;
}

/*
 * Without comments and instructions, and without the blanks between elements: what is left is
 * written with the same indentation each time. libxml2 has bounded the depth at 256.
 */
static void strip(xmlNode *node)
{
	bool elements = false, text = false;

	for (xmlNode *child = node->children; child;) {
		if (child->type == XML_COMMENT_NODE || child->type == XML_PI_NODE) {
			child = drop(child);
			continue;
		}
		if (child->type == XML_TEXT_NODE && child->prev &&
		    child->prev->type == XML_TEXT_NODE)
			child = xmlTextMerge(child->prev, child);
		child = child->next;
	}
	for (xmlNode *child = node->children; child; child = child->next) {
		elements |= child->type == XML_ELEMENT_NODE;
		text |= child->type == XML_TEXT_NODE && !is_blank(child);
	}
	for (xmlNode *child = node->children; child;) {
		if (child->type == XML_ELEMENT_NODE)
			strip(child);
		child = elements && !text && child->type == XML_TEXT_NODE ? drop(child)
									  : child->next;
	}
}

static unsigned int depth_of(const xmlNode *node)
{
	unsigned int deepest = 0;

	for (const xmlNode *child = node->children; child; child = child->next) {
		/* Not inside MAX, which looks at what it is given twice. */
		unsigned int depth = child->type == XML_ELEMENT_NODE ? depth_of(child) : 0;

		deepest = MAX(deepest, depth);
	}
	return deepest + 1;
}

/* --- rules ----------------------------------------------------------------------------------- */

/* The word of the rule for an attribute, behind its "!"; NULL: there is none. */
static const char *find_word(const char *words, const char *name)
{
	size_t len = strlen(name);

	while (*words) {
		size_t word = strcspn(words, " ");
		const char *at = words + (*words == '!');

		if (!strncmp(at, name, len) && (at[len] == '=' || at[len] == ' ' || !at[len]))
			return at;
		words += word + (words[word] == ' ');
	}
	return NULL;
}

static bool value_fits(const char *word, const char *value)
{
	size_t end = strcspn(word, " "), at = strcspn(word, "="), len = strlen(value);

	if (at >= end)
		return true;
	while (at < end) {
		size_t one = strcspn(word + ++at, "| ");

		if (one == len && !strncmp(word + at, value, len))
			return true;
		at += one;
	}
	return false;
}

static int check_attributes(struct reader *reader, const struct rule *rule, const xmlNode *node)
{
	const char *words = rule->attributes;

	for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
		const char *name = (const char *)attribute->name;
		const char *word = attribute->ns ? NULL : find_word(words, name);
		const char *value = node_attribute(node, name);

		if (!word)
			return reader_refuse_attribute(reader, name, "is not supported");
		if (!value_fits(word, value))
			return reader_refuse_attribute(
				reader, name, "\"%.64s\" is not supported, it must be %.*s", value,
				(int)(strcspn(word, " ") - strcspn(word, "=") - 1),
				word + strcspn(word, "=") + 1);
	}
	for (; *words; words += strcspn(words, " "), words += *words == ' ') {
		char name[64];

		if (*words != '!')
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(words + 1, "= "), words + 1);
		if (!node_attribute(node, name))
			return reader_refuse_attribute(reader, name, "is missing");
	}
	return 0;
}

static int check_content(struct reader *reader, const struct rule *rule, const xmlNode *node)
{
	for (const xmlNode *child = node->children; child; child = child->next) {
		if (rule->flags & RULE_TEXT && child->type != XML_TEXT_NODE)
			return reader_refuse(reader, "must hold text only");
		if (!(rule->flags & RULE_TEXT) && child->type != XML_ELEMENT_NODE &&
		    !(child->type == XML_TEXT_NODE && is_blank(child)))
			return reader_refuse(reader, "must hold elements only, no text");
	}
	if (!(rule->flags & RULE_ONCE))
		return 0;
	for (const xmlNode *other = node->prev; other; other = other->prev) {
		if (other->type == XML_ELEMENT_NODE && is_ours(other) == is_ours(node) &&
		    !strcmp((const char *)other->name, (const char *)node->name))
			return reader_refuse(reader, "is there twice");
	}
	return 0;
}

static const struct rule *find_rule(const char *key)
{
	for (size_t i = 0; i < n_definition_rules; i++) {
		if (!strcmp(definition_rules[i].path, key))
			return &definition_rules[i];
	}
	return NULL;
}

/* "disk[2]": which of its name, where it is not the first. */
static void push_path(struct reader *reader, const xmlNode *node)
{
	size_t len = strlen(reader->path);
	unsigned int nth = 1;

	for (const xmlNode *other = node->prev; other; other = other->prev)
		nth += node_is(other, (const char *)node->name) && is_ours(other) == is_ours(node);
	snprintf(reader->path + len, sizeof(reader->path) - len, "%s%s%.64s", len ? "/" : "",
		 is_ours(node) ? "adit:" : "", (const char *)node->name);
	len = strlen(reader->path);
	if (nth > 1)
		snprintf(reader->path + len, sizeof(reader->path) - len, "[%u]", nth);
}

/* The key of a child in the rules; what is ours starts at its root, wherever it stands. */
static void make_key(char *key, size_t size, const char *parent, const xmlNode *node)
{
	bool root = is_ours(node) && node_is(node, "machine");

	snprintf(key, size, "%s%s%s%.64s", root ? "" : parent, root || !*parent ? "" : "/",
		 is_ours(node) ? "adit:" : "", (const char *)node->name);
}

static int walk(struct reader *reader, const char *parent, xmlNode *node);

static int walk_children(struct reader *reader, const struct rule *rule, xmlNode *node)
{
	/* Children may be added before the one that is walked, never taken away. */
	for (xmlNode *child = node->children; child; child = child->next) {
		bool foreign = child->type == XML_ELEMENT_NODE && child->ns && !is_ours(child);

		if (child->type != XML_ELEMENT_NODE || (foreign && rule->flags & RULE_FOREIGN))
			continue;
		if (walk(reader, rule->path, child))
			return CALL_REFUSED;
	}
	return 0;
}

static int walk(struct reader *reader, const char *parent, xmlNode *node)
{
	size_t len = strlen(reader->path);
	struct json_object *device = reader->device;
	const struct rule *rule;
	char key[READER_PATH];

	push_path(reader, node);
	make_key(key, sizeof(key), parent, node);
	rule = node->ns && !is_ours(node) ? NULL : find_rule(key);
	if (!rule)
		return reader_refuse(reader, "is not supported");
	if (check_attributes(reader, rule, node) || check_content(reader, rule, node) ||
	    (rule->enter && rule->enter(reader, node)) || walk_children(reader, rule, node) ||
	    (rule->leave && rule->leave(reader, node)))
		return CALL_REFUSED;
	reader->device = device;
	reader->path[len] = 0;
	return 0;
}

/* --- parsing --------------------------------------------------------------------------------- */

/* A document type is the door to entities and files: nothing behind it is looked at. */
static void refuse_dtd(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *id)
{
	xmlParserCtxt *context = arg;

	*(bool *)context->_private = true;
	xmlStopParser(context);
}

xmlDoc *definition_read_xml(const char *xml, size_t len, struct refusal *refusal)
{
	const int options =
		XML_PARSE_NONET | XML_PARSE_NOCDATA | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
	xmlParserCtxt *context = xmlNewParserCtxt();
	bool dtd = false;
	xmlDoc *doc;

	if (len > DEFINITION_MAX_XML) {
		xmlFreeParserCtxt(context);
		refuse(refusal, FAULT_XML, "the XML is longer than %u bytes", DEFINITION_MAX_XML);
		return NULL;
	}
	if (!context) {
		refuse(refusal, FAULT_NO_MEMORY, "no memory to parse XML");
		return NULL;
	}
	context->_private = &dtd;
	context->sax->internalSubset = refuse_dtd;
	doc = xmlCtxtReadMemory(context, xml, (int)len, NULL, "UTF-8", options);
	if (dtd) {
		refuse(refusal, FAULT_XML, "(domain_definition): a document type is not accepted");
	} else if (!doc || !xmlDocGetRootElement(doc)) {
		const char *text = context->lastError.message;

		text = text ? text : "this is no XML document";
		refuse(refusal, FAULT_XML, "(domain_definition):%d: %.*s", context->lastError.line,
		       (int)strcspn(text, "\n"), text);
	} else {
		xmlFreeParserCtxt(context);
		return doc;
	}
	xmlFreeDoc(doc);
	xmlFreeParserCtxt(context);
	return NULL;
}

static char *write_canonical(xmlDoc *doc)
{
	xmlBuffer *buffer = xmlBufferCreate();
	char *text = NULL;

	if (buffer && xmlNodeDump(buffer, doc, xmlDocGetRootElement(doc), 0, 1) >= 0 &&
	    asprintf(&text, "%s\n", (const char *)xmlBufferContent(buffer)) < 0)
		text = NULL;
	xmlBufferFree(buffer);
	return text;
}

static int read_tree(struct reader *reader, xmlDoc *doc)
{
	reader->root = xmlDocGetRootElement(doc);
	strip(reader->root);
	if (depth_of(reader->root) > DEFINITION_MAX_DEPTH)
		return refuse(reader->refusal, FAULT_XML, "elements are nested more than %u deep",
			      DEFINITION_MAX_DEPTH);
	if (!node_is(reader->root, "domain"))
		return refuse(reader->refusal, FAULT_XML, "the root element must be <domain>");
	if (walk(reader, "", reader->root) || definition_finish(reader))
		return CALL_REFUSED;
	reader->definition->xml = write_canonical(doc);
	reader->definition->config = strdup(
		json_object_to_json_string_ext(reader->config, JSON_C_TO_STRING_NOSLASHESCAPE));
	if (json_object_object_length(reader->bridges))
		reader->definition->bridges = strdup(json_object_to_json_string(reader->bridges));
	if (!reader->definition->xml || !reader->definition->config ||
	    (json_object_object_length(reader->bridges) && !reader->definition->bridges))
		return refuse(reader->refusal, FAULT_NO_MEMORY, "no memory for a domain's XML");
	/* Refused now and not when it is read back, then with an id. */
	if (strlen(reader->definition->xml) > DEFINITION_MAX_XML - ID_BYTES)
		return refuse(reader->refusal, FAULT_XML, "the XML is longer than %u bytes",
			      DEFINITION_MAX_XML);
	return 0;
}

struct definition *definition_parse(const char *xml, size_t len, const struct definition_host *host,
				    struct refusal *refusal)
{
	struct reader reader = { .host = host, .refusal = refusal };
	xmlDoc *doc;
	int ret;

	doc = definition_read_xml(xml, len, refusal);
	if (!doc)
		return NULL;
	reader.definition = calloc(1, sizeof(*reader.definition));
	reader.config = json_object_new_object();
	reader.more = json_object_new_object();
	reader.bridges = json_object_new_object();
	if (!reader.definition || !reader.config || !reader.more || !reader.bridges)
		ret = refuse(refusal, FAULT_NO_MEMORY, "no memory for a domain");
	else
		ret = read_tree(&reader, doc);
	xmlFreeDoc(doc);
	json_object_put(reader.config);
	json_object_put(reader.more);
	json_object_put(reader.bridges);
	if (!ret)
		return reader.definition;
	definition_free(reader.definition);
	return NULL;
}

void definition_free(struct definition *definition)
{
	if (!definition)
		return;
	free(definition->name);
	free(definition->title);
	free(definition->description);
	free(definition->xml);
	free(definition->config);
	free(definition->bridges);
	free(definition->iommu_group);
	free(definition);
}

static bool copy_text(char **out, const char *from)
{
	*out = from ? strdup(from) : NULL;
	return *out || !from;
}

struct definition *definition_copy(const struct definition *from)
{
	struct definition *copy = malloc(sizeof(*copy));
	bool whole;

	if (!copy)
		return NULL;
	*copy = *from;
	whole = copy_text(&copy->name, from->name);
	whole &= copy_text(&copy->title, from->title);
	whole &= copy_text(&copy->description, from->description);
	whole &= copy_text(&copy->xml, from->xml);
	whole &= copy_text(&copy->config, from->config);
	whole &= copy_text(&copy->bridges, from->bridges);
	whole &= copy_text(&copy->iommu_group, from->iommu_group);
	if (whole)
		return copy;
	definition_free(copy);
	return NULL;
}

char *definition_xml_with_id(const struct definition *definition, int32_t id)
{
	static const char begin[] = "<domain";
	char *text;

	if (asprintf(&text, "%s id=\"%d\"%s", begin, id, definition->xml + strlen(begin)) < 0)
		return NULL;
	return text;
}
