/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs and the expansion ROM of an assigned function: their types from the device's registers,
 * their sizes from VFIO's regions, what of them can be mapped straight into the guest, and the
 * handlers for the rest.
 *
 * What is mapped: the areas that the region offers, but for the pages that hold the MSI-X table and
 * pending bits, which are adit's. Each mapping lies in host memory as the BAR will lie in the
 * guest's, modulo 2 MiB or 1 GiB, so that both page tables can use large pages.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>

#include "passthrough/vfio/internal.h"
#include "util/bits.h"

#define PAGE  4096ULL
#define PARTS (VFIO_MAX_AREAS + 2)

static uint64_t region_read(void *opaque, uint64_t offset, unsigned int size)
{
	return vfio_region_read(opaque, offset, size);
}

static void region_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	vfio_region_write(opaque, offset, value, size);
}

static void memory_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	vfio_region_write(opaque, offset, value, size);
	vfio_doorbell_written(opaque, offset, value, size);
}

/* A portal behind a socket: the other side has the bytes as one store. */
static int region_store64(void *opaque, uint64_t offset, enum store64_kind kind, const void *data)
{
	const struct vfio_region *region = opaque;
	struct vfio_function *f = region->function;

	if (kind != STORE64_MOVDIR64B || !range_inside(offset, 64, 0, region->size))
		return -EAGAIN;
	return f->sys->store64(f->sys->opaque, f->fd, data, region->offset + offset) ? -EAGAIN : 0;
}

static const struct io_ops memory_ops = { .read = region_read, .write = memory_write };
static const struct io_ops portal_ops = { .read = region_read,
					  .write = region_write,
					  .store64 = region_store64 };
static const struct io_ops region_ops = { .read = region_read, .write = region_write };
static const struct io_ops rom_ops = { .read = region_read };

/* --- construction ---------------------------------------------------------------------------- */

static int make_bar(struct vfio_function *f, unsigned int index, struct err *err)
{
	struct vfio_region *region = &f->bars[index];
	uint32_t reg = (uint32_t)load_le(f->config.bytes + PCI_BASE_ADDRESS_0 + 4UL * index, 4);
	enum pci_bar_type type = PCI_BAR_MEM32;
	const struct io_ops *handlers = &memory_ops;

	if (reg & PCI_BASE_ADDRESS_SPACE_IO)
		type = PCI_BAR_IO;
	else if ((reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		type = PCI_BAR_MEM64;
	if (type == PCI_BAR_IO)
		handlers = &region_ops;
	else if (f->sys->store64)
		handlers = &portal_ops;
	return pci_function_bar(f->pci, index, type,
				type != PCI_BAR_IO && reg & PCI_BASE_ADDRESS_MEM_PREFETCH,
				region->size, handlers, region, err);
}

static int make_rom(struct vfio_function *f, struct err *err)
{
	int ret = vfio_get_region(f, VFIO_PCI_ROM_REGION_INDEX, &f->rom, err);

	if (ret || !f->rom.size)
		return ret;
	/* Mapping it would let the guest meet its enable bit, which is shared with BARs in
	 * hardware. */
	return pci_function_rom(f->pci, f->rom.size, &rom_ops, &f->rom, err);
}

int vfio_bars_create(struct vfio_function *f, bool rom, struct err *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < PCI_BARS; i++) {
		ret = vfio_get_region(f, VFIO_PCI_BAR0_REGION_INDEX + i, &f->bars[i], err);
		if (!ret && f->bars[i].size)
			ret = make_bar(f, i, err);
	}
	if (!ret && rom)
		ret = make_rom(f, err);
	return ret;
}

/* --- mapping --------------------------------------------------------------------------------- */

struct part {
	uint64_t start, end;
};

/* Takes [start, end) out of the parts; one may become two. */
static void cut(struct part *parts, unsigned int *n, uint64_t start, uint64_t end)
{
	unsigned int count = *n;

	for (unsigned int i = 0; i < count; i++) {
		struct part *p = &parts[i];
		struct part rest = { end, p->end };

		if (start >= p->end || end <= p->start)
			continue;
		p->end = MAX(start, p->start);
		if (rest.start < rest.end && p->start == p->end)
			*p = rest;
		else if (rest.start < rest.end && *n < PARTS)
			parts[(*n)++] = rest;
	}
}

static void cut_msix(struct vfio_function *f, unsigned int index, struct part *parts,
		     unsigned int *n)
{
	const uint8_t *cap = f->config.bytes + f->config.msix;
	static const unsigned int registers[] = { PCI_MSIX_TABLE, PCI_MSIX_PBA };
	uint64_t vectors;

	if (!f->config.msix)
		return;
	vectors = (load_le(cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(registers); i++) {
		uint64_t reg = load_le(cap + registers[i], 4), start = reg & ~7ULL;
		uint64_t size = i ? align_up(vectors, 64) / 8 : vectors * PCI_MSIX_ENTRY_SIZE;

		if ((reg & 7) == index)
			cut(parts, n, align_down(start, PAGE), align_up(start + size, PAGE));
	}
}

/*
 * Address space for `size` bytes that sits as `offset` does modulo the largest page that fits. What
 * is reserved beside it stays reserved: it costs nothing.
 */
static void *reserve(struct vfio_region *region, uint64_t offset, uint64_t size)
{
	uint64_t align = size >= GIB ? GIB : size >= 2 * MIB ? 2 * MIB : PAGE, total = size + align;
	char *base;
	uint64_t at;

	if (region->n_maps == ARRAY_SIZE(region->maps))
		return NULL;
	base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	region->maps[region->n_maps].at = base;
	region->maps[region->n_maps++].size = total;
	at = align_down((uintptr_t)base, align) + offset % align;
	return base + ((at < (uintptr_t)base ? at + align : at) - (uintptr_t)base);
}

static int map_part(struct vfio_function *f, unsigned int index, const struct part *part,
		    struct err *err)
{
	struct vfio_region *region = &f->bars[index];
	uint64_t size = part->end - part->start;
	void *at = reserve(region, part->start, size);
	int ret = at ? f->sys->mmap(f->sys->opaque, f->fd, at, size,
				    region->flags & VFIO_REGION_INFO_FLAG_WRITE,
				    region->offset + part->start)
		     : -ENOMEM;

	/* Without the mapping every access exits and is answered: slow, but right. */
	if (ret) {
		log_line(f->log, LOG_WARN, "vfio", "%s: BAR %u cannot be mapped (%s): it is slow",
			 f->name, index, strerror(-ret));
		return 0;
	}
	ret = pci_function_bar_memory(f->pci, index, part->start, size, at, err);
	if (!ret && f->peers)
		vfio_peer_add(f, index, part->start, size, at);
	return ret;
}

static int map_bar(struct vfio_function *f, unsigned int index, struct err *err)
{
	struct vfio_region *region = &f->bars[index];
	struct part parts[PARTS];
	unsigned int n = 0;
	int ret = 0;

	/* A read-only slot for what may not be written is more than any device asks for. */
	if (!(region->flags & VFIO_REGION_INFO_FLAG_WRITE))
		return 0;
	for (unsigned int i = 0; i < region->n_areas; i++) {
		uint64_t start = align_up(region->areas[i].offset, PAGE), end;

		if (!range_inside(region->areas[i].offset, region->areas[i].size, 0, region->size))
			continue;
		end = align_down(region->areas[i].offset + region->areas[i].size, PAGE);
		if (start < end)
			parts[n++] = (struct part){ start, end };
	}
	cut_msix(f, index, parts, &n);
	for (unsigned int i = 0; !ret && i < n; i++) {
		if (parts[i].start < parts[i].end)
			ret = map_part(f, index, &parts[i], err);
	}
	return ret;
}

int vfio_bars_map(struct vfio_function *f, struct err *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < PCI_BARS; i++) {
		uint8_t reg = f->config.bytes[PCI_BASE_ADDRESS_0 + 4UL * i];

		if (f->bars[i].size && !(reg & PCI_BASE_ADDRESS_SPACE_IO))
			ret = map_bar(f, i, err);
	}
	return ret;
}

void vfio_bars_unmap(struct vfio_function *f)
{
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		for (unsigned int m = 0; m < f->bars[i].n_maps; m++)
			munmap(f->bars[i].maps[m].at, f->bars[i].maps[m].size);
		f->bars[i].n_maps = 0;
	}
}
