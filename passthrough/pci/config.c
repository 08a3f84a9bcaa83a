/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space accesses: what a guest's bytes change, and what becomes true afterwards. It
 * is one file because write masks, reset and their effects must agree.
 *
 * Source: PCI Express Base 6.0 sections 7.5.1 and 6.6.2 (function-level reset).
 */
#include <linux/pci_regs.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

uint64_t pci_config_read(const struct pci_function *function, uint32_t offset, unsigned int size)
{
	return load_le(function->config + offset, size);
}

void pci_config_apply(struct pci_function *function)
{
	uint16_t command = (uint16_t)load_le(function->config + PCI_COMMAND, 2);

	__atomic_store_n(&function->command, command, __ATOMIC_RELEASE);
	pci_bars_apply(function);
	pci_msix_apply(function);
}

/* Reading untouched pages costs no memory, writing them would: most functions use one of four. */
void pci_config_power_on(struct pci_function *function)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		if (function->writable[i])
			function->power_on[i] = function->config[i] & function->writable[i];
	}
}

static void reset(struct pci_function *function)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		uint8_t writable = function->writable[i];

		if (writable)
			function->config[i] = (uint8_t)((function->config[i] & ~writable) |
							(function->power_on[i] & writable));
	}
	pci_msix_reset(function);
	pci_config_apply(function);
	if (function->ops && function->ops->reset)
		function->ops->reset(function->opaque);
}

void pci_config_write(struct pci_function *function, uint32_t offset, uint64_t value,
		      unsigned int size)
{
	uint8_t bytes[8];

	store_le(bytes, value, size);
	for (unsigned int i = 0; i < size; i++) {
		uint8_t writable = function->writable[offset + i];

		/* A read-only byte is not stored to: its page may never have been touched. */
		if (writable)
			function->config[offset + i] =
				(uint8_t)((function->config[offset + i] & ~writable) |
					  (bytes[i] & writable));
	}
	if (pci_express_starts_flr(function, offset, value, size)) {
		reset(function);
		return;
	}
	pci_config_apply(function);
	if (function->ops && function->ops->config_written)
		function->ops->config_written(function->opaque, offset, size);
}
