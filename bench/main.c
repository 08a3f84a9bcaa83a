/* SPDX-License-Identifier: Apache-2.0 */
/* adit-bench: what `adit bench NAME` runs. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "util/bits.h"

#define DEFAULT_ROUNDS 21u

static const struct bench benches[] = {
	{ "copy", bench_copy, "memory moves by the software engine beside memcpy" },
	{ "submit", bench_submit, "a trapped submission beside a minimal KVM program's exit" },
	{ "boot", bench_boot, "exec to first output and to exit, memory, and the cost of an exit" },
	{ "io", bench_io, "a guest's reads and writes of a disk beside io_uring on the same file" },
	{ "map", bench_map, "map, attach and unmap; translations and PASIDs of the soft provider" },
};

static int usage(void)
{
	fprintf(stderr, "usage: adit bench NAME [--json FILE] [--svg FILE] [--rounds N]\n"
			"       adit bench map [--cdev /dev/vfio/devices/vfioN] "
			"[--group /dev/vfio/N --device BDF]\n"
			"       adit bench boot --kernel FILE --initramfs FILE --marker TEXT "
			"[--cmdline WORDS]\n"
			"       adit bench io [--directory DIR] [--direct]\n");
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++)
		fprintf(stderr, "  %-8s %s\n", benches[i].name, benches[i].summary);
	return 2;
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

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "svg", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "initramfs", required_argument, NULL, 'i' },
		{ "cmdline", required_argument, NULL, 'c' },
		{ "marker", required_argument, NULL, 'm' },
		{ "devices", required_argument, NULL, 'n' },
		{ "cdev", required_argument, NULL, 'd' },
		{ "group", required_argument, NULL, 'g' },
		{ "device", required_argument, NULL, 'b' },
		{ "directory", required_argument, NULL, 'f' },
		{ "direct", no_argument, NULL, 'p' },
		{ 0 },
	};
	char build[PATH_MAX];
	struct bench_options options = { .rounds = DEFAULT_ROUNDS, .build = build };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'j':
			options.json_path = optarg;
			break;
		case 's':
			options.svg_path = optarg;
			break;
		case 'r':
			options.rounds = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'k':
			options.kernel = optarg;
			break;
		case 'i':
			options.initramfs = optarg;
			break;
		case 'c':
			options.cmdline = optarg;
			break;
		case 'm':
			options.marker = optarg;
			break;
		case 'n':
			options.devices = (unsigned int)strtoul(optarg, NULL, 10);
			if (!options.devices || options.devices > FUNCTIONS_MAX)
				return usage();
			break;
		case 'd':
			options.cdev = optarg;
			break;
		case 'g':
			options.group = optarg;
			break;
		case 'b':
			options.device = optarg;
			break;
		case 'f':
			options.directory = optarg;
			break;
		case 'p':
			options.direct = true;
			break;
		default:
			return usage();
		}
	}
	if (!!options.kernel != !!options.initramfs || !!options.kernel != !!options.marker)
		return usage();
	if (options.devices && !options.kernel)
		return usage();
	if (!options.group != !options.device)
		return usage();
	if (optind != argc - 1 || !options.rounds || options.rounds > SAMPLES_MAX)
		return usage();
	if (own_directory(build, sizeof(build))) {
		fprintf(stderr, "adit bench: /proc is not mounted\n");
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
		if (!strcmp(argv[optind], benches[i].name))
			return benches[i].run(&options);
	}
	return usage();
}
