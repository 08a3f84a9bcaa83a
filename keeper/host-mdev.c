/* SPDX-License-Identifier: Apache-2.0 */
/* Mediated devices: the types that parents offer, and the mdevs that are there. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/host.h"

#define TYPE "/sys/class/mdev_bus/%s/mdev_supported_types/%s"
#define MDEV "/sys/bus/mdev/devices/%s"

int host_mdev_type_read(const struct host *host, const char *parent, const char *type,
			struct host_mdev_type *out)
{
	memset(out, 0, sizeof(*out));
	if (!host_part_is_sane(parent) || !host_part_is_sane(type) ||
	    !sysfs_exists(host, TYPE, parent, type))
		return -ENODEV;
	memcpy(out->parent, parent, strlen(parent) + 1);
	memcpy(out->type, type, strlen(type) + 1);
	sysfs_read(host, out->name, sizeof(out->name), TYPE "/name", parent, type);
	sysfs_read(host, out->api, sizeof(out->api), TYPE "/device_api", parent, type);
	out->available = (uint32_t)sysfs_number(host, TYPE "/available_instances", parent, type);
	return 0;
}

int host_mdev_read(const struct host *host, const char *uuid, struct host_mdev *out)
{
	char name[HOST_NAME_CHARS + 1], path[PATH_MAX], group[HOST_TEXT], *last;
	struct sysfs_names names;

	memset(out, 0, sizeof(*out));
	if (host_uuid_parse(name, uuid) || sysfs_real(host, path, MDEV, name))
		return -ENODEV;
	memcpy(out->uuid, name, sizeof(out->uuid));
	/* ".../mtty/mtty/UUID": its parent is the directory that it is in. */
	last = strrchr(path, '/');
	*last = 0;
	last = strrchr(path, '/');
	if (last && host_part_is_sane(last + 1))
		memcpy(out->parent, last + 1, strlen(last + 1) + 1);
	sysfs_link(host, out->type, sizeof(out->type), MDEV "/mdev_type", name);
	out->group = HOST_NO_GROUP;
	if (!sysfs_link(host, group, sizeof(group), MDEV "/iommu_group", name) && *group &&
	    !group[strspn(group, "0123456789")])
		out->group = (int)strtol(group, NULL, 10);
	if (!sysfs_list(host, &names, MDEV "/vfio-dev", name) && names.n &&
	    strlen(names.name[0]) < sizeof(out->cdev) &&
	    sysfs_exists(host, MDEV "/vfio-dev/%s/dev", name, names.name[0]))
		memcpy(out->cdev, names.name[0], strlen(names.name[0]) + 1);
	sysfs_names_free(&names);
	return 0;
}
