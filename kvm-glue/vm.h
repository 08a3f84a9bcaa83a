/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual machine as KVM sees it: the descriptor, the two I/O maps that exits are looked up
 * in, and the epoch that all lookups of this VM run under. Memory slots (memory.h), interrupt
 * routes (irq.h) and vCPUs (vcpu.h) hang off it.
 *
 * Source: Linux Documentation/virt/kvm/api.rst.
 */
#ifndef ADIT_KVM_GLUE_VM_H
#define ADIT_KVM_GLUE_VM_H

#include <stdint.h>

#include "kvm-glue/iomap.h"
#include "util/epoch.h"
#include "util/err.h"
#include "util/log.h"

struct vm;

struct vm_options {
	int kvm_fd;	       /* /dev/kvm, borrowed for the call; -1: open the node here */
	const struct log *log; /* borrowed for the VM's life; may be NULL */
};

/*
 * Creates the VM without memory, irqchip or vCPUs. Set the memory first, then vm_split_irqchip,
 * then vCPUs: on some hosts a memory slot set after the irqchip costs milliseconds.
 * Errors: -ENOENT, -EACCES, -ENODEV (no /dev/kvm; the sentence says what to do), -ENOTSUP where
 * the host lacks what adit cannot do without.
 */
int vm_create(struct vm **out, const struct vm_options *options, struct err *err);

/* All vCPUs must be destroyed. Closes every descriptor; slots and routes go with it. */
void vm_destroy(struct vm *vm);

/*
 * Local APICs in the kernel, the I/O APIC in user space with `pins` pins (1 to 24 here), no PIC,
 * no PIT (KVM_CAP_SPLIT_IRQCHIP). GSIs 0 to pins - 1 are the I/O APIC's. Once, before vCPUs.
 */
int vm_split_irqchip(struct vm *vm, unsigned int pins, struct err *err);

int vm_fd(const struct vm *vm);
int vm_kvm_fd(const struct vm *vm);
const struct log *vm_log(const struct vm *vm);
struct epoch *vm_epoch(struct vm *vm);
struct iomap *vm_mmio(struct vm *vm);
struct iomap *vm_pio(struct vm *vm);

/* KVM_CHECK_EXTENSION on the VM: 0 where absent, else the capability's value. */
int vm_has(const struct vm *vm, unsigned int capability);
/* KVM_ENABLE_CAP on the VM. 0 or -errno. */
int vm_enable(struct vm *vm, unsigned int capability, uint64_t arg0);

#endif
