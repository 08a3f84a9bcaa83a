/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts into the guest: the GSI route table that many owners share, irqfds on routed GSIs,
 * MSIs sent at once, and ioeventfds on the way out.
 *
 * KVM takes the whole table at every change (KVM_SET_GSI_ROUTING), so owners change entries first
 * and commit once. GSIs below the I/O APIC's pin count belong to it; the others are handed out by
 * gsi_alloc. With a split irqchip KVM refuses resample irqfds (EINVAL), so there are none here.
 */
#ifndef ADIT_KVM_GLUE_IRQ_H
#define ADIT_KVM_GLUE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct vm;

/* PCI Local Bus 3.0 section 6.8.1; the x86 layout is Intel SDM volume 3, 11.11. */
struct msi_message {
	uint64_t address;
	uint32_t data;
};

/* -ENOSPC: all of KVM's routes are in use. A new GSI has no route: it delivers nothing. */
int gsi_alloc(struct vm *vm, uint32_t *gsi, struct err *err);
/* Drops the route too; takes effect with the next commit. irqfds on it must be gone. */
void gsi_free(struct vm *vm, uint32_t gsi);

/* NULL: no route. Nothing reaches KVM before gsi_commit. */
void gsi_set_msi(struct vm *vm, uint32_t gsi, const struct msi_message *msi);
/* One KVM_SET_GSI_ROUTING for all changes since the last; nothing where nothing changed. */
int gsi_commit(struct vm *vm, struct err *err);

/* From now on a write to the eventfd raises the GSI's message. fd is borrowed by KVM (it refs it).
 */
int irqfd_add(struct vm *vm, uint32_t gsi, int fd, struct err *err);
int irqfd_remove(struct vm *vm, uint32_t gsi, int fd);

/* KVM_SIGNAL_MSI. Any thread. 1 delivered, 0 blocked by the guest, -errno. */
int msi_send(struct vm *vm, const struct msi_message *msi);

struct ioevent {
	uint64_t address; /* guest-physical address, or port */
	uint8_t size;	  /* 1, 2, 4, 8 bytes; 0: any (MMIO only, where KVM can) */
	bool pio;
	bool match; /* signal only where the value written equals `data` */
	uint64_t data;
};

/* A guest write there signals the eventfd without an exit to user space. -EEXIST: taken. */
int ioevent_add(struct vm *vm, const struct ioevent *event, int fd, struct err *err);
int ioevent_remove(struct vm *vm, const struct ioevent *event, int fd);

#endif
