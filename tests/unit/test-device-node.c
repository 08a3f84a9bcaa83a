/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of devices that were handed over, on a made-up host: what is taken, and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake-kernel.h"
#include "vmm/device-node.h"

#define CDEV  "/dev/null"    /* stands for the NIC's, by its number */
#define GROUP "/dev/urandom" /* for its group's */

struct scene {
	struct fake_host fake;
	int refuses; /* an error of who opens a node anew; 0: none */
	unsigned int opened;
	struct config_device device;
	struct config config;
};

static int open_it(void *arg, const char *path)
{
	struct scene *scene = arg;

	if (strncmp(path, "/proc/self/fd/", 14) != 0)
		return fake_open_node(&scene->fake, path);
	if (scene->refuses)
		return -scene->refuses;
	scene->opened++;
	return open(path, O_RDWR | O_CLOEXEC);
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_machine(&scene->fake);
	fake_move(&scene->fake, NIC, "vfio-pci");
	scene->fake.host.open = open_it;
	scene->fake.host.arg = scene;
	scene->config.devices = &scene->device;
	scene->config.n_devices = 1;
	scene->device = (struct config_device){
		.id = "nic",
		.keeper_index = CONFIG_NOT_KEPT,
	};
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	if (scene->device.fd)
		close((int)scene->device.fd);
	fake_close(&scene->fake);
	free(scene);
	return 0;
}

static void hand_over(struct scene *scene, const char *node)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 3);
	scene->device.fd = (uint32_t)fd;
	scene->device.source = SOURCE_DESCRIPTOR;
}

static void hand_over_group(struct scene *scene)
{
	hand_over(scene, GROUP);
	scene->device.path = NIC;
	scene->device.source = SOURCE_FUNCTION;
}

static int find(const struct scene *scene, struct device_node *node, bool one_life, struct err *err)
{
	const struct device_node_from from = { .host = &scene->fake.host, .one_life = one_life };

	return device_node_find(node, &scene->config, 0, &from, err);
}

/* Flags of an open file are seen by all of its descriptors. */
static bool one_file(int a, int b)
{
	int flags = fcntl(a, F_GETFL);
	bool same;

	fcntl(a, F_SETFL, flags | O_APPEND);
	same = fcntl(b, F_GETFL) & O_APPEND;
	fcntl(a, F_SETFL, flags);
	return same;
}

static void each_life_has_an_open_file_of_a_cdev_to_itself(void **state)
{
	struct scene *scene = *state;
	struct device_node node;
	struct err err;

	hand_over(scene, CDEV);
	for (unsigned int life = 1; life <= 2; life++) {
		assert_int_equal(find(scene, &node, false, &err), 0);
		assert_false(node.group);
		assert_string_equal(node.name, NIC);
		assert_int_equal(scene->opened, life);
		assert_false(one_file(node.fd, (int)scene->device.fd));
		device_node_close(&node);
	}
}

static void a_cdev_that_cannot_be_opened_anew_is_for_one_life(void **state)
{
	struct scene *scene = *state;
	struct device_node node;
	struct err err;

	hand_over(scene, CDEV);
	scene->refuses = EACCES;
	assert_int_equal(find(scene, &node, false, &err), -EACCES);
	assert_int_equal(node.fd, -1);
	assert_non_null(strstr(err.text, "nic: descriptor "));
	assert_non_null(strstr(err.text, "until its first reset only"));
	assert_non_null(strstr(err.text, "give that user the node, or start with --no-reboot"));
	assert_int_equal(find(scene, &node, true, &err), 0);
	assert_true(node.once);
	assert_true(one_file(node.fd, (int)scene->device.fd));
	device_node_close(&node);
}

/* Its devices are opened anew in each life. */
static void a_group_is_taken_as_it_is(void **state)
{
	struct scene *scene = *state;
	struct device_node node;
	struct err err;

	hand_over_group(scene);
	scene->refuses = EACCES;
	assert_int_equal(find(scene, &node, false, &err), 0);
	assert_true(node.group);
	assert_int_equal(node.number, 5);
	assert_true(one_file(node.fd, (int)scene->device.fd));
	device_node_close(&node);
}

static void what_is_handed_over_is_checked_as_what_is_named(void **state)
{
	struct scene *scene = *state;
	struct device_node node;
	struct err err;

	for (unsigned int by_group = 0; by_group < 2; by_group++) {
		if (by_group)
			hand_over_group(scene);
		else
			hand_over(scene, CDEV);
		fake_file(&scene->fake, "/sys/module/iommufd/parameters/allow_unsafe_interrupts",
			  "Y\n");
		assert_int_equal(find(scene, &node, false, &err), -EPERM);
		assert_ptr_equal(strstr(err.text, "nic: " NIC ": iommufd's "
						  "allow_unsafe_interrupts is on"),
				 err.text);
		fake_file(&scene->fake, "/sys/module/iommufd/parameters/allow_unsafe_interrupts",
			  "N\n");
		fake_file(&scene->fake, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
			  "Y\n");
		assert_int_equal(find(scene, &node, false, &err), -EPERM);
		assert_non_null(strstr(err.text, "no-IOMMU mode is on"));
		fake_file(&scene->fake, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
			  "N\n");
		assert_int_equal(node.fd, -1);
		assert_int_equal(find(scene, &node, false, &err), 0);
		device_node_close(&node);
		close((int)scene->device.fd);
		scene->device.fd = 0;
	}
}

static void a_group_without_an_iommu_is_named_as_that(void **state)
{
	struct scene *scene = *state;
	struct device_node node;
	struct err err;

	hand_over_group(scene);
	fake_dir(&scene->fake, "/sys/devices/virtual/vfio/noiommu-0");
	fake_link(&scene->fake, "/sys/dev/char/1:9", "/sys/devices/virtual/vfio/noiommu-0");
	assert_int_equal(find(scene, &node, false, &err), -EPERM);
	assert_non_null(strstr(err.text, "is a group of VFIO's no-IOMMU mode"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(each_life_has_an_open_file_of_a_cdev_to_itself),
		CASE(a_cdev_that_cannot_be_opened_anew_is_for_one_life),
		CASE(a_group_is_taken_as_it_is),
		CASE(what_is_handed_over_is_checked_as_what_is_named),
		CASE(a_group_without_an_iommu_is_named_as_that),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
