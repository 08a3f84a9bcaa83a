/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/pci/pci.h"
#include "vmm/config.h"
#include "vmm/ram.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/mem.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"
#include "vmm/virtio/vsock.h"

struct member {
	struct virtio_device *device;
	const char *id;	 /* NULL: it stays as long as the machine */
	struct blk *blk; /* of a disk */
};

/* A device that was taken out and is not gone yet. */
struct departure {
	struct departure *next;
	struct virtio_devices *devices;
	struct pci_function *function;
	void (*gone)(void *arg);
	void *arg;
};

struct virtio_devices {
	struct virtio_host host;
	struct virtio_memory memory;
	struct hot_ram *hot;
	struct pci_bus *bus;
	struct balloon *balloon;
	void (*event)(void *arg, const char *event, const char *detail);
	void *event_arg;
	struct mem *mem;
	/* Taken before a device's own lock; not by what a device calls. */
	pthread_mutex_t lock;
	unsigned int pauses; /* which a device that comes meanwhile has as well */
	bool pinned;	     /* guest memory does not go away: disks register it */
	bool shared;	     /* guest memory is a file that is its own */
	unsigned int n;
	struct member all[PCI_SLOTS];
	struct departure *leaving;
};

static void fill_memory(struct virtio_memory *memory, const struct layout *layout,
			const struct ram *ram)
{
	memory->n = layout->n_ram;
	for (unsigned int i = 0; i < layout->n_ram; i++)
		memory->range[i] = (struct virtio_range){
			.gpa = layout->ram[i].gpa,
			.size = layout->ram[i].size,
			.hva = (uint8_t *)ram->base + layout->ram[i].offset,
		};
}

/* The device is the bus's from here on, or gone. */
static int plug(struct virtio_devices *devices, const struct member *member, struct err *err)
{
	struct virtio_device *device = member->device;
	int ret;

	pthread_mutex_lock(&devices->lock);
	ret = pci_bus_add(devices->bus, device->function, -1, err);
	if (!ret) {
		devices->all[devices->n++] = *member;
		for (unsigned int i = 0; i < devices->pauses; i++)
			virtio_pause(device);
	}
	pthread_mutex_unlock(&devices->lock);
	if (ret)
		pci_function_destroy(device->function);
	return ret;
}

static int plug_fixed(struct virtio_devices *devices, struct virtio_device *device, struct err *err)
{
	return plug(devices, &(struct member){ .device = device }, err);
}

static struct bucket bytes_of(const struct config_limits *limits)
{
	return (struct bucket){ .size = limits->bytes.size,
				.burst = limits->bytes.burst,
				.refill_ms = limits->bytes.refill_ms };
}

static struct bucket ops_of(const struct config_limits *limits)
{
	return (struct bucket){ .size = limits->ops.size,
				.burst = limits->ops.burst,
				.refill_ms = limits->ops.refill_ms };
}

int virtio_devices_add_disk(struct virtio_devices *devices, const struct config_disk *disk,
			    struct err *err)
{
	const struct blk_options options = {
		.id = disk->id,
		.image = { .path = disk->path,
			   .fd = disk->fd ? (int)disk->fd : -1,
			   .readonly = disk->readonly,
			   .direct = disk->direct,
			   .raw = disk->raw },
		.packed = disk->packed,
		.queues = disk->queues,
		.queue_size = (uint16_t)disk->queue_size,
		.serial = disk->serial,
		.bytes = bytes_of(&disk->limits),
		.ops = ops_of(&disk->limits),
		.pinned = devices->pinned,
	};
	struct blk *blk;
	int ret = blk_create(&blk, &devices->host, &options, err);

	if (!ret)
		ret = plug(devices,
			   &(struct member){
				   .device = blk_device(blk), .id = disk->id, .blk = blk },
			   err);
	return ret;
}

int virtio_devices_add_net(struct virtio_devices *devices, const struct config_net *net,
			   struct err *err)
{
	const struct net_options options = {
		.id = net->id,
		.tap = net->tap,
		.fd = net->fd ? (int)net->fd : -1,
		.mac = net->has_mac ? net->mac : NULL,
		.mtu = (uint16_t)net->mtu,
		.pairs = net->num_queues / 2,
		.queue_size = (uint16_t)net->queue_size,
		.packed = net->packed,
		.csum = net->csum,
		.tso = net->tso,
		.vhost = net->vhost,
		.hot = devices->hot,
		.uso = net->uso,
		.bytes = bytes_of(&net->limits),
		.ops = ops_of(&net->limits),
	};
	struct virtio_device *device;
	int ret = net_create(&device, &devices->host, &options, err);

	if (!ret)
		ret = plug(devices, &(struct member){ .device = device, .id = net->id }, err);
	return ret;
}

static int add_rng(struct virtio_devices *devices, const struct config_rng *rng, struct err *err)
{
	struct virtio_device *device;
	int ret = rng_create(&device, &devices->host, rng->src, err);

	return ret ? ret : plug_fixed(devices, device, err);
}

static int add_console(struct virtio_devices *devices, const struct virtio_parts *parts,
		       struct err *err)
{
	const struct config_console *console = &parts->config->console;
	struct console_options options = {
		.n = (unsigned int)console->n_ports + 1,
		.ports[0] = { .mode = console->sink.mode, .path = console->sink.path },
		.quit = parts->quit,
		.quit_arg = parts->quit_arg,
	};
	struct virtio_device *device;
	int ret;

	for (size_t i = 0; i < console->n_ports; i++)
		options.ports[i + 1] =
			(struct console_port_options){ .name = console->ports[i].name,
						       .mode = console->ports[i].sink.mode,
						       .path = console->ports[i].sink.path };
	ret = console_create(&device, &devices->host, &options, err);
	return ret ? ret : plug_fixed(devices, device, err);
}

static int add_vsock(struct virtio_devices *devices, const struct config_vsock *vsock,
		     struct err *err)
{
	struct virtio_device *device;
	int ret = vsock_create(&device, &devices->host, vsock->cid, vsock->socket, err);

	return ret ? ret : plug_fixed(devices, device, err);
}

static void on_reached(void *arg, uint64_t bytes)
{
	const struct virtio_devices *devices = arg;
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	if (devices->event)
		devices->event(devices->event_arg, "balloon", text);
}

static int add_balloon(struct virtio_devices *devices, const struct config *config, struct err *err)
{
	const struct balloon_options options = {
		.size = config->balloon.size,
		.shared = devices->shared,
		.deflate_on_oom = config->balloon.deflate_on_oom,
		.reporting = config->balloon.reporting,
		.stats_ms = config->balloon.stats_ms,
		.barred =
			(unsigned int)(config->n_adis + config->n_devices + config->n_user_devices),
		.reached = on_reached,
		.arg = devices,
	};
	int ret = balloon_create(&devices->balloon, &devices->host, &options, err);

	return ret ? ret : plug_fixed(devices, balloon_device(devices->balloon), err);
}

static int add_mem(struct virtio_devices *devices, const struct virtio_parts *parts,
		   struct err *err)
{
	const struct mem_options options = { .hot = parts->hot,
					     .wanted = parts->config->memory.hotplugged_size,
					     .sandbox = parts->sandbox };
	int ret = mem_create(&devices->mem, &devices->host, &options, err);

	return ret ? ret : plug_fixed(devices, mem_device(devices->mem), err);
}

int virtio_devices_create(struct virtio_devices **out, const struct virtio_parts *parts,
			  struct err *err)
{
	const struct config *config = parts->config;
	struct virtio_devices *devices = calloc(1, sizeof(*devices));
	int ret = 0;

	if (!devices)
		return err_set(err, ENOMEM, "no memory for the virtio devices");
	pthread_mutex_init(&devices->lock, NULL);
	devices->bus = parts->bus;
	devices->host = (struct virtio_host){
		.loop = parts->loop, .memory = &devices->memory, .vm = parts->vm, .log = parts->log
	};
	fill_memory(&devices->memory, parts->layout, parts->ram);
	devices->hot = parts->hot;
	devices->event = parts->event;
	devices->event_arg = parts->event_arg;
	devices->memory.hot = parts->hot;
	devices->shared = parts->ram->fd >= 0;
	devices->pinned = config->memory.prefault && !config->balloon.present;
	for (size_t i = 0; i < config->n_disks && !ret; i++) {
		ret = virtio_devices_add_disk(devices, &config->disks[i], err);
		if (ret)
			err_prefix(err, "/disks/%zu", i);
	}
	for (size_t i = 0; i < config->n_net && !ret; i++) {
		ret = virtio_devices_add_net(devices, &config->net[i], err);
		if (ret)
			err_prefix(err, "/net/%zu", i);
	}
	if (!ret && config->rng.present)
		ret = add_rng(devices, &config->rng, err);
	if (!ret && config->console.present)
		ret = add_console(devices, parts, err);
	if (!ret && config->vsock.present)
		ret = add_vsock(devices, &config->vsock, err);
	if (!ret && config->balloon.present)
		ret = add_balloon(devices, config, err);
	if (!ret && parts->hot)
		ret = add_mem(devices, parts, err);
	if (ret) {
		virtio_devices_destroy(devices);
		return ret;
	}
	*out = devices;
	return 0;
}

void virtio_devices_destroy(struct virtio_devices *devices)
{
	struct departure *one;

	if (!devices)
		return;
	while ((one = devices->leaving)) {
		devices->leaving = one->next;
		pci_bus_remove(devices->bus, one->function);
		if (one->gone)
			one->gone(one->arg);
		free(one);
	}
	while (devices->n)
		pci_bus_remove(devices->bus, devices->all[--devices->n].device->function);
	pthread_mutex_destroy(&devices->lock);
	free(devices);
}

void virtio_devices_pause(struct virtio_devices *devices)
{
	if (!devices)
		return;
	pthread_mutex_lock(&devices->lock);
	devices->pauses++;
	for (unsigned int i = 0; i < devices->n; i++)
		virtio_pause(devices->all[i].device);
	pthread_mutex_unlock(&devices->lock);
}

void virtio_devices_resume(struct virtio_devices *devices)
{
	if (!devices)
		return;
	pthread_mutex_lock(&devices->lock);
	devices->pauses--;
	for (unsigned int i = 0; i < devices->n; i++)
		virtio_resume(devices->all[i].device);
	pthread_mutex_unlock(&devices->lock);
}

/* With the lock held. NULL: none of that id. */
static struct member *find(struct virtio_devices *devices, const char *id)
{
	for (unsigned int i = 0; i < devices->n; i++) {
		if (devices->all[i].id && !strcmp(devices->all[i].id, id))
			return &devices->all[i];
	}
	return NULL;
}

int virtio_devices_resize_disk(struct virtio_devices *devices, const char *id, uint64_t size,
			       struct err *err)
{
	const struct member *member;
	struct blk *blk = NULL;
	int ret = 0;

	if (devices) {
		pthread_mutex_lock(&devices->lock);
		member = find(devices, id);
		blk = member ? member->blk : NULL;
		if (blk)
			ret = blk_resize(blk, size, err);
		pthread_mutex_unlock(&devices->lock);
	}
	return blk ? ret : err_set(err, ENOENT, "no disk is called \"%s\"", id);
}

unsigned int virtio_devices_slot(struct virtio_devices *devices, const char *id)
{
	const struct member *member;
	unsigned int slot = 0;

	if (!devices)
		return 0;
	pthread_mutex_lock(&devices->lock);
	member = find(devices, id);
	if (member)
		slot = pci_function_slot(member->device->function);
	pthread_mutex_unlock(&devices->lock);
	return slot;
}

bool virtio_devices_in(struct virtio_devices *devices, unsigned int slot, char *id, size_t size)
{
	bool found = false;

	pthread_mutex_lock(&devices->lock);
	for (unsigned int i = 0; i < devices->n && !found; i++) {
		const struct member *member = &devices->all[i];

		found = member->id && pci_function_slot(member->device->function) == slot;
		if (found)
			snprintf(id, size, "%s", member->id);
	}
	pthread_mutex_unlock(&devices->lock);
	return found;
}

/* On the loop: nothing can touch memory any more. */
static void departed(void *arg)
{
	struct departure *one = arg, **at;
	struct virtio_devices *devices = one->devices;

	pthread_mutex_lock(&devices->lock);
	for (at = &devices->leaving; *at != one; at = &(*at)->next)
		;
	*at = one->next;
	pthread_mutex_unlock(&devices->lock);
	pci_bus_remove(devices->bus, one->function);
	if (one->gone)
		one->gone(one->arg);
	free(one);
}

int virtio_devices_remove(struct virtio_devices *devices, const char *id, void (*gone)(void *arg),
			  void *arg, struct err *err)
{
	struct departure *one = calloc(1, sizeof(*one));
	struct virtio_device *device;
	struct member *member;

	if (!one)
		return err_set(err, ENOMEM, "no memory to remove \"%s\"", id);
	if (devices)
		pthread_mutex_lock(&devices->lock);
	member = devices ? find(devices, id) : NULL;
	if (!member) {
		if (devices)
			pthread_mutex_unlock(&devices->lock);
		free(one);
		return err_set(err, ENOENT, "no disk or network interface is called \"%s\"", id);
	}
	device = member->device;
	*member = devices->all[--devices->n];
	*one = (struct departure){ .next = devices->leaving,
				   .devices = devices,
				   .function = device->function,
				   .gone = gone,
				   .arg = arg };
	devices->leaving = one;
	virtio_unplug(device, departed, one);
	pthread_mutex_unlock(&devices->lock);
	return 0;
}

int virtio_devices_save(struct virtio_devices *devices, struct state_out *out, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&devices->lock);
	if (devices->leaving)
		ret = err_set(err, EBUSY, "%s: is being removed: ask again later",
			      pci_function_name(devices->leaving->function));
	for (unsigned int i = 0; i < devices->n && !ret; i++)
		ret = virtio_device_save(devices->all[i].device, out, err);
	pthread_mutex_unlock(&devices->lock);
	return ret;
}

int virtio_devices_load(struct virtio_devices *devices, struct state_in *in)
{
	pthread_mutex_lock(&devices->lock);
	for (unsigned int i = 0; i < devices->n && !in->ret; i++)
		virtio_device_load(devices->all[i].device, in);
	pthread_mutex_unlock(&devices->lock);
	return in->ret;
}

void virtio_devices_counters(struct virtio_devices *devices,
			     void (*fn)(void *arg, const char *name,
					const struct virtio_counters *counters),
			     void *arg)
{
	pthread_mutex_lock(&devices->lock);
	for (unsigned int i = 0; i < devices->n; i++) {
		struct virtio_counters counters;

		virtio_read_counters(devices->all[i].device, &counters);
		fn(arg, devices->all[i].id ? devices->all[i].id : devices->all[i].device->name,
		   &counters);
	}
	pthread_mutex_unlock(&devices->lock);
}

struct balloon *virtio_devices_balloon(struct virtio_devices *devices)
{
	return devices ? devices->balloon : NULL;
}

struct mem *virtio_devices_mem(struct virtio_devices *devices)
{
	return devices ? devices->mem : NULL;
}
