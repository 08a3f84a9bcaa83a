/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's part of a made-up host: what a write to sysfs makes of the tree, and what its device
 * nodes open as. Every node is one of the memory devices, whose numbers are the same everywhere, so
 * that a descriptor can be identified as on a real host.
 */
#ifndef ADIT_TESTS_FAKE_KERNEL_H
#define ADIT_TESTS_FAKE_KERNEL_H

#include <fcntl.h>

#include "fake-host.h"

#define NIC  "0000:00:03.0"
#define DISK "0000:00:04.0"
#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

/* Nodes and what stands for them: character devices 1:MINOR. */
static const struct fake_node {
	const char *node, *opens;
	unsigned int minor;
} fake_nodes[] = {
	{ "/dev/vfio/devices/vfio0", "/dev/null", 3 }, /* the NIC */
	{ "/dev/vfio/devices/vfio1", "/dev/zero", 5 }, /* the disk */
	{ "/dev/vfio/devices/vfio2", "/dev/full", 7 }, /* an mdev */
	{ "/dev/iommu", "/dev/random", 8 },
	{ "/dev/vfio/5", "/dev/urandom", 9 }, /* the NIC's group */
};

static const char *fake_vfio_of(const char *device)
{
	return !strcmp(device, NIC) ? "vfio0" : !strcmp(device, DISK) ? "vfio1" : "vfio2";
}

/* VFIO's device below one that has gone to it. */
static void fake_vfio_add(const struct fake_host *fake, const char *device, const char *name)
{
	const char *vfio = fake_vfio_of(name);
	char at[FAKE_TEXT], to[FAKE_TEXT];

	for (size_t i = 0; i < sizeof(fake_nodes) / sizeof(*fake_nodes); i++) {
		char number[32];

		if (strcmp(strrchr(fake_nodes[i].node, '/') + 1, vfio) != 0)
			continue;
		snprintf(number, sizeof(number), "1:%u\n", fake_nodes[i].minor);
		fake_attr(fake, number, "%s/vfio-dev/%s/dev", device, vfio);
		fake_text(at, "/sys/dev/char/1:%u", fake_nodes[i].minor);
		fake_text(to, "%s/vfio-dev/%s", device, vfio);
		fake_link(fake, at, to);
		fake_text(at, "/sys/class/vfio-dev/%s", vfio);
		fake_link(fake, at, to);
	}
}

static void fake_move(const struct fake_host *fake, const char *bdf, const char *driver)
{
	char device[FAKE_TEXT], at[FAKE_TEXT];

	fake_text(device, FAKE_PCI, bdf);
	fake_text(at, "%s/vfio-dev", device);
	fake_remove(fake, at);
	fake_bind(fake, bdf, driver);
	if (driver && !strcmp(driver, "vfio-pci"))
		fake_vfio_add(fake, device, bdf);
}

static void fake_override(const struct fake_host *fake, const char *bdf, char *out)
{
	if (sysfs_read(&fake->host, out, HOST_TEXT, FAKE_PCI "/driver_override", bdf) ||
	    !strcmp(out, "(null)"))
		out[0] = 0;
}

static int fake_probe(const struct fake_host *fake, const char *bdf)
{
	char override[HOST_TEXT], now[HOST_TEXT];

	fake_override(fake, bdf, override);
	sysfs_link(&fake->host, now, sizeof(now), FAKE_PCI "/driver", bdf);
	/* A tree with this file has a vfio-pci that refuses everything. */
	if (*now || (!strcmp(override, "vfio-pci") && sysfs_exists(&fake->host, "/refuse-vfio")))
		return 0;
	fake_move(fake, bdf, *override ? override : "e1000e");
	return 0;
}

static int fake_create(const struct fake_host *fake, const char *type, const char *uuid)
{
	char device[FAKE_TEXT], at[FAKE_TEXT], to[FAKE_TEXT];

	fake_text(device, FAKE_MTTY "/%s", uuid);
	if (sysfs_exists(&fake->host, "%s", device))
		return -EEXIST;
	fake_attr(fake, "", "%s/remove", device);
	fake_text(at, "%s/mdev_type", device);
	fake_text(to, FAKE_MTTY "/mdev_supported_types/%s", type);
	fake_link(fake, at, to);
	fake_text(at, "/sys/bus/mdev/devices/%s", uuid);
	fake_link(fake, at, device);
	fake_vfio_add(fake, device, uuid);
	return 0;
}

static int fake_destroy(const struct fake_host *fake, const char *uuid)
{
	char at[FAKE_TEXT], path[SYSFS_PATH_MAX];

	fake_text(at, "/sys/bus/mdev/devices/%s", uuid);
	fake_path(fake, path, "%s", at);
	if (unlink(path))
		return -ENODEV;
	fake_text(at, FAKE_MTTY "/%s", uuid);
	fake_remove(fake, at);
	return 0;
}

/*
 * While somebody holds the FIFO /held open for writing, an unbind waits, as the kernel waits for a
 * VFIO device that is open.
 */
static void fake_wait(const struct fake_host *fake)
{
	char path[SYSFS_PATH_MAX], byte;
	int fd;

	fake_path(fake, path, "/held");
	/* Whoever held it may be gone already: then there is nothing to wait for. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	fcntl(fd, F_SETFL, 0);
	while (read(fd, &byte, 1) > 0)
		;
	close(fd);
}

static int fake_write(void *arg, const char *path, const char *text)
{
	const struct fake_host *fake = arg;
	char copy[SYSFS_PATH_MAX], *part[16] = { 0 }, *rest = copy;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", path + 1);
	while (n < 16 && rest)
		part[n++] = strsep(&rest, "/");
	if (n == 6 && !strcmp(part[5], "driver_override")) {
		fake_attr(fake, *text == '\n' ? "(null)\n" : text, "%s", path);
		return 0;
	}
	if (n == 7 && !strcmp(part[6], "unbind")) {
		fake_wait(fake);
		fake_move(fake, part[4], NULL);
		return 0;
	}
	if (!strcmp(path, "/sys/bus/pci/drivers_probe"))
		return fake_probe(fake, text);
	if (n == 6 && !strcmp(part[3], "drivers") && !strcmp(part[5], "bind")) {
		char override[HOST_TEXT];

		fake_override(fake, text, override);
		if (*override && strcmp(override, part[4]) != 0)
			return -ENODEV;
		fake_move(fake, text, part[4]);
		return 0;
	}
	if (n == 7 && !strcmp(part[6], "create"))
		return fake_create(fake, part[5], text);
	if (n == 6 && !strcmp(part[5], "remove"))
		return fake_destroy(fake, part[4]);
	fprintf(stderr, "the fake kernel knows no %s\n", path);
	abort();
}

static int fake_open_node(void *arg, const char *path)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(fake_nodes) / sizeof(*fake_nodes); i++) {
		int fd;

		if (strcmp(fake_nodes[i].node, path) != 0)
			continue;
		fd = open(fake_nodes[i].opens, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

/* A NIC on e1000e in group 5, a disk on nvme in group 6, mtty, and the nodes of both ways in. */
__attribute__((unused)) static void fake_machine(struct fake_host *fake)
{
	static const struct fake_function functions[] = {
		{ NIC, 0x8086, 0x10d3, 0x020000, "e1000e", 5, NULL, "dmar0", "flr" },
		{ DISK, 0x1b36, 0x0010, 0x010802, "nvme", 6, NULL, "dmar0", "flr" },
	};

	fake_open(fake);
	fake->host.write = fake_write;
	fake->host.open = fake_open_node;
	fake->host.arg = fake;
	fake_iommu(fake, "dmar0", "intel-iommu", "f00f5a\n");
	fake_add(fake, &functions[0]);
	fake_add(fake, &functions[1]);
	fake_mtty(fake);
	fake_dir(fake, "/sys/bus/pci/drivers/vfio-pci");
	fake_dir(fake, "/sys/devices/virtual/misc/iommu");
	fake_link(fake, "/sys/dev/char/1:8", "/sys/devices/virtual/misc/iommu");
	fake_dir(fake, "/sys/devices/virtual/vfio/5");
	fake_link(fake, "/sys/dev/char/1:9", "/sys/devices/virtual/vfio/5");
}

#endif
