/* SPDX-License-Identifier: Apache-2.0 */
/* Counters in Prometheus's text (0.0.4). One file: what each family is called, and says of itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "vmm/api/counters.h"
#include "vmm/config.h"
#include "vmm/life.h"
#include "vmm/machine.h"

/* Of what the guest tells of its own memory, the words are its own (virtio 1.3 section 5.5.6.3). */
static const struct {
	const char *name, *text;
} help[] = {
	{ "adit_vm_state", "1 for the state that the VM is in" },
	{ "adit_vm_boots_total", "machines made in this process" },
	{ "adit_exits_total", "exits of all vCPUs to this process" },
	{ "adit_adi_accepted_total", "descriptors that a queue took" },
	{ "adit_adi_completed_total", "descriptors that ended well" },
	{ "adit_adi_failed_total", "descriptors that ended with an error" },
	{ "adit_adi_aborted_total", "descriptors that a reset or an unbinding ended" },
	{ "adit_adi_refused_key_total", "descriptors with a PASID that the ADI may not use" },
	{ "adit_adi_refused_width_total", "descriptors whose PASID is wider than the ADI's" },
	{ "adit_adi_refused_unbound_total", "descriptors whose PASID is not bound" },
	{ "adit_adi_faults_total", "accesses that reached no memory" },
	{ "adit_adi_dropped_total", "submissions that no queue was open for" },
	{ "adit_adi_retried_total",
	  "submissions that were told to come again: the queue was full" },
	{ "adit_adi_bytes_total", "bytes that descriptors moved or looked at" },
	{ "adit_adi_without_pasid_total", "descriptors under no guest PASID" },
	{ "adit_adi_interrupts_total", "messages sent to the guest" },
	{ "adit_adi_queued", "descriptors that wait in queues" },
	{ "adit_adi_running", "descriptors that engines have" },
	{ "adit_pasid_descriptors_total",
	  "descriptors admitted under the guest PASID since it was bound" },
	{ "adit_virtio_doorbells_total", "notices of the guest that reached this process" },
	{ "adit_virtio_interrupts_total",
	  "messages sent to the guest; not those of vhost-net queues, which "
	  "are the kernel's" },
	{ "adit_virtio_buffers_total", "buffers given back to the guest" },
	{ "adit_virtio_read_bytes_total", "bytes read from guest memory" },
	{ "adit_virtio_written_bytes_total", "bytes written to guest memory" },
	{ "adit_virtio_in_flight", "buffers that the device has" },
	{ "adit_device_interrupts_total",
	  "interrupts of an assigned device that passed through this "
	  "process: INTx, and what a mask held back. Those of open vectors "
	  "go from the device to the guest inside the kernel (irqfds) and "
	  "cannot be seen here: /proc/interrupts of the host has them" },
	{ "adit_device_irqfds", "vectors of an assigned device whose interrupts the kernel "
				"delivers unseen" },
	{ "adit_ioapic_interrupts_total", "interrupts that a pin of the I/O APIC sent" },
	{ "adit_space_maps_total", "calls that mapped memory into an I/O address space" },
	{ "adit_space_map_bytes_total", "bytes that they mapped" },
	{ "adit_space_map_ns_total", "nanoseconds that they took, pinning included" },
	{ "adit_space_map_longest_ns", "the longest of them, in nanoseconds" },
	{ "adit_space_unmaps_total", "calls that unmapped memory from an I/O address space" },
	{ "adit_space_unmap_ns_total",
	  "nanoseconds that they took, until no translation was in use" },
	{ "adit_space_unmap_longest_ns", "the longest of them, in nanoseconds" },
	{ "adit_loop_turns_total", "turns of the event loop of the VM's devices" },
	{ "adit_loop_busy_ns_total", "nanoseconds spent in them" },
	{ "adit_loop_longest_ns", "the longest turn, in nanoseconds" },
	{ "adit_balloon_wanted_bytes", "what the balloon should hold" },
	{ "adit_balloon_actual_bytes", "what it holds" },
	{ "adit_balloon_reported_bytes",
	  "free memory that the guest reported and the host took back" },
	{ "adit_hotplug_wanted_bytes", "memory that should be plugged" },
	{ "adit_hotplug_plugged_bytes", "memory that the guest has plugged" },
	{ "adit_hotplug_most_bytes", "memory that can be plugged" },
	{ "process_resident_memory_bytes", "resident memory of the process" },
	{ "adit_locked_memory_bytes", "memory that VFIO containers have locked for DMA" },
	{ "adit_pinned_memory_bytes", "memory that iommufd has pinned for DMA" },
};

/* Its text wants all samples of a name together, but the walk goes device by device. */
struct family {
	char name[64];
	bool goes_down;
	char *samples;
	size_t len;
	FILE *stream;
};

#define FAMILIES_MAX 96u
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
	char name[64], labels[128];

	if (!strncmp(counter->name, "exits_", 6)) {
		add_sample(arg, "adit_exits_total", false, "reason", counter->name + 6,
			   counter->value);
		return;
	}
	if (!strncmp(counter->name, "interrupts_", 11)) {
		add_sample(arg, "adit_ioapic_interrupts_total", false, "pin", counter->name + 11,
			   counter->value);
		return;
	}
	snprintf(name, sizeof(name), "adit_%s_%s%s", counter->kind, counter->name,
		 counter->goes_down ? "" : "_total");
	if (counter->provider) {
		snprintf(labels, sizeof(labels), "id=\"%s\",provider=\"%s\"", counter->device,
			 counter->provider);
		add_labelled(arg, name, counter->goes_down, labels, counter->value);
		return;
	}
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

static void put_head(FILE *to, const struct family *family)
{
	for (size_t i = 0; i < ARRAY_SIZE(help); i++) {
		if (!strcmp(help[i].name, family->name))
			fprintf(to, "# HELP %s %s\n", family->name, help[i].text);
	}
	fprintf(to, "# TYPE %s %s\n", family->name, family->goes_down ? "gauge" : "counter");
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
		if (all && family->samples) {
			put_head(all, family);
			fputs(family->samples, all);
		}
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
