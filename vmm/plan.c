/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/plan.h"

#include <cpuid.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>

#include "passthrough/adi/dsa.h"
#include "util/bits.h"
#include "util/sandbox.h"
#include "vmm/boot-load.h"
#include "vmm/config-draft.h"
#include "vmm/config.h"
#include "vmm/layout.h"
#include "vmm/plan-devices.h"

typedef struct json_object json;

#define FALLBACK_PHYS_BITS 36u

static unsigned int host_phys_bits(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000008, &a, &b, &c, &d) ? a & 0xff : FALLBACK_PHYS_BITS;
}

static void put_int(json *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_string(json *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static json *range(uint64_t base, uint64_t size)
{
	json *object = json_object_new_object();

	put_int(object, "base", base);
	put_int(object, "size", size);
	return object;
}

static json *memory_plan(const struct config *config, const struct layout *layout)
{
	json *memory = json_object_new_object(), *ram = json_object_new_array();

	for (unsigned int i = 0; i < layout->n_ram; i++)
		json_object_array_add(ram, range(layout->ram[i].gpa, layout->ram[i].size));
	put_int(memory, "size", config->memory.size);
	put_int(memory, "page_size",
		config->memory.hugepage_size ? config->memory.hugepage_size : 4 * KIB);
	json_object_object_add(memory, "ram", ram);
	if (layout->hot.size) {
		json *hot = range(layout->hot.base, layout->hot.size);

		put_int(hot, "block_size", config->memory.block_size);
		json_object_object_add(memory, "hotplug", hot);
	}
	json_object_object_add(memory, "mmio32", range(layout->mmio32.base, layout->mmio32.size));
	json_object_object_add(memory, "mmio64", range(layout->mmio64.base, layout->mmio64.size));
	json_object_object_add(memory, "ecam", range(layout->ecam.base, layout->ecam.size));
	return memory;
}

/* Where descriptors without a PASID of that queue go: a space, or nowhere. */
static const char *without_pasid(const struct config *config, const struct config_adi *adi,
				 uint32_t wq)
{
	const struct config_pasid *all = NULL;
	bool any = false;

	for (size_t i = 0; i < config->n_pasids; i++) {
		const struct config_pasid *pasid = &config->pasids[i];

		if (pasid->guest || strcmp(pasid->adi, adi->id) != 0)
			continue;
		any = true;
		if (pasid->wq == wq)
			return pasid->space ? pasid->space : CONFIG_ALL_MEMORY;
		if (pasid->wq == CONFIG_ALL_WQS)
			all = pasid;
	}
	if (all)
		return all->space ? all->space : CONFIG_ALL_MEMORY;
	return adi->pasid_allow || any || adi->backend != DSA_BACKEND_SOFT ? "refused"
									   : CONFIG_ALL_MEMORY;
}

static json *wqs_plan(const struct config *config, const struct config_adi *adi)
{
	json *wqs = json_object_new_array();

	for (uint32_t i = 0; i < adi->n_wqs; i++) {
		const struct config_wq *wq = &adi->wqs[i];
		json *object = json_object_new_object();

		put_string(object, "mode", wq->shared ? "shared" : "dedicated");
		put_int(object, "size", wq->size);
		if (wq->shared)
			put_int(object, "threshold", wq->threshold ? wq->threshold : wq->size);
		if (adi->fixed)
			put_int(object, "group", wq->group);
		put_string(object, "without_pasid", without_pasid(config, adi, i));
		json_object_array_add(wqs, object);
	}
	return wqs;
}

static json *adis_plan(const struct config *config)
{
	json *adis = json_object_new_array();

	for (size_t i = 0; i < config->n_adis; i++) {
		const struct config_adi *adi = &config->adis[i];
		json *object = json_object_new_object();

		put_string(object, "id", adi->id);
		put_string(object, "type", "dsa");
		put_string(object, "backend", dsa_backend_name(adi->backend));
		put_string(object, "node", adi->node);
		put_string(object, "isolation", dsa_backend_isolation(adi->backend));
		put_int(object, "engines", adi->engines);
		json_object_object_add(object, "fixed", json_object_new_boolean(adi->fixed));
		json_object_object_add(object, "pasid_allowed",
				       json_object_new_boolean(adi->pasid_allow));
		json_object_object_add(object, "wqs", wqs_plan(config, adi));
		json_object_array_add(adis, object);
	}
	return adis;
}

static json *spaces_plan(const struct config *config, const struct layout *layout)
{
	const struct layout_ram *last = &layout->ram[layout->n_ram - 1];
	json *spaces = json_object_new_array();
	json *guest = range(0, last->gpa + last->size);

	put_string(guest, "id", "guest");
	put_string(guest, "rights", "rw");
	json_object_array_add(spaces, guest);
	for (size_t i = 0; i < config->n_spaces; i++) {
		json *space = range(config->spaces[i].offset, config->spaces[i].size);

		put_string(space, "id", config->spaces[i].id);
		put_string(space, "rights", config->spaces[i].write ? "rw" : "r");
		json_object_array_add(spaces, space);
	}
	return spaces;
}

static json *pasids_plan(const struct config *config)
{
	json *pasids = json_object_new_array();

	for (size_t i = 0; i < config->n_pasids; i++) {
		const struct config_pasid *pasid = &config->pasids[i];
		json *object = json_object_new_object();

		put_string(object, "adi", pasid->adi);
		if (pasid->guest)
			put_int(object, "guest", pasid->guest);
		else
			put_string(object, "guest", "none");
		if (!pasid->guest)
			json_object_object_add(object, "wq",
					       pasid->wq == CONFIG_ALL_WQS
						       ? json_object_new_string("all")
						       : json_object_new_int64(pasid->wq));
		json_object_object_add(object, "host",
				       pasid->host ? json_object_new_int64(pasid->host)
						   : json_object_new_string("any"));
		put_string(object, "space", pasid->space ? pasid->space : "guest");
		json_object_array_add(pasids, object);
	}
	return pasids;
}

/* What adit run would do; a host that cannot is in the way of it. */
/* plan_devices has made the list. */
static void add_problem(json *plan, const struct err *err)
{
	json_object_array_add(json_object_object_get(plan, "problems"),
			      json_object_new_string(err->text));
}

static void plan_sandbox(json *plan)
{
	static const struct sandbox sandbox = { .log = NULL };
	struct err err;

	put_string(plan, "sandbox", sandbox_state(&sandbox));
	if (sandbox_is_built() && sandbox_check(&err))
		add_problem(plan, &err);
}

static void plan_payload(json *plan, const struct config *config, const struct layout *layout)
{
	struct err err;

	if (boot_try(config, layout, &err))
		add_problem(plan, &err);
}

static void put_payload(json *plan, const struct config *config)
{
	char name[24];

	snprintf(name, sizeof(name), "descriptor %u", config->payload.kernel_fd);
	put_string(plan, "payload", config->payload.kernel ? config->payload.kernel : name);
}

int plan_make(json **out, const struct config *config, struct err *err)
{
	const struct layout_request request = {
		.ram_size = config->memory.size,
		.phys_bits = host_phys_bits(),
		.aperture_last = UINT64_MAX,
		.hot_size = config->memory.hotplug_size,
		.hot_align = config->memory.block_size,
	};
	struct layout layout;
	json *plan, *virtio = NULL;
	int ret = layout_plan(&layout, &request, err);

	if (!ret)
		ret = plan_virtio(&virtio, config, err);
	if (ret)
		return ret;
	plan = json_object_new_object();
	put_payload(plan, config);
	put_int(plan, "vcpus", config->cpus.boot_vcpus);
	json_object_object_add(plan, "memory", memory_plan(config, &layout));
	json_object_object_add(plan, "virtio", virtio);
	json_object_object_add(plan, "adis", adis_plan(config));
	json_object_object_add(plan, "spaces", spaces_plan(config, &layout));
	json_object_object_add(plan, "pasids", pasids_plan(config));
	plan_devices(plan, config, NULL);
	plan_payload(plan, config, &layout);
	plan_sandbox(plan);
	*out = plan;
	return 0;
}

static uint64_t get_int(json *object, const char *key)
{
	return json_object_get_uint64(json_object_object_get(object, key));
}

static const char *get_string(json *object, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(object, key));

	return text ? text : "";
}

struct unit {
	uint64_t bytes;
	const char *name;
};

/* The largest of which it is a whole number. */
static const struct unit *unit_of(uint64_t size)
{
	static const struct unit units[] = {
		{ 1024 * GIB, "TiB" }, { GIB, "GiB" }, { MIB, "MiB" }, { KIB, "KiB" }
	};
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && size % units[i].bytes)
		i++;
	return &units[i];
}

static void print_size(FILE *to, uint64_t size)
{
	const struct unit *unit = unit_of(size);

	fprintf(to, "%llu %s", (unsigned long long)(size / unit->bytes), unit->name);
}

static void print_range(FILE *to, const char *name, json *object)
{
	uint64_t base = get_int(object, "base"), size = get_int(object, "size");

	if (!size)
		return;
	fprintf(to, "  %-8s 0x%012llx - 0x%012llx  ", name, (unsigned long long)base,
		(unsigned long long)(base + size - 1));
	print_size(to, size);
	putc('\n', to);
}

static void print_memory(FILE *to, json *memory)
{
	json *ram = json_object_object_get(memory, "ram"), *hot;

	fputs("memory: ", to);
	print_size(to, get_int(memory, "size"));
	fputs(" in pages of ", to);
	print_size(to, get_int(memory, "page_size"));
	putc('\n', to);
	for (size_t i = 0; i < json_object_array_length(ram); i++)
		print_range(to, "ram", json_object_array_get_idx(ram, i));
	if (json_object_object_get_ex(memory, "hotplug", &hot))
		print_range(to, "hotplug", hot);
	print_range(to, "mmio32", json_object_object_get(memory, "mmio32"));
	print_range(to, "ecam", json_object_object_get(memory, "ecam"));
	print_range(to, "mmio64", json_object_object_get(memory, "mmio64"));
}

static void print_adi(FILE *to, json *adi)
{
	json *wqs = json_object_object_get(adi, "wqs");
	bool fixed = json_object_get_boolean(json_object_object_get(adi, "fixed"));

	fprintf(to, "adi %s: %s, back end %s, engines %llu, isolation %s; %s by the guest\n",
		get_string(adi, "id"), get_string(adi, "type"), get_string(adi, "backend"),
		(unsigned long long)get_int(adi, "engines"), get_string(adi, "isolation"),
		fixed ? "cannot be configured" : "configurable");
	for (size_t i = 0; i < json_object_array_length(wqs); i++) {
		json *wq = json_object_array_get_idx(wqs, i);
		json *threshold = json_object_object_get(wq, "threshold");

		fprintf(to, "  wq %zu: %s, %llu entries", i, get_string(wq, "mode"),
			(unsigned long long)get_int(wq, "size"));
		if (threshold)
			fprintf(to, " (%s for limited portals)", get_string(wq, "threshold"));
		if (fixed)
			fprintf(to, ", group %s", get_string(wq, "group"));
		fprintf(to, "; without a PASID: %s\n", get_string(wq, "without_pasid"));
	}
}

void plan_print(json *plan, FILE *to)
{
	json *adis = json_object_object_get(plan, "adis");
	json *spaces = json_object_object_get(plan, "spaces");
	json *pasids = json_object_object_get(plan, "pasids");
	unsigned long long vcpus = get_int(plan, "vcpus");

	fprintf(to, "payload: %s, %llu vCPU%s\n", get_string(plan, "payload"), vcpus,
		vcpus == 1 ? "" : "s");
	print_memory(to, json_object_object_get(plan, "memory"));
	plan_virtio_print(json_object_object_get(plan, "virtio"), to);
	for (size_t i = 0; i < json_object_array_length(adis); i++)
		print_adi(to, json_object_array_get_idx(adis, i));
	for (size_t i = 0; i < json_object_array_length(spaces); i++) {
		json *space = json_object_array_get_idx(spaces, i);

		fprintf(to, "space %s (%s)\n", get_string(space, "id"),
			get_string(space, "rights"));
		print_range(to, "", space);
	}
	if (json_object_array_length(pasids))
		fprintf(to, "%-16s %-8s %-8s %-8s %s\n", "adi", "guest", "wq", "host", "space");
	for (size_t i = 0; i < json_object_array_length(pasids); i++) {
		json *pasid = json_object_array_get_idx(pasids, i);

		fprintf(to, "%-16s %-8s %-8s %-8s %s\n", get_string(pasid, "adi"),
			get_string(pasid, "guest"),
			json_object_object_get(pasid, "wq") ? get_string(pasid, "wq") : "-",
			get_string(pasid, "host"), get_string(pasid, "space"));
	}
	plan_devices_print(plan, to);
	fprintf(to, "sandbox: %s\n",
		strcmp(get_string(plan, "sandbox"), "none") != 0
			? "seccomp, a filter for each thread; --sandbox=off is without"
			: "none: this is a build with a sanitizer");
}
