/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors and batches as a hostile guest makes them, carried out by the software engine on this
 * thread. Checked after each: nothing outside the window changed; it ended with a status; and where
 * it was not refused, memory and record are what the unit tests' second writing-down of all
 * operations has.
 */
#include "tests/fuzz/dsa-stand-in.h"
#include "tests/unit/dsa-reference.h"

#define MEMORY	    (16 * 4096u)
#define WINDOW	    (4 * 4096u) /* eight pages from here on are reachable, at their own address */
#define WINDOW_SIZE (8 * 4096u)
#define RECORDS	    (13 * 4096u) /* one page more, at RECORD_IOVA: away from what moves */
#define RECORD_IOVA (1ULL << 40)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	struct stand_in at;
	struct ioasid_space *space;
	struct dsa *dsa;
	struct ioasid_dma *dma;
	uint8_t before[WINDOW_SIZE];
};

/* --- descriptors ----------------------------------------------------------------------------- */

/* Mostly in the window or around its borders; at times anywhere. */
static uint64_t address(struct input *in)
{
	uint64_t raw = take(in, 3);

	if (raw >> 20 == 0xf)
		return take(in, 8);
	raw = WINDOW - 64 + (raw & 0xffff) % (WINDOW_SIZE + 128);
	return raw & 1 ? raw : raw & ~7ULL;
}

/* How a record's address is wrong is chosen too. */
static uint64_t record(struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);

	if (how < 0xe0)
		return RECORD_IOVA + (how & 0x7f) * 32ULL;
	return address(in) & (how & 1 ? ~0ULL : ~31ULL);
}

static struct dsa_descriptor descriptor(struct input *in)
{
	uint32_t opcode = (uint32_t)take(in, 1) % (DSA_OPS + 1);
	uint8_t how = (uint8_t)take(in, 1);
	struct dsa_descriptor d = { .pasid = how,
				    .flags = opcode << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
					     DSA_FLAG_RECORD,
				    .record = record(in) };

	if (how & 1)
		d.flags ^= (uint32_t)take(in, 3) & DSA_FLAGS_MASK;
	if (opcode != DSA_OP_NOOP && opcode != DSA_OP_CACHE_FLUSH && opcode != DSA_OP_DRAIN)
		d.source = address(in);
	if (opcode >= DSA_OP_MEMMOVE && opcode != DSA_OP_CRC && opcode != DSA_OP_DIF_CHECK)
		d.destination = address(in);
	if (opcode != DSA_OP_NOOP && opcode != DSA_OP_DRAIN)
		d.size = (uint32_t)take(in, 2);
	if (opcode == DSA_OP_BATCH)
		d.size = d.size % 70;
	if (how & 2)
		d.size = d.size / 520 * 520;
	if (how & 4)
		d.size &= ~7u;
	if (how & 8) {
		d.destination2 = address(in);
		d.delta.max_size = (uint32_t)take(in, 1) * 10;
	}
	if (opcode == DSA_OP_DELTA_APPLY)
		d.delta_size = (uint32_t)take(in, 1) * 10;
	for (unsigned int n = how >> 4 & 3; n; n--)
		((uint8_t *)&d)[take(in, 1) % sizeof(d)] = (uint8_t)take(in, 1);
	return d;
}

/* --- running --------------------------------------------------------------------------------- */

static bool goes_down(const struct dsa_descriptor *d)
{
	return dsa_opcode(d) == DSA_OP_MEMMOVE && d->destination > d->source &&
	       d->destination - d->source < d->size;
}

/* The reference speaks of it: it was carried out, and its record lies apart. */
static bool comparable(const struct dsa_descriptor *d, uint8_t status)
{
	uint32_t opcode = dsa_opcode(d);

	if ((status & ~DSA_STATUS_WRITE) >= DSA_STATUS_OPCODE || opcode < DSA_OP_MEMMOVE)
		return false;
	if (d->record < RECORD_IOVA || d->record >= RECORD_IOVA + 4096)
		return false;
	return status == DSA_STATUS_OK || !goes_down(d);
}

static bool crosses_the_end(const struct dsa_descriptor *d)
{
	return range_wraps(d->source, MEMORY) || range_wraps(d->destination, MEMORY) ||
	       range_wraps(d->destination2, MEMORY) || range_wraps(d->crc.seed_address, MEMORY) ||
	       d->source >= RECORD_IOVA - MEMORY || d->destination >= RECORD_IOVA - MEMORY;
}

static void compare(struct rig *rig, const struct dsa_descriptor *d,
		    const struct dsa_outcome *outcome)
{
	struct reference ref = { .flat = rig->before, .base = WINDOW, .size = WINDOW_SIZE };
	struct dsa_record *at =
		(struct dsa_record *)(rig->at.memory + RECORDS + (d->record - RECORD_IOVA));

	ref_run(&ref, d);
	if (ref.status != outcome->status || ref.result != outcome->result ||
	    ref.bytes != outcome->bytes || ref.fault != outcome->fault ||
	    memcmp(ref.words, outcome->words, sizeof(ref.words)) != 0)
		abort();
	if (memcmp(rig->before, rig->at.memory + WINDOW, WINDOW_SIZE) != 0)
		abort();
	if (d->flags & DSA_FLAG_RECORD_VALID && outcome->status != DSA_STATUS_OK &&
	    at->status != outcome->status)
		abort();
}

static void run(struct rig *rig, struct input *in)
{
	struct dsa_job job = { .descriptor = descriptor(in),
			       .host = IOASID_PASID_NONE,
			       .max_xfer_shift = 17,
			       .max_batch_shift = 6,
			       .block_on_fault = true };
	struct dsa_outcome outcome;

	memcpy(rig->before, rig->at.memory + WINDOW, WINDOW_SIZE);
	dsa_execute(rig->dsa, rig->dma, &job, &outcome);
	if (!outcome.status)
		abort();
	dsa_report_end(rig->dsa, rig->dma, &job, &outcome);
	if (comparable(&job.descriptor, outcome.status) && !crosses_the_end(&job.descriptor) &&
	    !(job.descriptor.flags & DSA_FLAG_BLOCK_ON_FAULT))
		compare(rig, &job.descriptor, &outcome);
}

/* Into the window: lists of descriptors, delta records, DIF blocks. */
static void poke(struct rig *rig, struct input *in)
{
	uint32_t at = WINDOW + (uint32_t)take(in, 2) % WINDOW_SIZE;

	if (take(in, 1) & 1) {
		struct dsa_descriptor d = descriptor(in);

		memcpy(rig->at.memory + (at & ~63u), &d, sizeof(d));
		return;
	}
	for (unsigned int n = (unsigned int)take(in, 1); n && at < WINDOW + WINDOW_SIZE; n--)
		rig->at.memory[at++] = (uint8_t)take(in, 1);
}

static void check_memory(const struct rig *rig)
{
	for (unsigned int i = 0; i < MEMORY; i++) {
		bool reachable = (i >= WINDOW && i < WINDOW + WINDOW_SIZE) ||
				 (i >= RECORDS && i < RECORDS + 4096);

		if (!reachable && rig->at.memory[i] != UNTOUCHED)
			abort();
	}
}

/* --- building -------------------------------------------------------------------------------- */

static void build(struct rig *rig)
{
	static const struct dsa_options options = {
		.id = "dsa",
		.wqs = 1,
		.wq = { { .size = 4 } },
		.engines = 1,
	};
	struct stand_in *at = &rig->at;

	stand_in_open(at, MEMORY);
	memset(at->memory + WINDOW, 0, WINDOW_SIZE);
	rig->space = stand_in_space(at, "window", WINDOW, WINDOW_SIZE, IOASID_READ | IOASID_WRITE);
	must(ioasid_map_hva(rig->space, RECORD_IOVA, 4096, at->memory + RECORDS,
			    IOASID_READ | IOASID_WRITE, NULL));
	must(dsa_create(&rig->dsa, &at->vm, at->ctx, rig->space, &options, NULL));
	stand_in_add(at, rig->dsa);
	dsa_function(rig->dsa)->command = 6; /* memory, bus master */
	must(ioasid_dma_open(at->ctx, &rig->dma, NULL));
}

static void destroy(struct rig *rig)
{
	ioasid_dma_close(rig->dma);
	stand_in_close(&rig->at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, MIN(size, (size_t)4096) };
	struct rig *rig = calloc(1, sizeof(*rig));

	if (!rig)
		abort();
	build(rig);
	while (in.left) {
		if (take(&in, 1) & 3)
			run(rig, &in);
		else
			poke(rig, &in);
	}
	check_memory(rig);
	destroy(rig);
	free(rig);
	return 0;
}
