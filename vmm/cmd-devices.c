/* SPDX-License-Identifier: Apache-2.0 */
/* adit devices: what could be assigned on this host, and what is in the way of the rest. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "keeper/host.h"
#include "vmm/command.h"

typedef struct json_object json;

static void put(json *object, const char *key, const char *value)
{
	json_object_object_add(object, key, *value ? json_object_new_string(value) : NULL);
}

static void put_int(json *object, const char *key, int64_t value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

static void put_group(json *object, int group)
{
	json_object_object_add(object, "group",
			       group == HOST_NO_GROUP ? NULL : json_object_new_int(group));
}

static void put_cdev(json *object, const char *cdev)
{
	char node[HOST_TEXT + 32] = "";

	if (*cdev)
		snprintf(node, sizeof(node), "/dev/vfio/devices/%s", cdev);
	put(object, "cdev", node);
}

/*
 * "ready", "managed" (it would be taken from its driver) or "refused", with the sentence that says
 * why. Other members of its group are taken to stay where they are.
 */
static void judge(const struct host *host, const struct host_function *function, json *object)
{
	struct err err = { 0 }, deeper = { 0 };

	if (!host_function_check(host, function, false, NULL, 0, &err)) {
		put(object, "state", "ready");
		put(object, "why", "");
		return;
	}
	if (!host_function_check(host, function, true, NULL, 0, &deeper)) {
		put(object, "state", "managed");
		put(object, "why", err.text);
		return;
	}
	put(object, "state", "refused");
	put(object, "why", deeper.text);
}

static json *functions_of(const struct host *host, const struct host_inventory *all)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < all->n_functions; i++) {
		const struct host_function *f = &all->functions[i];
		json *object = json_object_new_object();
		char id[16];

		put(object, "path", f->bdf);
		snprintf(id, sizeof(id), "%04x:%04x", f->vendor, f->device);
		put(object, "id", id);
		snprintf(id, sizeof(id), "%06x", f->class & 0xffffff);
		put(object, "class", id);
		put(object, "driver", f->driver);
		put_group(object, f->group);
		put_cdev(object, f->cdev);
		put(object, "iommu", f->iommu);
		put(object, "iommu_enforces", host_snoop_word(f->snoop));
		put(object, "reset", f->resets);
		put_int(object, "bar_bytes", (int64_t)f->bar_bytes);
		put_int(object, "numa_node", f->numa_node);
		put(object, "pf", f->pf);
		put_int(object, "vfs", f->vfs);
		put_int(object, "max_vfs", f->max_vfs);
		judge(host, f, object);
		json_object_array_add(list, object);
	}
	return list;
}

static json *types_of(const struct host_inventory *all)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < all->n_types; i++) {
		json *object = json_object_new_object();

		put(object, "parent", all->types[i].parent);
		put(object, "type", all->types[i].type);
		put(object, "name", all->types[i].name);
		put(object, "device_api", all->types[i].api);
		put_int(object, "available", all->types[i].available);
		json_object_array_add(list, object);
	}
	return list;
}

static json *mdevs_of(const struct host_inventory *all)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < all->n_mdevs; i++) {
		json *object = json_object_new_object();

		put(object, "path", all->mdevs[i].uuid);
		put(object, "parent", all->mdevs[i].parent);
		put(object, "type", all->mdevs[i].type);
		put_group(object, all->mdevs[i].group);
		put_cdev(object, all->mdevs[i].cdev);
		json_object_array_add(list, object);
	}
	return list;
}

static json *wqs_of(const struct host_inventory *all)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < all->n_wqs; i++) {
		const struct host_wq *wq = &all->wqs[i];
		json *object = json_object_new_object();

		put(object, "name", wq->name);
		put(object, "device", wq->device);
		put(object, "function", wq->function);
		put(object, "mode", wq->mode);
		put(object, "type", wq->type);
		put(object, "state", wq->state);
		put(object, "driver", wq->driver);
		put_int(object, "size", wq->size);
		put(object, "node", wq->node);
		json_object_array_add(list, object);
	}
	return list;
}

static json *describe(const struct host *host, const struct host_inventory *all)
{
	json *object = json_object_new_object();
	const char *unsafe = host_unsafe_interrupts(host);

	json_object_object_add(object, "functions", functions_of(host, all));
	json_object_object_add(object, "mdev_types", types_of(all));
	json_object_object_add(object, "mdevs", mdevs_of(all));
	json_object_object_add(object, "wqs", wqs_of(all));
	json_object_object_add(object, "noiommu_mode",
			       json_object_new_boolean(host_noiommu_mode(host)));
	put(object, "unsafe_interrupts", unsafe ? unsafe : "");
	return object;
}

/* --- for people ------------------------------------------------------------------------------ */

static const char *text_of(json *object, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(object, key));

	return text ? text : "-";
}

/* The table has the name already: "0000:3b:00.0: is ..." without it. */
static const char *without(const char *sentence, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(sentence, name, n) && !strncmp(sentence + n, ": ", 2) ? sentence + n + 2
									      : sentence;
}

static void print_functions(json *list)
{
	printf("%-13s %-9s %-6s %-14s %-6s %-8s %s\n", "FUNCTION", "ID", "CLASS", "DRIVER", "GROUP",
	       "STATE", "");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json *f = json_object_array_get_idx(list, i);
		json *why = json_object_object_get(f, "why");

		printf("%-13s %-9s %-6s %-14s %-6s %-8s", text_of(f, "path"), text_of(f, "id"),
		       text_of(f, "class"), text_of(f, "driver"), text_of(f, "group"),
		       text_of(f, "state"));
		if (json_object_get_int64(json_object_object_get(f, "vfs")))
			printf(" %s of %s VFs;", text_of(f, "vfs"), text_of(f, "max_vfs"));
		if (json_object_object_get(f, "pf"))
			printf(" VF of %s;", text_of(f, "pf"));
		if (why)
			printf(" %s", without(json_object_get_string(why), text_of(f, "path")));
		else
			printf(" via %s, reset: %s, IOMMU enforces snooping: %s",
			       text_of(f, "cdev"), text_of(f, "reset"),
			       text_of(f, "iommu_enforces"));
		printf("\n");
	}
}

static void print_rest(json *object)
{
	json *types = json_object_object_get(object, "mdev_types");
	json *mdevs = json_object_object_get(object, "mdevs");
	json *wqs = json_object_object_get(object, "wqs");

	if (json_object_array_length(types))
		printf("\n%-20s %-20s %-9s %s\n", "MDEV TYPE", "PARENT", "AVAILABLE", "NAME");
	for (size_t i = 0; i < json_object_array_length(types); i++) {
		json *t = json_object_array_get_idx(types, i);

		printf("%-20s %-20s %-9s %s\n", text_of(t, "type"), text_of(t, "parent"),
		       text_of(t, "available"), text_of(t, "name"));
	}
	if (json_object_array_length(mdevs))
		printf("\n%-36s %-20s %-6s %s\n", "MDEV", "TYPE", "GROUP", "CDEV");
	for (size_t i = 0; i < json_object_array_length(mdevs); i++) {
		json *m = json_object_array_get_idx(mdevs, i);

		printf("%-36s %-20s %-6s %s\n", text_of(m, "path"), text_of(m, "type"),
		       text_of(m, "group"), text_of(m, "cdev"));
	}
	if (json_object_array_length(wqs))
		printf("\n%-8s %-6s %-13s %-9s %-7s %-8s %-4s %s\n", "WQ", "DEVICE", "FUNCTION",
		       "MODE", "TYPE", "STATE", "SIZE", "NODE");
	for (size_t i = 0; i < json_object_array_length(wqs); i++) {
		json *w = json_object_array_get_idx(wqs, i);

		printf("%-8s %-6s %-13s %-9s %-7s %-8s %-4s %s\n", text_of(w, "name"),
		       text_of(w, "device"), text_of(w, "function"), text_of(w, "mode"),
		       text_of(w, "type"), text_of(w, "state"), text_of(w, "size"),
		       text_of(w, "node"));
	}
}

static int show(bool as_json)
{
	const struct host host = { .root = "" };
	struct host_inventory all;
	json *object;

	if (host_scan(&host, &all)) {
		fprintf(stderr, "adit devices: out of memory\n");
		return EXIT_FAILED;
	}
	object = describe(&host, &all);
	host_inventory_free(&all);
	if (as_json) {
		printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY));
	} else {
		print_functions(json_object_object_get(object, "functions"));
		print_rest(object);
	}
	json_object_put(object);
	return EXIT_OK;
}

static int usage(FILE *to)
{
	fprintf(to, "usage: adit devices [--json]\n");
	return to == stdout ? EXIT_OK : EXIT_CONFIG;
}

int cmd_devices(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool as_json = false, bad = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		as_json |= c == 'j';
		bad |= c != 'j';
	}
	if (bad || optind != argc)
		return usage(stderr);
	return show(as_json);
}
