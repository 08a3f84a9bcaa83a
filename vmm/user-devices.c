/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/user-devices.h"

#include <errno.h>
#include <stdlib.h>

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
	const struct config_user_device *config;
	struct vfu_client *client;
	struct pci_function *function; /* on the bus */
	struct loop_work removal;
};

struct user_devices {
	struct pci_bus *bus;
	struct loop *loop;
	const struct log *log;
	size_t n;
	struct user_device device[];
};

/* Off the bus first: the function's last words go to the server, if there is one. */
static void drop(struct user_device *device)
{
	if (device->function)
		pci_bus_remove(device->all->bus, device->function);
	device->function = NULL;
	vfu_client_destroy(device->client);
	device->client = NULL;
}

/* On the loop's thread. */
static void remove_lost(void *arg)
{
	struct user_device *device = arg;

	log_line(device->all->log, LOG_ERROR, "vfio-user",
		 "%s: its server is gone: the device is removed", device->config->id);
	drop(device);
}

static void on_gone(void *opaque)
{
	struct user_device *device = opaque;

	loop_post(device->all->loop, &device->removal);
}

static int connect_device(struct user_device *device, const struct devices_place *place,
			  struct err *err)
{
	const struct layout *layout = place->layout;
	struct vfu_client_options options = {
		.name = device->config->id,
		.socket = device->config->socket,
		.messages = device->config->share == SHARE_MESSAGES,
		.n_shared = layout->n_ram,
		.log = device->all->log,
		.sandbox = place->sandbox,
		.gone = on_gone,
		.opaque = device,
	};

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

static int add_device(struct user_device *device, struct vm *vm, const struct devices_place *place,
		      struct err *err)
{
	struct vfio_options options = {
		.name = device->config->id,
		.fd = -1,
		.loop = place->loop,
		.log = device->all->log,
	};
	struct vfio_function *function;
	int ret = connect_device(device, place, err);

	if (ret)
		return ret;
	options.sys = vfu_client_sys(device->client);
	ret = vfio_function_create(&function, vm, &options, err);
	if (ret)
		return ret;
	ret = pci_bus_add(place->bus, vfio_function_pci(function), -1, err);
	if (ret) {
		pci_function_destroy(vfio_function_pci(function));
		return ret;
	}
	device->function = vfio_function_pci(function);
	log_line(device->all->log, LOG_INFO, "vfio-user", "%s: from %s, guest memory shared %s",
		 device->config->id, device->config->socket,
		 device->config->share == SHARE_MESSAGES ? "by messages" : "as descriptors");
	return 0;
}

int user_devices_create(struct user_devices **out, const struct config *config, struct vm *vm,
			const struct devices_place *place, const struct log *log, struct err *err)
{
	struct user_devices *devices;
	int ret = 0;

	*out = NULL;
	if (!config->n_user_devices)
		return 0;
	devices = calloc(1, sizeof(*devices) + config->n_user_devices * sizeof(devices->device[0]));
	if (!devices)
		return err_set(err, ENOMEM, "no memory for the devices");
	*devices = (struct user_devices){
		.bus = place->bus, .loop = place->loop, .log = log, .n = config->n_user_devices
	};
	for (size_t i = 0; i < devices->n && !ret; i++) {
		struct user_device *device = &devices->device[i];

		device->all = devices;
		device->config = &config->user_devices[i];
		device->removal = (struct loop_work){ .fn = remove_lost, .arg = device };
		ret = add_device(device, vm, place, err);
	}
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
		if (devices->device[i].all)
			drop(&devices->device[i]);
	}
	free(devices);
}
