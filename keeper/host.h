/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host could assign, as sysfs tells it: PCI functions and VFs, IOMMU groups and who is in
 * them, mdev types and mdevs, DSA work queues, and what keeps each from being assigned. Nothing
 * here changes anything, and nothing is remembered: each call looks again.
 */
#ifndef ADIT_KEEPER_HOST_H
#define ADIT_KEEPER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keeper/name.h"
#include "keeper/sysfs.h"
#include "util/err.h"

#define HOST_TEXT     64 /* bytes of a short attribute */
#define HOST_NO_GROUP (-1)

/* Whether the IOMMU in front of a device makes all its DMA snoop; from its registers in sysfs. */
enum host_snoop {
	HOST_SNOOP_UNKNOWN,
	HOST_SNOOP_NO,
	HOST_SNOOP_YES,
	HOST_SNOOP_NONE, /* an mdev has no IOMMU of its own */
};
const char *host_snoop_word(enum host_snoop snoop);

struct host_function {
	char bdf[HOST_NAME_CHARS + 1];
	uint16_t vendor, device;
	uint32_t class;		  /* 24 bits: class, subclass, interface */
	char driver[HOST_TEXT];	  /* "": none */
	char override[HOST_TEXT]; /* driver_override, "": none */
	bool vfio;		  /* the driver is one of VFIO's */
	char cdev[HOST_TEXT];	  /* "vfio3" where VFIO has a node for it, else "" */
	int group;		  /* HOST_NO_GROUP */
	bool noiommu;		  /* the group is a pretence: no IOMMU stands in front */
	char iommu[HOST_TEXT];	  /* "dmar0", "" */
	enum host_snoop snoop;
	char pf[HOST_TEXT];	/* a VF: its PF */
	uint32_t vfs, max_vfs;	/* a PF: VFs that are there, and can be */
	char resets[HOST_TEXT]; /* the kernel's ways to reset it, in its order; "": none */
	uint64_t bar_bytes;	/* memory BARs */
	int numa_node;		/* -1: none */
	bool bridge;
	bool denylisted; /* vfio-pci refuses it */
	bool mdev_parent;
};

/* -ENODEV where there is no such function. */
int host_function_read(const struct host *host, const char *bdf, struct host_function *out);
/*
 * What host_function_check and opening go by, in fewer reads: of the IOMMU, VFs, resets, BARs, NUMA
 * node and override nothing is said.
 */
int host_function_look(const struct host *host, const char *bdf, struct host_function *out);

/*
 * Whether the function can be assigned as it is (managed: after it was taken from its host driver).
 * The sentence names what is in the way and the mend. `with` are the names of all devices that go
 * to the same VM: other members of its group must be among them or unused.
 */
int host_function_check(const struct host *host, const struct host_function *function, bool managed,
			const char *const *with, size_t n_with, struct err *err);

/*
 * What the host itself uses the function for, as part of a sentence: mounted file systems, swap, or
 * the default route. Empty where nothing was found. -ENOMEM.
 */
int host_function_use(const struct host *host, const char *bdf, char *out, size_t size);

struct host_member {
	char name[HOST_NAME_CHARS + 1];
	char driver[HOST_TEXT];
};
/* Up to `max` members; *n is how many there are. */
int host_group_members(const struct host *host, int group, struct host_member *out, size_t max,
		       size_t *n);
/*
 * The same of the functions that a reset of its bus takes along, itself among them: all behind its
 * bridge. None where there is no bridge: then its bus cannot be reset. -ENOMEM.
 */
int host_bus_members(const struct host *host, const char *bdf, struct host_member *out, size_t max,
		     size_t *n);
/* Members beside `name` must be in `with`, on a VFIO driver, or on none that does DMA by itself. */
int host_group_check(const struct host *host, int group, const char *name, const char *const *with,
		     size_t n_with, struct err *err);

struct host_mdev_type {
	char parent[HOST_TEXT], type[HOST_TEXT], name[HOST_TEXT], api[HOST_TEXT];
	uint32_t available;
};
int host_mdev_type_read(const struct host *host, const char *parent, const char *type,
			struct host_mdev_type *out);

struct host_mdev {
	char uuid[HOST_UUID_CHARS + 1];
	char parent[HOST_TEXT], type[HOST_TEXT];
	char cdev[HOST_TEXT];
	int group;
};
int host_mdev_read(const struct host *host, const char *uuid, struct host_mdev *out);

/* A DSA or IAX work queue of the idxd driver. */
struct host_wq {
	char name[HOST_TEXT]; /* "wq0.1" */
	char device[HOST_TEXT], function[HOST_NAME_CHARS + 1];
	char mode[HOST_TEXT], type[HOST_TEXT], state[HOST_TEXT], driver[HOST_TEXT];
	uint32_t size;
	char node[HOST_TEXT]; /* "/dev/dsa/wq0.1" where it is there, else "" */
};

struct host_inventory {
	struct host_function *functions;
	size_t n_functions;
	struct host_mdev_type *types;
	size_t n_types;
	struct host_mdev *mdevs;
	size_t n_mdevs;
	struct host_wq *wqs;
	size_t n_wqs;
};
/* -ENOMEM alone: what cannot be read is not there. */
int host_scan(const struct host *host, struct host_inventory *out);
void host_inventory_free(struct host_inventory *inventory);

/* Switches that make assignment unsafe; each refuses it. */
bool host_noiommu_mode(const struct host *host);
/* Names the module whose allow_unsafe_interrupts is on, or NULL. */
const char *host_unsafe_interrupts(const struct host *host);

/* --- what a descriptor is -------------------------------------------------------------------- */

enum host_node {
	HOST_NODE_CDEV,	     /* /dev/vfio/devices/vfioN: `device` says of which */
	HOST_NODE_GROUP,     /* /dev/vfio/N: `group` */
	HOST_NODE_CONTAINER, /* /dev/vfio/vfio */
	HOST_NODE_IOMMU,     /* /dev/iommu, /dev/ioasid */
	HOST_NODE_OTHER,
};

struct host_identity {
	enum host_node node;
	struct host_name device; /* HOST_NODE_CDEV: a BDF or UUID */
	int group;		 /* HOST_NODE_CDEV, HOST_NODE_GROUP */
};

/* By fstat's st_rdev and /sys/dev/char, never by what somebody claims. -ENOTTY: no such node. */
int host_identify(const struct host *host, int fd, struct host_identity *out, struct err *err);
/* The same by the number of a character device. */
int host_identify_number(const struct host *host, unsigned int major, unsigned int minor,
			 struct host_identity *out, struct err *err);

#endif
