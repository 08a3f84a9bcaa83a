/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MSI capability: registers in configuration space, and when each vector's source is open.
 * Everything happens under the bus's lock, where all writes of these registers are.
 *
 * Source: PCI Local Bus 3.0 section 6.8.1; PCI Express Base 6.0 sections 6.1.4, 7.7.1.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "passthrough/pci/internal.h"
#include "util/bits.h"

#define LOG2_MAX 5u

/* Offsets behind the capability's start, by its form: section 6.8.1, figure 6-9. */
static unsigned int data_at(const struct pci_msi *msi)
{
	return msi->options.wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
}

static unsigned int mask_at(const struct pci_msi *msi)
{
	return msi->options.wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32;
}

static unsigned int pending_at(const struct pci_msi *msi)
{
	return msi->options.wide ? PCI_MSI_PENDING_64 : PCI_MSI_PENDING_32;
}

static unsigned int capability_size(const struct pci_msi_options *options)
{
	unsigned int size = options->wide ? PCI_MSI_DATA_64 + 2 : PCI_MSI_DATA_32 + 2;

	return options->maskable ? align_up(size, 4) + 8 : size;
}

static unsigned int vectors_of(const struct pci_msi *msi)
{
	return 1u << msi->options.log2_vectors;
}

/* One bit for each of n vectors. */
static uint32_t all_of(unsigned int n)
{
	return n >= 32 ? ~0u : (1u << n) - 1;
}

static uint8_t *registers(struct pci_function *function)
{
	return function->config + function->msi->options.offset;
}

static unsigned int enabled_vectors(struct pci_function *function)
{
	struct pci_msi *msi = function->msi;
	unsigned int control = (unsigned int)load_le(registers(function) + PCI_MSI_FLAGS, 2);
	unsigned int log2 = (control & PCI_MSI_FLAGS_QSIZE) >> 4;

	if (!(control & PCI_MSI_FLAGS_ENABLE))
		return 0;
	/* More than the function asked for, or one of the two reserved values: what it has. */
	return 1u << MIN(log2, msi->options.log2_vectors);
}

static struct msi_message message_of(struct pci_function *function)
{
	struct pci_msi *msi = function->msi;
	const uint8_t *at = registers(function);

	return (struct msi_message){
		.address = load_le(at + PCI_MSI_ADDRESS_LO, msi->options.wide ? 8 : 4),
		.data = (uint32_t)load_le(at + data_at(msi), 2),
	};
}

static void close_vectors(struct pci_msi *msi, uint32_t which)
{
	for (which &= msi->open; which; which &= which - 1) {
		unsigned int vector = (unsigned int)__builtin_ctz(which);

		msi->source->close(msi->opaque, vector);
		msi->open &= ~(1u << vector);
	}
}

static void switch_off(struct pci_msi *msi)
{
	close_vectors(msi, ~0u);
	if (msi->enabled)
		msi->source->disable(msi->opaque);
	msi->enabled = 0;
}

/* Section 6.8.1.6: a vector's number replaces the low bits of the data. */
static void open_vectors(struct pci_msi *msi, uint32_t which)
{
	for (; which; which &= which - 1) {
		unsigned int vector = (unsigned int)__builtin_ctz(which);
		struct msi_message message = msi->message;

		message.data = (message.data & ~(msi->enabled - 1)) | vector;
		msi->open |= 1u << vector;
		msi->source->open(msi->opaque, vector, &message);
	}
}

void pci_msi_apply(struct pci_function *function)
{
	struct pci_msi *msi = function->msi;
	struct msi_message message;
	unsigned int vectors;
	uint32_t wanted;

	if (!msi)
		return;
	vectors = enabled_vectors(function);
	if (vectors != msi->enabled)
		switch_off(msi);
	if (!vectors)
		return;
	if (!msi->enabled)
		msi->source->enable(msi->opaque, vectors);
	msi->enabled = vectors;
	wanted = function->command & PCI_COMMAND_MASTER ? all_of(vectors) : 0;
	if (msi->options.maskable)
		wanted &= ~(uint32_t)load_le(registers(function) + mask_at(msi), 4);
	close_vectors(msi, ~wanted);
	message = message_of(function);
	if (message.address != msi->message.address || message.data != msi->message.data) {
		msi->message = message;
		open_vectors(msi, wanted);
	} else {
		open_vectors(msi, wanted & ~msi->open);
	}
}

void pci_msi_refresh(struct pci_function *function, uint32_t offset, unsigned int size)
{
	struct pci_msi *msi = function->msi;
	uint32_t pending = 0, at;

	if (!msi || !msi->options.maskable)
		return;
	at = msi->options.offset + pending_at(msi);
	if (!range_overlaps(offset, size, at, 4))
		return;
	for (unsigned int v = 0; v < msi->enabled; v++) {
		if (!(msi->open & 1u << v) && msi->source->pending(msi->opaque, v))
			pending |= 1u << v;
	}
	store_le(function->config + at, pending, 4);
}

void pci_msi_silence(struct pci_function *function)
{
	if (function->msi)
		switch_off(function->msi);
}

/* Closing a vector waits for what is on its way to KVM. */
uint32_t pci_msi_settle(struct pci_function *function)
{
	struct pci_msi *msi = function->msi;
	uint32_t open = msi->open, pending = 0;

	close_vectors(msi, ~0u);
	for (unsigned int v = 0; v < msi->enabled; v++) {
		if (msi->source->pending(msi->opaque, v))
			pending |= 1u << v;
	}
	open_vectors(msi, open);
	if (msi->options.maskable)
		store_le(registers(function) + pending_at(msi), 0, 4);
	return pending;
}

void pci_msi_post(struct pci_function *function, uint32_t pending)
{
	struct pci_msi *msi = function->msi;

	for (pending &= all_of(msi->enabled); pending; pending &= pending - 1)
		msi->source->post(msi->opaque, (unsigned int)__builtin_ctz(pending));
}

int pci_function_msi(struct pci_function *function, const struct pci_msi_options *options,
		     const struct pci_vector_ops *ops, void *opaque, struct err *err)
{
	uint32_t at = options->offset;
	uint16_t control = (uint16_t)(options->log2_vectors << 1);
	uint8_t *writable;
	struct pci_msi *msi;
	int ret;

	if (function->msi || options->log2_vectors > LOG2_MAX)
		return err_set(err, EINVAL, "%s: MSI with 2^%u vectors: once, and at most 2^%u",
			       function->name, options->log2_vectors, LOG2_MAX);
	ret = pci_function_capability_at(function, PCI_CAP_ID_MSI, at, capability_size(options),
					 err);
	if (ret)
		return ret;
	msi = calloc(1, sizeof(*msi));
	if (!msi)
		return err_set(err, ENOMEM, "%s: no memory for MSI", function->name);
	msi->options = *options;
	msi->source = ops;
	msi->opaque = opaque;
	function->msi = msi;
	if (options->wide)
		control |= PCI_MSI_FLAGS_64BIT;
	if (options->maskable)
		control |= PCI_MSI_FLAGS_MASKBIT;
	store_le(registers(function) + PCI_MSI_FLAGS, control, 2);
	writable = function->writable + at;
	store_le(writable + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 2);
	store_le(writable + PCI_MSI_ADDRESS_LO, ~3u, 4);
	if (options->wide)
		store_le(writable + PCI_MSI_ADDRESS_HI, ~0u, 4);
	store_le(writable + data_at(msi), 0xffff, 2);
	if (options->maskable)
		store_le(writable + mask_at(msi), all_of(vectors_of(msi)), 4);
	return 0;
}
