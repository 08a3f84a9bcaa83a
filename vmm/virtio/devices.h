/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio devices of a machine: made from its configuration, in the order of its keys. */
#ifndef ADIT_VMM_VIRTIO_DEVICES_H
#define ADIT_VMM_VIRTIO_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "util/state.h"

struct balloon;
struct config;
struct config_disk;
struct config_net;
struct hot_ram;
struct layout;
struct loop;
struct mem;
struct pci_bus;
struct ram;
struct sandbox;
struct virtio_counters;
struct virtio_devices;
struct vm;

struct virtio_parts {
	const struct config *config;
	const struct log *log;
	struct vm *vm;
	struct pci_bus *bus;
	struct loop *loop;
	const struct ram *ram;
	struct hot_ram *hot;	       /* NULL: none */
	const struct sandbox *sandbox; /* for threads that devices start */
	const struct layout *layout;
	/* Ctrl-A x at a console's terminal; on the loop. */
	void (*quit)(void *arg);
	void *quit_arg;
	/* As of struct machine_options; may be NULL. */
	void (*event)(void *arg, const char *event, const char *detail);
	void *event_arg;
};

/* All parts are borrowed for the machine's life. The functions belong to the bus. */
int virtio_devices_create(struct virtio_devices **out, const struct virtio_parts *parts,
			  struct err *err);
/* Takes the functions off the bus. The loop does not run any more. NULL is allowed. */
void virtio_devices_destroy(struct virtio_devices *devices);

/*
 * On the thread that makes machines, also while the guest runs; the id's characters stay where they
 * are until the device is gone. On failure nothing of it is left.
 */
int virtio_devices_add_disk(struct virtio_devices *devices, const struct config_disk *disk,
			    struct err *err);
int virtio_devices_add_net(struct virtio_devices *devices, const struct config_net *net,
			   struct err *err);

/* Any thread. No queue is looked at in between; transfers that were under way complete. */
void virtio_devices_pause(struct virtio_devices *devices);
void virtio_devices_resume(struct virtio_devices *devices);

/*
 * Any thread: the image behind the disk has another size. -ENOENT: no such disk.
 * size: 0, or bytes to which a file is made larger first. A smaller one is refused, since the
 * guest would lose what lies behind, and so is another size than a block device has.
 */
int virtio_devices_resize_disk(struct virtio_devices *devices, const char *id, uint64_t size,
			       struct err *err);
/* The slot of the disk or network interface of this id, for the guest to be asked to let go; 0. */
unsigned int virtio_devices_slot(struct virtio_devices *devices, const char *id);
/* The id of the one in that slot. */
bool virtio_devices_in(struct virtio_devices *devices, unsigned int slot, char *id, size_t size);
/*
 * Any thread: takes a disk or a network interface out, whether the guest has let go or not. It is
 * no device of this machine any more when this returns; when its image or tap is closed, gone(arg)
 * is called, on the loop or where all of them are destroyed. -ENOENT: there is none of that id.
 */
int virtio_devices_remove(struct virtio_devices *devices, const char *id, void (*gone)(void *arg),
			  void *arg, struct err *err);
/* A section for each, while paused. -EBUSY, -EOPNOTSUPP name the device. */
int virtio_devices_save(struct virtio_devices *devices, struct state_out *out, struct err *err);
/* Into devices that no guest has seen, after the bus. */
int virtio_devices_load(struct virtio_devices *devices, struct state_in *in);

/* Any thread: calls fn for each device, by its id or, where it has none, what it is called. */
void virtio_devices_counters(struct virtio_devices *devices,
			     void (*fn)(void *arg, const char *name,
					const struct virtio_counters *counters),
			     void *arg);

/* NULL: there is none. */
struct balloon *virtio_devices_balloon(struct virtio_devices *devices);
struct mem *virtio_devices_mem(struct virtio_devices *devices);

#endif
