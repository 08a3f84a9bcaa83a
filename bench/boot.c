/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench boot: from exec to the guest's first output and to exit, the memory beyond guest RAM,
 * and the monitor's share of an exit; beside the floor (bench/floor.c, the least that a KVM program
 * can do, in its best set-up order) and, where it is installed, QEMU microvm without firmware.
 * All contestants run interleaved, so that a disturbance of the host meets each of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"
#include "util/bits.h"

#define RAM_BYTES     (128 * MIB)
#define WARM_UP	      3u
#define GAP_ROUNDS    15u
#define EXIT_LIMIT_NS 80.0
#define EXIT_BARE_NS  30.0
#define BIOS_BYTES    (64 * KIB)

enum contestant {
	ADIT,
	FLOOR,
	QEMU,
	CONTESTANTS
};

struct boot {
	const struct bench_options *options;
	char work[PATH_MAX]; /* configurations and the BIOS image, removed at the end */
	bool qemu;
	struct samples first[CONTESTANTS], exit[CONTESTANTS], pss[CONTESTANTS];
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

/*
 * A real-mode BIOS: '!' to the serial port, then out of QEMU by isa-debug-exit, or a spin. The
 * reset vector is 16 bytes before the end of the image, which is mapped to end at 4 GiB.
 */
static int write_bios(const struct boot *boot, const char *name, bool spin)
{
	static const uint8_t hello[] = {
		0xba, 0xf8, 0x03, /* mov $0x3f8, %dx */
		0xb0, '!',	  /* mov $'!', %al */
		0xee,		  /* out %al, %dx */
		0xba, 0xf4, 0x00, /* mov $0xf4, %dx */
	};
	static const uint8_t leave[] = { 0xee, 0xeb, 0xfe }; /* out %al, %dx; jmp . */
	static const uint8_t stay[] = { 0xeb, 0xfe };	     /* jmp . */
	static const uint8_t reset[] = { 0xe9, 0x0d,
					 0x00 }; /* jmp 0x10000 - BIOS start, wraps to 0 */
	uint8_t *image = calloc(1, BIOS_BYTES);
	char path[PATH_MAX];
	int ret;

	if (!image)
		return -ENOMEM;
	memcpy(image, hello, sizeof(hello));
	memcpy(image + sizeof(hello), spin ? stay : leave, spin ? sizeof(stay) : sizeof(leave));
	memcpy(image + BIOS_BYTES - 16, reset, sizeof(reset));
	ret = write_file(in_work(boot, name, path), image, BIOS_BYTES);
	free(image);
	return ret;
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
		line->argv[n++] = (char *)"qemu-system-x86_64";
		line->argv[n++] = (char *)"-M";
		line->argv[n++] = (char *)"microvm,accel=kvm,rtc=off,pit=off,pic=off";
		line->argv[n++] = (char *)"-m";
		line->argv[n++] = (char *)"128M";
		line->argv[n++] = (char *)"-nodefaults";
		line->argv[n++] = (char *)"-no-user-config";
		line->argv[n++] = (char *)"-display";
		line->argv[n++] = (char *)"none";
		line->argv[n++] = (char *)"-serial";
		line->argv[n++] = (char *)"stdio";
		line->argv[n++] = (char *)"-device";
		line->argv[n++] = (char *)"isa-debug-exit,iobase=0xf4,iosize=0x4";
		line->argv[n++] = (char *)"-bios";
		line->argv[n++] = line->text[0];
		break;
	}
	line->argv[n] = NULL;
}

static const char *const names[] = { "adit", "floor", "qemu-microvm" };

static int one_round(struct boot *boot, bool keep)
{
	for (int who = 0; who < (boot->qemu ? CONTESTANTS : QEMU); who++) {
		struct child_times times;
		struct line line;
		int ret;

		command_line(boot, who, "hello", &line);
		ret = child_time(line.argv, NULL, NULL, false, &times);
		if (ret) {
			fprintf(stderr, "adit bench: %s: %s\n", names[who], strerror(-ret));
			return ret;
		}
		/* QEMU's isa-debug-exit can only end with an odd status. */
		if (who != QEMU && (!WIFEXITED(times.status) || WEXITSTATUS(times.status))) {
			fprintf(stderr, "adit bench: %s ended with status %#x\n", names[who],
				(unsigned int)times.status);
			return -EIO;
		}
		if (keep) {
			samples_add(&boot->first[who], times.first_output_ms);
			samples_add(&boot->exit[who], times.exit_ms);
		}
	}
	return 0;
}

static int weigh(struct boot *boot)
{
	for (int who = 0; who < (boot->qemu ? CONTESTANTS : QEMU); who++) {
		struct line line;
		double kib;
		int ret;

		command_line(boot, who, "spin", &line);
		ret = child_pss(line.argv, who == QEMU ? "!" : "ready", RAM_BYTES, &kib);
		if (ret) {
			fprintf(stderr, "adit bench: memory of %s: %s\n", names[who],
				strerror(-ret));
			return ret;
		}
		samples_add(&boot->pss[who], kib / 1024);
	}
	return 0;
}

/* Median gap between two KVM_RUN calls while the guest rings one address; by exit-gap.c. */
static int gap_of(struct boot *boot, enum contestant who, const char *words,
		  struct samples *samples)
{
	char preload[PATH_MAX + 16], gap_path[PATH_MAX];
	struct child_times times;
	struct line line;
	FILE *from;
	double ns;
	int ret;

	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/bench/exit-gap.so", boot->options->build);
	setenv("ADIT_EXIT_GAP_FILE", in_work(boot, "gap", gap_path), 1);
	command_line(boot, who, "doorbell", &line);
	if (who == ADIT) {
		snprintf(line.text[0], PATH_MAX, "%.4000s/bench/adit-timed", boot->options->build);
	} else if (who == FLOOR) {
		line.argv[2] = (char *)"0x200000";
		line.argv[3] = (char *)words;
		line.argv[4] = NULL;
	}
	ret = child_time(line.argv, who == ADIT ? NULL : preload, NULL, false, &times);
	unsetenv("ADIT_EXIT_GAP_FILE");
	if (ret)
		return ret;
	from = fopen(gap_path, "re");
	if (!from)
		return -errno;
	ret = fscanf(from, "%lf", &ns) == 1 ? 0 : -EIO;
	fclose(from);
	unlink(gap_path);
	if (!ret)
		samples_add(samples, ns);
	return ret;
}

/*
 * What we take between two KVM_RUN calls more than the floor does. The limit is 80 ns where a bare
 * program takes 30; how much that is on this host, with its caches cold after the guest, the floor
 * tells.
 */
static int gaps(struct boot *boot, struct results *results, const char *name, const char *words)
{
	struct result plain = { .name = name, .unit = "ns", .reference_name = "floor" };
	struct result own = {
		.name = "  beyond the floor",
		.unit = "ns",
		.reference = EXIT_LIMIT_NS - EXIT_BARE_NS,
		.reference_name = "50 ns",
		.target = 1.0,
	};
	struct samples *samples = calloc(2, sizeof(*samples));
	int ret = samples ? write_config(boot, "doorbell", words) : -ENOMEM;

	for (unsigned int i = 0; i < GAP_ROUNDS && !ret; i++) {
		ret = gap_of(boot, ADIT, words, &samples[0]);
		if (!ret)
			ret = gap_of(boot, FLOOR, words, &samples[1]);
	}
	if (!ret) {
		own.adit = samples_quantile(&samples[0], 0.5) - samples_quantile(&samples[1], 0.5);
		results_add(results, &plain, &samples[0], &samples[1]);
		results_add(results, &own, NULL, NULL);
	}
	free(samples);
	return ret;
}

static void add_against(struct boot *boot, struct results *results, const char *what,
			const char *unit, struct samples *samples, double floor_target)
{
	char name[64];

	for (int who = FLOOR; who < (boot->qemu ? CONTESTANTS : QEMU); who++) {
		struct result result = {
			.name = name,
			.unit = unit,
			.reference_name = names[who],
			.target = who == FLOOR ? floor_target : 0,
		};

		snprintf(name, sizeof(name), "%s", what);
		results_add(results, &result, &samples[ADIT], &samples[who]);
	}
}

static int measure(struct boot *boot, struct results *results)
{
	unsigned int total = WARM_UP + boot->options->rounds;
	int ret = 0;

	for (unsigned int i = 0; i < total && !ret; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %u of %u ", i + 1, total);
		ret = one_round(boot, i >= WARM_UP);
		if (!ret && i >= WARM_UP && i < WARM_UP + 5)
			ret = weigh(boot);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r                    \r");
	if (ret)
		return ret;
	add_against(boot, results, "exec to first output", "ms", boot->first, 1.5);
	add_against(boot, results, "exec to exit", "ms", boot->exit, 2.0);
	add_against(boot, results, "memory beyond guest RAM (PSS)", "MiB", boot->pss, 0);
	ret = gaps(boot, results, "exit: port write (RTC index)", "port=0x70 size=1 count=3000");
	if (!ret)
		ret = gaps(boot, results, "exit: MMIO write (I/O APIC select)",
			   "address=0xfec00000 size=4 count=3000");
	return ret;
}

/* The memory target is absolute: 1.5 MiB beyond RAM, whatever the floor takes. */
static void add_memory_target(struct boot *boot, struct results *results)
{
	const struct result result = {
		.name = "memory against its limit",
		.unit = "MiB",
		.reference_name = "1.5 MiB",
		.adit = samples_quantile(&boot->pss[ADIT], 0.5),
		.reference = 1.5,
		.target = 1.0,
	};

	results_add(results, &result, NULL, NULL);
}

static bool on_path(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", program);
	return system(command) == 0;
}

static void clean(const struct boot *boot)
{
	static const char *const files[] = { "hello.json", "spin.json", "doorbell.json",
					     "hello",	   "spin",	"gap" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(in_work(boot, files[i], path));
	rmdir(boot->work);
}

int bench_boot(const struct bench_options *options)
{
	struct results *results;
	struct boot *boot;
	int ret = -ENOMEM;

	if (options->kernel)
		return bench_boot_kernel(options);
	results = results_new("boot");
	boot = calloc(1, sizeof(*boot));
	if (!boot)
		goto out;
	boot->options = options;
	boot->qemu = on_path("qemu-system-x86_64");
	snprintf(boot->work, sizeof(boot->work), "/tmp/adit-bench-XXXXXX");
	if (!mkdtemp(boot->work)) {
		ret = -errno;
		goto out;
	}
	ret = write_config(boot, "hello", "");
	if (!ret)
		ret = write_config(boot, "spin", "");
	if (!ret)
		ret = write_bios(boot, "hello", false);
	if (!ret)
		ret = write_bios(boot, "spin", true);
	if (!ret)
		ret = measure(boot, results);
	clean(boot);
	if (ret)
		goto out;
	add_memory_target(boot, results);
	if (!boot->qemu)
		results_note(results, "qemu-system-x86_64 is not installed: no comparison with it");
	results_note(results, "a flat payload, 1 vCPU, 128 MiB; QEMU without firmware");
	ret = results_print(results, options->json_path);
out:
	if (ret)
		fprintf(stderr, "adit bench boot: %s\n", strerror(-ret));
	results_free(results);
	free(boot);
	return ret ? 1 : 0;
}
