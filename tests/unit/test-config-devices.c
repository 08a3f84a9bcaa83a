/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /devices and /iommu of the configuration: every spelling of a device's name is the same device,
 * and what does not go together is refused in words that say what to change.
 */
#include "tests/unit/test-config.h"

#include "keeper/name.h"

#define DEVICES(...) "{" KERNEL ", \"devices\": [" __VA_ARGS__ "]}"
#define UUID	     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define UUID_LOUD    "83B8F4F2-509F-382F-3C1E-E6BFE0FA1001"

/* --- names ----------------------------------------------------------------------------------- */

static void every_spelling_of_a_name_becomes_one(void **state)
{
	static const struct {
		const char *text, *name;
		enum host_kind kind;
	} rows[] = {
		{ "0000:3b:00.0", "0000:3b:00.0", HOST_FUNCTION },
		{ "3b:00.0", "0000:3b:00.0", HOST_FUNCTION },
		{ "3B:1F.7", "0000:3b:1f.7", HOST_FUNCTION },
		{ "10000:E1:00.0", "10000:e1:00.0", HOST_FUNCTION },
		{ "00000000:01:02.3", "0000:01:02.3", HOST_FUNCTION },
		{ "/sys/bus/pci/devices/0000:3b:00.0", "0000:3b:00.0", HOST_FUNCTION },
		{ "/sys/bus/pci/devices/0000:3b:00.0//", "0000:3b:00.0", HOST_FUNCTION },
		{ "/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0", "0000:3b:00.0",
		  HOST_FUNCTION },
		{ UUID, UUID, HOST_MDEV },
		{ UUID_LOUD, UUID, HOST_MDEV },
		{ "/sys/bus/mdev/devices/" UUID_LOUD "/", UUID, HOST_MDEV },
		{ "/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio0", HOST_CDEV },
		{ "/dev/vfio/devices/vfio123456789", "/dev/vfio/devices/vfio123456789", HOST_CDEV },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host_name name;

		if (host_name_parse(&name, rows[i].text))
			fail_msg("%s is refused", rows[i].text);
		assert_int_equal(name.kind, rows[i].kind);
		assert_string_equal(name.text, rows[i].name);
	}
}

static void what_is_no_name_is_refused(void **state)
{
	static const char *const rows[] = { "",
					    "/",
					    "/sys/",
					    "/sys/bus/pci/devices/",
					    "/sys/bus/pci/devices",
					    "0000:3b:00",
					    "0000:3b:00.8",
					    "0000:3b:20.0",
					    "0000:3b:00.0 ",
					    " 0000:3b:00.0",
					    "000:3b:00.0",
					    "000000000:3b:00.0",
					    "0:3b:00.0",
					    "3b:0.0",
					    "b:00.0",
					    "3b:00.00",
					    "3g:00.0",
					    ":3b:00.0",
					    "0000:3b:00.0/..",
					    "/sys/bus/pci/devices/0000:3b:00.0/.",
					    "/sys/bus/pci/devices/0000:3b:00.0/..",
					    "/dev/vfio/devices/vfio",
					    "/dev/vfio/devices/vfio01",
					    "/dev/vfio/devices/vfio-1",
					    "/dev/vfio/devices/vfio1x",
					    "/dev/vfio/devices/vfio1234567890",
					    "/dev/vfio/devices/../0000:3b:00.0",
					    "/dev/vfio/12",
					    "83b8f4f2-509f-382f-3c1e-e6bfe0fa100",
					    UUID "0",
					    "83b8f4f2x509f-382f-3c1e-e6bfe0fa1001",
					    "{" UUID "}" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host_name name;

		if (!host_name_parse(&name, rows[i]))
			fail_msg("\"%s\" was taken", rows[i]);
	}
	assert_true(host_is_group_node("/dev/vfio/12"));
	assert_true(host_is_group_node("/dev/vfio/noiommu-0"));
	assert_false(host_is_group_node("/dev/vfio/vfio"));
	assert_false(host_is_group_node("/dev/vfio/devices/vfio1"));
}

static void parts_of_sysfs_paths_stay_one_part(void **state)
{
	assert_true(host_part_is_sane("mtty-2"));
	assert_true(host_part_is_sane("0000:00:02.0"));
	assert_true(host_part_is_sane("..."));
	assert_false(host_part_is_sane(""));
	assert_false(host_part_is_sane("."));
	assert_false(host_part_is_sane(".."));
	assert_false(host_part_is_sane("a/b"));
	assert_false(host_part_is_sane("a\nb"));
	assert_false(host_part_is_sane(
		"0123456789012345678901234567890123456789012345678901234567890123"));
}

/* --- the configuration ----------------------------------------------------------------------- */

static void paths_that_name_no_device_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{ DEVICES("{}"),
		  "/devices/0: names no device; it needs \"path\", \"fd\" or \"mdev\"" },
		{ DEVICES("{\"path\": \"eth0\"}"),
		  "/devices/0/path: \"eth0\" names no device; it must be a BDF (0000:3b:00.0), an "
		  "mdev's UUID, a path under /sys that ends in one of them, or "
		  "/dev/vfio/devices/vfioN" },
		{ DEVICES("{\"path\": \"\\u001b[2J\"}"),
		  "/devices/0/path: \"\\u001b[2J\" names no device; it must be a BDF "
		  "(0000:3b:00.0), an mdev's UUID, a path under /sys that ends in one of them, or "
		  "/dev/vfio/devices/vfioN" },
		{ DEVICES("{\"path\": \"/dev/vfio/12\"}"),
		  "/devices/0/path: /dev/vfio/12 is a group, which may hold several devices; name "
		  "the device by its BDF or UUID and set \"via\": \"group\"" },
		{ DEVICES("{\"fd\": 2}"),
		  "/devices/0/fd: must be an integer from 3 to 1048575, not 2" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"via\": \"cdv\"}"),
		  "/devices/0/via: must be one of \"auto\", \"cdev\", \"group\", not \"cdv\"; the "
		  "nearest is \"cdev\"" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"coherency\": \"forbid\"}"),
		  "/devices/0/coherency: must be one of \"auto\", \"enforce\", \"allow\", "
		  "\"deny\", \"guest-pat\", not \"forbid\"" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void a_device_named_twice_or_under_two_spellings_is_refused(void **state)
{
	static const struct refusal rows[] = {
		{ DEVICES("{\"path\": \"3b:00.0\"}, {\"path\": \"0000:3B:00.0\"}"),
		  "/devices/1/path: 0000:3b:00.0 is the device of /devices/0 already; remove one" },
		{ DEVICES("{\"path\": \"/sys/bus/pci/devices/0000:3b:00.0/\"}, {\"path\": "
			  "\"3b:00.0\", \"fd\": 5}"),
		  "/devices/1/path: 0000:3b:00.0 is the device of /devices/0 already; remove one" },
		{ DEVICES("{\"path\": \"" UUID "\"}, {\"mdev\": {\"type\": \"mtty-1\", "
			  "\"parent\": \"mtty\", \"uuid\": \"" UUID_LOUD "\"}}"),
		  "/devices/1/mdev/uuid: " UUID
		  " is the device of /devices/0 already; remove one" },
		{ DEVICES("{\"fd\": 5}, {\"fd\": 5}"),
		  "/devices/1/fd: 5 is the descriptor of /devices/0 already; only devices of one "
		  "group share one, each with its \"path\"" },
		{ DEVICES("{\"fd\": 5, \"path\": \"3b:00.0\", \"via\": \"cdev\"}, {\"fd\": 5, "
			  "\"path\": \"3b:00.1\"}"),
		  "/devices/1/fd: 5 is the descriptor of /devices/0 already; only devices of one "
		  "group share one, each with its \"path\"" },
		{ DEVICES("{\"id\": \"a\", \"path\": \"3b:00.0\"}, {\"id\": \"a\", \"path\": "
			  "\"3b:00.1\"}"),
		  "/devices/1/id: \"a\" is the name of /devices/0 already; choose another" },
		{ DEVICES("{\"id\": \"device1\", \"path\": \"3b:00.0\"}, {\"path\": \"3b:00.1\"}"),
		  "/devices/1/id: \"device1\" is the name of /devices/0 already; choose another" },
		{ "{" KERNEL ", \"adis\": [{\"id\": \"a\", \"type\": \"dsa\", \"wqs\": [{}]}], "
		  "\"devices\": [{\"id\": \"a\", \"path\": \"3b:00.0\"}]}",
		  "/devices/0/id: \"a\" is the name of /adis/0 already; choose another" },
		{ "{" KERNEL ", \"iommu\": {\"fd\": 4}, \"devices\": [{\"fd\": 4}]}",
		  "/devices/0/fd: 4 is /iommu/fd already; a device has a descriptor of its own" },
	};
	struct config config;

	assert_refused(rows, ARRAY_SIZE(rows));
	/* Two devices of one group behind its one descriptor. */
	assert_taken(&config, DEVICES("{\"fd\": 5, \"path\": \"3b:00.0\", \"via\": \"group\"}, "
				      "{\"fd\": 5, \"path\": \"3b:00.1\"}"));
	config_free(&config);
}

static void keys_of_devices_that_do_not_go_together_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{ DEVICES("{\"path\": \"" UUID "\", \"managed\": true}"),
		  "/devices/0/managed: only a function that is named by its BDF can be taken from "
		  "a host driver; remove it" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"fd\": 5, \"managed\": true}"),
		  "/devices/0/managed: a function that is handed over with \"fd\" has left its "
		  "host driver already; remove it" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"unsafe_stale_reads\": true}"),
		  "/devices/0/unsafe_stale_reads: goes only with \"coherency\": \"deny\"; remove "
		  "it or set that" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"iommu\": true}"),
		  "/devices/0/iommu: adit gives the guest no virtual IOMMU; set false or remove "
		  "it" },
		{ DEVICES("{\"path\": \"" UUID "\", \"vf_token\": \"" UUID "\"}"),
		  "/devices/0/vf_token: only a VF has a token; remove it" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"vf_token\": "
			  "\"83b8f4f2x509f-382f-3c1e-e6bfe0fa1001\"}"),
		  "/devices/0/vf_token: \"83b8f4f2x509f-382f-3c1e-e6bfe0fa1001\" is no UUID; it "
		  "must be 32 hex digits as 8-4-4-4-12" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"share\": \"memory\"}"),
		  "/devices/0/share: goes only with \"socket\"; remove it" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"socket\": \"/s\"}"),
		  "/devices/0/socket: goes only with \"id\" and \"share\"; remove the keys of "
		  "host devices" },
		{ DEVICES("{\"socket\": \"/s\"}, {\"socket\": \"/s\"}"),
		  "/devices/1/socket: is that of /devices/0 already; a connection is one "
		  "device's" },
		{ "{" KERNEL
		  ", \"memory\": {\"shared\": false}, \"devices\": [{\"socket\": \"/s\", "
		  "\"share\": \"memory\"}]}",
		  "/devices/0/share: \"memory\" needs memory that others can map; remove "
		  "\"shared\": false from /memory, or share by \"messages\"" },
		{ DEVICES("{\"path\": \"/dev/vfio/devices/vfio1\", \"via\": \"group\"}"),
		  "/devices/0/via: \"group\" does not go with the path of a cdev; name the device "
		  "by its BDF or UUID" },
		{ DEVICES("{\"fd\": 5, \"via\": \"group\"}"),
		  "/devices/0/path: is missing; a group's descriptor does not say which of its "
		  "devices is meant" },
		{ DEVICES("{\"path\": \"3b:00.0\", \"mdev\": {\"type\": \"t\", \"parent\": "
			  "\"p\"}}"),
		  "/devices/0/mdev: makes a new device, so it does not go with \"path\"; remove "
		  "one of them" },
		{ DEVICES("{\"fd\": 5, \"mdev\": {\"type\": \"t\", \"parent\": \"p\"}}"),
		  "/devices/0/mdev: makes a new device, so it does not go with \"fd\"; remove one "
		  "of them" },
		{ DEVICES("{\"mdev\": {\"type\": \"mtty-2\"}}"),
		  "/devices/0/mdev/parent: is missing; a new mdev needs its type and its parent" },
		{ DEVICES("{\"mdev\": {\"uuid\": \"" UUID "\"}}"),
		  "/devices/0/mdev/type: is missing; a new mdev needs its type and its parent" },
		{ DEVICES("{\"mdev\": {\"type\": \"t\", \"parent\": \"/sys/class/..\"}}"),
		  "/devices/0/mdev/parent: \"/sys/class/..\" names no parent; it must be a name "
		  "under /sys/class/mdev_bus, or a path under /sys that ends in one" },
		{ DEVICES("{\"mdev\": {\"type\": \"t\", \"parent\": \"a/b\"}}"),
		  "/devices/0/mdev/parent: \"a/b\" names no parent; it must be a name under "
		  "/sys/class/mdev_bus, or a path under /sys that ends in one" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void providers_that_cannot_serve_the_devices_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{ "{" KERNEL ", \"iommu\": {\"provider\": \"soft\"}, \"devices\": [{\"path\": "
		  "\"3b:00.0\"}]}",
		  "/iommu/provider: \"soft\" is a model and drives no host device; /devices need "
		  "\"iommufd\", \"type1\" or \"auto\"" },
		{ "{" KERNEL ", \"iommu\": {\"provider\": \"type1\"}, \"devices\": [{\"path\": "
		  "\"3b:00.0\", \"via\": \"cdev\"}]}",
		  "/devices/0/via: a VFIO cdev needs iommufd, but /iommu/provider is \"type1\"; "
		  "change one of them" },
		{ "{" KERNEL ", \"iommu\": {\"provider\": \"type1\"}, \"devices\": [{\"path\": "
		  "\"/dev/vfio/devices/vfio1\"}]}",
		  "/devices/0/path: a VFIO cdev needs iommufd, but /iommu/provider is \"type1\"; "
		  "change one of them" },
		{ "{" KERNEL ", \"iommu\": {\"fd\": 4, \"node\": \"/dev/iommu\"}}",
		  "/iommu/fd: does not go with \"node\"; remove one of them" },
		{ "{" KERNEL ", \"iommu\": {\"provider\": \"soft\", \"node\": \"/dev/iommu\"}}",
		  "/iommu/node: the provider \"soft\" opens no node; remove it" },
	};

	assert_refused(rows, ARRAY_SIZE(rows));
}

static void memory_is_given_to_a_server_only_where_that_is_said(void **state)
{
	struct config config;

	assert_taken(&config, DEVICES("{\"socket\": \"/a\"}, {\"socket\": \"/b\", \"share\": "
				      "\"memory\"}, {\"socket\": \"/c\", \"share\": "
				      "\"messages\"}"));
	assert_int_equal(config.n_user_devices, 3);
	assert_int_equal(config.user_devices[0].share, SHARE_MESSAGES);
	assert_int_equal(config.user_devices[1].share, SHARE_MEMORY);
	assert_int_equal(config.user_devices[2].share, SHARE_MESSAGES);
	config_free(&config);
	assert_taken(&config, "{" KERNEL ", \"memory\": {\"shared\": false}, \"devices\": "
			      "[{\"socket\": \"/a\"}]}");
	config_free(&config);
}

static void devices_arrive_with_their_defaults(void **state)
{
	struct config config;

	assert_taken(&config,
		     DEVICES("{\"path\": \"3B:00.0\"}, {\"id\": \"port\", \"mdev\": {\"type\": "
			     "\"mtty-2\", \"parent\": \"/sys/devices/virtual/mtty/mtty\"}}, "
			     "{\"fd\": 7, \"coherency\": \"deny\", \"unsafe_stale_reads\": true, "
			     "\"vf_token\": \"" UUID_LOUD "\"}"));
	assert_int_equal(config.iommu.provider, PROVIDER_AUTO);
	assert_null(config.iommu.node);
	assert_int_equal(config.iommu.fd, 0);
	assert_int_equal(config.n_devices, 3);
	assert_string_equal(config.devices[0].id, "device0");
	assert_int_equal(config.devices[0].source, SOURCE_FUNCTION);
	assert_string_equal(config.devices[0].path, "0000:3b:00.0");
	assert_int_equal(config.devices[0].fd, 0);
	assert_int_equal(config.devices[0].via, VIA_AUTO);
	assert_int_equal(config.devices[0].coherency, COHERENCY_AUTO);
	assert_false(config.devices[0].managed || config.devices[0].allow_no_reset ||
		     config.devices[0].rom);
	assert_null(config.devices[0].vf_token);
	assert_int_equal(config.devices[1].source, SOURCE_NEW_MDEV);
	assert_string_equal(config.devices[1].id, "port");
	assert_null(config.devices[1].path);
	assert_string_equal(config.devices[1].mdev.type, "mtty-2");
	assert_string_equal(config.devices[1].mdev.parent, "mtty");
	assert_null(config.devices[1].mdev.uuid);
	assert_int_equal(config.devices[2].source, SOURCE_DESCRIPTOR);
	assert_int_equal(config.devices[2].fd, 7);
	assert_int_equal(config.devices[2].coherency, COHERENCY_DENY);
	assert_true(config.devices[2].unsafe_stale_reads);
	assert_string_equal(config.devices[2].vf_token, UUID);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_of_a_name_becomes_one),
		cmocka_unit_test(what_is_no_name_is_refused),
		cmocka_unit_test(parts_of_sysfs_paths_stay_one_part),
		cmocka_unit_test(paths_that_name_no_device_are_refused),
		cmocka_unit_test(a_device_named_twice_or_under_two_spellings_is_refused),
		cmocka_unit_test(keys_of_devices_that_do_not_go_together_are_refused),
		cmocka_unit_test(providers_that_cannot_serve_the_devices_are_refused),
		cmocka_unit_test(memory_is_given_to_a_server_only_where_that_is_said),
		cmocka_unit_test(devices_arrive_with_their_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
