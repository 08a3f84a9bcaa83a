/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/vectors.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm-glue/irq.h"
#include "passthrough/pci/pci.h"
#include "vmm/virtio/device.h"

struct vector {
	int fd;
	uint32_t gsi;
	bool routed, open;
};

struct virtio_vectors {
	struct virtio_device *device;
	unsigned int n;
	struct vector vector[];
};

static void take(int fd)
{
	eventfd_t count;

	(void)eventfd_read(fd, &count);
}

static int route(struct vm *vm, struct vector *v, const struct msi_message *message,
		 struct err *err)
{
	int ret = v->routed ? 0 : gsi_alloc(vm, &v->gsi, err);

	if (ret)
		return ret;
	v->routed = true;
	gsi_set_msi(vm, v->gsi, message);
	ret = gsi_commit(vm, err);
	if (!ret && !v->open)
		ret = irqfd_add(vm, v->gsi, v->fd, err);
	return ret;
}

static void on_enable(void *opaque, unsigned int count)
{
}

/* What the eventfd held went with the irqfd, which leaves the count (passthrough/vfio/irq.c). */
static void on_open(void *opaque, unsigned int number, const struct msi_message *message)
{
	struct virtio_vectors *vectors = opaque;
	struct virtio_device *device = vectors->device;
	struct vector *v = &vectors->vector[number];
	struct err err;

	if (number >= vectors->n)
		return;
	if (route(device->host.vm, v, message, &err)) {
		log_limited(device->host.log, &device->limit, LOG_ERROR, "virtio",
			    "%s: vector %u cannot be opened: %s", device->name, number, err.text);
		return;
	}
	if (!v->open)
		take(v->fd);
	v->open = true;
}

static void on_close(void *opaque, unsigned int number)
{
	struct virtio_vectors *vectors = opaque;
	struct vector *v = &vectors->vector[number];

	if (number < vectors->n && v->open)
		irqfd_remove(vectors->device->host.vm, v->gsi, v->fd);
	if (number < vectors->n)
		v->open = false;
}

static void on_disable(void *opaque)
{
	struct virtio_vectors *vectors = opaque;

	for (unsigned int i = 0; i < vectors->n; i++) {
		struct vector *v = &vectors->vector[i];

		on_close(vectors, i);
		if (v->routed)
			gsi_free(vectors->device->host.vm, v->gsi);
		v->routed = false;
		take(v->fd);
	}
	if (vectors->device->host.vm)
		gsi_commit(vectors->device->host.vm, NULL);
}

static bool on_pending(void *opaque, unsigned int number)
{
	const struct virtio_vectors *vectors = opaque;
	struct pollfd p = { .events = POLLIN };

	if (number >= vectors->n)
		return false;
	p.fd = vectors->vector[number].fd;
	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static const struct pci_vector_ops vector_ops = {
	.enable = on_enable,
	.disable = on_disable,
	.open = on_open,
	.close = on_close,
	.pending = on_pending,
};

static void fire(void *arg, uint16_t vector)
{
	int fd = virtio_vectors_fd(arg, vector);

	/* EAGAIN: it counts as much as it can already. */
	if (fd >= 0 && eventfd_write(fd, 1) && errno != EAGAIN)
		abort();
}

int virtio_vectors_fd(const struct virtio_vectors *vectors, unsigned int vector)
{
	return vector < vectors->n ? vectors->vector[vector].fd : -1;
}

int virtio_vectors_create(struct virtio_vectors **out, struct virtio_device *device,
			  struct err *err)
{
	unsigned int n = device->n_queues + 1;
	struct virtio_vectors *vectors =
		calloc(1, sizeof(*vectors) + n * sizeof(vectors->vector[0]));

	if (!vectors)
		return err_set(err, ENOMEM, "%s: no memory for %u vectors", device->name, n);
	vectors->device = device;
	for (; vectors->n < n; vectors->n++) {
		struct vector *v = &vectors->vector[vectors->n];

		v->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (v->fd < 0) {
			int ret = err_set(err, errno, "%s: eventfd for vector %u: %s", device->name,
					  vectors->n, strerror(errno));

			virtio_vectors_destroy(vectors);
			return ret;
		}
	}
	pci_function_msix_source(device->function, &vector_ops, vectors);
	device->interrupt = fire;
	device->interrupt_arg = vectors;
	*out = vectors;
	return 0;
}

void virtio_vectors_destroy(struct virtio_vectors *vectors)
{
	if (!vectors)
		return;
	on_disable(vectors);
	while (vectors->n)
		close(vectors->vector[--vectors->n].fd);
	free(vectors);
}
