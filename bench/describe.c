/* SPDX-License-Identifier: Apache-2.0 */
/* The description of a run: from its options, from /sys, and from the contests as they end. */
#include "bench/describe.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/host.h"
#include "bench/job.h"
#include "bench/microvm.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

static void put_text(struct json_object *to, const char *key, const char *text)
{
	json_object_object_add(to, key, text ? json_object_new_string(text) : NULL);
}

static void put_count(struct json_object *to, const char *key, int64_t value)
{
	json_object_object_add(to, key, value < 0 ? NULL : json_object_new_int64(value));
}

static void put_bool(struct json_object *to, const char *key, bool value)
{
	json_object_object_add(to, key, json_object_new_boolean(value));
}

/* --- what was asked for ---------------------------------------------------------------------- */

static void put_time(struct json_object *to)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_text(to, "started", text);
}

static void put_argv(struct json_object *to, const struct bench_options *options)
{
	struct json_object *argv = json_object_new_array();

	for (int i = 0; i < options->argc; i++)
		json_object_array_add(argv, json_object_new_string(options->argv[i]));
	json_object_object_add(to, "argv", argv);
}

/* How it is measured, and what the intervals are drawn by. */
static void put_rounds(struct json_object *to, const struct bench_options *options)
{
	char seed[32], level[32];

	put_count(to, "rounds", options->rounds);
	put_count(to, "warm_up", options->warm_up);
	/* A string: JSON's numbers lose bits of 64. */
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)options->seed);
	put_text(to, "seed", seed);
	snprintf(level, sizeof(level), "%g", INTERVAL_LEVEL);
	json_object_object_add(to, "level", json_object_new_double_s(INTERVAL_LEVEL, level));
	put_count(to, "patience", options->patience);
	put_count(to, "retries", options->retries);
	put_text(to, "cpus", options->cpus);
	put_count(to, "node", options->node);
	put_bool(to, "self", options->self);
}

/* What is measured. */
static void put_subject(struct json_object *to, const struct bench_options *options)
{
	put_bool(to, "brief", options->brief);
	put_bool(to, "direct", options->direct);
	put_text(to, "directory", options->directory);
	put_text(to, "job", options->job_path);
	put_text(to, "kernel", options->kernel);
	put_text(to, "initramfs", options->initramfs);
	put_text(to, "cmdline", options->cmdline);
	put_text(to, "marker", options->marker);
	put_count(to, "devices", options->devices);
	put_count(to, "vms", options->vms);
	put_text(to, "cdev", options->cdev);
	put_text(to, "group", options->group);
	put_text(to, "device", options->device);
	put_text(to, "socket", options->socket);
}

struct json_object *describe_options(const struct bench_options *options)
{
	struct json_object *run = json_object_new_object();

	put_time(run);
	put_text(run, "adit", ADIT_VERSION);
	put_text(run, "describe", options->describe);
	put_argv(run, options);
	put_rounds(run, options);
	put_subject(run, options);
	return run;
}

/* --- on what --------------------------------------------------------------------------------- */

/* A line of a function's directory in /sys; NULL: there is none. */
static const char *attribute(const char *root, const char *bdf, const char *name, char *text,
			     size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.64s/%s", bdf, name);
	return host_line(root, path, text, size);
}

struct json_object *describe_function(const char *root, const char *bdf)
{
	struct json_object *to = json_object_new_object();
	char text[32];
	const char *node;

	put_text(to, "bdf", bdf);
	put_text(to, "vendor", attribute(root, bdf, "vendor", text, sizeof(text)));
	put_text(to, "device", attribute(root, bdf, "device", text, sizeof(text)));
	/* -1 where the host has no nodes. */
	node = attribute(root, bdf, "numa_node", text, sizeof(text));
	put_count(to, "node", node ? strtol(node, NULL, 10) : -1);
	return to;
}

bool describe_cdev(const char *root, const char *cdev, char bdf[BDF_CHARS + 1])
{
	const char *name = strrchr(cdev, '/');
	char link[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "%s/sys/class/vfio-dev/%.64s/device", root,
		 name ? name + 1 : cdev);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = 0;
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	if (strlen(name) != BDF_CHARS)
		return false;
	memcpy(bdf, name, BDF_CHARS + 1);
	return true;
}

void describe_functions(struct results *results, const struct bench_options *options)
{
	char bdf[FUNCTIONS_MAX][BDF_CHARS + 1];
	unsigned int n = options->devices;
	struct err err = { 0 };

	if (options->cdev && describe_cdev("", options->cdev, bdf[0]))
		results_describe(results, "functions", describe_function("", bdf[0]));
	if (options->device)
		results_describe(results, "functions", describe_function("", options->device));
	if (!n || functions_find(bdf, n, &err))
		return;
	for (unsigned int i = 0; i < n; i++)
		results_describe(results, "functions", describe_function("", bdf[i]));
}

/* --- of whom --------------------------------------------------------------------------------- */

static struct json_object *names_of(const struct contest *contest, bool only_out)
{
	struct json_object *names = json_object_new_array();

	for (unsigned int i = 0; i < contest->party_count; i++) {
		if (!only_out || contest->out[i])
			json_object_array_add(names, json_object_new_string(contest->parties[i]));
	}
	return names;
}

static void take_line(void *arg, int pid, char *text)
{
	char *version = arg;

	(void)pid;
	if (!version[0])
		snprintf(version, RESULTS_LINE, "%s", text);
}

/* Asked of the program itself, as a peer's turn that has its end. */
static void describe_qemu(struct bench_run *run)
{
	char *argv[] = { (char *)MICROVM_PROGRAM, (char *)"--version", NULL };
	struct turn turn = { .run = run };
	char version[RESULTS_LINE] = "";
	int status = 0;

	watch_turn(run->watch, "the version of %s", argv[0]);
	watch_spare(run->watch);
	child_lines(&turn, argv, take_line, version, &status);
	watch_turn(run->watch, NULL);
	if (version[0])
		results_describe(run->results, "qemu", json_object_new_string(version));
}

/* Of a QEMU that has no figures nobody asks. */
static bool has_qemu(const struct contest *contest)
{
	for (unsigned int i = 0; i < contest->party_count; i++) {
		if (!contest->out[i] && !strncmp(contest->parties[i], "qemu", 4))
			return true;
	}
	return false;
}

void describe_contest(const struct contest *contest, struct bench_run *run, unsigned int rounds,
		      unsigned int warm_up)
{
	struct json_object *one = json_object_new_object();

	put_text(one, "bench", run->bench);
	put_text(one, "name", contest->name);
	json_object_object_add(one, "parties", names_of(contest, false));
	json_object_object_add(one, "left", names_of(contest, true));
	put_count(one, "warm_up", warm_up);
	put_count(one, "rounds", rounds - warm_up);
	results_describe(run->results, "contests", one);
	for (unsigned int i = 0; i < contest->job_count; i++) {
		struct json_object *job = job_describe(&contest->jobs[i], contest->job_keys);

		put_text(job, "bench", run->bench);
		results_describe(run->results, "jobs", job);
	}
	if (has_qemu(contest) && !results_knows(run->results, "qemu"))
		describe_qemu(run);
}
