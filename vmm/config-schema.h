/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON document's schema as one table, and the checker that reads a document into a structure by
 * it. The table is the only place that knows a key's name, type, limits and default: the checker,
 * its messages and the documentation (compared with it by a test) all follow from its rows.
 */
#ifndef ADIT_VMM_CONFIG_SCHEMA_H
#define ADIT_VMM_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/json-strict.h"

enum schema_type {
	SCHEMA_OBJECT,	/* -> bool: it is there; its keys are the rows under it */
	SCHEMA_LIST,	/* of objects; their keys are the rows under PATH/\* */
	SCHEMA_BOOL,	/* -> bool */
	SCHEMA_INT,	/* -> uint32_t */
	SCHEMA_SIZE,	/* bytes: an integer, "128M" or "0x200000" -> uint64_t */
	SCHEMA_SECONDS, /* a number, kept in milliseconds -> uint32_t */
	SCHEMA_TEXT,	/* -> char *, allocated */
	SCHEMA_NAME,	/* one to max of A-Z a-z 0-9 _ . - -> char *, allocated */
	SCHEMA_WORD,	/* one of words -> its value */
};

struct schema_word {
	const char *word;
	uint64_t value;
	bool later; /* known, but not in this version: refused by name */
};

/* Where a value goes, in the structure of the nearest list's element or the document's. */
struct schema_field {
	size_t offset;
	size_t size; /* 0: checked, but not kept */
};

#define SCHEMA_FIELD(type, member)                                                    \
	{                                                                             \
		.offset = offsetof(type, member), .size = sizeof(((type *)0)->member) \
	}

/* For a list that is allocated: the place of its pointer. */
#define SCHEMA_POINTER(type, member)                                     \
	{                                                                \
		.offset = offsetof(type, member), .size = sizeof(void *) \
	}

struct schema_key {
	const char *path; /* a JSON pointer, with * for any index */
	enum schema_type type;
	bool required;
	bool any_case;	   /* words match without regard to case */
	uint64_t min, max; /* INT, SIZE: value; SECONDS: seconds; TEXT: bytes; LIST: items */
	uint64_t align;	   /* SIZE: a power of two, or 0 */
	const struct schema_word *words; /* WORD, and SIZE and INT with some; ends with word NULL */
	const char *fallback;	   /* JSON text of the default; NULL: none, or what doc says */
	const char *doc;	   /* one line for docs/configuration.md */
	struct schema_field field; /* LIST: a pointer that is allocated, or the array itself */
	struct {
		struct schema_field count;
		size_t item; /* bytes of an element */
		bool inside; /* the array is part of the structure and has room for max */
	} list;
};

struct schema {
	const struct schema_key *keys;
	size_t n;
};

/* The schema of a VM's configuration (vmm/config-keys.c), for tests and documentation. */
const struct schema *config_schema(void);

/*
 * Checks the document against the schema and stores its values and defaults in *out, which the
 * caller zeroed. Also after a failure, what was allocated so far hangs off *out. -EINVAL, -ENOMEM.
 */
int schema_read(const struct schema *schema, struct json_object *document, void *out,
		struct err *err);

/* What a key's value must be, in words with its limits: "an integer from 1 to 255". */
void schema_describe(const struct schema_key *key, char *out, size_t size);

/* 134217728 -> "128M"; sizes that are no multiple of 1K in bytes. */
void schema_size_text(char *out, size_t size, uint64_t bytes);

/* The entry (of n, NULLs skipped) that is few typing errors away from word, or NULL. */
const char *schema_nearest(const char *word, const char *const *entries, size_t n);

#endif
