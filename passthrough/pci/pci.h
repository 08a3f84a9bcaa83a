/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI Express functions as the guest sees them: configuration space with write masks, BARs that
 * can be sized and moved, capabilities, MSI-X, and the one root bus with its ECAM.
 *
 * Functions are root-complex integrated endpoints on bus 0. A function is made by a device
 * (passthrough/adi, passthrough/vfio, vmm/virtio), configured with the calls below, then added to
 * the bus, which gives it a number and addresses for its BARs. The guest may move them later.
 *
 * Threads. Configuration accesses are serialised by the bus. BAR handlers run on vCPU threads,
 * several at once, inside an epoch section of the VM. Guest bytes are hostile: no access of any
 * width, alignment or order does anything but what the registers say.
 *
 * Source: PCI Express Base 6.0 (chapter 7), PCI Local Bus 3.0 (6.1, 6.2, 6.8).
 */
#ifndef ADIT_PASSTHROUGH_PCI_PCI_H
#define ADIT_PASSTHROUGH_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm-glue/iomap.h"
#include "kvm-glue/irq.h"
#include "util/err.h"
#include "util/log.h"
#include "util/state.h"

#define PCI_CONFIG_SIZE 4096u
#define PCI_BARS	6u
#define PCI_BAR_ROM	6u /* the expansion ROM, where an index of a BAR is asked for */
#define PCI_SLOTS	32u
#define PCI_MSIX_MAX	2048u
#define PCI_MSI_MAX	32u

struct ioapic;
struct vm;
struct pci_bus;
struct pci_function;

/* Where BARs may be placed; size 0 closes a window. */
struct pci_window {
	uint64_t base, size;
};

struct pci_bus_options {
	struct pci_window mem32; /* below 4 GiB */
	struct pci_window mem64;
	struct pci_window io;
	uint64_t ecam_base; /* 1 MiB: bus 0 */
	/* INTA# of slot s is pin intx_pin + s % 4 (as ACPI's _PRT says); NULL: no lines. */
	struct ioapic *ioapic;
	unsigned int intx_pin;
	const struct log *log;
};

#define PCI_ECAM_SIZE 0x100000ULL

/* Registers the ECAM in the VM's MMIO map. Slot 0 becomes the host bridge (class 06.00.00). */
int pci_bus_create(struct pci_bus **out, struct vm *vm, const struct pci_bus_options *options,
		   struct err *err);
/*
 * Configuration mechanism #1: the eight ports from 0xcf8, opaque is the bus. The bus does not claim
 * them, since reset control (0xcf9) lies among them and belongs to the chipset.
 */
extern const struct io_ops pci_bus_ports;
/* Removes and frees every function (each through its ops->free). No vCPU may be running. */
void pci_bus_destroy(struct pci_bus *bus);

struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class_code; /* base << 16 | sub << 8 | interface */
	uint8_t revision;
};

/* What a device is told. Any member may be NULL. */
struct pci_ops {
	/*
	 * After the guest wrote [offset, offset + size) of configuration space, masks applied.
	 * Called with the bus's lock held: do not call back into the bus.
	 */
	void (*config_written)(void *opaque, uint32_t offset, unsigned int size);
	/*
	 * Bytes that pci_function_pass gave to the device: read from it and written to it, before
	 * config_written. With the bus's lock held. A write holds such bytes alone.
	 */
	uint64_t (*config_read)(void *opaque, uint32_t offset, unsigned int size);
	void (*config_write)(void *opaque, uint32_t offset, uint64_t value, unsigned int size);
	/* Function-level reset: back to the state of power-on; PCI registers are already there. */
	void (*reset)(void *opaque);
	/* The function leaves the machine: free what opaque is. No handler is running. */
	void (*free)(void *opaque);
	/* What is behind its lines and vectors is saved by who made it; see pci_bus_save. */
	bool carried;
};

int pci_function_create(struct pci_function **out, const char *name, const struct pci_id *id,
			const struct pci_ops *ops, void *opaque, struct err *err);
/* For a function that never reached a bus. Calls ops->free. */
void pci_function_destroy(struct pci_function *function);

enum pci_bar_type {
	PCI_BAR_MEM32,
	PCI_BAR_MEM64,
	PCI_BAR_IO
};

/*
 * Before pci_bus_add. size: a power of two, at least 16 (I/O: 4, at most 256). A 64-bit BAR takes
 * index and index + 1. ops answer the guest's accesses while the BAR is decoded.
 */
int pci_function_bar(struct pci_function *function, unsigned int index, enum pci_bar_type type,
		     bool prefetchable, uint64_t size, const struct io_ops *ops, void *opaque,
		     struct err *err);

/*
 * Part of a memory BAR that is host memory (a device's registers): shown to the guest as a KVM slot
 * while the BAR is decoded, so that accesses there do not exit. Page aligned, apart from other
 * parts; hva stays the caller's until ops->free. Where KVM has no slot left, ops answer.
 * Before pci_bus_add.
 */
int pci_function_bar_memory(struct pci_function *function, unsigned int index, uint64_t offset,
			    uint64_t size, void *hva, struct err *err);
/*
 * What else holds that part where the guest sees it (an I/O space, for DMA of other functions):
 * show is called when the part at `offset` has come to lie at gpa, hide before it leaves, both with
 * the bus's lock held. Before pci_bus_add; ops are borrowed for the function's life. -ENOENT: there
 * is no such part.
 */
struct pci_mirror_ops {
	void (*show)(void *opaque, uint64_t gpa);
	void (*hide)(void *opaque);
};
int pci_function_bar_mirror(struct pci_function *function, unsigned int index, uint64_t offset,
			    const struct pci_mirror_ops *ops, void *opaque);
/*
 * From now on a write of `data` there signals fd inside the kernel instead of reaching the
 * handlers, for as long as the function is on its bus, and wherever the BAR is; where KVM refuses
 * it reaches them as before. Memory BARs; after pci_bus_add, any thread, a handler's too. fd stays
 * the caller's until ops->free. -EINVAL, -ENOSPC.
 */
struct pci_bar_event {
	uint64_t offset, data;
	unsigned int size;
	int fd;
};
int pci_function_bar_event(struct pci_function *function, unsigned int index,
			   const struct pci_bar_event *event);
/* Expansion ROM of a power of two from 2 KiB to 16 MiB; ops->read answers. Before pci_bus_add. */
int pci_function_rom(struct pci_function *function, uint64_t size, const struct io_ops *ops,
		     void *opaque, struct err *err);

/*
 * Appends a capability of `len` bytes, header included, and links it. *offset receives its place;
 * body bytes start as 0 and read-only. -ENOSPC. Extended ones lie from 0x100 up.
 */
int pci_function_capability(struct pci_function *function, uint8_t id, unsigned int len,
			    uint32_t *offset, struct err *err);
int pci_function_ext_capability(struct pci_function *function, uint16_t id, uint8_t version,
				unsigned int len, uint32_t *offset, struct err *err);
/*
 * The same at a place of the caller's choice, for a device whose driver knows where things are.
 * Dword aligned, apart from other capabilities; the list keeps the order of the calls.
 */
int pci_function_capability_at(struct pci_function *function, uint8_t id, uint32_t offset,
			       unsigned int len, struct err *err);
int pci_function_ext_capability_at(struct pci_function *function, uint16_t id, uint8_t version,
				   uint32_t offset, unsigned int len, struct err *err);
/* PCI Express capability of a root-complex integrated endpoint, with function-level reset. */
int pci_function_express(struct pci_function *function, struct err *err);
/* The one at `offset` is the function's: a write of Initiate Function Level Reset resets it. */
void pci_function_express_at(struct pci_function *function, uint32_t offset);
/* [offset, offset + size) of configuration space is the device's: config_read and config_write. */
void pci_function_pass(struct pci_function *function, uint32_t offset, unsigned int size);
/*
 * Bits of one register whose being writable is decided by who makes the function, each time anew: a
 * function that is loaded may differ in them, and takes what of them is writable. At most once.
 */
void pci_function_anew(struct pci_function *function, uint32_t offset, uint16_t bits);

/* The configuration bytes and the bits that the guest may change (1: writable). */
uint8_t *pci_function_config(struct pci_function *function);
uint8_t *pci_function_writable(struct pci_function *function);

/*
 * MSI-X with `vectors` entries (1 to PCI_MSIX_MAX), table and pending bits inside `bar` at the
 * given offsets (8-byte aligned, not overlapping). The PCI core answers accesses there; the BAR's
 * own handlers see the rest.
 */
int pci_function_msix(struct pci_function *function, unsigned int vectors, unsigned int bar,
		      uint32_t table_offset, uint32_t pba_offset, struct err *err);
/*
 * The same with the capability at `offset` of configuration space. table, pba: offset | BAR index,
 * as in its registers; the two may be in two BARs.
 */
int pci_function_msix_at(struct pci_function *function, unsigned int vectors, uint32_t table,
			 uint32_t pba, uint32_t offset, struct err *err);
/* Any thread. Not with a source. Masked: pends and fires at unmask. Disabled or out of range: lost,
 * as in hardware. */
void pci_function_msix_fire(struct pci_function *function, unsigned int vector);
/* Any thread: how many were sent so; those of a source with irqfds are the kernel's. */
uint64_t pci_function_interrupts(const struct pci_function *function);

/*
 * A source outside this process behind a function's vectors: an eventfd that the kernel signals.
 * Called under the lock of the vectors, so that a mask that was written holds from then on.
 */
struct pci_vector_ops {
	/* The guest switched messages on (`vectors` of them) or off. No vector is open. */
	void (*enable)(void *opaque, unsigned int vectors);
	void (*disable)(void *opaque);
	/*
	 * From now on each event of the vector sends this message, and so does, once, what came
	 * while it was closed. Called again where the message changed.
	 */
	void (*open)(void *opaque, unsigned int vector, const struct msi_message *message);
	/* Nothing is sent when it returns; events are held. */
	void (*close)(void *opaque, unsigned int vector);
	/* Is an event held? */
	bool (*pending)(void *opaque, unsigned int vector);
	/* As if one had come: of a function that is loaded. NULL: it is never saved. */
	void (*post)(void *opaque, unsigned int vector);
};

/* Before pci_bus_add, after pci_function_msix: vectors fire by themselves from now on. */
void pci_function_msix_source(struct pci_function *function, const struct pci_vector_ops *ops,
			      void *opaque);
/*
 * MSI at `offset` with 2^log2_vectors vectors (0 to 5), fed by a source. Per-vector masking and
 * 64-bit addresses as the device has them: its driver knows the layout.
 */
struct pci_msi_options {
	uint32_t offset;
	unsigned int log2_vectors;
	bool wide, maskable;
};
int pci_function_msi(struct pci_function *function, const struct pci_msi_options *options,
		     const struct pci_vector_ops *ops, void *opaque, struct err *err);

/*
 * INTA#. unmask is called after the guest's EOI, from a vCPU's thread without a lock: see
 * irq_line_open. Before pci_bus_add, and only where the bus has lines: -ENOTSUP.
 */
int pci_function_intx(struct pci_function *function, void (*unmask)(void *opaque), void *opaque,
		      struct err *err);
/* Any thread while the function is on the bus. Held back while the guest disables INTx. */
void pci_function_intx_set(struct pci_function *function, bool asserted);
/* As it was when the I/O APIC's registers were saved: nothing is sent of it now. */
void pci_function_intx_restore(struct pci_function *function, bool asserted);

/*
 * What shared virtual memory takes, each by choice: ATS, page requests, PASIDs (with the End-End
 * TLP prefix that carries them). After pci_function_express. What the guest sets there is kept and
 * has no effect here: an IOMMU that translates is the business of who holds the function.
 */
struct pci_svm_options {
	bool ats, pri, pasid;
	unsigned int pasid_width; /* bits, 1 to 20 */
	bool pasid_exec, pasid_priv;
};
int pci_function_svm(struct pci_function *function, const struct pci_svm_options *options,
		     struct err *err);

/*
 * A function that another process holds, instead of pci_bus_add: its registers answer to calls, its
 * BARs have no addresses, and vectors are fired at `fire` whatever the table says, which is the
 * holder's. Accesses are checked by the caller to lie in the BAR or in configuration space; they
 * may come from one thread at a time, inside a section where the device asks for one.
 */
struct pci_export_ops {
	void (*fire)(void *opaque, unsigned int vector);
	/* Around a reset of the device, true before and false after: what it waits for must end. */
	void (*quiet)(void *opaque, bool quiet);
};
int pci_function_export(struct pci_function *function, const struct pci_export_ops *ops,
			void *opaque, struct err *err);
void pci_export_config_read(struct pci_function *function, uint32_t offset, void *data,
			    uint32_t count);
void pci_export_config_write(struct pci_function *function, uint32_t offset, const void *data,
			     uint32_t count);
/* 64 bytes, aligned, are a store like MOVDIR64B's where the BAR has portals. */
void pci_export_bar_read(struct pci_function *function, unsigned int index, uint64_t offset,
			 void *data, uint32_t count);
void pci_export_bar_write(struct pci_function *function, unsigned int index, uint64_t offset,
			  const void *data, uint32_t count);
void pci_export_reset(struct pci_function *function);
/* 0: there is no BAR of that index. */
uint64_t pci_function_bar_size(const struct pci_function *function, unsigned int index);
/* Of MSI-X; 0: none. */
unsigned int pci_function_vectors(const struct pci_function *function);

/* Command register, bit 2. A device must not read or write memory without it. */
bool pci_function_bus_master(const struct pci_function *function);
/* Command register, bit 1. */
bool pci_function_mem_enabled(const struct pci_function *function);
const char *pci_function_name(const struct pci_function *function);

/*
 * slot: 1 to 31, or -1 for the first free one. Gives every BAR an address in its window, largest
 * first; one that fits nowhere is refused by name (-ENOSPC) and nothing is added.
 */
int pci_bus_add(struct pci_bus *bus, struct pci_function *function, int slot, struct err *err);
/* Outside any epoch section. No handler is running when it returns; calls ops->free. */
void pci_bus_remove(struct pci_bus *bus, struct pci_function *function);
/*
 * Blocked, the function answers nothing: BARs are not decoded, configuration reads as ones, writes
 * are lost, no interrupt is sent. Outside any epoch section: no handler is running when it returns.
 */
void pci_function_block(struct pci_function *function, bool blocked);
/*
 * Before functions are added: each goes where it was in the state, whatever came and went before it
 * was saved. -EPROTO.
 */
int pci_bus_plan(struct pci_bus *bus, struct state_in *in);
/*
 * The slot is kept for the function of that name, which is added to the first free one (-1) later;
 * whatever comes before it goes elsewhere. -EINVAL: no such slot. -EEXIST: a function is there, or
 * it is kept for another. -ENOTUNIQ: pci_bus_plan has another for the name.
 */
int pci_bus_reserve(struct pci_bus *bus, const char *name, unsigned int slot, struct err *err);
/* It does not come. */
void pci_bus_unreserve(struct pci_bus *bus, const char *name);
/*
 * The sections "bus" and "function NAME" of each function, while no vCPU runs and nothing fires.
 * -EOPNOTSUPP names a function that is not carried. Loaded into a bus that has the same functions;
 * what devices keep behind them is theirs to save. Events that vectors of a source hold are posted
 * to it, and bytes that are the device's own (pci_function_pass) are neither loaded nor compared.
 */
int pci_bus_save(struct pci_bus *bus, struct state_out *out, struct err *err);
int pci_bus_load(struct pci_bus *bus, struct state_in *in);
/* The device number it was given; functions are all function 0. */
unsigned int pci_function_slot(const struct pci_function *function);
/* Current address of a BAR as the guest last programmed it. */
uint64_t pci_function_bar_address(const struct pci_function *function, unsigned int index);

#endif
