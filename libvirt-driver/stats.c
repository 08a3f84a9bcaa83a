/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One domstats call: its domains, the counters that their processes have answered with, and the
 * reply when the last has. A process that is stopped or busy does not hold up the rest.
 */
#include "libvirt-driver/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libvirt-driver/api.h"
#include "libvirt-driver/json.h"
#include "libvirt-driver/params.h"
#include "libvirt-driver/run.h"
#include "util/bits.h"

#define AT_ONCE	    32u /* requests under way */
#define PATIENCE_NS 2000000000ull

/* virDomainStatsTypes */
enum {
	GROUP_STATE = 1,
	GROUP_CPU = 2,
	GROUP_BALLOON = 4,
	GROUP_VCPU = 8,
	GROUP_INTERFACE = 16,
	GROUP_BLOCK = 32,
};

struct entry {
	struct stats *stats;
	uint8_t uuid[XDR_UUID];
	struct api *api;
	struct json_object *counters; /* NULL: none came */
};

struct stats {
	struct daemon *daemon;
	struct stats *next;
	struct ticket ticket;
	uint32_t groups;
	struct loop_timer *timer;
	struct entry *entries;
	size_t n, room, next_entry, under_way;
};

struct stats *stats_begin(struct call *call, uint32_t groups)
{
	struct stats *stats = calloc(1, sizeof(*stats));

	if (!stats) {
		refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for statistics");
		return NULL;
	}
	stats->daemon = call->daemon;
	stats->ticket = call->ticket;
	stats->groups = groups;
	return stats;
}

int stats_add(struct stats *stats, const struct domain *domain)
{
	if (stats->n == stats->room) {
		size_t room = MAX(stats->room * 2, 16u);
		struct entry *entries = reallocarray(stats->entries, room, sizeof(*stats->entries));

		if (!entries)
			return -1;
		stats->entries = entries;
		stats->room = room;
	}
	stats->entries[stats->n] = (struct entry){ .stats = stats };
	memcpy(stats->entries[stats->n++].uuid, domain_uuid(domain), XDR_UUID);
	return 0;
}

void stats_free(struct stats *stats)
{
	loop_timer_cancel(stats->timer);
	for (size_t i = 0; i < stats->n; i++) {
		api_close(stats->entries[i].api);
		json_object_put(stats->entries[i].counters);
	}
	free(stats->entries);
	free(stats);
}

void stats_free_all(struct daemon *daemon)
{
	while (daemon->stats) {
		struct stats *stats = daemon->stats;

		daemon->stats = stats->next;
		stats_free(stats);
	}
}

/* --- one domain ------------------------------------------------------------------------------ */

/* A file under /sys/class/net/TAP/statistics; what is no name of an interface is not there. */
static uint64_t tap_counter(const char *tap, const char *counter)
{
	unsigned long long value = 0;
	char path[128];
	FILE *file;

	if (!*tap || strchr(tap, '/') || strchr(tap, '.'))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%.15s/statistics/%s", tap, counter);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static void put_interface(struct params *params, size_t i, struct json_object *net, bool live)
{
	/* What the tap sends is what the guest receives. */
	static const struct {
		const char *name, *counter;
	} rows[] = {
		{ "rx.bytes", "tx_bytes" }, { "rx.pkts", "tx_packets" },
		{ "rx.errs", "tx_errors" }, { "rx.drop", "tx_dropped" },
		{ "tx.bytes", "rx_bytes" }, { "tx.pkts", "rx_packets" },
		{ "tx.errs", "rx_errors" }, { "tx.drop", "rx_dropped" },
	};
	const char *tap = json_word(net, "tap", "");

	params_text(params, tap, "net.%zu.name", i);
	for (size_t k = 0; live && k < ARRAY_SIZE(rows); k++)
		params_u64(params, tap_counter(tap, rows[k].counter), "net.%zu.%s", i,
			   rows[k].name);
}

static void put_block(struct params *params, size_t i, struct json_object *disk)
{
	const char *path = json_word(disk, "path", "");
	struct stat st;

	params_text(params, json_word(disk, "id", ""), "block.%zu.name", i);
	params_text(params, path, "block.%zu.path", i);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	params_u64(params, (uint64_t)st.st_blocks * 512, "block.%zu.allocation", i);
	params_u64(params, (uint64_t)st.st_size, "block.%zu.capacity", i);
	params_u64(params, (uint64_t)st.st_size, "block.%zu.physical", i);
}

static struct json_object *list_of(struct json_object *config, const char *key, size_t *n)
{
	struct json_object *list;

	*n = 0;
	if (!json_object_object_get_ex(config, key, &list))
		return NULL;
	*n = json_object_array_length(list);
	return list;
}

static void put_devices(struct params *params, const struct domain *domain, uint32_t groups)
{
	struct json_object *config = json_tokener_parse(domain_definition(domain)->config);
	size_t n_net, n_disks;
	struct json_object *net = list_of(config, "net", &n_net);
	struct json_object *disks = list_of(config, "disks", &n_disks);

	if (groups & GROUP_INTERFACE) {
		params_uint(params, (uint32_t)n_net, "net.count");
		for (size_t i = 0; i < n_net; i++)
			put_interface(params, i, json_object_array_get_idx(net, i), domain->live);
	}
	if (groups & GROUP_BLOCK) {
		params_uint(params, (uint32_t)n_disks, "block.count");
		for (size_t i = 0; i < n_disks; i++)
			put_block(params, i, json_object_array_get_idx(disks, i));
	}
	json_object_put(config);
}

/* adit's own counters, by their names in its API: "adit.dsa0.completed". */
static void put_counters(struct params *params, struct json_object *counters)
{
	if (!json_object_is_type(counters, json_type_object))
		return;
	json_object_object_foreach(counters, device, values)
	{
		if (!json_object_is_type(values, json_type_object))
			continue;
		json_object_object_foreach(values, name, value)
		{
			if (json_object_is_type(value, json_type_int))
				params_u64(params, json_object_get_uint64(value),
					   "adit.%.40s.%.30s", device, name);
		}
	}
}

static void put_domain(struct xdr_out *out, const struct domain *domain, uint32_t groups,
		       struct json_object *counters)
{
	const struct definition *definition = domain_definition(domain);
	bool all = !groups;
	struct params params;
	struct run_times times;

	groups = all ? UINT32_MAX : groups;
	domain_put(out, domain);
	params_begin(&params, out);
	if (groups & GROUP_STATE) {
		params_int(&params, domain->state, "state.state");
		params_int(&params, domain->reason, "state.reason");
	}
	run_times(domain, &times);
	if (groups & GROUP_CPU && domain->live) {
		params_u64(&params, times.user_ns + times.system_ns, "cpu.time");
		params_u64(&params, times.user_ns, "cpu.user");
		params_u64(&params, times.system_ns, "cpu.system");
	}
	if (groups & GROUP_BALLOON) {
		params_u64(&params, definition->current_kib, "balloon.current");
		params_u64(&params, definition->memory_kib, "balloon.maximum");
		if (domain->live)
			params_u64(&params, times.resident_kib, "balloon.rss");
	}
	if (groups & GROUP_VCPU) {
		params_uint(&params, definition->vcpus, "vcpu.current");
		params_uint(&params, definition->vcpus, "vcpu.maximum");
	}
	put_devices(&params, domain, groups);
	if (all)
		put_counters(&params, counters);
	params_end(&params);
}

/* --- the whole call -------------------------------------------------------------------------- */

static void finish(struct stats *stats)
{
	struct xdr_out body = { .max = WIRE_MAX_MESSAGE - WIRE_HEADER };
	struct stats **at = &stats->daemon->stats;
	uint32_t n = 0;

	while (*at != stats)
		at = &(*at)->next;
	*at = stats->next;
	xdr_put_u32(&body, 0);
	for (size_t i = 0; i < stats->n; i++) {
		const struct domain *domain = domain_by_uuid(stats->daemon, stats->entries[i].uuid);

		/* One that is gone meanwhile has no statistics. */
		if (!domain)
			continue;
		put_domain(&body, domain, stats->groups, stats->entries[i].counters);
		n++;
	}
	xdr_patch_u32(&body, 0, n);
	if (body.bad) {
		struct refusal refusal;

		refuse(&refusal, FAULT_INTERNAL,
		       "the answer is longer than a message may be, or there is no memory");
		ticket_answer(stats->daemon, &stats->ticket, NULL, &refusal);
	} else {
		ticket_answer(stats->daemon, &stats->ticket, &body, NULL);
	}
	free(body.bytes);
	stats_free(stats);
}

static void ask_more(struct stats *stats);

static void on_answer(void *arg, unsigned int status, const char *body)
{
	struct entry *entry = arg;
	struct stats *stats = entry->stats;

	if (status == 200)
		entry->counters = json_tokener_parse(body);
	api_close(entry->api);
	entry->api = NULL;
	stats->under_way--;
	ask_more(stats);
}

static bool ask(struct entry *entry)
{
	const struct api_handler handler = { NULL, on_answer, entry };

	return !run_get(domain_by_uuid(entry->stats->daemon, entry->uuid), "vm.counters", &handler,
			&entry->api);
}

/* The call is over where nothing is under way any more. */
static void ask_more(struct stats *stats)
{
	while (stats->next_entry < stats->n && stats->under_way < AT_ONCE)
		stats->under_way += ask(&stats->entries[stats->next_entry++]);
	if (!stats->under_way)
		finish(stats);
}

static void on_timer(void *arg)
{
	finish(arg);
}

int stats_run(struct stats *stats)
{
	stats->next = stats->daemon->stats;
	stats->daemon->stats = stats;
	/* Entries do not move any more. Their own counters are for who wants all. */
	if (stats->groups)
		stats->next_entry = stats->n;
	if (!stats->groups && stats->daemon->loop)
		loop_timer(stats->daemon->loop, PATIENCE_NS, on_timer, stats, &stats->timer, NULL);
	ask_more(stats);
	return CALL_LATER;
}
