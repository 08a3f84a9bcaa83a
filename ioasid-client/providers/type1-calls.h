/* SPDX-License-Identifier: Apache-2.0 */
/* One function for each ioctl of VFIO containers, groups and type1: 0 or -errno, no policy. */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_TYPE1_CALLS_H
#define ADIT_IOASID_CLIENT_PROVIDERS_TYPE1_CALLS_H

#include <linux/vfio.h>
#include <stdbool.h>

#include "ioasid-client/providers/mappings.h"
#include "ioasid-client/providers/seam.h"

int type1_api_version(const struct ioasid_seam *seam, int container);
/* 1: yes, 0: no. */
int type1_has(const struct ioasid_seam *seam, int container, unsigned long extension);
int type1_set_iommu(const struct ioasid_seam *seam, int container);
/* info: argsz is its size; may be more afterwards. */
int type1_info(const struct ioasid_seam *seam, int container, struct vfio_iommu_type1_info *info);
int type1_map(const struct ioasid_seam *seam, int container, const struct mapped *mapped);
/* -EINVAL, -ENOTTY: a kernel before 5.12. */
int type1_unmap_all(const struct ioasid_seam *seam, int container);
int type1_unmap(const struct ioasid_seam *seam, int container, uint64_t iova, uint64_t size);

int group_status(const struct ioasid_seam *seam, int group, uint32_t *flags);
int group_set_container(const struct ioasid_seam *seam, int group, int container);
int group_unset_container(const struct ioasid_seam *seam, int group);
/* The device's descriptor, or -errno. */
int group_device_fd(const struct ioasid_seam *seam, int group, const char *name,
		    const char *vf_token);

#endif
