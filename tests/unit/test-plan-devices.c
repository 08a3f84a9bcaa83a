/* SPDX-License-Identifier: Apache-2.0 */
/* What adit check says of devices beforehand, on a made-up host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>

#include "fake-host.h"
#include "util/bits.h"
#include "vmm/config.h"
#include "vmm/plan-devices.h"

#define ROOT_PORT "0000:00:1c.0"
#define CARD	  "0000:04:00.0" /* behind it, without a reset of its own */
#define SOUND	  "0000:04:00.1" /* beside that */
#define ALONE	  "0000:00:05.0" /* on the root bus, without a reset */

struct scene {
	struct fake_host fake;
	struct config_device device[2];
	struct config config;
	struct json_object *plan;
};

static void add(const struct fake_host *fake, const char *bdf, const char *driver, int group,
		const char *resets)
{
	const struct fake_function function = { bdf,   0x10de,	0x1b80,	 0x030000, driver,
						group, "vfio0", "dmar0", resets };
	fake_add(fake, &function);
}

/* Its directory below the bridge's, and all links to it. */
static void put_behind(const struct fake_host *fake, const char *bdf, int group)
{
	char from[SYSFS_PATH_MAX], to[SYSFS_PATH_MAX], at[FAKE_TEXT], now[FAKE_TEXT];

	fake_text(now, FAKE_PCI "/%s", ROOT_PORT, bdf);
	fake_path(fake, from, FAKE_PCI, bdf);
	fake_path(fake, to, "%s", now);
	assert_int_equal(rename(from, to), 0);
	fake_text(at, "/sys/bus/pci/devices/%s", bdf);
	fake_link(fake, at, now);
	fake_text(at, "/sys/kernel/iommu_groups/%d/devices/%s", group, bdf);
	fake_link(fake, at, now);
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct fake_host *fake;

	assert_non_null(scene);
	fake = &scene->fake;
	fake_open(fake);
	fake_iommu(fake, "dmar0", "intel-iommu", "f00f5a\n");
	add(fake, ROOT_PORT, "pcieport", 3, "pm");
	add(fake, CARD, "vfio-pci", 5, NULL);
	add(fake, SOUND, "vfio-pci", 6, NULL);
	put_behind(fake, CARD, 5);
	put_behind(fake, SOUND, 6);
	add(fake, ALONE, "vfio-pci", 7, NULL);
	scene->device[0] =
		(struct config_device){ .id = "card", .path = CARD, .source = SOURCE_FUNCTION };
	scene->device[1] =
		(struct config_device){ .id = "sound", .path = SOUND, .source = SOURCE_FUNCTION };
	scene->config.devices = scene->device;
	scene->config.n_devices = 1;
	scene->config.memory.size = 128 * MIB;
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	json_object_put(scene->plan);
	fake_close(&scene->fake);
	free(scene);
	return 0;
}

static void plan(struct scene *scene)
{
	json_object_put(scene->plan);
	scene->plan = json_object_new_object();
	plan_devices(scene->plan, &scene->config, &scene->fake.host);
}

static struct json_object *device(const struct scene *scene, size_t i)
{
	return json_object_array_get_idx(json_object_object_get(scene->plan, "devices"), i);
}

static const char *text(struct json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

static uint64_t number(const struct scene *scene, const char *key)
{
	return json_object_get_uint64(
		json_object_object_get(json_object_object_get(scene->plan, "budget"), key));
}

static bool has_problem(const struct scene *scene, const char *part)
{
	struct json_object *problems = json_object_object_get(scene->plan, "problems");

	for (size_t i = 0; i < json_object_array_length(problems); i++) {
		if (strstr(json_object_get_string(json_object_array_get_idx(problems, i)), part))
			return true;
	}
	return false;
}

static void assert_by_bus(const struct scene *scene, size_t i, const char *other)
{
	struct json_object *with = json_object_object_get(device(scene, i), "reset_with");

	assert_string_equal(text(device(scene, i), "reset"), "bus");
	assert_int_equal(json_object_array_length(with), 1);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(with, 0)), other);
	assert_string_equal(text(device(scene, i), "state"), "ready");
}

static void assert_no_reset(const struct scene *scene)
{
	assert_null(text(device(scene, 0), "reset"));
	assert_null(json_object_object_get(device(scene, 0), "reset_with"));
	assert_string_equal(text(device(scene, 0), "state"), "refused");
	assert_true(has_problem(scene, " cannot be reset; \"allow_no_reset\": true"));
}

static void who_has_all_of_a_bus_resets_by_it(void **state)
{
	struct scene *scene = *state;

	scene->config.n_devices = 2;
	plan(scene);
	assert_by_bus(scene, 0, SOUND);
	assert_by_bus(scene, 1, CARD);
	assert_false(has_problem(scene, "cannot be reset"));
	/* One that is taken from its host driver at start is had by then. */
	fake_bind(&scene->fake, ROOT_PORT "/" SOUND, "snd_hda_intel");
	fake_remove(&scene->fake, "/sys/devices/pci0000:00/" ROOT_PORT "/" SOUND "/vfio-dev");
	scene->device[1].managed = true;
	plan(scene);
	assert_by_bus(scene, 0, SOUND);
}

/* VFIO's it is, but anybody may open it. */
static void a_neighbour_that_is_not_ours_keeps_the_bus(void **state)
{
	struct scene *scene = *state;

	plan(scene);
	assert_no_reset(scene);
}

static void a_neighbour_of_our_group_needs_not_be_named(void **state)
{
	struct scene *scene = *state;

	fake_group(&scene->fake, "/sys/devices/pci0000:00/" ROOT_PORT "/" SOUND, SOUND, 5);
	plan(scene);
	assert_by_bus(scene, 0, SOUND);
	/* But it must be VFIO's. */
	fake_remove(&scene->fake, "/sys/devices/pci0000:00/" ROOT_PORT "/" SOUND "/driver");
	fake_remove(&scene->fake, "/sys/devices/pci0000:00/" ROOT_PORT "/" SOUND "/vfio-dev");
	plan(scene);
	assert_no_reset(scene);
}

static void a_root_bus_is_not_reset(void **state)
{
	struct scene *scene = *state;

	/* Not even where nobody else is on it. */
	fake_remove(&scene->fake, "/sys/bus/pci/devices/" ROOT_PORT);
	fake_remove(&scene->fake, "/sys/bus/pci/devices/" CARD);
	fake_remove(&scene->fake, "/sys/bus/pci/devices/" SOUND);
	scene->device[0].path = ALONE;
	plan(scene);
	assert_no_reset(scene);
	scene->device[0].allow_no_reset = true;
	plan(scene);
	assert_null(text(device(scene, 0), "reset"));
	assert_false(has_problem(scene, "cannot be reset"));
}

static void a_reset_of_its_own_comes_first(void **state)
{
	struct scene *scene = *state;

	fake_file(&scene->fake, "/sys/devices/pci0000:00/" ROOT_PORT "/" CARD "/reset_method",
		  "flr bus\n");
	plan(scene);
	assert_string_equal(text(device(scene, 0), "reset"), "flr bus");
	assert_null(json_object_object_get(device(scene, 0), "reset_with"));
}

/* The kernel counts no BARs, and what is plugged at first it pins too. */
static void guest_memory_is_locked_and_no_bars(void **state)
{
	struct scene *scene = *state;

	plan(scene);
	assert_true(number(scene, "locked_memory") == 128 * MIB);
	scene->config.n_devices = 2;
	scene->config.memory.hotplug_size = 2 * GIB;
	scene->config.memory.hotplugged_size = 256 * MIB;
	plan(scene);
	assert_true(number(scene, "locked_memory") == 384 * MIB);
	assert_true(number(scene, "huge_page_percent") == 0);
}

static void what_is_plugged_at_first_takes_huge_pages_too(void **state)
{
	struct scene *scene = *state;

	fake_file(&scene->fake, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64\n");
	scene->config.n_devices = 0;
	scene->config.memory.hugepage_size = 2 * MIB;
	plan(scene);
	assert_false(has_problem(scene, "huge pages"));
	scene->config.memory.hotplugged_size = 128 * MIB;
	plan(scene);
	assert_true(has_problem(scene, "128 huge pages are needed and 64 are free"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(who_has_all_of_a_bus_resets_by_it),
		CASE(a_neighbour_that_is_not_ours_keeps_the_bus),
		CASE(a_neighbour_of_our_group_needs_not_be_named),
		CASE(a_root_bus_is_not_reset),
		CASE(a_reset_of_its_own_comes_first),
		CASE(guest_memory_is_locked_and_no_bars),
		CASE(what_is_plugged_at_first_takes_huge_pages_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
