/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench boot: from exec to the guest's first output and to exit, the memory beyond guest RAM,
 * and the monitor's share of an exit; beside the floor (bench/floor.c, the least that a KVM program
 * can do, in its best set-up order) and, where it is installed, QEMU microvm without firmware.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/microvm-flat.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define RAM_BYTES     (128 * MIB)
#define WARM_UP	      3u
#define WEIGHED	      5u /* memory does not vary */
#define EXIT_LIMIT_NS 80.0
#define EXIT_BARE_NS  30.0

enum contestant {
	ADIT,
	FLOOR,
	QEMU,
	CONTESTANTS
};

struct boot {
	const struct bench_options *options;
	char work[PATH_MAX]; /* configurations and the BIOS image */
	bool qemu;
	const char *words; /* of the doorbell's guest */
};

struct line {
	char text[8][PATH_MAX];
	char *argv[24];
};

static char *in_work(const struct boot *boot, const char *name, char *path)
{
	snprintf(path, PATH_MAX, "%.4000s/%s", boot->work, name);
	return path;
}

static int write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, data, size) != (ssize_t)size)
		ret = -EIO;
	close(fd);
	return ret;
}

static int write_config(const struct boot *boot, const char *payload, const char *words)
{
	char path[PATH_MAX], name[64], text[PATH_MAX + 512];
	int n = snprintf(text, sizeof(text),
			 "{\"payload\": {\"flat\": \"%s/guest/%s.bin\", \"address\": \"2M\", "
			 "\"cmdline\": \"%s\"}, \"cpus\": {\"boot_vcpus\": 1}, "
			 "\"memory\": {\"size\": \"128M\"}, \"serial\": {\"mode\": \"Tty\"}, "
			 "\"debug_exit\": true}",
			 boot->options->build, payload, words);

	snprintf(name, sizeof(name), "%s.json", payload);
	return write_file(in_work(boot, name, path), text, (size_t)n);
}

/* payload: "hello" or "spin". */
static void command_line(const struct boot *boot, enum contestant who, const char *payload,
			 struct line *line)
{
	size_t n = 0;
	char path[PATH_MAX];

	switch (who) {
	case ADIT:
		snprintf(line->text[0], PATH_MAX, "%.4000s/adit", boot->options->build);
		snprintf(line->text[1], PATH_MAX, "%.4000s/%s.json", boot->work, payload);
		line->argv[n++] = line->text[0];
		line->argv[n++] = (char *)"run";
		line->argv[n++] = line->text[1];
		break;
	case FLOOR:
		snprintf(line->text[0], PATH_MAX, "%.4000s/bench/floor", boot->options->build);
		snprintf(line->text[1], PATH_MAX, "%.4000s/guest/%s.bin", boot->options->build,
			 payload);
		line->argv[n++] = line->text[0];
		line->argv[n++] = line->text[1];
		break;
	default:
		snprintf(line->text[0], PATH_MAX, "%s", in_work(boot, payload, path));
		microvm_line(line->argv, line->text[0], "128M");
		return;
	}
	line->argv[n] = NULL;
}

#define PARTIES "adit", "floor", "qemu-microvm"

static unsigned int party_count(const struct boot *boot)
{
	return boot->qemu ? CONTESTANTS : QEMU;
}

/* --- from exec on ---------------------------------------------------------------------------- */

enum start_row {
	FIRST,
	EXIT
};

static int start_turn(struct turn *turn, struct err *err)
{
	const struct boot *boot = turn->opaque;
	struct child_times times;
	struct line line;
	int ret;

	command_line(boot, turn->party, "hello", &line);
	ret = child_time(turn, line.argv, NULL, NULL, false, &times);
	if (ret)
		return err_set(err, -ret, "%s: %s", line.argv[0], strerror(-ret));
	/* QEMU's isa-debug-exit can only end with an odd status. */
	if (turn->party != QEMU && (!WIFEXITED(times.status) || WEXITSTATUS(times.status)))
		return err_set(err, EIO, "%s ended with status %#x", line.argv[0],
			       (unsigned int)times.status);
	turn_put(turn, FIRST, times.first_output_ms);
	turn_put(turn, EXIT, times.exit_ms);
	return 0;
}

static int measure_start(struct boot *boot, struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[] = {
		[FIRST] = { .name = "exec to first output", .unit = "ms", .target = 1.5 },
		[EXIT] = { .name = "exec to exit", .unit = "ms", .target = 2.0 },
	};
	struct contest contest = {
		.name = "start",
		.parties = { PARTIES },
		.peers = 1u << QEMU,
		.party_count = party_count(boot),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.warm_up = WARM_UP,
		.turn = start_turn,
		.opaque = boot,
	};

	return contest_hold(&contest, run, err);
}

/* --- memory ---------------------------------------------------------------------------------- */

static int memory_turn(struct turn *turn, struct err *err)
{
	const struct boot *boot = turn->opaque;
	struct line line;
	double kib;
	int ret;

	command_line(boot, turn->party, "spin", &line);
	ret = child_pss(turn, line.argv, turn->party == QEMU ? "!" : "ready", RAM_BYTES, &kib);
	if (ret)
		return err_set(err, -ret, "memory of %s: %s", line.argv[0], strerror(-ret));
	turn_put(turn, 0, kib / 1024);
	return 0;
}

/* The target is absolute: 1.5 MiB beyond RAM, whatever the floor takes. */
static int measure_memory(struct boot *boot, struct bench_run *run, struct err *err)
{
	static const struct contest_row row = {
		.name = "memory beyond guest RAM (PSS)",
		.unit = "MiB",
		.bar = 1.5,
		.bar_name = "1.5 MiB",
		.target = 1.0,
	};
	struct contest contest = {
		.name = "memory",
		.parties = { PARTIES },
		.peers = 1u << QEMU,
		.party_count = party_count(boot),
		.rows = &row,
		.row_count = 1,
		.rounds_max = WEIGHED,
		.turn = memory_turn,
		.opaque = boot,
	};

	return contest_hold(&contest, run, err);
}

/* --- exits ----------------------------------------------------------------------------------- */

static int read_gap(const char *path, double *ns)
{
	FILE *from = fopen(path, "re");
	int ret;

	if (!from)
		return -errno;
	ret = fscanf(from, "%lf", ns) == 1 ? 0 : -EIO;
	fclose(from);
	unlink(path);
	return ret;
}

/* The same payload under QEMU. */
static int qemu_doorbell(const struct boot *boot, struct microvm_flat *flat)
{
	char payload[PATH_MAX];

	snprintf(payload, sizeof(payload), "%.4000s/guest/doorbell.bin", boot->options->build);
	return microvm_flat(flat, boot->work, payload, boot->words, "128M");
}

/* The gap between two KVM_RUN calls while the guest rings one place; by exit-gap.c. */
static int gap_turn(struct turn *turn, struct err *err)
{
	static const char *const names[] = { PARTIES };
	const struct boot *boot = turn->opaque;
	char preload[PATH_MAX + 16], gap_path[PATH_MAX];
	struct child_times times;
	struct microvm_flat flat;
	struct line line;
	double ns = 0;
	int ret = 0;

	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/bench/exit-gap.so", boot->options->build);
	setenv("ADIT_EXIT_GAP_FILE", in_work(boot, "gap", gap_path), 1);
	if (turn->party == QEMU)
		ret = qemu_doorbell(boot, &flat);
	else
		command_line(boot, turn->party, "doorbell", &line);
	if (turn->party == ADIT) {
		snprintf(line.text[0], PATH_MAX, "%.4000s/bench/adit-timed", boot->options->build);
	} else if (turn->party == FLOOR) {
		line.argv[2] = (char *)"0x200000";
		line.argv[3] = (char *)boot->words;
		line.argv[4] = NULL;
	}
	if (!ret)
		ret = child_time(turn, turn->party == QEMU ? flat.argv : line.argv,
				 turn->party == ADIT ? NULL : preload, NULL, false, &times);
	unsetenv("ADIT_EXIT_GAP_FILE");
	if (!ret)
		ret = read_gap(gap_path, &ns);
	if (ret)
		return err_set(err, -ret, "the time of exits of %s: %s", names[turn->party],
			       strerror(-ret));
	turn_put(turn, 0, ns);
	return 0;
}

/*
 * What we take between two KVM_RUN calls more than the floor does, round by round. The limit is
 * 80 ns where a bare program takes 30; how much that is on this host, with its caches cold after
 * the guest, the floor tells.
 */
static void add_own(const struct contest *contest, struct bench_run *run)
{
	char name[96];
	const struct result own = {
		.name = name,
		.unit = "ns",
		.reference = EXIT_LIMIT_NS - EXIT_BARE_NS,
		.reference_name = "50 ns",
		.target = 1.0,
	};
	const struct samples *ours = contest_samples(contest, 0, ADIT);
	const struct samples *floor = contest_samples(contest, 0, FLOOR);
	struct samples beyond = { .count = 0 };

	for (unsigned int i = 0; i < ours->count; i++)
		samples_add(&beyond, ours->value[i] - floor->value[i]);
	snprintf(name, sizeof(name), "%s, beyond", contest->name);
	results_add(run->results, &own, &beyond, NULL);
}

/*
 * Beside QEMU at the scratch register alone: at the RTC's index its writes are coalesced, many to a
 * gap, and each write to its I/O APIC sets KVM's routes anew.
 */
static int measure_exits(struct boot *boot, struct bench_run *run, const char *name,
			 const char *words, bool qemu, struct err *err)
{
	const struct contest_row row = { .name = name, .unit = "ns" };
	struct contest contest = {
		.name = name,
		.parties = { PARTIES },
		.party_count = qemu ? CONTESTANTS : QEMU,
		.rows = &row,
		.row_count = 1,
		.turn = gap_turn,
		.opaque = boot,
	};
	int ret = write_config(boot, "doorbell", words);

	if (ret)
		return err_set(err, -ret, "the configuration: %s", strerror(-ret));
	boot->words = words;
	ret = contest_run(&contest, run, err);
	if (!ret) {
		contest_report(&contest, run);
		add_own(&contest, run);
	}
	contest_free(&contest);
	return ret;
}

/* --- the bench ------------------------------------------------------------------------------- */

static int prepare(struct boot *boot, struct err *err)
{
	char path[PATH_MAX];
	int ret = write_config(boot, "hello", "");

	if (!ret)
		ret = write_config(boot, "spin", "");
	if (!ret)
		ret = microvm_bios(in_work(boot, "hello", path), MICROVM_LEAVE);
	if (!ret)
		ret = microvm_bios(in_work(boot, "spin", path), MICROVM_SPIN);
	return ret ? err_set(err, -ret, "%s: %s", boot->work, strerror(-ret)) : 0;
}

int bench_boot(struct bench_run *run, struct err *err)
{
	struct boot boot = {
		.options = run->options,
		.qemu = child_on_path(MICROVM_PROGRAM),
	};
	int ret;

	if (run->options->kernel)
		return bench_boot_kernel(run, err);
	ret = watch_scratch(run->watch, NULL, boot.work, sizeof(boot.work), err);
	if (!ret)
		ret = prepare(&boot, err);
	if (!ret)
		ret = measure_start(&boot, run, err);
	if (!ret)
		ret = measure_memory(&boot, run, err);
	if (!ret)
		ret = measure_exits(&boot, run, "exit: port write (RTC index)",
				    "port=0x70 size=1 count=3000", false, err);
	if (!ret)
		ret = measure_exits(&boot, run, "exit: port write (16550 scratch)",
				    "port=0x3ff size=1 count=3000", boot.qemu, err);
	if (!ret)
		ret = measure_exits(&boot, run, "exit: MMIO write (I/O APIC select)",
				    "address=0xfec00000 size=4 count=3000", false, err);
	if (!boot.qemu)
		results_note(run->results,
			     MICROVM_PROGRAM " is not installed: no comparison with it");
	results_note(run->results, "a flat payload, 1 vCPU, 128 MiB; QEMU without firmware");
	return ret;
}
