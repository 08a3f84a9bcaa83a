/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /iommu and /devices across keys: every name in its one spelling, so that a device that is written
 * in two ways is seen to be there twice, and what does not go together is refused. What only the
 * host knows (which device a cdev or a descriptor is) is checked where the devices are opened.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/name.h"
#include "util/json-strict.h"
#include "vmm/config-draft.h"

/* Puts *text into its one spelling. */
static int respell(char **text, const char *spelling, struct err *err)
{
	char *copy = strdup(spelling);

	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	free(*text);
	*text = copy;
	return 0;
}

static int settle_path(struct config_device *device, size_t i, struct err *err)
{
	static const enum config_source sources[] = {
		[HOST_FUNCTION] = SOURCE_FUNCTION,
		[HOST_MDEV] = SOURCE_MDEV,
		[HOST_CDEV] = SOURCE_CDEV,
	};
	struct host_name name;
	char shown[96];

	if (!host_name_parse(&name, device->path)) {
		device->source = sources[name.kind];
		return respell(&device->path, name.text, err);
	}
	json_printable(shown, sizeof(shown), device->path);
	if (host_is_group_node(device->path))
		return err_set(err, EINVAL,
			       "/devices/%zu/path: %s is a group, which may hold several devices; "
			       "name the device by its BDF or UUID and set \"via\": \"group\"",
			       i, shown);
	return err_set(err, EINVAL,
		       "/devices/%zu/path: \"%s\" names no device; it must be a BDF "
		       "(0000:3b:00.0), an mdev's UUID, a path under /sys that ends in one of "
		       "them, or /dev/vfio/devices/vfioN",
		       i, shown);
}

static int settle_uuid(char **uuid, size_t i, const char *key, struct err *err)
{
	char spelling[HOST_NAME_CHARS + 1], shown[96];

	if (!*uuid)
		return 0;
	if (!host_uuid_parse(spelling, *uuid))
		return respell(uuid, spelling, err);
	json_printable(shown, sizeof(shown), *uuid);
	return err_set(err, EINVAL,
		       "/devices/%zu/%s: \"%s\" is no UUID; it must be 32 hex digits as "
		       "8-4-4-4-12",
		       i, key, shown);
}

static int settle_parent(struct config_device *device, size_t i, struct err *err)
{
	const char *part = device->mdev.parent;
	char shown[96];

	if (!strncmp(part, "/sys/", 5))
		part = strrchr(part, '/') + 1;
	if (host_part_is_sane(part))
		return respell(&device->mdev.parent, part, err);
	json_printable(shown, sizeof(shown), device->mdev.parent);
	return err_set(err, EINVAL,
		       "/devices/%zu/mdev/parent: \"%s\" names no parent; it must be a name under "
		       "/sys/class/mdev_bus, or a path under /sys that ends in one",
		       i, shown);
}

static int settle_mdev(struct config_device *device, size_t i, struct err *err)
{
	int ret;

	if (device->path || device->fd)
		return err_set(err, EINVAL,
			       "/devices/%zu/mdev: makes a new device, so it does not go with "
			       "\"%s\"; remove one of them",
			       i, device->path ? "path" : "fd");
	if (!device->mdev.type || !device->mdev.parent)
		return err_set(err, EINVAL,
			       "/devices/%zu/mdev/%s: is missing; a new mdev needs its type and "
			       "its parent",
			       i, device->mdev.type ? "parent" : "type");
	device->source = SOURCE_NEW_MDEV;
	ret = settle_parent(device, i, err);
	return ret ? ret : settle_uuid(&device->mdev.uuid, i, "mdev/uuid", err);
}

/* Keys that belong to one kind of device are refused on others, not ignored. */
static int check_together(const struct config_device *device, size_t i, struct err *err)
{
	if (device->managed && device->source != SOURCE_FUNCTION)
		return err_set(err, EINVAL,
			       "/devices/%zu/managed: only a function that is named by its BDF can "
			       "be taken from a host driver; remove it",
			       i);
	if (device->managed && device->fd)
		return err_set(err, EINVAL,
			       "/devices/%zu/managed: a function that is handed over with \"fd\" "
			       "has left its host driver already; remove it",
			       i);
	if (device->behind_iommu)
		return err_set(err, EINVAL,
			       "/devices/%zu/iommu: adit gives the guest no virtual IOMMU; set "
			       "false or remove it",
			       i);
	if (device->unsafe_stale_reads && device->coherency != COHERENCY_DENY)
		return err_set(err, EINVAL,
			       "/devices/%zu/unsafe_stale_reads: goes only with \"coherency\": "
			       "\"deny\"; remove it or set that",
			       i);
	if (device->vf_token && device->source != SOURCE_FUNCTION && !device->fd)
		return err_set(err, EINVAL,
			       "/devices/%zu/vf_token: only a VF has a token; remove it", i);
	if (device->via == VIA_GROUP && device->source == SOURCE_CDEV)
		return err_set(err, EINVAL,
			       "/devices/%zu/via: \"group\" does not go with the path of a cdev; "
			       "name the device by its BDF or UUID",
			       i);
	if (device->via == VIA_GROUP && device->fd && !device->path)
		return err_set(err, EINVAL,
			       "/devices/%zu/path: is missing; a group's descriptor does not say "
			       "which of its devices is meant",
			       i);
	return 0;
}

static int settle_id(struct config *config, size_t i, struct err *err)
{
	struct config_device *device = &config->devices[i];
	char id[CONFIG_ID_MAX + 1];

	if (!device->id) {
		snprintf(id, sizeof(id), "device%zu", i);
		device->id = strdup(id);
		if (!device->id)
			return err_set(err, ENOMEM, "out of memory");
	}
	for (size_t j = 0; j < config->n_adis; j++) {
		if (!strcmp(device->id, config->adis[j].id))
			return err_set(err, EINVAL,
				       "/devices/%zu/id: \"%s\" is the name of /adis/%zu already; "
				       "choose another",
				       i, device->id, j);
	}
	for (size_t j = 0; j < i; j++) {
		if (!strcmp(device->id, config->devices[j].id))
			return err_set(err, EINVAL,
				       "/devices/%zu/id: \"%s\" is the name of /devices/%zu "
				       "already; choose another",
				       i, device->id, j);
	}
	return 0;
}

/* The device's name, whether it is there already or made with it. */
static const char *name_of(const struct config_device *device)
{
	return device->path ? device->path : device->mdev.uuid;
}

static int check_once(const struct config *config, size_t i, struct err *err)
{
	const struct config_device *device = &config->devices[i];
	const char *name = name_of(device);

	for (size_t j = 0; j < i; j++) {
		const struct config_device *other = &config->devices[j];
		const char *its = name_of(other);

		if (name && its && !strcmp(name, its))
			return err_set(err, EINVAL,
				       "/devices/%zu/%s: %s is the device of /devices/%zu "
				       "already; remove one",
				       i, device->path ? "path" : "mdev/uuid", name, j);
		/* Devices of one group may share its descriptor, which they then name. */
		if (device->fd && device->fd == other->fd &&
		    (!device->path || !other->path || device->via == VIA_CDEV ||
		     other->via == VIA_CDEV))
			return err_set(err, EINVAL,
				       "/devices/%zu/fd: %u is the descriptor of /devices/%zu "
				       "already; only devices of one group share one, each with "
				       "its \"path\"",
				       i, device->fd, j);
	}
	if (device->fd && device->fd == config->iommu.fd)
		return err_set(err, EINVAL,
			       "/devices/%zu/fd: %u is /iommu/fd already; a device has a "
			       "descriptor of its own",
			       i, device->fd);
	return 0;
}

/* A served device has nothing of the host's. */
static int check_socket(const struct config *config, size_t i, struct err *err)
{
	const struct config_device *device = &config->devices[i];

	if (device->path || device->fd || device->mdev.type || device->mdev.parent ||
	    device->mdev.uuid || device->vf_token || device->managed || device->rom ||
	    device->behind_iommu || device->allow_no_reset || device->unsafe_stale_reads ||
	    device->via != VIA_AUTO || device->coherency != COHERENCY_AUTO)
		return err_set(err, EINVAL,
			       "/devices/%zu/socket: goes only with \"id\" and \"share\"; remove "
			       "the keys of host devices",
			       i);
	if (device->share == SHARE_MEMORY && !config->memory.shared)
		return err_set(err, EINVAL,
			       "/devices/%zu/share: \"memory\" needs memory that others can map; "
			       "remove \"shared\": false from /memory, or share by \"messages\"",
			       i);
	for (size_t j = 0; j < i; j++) {
		if (config->devices[j].socket && !strcmp(device->socket, config->devices[j].socket))
			return err_set(err, EINVAL,
				       "/devices/%zu/socket: is that of /devices/%zu already; a "
				       "connection is one device's",
				       i, j);
	}
	return 0;
}

/* Served devices into a list of their own: what handles devices of the host never sees one. */
static int part_user_devices(struct config *config, struct err *err)
{
	uint32_t index = 0;
	size_t kept = 0;

	config->user_devices = calloc(config->n_devices + 1, sizeof(*config->user_devices));
	if (!config->user_devices)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < config->n_devices; i++) {
		struct config_device *device = &config->devices[i];

		if (device->socket) {
			config->user_devices[config->n_user_devices++] =
				(struct config_user_device){ .id = device->id,
							     .socket = device->socket,
							     .share = device->share,
							     .slot = device->slot };
		} else {
			device->keeper_index = device->fd ? CONFIG_NOT_KEPT : index++;
			config->devices[kept++] = *device;
		}
	}
	config->n_devices = kept;
	return 0;
}

static int settle_device(struct config *config, size_t i, struct err *err)
{
	struct config_device *device = &config->devices[i];
	int ret = settle_id(config, i, err);

	if (ret)
		return ret;
	if (device->socket)
		return check_socket(config, i, err);
	if (device->share != SHARE_MESSAGES)
		return err_set(err, EINVAL,
			       "/devices/%zu/share: goes only with \"socket\"; remove it", i);
	if (device->mdev.type || device->mdev.parent || device->mdev.uuid) {
		ret = settle_mdev(device, i, err);
	} else if (device->path) {
		ret = settle_path(device, i, err);
	} else if (device->fd) {
		device->source = SOURCE_DESCRIPTOR;
	} else {
		return err_set(err, EINVAL,
			       "/devices/%zu: names no device; it needs \"path\", \"fd\" or "
			       "\"mdev\"",
			       i);
	}
	if (!ret)
		ret = settle_uuid(&device->vf_token, i, "vf_token", err);
	if (!ret)
		ret = check_together(device, i, err);
	return ret ? ret : check_once(config, i, err);
}

static bool has_host_device(const struct config *config)
{
	for (size_t i = 0; i < config->n_devices; i++) {
		if (!config->devices[i].socket)
			return true;
	}
	return false;
}

static int check_iommu(const struct config *config, struct err *err)
{
	if (config->iommu.fd && config->iommu.node)
		return err_set(err, EINVAL,
			       "/iommu/fd: does not go with \"node\"; remove one of them");
	if (config->iommu.provider == PROVIDER_SOFT && (config->iommu.fd || config->iommu.node))
		return err_set(err, EINVAL,
			       "/iommu/%s: the provider \"soft\" opens no node; remove it",
			       config->iommu.fd ? "fd" : "node");
	if (config->iommu.provider == PROVIDER_SOFT && has_host_device(config))
		return err_set(err, EINVAL,
			       "/iommu/provider: \"soft\" is a model and drives no host device; "
			       "/devices need \"iommufd\", \"type1\" or \"auto\"");
	for (size_t i = 0; i < config->n_devices; i++) {
		if (config->iommu.provider == PROVIDER_TYPE1 &&
		    (config->devices[i].via == VIA_CDEV ||
		     config->devices[i].source == SOURCE_CDEV))
			return err_set(err, EINVAL,
				       "/devices/%zu/%s: a VFIO cdev needs iommufd, but "
				       "/iommu/provider is \"type1\"; change one of them",
				       i, config->devices[i].via == VIA_CDEV ? "via" : "path");
	}
	return 0;
}

int config_settle_devices(struct config *config, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->n_devices && !ret; i++)
		ret = settle_device(config, i, err);
	if (!ret)
		ret = check_iommu(config, err);
	return ret ? ret : part_user_devices(config, err);
}
