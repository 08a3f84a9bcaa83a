/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel providers read of sysfs, on a tree of our own: who a descriptor is, and the
 * sentence for a group that is partly held elsewhere. /dev/null stands for the node.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ioasid-client/provider.h"
#include "ioasid-client/providers/locked.h"
#include "ioasid-client/providers/sysfs.h"

struct tree {
	char root[64];
	struct ioasid_seam seam;
	struct err err;
};

static void path_of(const struct tree *t, const char *name, char *path)
{
	snprintf(path, 512, "%s%s", t->root, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

static void put_link(const struct tree *t, const char *name, const char *target)
{
	char path[512];

	path_of(t, name, path);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static void put_text(const struct tree *t, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	path_of(t, name, path);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* A function of group 7, whose members may each have a driver. */
static void put_device(const struct tree *t, const char *bdf, const char *driver)
{
	char name[256], target[256];

	snprintf(name, sizeof(name), "/sys/devices/pci0000:00/%s/iommu_group", bdf);
	put_link(t, name, "../../../kernel/iommu_groups/7");
	snprintf(name, sizeof(name), "/sys/devices/pci0000:00/%s/subsystem", bdf);
	put_link(t, name, "../../../bus/pci");
	snprintf(name, sizeof(name), "/sys/devices/pci0000:00/%s/iommu", bdf);
	put_link(t, name, "../../virtual/iommu/dmar0");
	snprintf(name, sizeof(name), "/sys/devices/pci0000:00/%s/driver", bdf);
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	if (driver)
		put_link(t, name, target);
	snprintf(name, sizeof(name), "/sys/kernel/iommu_groups/7/devices/%s", bdf);
	snprintf(target, sizeof(target), "../../../../devices/pci0000:00/%s", bdf);
	put_link(t, name, target);
	snprintf(name, sizeof(name), "/sys/bus/pci/devices/%s", bdf);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s", bdf);
	put_link(t, name, target);
}

static int setup(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));

	strcpy(t->root, "/tmp/adit-sysfs-XXXXXX");
	assert_non_null(mkdtemp(t->root));
	t->seam = ioasid_seam_kernel;
	t->seam.root = t->root;
	*state = t;
	return 0;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct tree *t = *state;

	nftw(t->root, drop, 8, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

static void refused(struct tree *t, int r, int code, const char *names)
{
	assert_int_equal(r, -code);
	if (!strstr(t->err.text, names))
		fail_msg("'%s' does not name '%s'", t->err.text, names);
}

static void a_cdev_is_who_sysfs_says(void **state)
{
	struct tree *t = *state;
	struct sysfs_device device;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	put_device(t, "0000:00:04.0", "vfio-pci");
	refused(t, sysfs_cdev(&t->seam, fd, &device, &t->err), EINVAL, "1:3");
	put_link(t, "/sys/dev/char/1:3", "../../devices/virtual/mem/null");
	refused(t, sysfs_cdev(&t->seam, fd, &device, &t->err), EINVAL, "virtual/mem/null");
	put_link(t, "/sys/dev/char/1:3", "../../devices/pci0000:00/0000:00:04.0/vfio-dev/vfio3");
	assert_ok(sysfs_cdev(&t->seam, fd, &device, &t->err), &t->err);
	assert_string_equal(device.name, "0000:00:04.0");
	assert_int_equal(device.group, 7);
	assert_false(device.mdev);
	assert_string_equal(sysfs_hw(&device), "intel-vtd");
	close(fd);
}

static void a_group_is_its_number(void **state)
{
	struct tree *t = *state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	put_link(t, "/sys/dev/char/1:3", "../../devices/virtual/vfio/7");
	assert_int_equal(sysfs_group(&t->seam, fd, &t->err), 7);
	put_link(t, "/sys/dev/char/1:3", "../../devices/virtual/vfio/noiommu-0");
	refused(t, sysfs_group(&t->seam, fd, &t->err), EINVAL, "not behind an IOMMU");
	put_link(t, "/sys/dev/char/1:3", "../../devices/virtual/misc/vfio");
	refused(t, sysfs_group(&t->seam, fd, &t->err), EINVAL, "is no VFIO group");
	close(fd);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	struct tree *t = *state;
	struct sysfs_device device;

	put_device(t, "0000:00:04.0", "vfio-pci");
	assert_ok(sysfs_named(&t->seam, "0000:00:04.0", &device, &t->err), &t->err);
	assert_int_equal(device.group, 7);
	refused(t, sysfs_named(&t->seam, "../devices/0000:00:04.0", &device, &t->err), EINVAL,
		"no device's name");
	refused(t, sysfs_named(&t->seam, NULL, &device, &t->err), EINVAL, "no device's name");
	refused(t, sysfs_named(&t->seam, "0000:00:05.0", &device, &t->err), ENODEV, "00:05.0");
}

static void a_held_group_names_member_driver_and_mend(void **state)
{
	struct tree *t = *state;
	struct sysfs_device device;
	struct ioasid_member *members;
	size_t n;

	put_device(t, "0000:00:1f.3", "vfio-pci");
	put_device(t, "0000:00:1f.0", NULL);
	put_device(t, "0000:00:1f.2", "ahci");
	assert_ok(sysfs_named(&t->seam, "0000:00:1f.3", &device, &t->err), &t->err);
	refused(t, sysfs_explain_group(&t->seam, &device, EPERM, &t->err), EPERM,
		"IOMMU group 7: member 0000:00:1f.2 is held by driver ahci; give it to vfio-pci");
	assert_int_equal(sysfs_members(&t->seam, 7, &members, &n), 0);
	assert_int_equal(n, 3);
	free(members);
	assert_false(sysfs_group_is_free(&t->seam, &device));
}

static void a_group_that_another_program_has_says_so(void **state)
{
	struct tree *t = *state;
	struct sysfs_device device;

	put_device(t, "0000:00:1f.3", "vfio-pci");
	assert_ok(sysfs_named(&t->seam, "0000:00:1f.3", &device, &t->err), &t->err);
	assert_true(sysfs_group_is_free(&t->seam, &device));
	refused(t, sysfs_explain_group(&t->seam, &device, EBUSY, &t->err), EBUSY,
		"held by another program");
	put_device(t, "0000:00:1f.0", "pcieport");
	refused(t, sysfs_explain_group(&t->seam, &device, EBUSY, &t->err), EBUSY,
		"one of its 2 members");
}

static void reserved_ranges_come_in_order(void **state)
{
	struct tree *t = *state;
	struct ioasid_range *ranges;
	size_t n;

	put_text(t, "/sys/kernel/iommu_groups/7/reserved_regions",
		 "0x00000000fee00000 0x00000000feefffff msi\n"
		 "0x00000000000a0000 0x00000000000bffff direct-relaxable\n");
	assert_int_equal(sysfs_reserved(&t->seam, 7, &ranges, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(ranges[0].first, 0xa0000);
	assert_int_equal(ranges[1].last, 0xfeefffff);
	free(ranges);
	assert_int_equal(sysfs_reserved(&t->seam, 8, &ranges, &n), 0);
	assert_int_equal(n, 0);
}

static void what_is_missing_of_the_limit_is_said(void **state)
{
	struct tree *t = *state;
	struct ioasid_memory memory = { 0 };
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	if (before.rlim_max < 65536)
		skip_because("RLIMIT_MEMLOCK is below 64 KiB");
	limit = (struct rlimit){ .rlim_cur = 65536, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	put_text(t, "/proc/self/status",
		 "Name:\tx\nVmPin:\t      16 kB\nCapEff:\t0000000000000000\n");
	assert_int_equal(locked_status(&t->seam, "VmPin"), 16384);
	assert_int_equal(locked_status(&t->seam, "VmLck"), 0);
	locked_limit(&t->seam, 16384, &memory);
	assert_int_equal(memory.limit, 65536);
	assert_int_equal(memory.left, 49152);
	refused(t, locked_explain(&memory, 65536, &t->err), ENOMEM,
		"65536 bytes cannot be locked: 16384 are missing of the limit of 65536");
	refused(t, locked_explain(&memory, 4096, &t->err), ENOMEM, "other processes count too");
	/* CAP_IPC_LOCK: no limit. */
	put_text(t, "/proc/self/status", "CapEff:\t0000000000004000\n");
	locked_limit(&t->seam, 16384, &memory);
	assert_true(memory.limit == UINT64_MAX && memory.left == UINT64_MAX);
	refused(t, locked_explain(&memory, 4096, &t->err), ENOMEM, "kernel has no memory");
	put_text(t, "/proc/self/uid_map", "         0          0 4294967295\n");
	locked_limit(&t->seam, 16384, &memory);
	assert_true(memory.limit == UINT64_MAX);
	/* That of root in a namespace of its own is not asked for. */
	put_text(t, "/proc/self/uid_map", "         0       1000          1\n");
	locked_limit(&t->seam, 16384, &memory);
	assert_int_equal(memory.left, 49152);
	setrlimit(RLIMIT_MEMLOCK, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		TEST(a_cdev_is_who_sysfs_says),
		TEST(a_group_is_its_number),
		TEST(names_that_lead_elsewhere_are_refused),
		TEST(a_held_group_names_member_driver_and_mend),
		TEST(a_group_that_another_program_has_says_so),
		TEST(reserved_ranges_come_in_order),
		TEST(what_is_missing_of_the_limit_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
