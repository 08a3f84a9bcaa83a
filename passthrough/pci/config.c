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

static bool passed(const struct pci_function *function, uint32_t offset)
{
	return function->passed[offset / 8] >> offset % 8 & 1;
}

void pci_function_pass(struct pci_function *function, uint32_t offset, unsigned int size)
{
	for (uint32_t i = offset; i < offset + size && i < PCI_CONFIG_SIZE; i++)
		function->passed[i / 8] |= (uint8_t)(1u << i % 8);
}

void pci_function_anew(struct pci_function *function, uint32_t offset, uint16_t bits)
{
	function->anew = offset;
	function->anew_bits = bits;
}

/* How many of the access's bytes are the device's. */
static unsigned int count_passed(const struct pci_function *function, uint32_t offset,
				 unsigned int size)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < size; i++)
		n += passed(function, offset + i);
	return n;
}

uint64_t pci_config_read(struct pci_function *function, uint32_t offset, unsigned int size)
{
	uint64_t value, theirs;

	pci_msi_refresh(function, offset, size);
	if (offset <= PCI_STATUS && offset + size > PCI_STATUS)
		pci_intx_refresh(function);
	value = load_le(function->config + offset, size);
	if (!count_passed(function, offset, size) || !function->ops || !function->ops->config_read)
		return value;
	theirs = function->ops->config_read(function->opaque, offset, size);
	for (unsigned int i = 0; i < size; i++) {
		uint64_t byte = 0xffULL << (8 * i);

		if (passed(function, offset + i))
			value = (value & ~byte) | (theirs & byte);
	}
	return value;
}

/* In one piece where all of it is the device's: a register's halves may not come apart. */
static void write_passed(struct pci_function *function, uint32_t offset, uint64_t value,
			 unsigned int size)
{
	unsigned int n = count_passed(function, offset, size);

	if (!n || !function->ops || !function->ops->config_write)
		return;
	if (n == size) {
		function->ops->config_write(function->opaque, offset, value, size);
		return;
	}
	for (unsigned int i = 0; i < size; i++) {
		if (passed(function, offset + i))
			function->ops->config_write(function->opaque, offset + i,
						    value >> (8 * i) & 0xff, 1);
	}
}

void pci_config_apply(struct pci_function *function)
{
	uint16_t command = (uint16_t)load_le(function->config + PCI_COMMAND, 2);

	__atomic_store_n(&function->command, command, __ATOMIC_RELEASE);
	if (function->bus) {
		pci_bars_apply(function);
		pci_intx_apply(function);
	}
	if (function->blocked)
		return;
	pci_msix_apply(function);
	pci_msi_apply(function);
}

/* Reading untouched pages costs no memory, writing them would: most functions use one of four. */
void pci_config_power_on(struct pci_function *function)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		if (function->writable[i])
			function->power_on[i] = function->config[i] & function->writable[i];
	}
}

void pci_config_reset(struct pci_function *function)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		uint8_t writable = function->writable[i];

		if (writable)
			function->config[i] = (uint8_t)((function->config[i] & ~writable) |
							(function->power_on[i] & writable));
	}
	pci_msix_reset(function);
	pci_config_apply(function);
	if (function->exported)
		function->exported->quiet(function->exported_opaque, true);
	if (function->ops && function->ops->reset)
		function->ops->reset(function->opaque);
	if (function->exported)
		function->exported->quiet(function->exported_opaque, false);
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
		pci_config_reset(function);
		return;
	}
	pci_config_apply(function);
	write_passed(function, offset, value, size);
	if (function->ops && function->ops->config_written)
		function->ops->config_written(function->opaque, offset, size);
}
