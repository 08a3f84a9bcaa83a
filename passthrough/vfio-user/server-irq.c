/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: the client's eventfds, one for each MSI-X vector. There are no other kinds: INTx,
 * MSI, error and request count 0.
 *
 * QEMU sets vector 0 without a descriptor first ("count 1, 0 fds"), then all anew with descriptors
 * whenever the guest adds one.
 */
#include "passthrough/vfio-user/server-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

static void set_vector(struct vfu_server *server, unsigned int vector, int fd)
{
	if (server->eventfd[vector] >= 0)
		close(server->eventfd[vector]);
	server->eventfd[vector] = fd;
}

void vfu_irqs_clear(struct vfu_server *server)
{
	pthread_mutex_lock(&server->irq);
	for (unsigned int i = 0; i < server->device.vectors; i++)
		set_vector(server, i, -1);
	pthread_mutex_unlock(&server->irq);
}

/*
 * Only eventfds, on which a write takes no time: a pipe or a socket could make the writer wait.
 */
static int check_eventfd(int fd)
{
	char link[64], target[32];
	ssize_t n;
	int flags;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (strcmp(target, "anon_inode:[eventfd]") != 0)
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	return 0;
}

/*
 * A counter that is full says already what there is to say. The client can take O_NONBLOCK off
 * again, fill the counter in this very moment, and so have the writer wait: vfu_irqs_wake ends
 * that.
 */
static void signal_eventfd(int fd)
{
	struct pollfd ready = { fd, POLLOUT, 0 };
	const uint64_t one = 1;

	if (fd < 0 || poll(&ready, 1, 0) != 1)
		return;
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void vfu_irqs_wake(struct vfu_server *server)
{
	uint64_t n;

	for (unsigned int i = 0; i < server->device.vectors; i++) {
		int fd = server->eventfd[i];

		if (fd >= 0 && !fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) &&
		    read(fd, &n, sizeof(n)) < 0)
			continue;
	}
}

void vfu_fire(struct vfu_server *server, unsigned int vector)
{
	if (vector >= server->device.vectors)
		return;
	pthread_mutex_lock(&server->irq);
	signal_eventfd(server->eventfd[vector]);
	pthread_mutex_unlock(&server->irq);
}

/* Descriptor i belongs to vector start + i; without any, the vectors lose theirs. */
static int set_eventfds(struct vfu_server *server, struct vfu_message *request,
			const struct vfu_irq_set *set)
{
	if (request->n_fds && request->n_fds != set->count)
		return -EINVAL;
	for (unsigned int i = 0; i < request->n_fds; i++) {
		int ret = check_eventfd(request->fds[i]);

		if (ret)
			return ret;
	}
	pthread_mutex_lock(&server->irq);
	for (unsigned int i = 0; i < set->count; i++)
		set_vector(server, set->start + i, vfu_message_take_fd(request, i));
	pthread_mutex_unlock(&server->irq);
	return 0;
}

/* The client raises vectors itself: those that data names, or all of the range. */
static void trigger(struct vfu_server *server, const struct vfu_irq_set *set, const uint8_t *data)
{
	for (unsigned int i = 0; i < set->count; i++) {
		if (!data || data[i])
			vfu_fire(server, set->start + i);
	}
}

int vfu_handle_set_irqs(struct vfu_server *server, struct vfu_message *request,
			struct vfu_message *reply)
{
	const struct vfu_irq_set *set = vfu_message_body(request, sizeof(*set));
	unsigned int vectors = server->device.vectors;
	uint32_t data;

	if (!set || set->flags & ~(VFU_IRQ_DATA_MASK | VFU_IRQ_ACTION_MASK) ||
	    set->index >= VFU_IRQS)
		return -EINVAL;
	/* As with VFIO, MSI-X has no action but to trigger; the other kinds count 0. */
	if ((set->flags & VFU_IRQ_ACTION_MASK) != VFU_IRQ_ACTION_TRIGGER)
		return -EINVAL;
	data = set->flags & VFU_IRQ_DATA_MASK;
	if (!set->count) {
		if (data != VFU_IRQ_DATA_NONE || set->start)
			return -EINVAL;
		if (set->index == VFU_IRQ_MSIX)
			vfu_irqs_clear(server);
		return 0;
	}
	if (set->index != VFU_IRQ_MSIX || !range_inside(set->start, set->count, 0, vectors))
		return -EINVAL;
	switch (data) {
	case VFU_IRQ_DATA_EVENTFD:
		return set_eventfds(server, request, set);
	case VFU_IRQ_DATA_NONE:
		trigger(server, set, NULL);
		return 0;
	case VFU_IRQ_DATA_BOOL:
		if (request->size - sizeof(*set) < set->count)
			return -EINVAL;
		trigger(server, set, (const uint8_t *)(set + 1));
		return 0;
	default:
		return -EINVAL;
	}
}
