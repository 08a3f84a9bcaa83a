/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench dma: what a device's DMA does, driven from this process over VFIO: opened through
 * ioasid-client beside the bare ioctls, and the same driver in a guest of adit's beside the bare
 * ioctls; or over vfio-user, beside memcpy. Every turn opens the device anew, has all lanes of each
 * load prove that data arrives, and runs the load.
 *
 * Only reads are made, which write to our memory and change nothing on the device, unless a job
 * file asks for writes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/dma-internal.h"
#include "bench/host.h"
#include "bench/results.h"
#include "bench/watch.h"
#include "util/bits.h"

#define LEAST 4u /* operations, where one takes that long */
#define SAME  0.95
#define LINE  64u /* bytes, where the device moves as few */

/* --- loads ----------------------------------------------------------------------------------- */

struct dma_load dma_load_of(const struct dma *dma, const struct job *job)
{
	bool jobs = job->numjobs > 1;

	return (struct dma_load){
		.bytes = (uint32_t)job->bs,
		.batch = job->iodepth_batch,
		.depth = job->iodepth * (jobs ? job->numjobs : 1),
		.writes = !job->writes	? 0
			  : !job->reads ? 100
					: 100 - job->rwmixread,
		.random = job->random,
		.size = job->size,
		.stride = job->stride,
		.queues = jobs ? job->numjobs : job->pasids,
		.in_row = job->pasid_run,
		.own_lanes = jobs,
		.ramp = (uint64_t)(job->ramp_time * dma->hertz),
		.ticks = (uint64_t)(job->runtime * dma->hertz),
		.least = LEAST,
	};
}

/* Whether the device can; why not goes into text. */
static bool fits(const struct dma_device *device, const struct job *job, char *text, size_t size)
{
	unsigned int jobs = MAX(job->numjobs, 1u);

	if (job->pasids && device->driver != &dma_dsa_driver)
		snprintf(text, size, "%u PASIDs are more than the 0", job->pasids);
	else if (jobs > 1 && !device->driver->several)
		snprintf(text, size, "numjobs of %u are more than the one queue", jobs);
	else if (job->iodepth * jobs > DMA_LANES)
		snprintf(text, size, "depth %u of %u queues is more than the %u in all",
			 job->iodepth, jobs, DMA_LANES);
	else if (job->iodepth > device->lanes)
		snprintf(text, size, "depth %u is more than its %u", job->iodepth, device->lanes);
	else if (job->bs > device->bytes_max)
		snprintf(text, size, "%llu bytes are more than its %u", (unsigned long long)job->bs,
			 device->bytes_max);
	else if (job->bs % device->bytes_step)
		snprintf(text, size, "%llu bytes are no multiple of its %u",
			 (unsigned long long)job->bs, device->bytes_step);
	else if (job->iodepth_batch > device->batch_max)
		snprintf(text, size, "batches of %u are more than its %u", job->iodepth_batch,
			 device->batch_max);
	else if (job->size < job->bs * job->iodepth_batch * jobs)
		snprintf(text, size, "%llu bytes of memory are less than one operation of %llu%s",
			 (unsigned long long)job->size,
			 (unsigned long long)job->bs * job->iodepth_batch,
			 jobs > 1 ? " for each queue" : "");
	else
		return true;
	return false;
}

/* Of our own loads the device runs those that it can; a file's it has to. */
static int choose_jobs(struct dma *dma, struct bench_run *run, const struct dma_device *device,
		       struct err *err)
{
	struct jobs wanted = dma->jobs;
	char why[128];

	dma->jobs.count = 0;
	for (unsigned int i = 0; i < wanted.count; i++) {
		if (wanted.job[i].lines)
			wanted.job[i].bs = MAX(LINE, device->bytes_step);
		if (fits(device, &wanted.job[i], why, sizeof(why)))
			dma->jobs.job[dma->jobs.count++] = wanted.job[i];
		else if (dma->options.job_path)
			return err_set(err, EINVAL, "%s: /jobs/%u: %s of %s", dma->options.job_path,
				       wanted.job[i].index, why, device->driver->name);
		else
			results_note(run->results, "%s: not for %s: %s",
				     wanted.job[i].lines ? "lines" : wanted.job[i].name,
				     device->driver->name, why);
	}
	return 0;
}

void dma_put(const struct dma *dma, struct turn *turn, unsigned int i, const struct dma_says *says)
{
	const struct job *job = &dma->jobs.job[i];

	dma_rows_put(turn, DMA_FIGURES * i, says, job->bs, job->iodepth_batch, dma->hertz);
}

/* --- turns ----------------------------------------------------------------------------------- */

struct dma_queues dma_queues_of(const struct dma *dma, bool pasids)
{
	struct dma_queues queues = { 0 };

	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i];

		queues.count = MAX(queues.count, job->numjobs > 1 ? job->numjobs : job->pasids);
		queues.pasids |= pasids && job->pasids;
	}
	return queues;
}

static int run_loads(struct dma *dma, struct turn *turn, struct dma_port *port, struct err *err)
{
	static struct dma_result result;
	struct dma_says says;

	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i];
		const struct dma_load load = dma_load_of(dma, job);
		char state[256];

		turn_state(turn, "%s: %s", port->device.driver->name, job->name);
		result.done = 0;
		if (!dma_prove(&port->device, &load) || !dma_run(&port->device, &load, &result)) {
			dma_port_describe(port, state, sizeof(state));
			return err_set(
				err, EIO,
				"%s: %s: after %llu operations one failed or stayed away: %s",
				port->device.driver->name, job->name,
				(unsigned long long)result.done, state);
		}
		says = dma_says_of(&result);
		dma_put(dma, turn, i, &says);
	}
	return 0;
}

static int one_turn(struct dma *dma, struct turn *turn, struct err *err)
{
	enum dma_way way = dma->way[turn->party];
	const struct dma_queues queues = dma_queues_of(dma, way == DMA_PASIDS);
	struct dma_port port;
	int ret = 0;

	if (way == DMA_GUEST || way == DMA_GUEST_PASIDS || way == DMA_GUEST_NO_PASIDS)
		return dma_guest_turn(dma, turn, err);
	if (way == DMA_QEMU)
		return dma_qemu_turn(dma, turn, err);
	turn_state(turn, "opening the device");
	if (way == DMA_CPU)
		dma_port_open_cpu(&port, dma->memory);
	else
		ret = dma_port_open(&port, dma->provider, way == DMA_BARE, &dma->options,
				    dma->memory, &queues, err);
	if (!ret)
		ret = run_loads(dma, turn, &port, err);
	dma_port_close(&port);
	return ret;
}

static bool takes_server(enum dma_way way)
{
	return way != DMA_CPU && way != DMA_GUEST_PASIDS && way != DMA_GUEST_NO_PASIDS;
}

static int dma_turn(struct turn *turn, struct err *err)
{
	struct dma *dma = turn->opaque;

	if (dma->serves && takes_server(dma->way[turn->party]))
		return dma_server_with(dma, turn, one_turn, err);
	return one_turn(dma, turn, err);
}

/* --- the bench ------------------------------------------------------------------------------- */

enum dma_contest {
	ON_THE_HOST,
	IN_A_GUEST,
	UNDER_PASIDS,
	IN_A_GUEST_UNDER_PASIDS,
};

/* Who stands beside whom; how many. */
static unsigned int choose_parties(struct dma *dma, struct contest *contest, enum dma_contest what)
{
	static const char *const names[] = {
		[DMA_OURS] = "adit",
		[DMA_BARE] = "bare ioctls",
		[DMA_CPU] = "memcpy",
		[DMA_GUEST] = "adit",
		[DMA_QEMU] = "qemu-microvm",
		[DMA_PASIDS] = "adit",
		[DMA_NO_PASIDS] = "no PASIDs",
		[DMA_GUEST_PASIDS] = "adit",
		[DMA_GUEST_NO_PASIDS] = "no PASIDs",
	};
	static const enum dma_way first[] = {
		[ON_THE_HOST] = DMA_OURS,
		[IN_A_GUEST] = DMA_GUEST,
		[UNDER_PASIDS] = DMA_PASIDS,
		[IN_A_GUEST_UNDER_PASIDS] = DMA_GUEST_PASIDS,
	};
	bool served = dma->provider == &dma_served;
	unsigned int n = 0;

	dma->way[n++] = first[what];
	if (what == UNDER_PASIDS)
		dma->way[n++] = DMA_NO_PASIDS;
	else if (what == IN_A_GUEST_UNDER_PASIDS)
		dma->way[n++] = DMA_GUEST_NO_PASIDS;
	else if (what == IN_A_GUEST && served)
		dma->way[n++] = DMA_OURS;
	else if (!served)
		dma->way[n++] = DMA_BARE;
	if (what == IN_A_GUEST)
		dma->way[n++] = DMA_QEMU;
	else if (what == ON_THE_HOST && dma->moves)
		dma->way[n++] = DMA_CPU;
	for (unsigned int i = 0; i < n; i++) {
		contest->parties[i] =
			i && dma->way[i] == DMA_OURS ? "the host" : names[dma->way[i]];
		contest->peers |= dma->way[i] == DMA_QEMU ? 1u << i : 0;
	}
	return n;
}

/* What it costs that each line has a translation of its own: beside as many that share theirs. */
static void add_lines(const struct dma *dma, const struct contest *contest, struct bench_run *run)
{
	for (unsigned int i = 1; i < dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i];
		const struct contest_row *row = &contest->rows[DMA_FIGURES * i + DMA_RATE];
		const struct result result = {
			.name = row->name,
			.unit = row->unit,
			.reference_name = "packed",
			.higher = row->higher,
			.job = job->name,
		};

		if (job->lines == JOB_SPREAD && job[-1].lines == JOB_PACKED)
			results_add(run->results, &result,
				    contest_samples(contest, DMA_FIGURES * i + DMA_RATE, 0),
				    contest_samples(contest, DMA_FIGURES * (i - 1) + DMA_RATE, 0));
	}
}

static int hold_rows(struct dma *dma, struct contest *contest, struct dma_rows *rows,
		     struct bench_run *run, struct err *err)
{
	int ret = contest_run(contest, run, err);

	if (!ret) {
		for (unsigned int i = 0; i < dma->jobs.count; i++)
			dma_rows_judge(rows, DMA_FIGURES * i, contest);
		contest_report(contest, run);
		add_lines(dma, contest, run);
	}
	contest_free(contest);
	return ret;
}

static int hold(struct dma *dma, struct bench_run *run, const char *name, enum dma_contest what,
		struct err *err)
{
	struct dma_rows rows;
	struct contest contest = {
		.name = name,
		.rows = rows.row,
		.row_count = DMA_FIGURES * dma->jobs.count,
		.jobs = dma->jobs.job,
		.job_count = dma->jobs.count,
		.job_keys = dma_job_keys(),
		.turn = dma_turn,
		.opaque = dma,
	};

	_Static_assert(DMA_FIGURES * JOBS_MAX <= ROWS_MAX, "a file's jobs have their rows");
	contest.party_count = choose_parties(dma, &contest, what);
	for (unsigned int i = 0; i < dma->jobs.count; i++) {
		const struct job *job = &dma->jobs.job[i];
		char whole[128];

		snprintf(whole, sizeof(whole), "%s: %s", name, job->name);
		dma_rows_name(&rows, DMA_FIGURES * i, whole, job->bs,
			      dma->options.brief && !dma->options.job_path);
		/* Messages carry what is submitted to a served function: no floor does. */
		if (dma->provider != &dma_served)
			rows.row[DMA_FIGURES * i + DMA_RATE].target = SAME;
		for (unsigned int n = 0; n < DMA_FIGURES; n++)
			rows.row[DMA_FIGURES * i + n].job = job;
	}
	return hold_rows(dma, &contest, &rows, run, err);
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
	const char *driver = port->device.driver->name;
	struct ioasid_device_info info;

	if (port->device.torn)
		results_note(run->results,
			     "this CPU has no MOVDIR64B: descriptors are eight stores, "
			     "which adit's own function takes for one");
	if (dma->provider == &dma_served) {
		results_note(run->results, "%s, %s in %s pages: %s served %s%s",
			     dma->provider->name, dma->memory->size_name, dma->memory->pages,
			     driver,
			     dma->serves ? "by adit adi-serve, started for each turn" : "at ",
			     dma->serves ? "" : dma->options.socket);
		return;
	}
	ioasid_device_info(port->bound, &info);
	results_note(run->results, "%s, %s in %s pages: %s %s behind %s, %s, %u bits of PASID",
		     dma->provider->name, dma->memory->size_name, dma->memory->pages, driver,
		     info.name, info.hw, snoop[info.snoop], info.pasid_width);
}

/* Which of the loads the device can run is asked of the device itself. */
static int look(struct dma *dma, struct turn *turn, struct err *err)
{
	const struct dma_queues queues = dma_queues_of(dma, true);
	struct dma_port port;
	int ret = dma_port_open(&port, dma->provider, false, &dma->options, dma->memory, &queues,
				err);

	if (!ret) {
		if (!queues.pasids)
			describe(turn->run, dma, &port);
		dma->moves = port.device.driver->brings != NULL;
		ret = choose_jobs(dma, turn->run, &port.device, err);
	}
	dma_port_close(&port);
	return ret;
}

static int look_at(struct dma *dma, struct bench_run *run, struct err *err)
{
	struct turn turn = { .run = run, .opaque = dma };

	return dma->serves ? dma_server_with(dma, &turn, look, err) : look(dma, &turn, err);
}

/* Why there is no guest; NULL: there is one. */
static const char *no_guest(const struct dma *dma)
{
	if (access("/dev/kvm", R_OK | W_OK))
		return "not without /dev/kvm";
	if (dma->provider != &dma_served && !dma->options.device)
		return "not without --device BDF";
	return NULL;
}

static int measure_guest(struct dma *dma, struct bench_run *run, struct err *err)
{
	const char *why = no_guest(dma);
	char name[64];
	int ret;

	snprintf(name, sizeof(name), "%s, guest%s", dma->provider->name,
		 dma->memory->page_shift > 12 ? ", 2M pages" : "");
	if (!why && !dma->guest_room)
		why = "this host has too few of these free";
	if (why) {
		results_note(run->results, "%s: %s", name, why);
		return 0;
	}
	dma_fit_lines(&dma->jobs, dma->memory->page_shift, DMA_GUEST_WALK);
	ret = dma_guest_prepare(dma, err);
	return ret ? ret : hold(dma, run, name, IN_A_GUEST, err);
}

/* Of a server of somebody else's only where a job file asks: who knows what is bound there. */
static int measure_pasids(struct dma *dma, struct bench_run *run, struct err *err)
{
	bool own = dma->serves || dma->options.job_path;
	char name[64];
	int ret;

	if (!dma->under_pasids.count || !own)
		return 0;
	if (dma->provider != &dma_served)
		return err_set(err, EINVAL,
			       "%s: /jobs/%u/pasids: only a function that is served over vfio-user "
			       "is driven under PASIDs",
			       dma->options.job_path, dma->under_pasids.job[0].index);
	dma->jobs = dma->under_pasids;
	ret = look_at(dma, run, err);
	snprintf(name, sizeof(name), "%s, PASIDs", dma->provider->name);
	if (!ret)
		ret = hold(dma, run, name, UNDER_PASIDS, err);
	if (ret || !dma->serves)
		return ret;
	ret = dma_guest_prepare_pasids(dma, err);
	return ret ? ret : hold(dma, run, "guest, PASIDs", IN_A_GUEST_UNDER_PASIDS, err);
}

static int measure_plain(struct dma *dma, struct bench_run *run, const struct map_memory *memory,
			 struct err *err)
{
	char name[64];
	int ret = look_at(dma, run, err);

	snprintf(name, sizeof(name), "%s, %s pages", dma->provider->name, memory->pages);
	dma_fit_lines(&dma->jobs, memory->page_shift, memory->size - DMA_OWN);
	if (!ret && dma->jobs.count)
		ret = hold(dma, run, name, ON_THE_HOST, err);
	if (!ret && dma->jobs.count)
		ret = measure_guest(dma, run, err);
	return ret;
}

static int measure_memory(struct dma *dma, struct bench_run *run, const struct map_memory *memory,
			  struct err *err)
{
	const struct jobs all = dma->jobs;
	int ret = 0;

	dma->memory = memory;
	if (all.count)
		ret = measure_plain(dma, run, memory, err);
	/* What a PASID adds has nothing to do with the size of pages. */
	if (!ret && memory->page_shift == 12)
		ret = measure_pasids(dma, run, err);
	dma->jobs = all;
	return ret;
}

/*
 * As much as makes a translation for each of DMA_LINES, or what there is; and before that a guest's
 * memory in such pages is kept free, which it has beside it.
 */
static int take_memory(struct dma *dma, struct map_memory *memory, unsigned int shift)
{
	bool more = shift > 12 && !dma->options.brief;
	struct map_memory guest;
	int ret = -ENOMEM;

	dma->guest_room = shift == 12 || !map_memory_new(&guest, shift, DMA_GUEST_BYTES);
	for (uint64_t size = more ? DMA_MEMORY_MOST : MAP_SIZE; ret && size >= MAP_SIZE; size /= 2)
		ret = map_memory_new(memory, shift, size);
	if (shift > 12 && dma->guest_room)
		map_memory_free(&guest);
	if (!ret || shift == 12 || !dma->guest_room)
		return ret;
	dma->guest_room = false;
	return map_memory_new(memory, shift, MAP_SIZE);
}

static int measure(struct dma *dma, struct bench_run *run, const struct map_contest *provider,
		   struct err *err)
{
	static const unsigned int shifts[] = { 12, 21 };
	int ret = 0;

	dma->provider = provider;
	for (size_t i = 0; !ret && i < ARRAY_SIZE(shifts); i++) {
		struct map_memory memory;

		if (take_memory(dma, &memory, shifts[i])) {
			results_note(run->results, "pages of %s: this host has too few free",
				     memory.pages);
			continue;
		}
		ret = measure_memory(dma, run, &memory, err);
		map_memory_free(&memory);
	}
	return ret;
}

/* By all ways that there are to the devices that were named, or to one of our own. */
static int measure_all(struct dma *dma, struct bench_run *run, struct err *err)
{
	bool named = dma->options.cdev || dma->options.group || dma->options.socket;
	int ret = 0;

	if (!named && access("/dev/kvm", R_OK | W_OK)) {
		results_note(run->results,
			     "nothing measured: a function of adit's own takes /dev/kvm, one of "
			     "vfio-pci's --cdev, or --group and --device");
		return 0;
	}
	if (!named) {
		results_note(run->results,
			     "a function of software, served by adit: one of vfio-pci's takes "
			     "--cdev, or --group and --device");
		ret = dma_server_prepare(dma, err);
	}
	if (!ret && dma->options.cdev)
		ret = measure(dma, run, &map_iommufd, err);
	if (!ret && dma->options.group)
		ret = measure(dma, run, &map_type1, err);
	if (!ret && dma->options.socket)
		ret = measure(dma, run, &dma_served, err);
	if (!ret && !named && !dma->options.job_path)
		ret = dma_soft_measure(dma, run, err);
	return ret;
}

int bench_dma(struct bench_run *run, struct err *err)
{
	struct dma *dma = calloc(1, sizeof(*dma));
	int ret;

	if (!dma)
		return err_set(err, ENOMEM, "no memory");
	dma->options = *run->options;
	dma->hertz = host_tsc_hertz();
	ret = dma_take_jobs(dma, err);
	if (!ret)
		ret = watch_scratch(run->watch, NULL, dma->work, sizeof(dma->work), err);
	if (!ret) {
		snprintf(dma->config, sizeof(dma->config), "%s/config", dma->work);
		ret = measure_all(dma, run, err);
	}
	free(dma);
	return ret;
}
