/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/vfio-user/export.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "passthrough/pci/pci.h"
#include "passthrough/vfio-user/memory.h"
#include "passthrough/vfio-user/server.h"

struct vfu_export {
	char name[64];
	const struct log *log;
	struct epoch epoch;
	struct epoch_reader reader; /* of the thread that serves */
	struct pci_function *function;
	struct vfu_memory *memory;

	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct vfu_server *server; /* NULL: no client */
	unsigned int users;	   /* threads that are in a call to server */
	bool stopped;		   /* for good */
};

/* --- the connection as other threads see it -------------------------------------------------- */

static struct vfu_server *enter(struct vfu_export *export)
{
	struct vfu_server *server;

	pthread_mutex_lock(&export->lock);
	server = export->server;
	export->users += server != NULL;
	pthread_mutex_unlock(&export->lock);
	return server;
}

static void leave(struct vfu_export *export)
{
	pthread_mutex_lock(&export->lock);
	if (!--export->users)
		pthread_cond_broadcast(&export->idle);
	pthread_mutex_unlock(&export->lock);
}

static void set_server(struct vfu_export *export, struct vfu_server *server)
{
	pthread_mutex_lock(&export->lock);
	export->server = server;
	if (server && export->stopped)
		vfu_stop(server);
	while (!server && export->users)
		pthread_cond_wait(&export->idle, &export->lock);
	pthread_mutex_unlock(&export->lock);
}

void vfu_export_stop(struct vfu_export *export)
{
	pthread_mutex_lock(&export->lock);
	export->stopped = true;
	if (export->server)
		vfu_stop(export->server);
	pthread_mutex_unlock(&export->lock);
}

static void fire(void *opaque, unsigned int vector)
{
	struct vfu_server *server = enter(opaque);

	if (!server)
		return;
	vfu_fire(server, vector);
	leave(opaque);
}

/* Without a client there is no memory, and a reset waits for no answer of it. */
static void quiet(void *opaque, bool on)
{
	struct vfu_server *server = enter(opaque);

	if (!server)
		return;
	vfu_dma_refuse(server, on);
	leave(opaque);
}

static const struct pci_export_ops function_ops = { .fire = fire, .quiet = quiet };

static int remote_read(void *opaque, uint64_t iova, void *data, uint64_t size)
{
	struct vfu_export *export = opaque;
	struct vfu_server *server = enter(export);
	int ret = -EFAULT;

	if (!server)
		return -ENOTCONN;
	if (vfu_memory_asks(export->memory, iova, size))
		ret = vfu_dma_read(server, iova, data, size);
	leave(export);
	return ret;
}

static int remote_write(void *opaque, uint64_t iova, const void *data, uint64_t size)
{
	struct vfu_export *export = opaque;
	struct vfu_server *server = enter(export);
	int ret = -EFAULT;

	if (!server)
		return -ENOTCONN;
	if (vfu_memory_asks(export->memory, iova, size))
		ret = vfu_dma_write(server, iova, data, size);
	leave(export);
	return ret;
}

/* --- the device as the connection sees it ---------------------------------------------------- */

static int export_read(void *opaque, unsigned int region, uint64_t offset, void *data,
		       uint32_t count)
{
	struct vfu_export *export = opaque;

	epoch_enter(&export->epoch, &export->reader);
	if (region == VFU_REGION_CONFIG)
		pci_export_config_read(export->function, (uint32_t)offset, data, count);
	else
		pci_export_bar_read(export->function, region, offset, data, count);
	epoch_exit(&export->reader);
	return 0;
}

/* A reset waits for engines, which may wait for this epoch: configuration is written outside. */
static int export_write(void *opaque, unsigned int region, uint64_t offset, const void *data,
			uint32_t count)
{
	struct vfu_export *export = opaque;

	if (region == VFU_REGION_CONFIG) {
		pci_export_config_write(export->function, (uint32_t)offset, data, count);
		return 0;
	}
	epoch_enter(&export->epoch, &export->reader);
	pci_export_bar_write(export->function, region, offset, data, count);
	epoch_exit(&export->reader);
	return 0;
}

static int export_map(void *opaque, const struct vfu_range *range)
{
	struct vfu_export *export = opaque;

	return vfu_memory_map(export->memory, range);
}

/* Unmapping waits for engines, and they may wait for the client: those waits end first. */
static int export_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	struct vfu_export *export = opaque;
	int ret;

	quiet(export, true);
	ret = vfu_memory_unmap(export->memory, iova, size);
	quiet(export, false);
	return ret;
}

static void export_unmap_all(void *opaque)
{
	struct vfu_export *export = opaque;

	quiet(export, true);
	vfu_memory_unmap_all(export->memory);
	quiet(export, false);
}

static int export_reset(void *opaque)
{
	struct vfu_export *export = opaque;

	pci_export_reset(export->function);
	return 0;
}

static const struct vfu_device_ops device_ops = {
	.read = export_read,
	.write = export_write,
	.map = export_map,
	.unmap = export_unmap,
	.unmap_all = export_unmap_all,
	.reset = export_reset,
};

static void describe(const struct vfu_export *export, struct vfu_device *device)
{
	*device = (struct vfu_device){
		.ops = &device_ops,
		.opaque = (void *)export,
		.vectors = pci_function_vectors(export->function),
		.max_maps = VFU_MAX_RANGES,
		.name = export->name,
		.log = export->log,
	};
	for (unsigned int i = 0; i < PCI_BARS; i++)
		device->regions[i] = (struct vfu_region){
			.size = pci_function_bar_size(export->function, i),
			.read = true,
			.write = true,
		};
	device->regions[VFU_REGION_CONFIG] =
		(struct vfu_region){ .size = PCI_CONFIG_SIZE, .read = true, .write = true };
}

int vfu_export_serve(struct vfu_export *export, int socket, struct err *err)
{
	struct vfu_device device;
	struct vfu_server *server;
	int ret;

	describe(export, &device);
	ret = vfu_server_create(&server, socket, &device, err);
	if (ret)
		return ret;
	set_server(export, server);
	ret = vfu_serve(server, err);
	set_server(export, NULL);
	vfu_server_destroy(server);
	pci_export_reset(export->function);
	return ret;
}

/* --- life ------------------------------------------------------------------------------------ */

struct epoch *vfu_export_epoch(struct vfu_export *export)
{
	return &export->epoch;
}

int vfu_export_space(struct vfu_export *export, struct ioasid_ctx *ctx, const char *name,
		     struct ioasid_range window, unsigned int rights, struct ioasid_space **out,
		     struct err *err)
{
	const struct ioasid_space_options options = {
		.name = name,
		.pasid_capable = true,
		.remote = { .read = remote_read,
			    .write = remote_write,
			    .opaque = export,
			    .range = window,
			    .rights = rights },
	};
	int ret = ioasid_alloc(ctx, &options, out, err);

	if (ret)
		return ret;
	ret = vfu_memory_add_space(export->memory, *out, window, rights, err);
	if (ret)
		ioasid_destroy(*out);
	return ret;
}

int vfu_export_show(struct vfu_export *export, struct ioasid_space *space,
		    struct ioasid_range window, unsigned int rights, struct err *err)
{
	return vfu_memory_add_space(export->memory, space, window, rights, err);
}

int vfu_export_function(struct vfu_export *export, struct pci_function *function, struct err *err)
{
	int ret = pci_function_export(function, &function_ops, export, err);

	if (ret)
		pci_function_destroy(function);
	else
		export->function = function;
	return ret;
}

int vfu_export_create(struct vfu_export **out, const char *name, const struct log *log,
		      struct err *err)
{
	struct vfu_export *export = calloc(1, sizeof(*export));
	int ret;

	if (!export)
		return err_set(err, ENOMEM, "%s: no memory to serve it", name);
	snprintf(export->name, sizeof(export->name), "%s", name);
	export->log = log;
	ret = vfu_memory_create(&export->memory, log, err);
	if (ret) {
		free(export);
		return ret;
	}
	epoch_init(&export->epoch);
	epoch_join(&export->epoch, &export->reader);
	pthread_mutex_init(&export->lock, NULL);
	pthread_cond_init(&export->idle, NULL);
	*out = export;
	return 0;
}

void vfu_export_destroy(struct vfu_export *export)
{
	if (!export)
		return;
	pci_function_destroy(export->function);
	vfu_memory_destroy(export->memory);
	epoch_leave(&export->epoch, &export->reader);
	epoch_destroy(&export->epoch);
	pthread_cond_destroy(&export->idle);
	pthread_mutex_destroy(&export->lock);
	free(export);
}
