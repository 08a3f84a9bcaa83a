/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One whole virtual machine: everything of a VM hangs off its struct machine, so that two can live
 * in one process. Made from a configuration, run on the caller's thread, ended by the guest, by
 * the caller or by a failure.
 */
#ifndef ADIT_VMM_MACHINE_H
#define ADIT_VMM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"

struct adis;
struct balloon;
struct config;
struct config_pasid;
struct devices;
struct devices_coherency;
struct dsa;
struct hotplug;
struct idxd_spawner;
struct ioapic;
struct loop;
struct machine;
struct mem;
struct sandbox;
struct virtio_devices;
struct snapshot;
struct vcpu_stats;
struct vm;

struct machine_options {
	const struct config *config; /* borrowed for the machine's life */
	const struct log *log;	     /* borrowed; may be NULL */
	int kvm_fd;		     /* -1: open /dev/kvm */
	int keeper_fd;		     /* the keeper that started us; 0: none */
	bool one_life;		     /* a reset by the guest is the VM's end */
	/*
	 * What happens to it meanwhile, for people and programs: a word, and a sentence that starts
	 * with whose it is. From any thread, to be noted only. May be NULL.
	 */
	void (*event)(void *arg, const char *event, const char *detail);
	void *event_arg;
	const struct sandbox *sandbox; /* for the threads that it starts; NULL: none */
	struct idxd_spawner *spawner;  /* of its ADIs' helpers; NULL: none */
	/*
	 * On machine_run's thread, where something was asked of it (vmm/hotplug.h: hotplug_wait);
	 * it lets go of what the guest ejected and takes in who departed. NULL: the machine does.
	 */
	uint64_t (*errands)(void *arg, struct machine *machine);
	void *errands_arg;
	/*
	 * It goes on where another stood, instead of with its payload; borrowed for the call. NULL:
	 * none.
	 */
	const struct snapshot *snapshot;
};

enum machine_end {
	MACHINE_OFF,	 /* the guest powered off, or ended itself with debug-exit 0 */
	MACHINE_RESET,	 /* the guest asked for a reset: make a new machine to go on */
	MACHINE_STOPPED, /* machine_stop was called */
	MACHINE_FAILED,	 /* it cannot go on: the log says why */
};

/*
 * Everything up to the first guest instruction. On failure nothing is left behind and err names
 * the value, the limit and the mend.
 */
int machine_create(struct machine **out, const struct machine_options *options, struct err *err);
/* Stops it where it runs. No descriptor, mapping, thread or file of it is left. */
void machine_destroy(struct machine *machine);

/*
 * Starts the vCPUs and serves the machine until it ends. Once. confine: the caller's thread takes
 * the life's role in the sandbox before a guest's first instruction, beside the others taking
 * theirs; what it starts afterwards inherits that filter.
 */
enum machine_end machine_run(struct machine *machine, bool confine);

/* From any thread, also before machine_run. */
void machine_stop(struct machine *machine);
/* From any thread: ends it as a reset by the guest does. */
void machine_reset(struct machine *machine);
/* From any thread: asks the guest by ACPI. */
void machine_power_button(struct machine *machine);

/*
 * Returns when no vCPU and no ADI engine is working and virtio queues are not looked at; devices
 * keep what they were told, transfers to and from images complete. Not from a vCPU's thread. Pauses
 * nest.
 */
void machine_pause(struct machine *machine);
void machine_resume(struct machine *machine);

/*
 * On machine_run's thread: the machine's state and memory into a file that is made
 * (vmm/snapshot.h), with the machine paused and its assigned devices stopped meanwhile.
 * -EOPNOTSUPP names what a snapshot does not carry, -EBUSY what does not end; nothing has changed
 * then. -EIO: a device could not go on as it was, the sentence says what became of it.
 */
int machine_snapshot(struct machine *machine, const char *path, struct err *err);
/* The same into one that is open and empty; name: for sentences. */
int machine_snapshot_fd(struct machine *machine, int fd, const char *name, struct err *err);

/* From any thread: the image of this disk was made larger or smaller; the guest is told. */
int machine_resize_disk(struct machine *machine, const char *id, struct err *err);
/*
 * From any thread: the same after its file was made so large here (vm.resize-disk with a size).
 * What would make it smaller is refused, and a block device has the size that it has.
 */
int machine_grow_disk(struct machine *machine, const char *id, uint64_t size, struct err *err);

/* What comes and goes while the guest runs: vmm/hotplug.h. */
struct hotplug *machine_hotplug(struct machine *machine);

/*
 * From any thread, not while paused: bindings of an ADI's guest PASIDs, until the machine ends
 * (vmm/adis.h).
 */
int machine_bind_pasid(struct machine *machine, const struct config_pasid *pasid, struct err *err);
int machine_unbind_pasid(struct machine *machine, const char *adi, uint32_t guest, struct err *err);

/* To be resized and asked from any thread (vmm/virtio/balloon.h); NULL where there is none. */
struct balloon *machine_balloon(struct machine *machine);

/* How the guest's plugged memory fares (vmm/virtio/mem.h); likewise. */
struct mem *machine_mem(struct machine *machine);

/* From any thread: what vmm/devices.h says of the machine's devices. */
void machine_coherency(struct machine *machine, struct devices_coherency *out);

/* From any thread: for what they count. */
struct adis *machine_adis(struct machine *machine);
struct devices *machine_devices(struct machine *machine);

/* Exits of all vCPUs so far, by kind. */
void machine_stats(struct machine *machine, struct vcpu_stats *sum);

/* The loop of this machine, for who wants to watch something on it before machine_run. */
struct loop *machine_loop(struct machine *machine);
struct virtio_devices *machine_virtio(struct machine *machine);
struct vm *machine_vm(struct machine *machine);
struct ioapic *machine_ioapic(struct machine *machine);
/* The ADI of that id, or NULL. */
struct dsa *machine_dsa(struct machine *machine, const char *id);
/* What debug-exit was written, 0 where it was not. */
uint32_t machine_exit_value(const struct machine *machine);

#endif
