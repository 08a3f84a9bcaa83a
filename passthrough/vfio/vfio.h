/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An assigned function: a VFIO device (a PCI function, a VF, or an mdev that looks like one) as the
 * guest sees it. Made from the device's descriptor; what it may reach is its owner's business
 * (ioasid-client), as is telling KVM of it (kvm-glue/coherency.h).
 *
 * What the guest sees is virtual unless it is named here: registers behind BARs, vendor-specific
 * and VPD capabilities, device serial number, AER and vendor-specific extended capabilities are the
 * device's own. Header, BARs, MSI, MSI-X, power management and the PCI Express capability are
 * adit's: the function is a root-complex integrated endpoint, always in D0. Everything else
 * is hidden.
 *
 * The device's memory decoding stays on for as long as it is open: whether the guest reaches it is
 * decided by whether the BAR's slots are there. Bus mastering is the guest's.
 *
 * Source: Linux include/uapi/linux/vfio.h; PCI Express Base 6.0 chapter 7.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_VFIO_H
#define ADIT_PASSTHROUGH_VFIO_VFIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"
#include "util/log.h"
#include "util/state.h"

struct ioasid_space;
struct loop;
struct pci_function;
struct vfio_function;
struct vm;

/* The calls that reach the device; tests serve a model by them. All return -errno on failure. */
struct vfio_sys {
	int (*ioctl)(void *opaque, int fd, unsigned long request, void *arg);
	ssize_t (*pread)(void *opaque, int fd, void *data, size_t size, uint64_t offset);
	ssize_t (*pwrite)(void *opaque, int fd, const void *data, size_t size, uint64_t offset);
	/* Over a reservation, at exactly `at`. */
	int (*mmap)(void *opaque, int fd, void *at, size_t size, bool write, uint64_t offset);
	void *opaque;
	/* 64 bytes in one piece, to what is not mapped. NULL: the device cannot be told so. */
	int (*store64)(void *opaque, int fd, const void *data, uint64_t offset);
};
extern const struct vfio_sys vfio_sys_kernel;

enum vfio_event {
	VFIO_EVENT_ERROR,  /* the device reported an uncorrectable error */
	VFIO_EVENT_REMOVAL /* the host wants it back: detach and unbind it */
};

/* An open group, by its number. */
struct vfio_group {
	int number, fd;
};

/* Another function of the same guest, by its BDF as in sysfs and its name for messages. */
struct vfio_neighbour {
	const char *bdf, *name;
};

/* Functions whose bus was reset since they were opened; all zero: none. */
#define VFIO_FRESH_MAX 256u

struct vfio_fresh {
	uint32_t function[VFIO_FRESH_MAX]; /* segment << 16 | bus << 8 | devfn */
	unsigned int n;
};

/*
 * What of its interrupts can be seen here. A vector that the guest has open is an irqfd: its
 * interrupts go from the device to the guest inside the kernel, and nobody here can count them.
 */
struct vfio_counters {
	uint64_t interrupts; /* INTx asserted, and what a mask held back, sent at the unmask */
	uint64_t irqfds;     /* vectors that are irqfds now */
};

struct vfio_options {
	const char *name;	    /* for messages; copied */
	int fd;			    /* the VFIO device, borrowed for the function's life */
	const struct vfio_sys *sys; /* borrowed for the function's life; NULL: the kernel */
	bool allow_no_reset;	    /* take a device that cannot be reset */
	bool rom;		    /* show its expansion ROM */
	bool no_snoop;		    /* No Snoop Enable is the guest's; else it stays off */
	/*
	 * A device that was had by its group: all groups that are held here, for a bus is reset for
	 * who holds the groups of everything on it. Borrowed for the call. None: had by its cdev.
	 */
	const struct vfio_group *groups;
	unsigned int n_groups;
	/*
	 * Functions that the guest may be using now: a bus that one of them is on is not reset.
	 * Borrowed for the call.
	 */
	const struct vfio_neighbour *neighbours;
	unsigned int n_neighbours;
	/*
	 * Of functions that are all open already and are made one after the other: a bus reset for
	 * one of them is one for all that are on it, and is not repeated for each. Read and added
	 * to. Borrowed for the call. NULL: this one is made alone.
	 */
	struct vfio_fresh *fresh;
	/*
	 * The space that other devices' DMA goes through: BARs are mapped into it wherever the
	 * guest has them, where the kernel gives them as dma-bufs. Borrowed for the function's
	 * life. NULL: no device reaches another.
	 */
	struct ioasid_space *peers;
	struct loop *loop;     /* borrowed; its thread reads INTx, errors and removal requests */
	const struct log *log; /* borrowed; may be NULL */
	/* On the loop's thread. May be NULL. */
	void (*event)(void *opaque, enum vfio_event event);
	/*
	 * On the vCPU whose guest allows the function DMA (Bus Master Enable), and before the
	 * function hears of it: may wait until there is memory for it. False: it hears nothing.
	 * NULL: there is.
	 */
	bool (*dma)(void *opaque);
	void *opaque;
};

/*
 * Reads the device and makes the function. Nothing is sent and no DMA is done before the guest asks
 * for it. -ENOTSUP: it is no PCI device, or cannot be reset; -EBUSY: it could be reset only with a
 * neighbour; -EINVAL: what it says about itself makes no sense; else the kernel's. Pass
 * vfio_function_pci to pci_bus_add, or destroy it by pci_function_destroy: the PCI function owns
 * this one.
 */
int vfio_function_create(struct vfio_function **out, struct vm *vm,
			 const struct vfio_options *options, struct err *err);
struct pci_function *vfio_function_pci(const struct vfio_function *function);

/* Whether some of its BARs can be reached by DMA of other functions; after create. */
bool vfio_function_has_peers(const struct vfio_function *function);

/* How it is reset: "function", "bus" (with all functions of its slot or bus) or "none". */
const char *vfio_function_reset_name(const struct vfio_function *function);
/*
 * Saving and loading, of a device whose driver offers migration (version 2: linux/vfio.h,
 * VFIO_DEVICE_FEATURE_MIGRATION). All on the thread that makes machines, while no vCPU runs.
 *
 * Whether it can be saved: -EOPNOTSUPP, by name.
 */
int vfio_function_check_saved(struct vfio_function *function, struct err *err);
/* Whether it can end DMA to other devices before it stops, so that they can be stopped in turn. */
bool vfio_function_ends_peers(struct vfio_function *function);
/* It ends that, where it can. Then, with all devices, stop: no DMA, no interrupt, no change. */
int vfio_function_quiet(struct vfio_function *function, struct err *err);
int vfio_function_stop(struct vfio_function *function, struct err *err);
/* The first half of going on, where several do: it runs, without that. Failures are start's. */
void vfio_function_rouse(struct vfio_function *function);
/*
 * It goes on, wherever a failure has left it; nothing where it was not stopped. -EIO: it could not,
 * and was reset if it can be, which its guest's driver has to find out.
 */
int vfio_function_start(struct vfio_function *function, struct err *err);
/*
 * The section "vfio NAME", of a device that is stopped: what its driver gives of it, and its line.
 * Its registers in configuration space and its vectors are the bus's to save (pci_bus_save).
 * -EOPNOTSUPP: its driver gives more than a state may hold.
 */
int vfio_function_save(struct vfio_function *function, struct state_out *out, struct err *err);
/*
 * Before the bus is loaded: into a device of the same identity, regions and kind of migration, else
 * refused. It is stopped from then on, and does not move before vfio_function_start.
 */
int vfio_function_load(struct vfio_function *function, struct state_in *in);
/* After the bus was: the device's own registers and its line are as the guest had them. */
int vfio_function_loaded(struct vfio_function *function, struct err *err);

/* Any thread. */
void vfio_function_counters(const struct vfio_function *function, struct vfio_counters *out);

#endif
