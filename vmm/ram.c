/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-glue/memory.h"
#include "util/bits.h"
#include "util/populate.h"
#include "vmm/layout.h"

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

static int map_error(uint64_t size, uint64_t hugepage_size, int code, struct err *err)
{
	if (hugepage_size && code == ENOMEM)
		return err_set(
			err, ENOMEM,
			"the host has fewer than %llu free huge pages of %llu MiB: reserve them "
			"in /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
			(unsigned long long)(size / hugepage_size),
			(unsigned long long)(hugepage_size / MIB),
			(unsigned long long)(hugepage_size / KIB));
	return err_set(err, code, "mapping %llu MiB of guest memory: %s",
		       (unsigned long long)(size / MIB), strerror(code));
}

/* Pages of the page cache, whichever VMs have the same file; written to, they are ours. */
static int map_file(struct ram *ram, const struct ram_options *options, struct err *err)
{
	ram->base = mmap(NULL, ram->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
			 options->file->fd, (off_t)options->file->at);
	if (ram->base == MAP_FAILED) {
		ram->base = NULL;
		return map_error(ram->size, ram->hugepage_size, errno, err);
	}
	madvise(ram->base, ram->size, MADV_DONTDUMP);
	return 0;
}

static int map_memory(struct ram *ram, const struct ram_options *options, struct err *err)
{
	int flags = MAP_NORESERVE | (options->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);

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
		return map_error(ram->size, ram->hugepage_size, errno, err);
	}
	if (!options->hugepage_size)
		madvise(ram->base, ram->size, MADV_HUGEPAGE);
	madvise(ram->base, ram->size, MADV_DONTDUMP);
	return 0;
}

static int create(struct ram *ram, const struct ram_options *options, struct err *err)
{
	int ret = options->file ? map_file(ram, options, err) : map_memory(ram, options, err);

	ram->prefault = options->prefault;
	if (!ret && options->prefault)
		ret = ram_populate(ram, false, err);
	return ret;
}

int ram_create(struct ram *ram, const struct ram_options *options, struct err *err)
{
	int ret;

	*ram = (struct ram){ .fd = -1,
			     .size = options->size,
			     .hugepage_size = options->hugepage_size,
			     .file = options->file,
			     .sandbox = options->sandbox,
			     .stop = options->stop };
	ret = create(ram, options, err);
	if (ret)
		ram_destroy(ram);
	return ret;
}

int ram_populate(struct ram *ram, bool yields, struct err *err)
{
	const struct populate_options options = {
		.base = ram->base,
		.size = ram->size,
		.hugepage = ram->hugepage_size,
		.file = ram->file,
		.sandbox = ram->sandbox,
		.yields = yields,
		.stop = ram->stop,
	};

	if (!ram->populating)
		ram->populating = populate_begin(&options);
	return ram->populating ? 0 : err_set(err, ENOMEM, "no memory to make the guest's with");
}

int ram_populated(struct ram *ram, const struct log *log, struct err *err)
{
	struct populate *populating = ram->populating;
	int ret;

	if (!populating)
		return 0;
	ram->populating = NULL;
	ret = populate_end(populating, log);
	/* Who pins it will say what is missing, and a kernel before 5.14 makes nothing ahead. */
	return ret && ram->prefault ? map_error(ram->size, ram->hugepage_size, -ret, err) : 0;
}

void ram_destroy(struct ram *ram)
{
	if (ram->populating)
		populate_cancel(ram->populating);
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
