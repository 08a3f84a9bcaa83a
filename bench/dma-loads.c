/* SPDX-License-Identifier: Apache-2.0 */
/* What adit bench dma measures: loads of its own, or those of a job file. */
#include "bench/dma-internal.h"
#include "util/bits.h"

#define READ(text, bytes, depth, in_batch, is_random, walk)                              \
	{                                                                                \
		.name = (text), .reads = true, .random = (is_random), .bs = (bytes),     \
		.iodepth = (depth), .iodepth_batch = (in_batch), .runtime = DMA_RUNTIME, \
		.size = (walk)                                                           \
	}

/* Over 1 MiB the IOTLB may hold all translations; over 128 it has to walk for each. */
static const struct jobs own_jobs = {
	.count = 8,
	.job = { READ("read 4 KiB, depth 1", 4 * KIB, 1, 1, false, MIB),
		 READ("read 4 KiB, depth 16", 4 * KIB, 16, 1, false, MIB),
		 READ("read 4 KiB, depth 16, 128 MiB", 4 * KIB, 16, 1, true, 128 * MIB),
		 READ("read 16 x 4 KiB, depth 4", 4 * KIB, 4, 16, false, MIB),
		 READ("read 16 x 4 KiB, depth 4, 128 MiB", 4 * KIB, 4, 16, true, 128 * MIB),
		 READ("read 64 KiB, depth 4", 64 * KIB, 4, 1, false, MIB),
		 READ("read 64 KiB, depth 4, 128 MiB", 64 * KIB, 4, 1, true, 128 * MIB),
		 READ("read 256 KiB, depth 4", 256 * KIB, 4, 1, false, MIB) },
};

static const struct jobs brief_jobs = {
	.count = 4,
	.job = { READ("read 4 KiB, depth 1", 4 * KIB, 1, 1, false, MIB),
		 READ("read 4 KiB, depth 16", 4 * KIB, 16, 1, false, MIB),
		 READ("read 16 x 4 KiB, depth 4", 4 * KIB, 4, 16, false, MIB),
		 READ("read 256 KiB, depth 4", 256 * KIB, 4, 1, false, MIB) },
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
	};
	const unsigned int keys = JOB_BIT(JOB_RW) | JOB_BIT(JOB_BS) | JOB_BIT(JOB_IODEPTH) |
				  JOB_BIT(JOB_IODEPTH_BATCH) | JOB_BIT(JOB_RUNTIME) |
				  JOB_BIT(JOB_SIZE) | JOB_BIT(JOB_RWMIXREAD) | JOB_BIT(JOB_PASIDS) |
				  JOB_BIT(JOB_PASID_RUN);
	int ret = jobs_read(all, path, keys, &defaults, err);

	for (unsigned int i = 0; !ret && i < all->count; i++) {
		if (all->job[i].size > DMA_GUEST_WALK)
			ret = err_set(err, EINVAL,
				      "%s: /jobs/%u/size: %llu is more than the %llu that there "
				      "are in a guest",
				      path, i, (unsigned long long)all->job[i].size,
				      DMA_GUEST_WALK);
	}
	return ret;
}

int dma_take_jobs(struct dma *dma, struct err *err)
{
	struct jobs all;
	int ret;

	if (!dma->options.job_path) {
		dma->jobs = dma->options.brief ? brief_jobs : own_jobs;
		dma->under_pasids = dma->options.brief ? brief_pasid_jobs : pasid_jobs;
		return 0;
	}
	ret = read_file(&all, dma->options.job_path, err);
	for (unsigned int i = 0; !ret && i < all.count; i++) {
		struct jobs *to = all.job[i].pasids ? &dma->under_pasids : &dma->jobs;

		to->job[to->count++] = all.job[i];
	}
	return ret;
}
