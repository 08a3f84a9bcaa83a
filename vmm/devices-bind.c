/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding: KVM is told of a device or its group, and the kernel opens and resets it. Side by side,
 * but for those of one group.
 */
#include "vmm/devices-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ioasid-client/ioasid.h"
#include "keeper/client.h"
#include "kvm-glue/coherency.h"
#include "util/parallel.h"
#include "vmm/config.h"
#include "vmm/device-node.h"

const struct device_node *devices_same_group(const struct devices *devices, size_t i)
{
	const struct device_node *node = &devices->device[i]->node;

	for (size_t j = 0; node->group && node->number >= 0 && j < i; j++) {
		if (devices->device[j]->node.number == node->number)
			return &devices->device[j]->node;
	}
	return NULL;
}

bool device_is_mdev(const struct device *device)
{
	return strlen(device->node.name) == HOST_UUID_CHARS;
}

static bool policy_tells(const struct config_device *config)
{
	return config->coherency != COHERENCY_DENY;
}

static bool group_is_told(const struct device *device)
{
	const struct devices *all = device->all;

	for (size_t i = 0; device->node.group && i < all->n; i++) {
		const struct device *other = all->device[i];

		if (other->told && other->node.number == device->node.number)
			return true;
	}
	return false;
}

static int tell_kvm(struct device *device, struct err *err)
{
	struct devices *all = device->all;
	int ret = 0;

	if (!policy_tells(&device->config) || group_is_told(device))
		return 0;
	if (!all->coherency)
		ret = coherency_open(&all->coherency, all->vm, err);
	if (!ret)
		ret = coherency_tell(all->coherency, device->node.fd, err);
	device->told = !ret;
	return ret;
}

/*
 * Before the device is opened, for its driver looks for KVM at that moment. On any of the threads
 * that bind.
 */
static int on_joined(void *opaque, struct err *err)
{
	struct device *device = opaque;
	int ret;

	pthread_mutex_lock(&device->all->telling);
	ret = tell_kvm(device, err);
	pthread_mutex_unlock(&device->all->telling);
	return ret;
}

/* Another device of the same opened group, whose descriptor is the same file to the kernel. */
static struct device *fellow(const struct device *device)
{
	struct devices *all = device->all;

	for (size_t i = 0; device->node.group && i < all->n; i++) {
		struct device *other = all->device[i];

		if (other != device && other->bound && other->node.number == device->node.number)
			return other;
	}
	return NULL;
}

/* KVM forgets a group with its last device. */
void device_forget(struct device *device)
{
	struct device *heir = device->told ? fellow(device) : NULL;

	if (heir) {
		heir->told = true;
		device->told = false;
		return;
	}
	if (device->told && coherency_forget(device->all->coherency, device->node.fd, NULL))
		log_line(device->all->log, LOG_WARN, "vfio", "%s: KVM does not forget it",
			 device->config.id);
	device->told = false;
}

static int check_claim(const struct device *device, struct err *err)
{
	const struct config_device *config = &device->config;
	struct ioasid_device_info info;

	if (!config->fd || (config->source != SOURCE_FUNCTION && config->source != SOURCE_MDEV))
		return 0;
	ioasid_device_info(device->bound, &info);
	if (!strcmp(info.name, config->path))
		return 0;
	return err_set(err, EINVAL, "%s: descriptor %u is %s and not %s", config->id, config->fd,
		       info.name, config->path);
}

int devices_explain_deny(const struct device *device, struct err *err)
{
	const struct err said = *err;

	if (policy_tells(&device->config) || !device_is_mdev(device))
		return -said.code;
	return err_set(err, said.code,
		       "%s; KVM was not told of it, and the driver of this mdev may not open "
		       "without: use 'auto' instead of 'deny'",
		       said.text);
}

int device_bind(struct device *device, struct err *err)
{
	struct ioasid_source source = {
		.type = IOASID_SOURCE_CDEV,
		.vf_token = device->config.vf_token,
	};

	if (device->node.group) {
		source.type = IOASID_SOURCE_GROUP;
		source.group.fd = device->node.fd;
		source.group.name = device->node.name;
		source.group.together = true; /* all of a VM reach its memory and nothing else */
		source.group.joined = on_joined;
		source.group.opaque = device;
	} else {
		source.cdev.fd = device->node.fd;
		if (on_joined(device, err))
			return err_prefix(err, "%s", device->config.id);
	}
	if (ioasid_bind(device->all->ctx, &source, device->config.id, &device->bound, err))
		return devices_explain_deny(device, err);
	device->node.taken = true;
	return check_claim(device, err);
}

/* A device by itself, or those of one group, which the kernel opens one after the other. */
struct binding {
	struct device *first;
	struct err err; /* of the first that failed */
};

static void bind_one_group(void *arg, uint64_t part)
{
	struct binding *binding = (struct binding *)arg + part;
	const struct devices *all = binding->first->all;
	const struct device_node *node = &binding->first->node;

	for (size_t i = 0; i < all->n && !binding->err.code; i++) {
		struct device *device = all->device[i];

		if (device == binding->first ||
		    (node->group && device->node.number == node->number))
			device_bind(device, &binding->err);
	}
}

struct bindings {
	struct parallel *threads;
	size_t n;
	struct binding each[CONFIG_MAX_DEVICES];
};

int devices_bind_start(struct devices *devices, struct err *err)
{
	struct bindings *bindings;

	if (!devices->n)
		return 0;
	bindings = calloc(1, sizeof(*bindings));
	if (bindings) {
		for (size_t i = 0; i < devices->n; i++) {
			if (!devices_same_group(devices, i))
				bindings->each[bindings->n++].first = devices->device[i];
		}
		bindings->threads = parallel_new(bindings->n, bind_one_group, bindings->each);
	}
	if (!bindings || !bindings->threads) {
		free(bindings);
		return err_set(err, ENOMEM, "no memory to bind devices with");
	}
	devices->bindings = bindings;
	/* They wait for resets and not for a CPU: a thread for each. */
	parallel_start(bindings->threads, (unsigned int)bindings->n);
	return 0;
}

int devices_bind_end(struct devices *devices, struct err *err)
{
	struct bindings *bindings = devices->bindings;
	int ret = 0;

	if (!bindings)
		return 0;
	parallel_end(bindings->threads);
	for (size_t i = 0; i < bindings->n && !ret; i++) {
		if (bindings->each[i].err.code) {
			*err = bindings->each[i].err;
			ret = -err->code;
		}
	}
	devices->bindings = NULL;
	free(bindings);
	return ret;
}
