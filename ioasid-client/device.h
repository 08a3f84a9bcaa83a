/* SPDX-License-Identifier: Apache-2.0 */
/* Devices: where one comes from, what its IOMMU can do, and which space its DMA goes to. */
#ifndef ADIT_IOASID_CLIENT_DEVICE_H
#define ADIT_IOASID_CLIENT_DEVICE_H

#include "ioasid-client/types.h"

/* What stands between a device's DMA and the rest of memory; named, never implied. */
enum ioasid_isolation {
	IOASID_ISOLATION_SOFTWARE, /* "software-checked": all goes through ioasid_translate */
	IOASID_ISOLATION_RID,	   /* "iommu-rid" */
	IOASID_ISOLATION_PASID,	   /* "iommu-pasid": DMA under a PASID has a space of its own */
	IOASID_ISOLATION_VENDOR,   /* "vendor-mdev": the kernel driver's own. Linux has no mdev that
				    * an IOMMU isolates. */
};

const char *ioasid_isolation_name(enum ioasid_isolation isolation);

/* What the soft provider's model of a device can do; zeros are the plainest. */
struct ioasid_soft_device {
	unsigned int pasid_width; /* 0 (no PASIDs) to 20 bits */
	bool snoop_enforced;
	bool emulated;		   /* as an mdev: no IOMMU of its own, no PASIDs */
	unsigned int group;	   /* devices of one number share a group; 0: a group of its own */
	unsigned int addr_width;   /* IOVA bits; 0: 64 */
	bool page_requests;	   /* its faults wait for a response where the space has a queue */
	unsigned int pasid_rights; /* IOASID_EXEC, IOASID_PRIVILEGED */
	unsigned int nesting;	   /* IOASID_FORMAT_BIT of each format that its IOMMU nests */
	bool dirty;		   /* its IOMMU keeps dirty logs */
	struct ioasid_range reserved; /* what may not be mapped; last 0: nothing */
};

/* Where a device comes from. Kernel providers take descriptors; soft makes a model. */
struct ioasid_source {
	enum {
		IOASID_SOURCE_SOFT,
		IOASID_SOURCE_CDEV, /* /dev/vfio/devices/vfioN, for iommufd */
		IOASID_SOURCE_GROUP /* /dev/vfio/N, for type1 */
	} type;
	union {
		struct ioasid_soft_device soft;
		struct {
			int fd;
		} cdev;
		struct {
			int fd; /* devices of one group: the same one, or dups of it */
			const char
				*name; /* BDF or mdev UUID, as VFIO_GROUP_GET_DEVICE_FD takes it */
			/*
			 * To be one group with others that are bound so (see ioasid_attach), which
			 * pins memory once for all of them instead of once for each. A group whose
			 * IOMMU does otherwise with snooping, or must not reach what they reach,
			 * stays by itself all the same.
			 */
			bool together;
			/*
			 * Called when the group is in its container and before the device is
			 * opened: when to tell KVM of it, which until Linux 6.1 asks the container
			 * then. Under the context's lock; an error of it is the bind's. May be
			 * NULL.
			 */
			int (*joined)(void *opaque, struct err *err);
			void *opaque;
		} group;
	};
	const char *vf_token; /* cdev, group: the UUID that a VF needs whose PF VFIO holds */
};

enum ioasid_snoop {
	IOASID_SNOOP_NONE,	   /* no IOMMU of its own (mdev): the driver accesses memory */
	IOASID_SNOOP_NOT_ENFORCED, /* no-snoop DMA of the device may bypass the CPU caches */
	IOASID_SNOOP_ENFORCED,
};

/* One member of a device's IOMMU group. */
struct ioasid_member {
	char name[40];	 /* BDF or UUID */
	char driver[32]; /* "" where none is bound */
};

/* Arrays and names belong to the device and stay valid until ioasid_unbind. */
struct ioasid_device_info {
	char label[64];
	char name[40];	    /* BDF or UUID as read from the descriptor; "" for models */
	bool emulated;	    /* an mdev: its driver accesses memory on its behalf */
	bool page_requests; /* the provider can report its page requests */
	bool dirty;	    /* its IOMMU keeps dirty logs */
	enum ioasid_isolation isolation;
	enum ioasid_snoop snoop;
	unsigned int pasid_width; /* 0: no PASIDs */
	unsigned int
		pasid_rights; /* IOASID_EXEC and IOASID_PRIVILEGED requests, where it has them */
	uint64_t page_sizes;  /* bit n: pages of 2^n bytes; 4 KiB is always among them */
	uint64_t iova_first, iova_last;	 /* the ends of the ranges below */
	const struct ioasid_range *iova; /* what may be mapped, ascending */
	size_t n_iova;
	const struct ioasid_range *reserved; /* what may not, ascending: MSI windows and the like */
	size_t n_reserved;
	unsigned int nesting;	  /* IOASID_FORMAT_BIT of each format it can nest */
	const char *hw;		  /* "intel-vtd", "amd-iommu", "unknown", "software" or "none" */
	uint64_t hw_cap, hw_ecap; /* VT-d: the registers of these names; AMD: EFR and EFR2 */
	int group;		  /* IOMMU group; -1: a group of its own */
	const struct ioasid_member *members; /* of the group, the device itself among them */
	size_t n_members;
};

/*
 * Binds a device under a label (1 to 63 printable characters, unique in the context: -EEXIST).
 * It reaches nothing before its first attach, or what a group of which it becomes one reaches
 * already. On success its descriptor is the context's and
 * ioasid_unbind closes it (the kernel unbinds with the last close, so dups delay that); on failure
 * it stays the caller's, to be closed: the kernel may have bound it. -EBUSY, -EPERM: somebody else
 * holds the device or a member of its group; the sentence names group, member, its driver and what
 * mends it. -EACCES: a VF needs another token. -ENOTSUP: the provider takes no such source.
 *
 * The kernel resets a device when it is opened, which takes 100 ms and more: several threads may
 * bind devices of one context, and only those of one VFIO group wait for one another.
 *
 * Tell KVM of a cdev (kvm-vfio FILE_ADD) before this call and of a group in group.joined: the
 * driver looks for KVM when its device is opened, and then only.
 */
int ioasid_bind(struct ioasid_ctx *ctx, const struct ioasid_source *source, const char *label,
		struct ioasid_device **out, struct err *err);
/* Detaches its PASIDs and its space (DMA blocked when it returns), then forgets it. */
void ioasid_unbind(struct ioasid_device *device);
void ioasid_device_info(const struct ioasid_device *device, struct ioasid_device_info *info);
/* The VFIO device descriptor, for regions and interrupts; -1 for models. Stays the context's. */
int ioasid_device_fd(const struct ioasid_device *device);

/*
 * DMA without a PASID goes to this space from now on; replaces another without an open moment
 * (and without one in which DMA fails, where the provider's atomic_replace says so).
 *
 * A group, and groups that were bound together, are one to the IOMMU. Where a member is attached
 * the others reach the same space whether or not they are attached themselves, so a device whose
 * group is elsewhere is refused (-EINVAL, the sentence names the member), and moving one attached
 * member moves them all.
 *
 * -EINVAL: device and space do not fit (snooping, address width, an mdev and a nested space, a
 * mapping in a reserved range). -ENOMEM: memory cannot be pinned; the sentence says how much is
 * missing where it is the limit on locked memory. -EIO: space or device is blocked for good, or a
 * replacement failed both ways; the device is detached.
 */
int ioasid_attach(struct ioasid_device *device, struct ioasid_space *space, struct err *err);
/*
 * Blocked when it returns 0; nothing attached: nothing happens. A group stays attached while a
 * member is. -EIO: the kernel refused every way of blocking it (the sentence says which); the
 * device counts as detached, and all that it accepts from now on is ioasid_unbind.
 */
int ioasid_detach(struct ioasid_device *device, struct err *err);
/* Where DMA without a PASID goes, or NULL. */
struct ioasid_space *ioasid_device_space(const struct ioasid_device *device);

#endif
