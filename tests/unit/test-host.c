/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host says of its devices, on made-up trees: functions, VFs, groups, mdevs, work queues;
 * what keeps one from being assigned, in which words; and what an open descriptor is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "fake-host.h"
#include "util/bits.h"

#define NIC  "0000:00:03.0"
#define DISK "0000:00:04.0"
#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

static const struct fake_function nic = {
	.bdf = NIC,
	.vendor = 0x8086,
	.device = 0x10d3,
	.class = 0x020000,
	.driver = "e1000e",
	.group = 5,
	.iommu = "dmar0",
	.resets = "flr pm",
};
static const struct fake_function disk = {
	.bdf = DISK,
	.vendor = 0x1b36,
	.device = 0x0010,
	.class = 0x010802,
	.driver = "nvme",
	.group = 6,
	.iommu = "dmar0",
	.resets = "flr",
};

static int setup(void **state)
{
	struct fake_host *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	fake_open(fake);
	fake_iommu(fake, "dmar0", "intel-iommu", "f00f5a\n");
	*state = fake;
	return 0;
}

static int teardown(void **state)
{
	fake_close(*state);
	free(*state);
	return 0;
}

static void assert_check(const struct fake_host *fake, const char *bdf, bool managed, int code,
			 const char *sentence)
{
	struct host_function function;
	struct err err = { 0 };
	int ret;

	assert_int_equal(host_function_read(&fake->host, bdf, &function), 0);
	ret = host_function_check(&fake->host, &function, managed, NULL, 0, &err);
	if (code)
		assert_string_equal(err.text, sentence);
	else if (ret)
		fail_msg("%s", err.text);
	assert_int_equal(ret, -code);
}

/* --- functions ------------------------------------------------------------------------------- */

static void a_function_is_read_whole(void **state)
{
	struct fake_host *fake = *state;
	struct host_function f;

	fake_add(fake, &nic);
	fake_attr(fake, "2\n", FAKE_PCI "/sriov_numvfs", NIC);
	fake_attr(fake, "7\n", FAKE_PCI "/sriov_totalvfs", NIC);
	fake_attr(fake, "1\n", FAKE_PCI "/numa_node", NIC);
	assert_int_equal(host_function_read(&fake->host, NIC, &f), 0);
	assert_string_equal(f.bdf, NIC);
	assert_int_equal(f.vendor, 0x8086);
	assert_int_equal(f.device, 0x10d3);
	assert_int_equal(f.class, 0x020000);
	assert_string_equal(f.driver, "e1000e");
	assert_string_equal(f.override, "");
	assert_false(f.vfio || f.noiommu || f.bridge || f.denylisted || f.mdev_parent);
	assert_string_equal(f.cdev, "");
	assert_int_equal(f.group, 5);
	assert_string_equal(f.iommu, "dmar0");
	assert_int_equal(f.snoop, HOST_SNOOP_NO);
	assert_int_equal(f.vfs, 2);
	assert_int_equal(f.max_vfs, 7);
	assert_string_equal(f.resets, "flr pm");
	/* Memory BARs alone: neither the I/O BAR nor the ROM. */
	assert_int_equal(f.bar_bytes, MIB + 16 * KIB);
	assert_int_equal(f.numa_node, 1);
	assert_int_equal(host_function_read(&fake->host, "0000:00:1e.0", &f), -ENODEV);
	assert_int_equal(host_function_read(&fake->host, "../../etc", &f), -ENODEV);
}

static void a_vf_knows_its_pf(void **state)
{
	struct fake_host *fake = *state;
	struct fake_function vf = nic;
	struct host_function f;

	fake_add(fake, &nic);
	vf.bdf = "0000:00:13.0";
	vf.driver = NULL;
	vf.group = 9;
	fake_add(fake, &vf);
	fake_link(fake, "/sys/devices/pci0000:00/0000:00:13.0/physfn",
		  "/sys/devices/pci0000:00/" NIC);
	assert_int_equal(host_function_read(&fake->host, vf.bdf, &f), 0);
	assert_string_equal(f.pf, NIC);
	assert_string_equal(f.driver, "");
}

static void snoop_enforcement_comes_from_the_iommu(void **state)
{
	static const struct {
		const char *iommu, *kind, *ecap;
		enum host_snoop snoop;
	} rows[] = {
		{ "dmar1", "intel-iommu", "f00f5a\n", HOST_SNOOP_NO },
		{ "dmar2", "intel-iommu", "f00fda\n", HOST_SNOOP_YES },
		{ "ivhd0", "amd-iommu", "", HOST_SNOOP_YES },
		{ "virtio0", "virtio-iommu", "", HOST_SNOOP_UNKNOWN },
	};
	struct fake_host *fake = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fake_function function = nic;
		struct host_function f;

		fake_iommu(fake, rows[i].iommu, rows[i].kind, rows[i].ecap);
		function.iommu = rows[i].iommu;
		fake_add(fake, &function);
		assert_int_equal(host_function_read(&fake->host, NIC, &f), 0);
		assert_int_equal(f.snoop, rows[i].snoop);
	}
}

/* --- what is in the way ---------------------------------------------------------------------- */

static void a_function_on_vfio_is_ready(void **state)
{
	struct fake_host *fake = *state;
	struct fake_function function = nic;
	struct host_function f;

	function.driver = "vfio-pci";
	function.cdev = "vfio3";
	fake_add(fake, &function);
	assert_int_equal(host_function_read(&fake->host, NIC, &f), 0);
	assert_true(f.vfio);
	assert_string_equal(f.cdev, "vfio3");
	assert_check(fake, NIC, false, 0, NULL);
	/* A variant driver is one of VFIO's. */
	fake_bind(fake, NIC, "mlx5_vfio_pci");
	assert_check(fake, NIC, false, 0, NULL);
}

static void a_host_driver_is_named_and_managed_allows_it(void **state)
{
	struct fake_host *fake = *state;

	fake_add(fake, &nic);
	assert_check(fake, NIC, false, EBUSY,
		     NIC ": is on its host driver e1000e; \"managed\": true takes it from there, "
			 "or bind it to vfio-pci yourself");
	assert_check(fake, NIC, true, 0, NULL);
	fake_bind(fake, NIC, NULL);
	assert_check(fake, NIC, false, EBUSY,
		     NIC ": has no driver; \"managed\": true binds it to vfio-pci, or do that "
			 "yourself");
	assert_check(fake, NIC, true, 0, NULL);
}

static void a_bridge_a_function_without_group_and_a_pretended_group_are_refused(void **state)
{
	struct fake_host *fake = *state;
	struct fake_function function = nic;

	function.class = 0x060400;
	fake_add(fake, &function);
	assert_check(fake, NIC, true, EOPNOTSUPP,
		     NIC ": is a bridge; only what is behind it can be assigned");
	function = disk;
	function.group = -1;
	fake_add(fake, &function);
	assert_check(fake, DISK, true, ENXIO,
		     DISK ": is in no IOMMU group: the host has no IOMMU, or it is off "
			  "(intel_iommu=on or amd_iommu=on on the kernel's command line, and VT-d "
			  "or AMD-Vi in the firmware's setup)");
	function.group = 0;
	fake_add(fake, &function);
	fake_file(fake, "/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
	assert_check(fake, DISK, true, EPERM,
		     DISK ": is in a group of VFIO's no-IOMMU mode, in which it reaches all "
			  "memory; unload vfio-pci and turn vfio.enable_unsafe_noiommu_mode off");
}

static void unsafe_switches_of_the_host_are_refused_by_name(void **state)
{
	struct fake_host *fake = *state;
	struct fake_function function = nic;

	function.driver = "vfio-pci";
	fake_add(fake, &function);
	fake_file(fake, "/sys/module/iommufd/parameters/allow_unsafe_interrupts", "N\n");
	assert_check(fake, NIC, false, 0, NULL);
	fake_file(fake, "/sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n");
	assert_check(fake, NIC, false, EPERM,
		     NIC ": iommufd's allow_unsafe_interrupts is on, so a device may forge "
			 "interrupts; 'echo N > "
			 "/sys/module/iommufd/parameters/allow_unsafe_interrupts'");
	fake_file(fake, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_check(fake, NIC, false, EPERM,
		     NIC ": VFIO's no-IOMMU mode is on, in which a device reaches all memory; "
			 "'echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode'");
}

static void a_denylisted_function_names_the_module_parameter(void **state)
{
	struct fake_host *fake = *state;
	struct fake_function function = nic;

	function.device = 0x0b25;
	function.driver = "idxd";
	fake_add(fake, &function);
	assert_check(fake, NIC, true, EPERM,
		     NIC ": vfio-pci refuses 8086:0b25 for its known errata; an operator who "
			 "trusts the guest loads it with 'modprobe vfio-pci disable_denylist=1'");
	fake_file(fake, "/sys/module/vfio_pci/parameters/disable_denylist", "Y\n");
	assert_check(fake, NIC, true, 0, NULL);
}

static void other_members_of_a_group_are_named_unless_they_come_along(void **state)
{
	static const char *const both[] = { NIC, "0000:00:03.1" };
	struct fake_host *fake = *state;
	struct fake_function second = nic;
	struct host_function f;
	struct err err;

	fake_add(fake, &nic);
	second.bdf = "0000:00:03.1";
	second.driver = "ahci";
	fake_add(fake, &second);
	assert_int_equal(host_function_read(&fake->host, NIC, &f), 0);
	assert_int_equal(host_function_check(&fake->host, &f, true, both, 1, &err), -EBUSY);
	assert_string_equal(err.text,
			    NIC ": its group 5 also holds 0000:00:03.1, which is on driver ahci; "
				"give it to the same VM, or take it from that driver");
	assert_int_equal(host_function_check(&fake->host, &f, true, both, 2, &err), 0);
	/* A port of PCI Express, or no driver at all, does no DMA of its own. */
	fake_bind(fake, "0000:00:03.1", "pcieport");
	assert_int_equal(host_function_check(&fake->host, &f, true, both, 1, &err), 0);
	fake_bind(fake, "0000:00:03.1", NULL);
	assert_int_equal(host_function_check(&fake->host, &f, true, both, 1, &err), 0);
}

/* --- what the host itself uses --------------------------------------------------------------- */

static void block(const struct fake_host *fake, const char *name, const char *device,
		  const char *number)
{
	char at[256];

	fake_attr(fake, number, "%s/dev", device);
	snprintf(at, sizeof(at), "/sys/class/block/%s", name);
	fake_link(fake, at, device);
}

#define NVME	  FAKE_DISK "/nvme/nvme0/nvme0n1"
#define FAKE_DISK "/sys/devices/pci0000:00/" DISK

static void a_mounted_file_system_is_named(void **state)
{
	struct fake_host *fake = *state;

	fake_add(fake, &disk);
	block(fake, "nvme0n1", NVME, "259:0\n");
	block(fake, "nvme0n1p1", NVME "/nvme0n1p1", "259:1\n");
	assert_check(fake, DISK, true, 0, NULL);
	fake_file(fake, "/proc/self/mountinfo",
		  "22 1 0:20 / / rw - overlay overlay rw\n"
		  "23 22 259:1 / /srv rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw\n");
	fake_file(fake, "/proc/1/mountinfo",
		  "23 22 259:1 / /srv rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw\n"
		  "24 22 259:1 / /srv/data rw - ext4 /dev/nvme0n1p1 rw\n");
	assert_check(fake, DISK, true, EBUSY,
		     DISK ": the host itself uses it (driver nvme): file system of nvme0n1p1 at "
			  "/srv, file system of nvme0n1p1 at /srv/data; end that first");
}

static void mapped_and_multipath_disks_lead_to_their_function(void **state)
{
	struct fake_host *fake = *state;

	fake_add(fake, &disk);
	/* The namespace's head is virtual; its subsystem links the controller. */
	fake_dir(fake, FAKE_DISK "/nvme/nvme0");
	fake_link(fake, "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0",
		  FAKE_DISK "/nvme/nvme0");
	block(fake, "nvme0n1", "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
	      "259:0\n");
	block(fake, "dm-0", "/sys/devices/virtual/block/dm-0", "253:0\n");
	fake_link(fake, "/sys/devices/virtual/block/dm-0/slaves/nvme0n1",
		  "/sys/class/block/nvme0n1");
	fake_file(fake, "/dev/dm-0", "");
	fake_link(fake, "/dev/mapper/vg-home", "/dev/dm-0");
	/* btrfs mounts have a number of their own. */
	fake_file(fake, "/proc/self/mountinfo",
		  "23 22 0:44 / /home rw - btrfs /dev/mapper/vg-home rw\n"
		  "short line\n\n1 2 3:4 / /x rw\n");
	fake_file(fake, "/proc/swaps",
		  "Filename Type Size Used Priority\n"
		  "/dev/dm-0 partition 8 0 -2\n");
	assert_check(fake, DISK, true, EBUSY,
		     DISK ": the host itself uses it (driver nvme): file system of dm-0 at /home, "
			  "swap on dm-0; end that first");
}

static void a_default_route_is_named_and_other_routes_are_not(void **state)
{
	struct fake_host *fake = *state;

	fake_add(fake, &nic);
	fake_dir(fake, "/sys/devices/pci0000:00/" NIC "/net/eth0");
	fake_link(fake, "/sys/class/net/eth0", "/sys/devices/pci0000:00/" NIC "/net/eth0");
	fake_file(fake, "/proc/net/route",
		  "Iface\tDestination\tGateway\n"
		  "eth0\t0000A8C0\t00000000\n");
	fake_file(fake, "/proc/net/ipv6_route",
		  "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		  "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n");
	assert_check(fake, NIC, true, 0, NULL);
	fake_file(fake, "/proc/net/route",
		  "Iface\tDestination\tGateway\n"
		  "eth0\t00000000\t0100A8C0\n");
	assert_check(fake, NIC, true, EBUSY,
		     NIC ": the host itself uses it (driver e1000e): the IPv4 default route over "
			 "eth0; end that first");
	fake_file(fake, "/proc/net/route", "");
	fake_file(fake, "/proc/net/ipv6_route",
		  "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		  "fd000000000000000000000000000001 00000400 00000002 00000000 00000003 eth0\n");
	assert_check(fake, NIC, true, EBUSY,
		     NIC ": the host itself uses it (driver e1000e): the IPv6 default route over "
			 "eth0; end that first");
}

/* --- mdevs, work queues, all at once --------------------------------------------------------- */

static void mdevs_and_their_types_are_read(void **state)
{
	struct fake_host *fake = *state;
	struct host_mdev_type type;
	struct host_mdev mdev;

	fake_mtty(fake);
	assert_int_equal(host_mdev_type_read(&fake->host, "mtty", "mtty-2", &type), 0);
	assert_string_equal(type.name, "Dual port serial");
	assert_string_equal(type.api, "vfio-pci");
	assert_int_equal(type.available, 12);
	assert_int_equal(host_mdev_type_read(&fake->host, "mtty", "mtty-3", &type), -ENODEV);
	assert_int_equal(host_mdev_type_read(&fake->host, "..", "mtty-2", &type), -ENODEV);
	fake_mdev(fake, UUID, "mtty-2", 11, "vfio7");
	assert_int_equal(host_mdev_read(&fake->host, UUID, &mdev), 0);
	assert_string_equal(mdev.parent, "mtty");
	assert_string_equal(mdev.type, "mtty-2");
	assert_string_equal(mdev.cdev, "vfio7");
	assert_int_equal(mdev.group, 11);
	assert_int_equal(host_mdev_read(&fake->host, "00000000-0000-0000-0000-000000000000", &mdev),
			 -ENODEV);
}

static void one_look_finds_everything(void **state)
{
	static const char wq[] = "/sys/devices/pci0000:00/0000:00:05.0/dsa0/wq0.1";
	struct fake_host *fake = *state;
	struct host_inventory all;

	assert_int_equal(host_scan(&fake->host, &all), 0);
	assert_int_equal(all.n_functions + all.n_types + all.n_mdevs + all.n_wqs, 0);
	host_inventory_free(&all);

	fake_add(fake, &disk);
	fake_add(fake, &nic);
	fake_mtty(fake);
	fake_mdev(fake, UUID, "mtty-1", 11, "vfio7");
	fake_attr(fake, "dedicated\n", "%s/mode", wq);
	fake_attr(fake, "user\n", "%s/type", wq);
	fake_attr(fake, "enabled\n", "%s/state", wq);
	fake_attr(fake, "user\n", "%s/driver_name", wq);
	fake_attr(fake, "16\n", "%s/size", wq);
	fake_link(fake, "/sys/bus/dsa/devices/wq0.1", wq);
	fake_dir(fake, "/sys/bus/dsa/devices/dsa0");
	fake_file(fake, "/dev/dsa/wq0.1", "");
	assert_int_equal(host_scan(&fake->host, &all), 0);
	assert_int_equal(all.n_functions, 2);
	assert_string_equal(all.functions[0].bdf, NIC);
	assert_string_equal(all.functions[1].bdf, DISK);
	assert_int_equal(all.n_types, 2);
	assert_int_equal(all.n_mdevs, 1);
	assert_int_equal(all.n_wqs, 1);
	assert_string_equal(all.wqs[0].name, "wq0.1");
	assert_string_equal(all.wqs[0].device, "dsa0");
	assert_string_equal(all.wqs[0].function, "0000:00:05.0");
	assert_string_equal(all.wqs[0].mode, "dedicated");
	assert_int_equal(all.wqs[0].size, 16);
	assert_string_equal(all.wqs[0].node, "/dev/dsa/wq0.1");
	host_inventory_free(&all);
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void a_number_leads_to_the_device(void **state)
{
	struct fake_host *fake = *state;
	struct fake_function function = nic;
	struct host_identity identity;
	struct err err;

	function.driver = "vfio-pci";
	function.cdev = "vfio3";
	fake_add(fake, &function);
	assert_int_equal(host_identify_number(&fake->host, 511, 3, &identity, &err), 0);
	assert_int_equal(identity.node, HOST_NODE_CDEV);
	assert_int_equal(identity.device.kind, HOST_FUNCTION);
	assert_string_equal(identity.device.text, NIC);
	assert_int_equal(identity.group, 5);

	fake_mtty(fake);
	fake_mdev(fake, UUID, "mtty-1", 11, "vfio7");
	assert_int_equal(host_identify_number(&fake->host, 511, 7, &identity, &err), 0);
	assert_int_equal(identity.device.kind, HOST_MDEV);
	assert_string_equal(identity.device.text, UUID);

	fake_dir(fake, "/sys/devices/virtual/vfio/12");
	fake_link(fake, "/sys/dev/char/240:0", "/sys/devices/virtual/vfio/12");
	assert_int_equal(host_identify_number(&fake->host, 240, 0, &identity, &err), 0);
	assert_int_equal(identity.node, HOST_NODE_GROUP);
	assert_int_equal(identity.group, 12);
	fake_dir(fake, "/sys/devices/virtual/vfio/noiommu-0");
	fake_link(fake, "/sys/dev/char/240:1", "/sys/devices/virtual/vfio/noiommu-0");
	assert_int_equal(host_identify_number(&fake->host, 240, 1, &identity, &err), 0);
	assert_int_equal(identity.group, HOST_NO_GROUP);
	fake_dir(fake, "/sys/devices/virtual/misc/iommu");
	fake_link(fake, "/sys/dev/char/10:124", "/sys/devices/virtual/misc/iommu");
	assert_int_equal(host_identify_number(&fake->host, 10, 124, &identity, &err), 0);
	assert_int_equal(identity.node, HOST_NODE_IOMMU);
	fake_dir(fake, "/sys/devices/virtual/misc/vfio");
	fake_link(fake, "/sys/dev/char/10:196", "/sys/devices/virtual/misc/vfio");
	assert_int_equal(host_identify_number(&fake->host, 10, 196, &identity, &err), 0);
	assert_int_equal(identity.node, HOST_NODE_CONTAINER);

	/* A device of VFIO's that is neither PCI nor mdev. */
	fake_cdev(fake, "/sys/devices/platform/sound0", "vfio9", 9);
	assert_int_equal(host_identify_number(&fake->host, 511, 9, &identity, &err), -ENOTTY);
	assert_int_equal(host_identify_number(&fake->host, 99, 9, &identity, &err), -ENOTTY);
	assert_string_equal(err.text, "the descriptor is character device 99:9, which sysfs does "
				      "not know; is it from another host or container?");
}

static void a_descriptor_that_is_no_node_is_refused(void **state)
{
	struct fake_host *fake = *state;
	struct host_identity identity;
	int pipes[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct err err;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(host_identify(&fake->host, pipes[0], &identity, &err), -ENOTTY);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(host_identify(&fake->host, pipes[0], &identity, &err), -EBADF);
	/* /dev/null is 1:3 everywhere; here sysfs takes it for a cdev of the NIC's. */
	fake_add(fake, &nic);
	fake_attr(fake, "1:3\n", FAKE_PCI "/vfio-dev/vfio0/dev", NIC);
	fake_link(fake, "/sys/dev/char/1:3", "/sys/devices/pci0000:00/" NIC "/vfio-dev/vfio0");
	assert_true(null >= 0);
	assert_int_equal(host_identify(&fake->host, null, &identity, &err), 0);
	assert_int_equal(identity.node, HOST_NODE_CDEV);
	assert_string_equal(identity.device.text, NIC);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_function_is_read_whole),
		TEST(a_vf_knows_its_pf),
		TEST(snoop_enforcement_comes_from_the_iommu),
		TEST(a_function_on_vfio_is_ready),
		TEST(a_host_driver_is_named_and_managed_allows_it),
		TEST(a_bridge_a_function_without_group_and_a_pretended_group_are_refused),
		TEST(unsafe_switches_of_the_host_are_refused_by_name),
		TEST(a_denylisted_function_names_the_module_parameter),
		TEST(other_members_of_a_group_are_named_unless_they_come_along),
		TEST(a_mounted_file_system_is_named),
		TEST(mapped_and_multipath_disks_lead_to_their_function),
		TEST(a_default_route_is_named_and_other_routes_are_not),
		TEST(mdevs_and_their_types_are_read),
		TEST(one_look_finds_everything),
		TEST(a_number_leads_to_the_device),
		TEST(a_descriptor_that_is_no_node_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
