/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-glue/memory.h"
#include "util/bits.h"
#include "vmm/layout.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define PREFAULT_THREADS   16u
#define PREFAULT_MIN_CHUNK (1 * GIB)

static int open_memfd(const struct ram_options *options, struct err *err)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (options->hugepage_size)
		flags |=
			MFD_HUGETLB | (options->hugepage_size == GIB ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	fd = memfd_create("adit-ram", flags);
	if (fd < 0)
		return err_set(err, errno, "memfd for %llu MiB of guest memory: %s",
			       (unsigned long long)(options->size / MIB), strerror(errno));
	if (ftruncate(fd, (off_t)options->size)) {
		int ret = err_set(err, errno, "sizing the memfd to %llu MiB: %s",
				  (unsigned long long)(options->size / MIB), strerror(errno));

		close(fd);
		return ret;
	}
	/* Nobody, holder of the descriptor or not, can pull the memory from under the guest. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int ret = err_set(err, errno, "sealing the memfd of guest memory: %s",
				  strerror(errno));

		close(fd);
		return ret;
	}
	return fd;
}

static int map_error(const struct ram_options *options, int code, struct err *err)
{
	unsigned long long mib = options->size / MIB;

	if (options->hugepage_size && code == ENOMEM)
		return err_set(
			err, ENOMEM,
			"the host has fewer than %llu free huge pages of %llu MiB: reserve them "
			"in /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
			(unsigned long long)(options->size / options->hugepage_size),
			(unsigned long long)(options->hugepage_size / MIB),
			(unsigned long long)(options->hugepage_size / KIB));
	return err_set(err, code, "mapping %llu MiB of guest memory: %s", mib, strerror(code));
}

struct prefault_job {
	pthread_t thread;
	void *start;
	size_t len;
	int ret;
};

static void *prefault_run(void *arg)
{
	struct prefault_job *job = arg;

	job->ret = madvise(job->start, job->len, MADV_POPULATE_WRITE) ? -errno : 0;
	return NULL;
}

/* Zeroing dominates (not mapping): one thread a GiB, as far as that goes. */
static int prefault(const struct ram *ram, const struct ram_options *options, struct err *err)
{
	struct prefault_job jobs[PREFAULT_THREADS];
	uint64_t chunk = align_up(MAX(ram->size / PREFAULT_THREADS, PREFAULT_MIN_CHUNK), GIB);
	unsigned int n = 0;
	int ret = 0;

	for (uint64_t at = 0; at < ram->size; at += chunk, n++) {
		jobs[n] = (struct prefault_job){
			.start = (char *)ram->base + at,
			.len = MIN(chunk, ram->size - at),
		};
		if (pthread_create(&jobs[n].thread, NULL, prefault_run, &jobs[n])) {
			jobs[n].thread = 0;
			prefault_run(&jobs[n]);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		if (jobs[i].thread)
			pthread_join(jobs[i].thread, NULL);
		if (jobs[i].ret)
			ret = jobs[i].ret;
	}
	return ret ? map_error(options, -ret, err) : 0;
}

/* Pages of the page cache, whichever VMs have the same file; written to, they are ours. */
static int map_file(struct ram *ram, const struct ram_options *options, struct err *err)
{
	int ret = 0;

	ram->base = mmap(NULL, ram->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
			 options->file->fd, (off_t)options->file->at);
	if (ram->base == MAP_FAILED) {
		ram->base = NULL;
		return map_error(options, errno, err);
	}
	madvise(ram->base, ram->size, MADV_DONTDUMP);
	if (options->prefault)
		ret = prefault(ram, options, err);
	if (ret)
		ram_destroy(ram);
	return ret;
}

int ram_create(struct ram *ram, const struct ram_options *options, struct err *err)
{
	int flags = MAP_NORESERVE | (options->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	int ret;

	*ram = (struct ram){ .fd = -1, .size = options->size };
	if (options->file)
		return map_file(ram, options, err);
	if (options->shared) {
		ram->fd = open_memfd(options, err);
		if (ram->fd < 0)
			return ram->fd;
	} else if (options->hugepage_size) {
		flags |=
			MAP_HUGETLB | (options->hugepage_size == GIB ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	}
	/* Huge pages are reserved now: running out of them later would be SIGBUS in the guest. */
	if (options->hugepage_size && !options->on_demand)
		flags &= ~MAP_NORESERVE;
	ram->base = mmap(NULL, ram->size, PROT_READ | PROT_WRITE, flags, ram->fd, 0);
	if (ram->base == MAP_FAILED) {
		ram->base = NULL;
		ret = map_error(options, errno, err);
		goto fail;
	}
	if (!options->hugepage_size)
		madvise(ram->base, ram->size, MADV_HUGEPAGE);
	madvise(ram->base, ram->size, MADV_DONTDUMP);
	ret = options->prefault ? prefault(ram, options, err) : 0;
	if (!ret)
		return 0;
fail:
	ram_destroy(ram);
	return ret;
}

void ram_destroy(struct ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
	if (ram->fd >= 0)
		close(ram->fd);
	*ram = (struct ram){ .fd = -1 };
}

int ram_add_slots(const struct ram *ram, struct vm *vm, const struct layout *layout,
		  struct err *err)
{
	for (unsigned int i = 0; i < layout->n_ram; i++) {
		struct vm_memory memory = {
			.gpa = layout->ram[i].gpa,
			.size = layout->ram[i].size,
			.hva = (char *)ram->base + layout->ram[i].offset,
		};
		unsigned int slot;
		int ret = vm_memory_add(vm, &memory, &slot, err);

		if (ret)
			return ret;
	}
	return 0;
}
