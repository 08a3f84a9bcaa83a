/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file, because the order is what matters. Devices are saved before the vCPUs: what they end
 * meanwhile raises interrupts, which the local APICs then have. Loading goes the other way round,
 * so that an interrupt finds its APIC.
 */
#include "vmm/machine-state.h"

#include <errno.h>

#include "kvm-glue/cpuid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu-state.h"
#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "vmm/adis.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/layout.h"
#include "vmm/power.h"
#include "vmm/processors.h"
#include "vmm/rtc.h"
#include "vmm/serial.h"
#include "vmm/virtio/devices.h"

/* --- what the machine is --------------------------------------------------------------------- */

static void save_range(struct state_out *out, uint64_t base, uint64_t size)
{
	state_put(out, base);
	state_put(out, size);
}

static void save_shape(const struct machine_state_parts *parts, struct state_out *out)
{
	const struct layout *layout = parts->layout;

	state_begin(out, 1, "machine");
	state_put(out, parts->config->cpus.boot_vcpus);
	state_put(out, parts->config->memory.size);
	state_put(out, layout->n_ram);
	for (unsigned int i = 0; i < layout->n_ram; i++)
		save_range(out, layout->ram[i].gpa, layout->ram[i].size);
	save_range(out, layout->mmio32.base, layout->mmio32.size);
	save_range(out, layout->mmio64.base, layout->mmio64.size);
	save_range(out, layout->io.base, layout->io.size);
	save_range(out, layout->ecam.base, layout->ecam.size);
	state_put(out, parts->config->debug_exit);
	state_end(out);
}

static void check_number(struct state_in *in, const char *what, uint64_t here)
{
	uint64_t there = state_take(in, UINT64_MAX);

	if (there != here)
		state_refuse(in, "%s was %llu and is %llu here", what, (unsigned long long)there,
			     (unsigned long long)here);
}

static void check_range(struct state_in *in, const char *what, uint64_t base, uint64_t size)
{
	uint64_t was = state_take(in, UINT64_MAX), was_size = state_take(in, UINT64_MAX);

	if (was != base || was_size != size)
		state_refuse(in, "%s was at %#llx + %#llx and is at %#llx + %#llx here", what,
			     (unsigned long long)was, (unsigned long long)was_size,
			     (unsigned long long)base, (unsigned long long)size);
}

static int check_shape(const struct machine_state_parts *parts, struct state_in *in)
{
	const struct layout *layout = parts->layout;

	state_enter(in, 1, "machine");
	check_number(in, "/cpus/boot_vcpus", parts->config->cpus.boot_vcpus);
	check_number(in, "/memory/size", parts->config->memory.size);
	check_number(in, "the number of pieces of RAM", layout->n_ram);
	for (unsigned int i = 0; i < layout->n_ram && !in->ret; i++)
		check_range(in, "RAM", layout->ram[i].gpa, layout->ram[i].size);
	check_range(in, "the 32-bit window", layout->mmio32.base, layout->mmio32.size);
	check_range(in, "the 64-bit window", layout->mmio64.base, layout->mmio64.size);
	check_range(in, "the I/O window", layout->io.base, layout->io.size);
	check_range(in, "the ECAM", layout->ecam.base, layout->ecam.size);
	check_number(in, "/debug_exit", parts->config->debug_exit);
	return state_leave(in);
}

/* --- what is not carried --------------------------------------------------------------------- */

static int refuse(const char *list, size_t index, const char *id, const char *what, struct err *err)
{
	return err_set(err, EOPNOTSUPP,
		       "/%s/%zu: a snapshot does not carry %s, which \"%s\" is: remove it first",
		       list, index, what, id);
}

int machine_state_check(const struct config *config, struct err *err)
{
	if (config->n_user_devices)
		return refuse("user_devices", 0, config->user_devices[0].id,
			      "a device of a vfio-user server", err);
	for (size_t i = 0; i < config->n_adis; i++) {
		if (config->adis[i].backend != DSA_BACKEND_SOFT)
			return refuse("adis", i, config->adis[i].id,
				      "an ADI on a device of the host", err);
	}
	for (size_t i = 0; i < config->n_net; i++) {
		if (config->net[i].vhost)
			return refuse("net", i, config->net[i].id,
				      "an interface whose queues are the kernel's (\"vhost\")",
				      err);
	}
	if (config->memory.hotplug_size)
		return err_set(err, EOPNOTSUPP,
			       "/memory/hotplug_size: a snapshot does not carry memory that can be "
			       "plugged");
	return 0;
}

/* --- all of it ------------------------------------------------------------------------------- */

int machine_state_save(const struct machine_state_parts *parts, struct state_out *out,
		       struct err *err)
{
	int ret;

	save_shape(parts, out);
	cpuid_save(parts->cpuid, out);
	ret = adis_save(parts->adis, out, err);
	if (!ret)
		ret = devices_save(parts->devices, out, err);
	if (!ret)
		ret = virtio_devices_save(parts->virtio, out, err);
	if (!ret)
		ret = pci_bus_save(parts->bus, out, err);
	if (ret)
		return ret;
	serial_save(parts->serial, out);
	rtc_save(parts->rtc, out);
	power_save(parts->power, out);
	ioapic_save(parts->ioapic, out);
	ret = processors_save(parts->processors, out, err);
	return ret ? ret : vm_clock_save(parts->vm, out, err);
}

int machine_state_load(const struct machine_state_parts *parts, struct state_in *in)
{
	int ret = check_shape(parts, in);

	if (!ret)
		ret = cpuid_check(parts->cpuid, in);
	if (!ret)
		ret = processors_load(parts->processors, in);
	if (!ret)
		ret = ioapic_load(parts->ioapic, in);
	if (!ret)
		ret = serial_load(parts->serial, in);
	if (!ret)
		ret = rtc_load(parts->rtc, in);
	if (!ret)
		ret = power_load(parts->power, in);
	if (!ret)
		ret = devices_load(parts->devices, in);
	if (!ret)
		ret = pci_bus_load(parts->bus, in);
	if (!ret)
		ret = devices_loaded(parts->devices, in);
	if (!ret)
		ret = virtio_devices_load(parts->virtio, in);
	if (!ret)
		ret = adis_load(parts->adis, in);
	if (!ret)
		ret = vm_clock_load(parts->vm, in);
	return ret ? ret : state_close(in);
}
