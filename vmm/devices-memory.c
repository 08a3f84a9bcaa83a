/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory in reach of the devices. To make and pin it takes as long as all else that a start
 * is made of, and nobody needs it before the guest lets a device do DMA, which it does by a
 * register that is answered here: so the guest begins meanwhile, and waits there if it is faster.
 */
#include "vmm/devices-internal.h"

#include <errno.h>

#include "util/bits.h"
#include "vmm/guest-space.h"
#include "vmm/ram.h"

/*
 * Of guests. More takes two CPUs several seconds: a Linux that waits as long in one write, with
 * interrupts off, takes itself for stalled.
 */
#define LATE_MOST (16 * GIB)

/* The driver of an mdev pins what it is told to; its DMA is its driver's. */
bool devices_pin(const struct devices *devices)
{
	bool pin = false;

	for (size_t i = 0; i < devices->n; i++)
		pin |= !device_is_mdev(devices->device[i]);
	return pin;
}

/* What an mdev's driver reaches for, and when, is its own affair. */
bool devices_map_late(const struct devices *devices)
{
	bool late = devices->config->memory.size <= LATE_MOST;

	for (size_t i = 0; i < devices->n; i++)
		late &= !device_is_mdev(devices->device[i]);
	return late;
}

int devices_check_limit(const struct devices *devices, struct err *err)
{
	return devices_pin(devices) ? ioasid_memory_predict(devices->ctx,
							    devices->config->memory.size, NULL, err)
				    : 0;
}

static int map(struct devices *devices, struct err *err)
{
	const struct devices_place *place = &devices->place;
	int ret = devices_pin(devices) ? ram_populate(place->ram, true, err) : 0;

	if (!ret)
		ret = ram_populated(place->ram, devices->log, err);
	if (!ret)
		ret = guest_space_map(devices->guest, place->ram, place->layout, place->ending,
				      devices->log, err);
	return ret;
}

static void set_mapped(struct devices *devices, bool mapped)
{
	pthread_mutex_lock(&devices->gate);
	__atomic_store_n(&devices->mapped, mapped, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&devices->opened);
	pthread_mutex_unlock(&devices->gate);
}

int devices_map(struct devices *devices, struct err *err)
{
	int ret;

	if (!devices->guest || devices->mapped)
		return 0;
	ret = map(devices, err);
	if (!ret)
		set_mapped(devices, true);
	return ret;
}

void devices_unmapped(struct devices *devices)
{
	set_mapped(devices, false);
}

static bool ends(const struct devices *devices)
{
	return __atomic_load_n(devices->place.ending, __ATOMIC_SEQ_CST);
}

bool device_dma(void *opaque)
{
	struct devices *all = ((struct device *)opaque)->all;
	bool mapped;

	if (__atomic_load_n(&all->mapped, __ATOMIC_ACQUIRE))
		return true;
	pthread_mutex_lock(&all->gate);
	while (!all->mapped && !ends(all))
		pthread_cond_wait(&all->opened, &all->gate);
	mapped = all->mapped;
	pthread_mutex_unlock(&all->gate);
	return mapped;
}

void devices_give_up(struct devices *devices)
{
	pthread_mutex_lock(&devices->gate);
	pthread_cond_broadcast(&devices->opened);
	pthread_mutex_unlock(&devices->gate);
}
