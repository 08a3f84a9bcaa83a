/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench dma: what a device's DMA does, driven from this process over VFIO: opened through
 * ioasid-client beside the bare ioctls, and the same driver in a guest of adit's beside the bare
 * ioctls. Every turn opens the device anew and runs all its loads.
 *
 * Only reads are made, which write to our memory and change nothing on the device, unless a job
 * file asks for writes.
 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/dma-port.h"
#include "bench/host.h"
#include "bench/job.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define RUNTIME	     0.2 /* seconds */
#define LEAST	     4u	 /* operations, where one takes that long */
#define SAME	     0.95
#define GUEST_MEMORY "256M"
#define GUEST_OWN    (16 * MIB) /* the payload's memory for the device begins here */
#define GUEST_WALK   (192 * MIB)

enum figure {
	RATE,
	MEDIAN, /* latency */
	TAIL,	/* of 99 % */
	FIGURES
};

struct dma {
	const struct bench_options *options;
	const struct map_contest *provider;
	const struct map_memory *memory;
	struct jobs jobs;
	double hertz; /* of the TSC */
	char config[PATH_MAX];
	/* Of a guest's turn. */
	struct turn *turn;
	unsigned int ended;
	char complaint[160];
};

/* --- loads ----------------------------------------------------------------------------------- */

#define READ(text, bytes, depth, is_random, walk)                                    \
	{                                                                            \
		.name = (text), .reads = true, .random = (is_random), .bs = (bytes), \
		.iodepth = (depth), .runtime = RUNTIME, .size = (walk)               \
	}

/* Over 1 MiB the IOTLB may hold all translations; over 128 it has to walk for each. */
static const struct jobs own_jobs = {
	.count = 6,
	.job = { READ("read 4 KiB, depth 1", 4 * KIB, 1, false, MIB),
		 READ("read 4 KiB, depth 16", 4 * KIB, 16, false, MIB),
		 READ("read 4 KiB, depth 16, 128 MiB", 4 * KIB, 16, true, 128 * MIB),
		 READ("read 64 KiB, depth 4", 64 * KIB, 4, false, MIB),
		 READ("read 64 KiB, depth 4, 128 MiB", 64 * KIB, 4, true, 128 * MIB),
		 READ("read 256 KiB, depth 4", 256 * KIB, 4, false, MIB) },
};

static struct dma_load load_of(const struct dma *dma, const struct job *job)
{
	return (struct dma_load){
		.bytes = (uint32_t)job->bs,
		.depth = job->iodepth,
		.writes = !job->writes	? 0
			  : !job->reads ? 100
					: 100 - job->rwmixread,
		.random = job->random,
		.size = job->size,
		.ticks = (uint64_t)(job->runtime * dma->hertz),
		.least = LEAST,
	};
}

/* Whether the device can; why not goes into text. */
static bool fits(const struct dma_device *device, const struct job *job, char *text, size_t size)
{
	if (job->iodepth > device->lanes)
		snprintf(text, size, "depth %u is more than its %u", job->iodepth, device->lanes);
	else if (job->bs > device->bytes_max)
		snprintf(text, size, "%llu bytes are more than its %u", (unsigned long long)job->bs,
			 device->bytes_max);
	else if (job->bs % device->bytes_step)
		snprintf(text, size, "%llu bytes are no multiple of its %u",
			 (unsigned long long)job->bs, device->bytes_step);
	else
		return true;
	return false;
}

/* Of our own loads the device runs those that it can; a file's it has to. */
static int choose_jobs(struct dma *dma, struct bench_run *run, const struct dma_device *device,
		       struct err *err)
{
	struct jobs wanted = dma->jobs;
	char why[96];

	dma->jobs.count = 0;
	for (unsigned int i = 0; i < wanted.count; i++) {
		if (fits(device, &wanted.job[i], why, sizeof(why)))
			dma->jobs.job[dma->jobs.count++] = wanted.job[i];
		else if (run->options->job_path)
			return err_set(err, EINVAL, "%s: /jobs/%u: %s of %s",
				       run->options->job_path, i, why, device->driver->name);
		else
			results_note(run->results, "%s: not for %s: %s", wanted.job[i].name,
				     device->driver->name, why);
	}
	return 0;
}

static void put(const struct dma *dma, struct turn *turn, unsigned int i, double done, double ticks,
		const double latency[2])
{
	const struct job *job = &dma->jobs.job[i];
	double by = job->bs <= 4096 ? 1e-3 : (double)job->bs / 1e6;

	turn_put(turn, FIGURES * i + RATE, done * dma->hertz / ticks * by);
	turn_put(turn, FIGURES * i + MEDIAN, latency[0] / dma->hertz * 1e6);
	turn_put(turn, FIGURES * i + TAIL, latency[1] / dma->hertz * 1e6);
}

/* --- from this process ----------------------------------------------------------------------- */

static int run_loads(struct dma *dma, struct turn *turn, struct dma_port *port, struct err *err)
{
	static struct dma_result result;

	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i];
		const struct dma_load load = load_of(dma, job);
		char state[128];

		turn_state(turn, "%s: %s", port->device.driver->name, job->name);
		if (!dma_run(&port->device, &load, &result)) {
			dma_port_describe(port, state, sizeof(state));
			return err_set(
				err, EIO,
				"%s: %s: after %llu operations one failed or stayed away: %s",
				port->device.driver->name, job->name,
				(unsigned long long)result.done, state);
		}
		put(dma, turn, i, (double)result.done, (double)result.ticks,
		    (const double[]){ (double)dma_latency(&result, 500),
				      (double)dma_latency(&result, 990) });
	}
	return 0;
}

static int host_turn(struct dma *dma, struct turn *turn, bool bare, struct err *err)
{
	struct dma_port port;
	int ret;

	turn_state(turn, "opening the device");
	ret = dma_port_open(&port, dma->provider, bare, dma->options, dma->memory, err);
	if (!ret)
		ret = run_loads(dma, turn, &port, err);
	dma_port_close(&port);
	return ret;
}

static int dma_turn(struct turn *turn, struct err *err)
{
	return host_turn(turn->opaque, turn, turn->party, err);
}

/* --- from a guest ---------------------------------------------------------------------------- */

static int write_config(const struct dma *dma)
{
	bool cdev = dma->provider->provider == IOASID_PROVIDER_IOMMUFD;
	FILE *to = fopen(dma->config, "we");

	if (!to)
		return -errno;
	fprintf(to,
		"{\"payload\": {\"flat\": \"%s/guest/dmaload.bin\", \"address\": \"2M\", "
		"\"cmdline\": \"hertz=%.0f ",
		dma->options->build, dma->hertz);
	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i];
		const struct dma_load load = load_of(dma, job);

		fprintf(to, "row%c=%#llx mix%c=%u size%c=%llu cycles%c=%llu ", (char)('a' + i),
			(unsigned long long)!load.random << 62 |
				(unsigned long long)load.depth << 32 | load.bytes,
			(char)('a' + i), load.writes, (char)('a' + i),
			(unsigned long long)load.size, (char)('a' + i),
			(unsigned long long)load.ticks);
	}
	fprintf(to,
		"\"}, \"memory\": {\"size\": \"" GUEST_MEMORY "\"}, \"debug_exit\": true, "
		"\"serial\": {\"mode\": \"Tty\"}, \"devices\": [{\"path\": \"%s\", \"via\": \"%s\", "
		"\"allow_no_reset\": true}]}",
		dma->options->device, cdev ? "cdev" : "group");
	return fclose(to) ? -EIO : 0;
}

static void on_line(void *arg, int pid, char *text)
{
	struct dma *dma = arg;
	double done, ticks, latency[2];
	char row;

	(void)pid;
	if (sscanf(text, "end %c %lf %lf %lf %lf", &row, &done, &ticks, &latency[0], &latency[1]) ==
		    5 &&
	    row >= 'a' && row < 'a' + (int)dma->jobs.count && ticks > 0) {
		dma->ended++;
		put(dma, dma->turn, (unsigned int)(row - 'a'), done, ticks, latency);
	} else if (!strncmp(text, "not ok", 6)) {
		snprintf(dma->complaint, sizeof(dma->complaint), "; the guest says: %.120s", text);
	}
}

static int guest_turn(struct turn *turn, struct err *err)
{
	struct dma *dma = turn->opaque;
	char adit[PATH_MAX];
	char *argv[] = { adit, (char *)"run", dma->config, NULL };
	int status = 0, ret;

	if (turn->party)
		return host_turn(dma, turn, true, err);
	snprintf(adit, sizeof(adit), "%.4000s/adit", dma->options->build);
	dma->turn = turn;
	dma->ended = 0;
	dma->complaint[0] = 0;
	ret = child_lines(turn, argv, on_line, dma, &status);
	if (!ret && (!WIFEXITED(status) || WEXITSTATUS(status) || dma->ended != dma->jobs.count))
		ret = -EIO;
	return ret ? err_set(err, -ret, "the guest ended with status %#x after %u loads of %u%s",
			     (unsigned int)status, dma->ended, dma->jobs.count, dma->complaint)
		   : 0;
}

/* --- the bench ------------------------------------------------------------------------------- */

static int hold(struct dma *dma, struct bench_run *run, const char *name, bool guest,
		struct err *err)
{
	struct contest_row rows[FIGURES * JOBS_MAX] = { 0 };
	char names[FIGURES * JOBS_MAX][96];
	static const char *const suffix[FIGURES] = { "", ": p50", ": p99" };
	struct contest contest = {
		.name = name,
		.parties = { "adit", "bare ioctls" },
		.party_count = 2,
		.rows = rows,
		.row_count = FIGURES * dma->jobs.count,
		.turn = guest ? guest_turn : dma_turn,
		.opaque = dma,
	};

	for (unsigned int i = 0; i < FIGURES * dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i / FIGURES];
		unsigned int figure = i % FIGURES;

		snprintf(names[i], sizeof(names[i]), "%s: %s%s", name, job->name, suffix[figure]);
		rows[i] = (struct contest_row){
			.name = names[i],
			.unit = figure != RATE	  ? "us"
				: job->bs <= 4096 ? "k/s"
						  : "MB/s",
			.higher = figure == RATE,
			.target = figure == RATE ? SAME : 0,
		};
	}
	return contest_hold(&contest, run, err);
}

/* What of the device its figures depend on: a run's description, of which the host knows nothing.
 */
static void describe(struct bench_run *run, const struct dma *dma, const struct dma_port *port)
{
	static const char *const snoop[] = {
		[IOASID_SNOOP_NONE] = "no IOMMU of its own",
		[IOASID_SNOOP_NOT_ENFORCED] = "snooping is not enforced",
		[IOASID_SNOOP_ENFORCED] = "snooping is enforced",
	};
	struct ioasid_device_info info;

	ioasid_device_info(port->bound, &info);
	results_note(run->results, "%s, %s pages: %s %s behind %s, %s, %u bits of PASID",
		     dma->provider->name, dma->memory->pages, port->device.driver->name, info.name,
		     info.hw, snoop[info.snoop], info.pasid_width);
}

/* Which of the loads the device can run is asked of the device itself. */
static int look(struct dma *dma, struct bench_run *run, struct err *err)
{
	struct dma_port port;
	int ret = dma_port_open(&port, dma->provider, false, dma->options, dma->memory, err);

	if (!ret) {
		describe(run, dma, &port);
		ret = choose_jobs(dma, run, &port.device, err);
	}
	dma_port_close(&port);
	return ret;
}

static int measure_memory(struct dma *dma, struct bench_run *run, const struct map_memory *memory,
			  struct err *err)
{
	struct jobs all = dma->jobs;
	char name[64];
	int ret;

	dma->memory = memory;
	ret = look(dma, run, err);
	snprintf(name, sizeof(name), "%s, %s pages", dma->provider->name, memory->pages);
	if (!ret && dma->jobs.count)
		ret = hold(dma, run, name, false, err);
	/* A guest's memory is what its configuration says: once is enough. */
	if (!ret && dma->jobs.count && dma->options->device && memory->page_shift == 12) {
		ret = write_config(dma);
		snprintf(name, sizeof(name), "%s, guest", dma->provider->name);
		ret = ret ? err_set(err, -ret, "%s: it cannot be written", dma->config)
			  : hold(dma, run, name, true, err);
	}
	dma->jobs = all;
	return ret;
}

static int measure(struct dma *dma, struct bench_run *run, const struct map_contest *provider,
		   struct err *err)
{
	static const unsigned int shifts[] = { 12, 21 };
	int ret = 0;

	dma->provider = provider;
	for (size_t i = 0; !ret && i < ARRAY_SIZE(shifts); i++) {
		struct map_memory memory;

		if (map_memory_new(&memory, shifts[i], MAP_SIZE)) {
			results_note(run->results, "pages of %s: this host has too few free",
				     memory.pages);
			continue;
		}
		ret = measure_memory(dma, run, &memory, err);
		map_memory_free(&memory);
	}
	return ret;
}

static int take_jobs(struct dma *dma, struct err *err)
{
	static const struct job defaults = {
		.reads = true,
		.bs = 4096,
		.iodepth = 1,
		.runtime = RUNTIME,
		.size = MIB,
		.rwmixread = 50, /* as fio */
	};
	const unsigned int keys = JOB_BIT(JOB_RW) | JOB_BIT(JOB_BS) | JOB_BIT(JOB_IODEPTH) |
				  JOB_BIT(JOB_RUNTIME) | JOB_BIT(JOB_SIZE) | JOB_BIT(JOB_RWMIXREAD);
	int ret;

	dma->jobs = own_jobs;
	if (!dma->options->job_path)
		return 0;
	ret = jobs_read(&dma->jobs, dma->options->job_path, keys, &defaults, err);
	for (unsigned int i = 0; !ret && i < dma->jobs.count; i++) {
		if (dma->jobs.job[i].size > GUEST_WALK)
			ret = err_set(err, EINVAL,
				      "%s: /jobs/%u/size: %llu is more than the %llu that there "
				      "are in a guest",
				      dma->options->job_path, i,
				      (unsigned long long)dma->jobs.job[i].size, GUEST_WALK);
	}
	return ret;
}

int bench_dma(struct bench_run *run, struct err *err)
{
	struct dma *dma = calloc(1, sizeof(*dma));
	char work[PATH_MAX - 16];
	int ret;

	if (!dma)
		return err_set(err, ENOMEM, "no memory");
	dma->options = run->options;
	dma->hertz = host_tsc_hertz();
	ret = take_jobs(dma, err);
	if (!ret)
		ret = watch_scratch(run->watch, NULL, work, sizeof(work), err);
	if (!ret)
		snprintf(dma->config, sizeof(dma->config), "%s/config", work);
	if (!ret && !run->options->cdev && !run->options->group)
		results_note(run->results, "nothing measured: it takes --cdev, or --group and "
					   "--device, of a device that vfio-pci has");
	if (!ret && run->options->cdev)
		ret = measure(dma, run, &map_iommufd, err);
	if (!ret && run->options->group)
		ret = measure(dma, run, &map_type1, err);
	if (!run->options->device)
		results_note(run->results, "a guest: not measured without --device BDF");
	free(dma);
	return ret;
}
