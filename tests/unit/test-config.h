/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration's suites ask of a text: refused in which words, or taken. */
#ifndef ADIT_TESTS_UNIT_TEST_CONFIG_H
#define ADIT_TESTS_UNIT_TEST_CONFIG_H

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/config.h"

#define EXAMPLE "config.example.json"
#define KERNEL	"\"payload\": {\"kernel\": \"k\"}"
#define DSA	"{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{}], \"pasid\": {\"allow\": true}}"
#define ADIS	KERNEL ", \"adis\": [" DSA "]"

struct refusal {
	const char *text, *sentence;
};

static inline int parse(struct config *config, const char *text, struct err *err)
{
	memset(err, 0, sizeof(*err));
	return config_parse(config, text, strlen(text), err);
}

static inline void assert_refused(const struct refusal *rows, size_t n)
{
	static const struct config zero;
	struct config config;
	struct err err;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parse(&config, rows[i].text, &err), -EINVAL);
		assert_string_equal(err.text, rows[i].sentence);
		assert_memory_equal(&config, &zero, sizeof(zero));
	}
}

static inline void assert_taken(struct config *config, const char *text)
{
	struct err err;
	int ret = parse(config, text, &err);

	if (ret)
		fail_msg("%s: %s", text, err.text);
}

/* The whole file, to be freed. */
static inline char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		fail_msg("%s: cannot be read; run from the root of the source", path);
	text = calloc(1, CONFIG_MAX_BYTES);
	assert_non_null(text);
	n = fread(text, 1, CONFIG_MAX_BYTES - 1, f);
	assert_true(n > 0);
	fclose(f);
	return text;
}

#endif
