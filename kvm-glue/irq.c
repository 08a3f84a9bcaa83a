/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/internal.h"
#include "util/bits.h"

struct gsi_entry {
	bool used;   /* handed out */
	bool routed; /* msi is its route */
	struct msi_message msi;
};

/* A guest has far fewer vectors than MAX_ROUTES, so the tables start small and grow. */
#define MAX_ROUTES   4096u
#define FIRST_ROUTES 64u

/* Makes both tables hold `room` entries; caller holds the lock or is alone. */
static int grow(struct gsi_table *t, uint32_t room)
{
	struct kvm_irq_routing *routing;
	struct gsi_entry *entries;

	routing = realloc(t->routing, sizeof(*routing) + room * sizeof(routing->entries[0]));
	if (!routing)
		return -ENOMEM;
	t->routing = routing;
	routing->flags = 0;
	entries = realloc(t->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	memset(entries + t->room, 0, (room - t->room) * sizeof(*entries));
	t->entries = entries;
	t->room = room;
	return 0;
}

int gsi_init(struct vm *vm)
{
	struct gsi_table *t = &vm->gsi;
	int max = vm_has(vm, KVM_CAP_IRQ_ROUTING);

	t->max = MIN((uint32_t)MAX(max, 1), MAX_ROUTES);
	pthread_mutex_init(&t->lock, NULL);
	return grow(t, MIN(t->max, FIRST_ROUTES));
}

void gsi_destroy(struct vm *vm)
{
	free(vm->gsi.entries);
	free(vm->gsi.routing);
	vm->gsi.entries = NULL;
	vm->gsi.routing = NULL;
}

int gsi_alloc(struct vm *vm, uint32_t *gsi, struct err *err)
{
	struct gsi_table *t = &vm->gsi;
	int ret = 0;
	uint32_t i;

	pthread_mutex_lock(&t->lock);
	i = MAX(t->first_free_hint, t->ioapic_pins);
	while (i < t->room && t->entries[i].used)
		i++;
	if (i >= t->max)
		ret = err_set(err, ENOSPC, "all %u interrupt routes of this VM are in use", t->max);
	else if (i >= t->room && grow(t, MIN(2 * i, t->max)))
		ret = err_set(err, ENOMEM, "no memory for interrupt route %u", i);
	if (!ret) {
		t->entries[i] = (struct gsi_entry){ .used = true };
		t->first_free_hint = i + 1;
		*gsi = i;
	}
	pthread_mutex_unlock(&t->lock);
	return ret;
}

void gsi_free(struct vm *vm, uint32_t gsi)
{
	struct gsi_table *t = &vm->gsi;

	pthread_mutex_lock(&t->lock);
	t->dirty |= t->entries[gsi].routed;
	t->entries[gsi] = (struct gsi_entry){ .used = false };
	t->first_free_hint = MIN(t->first_free_hint, gsi);
	pthread_mutex_unlock(&t->lock);
}

void gsi_set_msi(struct vm *vm, uint32_t gsi, const struct msi_message *msi)
{
	struct gsi_table *t = &vm->gsi;
	struct gsi_entry *e;

	pthread_mutex_lock(&t->lock);
	e = &t->entries[gsi];
	if (msi && !(e->routed && e->msi.address == msi->address && e->msi.data == msi->data)) {
		e->routed = true;
		e->msi = *msi;
		t->dirty = true;
	} else if (!msi && e->routed) {
		e->routed = false;
		t->dirty = true;
	}
	pthread_mutex_unlock(&t->lock);
}

int gsi_commit(struct vm *vm, struct err *err)
{
	struct gsi_table *t = &vm->gsi;
	uint32_t n = 0;
	int ret = 0;

	pthread_mutex_lock(&t->lock);
	if (!t->dirty)
		goto out;
	for (uint32_t i = 0; i < t->room; i++) {
		if (!t->entries[i].routed)
			continue;
		t->routing->entries[n++] = (struct kvm_irq_routing_entry){
			.gsi = i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {
				.address_lo = (uint32_t)t->entries[i].msi.address,
				.address_hi = (uint32_t)(t->entries[i].msi.address >> 32),
				.data = t->entries[i].msi.data,
			},
		};
	}
	t->routing->nr = n;
	ret = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, t->routing);
	if (!ret)
		t->dirty = false;
out:
	pthread_mutex_unlock(&t->lock);
	if (ret)
		err_set(err, -ret, "KVM_SET_GSI_ROUTING with %u routes: %s", n, strerror(-ret));
	return ret;
}

static int irqfd(struct vm *vm, uint32_t gsi, int fd, uint32_t flags)
{
	struct kvm_irqfd arg = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };

	return kvm_ioctl(vm->fd, KVM_IRQFD, &arg);
}

int irqfd_add(struct vm *vm, uint32_t gsi, int fd, struct err *err)
{
	int ret = irqfd(vm, gsi, fd, 0);

	if (ret)
		return err_set(err, -ret, "KVM_IRQFD on GSI %u: %s", gsi, strerror(-ret));
	return 0;
}

int irqfd_remove(struct vm *vm, uint32_t gsi, int fd)
{
	return irqfd(vm, gsi, fd, KVM_IRQFD_FLAG_DEASSIGN);
}

int msi_send(struct vm *vm, const struct msi_message *msi)
{
	struct kvm_msi arg = {
		.address_lo = (uint32_t)msi->address,
		.address_hi = (uint32_t)(msi->address >> 32),
		.data = msi->data,
	};

	return kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &arg);
}

static int ioeventfd(struct vm *vm, const struct ioevent *event, int fd, uint32_t flags)
{
	struct kvm_ioeventfd arg = {
		.datamatch = event->data,
		.addr = event->address,
		.len = event->size,
		.fd = fd,
		.flags = flags | (event->pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (event->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};

	return kvm_ioctl(vm->fd, KVM_IOEVENTFD, &arg);
}

int ioevent_add(struct vm *vm, const struct ioevent *event, int fd, struct err *err)
{
	int ret = ioeventfd(vm, event, fd, 0);

	if (ret)
		return err_set(err, -ret, "KVM_IOEVENTFD at %s %#llx, %u bytes: %s",
			       event->pio ? "port" : "address", (unsigned long long)event->address,
			       event->size, strerror(-ret));
	return 0;
}

int ioevent_remove(struct vm *vm, const struct ioevent *event, int fd)
{
	return ioeventfd(vm, event, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
