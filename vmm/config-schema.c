/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table-driven checker: walks a document and the schema's rows together, so that no key is
 * read without its limits and every refusal names the place, what is due there and what was found.
 */
#include "vmm/config-schema.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/bits.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
#define WORD_MAX   32 /* longest word that the edit distance looks at */
#define KEYS_MAX   32 /* keys of one object in a schema */
#define TYPO_MAX   2  /* edits up to which a word counts as a mistyped other one */

struct reader {
	const struct schema *schema;
	struct err *err;
};

/* --- words ----------------------------------------------------------------------------------- */

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Edits (insert, delete, replace, swap neighbours) from a to b, case aside; WORD_MAX: far. */
static size_t distance(const char *a, const char *b)
{
	size_t row[3][WORD_MAX + 1], la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);

			now[j] = MIN(MIN(last[j], now[j - 1]) + 1, last[j - 1] + !same);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]))
				now[j] = MIN(now[j], before[j - 2] + 1);
		}
	}
	return row[la % 3][lb];
}

const char *schema_nearest(const char *word, const char *const *entries, size_t n)
{
	const char *nearest = NULL;
	size_t best = TYPO_MAX + 1;

	for (size_t i = 0; i < n; i++) {
		size_t d = entries[i] ? distance(word, entries[i]) : best;

		/* A word of which nothing is left is no mistyped one. */
		if (d < best && d < strlen(entries[i])) {
			best = d;
			nearest = entries[i];
		}
	}
	return nearest;
}

void schema_size_text(char *out, size_t size, uint64_t bytes)
{
	static const char units[] = "\0KMGT";
	unsigned int unit = 0;

	while (bytes && unit < 4 && is_aligned(bytes, KIB)) {
		bytes /= KIB;
		unit++;
	}
	snprintf(out, size, "%llu%.1s", (unsigned long long)bytes, &units[unit]);
}

static void describe_words(const struct schema_key *key, char *out, size_t size)
{
	size_t n = 0, words = 0;

	for (const struct schema_word *w = key->words; w->word; w++)
		words += !w->later;
	n = (size_t)snprintf(out, size, "%s", words > 1 ? "one of " : "");
	for (const struct schema_word *w = key->words; w->word && n < size; w++) {
		if (!w->later)
			n += (size_t)snprintf(out + n, size - n, "\"%s\"%s", w->word,
					      --words ? ", " : "");
	}
	if (key->type == SCHEMA_SIZE && n < size)
		snprintf(out + n, size - n, " (or the same in bytes)");
}

static void describe_size(const struct schema_key *key, char *out, size_t size)
{
	char min[24], max[24], align[24];
	int n;

	schema_size_text(min, sizeof(min), key->min);
	schema_size_text(max, sizeof(max), key->max);
	schema_size_text(align, sizeof(align), key->align);
	n = snprintf(out, size, "a size from %s to %s", min, max);
	if (key->align && n > 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, " in steps of %s", align);
}

void schema_describe(const struct schema_key *key, char *out, size_t size)
{
	unsigned long long min = key->min, max = key->max;
	int n;

	switch (key->type) {
	case SCHEMA_OBJECT:
		snprintf(out, size, "an object");
		break;
	case SCHEMA_LIST:
		snprintf(out, size, "an array of %llu to %llu objects", min, max);
		break;
	case SCHEMA_BOOL:
		snprintf(out, size, "true or false");
		break;
	case SCHEMA_INT:
		n = snprintf(out, size, "an integer from %llu to %llu%s", min, max,
			     key->words ? " or " : "");
		if (key->words && n > 0 && (size_t)n < size)
			describe_words(key, out + n, size - (size_t)n);
		break;
	case SCHEMA_SIZE:
		if (key->words)
			describe_words(key, out, size);
		else
			describe_size(key, out, size);
		break;
	case SCHEMA_SECONDS:
		snprintf(out, size, "seconds from %llu to %llu", min, max);
		break;
	case SCHEMA_TEXT:
		snprintf(out, size, "a string of %llu to %llu bytes", min, max);
		break;
	case SCHEMA_NAME:
		snprintf(out, size, "a name of %llu to %llu characters A-Z a-z 0-9 _ . -", min,
			 max);
		break;
	case SCHEMA_WORD:
		describe_words(key, out, size);
		break;
	}
}

/* --- refusals -------------------------------------------------------------------------------- */

/* What was found, short: containers by name, the rest as written. */
static void found(struct json_object *value, char *out, size_t size)
{
	size_t n;

	switch (json_object_get_type(value)) {
	case json_type_object:
		snprintf(out, size, "an object");
		break;
	case json_type_array:
		snprintf(out, size, "an array");
		break;
	case json_type_string:
		out[0] = '"';
		json_printable(out + 1, size - 2, json_object_get_string(value));
		n = strlen(out);
		out[n] = '"';
		out[n + 1] = 0;
		break;
	default:
		json_printable(out, size, json_object_to_json_string(value));
	}
}

static int refuse_value(struct reader *r, const struct json_at *at, const struct schema_key *key,
			struct json_object *value)
{
	char due[160], got[64];

	schema_describe(key, due, sizeof(due));
	found(value, got, sizeof(got));
	if (key->type == SCHEMA_LIST && json_object_is_type(value, json_type_array))
		return json_refuse(r->err, at, "must be %s, not of %zu", due,
				   json_object_array_length(value));
	if (key->type == SCHEMA_TEXT && json_object_is_type(value, json_type_string))
		return json_refuse(r->err, at, "must be %s, not of %d", due,
				   json_object_get_string_len(value));
	return json_refuse(r->err, at, "must be %s, not %s", due, got);
}

static int refuse_word(struct reader *r, const struct json_at *at, const struct schema_key *key,
		       struct json_object *value)
{
	const char *words[KEYS_MAX], *word = json_object_get_string(value), *nearest;
	char due[160], got[64];
	size_t n = 0;

	schema_describe(key, due, sizeof(due));
	found(value, got, sizeof(got));
	for (const struct schema_word *w = key->words; w->word && n < KEYS_MAX; w++) {
		if (w->later && !strcasecmp(w->word, word))
			return json_refuse(r->err, at, "%s is not in this version, it must be %s",
					   got, due);
		words[n++] = w->later ? NULL : w->word;
	}
	nearest = schema_nearest(word, words, n);
	if (nearest)
		return json_refuse(r->err, at, "must be %s, not %s; the nearest is \"%s\"", due,
				   got, nearest);
	return refuse_value(r, at, key, value);
}

/* --- the walk -------------------------------------------------------------------------------- */

/* The key's own name where it is one of parent's (NULL: the document's), else NULL. */
static const char *child_name(const struct schema_key *key, const struct schema_key *parent)
{
	const char *p = key->path;
	size_t n;

	if (parent) {
		n = strlen(parent->path);
		if (strncmp(p, parent->path, n) != 0)
			return NULL;
		p += n;
		if (parent->type == SCHEMA_LIST) {
			if (strncmp(p, "/*", 2) != 0)
				return NULL;
			p += 2;
		}
	}
	return *p == '/' && !strchr(p + 1, '/') ? p + 1 : NULL;
}

static int refuse_key(struct reader *r, const struct json_at *at, const struct schema_key *parent)
{
	const char *names[KEYS_MAX], *nearest;
	char list[256] = "";
	size_t n = 0, len = 0;

	for (size_t i = 0; i < r->schema->n && n < KEYS_MAX; i++) {
		const char *name = child_name(&r->schema->keys[i], parent);

		if (name)
			names[n++] = name;
	}
	nearest = schema_nearest(at->key, names, n);
	if (nearest)
		return json_refuse(r->err, at, "unknown key; the nearest is \"%s\"", nearest);
	for (size_t i = 0; i < n && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					names[i]);
	return json_refuse(r->err, at, "unknown key; the keys here are %s", list);
}

static void store(const struct schema_key *key, void *base, uint64_t value)
{
	if (key->field.size)
		store_le((char *)base + key->field.offset, value, (unsigned int)key->field.size);
}

/* 0, or -EINVAL for what is no size: digits with K, M, G or T after them, or 0x and hex digits. */
static int parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	bool hex = text[0] == '0' && lower(text[1]) == 'x';
	uint64_t base = hex ? 16 : 10, v = 0;
	const char *p = hex ? text + 2 : text, *digits = p, *unit;

	for (; *p; p++) {
		uint64_t digit = *p >= '0' && *p <= '9' ? (uint64_t)(*p - '0')
				 : lower(*p) >= 'a'	? (uint64_t)(lower(*p) - 'a' + 10)
							: base;

		if (digit >= base)
			break;
		if (v > (UINT64_MAX - digit) / base)
			return -EINVAL;
		v = v * base + digit;
	}
	if (p == digits)
		return -EINVAL;
	if (*p) {
		unit = hex || lower(*p) < 'a' ? NULL : strchr(units, lower(*p) - 'a' + 'A');
		if (!unit || p[1])
			return -EINVAL;
		for (long i = 0; i <= unit - units; i++) {
			if (v > UINT64_MAX / KIB)
				return -EINVAL;
			v *= KIB;
		}
	}
	*out = v;
	return 0;
}

static int read_word(struct reader *r, const struct json_at *at, const struct schema_key *key,
		     struct json_object *value, void *base)
{
	const char *word;

	if (!json_object_is_type(value, json_type_string))
		return refuse_value(r, at, key, value);
	word = json_object_get_string(value);
	for (const struct schema_word *w = key->words; w->word; w++) {
		if (w->later || (key->any_case ? strcasecmp : strcmp)(word, w->word))
			continue;
		store(key, base, w->value);
		return 0;
	}
	return refuse_word(r, at, key, value);
}

static int read_int(struct reader *r, const struct json_at *at, const struct schema_key *key,
		    struct json_object *value, void *base)
{
	int64_t v;

	if (json_object_is_type(value, json_type_string) && key->words)
		return read_word(r, at, key, value, base);
	if (!json_object_is_type(value, json_type_int))
		return refuse_value(r, at, key, value);
	v = json_object_get_int64(value); /* at most JSON_MAX_DIGITS digits: exact */
	if (v < 0 || (uint64_t)v < key->min || (uint64_t)v > key->max)
		return refuse_value(r, at, key, value);
	store(key, base, (uint64_t)v);
	return 0;
}

static bool size_fits(const struct schema_key *key, uint64_t v)
{
	if (key->words) {
		for (const struct schema_word *w = key->words; w->word; w++) {
			if (w->value == v && !w->later)
				return true;
		}
		return false;
	}
	return v >= key->min && v <= key->max && (!key->align || is_aligned(v, key->align));
}

static int read_size(struct reader *r, const struct json_at *at, const struct schema_key *key,
		     struct json_object *value, void *base)
{
	uint64_t v = 0;

	if (json_object_is_type(value, json_type_string)) {
		if (parse_size(json_object_get_string(value), &v) != 0)
			return refuse_value(r, at, key, value);
	} else if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0) {
		v = (uint64_t)json_object_get_int64(value);
	} else {
		return refuse_value(r, at, key, value);
	}
	if (!size_fits(key, v))
		return refuse_value(r, at, key, value);
	store(key, base, v);
	return 0;
}

static int read_seconds(struct reader *r, const struct json_at *at, const struct schema_key *key,
			struct json_object *value, void *base)
{
	double v;

	if (!json_object_is_type(value, json_type_int) &&
	    !json_object_is_type(value, json_type_double))
		return refuse_value(r, at, key, value);
	v = json_object_get_double(value);
	if (!(v >= (double)key->min && v <= (double)key->max))
		return refuse_value(r, at, key, value);
	store(key, base, (uint64_t)(v * 1000 + 0.5));
	return 0;
}

static int read_text(struct reader *r, const struct json_at *at, const struct schema_key *key,
		     struct json_object *value, void *base)
{
	const char *text;
	char **slot = (void *)((char *)base + key->field.offset);
	size_t n;

	if (!json_object_is_type(value, json_type_string))
		return refuse_value(r, at, key, value);
	text = json_object_get_string(value);
	n = strlen(text);
	if (n < key->min || n > key->max ||
	    (key->type == SCHEMA_NAME && strspn(text, NAME_CHARS) != n))
		return refuse_value(r, at, key, value);
	*slot = strdup(text);
	return *slot ? 0 : err_set(r->err, ENOMEM, "out of memory");
}

static int read_object(struct reader *r, const struct json_at *at, const struct schema_key *parent,
		       struct json_object *object, void *base);

static int read_list(struct reader *r, const struct json_at *at, const struct schema_key *key,
		     struct json_object *value, void *base)
{
	struct json_at here = { .up = at };
	char *items = (char *)base + key->field.offset;
	size_t n;
	int ret = 0;

	if (!json_object_is_type(value, json_type_array))
		return refuse_value(r, at, key, value);
	n = json_object_array_length(value);
	if (n < key->min || n > key->max)
		return refuse_value(r, at, key, value);
	if (!key->list.inside) {
		items = n ? calloc(n, key->list.item) : NULL;
		if (n && !items)
			return err_set(r->err, ENOMEM, "out of memory");
		memcpy((char *)base + key->field.offset, &items, sizeof(items));
	}
	store_le((char *)base + key->list.count.offset, n, (unsigned int)key->list.count.size);
	for (size_t i = 0; i < n && !ret; i++) {
		here.index = i;
		ret = read_object(r, &here, key, json_object_array_get_idx(value, i),
				  items + i * key->list.item);
	}
	return ret;
}

static int read_value(struct reader *r, const struct json_at *at, const struct schema_key *key,
		      struct json_object *value, void *base)
{
	switch (key->type) {
	case SCHEMA_OBJECT:
		return read_object(r, at, key, value, base);
	case SCHEMA_LIST:
		return read_list(r, at, key, value, base);
	case SCHEMA_BOOL:
		if (!json_object_is_type(value, json_type_boolean))
			return refuse_value(r, at, key, value);
		store(key, base, (uint64_t)json_object_get_boolean(value));
		return 0;
	case SCHEMA_INT:
		return read_int(r, at, key, value, base);
	case SCHEMA_SIZE:
		return read_size(r, at, key, value, base);
	case SCHEMA_SECONDS:
		return read_seconds(r, at, key, value, base);
	case SCHEMA_TEXT:
	case SCHEMA_NAME:
		return read_text(r, at, key, value, base);
	case SCHEMA_WORD:
		return read_word(r, at, key, value, base);
	}
	return -EINVAL;
}

/* A key that is not in the document: its default, which is read as if it were written there. */
static int read_absent(struct reader *r, const struct json_at *at, const struct schema_key *key,
		       void *base)
{
	struct json_object *value;
	char due[160];
	int ret;

	if (key->required) {
		schema_describe(key, due, sizeof(due));
		return json_refuse(r->err, at, "is missing; it must be %s", due);
	}
	if (key->type != SCHEMA_OBJECT && !key->fallback)
		return 0;
	value = json_tokener_parse(key->fallback ? key->fallback : "{}");
	if (!value)
		return err_set(r->err, ENOMEM, "out of memory");
	ret = read_value(r, at, key, value, base);
	json_object_put(value);
	return ret;
}

static int check_names(struct reader *r, const struct json_at *at, const struct schema_key *parent,
		       struct json_object *object)
{
	json_object_object_foreach(object, name, value)
	{
		struct json_at here = { .up = at, .key = name };
		bool known = false;

		(void)value;
		for (size_t i = 0; i < r->schema->n && !known; i++) {
			const char *child = child_name(&r->schema->keys[i], parent);

			known = child && !strcmp(child, name);
		}
		if (!known)
			return refuse_key(r, &here, parent);
	}
	return 0;
}

static int read_object(struct reader *r, const struct json_at *at, const struct schema_key *parent,
		       struct json_object *object, void *base)
{
	char got[64];
	int ret;

	if (!json_object_is_type(object, json_type_object)) {
		found(object, got, sizeof(got));
		return json_refuse(r->err, at, "must be an object, not %s", got);
	}
	ret = check_names(r, at, parent, object);
	for (size_t i = 0; i < r->schema->n && !ret; i++) {
		const struct schema_key *key = &r->schema->keys[i];
		struct json_at here = { .up = at, .key = child_name(key, parent) };
		struct json_object *value;

		if (!here.key)
			continue;
		if (json_object_object_get_ex(object, here.key, &value)) {
			if (key->type == SCHEMA_OBJECT)
				store(key, base, true);
			ret = read_value(r, &here, key, value, base);
		} else {
			ret = read_absent(r, &here, key, base);
		}
	}
	return ret;
}

int schema_read(const struct schema *schema, struct json_object *document, void *out,
		struct err *err)
{
	struct reader r = { .schema = schema, .err = err };
	const struct json_at root = { 0 };

	return read_object(&r, &root, NULL, document, out);
}
