/* SPDX-License-Identifier: Apache-2.0 */
/* One function for each ioctl of iommufd and of VFIO's cdev: 0 or -errno, no policy. */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_IOMMUFD_CALLS_H
#define ADIT_IOASID_CLIENT_PROVIDERS_IOMMUFD_CALLS_H

#include <stdbool.h>

#include "ioasid-client/providers/iommufd-uapi.h"
#include "ioasid-client/providers/seam.h"
#include "ioasid-client/space.h"

/* An open /dev/iommu. */
struct ifd {
	const struct ioasid_seam *seam;
	int fd;
};

/* Whether the kernel knows the request at all; nothing else comes of asking. */
bool ifd_knows(const struct ifd *ifd, unsigned long request);
int ifd_destroy(const struct ifd *ifd, uint32_t id);
int ifd_ioas_alloc(const struct ifd *ifd, uint32_t *ioas);
/* *n: room in ranges, then how many there are; -EMSGSIZE: more than that. */
int ifd_iova_ranges(const struct ifd *ifd, uint32_t ioas, struct ifd_iova_range *ranges,
		    uint32_t *n);
int ifd_map(const struct ifd *ifd, uint32_t ioas, const struct ioasid_mapping *mapping);
int ifd_map_file(const struct ifd *ifd, uint32_t ioas, const struct ioasid_mapping *mapping);
int ifd_copy(const struct ifd *ifd, uint32_t to, uint32_t from, const struct ioasid_copy *copy);
int ifd_unmap(const struct ifd *ifd, uint32_t ioas, uint64_t iova, uint64_t size);
int ifd_rlimit_mode(const struct ifd *ifd, bool *mm);
/* request: its size and data are filled in here, the rest by the caller. */
int ifd_hwpt_alloc(const struct ifd *ifd, struct ifd_hwpt_alloc *request, uint32_t *hwpt);
int ifd_hw_info(const struct ifd *ifd, uint32_t device, void *data, uint32_t size,
		struct ifd_hw_info *info);
int ifd_set_dirty(const struct ifd *ifd, uint32_t hwpt, bool on);
int ifd_get_dirty(const struct ifd *ifd, uint32_t hwpt, const struct ioasid_dirty *dirty);
/* *n: how many to carry out, then how many were. */
int ifd_invalidate(const struct ifd *ifd, uint32_t hwpt, const struct ifd_vtd_s1_invalidate *list,
		   uint32_t *n);
int ifd_fault_alloc(const struct ifd *ifd, uint32_t *queue, int *fd);

/* vf_token: 16 bytes, or NULL. */
int cdev_bind(const struct ifd *ifd, int device, const unsigned char *vf_token, uint32_t *id);
/* pasid: 0 for the RID. */
int cdev_attach(const struct ifd *ifd, int device, uint32_t pasid, uint32_t pt);
int cdev_detach(const struct ifd *ifd, int device, uint32_t pasid);

#endif
