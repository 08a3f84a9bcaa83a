/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NVMe controller (NVM Express 1.4) with its admin queue and one or several queues of reads and
 * writes of namespace 1, polled: no interrupt is ever enabled. Reads change nothing on it.
 *
 * Own memory: admin queues at 0 and 4 KiB, answers of Identify at 16 KiB, from 64 KiB on a page of
 * addresses (section 4.3) for each lane, and behind them two pages for each pair of queues.
 */
#include "bench/dma-device.h"

#define NVME_CLASS 0x010802u

#define REG_CAP	  0x00u
#define REG_CC	  0x14u
#define REG_CSTS  0x1cu
#define REG_AQA	  0x24u
#define REG_ASQ	  0x28u
#define REG_ACQ	  0x30u
#define DOORBELLS 0x1000u

#define CC_ENABLE   0x00460001u /* entries of 64 and 16 bytes, pages of 4 KiB */
#define CSTS_READY  1u
#define CSTS_FAILED 2u

#define ADMIN_CREATE_SQ 0x01u
#define ADMIN_CREATE_CQ 0x05u
#define ADMIN_IDENTIFY	0x06u
#define ADMIN_SET	0x09u
#define FEATURE_QUEUES	0x07u
#define IO_WRITE	0x01u
#define IO_READ		0x02u
#define CONTIGUOUS	1u

#define ADMIN_ENTRIES 16u
#define IO_ENTRIES    64u /* a page of commands */
#define AT_ADMIN_SQ   0u
#define AT_ADMIN_CQ   0x1000u
#define AT_IDENTIFY   0x4000u
#define AT_LISTS      0x10000u
#define AT_IO	      (AT_LISTS + DMA_LANES * DMA_PAGE)
#define IO_BYTES      (2 * DMA_PAGE) /* of a pair: commands, and completions behind them */

#define IDENTIFY_MDTS  77u  /* of the controller: largest transfer, a power of two of pages */
#define IDENTIFY_FLBAS 26u  /* of a namespace: its format's number */
#define IDENTIFY_LBAF  128u /* and the formats, 4 bytes each */

struct command {
	uint32_t opcode, nsid;
	uint64_t reserved, metadata, prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, id, status; /* bit 0 of status: the phase */
};

_Static_assert(sizeof(struct command) == 64, "NVM Express 1.4, section 4.2");
_Static_assert(sizeof(struct completion) == 16, "NVM Express 1.4, section 4.6");
_Static_assert(AT_IO + DMA_QUEUES * IO_BYTES <= DMA_OWN, "lists and queues lie in own memory");

static unsigned int nvme_queues(const struct dma_device *d)
{
	return d->wanted.count ? d->wanted.count : 1;
}

static uint32_t nvme_commands(unsigned int queue)
{
	return AT_IO + queue * IO_BYTES;
}

static uint32_t nvme_completions(unsigned int queue)
{
	return nvme_commands(queue) + DMA_PAGE;
}

static bool nvme_wait_ready(struct dma_device *d, uint32_t ready)
{
	for (uint64_t end = dma_ticks() + d->patience; dma_ticks() < end;) {
		if ((dma_read32(d, REG_CSTS) & CSTS_READY) == ready)
			return true;
	}
	return false;
}

static void nvme_ring(struct dma_device *d, unsigned int queue, bool completions, uint32_t value)
{
	/* x86 keeps stores in order, the compiler need not. */
	__asm__ volatile("" : : : "memory");
	dma_write32(d, DOORBELLS + (2 * queue + completions) * d->nvme.stride, value);
}

/* The next completion's identifier and status; false: there is none yet. */
static bool nvme_next(struct dma_device *d, struct dma_queue *queue, uint32_t at, uint32_t entries,
		      uint16_t *id, uint16_t *status)
{
	volatile struct completion *c =
		(volatile struct completion *)(d->memory + at) + queue->head;
	uint16_t word = c->status;

	if ((word & 1) != queue->phase)
		return false;
	__asm__ volatile("" : : : "memory");
	d->nvme.result = c->result;
	*id = c->id;
	*status = word >> 1;
	if (++queue->head == entries) {
		queue->head = 0;
		queue->phase = !queue->phase;
	}
	return true;
}

/* One command of the admin queue, to its end; at: what it is, for whoever reads that it failed. */
static bool nvme_admin(struct dma_device *d, const char *at, const struct command *command)
{
	struct dma_queue *admin = &d->nvme.admin;
	volatile struct command *slot =
		(volatile struct command *)(d->memory + AT_ADMIN_SQ) + admin->tail;
	uint16_t id, status;

	d->at = at;
	*slot = *command;
	admin->tail = (admin->tail + 1) % ADMIN_ENTRIES;
	nvme_ring(d, 0, false, admin->tail);
	for (uint64_t end = dma_ticks() + d->patience; dma_ticks() < end;) {
		if (!nvme_next(d, admin, AT_ADMIN_CQ, ADMIN_ENTRIES, &id, &status))
			continue;
		nvme_ring(d, 0, true, admin->head);
		d->error = status;
		return !status;
	}
	return false;
}

static bool nvme_identify(struct dma_device *d)
{
	const volatile uint8_t *answer = d->memory + AT_IDENTIFY;
	struct command command = { .opcode = ADMIN_IDENTIFY,
				   .prp1 = d->address + AT_IDENTIFY,
				   .cdw10 = 1 };
	uint64_t blocks = 0;
	uint8_t shift;

	if (!nvme_admin(d, "Identify of the controller", &command))
		return false;
	/* 0: no limit. Of a list there is one page: 512 pages and the first one. */
	shift = answer[IDENTIFY_MDTS];
	d->bytes_max = shift && shift < 9 ? DMA_PAGE << shift : DMA_PAGE << 9;
	command.nsid = 1;
	command.cdw10 = 0;
	if (!nvme_admin(d, "Identify of namespace 1", &command))
		return false;
	for (unsigned int i = 0; i < 8; i++)
		blocks |= (uint64_t)answer[i] << 8 * i;
	shift = answer[IDENTIFY_LBAF + 4 * (answer[IDENTIFY_FLBAS] & 15) + 2];
	d->at = "the format of namespace 1";
	if (!blocks || shift < 9 || shift > 12)
		return false;
	d->batch_max = 1;
	d->nvme.blocks = blocks;
	d->nvme.block = 1u << shift;
	d->bytes_step = d->nvme.block;
	return true;
}

/* A controller may give fewer than it is asked for; of one it is not asked. Section 5.21.1.7. */
static bool nvme_ask_for_queues(struct dma_device *d)
{
	const uint32_t more = nvme_queues(d) - 1;
	const struct command command = { .opcode = ADMIN_SET,
					 .cdw10 = FEATURE_QUEUES,
					 .cdw11 = more << 16 | more };

	if (!more)
		return true;
	if (!nvme_admin(d, "Set Features of the number of queues", &command))
		return false;
	d->at = "its queues, of which there are too few for this";
	return (d->nvme.result & 0xffff) >= more && d->nvme.result >> 16 >= more;
}

static bool nvme_create_pair(struct dma_device *d, unsigned int queue)
{
	struct command command = {
		.opcode = ADMIN_CREATE_CQ,
		.prp1 = d->address + nvme_completions(queue),
		.cdw10 = (d->nvme.entries - 1) << 16 | (queue + 1),
		.cdw11 = CONTIGUOUS,
	};

	if (!nvme_admin(d, "Create I/O Completion Queue", &command))
		return false;
	command.opcode = ADMIN_CREATE_SQ;
	command.prp1 = d->address + nvme_commands(queue);
	command.cdw11 = (queue + 1) << 16 | CONTIGUOUS;
	return nvme_admin(d, "Create I/O Submission Queue", &command);
}

static bool nvme_create_queues(struct dma_device *d)
{
	for (unsigned int queue = 0; queue < nvme_queues(d); queue++) {
		d->nvme.io[queue].phase = true;
		if (!nvme_create_pair(d, queue))
			return false;
	}
	return true;
}

static bool nvme_start(struct dma_device *d)
{
	uint64_t cap = dma_read64(d, REG_CAP);
	uint32_t most = (uint32_t)(cap & 0xffff) + 1;

	d->nvme = (struct dma_nvme){ .admin.phase = true };
	d->at = "to stop";
	d->nvme.stride = 4u << (cap >> 32 & 15);
	d->nvme.entries = most < IO_ENTRIES ? most : IO_ENTRIES;
	d->lanes = d->nvme.entries - 1; /* a full queue has one entry free */
	for (uint32_t i = 0; i < AT_LISTS / 8; i++)
		((volatile uint64_t *)d->memory)[i] = 0;
	for (uint32_t i = AT_IO / 8; i < nvme_commands(nvme_queues(d)) / 8; i++)
		((volatile uint64_t *)d->memory)[i] = 0;
	dma_write32(d, REG_CC, 0);
	if (!nvme_wait_ready(d, 0))
		return false;
	dma_write32(d, REG_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
	dma_write64(d, REG_ASQ, d->address + AT_ADMIN_SQ);
	dma_write64(d, REG_ACQ, d->address + AT_ADMIN_CQ);
	dma_write32(d, REG_CC, CC_ENABLE);
	d->at = "to become ready";
	return nvme_wait_ready(d, CSTS_READY) && nvme_identify(d) && nvme_ask_for_queues(d) &&
	       nvme_create_queues(d);
}

/* Section 4.3: the second page's address, or that of a list of all but the first. */
static uint64_t nvme_second(struct dma_device *d, unsigned int lane, uint64_t address)
{
	uint32_t at = AT_LISTS + lane * DMA_PAGE, pages = (d->bytes + DMA_PAGE - 1) / DMA_PAGE;
	volatile uint64_t *list = (volatile uint64_t *)(d->memory + at);

	if (pages <= 2)
		return pages == 2 ? address + DMA_PAGE : 0;
	for (uint32_t page = 1; page < pages; page++)
		list[page - 1] = address + (uint64_t)page * DMA_PAGE;
	return d->address + at;
}

/* Where on the namespace: one place after the other, or any multiple of what is moved. */
static uint64_t nvme_place(struct dma_device *d, uint32_t blocks)
{
	struct dma_nvme *nvme = &d->nvme;

	if (d->random) {
		nvme->random = nvme->random * 6364136223846793005u + 1442695040888963407u;
		return (nvme->random >> 16) % (nvme->blocks / blocks) * blocks;
	}
	if (nvme->next + blocks > nvme->blocks)
		nvme->next = 0;
	nvme->next += blocks;
	return nvme->next - blocks;
}

static void nvme_submit(struct dma_device *d, unsigned int lane, uint64_t address, bool to_memory)
{
	struct dma_nvme *nvme = &d->nvme;
	uint32_t blocks = d->bytes / nvme->block;
	uint64_t place = nvme_place(d, blocks);
	unsigned int number = dma_next_queue(d, lane);
	struct dma_queue *queue = &nvme->io[number];
	volatile struct command *slot =
		(volatile struct command *)(d->memory + nvme_commands(number)) + queue->tail;

	*slot = (struct command){
		.opcode = (to_memory ? IO_READ : IO_WRITE) | lane << 16,
		.nsid = 1,
		.prp1 = address,
		.prp2 = nvme_second(d, lane, address),
		.cdw10 = (uint32_t)place,
		.cdw11 = (uint32_t)(place >> 32),
		.cdw12 = blocks - 1,
	};
	queue->tail = (queue->tail + 1) % nvme->entries;
	nvme_ring(d, 1 + number, false, queue->tail);
}

static uint64_t nvme_reap_queue(struct dma_device *d, unsigned int number)
{
	struct dma_queue *queue = &d->nvme.io[number];
	uint64_t done = 0;
	uint16_t id, status;

	while (nvme_next(d, queue, nvme_completions(number), d->nvme.entries, &id, &status)) {
		if (status || id >= DMA_LANES) {
			d->failed++;
			d->error = status;
		}
		done |= 1ULL << id % DMA_LANES;
	}
	if (done)
		nvme_ring(d, 1 + number, true, queue->head);
	return done;
}

static uint64_t nvme_reap(struct dma_device *d)
{
	uint64_t done = 0;

	for (unsigned int number = 0; number < d->queues; number++)
		done |= nvme_reap_queue(d, number);
	return done;
}

/* Off, so that it writes nowhere any more. */
static void nvme_stop(struct dma_device *d)
{
	dma_write32(d, REG_CC, 0);
	nvme_wait_ready(d, 0);
}

/* Reads begin with the namespace's first block. */
static void nvme_rewind(struct dma_device *d)
{
	d->nvme.next = 0;
}

static const char *nvme_describe(struct dma_device *d, uint32_t *value)
{
	*value = dma_read32(d, REG_CSTS);
	return *value & CSTS_FAILED ? "CSTS, a fatal status" : "CSTS";
}

const struct dma_driver dma_nvme_driver = {
	.name = "nvme",
	.class_code = NVME_CLASS,
	.several = true,
	.start = nvme_start,
	.submit = nvme_submit,
	.reap = nvme_reap,
	.stop = nvme_stop,
	.rewind = nvme_rewind,
	.describe = nvme_describe,
};
