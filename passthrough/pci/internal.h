/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of passthrough/pci know of each other's state; beside them only their tests
 * include this.
 *
 * Locks. The bus's mutex covers the slots, every configuration byte of a function on the bus and
 * the placement of its BARs. A function's MSI-X state has a mutex of its own, taken after the
 * bus's. What other threads read without either is marked atomic.
 */
#ifndef ADIT_PASSTHROUGH_PCI_INTERNAL_H
#define ADIT_PASSTHROUGH_PCI_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "passthrough/pci/pci.h"

#define PCI_NAME_MAX 63u

#define PCI_BAR_SLOTS  (PCI_BARS + 1) /* with the ROM's */
#define PCI_SPANS_MAX  8u	      /* parts of one BAR that are host memory */
#define PCI_EVENTS_MAX 16u	      /* of one BAR */

/* Half-open part of a BAR. */
struct pci_span {
	uint64_t start, size;
};

/* Host memory in a BAR, and the KVM slot that shows it while the BAR is decoded. */
struct pci_bar_part {
	struct pci_span span;
	void *hva;
	unsigned int slot;
	bool shown;
	const struct pci_mirror_ops *mirror; /* NULL: none */
	void *mirror_opaque;
	bool mirrored;
};

struct pci_bar {
	struct pci_function *function; /* NULL: no BAR starts at this index */
	enum pci_bar_type type;
	bool upper; /* the second register of the 64-bit BAR before it */
	bool prefetchable;
	uint64_t size;
	const struct io_ops *ops; /* the device's; may be NULL */
	void *opaque;

	uint64_t address;	 /* as programmed; atomic */
	struct io_region region; /* what is in the map while `mapped` */
	bool mapped;
	bool complained; /* the log already says why this address is not decoded */
	struct pci_bar_part parts[PCI_SPANS_MAX];
	unsigned int n_parts;
	struct {
		struct pci_bar_event event;
		bool added; /* KVM has it */
	} events[PCI_EVENTS_MAX];
	unsigned int n_events;
	char label[PCI_NAME_MAX + 8];
};

struct pci_msix {
	pthread_mutex_t lock;
	unsigned int vectors;
	unsigned int table_bar, pba_bar;
	uint32_t capability; /* offset in configuration space */
	struct pci_span table_span, pba_span;
	bool on;	   /* enabled, and the function is a bus master */
	bool masked;	   /* the function mask */
	uint8_t *table;	   /* PCI_MSIX_ENTRY_SIZE each */
	uint64_t *pending; /* the PBA: vectors rounded up to 64, in bits */
	/* With a source: who it is, whether it was told to enable, which vectors are open. */
	const struct pci_vector_ops *source;
	void *source_opaque;
	bool announced;
	uint64_t *open; /* in bits, as pending */
	uint64_t sent;	/* atomic: how many messages */
	/* Called with `lock` held, so that nothing is sent after a mask was written. */
	void (*deliver)(void *arg, const struct msi_message *message);
	void *deliver_arg;
};

/* MSI with a source; everything under the bus's lock. */
struct pci_msi {
	struct pci_msi_options options;
	const struct pci_vector_ops *source;
	void *opaque;
	unsigned int enabled;	    /* vectors that the source was told of; 0: off */
	uint32_t open;		    /* in bits */
	struct msi_message message; /* of vector 0, while any is open */
};

struct pci_intx {
	void (*unmask)(void *opaque);
	void *opaque;
	pthread_mutex_t lock;
	struct irq_line *line; /* while on a bus */
	bool asserted;	       /* by the device */
};

struct pci_function {
	char name[PCI_NAME_MAX + 1];
	const struct pci_ops *ops; /* may be NULL */
	void *opaque;

	struct pci_bus *bus;		       /* NULL before pci_bus_add; then never changed */
	const struct pci_export_ops *exported; /* not NULL: no bus holds it, see export.c */
	void *exported_opaque;
	unsigned int slot;
	uint16_t command; /* as programmed; atomic */

	struct pci_bar bars[PCI_BAR_SLOTS];
	bool blocked;	       /* atomic: see pci_function_block */
	struct pci_msix *msix; /* NULL: none */
	struct pci_msi *msi;   /* NULL: none */
	struct pci_intx *intx; /* NULL: none */
	uint32_t express;      /* PCI Express capability with function-level reset, 0: none */
	uint32_t last_cap;     /* the end of each list, 0: empty */
	uint32_t cap_end;      /* first free byte */
	uint32_t last_ext_cap;
	uint32_t ext_cap_end;

	uint64_t cap_used;		     /* a bit per dword of the first 256 bytes */
	uint8_t passed[PCI_CONFIG_SIZE / 8]; /* a bit per byte that is the device's */
	uint32_t anew;			     /* see pci_function_anew */
	uint16_t anew_bits;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];
	uint8_t power_on[PCI_CONFIG_SIZE]; /* writable bits only */
};

struct pci_bus {
	struct vm *vm;
	struct pci_bus_options options;
	struct log_limit limit;
	bool ecam_mapped;
	pthread_mutex_t lock;
	struct pci_function *slots[PCI_SLOTS];
	/* Whose a slot is to be, where it is not the first free one that is asked for; "":
	 * nobody's. */
	char planned[PCI_SLOTS][PCI_NAME_MAX + 1];
	uint32_t address; /* of mechanism #1; atomic */
};

/* -EBUSY with a sentence where the function is on a bus already. */
int pci_function_check_unplugged(const struct pci_function *function, struct err *err);

/* config.c: with the bus's lock held. [offset, offset + size) inside the function's 4 KiB. */
uint64_t pci_config_read(struct pci_function *function, uint32_t offset, unsigned int size);
void pci_config_write(struct pci_function *function, uint32_t offset, uint64_t value,
		      unsigned int size);
/* Remembers what writable bits hold now: a reset brings it back. */
void pci_config_power_on(struct pci_function *function);
/* Function-level reset. */
void pci_config_reset(struct pci_function *function);
/* Makes true what the registers say: command, BARs, MSI-X. */
void pci_config_apply(struct pci_function *function);

/* bar.c: with the bus's lock held. */
void pci_bar_prepare(struct pci_bar *bar);
void pci_bar_set_address(struct pci_bar *bar, uint64_t address);
/* Registers -> decoded regions, for this function and for BARs that wait for a place of its. */
void pci_bars_apply(struct pci_function *function);
/* iomap_remove that cannot fail. */
void pci_unmap(struct iomap *map, uint64_t base, const void *opaque);
/* Out of the maps for good; others may take the places. */
void pci_bars_withdraw(struct pci_function *function);
static inline bool pci_bar_is_io(const struct pci_bar *bar)
{
	return bar->type == PCI_BAR_IO;
}
const char *pci_bar_type_name(enum pci_bar_type type);

/* bar-memory.c: with the bus's lock held. Parts of a decoded BAR appear, or go. */
void pci_bar_show(struct pci_bar *bar);
void pci_bar_hide(struct pci_bar *bar);
/* bar-event.c: the same for what signals a descriptor; called by the two. */
void pci_bar_listen(struct pci_bar *bar);
void pci_bar_unlisten(struct pci_bar *bar);

/* msi.c: with the bus's lock held. */
void pci_msi_apply(struct pci_function *function);
/* Before a read of configuration space: pending bits as they are now. */
void pci_msi_refresh(struct pci_function *function, uint32_t offset, unsigned int size);
void pci_msi_silence(struct pci_function *function);
/*
 * To be saved: what its source has sent has arrived, and what it holds is returned, a bit per
 * vector. The pending bits in configuration space are 0 then.
 */
uint32_t pci_msi_settle(struct pci_function *function);
/* Loaded and applied: the source holds these again, or sends them. */
void pci_msi_post(struct pci_function *function, uint32_t pending);

/* intx.c: with the bus's lock held, but for unplug, which waits for the unmask hook. */
int pci_intx_plug(struct pci_function *function, struct err *err);
void pci_intx_unplug(struct pci_function *function);
void pci_intx_apply(struct pci_function *function);
/* Before a read of configuration space: Interrupt Status as it is now. */
void pci_intx_refresh(struct pci_function *function);
void pci_intx_free(struct pci_intx *intx);

/* window.c: with the bus's lock held. All BARs or, with a sentence, none. */
int pci_windows_check(const struct pci_bus_options *options, struct err *err);
int pci_bars_place(struct pci_bus *bus, struct pci_function *function, struct err *err);
bool pci_window_holds(const struct pci_bus *bus, const struct pci_bar *bar, uint64_t address);

/* capability.c: does this write, before masks, start a function-level reset? */
bool pci_express_starts_flr(const struct pci_function *function, uint32_t offset, uint64_t value,
			    unsigned int size);

/* msix.c. The ops take a struct pci_bar and answer for the table and the PBA in it. */
extern const struct io_ops pci_msix_bar_ops, pci_msix_portal_ops;
/* With the bus's lock held. */
void pci_msix_apply(struct pci_function *function);
void pci_msix_reset(struct pci_function *function);
/* Nothing is sent or pended after it. */
void pci_msix_silence(struct pci_function *function);
void pci_msix_free(struct pci_msix *msix);
/* With its lock held: table and pending bits from a section that is entered. */
void pci_msix_load(struct pci_msix *msix, struct state_in *in);
/* The same two as of MSI, with its lock held; the pending bits are in their array. */
void pci_msix_settle(struct pci_msix *msix);
void pci_msix_post(struct pci_msix *msix);

/* bus.c: accesses inside the ECAM, of 1 to 8 bytes. */
uint64_t pci_ecam_read(struct pci_bus *bus, uint64_t offset, unsigned int size);
void pci_ecam_write(struct pci_bus *bus, uint64_t offset, uint64_t value, unsigned int size);

#endif
