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
#define DMA_OWN	    (1u << 20) /* bytes at the begin of memory: queues and lists */
#define DMA_PAGE    4096u
#define DMA_BUCKETS (64u * 32u) /* of latencies: 32 for each power of two, 3 % */

struct dma_device;

struct dma_driver {
	const char *name;
	uint16_t vendor, device; /* device 0: any of the class */
	uint32_t class_code;	 /* 0: by its number */
	const char *refused;	 /* why it is known by name only; NULL: it is driven */
	/* From reset to ready; false: describe says where it stopped. */
	bool (*start)(struct dma_device *d);
	/* One operation, of a lane that is free. to_memory: the device writes to `address`. */
	void (*submit)(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory);
	/* The lanes that are done, as bits; those that ended with an error are counted. */
	uint64_t (*reap)(struct dma_device *d);
	void (*stop)(struct dma_device *d);
	/* Its state in words: a name and a register. */
	const char *(*describe)(struct dma_device *d, uint32_t *value);
};

/* NULL: no driver knows it. */
const struct dma_driver *dma_find(uint16_t vendor, uint16_t device, uint32_t class_code);

/* NVM Express 1.4, a queue of the admin and one of commands. */
struct dma_nvme {
	uint32_t stride; /* bytes from one doorbell to the next */
	uint32_t entries;
	struct dma_queue {
		uint32_t tail, head;
		bool phase;
	} admin, io;
	uint64_t blocks;
	uint32_t block; /* bytes */
	uint64_t next;	/* block */
};

struct dma_device {
	const struct dma_driver *driver;
	volatile uint8_t *registers; /* BAR 0 */
	/* Memory as this program and as the device addresses it. */
	uint8_t *memory;
	uint64_t address, size;
	uint64_t patience; /* ticks for one operation */
	/* What the driver found: limits of one operation. */
	unsigned int lanes;
	uint32_t bytes_max, bytes_step;
	/* Of the load that runs. */
	uint32_t bytes;
	uint64_t failed;
	uint32_t error; /* of the last that failed */
	struct dma_nvme nvme;
	bool busy;	/* edu has one lane */
	const char *at; /* what was tried last, for whoever reads that it failed */
};

struct dma_load {
	uint32_t bytes;	     /* of one operation */
	unsigned int depth;  /* under way */
	unsigned int writes; /* of a hundred; a write changes what the device holds */
	bool random;	     /* where in memory; else one place after the other */
	uint64_t size;	     /* of memory that is walked over, above DMA_OWN */
	uint64_t ticks;	     /* for so long, and at least `least` operations */
	unsigned int least;
};

struct dma_result {
	uint64_t done, ticks;
	uint32_t latency[DMA_BUCKETS];
};

/* False: an operation failed or never ended; describe and failed say which. */
bool dma_run(struct dma_device *d, const struct dma_load *load, struct dma_result *result);
unsigned int dma_bucket(uint64_t ticks); /* of dma_result.latency */
/* Ticks below which so many of a thousand operations were. */
uint64_t dma_latency(const struct dma_result *result, unsigned int of_1000);

extern const struct dma_driver dma_edu, dma_nvme_driver;

/* --- for the drivers ------------------------------------------------------------------------- */

static inline uint64_t dma_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static inline uint32_t dma_read32(const struct dma_device *d, uint32_t at)
{
	return *(volatile uint32_t *)(d->registers + at);
}

static inline void dma_write32(struct dma_device *d, uint32_t at, uint32_t value)
{
	*(volatile uint32_t *)(d->registers + at) = value;
}

static inline uint64_t dma_read64(const struct dma_device *d, uint32_t at)
{
	return *(volatile uint64_t *)(d->registers + at);
}

static inline void dma_write64(struct dma_device *d, uint32_t at, uint64_t value)
{
	*(volatile uint64_t *)(d->registers + at) = value;
}

#endif
