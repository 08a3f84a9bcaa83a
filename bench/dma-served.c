/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function that somebody serves over vfio-user, as adit adi-serve does, for adit bench dma:
 * memory is given to its server by its descriptor, registers and portals are messages.
 */
#include "bench/dma-port.h"
#include "passthrough/vfio-user/client.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"

const struct map_contest dma_served = { .name = "vfio-user" };

static const struct dma_port *port_of(const struct dma_device *d)
{
	return container_of(d, struct dma_port, device);
}

static uint64_t served_read(const struct dma_device *d, uint32_t at, unsigned int size)
{
	const struct dma_port *port = port_of(d);
	const struct vfio_sys *sys = port->sys;
	uint64_t value = 0;

	if (sys->pread(sys->opaque, port->fd, &value, size, port->registers_at + at) !=
	    (ssize_t)size)
		return size == sizeof(uint32_t) ? UINT32_MAX : UINT64_MAX;
	return value;
}

/* A server that is gone is noticed by the read that follows, and by lost. */
static void served_write(const struct dma_device *d, uint32_t at, uint64_t value, unsigned int size)
{
	const struct dma_port *port = port_of(d);
	const struct vfio_sys *sys = port->sys;

	(void)sys->pwrite(sys->opaque, port->fd, &value, size, port->registers_at + at);
}

static void served_store64(struct dma_device *d, uint32_t at, const void *data)
{
	const struct dma_port *port = port_of(d);

	(void)port->sys->store64(port->sys->opaque, port->fd, data, port->portals_at + at);
}

static void on_gone(void *opaque)
{
	struct dma_port *port = opaque;

	__atomic_store_n(&port->device.lost, true, __ATOMIC_RELAXED);
}

int dma_served_connect(struct dma_port *port, const struct bench_options *options,
		       const struct map_memory *memory, struct err *err)
{
	const struct vfu_client_options wanted = {
		.name = "bench",
		.socket = options->socket,
		.shared = { { .iova = MAP_IOVA,
			      .size = memory->size,
			      .hva = memory->at,
			      .fd = memory->fd } },
		.n_shared = 1,
		.gone = on_gone,
		.opaque = port,
	};
	int r = vfu_client_create(&port->client, &wanted, err);

	if (r)
		return r;
	port->sys = vfu_client_sys(port->client);
	return 0;
}

void dma_served_reach(struct dma_port *port)
{
	port->device.read = served_read;
	port->device.write = served_write;
	port->device.store64 = served_store64;
}

void dma_served_close(struct dma_port *port)
{
	vfu_client_destroy(port->client);
	port->client = NULL;
}
