/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/providers/iommufd-calls.h"

#include <errno.h>

/* A size of 0 is less than any request has: a kernel that knows it says EINVAL and no more. */
bool ifd_knows(const struct ifd *ifd, unsigned long request)
{
	struct ifd_destroy arg = { .size = 0 };

	return seam_ioctl(ifd->seam, ifd->fd, request, &arg) != -ENOTTY;
}

int ifd_destroy(const struct ifd *ifd, uint32_t id)
{
	struct ifd_destroy arg = { .size = sizeof(arg), .id = id };

	return seam_ioctl(ifd->seam, ifd->fd, IFD_DESTROY, &arg);
}

int ifd_ioas_alloc(const struct ifd *ifd, uint32_t *ioas)
{
	struct ifd_ioas_alloc arg = { .size = sizeof(arg) };
	int r = seam_ioctl(ifd->seam, ifd->fd, IFD_IOAS_ALLOC, &arg);

	if (!r)
		*ioas = arg.out_ioas_id;
	return r;
}

int ifd_iova_ranges(const struct ifd *ifd, uint32_t ioas, struct ifd_iova_range *ranges,
		    uint32_t *n)
{
	struct ifd_iova_ranges arg = {
		.size = sizeof(arg),
		.ioas_id = ioas,
		.num_iovas = *n,
		.allowed_iovas = seam_ptr(ranges),
	};
	int r = seam_ioctl(ifd->seam, ifd->fd, IFD_IOAS_IOVA_RANGES, &arg);

	*n = arg.num_iovas;
	return r;
}

static uint32_t map_flags(unsigned int rights)
{
	return IFD_MAP_FIXED_IOVA | (rights & IOASID_READ ? IFD_MAP_READABLE : 0) |
	       (rights & IOASID_WRITE ? IFD_MAP_WRITEABLE : 0);
}

int ifd_map(const struct ifd *ifd, uint32_t ioas, const struct ioasid_mapping *mapping)
{
	struct ifd_ioas_map arg = {
		.size = sizeof(arg),
		.flags = map_flags(mapping->rights),
		.ioas_id = ioas,
		.user_va = seam_ptr(mapping->hva),
		.length = mapping->size,
		.iova = mapping->iova,
	};

	return seam_ioctl(ifd->seam, ifd->fd, IFD_IOAS_MAP, &arg);
}

int ifd_map_file(const struct ifd *ifd, uint32_t ioas, const struct ioasid_mapping *mapping)
{
	struct ifd_ioas_map_file arg = {
		.size = sizeof(arg),
		.flags = map_flags(mapping->rights),
		.ioas_id = ioas,
		.fd = mapping->fd,
		.start = mapping->fd_offset,
		.length = mapping->size,
		.iova = mapping->iova,
	};

	return seam_ioctl(ifd->seam, ifd->fd, IFD_IOAS_MAP_FILE, &arg);
}

int ifd_copy(const struct ifd *ifd, uint32_t to, uint32_t from, const struct ioasid_copy *copy)
{
	struct ifd_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = map_flags(copy->rights),
		.dst_ioas_id = to,
		.src_ioas_id = from,
		.length = copy->size,
		.dst_iova = copy->iova,
		.src_iova = copy->from_iova,
	};

	return seam_ioctl(ifd->seam, ifd->fd, IFD_IOAS_COPY, &arg);
}

int ifd_unmap(const struct ifd *ifd, uint32_t ioas, uint64_t iova, uint64_t size)
{
	struct ifd_ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = ioas,
		.iova = iova,
		.length = size,
	};

	return seam_ioctl(ifd->seam, ifd->fd, IFD_IOAS_UNMAP, &arg);
}

int ifd_rlimit_mode(const struct ifd *ifd, bool *mm)
{
	struct ifd_option arg = {
		.size = sizeof(arg),
		.option_id = IFD_OPTION_RLIMIT_MODE,
		.op = IFD_OPTION_GET,
	};
	int r = seam_ioctl(ifd->seam, ifd->fd, IFD_OPTION, &arg);

	*mm = !r && arg.val64 == 1;
	return r;
}

int ifd_hwpt_alloc(const struct ifd *ifd, struct ifd_hwpt_alloc *request, uint32_t *hwpt)
{
	int r;

	request->size = sizeof(*request);
	r = seam_ioctl(ifd->seam, ifd->fd, IFD_HWPT_ALLOC, request);
	if (!r)
		*hwpt = request->out_hwpt_id;
	return r;
}

int ifd_hw_info(const struct ifd *ifd, uint32_t device, void *data, uint32_t size,
		struct ifd_hw_info *info)
{
	*info = (struct ifd_hw_info){
		.size = sizeof(*info),
		.dev_id = device,
		.data_len = size,
		.data_uptr = seam_ptr(data),
	};
	return seam_ioctl(ifd->seam, ifd->fd, IFD_GET_HW_INFO, info);
}

int ifd_set_dirty(const struct ifd *ifd, uint32_t hwpt, bool on)
{
	struct ifd_set_dirty arg = {
		.size = sizeof(arg),
		.flags = on ? IFD_DIRTY_ENABLE : 0,
		.hwpt_id = hwpt,
	};

	return seam_ioctl(ifd->seam, ifd->fd, IFD_HWPT_SET_DIRTY, &arg);
}

int ifd_get_dirty(const struct ifd *ifd, uint32_t hwpt, const struct ioasid_dirty *dirty)
{
	struct ifd_get_dirty arg = {
		.size = sizeof(arg),
		.hwpt_id = hwpt,
		.flags = dirty->keep ? IFD_DIRTY_NO_CLEAR : 0,
		.iova = dirty->iova,
		.length = dirty->size,
		.page_size = dirty->page_size,
		.data = seam_ptr(dirty->bitmap),
	};

	return seam_ioctl(ifd->seam, ifd->fd, IFD_HWPT_GET_DIRTY, &arg);
}

int ifd_invalidate(const struct ifd *ifd, uint32_t hwpt, const struct ifd_vtd_s1_invalidate *list,
		   uint32_t *n)
{
	struct ifd_invalidate arg = {
		.size = sizeof(arg),
		.hwpt_id = hwpt,
		.data_uptr = seam_ptr(list),
		.data_type = IFD_INVALIDATE_VTD_S1,
		.entry_len = sizeof(*list),
		.entry_num = *n,
	};
	int r = seam_ioctl(ifd->seam, ifd->fd, IFD_HWPT_INVALIDATE, &arg);

	*n = arg.entry_num;
	return r;
}

int ifd_fault_alloc(const struct ifd *ifd, uint32_t *queue, int *fd)
{
	struct ifd_fault_alloc arg = { .size = sizeof(arg) };
	int r = seam_ioctl(ifd->seam, ifd->fd, IFD_FAULT_QUEUE_ALLOC, &arg);

	if (!r) {
		*queue = arg.out_fault_id;
		*fd = (int)arg.out_fault_fd;
	}
	return r;
}

int cdev_bind(const struct ifd *ifd, int device, const unsigned char *vf_token, uint32_t *id)
{
	struct vfio_cdev_bind arg = {
		/* Kernels before 6.17 know no token here and are shown none. */
		.argsz = vf_token ? sizeof(arg) : offsetof(struct vfio_cdev_bind, token),
		.flags = vf_token ? VFIO_CDEV_BIND_TOKEN : 0,
		.iommufd = ifd->fd,
		.token = vf_token ? seam_ptr(vf_token) : 0,
	};
	int r = seam_ioctl(ifd->seam, device, VFIO_CDEV_BIND, &arg);

	if (!r)
		*id = arg.out_devid;
	return r;
}

int cdev_attach(const struct ifd *ifd, int device, uint32_t pasid, uint32_t pt)
{
	struct vfio_cdev_attach arg = {
		/* Kernels before 6.15 know no PASID and are shown none. */
		.argsz = pasid ? sizeof(arg) : offsetof(struct vfio_cdev_attach, pasid),
		.flags = pasid ? VFIO_CDEV_PASID : 0,
		.pt_id = pt,
		.pasid = pasid,
	};

	return seam_ioctl(ifd->seam, device, VFIO_CDEV_ATTACH, &arg);
}

int cdev_detach(const struct ifd *ifd, int device, uint32_t pasid)
{
	struct vfio_cdev_detach arg = {
		.argsz = pasid ? sizeof(arg) : offsetof(struct vfio_cdev_detach, pasid),
		.flags = pasid ? VFIO_CDEV_PASID : 0,
		.pasid = pasid,
	};

	return seam_ioctl(ifd->seam, device, VFIO_CDEV_DETACH, &arg);
}
