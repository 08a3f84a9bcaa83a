/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a descriptor is and who its device shares an IOMMU group with, read from the descriptor
 * (fstat st_rdev) and sysfs, never from what a caller says.
 */
#ifndef ADIT_IOASID_CLIENT_PROVIDERS_SYSFS_H
#define ADIT_IOASID_CLIENT_PROVIDERS_SYSFS_H

#include "ioasid-client/device.h"
#include "ioasid-client/providers/seam.h"

struct sysfs_device {
	char name[40]; /* BDF or UUID */
	bool mdev;
	int group;	/* -1: none */
	char iommu[16]; /* the kernel's name of its IOMMU: "dmar0", "ivhd0"; "" where unknown */
};

/* A VFIO character device. -EINVAL: it is something else; the sentence says what. */
int sysfs_cdev(const struct ioasid_seam *seam, int fd, struct sysfs_device *device,
	       struct err *err);
/* A VFIO group: its number, or -EINVAL. */
int sysfs_group(const struct ioasid_seam *seam, int fd, struct err *err);
/* Which IOMMU serves it, as struct ioasid_device_info.hw names them. */
const char *sysfs_hw(const struct sysfs_device *device);
/* A device that is known by name, as VFIO_GROUP_GET_DEVICE_FD takes it. */
int sysfs_named(const struct ioasid_seam *seam, const char *name, struct sysfs_device *device,
		struct err *err);

/* Both make arrays that the caller frees; a group that sysfs does not show has none. */
int sysfs_members(const struct ioasid_seam *seam, int group, struct ioasid_member **members,
		  size_t *n);
int sysfs_reserved(const struct ioasid_seam *seam, int group, struct ioasid_range **ranges,
		   size_t *n);

/*
 * Why the kernel would not give up a device whose group is partly held elsewhere: the sentence
 * names group, member, its driver and what mends it. Returns -code.
 */
int sysfs_explain_group(const struct ioasid_seam *seam, const struct sysfs_device *device, int code,
			struct err *err);

/* Why a function with a token, or without one, is refused by VFIO. Returns -EACCES. */
int sysfs_explain_token(const struct sysfs_device *device, bool token, struct err *err);

/* The device is alone in its group, and no driver but VFIO's holds it. */
bool sysfs_group_is_free(const struct ioasid_seam *seam, const struct sysfs_device *device);

#endif
