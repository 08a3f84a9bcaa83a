/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device-node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "keeper/client.h"

static const struct host here = { .root = "" };

static const struct host *host_of(const struct device_node_from *from)
{
	return from->host ? from->host : &here;
}

/* How it is asked for; type1 knows groups alone. */
static enum host_way way_of(const struct config *config, const struct config_device *device)
{
	if (device->via == VIA_CDEV)
		return HOST_WAY_CDEV;
	return device->via == VIA_GROUP || config->iommu.provider == PROVIDER_TYPE1 ? HOST_WAY_GROUP
										    : HOST_WAY_AUTO;
}

/* A group's descriptor does not say which of its devices is meant: the group must have that one. */
static int check_group(const struct config_device *device, const struct host *host, int group,
		       struct err *err)
{
	struct host_member members[64];
	size_t n;

	if (group == HOST_NO_GROUP)
		return err_set(err, EPERM,
			       "%s: descriptor %u is a group of VFIO's no-IOMMU mode, in which a "
			       "device reaches all memory; unload vfio-pci and turn "
			       "vfio.enable_unsafe_noiommu_mode off",
			       device->id, device->fd);
	if (!device->path)
		return err_set(
			err, EINVAL,
			"%s: descriptor %u is group %d, which may hold several devices; name "
			"one by \"path\"",
			device->id, device->fd, group);
	if (host_group_members(host, group, members, 64, &n))
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n && i < 64; i++) {
		if (!strcmp(members[i].name, device->path))
			return 0;
	}
	return err_set(err, EINVAL, "%s: descriptor %u is group %d, and %s is not in it",
		       device->id, device->fd, group, device->path);
}

static int check_identity(struct device_node *node, const struct config_device *device,
			  const struct host *host, const struct host_identity *identity,
			  struct err *err)
{
	bool group = identity->node == HOST_NODE_GROUP;

	if (!group && identity->node != HOST_NODE_CDEV)
		return err_set(err, ENOTTY, "%s: descriptor %u is neither a VFIO cdev nor a group",
			       device->id, device->fd);
	if (device->via != VIA_AUTO && (device->via == VIA_GROUP) != group)
		return err_set(err, EINVAL, "%s: descriptor %u is a %s, which \"via\" denies",
			       device->id, device->fd, group ? "group" : "cdev");
	node->group = group;
	node->number = identity->group;
	if (group) {
		memcpy(node->name, device->path ? device->path : "",
		       device->path ? strlen(device->path) + 1 : 1);
		return check_group(device, host, identity->group, err);
	}
	memcpy(node->name, identity->device.text, sizeof(node->name));
	if (!device->path || device->source == SOURCE_CDEV || !strcmp(device->path, node->name))
		return 0;
	return err_set(err, EINVAL, "%s: descriptor %u is %s and not %s", device->id, device->fd,
		       node->name, device->path);
}

static size_t names(const struct config *config, const char **with)
{
	for (size_t i = 0; i < config->n_devices; i++)
		with[i] = config->devices[i].path;
	return config->n_devices;
}

/* Who handed it over may know less of the host than is to be known. */
static int check_function(const struct device_node *node, const struct config *config, size_t i,
			  const struct host *host, struct err *err)
{
	const struct config_device *device = &config->devices[i];
	const char *with[CONFIG_MAX_DEVICES];
	struct host_function function;
	struct host_name name;
	int ret;

	if (!host_name_parse(&name, node->name) && name.kind != HOST_FUNCTION)
		return 0;
	if (host_function_look(host, node->name, &function))
		return err_set(err, ENODEV,
			       "%s: descriptor %u is %s, and sysfs has no such PCI "
			       "function",
			       device->id, device->fd, node->name);
	ret = host_function_check(host, &function, false, with, names(config, with), err);
	return ret ? err_prefix(err, "%s", device->id) : 0;
}

/*
 * A descriptor that was handed over; it is kept for the machine's next life. What a cdev's open
 * file is bound to it stays bound to until it is closed (Linux drivers/vfio/device_cdev.c), so each
 * life has one of its own.
 */
static int open_given(struct device_node *node, const struct config_device *device,
		      const struct device_node_from *from, struct err *err)
{
	const int given = (int)device->fd;
	int again = node->group ? 0 : sysfs_open_again(host_of(from), given);

	if (again < 0 && !from->one_life)
		return err_set(
			err, -again,
			"%s: descriptor %u is a cdev, which the guest has until its first "
			"reset only: user %u may not open its node anew (%s); give that user "
			"the node, or start with --no-reboot",
			device->id, device->fd, (unsigned int)geteuid(), strerror(-again));
	node->once = again < 0;
	node->fd = again > 0 ? again : fcntl(given, F_DUPFD_CLOEXEC, 3);
	if (node->fd < 0)
		return err_set(err, errno, "%s: descriptor %u: %s", device->id, device->fd,
			       strerror(errno));
	return 0;
}

static int find_given(struct device_node *node, const struct config *config, size_t i,
		      const struct device_node_from *from, struct err *err)
{
	const struct config_device *device = &config->devices[i];
	const struct host *host = host_of(from);
	struct host_identity identity;
	int ret = host_identify(host, (int)device->fd, &identity, err);

	if (ret)
		return err_prefix(err, "%s", device->id);
	ret = check_identity(node, device, host, &identity, err);
	if (!ret)
		ret = check_function(node, config, i, host, err);
	return ret ? ret : open_given(node, device, from, err);
}

static int find_here(struct device_node *node, const struct config *config, size_t i,
		     const struct host *host, struct err *err)
{
	const struct config_device *device = &config->devices[i];
	const char *with[CONFIG_MAX_DEVICES];
	struct host_name name;

	if (device->managed || device->source == SOURCE_NEW_MDEV)
		return err_set(err, EPERM,
			       "only adit-keeper can %s, and only root can start it; start adit as "
			       "root, or prepare the device and name it by \"path\"",
			       device->managed ? "take a function from its host driver"
					       : "make an mdev");
	if (host_name_parse(&name, device->path))
		return err_set(err, EINVAL, "%s names no device", device->path);
	return host_find_device(host, &name, way_of(config, device), with, names(config, with),
				&node->found, err);
}

int device_node_find(struct device_node *node, const struct config *config, size_t i,
		     const struct device_node_from *from, struct err *err)
{
	const struct config_device *device = &config->devices[i];
	int ret;

	*node = (struct device_node){ .fd = -1, .number = -1 };
	if (device->fd)
		return find_given(node, config, i, from, err);
	node->keeper = device->keeper_index == CONFIG_NOT_KEPT ? 0 : from->keeper;
	node->index = device->keeper_index;
	ret = node->keeper ? keeper_take(node->keeper, node->index, &node->found, err)
			   : find_here(node, config, i, host_of(from), err);
	if (ret)
		return err_prefix(err, "%s", device->id);
	node->group = node->found.by_group || way_of(config, device) == HOST_WAY_GROUP;
	node->found.by_group = node->group;
	node->number = node->found.group;
	memcpy(node->name, node->found.device.text, sizeof(node->name));
	return 0;
}

int device_node_open(struct device_node *node, const struct device_node *same, const char *id,
		     struct err *err)
{
	struct host_found found;

	if (node->fd >= 0)
		return 0;
	if (same) {
		node->fd = fcntl(same->fd, F_DUPFD_CLOEXEC, 3);
		return node->fd < 0 ? err_set(err, errno, "%s: %s", id, strerror(errno)) : 0;
	}
	if (node->keeper)
		node->fd = keeper_open(node->keeper, node->index,
				       node->group ? HOST_WAY_GROUP : HOST_WAY_CDEV, &found, err);
	else
		node->fd = host_open_found(&here, &node->found, err);
	return node->fd < 0 ? err_prefix(err, "%s", id) : 0;
}

void device_node_close(struct device_node *node)
{
	if (node->fd >= 0 && !node->taken)
		close(node->fd);
	node->fd = -1;
}
