/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file, because it is one thread's work: who is asked for what, in which order a function is
 * made and shown, and how it leaves.
 */
#include "vmm/hotplug.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "vmm/adis.h"
#include "vmm/devices.h"
#include "vmm/power.h"
#include "vmm/user-devices.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/devices.h"

#define NS_PER_S 1000000000ull
#define SLOTS	 32u

/* On its way out; made before anything is taken apart, so that nothing stops halfway. */
struct departure {
	struct hotplug *hotplug;
	struct departure *next;
	char id[CONFIG_ID_MAX + 1];
};

struct hotplug {
	struct hotplug_parts parts;
	uint32_t ejected; /* atomic: slots that the guest has let go of */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	bool woken, ended;
	struct departure *gone;
};

uint64_t hotplug_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int hotplug_create(struct hotplug **out, struct err *err)
{
	struct hotplug *hotplug = calloc(1, sizeof(*hotplug));
	pthread_condattr_t attr;

	*out = hotplug;
	if (!hotplug)
		return err_set(err, ENOMEM, "no memory for hot plug");
	pthread_mutex_init(&hotplug->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&hotplug->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void hotplug_destroy(struct hotplug *hotplug)
{
	char id[CONFIG_ID_MAX + 1];

	if (!hotplug)
		return;
	while (hotplug_departed(hotplug, id))
		;
	pthread_cond_destroy(&hotplug->changed);
	pthread_mutex_destroy(&hotplug->lock);
	free(hotplug);
}

void hotplug_connect(struct hotplug *hotplug, const struct hotplug_parts *parts)
{
	hotplug->parts = *parts;
}

/* --- waiting --------------------------------------------------------------------------------- */

void hotplug_wake(struct hotplug *hotplug)
{
	pthread_mutex_lock(&hotplug->lock);
	hotplug->woken = true;
	pthread_cond_signal(&hotplug->changed);
	pthread_mutex_unlock(&hotplug->lock);
}

void hotplug_end(struct hotplug *hotplug)
{
	pthread_mutex_lock(&hotplug->lock);
	hotplug->ended = true;
	pthread_cond_signal(&hotplug->changed);
	pthread_mutex_unlock(&hotplug->lock);
}

/* With the lock held, until something is there to do. False: the time has come. */
static bool wait_until(struct hotplug *hotplug, uint64_t when)
{
	const struct timespec at = { .tv_sec = (time_t)(when / NS_PER_S),
				     .tv_nsec = (long)(when % NS_PER_S) };

	while (!hotplug->woken && !hotplug->ended) {
		if (!when)
			pthread_cond_wait(&hotplug->changed, &hotplug->lock);
		else if (pthread_cond_timedwait(&hotplug->changed, &hotplug->lock, &at))
			return false;
	}
	return true;
}

void hotplug_wait(struct hotplug *hotplug, uint64_t (*serve)(void *arg), void *arg)
{
	uint64_t when = 0;

	pthread_mutex_lock(&hotplug->lock);
	while (!hotplug->ended) {
		wait_until(hotplug, when);
		if (hotplug->ended)
			break;
		hotplug->woken = false;
		pthread_mutex_unlock(&hotplug->lock);
		when = serve(arg);
		pthread_mutex_lock(&hotplug->lock);
	}
	pthread_mutex_unlock(&hotplug->lock);
}

void hotplug_ejected(struct hotplug *hotplug, unsigned int slot)
{
	__atomic_fetch_or(&hotplug->ejected, 1u << slot, __ATOMIC_SEQ_CST);
	hotplug_wake(hotplug);
}

/* --- coming ---------------------------------------------------------------------------------- */

unsigned int hotplug_slot(struct hotplug *hotplug, const char *id)
{
	const struct hotplug_parts *parts = &hotplug->parts;
	unsigned int slot = virtio_devices_slot(parts->virtio, id);

	if (!slot)
		slot = adis_slot(parts->adis, id);
	if (!slot)
		slot = devices_slot(parts->devices, id);
	return slot ? slot : user_devices_slot(parts->user_devices, id);
}

static const char *id_of(const struct hotplug_part *part)
{
	if (part->disk)
		return part->disk->id;
	if (part->net)
		return part->net->id;
	if (part->adi)
		return part->adi->id;
	return part->device ? part->device->id : part->user_device->id;
}

/* What does DMA maps guest memory: it does so when no page of it can go back to the host. */
static int add_mapped(struct hotplug *hotplug, const struct hotplug_part *part, struct err *err)
{
	const struct hotplug_parts *parts = &hotplug->parts;

	if (part->adi)
		return adis_add(parts->adis, part->config, part->adi, err);
	if (part->user_device)
		return user_devices_plug(parts->user_devices, part->user_device, err);
	return devices_plug(parts->devices, part->config,
			    (size_t)(part->device - part->config->devices), err);
}

static int add(struct hotplug *hotplug, const struct hotplug_part *part, struct err *err)
{
	const struct hotplug_parts *parts = &hotplug->parts;
	struct balloon *balloon = virtio_devices_balloon(parts->virtio);
	int ret;

	if (part->disk)
		return virtio_devices_add_disk(parts->virtio, part->disk, err);
	if (part->net)
		return virtio_devices_add_net(parts->virtio, part->net, err);
	ret = balloon_bar(balloon, id_of(part), err);
	if (ret)
		return ret;
	ret = add_mapped(hotplug, part, err);
	if (ret)
		balloon_unbar(balloon);
	return ret;
}

/* 0: any. */
static unsigned int slot_of(const struct hotplug_part *part)
{
	if (part->disk)
		return part->disk->slot;
	if (part->net)
		return part->net->slot;
	if (part->adi)
		return part->adi->slot;
	return part->device ? part->device->slot : part->user_device->slot;
}

static int add_to_slot(struct hotplug *hotplug, const struct hotplug_part *part, struct err *err)
{
	struct pci_bus *bus = hotplug->parts.bus;
	unsigned int slot = slot_of(part);
	int ret = slot ? pci_bus_reserve(bus, id_of(part), slot, err) : 0;

	if (ret)
		return ret;
	ret = add(hotplug, part, err);
	if (ret && slot)
		pci_bus_unreserve(bus, id_of(part));
	return ret;
}

int hotplug_add(struct hotplug *hotplug, const struct hotplug_part *part, struct err *err)
{
	const char *id = id_of(part);
	unsigned int slot;
	int ret;

	if (hotplug_slot(hotplug, id))
		return err_set(err, EEXIST, "\"%s\" is there already; choose another id", id);
	ret = add_to_slot(hotplug, part, err);
	if (ret)
		return ret;
	slot = hotplug_slot(hotplug, id);
	log_line(hotplug->parts.log, LOG_INFO, "hotplug", "%s is in slot %u", id, slot);
	power_hotplug_notify(hotplug->parts.power, slot, true);
	return (int)slot;
}

/* --- leaving --------------------------------------------------------------------------------- */

static int nothing_called(const char *id, struct err *err)
{
	return err_set(err, ENOENT,
		       "no disk, network interface, ADI or device is called \"%s\"; "
		       "others stay as long as the machine",
		       id);
}

int hotplug_ask(struct hotplug *hotplug, const char *id, struct err *err)
{
	unsigned int slot = hotplug_slot(hotplug, id);

	if (!slot)
		return nothing_called(id, err);
	power_hotplug_notify(hotplug->parts.power, slot, false);
	return 0;
}

/* Any thread. */
static void departed(void *arg)
{
	struct departure *departure = arg;
	struct hotplug *hotplug = departure->hotplug;

	log_line(hotplug->parts.log, LOG_INFO, "hotplug", "%s is gone", departure->id);
	pthread_mutex_lock(&hotplug->lock);
	departure->next = hotplug->gone;
	hotplug->gone = departure;
	hotplug->woken = true;
	pthread_cond_signal(&hotplug->changed);
	pthread_mutex_unlock(&hotplug->lock);
}

int hotplug_remove(struct hotplug *hotplug, const char *id, struct err *err)
{
	struct departure *departure;
	int ret;

	if (!hotplug_slot(hotplug, id))
		return nothing_called(id, err);
	departure = calloc(1, sizeof(*departure));
	if (!departure)
		return err_set(err, ENOMEM, "no memory to remove \"%s\"", id);
	departure->hotplug = hotplug;
	memcpy(departure->id, id, strnlen(id, sizeof(departure->id) - 1));
	if (adis_remove(hotplug->parts.adis, id) || devices_remove(hotplug->parts.devices, id) ||
	    user_devices_remove(hotplug->parts.user_devices, id)) {
		balloon_unbar(virtio_devices_balloon(hotplug->parts.virtio));
		departed(departure);
		return 0;
	}
	ret = virtio_devices_remove(hotplug->parts.virtio, id, departed, departure, err);
	if (ret)
		free(departure);
	return ret;
}

static bool let_go_of(struct hotplug *hotplug, const char *id)
{
	struct err err;
	int ret = hotplug_remove(hotplug, id, &err);

	if (ret)
		log_line(hotplug->parts.log, LOG_ERROR, "hotplug", "%s", err.text);
	return !ret;
}

void hotplug_let_go(struct hotplug *hotplug)
{
	uint32_t slots = __atomic_exchange_n(&hotplug->ejected, 0, __ATOMIC_SEQ_CST);
	const struct hotplug_parts *parts = &hotplug->parts;
	char id[CONFIG_ID_MAX + 1];

	for (unsigned int slot = 1; slot < SLOTS; slot++) {
		if (!(slots >> slot & 1))
			continue;
		if (virtio_devices_in(parts->virtio, slot, id, sizeof(id)) ||
		    adis_in(parts->adis, slot, id, sizeof(id)) ||
		    devices_in(parts->devices, slot, id, sizeof(id)) ||
		    user_devices_in(parts->user_devices, slot, id, sizeof(id)))
			let_go_of(hotplug, id);
	}
	while ((devices_wanted(parts->devices, id, sizeof(id)) ||
		user_devices_lost(parts->user_devices, id, sizeof(id))) &&
	       let_go_of(hotplug, id))
		;
}

bool hotplug_departed(struct hotplug *hotplug, char id[CONFIG_ID_MAX + 1])
{
	struct departure *departure;

	pthread_mutex_lock(&hotplug->lock);
	departure = hotplug->gone;
	if (departure)
		hotplug->gone = departure->next;
	pthread_mutex_unlock(&hotplug->lock);
	if (!departure)
		return false;
	memcpy(id, departure->id, sizeof(departure->id));
	free(departure);
	return true;
}
