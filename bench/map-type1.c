/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type1 in adit bench map: the device in its group, and a container's ioctls without ioasid-client.
 *
 * A container is the one address space of what is in it, and always attached: to attach to a space
 * is to map what that has, in one ioctl here, and to detach is to unmap all.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/map.h"
#include "util/bits.h"

static int open_source(const struct bench_options *options, struct ioasid_source *source,
		       struct err *err)
{
	int fd = open(options->group, O_RDWR | O_CLOEXEC);

	*source = (struct ioasid_source){
		.type = IOASID_SOURCE_GROUP,
		.group = { .fd = fd, .name = options->device },
	};
	return fd < 0 ? err_set(err, errno, "%s: %m", options->group) : 0;
}

/* 0 or -1 with errno. */
static int raw_map(int container, const struct map_memory *memory)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory->at,
		.iova = MAP_IOVA,
		.size = memory->size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

static int raw_parts(int container, const struct map_memory *memory, double us[MAP_PARTS])
{
	struct vfio_iommu_type1_dma_unmap detach = {
		.argsz = sizeof(detach),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = MAP_IOVA,
		.size = memory->size,
	};
	double start = map_now_us();

	if (raw_map(container, memory))
		return -1;
	us[MAP_MAP] = map_now_us() - start;
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &detach))
		return -1;
	start = map_now_us();
	if (raw_map(container, memory))
		return -1;
	us[MAP_ATTACH] = map_now_us() - start;
	start = map_now_us();
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -1;
	us[MAP_UNMAP] = map_now_us() - start;
	return raw_map(container, memory); /* for the teardown */
}

static int raw_round(const struct bench_options *options, const struct map_memory *memory,
		     bool by_file, double us[MAP_PARTS], struct err *err)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), device = -1, r = 0;
	int group = open(options->group, O_RDWR | O_CLOEXEC);

	double start;

	(void)by_file; /* type1 knows addresses only */
	if (container < 0 || group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) ||
	    (device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, options->device)) < 0 ||
	    raw_parts(container, memory, us))
		r = err_set(err, errno, "type1 by the bare ioctls: %m");
	start = map_now_us();
	if (device >= 0)
		close(device);
	if (group >= 0)
		close(group);
	if (container >= 0)
		close(container);
	us[MAP_TEARDOWN] = map_now_us() - start;
	return r;
}

const struct map_contest map_type1 = {
	.name = "type1",
	.provider = IOASID_PROVIDER_TYPE1,
	.open = open_source,
	.bare = raw_round,
};
