/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors and batches as a hostile guest makes them, carried out by the software engine on this
 * thread. Checked after each: nothing outside the window changed; it ended with a status; and where
 * it was not refused, memory and record are what the unit tests' second writing-down of all
 * operations has.
 */
#include <stdlib.h>

#include "kvm-glue/internal.h"
#include "passthrough/adi/dsa-internal.h"
#include "passthrough/pci/internal.h"
#include "tests/unit/dsa-reference.h"
#include "util/bits.h"

#define MEMORY	    (16 * 4096u)
#define WINDOW	    (4 * 4096u) /* eight pages from here on are reachable, at their own address */
#define WINDOW_SIZE (8 * 4096u)
#define RECORDS	    (13 * 4096u) /* one page more, at RECORD_IOVA: away from what moves */
#define RECORD_IOVA (1ULL << 40)
#define UNTOUCHED   0xc7
#define ECAM	    0xe0000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	struct vm vm;
	struct epoch_reader reader;
	struct pci_bus *bus;
	struct ioasid_ctx *ctx;
	struct ioasid_space *space;
	struct dsa *dsa;
	struct ioasid_dma *dma;
	uint8_t *memory;
	uint8_t before[WINDOW_SIZE];
};

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	unsigned int n = (unsigned int)MIN((size_t)bytes, in->left);
	uint64_t value = load_le(in->data, n);

	in->data += n;
	in->left -= n;
	return value;
}

static void must(int ret)
{
	if (ret)
		abort();
}

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
		(struct dsa_record *)(rig->memory + RECORDS + (d->record - RECORD_IOVA));

	ref_run(&ref, d);
	if (ref.status != outcome->status || ref.result != outcome->result ||
	    ref.bytes != outcome->bytes || ref.fault != outcome->fault ||
	    memcmp(ref.words, outcome->words, sizeof(ref.words)) != 0)
		abort();
	if (memcmp(rig->before, rig->memory + WINDOW, WINDOW_SIZE) != 0)
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

	memcpy(rig->before, rig->memory + WINDOW, WINDOW_SIZE);
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

		memcpy(rig->memory + (at & ~63u), &d, sizeof(d));
		return;
	}
	for (unsigned int n = (unsigned int)take(in, 1); n && at < WINDOW + WINDOW_SIZE; n--)
		rig->memory[at++] = (uint8_t)take(in, 1);
}

static void check_memory(const struct rig *rig)
{
	for (unsigned int i = 0; i < MEMORY; i++) {
		bool reachable = (i >= WINDOW && i < WINDOW + WINDOW_SIZE) ||
				 (i >= RECORDS && i < RECORDS + 4096);

		if (!reachable && rig->memory[i] != UNTOUCHED)
			abort();
	}
}

/* --- building -------------------------------------------------------------------------------- */

static void deliver(void *arg, const struct msi_message *message)
{
	(void)arg;
	(void)message;
}

static void build_memory(struct rig *rig)
{
	const struct ioasid_space_options options = { .name = "window", .pasid_capable = true };

	rig->memory = aligned_alloc(4096, MEMORY);
	if (!rig->memory)
		abort();
	memset(rig->memory, UNTOUCHED, MEMORY);
	memset(rig->memory + WINDOW, 0, WINDOW_SIZE);
	must(ioasid_ctx_open(&rig->ctx, IOASID_PROVIDER_SOFT, NULL, NULL));
	must(ioasid_alloc(rig->ctx, &options, &rig->space, NULL));
	must(ioasid_map_hva(rig->space, WINDOW, WINDOW_SIZE, rig->memory + WINDOW,
			    IOASID_READ | IOASID_WRITE, NULL));
	must(ioasid_map_hva(rig->space, RECORD_IOVA, 4096, rig->memory + RECORDS,
			    IOASID_READ | IOASID_WRITE, NULL));
}

static void build(struct rig *rig)
{
	static const struct pci_bus_options windows = {
		.mem32 = { 0xc0000000, MIB },
		.mem64 = { 1ULL << 40, MIB },
		.ecam_base = ECAM,
	};
	static const struct dsa_options options = {
		.id = "dsa",
		.wqs = 1,
		.wq = { { .size = 4 } },
		.engines = 1,
	};

	rig->vm.fd = rig->vm.kvm_fd = -1;
	epoch_init(&rig->vm.epoch);
	must(iomap_init(&rig->vm.mmio, &rig->vm.epoch));
	must(iomap_init(&rig->vm.pio, &rig->vm.epoch));
	epoch_join(&rig->vm.epoch, &rig->reader);
	must(pci_bus_create(&rig->bus, &rig->vm, &windows, NULL));
	build_memory(rig);
	must(dsa_create(&rig->dsa, &rig->vm, rig->ctx, rig->space, &options, NULL));
	dsa_function(rig->dsa)->msix->deliver = deliver;
	must(pci_bus_add(rig->bus, dsa_function(rig->dsa), 1, NULL));
	dsa_function(rig->dsa)->command = 6; /* memory, bus master */
	must(ioasid_dma_open(rig->ctx, &rig->dma, NULL));
}

static void destroy(struct rig *rig)
{
	ioasid_dma_close(rig->dma);
	pci_bus_destroy(rig->bus);
	ioasid_ctx_close(rig->ctx);
	epoch_leave(&rig->vm.epoch, &rig->reader);
	iomap_destroy(&rig->vm.mmio);
	iomap_destroy(&rig->vm.pio);
	epoch_destroy(&rig->vm.epoch);
	free(rig->memory);
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
