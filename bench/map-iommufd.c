/* SPDX-License-Identifier: Apache-2.0 */
/* iommufd in adit bench map: the device, and the ioctls that ioasid-client makes, without it. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/map.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/bits.h"

static int open_source(const struct bench_options *options, struct ioasid_source *source,
		       struct err *err)
{
	int fd = open(options->cdev, O_RDWR | O_CLOEXEC);

	*source = (struct ioasid_source){ .type = IOASID_SOURCE_CDEV, .cdev = { .fd = fd } };
	return fd < 0 ? err_set(err, errno, "%s: %m", options->cdev) : 0;
}

static int raw_map(int iommufd, uint32_t ioas, const struct map_memory *memory, bool by_file)
{
	struct ifd_ioas_map map = {
		.size = sizeof(map),
		.flags = IFD_MAP_FIXED_IOVA | IFD_MAP_WRITEABLE | IFD_MAP_READABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)memory->at,
		.length = memory->size,
		.iova = MAP_IOVA,
	};
	struct ifd_ioas_map_file file = {
		.size = sizeof(file),
		.flags = map.flags,
		.ioas_id = ioas,
		.fd = memory->fd,
		.length = memory->size,
		.iova = MAP_IOVA,
	};

	return by_file ? ioctl(iommufd, IFD_IOAS_MAP_FILE, &file)
		       : ioctl(iommufd, IFD_IOAS_MAP, &map);
}

/* Of a device that is bound, and an IOAS: 0 or -1 with errno. */
static int raw_parts(int iommufd, int device, uint32_t ioas, const struct map_memory *memory,
		     bool by_file, double us[MAP_PARTS])
{
	struct vfio_cdev_attach attach = { .argsz = sizeof(attach), .pt_id = ioas };
	struct vfio_cdev_detach detach = { .argsz = sizeof(detach) };
	struct ifd_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = ioas,
		.iova = MAP_IOVA,
		.length = memory->size,
	};
	double start;

	if (ioctl(device, VFIO_CDEV_ATTACH, &attach))
		return -1;
	start = map_now_us();
	if (raw_map(iommufd, ioas, memory, by_file))
		return -1;
	us[MAP_MAP] = map_now_us() - start;
	if (ioctl(device, VFIO_CDEV_DETACH, &detach))
		return -1;
	attach.pt_id = ioas; /* the kernel put the page table's number there */
	start = map_now_us();
	if (ioctl(device, VFIO_CDEV_ATTACH, &attach))
		return -1;
	us[MAP_ATTACH] = map_now_us() - start;
	start = map_now_us();
	if (ioctl(iommufd, IFD_IOAS_UNMAP, &unmap))
		return -1;
	us[MAP_UNMAP] = map_now_us() - start;
	return raw_map(iommufd, ioas, memory, by_file); /* for the teardown */
}

static int raw_round(const struct bench_options *options, const struct map_memory *memory,
		     bool by_file, double us[MAP_PARTS], struct err *err)
{
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC), r = 0;
	int device = open(options->cdev, O_RDWR | O_CLOEXEC);
	struct vfio_cdev_bind bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	struct ifd_ioas_alloc alloc = { .size = sizeof(alloc) };
	double start;

	if (iommufd < 0 || device < 0 || ioctl(device, VFIO_CDEV_BIND, &bind) ||
	    ioctl(iommufd, IFD_IOAS_ALLOC, &alloc) ||
	    raw_parts(iommufd, device, alloc.out_ioas_id, memory, by_file, us))
		r = err_set(err, errno, "iommufd by the bare ioctls: %m");
	start = map_now_us();
	if (device >= 0)
		close(device);
	if (iommufd >= 0)
		close(iommufd);
	us[MAP_TEARDOWN] = map_now_us() - start;
	return r;
}

const struct map_contest map_iommufd = {
	.name = "iommufd",
	.provider = IOASID_PROVIDER_IOMMUFD,
	.open = open_source,
	.bare = raw_round,
};

const struct map_contest map_iommufd_by_file = {
	.name = "iommufd by file",
	.provider = IOASID_PROVIDER_IOMMUFD,
	.by_file = true,
	.open = open_source,
	.bare = raw_round,
};
