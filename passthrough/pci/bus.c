/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root bus: which function is in which slot, the ECAM through which the guest reaches their
 * configuration space, and the host bridge in slot 0. Only bus 0 and function 0 of each device
 * exist; everything else reads as all ones, and writes there are lost.
 *
 * Source: PCI Express Base 6.0 section 7.2.2 (ECAM).
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "kvm-glue/vm.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define ECAM_DEVICE_SHIFT   15
#define ECAM_FUNCTION_SHIFT 12

/* The id that is set aside for the host bridge of a virtual machine; no driver binds to it. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008
#define BRIDGE_CLASS  0x060000

/* --- ECAM ------------------------------------------------------------------------------------ */

static struct pci_function *ecam_function(const struct pci_bus *bus, uint64_t offset)
{
	if (offset >> ECAM_FUNCTION_SHIFT & 7)
		return NULL;
	return bus->slots[offset >> ECAM_DEVICE_SHIFT & (PCI_SLOTS - 1)];
}

static bool in_one_function(uint64_t offset, unsigned int size)
{
	return offset % PCI_CONFIG_SIZE + size <= PCI_CONFIG_SIZE;
}

/* With the lock held; inside one function's 4 KiB. */
static uint64_t ecam_read_one(struct pci_bus *bus, uint64_t offset, unsigned int size)
{
	struct pci_function *function = ecam_function(bus, offset);

	return function && !function->blocked
		       ? pci_config_read(function, offset % PCI_CONFIG_SIZE, size)
		       : ~0ULL;
}

static void ecam_write_one(struct pci_bus *bus, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_function *function = ecam_function(bus, offset);

	if (function && !function->blocked)
		pci_config_write(function, offset % PCI_CONFIG_SIZE, value, size);
}

uint64_t pci_ecam_read(struct pci_bus *bus, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	pthread_mutex_lock(&bus->lock);
	if (in_one_function(offset, size)) {
		value = ecam_read_one(bus, offset, size);
	} else {
		for (unsigned int i = 0; i < size; i++)
			value |= (ecam_read_one(bus, offset + i, 1) & 0xff) << (8 * i);
	}
	pthread_mutex_unlock(&bus->lock);
	return value;
}

void pci_ecam_write(struct pci_bus *bus, uint64_t offset, uint64_t value, unsigned int size)
{
	pthread_mutex_lock(&bus->lock);
	if (in_one_function(offset, size)) {
		ecam_write_one(bus, offset, value, size);
	} else {
		for (unsigned int i = 0; i < size; i++)
			ecam_write_one(bus, offset + i, value >> (8 * i) & 0xff, 1);
	}
	pthread_mutex_unlock(&bus->lock);
}

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned int size)
{
	return pci_ecam_read(opaque, offset, size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	pci_ecam_write(opaque, offset, value, size);
}

static const struct io_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* --- slots ----------------------------------------------------------------------------------- */

static int choose_slot(const struct pci_bus *bus, const struct pci_function *function, int slot,
		       unsigned int *out, struct err *err)
{
	if (slot < -1 || slot == 0 || slot >= (int)PCI_SLOTS)
		return err_set(err, EINVAL, "%s: slot %d: 1 to %u are possible", function->name,
			       slot, PCI_SLOTS - 1);
	if (slot > 0 && bus->slots[slot])
		return err_set(err, EEXIST, "%s: slot %d holds %s: choose another", function->name,
			       slot, bus->slots[slot]->name);
	for (unsigned int s = 1; slot < 0 && s < PCI_SLOTS; s++) {
		if (!bus->slots[s] && !strcmp(bus->planned[s], function->name)) {
			*out = s;
			return 0;
		}
	}
	for (unsigned int s = slot > 0 ? (unsigned int)slot : 1; s < PCI_SLOTS; s++) {
		if (!bus->slots[s] && (slot > 0 || !*bus->planned[s])) {
			*out = s;
			return 0;
		}
	}
	return err_set(err, ENOSPC, "%s: all %u slots are in use: remove a device first",
		       function->name, PCI_SLOTS - 1);
}

static int check_reserve(const struct pci_bus *bus, const char *name, unsigned int slot,
			 struct err *err)
{
	if (!slot || slot >= PCI_SLOTS || strlen(name) > PCI_NAME_MAX)
		return err_set(err, EINVAL, "%s: slot %u: 1 to %u are possible", name, slot,
			       PCI_SLOTS - 1);
	if (bus->slots[slot])
		return err_set(err, EEXIST, "%s: slot %u holds %s: choose another", name, slot,
			       bus->slots[slot]->name);
	if (*bus->planned[slot] && strcmp(bus->planned[slot], name) != 0)
		return err_set(err, EEXIST, "%s: slot %u is that of %s: choose another", name, slot,
			       bus->planned[slot]);
	for (unsigned int s = 1; s < PCI_SLOTS; s++) {
		if (s != slot && !strcmp(bus->planned[s], name))
			return err_set(err, ENOTUNIQ, "%s: slot %u: it was in slot %u", name, slot,
				       s);
	}
	return 0;
}

int pci_bus_reserve(struct pci_bus *bus, const char *name, unsigned int slot, struct err *err)
{
	int ret;

	pthread_mutex_lock(&bus->lock);
	ret = check_reserve(bus, name, slot, err);
	if (!ret)
		snprintf(bus->planned[slot], sizeof(bus->planned[slot]), "%s", name);
	pthread_mutex_unlock(&bus->lock);
	return ret;
}

void pci_bus_unreserve(struct pci_bus *bus, const char *name)
{
	pthread_mutex_lock(&bus->lock);
	for (unsigned int s = 1; s < PCI_SLOTS; s++) {
		if (!strcmp(bus->planned[s], name))
			*bus->planned[s] = 0;
	}
	pthread_mutex_unlock(&bus->lock);
}

/* With the lock held. */
static int plug(struct pci_bus *bus, struct pci_function *function, unsigned int slot,
		struct err *err)
{
	int ret;

	pci_config_power_on(function);
	ret = pci_bars_place(bus, function, err);
	if (ret)
		return ret;
	function->bus = bus;
	function->slot = slot;
	ret = pci_intx_plug(function, err);
	if (ret) {
		function->bus = NULL;
		return ret;
	}
	for (unsigned int i = 0; i < PCI_BAR_SLOTS; i++) {
		if (function->bars[i].function)
			pci_bar_prepare(&function->bars[i]);
	}
	if (function->msix && !function->msix->deliver_arg)
		function->msix->deliver_arg = bus->vm;
	bus->slots[slot] = function;
	/* Once it has gone the slot is anybody's. */
	*bus->planned[slot] = 0;
	pci_config_apply(function);
	return 0;
}

int pci_bus_add(struct pci_bus *bus, struct pci_function *function, int slot, struct err *err)
{
	unsigned int chosen = 0;
	int ret;

	pthread_mutex_lock(&bus->lock);
	ret = pci_function_check_unplugged(function, err);
	if (!ret)
		ret = choose_slot(bus, function, slot, &chosen, err);
	if (!ret)
		ret = plug(bus, function, chosen, err);
	pthread_mutex_unlock(&bus->lock);
	return ret;
}

/* With the lock held: the guest finds it no more; who entered before may still be inside. */
static void unplug(struct pci_bus *bus, struct pci_function *function)
{
	bus->slots[function->slot] = NULL;
	pci_msix_silence(function);
	pci_msi_silence(function);
	pci_bars_withdraw(function);
}

void pci_function_block(struct pci_function *function, bool blocked)
{
	struct pci_bus *bus = function->bus;

	pthread_mutex_lock(&bus->lock);
	__atomic_store_n(&function->blocked, blocked, __ATOMIC_RELEASE);
	if (blocked) {
		pci_msix_silence(function);
		pci_msi_silence(function);
	}
	pci_config_apply(function);
	pthread_mutex_unlock(&bus->lock);
	epoch_wait(vm_epoch(bus->vm));
}

void pci_bus_remove(struct pci_bus *bus, struct pci_function *function)
{
	pthread_mutex_lock(&bus->lock);
	unplug(bus, function);
	pthread_mutex_unlock(&bus->lock);
	epoch_wait(vm_epoch(bus->vm));
	pci_intx_unplug(function);
	pci_function_destroy(function);
}

/* --- the bus --------------------------------------------------------------------------------- */

static int plug_host_bridge(struct pci_bus *bus, struct err *err)
{
	const struct pci_id id = { .vendor = BRIDGE_VENDOR,
				   .device = BRIDGE_DEVICE,
				   .class_code = BRIDGE_CLASS };
	struct pci_function *bridge;
	int ret = pci_function_create(&bridge, "host bridge", &id, NULL, NULL, err);

	if (ret)
		return ret;
	ret = plug(bus, bridge, 0, err);
	if (ret)
		pci_function_destroy(bridge);
	return ret;
}

int pci_bus_create(struct pci_bus **out, struct vm *vm, const struct pci_bus_options *options,
		   struct err *err)
{
	struct io_region ecam = { .base = options->ecam_base,
				  .size = PCI_ECAM_SIZE,
				  .ops = &ecam_ops,
				  .name = "PCI ECAM" };
	struct pci_bus *bus;
	int ret = pci_windows_check(options, err);

	if (ret)
		return ret;
	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return err_set(err, ENOMEM, "no memory for the PCI bus");
	bus->vm = vm;
	bus->options = *options;
	pthread_mutex_init(&bus->lock, NULL);
	ret = plug_host_bridge(bus, err);
	if (ret)
		goto fail;
	ecam.opaque = bus;
	ret = iomap_add(vm_mmio(vm), &ecam);
	if (ret) {
		err_set(err, -ret, "the PCI ECAM at 0x%llx: %s", (unsigned long long)ecam.base,
			ret == -EEXIST ? "something else is there" : strerror(-ret));
		goto fail;
	}
	bus->ecam_mapped = true;
	*out = bus;
	return 0;
fail:
	pci_bus_destroy(bus);
	return ret;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	if (bus->ecam_mapped)
		pci_unmap(vm_mmio(bus->vm), bus->options.ecam_base, bus);
	for (unsigned int slot = PCI_SLOTS; slot-- > 0;) {
		if (bus->slots[slot])
			pci_bus_remove(bus, bus->slots[slot]);
	}
	epoch_wait(vm_epoch(bus->vm));
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}
