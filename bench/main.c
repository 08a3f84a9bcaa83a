/* SPDX-License-Identifier: Apache-2.0 */
/* adit-bench: what `adit bench NAME` runs; the command line and what becomes of the results. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/compare.h"
#include "bench/host.h"
#include "bench/plot.h"
#include "bench/results.h"
#include "bench/samples.h"
#include "bench/watch.h"
#include "describe-build.h"
#include "util/bits.h"

static int usage(FILE *to)
{
	fprintf(to,
		"usage: adit bench NAME [--json FILE] [--svg FILE] [--rounds N] [--warm-up N]\n"
		"                  [--cpus LIST] [--numa-node N] [--seed N] [--patience SECONDS]\n"
		"                  [--retries N] [--brief] [--floor-is-self]\n"
		"       adit bench copy|submit|io|dma --job FILE\n"
		"       adit bench map|dma [--cdev /dev/vfio/devices/vfioN] "
		"[--group /dev/vfio/N] [--device BDF]\n"
		"       adit bench map --devices N\n"
		"       adit bench dma --device vfio-user:SOCKET\n"
		"       adit bench boot --kernel FILE --initramfs FILE --marker TEXT "
		"[--cmdline WORDS]\n"
		"                  [--devices N]\n"
		"       adit bench io [--directory DIR] [--direct]\n"
		"       adit bench fleet [--vms N]\n"
		"       adit bench compare BEFORE.json AFTER.json [--threshold PERCENT]\n"
		"       adit bench NAME --help\n");
	bench_list(to);
	return to == stdout ? 0 : 2;
}

static int say_help(const char *name)
{
	if (!name)
		return usage(stdout);
	if (!bench_find(name) && strcmp(name, "compare") != 0)
		return usage(stderr);
	bench_help(name, stdout);
	return 0;
}

/* The directory that this program lies in: where adit and the payloads of a build tree are. */
static int own_directory(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n < 0)
		return -1;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash)
		return -1;
	*slash = 0;
	return 0;
}

/* --- the command line ------------------------------------------------------------------------ */

static const struct option long_options[] = {
	{ "json", required_argument, NULL, 'j' },     { "svg", required_argument, NULL, 's' },
	{ "rounds", required_argument, NULL, 'r' },   { "warm-up", required_argument, NULL, 'w' },
	{ "job", required_argument, NULL, 'q' },      { "seed", required_argument, NULL, 'e' },
	{ "cpus", required_argument, NULL, 'u' },     { "numa-node", required_argument, NULL, 'o' },
	{ "patience", required_argument, NULL, 't' }, { "retries", required_argument, NULL, 'y' },
	{ "floor-is-self", no_argument, NULL, 'l' },  { "brief", no_argument, NULL, 'a' },
	{ "kernel", required_argument, NULL, 'k' },   { "initramfs", required_argument, NULL, 'i' },
	{ "cmdline", required_argument, NULL, 'c' },  { "marker", required_argument, NULL, 'm' },
	{ "devices", required_argument, NULL, 'n' },  { "vms", required_argument, NULL, 'v' },
	{ "cdev", required_argument, NULL, 'd' },     { "group", required_argument, NULL, 'g' },
	{ "device", required_argument, NULL, 'b' },   { "directory", required_argument, NULL, 'f' },
	{ "direct", no_argument, NULL, 'p' },	      { "threshold", required_argument, NULL, 'h' },
	{ "help", no_argument, NULL, 'x' },	      { 0 },
};

/* A whole number between the two; else false, and a sentence on stderr. */
static bool number(const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (*text >= '0' && *text <= '9' && !*end && !errno && *value >= min && *value <= max)
		return true;
	fprintf(stderr, "adit bench: --%s %s: a number from %llu to %llu is asked for\n", name,
		text, (unsigned long long)min, (unsigned long long)max);
	return false;
}

/* Options of one word each; false: it is none of these. */
static bool set_text(struct bench_options *options, int c)
{
	const struct {
		int c;
		const char **to;
	} texts[] = {
		{ 'j', &options->json_path }, { 's', &options->svg_path },
		{ 'u', &options->cpus },      { 'k', &options->kernel },
		{ 'i', &options->initramfs }, { 'c', &options->cmdline },
		{ 'm', &options->marker },    { 'd', &options->cdev },
		{ 'g', &options->group },     { 'b', &options->device },
		{ 'f', &options->directory }, { 'q', &options->job_path },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (c != texts[i].c)
			continue;
		*texts[i].to = optarg;
		return true;
	}
	return false;
}

static bool set_number(struct bench_options *options, int c)
{
	uint64_t value = 0;
	bool ok = false;

	switch (c) {
	case 'r':
		ok = number(optarg, "rounds", 1, SAMPLES_MAX, &value);
		options->rounds = (unsigned int)value;
		break;
	case 'w':
		ok = number(optarg, "warm-up", 0, SAMPLES_MAX, &value);
		options->warm_up = (int)value;
		break;
	case 'e':
		ok = number(optarg, "seed", 0, UINT64_MAX, &options->seed);
		break;
	case 'o':
		ok = number(optarg, "numa-node", 0, INT_MAX, &value);
		options->node = (int)value;
		break;
	case 't':
		ok = number(optarg, "patience", 1, BENCH_PATIENCE_MAX, &value);
		options->patience = (unsigned int)value;
		break;
	case 'y':
		ok = number(optarg, "retries", 0, BENCH_RETRIES_MAX, &value);
		options->retries = (unsigned int)value;
		break;
	case 'h':
		ok = number(optarg, "threshold", 0, BENCH_THRESHOLD_MAX, &value);
		options->threshold = (double)value / 100;
		break;
	case 'n':
		ok = number(optarg, "devices", 1, FUNCTIONS_MAX, &value);
		options->devices = (unsigned int)value;
		break;
	case 'v':
		ok = number(optarg, "vms", 1, BENCH_VMS_MAX, &value);
		options->vms = (unsigned int)value;
		break;
	}
	return ok;
}

/* --device vfio-user:SOCKET names no function of this host's. */
static void take_served(struct bench_options *options)
{
	static const char scheme[] = "vfio-user:";

	if (!options->device || strncmp(options->device, scheme, sizeof(scheme) - 1) != 0)
		return;
	options->socket = options->device + sizeof(scheme) - 1;
	options->device = NULL;
}

static bool parse(int argc, char **argv, struct bench_options *options, bool *help)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 'x')
			*help = true;
		else if (c == 'p')
			options->direct = true;
		else if (c == 'l')
			options->self = true;
		else if (c == 'a')
			options->brief = true;
		else if (!set_text(options, c) && !set_number(options, c))
			return false;
	}
	if (*help)
		return true;
	take_served(options);
	if (!!options->kernel != !!options->initramfs || !!options->kernel != !!options->marker)
		return false;
	if (optind >= argc || (options->group && !options->device))
		return false;
	return !options->devices || options->kernel || !strcmp(argv[optind], "map");
}

/* --- a run ----------------------------------------------------------------------------------- */

static int keep_to(const struct bench_options *options, struct err *err)
{
	int ret = 0;

	if (options->node >= 0)
		ret = host_pin_node((unsigned int)options->node, options->cpus != NULL, err);
	if (!ret && options->cpus)
		ret = host_pin_cpus(options->cpus, err);
	return ret;
}

/* What there is goes into the files, also of a bench that failed: its rows have been measured. */
static int write_files(const struct bench_run *run, struct err *err)
{
	const struct bench_options *options = run->options;
	char title[64];
	int ret = 0;

	if (options->json_path)
		ret = results_write(run->results, options->json_path);
	if (ret)
		return err_set(err, -ret, "%s: %s", options->json_path, strerror(-ret));
	snprintf(title, sizeof(title), "adit bench %s", run->bench);
	if (options->svg_path)
		ret = run->plot ? plot_write(run->plot, options->svg_path)
				: plot_ratios(title, results_rows(run->results), options->svg_path);
	return ret ? err_set(err, -ret, "%s: %s", options->svg_path, strerror(-ret)) : 0;
}

/* The watch's thread, at the end of a bench that does not get to its own. */
static void keep_results(void *arg, bool stalled, const char *why)
{
	results_end(arg, stalled, why);
}

static int run_with_watch(const struct bench *bench, struct bench_run *run, struct err *err)
{
	struct err files = { 0 };
	int ret, wrote;

	watch_keep(run->watch, keep_results, run->results);
	ret = bench->run(run, err);
	if (ret && !err->code)
		err_set(err, -ret, "%s", strerror(-ret));
	if (ret)
		results_failed(run->results, "%s", err->text);
	if (!ret || results_count(run->results))
		results_print(run->results, stdout);
	wrote = write_files(run, &files);
	if (!ret && wrote)
		ret = err_set(err, -wrote, "%s", files.text);
	else if (!ret && results_failures(run->results))
		ret = err_set(err, EIO, "%u failed: what is told beside the rows",
			      results_failures(run->results));
	return ret;
}

static int run_bench(const struct bench *bench, const struct bench_options *options)
{
	struct bench_run run = {
		.options = options,
		.bench = bench->name,
		.progress = isatty(STDERR_FILENO),
	};
	struct err err = { 0 };
	int ret = keep_to(options, &err);

	if (!ret)
		ret = watch_start(&run.watch, bench->name, options->patience, &err);
	if (!ret) {
		run.results = results_new(options, bench->name);
		ret = run_with_watch(bench, &run, &err);
		/* First, for it would keep what is no more. */
		watch_stop(run.watch);
		results_free(run.results);
		if (run.plot)
			plot_free(run.plot);
	}
	if (ret)
		fprintf(stderr, "adit bench %s: %s\n", bench->name, err.text);
	return ret ? 1 : 0;
}

/* getopt sorts what it is given; the description of a run has it as it was typed. */
static char **copy_of(int argc, char **argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));

	if (!copy)
		abort();
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	return copy;
}

int main(int argc, char **argv)
{
	char build[PATH_MAX];
	struct bench_options options = {
		.rounds = BENCH_ROUNDS,
		.warm_up = -1,
		.node = -1,
		.patience = BENCH_PATIENCE,
		.vms = BENCH_VMS,
		.threshold = BENCH_THRESHOLD / 100.0,
		.build = build,
		.argv = copy_of(argc, argv),
		.argc = argc,
		.describe = ADIT_DESCRIBE[0] ? ADIT_DESCRIBE : NULL,
	};
	const struct bench *bench;
	bool help = false;

	if (getrandom(&options.seed, sizeof(options.seed), 0) != (ssize_t)sizeof(options.seed))
		options.seed = 1;
	if (!parse(argc, argv, &options, &help))
		return usage(stderr);
	if (help)
		return say_help(optind < argc ? argv[optind] : NULL);
	if (own_directory(build, sizeof(build))) {
		fprintf(stderr, "adit bench: /proc is not mounted\n");
		return 1;
	}
	if (!strcmp(argv[optind], "compare") && optind == argc - 3)
		return bench_compare(argv[optind + 1], argv[optind + 2], options.threshold,
				     options.seed);
	bench = optind == argc - 1 ? bench_find(argv[optind]) : NULL;
	if (bench && options.job_path && !bench->takes_jobs)
		fprintf(stderr, "adit bench %s: it takes no --job: its rows are its own\n",
			bench->name);
	if (!bench || (options.job_path && !bench->takes_jobs))
		return usage(stderr);
	return run_bench(bench, &options);
}
