/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's life and its plain facts: the identity registers, and what a device may ask of it
 * from any thread.
 *
 * Source: PCI Express Base 6.0 section 7.5.1 (type 0 header).
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define VENDOR_ABSENT 0xffffu

static void write_identity(struct pci_function *function, const struct pci_id *id)
{
	uint8_t *config = function->config, *writable = function->writable;

	store_le(config + PCI_VENDOR_ID, id->vendor, 2);
	store_le(config + PCI_DEVICE_ID, id->device, 2);
	config[PCI_REVISION_ID] = id->revision;
	store_le(config + PCI_CLASS_PROG, id->class_code, 3);
	config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL;
	store_le(config + PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor, 2);
	store_le(config + PCI_SUBSYSTEM_ID, id->subsystem_device, 2);

	store_le(writable + PCI_COMMAND,
		 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			 PCI_COMMAND_INTX_DISABLE,
		 2);
	writable[PCI_CACHE_LINE_SIZE] = 0xff;
	writable[PCI_INTERRUPT_LINE] = 0xff;
}

int pci_function_create(struct pci_function **out, const char *name, const struct pci_id *id,
			const struct pci_ops *ops, void *opaque, struct err *err)
{
	struct pci_function *function;

	if (!*name || strlen(name) > PCI_NAME_MAX)
		return err_set(err, EINVAL,
			       "PCI function name '%.80s' must have 1 to %u characters", name,
			       PCI_NAME_MAX);
	if (id->vendor == VENDOR_ABSENT || id->class_code >> 24)
		return err_set(
			err, EINVAL,
			"%s: vendor 0x%04x or class 0x%06x is not one a PCI function can have",
			name, id->vendor, id->class_code);
	function = calloc(1, sizeof(*function));
	if (!function)
		return err_set(err, ENOMEM, "%s: no memory for its configuration space", name);
	memcpy(function->name, name, strlen(name));
	function->ops = ops;
	function->opaque = opaque;
	function->cap_end = PCI_STD_HEADER_SIZEOF;
	function->ext_cap_end = PCI_CFG_SPACE_SIZE;
	write_identity(function, id);
	*out = function;
	return 0;
}

void pci_function_destroy(struct pci_function *function)
{
	if (!function)
		return;
	if (function->ops && function->ops->free)
		function->ops->free(function->opaque);
	pci_msix_free(function->msix);
	free(function->msi);
	pci_intx_free(function->intx);
	free(function);
}

int pci_function_check_unplugged(const struct pci_function *function, struct err *err)
{
	if (!function->bus)
		return 0;
	return err_set(err, EBUSY, "%s is in slot %u already: shape it before it is added",
		       function->name, function->slot);
}

uint8_t *pci_function_config(struct pci_function *function)
{
	return function->config;
}

uint8_t *pci_function_writable(struct pci_function *function)
{
	return function->writable;
}

static uint16_t command(const struct pci_function *function)
{
	return __atomic_load_n(&function->command, __ATOMIC_ACQUIRE);
}

bool pci_function_bus_master(const struct pci_function *function)
{
	return command(function) & PCI_COMMAND_MASTER;
}

bool pci_function_mem_enabled(const struct pci_function *function)
{
	return command(function) & PCI_COMMAND_MEMORY;
}

const char *pci_function_name(const struct pci_function *function)
{
	return function->name;
}

unsigned int pci_function_slot(const struct pci_function *function)
{
	return function->slot;
}

uint64_t pci_function_bar_address(const struct pci_function *function, unsigned int index)
{
	if (index >= PCI_BARS)
		return 0;
	return __atomic_load_n(&function->bars[index].address, __ATOMIC_ACQUIRE);
}
