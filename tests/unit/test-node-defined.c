/* SPDX-License-Identifier: Apache-2.0 */
/* Mdevs that are defined, in mdevctl's files, on a made-up host whose kernel makes and removes
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>

#include "fake-kernel.h"
#include "libvirt-driver/node-defined.h"

#define FILE_OF "/etc/mdevctl.d/mtty/" UUID

struct scene {
	struct fake_host fake;
	char written[128]; /* "NAME=VALUE " for each attribute */
};

/* An mdev's own attributes: "speed" takes all, and there is no other. */
static int write_it(void *arg, const char *path, const char *text)
{
	struct scene *scene = arg;
	const char *name = strrchr(path, '/') + 1;
	size_t n = strlen(scene->written);

	if (strncmp(path, "/sys/bus/mdev/devices/", 22) != 0 || !strcmp(name, "remove"))
		return fake_write(&scene->fake, path, text);
	if (strcmp(name, "speed") != 0)
		return -ENOENT;
	snprintf(scene->written + n, sizeof(scene->written) - n, "%s=%s ", name, text);
	return 0;
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_machine(&scene->fake);
	fake_dir(&scene->fake, "/etc");
	scene->fake.host.write = write_it;
	scene->fake.host.arg = scene;
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	fake_close(&scene->fake);
	free(scene);
	return 0;
}

static struct node_defined of(const char *attributes)
{
	struct node_defined defined = {
		.mdev = { UUID, "mtty", "mtty-2" },
		.attributes = attributes ? json_tokener_parse(attributes) : NULL,
	};

	return defined;
}

static void what_is_written_is_read(void **state)
{
	struct node_defined defined = of("[{\"speed\": \"1\"}, {\"speed\": \"2\"}]");
	struct scene *scene = *state;
	struct node_defined_list list;
	struct err err;

	defined.autostart = true;
	assert_int_equal(node_defined_write(&defined, &scene->fake.host, &err), 0);
	assert_int_equal(node_defined_read(&list, &scene->fake.host), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.item[0].mdev.uuid, UUID);
	assert_string_equal(list.item[0].mdev.parent, "mtty");
	assert_string_equal(list.item[0].mdev.type, "mtty-2");
	assert_true(list.item[0].autostart);
	assert_true(json_object_equal(list.item[0].attributes, defined.attributes));
	node_defined_free(&list);
	assert_int_equal(node_defined_remove(&defined.mdev, &scene->fake.host, &err), 0);
	assert_int_equal(node_defined_read(&list, &scene->fake.host), 0);
	assert_int_equal(list.n, 0);
	node_defined_free(&list);
	json_object_put(defined.attributes);
}

static void what_mdevctl_would_not_write_is_not_there(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{\"mdev_type\": 2}",
		"{\"mdev_type\": \"../x\"}",
		"{\"mdev_type\": \"mtty-2\", \"attrs\": {}}",
		"{\"mdev_type\": \"mtty-2\", \"attrs\": [\"speed\"]}",
		"{\"mdev_type\": \"mtty-2\", \"attrs\": [{\"a\": \"1\", \"b\": \"1\"}]}",
		"{\"mdev_type\": \"mtty-2\", \"attrs\": [{\"a/b\": \"1\"}]}",
		"{\"mdev_type\": \"mtty-2\", \"attrs\": [{\"a\": 1}]}",
	};
	struct scene *scene = *state;
	struct node_defined_list list;

	fake_file(&scene->fake, "/etc/mdevctl.d/mtty/no-uuid", "{\"mdev_type\": \"mtty-2\"}");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		fake_file(&scene->fake, FILE_OF, texts[i]);
		assert_int_equal(node_defined_read(&list, &scene->fake.host), 0);
		assert_int_equal(list.n, 0);
		node_defined_free(&list);
	}
	fake_file(&scene->fake, FILE_OF, "{\"mdev_type\": \"mtty-2\"}");
	assert_int_equal(node_defined_read(&list, &scene->fake.host), 0);
	assert_int_equal(list.n, 1);
	assert_false(list.item[0].autostart);
	assert_null(list.item[0].attributes);
	node_defined_free(&list);
}

static void a_link_in_the_place_of_a_file_is_not_followed(void **state)
{
	struct scene *scene = *state;
	struct node_defined_list list;

	fake_file(&scene->fake, "/elsewhere", "{\"mdev_type\": \"mtty-2\"}");
	fake_link(&scene->fake, FILE_OF, "/elsewhere");
	assert_int_equal(node_defined_read(&list, &scene->fake.host), 0);
	assert_int_equal(list.n, 0);
	node_defined_free(&list);
}

static void one_is_made_with_its_attributes_in_their_order(void **state)
{
	struct node_defined defined = of("[{\"speed\": \"1\"}, {\"speed\": \"2\"}]");
	struct scene *scene = *state;
	struct host_mdev there;
	struct err err;

	assert_int_equal(node_defined_make(&defined, &scene->fake.host, &err), 0);
	assert_int_equal(host_mdev_read(&scene->fake.host, UUID, &there), 0);
	assert_string_equal(there.type, "mtty-2");
	assert_string_equal(scene->written, "speed=1 speed=2 ");
	json_object_put(defined.attributes);
}

static void one_that_does_not_take_an_attribute_is_removed_again(void **state)
{
	struct node_defined defined =
		of("[{\"speed\": \"1\"}, {\"colour\": \"red\"}, {\"speed\": \"2\"}]");
	struct scene *scene = *state;
	struct host_mdev there;
	struct err err;

	assert_int_equal(node_defined_make(&defined, &scene->fake.host, &err), -ENOENT);
	assert_non_null(strstr(err.text, "attribute colour does not take \"red\""));
	assert_string_equal(scene->written, "speed=1 ");
	assert_int_not_equal(host_mdev_read(&scene->fake.host, UUID, &there), 0);
	json_object_put(defined.attributes);
}

static void one_of_the_same_uuid_stays(void **state)
{
	struct node_defined defined = of("[{\"colour\": \"red\"}]");
	struct scene *scene = *state;
	struct host_mdev there;
	struct err err;

	fake_create(&scene->fake, "mtty-1", UUID);
	assert_int_equal(node_defined_make(&defined, &scene->fake.host, &err), -EEXIST);
	assert_int_equal(host_mdev_read(&scene->fake.host, UUID, &there), 0);
	json_object_put(defined.attributes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(what_is_written_is_read),
		CASE(what_mdevctl_would_not_write_is_not_there),
		CASE(a_link_in_the_place_of_a_file_is_not_followed),
		CASE(one_is_made_with_its_attributes_in_their_order),
		CASE(one_that_does_not_take_an_attribute_is_removed_again),
		CASE(one_of_the_same_uuid_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
