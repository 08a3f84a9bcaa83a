/* SPDX-License-Identifier: Apache-2.0 */
/* Source: OASIS virtio 1.2, section 4.2.2. */
#include "mmio.h"

#define STEP	    0x200
#define MAGIC	    0x74726976
#define REG_VERSION 0x004
#define REG_TYPE    0x008
#define REG_ACCEPT  0x020
#define REG_ACCEPTS 0x024
#define REG_QUEUE   0x030
#define REG_MOST    0x034
#define REG_SIZE    0x038
#define REG_ENABLE  0x044
#define REG_NOTIFY  0x050
#define REG_STATUS  0x070
#define REG_DESC    0x080
#define REG_DRIVER  0x090
#define REG_DEVICE  0x0a0
#define CONFIG	    0x100

bool mmio_find(struct mmio *m, uint64_t base, unsigned int n, unsigned int type)
{
	if (!map_device(base, (uint64_t)STEP * n))
		return false;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t at = base + (uint64_t)STEP * i;

		if (read32(at) != MAGIC || read32(at + REG_VERSION) != 2 ||
		    read32(at + REG_TYPE) != type)
			continue;
		*m = (struct mmio){ at, at + CONFIG, at + REG_NOTIFY };
		return true;
	}
	return false;
}

bool mmio_agree(struct mmio *m, uint64_t features)
{
	write32(m->base + REG_STATUS, 0);
	while (read32(m->base + REG_STATUS))
		cpu_relax();
	write32(m->base + REG_STATUS, 1);
	write32(m->base + REG_STATUS, 3);
	write32(m->base + REG_ACCEPTS, 0);
	write32(m->base + REG_ACCEPT, (uint32_t)features);
	write32(m->base + REG_ACCEPTS, 1);
	write32(m->base + REG_ACCEPT, (uint32_t)(features >> 32));
	write32(m->base + REG_STATUS, 0xb);
	return read32(m->base + REG_STATUS) == 0xb;
}

static void put64(uint64_t at, const void *value)
{
	write32(at, (uint32_t)(uint64_t)value);
	write32(at + 4, (uint32_t)((uint64_t)value >> 32));
}

bool mmio_queue(struct mmio *m, unsigned int index, unsigned int entries, const void *descriptors,
		const void *driver, const void *device)
{
	write32(m->base + REG_QUEUE, index);
	if (read32(m->base + REG_MOST) < entries)
		return false;
	write32(m->base + REG_SIZE, entries);
	put64(m->base + REG_DESC, descriptors);
	put64(m->base + REG_DRIVER, driver);
	put64(m->base + REG_DEVICE, device);
	write32(m->base + REG_ENABLE, 1);
	return read32(m->base + REG_ENABLE);
}

bool mmio_ready(struct mmio *m)
{
	write32(m->base + REG_STATUS, 0xf);
	return read32(m->base + REG_STATUS) == 0xf;
}
