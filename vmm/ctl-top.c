/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live view of the API's counters. One file: a table of what is shown of which kind of device,
 * and what a second makes of two samples. Nothing is asked for that any other client could not.
 */
#include "vmm/ctl-top.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/clock.h"
#include "util/json-strict.h"
#include "vmm/command.h"
#include "vmm/ctl-request.h"

#define NS_PER_S     1000000000ull
#define NAME_WIDTH   18
#define COLUMNS_MAX  10
#define CELL_BYTES   24
#define PASIDS_SHOWN 32u
/* Home, and nothing below: what is there is overwritten line by line before it goes. */
#define CLEAR "\x1b[H\x1b[2J"

enum unit {
	RATE,	      /* of a counter */
	BYTES,	      /* the same, in bytes */
	NOW,	      /* a gauge */
	SHARE,	      /* nanoseconds of a second, in per cent */
	MICROSECONDS, /* a gauge of nanoseconds */
};

struct column {
	const char *title, *key;
	enum unit unit;
};

/* A kind of object in vm.counters: known by the key of its first column. */
struct section {
	const char *title;
	struct column columns[COLUMNS_MAX];
};

static const struct section sections[] = {
	{ "exits",
	  { { "pio/s", "exits_pio", RATE },
	    { "mmio/s", "exits_mmio", RATE },
	    { "eoi/s", "exits_eoi", RATE },
	    { "store64/s", "exits_store64", RATE },
	    { "kick/s", "exits_kick", RATE },
	    { "other/s", "exits_other", RATE } } },
	{ "loop",
	  { { "turns/s", "turns", RATE },
	    { "busy", "busy_ns", SHARE },
	    { "longest", "longest_ns", MICROSECONDS } } },
	{ "virtio",
	  { { "doorbells/s", "doorbells", RATE },
	    { "interrupts/s", "interrupts", RATE },
	    { "buffers/s", "buffers", RATE },
	    { "read/s", "read_bytes", BYTES },
	    { "written/s", "written_bytes", BYTES },
	    { "depth", "in_flight", NOW } } },
	{ "device", { { "vectors", "irqfds", NOW }, { "interrupts/s", "interrupts", RATE } } },
	{ "space",
	  { { "maps/s", "maps", RATE },
	    { "mapped/s", "map_bytes", BYTES },
	    { "mapping", "map_ns", SHARE },
	    { "longest", "map_longest_ns", MICROSECONDS },
	    { "unmaps/s", "unmaps", RATE },
	    { "unmapping", "unmap_ns", SHARE },
	    { "longest", "unmap_longest_ns", MICROSECONDS } } },
	{ "adi",
	  { { "accepted/s", "accepted", RATE },
	    { "failed/s", "failed", RATE },
	    { "unbound/s", "refused_unbound", RATE },
	    { "faults/s", "faults", RATE },
	    { "moved/s", "bytes", BYTES },
	    { "interrupts/s", "interrupts", RATE },
	    { "queued", "queued", NOW },
	    { "running", "running", NOW } } },
};

struct sample {
	uint64_t at; /* ns */
	struct json_object *info, *counters, *pasids;
};

struct top {
	const char *socket;
	bool terminal;
	struct sample before, now;
};

/* --- what is asked --------------------------------------------------------------------------- */

/* *out: NULL where the VM is not in a state to be asked. -errno: it cannot be reached. */
static int get(const struct top *top, const char *verb, struct json_object **out)
{
	const struct ctl_request request = { .socket = top->socket, .method = "GET", .verb = verb };
	struct http *http;
	int fd, ret = http_create(&http, HTTP_RESPONSES, CTL_ANSWER_MAX);

	*out = NULL;
	if (ret)
		return ret;
	fd = ctl_send(&request);
	ret = fd < 0 ? fd : ctl_receive(fd, http, NULL, 0);
	if (!ret && http_status(http) == 200) {
		size_t len;

		*out = json_tokener_parse(http_body(http, &len));
		if (!json_object_is_type(*out, json_type_object))
			ret = -EPROTO;
	}
	http_destroy(http);
	if (fd >= 0)
		close(fd);
	return ret;
}

static void forget(struct sample *sample)
{
	json_object_put(sample->info);
	json_object_put(sample->counters);
	json_object_put(sample->pasids);
	*sample = (struct sample){ 0 };
}

static int take(struct top *top)
{
	struct sample sample = { .at = clock_ns() };
	int ret = get(top, "vm.info", &sample.info);

	if (!ret)
		ret = get(top, "vm.counters", &sample.counters);
	if (!ret)
		ret = get(top, "vm.pasids", &sample.pasids);
	if (ret) {
		forget(&sample);
		return ret;
	}
	forget(&top->before);
	top->before = top->now;
	top->now = sample;
	return 0;
}

/* Whoever serves the socket shall not write to the terminal what it likes. */
static void text_of(struct json_object *object, const char *key, const char *absent, char *out,
		    size_t size)
{
	struct json_object *found = NULL;

	json_object_object_get_ex(object, key, &found);
	json_printable(out, size, found ? json_object_get_string(found) : absent);
}

/* --- figures --------------------------------------------------------------------------------- */

static uint64_t value(struct json_object *object, const char *key)
{
	struct json_object *found;

	return json_object_object_get_ex(object, key, &found) ? json_object_get_uint64(found) : 0;
}

/* A counter that is less than it was is another machine's: it began at 0. */
static uint64_t rate(const struct top *top, uint64_t before, uint64_t now)
{
	uint64_t ns = top->now.at - top->before.at;

	return ns ? (uint64_t)((double)(now < before ? now : now - before) * (double)NS_PER_S /
			       (double)ns)
		  : 0;
}

static void print_bytes(char *out, uint64_t bytes)
{
	static const char units[] = "BKMGT";
	double figure = (double)bytes;
	unsigned int unit = 0;

	while (figure >= 1024 && unit < sizeof(units) - 2) {
		figure /= 1024;
		unit++;
	}
	snprintf(out, CELL_BYTES, unit ? "%.1f%c" : "%.0f%c", figure, units[unit]);
}

static void print_cell(const struct top *top, const struct column *column,
		       struct json_object *before, struct json_object *now, char *out)
{
	uint64_t is = value(now, column->key), was = value(before, column->key);

	switch (column->unit) {
	case RATE:
		snprintf(out, CELL_BYTES, "%" PRIu64, rate(top, was, is));
		break;
	case BYTES:
		print_bytes(out, rate(top, was, is));
		break;
	case NOW:
		snprintf(out, CELL_BYTES, "%" PRIu64, is);
		break;
	case SHARE:
		snprintf(out, CELL_BYTES, "%.1f%%",
			 (double)rate(top, was, is) * 100 / (double)NS_PER_S);
		break;
	case MICROSECONDS:
		snprintf(out, CELL_BYTES, "%" PRIu64 "us", is / 1000);
		break;
	}
}

/* --- tables ---------------------------------------------------------------------------------- */

static int width_of(const struct column *column)
{
	return (int)MAX(strlen(column->title), (size_t)9) + 2;
}

static void print_title(const struct section *section)
{
	printf("\n%-*s", NAME_WIDTH, section->title);
	for (const struct column *column = section->columns; column->title; column++)
		printf("%*s", width_of(column), column->title);
	printf("\n");
}

static void print_row(const struct top *top, const struct section *section, const char *name,
		      struct json_object *now)
{
	struct json_object *before = NULL;
	char cell[CELL_BYTES], shown[64];

	json_object_object_get_ex(top->before.counters, name, &before);
	json_printable(shown, sizeof(shown), name);
	printf("%-*s", NAME_WIDTH, shown);
	for (const struct column *column = section->columns; column->title; column++) {
		print_cell(top, column, before, now, cell);
		printf("%*s", width_of(column), cell);
	}
	printf("\n");
}

static void print_section(const struct top *top, const struct section *section)
{
	bool titled = false;

	json_object_object_foreach(top->now.counters, name, object)
	{
		if (!json_object_object_get_ex(object, section->columns[0].key, NULL))
			continue;
		if (!titled)
			print_title(section);
		titled = true;
		print_row(top, section, name, object);
	}
}

static size_t entries_of(struct json_object *table, struct json_object **entries)
{
	return json_object_object_get_ex(table, "entries", entries) &&
			       json_object_is_type(*entries, json_type_array)
		       ? json_object_array_length(*entries)
		       : 0;
}

/* The entry of this guest PASID, which may have gone or come. */
static struct json_object *entry_of(struct json_object *table, uint64_t guest)
{
	struct json_object *entries;
	size_t n = entries_of(table, &entries);

	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(entries, i);

		if (value(entry, "guest") == guest)
			return entry;
	}
	return NULL;
}

static void print_pasid(const struct top *top, const char *adi, struct json_object *entry,
			struct json_object *before)
{
	uint64_t guest = value(entry, "guest"), uses = value(entry, "descriptors");
	char name[96], id[64], space[64];

	text_of(entry, "space", "-", space, sizeof(space));
	json_printable(id, sizeof(id), adi);
	snprintf(name, sizeof(name), "%s:%" PRIu64, id, guest);
	printf("%-*s%8" PRIu64 "%15" PRIu64 "%14" PRIu64 "  %s\n", NAME_WIDTH, name,
	       value(entry, "host"), rate(top, value(entry_of(before, guest), "descriptors"), uses),
	       uses, space);
}

static void print_table(const struct top *top, const char *adi, struct json_object *table,
			bool *titled)
{
	struct json_object *entries, *before = NULL;
	size_t n = entries_of(table, &entries);

	if (n && !*titled)
		printf("\n%-*s%8s%15s%14s  %s\n", NAME_WIDTH, "pasid", "host", "descriptors/s",
		       "descriptors", "space");
	*titled |= n > 0;
	json_object_object_get_ex(top->before.pasids, adi, &before);
	for (size_t i = 0; i < MIN(n, (size_t)PASIDS_SHOWN); i++)
		print_pasid(top, adi, json_object_array_get_idx(entries, i), before);
	if (n > PASIDS_SHOWN)
		printf("(%zu more)\n", n - PASIDS_SHOWN);
}

static void print_head(const struct top *top)
{
	char memory[CELL_BYTES], state[64], sandbox[64];

	text_of(top->now.info, "state", "no VM", state, sizeof(state));
	text_of(top->now.info, "sandbox", "-", sandbox, sizeof(sandbox));
	print_bytes(memory, value(top->now.info, "memory_actual_size"));
	printf("%s: %s, memory %s, boots %" PRIu64 ", sandbox %s\n", top->socket, state, memory,
	       value(top->now.info, "boots"), sandbox);
}

/* False: nobody reads it any more. */
static bool print(const struct top *top)
{
	bool titled = false;

	if (top->terminal)
		printf(CLEAR);
	print_head(top);
	for (size_t i = 0; top->now.counters && i < ARRAY_SIZE(sections); i++)
		print_section(top, &sections[i]);
	if (top->now.pasids) {
		json_object_object_foreach(top->now.pasids, adi, table)
		{
			print_table(top, adi, table, &titled);
		}
	}
	if (!top->terminal)
		printf("\n");
	return !fflush(stdout) && !ferror(stdout);
}

/* --- the loop -------------------------------------------------------------------------------- */

static void wait_until(uint64_t ns)
{
	const struct timespec when = { .tv_sec = (time_t)(ns / NS_PER_S),
				       .tv_nsec = (long)(ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

/* count: 0: until the end. */
static int show(struct top *top, unsigned long count)
{
	unsigned long shown = 0;
	int ret = take(top);

	while (!ret && (!count || shown < count)) {
		wait_until(top->now.at + NS_PER_S);
		ret = take(top);
		if (!ret && !print(top))
			return EXIT_OK;
		shown += !ret;
	}
	if (!ret)
		return EXIT_OK;
	fprintf(stderr, "adit ctl: top: %s: %s\n", top->socket, strerror(-ret));
	/* A VM that has ended is what a view of it ends with. */
	return count || !shown ? EXIT_FAILED : EXIT_OK;
}

static int usage(void)
{
	fprintf(stderr, "usage: adit ctl SOCKET top [-n COUNT]\n");
	return EXIT_CONFIG;
}

int ctl_top(const char *socket, int argc, char **argv)
{
	struct top top = { .socket = socket, .terminal = isatty(STDOUT_FILENO) };
	unsigned long count = 0;
	int c, status;

	while ((c = getopt(argc, argv, "n:")) != -1) {
		char *end;

		if (c != 'n' || *optarg < '0' || *optarg > '9')
			return usage();
		count = strtoul(optarg, &end, 10);
		if (*end || !count)
			return usage();
	}
	if (optind != argc)
		return usage();
	status = show(&top, count);
	forget(&top.before);
	forget(&top.now);
	return status;
}
