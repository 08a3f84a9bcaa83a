/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus and its functions, saved and loaded: what a guest wrote into configuration spaces and
 * MSI-X tables. What a function is comes from who makes it again, and has to be the same; a bit
 * that the guest cannot write is not loaded.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define VERSION 1

/* Those of the host's devices have more to them than these registers. */
static int check_carried(const struct pci_function *function, struct err *err)
{
	if (!function->msi && !function->intx && !(function->msix && function->msix->source))
		return 0;
	if (function->ops && function->ops->carried)
		return 0;
	return err_set(err, EOPNOTSUPP, "%s: a snapshot does not carry what this device is",
		       function->name);
}

static const char section_prefix[] = "function ";

int pci_bus_plan(struct pci_bus *bus, struct state_in *in)
{
	const size_t skip = sizeof(section_prefix) - 1;
	char name[STATE_NAME_MAX + 1];

	for (unsigned int i = 0; !in->ret && state_name(in, i, name); i++) {
		uint64_t slot;

		if (strncmp(name, section_prefix, skip) != 0)
			continue;
		state_enter(in, VERSION, "%s", name);
		slot = state_take(in, PCI_SLOTS - 1);
		if (strlen(name + skip) > PCI_NAME_MAX || (slot && *bus->planned[slot]))
			state_refuse(in, "its slot %u is another's too", (unsigned int)slot);
		else if (slot)
			memcpy(bus->planned[slot], name + skip, strlen(name + skip));
	}
	return in->ret;
}

static void save_function(struct pci_function *function, struct state_out *out)
{
	uint32_t pending = function->msi ? pci_msi_settle(function) : 0;
	struct pci_msix *msix = function->msix;

	state_begin(out, VERSION, "function %s", function->name);
	state_put(out, function->slot);
	state_put_bytes(out, function->config, sizeof(function->config));
	state_put_bytes(out, function->power_on, sizeof(function->power_on));
	state_put(out, msix ? msix->vectors : 0);
	if (msix) {
		pthread_mutex_lock(&msix->lock);
		pci_msix_settle(msix);
		state_put_bytes(out, msix->table, msix->table_span.size);
		state_put_bytes(out, msix->pending, msix->pba_span.size);
		pthread_mutex_unlock(&msix->lock);
	}
	if (function->msi)
		state_put(out, pending);
	state_end(out);
}

int pci_bus_save(struct pci_bus *bus, struct state_out *out, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&bus->lock);
	state_begin(out, VERSION, "bus");
	state_put(out, __atomic_load_n(&bus->address, __ATOMIC_RELAXED));
	state_end(out);
	for (unsigned int slot = 0; slot < PCI_SLOTS && !ret; slot++) {
		if (!bus->slots[slot])
			continue;
		ret = check_carried(bus->slots[slot], err);
		if (!ret)
			save_function(bus->slots[slot], out);
	}
	pthread_mutex_unlock(&bus->lock);
	return ret;
}

/* Bits of a byte that may be other ones here. */
static uint8_t free_bits(const struct pci_function *function, unsigned int at)
{
	/* State that hardware sets. What is the device's own is 0 in these bytes, always. */
	if (at == PCI_STATUS || at == PCI_STATUS + 1)
		return 0xff;
	if (function->anew_bits && at - function->anew < sizeof(function->anew_bits))
		return (uint8_t)(function->anew_bits >> 8 * (at - function->anew));
	return 0;
}

/* Read-only bytes say what the function is: its identity, its capabilities, its BARs' sizes. */
static void check_identity(const struct pci_function *function, const uint8_t *config,
			   struct state_in *in)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		uint8_t fixed = (uint8_t) ~(function->writable[i] | free_bits(function, i));

		if ((function->config[i] ^ config[i]) & fixed) {
			state_refuse(
				in,
				"its configuration space has %#x at %#x, and this machine's "
				"function %#x: another device, or the same with other features",
				config[i], i, function->config[i]);
			return;
		}
	}
}

static void load_msix(struct pci_function *function, struct state_in *in)
{
	struct pci_msix *msix = function->msix;

	pthread_mutex_lock(&msix->lock);
	pci_msix_load(msix, in);
	pthread_mutex_unlock(&msix->lock);
}

static void write_back(struct pci_function *function, const uint8_t *config,
		       const uint8_t *power_on)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		uint8_t writable = function->writable[i];

		if (!writable)
			continue;
		function->config[i] =
			(uint8_t)((function->config[i] & ~writable) | (config[i] & writable));
		function->power_on[i] = power_on[i] & writable;
	}
	pci_config_apply(function);
	if (function->ops && function->ops->config_written)
		function->ops->config_written(function->opaque, PCI_COMMAND, 2);
}

/* With what it was told, it has everything to hold them by. */
static void post_pending(struct pci_function *function, uint32_t msi)
{
	if (function->msi)
		pci_msi_post(function, msi);
	if (!function->msix)
		return;
	pthread_mutex_lock(&function->msix->lock);
	pci_msix_post(function->msix);
	pthread_mutex_unlock(&function->msix->lock);
}

static int load_function(struct pci_function *function, struct state_in *in)
{
	uint8_t config[PCI_CONFIG_SIZE], power_on[PCI_CONFIG_SIZE];
	unsigned int vectors = function->msix ? function->msix->vectors : 0;
	uint32_t pending = 0;
	uint64_t slot;
	int ret;

	state_enter(in, VERSION, "function %s", function->name);
	slot = state_take(in, PCI_SLOTS - 1);
	if (slot != function->slot)
		state_refuse(in, "it was in slot %u, and is in slot %u here", (unsigned int)slot,
			     function->slot);
	state_take_bytes(in, config, sizeof(config));
	state_take_bytes(in, power_on, sizeof(power_on));
	if (!in->ret)
		check_identity(function, config, in);
	if (state_take(in, PCI_MSIX_MAX) != vectors)
		state_refuse(in, "it has not %u vectors as here", vectors);
	if (!in->ret && function->msix)
		load_msix(function, in);
	if (function->msi)
		pending = (uint32_t)state_take(in, UINT32_MAX);
	ret = state_leave(in);
	if (!ret) {
		write_back(function, config, power_on);
		post_pending(function, pending);
	}
	return ret;
}

int pci_bus_load(struct pci_bus *bus, struct state_in *in)
{
	uint32_t address;

	state_enter(in, VERSION, "bus");
	address = (uint32_t)state_take(in, UINT32_MAX);
	if (state_leave(in))
		return in->ret;
	pthread_mutex_lock(&bus->lock);
	__atomic_store_n(&bus->address, address, __ATOMIC_RELAXED);
	for (unsigned int slot = 0; slot < PCI_SLOTS && !in->ret; slot++) {
		if (bus->slots[slot])
			load_function(bus->slots[slot], in);
	}
	pthread_mutex_unlock(&bus->lock);
	return in->ret;
}
