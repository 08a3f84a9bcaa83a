/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A made-up sysfs, /dev and /proc in a temporary directory, as a machine with an IOMMU has them,
 * for tests of what looks at a host. Only what is asked for is in it.
 */
#ifndef ADIT_TESTS_FAKE_HOST_H
#define ADIT_TESTS_FAKE_HOST_H

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/host.h"

/* Not an assertion of cmocka's: it is used by forked processes and by fuzzers too. */
#define fake_must(condition) ((condition) ? (void)0 : abort())

#define FAKE_TEXT 384

/* out: FAKE_TEXT bytes. */
__attribute__((unused, format(printf, 2, 3))) static void fake_text(char *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fake_must(vsnprintf(out, FAKE_TEXT, fmt, ap) < FAKE_TEXT);
	va_end(ap);
}

struct fake_host {
	char root[64];
	struct host host;
};

__attribute__((unused, format(printf, 3, 4))) static void fake_path(const struct fake_host *fake,
								    char *out, const char *fmt, ...)
{
	size_t n = strlen(fake->root);
	va_list ap;

	memcpy(out, fake->root, n);
	va_start(ap, fmt);
	fake_must(vsnprintf(out + n, SYSFS_PATH_MAX - n, fmt, ap) < (int)(SYSFS_PATH_MAX - n));
	va_end(ap);
}

/* Makes the directories that `path` is in. */
__attribute__((unused)) static void fake_parents(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		if (mkdir(path, 0755))
			fake_must(errno == EEXIST);
		*p = '/';
	}
}

__attribute__((unused)) static void fake_file(const struct fake_host *fake, const char *at,
					      const char *text)
{
	char path[SYSFS_PATH_MAX];
	FILE *file;

	fake_path(fake, path, "%s", at);
	fake_parents(path);
	file = fopen(path, "we");
	fake_must(file);
	fputs(text, file);
	fake_must(!fclose(file));
}

/* One attribute of a directory that is named by a format. */
#define fake_attr(fake, text, ...)             \
	do {                                   \
		char attr_[FAKE_TEXT];         \
                                               \
		fake_text(attr_, __VA_ARGS__); \
		fake_file(fake, attr_, text);  \
	} while (0)

/* A link whose target is below the root too. */
__attribute__((unused)) static void fake_link(const struct fake_host *fake, const char *at,
					      const char *to)
{
	char path[SYSFS_PATH_MAX], target[SYSFS_PATH_MAX];

	fake_path(fake, path, "%s", at);
	fake_path(fake, target, "%s", to);
	fake_parents(path);
	unlink(path);
	fake_must(!symlink(target, path));
}

__attribute__((unused)) static void fake_dir(const struct fake_host *fake, const char *at)
{
	char path[SYSFS_PATH_MAX];

	fake_path(fake, path, "%s/", at);
	fake_parents(path);
}

struct fake_function {
	const char *bdf;
	unsigned int vendor, device, class;
	const char *driver; /* NULL: none */
	int group;	    /* negative: none */
	const char *cdev;   /* "vfio3" or NULL */
	const char *iommu;  /* "dmar0" or NULL */
	const char *resets; /* NULL: none */
};

#define FAKE_PCI "/sys/devices/pci0000:00/%s"

/* (Re)binds: what the kernel does when a driver gets or loses a function. NULL: to none. */
__attribute__((unused)) static void fake_bind(const struct fake_host *fake, const char *bdf,
					      const char *driver)
{
	char at[FAKE_TEXT], to[FAKE_TEXT], path[SYSFS_PATH_MAX];

	fake_text(at, FAKE_PCI "/driver", bdf);
	fake_path(fake, path, "%s", at);
	unlink(path);
	if (!driver)
		return;
	fake_text(to, "/sys/bus/pci/drivers/%s", driver);
	fake_dir(fake, to);
	fake_link(fake, at, to);
}

__attribute__((unused)) static void fake_cdev(const struct fake_host *fake, const char *device,
					      const char *cdev, unsigned int minor)
{
	char at[FAKE_TEXT], to[FAKE_TEXT], number[32];

	snprintf(number, sizeof(number), "511:%u\n", minor);
	fake_attr(fake, number, "%s/vfio-dev/%s/dev", device, cdev);
	fake_text(at, "/sys/dev/char/511:%u", minor);
	fake_text(to, "%s/vfio-dev/%s", device, cdev);
	fake_link(fake, at, to);
	fake_attr(fake, "", "/dev/vfio/devices/%s", cdev);
}

__attribute__((unused)) static void fake_group(const struct fake_host *fake, const char *device,
					       const char *name, int group)
{
	char at[FAKE_TEXT], to[FAKE_TEXT];

	fake_text(to, "/sys/kernel/iommu_groups/%d", group);
	fake_attr(fake, "DMA-FQ\n", "%s/type", to);
	fake_text(at, "%s/iommu_group", device);
	fake_link(fake, at, to);
	fake_text(at, "%s/devices/%s", to, name);
	fake_link(fake, at, device);
	fake_attr(fake, "", "/dev/vfio/%d", group);
}

__attribute__((unused)) static void fake_add(const struct fake_host *fake,
					     const struct fake_function *function)
{
	const char *bdf = function->bdf;
	char text[64], at[FAKE_TEXT], to[FAKE_TEXT];

	snprintf(text, sizeof(text), "0x%04x\n", function->vendor);
	fake_attr(fake, text, FAKE_PCI "/vendor", bdf);
	snprintf(text, sizeof(text), "0x%04x\n", function->device);
	fake_attr(fake, text, FAKE_PCI "/device", bdf);
	snprintf(text, sizeof(text), "0x%06x\n", function->class);
	fake_attr(fake, text, FAKE_PCI "/class", bdf);
	fake_attr(fake, "(null)\n", FAKE_PCI "/driver_override", bdf);
	fake_attr(fake, "-1\n", FAKE_PCI "/numa_node", bdf);
	fake_attr(fake,
		  "0x00000000fe000000 0x00000000fe0fffff 0x0000000000040200\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
		  "0x00000000fe100000 0x00000000fe103fff 0x0000000000140204\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x00000000fe200000 0x00000000fe2fffff 0x0000000000046200\n",
		  FAKE_PCI "/resource", bdf);
	if (function->resets) {
		snprintf(text, sizeof(text), "%s\n", function->resets);
		fake_attr(fake, text, FAKE_PCI "/reset_method", bdf);
	}
	fake_text(at, "/sys/bus/pci/devices/%s", bdf);
	fake_text(to, FAKE_PCI, bdf);
	fake_link(fake, at, to);
	if (function->group >= 0)
		fake_group(fake, to, bdf, function->group);
	if (function->driver)
		fake_bind(fake, bdf, function->driver);
	if (function->cdev)
		fake_cdev(fake, to, function->cdev,
			  (unsigned int)strtoul(function->cdev + 4, NULL, 10));
	if (function->iommu) {
		fake_text(at, FAKE_PCI "/iommu", bdf);
		fake_text(to, "/sys/devices/virtual/iommu/%s", function->iommu);
		fake_link(fake, at, to);
	}
}

__attribute__((unused)) static void fake_iommu(const struct fake_host *fake, const char *name,
					       const char *kind, const char *ecap)
{
	char at[FAKE_TEXT], to[FAKE_TEXT];

	fake_text(to, "/sys/devices/virtual/iommu/%s", name);
	fake_attr(fake, ecap, "%s/%s/ecap", to, kind);
	fake_text(at, "/sys/class/iommu/%s", name);
	fake_link(fake, at, to);
}

#define FAKE_MTTY "/sys/devices/virtual/mtty/mtty"

/* The kernel's sample parent with its two types. */
__attribute__((unused)) static void fake_mtty(const struct fake_host *fake)
{
	for (int i = 1; i <= 2; i++) {
		char type[128], name[32];

		fake_text(type, FAKE_MTTY "/mdev_supported_types/mtty-%d", i);
		snprintf(name, sizeof(name), "%s port serial\n", i == 1 ? "Single" : "Dual");
		fake_attr(fake, name, "%s/name", type);
		fake_attr(fake, "vfio-pci\n", "%s/device_api", type);
		fake_attr(fake, i == 1 ? "24\n" : "12\n", "%s/available_instances", type);
		fake_attr(fake, "", "%s/create", type);
	}
	fake_link(fake, "/sys/class/mdev_bus/mtty", FAKE_MTTY);
}

/* What creating an mdev leaves in sysfs. */
__attribute__((unused)) static void fake_mdev(const struct fake_host *fake, const char *uuid,
					      const char *type, int group, const char *cdev)
{
	char device[FAKE_TEXT], at[FAKE_TEXT], to[FAKE_TEXT];

	fake_text(device, FAKE_MTTY "/%s", uuid);
	fake_attr(fake, "", "%s/remove", device);
	fake_text(at, "%s/mdev_type", device);
	fake_text(to, FAKE_MTTY "/mdev_supported_types/%s", type);
	fake_link(fake, at, to);
	fake_text(at, "/sys/bus/mdev/devices/%s", uuid);
	fake_link(fake, at, device);
	fake_group(fake, device, uuid, group);
	fake_cdev(fake, device, cdev, (unsigned int)strtoul(cdev + 4, NULL, 10));
}

__attribute__((unused)) static void fake_open(struct fake_host *fake)
{
	/* Thousands of trees are made and removed, which a journal on a disk makes minutes of. */
	const char *where = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

	memset(fake, 0, sizeof(*fake));
	snprintf(fake->root, sizeof(fake->root), "%s/adit-fake-host-XXXXXX", where);
	fake_must(mkdtemp(fake->root));
	fake->host.root = fake->root;
	fake_file(fake, "/proc/self/mountinfo", "");
	fake_file(fake, "/proc/1/mountinfo", "");
}

static int fake_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

__attribute__((unused)) static void fake_remove(const struct fake_host *fake, const char *at)
{
	char path[SYSFS_PATH_MAX];

	fake_path(fake, path, "%s", at);
	nftw(path, fake_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static void fake_close(struct fake_host *fake)
{
	fake_remove(fake, "");
}

#endif
