/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that adit bench dma drives: a table of drivers, each the few registers and queues that
 * it takes to make one move memory. The same code drives a device from the host, over VFIO, and
 * from within a guest, where a payload includes it: so nothing here needs a library, an operating
 * system or a floating-point unit. Times are ticks of the TSC.
 *
 * Only reads are made unless a load says otherwise: the device writes to memory, and what the
 * device holds stays as it is.
 */
#ifndef ADIT_BENCH_DMA_DEVICE_H
#define ADIT_BENCH_DMA_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DMA_LANES   64u	       /* operations under way, at most */
#define DMA_QUEUES  16u	       /* of a device that has several, at most */
#define DMA_OWN	    (1u << 20) /* bytes at the begin of memory: queues and lists */
#define DMA_PAGE    4096u
#define DMA_IDS	    12u
#define DMA_BUCKETS (64u * 32u) /* of latencies: 32 for each power of two, 3 % */

struct dma_device;

struct dma_driver {
	const char *name;
	uint16_t vendor, devices[DMA_IDS];
	uint32_t class_code; /* any of that class; 0: by their numbers */
	bool portals;	     /* BAR 2 takes what is submitted, 64 bytes in one piece */
	/* From reset to ready; false: describe says where it stopped. */
	bool (*start)(struct dma_device *d);
	/*
	 * One operation, of a lane that is free: d->batch moves of d->bytes each, from `address`
	 * on. to_memory: the device writes there.
	 */
	void (*submit)(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory);
	/* The lanes that are done, as bits; those that ended with an error are counted. */
	uint64_t (*reap)(struct dma_device *d);
	void (*stop)(struct dma_device *d);
	/* From here on operations bring once more what they brought from the start. NULL: always.
	 */
	void (*rewind)(struct dma_device *d);
	bool several; /* queues, by wanted.count */
	/* What each move brings. NULL: what the device holds, which nobody here knows. */
	const uint8_t *(*brings)(const struct dma_device *d);
	/* Its state in words: a name and a register. */
	const char *(*describe)(struct dma_device *d, uint32_t *value);
};

/* NULL: no driver knows it. */
const struct dma_driver *dma_find(uint16_t vendor, uint16_t device, uint32_t class_code);

/* NVM Express 1.4, a queue of the admin and some of commands. */
struct dma_nvme {
	uint32_t stride; /* bytes from one doorbell to the next */
	uint32_t entries;
	struct dma_queue {
		uint32_t tail, head;
		bool phase;
	} admin, io[DMA_QUEUES];
	uint32_t result; /* of the last command of the admin's */
	uint64_t blocks;
	uint32_t block; /* bytes */
	uint64_t next;	/* block */
	uint64_t random;
};

/* Intel DSA 1.0 and later: dedicated queues. */
struct dma_dsa {
	uint64_t grpcfg, wqcfg; /* where the tables are */
	uint64_t gencap;
	uint32_t stride; /* bytes from one queue's configuration to the next */
	uint32_t slot;	 /* of the portal's page, in turn */
	uint64_t busy;	 /* lanes */
};

/* Intel I/OAT 3: one channel. */
struct dma_ioat {
	uint32_t next; /* descriptor, ever */
	uint32_t head, tail;
	struct dma_ioat_wait {
		uint32_t lane, index; /* of the descriptor that ends it */
	} waits[DMA_LANES];
};

/*
 * Queues that are wanted besides the first, before start: a DSA has them, and an NVMe controller.
 * With PASIDs, which are a DSA's, queue n is under PASID n + 1; without, all are as a single one
 * is.
 */
struct dma_queues {
	unsigned int count; /* 0: one */
	bool pasids;
};

struct dma_device {
	const struct dma_driver *driver;
	struct dma_queues wanted;
	volatile uint8_t *registers; /* BAR 0 where it is mapped */
	/* Else how it is reached; what cannot be read is all ones. */
	uint64_t (*read)(const struct dma_device *d, uint32_t at, unsigned int size);
	void (*write)(const struct dma_device *d, uint32_t at, uint64_t value, unsigned int size);
	/* Of a driver with portals: 64 bytes to BAR 2, behind all stores to memory before it. */
	void (*store64)(struct dma_device *d, uint32_t at, const void *data);
	bool torn; /* store64 makes eight stores of it, for want of MOVDIR64B */
	bool lost; /* the way to it is gone; set by any thread */
	/* Memory as this program and as the device addresses it. */
	uint8_t *memory;
	uint64_t address, size;
	uint64_t patience; /* ticks for one operation */
	/* What the driver found: limits of one operation; lanes are a queue's. */
	unsigned int lanes;
	uint32_t bytes_max, bytes_step, batch_max;
	/* Of the load that runs. */
	uint32_t bytes, batch;
	uint64_t stride; /* from one move of a batch to the next one */
	unsigned int queues, in_row;
	bool own_lanes;
	bool random;   /* where on what the device holds, too */
	uint64_t sent; /* operations */
	uint64_t failed;
	uint32_t error; /* of the last that failed */
	struct dma_nvme nvme;
	struct dma_dsa dsa;
	struct dma_ioat ioat;
	bool busy;	/* edu has one lane */
	const char *at; /* what was tried last, for whoever reads that it failed */
};

struct dma_load {
	uint32_t bytes;	     /* of one move */
	unsigned int batch;  /* moves of one operation */
	unsigned int depth;  /* operations under way */
	unsigned int writes; /* of a hundred; a write changes what the device holds */
	bool random;	     /* where in memory and on a disk; else one place after the other */
	uint64_t size;	     /* of memory that is walked over, above DMA_OWN */
	uint64_t stride;     /* from the begin of one move to that of the next; 0: no gap */
	unsigned int queues; /* that operations go to in turn; 0: one */
	unsigned int in_row; /* so many to one, before the next; 0: one */
	bool own_lanes;	     /* no turns: of depth, each has a share that stays its own */
	uint64_t ramp;	     /* ticks before the load that are not kept */
	uint64_t ticks;	     /* for so long, and at least `least` operations */
	unsigned int least;
};

struct dma_result {
	uint64_t done, ticks; /* operations */
	uint32_t latency[DMA_BUCKETS];
	uint64_t longest; /* latency */
};

/*
 * Whether data arrives: an operation of each lane of the load, all at once, to memory that was
 * wiped; twice, with another pattern each time, and all bytes are looked at; as often as it takes
 * for each queue to have had one. False: they are not what they have to be, or as below.
 */
bool dma_prove(struct dma_device *d, const struct dma_load *load);
/* False: an operation failed or never ended; describe and failed say which. */
bool dma_run(struct dma_device *d, const struct dma_load *load, struct dma_result *result);
unsigned int dma_bucket(uint64_t ticks); /* of dma_result.latency */
/* Ticks below which so many of a thousand operations were. */
uint64_t dma_latency(const struct dma_result *result, unsigned int of_1000);

extern const struct dma_driver dma_edu, dma_nvme_driver, dma_dsa_driver, dma_ioat_driver;
/* The same moves by this CPU's memcpy, for comparison: no device, and found by nobody. */
extern const struct dma_driver dma_cpu;

/* --- for the drivers ------------------------------------------------------------------------- */

/* What drivers that move memory bring: in own memory, with no two words the same. */
#define DMA_SOURCE	 (DMA_OWN / 2)
#define DMA_SOURCE_BYTES (DMA_OWN / 4)
#define DMA_SINK	 (DMA_SOURCE + DMA_SOURCE_BYTES) /* of what does not go to memory; as much */

void dma_fill_source(struct dma_device *d);

/* That the next operation goes to. */
static inline unsigned int dma_next_queue(struct dma_device *d, unsigned int lane)
{
	if (d->own_lanes)
		return lane % d->queues;
	return (unsigned int)(d->sent++ / d->in_row % d->queues);
}

static inline uint64_t dma_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static inline uint8_t dma_read8(const struct dma_device *d, uint32_t at)
{
	if (d->read)
		return (uint8_t)d->read(d, at, 1);
	return *(volatile uint8_t *)(d->registers + at);
}

static inline void dma_write8(struct dma_device *d, uint32_t at, uint8_t value)
{
	if (d->write)
		d->write(d, at, value, 1);
	else
		*(volatile uint8_t *)(d->registers + at) = value;
}

static inline void dma_write16(struct dma_device *d, uint32_t at, uint16_t value)
{
	if (d->write)
		d->write(d, at, value, 2);
	else
		*(volatile uint16_t *)(d->registers + at) = value;
}

static inline uint32_t dma_read32(const struct dma_device *d, uint32_t at)
{
	if (d->read)
		return (uint32_t)d->read(d, at, 4);
	return *(volatile uint32_t *)(d->registers + at);
}

static inline void dma_write32(struct dma_device *d, uint32_t at, uint32_t value)
{
	if (d->write)
		d->write(d, at, value, 4);
	else
		*(volatile uint32_t *)(d->registers + at) = value;
}

static inline uint64_t dma_read64(const struct dma_device *d, uint32_t at)
{
	if (d->read)
		return d->read(d, at, 8);
	return *(volatile uint64_t *)(d->registers + at);
}

static inline void dma_write64(struct dma_device *d, uint32_t at, uint64_t value)
{
	if (d->write)
		d->write(d, at, value, 8);
	else
		*(volatile uint64_t *)(d->registers + at) = value;
}

#endif
