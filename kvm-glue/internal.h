/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of kvm-glue know of each other's state; nobody else includes this. */
#ifndef ADIT_KVM_GLUE_INTERNAL_H
#define ADIT_KVM_GLUE_INTERNAL_H

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "kvm-glue/vm.h"

struct slot_table;

struct gsi_table {
	pthread_mutex_t lock;
	struct kvm_irq_routing *routing; /* scratch for the ioctl, room entries */
	struct gsi_entry *entries;	 /* by GSI, room of them; they move when they grow */
	uint32_t room, max, first_free_hint, ioapic_pins;
	bool dirty;
};

struct vm {
	int kvm_fd, fd;
	const struct log *log;
	struct epoch epoch;
	struct iomap mmio, pio;

	pthread_mutex_t slots_lock;
	struct slot_table *slots; /* swapped atomically, see memory.c */
	uint32_t max_slots;

	struct gsi_table gsi;
	size_t run_size; /* KVM_GET_VCPU_MMAP_SIZE */
};

static inline int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static inline int kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	int ret = ioctl(fd, request, value);

	return ret < 0 ? -errno : ret;
}

int slots_init(struct vm *vm);
void slots_destroy(struct vm *vm);
int gsi_init(struct vm *vm);
void gsi_destroy(struct vm *vm);

#endif
