/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with a root bus and no vCPU, and the accesses that a vCPU would make: what every test of
 * passthrough/pci starts from.
 */
#ifndef ADIT_TESTS_UNIT_TEST_PCI_H
#define ADIT_TESTS_UNIT_TEST_PCI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "kvm-glue/vm.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define ECAM 0xe0000000ULL

struct rig {
	struct vm *vm;
	struct pci_bus *bus;
	struct epoch_reader reader;
};

static const struct pci_bus_options rig_windows = {
	.mem32 = { 0xc0000000, 0x20000000 },
	.mem64 = { 1ULL << 40, 1ULL << 38 },
	.io = { 0xc000, 0x4000 },
	.ecam_base = ECAM,
};

/* False, with the reason printed, where there is no VM to be had. */
static inline bool rig_open(struct rig *rig, const struct pci_bus_options *options)
{
	const struct vm_options vm_options = { .kvm_fd = -1 };
	struct err err = { 0 };

	memset(rig, 0, sizeof(*rig));
	if (vm_create(&rig->vm, &vm_options, &err)) {
		print_message("SKIPPED: %s\n", err.text);
		return false;
	}
	epoch_join(vm_epoch(rig->vm), &rig->reader);
	assert_int_equal(pci_bus_create(&rig->bus, rig->vm, options, &err), 0);
	return true;
}

static inline void rig_close(struct rig *rig)
{
	pci_bus_destroy(rig->bus);
	epoch_leave(vm_epoch(rig->vm), &rig->reader);
	vm_destroy(rig->vm);
}

#define RIG(rig, options)                       \
	struct rig rig;                         \
	do {                                    \
		if (!rig_open(&(rig), options)) \
			skip();                 \
	} while (0)

static inline uint64_t rig_read_map(struct rig *rig, struct iomap *map, uint64_t address,
				    unsigned int size)
{
	uint64_t value = 0;

	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	iomap_read(map, address, &value, size);
	epoch_exit(&rig->reader);
	return value;
}

static inline void rig_write_map(struct rig *rig, struct iomap *map, uint64_t address,
				 uint64_t value, unsigned int size)
{
	epoch_enter(vm_epoch(rig->vm), &rig->reader);
	iomap_write(map, address, &value, size);
	epoch_exit(&rig->reader);
}

static inline uint64_t mem_read(struct rig *rig, uint64_t address, unsigned int size)
{
	return rig_read_map(rig, vm_mmio(rig->vm), address, size);
}

static inline void mem_write(struct rig *rig, uint64_t address, uint64_t value, unsigned int size)
{
	rig_write_map(rig, vm_mmio(rig->vm), address, value, size);
}

static inline uint64_t pio_read(struct rig *rig, uint64_t port, unsigned int size)
{
	return rig_read_map(rig, vm_pio(rig->vm), port, size);
}

static inline uint64_t cfg_address(unsigned int slot, unsigned int offset)
{
	return ECAM + ((uint64_t)slot << 15) + offset;
}

static inline uint64_t cfg_read(struct rig *rig, unsigned int slot, unsigned int offset,
				unsigned int size)
{
	return mem_read(rig, cfg_address(slot, offset), size);
}

static inline void cfg_write(struct rig *rig, unsigned int slot, unsigned int offset,
			     uint64_t value, unsigned int size)
{
	mem_write(rig, cfg_address(slot, offset), value, size);
}

static inline struct pci_function *new_function(const char *name, const struct pci_ops *ops,
						void *opaque)
{
	const struct pci_id id = { .vendor = 0x8086,
				   .device = 0x0b25,
				   .subsystem_vendor = 0x1af4,
				   .subsystem_device = 0x1100,
				   .class_code = 0x088000,
				   .revision = 3 };
	struct pci_function *function;
	struct err err = { 0 };

	assert_int_equal(pci_function_create(&function, name, &id, ops, opaque, &err), 0);
	return function;
}

/* Answers with a tag and the offset, so that a read shows who was met and where. */
#define TAG(tag, offset) ((uint64_t)(tag) << 24 | (offset))

static inline uint64_t tag_read(void *opaque, uint64_t offset, unsigned int size)
{
	return TAG((uintptr_t)opaque, offset) & mask_bytes(size);
}

static const struct io_ops tag_ops = { .read = tag_read };

static inline void *tag(unsigned int number)
{
	return (void *)(uintptr_t)number;
}

static inline void add_bar(struct pci_function *function, unsigned int index,
			   enum pci_bar_type type, uint64_t size, unsigned int number)
{
	struct err err = { 0 };

	if (pci_function_bar(function, index, type, false, size, &tag_ops, tag(number), &err))
		fail_msg("%s", err.text);
}

static inline void add_function(struct rig *rig, struct pci_function *function, int slot)
{
	struct err err = { 0 };

	if (pci_bus_add(rig->bus, function, slot, &err))
		fail_msg("%s", err.text);
}

#endif
