/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors on their way to a real DSA: whatever 64 bytes a guest submits, what would reach the
 * device has no PASID, privilege, interrupt or record of the guest's, no opcode that is about other
 * descriptors, and every address in it lies inside what the PASID reaches, or is 0, or is a
 * pattern.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "kvm-glue/internal.h"
#include "passthrough/adi/dsa-hardware.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define WINDOW 0x200000ULL
#define SIZE   0x100000ULL
#define DEVICE 0x7f0000000000ULL
#define PASID  900u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dsa_reach reach = {
	.n = 2,
	.piece = {
		{ WINDOW, SIZE, DEVICE, IOASID_READ | IOASID_WRITE },
		{ WINDOW + SIZE, SIZE, DEVICE + 4 * SIZE, IOASID_READ },
	},
};

static bool inside(uint64_t at)
{
	return range_inside(at, 1, DEVICE, SIZE) || range_inside(at, 1, DEVICE + 4 * SIZE, SIZE);
}

static void check(const struct dsa_descriptor *in, const struct dsa_descriptor *out)
{
	uint32_t opcode = dsa_opcode(out);
	bool pattern = opcode == DSA_OP_FILL, pattern2 = opcode == DSA_OP_COMPARE_PATTERN;

	if (opcode != dsa_opcode(in) || opcode == DSA_OP_BATCH || opcode == DSA_OP_DRAIN)
		abort();
	if (out->pasid != PASID || out->interrupt || out->record || out->size != in->size)
		abort();
	if (out->flags & (DSA_FLAG_INTERRUPT | DSA_FLAG_TRAFFIC_CLASS | DSA_FLAG_BLOCK_ON_FAULT))
		abort();
	if (!pattern && out->source && !inside(out->source))
		abort();
	if (!pattern2 && out->destination && !inside(out->destination))
		abort();
	if (opcode == DSA_OP_DUALCAST && !inside(out->destination2))
		abort();
	if (opcode == DSA_OP_DELTA_CREATE && !inside(out->delta.address))
		abort();
	if ((opcode == DSA_OP_CRC || opcode == DSA_OP_COPY_CRC) && out->crc.seed_address &&
	    !inside(out->crc.seed_address))
		abort();
}

/*
 * Near the borders more often than anywhere: the upper bits of an address choose how. What is 0
 * stays so, since most operations have reserved bytes there.
 */
static uint64_t near(uint64_t raw)
{
	if (!raw)
		return 0;
	switch (raw >> 62) {
	case 0:
		return WINDOW + raw % (2 * SIZE);
	case 1:
		return WINDOW + SIZE - 64 + raw % 128;
	case 2:
		return WINDOW - 64 + raw % 128;
	default:
		return raw;
	}
}

static void one(struct dsa *dsa, const uint8_t *bytes)
{
	struct dsa_job job = { .max_xfer_shift = 28,
			       .max_batch_shift = 10,
			       .block_on_fault = true };
	struct dsa_descriptor *d = &job.descriptor, out;
	static struct dsa_batch batch;
	struct dsa_outcome outcome;
	struct dsa_work work;
	uint64_t fault;

	memcpy(d, bytes, sizeof(*d));
	d->flags = (d->flags & DSA_FLAGS_MASK) | (d->flags >> 24) % (DSA_OPS + 1) << 24;
	d->record &= ~31ULL;
	d->source = near(d->source);
	d->destination = near(d->destination);
	d->destination2 = near(d->destination2);
	if (dsa_opcode(d) == DSA_OP_CRC || dsa_opcode(d) == DSA_OP_COPY_CRC) {
		d->crc.reserved_word = 0;
		d->crc.seed_address = near(d->crc.seed_address) & ~3ULL;
	}
	dsa_work_begin(&work, dsa, NULL, &job, &outcome, &batch);
	if (work.operation && dsa_private_make(&reach, &work, PASID, &out, &fault) == DSA_STATUS_OK)
		check(d, &out);
}

/* Of a function, the checks ask for its vectors and whether it is a bus master. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pci_function function = { .command = PCI_COMMAND_MASTER };
	struct dsa dsa = { .wqs = 2, .function = &function };

	pthread_mutex_init(&dsa.lock, NULL);
	dsa.config.msixperm[0] = DSA_MSIXPERM_IGNORE;
	dsa.config.msixperm[1] = DSA_MSIXPERM_IGNORE;
	for (; size >= sizeof(struct dsa_descriptor); size -= sizeof(struct dsa_descriptor)) {
		one(&dsa, data);
		data += sizeof(struct dsa_descriptor);
	}
	pthread_mutex_destroy(&dsa.lock);
	return 0;
}
