/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, one walk over all of a machine's. One file: a table of rows for each kind of thing. */
#include "vmm/api/counters.h"

#include <stddef.h>
#include <stdio.h>

#include "ioasid-client/ioasid.h"
#include "kvm-glue/ioapic.h"
#include "kvm-glue/vcpu.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"
#include "util/loop.h"
#include "vmm/adis.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/machine.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/mem.h"

struct row {
	const char *name;
	size_t offset;
};

#define VCPU(member)                                         \
	{                                                    \
#member, offsetof(struct vcpu_stats, member) \
	}
#define ADI(member)                                            \
	{                                                      \
#member, offsetof(struct dsa_counters, member) \
	}
#define HOTPLUG(name, member)                             \
	{                                                 \
#name, offsetof(struct mem_stats, member) \
	}
#define LOOP(member)                                         \
	{                                                    \
#member, offsetof(struct loop_stats, member) \
	}
#define SPACE(member)                                                \
	{                                                            \
#member, offsetof(struct ioasid_space_stats, member) \
	}
#define DEVICE(member)                                          \
	{                                                       \
#member, offsetof(struct vfio_counters, member) \
	}
#define VIRTIO(member)                                            \
	{                                                         \
#member, offsetof(struct virtio_counters, member) \
	}
#define BALLOON(name, member)                                 \
	{                                                     \
#name, offsetof(struct balloon_stats, member) \
	}

static const struct row vcpu_rows[] = {
	VCPU(exits_pio),     VCPU(exits_mmio), VCPU(exits_eoi),
	VCPU(exits_store64), VCPU(exits_kick), VCPU(exits_other),
};
static const struct row adi_rows[] = {
	ADI(accepted),	    ADI(completed),	  ADI(failed),	   ADI(aborted), ADI(refused_key),
	ADI(refused_width), ADI(refused_unbound), ADI(faults),	   ADI(dropped), ADI(retried),
	ADI(bytes),	    ADI(without_pasid),	  ADI(interrupts),
};
static const struct row adi_depths[] = { ADI(queued), ADI(running) };
static const struct row virtio_rows[] = {
	VIRTIO(doorbells),  VIRTIO(interrupts),	   VIRTIO(buffers),
	VIRTIO(read_bytes), VIRTIO(written_bytes),
};
static const struct row virtio_depths[] = { VIRTIO(in_flight) };
static const struct row space_rows[] = {
	SPACE(maps), SPACE(map_bytes), SPACE(map_ns), SPACE(unmaps), SPACE(unmap_ns),
};
static const struct row space_longest[] = { SPACE(map_longest_ns), SPACE(unmap_longest_ns) };
static const struct row device_rows[] = { DEVICE(interrupts) };
static const struct row device_now[] = { DEVICE(irqfds) };
static const struct row loop_rows[] = { LOOP(turns), LOOP(busy_ns) };
static const struct row loop_longest[] = { LOOP(longest_ns) };
static const struct row balloon_rows[] = {
	BALLOON(wanted_bytes, wanted),
	BALLOON(actual_bytes, actual),
	BALLOON(reported_bytes, reported),
};
/* What the guest tells of itself, by tag; bytes and counts. */
static const char *const told[BALLOON_STATS] = {
	"guest_swapped_in_bytes",
	"guest_swapped_out_bytes",
	"guest_major_faults",
	"guest_minor_faults",
	"guest_free_bytes",
	"guest_total_bytes",
	"guest_available_bytes",
	"guest_cached_bytes",
	"guest_huge_pages_allocated",
	"guest_huge_pages_failed",
	"guest_oom_kills",
	"guest_allocation_stalls",
	"guest_background_scanned_pages",
	"guest_direct_scanned_pages",
	"guest_background_reclaimed_pages",
	"guest_direct_reclaimed_pages",
};
static const struct row hotplug_rows[] = {
	HOTPLUG(wanted_bytes, wanted),
	HOTPLUG(plugged_bytes, plugged),
	HOTPLUG(most_bytes, most),
};

struct walk {
	void (*emit)(void *arg, const struct counter *counter);
	void *arg;
};

static void emit_rows(const struct walk *walk, struct counter counter, const struct row *rows,
		      size_t n, const void *values)
{
	for (size_t i = 0; i < n; i++) {
		counter.name = rows[i].name;
		counter.value = *(const uint64_t *)((const char *)values + rows[i].offset);
		walk->emit(walk->arg, &counter);
	}
}

static void emit_balloon(const struct walk *walk, struct balloon *balloon)
{
	struct counter counter = { .kind = "balloon", .goes_down = true };
	struct balloon_stats stats;

	balloon_read_stats(balloon, &stats);
	emit_rows(walk, counter, balloon_rows, ARRAY_SIZE(balloon_rows), &stats);
	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		counter.name = told[i];
		counter.value = stats.value[i];
		if (counter.value != UINT64_MAX)
			walk->emit(walk->arg, &counter);
	}
}

static void read_adi(const struct walk *walk, struct dsa *dsa, const char *id)
{
	struct counter counter = { .kind = "adi", .device = id };
	struct dsa_counters counters;

	dsa_counters_read(dsa, &counters);
	emit_rows(walk, counter, adi_rows, ARRAY_SIZE(adi_rows), &counters);
	counter.goes_down = true;
	emit_rows(walk, counter, adi_depths, ARRAY_SIZE(adi_depths), &counters);
}

static void read_virtio(void *arg, const char *name, const struct virtio_counters *counters)
{
	struct counter counter = { .kind = "virtio", .device = name };

	emit_rows(arg, counter, virtio_rows, ARRAY_SIZE(virtio_rows), counters);
	counter.goes_down = true;
	emit_rows(arg, counter, virtio_depths, ARRAY_SIZE(virtio_depths), counters);
}

static void read_space(void *arg, const char *provider, const struct ioasid_space *space)
{
	struct counter counter = { .kind = "space", .provider = provider };
	struct ioasid_space_stats stats;

	counter.device = ioasid_space_name(space);
	ioasid_space_stats(space, &stats);
	emit_rows(arg, counter, space_rows, ARRAY_SIZE(space_rows), &stats);
	counter.goes_down = true;
	emit_rows(arg, counter, space_longest, ARRAY_SIZE(space_longest), &stats);
}

static void read_device(void *arg, const char *id, const struct vfio_counters *counters)
{
	struct counter counter = { .kind = "device", .device = id };

	emit_rows(arg, counter, device_rows, ARRAY_SIZE(device_rows), counters);
	counter.goes_down = true;
	emit_rows(arg, counter, device_now, ARRAY_SIZE(device_now), counters);
}

/* Of pins that have sent any: serial port, clock, power button, and what has no messages. */
static void read_ioapic(const struct walk *walk, const struct ioapic *ioapic)
{
	char name[24];
	struct counter counter = { .kind = "ioapic", .name = name };

	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		counter.value = ioapic_interrupts(ioapic, pin);
		snprintf(name, sizeof(name), "interrupts_%u", pin);
		if (counter.value)
			walk->emit(walk->arg, &counter);
	}
}

static void read_loop(const struct walk *walk, const struct loop *loop)
{
	struct counter counter = { .kind = "loop" };
	struct loop_stats stats;

	loop_read_stats(loop, &stats);
	emit_rows(walk, counter, loop_rows, ARRAY_SIZE(loop_rows), &stats);
	counter.goes_down = true;
	emit_rows(walk, counter, loop_longest, ARRAY_SIZE(loop_longest), &stats);
}

void counters_read(struct machine *machine, const struct config *config,
		   void (*emit)(void *arg, const struct counter *counter), void *arg)
{
	struct walk walk = { emit, arg };
	struct balloon *balloon = machine_balloon(machine);
	struct mem *mem = machine_mem(machine);
	struct vcpu_stats vcpus;

	machine_stats(machine, &vcpus);
	emit_rows(&walk, (struct counter){ .kind = "vcpus" }, vcpu_rows, ARRAY_SIZE(vcpu_rows),
		  &vcpus);
	for (size_t i = 0; i < config->n_adis; i++) {
		struct dsa *dsa = machine_dsa(machine, config->adis[i].id);

		if (dsa)
			read_adi(&walk, dsa, config->adis[i].id);
	}
	virtio_devices_counters(machine_virtio(machine), read_virtio, &walk);
	devices_counters(machine_devices(machine), read_device, &walk);
	read_ioapic(&walk, machine_ioapic(machine));
	adis_spaces(machine_adis(machine), read_space, &walk);
	devices_space(machine_devices(machine), read_space, &walk);
	read_loop(&walk, machine_loop(machine));
	if (balloon)
		emit_balloon(&walk, balloon);
	if (mem) {
		struct mem_stats stats;

		mem_read_stats(mem, &stats);
		emit_rows(&walk, (struct counter){ .kind = "hotplug", .goes_down = true },
			  hotplug_rows, ARRAY_SIZE(hotplug_rows), &stats);
	}
}
