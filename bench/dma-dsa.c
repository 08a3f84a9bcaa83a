/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel DSA: a group with every engine and one dedicated work queue, whose descriptors move memory
 * to memory, alone or in batches; or several queues, each under a PASID, since that of a dedicated
 * queue is its configuration's and no descriptor's. Commands and completion records are polled, and
 * no interrupt is ever asked for. A function that cannot be configured (GENCAP bit 31) is used as
 * it was set up.
 *
 * Own memory: lists of batches at 0, a completion record for each lane at 256 KiB; what moves to
 * memory comes from DMA_SOURCE, and what moves from there goes to DMA_SINK.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapters 3, 8 and 9; the order of
 * Linux's drivers/dma/idxd/device.c. Seen with adit's own function; not yet with one of Intel's.
 */
#include "bench/dma-device.h"
#include "passthrough/adi/dsa-regs.h"

#define AT_BATCHES   0u
#define BATCH_MOST   64u /* descriptors: a page of them a lane */
#define AT_RECORDS   (DMA_LANES * DMA_PAGE)
#define RECORD	     64u /* bytes from one record to the next: a line of the cache each */
#define PORTAL	     DSA_PORTAL_PAGE /* the limited one, as Linux uses it */
#define PORTAL_SLOTS (DSA_PORTAL_PAGE / sizeof(struct dsa_descriptor))
#define GONE	     UINT32_MAX /* what a read of a function that is not there brings */

_Static_assert(BATCH_MOST * sizeof(struct dsa_descriptor) == DMA_PAGE, "a list is a page");
_Static_assert(AT_RECORDS + DMA_LANES * RECORD <= DMA_SOURCE, "records lie below the source");

/* --- registers ------------------------------------------------------------------------------- */

/* To its end. at: what it is, for whoever reads that it failed. */
static bool dsa_command(struct dma_device *d, const char *at, enum dsa_command code,
			uint32_t operand)
{
	d->at = at;
	dma_write32(d, DSA_CMD, (uint32_t)code << DSA_CMD_CODE_SHIFT | operand);
	for (uint64_t end = dma_ticks() + d->patience; dma_ticks() < end;) {
		uint32_t status = dma_read32(d, DSA_CMDSTS);

		if (status == GONE)
			return false;
		if (status & DSA_CMDSTS_ACTIVE)
			continue;
		d->error = status & 0xff;
		return !d->error;
	}
	return false;
}

static uint32_t dsa_wqcfg(const struct dma_device *d, unsigned int queue, unsigned int word)
{
	return (uint32_t)(d->dsa.wqcfg + (uint64_t)queue * d->dsa.stride + 4ULL * word);
}

static unsigned int dsa_queues(const struct dma_device *d)
{
	return d->wanted.count ? d->wanted.count : 1;
}

/* --- set-up ---------------------------------------------------------------------------------- */

/* False: it is not under its PASID. */
static bool dsa_write_queue(struct dma_device *d, unsigned int queue, uint32_t entries)
{
	const uint32_t under = DSA_WQCFG_PASID_ENABLE | DSA_DESCRIPTOR_PASID
								<< DSA_WQCFG_PASID_SHIFT;
	uint32_t mode = DSA_WQCFG_DEDICATED | 1u << DSA_WQCFG_PRIORITY_SHIFT, is;
	uint64_t gencap = d->dsa.gencap, wqcap = dma_read64(d, DSA_WQCAP);
	uint32_t limits = (uint32_t)(gencap >> DSA_GENCAP_MAX_XFER_SHIFT) & 31;

	limits |= ((uint32_t)(gencap >> DSA_GENCAP_MAX_BATCH_SHIFT) & 15) << DSA_WQCFG_BATCH_SHIFT;
	if (d->wanted.pasids)
		mode |= DSA_WQCFG_PASID_ENABLE | (queue + 1) << DSA_WQCFG_PASID_SHIFT;
	dma_write32(d, dsa_wqcfg(d, queue, DSA_WQCFG_ENTRIES), entries);
	dma_write32(d, dsa_wqcfg(d, queue, DSA_WQCFG_THRESHOLD), 0);
	dma_write32(d, dsa_wqcfg(d, queue, DSA_WQCFG_MODE), mode);
	dma_write32(d, dsa_wqcfg(d, queue, DSA_WQCFG_LIMITS), limits);
	for (unsigned int i = 0; i < 8 && wqcap & DSA_WQCAP_OPERATIONS; i++)
		dma_write32(d, dsa_wqcfg(d, queue, DSA_WQCFG_OPERATIONS + i),
			    dma_read32(d, DSA_OPCAP + 4 * i));
	is = dma_read32(d, dsa_wqcfg(d, queue, DSA_WQCFG_MODE));
	return !((is ^ mode) & under);
}

static void dsa_write_group(struct dma_device *d)
{
	uint32_t engines = (uint32_t)dma_read64(d, DSA_ENGCAP) & 0xff;
	uint32_t buffers = (uint32_t)(dma_read64(d, DSA_GRPCAP) >> DSA_GRPCAP_RDBUFS_SHIFT) & 0xff;
	uint32_t at = (uint32_t)d->dsa.grpcfg;

	dma_write64(d, at, (1ULL << dsa_queues(d)) - 1);
	dma_write64(d, at + DSA_GRPCFG_ENGINES, engines < 64 ? (1ULL << engines) - 1 : ~0ULL);
	dma_write64(d, at + DSA_GRPCFG_FLAGS, DSA_GROUP_CLASSES | buffers << DSA_GROUP_RDBUFS);
}

static uint32_t dsa_least(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

/* How much of what: a queue that is full drops what comes, so lanes are no more than its entries.
 */
static bool dsa_shape(struct dma_device *d)
{
	uint64_t gencap = dma_read64(d, DSA_GENCAP), wqcap = dma_read64(d, DSA_WQCAP);
	uint64_t offsets = dma_read64(d, DSA_OFFSETS);
	uint32_t queues = (uint32_t)(wqcap >> DSA_WQCAP_WQS_SHIFT) & 0xff, entries;

	d->dsa = (struct dma_dsa){
		.gencap = gencap,
		.grpcfg = (offsets & 0xffff) * DSA_OFFSET_UNIT,
		.wqcfg = (offsets >> 16 & 0xffff) * DSA_OFFSET_UNIT,
		.stride = DSA_WQCFG_SIZE << (wqcap >> DSA_WQCAP_WQCFG_SHIFT & 15),
	};
	d->at = "its work queues, of which there are too few for this";
	if (queues < dsa_queues(d))
		return false;
	if (gencap & DSA_GENCAP_CONFIG) {
		entries = (uint32_t)(wqcap & 0xffff) / dsa_queues(d);
		/* All sizes together are what there is: the others give theirs up first. */
		for (unsigned int i = dsa_queues(d); i < queues; i++)
			dma_write32(d, dsa_wqcfg(d, i, DSA_WQCFG_ENTRIES), 0);
		d->at = "a work queue that is configured, and is not what was written";
		for (unsigned int i = 0; i < dsa_queues(d); i++) {
			if (!dsa_write_queue(d, i, entries))
				return false;
		}
		dsa_write_group(d);
	} else {
		entries = dma_read32(d, dsa_wqcfg(d, 0, DSA_WQCFG_ENTRIES)) & 0xffff;
		if (d->wanted.count ||
		    !(dma_read32(d, dsa_wqcfg(d, 0, DSA_WQCFG_MODE)) & DSA_WQCFG_DEDICATED))
			return false;
	}
	d->lanes = dsa_least(entries, DMA_LANES);
	d->bytes_step = 1;
	d->bytes_max =
		dsa_least(1ULL << (gencap >> DSA_GENCAP_MAX_XFER_SHIFT & 31), DMA_SOURCE_BYTES);
	d->batch_max = dsa_least(1ULL << (gencap >> DSA_GENCAP_MAX_BATCH_SHIFT & 15), BATCH_MOST);
	return entries;
}

/* --- descriptors ----------------------------------------------------------------------------- */

static uint32_t dsa_record_at(unsigned int lane)
{
	return AT_RECORDS + lane * RECORD;
}

static volatile struct dsa_record *dsa_record(struct dma_device *d, unsigned int lane)
{
	return (volatile struct dsa_record *)(d->memory + dsa_record_at(lane));
}

static void dsa_send(struct dma_device *d, unsigned int queue, unsigned int lane,
		     struct dsa_descriptor *descriptor)
{
	descriptor->flags |= DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD;
	descriptor->record = d->address + dsa_record_at(lane);
	dsa_record(d, lane)->status = 0;
	d->dsa.busy |= 1ULL << lane;
	/* The next 64 bytes of the page each time: stores of one address wait for each other. */
	d->store64(d,
		   queue * DSA_WQ_PORTALS + PORTAL +
			   d->dsa.slot++ % PORTAL_SLOTS * (uint32_t)sizeof(*descriptor),
		   descriptor);
}

static void dsa_describe_move(struct dma_device *d, struct dsa_descriptor *out, uint64_t address,
			      bool to_memory)
{
	*out = (struct dsa_descriptor){
		.flags = (uint32_t)DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT,
		.source = to_memory ? d->address + DMA_SOURCE : address,
		.destination = to_memory ? address : d->address + DMA_SINK,
		.size = d->bytes,
	};
}

static void dsa_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	struct dsa_descriptor descriptor __attribute__((aligned(64)));
	uint32_t at = AT_BATCHES + lane * DMA_PAGE;
	struct dsa_descriptor *list = (struct dsa_descriptor *)(d->memory + at);

	dsa_describe_move(d, &descriptor, address, to_memory);
	if (d->batch > 1) {
		/* Members have no records: one that fails is the batch's failure. */
		for (uint32_t i = 0; i < d->batch; i++)
			dsa_describe_move(d, &list[i], address + i * d->stride, to_memory);
		descriptor = (struct dsa_descriptor){
			.flags = (uint32_t)DSA_OP_BATCH << DSA_OPCODE_SHIFT,
			.source = d->address + at,
			.size = d->batch,
		};
	}
	dsa_send(d, dma_next_queue(d, lane), lane, &descriptor);
}

static uint64_t dsa_reap(struct dma_device *d)
{
	uint64_t done = 0;

	for (uint64_t left = d->dsa.busy; left; left &= left - 1) {
		unsigned int lane = (unsigned int)__builtin_ctzll(left);
		uint8_t status = __atomic_load_n(&dsa_record(d, lane)->status, __ATOMIC_ACQUIRE);

		if (!status)
			continue;
		done |= 1ULL << lane;
		if (status != DSA_STATUS_OK) {
			d->failed++;
			d->error = status;
		}
	}
	d->dsa.busy &= ~done;
	return done;
}

/* Nothing but its record: whether the way to a queue's portal and back works at all. */
static bool dsa_try(struct dma_device *d, unsigned int queue)
{
	struct dsa_descriptor nothing __attribute__((aligned(64))) = { 0 };

	d->at = d->torn ? "its first descriptor, which eight stores made for want of MOVDIR64B: "
			  "adit's own function takes that, one of Intel's does not"
			: "its first descriptor";
	dsa_send(d, queue, 0, &nothing);
	for (uint64_t end = dma_ticks() + d->patience; dma_ticks() < end;) {
		if (__atomic_load_n(&d->lost, __ATOMIC_RELAXED))
			return false;
		if (dsa_reap(d))
			return !d->failed;
	}
	return false;
}

/* --- the driver ------------------------------------------------------------------------------ */

static bool dsa_start(struct dma_device *d)
{
	d->failed = 0;
	dma_fill_source(d);
	if (!dsa_command(d, "its reset", DSA_RESET_DEVICE, 0))
		return false;
	d->at = "its reset, after which it is halted";
	if ((dma_read32(d, DSA_GENSTS) & 3) == DSA_STATE_HALTED)
		return false;
	if (!dsa_shape(d) || !dsa_command(d, "enabling it", DSA_ENABLE_DEVICE, 0))
		return false;
	for (unsigned int i = 0; i < dsa_queues(d); i++) {
		if (!dsa_command(d, "enabling its work queue", DSA_ENABLE_WQ, i) || !dsa_try(d, i))
			return false;
	}
	return true;
}

/* It forgets its queues, so that it writes nowhere any more. */
static void dsa_stop(struct dma_device *d)
{
	dsa_command(d, "its reset at the end", DSA_RESET_DEVICE, 0);
}

static const uint8_t *dsa_brings(const struct dma_device *d)
{
	return d->memory + DMA_SOURCE;
}

static const char *dsa_describe(struct dma_device *d, uint32_t *value)
{
	uint64_t error = dma_read64(d, DSA_SWERR);

	*value = (uint32_t)error;
	if (error != ~0ULL && error & DSA_SWERR_VALID)
		return "SWERR";
	*value = dma_read32(d, DSA_CMDSTS);
	if (*value != GONE && *value & (DSA_CMDSTS_ACTIVE | 0xff))
		return "CMDSTS";
	*value = dma_read32(d, DSA_GENSTS);
	return *value == GONE ? "nobody answers, GENSTS" : "GENSTS";
}

const struct dma_driver dma_dsa_driver = {
	.name = "dsa",
	.vendor = DSA_VENDOR_ID,
	.devices = { DSA_DEVICE_ID, 0x11fb,
		     0x1212 }, /* Sapphire Rapids, Granite Rapids D, Diamond Rapids */
	.portals = true,
	.several = true,
	.start = dsa_start,
	.submit = dsa_submit,
	.reap = dsa_reap,
	.stop = dsa_stop,
	.brings = dsa_brings,
	.describe = dsa_describe,
};
