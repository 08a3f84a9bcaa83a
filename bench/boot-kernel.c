/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench boot --kernel: the same Linux kernel and initramfs under adit and under QEMU microvm,
 * in one interleaved run: from exec to user space (which says the marker), the
 * memory beyond guest RAM, and the monitor's own share of it, from exec to the kernel's entry. With
 * --devices both also with that many functions: a contest of adit with them and without, and one of
 * adit and QEMU with them. A difference of a tenth is looked for in the first, and who has the turn
 * in between makes more than that.
 *
 * The entry is not seen from outside. For adit, which has no firmware, it is the first KVM_RUN,
 * which exit-gap.c notes. From there to the kernel's first output is the kernel's own time, the
 * same under both; what QEMU takes before is its first output less that. Guest memory is private in
 * both, which is QEMU's default.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/boot-devices.h"
#include "bench/child.h"
#include "bench/entry.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define RAM_BYTES	(256 * MIB)
#define DEVICES_RATIO	1.15
#define DEFAULT_CMDLINE "console=ttyS0 earlycon=uart8250,io,0x3f8,115200n8 panic=-1 quiet"

enum contestant {
	ADIT,
	QEMU,
	ADIT_WITH, /* with devices */
	QEMU_WITH,
	CONTESTANTS
};

enum row {
	FIRST, /* ms to the first output */
	USER,  /* to the marker */
	PSS,   /* MiB */
	ENTRY, /* ms to the kernel's entry */
	ROWS
};

/* A contest of two, and what it is about. */
struct match {
	struct boot *boot;
	enum contestant who[2];
	bool weighs; /* memory too, which takes a boot more */
	struct contest contest;
};

struct boot {
	const struct bench_options *options;
	char work[PATH_MAX - 64];
	char config[PATH_MAX], program[PATH_MAX], timed[PATH_MAX], entry_file[PATH_MAX];
	char with[PATH_MAX]; /* the configuration with devices */
	char bdf[FUNCTIONS_MAX][BDF_CHARS + 1];
	char qemu_device[FUNCTIONS_MAX][64];
	const char *cmdline;
};

static int write_config(const struct boot *boot, const char *path, unsigned int devices)
{
	FILE *to = fopen(path, "we");

	if (!to)
		return -errno;
	fprintf(to,
		"{\"payload\": {\"kernel\": \"%s\", \"initramfs\": \"%s\", \"cmdline\": \"%s\"}, "
		"\"cpus\": {\"boot_vcpus\": 1}, "
		"\"memory\": {\"size\": %llu, \"shared\": false}, "
		"\"serial\": {\"mode\": \"Tty\"}",
		boot->options->kernel, boot->options->initramfs, boot->cmdline,
		(unsigned long long)RAM_BYTES);
	for (unsigned int i = 0; i < devices; i++)
		fprintf(to, "%s{\"path\": \"%s\", \"allow_no_reset\": true}",
			i ? ", " : ", \"devices\": [", boot->bdf[i]);
	fprintf(to, "%s}", devices ? "]" : "");
	return fclose(to) ? -errno : 0;
}

#define WORDS_MAX (24 + 2 * FUNCTIONS_MAX)

static bool is_adit(enum contestant who)
{
	return who == ADIT || who == ADIT_WITH;
}

static void command_line(const struct boot *boot, enum contestant who, char *argv[WORDS_MAX])
{
	const char *config = who == ADIT_WITH ? boot->with : boot->config;
	char *const adit[] = { (char *)boot->program, (char *)"run", (char *)config, NULL };
	char *const qemu[] = { (char *)"qemu-system-x86_64",
			       (char *)"-M",
			       (char *)"microvm,accel=kvm,pcie=on,rtc=on",
			       (char *)"-cpu",
			       (char *)"host",
			       (char *)"-m",
			       (char *)"256M",
			       (char *)"-nodefaults",
			       (char *)"-no-user-config",
			       (char *)"-no-reboot",
			       (char *)"-display",
			       (char *)"none",
			       (char *)"-serial",
			       (char *)"stdio",
			       (char *)"-kernel",
			       (char *)boot->options->kernel,
			       (char *)"-initrd",
			       (char *)boot->options->initramfs,
			       (char *)"-append",
			       (char *)boot->cmdline,
			       NULL };

	size_t n = ARRAY_SIZE(qemu) - 1;

	if (is_adit(who)) {
		memcpy(argv, adit, sizeof(adit));
		return;
	}
	memcpy(argv, qemu, sizeof(qemu));
	for (unsigned int i = 0; who == QEMU_WITH && i < boot->options->devices; i++) {
		argv[n++] = (char *)"-device";
		argv[n++] = (char *)boot->qemu_device[i];
	}
	argv[n] = NULL;
}

/*
 * Before each turn as much memory as a guest has is written and given back, so that all begin with
 * the same. An emulator takes its time to write where code of the last guest was; a guest whose
 * memory is pinned would pay that for all that came before it, and one without hardly.
 */
static int touch_memory(void)
{
	void *memory =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	madvise(memory, RAM_BYTES, MADV_HUGEPAGE);
	memset(memory, 1, RAM_BYTES);
	munmap(memory, RAM_BYTES);
	return 0;
}

static int boot_turn(struct turn *turn, struct err *err)
{
	const struct match *match = turn->opaque;
	struct boot *boot = match->boot;
	enum contestant who = match->who[turn->party];
	struct child_times times;
	char *argv[WORDS_MAX];
	double kib = 0, entry_ms, kernel_ms;
	int ret, taken;

	ret = touch_memory();
	if (ret)
		return err_set(err, -ret, "%llu bytes to be touched: %s", RAM_BYTES,
			       strerror(-ret));
	command_line(boot, who, argv);
	entry_begin(boot->entry_file);
	if (is_adit(who))
		argv[0] = boot->timed;
	ret = child_time(turn, argv, NULL, boot->options->marker, !is_adit(who), &times);
	/* Nothing is in front of QEMU. */
	taken = entry_take(boot->entry_file, &entry_ms, &kernel_ms);
	if (!ret && !times.marker_ms)
		return err_set(err, who == QEMU_WITH ? ENOTSUP : EPROTO,
			       "user space did not say the marker");
	if (!ret && is_adit(who))
		ret = taken;
	command_line(boot, who, argv);
	if (!ret && match->weighs)
		ret = child_pss(turn, argv, boot->options->marker, RAM_BYTES, &kib);
	if (ret)
		return err_set(err, -ret, "%s: %s", argv[0], strerror(-ret));
	turn_put(turn, FIRST, times.first_output_ms);
	turn_put(turn, USER, times.marker_ms);
	if (is_adit(who))
		turn_put(turn, ENTRY, entry_ms);
	if (match->weighs)
		turn_put(turn, PSS, kib / 1024);
	return 0;
}

/* --- rows: most are derived from what both took in one round --------------------------------- */

static void add(const struct match *match, struct bench_run *run, enum row row,
		const struct result *result)
{
	results_add(run->results, result, contest_samples(&match->contest, row, 0),
		    contest_samples(&match->contest, row, 1));
}

/* What QEMU takes to the entry: its first output less what the kernel takes from there to it. */
static void add_own_share(const struct match *match, struct bench_run *run)
{
	static const struct result result = {
		.name = "own share: exec to the kernel's entry",
		.unit = "ms",
		.reference_name = "qemu-microvm",
		.target = 1.0 / 3,
	};
	const struct samples *entry = contest_samples(&match->contest, ENTRY, 0);
	const struct samples *first = contest_samples(&match->contest, FIRST, 0);
	const struct samples *qemu = contest_samples(&match->contest, FIRST, 1);
	struct samples theirs = { .count = 0 };

	for (unsigned int i = 0; i < entry->count; i++)
		samples_add(&theirs, qemu->value[i] - (first->value[i] - entry->value[i]));
	results_add(run->results, &result, entry, &theirs);
}

static void report(const struct match *match, struct bench_run *run)
{
	add(match, run, USER,
	    &(struct result){ .name = "exec to user space",
			      .unit = "ms",
			      .reference_name = "qemu-microvm",
			      .target = 1.0 });
	add_own_share(match, run);
	add(match, run, PSS,
	    &(struct result){ .name = "memory beyond guest RAM (PSS)",
			      .unit = "MiB",
			      .reference_name = "qemu-microvm",
			      .target = 0.2 });
	results_note(run->results, "%s, 1 vCPU, 256 MiB", run->options->kernel);
}

/* What n devices add to the way to user space, by n. */
static void per_device(const struct samples *with, const struct samples *without, unsigned int n,
		       struct samples *samples)
{
	samples->count = 0;
	for (unsigned int i = 0; i < MIN(with->count, without->count); i++)
		samples_add(samples, (with->value[i] - without->value[i]) / n);
}

static void report_devices(const struct match *match, struct bench_run *run)
{
	add(match, run, USER,
	    &(struct result){ .name = "exec to user space, with devices",
			      .unit = "ms",
			      .reference_name = "adit, none",
			      .target = DEVICES_RATIO });
	add(match, run, ENTRY,
	    &(struct result){ .name = "exec to the kernel's entry, with devices",
			      .unit = "ms",
			      .reference_name = "adit, none" });
}

/* Of each what its contests say; QEMU's, without, is that of the first. */
static void report_peers(const struct match *none, const struct match *own,
			 const struct match *peers, struct bench_run *run)
{
	static const struct result later = { .name = "user space later, per device",
					     .unit = "ms",
					     .reference_name = "qemu-microvm" };
	unsigned int n = run->options->devices;
	struct samples ours, theirs;

	if (peers->contest.out[1])
		return;
	add(peers, run, USER,
	    &(struct result){ .name = "exec to user space, with devices",
			      .unit = "ms",
			      .reference_name = "qemu-microvm",
			      .target = 1.0 });
	per_device(contest_samples(&own->contest, USER, 0), contest_samples(&own->contest, USER, 1),
		   n, &ours);
	per_device(contest_samples(&peers->contest, USER, 1),
		   contest_samples(&none->contest, USER, 1), n, &theirs);
	results_add(run->results, &later, &ours, &theirs);
}

/* --- the bench ------------------------------------------------------------------------------- */

/* Their names and the second configuration. */
static int take_devices(struct boot *boot, struct err *err)
{
	unsigned int n = boot->options->devices;
	int ret = functions_find(boot->bdf, n, err);

	for (unsigned int i = 0; !ret && i < n; i++)
		snprintf(boot->qemu_device[i], sizeof(boot->qemu_device[i]),
			 "vfio-pci,host=%s,rombar=0", boot->bdf[i]);
	if (ret)
		return ret;
	ret = write_config(boot, boot->with, n);
	return ret ? err_set(err, -ret, "%s: %s", boot->with, strerror(-ret)) : 0;
}

static int prepare(struct boot *boot, struct bench_run *run, struct err *err)
{
	int ret = watch_scratch(run->watch, NULL, boot->work, sizeof(boot->work), err);

	if (ret)
		return ret;
	snprintf(boot->config, sizeof(boot->config), "%s/config", boot->work);
	snprintf(boot->with, sizeof(boot->with), "%s/with", boot->work);
	snprintf(boot->entry_file, sizeof(boot->entry_file), "%s/entry", boot->work);
	snprintf(boot->program, sizeof(boot->program), "%.4000s/adit", run->options->build);
	snprintf(boot->timed, sizeof(boot->timed), "%.4000s/bench/adit-timed", run->options->build);
	ret = write_config(boot, boot->config, 0);
	if (ret)
		return err_set(err, -ret, "%s: %s", boot->config, strerror(-ret));
	return run->options->devices ? take_devices(boot, err) : 0;
}

static int match_run(struct match *match, struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[ROWS] = {
		[FIRST] = { .hidden = true },
		[USER] = { .hidden = true },
		[PSS] = { .hidden = true },
		[ENTRY] = { .hidden = true },
	};
	static const char *const names[CONTESTANTS] = {
		[ADIT] = "adit",
		[QEMU] = "qemu-microvm",
		[ADIT_WITH] = "adit with devices",
		[QEMU_WITH] = "qemu with devices",
	};

	match->contest.parties[0] = names[match->who[0]];
	match->contest.parties[1] = names[match->who[1]];
	match->contest.party_count = 2;
	match->contest.rows = rows;
	match->contest.row_count = ROWS;
	match->contest.boots = true;
	match->contest.turn = boot_turn;
	match->contest.opaque = match;
	return contest_run(&match->contest, run, err);
}

static int measure_devices(struct boot *boot, const struct match *none, struct bench_run *run,
			   struct err *err)
{
	struct match own = {
		boot, { ADIT_WITH, ADIT }, false, { .name = "kernel, with devices and without" }
	};
	struct match peers = {
		boot, { ADIT_WITH, QEMU_WITH }, false, { .name = "kernel, with devices" }
	};
	int ret = match_run(&own, run, err);

	if (!ret)
		report_devices(&own, run);
	if (!ret)
		ret = match_run(&peers, run, err);
	if (!ret)
		report_peers(none, &own, &peers, run);
	contest_free(&own.contest);
	contest_free(&peers.contest);
	return ret ? ret
		   : boot_devices_measure(run, (const char(*)[BDF_CHARS + 1]) boot->bdf,
					  run->options->devices, boot->work, err);
}

int bench_boot_kernel(struct bench_run *run, struct err *err)
{
	struct boot *boot = calloc(1, sizeof(*boot));
	struct match none = { boot, { ADIT, QEMU }, true, { .name = "kernel" } };
	int ret;

	if (!boot)
		return err_set(err, ENOMEM, "no memory");
	boot->options = run->options;
	boot->cmdline = run->options->cmdline ? run->options->cmdline : DEFAULT_CMDLINE;
	ret = prepare(boot, run, err);
	if (!ret)
		ret = match_run(&none, run, err);
	if (!ret)
		report(&none, run);
	if (!ret && run->options->devices)
		ret = measure_devices(boot, &none, run, err);
	contest_free(&none.contest);
	free(boot);
	return ret;
}
