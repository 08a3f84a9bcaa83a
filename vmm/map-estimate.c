/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearly all of the time goes into making the pages: that is sampled here, with memory of the kind
 * that the guest will have, for a memfd's pages cost several times what anonymous memory in
 * transparent huge pages does. What the IOMMU's share is cannot be tried without a device, so that
 * is a table.
 */
#include "vmm/map-estimate.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/clock.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define SAMPLE (16 * MIB)

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
		return mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (what->hugepage)
		flags |= MFD_HUGETLB | (unsigned int)__builtin_ctzll(what->hugepage)
					       << MFD_HUGE_SHIFT;
	fd = memfd_create("adit-check", flags);
	if (fd >= 0 && !ftruncate(fd, (off_t)size))
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (fd >= 0)
		close(fd);
	return memory;
}

/* ns for `size` bytes; 0: there are none. */
static uint64_t sample(const struct map_estimate *what, uint64_t size)
{
	uint64_t start = clock_ns();
	void *memory = take(what, size);

	if (memory == MAP_FAILED)
		return 0;
	start = clock_ns() - start;
	munmap(memory, size);
	return start;
}

/* The middle one of three: whatever disturbs one of them is not the host's. */
static uint64_t median(const struct map_estimate *what, uint64_t size)
{
	uint64_t a = sample(what, size), b, c;

	if (!a || size > SAMPLE)
		return a; /* a gigabyte takes long enough to be one */
	b = sample(what, size);
	c = sample(what, size);
	return b && c ? MAX(MIN(a, b), MIN(MAX(a, b), c)) : a;
}

uint64_t map_estimate_ns(const struct map_estimate *what)
{
	struct map_estimate kind = *what;
	uint64_t size = MAX(what->hugepage, SAMPLE), ns;

	ns = median(&kind, size);
	if (!ns && what->hugepage) {
		/* Not one is free, which is a problem of its own. */
		kind = (struct map_estimate){ .shared = false };
		size = SAMPLE;
		ns = median(&kind, size);
	}
	if (!ns)
		return 0;
	return (uint64_t)((double)what->size / (double)size * (double)ns) +
	       what->size / (4 * KIB) * entry_ns[what->by_group][what->hugepage != 0];
}
