/* SPDX-License-Identifier: Apache-2.0 */
/* adit bench NAME --help: what each bench is told, in which unit, and what it does untold. */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/samples.h"
#include "util/bits.h"

/* The texts have these numbers in words. */
_Static_assert(BENCH_ROUNDS == 21 && SAMPLES_MAX == 1001 && INTERVAL_ROUNDS == 8, "--rounds");
_Static_assert(BENCH_PATIENCE == 120 && BENCH_PATIENCE_MAX == 86400, "--patience");
_Static_assert(BENCH_RETRIES_MAX == 100, "--retries");
_Static_assert(BENCH_VMS == 200 && BENCH_VMS_MAX == 10000, "--vms");
_Static_assert(FUNCTIONS_MAX == 31, "--devices");
_Static_assert(BENCH_THRESHOLD == 2 && BENCH_THRESHOLD_MAX == 100, "--threshold");

static const struct line {
	const char *option; /* and its value */
	const char *of;	    /* benches; NULL: all that measure */
	const char *text;   /* lines of it are set off as the first is */
} lines[] = {
	{ "--rounds N", NULL,
	  "rounds that are kept, 1 to 1001 (21); below 8 intervals are less than 99 %" },
	{ "--warm-up N", NULL,
	  "rounds before these, which are not kept, 0 to 1001 (each contest's own number)" },
	{ "--patience SECONDS", NULL,
	  "a turn that takes longer, beyond what its jobs ask for, is ended, 1 to 86400 (120)" },
	{ "--retries N", NULL,
	  "turns in all that are ended so, children's alone, and taken again, 0 to 100 (0)" },
	{ "--cpus LIST", NULL, "threads and children run on these, as 0-3,8 (any)" },
	{ "--numa-node N", NULL, "memory comes from that node, and CPUs too without --cpus (any)" },
	{ "--floor-is-self", NULL, "the first party takes all turns: the ratios are noise (no)" },
	{ "--seed N", NULL,
	  "of the intervals' bootstrap, 64 bits (another each time; it is printed)" },
	{ "--json FILE", NULL,
	  "results, samples, run and host, by docs/bench.schema.json (no file)" },
	{ "--svg FILE", NULL, "a plot of the results (no file)" },
	{ "--brief", "copy dma fault fleet libvirt all", "fewer sizes and shorter turns (no)" },
	{ "--kernel FILE", "boot all",
	  "a bzImage or vmlinux to boot instead of flat payloads (none)" },
	{ "--initramfs FILE", "boot all", "with --kernel: its initramfs" },
	{ "--marker TEXT", "boot all", "with --kernel: what its user space says first" },
	{ "--cmdline WORDS", "boot all",
	  "with --kernel: its command line (console=ttyS0\n"
	  "earlycon=uart8250,io,0x3f8,115200n8 panic=-1 quiet)" },
	{ "--devices N", "boot all",
	  "with --kernel: once more with the first N functions of vfio-pci's, 1 to 31 (none)" },
	{ "--devices N", "map",
	  "the first N functions of vfio-pci's share a space, 2 to 31 (none)" },
	{ "--cdev PATH", "map dma all", "a function by /dev/vfio/devices/vfioN (none)" },
	{ "--group PATH", "map dma all", "a function by /dev/vfio/N; takes --device BDF (none)" },
	{ "--device BDF", "map dma all", "that function, also for a guest (none)" },
	{ "--device vfio-user:SOCKET", "dma",
	  "a function that is served there (one of the bench's own)" },
	{ "--directory DIR", "io all", "where the image of 64 MiB is made (/tmp)" },
	{ "--direct", "io all", "all go past the page cache (no)" },
	{ "--vms N", "fleet all", "how many at once, 1 to 10000 (200)" },
	{ "--job FILE", "copy",
	  "jobs instead of the bench's own rows, JSON with fio's names (none): bs, size and\n"
	  "io_size in bytes; iodepth, iodepth_batch; pasid" },
	{ "--job FILE", "submit",
	  "jobs instead of the bench's own row, JSON with fio's names (none): number_ios" },
	{ "--job FILE", "io",
	  "jobs instead of the bench's own rows, JSON with fio's names (none): rw, rwmixread in\n"
	  "%; bs and size in bytes; iodepth; runtime in seconds; direct" },
	{ "--job FILE", "dma",
	  "jobs instead of the bench's own rows, JSON with fio's names (none): rw, rwmixread in\n"
	  "%; bs and size in bytes; iodepth, iodepth_batch, numjobs; runtime and ramp_time in\n"
	  "seconds; pasids, pasid_run" },
	{ "--threshold PERCENT", "compare", "changes below that are none, 0 to 100 (2)" },
	{ "--seed N", "compare", "of the intervals' bootstrap, 64 bits (another each time)" },
};

static bool is_of(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; at && *at; at += strcspn(at, " "), at += *at == ' ') {
		if (!strncmp(at, name, n) && (at[n] == ' ' || !at[n]))
			return true;
	}
	return false;
}

#define OPTION_COLUMN 26

static void print_line(const struct line *line, FILE *to)
{
	const char *at = line->text;

	fprintf(to, "  %-*s", OPTION_COLUMN, line->option);
	while (*at) {
		size_t n = strcspn(at, "\n");

		fprintf(to, "%.*s\n", (int)n, at);
		at += n + (at[n] == '\n');
		if (*at)
			fprintf(to, "  %*s", OPTION_COLUMN, "");
	}
}

void bench_help(const char *name, FILE *to)
{
	const struct bench *bench = bench_find(name);

	if (bench)
		fprintf(to, "usage: adit bench %s [OPTION...]\n%s.\n", name, bench->summary);
	else
		fprintf(to,
			"usage: adit bench compare BEFORE.json AFTER.json [OPTION...]\n"
			"What changed from one run to the other beyond noise. Status: 0 nothing, "
			"1 some row\nis worse, 2 nothing can be compared, 3 some rows are better, "
			"4 some rows are gone.\n");
	fprintf(to, "Options, and in brackets what holds without them:\n");
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (lines[i].of ? is_of(lines[i].of, name) : bench != NULL)
			print_line(&lines[i], to);
	}
	fprintf(to, "What the figures are: docs/benchmarks.md; adit-bench(1).\n");
}
