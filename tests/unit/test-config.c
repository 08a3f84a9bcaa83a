/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: what is refused and in which words, what is taken and as what, that damaged
 * text is always one or the other, and that the documentation names every key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"
#include "vmm/config-schema.h"
#include "vmm/config.h"

#define EXAMPLE "config.example.json"
#define KERNEL	"\"payload\": {\"kernel\": \"k\"}"
#define DSA	"{\"id\": \"dsa0\", \"type\": \"dsa\", \"wqs\": [{}], \"pasid\": {\"allow\": true}}"
#define ADIS	KERNEL ", \"adis\": [" DSA "]"

struct refusal {
	const char *text, *sentence;
};

static int parse(struct config *config, const char *text, struct err *err)
{
	memset(err, 0, sizeof(*err));
	return config_parse(config, text, strlen(text), err);
}

static void assert_refused(const struct refusal *rows, size_t n)
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

static void assert_taken(struct config *config, const char *text)
{
	struct err err;
	int ret = parse(config, text, &err);

	if (ret)
		fail_msg("%s: %s", text, err.text);
}

static char *slurp(const char *path)
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

/* --- keys and values ------------------------------------------------------------------------- */

static void unknown_keys_name_the_nearest_or_all(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"memroy\": {}}",
		  "/memroy: unknown key; the nearest is \"memory\"" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpu\": 1}}",
		  "/cpus/boot_vcpu: unknown key; the nearest is \"boot_vcpus\"" },
		{ "{" KERNEL ", \"cpus\": {\"max\": 1}}",
		  "/cpus/max: unknown key; the keys here are boot_vcpus" },
		{ "{" KERNEL ", \"Memory\": {}}",
		  "/Memory: unknown key; the nearest is \"memory\"" },
		{ "{" KERNEL ", \"diskz\": []}", "/diskz: unknown key; the nearest is \"disks\"" },
		{ "{" ADIS ", \"pasids\": [{\"gest\": 1, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/gest: unknown key; the nearest is \"guest\"" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": [{\"sise\": "
		  "1}]}]}",
		  "/adis/0/wqs/0/sise: unknown key; the nearest is \"size\"" },
		{ "{" KERNEL ", \"adis/*\": 1}", "/adis~1*: unknown key; the nearest is \"adis\"" },
		{ "{" KERNEL ", \"\": 1}",
		  "/: unknown key; the keys here are payload, cpus, memory, serial, disks, net, rng, "
		  "console, vsock, balloon, debug_exit, shutdown_timeout, adis, spaces, pasids, iommu, devices" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void wrong_types_name_what_is_due(void **state)
{
	static const struct refusal rows[] = {
		{ "[]", "(document): must be an object, not an array" },
		{ "null", "(document): must be an object, not null" },
		{ "7", "(document): must be an object, not 7" },
		{ "{\"payload\": \"x\"}", "/payload: must be an object, not \"x\"" },
		{ "{\"payload\": {\"kernel\": 5}}",
		  "/payload/kernel: must be a string of 1 to 4095 bytes, not 5" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": \"2\"}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not \"2\"" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": 2.0}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not 2.0" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": 1e1}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not 1e1" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": null}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not null" },
		{ "{" KERNEL ", \"debug_exit\": 1}", "/debug_exit: must be true or false, not 1" },
		{ "{" KERNEL ", \"adis\": {}}",
		  "/adis: must be an array of 0 to 31 objects, not an object" },
		{ "{" KERNEL ", \"adis\": [1]}", "/adis/0: must be an object, not 1" },
		{ "{" KERNEL ", \"serial\": {\"mode\": true}}",
		  "/serial/mode: must be one of \"Tty\", \"File\", \"Pty\", \"Socket\", \"Null\", "
		  "not true" },
		{ "{" KERNEL ", \"memory\": {\"size\": 1.5}}",
		  "/memory/size: must be a size from 1M to 16T in steps of 4K, not 1.5" },
		{ "{" KERNEL ", \"memory\": {\"hugepage_size\": 3}}",
		  "/memory/hugepage_size: must be one of \"2M\", \"1G\" (or the same in bytes), "
		  "not 3" },
		{ "{" KERNEL ", \"shutdown_timeout\": \"1\"}",
		  "/shutdown_timeout: must be seconds from 0 to 3600, not \"1\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void values_past_their_limits_are_refused_not_clamped(void **state)
{
	static const struct refusal rows[] = {
		{ "{\"payload\": {\"kernel\": \"\"}}",
		  "/payload/kernel: must be a string of 1 to 4095 bytes, not of 0" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": 0}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not 0" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": 256}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not 256" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": -1}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not -1" },
		{ "{" KERNEL ", \"cpus\": {\"boot_vcpus\": 4294967297}}",
		  "/cpus/boot_vcpus: must be an integer from 1 to 255, not 4294967297" },
		{ "{" KERNEL ", \"memory\": {\"size\": 1044480}}",
		  "/memory/size: must be a size from 1M to 16T in steps of 4K, not 1044480" },
		{ "{" KERNEL ", \"memory\": {\"size\": 17592186048512}}",
		  "/memory/size: must be a size from 1M to 16T in steps of 4K, not "
		  "17592186048512" },
		{ "{" KERNEL ", \"memory\": {\"size\": 1052673}}",
		  "/memory/size: must be a size from 1M to 16T in steps of 4K, not 1052673" },
		{ "{" KERNEL ", \"memory\": {\"size\": -4096}}",
		  "/memory/size: must be a size from 1M to 16T in steps of 4K, not -4096" },
		{ "{" KERNEL ", \"shutdown_timeout\": 3600.5}",
		  "/shutdown_timeout: must be seconds from 0 to 3600, not 3600.5" },
		{ "{" KERNEL ", \"shutdown_timeout\": -0.5}",
		  "/shutdown_timeout: must be seconds from 0 to 3600, not -0.5" },
		{ "{" KERNEL ", \"shutdown_timeout\": 1e999}",
		  "/shutdown_timeout: must be seconds from 0 to 3600, not 1e999" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a b\", \"type\": \"dsa\", \"wqs\": [{}]}]}",
		  "/adis/0/id: must be a name of 1 to 63 characters A-Z a-z 0-9 _ . -, not "
		  "\"a b\"" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": []}]}",
		  "/adis/0/wqs: must be an array of 1 to 16 objects, not of 0" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"engines\": 5, "
		  "\"wqs\": [{}]}]}",
		  "/adis/0/engines: must be an integer from 1 to 4, not 5" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 0, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/guest: must be an integer from 1 to 1048575 or \"none\", not 0" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1048576, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/guest: must be an integer from 1 to 1048575 or \"none\", not 1048576" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"host\": 0, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/host: must be an integer from 1 to 1048575, not 0" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void sizes_that_are_not_written_well_are_refused(void **state)
{
	static const char *const sizes[] = { "",
					     " ",
					     "5 ",
					     " 5M",
					     "128MB",
					     "128 M",
					     "M",
					     "-1M",
					     "+1M",
					     "1.5G",
					     "0x",
					     "0x1G",
					     "0xg0",
					     "1E",
					     "1MM",
					     "0x10M",
					     "\xc3\xa4",
					     "16777216T",
					     "18446744073709551616",
					     "0x10000000000000000" };
	struct config config;
	struct err err;
	char text[160];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(text, sizeof(text), "{" KERNEL ", \"memory\": {\"size\": \"%s\"}}",
			 sizes[i]);
		if (parse(&config, text, &err) != -EINVAL)
			fail_msg("\"%s\" was taken", sizes[i]);
		assert_ptr_equal(strstr(err.text, "/memory/size: must be a size "), err.text);
	}
}

static void every_way_to_write_a_size_means_the_same(void **state)
{
	static const struct {
		const char *json;
		uint64_t bytes;
	} rows[] = {
		{ "1048576", MIB },
		{ "\"1048576\"", MIB },
		{ "\"1M\"", MIB },
		{ "\"1m\"", MIB },
		{ "\"1024K\"", MIB },
		{ "\"0x100000\"", MIB },
		{ "\"0X10A000\"", 0x10a000 },
		{ "\"0x10a000\"", 0x10a000 },
		{ "\"3G\"", 3 * GIB },
		{ "\"16T\"", 16 * TIB },
		{ "17592186044416", 16 * TIB },
	};
	struct config config;
	char text[160];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "{" KERNEL ", \"memory\": {\"size\": %s}}",
			 rows[i].json);
		assert_taken(&config, text);
		assert_int_equal(config.memory.size, rows[i].bytes);
		config_free(&config);
	}
}

static void words_of_later_versions_are_refused_by_name(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"backend\": "
		  "\"vfio\", \"wqs\": [{}]}]}",
		  "/adis/0/backend: \"vfio\" is not in this version, it must be one of \"soft\", "
		  "\"idxd\"" },
		{ "{" KERNEL ", \"serial\": {\"mode\": \"off\"}}",
		  "/serial/mode: \"off\" is not in this version, it must be one of \"Tty\", "
		  "\"File\", \"Pty\", \"Socket\", \"Null\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void unknown_words_name_the_nearest(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"serial\": {\"mode\": \"Sokcet\"}}",
		  "/serial/mode: must be one of \"Tty\", \"File\", \"Pty\", \"Socket\", \"Null\", "
		  "not \"Sokcet\"; the nearest is \"Socket\"" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"iax\", \"wqs\": [{}]}]}",
		  "/adis/0/type: must be \"dsa\", not \"iax\"" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"DSA\", \"wqs\": [{}]}]}",
		  "/adis/0/type: must be \"dsa\", not \"DSA\"; the nearest is \"dsa\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void missing_keys_are_named(void **state)
{
	static const struct refusal rows[] = {
		{ "{}", "/payload: is missing; it must be an object" },
		{ "{\"payload\": {}}", "/payload: needs \"kernel\" or \"flat\"" },
		{ "{" KERNEL ", \"adis\": [{}]}",
		  "/adis/0/id: is missing; it must be a name of 1 to 63 characters A-Z a-z 0-9 _ . "
		  "-" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\"}]}",
		  "/adis/0/wqs: is missing; it must be an array of 1 to 16 objects" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"a\", \"size\": \"4K\"}]}",
		  "/spaces/0/offset: is missing; it must be a size from 0 to 32T in steps of 4K" },
		{ "{" KERNEL ", \"serial\": {\"mode\": \"File\"}}",
		  "/serial/file: is missing; \"mode\": \"File\" needs this path" },
		{ "{" KERNEL ", \"serial\": {\"mode\": \"Socket\"}}",
		  "/serial/socket: is missing; \"mode\": \"Socket\" needs this path" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

/* --- across keys ----------------------------------------------------------------------------- */

static void keys_that_do_not_go_together_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{ "{\"payload\": {\"kernel\": \"k\", \"flat\": \"f\"}}",
		  "/payload/flat: does not go with \"kernel\"; remove one of them" },
		{ "{\"payload\": {\"kernel\": \"k\", \"address\": \"2M\"}}",
		  "/payload/address: goes only with \"flat\"; remove it" },
		{ "{\"payload\": {\"flat\": \"f\", \"initramfs\": \"i\"}}",
		  "/payload/initramfs: goes only with \"kernel\"; remove it" },
		{ "{\"payload\": {\"flat\": \"f\", \"address\": \"128M\"}}",
		  "/payload/address: 0x8000000 is past guest memory, which is 128M; lower it or "
		  "raise /memory/size" },
		{ "{\"payload\": {\"flat\": \"f\"}, \"memory\": {\"size\": \"1M\"}}",
		  "/payload/address: 0x200000 is past guest memory, which is 1M; lower it or raise "
		  "/memory/size" },
		{ "{" KERNEL ", \"memory\": {\"hugepage_size\": \"2M\"}}",
		  "/memory/hugepage_size: goes only with \"hugepages\": true; set that or remove "
		  "this" },
		{ "{" KERNEL ", \"memory\": {\"hugepages\": true, \"size\": \"129M\"}}",
		  "/memory/size: 129M is no multiple of the huge page size 2M" },
		{ "{" KERNEL ", \"memory\": {\"hugepages\": true, \"hugepage_size\": \"1G\"}}",
		  "/memory/size: 128M is no multiple of the huge page size 1G" },
		{ "{" KERNEL ", \"memory\": {\"hotplugged_size\": \"2M\"}}",
		  "/memory/hotplugged_size: goes only with \"hotplug_size\"; set that" },
		{ "{" KERNEL ", \"memory\": {\"hotplug_size\": \"1026M\"}}",
		  "/memory/hotplug_size: 1026 MiB are not whole blocks of 4 MiB, its size here" },
		{ "{" KERNEL
		  ", \"memory\": {\"hotplug_size\": \"2G\", \"hotplugged_size\": \"2M\"}}",
		  "/memory/hotplugged_size: 2 MiB are not whole blocks of 4 MiB up to "
		  "\"hotplug_size\"" },
		{ "{" KERNEL
		  ", \"memory\": {\"hotplug_size\": \"4M\", \"hotplugged_size\": \"6M\"}}",
		  "/memory/hotplugged_size: 6 MiB are not whole blocks of 2 MiB up to "
		  "\"hotplug_size\"" },
		{ "{" KERNEL ", \"memory\": {\"hotplug_size\": \"4M\"}, \"devices\": "
		  "[{\"id\": \"d\", \"socket\": \"s\"}]}",
		  "/memory/hotplug_size: does not go with \"socket\" in /devices: the server is "
		  "told of guest memory once, at its start" },
		{ "{" KERNEL ", \"memory\": {\"hotplug_size\": \"4M\"}, \"adis\": [{\"id\": "
		  "\"d\", \"type\": \"dsa\", \"backend\": \"idxd\", \"node\": "
		  "\"/dev/dsa/wq0.0\", \"wqs\": [{}]}]}",
		  "/memory/hotplug_size: does not go with /adis/0: its helper is given guest memory "
		  "once, at its start" },
		{ "{" KERNEL ", \"serial\": {\"file\": \"f\"}}",
		  "/serial/file: goes only with \"mode\": \"File\"; remove it or set that" },
		{ "{" KERNEL
		  ", \"serial\": {\"mode\": \"File\", \"file\": \"f\", \"link\": \"l\"}}",
		  "/serial/link: goes only with \"mode\": \"Pty\"; remove it or set that" },
		{ "{" KERNEL ", \"serial\": {\"mode\": \"Null\", \"socket\": \"s\"}}",
		  "/serial/socket: goes only with \"mode\": \"Socket\"; remove it or set that" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void adis_are_checked_as_a_whole(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"adis\": [" DSA ", " DSA "]}",
		  "/adis/1/id: \"dsa0\" is the name of /adis/0 already; choose another" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": [{\"size\": "
		  "128}, {\"size\": 1}]}]}",
		  "/adis/0/wqs: the sizes sum to 129; the queues of an ADI share 128 entries" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void windows_stay_inside_guest_memory(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"120M\", \"size\": "
		  "\"16M\"}]}",
		  "/spaces/0/size: the window 0x7800000 to 0x8800000 leaves guest memory, which "
		  "ends at 0x8000000" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"128M\", \"size\": "
		  "\"4K\"}]}",
		  "/spaces/0/offset: the window 0x8000000 to 0x8001000 leaves guest memory, which "
		  "ends at 0x8000000" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"16T\", \"size\": "
		  "\"16T\"}]}",
		  "/spaces/0/offset: the window 0x100000000000 to 0x200000000000 leaves guest "
		  "memory, which ends at 0x8000000" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": 1, \"size\": \"4K\"}]}",
		  "/spaces/0/offset: must be a size from 0 to 32T in steps of 4K, not 1" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": \"0xfffffffffffff000\", "
		  "\"size\": \"8K\"}]}",
		  "/spaces/0/offset: must be a size from 0 to 32T in steps of 4K, not "
		  "\"0xfffffffffffff000\"" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"guest\", \"offset\": 0, \"size\": "
		  "\"4K\"}]}",
		  "/spaces/0/id: \"guest\" means all guest memory; choose another" },
		{ "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": 0, \"size\": \"4K\"}, "
		  "{\"id\": \"w\", \"offset\": 0, \"size\": \"4K\"}]}",
		  "/spaces/1/id: \"w\" is the name of /spaces/0 already; choose another" },
	};
	struct config config;

	static const struct refusal holes[] = {
		{ "{" KERNEL ", \"memory\": {\"size\": \"4G\"}, \"spaces\": [{\"id\": \"w\", "
		  "\"offset\": \"3G\", \"size\": \"4K\"}]}",
		  "/spaces/0/offset: the window 0xc0000000 to 0xc0001000 overlaps 0xc0000000, where "
		  "the BARs of devices begin; guest memory goes on at 0x100000000" },
		{ "{" KERNEL ", \"memory\": {\"size\": \"4G\"}, \"spaces\": [{\"id\": \"w\", "
		  "\"offset\": 0, \"size\": \"5G\"}]}",
		  "/spaces/0/size: the window 0x0 to 0x140000000 overlaps 0xc0000000, where the "
		  "BARs of devices begin; guest memory goes on at 0x100000000" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
	assert_refused(holes, ARRAY_SIZE(holes));
	assert_taken(&config, "{" KERNEL ", \"spaces\": [{\"id\": \"w\", \"offset\": 0, "
			      "\"size\": \"128M\", \"rights\": \"r\"}]}");
	assert_false(config.spaces[0].write);
	config_free(&config);
	/* Memory past 3 GiB goes on at 4 GiB. */
	assert_taken(&config, "{" KERNEL ", \"memory\": {\"size\": \"4G\"}, \"spaces\": [{\"id\": "
			      "\"w\", \"offset\": \"4G\", \"size\": \"1G\"}]}");
	config_free(&config);
}

static void bindings_need_both_keys_and_what_they_name(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", \"wqs\": [{}]}], "
		  "\"pasids\": [{\"guest\": 1, \"adi\": \"d\"}]}",
		  "/pasids/0/adi: \"d\" may not use PASIDs; a binding is the second key, the first "
		  "is /adis/0/pasid/allow: true" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"adi\": \"dsa1\"}]}",
		  "/pasids/0/adi: no ADI is called \"dsa1\"; the nearest is \"dsa0\"" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"adi\": \"engine\"}]}",
		  "/pasids/0/adi: no ADI is called \"engine\"; there is \"dsa0\"" },
		{ "{" KERNEL ", \"pasids\": [{\"guest\": 1, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/adi: no ADI is called \"dsa0\"; there is none" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 1, \"adi\": \"dsa0\", \"space\": "
		  "\"guets\"}]}",
		  "/pasids/0/space: no space is called \"guets\"; the nearest is \"guest\"" },
		{ "{" ADIS ", \"spaces\": [{\"id\": \"window\", \"offset\": 0, \"size\": \"4K\"}], "
		  "\"pasids\": [{\"guest\": 1, \"adi\": \"dsa0\", \"space\": \"x\"}]}",
		  "/pasids/0/space: no space is called \"x\"; there is \"guest\", \"window\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void pasid_numbers_are_unique_and_within_the_width(void **state)
{
	static const struct refusal rows[] = {
		{ "{" ADIS ", \"pasids\": [{\"guest\": 5, \"adi\": \"dsa0\"}, {\"guest\": 5, "
		  "\"adi\": \"dsa0\"}]}",
		  "/pasids/1/guest: 5 is bound on \"dsa0\" by /pasids/0 already; remove one" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 5, \"host\": 9, \"adi\": \"dsa0\"}, "
		  "{\"guest\": 6, \"host\": 9, \"adi\": \"dsa0\"}]}",
		  "/pasids/1/host: 9 is given to /pasids/0 already; choose another, or leave it "
		  "out for any free one" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", \"wqs\": [{}], "
		  "\"pasid\": {\"allow\": true, \"width\": 4}}], \"pasids\": [{\"guest\": 15, "
		  "\"adi\": \"d\"}, {\"guest\": 16, \"adi\": \"d\"}]}",
		  "/pasids/1/guest: 16 is past the 4 bits of \"d\", 1 to 15; choose a smaller one "
		  "or raise /adis/0/pasid/width" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	/* One guest number on two ADIs is two bindings. */
	assert_taken(&config, "{" KERNEL ", \"adis\": [" DSA ", {\"id\": \"b\", \"type\": \"dsa\", "
			      "\"wqs\": [{}], \"pasid\": {\"allow\": true}}], \"pasids\": "
			      "[{\"guest\": 5, \"adi\": \"dsa0\"}, {\"guest\": 5, \"adi\": "
			      "\"b\"}]}");
	assert_int_equal(config.n_pasids, 2);
	config_free(&config);
}

static void default_bindings_are_one_a_queue(void **state)
{
	static const struct refusal rows[] = {
		{ "{" ADIS ", \"pasids\": [{\"guest\": \"none\", \"wq\": 1, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/wq: \"dsa0\" has no work queue 1; it has 0 to 0" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": \"none\", \"wq\": 16, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/wq: must be an integer from 0 to 15 or \"all\", not 16" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": 5, \"wq\": 0, \"adi\": \"dsa0\"}]}",
		  "/pasids/0/wq: goes only with \"guest\": \"none\"; a guest PASID is bound for all "
		  "queues of the ADI" },
		{ "{" ADIS ", \"pasids\": [{\"guest\": \"none\", \"adi\": \"dsa0\"}, {\"guest\": "
		  "\"none\", \"wq\": \"all\", \"adi\": \"dsa0\"}]}",
		  "/pasids/1/wq: that of \"dsa0\" has a default binding by /pasids/0 already; "
		  "remove one" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	/* It needs no key; the queue's own and the one for all are two. */
	assert_taken(&config,
		     "{" KERNEL ", \"adis\": [{\"id\": \"d\", \"type\": \"dsa\", \"wqs\": "
		     "[{}]}], \"pasids\": [{\"guest\": \"none\", \"adi\": \"d\", \"wq\": 0}, "
		     "{\"guest\": \"none\", \"adi\": \"d\"}]}");
	assert_int_equal(config.pasids[0].guest, 0);
	assert_int_equal(config.pasids[0].wq, 0);
	assert_int_equal(config.pasids[1].wq, CONFIG_ALL_WQS);
	config_free(&config);
}

static void queues_are_checked_by_their_mode(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL
		  ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"backend\": \"idxd\", "
		  "\"wqs\": [{}]}]}",
		  "/adis/0/node: is missing; \"backend\": \"idxd\" needs the host work queue, "
		  "/dev/dsa/wqN.M" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"node\": \"x\", "
		  "\"wqs\": [{}]}]}",
		  "/adis/0/node: goes only with \"backend\": \"idxd\"; remove it or set that" },
		{ "{" KERNEL ", \"memory\": {\"shared\": false}, \"adis\": [{\"id\": \"a\", "
		  "\"type\": \"dsa\", \"backend\": \"idxd\", \"node\": \"x\", \"wqs\": [{}]}]}",
		  "/memory/shared: must be true for \"backend\": \"idxd\" of /adis/0, whose helper "
		  "maps guest memory" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": "
		  "[{\"threshold\": 4}]}]}",
		  "/adis/0/wqs/0/threshold: goes only with \"mode\": \"shared\"; remove it or set "
		  "that" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": "
		  "[{\"mode\": \"shared\", \"size\": 8, \"threshold\": 9}]}]}",
		  "/adis/0/wqs/0/threshold: 9 is past the queue's 8 entries; lower it or raise "
		  "size" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"engines\": 2, "
		  "\"wqs\": [{\"group\": 1}]}]}",
		  "/adis/0/wqs/0/group: goes only with \"fixed\": true; elsewhere the guest makes "
		  "the groups" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"fixed\": true, "
		  "\"wqs\": [{\"group\": 1}]}]}",
		  "/adis/0/wqs/0/group: 1 needs an engine of its own; with 1 engines there are "
		  "groups 0 to 0" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	assert_taken(&config,
		     "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"fixed\": "
		     "true, \"engines\": 2, \"interrupt_handles\": true, \"event_log\": true, "
		     "\"wqs\": [{\"mode\": \"shared\", \"threshold\": 4, \"group\": 1}, {}]}]}");
	assert_true(config.adis[0].fixed);
	assert_true(config.adis[0].interrupt_handles);
	assert_true(config.adis[0].event_log);
	assert_true(config.adis[0].wqs[0].shared);
	assert_int_equal(config.adis[0].wqs[0].threshold, 4);
	assert_int_equal(config.adis[0].wqs[0].group, 1);
	assert_false(config.adis[0].wqs[1].shared);
	config_free(&config);
}

/* --- what is taken --------------------------------------------------------------------------- */

static void absent_keys_get_their_defaults(void **state)
{
	struct config config;

	assert_taken(&config, "{" KERNEL "}");
	assert_int_equal(config.payload.type, PAYLOAD_KERNEL);
	assert_string_equal(config.payload.kernel, "k");
	assert_null(config.payload.initramfs);
	assert_string_equal(config.payload.cmdline, "");
	assert_int_equal(config.cpus.boot_vcpus, 1);
	assert_int_equal(config.memory.size, 128 * MIB);
	assert_int_equal(config.memory.hugepage_size, 0);
	assert_false(config.memory.prefault);
	assert_true(config.memory.shared);
	assert_int_equal(config.serial.mode, SERIAL_TTY);
	assert_null(config.serial.path);
	assert_false(config.debug_exit);
	assert_int_equal(config.shutdown_timeout_ms, 10000);
	assert_int_equal(config.n_adis + config.n_spaces + config.n_pasids, 0);
	config_free(&config);

	assert_taken(&config, "{\"payload\": {\"flat\": \"f\"}, \"adis\": [{\"id\": \"d\", "
			      "\"type\": \"dsa\", \"wqs\": [{}]}]}");
	assert_int_equal(config.payload.type, PAYLOAD_FLAT);
	assert_string_equal(config.payload.kernel, "f");
	assert_int_equal(config.payload.address, 2 * MIB);
	assert_int_equal(config.adis[0].n_wqs, 1);
	assert_int_equal(config.adis[0].wqs[0].size, 16);
	assert_int_equal(config.adis[0].engines, 1);
	assert_false(config.adis[0].pasid_allow);
	assert_int_equal(config.adis[0].pasid_width, 20);
	config_free(&config);
}

static void every_kind_of_value_arrives(void **state)
{
	struct config config;

	assert_taken(
		&config,
		"{\"payload\": {\"kernel\": \"a/\\u00e4\\ud83d\\ude00\", \"initramfs\": \"i\", "
		"\"cmdline\": \"console=ttyS0 x=\\\"1\\\"\"}, \"cpus\": {\"boot_vcpus\": 255},"
		" \"memory\": {\"size\": \"2G\", \"hugepages\": true, \"hugepage_size\": "
		"1073741824, \"hotplug_size\": \"3G\", \"hotplugged_size\": \"1G\", "
		"\"hotplug_method\": \"virtiomem\", \"prefault\": true, \"shared\": false}, \"serial\": {\"mode\": "
		"\"pTY\", \"link\": \"l\"}, \"debug_exit\": true, \"shutdown_timeout\": 0.25}");
	assert_string_equal(config.payload.kernel, "a/\xc3\xa4\xf0\x9f\x98\x80");
	assert_string_equal(config.payload.initramfs, "i");
	assert_string_equal(config.payload.cmdline, "console=ttyS0 x=\"1\"");
	assert_int_equal(config.cpus.boot_vcpus, 255);
	assert_int_equal(config.memory.hugepage_size, GIB);
	assert_int_equal(config.memory.hotplug_size, 3 * GIB);
	assert_int_equal(config.memory.hotplugged_size, GIB);
	assert_int_equal(config.memory.block_size, GIB);
	assert_true(config.memory.prefault);
	assert_false(config.memory.shared);
	assert_int_equal(config.serial.mode, SERIAL_PTY);
	assert_string_equal(config.serial.path, "l");
	assert_true(config.debug_exit);
	assert_int_equal(config.shutdown_timeout_ms, 250);
	config_free(&config);

	assert_taken(&config,
		     "{" KERNEL ", \"memory\": {\"hugepages\": true}, \"serial\": "
		     "{\"mode\": \"Socket\", \"socket\": \"s\"}, \"shutdown_timeout\": 0}");
	assert_int_equal(config.memory.hugepage_size, 2 * MIB);
	assert_int_equal(config.serial.mode, SERIAL_SOCKET);
	assert_string_equal(config.serial.path, "s");
	assert_int_equal(config.shutdown_timeout_ms, 0);
	config_free(&config);
}

static void values_at_their_limits_are_taken(void **state)
{
	struct config config;
	char *text = malloc(80000), *p = text;

	assert_non_null(text);
	p += sprintf(p, "{\"payload\": {\"kernel\": \"%0*d\", \"cmdline\": \"%0*d\"}, ", 4095, 0,
		     65535, 0);
	p += sprintf(p, "\"adis\": [{\"id\": \"%063d\", \"type\": \"dsa\", \"engines\": 4, ", 0);
	p += sprintf(p, "\"pasid\": {\"allow\": true, \"width\": 20}, \"wqs\": [{\"size\": 113}");
	for (int i = 1; i < 16; i++)
		p += sprintf(p, ", {\"size\": 1}");
	sprintf(p,
		"]}], \"pasids\": [{\"guest\": 1048575, \"host\": 1048575, \"adi\": \"%063d\"}], "
		"\"shutdown_timeout\": 3600}",
		0);
	assert_taken(&config, text);
	assert_int_equal(strlen(config.payload.kernel), 4095);
	assert_int_equal(strlen(config.payload.cmdline), 65535);
	assert_int_equal(config.adis[0].n_wqs, 16);
	assert_int_equal(config.pasids[0].guest, 1048575);
	assert_int_equal(config.pasids[0].host, 1048575);
	assert_null(config.pasids[0].space);
	assert_int_equal(config.shutdown_timeout_ms, 3600000);
	config_free(&config);
	free(text);
}

static void as_many_bindings_as_allowed_are_taken_and_one_more_refused(void **state)
{
	struct config config;
	struct err err;

	for (unsigned int n = CONFIG_MAX_PASIDS; n <= CONFIG_MAX_PASIDS + 1; n++) {
		char *text = malloc(n * 64 + 512), *p = text;

		assert_non_null(text);
		p += sprintf(p, "{" ADIS ", \"pasids\": [");
		for (unsigned int i = 1; i <= n; i++)
			p += sprintf(p, "%s{\"guest\": %u, \"adi\": \"dsa0\"}", i > 1 ? ", " : "",
				     i);
		memcpy(p, "]}", sizeof("]}"));
		if (n == CONFIG_MAX_PASIDS) {
			assert_taken(&config, text);
			assert_int_equal(config.n_pasids, n);
			assert_int_equal(config.pasids[n - 1].guest, n);
			config_free(&config);
		} else {
			assert_int_equal(parse(&config, text, &err), -EINVAL);
			assert_string_equal(err.text, "/pasids: must be an array of 0 to 4096 "
						      "objects, not of 4097");
		}
		free(text);
	}
}

static void the_example_is_the_main_job(void **state)
{
	struct config config;
	struct err err;

	if (config_load(&config, EXAMPLE, &err))
		fail_msg("%s", err.text);
	assert_int_equal(config.payload.type, PAYLOAD_FLAT);
	assert_string_equal(config.payload.kernel, "build/guest/demo.bin");
	assert_int_equal(config.payload.address, 2 * MIB);
	assert_int_equal(config.cpus.boot_vcpus, 2);
	assert_int_equal(config.memory.size, 128 * MIB);
	assert_true(config.debug_exit);
	assert_int_equal(config.n_adis, 1);
	assert_string_equal(config.adis[0].id, "dsa0");
	assert_true(config.adis[0].pasid_allow);
	assert_int_equal(config.n_spaces, 1);
	assert_int_equal(config.spaces[0].offset, 32 * MIB);
	assert_int_equal(config.spaces[0].size, 16 * MIB);
	assert_true(config.spaces[0].write);
	assert_int_equal(config.n_pasids, 1);
	assert_int_equal(config.pasids[0].guest, 5);
	assert_string_equal(config.pasids[0].space, "window0");
	config_free(&config);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	char path[] = "/tmp/adit-test-config-XXXXXX", expect[128];
	struct config config;
	struct err err;
	int fd;

	assert_int_equal(config_load(&config, "/nonexistent/vm.json", &err), -ENOENT);
	assert_string_equal(err.text,
			    "/nonexistent/vm.json: cannot be read: No such file or directory");
	assert_int_equal(config_load(&config, "/", &err), -EISDIR);
	assert_int_equal(config_load(&config, "/nonexistent/\xf0", &err), -ENOENT);
	assert_string_equal(err.text, "/nonexistent/?: cannot be read: No such file or directory");

	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "{\"cpu\": 1}", 10), 10);
	assert_int_equal(config_load(&config, path, &err), -EINVAL);
	snprintf(expect, sizeof(expect), "%s: /cpu: unknown key; the nearest is \"cpus\"", path);
	assert_string_equal(err.text, expect);
	assert_int_equal(ftruncate(fd, CONFIG_MAX_BYTES + 1), 0);
	assert_int_equal(config_load(&config, path, &err), -E2BIG);
	close(fd);
	unlink(path);
}

static void an_error_nobody_wants_is_allowed(void **state)
{
	struct config config;

	assert_int_equal(config_parse(&config, "{", 1, NULL), -EINVAL);
	assert_int_equal(config_parse(&config, "{}", 2, NULL), -EINVAL);
	assert_int_equal(config_load(&config, "/nonexistent", NULL), -ENOENT);
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

/* --- documentation --------------------------------------------------------------------------- */

static void documentation_shows_each_row_of_the_table(void **state)
{
	char *markdown = slurp("docs/configuration.md"), *man = slurp("docs/man/adit-config.5");
	const struct schema *schema = config_schema();
	char due[160], row[512], item[128];
	unsigned int bad = 0;

	for (size_t i = 0; i < schema->n; i++) {
		const struct schema_key *key = &schema->keys[i];

		schema_describe(key, due, sizeof(due));
		snprintf(row, sizeof(row), "\n| `%s` | %s | %s%s%s | %s |\n", key->path, due,
			 key->fallback ? "`" : "",
			 key->required ? "required" : (key->fallback ? key->fallback : "none"),
			 key->fallback ? "`" : "", key->doc);
		if (!strstr(markdown, row)) {
			print_error("docs/configuration.md lacks this row:%s", row);
			bad++;
		}
		snprintf(item, sizeof(item), "\n.It Pa %s\n", key->path);
		if (!strstr(man, item)) {
			print_error("docs/man/adit-config.5 lacks:%s", item);
			bad++;
		}
	}
	free(markdown);
	free(man);
	assert_int_equal(bad, 0);
}

/* A table row whose fields do not fit its type would be a hole in the checker. */
static void the_table_is_sound(void **state)
{
	const struct schema *schema = config_schema();

	for (size_t i = 0; i < schema->n; i++) {
		const struct schema_key *key = &schema->keys[i];

		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(key->path, schema->keys[j].path);
		assert_non_null(key->doc);
		assert_false(key->required && key->fallback);
		if (key->type == SCHEMA_TEXT || key->type == SCHEMA_NAME)
			assert_int_equal(key->field.size, sizeof(char *));
		if (key->type == SCHEMA_INT || key->type == SCHEMA_SECONDS)
			assert_int_equal(key->field.size, sizeof(uint32_t));
		if (key->type == SCHEMA_SIZE)
			assert_int_equal(key->field.size, sizeof(uint64_t));
		if (key->type == SCHEMA_BOOL)
			assert_int_equal(key->field.size, sizeof(bool));
		if (key->type == SCHEMA_WORD)
			assert_non_null(key->words);
		if (key->type == SCHEMA_LIST && key->list.inside)
			assert_int_equal(key->field.size, key->max * key->list.item);
	}
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
		cmocka_unit_test(unknown_keys_name_the_nearest_or_all),
		cmocka_unit_test(wrong_types_name_what_is_due),
		cmocka_unit_test(values_past_their_limits_are_refused_not_clamped),
		cmocka_unit_test(sizes_that_are_not_written_well_are_refused),
		cmocka_unit_test(every_way_to_write_a_size_means_the_same),
		cmocka_unit_test(words_of_later_versions_are_refused_by_name),
		cmocka_unit_test(unknown_words_name_the_nearest),
		cmocka_unit_test(missing_keys_are_named),
		cmocka_unit_test(keys_that_do_not_go_together_are_refused),
		cmocka_unit_test(adis_are_checked_as_a_whole),
		cmocka_unit_test(windows_stay_inside_guest_memory),
		cmocka_unit_test(bindings_need_both_keys_and_what_they_name),
		cmocka_unit_test(pasid_numbers_are_unique_and_within_the_width),
		cmocka_unit_test(default_bindings_are_one_a_queue),
		cmocka_unit_test(queues_are_checked_by_their_mode),
		cmocka_unit_test(absent_keys_get_their_defaults),
		cmocka_unit_test(every_kind_of_value_arrives),
		cmocka_unit_test(values_at_their_limits_are_taken),
		cmocka_unit_test(as_many_bindings_as_allowed_are_taken_and_one_more_refused),
		cmocka_unit_test(the_example_is_the_main_job),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(an_error_nobody_wants_is_allowed),
		cmocka_unit_test(a_damaged_example_is_taken_or_refused_with_a_pointer),
		cmocka_unit_test(every_cut_of_the_example_is_refused),
		cmocka_unit_test(documentation_shows_each_row_of_the_table),
		cmocka_unit_test(the_table_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
