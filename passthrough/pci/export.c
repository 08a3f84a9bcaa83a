/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function without a bus: another process holds it (vfio-user) and reaches its registers by
 * calls. Accesses are cut into those that registers know: 1, 2, 4 or 8 bytes, aligned, in ascending
 * order.
 */
#include <errno.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define STORE64_BYTES 64u

int pci_function_export(struct pci_function *function, const struct pci_export_ops *ops,
			void *opaque, struct err *err)
{
	int ret = pci_function_check_unplugged(function, err);

	if (ret)
		return ret;
	function->exported = ops;
	function->exported_opaque = opaque;
	pci_config_power_on(function);
	/* Table and pending bits in a BAR are answered before the device's own handlers. */
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		if (function->bars[i].function)
			pci_bar_prepare(&function->bars[i]);
	}
	pci_config_apply(function);
	return 0;
}

/* The largest aligned access at `at` that fits into `left` bytes. */
static unsigned int piece(uint64_t at, uint32_t left)
{
	unsigned int size = 8;

	while (size > left || !is_aligned(at, size))
		size /= 2;
	return size;
}

void pci_export_config_read(struct pci_function *function, uint32_t offset, void *data,
			    uint32_t count)
{
	uint8_t *out = data;

	while (count) {
		unsigned int size = piece(offset, count);

		store_le(out, pci_config_read(function, offset, size), size);
		out += size;
		offset += size;
		count -= size;
	}
}

void pci_export_config_write(struct pci_function *function, uint32_t offset, const void *data,
			     uint32_t count)
{
	const uint8_t *in = data;

	while (count) {
		unsigned int size = piece(offset, count);

		pci_config_write(function, offset, load_le(in, size), size);
		in += size;
		offset += size;
		count -= size;
	}
}

void pci_export_bar_read(struct pci_function *function, unsigned int index, uint64_t offset,
			 void *data, uint32_t count)
{
	const struct io_region *region = &function->bars[index].region;
	uint8_t *out = data;

	while (count) {
		unsigned int size = piece(offset, count);
		uint64_t value = ~0ULL;

		if (region->ops->read)
			value = region->ops->read(region->opaque, offset, size);
		store_le(out, value, size);
		out += size;
		offset += size;
		count -= size;
	}
}

void pci_export_bar_write(struct pci_function *function, unsigned int index, uint64_t offset,
			  const void *data, uint32_t count)
{
	const struct io_region *region = &function->bars[index].region;
	const uint8_t *in = data;

	if (count == STORE64_BYTES && is_aligned(offset, STORE64_BYTES) && region->ops->store64) {
		(void)region->ops->store64(region->opaque, offset, STORE64_MOVDIR64B, data);
		return;
	}
	while (count) {
		unsigned int size = piece(offset, count);

		if (region->ops->write)
			region->ops->write(region->opaque, offset, load_le(in, size), size);
		in += size;
		offset += size;
		count -= size;
	}
}

void pci_export_reset(struct pci_function *function)
{
	pci_config_reset(function);
}

uint64_t pci_function_bar_size(const struct pci_function *function, unsigned int index)
{
	if (index >= PCI_BARS || !function->bars[index].function)
		return 0;
	return function->bars[index].size;
}

unsigned int pci_function_vectors(const struct pci_function *function)
{
	return function->msix ? function->msix->vectors : 0;
}
