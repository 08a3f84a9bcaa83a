/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind vmm/devices.h share: who is there. */
#ifndef ADIT_VMM_DEVICES_INTERNAL_H
#define ADIT_VMM_DEVICES_INTERNAL_H

#include <pthread.h>

#include "ioasid-client/ioasid.h"
#include "kvm-glue/coherency.h"
#include "passthrough/vfio/vfio.h"
#include "vmm/device-node.h"
#include "vmm/devices.h"

struct device {
	struct devices *all;
	struct config_device config; /* its strings are the configuration's */
	struct device_node node;
	bool told;		       /* KVM knows it, or its group */
	struct coherency_device facts; /* that its choice was made on */
	enum ioasid_isolation isolation;
	bool decided; /* these, the choice, and the VM's state count it in; under the lock */
	struct ioasid_device *bound;
	struct coherency_choice choice;
	struct vfio_function *function;
	bool on_bus; /* the bus owns the function */
	bool wanted; /* atomic: its host asks for it */
};

struct devices {
	const struct config *config;
	struct vm *vm;
	struct devices_place place;
	const struct log *log;
	int keeper; /* 0: none */
	bool one_life;
	struct ioasid_ctx *ctx;
	struct bindings *bindings;  /* from devices_bind_start to devices_bind_end */
	struct ioasid_space *guest; /* changed under the lock */
	pthread_mutex_t gate;
	pthread_cond_t opened;	 /* or will not be: place.ending */
	bool mapped;		 /* atomic, changed under the gate: guest memory is in the space */
	pthread_mutex_t telling; /* KVM: of who is told by now, and the next */
	struct coherency *coherency;
	bool pat_honoured;	      /* for good */
	struct coherency_state state; /* of those that are there; under the lock */
	struct layout_range *reserved;
	unsigned int n_reserved;
	uint64_t aperture_last;
	size_t n;
	/* Changed by the thread that makes machines alone; others look under the lock. */
	pthread_mutex_t lock;
	struct device *device[CONFIG_MAX_DEVICES];
};

/* What a device's function is made with, and what its options point to. */
struct devices_making {
	struct vfio_options options;
	struct vfio_group groups[CONFIG_MAX_DEVICES];
	struct vfio_neighbour neighbours[CONFIG_MAX_DEVICES];
};
/* All but its descriptor and the space of its registers, which are the context's. */
void devices_making(struct device *device, struct devices_making *out);

/* devices-memory.c */
/* -ENOMEM: what is to be pinned for them goes beyond the limit on locked memory. */
int devices_check_limit(const struct devices *devices, struct err *err);
/* The space is gone, with the last device. */
void devices_unmapped(struct devices *devices);
/* Of struct vfio_options. */
bool device_dma(void *opaque);

/* devices-bind.c */
bool device_is_mdev(const struct device *device);
/* The node of one before device i whose group is opened already, or NULL. */
const struct device_node *devices_same_group(const struct devices *devices, size_t i);
/* Told and bound, or neither it nor its descriptor is taken. */
int device_bind(struct device *device, struct err *err);
/* Waits for those that devices_bind_start began; on failure what is bound stays until they are
 * dropped. */
int devices_bind_end(struct devices *devices, struct err *err);
/* KVM forgets it, or its group with its last device. */
void device_forget(struct device *device);

/*
 * After a bind that failed: drivers of some mdevs (KVMGT's, for one) do not open without KVM, and
 * say so by an errno.
 */
int devices_explain_deny(const struct device *device, struct err *err);

/* One that is on the bus, or NULL. With the lock held, or on the thread that makes machines. */
struct device *devices_find(struct devices *devices, const char *id);

#endif
