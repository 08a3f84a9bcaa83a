/* SPDX-License-Identifier: Apache-2.0 */
/* Counters. One file: their rows are read for two notations, JSON and Prometheus's. */
#include "vmm/api/counters.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/pasid-table.h"
#include "kvm-glue/vcpu.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "util/loop.h"
#include "vmm/config.h"
#include "vmm/life.h"
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

/* --- Prometheus ------------------------------------------------------------------------------ */

/* Its text wants all samples of a name together, but the walk goes device by device. */
struct family {
	char name[64];
	bool goes_down;
	char *samples;
	size_t len;
	FILE *stream;
};

#define FAMILIES_MAX 64u
#define PASIDS_MAX   256u
#define STATUS_BYTES 4096 /* /proc/self/status has about 1500 */

struct metrics {
	struct family families[FAMILIES_MAX];
	unsigned int n;
};

static struct family *family_of(struct metrics *metrics, const char *name, bool goes_down)
{
	struct family *family = metrics->families;

	for (; family < metrics->families + metrics->n; family++) {
		if (!strcmp(family->name, name))
			return family;
	}
	if (metrics->n == FAMILIES_MAX)
		return NULL;
	snprintf(family->name, sizeof(family->name), "%s", name);
	family->goes_down = goes_down;
	family->stream = open_memstream(&family->samples, &family->len);
	metrics->n += !!family->stream;
	return family->stream ? family : NULL;
}

/* labels: as they are written; NULL: none. */
static void add_labelled(struct metrics *metrics, const char *name, bool goes_down,
			 const char *labels, uint64_t value)
{
	struct family *family = family_of(metrics, name, goes_down);

	if (!family)
		return;
	if (labels)
		fprintf(family->stream, "%s{%s} %llu\n", name, labels, (unsigned long long)value);
	else
		fprintf(family->stream, "%s %llu\n", name, (unsigned long long)value);
}

static void add_sample(struct metrics *metrics, const char *name, bool goes_down, const char *label,
		       const char *word, uint64_t value)
{
	char labels[128];

	if (label)
		snprintf(labels, sizeof(labels), "%s=\"%s\"", label, word);
	add_labelled(metrics, name, goes_down, label ? labels : NULL, value);
}

/* Of one ADI; more than a scraper should be sent are left to vm.pasids. */
struct pasids {
	struct metrics *metrics;
	struct pasid_table *table;
	const char *id;
	unsigned int n;
};

static void add_pasid(void *arg, uint32_t guest, struct ioasid_pasid *host)
{
	struct pasids *pasids = arg;
	char labels[128];

	if (pasids->n++ >= PASIDS_MAX)
		return;
	snprintf(labels, sizeof(labels), "id=\"%s\",pasid=\"%u\"", pasids->id, guest);
	add_labelled(pasids->metrics, "adit_pasid_descriptors_total", false, labels,
		     pasid_table_uses(pasids->table, guest));
}

static void add_pasids(struct metrics *metrics, const struct life_view *view)
{
	for (size_t i = 0; i < view->config->n_adis; i++) {
		struct pasids pasids = { .metrics = metrics, .id = view->config->adis[i].id };
		struct dsa *dsa = machine_dsa(view->machine, pasids.id);

		pasids.table = dsa ? dsa_pasid_table(dsa) : NULL;
		if (pasids.table)
			pasid_table_walk(pasids.table, add_pasid, &pasids);
	}
}

/* "exits_pio" of "vcpus" -> adit_exits_total{reason="pio"}; ids hold nothing to be escaped. */
static void add_counter(void *arg, const struct counter *counter)
{
	char name[64];

	if (!strncmp(counter->name, "exits_", 6)) {
		add_sample(arg, "adit_exits_total", false, "reason", counter->name + 6,
			   counter->value);
		return;
	}
	snprintf(name, sizeof(name), "adit_%s_%s%s", counter->kind, counter->name,
		 counter->goes_down ? "" : "_total");
	add_sample(arg, name, counter->goes_down, counter->device ? "id" : NULL, counter->device,
		   counter->value);
}

/* VmLck: what VFIO containers pin; VmPin: what iommufd does. */
static void add_memory(struct metrics *metrics, int fd)
{
	static const struct {
		const char *field, *name;
	} rows[] = {
		{ "VmRSS:", "process_resident_memory_bytes" },
		{ "VmLck:", "adit_locked_memory_bytes" },
		{ "VmPin:", "adit_pinned_memory_bytes" },
	};
	char text[STATUS_BYTES], *rest = text, *line;
	ssize_t len = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	text[MAX(len, 0)] = 0;
	while ((line = strsep(&rest, "\n"))) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			size_t n = strlen(rows[i].field);

			if (!strncmp(line, rows[i].field, n))
				add_sample(metrics, rows[i].name, true, NULL, NULL,
					   strtoull(line + n, NULL, 10) * 1024);
		}
	}
}

static void add_state(struct metrics *metrics, const struct life_view *view)
{
	for (enum life_state state = LIFE_EMPTY; state <= LIFE_SHUTDOWN; state++)
		add_sample(metrics, "adit_vm_state", true, "state", life_state_name(state),
			   state == view->state);
	add_sample(metrics, "adit_vm_boots_total", false, NULL, NULL, view->boots);
}

/* Ends the families and puts them one behind the other. */
static char *join(struct metrics *metrics)
{
	char *text = NULL;
	size_t len = 0;
	FILE *all = open_memstream(&text, &len);
	bool whole = all;

	for (unsigned int i = 0; i < metrics->n; i++) {
		struct family *family = &metrics->families[i];

		whole = !fclose(family->stream) && whole;
		if (all && family->samples)
			fprintf(all, "# TYPE %s %s\n%s", family->name,
				family->goes_down ? "gauge" : "counter", family->samples);
		free(family->samples);
	}
	if (all)
		whole = !fclose(all) && whole;
	if (whole)
		return text;
	free(text);
	return NULL;
}

char *counters_metrics(const struct life_view *view)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	char *text;

	if (!metrics)
		return NULL;
	add_state(metrics, view);
	if (view->machine) {
		counters_read(view->machine, view->config, add_counter, metrics);
		add_pasids(metrics, view);
	}
	add_memory(metrics, view->status_fd);
	text = join(metrics);
	free(metrics);
	return text;
}
