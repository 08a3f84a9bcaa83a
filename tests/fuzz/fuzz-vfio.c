/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device with any configuration space, and then a guest with any accesses to it, can do to
 * an assigned function. The VM is a stand-in with the two I/O maps; the device answers its bytes.
 * Beside it is a peer, whose DMA reaches what the guest is shown of it, and no more. At any moment
 * it may be saved, what was saved be changed, and the rest go on with that, where it is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioasid-client/ioasid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/irq.h"
#include "kvm-glue/memory.h"
#include "kvm-glue/vm.h"
#include "passthrough/pci/pci.h"
#include "passthrough/vfio/vfio.h"
#include "tests/unit/fake-migration.h"
#include "util/bits.h"
#include "util/loop.h"

#define ECAM	    0xe0000000ULL
#define CONFIG_TAKE 512u /* bytes of the input that are the device's */
#define STEP	    0x1000000u
#define BAR_SIZE    (32 * KIB)
#define GSIS	    128u
#define SAVED	    0x7f /* a step of its own */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct vm {
	struct epoch epoch;
	struct iomap mmio, pio;
	struct epoch_reader reader;
	struct pci_bus *bus;
	struct vm_memory slots[32]; /* size 0: free */
	bool gsi[GSIS];
	unsigned int irqfds, ioevents;
};

struct irq_line {
	bool asserted;
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
	if (free_slot == ARRAY_SIZE(vm->slots))
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

int msi_send(struct vm *vm, const struct msi_message *msi)
{
	abort(); /* the vectors of assigned functions never go through here */
}

int gsi_alloc(struct vm *vm, uint32_t *gsi, struct err *err)
{
	for (uint32_t i = 0; i < GSIS; i++) {
		if (vm->gsi[i])
			continue;
		vm->gsi[i] = true;
		*gsi = i;
		return 0;
	}
	return err_set(err, ENOSPC, "no route");
}

void gsi_free(struct vm *vm, uint32_t gsi)
{
	if (!vm->gsi[gsi])
		abort();
	vm->gsi[gsi] = false;
}

void gsi_set_msi(struct vm *vm, uint32_t gsi, const struct msi_message *msi)
{
	if (!vm->gsi[gsi])
		abort();
}

int gsi_commit(struct vm *vm, struct err *err)
{
	return 0;
}

int irqfd_add(struct vm *vm, uint32_t gsi, int fd, struct err *err)
{
	vm->irqfds++;
	return 0;
}

int irqfd_remove(struct vm *vm, uint32_t gsi, int fd)
{
	if (!vm->irqfds--)
		abort();
	return 0;
}

int ioevent_add(struct vm *vm, const struct ioevent *event, int fd, struct err *err)
{
	if (fd < 0 || !event->match)
		abort();
	vm->ioevents++;
	return 0;
}

int ioevent_remove(struct vm *vm, const struct ioevent *event, int fd)
{
	if (!vm->ioevents--)
		abort();
	return 0;
}

int irq_line_open(struct irq_line **out, struct ioapic *ioapic, unsigned int pin,
		  void (*unmask)(void *opaque), void *opaque)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
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

int loop_watch(struct loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t ready),
	       void *arg, struct loop_watch **out, struct err *err)
{
	*out = NULL;
	return 0;
}

void loop_unwatch(struct loop_watch *watch)
{
}

/* --- the device ------------------------------------------------------------------------------ */

struct device {
	struct vfio_sys sys;
	uint8_t config[PCI_CONFIG_SIZE];
	unsigned int config_size;
	bool resizes;
	struct fake_migration migration;
};

static uint64_t region_size(const struct device *d, unsigned int index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
	case VFIO_PCI_BAR2_REGION_INDEX:
	case VFIO_PCI_ROM_REGION_INDEX:
		return BAR_SIZE;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return 32;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return d->config_size;
	default:
		return 0;
	}
}

static int device_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	struct device *d = opaque;
	struct vfio_device_info *info = arg;
	struct vfio_region_info *region = arg;
	struct vfio_irq_info *irq = arg;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
		info->num_regions = VFIO_PCI_NUM_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		region->size = region_size(d, region->index);
		region->offset = (uint64_t)region->index * STEP;
		region->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				VFIO_REGION_INFO_FLAG_MMAP;
		return 0;
	case VFIO_DEVICE_GET_IRQ_INFO:
		irq->count = irq->index == VFIO_PCI_MSIX_IRQ_INDEX ? 64 : 1;
		irq->flags = d->resizes ? 0 : VFIO_IRQ_INFO_NORESIZE;
		return 0;
	case VFIO_DEVICE_FEATURE:
		if (fake_migration_asked(arg))
			return fake_migration_feature(&d->migration, arg);
		return open("/dev/null", O_RDWR | O_CLOEXEC); /* a dma-buf */
	default:
		return 0;
	}
}

static ssize_t device_pread(void *opaque, int fd, void *data, size_t size, uint64_t offset)
{
	struct device *d = opaque;
	unsigned int index = (unsigned int)(offset / STEP);

	offset %= STEP;
	if (offset + size > region_size(d, index))
		abort();
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(data, d->config + offset, size);
	else
		memset(data, 0x5a, size);
	return (ssize_t)size;
}

static ssize_t device_pwrite(void *opaque, int fd, const void *data, size_t size, uint64_t offset)
{
	struct device *d = opaque;

	if (offset % STEP + size > region_size(d, (unsigned int)(offset / STEP)))
		abort();
	return (ssize_t)size;
}

static int device_mmap(void *opaque, int fd, void *at, size_t size, bool write, uint64_t offset)
{
	return 0; /* the reservation will do: nobody touches it here */
}

/* --- the peer -------------------------------------------------------------------------------- */

struct peer {
	struct ioasid_ctx *ctx;
	struct ioasid_dma *dma;
	struct ioasid_device *device;
	struct ioasid_space *space;
};

static void peer_start(struct peer *peer)
{
	const struct ioasid_space_options options = { .name = "guest" };
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT };

	if (ioasid_ctx_open(&peer->ctx, IOASID_PROVIDER_SOFT, NULL, NULL) ||
	    ioasid_dma_open(peer->ctx, &peer->dma, NULL) ||
	    ioasid_bind(peer->ctx, &source, "peer", &peer->device, NULL) ||
	    ioasid_alloc(peer->ctx, &options, &peer->space, NULL) ||
	    ioasid_attach(peer->device, peer->space, NULL))
		abort();
}

/* What is shown is reached; where nothing is, nothing is left when the function is gone. */
static void peer_look(const struct peer *peer, const struct vm *vm)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vm->slots); i++) {
		const struct vm_memory *m = &vm->slots[i];
		uint64_t len = m->size;

		if (!m->size)
			continue;
		ioasid_dma_begin(peer->dma);
		if (ioasid_translate(peer->dma, peer->device, 0, m->gpa, &len, IOASID_WRITE) !=
		    m->hva)
			abort();
		ioasid_dma_end(peer->dma);
	}
}

static void peer_end(struct peer *peer)
{
	if (ioasid_unmap(peer->space, 0, 1ULL << 48, NULL) != -ENOENT)
		abort();
	ioasid_ctx_close(peer->ctx);
	ioasid_dma_close(peer->dma);
}

/* --- the guest ------------------------------------------------------------------------------- */

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
	unsigned int len = 1u << (take(in, 1) & 3);
	uint64_t value = write ? take(in, len) : 0;

	epoch_enter(&vm->epoch, &vm->reader);
	if (write)
		iomap_write(map, address, &value, len);
	else
		iomap_read(map, address, &value, len);
	epoch_exit(&vm->reader);
}

static void step(struct vm *vm, struct pci_function *f, struct input *in)
{
	unsigned int op = (unsigned int)take(in, 1);
	bool write = op & 0x80;

	switch (op & 3) {
	case 0:
	case 1:
		touch(vm, &vm->mmio, ECAM + (1 << 15) + take(in, 2) % PCI_CONFIG_SIZE, write, in);
		break;
	case 2:
		touch(vm, &vm->mmio, pci_function_bar_address(f, op >> 2 & 7) + take(in, 2), write,
		      in);
		break;
	default:
		touch(vm, &vm->pio, pci_function_bar_address(f, op >> 2 & 7) + take(in, 1), write,
		      in);
		break;
	}
}

/* False: it was refused, and the machine is none. */
static bool go_on(struct vm *vm, struct vfio_function *f, struct input *in)
{
	unsigned int changes = take(in, 1) % 8;
	struct state_out out = { 0 };
	struct err err = { 0 };
	struct state_in state;
	int ret;

	if (vfio_function_quiet(f, &err) || vfio_function_stop(f, &err) ||
	    vfio_function_save(f, &out, &err) || pci_bus_save(vm->bus, &out, &err) || out.ret)
		abort();
	for (unsigned int i = 0; i < changes; i++)
		out.data[take(in, 2) % out.len] ^= (uint8_t)take(in, 1);
	ret = state_open(&state, out.data, out.len, &err);
	if (!ret)
		ret = vfio_function_load(f, &state);
	if (!ret)
		ret = pci_bus_load(vm->bus, &state);
	if (!ret)
		ret = vfio_function_loaded(f, &err);
	if (!ret)
		ret = state_close(&state);
	/* What is as it was is taken, and what is refused is refused in words. */
	if (ret && (!changes || !err.text[0]))
		abort();
	if (!ret && vfio_function_start(f, &err))
		abort();
	state_out_free(&out);
	return !ret;
}

static void use(struct vm *vm, struct device *d, const struct peer *peer, struct input *in)
{
	const struct vfio_options options = {
		.name = "dev",
		.sys = &d->sys,
		.rom = true,
		.no_snoop = true,
		.peers = peer->space,
	};
	struct vfio_function *f;
	struct pci_function *pci;

	/* A device that makes no sense has earned its refusal. */
	if (vfio_function_create(&f, vm, &options, NULL))
		return;
	pci = vfio_function_pci(f);
	if (pci_bus_add(vm->bus, pci, 1, NULL)) {
		pci_function_destroy(pci);
		return;
	}
	while (in->left) {
		if (*in->data == SAVED) {
			take(in, 1);
			if (!go_on(vm, f, in))
				break;
		} else {
			step(vm, pci, in);
		}
		peer_look(peer, vm);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int no_ioapic;
	const struct pci_bus_options options = {
		.mem32 = { 0xc0000000, MIB },
		.mem64 = { 1ULL << 40, MIB },
		.io = { 0xc000, 0x100 },
		.ecam_base = ECAM,
		.ioapic = (struct ioapic *)&no_ioapic, /* only passed on */
	};
	struct input in = { data, MIN(size, 4096) };
	struct device d = {
		.sys = { device_ioctl, device_pread, device_pwrite, device_mmap, &d },
		.config_size = PCI_CONFIG_SIZE,
		.migration = { .flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
			       .state = VFIO_DEVICE_STATE_RUNNING,
			       .known = "Knows." },
	};
	struct vm vm = { 0 };
	struct peer peer;

	if (size > CONFIG_TAKE) {
		/* Half of it the standard header and capabilities, half the extended ones. */
		memcpy(d.config, data, CONFIG_TAKE / 2);
		memcpy(d.config + PCI_CFG_SPACE_SIZE, data + CONFIG_TAKE / 2, CONFIG_TAKE / 2);
		in.data += CONFIG_TAKE;
		in.left -= CONFIG_TAKE;
		d.resizes = data[0] & 1;
		d.config[PCI_HEADER_TYPE] &= 0x80;
	}
	epoch_init(&vm.epoch);
	if (iomap_init(&vm.mmio, &vm.epoch) || iomap_init(&vm.pio, &vm.epoch))
		abort();
	epoch_join(&vm.epoch, &vm.reader);
	if (pci_bus_create(&vm.bus, &vm, &options, NULL))
		abort();
	peer_start(&peer);
	use(&vm, &d, &peer, &in);
	pci_bus_destroy(vm.bus);
	peer_end(&peer);
	fake_migration_close(&d.migration);
	/* Nothing is left behind: no slot, no route, no irqfd. */
	for (unsigned int i = 0; i < ARRAY_SIZE(vm.slots); i++) {
		if (vm.slots[i].size)
			abort();
	}
	for (unsigned int i = 0; i < GSIS; i++) {
		if (vm.gsi[i])
			abort();
	}
	if (vm.irqfds || vm.ioevents)
		abort();
	epoch_leave(&vm.epoch, &vm.reader);
	iomap_destroy(&vm.mmio);
	iomap_destroy(&vm.pio);
	epoch_destroy(&vm.epoch);
	return 0;
}
