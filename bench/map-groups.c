/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several groups in one container of type1, by its ioctls alone: what stands beside ioasid-client
 * when groups are bound together. All but the last are in it, with their devices, before anything
 * is mapped; into the last one's tables the kernel enters what is there, or finds that they are the
 * others'.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/map-devices.h"
#include "util/bits.h"

struct bare {
	int container, group[FUNCTIONS_MAX], device[FUNCTIONS_MAX];
};

/* 0 or -1 with errno, as all of these. */
static int bare_map(const struct bare *bare, const struct map_memory *memory, uint64_t iova,
		    uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory->at,
		.iova = iova,
		.size = size,
	};

	return ioctl(bare->container, VFIO_IOMMU_MAP_DMA, &map);
}

static int bare_unmap(const struct bare *bare, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return ioctl(bare->container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static int bare_join(struct bare *bare, const struct map_devices *devices, unsigned int i)
{
	bare->group[i] = open(devices->node[i], O_RDWR | O_CLOEXEC);
	if (bare->group[i] < 0 || ioctl(bare->group[i], VFIO_GROUP_SET_CONTAINER, &bare->container))
		return -1;
	if (!i && ioctl(bare->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	bare->device[i] = ioctl(bare->group[i], VFIO_GROUP_GET_DEVICE_FD, devices->bdf[i]);
	return bare->device[i] < 0 ? -1 : 0;
}

static int bare_leave(struct bare *bare, unsigned int i)
{
	close(bare->device[i]);
	bare->device[i] = -1;
	return ioctl(bare->group[i], VFIO_GROUP_UNSET_CONTAINER);
}

static int bare_open(struct bare *bare, const struct map_devices *devices)
{
	int r = 0;

	bare->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (bare->container < 0)
		return -1;
	for (unsigned int i = 0; !r && i < devices->n - 1; i++)
		r = bare_join(bare, devices, i);
	return r;
}

static int time_bare(struct bare *bare, const struct map_devices *devices, double us[SHARED_ROWS])
{
	unsigned int last = devices->n - 1;
	double since = map_now_us();
	int r = bare_map(bare, &devices->memory, MAP_IOVA, SHARED_MEMORY);

	us[SHARED_FIRST] = map_lap(&since);
	if (!r)
		r = bare_join(bare, devices, last);
	us[SHARED_LAST] = map_lap(&since);
	if (!r)
		r = bare_map(bare, &devices->memory, SHARED_MORE_IOVA, SHARED_MORE);
	us[SHARED_MAP] = map_lap(&since);
	if (!r)
		r = bare_unmap(bare, SHARED_MORE_IOVA, SHARED_MORE);
	us[SHARED_UNMAP] = map_lap(&since);
	if (!r)
		r = bare_leave(bare, last);
	us[SHARED_DETACH] = map_lap(&since);
	return r;
}

int map_groups_turn(const struct map_devices *devices, double us[SHARED_ROWS], struct err *err)
{
	struct bare bare;
	int r = 0;

	memset(&bare, 0xff, sizeof(bare));
	if (bare_open(&bare, devices) || time_bare(&bare, devices, us))
		r = err_set(err, errno, "type1 by the bare ioctls, %u groups: %m", devices->n);
	for (unsigned int i = 0; i < devices->n; i++) {
		if (bare.device[i] >= 0)
			close(bare.device[i]);
		if (bare.group[i] >= 0)
			close(bare.group[i]);
	}
	if (bare.container >= 0)
		close(bare.container);
	return r;
}
