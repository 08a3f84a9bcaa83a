/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration, key by key: what is refused and in which words, what is taken and as what, and
 * that the documentation names every key.
 */
#include "tests/unit/test-config.h"

#include <unistd.h>

#include "vmm/config-schema.h"

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
		  "console, vsock, balloon, debug_exit, shutdown_timeout, poll_max_ns, adis, spaces, pasids, iommu, devices" },
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
		cmocka_unit_test(unknown_keys_name_the_nearest_or_all),
		cmocka_unit_test(wrong_types_name_what_is_due),
		cmocka_unit_test(values_past_their_limits_are_refused_not_clamped),
		cmocka_unit_test(sizes_that_are_not_written_well_are_refused),
		cmocka_unit_test(every_way_to_write_a_size_means_the_same),
		cmocka_unit_test(words_of_later_versions_are_refused_by_name),
		cmocka_unit_test(unknown_words_name_the_nearest),
		cmocka_unit_test(missing_keys_are_named),
		cmocka_unit_test(absent_keys_get_their_defaults),
		cmocka_unit_test(every_kind_of_value_arrives),
		cmocka_unit_test(values_at_their_limits_are_taken),
		cmocka_unit_test(as_many_bindings_as_allowed_are_taken_and_one_more_refused),
		cmocka_unit_test(the_example_is_the_main_job),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(an_error_nobody_wants_is_allowed),
		cmocka_unit_test(documentation_shows_each_row_of_the_table),
		cmocka_unit_test(the_table_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
