/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest can do to the PCI core: any sequence of configuration, BAR, port and MSI-X
 * accesses on a bus with two functions, of which one comes and goes. The VM is a stand-in with
 * the two I/O maps and nothing of KVM, so that it runs everywhere and fast.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "kvm-glue/ioapic.h"
#include "kvm-glue/memory.h"
#include "kvm-glue/vm.h"
#include "passthrough/pci/pci.h"
#include "util/bits.h"

#define ECAM 0xe0000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct vm {
	struct epoch epoch;
	struct iomap mmio, pio;
	struct epoch_reader reader;
	struct pci_bus *bus;
	struct pci_function *one, *two; /* two may be NULL: unplugged */
	struct vm_memory slots[4];	/* size 0: free */
	bool open[4];			/* vectors of two's source */
};

struct irq_line {
	bool asserted;
};

/* The device's registers are at one place at a time, and never over something else. */
int vm_memory_add(struct vm *vm, const struct vm_memory *memory, unsigned int *slot,
		  struct err *err)
{
	unsigned int free_slot = ARRAY_SIZE(vm->slots);

	for (unsigned int i = 0; i < ARRAY_SIZE(vm->slots); i++) {
		const struct vm_memory *m = &vm->slots[i];

		if (range_overlaps(m->gpa, m->size, memory->gpa, memory->size))
			abort();
		if (!m->size)
			free_slot = i;
	}
	if (free_slot == ARRAY_SIZE(vm->slots) || !memory->device)
		abort();
	vm->slots[free_slot] = *memory;
	*slot = free_slot;
	return 0;
}

int vm_memory_unlink(struct vm *vm, unsigned int slot, struct err *err)
{
	if (!vm->slots[slot].size)
		abort();
	vm->slots[slot].size = 0;
	return 0;
}

/* Nothing here asks for one. */
int ioevent_add(struct vm *vm, const struct ioevent *event, int fd, struct err *err)
{
	abort();
}

int ioevent_remove(struct vm *vm, const struct ioevent *event, int fd)
{
	abort();
}

int irq_line_open(struct irq_line **out, struct ioapic *ioapic, unsigned int pin,
		  void (*unmask)(void *opaque), void *opaque)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -1;
}

void irq_line_close(struct irq_line *line)
{
	free(line);
}

void irq_line_set(struct irq_line *line, bool asserted)
{
	line->asserted = asserted;
}

void irq_line_restore(struct irq_line *line, bool asserted)
{
	line->asserted = asserted;
}

static void source_enable(void *opaque, unsigned int vectors)
{
	if (vectors != 1 && vectors != 2 && vectors != 4)
		abort();
}

static void source_disable(void *opaque)
{
	struct vm *vm = opaque;

	if (vm->open[0] || vm->open[1] || vm->open[2] || vm->open[3])
		abort();
}

static void source_open(void *opaque, unsigned int vector, const struct msi_message *message)
{
	struct vm *vm = opaque;

	vm->open[vector] = true;
}

static void source_close(void *opaque, unsigned int vector)
{
	struct vm *vm = opaque;

	if (!vm->open[vector])
		abort();
	vm->open[vector] = false;
}

static bool source_pending(void *opaque, unsigned int vector)
{
	return vector & 1;
}

static const struct pci_vector_ops source_ops = {
	.enable = source_enable,
	.disable = source_disable,
	.open = source_open,
	.close = source_close,
	.pending = source_pending,
};

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

int msi_send(struct vm *vm, const struct msi_message *msi)
{
	/* No message leaves a function that may not write to memory. */
	if (!pci_function_bus_master(vm->one) && !(vm->two && pci_function_bus_master(vm->two)))
		abort();
	if (msi->address & 3)
		abort();
	return 1;
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned int size)
{
	if (offset + size > *(const uint64_t *)opaque)
		abort();
	return offset;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	if (offset + size > *(const uint64_t *)opaque)
		abort();
}

static int device_store64(void *opaque, uint64_t offset, enum store64_kind kind, const void *bytes)
{
	return 0;
}

static const struct io_ops device_ops = { .read = device_read,
					  .write = device_write,
					  .store64 = device_store64 };

static const uint64_t bar_sizes[] = { 16, 4 * KIB, 8 * KIB, 64 * KIB };

static void must(int ret)
{
	if (ret)
		abort();
}

static void bar(struct pci_function *f, unsigned int index, enum pci_bar_type type,
		unsigned int size)
{
	must(pci_function_bar(f, index, type, false, bar_sizes[size], &device_ops,
			      (void *)&bar_sizes[size], NULL));
}

static struct pci_function *function_new(const char *name)
{
	const struct pci_id id = { .vendor = 0x8086, .device = 0x0b25, .class_code = 0x088000 };
	struct pci_function *f;

	must(pci_function_create(&f, name, &id, NULL, NULL, NULL));
	return f;
}

static void plug_one(struct vm *vm)
{
	struct pci_function *f = vm->one = function_new("one");

	bar(f, 0, PCI_BAR_MEM64, 2);
	bar(f, 2, PCI_BAR_MEM32, 0);
	bar(f, 4, PCI_BAR_IO, 0);
	must(pci_function_express(f, NULL));
	must(pci_function_msix(f, 65, 0, 0x1000, 0x1800, NULL));
	must(pci_bus_add(vm->bus, f, 1, NULL));
}

/* A guest that spread its BARs over a window has earned a refusal. */
static void plug_two(struct vm *vm)
{
	const struct pci_msi_options msi = {
		.offset = 0xa0, .log2_vectors = 2, .wide = true, .maskable = true
	};
	struct pci_function *f = function_new("two");

	bar(f, 0, PCI_BAR_MEM32, 1);
	bar(f, 1, PCI_BAR_MEM64, 3);
	bar(f, 5, PCI_BAR_IO, 0);
	must(pci_function_msix(f, 2, 1, 0, 0x20, NULL));
	must(pci_function_bar_memory(f, 1, 4 * KIB, 8 * KIB, (void *)(4 * KIB), NULL));
	must(pci_function_bar_memory(f, 1, 60 * KIB, 4 * KIB, (void *)(4 * KIB), NULL));
	must(pci_function_rom(f, 4 * KIB, &device_ops, (void *)&bar_sizes[1], NULL));
	must(pci_function_intx(f, NULL, NULL, NULL));
	must(pci_function_msi(f, &msi, &source_ops, vm, NULL));
	must(pci_function_express(f, NULL));
	if (pci_bus_add(vm->bus, f, 2, NULL))
		pci_function_destroy(f);
	else
		vm->two = f;
}

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	unsigned int n = (unsigned int)MIN((size_t)bytes, in->left);
	uint64_t value = load_le(in->data, n);

	in->data += n;
	in->left -= n;
	return value;
}

static void touch(struct vm *vm, struct iomap *map, uint64_t address, bool write, struct input *in)
{
	unsigned int shape = (unsigned int)take(in, 1), len = 1u << (shape & 3);
	uint64_t value = write ? take(in, len) : 0;

	if (shape & 0x80)
		len = 1 + (shape >> 4 & 7);
	epoch_enter(&vm->epoch, &vm->reader);
	if (write)
		iomap_write(map, address, &value, len);
	else
		iomap_read(map, address, &value, len);
	epoch_exit(&vm->reader);
}

static void store(struct vm *vm, uint64_t address)
{
	static const uint8_t bytes[64];
	const struct io_region *region;

	epoch_enter(&vm->epoch, &vm->reader);
	region = iomap_find(&vm->mmio, address);
	if (region && region->ops->store64 &&
	    range_inside(align_down(address - region->base, 64), 64, 0, region->size))
		region->ops->store64(region->opaque, align_down(address - region->base, 64),
				     STORE64_MOVDIR64B, bytes);
	epoch_exit(&vm->reader);
}

static uint64_t bar_address(const struct vm *vm, unsigned int which)
{
	const struct pci_function *f = which & 8 && vm->two ? vm->two : vm->one;

	return pci_function_bar_address(f, which & 7);
}

static void step(struct vm *vm, struct input *in)
{
	unsigned int op = (unsigned int)take(in, 1), which = op >> 4;
	bool write = op & 8;

	switch (op & 7) {
	case 0: /* a register of slot 0 to 3 */
		touch(vm, &vm->mmio, ECAM + ((which & 3) << 15) + take(in, 2) % 0x1000, write, in);
		break;
	case 1:
		touch(vm, &vm->mmio, ECAM + take(in, 3) % PCI_ECAM_SIZE, write, in);
		break;
	case 2:
		touch(vm, &vm->mmio, bar_address(vm, which) + take(in, 2), write, in);
		break;
	case 3:
		touch(vm, &vm->pio, bar_address(vm, which) + take(in, 1), write, in);
		break;
	case 4:
		touch(vm, &vm->mmio, take(in, 8), write, in);
		break;
	case 5:
		if (vm->two)
			pci_function_intx_set(vm->two, which & 1);
		pci_function_msix_fire(which & 8 && vm->two ? vm->two : vm->one,
				       (unsigned int)take(in, 1));
		break;
	case 6:
		store(vm, bar_address(vm, which) + take(in, 2));
		break;
	default:
		if (vm->two) {
			struct pci_function *gone = vm->two;

			vm->two = NULL;
			pci_bus_remove(vm->bus, gone);
		} else {
			plug_two(vm);
		}
	}
}

static void check(struct vm *vm)
{
	uint64_t id;

	epoch_enter(&vm->epoch, &vm->reader);
	if (!iomap_read(&vm->mmio, ECAM + (1 << 15), &id, 4) || (uint32_t)id != 0x0b258086)
		abort();
	iomap_read(&vm->mmio, ECAM + (2 << 15), &id, 4);
	if ((uint32_t)id != (vm->two ? 0x0b258086 : 0xffffffff))
		abort();
	epoch_exit(&vm->reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pci_bus_options options = {
		.mem32 = { 0xc0000000, MIB },
		.mem64 = { 1ULL << 40, MIB },
		.io = { 0xc000, 0x100 },
		.ecam_base = ECAM,
		.ioapic = (struct ioapic *)&bar_sizes, /* only passed on */
	};
	struct input in = { data, MIN(size, 4096) };
	struct vm vm = { 0 };

	epoch_init(&vm.epoch);
	must(iomap_init(&vm.mmio, &vm.epoch));
	must(iomap_init(&vm.pio, &vm.epoch));
	epoch_join(&vm.epoch, &vm.reader);
	must(pci_bus_create(&vm.bus, &vm, &options, NULL));
	plug_one(&vm);
	plug_two(&vm);
	while (in.left)
		step(&vm, &in);
	check(&vm);
	pci_bus_destroy(vm.bus);
	epoch_leave(&vm.epoch, &vm.reader);
	iomap_destroy(&vm.mmio);
	iomap_destroy(&vm.pio);
	epoch_destroy(&vm.epoch);
	return 0;
}
