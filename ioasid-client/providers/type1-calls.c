/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/providers/type1-calls.h"

#include <stdio.h>
#include <string.h>

/* Two ioctls take a number where the others take an address. */
static void *by_value(unsigned long number)
{
	void *arg;

	memcpy(&arg, &number, sizeof(arg));
	return arg;
}

int type1_api_version(const struct ioasid_seam *seam, int container)
{
	return seam_ioctl(seam, container, VFIO_GET_API_VERSION, NULL);
}

int type1_has(const struct ioasid_seam *seam, int container, unsigned long extension)
{
	return seam_ioctl(seam, container, VFIO_CHECK_EXTENSION, by_value(extension)) > 0;
}

int type1_set_iommu(const struct ioasid_seam *seam, int container)
{
	return seam_ioctl(seam, container, VFIO_SET_IOMMU, by_value(VFIO_TYPE1v2_IOMMU));
}

int type1_info(const struct ioasid_seam *seam, int container, struct vfio_iommu_type1_info *info)
{
	return seam_ioctl(seam, container, VFIO_IOMMU_GET_INFO, info);
}

int type1_map(const struct ioasid_seam *seam, int container, const struct mapped *mapped)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = (mapped->rights & IOASID_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (mapped->rights & IOASID_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = seam_ptr(mapped->hva),
		.iova = mapped->iova,
		.size = mapped->last - mapped->iova + 1,
	};

	return seam_ioctl(seam, container, VFIO_IOMMU_MAP_DMA, &arg);
}

int type1_unmap(const struct ioasid_seam *seam, int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = iova,
		.size = size,
	};

	return seam_ioctl(seam, container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

int type1_unmap_all(const struct ioasid_seam *seam, int container)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};

	return seam_ioctl(seam, container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

int group_status(const struct ioasid_seam *seam, int group, uint32_t *flags)
{
	struct vfio_group_status arg = { .argsz = sizeof(arg) };
	int r = seam_ioctl(seam, group, VFIO_GROUP_GET_STATUS, &arg);

	*flags = r ? 0 : arg.flags;
	return r;
}

int group_set_container(const struct ioasid_seam *seam, int group, int container)
{
	return seam_ioctl(seam, group, VFIO_GROUP_SET_CONTAINER, &container);
}

int group_unset_container(const struct ioasid_seam *seam, int group)
{
	return seam_ioctl(seam, group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

int group_device_fd(const struct ioasid_seam *seam, int group, const char *name,
		    const char *vf_token)
{
	char text[96];

	snprintf(text, sizeof(text), "%s%s%s", name, vf_token ? " vf_token=" : "",
		 vf_token ? vf_token : "");
	return seam_ioctl(seam, group, VFIO_GROUP_GET_DEVICE_FD, text);
}
