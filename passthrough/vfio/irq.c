/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of an assigned function. MSI and MSI-X: each vector has an eventfd from the moment
 * when the guest first opens it; while the vector is open the eventfd is an irqfd, so that an
 * interrupt goes from the device to the guest inside the kernel; while it is closed the eventfd
 * counts, which is the pending bit; before that it is the device's own. INTx: the kernel masks the
 * line when it fires, the loop asserts ours, and the guest's EOI opens the device's again.
 *
 * Exactness. KVM takes what the eventfd holds when the irqfd is added (virt/kvm/eventfd.c,
 * kvm_irqfd_assign) but leaves the count: it is read here afterwards, so that it is not taken for a
 * pending event at the next mask. An event in between has been consumed by the irqfd already.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm-glue/irq.h"
#include "passthrough/vfio/internal.h"
#include "util/bits.h"
#include "util/loop.h"

static void complain(struct vfio_function *f, const char *what, int ret)
{
	log_limited(f->log, &f->limit, LOG_ERROR, "vfio", "%s: %s: %s", f->name, what,
		    strerror(-ret));
}

static bool take(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static void count(uint64_t *counter, int by)
{
	__atomic_fetch_add(counter, (uint64_t)by, __ATOMIC_RELAXED);
}

void vfio_function_counters(const struct vfio_function *f, struct vfio_counters *out)
{
	*out = (struct vfio_counters){
		.interrupts = __atomic_load_n(&f->counters.interrupts, __ATOMIC_RELAXED),
		.irqfds = __atomic_load_n(&f->counters.irqfds, __ATOMIC_RELAXED),
	};
}

/* --- INTx ------------------------------------------------------------------------------------ */

static void intx_on(struct vfio_function *f)
{
	struct vfio_intx *intx = &f->intx;
	int ret = 0;

	pthread_mutex_lock(&intx->lock);
	if (intx->there && !intx->on)
		ret = vfio_set_eventfds(f, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &intx->watch.fd);
	if (intx->there && !ret)
		intx->on = true;
	pthread_mutex_unlock(&intx->lock);
	if (ret)
		complain(f, "INTx cannot be enabled", ret);
}

static void intx_off(struct vfio_function *f)
{
	struct vfio_intx *intx = &f->intx;

	pthread_mutex_lock(&intx->lock);
	if (intx->on) {
		vfio_set_eventfds(f, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL);
		take(intx->watch.fd);
		intx->on = intx->asserted = false;
		pci_function_intx_set(f->pci, false);
	}
	pthread_mutex_unlock(&intx->lock);
}

void vfio_intx_settle(struct vfio_function *f)
{
	pthread_mutex_lock(&f->intx.lock);
	if (f->intx.there && take(f->intx.watch.fd) && f->intx.on) {
		f->intx.asserted = true;
		count(&f->counters.interrupts, 1);
		pci_function_intx_set(f->pci, true);
	}
	pthread_mutex_unlock(&f->intx.lock);
}

/* On the loop's thread. */
static void intx_fired(void *arg, uint32_t ready)
{
	const struct vfio_watch *watch = arg;

	vfio_intx_settle(watch->function);
}

bool vfio_intx_asserted(struct vfio_function *f)
{
	bool asserted;

	pthread_mutex_lock(&f->intx.lock);
	asserted = f->intx.asserted;
	pthread_mutex_unlock(&f->intx.lock);
	return asserted;
}

bool vfio_intx_restore(struct vfio_function *f, bool asserted)
{
	bool can;

	pthread_mutex_lock(&f->intx.lock);
	can = f->intx.on || !asserted;
	if (can) {
		f->intx.asserted = asserted;
		pci_function_intx_restore(f->pci, asserted);
	}
	pthread_mutex_unlock(&f->intx.lock);
	return can;
}

/* After the guest's EOI, on a vCPU's thread; what the device still wants fires again at once. */
static void intx_unmask(void *opaque)
{
	struct vfio_function *f = opaque;

	pthread_mutex_lock(&f->intx.lock);
	if (f->intx.asserted) {
		f->intx.asserted = false;
		pci_function_intx_set(f->pci, false);
		if (f->intx.maskable)
			vfio_unmask_intx(f);
	}
	pthread_mutex_unlock(&f->intx.lock);
}

/* --- MSI and MSI-X --------------------------------------------------------------------------- */

static int vector_fd(struct vfio_vectors *vectors, unsigned int number)
{
	struct vfio_vector *v = &vectors->vector[number];

	if (v->fd < 0)
		v->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return v->fd < 0 ? -errno : 0;
}

/*
 * Where the number of vectors is fixed once they are on, all get their eventfd now: switching off
 * and on again later would lose interrupts. Else the device's enable bit is set with no vector.
 */
static int start_vectors(struct vfio_vectors *vectors, unsigned int count)
{
	struct vfio_function *f = vectors->function;
	int none = -1, ret = 0, *fds;

	if (vectors->resizes)
		return vfio_set_eventfds(f, vectors->index, 0, 1, &none);
	fds = calloc(count, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (unsigned int i = 0; !ret && i < count; i++) {
		ret = vector_fd(vectors, i);
		fds[i] = vectors->vector[i].fd;
	}
	if (!ret)
		ret = vfio_set_eventfds(f, vectors->index, 0, count, fds);
	free(fds);
	return ret;
}

static void vectors_enable(void *opaque, unsigned int count)
{
	struct vfio_vectors *vectors = opaque;
	int ret;

	intx_off(vectors->function);
	vectors->enabled = MIN(count, vectors->max);
	ret = start_vectors(vectors, vectors->enabled);
	if (ret)
		complain(vectors->function, "its interrupt vectors cannot be enabled", ret);
}

static void vectors_disable(void *opaque)
{
	struct vfio_vectors *vectors = opaque;
	struct vfio_function *f = vectors->function;

	vfio_set_eventfds(f, vectors->index, 0, 0, NULL);
	for (unsigned int i = 0; i < vectors->max; i++) {
		struct vfio_vector *v = &vectors->vector[i];

		if (v->fd >= 0)
			close(v->fd);
		if (v->routed)
			gsi_free(f->vm, v->gsi);
		*v = (struct vfio_vector){ .fd = -1 };
	}
	gsi_commit(f->vm, NULL);
	vectors->enabled = 0;
	intx_on(f);
}

/* The eventfd, and where vectors come one by one, the device's vector behind it. */
static int prepare(struct vfio_vectors *vectors, unsigned int number)
{
	struct vfio_vector *v = &vectors->vector[number];
	bool fresh = v->fd < 0;
	int ret = vector_fd(vectors, number);

	if (!ret && fresh && vectors->resizes)
		ret = vfio_set_eventfds(vectors->function, vectors->index, number, 1, &v->fd);
	return ret;
}

static int route(struct vfio_vectors *vectors, struct vfio_vector *v,
		 const struct msi_message *message, struct err *err)
{
	struct vm *vm = vectors->function->vm;
	int ret = 0;

	if (!v->routed)
		ret = gsi_alloc(vm, &v->gsi, err);
	if (ret)
		return ret;
	v->routed = true;
	gsi_set_msi(vm, v->gsi, message);
	return gsi_commit(vm, err);
}

static void vectors_open(void *opaque, unsigned int number, const struct msi_message *message)
{
	struct vfio_vectors *vectors = opaque;
	struct vfio_function *f = vectors->function;
	struct vfio_vector *v = &vectors->vector[number];
	struct err err = { 0 };
	int ret;

	if (number >= vectors->enabled)
		return;
	ret = prepare(vectors, number);
	if (!ret)
		ret = route(vectors, v, message, &err);
	if (!ret && !v->open)
		ret = irqfd_add(f->vm, v->gsi, v->fd, &err);
	if (ret) {
		complain(f, err.code ? err.text : "an interrupt vector cannot be opened", ret);
		return;
	}
	if (v->open)
		return;
	v->open = true;
	count(&f->counters.irqfds, 1);
	if (take(v->fd))
		count(&f->counters.interrupts, 1);
}

static void vectors_close(void *opaque, unsigned int number)
{
	struct vfio_vectors *vectors = opaque;
	struct vfio_vector *v = &vectors->vector[number];

	if (number >= vectors->max || !v->open)
		return;
	irqfd_remove(vectors->function->vm, v->gsi, v->fd);
	count(&vectors->function->counters.irqfds, -1);
	v->open = false;
}

/*
 * One that the guest has never opened is masked in the device, which keeps its events for itself.
 * Pending bits are read by 32 or 64 (PCI Express Base 6.0 section 6.1.4.3).
 */
static bool pends_in_device(struct vfio_vectors *vectors, unsigned int number)
{
	struct vfio_function *f = vectors->function;
	const uint8_t *cap = f->config.bytes + f->config.msix;
	uint32_t pba = (uint32_t)load_le(cap + PCI_MSIX_PBA, 4);
	struct vfio_region *region = &f->bars[pba & PCI_MSIX_PBA_BIR];
	uint64_t at = (pba & PCI_MSIX_PBA_OFFSET) + number / 32 * 4UL;
	uint8_t bits[4];

	if (vectors->index != VFIO_PCI_MSIX_IRQ_INDEX || number >= vectors->enabled)
		return false;
	return vfio_region_copy(region, at, bits, sizeof(bits)) == sizeof(bits) &&
	       load_le(bits, 4) >> number % 32 & 1;
}

static bool vectors_pending(void *opaque, unsigned int number)
{
	struct vfio_vectors *vectors = opaque;

	if (number >= vectors->max)
		return false;
	return vectors->vector[number].fd >= 0 ? readable(vectors->vector[number].fd)
					       : pends_in_device(vectors, number);
}

/* One more in its eventfd: where the vector is open, the kernel sends it. */
static void vectors_post(void *opaque, unsigned int number)
{
	struct vfio_vectors *vectors = opaque;
	const uint64_t one = 1;
	int ret = number < vectors->enabled ? prepare(vectors, number) : -EINVAL;

	if (!ret && write(vectors->vector[number].fd, &one, sizeof(one)) < 0)
		ret = -errno;
	if (ret)
		complain(vectors->function, "an interrupt that was pending is lost", ret);
}

const struct pci_vector_ops vfio_vector_ops = {
	.enable = vectors_enable,
	.disable = vectors_disable,
	.open = vectors_open,
	.close = vectors_close,
	.pending = vectors_pending,
	.post = vectors_post,
};

/* --- errors and removal ---------------------------------------------------------------------- */

static void tell(struct vfio_watch *watch, enum vfio_event event)
{
	struct vfio_function *f = watch->function;

	if (take(watch->fd) && f->event)
		f->event(f->opaque, event);
}

static void error_fired(void *arg, uint32_t ready)
{
	tell(arg, VFIO_EVENT_ERROR);
}

static void removal_fired(void *arg, uint32_t ready)
{
	tell(arg, VFIO_EVENT_REMOVAL);
}

/* --- life ------------------------------------------------------------------------------------ */

static int watch(struct vfio_function *f, struct vfio_watch *w,
		 void (*fn)(void *arg, uint32_t ready), struct err *err)
{
	w->function = f;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0)
		return err_set(err, errno, "%s: eventfd: %s", f->name, strerror(errno));
	return loop_watch(f->loop, w->fd, POLLIN, fn, w, &w->watch, err);
}

static void unwatch(struct vfio_watch *w)
{
	loop_unwatch(w->watch);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct vfio_watch){ .fd = -1 };
}

static int make_vectors(struct vfio_function *f, struct vfio_vectors *vectors, uint32_t index,
			struct err *err)
{
	struct vfio_irq_info info;
	int ret = vfio_get_irq(f, index, &info);

	if (ret)
		return err_set(err, -ret, "%s: VFIO_DEVICE_GET_IRQ_INFO %u: %s", f->name, index,
			       strerror(-ret));
	vectors->function = f;
	vectors->index = index;
	vectors->resizes = !(info.flags & VFIO_IRQ_INFO_NORESIZE);
	vectors->max = MIN(info.count, PCI_MSIX_MAX);
	if (!vectors->max)
		return 0;
	vectors->vector = calloc(vectors->max, sizeof(vectors->vector[0]));
	if (!vectors->vector)
		return err_set(err, ENOMEM, "%s: no memory for %u interrupt vectors", f->name,
			       vectors->max);
	for (unsigned int i = 0; i < vectors->max; i++)
		vectors->vector[i].fd = -1;
	return 0;
}

static int make_intx(struct vfio_function *f, struct err *err)
{
	struct vfio_irq_info info;
	int ret = vfio_get_irq(f, VFIO_PCI_INTX_IRQ_INDEX, &info);

	if (ret || !info.count)
		return 0;
	ret = watch(f, &f->intx.watch, intx_fired, err);
	if (!ret)
		ret = pci_function_intx(f->pci, intx_unmask, f, err);
	f->intx.there = !ret;
	f->intx.maskable = info.flags & (VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED);
	return ret;
}

/* A kernel or device without it: nothing to hear of. */
static int make_notice(struct vfio_function *f, struct vfio_watch *w, unsigned int index,
		       void (*fn)(void *arg, uint32_t ready), struct err *err)
{
	struct vfio_irq_info info;
	int ret = vfio_get_irq(f, index, &info);

	if (ret || !info.count)
		return 0;
	ret = watch(f, w, fn, err);
	if (!ret && vfio_set_eventfds(f, index, 0, 1, &w->fd))
		unwatch(w);
	return ret;
}

int vfio_irqs_create(struct vfio_function *f, struct err *err)
{
	int ret = make_vectors(f, &f->msi, VFIO_PCI_MSI_IRQ_INDEX, err);

	if (!ret)
		ret = make_vectors(f, &f->msix, VFIO_PCI_MSIX_IRQ_INDEX, err);
	if (!ret)
		ret = make_intx(f, err);
	if (!ret)
		ret = make_notice(f, &f->error, VFIO_PCI_ERR_IRQ_INDEX, error_fired, err);
	if (!ret)
		ret = make_notice(f, &f->removal, VFIO_PCI_REQ_IRQ_INDEX, removal_fired, err);
	return ret;
}

void vfio_irqs_start(struct vfio_function *f)
{
	intx_on(f);
}

void vfio_irqs_stop(struct vfio_function *f)
{
	intx_off(f);
}

static void free_vectors(struct vfio_vectors *vectors)
{
	if (vectors->enabled)
		vectors_disable(vectors);
	free(vectors->vector);
}

void vfio_irqs_destroy(struct vfio_function *f)
{
	free_vectors(&f->msi);
	free_vectors(&f->msix);
	intx_off(f);
	unwatch(&f->intx.watch);
	unwatch(&f->error);
	unwatch(&f->removal);
}
