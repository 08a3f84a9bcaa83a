/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several groups in one container of type1, by its ioctls alone: the peer of ioasid-client, which
 * has a container for each group so that a device can move between spaces, and pins memory as often
 * as there are groups. What that costs, this says.
 *
 * A container has an IOMMU only while a group is in it: its first group is attached when memory is
 * mapped, and for the others the kernel enters into theirs what is there, or finds that they share
 * the first one's tables.
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
	int container, group[FUNCTIONS_MAX];
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

static int bare_join(const struct bare *bare, unsigned int i)
{
	return ioctl(bare->group[i], VFIO_GROUP_SET_CONTAINER, &bare->container);
}

static int bare_open(struct bare *bare, const struct map_devices *devices)
{
	bare->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (bare->container < 0)
		return -1;
	for (unsigned int i = 0; i < devices->n; i++) {
		bare->group[i] = open(devices->node[i], O_RDWR | O_CLOEXEC);
		if (bare->group[i] < 0)
			return -1;
	}
	return 0;
}

static int bare_first(const struct bare *bare, const struct map_devices *devices)
{
	int r = bare_join(bare, 0);

	if (!r)
		r = ioctl(bare->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	return r ? r : bare_map(bare, &devices->memory, MAP_IOVA, SHARED_MEMORY);
}

static int time_bare(const struct bare *bare, const struct map_devices *devices,
		     double us[SHARED_ROWS])
{
	unsigned int last = devices->n - 1;
	double since = map_now_us();
	int r = bare_first(bare, devices);

	us[SHARED_FIRST] = map_lap(&since);
	for (unsigned int i = 1; !r && i < last; i++)
		r = bare_join(bare, i);
	map_lap(&since);
	if (!r)
		r = bare_join(bare, last);
	us[SHARED_LAST] = map_lap(&since);
	if (!r)
		r = bare_map(bare, &devices->memory, SHARED_MORE_IOVA, SHARED_MORE);
	us[SHARED_MAP] = map_lap(&since);
	if (!r)
		r = bare_unmap(bare, SHARED_MORE_IOVA, SHARED_MORE);
	us[SHARED_UNMAP] = map_lap(&since);
	if (!r)
		r = ioctl(bare->group[last], VFIO_GROUP_UNSET_CONTAINER);
	us[SHARED_DETACH] = map_lap(&since);
	return r;
}

int map_groups_turn(const struct map_devices *devices, double us[SHARED_ROWS], struct err *err)
{
	struct bare bare;
	int r = 0;

	memset(bare.group, 0xff, sizeof(bare.group));
	if (bare_open(&bare, devices) || time_bare(&bare, devices, us))
		r = err_set(err, errno, "type1 by the bare ioctls, %u groups: %m", devices->n);
	for (unsigned int i = 0; i < devices->n; i++) {
		if (bare.group[i] >= 0)
			close(bare.group[i]);
	}
	if (bare.container >= 0)
		close(bare.container);
	return r;
}
