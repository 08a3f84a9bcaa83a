/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an open descriptor is: the number of its device node leads through /sys/dev/char to the
 * device itself. A claim about it is compared with this and never believed.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "keeper/host.h"

/* Cuts the last part off `path` and returns it; "" where there is none. */
static char *cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return "";
	*slash = 0;
	return slash + 1;
}

static int group_number(const char *text)
{
	/* VFIO names groups of its no-IOMMU mode otherwise: those are no groups. */
	if (!*text || text[strspn(text, "0123456789")])
		return HOST_NO_GROUP;
	return (int)strtol(text, NULL, 10);
}

/* "<device>/vfio-dev/vfio3": the device's directory is named by its BDF or UUID. */
static int identify_cdev(const struct host *host, const char *device, struct host_identity *out,
			 struct err *err)
{
	char path[PATH_MAX + 8], group[HOST_TEXT];

	memcpy(path, device, strlen(device) + 1);
	memcpy(path + strlen(path), "/.", 3);
	if (strncmp(path, "/sys/", 5) != 0 || host_name_parse(&out->device, device))
		return err_set(err, ENOTTY,
			       "the descriptor is a VFIO device that is neither a PCI function nor "
			       "an mdev (%s)",
			       device);
	out->node = HOST_NODE_CDEV;
	if (!sysfs_link(host, group, sizeof(group), "%s/iommu_group", device))
		out->group = group_number(group);
	return 0;
}

int host_identify_number(const struct host *host, unsigned int major, unsigned int minor,
			 struct host_identity *out, struct err *err)
{
	char path[PATH_MAX], *name, *class;

	*out = (struct host_identity){ .node = HOST_NODE_OTHER, .group = HOST_NO_GROUP };
	if (sysfs_real(host, path, "/sys/dev/char/%u:%u", major, minor))
		return err_set(err, ENOTTY,
			       "the descriptor is character device %u:%u, which sysfs does not "
			       "know; is it from another host or container?",
			       major, minor);
	name = cut(path);
	class = cut(path);
	if (!strcmp(class, "vfio-dev"))
		return identify_cdev(host, path, out, err);
	if (!strcmp(class, "vfio")) {
		out->node = HOST_NODE_GROUP;
		out->group = group_number(name);
	} else if (!strcmp(class, "misc")) {
		if (!strcmp(name, "vfio"))
			out->node = HOST_NODE_CONTAINER;
		else if (!strcmp(name, "iommu") || !strcmp(name, "ioasid"))
			out->node = HOST_NODE_IOMMU;
	}
	return 0;
}

int host_identify(const struct host *host, int fd, struct host_identity *out, struct err *err)
{
	struct stat st;

	*out = (struct host_identity){ .node = HOST_NODE_OTHER, .group = HOST_NO_GROUP };
	if (fstat(fd, &st))
		return err_set(err, errno, "descriptor %d is not open", fd);
	if (!S_ISCHR(st.st_mode))
		return err_set(
			err, ENOTTY,
			"descriptor %d is no character device; it must be an open VFIO cdev, "
			"group or /dev/iommu",
			fd);
	return host_identify_number(host, major(st.st_rdev), minor(st.st_rdev), out, err);
}
