/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device-node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PATH_BYTES 512

/* The directory of the device in sysfs. */
static void sysfs_of(const struct config_device *device, char *out)
{
	snprintf(out, PATH_BYTES, "/sys/bus/%s/devices/%.128s",
		 device->source == SOURCE_MDEV ? "mdev" : "pci", device->path);
}

/* The last part of where a link leads. */
static bool link_name(const char *dir, const char *link, char *out, size_t size)
{
	char path[PATH_BYTES + 32], to[PATH_BYTES];
	const char *last;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, link);
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	last = strrchr(to, '/');
	last = last ? last + 1 : to;
	if (strlen(last) >= size)
		return false;
	memcpy(out, last, strlen(last) + 1);
	return true;
}

/* "vfio3", where VFIO has a node for it. */
static bool cdev_name(const char *dir, char *out, size_t size)
{
	char path[PATH_BYTES + 32];
	bool found = false;
	struct dirent *entry;
	DIR *list;

	snprintf(path, sizeof(path), "%s/vfio-dev", dir);
	list = opendir(path);
	while (list && !found && (entry = readdir(list))) {
		found = !strncmp(entry->d_name, "vfio", 4) && strlen(entry->d_name) < size;
		if (found)
			memcpy(out, entry->d_name, strlen(entry->d_name) + 1);
	}
	if (list)
		closedir(list);
	return found;
}

static int refuse_driver(const struct config_device *device, const char *dir, struct err *err)
{
	char driver[64];

	if (access(dir, F_OK))
		return err_set(err, ENODEV, "%s: there is no %s on this host", device->id,
			       device->path);
	if (device->source != SOURCE_FUNCTION)
		return 0;
	if (!link_name(dir, "driver", driver, sizeof(driver)))
		return err_set(err, ENODEV,
			       "%s: %s has no driver: give it to vfio-pci (write vfio-pci to its "
			       "driver_override and %s to /sys/bus/pci/drivers_probe)",
			       device->id, device->path, device->path);
	if (!strstr(driver, "vfio"))
		return err_set(err, EBUSY,
			       "%s: %s is on its host driver %s: take it from there and give it to "
			       "vfio-pci",
			       device->id, device->path, driver);
	return 0;
}

static int find_group(struct device_node *node, const struct config_device *device, const char *dir,
		      struct err *err)
{
	char number[32];

	if (!link_name(dir, "iommu_group", number, sizeof(number)))
		return err_set(err, ENOTSUP,
			       "%s: %s has no IOMMU group: this host has no IOMMU, or it is off",
			       device->id, device->path);
	node->group = true;
	node->number = atoi(number);
	snprintf(node->path, sizeof(node->path), "/dev/vfio/%d", node->number);
	return 0;
}

static int find_named(struct device_node *node, const struct config_device *device,
		      enum config_provider provider, struct err *err)
{
	char dir[PATH_BYTES], cdev[64];
	bool has_cdev, group;
	int ret;

	sysfs_of(device, dir);
	ret = refuse_driver(device, dir, err);
	if (ret)
		return ret;
	snprintf(node->name, sizeof(node->name), "%s", device->path);
	has_cdev = cdev_name(dir, cdev, sizeof(cdev));
	group = device->via == VIA_GROUP ||
		(device->via == VIA_AUTO && (provider == PROVIDER_TYPE1 || !has_cdev));
	if (group)
		return find_group(node, device, dir, err);
	if (!has_cdev)
		return err_set(err, ENOTSUP,
			       "%s: VFIO has no cdev for %s: this kernel has no "
			       "CONFIG_VFIO_DEVICE_CDEV; use \"via\": \"group\"",
			       device->id, device->path);
	snprintf(node->path, sizeof(node->path), "/dev/vfio/devices/%s", cdev);
	return 0;
}

/* A descriptor that was handed over; it is kept for the machine's next life. */
static int open_given(struct device_node *node, const struct config_device *device, struct err *err)
{
	node->fd = fcntl((int)device->fd, F_DUPFD_CLOEXEC, 3);
	if (node->fd < 0)
		return err_set(err, errno, "%s: descriptor %u: %s", device->id, device->fd,
			       strerror(errno));
	node->group = device->via == VIA_GROUP;
	if (device->path)
		snprintf(node->name, sizeof(node->name), "%s", device->path);
	if (node->group && !*node->name)
		return err_set(err, EINVAL,
			       "%s: a group's descriptor may hold several devices: name one by "
			       "\"path\"",
			       device->id);
	return 0;
}

int device_node_find(struct device_node *node, const struct config_device *device,
		     enum config_provider provider, struct err *err)
{
	*node = (struct device_node){ .fd = -1, .number = -1 };
	if (device->fd)
		return open_given(node, device, err);
	if (device->managed || device->source == SOURCE_NEW_MDEV)
		return err_set(err, EOPNOTSUPP,
			       "%s: only adit-keeper can %s; prepare it yourself and name it by "
			       "\"path\"",
			       device->id,
			       device->managed ? "take a function from its host driver"
					       : "make an mdev");
	if (device->source != SOURCE_CDEV)
		return find_named(node, device, provider, err);
	snprintf(node->path, sizeof(node->path), "%s", device->path);
	return 0;
}

int device_node_open(struct device_node *node, const struct device_node *same, const char *id,
		     struct err *err)
{
	if (node->fd >= 0)
		return 0;
	node->fd =
		same ? fcntl(same->fd, F_DUPFD_CLOEXEC, 3) : open(node->path, O_RDWR | O_CLOEXEC);
	if (node->fd >= 0)
		return 0;
	return err_set(err, errno, "%s: %s: %s%s", id, node->path, strerror(errno),
		       errno == EBUSY ? " (somebody else has it open)" : "");
}

void device_node_close(struct device_node *node)
{
	if (node->fd >= 0 && !node->taken)
		close(node->fd);
	node->fd = -1;
}
