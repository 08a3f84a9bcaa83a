/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzers of the virtual DSA stand on: their input, and a VM without KVM that has memory,
 * a bus and a context of I/O address spaces. A failure of these is a bug of the fuzzer.
 */
#ifndef ADIT_TESTS_FUZZ_DSA_STAND_IN_H
#define ADIT_TESTS_FUZZ_DSA_STAND_IN_H

#include <stdlib.h>
#include <string.h>

#include "kvm-glue/internal.h"
#include "passthrough/adi/dsa-internal.h"
#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define ECAM	  0xe0000000ULL
#define UNTOUCHED 0xc7 /* every byte of memory, to begin with */

struct stand_in {
	struct vm vm;
	struct epoch_reader reader;
	struct pci_bus *bus;
	struct ioasid_ctx *ctx;
	uint8_t *memory;
};

struct input {
	const uint8_t *data;
	size_t left;
};

static inline uint64_t take(struct input *in, unsigned int bytes)
{
	unsigned int n = (unsigned int)MIN((size_t)bytes, in->left);
	uint64_t value = load_le(in->data, n);

	in->data += n;
	in->left -= n;
	return value;
}

static inline void must(int ret)
{
	if (ret)
		abort();
}

static inline void stand_in_open(struct stand_in *at, size_t memory)
{
	static const struct pci_bus_options windows = {
		.mem32 = { 0xc0000000, MIB },
		.mem64 = { 1ULL << 40, MIB },
		.ecam_base = ECAM,
	};

	at->vm.fd = at->vm.kvm_fd = -1;
	epoch_init(&at->vm.epoch);
	must(iomap_init(&at->vm.mmio, &at->vm.epoch));
	must(iomap_init(&at->vm.pio, &at->vm.epoch));
	epoch_join(&at->vm.epoch, &at->reader);
	must(pci_bus_create(&at->bus, &at->vm, &windows, NULL));
	at->memory = aligned_alloc(4096, memory);
	if (!at->memory)
		abort();
	memset(at->memory, UNTOUCHED, memory);
	must(ioasid_ctx_open(&at->ctx, IOASID_PROVIDER_SOFT, NULL, NULL));
}

static inline void stand_in_close(struct stand_in *at)
{
	pci_bus_destroy(at->bus);
	ioasid_ctx_close(at->ctx);
	epoch_leave(&at->vm.epoch, &at->reader);
	iomap_destroy(&at->vm.mmio);
	iomap_destroy(&at->vm.pio);
	epoch_destroy(&at->vm.epoch);
	free(at->memory);
}

/* `size` bytes of memory at their own address. */
static inline struct ioasid_space *stand_in_space(struct stand_in *at, const char *name,
						  uint64_t iova, uint64_t size, unsigned int rights)
{
	const struct ioasid_space_options options = { .name = name, .pasid_capable = true };
	struct ioasid_space *made;

	must(ioasid_alloc(at->ctx, &options, &made, NULL));
	must(ioasid_map_hva(made, iova, size, at->memory + iova, rights, NULL));
	return made;
}

static inline void stand_in_deliver(void *arg, const struct msi_message *message)
{
	(void)arg;
	(void)message;
}

/* Its interrupts go nowhere. */
static inline void stand_in_add(struct stand_in *at, struct dsa *dsa)
{
	dsa_function(dsa)->msix->deliver = stand_in_deliver;
	must(pci_bus_add(at->bus, dsa_function(dsa), 1, NULL));
}

#endif
