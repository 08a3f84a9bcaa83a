/* SPDX-License-Identifier: Apache-2.0 */
/* What adit bench dma measures: loads of its own, or those of a job file. */
#include <stdio.h>

#include "bench/dma-internal.h"
#include "util/bits.h"

#define READ(text, bytes, depth, in_batch)                                        \
	{                                                                         \
		.name = (text), .reads = true, .bs = (bytes), .iodepth = (depth), \
		.iodepth_batch = (in_batch), .runtime = DMA_RUNTIME, .size = MIB  \
	}

/* Bytes, name and memory are the device's and the memory's: dma_fit_lines. */
#define LINES(how, depth, in_batch)                                                             \
	{                                                                                       \
		.reads = true, .random = true, .iodepth = (depth), .iodepth_batch = (in_batch), \
		.runtime = DMA_RUNTIME, .size = MIB, .lines = (how)                             \
	}

static const struct jobs own_jobs = {
	.count = 9,
	.job = { READ("read 4 KiB, depth 1", 4 * KIB, 1, 1),
		 READ("read 4 KiB, depth 16", 4 * KIB, 16, 1),
		 READ("read 16 x 4 KiB, depth 4", 4 * KIB, 4, 16),
		 READ("read 64 KiB, depth 4", 64 * KIB, 4, 1),
		 READ("read 256 KiB, depth 4", 256 * KIB, 4, 1), LINES(JOB_PACKED, 16, 1),
		 LINES(JOB_SPREAD, 16, 1), LINES(JOB_PACKED, 4, 16), LINES(JOB_SPREAD, 4, 16) },
};

static const struct jobs brief_jobs = {
	.count = 6,
	.job = { READ("read 4 KiB, depth 1", 4 * KIB, 1, 1),
		 READ("read 4 KiB, depth 16", 4 * KIB, 16, 1),
		 READ("read 16 x 4 KiB, depth 4", 4 * KIB, 4, 16),
		 READ("read 256 KiB, depth 4", 256 * KIB, 4, 1), LINES(JOB_PACKED, 16, 1),
		 LINES(JOB_SPREAD, 16, 1) },
};

/* A PASID costs its translations, which are tagged with it: in turn all have to be kept at once. */
#define UNDER(text, bytes, depth, in_batch, count, run)                                 \
	{                                                                               \
		.name = (text), .reads = true, .bs = (bytes), .iodepth = (depth),       \
		.iodepth_batch = (in_batch), .runtime = DMA_RUNTIME, .size = 128 * KIB, \
		.pasids = (count), .pasid_run = (run)                                   \
	}

static const struct jobs pasid_jobs = {
	.count = 6,
	.job = { UNDER("4 KiB, 1 PASID", 4 * KIB, 8, 1, 1, 1),
		 UNDER("4 KiB, 16 PASIDs in turn", 4 * KIB, 8, 1, 16, 1),
		 UNDER("4 KiB, 16 PASIDs, 64 in a row", 4 * KIB, 8, 1, 16, 64),
		 UNDER("16 x 4 KiB, 1 PASID", 4 * KIB, 2, 16, 1, 1),
		 UNDER("16 x 4 KiB, 16 PASIDs in turn", 4 * KIB, 2, 16, 16, 1),
		 UNDER("16 x 4 KiB, 16 PASIDs, 64 in a row", 4 * KIB, 2, 16, 16, 64) },
};

static const struct jobs brief_pasid_jobs = {
	.count = 2,
	.job = { UNDER("16 x 4 KiB, 1 PASID", 4 * KIB, 2, 16, 1, 1),
		 UNDER("16 x 4 KiB, 16 PASIDs in turn", 4 * KIB, 2, 16, 16, 1) },
};

unsigned int dma_job_keys(void)
{
	return JOB_BIT(JOB_RW) | JOB_BIT(JOB_BS) | JOB_BIT(JOB_IODEPTH) |
	       JOB_BIT(JOB_IODEPTH_BATCH) | JOB_BIT(JOB_RUNTIME) | JOB_BIT(JOB_SIZE) |
	       JOB_BIT(JOB_RWMIXREAD) | JOB_BIT(JOB_PASIDS) | JOB_BIT(JOB_PASID_RUN) |
	       JOB_BIT(JOB_NUMJOBS) | JOB_BIT(JOB_RAMP_TIME);
}

static int read_file(struct jobs *all, const char *path, struct err *err)
{
	static const struct job defaults = {
		.reads = true,
		.bs = 4096,
		.iodepth = 1,
		.iodepth_batch = 1,
		.runtime = DMA_RUNTIME,
		.size = MIB,
		.rwmixread = 50, /* as fio */
		.pasid_run = 1,
		.numjobs = 1,
	};
	int ret = jobs_read(all, path, dma_job_keys(), &defaults, err);

	for (unsigned int i = 0; !ret && i < all->count; i++) {
		if (all->job[i].pasids && all->job[i].numjobs > 1)
			ret = err_set(
				err, EINVAL,
				"%s: /jobs/%u/numjobs: each of the %u PASIDs has a queue already",
				path, i, all->job[i].pasids);
		else if (all->job[i].size > DMA_GUEST_WALK)
			ret = err_set(err, EINVAL,
				      "%s: /jobs/%u/size: %llu is more than the %llu that there "
				      "are in a guest",
				      path, i, (unsigned long long)all->job[i].size,
				      DMA_GUEST_WALK);
	}
	return ret;
}

/* What a file's jobs have where it says nothing. */
static void complete(struct jobs *jobs, bool brief)
{
	for (unsigned int i = 0; i < jobs->count; i++) {
		jobs->job[i].numjobs = 1;
		jobs->job[i].pasid_run = MAX(jobs->job[i].pasid_run, 1u);
		if (brief)
			jobs->job[i].runtime = DMA_RUNTIME_BRIEF;
	}
}

int dma_take_jobs(struct dma *dma, struct err *err)
{
	struct jobs all;
	int ret;

	if (!dma->options.job_path) {
		dma->jobs = dma->options.brief ? brief_jobs : own_jobs;
		dma->under_pasids = dma->options.brief ? brief_pasid_jobs : pasid_jobs;
		complete(&dma->jobs, dma->options.brief);
		complete(&dma->under_pasids, dma->options.brief);
		return 0;
	}
	ret = read_file(&all, dma->options.job_path, err);
	for (unsigned int i = 0; !ret && i < all.count; i++) {
		struct jobs *to = all.job[i].pasids ? &dma->under_pasids : &dma->jobs;

		to->job[to->count++] = all.job[i];
	}
	return ret;
}

/*
 * Packed or spread they are as many lines, at random, and of a cache they take the same: what
 * differs is how many translations it takes to reach them.
 */
void dma_fit_lines(struct jobs *jobs, unsigned int page_shift, uint64_t room)
{
	const uint64_t page = BIT_U64(page_shift);

	for (unsigned int i = 0; i < jobs->count; i++) {
		struct job *job = &jobs->job[i];
		uint64_t stride = page + job->bs, lines, pages;
		char many[16] = "";

		if (!job->lines)
			continue;
		/* Each a line further in its page: at one place in all they were in one set of a
		 * cache. */
		lines = align_down(MIN(room / stride, DMA_LINES), 16);
		pages = job->lines == JOB_SPREAD ? lines : (lines * job->bs + page - 1) / page;
		job->stride = job->lines == JOB_SPREAD ? stride : 0;
		job->size = lines * (job->stride ? job->stride : job->bs);
		if (job->iodepth_batch > 1)
			snprintf(many, sizeof(many), "%u x ", job->iodepth_batch);
		snprintf(job->name, sizeof(job->name), "%s%u B, %u lines in %u page%s", many,
			 (unsigned int)job->bs, (unsigned int)lines, (unsigned int)pages,
			 pages == 1 ? "" : "s");
	}
}
