/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearly all of the time goes into making the pages: that is sampled here, with memory of the kind
 * that the guest will have and by as many threads, for a memfd's pages cost several times what
 * anonymous memory in transparent huge pages does. What the IOMMU's share is cannot be tried
 * without a device, so that is a table.
 */
#include "vmm/map-estimate.h"

#include <errno.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/clock.h"
#include "util/parallel.h"
#include "util/populate.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define SAMPLE	     (16 * MIB)
#define SAMPLES_SIZE (PARALLEL_MAX * SAMPLE / 2) /* the largest, but for a huge page */

/*
 * A sample fits into what a scheduler gives at a time, and then knows nothing of who else wants the
 * CPU; mapping all of a guest's memory does not. So it is the mean of as many as span several of
 * such turns (Linux: some ms each), which whoever waits in between has in it.
 */
#define SAMPLES_LEAST 3u
#define SAMPLES_MOST  64u
#define SAMPLED_NS    60000000u

/*
 * Of pinning a page and of its entry, in ns for each 4 KiB, [type1][huge]. type1: 16 GiB in 0.27 s
 * of 4 KiB pages and in 0.031 s of huge ones (Linux 6.18, commit f6c84a52cc41). iommufd has no
 * published figures: half of it, as adit bench map saw under emulation.
 */
static const unsigned int entry_ns[2][2] = {
	[false] = { [false] = 32, [true] = 4 },
	[true] = { [false] = 64, [true] = 8 },
};

static void *take(const struct map_estimate *what, uint64_t size)
{
	unsigned int flags = MFD_CLOEXEC;
	void *memory = MAP_FAILED;
	int fd;

	if (!what->shared && !what->hugepage)
		return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (what->hugepage)
		flags |= MFD_HUGETLB | (unsigned int)__builtin_ctzll(what->hugepage)
					       << MFD_HUGE_SHIFT;
	fd = memfd_create("adit-check", flags);
	if (fd >= 0 && !ftruncate(fd, (off_t)size))
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return memory;
}

/* ns for `size` bytes; 0: there are none. */
static uint64_t sample_here(void *arg, const struct map_estimate *what, uint64_t size)
{
	uint64_t start = clock_ns();
	void *memory = take(what, size);
	struct populate *populate;
	int ret = -ENOMEM;

	(void)arg;
	if (memory == MAP_FAILED)
		return 0;
	if (!what->shared && !what->hugepage)
		madvise(memory, size, MADV_HUGEPAGE);
	populate = populate_begin(&(struct populate_options){
		.base = memory, .size = size, .hugepage = what->hugepage });
	if (populate)
		ret = populate_end(populate, NULL);
	start = clock_ns() - start;
	munmap(memory, size);
	return ret ? 0 : start;
}

/* As much as keeps every thread busy that will make them. */
static uint64_t sample_size(const struct map_estimate *what)
{
	uint64_t size = MIN(parallel_cpus(), PARALLEL_MAX) * SAMPLE / 2;

	return MAX(MAX(size, SAMPLE), what->hugepage);
}

struct sampler {
	uint64_t (*sample)(void *arg, const struct map_estimate *what, uint64_t size);
	void *arg;
};

static uint64_t mean(const struct sampler *sampler, const struct map_estimate *what, uint64_t size)
{
	uint64_t sum = 0;
	unsigned int n = 0;

	while (n < SAMPLES_MOST && (n < SAMPLES_LEAST || sum < SAMPLED_NS)) {
		uint64_t ns = sampler->sample(sampler->arg, what, size);

		if (!ns)
			break;
		sum += ns;
		n++;
		if (size > SAMPLES_SIZE && sum >= SAMPLED_NS)
			break; /* a gigabyte takes long enough to be the only one */
	}
	return n ? sum / n : 0;
}

uint64_t map_estimate_by(const struct map_estimate *what,
			 uint64_t (*sample)(void *arg, const struct map_estimate *what,
					    uint64_t size),
			 void *arg)
{
	const struct sampler sampler = { .sample = sample, .arg = arg };
	struct map_estimate kind = *what;
	uint64_t size = sample_size(what), ns;

	ns = mean(&sampler, &kind, size);
	if (!ns && what->hugepage) {
		/* Not one is free, which is a problem of its own. */
		kind = (struct map_estimate){ .shared = false };
		size = sample_size(&kind);
		ns = mean(&sampler, &kind, size);
	}
	if (!ns)
		return 0;
	return (uint64_t)((double)what->size / (double)size * (double)ns) +
	       what->size / (4 * KIB) * entry_ns[what->by_group][what->hugepage != 0];
}

uint64_t map_estimate_ns(const struct map_estimate *what)
{
	return map_estimate_by(what, sample_here, NULL);
}
