/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells that cannot be mapped, since they lie in a page with the MSI-X table: a register to
 * which the guest writes the same value time and again. After some such writes in a row the next
 * ones are done inside the kernel: KVM signals an eventfd, and VFIO writes the value to the device
 * when it is signalled, on the thread of the vCPU and before the guest goes on. Writes of other
 * values exit as before.
 *
 * Source: Linux drivers/vfio/pci/vfio_pci_rdwr.c (vfio_pci_ioeventfd).
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "passthrough/vfio/internal.h"
#include "util/bits.h"

#define REPEATS 16u /* what a driver writes at start-up is written less often */

static bool same(const struct vfio_doorbell *a, const struct vfio_doorbell *b)
{
	return a->bar == b->bar && a->offset == b->offset && a->size == b->size &&
	       a->data == b->data;
}

static int tell_device(struct vfio_function *f, const struct vfio_doorbell *bell, int fd)
{
	return vfio_set_ioeventfd(f, &f->bars[bell->bar], bell->offset, bell->size, bell->data, fd);
}

static int add(struct vfio_function *f, struct vfio_doorbell bell)
{
	struct pci_bar_event event = {
		.offset = bell.offset,
		.size = bell.size,
		.data = bell.data,
	};
	int ret;

	bell.fd = event.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell.fd < 0)
		return -errno;
	ret = tell_device(f, &bell, bell.fd);
	if (!ret) {
		ret = pci_function_bar_event(f->pci, bell.bar, &event);
		if (ret)
			tell_device(f, &bell, -1);
	}
	if (ret)
		close(bell.fd);
	else
		f->bells.bell[f->bells.n++] = bell;
	return ret;
}

/* Of a value that KVM did not keep from exiting though it is a doorbell's, no second one is made.
 */
static bool known(const struct vfio_doorbells *bells, const struct vfio_doorbell *bell)
{
	for (unsigned int i = 0; i < bells->n; i++) {
		if (same(&bells->bell[i], bell))
			return true;
	}
	return false;
}

void vfio_doorbell_written(struct vfio_region *region, uint64_t offset, uint64_t value,
			   unsigned int size)
{
	struct vfio_function *f = region->function;
	struct vfio_doorbells *bells = &f->bells;
	const struct vfio_doorbell bell = {
		.bar = (unsigned int)(region - f->bars),
		.offset = offset,
		.size = size,
		.data = value & mask_bytes(size),
	};

	pthread_mutex_lock(&bells->lock);
	bells->repeats = same(&bells->last, &bell) ? bells->repeats + 1 : 0;
	bells->last = bell;
	if (bells->repeats == REPEATS && !bells->off && bells->n < VFIO_DOORBELLS &&
	    !known(bells, &bell))
		bells->off = add(f, bell);
	pthread_mutex_unlock(&bells->lock);
}

/* The device writes nothing more by itself; the BAR is off the bus. */
void vfio_doorbells_destroy(struct vfio_function *f)
{
	for (unsigned int i = 0; i < f->bells.n; i++) {
		tell_device(f, &f->bells.bell[i], -1);
		close(f->bells.bell[i].fd);
	}
	pthread_mutex_destroy(&f->bells.lock);
}
