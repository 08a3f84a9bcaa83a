/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/user-devices.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/client.h"
#include "passthrough/vfio/vfio.h"
#include "util/loop.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/layout.h"
#include "vmm/ram.h"

_Static_assert(LAYOUT_MAX_RAM <= VFU_CLIENT_RANGES, "all of RAM can be shared");

struct user_device {
	struct user_devices *all;
	const char *id; /* the configuration's characters */
	struct vfu_client *client;
	struct pci_function *function; /* on the bus */
	bool lost;		       /* atomic: its server is gone */
};

struct user_devices {
	struct vm *vm;
	struct devices_place place;
	const struct log *log;
	/* Changed by the thread that makes machines alone; others look under the lock. */
	pthread_mutex_t lock;
	size_t n;
	struct user_device *device[CONFIG_MAX_DEVICES];
};

/* Off the bus first: the function's last words go to the server, if there is one. */
static void drop(struct user_device *device)
{
	if (device->function)
		pci_bus_remove(device->all->place.bus, device->function);
	device->function = NULL;
	vfu_client_destroy(device->client);
	device->client = NULL;
}

/* On a thread of the connection's, which may not take it apart. */
static void on_gone(void *opaque)
{
	struct user_device *device = opaque;
	const struct devices_place *place = &device->all->place;

	__atomic_store_n(&device->lost, true, __ATOMIC_SEQ_CST);
	place->wake(place->wake_arg);
}

static int connect_device(struct user_device *device, const struct config_user_device *config,
			  struct err *err)
{
	const struct devices_place *place = &device->all->place;
	const struct layout *layout = place->layout;
	struct vfu_client_options options = {
		.name = device->id,
		.socket = config->socket,
		.messages = config->share == SHARE_MESSAGES,
		.n_shared = layout->n_ram,
		.log = device->all->log,
		.sandbox = place->sandbox,
		.gone = on_gone,
		.opaque = device,
	};

	if (!options.messages && place->ram->fd < 0)
		return err_set(
			err, EOPNOTSUPP,
			"%s: the memory of a VM that goes on from a snapshot has no descriptor "
			"to be shared: \"share\": \"messages\" needs none",
			device->id);
	for (unsigned int i = 0; i < layout->n_ram; i++) {
		const struct layout_ram *r = &layout->ram[i];

		options.shared[i] = (struct vfu_shared){
			.iova = r->gpa,
			.size = r->size,
			.hva = (char *)place->ram->base + r->offset,
			.fd = place->ram->fd,
			.fd_offset = r->offset,
		};
	}
	return vfu_client_create(&device->client, &options, err);
}

static int add_device(struct user_device *device, const struct config_user_device *config,
		      struct err *err)
{
	const struct devices_place *place = &device->all->place;
	struct vfio_options options = {
		.name = device->id,
		.fd = -1,
		.loop = place->loop,
		.log = device->all->log,
	};
	struct vfio_function *function;
	int ret = connect_device(device, config, err);

	if (ret)
		return ret;
	options.sys = vfu_client_sys(device->client);
	ret = vfio_function_create(&function, device->all->vm, &options, err);
	if (ret)
		return ret;
	ret = pci_bus_add(place->bus, vfio_function_pci(function), -1, err);
	if (ret) {
		pci_function_destroy(vfio_function_pci(function));
		return ret;
	}
	device->function = vfio_function_pci(function);
	log_line(device->all->log, LOG_INFO, "vfio-user", "%s: from %s, guest memory shared %s",
		 device->id, config->socket,
		 config->share == SHARE_MESSAGES ? "by messages" : "as descriptors");
	return 0;
}

int user_devices_plug(struct user_devices *devices, const struct config_user_device *config,
		      struct err *err)
{
	struct user_device *device;
	int ret;

	if (devices->n == CONFIG_MAX_DEVICES)
		return err_set(err, ENOSPC, "%s: a VM has at most %u served devices", config->id,
			       CONFIG_MAX_DEVICES);
	device = calloc(1, sizeof(*device));
	if (!device)
		return err_set(err, ENOMEM, "%s: no memory for a device", config->id);
	device->all = devices;
	device->id = config->id;
	ret = add_device(device, config, err);
	if (ret) {
		drop(device);
		free(device);
		return ret;
	}
	pthread_mutex_lock(&devices->lock);
	devices->device[devices->n++] = device;
	pthread_mutex_unlock(&devices->lock);
	return 0;
}

int user_devices_create(struct user_devices **out, const struct config *config, struct vm *vm,
			const struct devices_place *place, const struct log *log, struct err *err)
{
	struct user_devices *devices = calloc(1, sizeof(*devices));
	int ret = 0;

	*out = NULL;
	if (!devices)
		return err_set(err, ENOMEM, "no memory for the devices");
	*devices = (struct user_devices){ .vm = vm, .place = *place, .log = log };
	pthread_mutex_init(&devices->lock, NULL);
	for (size_t i = 0; i < config->n_user_devices && !ret; i++)
		ret = user_devices_plug(devices, &config->user_devices[i], err);
	if (ret) {
		user_devices_destroy(devices);
		return ret;
	}
	*out = devices;
	return 0;
}

void user_devices_destroy(struct user_devices *devices)
{
	if (!devices)
		return;
	for (size_t i = 0; i < devices->n; i++) {
		drop(devices->device[i]);
		free(devices->device[i]);
	}
	pthread_mutex_destroy(&devices->lock);
	free(devices);
}

unsigned int user_devices_slot(struct user_devices *devices, const char *id)
{
	unsigned int slot = 0;

	pthread_mutex_lock(&devices->lock);
	for (size_t i = 0; i < devices->n; i++) {
		if (!strcmp(devices->device[i]->id, id))
			slot = pci_function_slot(devices->device[i]->function);
	}
	pthread_mutex_unlock(&devices->lock);
	return slot;
}

bool user_devices_in(struct user_devices *devices, unsigned int slot, char *id, size_t size)
{
	for (size_t i = 0; i < devices->n; i++) {
		if (pci_function_slot(devices->device[i]->function) != slot)
			continue;
		snprintf(id, size, "%s", devices->device[i]->id);
		return true;
	}
	return false;
}

bool user_devices_lost(struct user_devices *devices, char *id, size_t size)
{
	for (size_t i = 0; i < devices->n; i++) {
		if (!__atomic_load_n(&devices->device[i]->lost, __ATOMIC_SEQ_CST))
			continue;
		snprintf(id, size, "%s", devices->device[i]->id);
		return true;
	}
	return false;
}

bool user_devices_remove(struct user_devices *devices, const char *id)
{
	struct user_device *device = NULL;

	pthread_mutex_lock(&devices->lock);
	for (size_t i = 0; i < devices->n && !device; i++) {
		if (strcmp(devices->device[i]->id, id) != 0)
			continue;
		device = devices->device[i];
		devices->device[i] = devices->device[--devices->n];
	}
	pthread_mutex_unlock(&devices->lock);
	if (!device)
		return false;
	if (device->lost)
		log_line(devices->log, LOG_ERROR, "vfio-user",
			 "%s: its server is gone: the device is removed", id);
	drop(device);
	free(device);
	return true;
}
