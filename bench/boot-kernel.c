/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench boot --kernel: the same Linux kernel and initramfs under adit and under QEMU microvm,
 * in one interleaved run: from exec to user space (which says the marker), the
 * memory beyond guest RAM, and the monitor's own share of it, from exec to the kernel's entry. With
 * --devices both also with that many functions.
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
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "util/bits.h"

#define RAM_BYTES	(256 * MIB)
#define DEVICE_LIMIT_MS 5.0
#define DEVICES_RATIO	1.15
#define DEFAULT_CMDLINE "console=ttyS0 earlycon=uart8250,io,0x3f8,115200n8 panic=-1 quiet"

enum contestant {
	ADIT,
	QEMU,
	ADIT_WITH, /* with devices */
	QEMU_WITH,
	CONTESTANTS
};

struct series {
	struct samples first, user, pss, entry;
	struct samples own; /* of entry, without the kernel's calls of VFIO and iommufd */
};

struct boot {
	const struct bench_options *options;
	char config[PATH_MAX], program[PATH_MAX], timed[PATH_MAX], entry_file[PATH_MAX + 8];
	char with[PATH_MAX + 8]; /* the configuration with devices */
	char bdf[FUNCTIONS_MAX][BDF_CHARS + 1];
	char qemu_device[FUNCTIONS_MAX][64];
	const char *cmdline;
	bool no_qemu_with; /* it does not boot with them */
	struct series series[CONTESTANTS];
};

static const char *const names[] = { "adit", "qemu-microvm", "adit", "qemu-microvm" };

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

/* Milliseconds from the program's start to its first KVM_RUN, as exit-gap.c wrote them. */
static int read_entry(const struct boot *boot, struct series *series)
{
	double gap, own, entry_ms, kernel_ms;
	FILE *from = fopen(boot->entry_file, "re");
	int ret;

	if (!from)
		return -errno;
	ret = fscanf(from, "%lf %lf %lf %lf", &gap, &own, &entry_ms, &kernel_ms) == 4 ? 0 : -EIO;
	fclose(from);
	unlink(boot->entry_file);
	if (!ret) {
		samples_add(&series->entry, entry_ms);
		samples_add(&series->own, entry_ms - kernel_ms);
	}
	return ret;
}

static const char *now_text(char text[32])
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, 32, "%llu", (unsigned long long)t.tv_sec * 1000000000u + t.tv_nsec);
	return text;
}

static int boot_one(struct boot *boot, enum contestant who)
{
	struct series *series = &boot->series[who];
	struct child_times times;
	char *argv[WORDS_MAX], now[32];
	double kib = 0;
	int ret;

	command_line(boot, who, argv);
	setenv("ADIT_EXIT_GAP_FILE", boot->entry_file, 1);
	setenv("ADIT_EXIT_GAP_START", now_text(now), 1);
	if (is_adit(who))
		argv[0] = boot->timed;
	ret = child_time(argv, NULL, boot->options->marker, !is_adit(who), &times);
	unsetenv("ADIT_EXIT_GAP_FILE");
	unsetenv("ADIT_EXIT_GAP_START");
	if (!ret && !times.marker_ms)
		ret = -EPROTO;
	if (!ret && is_adit(who))
		ret = read_entry(boot, series);
	command_line(boot, who, argv);
	if (!ret && who < ADIT_WITH)
		ret = child_pss(argv, boot->options->marker, RAM_BYTES, &kib);
	if (ret == -EPROTO && who == QEMU_WITH) {
		boot->no_qemu_with = true;
		return 0;
	}
	if (ret) {
		fprintf(stderr, "adit bench: %s: %s\n", names[who],
			ret == -EPROTO ? "user space did not say the marker" : strerror(-ret));
		return ret;
	}
	samples_add(&series->first, times.first_output_ms);
	samples_add(&series->user, times.marker_ms);
	if (who < ADIT_WITH)
		samples_add(&series->pss, kib / 1024);
	return 0;
}

static void add(struct boot *boot, struct results *results, const char *name, const char *unit,
		size_t offset, double target)
{
	const struct result result = {
		.name = name,
		.unit = unit,
		.reference_name = names[QEMU],
		.target = target,
	};

	results_add(results, &result, (struct samples *)((char *)&boot->series[ADIT] + offset),
		    (struct samples *)((char *)&boot->series[QEMU] + offset));
}

static void add_own_share(struct boot *boot, struct results *results)
{
	double entry = samples_quantile(&boot->series[ADIT].entry, 0.5);
	double kernel = samples_quantile(&boot->series[ADIT].first, 0.5) - entry;
	const struct result result = {
		.name = "own share: exec to the kernel's entry",
		.unit = "ms",
		.reference_name = names[QEMU],
		.adit = entry,
		.reference = samples_quantile(&boot->series[QEMU].first, 0.5) - kernel,
		.target = 1.0 / 3,
	};

	results_add(results, &result, NULL, NULL);
}

static double median(struct boot *boot, enum contestant who, size_t offset)
{
	return samples_quantile((struct samples *)((char *)&boot->series[who] + offset), 0.5);
}

/* What devices add: to the monitor's own time before the guest starts, and to the way to user
 * space. */
static void add_devices(struct boot *boot, struct results *results)
{
	const unsigned int n = boot->options->devices;
	const size_t own = offsetof(struct series, own), user = offsetof(struct series, user);
	struct result row = {
		.name = "own time per device",
		.unit = "ms",
		.reference_name = "5 ms",
		.adit = (median(boot, ADIT_WITH, own) - median(boot, ADIT, own)) / n,
		.reference = DEVICE_LIMIT_MS,
		.target = 1.0,
	};

	results_add(results, &row, NULL, NULL);
	row = (struct result){ .name = "exec to user space, with devices",
			       .unit = "ms",
			       .reference_name = "adit, none",
			       .target = DEVICES_RATIO };
	results_add(results, &row, &boot->series[ADIT_WITH].user, &boot->series[ADIT].user);
	if (boot->no_qemu_with) {
		results_note(results, "QEMU microvm does not reach user space with the devices");
		return;
	}
	row.reference_name = names[QEMU];
	row.target = 1.0;
	results_add(results, &row, &boot->series[ADIT_WITH].user, &boot->series[QEMU_WITH].user);
	row = (struct result){
		.name = "user space later, per device",
		.unit = "ms",
		.reference_name = names[QEMU],
		.adit = (median(boot, ADIT_WITH, user) - median(boot, ADIT, user)) / n,
		.reference = (median(boot, QEMU_WITH, user) - median(boot, QEMU, user)) / n
	};
	results_add(results, &row, NULL, NULL);
}

/* Their names and the second configuration. */
static int take_devices(struct boot *boot)
{
	unsigned int n = boot->options->devices;
	int ret = functions_find(boot->bdf, n);

	for (unsigned int i = 0; !ret && i < n; i++)
		snprintf(boot->qemu_device[i], sizeof(boot->qemu_device[i]),
			 "vfio-pci,host=%s,rombar=0", boot->bdf[i]);
	return ret ? ret : write_config(boot, boot->with, n);
}

int bench_boot_kernel(const struct bench_options *options)
{
	struct results *results = results_new("boot-kernel");
	struct boot *boot = calloc(1, sizeof(*boot));
	int ret = boot ? 0 : -ENOMEM, fd;

	if (ret)
		goto out;
	boot->options = options;
	boot->cmdline = options->cmdline ? options->cmdline : DEFAULT_CMDLINE;
	snprintf(boot->config, sizeof(boot->config), "/tmp/adit-bench-XXXXXX");
	fd = mkstemp(boot->config);
	if (fd < 0) {
		ret = -errno;
		goto out;
	}
	close(fd);
	snprintf(boot->entry_file, sizeof(boot->entry_file), "%s.entry", boot->config);
	snprintf(boot->program, sizeof(boot->program), "%.4000s/adit", options->build);
	snprintf(boot->timed, sizeof(boot->timed), "%.4000s/bench/adit-timed", options->build);
	snprintf(boot->with, sizeof(boot->with), "%s.with", boot->config);
	ret = write_config(boot, boot->config, 0);
	if (!ret && options->devices)
		ret = take_devices(boot);
	for (unsigned int i = 0; i < options->rounds && !ret; i++) {
		for (int who = 0; who < (options->devices ? CONTESTANTS : ADIT_WITH) && !ret;
		     who++) {
			if (who != QEMU_WITH || !boot->no_qemu_with)
				ret = boot_one(boot, who);
		}
	}
	unlink(boot->config);
	unlink(boot->with);
	if (ret)
		goto out;
	add(boot, results, "exec to user space", "ms", offsetof(struct series, user), 1.0);
	add_own_share(boot, results);
	add(boot, results, "memory beyond guest RAM (PSS)", "MiB", offsetof(struct series, pss),
	    0.2);
	if (options->devices)
		add_devices(boot, results);
	results_note(results, "%s, 1 vCPU, 256 MiB", options->kernel);
	ret = results_print(results, options->json_path);
out:
	if (ret)
		fprintf(stderr, "adit bench boot: %s\n", strerror(-ret));
	free(boot);
	results_free(results);
	return ret ? 1 : 0;
}
