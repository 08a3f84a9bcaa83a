/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench io: reads and writes of a virtio disk by a guest that polls (tests/guest/payload/
 * diskload.c under `adit run`), beside the same guest under QEMU's microvm where that is installed,
 * and beside io_uring on the same file without a guest, round by round. CPU time of one operation:
 * for the monitors of all their threads but the vCPU, which polls; so what KVM takes for a kick is
 * not in it, and is in the rate.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/host.h"
#include "bench/io-guest.h"
#include "bench/io.h"
#include "bench/microvm-flat.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define IMAGE_BYTES (64 * MIB)
#define GUEST_BYTES (100 * MIB) /* that the guest has for the bytes of its requests */
#define SECTOR	    512u
#define ROW_SECONDS 0.06

#define RANDOM_READ(text, bytes, depth)                                                           \
	{                                                                                         \
		.name = (text), .random = true, .reads = true, .bs = (bytes), .iodepth = (depth), \
		.runtime = ROW_SECONDS, .size = IMAGE_BYTES                                       \
	}
#define RANDOM_WRITE(text, bytes, depth)                                                           \
	{                                                                                          \
		.name = (text), .random = true, .writes = true, .bs = (bytes), .iodepth = (depth), \
		.runtime = ROW_SECONDS, .size = IMAGE_BYTES                                        \
	}

static const struct jobs own_jobs = {
	.count = 9,
	.job = { RANDOM_READ("read 4 KiB, depth 1", 4096, 1),
		 RANDOM_READ("read 4 KiB, depth 16", 4096, 16),
		 RANDOM_READ("read 4 KiB, depth 64", 4096, 64),
		 RANDOM_WRITE("write 4 KiB, depth 1", 4096, 1),
		 RANDOM_WRITE("write 4 KiB, depth 64", 4096, 64),
		 RANDOM_READ("read 64 KiB, depth 16", 64 * KIB, 16),
		 RANDOM_WRITE("write 64 KiB, depth 16", 64 * KIB, 16),
		 RANDOM_READ("read 1 MiB, depth 4", 1 * MIB, 4),
		 RANDOM_WRITE("write 1 MiB, depth 4", 1 * MIB, 4) },
};

enum party {
	ADIT,
	QEMU,
	IO_URING
};

struct io {
	const struct bench_options *options;
	struct jobs jobs;
	unsigned int keys; /* of them */
	char work[PATH_MAX - 16], image[PATH_MAX], config[PATH_MAX];
	int fd;
	uint64_t image_bytes;
	bool direct;
	double cycles_second; /* of the TSC */
};

/* Each of them is two of the results: how often, and the CPU time of one. */
static void put(struct turn *turn, unsigned int i, const struct io_result *result)
{
	const struct job *job = &((const struct io *)turn->opaque)->jobs.job[i];
	double by = job->bs <= 4096 ? 1e-3 : (double)job->bs / 1e6;

	turn_put(turn, 2 * i, result->rate * by);
	turn_put(turn, 2 * i + 1, result->cpu_us);
}

/* --- the guest ------------------------------------------------------------------------------- */

static int run_guest(struct turn *turn, char *const argv[], int good, struct err *err)
{
	const struct io *io = turn->opaque;
	const struct io_guest guest = { .rows = io->jobs.count,
					.cycles_second = io->cycles_second,
					.put = put };

	return io_guest_run(turn, argv, good, &guest, err);
}

static int run_adit(struct turn *turn, struct err *err)
{
	struct io *io = turn->opaque;
	char adit[PATH_MAX];
	char *argv[] = { adit, (char *)"run", io->config, NULL };

	snprintf(adit, sizeof(adit), "%.4000s/adit", io->options->build);
	return run_guest(turn, argv, 0, err);
}

static void write_words(const struct io *io, FILE *to)
{
	for (unsigned int i = 0; i < io->jobs.count; i++) {
		const struct job *job = &io->jobs.job[i];

		fprintf(to, "row%c=%#llx mix%c=%u size%c=%llu cycles%c=%.0f ", (char)('a' + i),
			(unsigned long long)!job->random << 62 |
				(unsigned long long)job->iodepth << 32 | job->bs,
			(char)('a' + i), io_writes(job), (char)('a' + i),
			(unsigned long long)job->size, (char)('a' + i),
			io->cycles_second * job->runtime);
	}
}

/* As its manual has disks that shall be fast: io_uring, and a thread of their own. */
static int run_qemu(struct turn *turn, struct err *err)
{
	struct io *io = turn->opaque;
	char payload[PATH_MAX], drive[PATH_MAX + 96], *words = NULL;
	struct microvm_flat flat;
	size_t size = 0;
	FILE *file;
	int ret;

	if (!child_on_path(MICROVM_PROGRAM))
		return err_set(err, ENOTSUP, "there is no " MICROVM_PROGRAM);
	file = open_memstream(&words, &size);
	if (!file)
		return err_set(err, ENOMEM, "no memory");
	write_words(io, file);
	fprintf(file, "mmio=%#x", MICROVM_MMIO_BASE);
	fclose(file);
	snprintf(payload, sizeof(payload), "%.4000s/guest/diskload.bin", io->options->build);
	ret = microvm_flat(&flat, io->work, payload, words, "128M");
	free(words);
	if (ret)
		return err_set(err, -ret, "%s: %s", io->work, strerror(-ret));
	snprintf(drive, sizeof(drive), "if=none,id=d,format=raw,file=%s,aio=io_uring,cache=%s",
		 io->image, io->direct ? "none" : "writeback");
	microvm_flat_add(&flat,
			 (const char *const[]){
				 "-object", "iothread,id=t", "-drive", drive, "-device",
				 "virtio-blk-device,drive=d,iothread=t,num-queues=1,queue-size=256",
				 NULL });
	/* isa-debug-exit makes an odd number of the 0 that the guest says. */
	return run_guest(turn, flat.argv, 1, err);
}

static int write_config(struct io *io)
{
	FILE *file = fopen(io->config, "we");

	if (!file)
		return -errno;
	fprintf(file,
		"{\"payload\": {\"flat\": \"%s/guest/diskload.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"",
		io->options->build);
	write_words(io, file);
	fprintf(file,
		"\"}, \"memory\": {\"size\": \"128M\", \"shared\": false}, \"debug_exit\": true, "
		"\"serial\": {\"mode\": \"Tty\"}, \"disks\": [{\"path\": \"%s\", \"direct\": %s, "
		"\"queue_size\": 256, \"image_type\": \"Raw\"}]}",
		io->image, io->direct ? "true" : "false");
	return fclose(file) ? -EIO : 0;
}

/* --- both ------------------------------------------------------------------------------------ */

static int run_floor(struct turn *turn, struct err *err)
{
	struct io *io = turn->opaque;

	for (unsigned int i = 0; i < io->jobs.count; i++) {
		const struct job *job = &io->jobs.job[i];
		struct io_result result;
		int ret;

		turn_state(turn, "io_uring, %s", job->name);
		ret = io_floor(io->fd, job, &result);
		if (ret)
			return err_set(err, -ret, "io_uring, %s: %s", job->name, strerror(-ret));
		put(turn, i, &result);
	}
	return 0;
}

static int io_turn(struct turn *turn, struct err *err)
{
	switch (turn->party) {
	case ADIT:
		return run_adit(turn, err);
	case QEMU:
		return run_qemu(turn, err);
	default:
		return run_floor(turn, err);
	}
}

/* Written whole: neither side allocates blocks, and the cache is warm. */
static int fill_image(const struct io *io)
{
	static uint8_t block[1 * MIB] __attribute__((aligned(4096)));

	memset(block, 0x5a, sizeof(block));
	for (uint64_t at = 0; at < io->image_bytes; at += sizeof(block)) {
		if (pwrite(io->fd, block, sizeof(block), (off_t)at) != (ssize_t)sizeof(block))
			return errno ? -errno : -EIO;
	}
	return fsync(io->fd) ? -errno : 0;
}

static int make_image(struct io *io, struct bench_run *run, struct err *err)
{
	const char *work = io->work;
	int ret =
		watch_scratch(run->watch, io->options->directory, io->work, sizeof(io->work), err);

	if (ret)
		return ret;
	snprintf(io->image, sizeof(io->image), "%s/image", work);
	snprintf(io->config, sizeof(io->config), "%s/config", work);
	io->fd = open(io->image,
		      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (io->direct ? O_DIRECT : 0), 0600);
	ret = io->fd < 0 ? -errno : fill_image(io);
	return ret ? err_set(err, -ret, "no image can be made in %s%s: %s", work,
			     io->direct ? " for direct I/O" : "", strerror(-ret))
		   : 0;
}

static int measure(struct io *io, struct bench_run *run, struct err *err)
{
	struct contest_row results[2 * JOBS_MAX] = { 0 };
	char names[JOBS_MAX][64];
	struct contest contest = {
		.name = "disk",
		.parties = { [ADIT] = "adit", [QEMU] = "qemu-microvm", [IO_URING] = "io_uring" },
		.peers = 1u << QEMU,
		.party_count = IO_URING + 1,
		.rows = results,
		.row_count = 2 * io->jobs.count,
		.jobs = io->jobs.job,
		.job_count = io->jobs.count,
		.job_keys = io->keys,
		.warm_up = 1,
		.turn = io_turn,
		.opaque = io,
	};

	for (size_t i = 0; i < io->jobs.count; i++) {
		const struct job *job = &io->jobs.job[i];

		results[2 * i] = (struct contest_row){
			.name = job->name,
			.unit = job->bs <= 4096 ? "k/s" : "MB/s",
			.higher = true,
			.target = 1.0, /* of QEMU's, which is the second party */
			.job = job,
		};
		snprintf(names[i], sizeof(names[i]), "%s: CPU of one", job->name);
		results[2 * i + 1] = (struct contest_row){
			.name = names[i], .unit = "us", .target = 1.0, .job = job
		};
	}
	results_note(run->results, "%s; the guest polls, so its interrupts are not in this",
		     io->direct ? "direct I/O on both sides"
				: "all in the page cache: what the host's disk does is not in this "
				  "(--direct)");
	return contest_hold(&contest, run, err);
}

/* What the guest and its image can do of what the file asks for. */
static int check_jobs(struct io *io, struct err *err)
{
	for (unsigned int i = 0; i < io->jobs.count; i++) {
		const struct job *job = &io->jobs.job[i];

		if (job->bs % SECTOR)
			return err_set(err, EINVAL, "%s: /jobs/%u/bs: %llu is not of whole sectors",
				       io->options->job_path, i, (unsigned long long)job->bs);
		if (job->bs * job->iodepth > GUEST_BYTES)
			return err_set(err, EINVAL,
				       "%s: /jobs/%u/iodepth: %u times %llu bytes are more than "
				       "the %llu that the guest has",
				       io->options->job_path, i, job->iodepth,
				       (unsigned long long)job->bs, GUEST_BYTES);
		if (job->direct != io->jobs.job[0].direct)
			return err_set(err, EINVAL,
				       "%s: /jobs/%u/direct: all jobs share one image, so one way "
				       "to open it",
				       io->options->job_path, i);
		io->image_bytes = MAX(io->image_bytes, align_up(job->size, MIB));
	}
	io->direct |= io->jobs.job[0].direct;
	return 0;
}

static int take_jobs(struct io *io, struct err *err)
{
	static const struct job defaults = {
		.random = true,
		.reads = true,
		.bs = 4096,
		.iodepth = 1,
		.runtime = ROW_SECONDS,
		.size = IMAGE_BYTES,
		.rwmixread = 50, /* as fio */
	};
	const unsigned int keys = JOB_BIT(JOB_RW) | JOB_BIT(JOB_BS) | JOB_BIT(JOB_IODEPTH) |
				  JOB_BIT(JOB_RUNTIME) | JOB_BIT(JOB_SIZE) |
				  JOB_BIT(JOB_RWMIXREAD) | JOB_BIT(JOB_DIRECT);
	int ret;

	io->keys = keys;
	io->direct = io->options->direct;
	if (!io->options->job_path) {
		io->jobs = own_jobs;
		io->image_bytes = IMAGE_BYTES;
		return 0;
	}
	ret = jobs_read(&io->jobs, io->options->job_path, keys, &defaults, err);
	return ret ? ret : check_jobs(io, err);
}

int bench_io(struct bench_run *run, struct err *err)
{
	struct io *io = calloc(1, sizeof(*io));
	int ret;

	if (!io)
		return err_set(err, ENOMEM, "no memory");
	io->options = run->options;
	io->fd = -1;
	io->cycles_second = host_tsc_hertz();
	ret = take_jobs(io, err);
	if (!ret)
		ret = make_image(io, run, err);
	if (!ret && write_config(io))
		ret = err_set(err, EIO, "%s: it cannot be written", io->config);
	if (!ret)
		ret = measure(io, run, err);
	if (!ret && !io->options->job_path)
		ret = bench_io_net(run, err);
	if (io->fd >= 0)
		close(io->fd);
	free(io);
	return ret;
}
