/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of passthrough/vfio know of each other's state. */
#ifndef ADIT_PASSTHROUGH_VFIO_INTERNAL_H
#define ADIT_PASSTHROUGH_VFIO_INTERNAL_H

#include <linux/vfio.h>
#include <pthread.h>

#include "passthrough/pci/pci.h"
#include "passthrough/vfio/vfio.h"
#include "util/bits.h"

#define VFIO_MAX_AREAS 4u /* parts of a region that can be mapped */

/* A mapped part of a BAR in the space of other devices' DMA; see peer.c. */
struct vfio_peer {
	struct vfio_function *function;
	int dma_buf; /* -1: the part is in no space */
	void *hva;
	uint64_t size;
	uint64_t iova; /* while mapped */
	bool mapped;
};

struct vfio_region {
	struct vfio_function *function;
	uint64_t size;	 /* 0: none */
	uint64_t offset; /* in the device's descriptor */
	uint32_t flags;
	unsigned int n_areas;
	struct {
		uint64_t offset, size;
	} areas[VFIO_MAX_AREAS];
	/* What was mapped, reservations included. */
	struct {
		void *at;
		size_t size;
	} maps[VFIO_MAX_AREAS + 2];
	unsigned int n_maps;
	struct vfio_peer peers[VFIO_MAX_AREAS + 2];
	unsigned int n_peers;
};

/* One vector: an eventfd that the device signals and, once the guest wanted it, a routed GSI. */
struct vfio_vector {
	int fd; /* -1: none yet */
	bool routed, open;
	uint32_t gsi;
};

/* MSI or MSI-X; callbacks come under the lock of the PCI core's vectors. */
struct vfio_vectors {
	struct vfio_function *function;
	uint32_t index; /* VFIO_PCI_MSI_IRQ_INDEX or VFIO_PCI_MSIX_IRQ_INDEX */
	bool resizes;	/* vectors can be added one by one */
	unsigned int max, enabled;
	struct vfio_vector *vector; /* max of them */
};

struct vfio_watch {
	struct vfio_function *function;
	int fd;
	struct loop_watch *watch;
};

struct vfio_intx {
	pthread_mutex_t lock; /* below the PCI core's and the I/O APIC's hooks */
	bool there, on, asserted;
	bool maskable; /* it may have masked itself when it fired: EOI unmasks */
	struct vfio_watch watch;
};

#define VFIO_DOORBELLS 16u

/* A write that the guest repeats; see doorbell.c. */
struct vfio_doorbell {
	unsigned int bar, size;
	uint64_t offset, data;
	int fd;
};

struct vfio_doorbells {
	pthread_mutex_t lock;
	struct vfio_doorbell last; /* the last write that exited */
	unsigned int repeats;
	bool off; /* the device or KVM has none */
	unsigned int n;
	struct vfio_doorbell bell[VFIO_DOORBELLS];
};

enum vfio_reset {
	VFIO_RESET_NONE,
	VFIO_RESET_BUS,
	VFIO_RESET_FUNCTION
};

/* Config space as it was read, and where virtual registers with a counterpart are. */
struct vfio_config {
	uint8_t bytes[PCI_CONFIG_SIZE];
	unsigned int size; /* 256 or 4096 */
	uint32_t express;  /* the PCI Express capability; 0: none */
	uint32_t msi, msix;
};

struct vfio_function {
	char name[64];
	int fd;
	const struct vfio_sys *sys;
	struct vm *vm;
	struct loop *loop;
	const struct log *log;
	struct log_limit limit;
	void (*event)(void *opaque, enum vfio_event event);
	bool (*dma)(void *opaque);
	void *opaque;
	bool no_snoop;
	struct ioasid_space *peers; /* NULL: its BARs are in no space */

	struct vfio_device_info info;
	enum vfio_reset reset;
	struct vfio_config config;
	struct vfio_region bars[PCI_BARS];
	struct vfio_region rom, space;
	struct vfio_vectors msi, msix;
	struct vfio_intx intx;
	struct vfio_doorbells bells;
	struct vfio_watch error, removal;
	struct vfio_counters counters; /* atomic */
	struct pci_function *pci;
	bool stopped;	    /* or was to be: it may be in any state but running */
	bool line_asserted; /* as loaded, until vfio_function_loaded */
};

/* What a device's driver gave of it: up to VFIO_BLOB_MAX bytes that nobody here understands. */
#define VFIO_BLOB_MAX (256 * MIB)
struct vfio_blob {
	uint8_t *data;
	size_t len, room;
};

/* sys.c: the ioctls, one a function. 0 or -errno. */
int vfio_get_info(struct vfio_function *f, struct err *err);
/* Index as in linux/vfio.h; *region.size stays 0 where the device has none. */
int vfio_get_region(struct vfio_function *f, unsigned int index, struct vfio_region *region,
		    struct err *err);
int vfio_get_irq(struct vfio_function *f, unsigned int index, struct vfio_irq_info *info);
/* fds NULL: all of the index off (count is ignored). A descriptor of -1 leaves a vector out. */
int vfio_set_eventfds(struct vfio_function *f, unsigned int index, unsigned int start,
		      unsigned int count, const int *fds);
int vfio_unmask_intx(struct vfio_function *f);
int vfio_reset_function(struct vfio_function *f);
/* A descriptor of a dma-buf of that part of a BAR, page aligned; or -errno. */
int vfio_get_dma_buf(struct vfio_function *f, unsigned int index, uint64_t offset, uint64_t size);
/* VFIO_MIGRATION_* of its driver; 0: it offers none. */
uint64_t vfio_get_migration(struct vfio_function *f);
/* enum vfio_device_mig_state; -1: it does not say. */
int vfio_get_state(struct vfio_function *f);
/* A descriptor that the state comes or goes by, or -1. */
int vfio_set_state(struct vfio_function *f, enum vfio_device_mig_state state, int *data_fd);
/* Whenever fd is signalled, the kernel writes the value there; fd -1: no more. */
int vfio_set_ioeventfd(struct vfio_function *f, const struct vfio_region *region, uint64_t offset,
		       unsigned int size, uint64_t data, int fd);
/*
 * With what shares its slot or bus; -EPERM where not all of that is ours. -EBUSY, with *in_use: one
 * of the neighbours is among it, and nothing was reset. Else that is NULL. Where all of it is fresh
 * there is nothing to do.
 */
int vfio_reset_bus(struct vfio_function *f, const struct vfio_options *options,
		   const struct vfio_neighbour **in_use);
/* Of a region. Reads give ones where the device does not answer. size: 1 to 8. */
uint64_t vfio_region_read(struct vfio_region *region, uint64_t offset, unsigned int size);
/* Bytes that the device gave: where there are fewer than `size`, it does not answer from there on.
 */
size_t vfio_region_copy(struct vfio_region *region, uint64_t offset, void *data, size_t size);
void vfio_region_write(struct vfio_region *region, uint64_t offset, uint64_t value,
		       unsigned int size);

/* config.c */
int vfio_config_read(struct vfio_function *f, struct err *err);
/* After BARs: capabilities, and what of them is the device's. */
int vfio_config_capabilities(struct vfio_function *f, struct err *err);
/* The device's command register: decoding on, bus mastering as said. */
void vfio_config_command(struct vfio_function *f, bool master);
/* What the device has of the guest's registers becomes true: at start and after resets. */
void vfio_config_sync(struct vfio_function *f);
void vfio_config_written(void *opaque, uint32_t offset, unsigned int size);
uint64_t vfio_config_passed_read(void *opaque, uint32_t offset, unsigned int size);
void vfio_config_passed_write(void *opaque, uint32_t offset, uint64_t value, unsigned int size);

/* quirks.c */
#define VFIO_QUIRK_NO_ROM 1u /* reading its ROM hangs it */
unsigned int vfio_quirks(uint16_t vendor, uint16_t device);
/* The offset of MSI-X pending bits in a BAR of that size, where the device says `offset`. */
uint32_t vfio_quirk_pending(uint16_t vendor, uint16_t device, uint32_t offset, uint64_t size);

/* bars.c */
int vfio_bars_create(struct vfio_function *f, bool rom, struct err *err);
/* After MSI-X: what can be mapped is. */
int vfio_bars_map(struct vfio_function *f, struct err *err);
void vfio_bars_unmap(struct vfio_function *f);

/* peer.c: after a part of a BAR was mapped at hva and given to the PCI core. */
void vfio_peer_add(struct vfio_function *f, unsigned int index, uint64_t offset, uint64_t size,
		   void *hva);
void vfio_peers_destroy(struct vfio_function *f);

/* doorbell.c: after a write to a memory BAR that exited, of 1, 2, 4 or 8 bytes. */
void vfio_doorbell_written(struct vfio_region *region, uint64_t offset, uint64_t value,
			   unsigned int size);
void vfio_doorbells_destroy(struct vfio_function *f);

/* irq.c */
int vfio_irqs_create(struct vfio_function *f, struct err *err);
/* On the bus: INTx is on until the guest enables messages. */
void vfio_irqs_start(struct vfio_function *f);
/* Everything off; nothing is sent when it returns. */
void vfio_irqs_stop(struct vfio_function *f);
void vfio_irqs_destroy(struct vfio_function *f);
/* What the device's line has done so far is known, without waiting for the loop. */
void vfio_intx_settle(struct vfio_function *f);
bool vfio_intx_asserted(struct vfio_function *f);
/* As it was saved, with the I/O APIC. False: the line is not the guest's now, and was asserted. */
bool vfio_intx_restore(struct vfio_function *f, bool asserted);
extern const struct pci_vector_ops vfio_vector_ops;

/* migrate.c: of a device that is stopped, and it is stopped when they return 0. */
int vfio_blob_read(struct vfio_function *f, struct vfio_blob *blob, struct err *err);
int vfio_blob_write(struct vfio_function *f, const uint8_t *data, size_t len, struct err *err);
int vfio_migration_check(struct vfio_function *f, struct err *err);
/* By a reset, which is the only way out of data that was half taken in. */
void vfio_migration_abort(struct vfio_function *f);

/* reset.c */
int vfio_reset_choose(struct vfio_function *f, const struct vfio_options *options, struct err *err);
void vfio_reset_by_guest(void *opaque);

#endif
