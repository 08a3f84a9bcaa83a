/* SPDX-License-Identifier: Apache-2.0 */
/* Source: OASIS virtio 1.2, sections 4.1.4.3 and 4.2.2. */
#include "bare.h"

#define MMIO_PLACES  24
#define MMIO_STEP    0x200
#define MMIO_MAGIC   0x74726976
#define MMIO_VERSION 0x004
#define MMIO_TYPE    0x008
#define MMIO_ACCEPT  0x020
#define MMIO_ACCEPTS 0x024
#define MMIO_QUEUE   0x030
#define MMIO_MOST    0x034
#define MMIO_SIZE    0x038
#define MMIO_ENABLE  0x044
#define MMIO_NOTIFY  0x050
#define MMIO_STATUS  0x070
#define MMIO_DESC    0x080
#define MMIO_DRIVER  0x090
#define MMIO_DEVICE  0x0a0
#define MMIO_CONFIG  0x100

static bool find_mmio(struct bare *b, uint64_t base, unsigned int type)
{
	/* All below 4 GiB, where everything is mapped. */
	for (unsigned int i = 0; i < MMIO_PLACES; i++) {
		uint64_t at = base + (uint64_t)MMIO_STEP * i;

		if (read32(at) != MMIO_MAGIC || read32(at + MMIO_VERSION) != 2 ||
		    read32(at + MMIO_TYPE) != type)
			continue;
		b->mmio = at;
		b->device = at + MMIO_CONFIG;
		return true;
	}
	return false;
}

bool bare_find(struct bare *b, unsigned int type)
{
	uint64_t base = command_number("mmio", 0);

	b->mmio = 0;
	if (base)
		return find_mmio(b, base, type);
	if (!pci_init() || !virtio_find(&b->pci, type, 0))
		return false;
	b->device = b->pci.device;
	return true;
}

bool bare_agree(struct bare *b, uint64_t features)
{
	if (!b->mmio)
		return virtio_agree(&b->pci, features);
	write32(b->mmio + MMIO_STATUS, 0);
	while (read32(b->mmio + MMIO_STATUS))
		cpu_relax();
	write32(b->mmio + MMIO_STATUS, 1);
	write32(b->mmio + MMIO_STATUS, 3);
	write32(b->mmio + MMIO_ACCEPTS, 0);
	write32(b->mmio + MMIO_ACCEPT, (uint32_t)features);
	write32(b->mmio + MMIO_ACCEPTS, 1);
	write32(b->mmio + MMIO_ACCEPT, (uint32_t)(features >> 32));
	write32(b->mmio + MMIO_STATUS, 0xb);
	return read32(b->mmio + MMIO_STATUS) == 0xb;
}

static void put64(uint64_t at, const void *value)
{
	write32(at, (uint32_t)(uint64_t)value);
	write32(at + 4, (uint32_t)((uint64_t)value >> 32));
}

static bool queue_pci(const struct virtio *v, unsigned int index, unsigned int entries,
		      const void *descriptors, const void *driver, const void *device,
		      uint64_t *doorbell)
{
	write16(v->common + 22, (uint16_t)index);
	if (read16(v->common + 24) < entries)
		return false;
	write16(v->common + 24, (uint16_t)entries);
	write64(v->common + 32, (uint64_t)descriptors);
	write64(v->common + 40, (uint64_t)driver);
	write64(v->common + 48, (uint64_t)device);
	*doorbell = v->notify + (uint64_t)v->notify_step * read16(v->common + 30);
	write16(v->common + 28, 1);
	return true;
}

bool bare_queue(struct bare *b, unsigned int index, unsigned int entries, const void *descriptors,
		const void *driver, const void *device, uint64_t *doorbell)
{
	if (!b->mmio)
		return queue_pci(&b->pci, index, entries, descriptors, driver, device, doorbell);
	write32(b->mmio + MMIO_QUEUE, index);
	if (read32(b->mmio + MMIO_MOST) < entries)
		return false;
	write32(b->mmio + MMIO_SIZE, entries);
	put64(b->mmio + MMIO_DESC, descriptors);
	put64(b->mmio + MMIO_DRIVER, driver);
	put64(b->mmio + MMIO_DEVICE, device);
	write32(b->mmio + MMIO_ENABLE, 1);
	*doorbell = b->mmio + MMIO_NOTIFY;
	return read32(b->mmio + MMIO_ENABLE);
}

bool bare_ready(struct bare *b)
{
	if (!b->mmio) {
		virtio_ready(&b->pci);
		return virtio_status(&b->pci) == 0xf;
	}
	write32(b->mmio + MMIO_STATUS, 0xf);
	return read32(b->mmio + MMIO_STATUS) == 0xf;
}
