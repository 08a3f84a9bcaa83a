/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench io: reads and writes of a virtio disk by a guest that polls (tests/guest/payload/
 * diskload.c under `adit run`), beside io_uring on the same file without a guest, round by round.
 * CPU time of one operation: for adit of all its threads but the vCPU, which polls; so what KVM
 * takes for a kick is not in it, and is in the rate.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/io.h"
#include "util/bits.h"

#define IMAGE_BYTES (64 * MIB)
#define ROW_SECONDS 0.06
#define WARM_UP	    1u

static const struct io_row rows[] = {
	{ "read 4 KiB, depth 1", false, 4096, 1, 0 },
	{ "read 4 KiB, depth 16", false, 4096, 16, 0 },
	{ "read 4 KiB, depth 64", false, 4096, 64, 0 },
	{ "write 4 KiB, depth 1", true, 4096, 1, 0 },
	{ "write 4 KiB, depth 64", true, 4096, 64, 0 },
	{ "read 64 KiB, depth 16", false, 64 * KIB, 16, 0 },
	{ "write 64 KiB, depth 16", true, 64 * KIB, 16, 0 },
	{ "read 1 MiB, depth 4", false, 1 * MIB, 4, 0 },
	{ "write 1 MiB, depth 4", true, 1 * MIB, 4, 0 },
};

struct side {
	struct samples rate[ARRAY_SIZE(rows)], cpu[ARRAY_SIZE(rows)];
};

struct io {
	const struct bench_options *options;
	char image[PATH_MAX], config[PATH_MAX];
	int fd;
	double cycles_second; /* of the TSC */
	double cpu_begin;
	unsigned int ended; /* rows of this boot */
	bool keep;
	struct side adit, floor;
};

/* --- the guest ------------------------------------------------------------------------------- */

/* On the CPU so far, in us: all threads of the process but its vCPUs. */
static double monitor_us(int pid)
{
	char path[PATH_MAX], name[32];
	const struct dirent *entry;
	double sum = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		unsigned long long ns = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", pid, entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (!fgets(name, sizeof(name), file))
			name[0] = 0;
		fclose(file);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		file = !strncmp(name, "vcpu", 4) ? NULL : fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%llu", &ns) == 1)
			sum += (double)ns / 1000;
		fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return sum;
}

static void on_line(void *arg, int pid, char *text)
{
	struct io *io = arg;
	unsigned long done, cycles;
	char row;

	if (!strncmp(text, "begin ", 6)) {
		io->cpu_begin = monitor_us(pid);
	} else if (sscanf(text, "end %c %lu %lu", &row, &done, &cycles) == 3 && row >= 'a' &&
		   row < 'a' + (int)ARRAY_SIZE(rows) && done && cycles) {
		double cpu = monitor_us(pid) - io->cpu_begin;

		io->ended++;
		if (!io->keep)
			return;
		samples_add(&io->adit.rate[row - 'a'],
			    (double)done * io->cycles_second / (double)cycles);
		samples_add(&io->adit.cpu[row - 'a'], cpu / (double)done);
	} else if (!strncmp(text, "not ok", 6)) {
		fprintf(stderr, "adit bench io: the guest says: %s\n", text);
	}
}

static int run_guest(struct io *io)
{
	char adit[PATH_MAX];
	char *argv[] = { adit, (char *)"run", io->config, NULL };
	int status = 0, ret;

	snprintf(adit, sizeof(adit), "%.4000s/adit", io->options->build);
	io->ended = 0;
	ret = child_lines(argv, on_line, io, &status);
	if (!ret && (!WIFEXITED(status) || WEXITSTATUS(status) || io->ended != ARRAY_SIZE(rows)))
		ret = -EIO;
	if (ret)
		fprintf(stderr,
			"adit bench io: the guest ended with status %#x after %u rows of %zu: %s\n",
			(unsigned int)status, io->ended, ARRAY_SIZE(rows), strerror(-ret));
	return ret;
}

static int write_config(struct io *io)
{
	char words[1024];
	size_t n = 0;
	FILE *file;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		n += (size_t)snprintf(words + n, sizeof(words) - n, "row%c=%#llx ", (char)('a' + i),
				      (unsigned long long)rows[i].write << 63 |
					      (unsigned long long)rows[i].depth << 32 |
					      rows[i].bytes);
	snprintf(words + n, sizeof(words) - n, "cycles=%.0f", io->cycles_second * ROW_SECONDS);
	file = fopen(io->config, "we");
	if (!file)
		return -errno;
	fprintf(file,
		"{\"payload\": {\"flat\": \"%s/guest/diskload.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"%s\"}, \"memory\": {\"size\": \"128M\"}, \"debug_exit\": true, "
		"\"serial\": {\"mode\": \"Tty\"}, \"disks\": [{\"path\": \"%s\", \"direct\": %s, "
		"\"queue_size\": 256, \"image_type\": \"Raw\"}]}",
		io->options->build, words, io->image, io->options->direct ? "true" : "false");
	return fclose(file) ? -EIO : 0;
}

/* --- both ------------------------------------------------------------------------------------ */

static int run_floor(struct io *io)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct io_result result;
		int ret = io_floor(io->fd, IMAGE_BYTES, &rows[i], ROW_SECONDS, &result);

		if (ret) {
			fprintf(stderr, "adit bench io: io_uring, %s: %s\n", rows[i].name,
				strerror(-ret));
			return ret;
		}
		if (!io->keep)
			continue;
		samples_add(&io->floor.rate[i], result.rate);
		samples_add(&io->floor.cpu[i], result.cpu_us);
	}
	return 0;
}

/* Written whole: neither side allocates blocks, and the cache is warm. */
static int make_image(struct io *io)
{
	const char *directory = io->options->directory ? io->options->directory : "/tmp";
	static uint8_t block[1 * MIB] __attribute__((aligned(4096)));

	snprintf(io->image, sizeof(io->image), "%.4000s/adit-bench-XXXXXX", directory);
	io->fd = mkostemp(io->image, O_CLOEXEC | (io->options->direct ? O_DIRECT : 0));
	if (io->fd < 0) {
		int error = errno;

		io->image[0] = 0;
		fprintf(stderr, "adit bench io: no image can be made in %s%s: %s\n", directory,
			io->options->direct ? " for direct I/O" : "", strerror(error));
		return -error;
	}
	memset(block, 0x5a, sizeof(block));
	for (uint64_t at = 0; at < IMAGE_BYTES; at += sizeof(block)) {
		if (pwrite(io->fd, block, sizeof(block), (off_t)at) != (ssize_t)sizeof(block))
			return errno ? -errno : -EIO;
	}
	snprintf(io->config, sizeof(io->config), "%.4000s.json", io->image);
	return fsync(io->fd) ? -errno : 0;
}

static double tsc_hertz(void)
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

static void scale(struct samples *samples, double by)
{
	for (unsigned int i = 0; i < samples->count; i++)
		samples->value[i] *= by;
}

static void add_results(struct io *io, struct results *results)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool small = rows[i].bytes <= 4096;
		struct result rate = { .name = rows[i].name,
				       .unit = small ? "k/s" : "MB/s",
				       .reference_name = "io_uring",
				       .target = rows[i].target,
				       .higher = true };
		const struct result cpu = { .name = "  CPU time of one",
					    .unit = "us",
					    .reference_name = "io_uring" };
		double by = small ? 1e-3 : rows[i].bytes / 1e6;

		scale(&io->adit.rate[i], by);
		scale(&io->floor.rate[i], by);
		results_add(results, &rate, &io->adit.rate[i], &io->floor.rate[i]);
		results_add(results, &cpu, &io->adit.cpu[i], &io->floor.cpu[i]);
	}
	results_note(results, "%s; the guest polls, so its interrupts are not in this",
		     io->options->direct ? "direct I/O on both sides"
					 : "all in the page cache: what the host's disk does is "
					   "not in this (--direct)");
}

static int measure(struct io *io)
{
	unsigned int total = WARM_UP + io->options->rounds;
	int ret = make_image(io);

	io->cycles_second = tsc_hertz();
	if (!ret)
		ret = write_config(io);
	for (unsigned int i = 0; i < total && !ret; i++) {
		io->keep = i >= WARM_UP;
		ret = run_guest(io);
		if (!ret)
			ret = run_floor(io);
	}
	return ret;
}

int bench_io(const struct bench_options *options)
{
	struct results *results = results_new("io");
	struct io *io = calloc(1, sizeof(*io));
	int ret = -ENOMEM;

	if (io) {
		io->options = options;
		io->fd = -1;
		ret = measure(io);
		if (io->image[0])
			unlink(io->image);
		if (io->config[0])
			unlink(io->config);
		if (io->fd >= 0)
			close(io->fd);
	}
	if (!ret) {
		add_results(io, results);
		ret = results_print(results, options->json_path);
	}
	free(io);
	results_free(results);
	return ret ? 1 : 0;
}
