/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/node.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct target {
	struct host_name device;
	char cdev[HOST_TEXT];
	int group;
};

static int refuse_open(struct err *err, const char *path, int error)
{
	switch (error) {
	case EBUSY:
		return err_set(
			err, EBUSY,
			"%s: is in use already, by this or another VM; stop that one or name "
			"another device",
			path);
	case EACCES:
	case EPERM:
		return err_set(err, error,
			       "%s: may not be opened by user %u; start adit as root, give that "
			       "user the node, or hand its descriptor over",
			       path, (unsigned int)geteuid());
	case ENOENT:
	case ENXIO:
		return err_set(err, error, "%s: is not there; 'modprobe vfio-pci iommufd' makes it",
			       path);
	default:
		errno = error;
		return err_set(err, error, "%s: cannot be opened: %m", path);
	}
}

/* A cdev's number in sysfs says which device it belongs to. */
static int find_cdev(const struct host *host, const char *node, struct host_identity *out,
		     struct err *err)
{
	const char *name = strrchr(node, '/') + 1;
	char number[32];
	unsigned int major, minor;

	if (sysfs_read(host, number, sizeof(number), "/sys/class/vfio-dev/%s/dev", name) ||
	    sscanf(number, "%u:%u", &major, &minor) != 2)
		return err_set(err, ENODEV, "%s: there is no such VFIO device on this host", node);
	return host_identify_number(host, major, minor, out, err);
}

static int find_function(const struct host *host, struct target *target, const char *const *with,
			 size_t n_with, struct err *err)
{
	struct host_function function;
	int ret = host_function_look(host, target->device.text, &function);

	if (ret)
		return err_set(err, -ret, "%s: there is no such PCI function on this host",
			       target->device.text);
	ret = host_function_check(host, &function, false, with, n_with, err);
	memcpy(target->cdev, function.cdev, sizeof(target->cdev));
	target->group = function.group;
	return ret;
}

static int find_mdev(const struct host *host, struct target *target, struct err *err)
{
	struct host_mdev mdev;
	int ret = host_mdev_read(host, target->device.text, &mdev);

	if (ret)
		return err_set(err, -ret,
			       "%s: there is no such mdev on this host; make one, or let adit make "
			       "it with \"mdev\"",
			       target->device.text);
	memcpy(target->cdev, mdev.cdev, sizeof(target->cdev));
	target->group = mdev.group;
	if (!*target->cdev && target->group == HOST_NO_GROUP)
		return err_set(err, ENXIO,
			       "%s: no driver of VFIO's has it; 'modprobe vfio-mdev' or the "
			       "parent's own",
			       target->device.text);
	return 0;
}

static int find(const struct host *host, const struct host_name *name, struct target *target,
		const char *const *with, size_t n_with, struct err *err)
{
	struct host_identity identity;
	int ret;

	*target = (struct target){ .device = *name, .group = HOST_NO_GROUP };
	if (name->kind == HOST_CDEV) {
		ret = find_cdev(host, name->text, &identity, err);
		if (ret)
			return ret;
		target->device = identity.device;
	}
	if (target->device.kind == HOST_MDEV)
		return find_mdev(host, target, err);
	return find_function(host, target, with, n_with, err);
}

int host_find_device(const struct host *host, const struct host_name *name, enum host_way way,
		     const char *const *with, size_t n_with, struct host_found *out,
		     struct err *err)
{
	struct target target;
	int ret = find(host, name, &target, with, n_with, err);

	*out = (struct host_found){ .group = HOST_NO_GROUP };
	if (ret)
		return ret;
	out->device = target.device;
	out->group = target.group;
	out->by_group = way == HOST_WAY_GROUP || (way == HOST_WAY_AUTO && !*target.cdev);
	if (!out->by_group && !*target.cdev)
		return err_set(err, ENOTSUP,
			       "%s: has no VFIO cdev; this kernel lacks CONFIG_VFIO_DEVICE_CDEV: "
			       "set \"via\": \"group\" or \"auto\"",
			       target.device.text);
	if (out->by_group && target.group == HOST_NO_GROUP)
		return err_set(err, ENXIO, "%s: is in no IOMMU group that could be opened",
			       target.device.text);
	if (out->by_group)
		snprintf(out->path, sizeof(out->path), "/dev/vfio/%d", target.group);
	else
		snprintf(out->path, sizeof(out->path), "/dev/vfio/devices/%s", target.cdev);
	return 0;
}

/* Nodes are numbered anew when devices come and go: the descriptor itself must say who it is. */
static int prove(const struct host *host, const struct host_found *found, int fd, struct err *err)
{
	struct host_identity identity;
	int ret = host_identify(host, fd, &identity, err);

	if (ret)
		return err_prefix(err, "%s", found->path);
	if (found->by_group ? identity.node == HOST_NODE_GROUP && identity.group == found->group
			    : identity.node == HOST_NODE_CDEV &&
				      !strcmp(identity.device.text, found->device.text))
		return 0;
	return err_set(err, ESTALE, "%s: is another device than %s by now; try again", found->path,
		       found->device.text);
}

int host_open_found(const struct host *host, const struct host_found *found, struct err *err)
{
	int fd = sysfs_open_node(host, found->path), ret;

	if (fd < 0)
		return refuse_open(err, found->path, -fd);
	ret = prove(host, found, fd, err);
	if (ret)
		close(fd);
	return ret ? ret : fd;
}

int host_open_iommu(const struct host *host, const char *node, bool container, struct err *err)
{
	const enum host_node want = container ? HOST_NODE_CONTAINER : HOST_NODE_IOMMU;
	struct host_identity identity;
	int fd, ret;

	if (!node)
		node = container			   ? "/dev/vfio/vfio"
		       : sysfs_exists(host, "/dev/ioasid") ? "/dev/ioasid"
							   : "/dev/iommu";
	fd = sysfs_open_node(host, node);
	if (fd < 0)
		return refuse_open(err, node, -fd);
	ret = host_identify(host, fd, &identity, err);
	if (ret)
		err_prefix(err, "%s", node);
	else if (identity.node != want)
		ret = err_set(err, ENOTTY, "%s: is not %s", node,
			      container ? "VFIO's container" : "an iommufd node");
	if (ret)
		close(fd);
	return ret ? ret : fd;
}
