/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the assigned devices that are there, and changes nothing. One file: other
 * threads are here, under the lock.
 */
#include <stdio.h>
#include <string.h>

#include "passthrough/pci/pci.h"
#include "passthrough/vfio/vfio.h"
#include "vmm/devices-internal.h"

struct device *devices_find(struct devices *devices, const char *id)
{
	for (size_t i = 0; i < devices->n; i++) {
		if (devices->device[i]->on_bus && !strcmp(devices->device[i]->config.id, id))
			return devices->device[i];
	}
	return NULL;
}

unsigned int devices_slot(struct devices *devices, const char *id)
{
	const struct device *device;
	unsigned int slot = 0;

	pthread_mutex_lock(&devices->lock);
	device = devices_find(devices, id);
	if (device)
		slot = pci_function_slot(vfio_function_pci(device->function));
	pthread_mutex_unlock(&devices->lock);
	return slot;
}

static void tell_id(const struct device *device, char *id, size_t size)
{
	snprintf(id, size, "%s", device->config.id);
}

bool devices_in(struct devices *devices, unsigned int slot, char *id, size_t size)
{
	for (size_t i = 0; i < devices->n; i++) {
		const struct device *device = devices->device[i];

		if (!device->on_bus ||
		    pci_function_slot(vfio_function_pci(device->function)) != slot)
			continue;
		tell_id(device, id, size);
		return true;
	}
	return false;
}

bool devices_wanted(struct devices *devices, char *id, size_t size)
{
	for (size_t i = 0; i < devices->n; i++) {
		if (!__atomic_load_n(&devices->device[i]->wanted, __ATOMIC_SEQ_CST))
			continue;
		tell_id(devices->device[i], id, size);
		return true;
	}
	return false;
}

void devices_coherency(struct devices *devices, struct devices_coherency *out)
{
	*out = (struct devices_coherency){ 0 };
	pthread_mutex_lock(&devices->lock);
	out->wbinvd = devices->state.wbinvd;
	out->guest_pat = devices->state.guest_pat;
	for (size_t i = 0; i < devices->n; i++) {
		const struct device *device = devices->device[i];

		if (!device->decided)
			continue;
		out->device[out->n] = (struct devices_coherency_row){
			.policy = coherency_policy_name(device->facts.policy),
			.iommu_enforces = coherency_iommu_name(device->facts.iommu),
			.isolation = ioasid_isolation_name(device->isolation),
			.told = device->choice.tell_kvm,
			.no_snoop = device->choice.no_snoop,
		};
		tell_id(device, out->device[out->n].id, sizeof(out->device[out->n].id));
		out->n++;
	}
	pthread_mutex_unlock(&devices->lock);
}

void devices_space(struct devices *devices,
		   void (*fn)(void *arg, const char *provider, const struct ioasid_space *space),
		   void *arg)
{
	pthread_mutex_lock(&devices->lock);
	if (devices->guest)
		fn(arg, ioasid_ctx_provider(devices->ctx), devices->guest);
	pthread_mutex_unlock(&devices->lock);
}

void devices_counters(struct devices *devices,
		      void (*fn)(void *arg, const char *id, const struct vfio_counters *counters),
		      void *arg)
{
	pthread_mutex_lock(&devices->lock);
	for (size_t i = 0; i < devices->n; i++) {
		const struct device *device = devices->device[i];
		struct vfio_counters counters;

		if (!device->on_bus)
			continue;
		vfio_function_counters(device->function, &counters);
		fn(arg, device->config.id, &counters);
	}
	pthread_mutex_unlock(&devices->lock);
}
