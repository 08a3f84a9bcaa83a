/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel I/OAT (CB DMA, version 3): the first channel, a ring of descriptors that the device walks
 * by itself, and its completion word, which is polled; no interrupt is ever asked for. A batch is a
 * run of descriptors of which the last one only is reported.
 *
 * Own memory: the ring at 0, the completion word at 256 KiB; what moves to memory comes from
 * DMA_SOURCE, and what moves from there goes to DMA_SINK.
 *
 * Source: the register and descriptor descriptions of Linux's drivers/dma/ioat (registers.h, hw.h).
 * **No such device was ever seen**: its test is a model made from the same descriptions.
 */
#include "bench/dma-device.h"

#define IOAT_CHANCNT	0x00u /* 8 bits: channels */
#define IOAT_XFERCAP	0x01u /* 8 bits: log2 of a descriptor's bytes */
#define IOAT_VERSION	0x08u /* 8 bits */
#define IOAT_CHANNEL	0x80u /* the first one's registers: */
#define IOAT_CHANCTRL	0x00u /* 16 bits */
#define IOAT_CHANCMD	0x04u /* 8 bits */
#define IOAT_DMACOUNT	0x06u /* 16 bits: descriptors ever, modulo 2^16 */
#define IOAT_CHANSTS	0x08u /* 64 bits */
#define IOAT_CHAINADDR	0x10u /* 64 bits, in two halves */
#define IOAT_CHANCMP	0x18u /* the same */
#define IOAT_CHANERR	0x28u /* 32 bits, write 1 to clear */
#define IOAT_VERSION_3	0x30u
#define IOAT_VERSION_4	0x40u
#define IOAT_XFER_MASK	0x1fu
#define IOAT_COUNT_MASK 0x1fu

#define CHANCTRL_RUN	 0x001cu /* errors: interrupt, abort, completion write */
#define CHANCMD_SUSPEND	 0x04u
#define CHANCMD_RESET	 0x20u
#define CHANSTS_STATE	 7u
#define CHANSTS_ACTIVE	 0u
#define CHANSTS_HALTED	 3u
#define CHANSTS_ADDRESS	 (~0x3fULL)
#define DESCRIPTOR_WRITE 0x08u /* the completion word, when it is done */
#define DESCRIPTOR_NULL	 0x20u /* nothing moves */

#define REST	    100u  /* how much less than all patience it has to come to rest */
#define RING	    4096u /* descriptors */
#define RUN_MOST    32u	  /* so that no more than half of the ring is under way */
#define AT_RING	    0u
#define AT_COMPLETE 0x40000u

struct ioat_descriptor {
	uint32_t size, control;
	uint64_t source, destination, next;
	uint64_t reserved[4];
};

_Static_assert(sizeof(struct ioat_descriptor) == 64, "hw.h: 64 bytes each");
_Static_assert(RING * sizeof(struct ioat_descriptor) <= AT_COMPLETE, "the ring lies below");
_Static_assert(2 * RUN_MOST * DMA_LANES <= RING, "what is done and what is not can be told apart");
_Static_assert(AT_COMPLETE + DMA_PAGE <= DMA_SOURCE, "and the word below the source");

static uint64_t ioat_place(const struct dma_device *d, uint32_t index)
{
	return d->address + AT_RING + index % RING * sizeof(struct ioat_descriptor);
}

/* By its halves, the lower one first, as Linux does. */
static void ioat_write_address(struct dma_device *d, uint32_t at, uint64_t address)
{
	dma_write32(d, IOAT_CHANNEL + at, (uint32_t)address);
	dma_write32(d, IOAT_CHANNEL + at + 4, (uint32_t)(address >> 32));
}

static uint64_t ioat_completed(const struct dma_device *d)
{
	return __atomic_load_n((const uint64_t *)(d->memory + AT_COMPLETE), __ATOMIC_ACQUIRE);
}

/* --- set-up ---------------------------------------------------------------------------------- */

static bool ioat_reset(struct dma_device *d)
{
	uint64_t end = dma_ticks() + d->patience / REST;

	dma_write8(d, IOAT_CHANNEL + IOAT_CHANCMD, CHANCMD_SUSPEND);
	/* The reset comes anyway, as in Linux. */
	while ((dma_read64(d, IOAT_CHANNEL + IOAT_CHANSTS) & CHANSTS_STATE) == CHANSTS_ACTIVE &&
	       dma_ticks() < end)
		;
	dma_write32(d, IOAT_CHANNEL + IOAT_CHANERR, dma_read32(d, IOAT_CHANNEL + IOAT_CHANERR));
	d->at = "its reset";
	end = dma_ticks() + d->patience;
	dma_write8(d, IOAT_CHANNEL + IOAT_CHANCMD, CHANCMD_RESET);
	while (dma_read8(d, IOAT_CHANNEL + IOAT_CHANCMD) & CHANCMD_RESET) {
		if (dma_ticks() > end)
			return false;
	}
	return true;
}

static void ioat_make_ring(struct dma_device *d)
{
	volatile struct ioat_descriptor *ring =
		(volatile struct ioat_descriptor *)(d->memory + AT_RING);

	for (uint32_t i = 0; i < RING; i++)
		ring[i].next = ioat_place(d, i + 1);
	*(volatile uint64_t *)(d->memory + AT_COMPLETE) = 0;
	d->ioat = (struct dma_ioat){ 0 };
	dma_write16(d, IOAT_CHANNEL + IOAT_CHANCTRL, CHANCTRL_RUN);
	ioat_write_address(d, IOAT_CHANCMP, d->address + AT_COMPLETE);
	ioat_write_address(d, IOAT_CHAINADDR, ioat_place(d, 0));
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void ioat_put(struct dma_device *d, uint32_t control, uint64_t source, uint64_t destination,
		     uint32_t size)
{
	uint32_t index = d->ioat.next++ % RING;
	volatile struct ioat_descriptor *to =
		(volatile struct ioat_descriptor *)(d->memory + AT_RING) + index;

	to->size = size;
	to->control = control;
	to->source = source;
	to->destination = destination;
}

/* What was put is the device's from here on; its last one is what this lane waits for. */
static void ioat_issue(struct dma_device *d, unsigned int lane)
{
	struct dma_ioat *ioat = &d->ioat;

	ioat->waits[ioat->tail++ % DMA_LANES] = (struct dma_ioat_wait){ lane, ioat->next - 1 };
	/* x86 keeps stores in order, the compiler need not. */
	__asm__ volatile("" : : : "memory");
	dma_write16(d, IOAT_CHANNEL + IOAT_DMACOUNT, (uint16_t)ioat->next);
}

static void ioat_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	uint64_t source = d->address + DMA_SOURCE, sink = d->address + DMA_SINK;

	for (uint32_t i = 0; i < d->batch; i++, address += d->stride)
		ioat_put(d, i + 1 == d->batch ? DESCRIPTOR_WRITE : 0, to_memory ? source : address,
			 to_memory ? address : sink, d->bytes);
	ioat_issue(d, lane);
}

/* Descriptors end in their order: what was issued before the reported one is done as well. */
static uint64_t ioat_reap(struct dma_device *d)
{
	struct dma_ioat *ioat = &d->ioat;
	uint64_t word = ioat_completed(d), done = 0, at = word & CHANSTS_ADDRESS;
	uint32_t last = (uint32_t)((at - d->address - AT_RING) / sizeof(struct ioat_descriptor));

	if ((word & CHANSTS_STATE) == CHANSTS_HALTED) {
		d->failed++;
		d->error = dma_read32(d, IOAT_CHANNEL + IOAT_CHANERR);
		return 0;
	}
	if (!at || last >= RING)
		return 0;
	while (ioat->head != ioat->tail) {
		const struct dma_ioat_wait *wait = &ioat->waits[ioat->head % DMA_LANES];

		if ((last - wait->index) % RING >= RING / 2)
			break;
		done |= 1ULL << wait->lane;
		ioat->head++;
	}
	return done;
}

/* A descriptor that moves nothing: whether the ring is walked at all. */
static bool ioat_try(struct dma_device *d)
{
	d->at = "its first descriptor";
	ioat_put(d, DESCRIPTOR_NULL | DESCRIPTOR_WRITE, 0, 0, 1);
	ioat_issue(d, 0);
	for (uint64_t end = dma_ticks() + d->patience; dma_ticks() < end;) {
		if (ioat_reap(d))
			return true;
		if (d->failed)
			return false;
	}
	return false;
}

/* --- the driver ------------------------------------------------------------------------------ */

static bool ioat_start(struct dma_device *d)
{
	uint8_t version = dma_read8(d, IOAT_VERSION), log;

	d->failed = 0;
	d->at = "its version, which is none of 3";
	if (version < IOAT_VERSION_3 || version >= IOAT_VERSION_4)
		return false;
	log = dma_read8(d, IOAT_XFERCAP) & IOAT_XFER_MASK;
	d->at = "its channels, of which there are none";
	if (!(dma_read8(d, IOAT_CHANCNT) & IOAT_COUNT_MASK) || !log)
		return false;
	d->lanes = DMA_LANES;
	d->bytes_step = 1;
	d->bytes_max = 1U << log < DMA_SOURCE_BYTES ? 1U << log : DMA_SOURCE_BYTES;
	d->batch_max = RUN_MOST;
	dma_fill_source(d);
	if (!ioat_reset(d))
		return false;
	ioat_make_ring(d);
	return ioat_try(d);
}

static void ioat_stop(struct dma_device *d)
{
	(void)ioat_reset(d);
}

static const uint8_t *ioat_brings(const struct dma_device *d)
{
	return d->memory + DMA_SOURCE;
}

static const char *ioat_describe(struct dma_device *d, uint32_t *value)
{
	*value = dma_read32(d, IOAT_CHANNEL + IOAT_CHANERR);
	if (*value)
		return "CHANERR";
	*value = (uint32_t)dma_read64(d, IOAT_CHANNEL + IOAT_CHANSTS);
	return "CHANSTS";
}

const struct dma_driver dma_ioat_driver = {
	.name = "ioat",
	.vendor = 0x8086,
	/* Skylake, Ice Lake, Broadwell (a function a channel) */
	.devices = { 0x2021, 0x0b00, 0x6f20, 0x6f21, 0x6f22, 0x6f23, 0x6f24, 0x6f25, 0x6f26,
		     0x6f27 },
	.start = ioat_start,
	.submit = ioat_submit,
	.reap = ioat_reap,
	.stop = ioat_stop,
	.brings = ioat_brings,
	.describe = ioat_describe,
};
