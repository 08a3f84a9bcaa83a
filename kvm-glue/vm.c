/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm-glue/vm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm-glue/caps.h"
#include "kvm-glue/internal.h"

#define KVM_NODE "/dev/kvm"

static int open_node(int borrowed, int *out, struct err *err)
{
	int fd = borrowed >= 0 ? fcntl(borrowed, F_DUPFD_CLOEXEC, 0)
			       : open(KVM_NODE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return kvm_node_error(errno, err);
	*out = fd;
	return 0;
}

int vm_create(struct vm **out, const struct vm_options *options, struct err *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return err_set(err, ENOMEM, "no memory for a VM");
	vm->kvm_fd = vm->fd = -1;
	vm->log = options->log;
	epoch_init(&vm->epoch);
	pthread_mutex_init(&vm->slots_lock, NULL);

	ret = open_node(options->kvm_fd, &vm->kvm_fd, err);
	if (!ret)
		ret = kvm_check_required(vm->kvm_fd, err);
	if (ret)
		goto fail;

	/* Takes every lock of the address space, and gives up when a signal comes meanwhile. */
	do
		vm->fd = kvm_ioctl_value(vm->kvm_fd, KVM_CREATE_VM, 0);
	while (vm->fd == -EINTR);
	if (vm->fd < 0) {
		ret = err_set(err, -vm->fd, "KVM_CREATE_VM: %s", strerror(-vm->fd));
		goto fail;
	}
	vm->run_size = (size_t)kvm_ioctl_value(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	ret = iomap_init(&vm->mmio, &vm->epoch);
	if (!ret)
		ret = iomap_init(&vm->pio, &vm->epoch);
	if (!ret)
		ret = slots_init(vm);
	if (!ret)
		ret = gsi_init(vm);
	if (ret) {
		err_set(err, -ret, "setting up the VM's tables: %s", strerror(-ret));
		goto fail;
	}
	*out = vm;
	return 0;
fail:
	vm_destroy(vm);
	return ret;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	gsi_destroy(vm);
	slots_destroy(vm);
	if (vm->pio.table)
		iomap_destroy(&vm->pio);
	if (vm->mmio.table)
		iomap_destroy(&vm->mmio);
	epoch_destroy(&vm->epoch);
	pthread_mutex_destroy(&vm->slots_lock);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	free(vm);
}

int vm_split_irqchip(struct vm *vm, unsigned int pins, struct err *err)
{
	int ret = vm_enable(vm, KVM_CAP_SPLIT_IRQCHIP, pins);

	if (ret)
		return err_set(err, -ret, "KVM_CAP_SPLIT_IRQCHIP with %u pins: %s", pins,
			       strerror(-ret));
	vm->gsi.ioapic_pins = pins;
	return 0;
}

int vm_fd(const struct vm *vm)
{
	return vm->fd;
}

int vm_kvm_fd(const struct vm *vm)
{
	return vm->kvm_fd;
}

const struct log *vm_log(const struct vm *vm)
{
	return vm->log;
}

struct epoch *vm_epoch(struct vm *vm)
{
	return &vm->epoch;
}

struct iomap *vm_mmio(struct vm *vm)
{
	return &vm->mmio;
}

struct iomap *vm_pio(struct vm *vm)
{
	return &vm->pio;
}

int vm_has(const struct vm *vm, unsigned int capability)
{
	int ret = kvm_ioctl_value(vm->fd, KVM_CHECK_EXTENSION, capability);

	return ret > 0 ? ret : 0;
}

int vm_enable(struct vm *vm, unsigned int capability, uint64_t arg0)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { arg0 } };

	return kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}
