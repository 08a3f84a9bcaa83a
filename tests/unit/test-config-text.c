/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a configuration: strict JSON or refused with a pointer, within its limits, damaged
 * and cut in every place.
 */
#include "tests/unit/test-config.h"

/* --- JSON text ------------------------------------------------------------------------------- */

static void text_that_is_no_strict_json_is_refused(void **state)
{
	static const struct refusal rows[] = {
		{ "", "(document): the text ends where a value is due (line 1, column 1)" },
		{ "{} x", "(document): something follows the end of the JSON text (line 1, column "
			  "4)" },
		{ "{\"a\": 1,}", "(document): a key in double quotes is due (line 1, column 9)" },
		{ "{\"a\" 1}", "/a: a colon is due after the key (line 1, column 6)" },
		{ "{\"a\": [1 2]}", "/a: a comma or ] is due (line 1, column 10)" },
		{ "{\"a\": 1\n\"b\": 2}", "(document): a comma or } is due (line 2, column 1)" },
		{ "{\"a\": {\"b\": [0, 012]}}",
		  "/a/b/1: this is no number of JSON (line 1, column 20)" },
		{ "{\"a\": 1.}",
		  "/a: digits must follow the point of a number (line 1, column 9)" },
		{ "{\"a\": 1e}", "/a: digits must follow the e of a number (line 1, column 9)" },
		{ "{\"a\": \"x}", "/a: the string does not end (line 1, column 10)" },
		{ "{\"a\": \"\\u0000\"}",
		  "/a: strings may not hold NUL (\\u0000) (line 1, column 14)" },
		{ "{\"a\": \"\\ud800x\"}",
		  "/a: half of a surrogate pair is no character (line 1, column 14)" },
		{ "{\"a\": \"\n\"}",
		  "/a: control characters in strings are written \\u00XX (line 1, column 8)" },
		{ "{\"a\": \"\xc0\xaf\"}", "/a: invalid UTF-8 (line 1, column 8)" },
		{ "{\"a\": \"\xed\xa0\x80\"}", "/a: invalid UTF-8 (line 1, column 8)" },
		{ "{\"a\": \"\xf4\x90\x80\x80\"}", "/a: invalid UTF-8 (line 1, column 8)" },
		{ "{\"a\": \"\xe2\x82\"}", "/a: invalid UTF-8 (line 1, column 8)" },
		{ "{\"a\": 1234567890123456789}",
		  "/a: an integer has at most 18 digits (line 1, column 26)" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void words_that_are_no_json_are_refused(void **state)
{
	static const char *const words[] = { "NaN", "Infinity", "-Infinity", "TRUE",
					     "nul", "'a'",	"// x",	     "-",
					     "+1",  ".5",	"undefined" };
	struct config config;
	struct err err;
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(text, sizeof(text), "{\"shutdown_timeout\": %s}", words[i]);
		assert_int_equal(parse(&config, text, &err), -EINVAL);
		assert_ptr_equal(strstr(err.text, "/shutdown_timeout: "), err.text);
	}
}

static void duplicate_keys_are_refused_however_they_are_written(void **state)
{
	static const struct refusal rows[] = {
		{ "{\"a\": 1, \"a\": 2}",
		  "/a: this key is there twice; remove one (line 1, column 13)" },
		{ "{\"a\": [{\"b\": 1, \"\\u0062\": 2}]}",
		  "/a/0/b: this key is there twice; remove one (line 1, column 25)" },
		{ "{\"\xf0\x9f\x98\x80\": 1, \"\\ud83d\\ude00\": 2}",
		  "/\xf0\x9f\x98\x80: this key is there twice; remove one (line 1, column 24)" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	/* The same key in two objects is no duplicate. */
	assert_taken(&config, "{" ADIS ", \"spaces\": [{\"id\": \"a\", \"offset\": 0, "
			      "\"size\": 4096}, {\"id\": \"b\", \"offset\": 0, \"size\": 4096}]}");
	config_free(&config);
}

static void pointers_are_escaped_and_printable(void **state)
{
	static const struct refusal rows[] = {
		{ "{\"a/b~c\": 012}", "/a~1b~0c: this is no number of JSON (line 1, column 14)" },
		{ "{\"\\u001b[31m\": 012}",
		  "/\\u001b[31m: this is no number of JSON (line 1, column 19)" },
		{ "{\"\xc2\x9b\": 012}",
		  "/\\u009b: this is no number of JSON (line 1, column 10)" },
		{ "{" KERNEL ", \"memory\": {\"size\": \"\\u001b[2J\"}}",
		  "/memory/size: must be a size from 1M to 16T in steps of 4K, not "
		  "\"\\u001b[2J\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void nesting_up_to_the_limit_is_walked_and_past_it_refused(void **state)
{
	struct config config;
	struct err err;
	char text[80];

	memset(text, '[', 33);
	text[33] = 0;
	assert_int_equal(parse(&config, text, &err), -EINVAL);
	assert_non_null(strstr(err.text, "arrays and objects go at most 32 deep"));
	memset(text, '[', 32);
	memset(text + 32, ']', 32);
	text[64] = 0;
	assert_int_equal(parse(&config, text, &err), -EINVAL);
	assert_string_equal(err.text, "(document): must be an object, not an array");
}

static void keys_are_bounded_in_number_and_length(void **state)
{
	struct config config;
	struct err err;
	char text[2048], *p = text;

	p += sprintf(p, "{\"k0\": 0");
	for (int i = 1; i <= 64; i++)
		p += sprintf(p, ", \"k%d\": 0", i);
	*p++ = '}';
	*p = 0;
	assert_int_equal(parse(&config, text, &err), -EINVAL);
	assert_non_null(strstr(err.text, "an object has at most 64 keys"));

	for (size_t n = 250; n <= 260; n++) {
		/* A character of four bytes at the end must not pass the limit either. */
		snprintf(text, sizeof(text), "{\"%0*d\xf0\x9f\x98\x80\": 1}", (int)n, 0);
		assert_int_equal(parse(&config, text, &err), -EINVAL);
		assert_int_equal(!!strstr(err.text, "the key is longer than 255 bytes"),
				 n + 4 > 255);
		assert_true(strlen(err.text) < sizeof(err.text) - 1);
	}
}

static void a_text_past_one_mebibyte_is_refused(void **state)
{
	static const char taken[] = "{" KERNEL "}";
	char *text = malloc(CONFIG_MAX_BYTES + 1);
	struct config config;
	struct err err = { 0 };

	assert_non_null(text);
	memset(text, ' ', CONFIG_MAX_BYTES + 1);
	for (size_t i = 0; taken[i]; i++)
		text[i] = taken[i];
	assert_int_equal(config_parse(&config, text, CONFIG_MAX_BYTES + 1, &err), -E2BIG);
	assert_string_equal(err.text, "(document): is longer than 1048576 bytes");
	assert_int_equal(config_parse(&config, text, CONFIG_MAX_BYTES, &err), 0);
	config_free(&config);
	free(text);
}

static void a_nul_byte_does_not_end_the_text(void **state)
{
	static const char text[] = "{" KERNEL "}\0junk";
	struct config config;
	struct err err;

	assert_int_equal(config_parse(&config, text, sizeof(text) - 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "something follows"));
}

/* --- damaged text ---------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

static void mutate(char *text, size_t *len, size_t room, uint64_t *seed)
{
	static const char pieces[] = "{}[]\",:0123456789-.eE\\u tfn\x80\xc3\x01";
	size_t at = next_random(seed) % *len, n = 1 + next_random(seed) % 8;

	switch (next_random(seed) % 4) {
	case 0:
		text[at] = pieces[next_random(seed) % (sizeof(pieces) - 1)];
		break;
	case 1:
		text[at] = (char)next_random(seed);
		break;
	case 2:
		n = MIN(n, *len - at);
		if (n == *len)
			break;
		memmove(text + at, text + at + n, *len - at - n);
		*len -= n;
		break;
	default:
		n = MIN(n, *len - at);
		if (*len + n > room)
			break;
		memmove(text + at + n, text + at, *len - at);
		*len += n;
	}
}

static void a_damaged_example_is_taken_or_refused_with_a_pointer(void **state)
{
	char *example = slurp(EXAMPLE), text[4096];
	size_t full = strlen(example);
	unsigned int refused = 0;
	uint64_t seed = 1;

	assert_true(full < sizeof(text) / 2);
	for (int round = 0; round < 5000; round++) {
		size_t len = full;
		struct config config;
		struct err err = { 0 };

		memcpy(text, example, full + 1);
		for (uint32_t i = next_random(&seed) % 4 + 1; i; i--)
			mutate(text, &len, sizeof(text), &seed);
		if (config_parse(&config, text, len, &err)) {
			assert_true(err.text[0] == '/' || !strncmp(err.text, "(document): ", 12));
			assert_non_null(strstr(err.text, ": "));
			refused++;
		}
		config_free(&config);
	}
	assert_true(refused > 1000);
	free(example);
}

static void every_cut_of_the_example_is_refused(void **state)
{
	char *example = slurp(EXAMPLE);
	size_t full = strlen(example);
	struct config config;
	struct err err;

	while (full && example[full - 1] != '}')
		full--;
	for (size_t len = 0; len < full; len++) {
		/* Memory of just this size: a read past it is seen by the sanitizer. */
		char *cut = malloc(len ? len : 1);

		assert_non_null(cut);
		for (size_t i = 0; i < len; i++)
			cut[i] = example[i];
		assert_int_equal(config_parse(&config, cut, len, &err), -EINVAL);
		free(cut);
	}
	free(example);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_that_is_no_strict_json_is_refused),
		cmocka_unit_test(words_that_are_no_json_are_refused),
		cmocka_unit_test(duplicate_keys_are_refused_however_they_are_written),
		cmocka_unit_test(pointers_are_escaped_and_printable),
		cmocka_unit_test(nesting_up_to_the_limit_is_walked_and_past_it_refused),
		cmocka_unit_test(keys_are_bounded_in_number_and_length),
		cmocka_unit_test(a_text_past_one_mebibyte_is_refused),
		cmocka_unit_test(a_nul_byte_does_not_end_the_text),
		cmocka_unit_test(a_damaged_example_is_taken_or_refused_with_a_pointer),
		cmocka_unit_test(every_cut_of_the_example_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
