/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a host a figure depends on, for whoever reads the figure later. Only what /proc and /sys
 * say: a bench never changes the host that it measures.
 */
#include "bench/host.h"

#include <dirent.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define VTD_ECAP_SC (1ULL << 7) /* VT-d 5.1 §11.4.3: Snoop Control */

const char *host_line(const char *root, const char *path, char *text, size_t size)
{
	char whole[PATH_MAX];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	file = fopen(whole, "re");
	if (!file)
		return NULL;
	if (!fgets(text, (int)size, file))
		text[0] = 0;
	fclose(file);
	text[strcspn(text, "\n")] = 0;
	return text;
}

static struct json_object *text_or_null(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

static void put_line(struct json_object *to, const char *key, const char *root, const char *path)
{
	char text[256];

	json_object_object_add(to, key, text_or_null(host_line(root, path, text, sizeof(text))));
}

/* The value of the first line "NAME : value" of a file; NULL: there is none. */
static const char *field(const char *root, const char *path, const char *name, char *text,
			 size_t size)
{
	char whole[PATH_MAX];
	const char *found = NULL;
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	file = fopen(whole, "re");
	while (file && !found && fgets(text, (int)size, file)) {
		char *colon = strchr(text, ':');

		if (!colon || strncmp(text, name, strlen(name)) != 0)
			continue;
		found = colon + 1 + strspn(colon + 1, " \t");
		text[strcspn(text, "\n")] = 0;
	}
	if (file)
		fclose(file);
	return found;
}

static DIR *open_directory(const char *root, const char *path)
{
	char whole[PATH_MAX];

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	return opendir(whole);
}

/* Sizes and numbers of reserved huge pages: {"2048 KiB": {"total": .., "free": ..}}. */
static struct json_object *huge_pages(const char *root)
{
	static const char parent[] = "/sys/kernel/mm/hugepages";
	struct json_object *all = json_object_new_object();
	DIR *dir = open_directory(root, parent);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct json_object *one;
		char path[PATH_MAX], text[64], name[32];
		unsigned int kib;

		if (sscanf(entry->d_name, "hugepages-%ukB", &kib) != 1)
			continue;
		one = json_object_new_object();
		snprintf(path, sizeof(path), "%s/%.40s/nr_hugepages", parent, entry->d_name);
		if (host_line(root, path, text, sizeof(text)))
			json_object_object_add(one, "total", json_object_new_int(atoi(text)));
		snprintf(path, sizeof(path), "%s/%.40s/free_hugepages", parent, entry->d_name);
		if (host_line(root, path, text, sizeof(text)))
			json_object_object_add(one, "free", json_object_new_int(atoi(text)));
		snprintf(name, sizeof(name), "%u KiB", kib);
		json_object_object_add(all, name, one);
	}
	if (dir)
		closedir(dir);
	return all;
}

/*
 * Coherency as the hardware has it. Intel says in ECAP.SC whether it can enforce snooping; AMD
 * always can. true: all IOMMUs of the host can; false: one cannot; null: there is none to ask.
 */
static void put_iommu(struct json_object *host, const char *root)
{
	struct json_object *names = json_object_new_array(), *enforces = NULL;
	DIR *dir = open_directory(root, "/sys/class/iommu");
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[PATH_MAX], text[64];
		bool snoop = !strncmp(entry->d_name, "ivhd", 4);

		if (entry->d_name[0] == '.')
			continue;
		json_object_array_add(names, json_object_new_string(entry->d_name));
		snprintf(path, sizeof(path), "/sys/class/iommu/%.60s/intel-iommu/ecap",
			 entry->d_name);
		if (host_line(root, path, text, sizeof(text)))
			snoop = strtoull(text, NULL, 16) & VTD_ECAP_SC;
		if (!enforces || json_object_get_boolean(enforces)) {
			json_object_put(enforces);
			enforces = json_object_new_boolean(snoop);
		}
	}
	if (dir)
		closedir(dir);
	json_object_object_add(host, "iommu", names);
	json_object_object_add(host, "iommu_enforces_snoop", enforces);
}

static void put_kernel(struct json_object *host)
{
	struct utsname name;

	uname(&name);
	json_object_object_add(host, "kernel", json_object_new_string(name.release));
	json_object_object_add(host, "machine", json_object_new_string(name.machine));
}

/* Of the kernel's command line the words that figures depend on: the rest is nobody's business. */
static void put_options(struct json_object *host, const char *root)
{
	static const char *const words[] = {
		"mitigations=",
		"iommu=",
		"iommu.strict=",
		"iommu.passthrough=",
		"intel_iommu=",
		"amd_iommu=",
		"isolcpus=",
		"nohz_full=",
		"default_hugepagesz=",
		"hugepages=",
		"idle=",
		"nosmt",
		"preempt=",
		"transparent_hugepage=",
	};
	struct json_object *list = json_object_new_array();
	char text[4096], *save = NULL;
	const char *line = host_line(root, "/proc/cmdline", text, sizeof(text));

	for (char *word = line ? strtok_r(text, " ", &save) : NULL; word;
	     word = strtok_r(NULL, " ", &save)) {
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (!strncmp(word, words[i], strlen(words[i])))
				json_object_array_add(list, json_object_new_string(word));
		}
	}
	json_object_object_add(host, "kernel_options", list);
}

struct json_object *host_describe(const char *root)
{
	struct json_object *host = json_object_new_object();
	char text[4096]; /* the CPU's flags are one line */

	put_kernel(host);
	json_object_object_add(host, "cpu",
			       text_or_null(field(root, "/proc/cpuinfo", "model name", text,
						  sizeof(text))));
	json_object_object_add(host, "virtual",
			       json_object_new_boolean(
				       field(root, "/proc/cpuinfo", "flags", text, sizeof(text)) &&
				       strstr(text, " hypervisor")));
	json_object_object_add(host, "cpus_allowed",
			       text_or_null(field(root, "/proc/self/status", "Cpus_allowed_list",
						  text, sizeof(text))));
	put_line(host, "cpus_online", root, "/sys/devices/system/cpu/online");
	put_line(host, "nodes", root, "/sys/devices/system/node/online");
	put_line(host, "smt", root, "/sys/devices/system/cpu/smt/control");
	put_line(host, "governor", root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	json_object_object_add(host, "huge_pages", huge_pages(root));
	put_line(host, "transparent_huge_pages", root,
		 "/sys/kernel/mm/transparent_hugepage/enabled");
	put_line(host, "shmem_huge_pages", root,
		 "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
	put_line(host, "load", root, "/proc/loadavg");
	put_options(host, root);
	put_iommu(host, root);
	return host;
}

double host_tsc_hertz(void)
{
	struct timespec a, b, pause = { .tv_nsec = 50000000 };
	uint64_t from, to;

	clock_gettime(CLOCK_MONOTONIC, &a);
	from = __builtin_ia32_rdtsc();
	nanosleep(&pause, NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	to = __builtin_ia32_rdtsc();
	return (double)(to - from) /
	       ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
}
