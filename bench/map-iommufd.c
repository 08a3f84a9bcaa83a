/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iommufd rows of adit bench map: map, attach and unmap of 256 MiB through ioasid-client and by
 * the bare ioctls, interleaved, in pages of 4 KiB and, where the host has some reserved, 2 MiB and
 * 1 GiB; by address and by descriptor. Each round binds the device anew, for each contestant.
 *
 * Pages are pinned while a page table holds them: by map into a space that the device is attached
 * to, and by attach to a space in which they are mapped. Both are measured so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench/map.h"
#include "ioasid-client/ioasid.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/bits.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define IOVA (4 * GIB)

enum part {
	MAP,
	ATTACH,
	UNMAP,
	PARTS
};
static const char *const part_names[PARTS] = { "map", "attach", "unmap" };

struct memory {
	unsigned int page_shift;
	uint64_t size;
	int fd;
	void *at;
	double populate_us;
};

struct taken {
	struct samples part[PARTS];
};

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Memory of such pages, all of it there; -errno where the host has none. */
static int memory_new(struct memory *memory, unsigned int page_shift)
{
	unsigned int flags = MFD_CLOEXEC;
	double start;

	if (page_shift > 12)
		flags |= MFD_HUGETLB | page_shift << MFD_HUGE_SHIFT;
	*memory = (struct memory){ .page_shift = page_shift,
				   .size = MAX(256 * MIB, BIT_U64(page_shift)) };
	memory->fd = memfd_create("bench-map", flags);
	if (memory->fd < 0)
		return -errno;
	if (ftruncate(memory->fd, (off_t)memory->size))
		goto fail;
	memory->at = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	if (memory->at == MAP_FAILED)
		goto fail;
	start = now_us();
	if (fallocate(memory->fd, 0, 0, (off_t)memory->size)) {
		munmap(memory->at, memory->size);
		goto fail;
	}
	memory->populate_us = now_us() - start;
	return 0;
fail:
	close(memory->fd);
	return -ENOMEM;
}

static void memory_free(struct memory *memory)
{
	munmap(memory->at, memory->size);
	close(memory->fd);
}

static int open_cdev(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 ? fd : err_set(err, errno, "%s: %m", path);
}

static int adit_round(const char *cdev, const struct memory *memory, bool by_file,
		      struct taken *taken, struct err *err)
{
	const struct ioasid_mapping mapping = {
		.iova = IOVA,
		.size = memory->size,
		.hva = memory->at,
		.rights = IOASID_READ | IOASID_WRITE,
		.fd = by_file ? memory->fd : IOASID_NO_FD,
	};
	const struct ioasid_space_options options = { .name = "bench" };
	struct ioasid_source source = { .type = IOASID_SOURCE_CDEV };
	struct ioasid_device *device = NULL;
	struct ioasid_space *space;
	struct ioasid_ctx *ctx;
	double start[PARTS], end[PARTS];
	int r = ioasid_ctx_open(&ctx, IOASID_PROVIDER_IOMMUFD, NULL, err);

	if (r)
		return r;
	source.cdev.fd = r = open_cdev(cdev, err);
	if (r >= 0)
		r = ioasid_bind(ctx, &source, "device", &device, err);
	if (r && source.cdev.fd >= 0)
		close(source.cdev.fd);
	if (!r)
		r = ioasid_alloc(ctx, &options, &space, err);
	if (r)
		goto close;
	r = ioasid_attach(device, space, err);
	start[MAP] = now_us();
	r = r ? r : ioasid_map(space, &mapping, err);
	end[MAP] = now_us();
	r = r ? r : ioasid_detach(device, err);
	start[ATTACH] = now_us();
	r = r ? r : ioasid_attach(device, space, err);
	end[ATTACH] = start[UNMAP] = now_us();
	r = r ? r : ioasid_unmap(space, IOVA, memory->size, err);
	end[UNMAP] = now_us();
	for (int i = 0; !r && i < PARTS; i++)
		samples_add(&taken->part[i], end[i] - start[i]);
close:
	ioasid_ctx_close(ctx);
	return r;
}

static int raw_map(int iommufd, uint32_t ioas, const struct memory *memory, bool by_file)
{
	struct ifd_ioas_map map = {
		.size = sizeof(map),
		.flags = IFD_MAP_FIXED_IOVA | IFD_MAP_WRITEABLE | IFD_MAP_READABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)memory->at,
		.length = memory->size,
		.iova = IOVA,
	};
	struct ifd_ioas_map_file file = {
		.size = sizeof(file),
		.flags = map.flags,
		.ioas_id = ioas,
		.fd = memory->fd,
		.length = memory->size,
		.iova = IOVA,
	};

	return by_file ? ioctl(iommufd, IFD_IOAS_MAP_FILE, &file)
		       : ioctl(iommufd, IFD_IOAS_MAP, &map);
}

static int raw_round(const char *cdev, const struct memory *memory, bool by_file,
		     struct taken *taken, struct err *err)
{
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC), device = open_cdev(cdev, err);
	struct vfio_cdev_bind bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	struct ifd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_cdev_attach attach = { .argsz = sizeof(attach) };
	struct vfio_cdev_detach detach = { .argsz = sizeof(detach) };
	struct ifd_ioas_unmap unmap = { .size = sizeof(unmap),
					.iova = IOVA,
					.length = memory->size };
	double start[PARTS], end[PARTS];
	int r = -1;

	if (iommufd < 0 || device < 0 || ioctl(device, VFIO_CDEV_BIND, &bind) ||
	    ioctl(iommufd, IFD_IOAS_ALLOC, &alloc))
		goto close;
	attach.pt_id = unmap.ioas_id = alloc.out_ioas_id;
	r = ioctl(device, VFIO_CDEV_ATTACH, &attach);
	start[MAP] = now_us();
	r = r ? r : raw_map(iommufd, alloc.out_ioas_id, memory, by_file);
	end[MAP] = now_us();
	r = r ? r : ioctl(device, VFIO_CDEV_DETACH, &detach);
	start[ATTACH] = now_us();
	r = r ? r : ioctl(device, VFIO_CDEV_ATTACH, &attach);
	end[ATTACH] = start[UNMAP] = now_us();
	r = r ? r : ioctl(iommufd, IFD_IOAS_UNMAP, &unmap);
	end[UNMAP] = now_us();
	for (int i = 0; !r && i < PARTS; i++)
		samples_add(&taken->part[i], end[i] - start[i]);
close:
	if (r)
		r = err_set(err, errno, "the bare ioctls: %m");
	if (device >= 0)
		close(device);
	if (iommufd >= 0)
		close(iommufd);
	return r;
}

static int measure(const struct bench_options *options, struct results *results,
		   const struct memory *memory, bool by_file, struct err *err)
{
	static const char *const sizes[] = { [12] = "4K", [21] = "2M", [30] = "1G" };
	static struct taken ours, bare;
	int r = 0;

	ours = bare = (struct taken){ 0 };
	for (unsigned int i = 0; !r && i < options->rounds; i++) {
		r = adit_round(options->cdev, memory, by_file, &ours, err);
		if (!r)
			r = raw_round(options->cdev, memory, by_file, &bare, err);
	}
	for (int i = 0; !r && i < PARTS; i++) {
		char name[64];
		const struct result row = {
			.name = name,
			.unit = "us",
			.reference_name = "bare ioctls",
			.target = 1.02,
		};

		snprintf(name, sizeof(name), "iommufd%s, %s pages: %s", by_file ? " by file" : "",
			 sizes[memory->page_shift], part_names[i]);
		results_add(results, &row, &ours.part[i], &bare.part[i]);
	}
	return r;
}

int bench_map_iommufd(const struct bench_options *options, struct results *results, struct err *err)
{
	static const unsigned int shifts[] = { 12, 21, 30 };
	int r = 0;

	if (!options->cdev) {
		results_note(results,
			     "iommufd: not measured without --cdev /dev/vfio/devices/vfioN");
		return 0;
	}
	for (size_t i = 0; !r && i < ARRAY_SIZE(shifts); i++) {
		struct memory memory;

		if (memory_new(&memory, shifts[i])) {
			results_note(results, "pages of 2^%u bytes: this host has too few free",
				     shifts[i]);
			continue;
		}
		results_note(results, "pages of 2^%u bytes: populating %llu MiB took %.0f us",
			     shifts[i], (unsigned long long)(memory.size / MIB),
			     memory.populate_us);
		r = measure(options, results, &memory, false, err);
		if (!r)
			r = measure(options, results, &memory, true, err);
		memory_free(&memory);
	}
	return r;
}
