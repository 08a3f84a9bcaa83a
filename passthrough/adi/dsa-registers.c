/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BAR0: what every register reads as and what a write to it does. Registers are written by aligned
 * accesses of 4 or 8 bytes, an 8-byte one acting as its two halves, low half first; other writes
 * are ignored. Reads of any width and alignment return the bytes that are there.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapter 9.
 */
#include <string.h>

#include "passthrough/adi/dsa-internal.h"
#include "util/bits.h"

/* GRPCFG flags: traffic classes 5:0, buffer limit 7, buffers reserved 15:8 and allowed 27:20. */
#define GROUP_FLAGS 0x0ff0ffbfu

/* Of WQCFG: no privileged bit (29), so that no work runs as supervisor; no occupancy interrupt. */
static const uint32_t wqcfg_writable[DSA_WQCFG_WORDS] = {
	[DSA_WQCFG_ENTRIES] = 0xffff,
	[1] = 0xffff,
	[DSA_WQCFG_MODE] = 0x1fffffff,
	[DSA_WQCFG_LIMITS] = 0x1ff,
};

void dsa_wq_reset(struct dsa *dsa, unsigned int wq)
{
	uint32_t *config = dsa->wq[wq].config, size = config[DSA_WQCFG_ENTRIES];

	memset(config, 0, sizeof(dsa->wq[wq].config));
	config[DSA_WQCFG_ENTRIES] = size;
	config[DSA_WQCFG_MODE] = DSA_WQCFG_DEDICATED | 1u << DSA_WQCFG_PRIORITY_SHIFT;
	config[DSA_WQCFG_LIMITS] = DSA_MAX_XFER_SHIFT;
}

void dsa_registers_reset(struct dsa *dsa, enum dsa_reset_type type)
{
	memset(&dsa->config, 0, sizeof(dsa->config));
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		dsa_wq_reset(dsa, i);
		dsa->wq[i].config[DSA_WQCFG_ENTRIES] = dsa->wq_size[i];
	}
	dsa->state = DSA_STATE_DISABLED;
	dsa->reset_type = type;
}

void dsa_interrupt(struct dsa *dsa, uint32_t cause)
{
	dsa->config.intcause |= cause;
	pci_function_msix_fire(dsa->function, 0);
}

/* --- reading -------------------------------------------------------------------------------- */

static uint64_t offsets(void)
{
	return DSA_GRPCFG / DSA_OFFSET_UNIT | (uint64_t)(DSA_WQCFG / DSA_OFFSET_UNIT) << 16 |
	       (uint64_t)(DSA_MSIXPERM / DSA_OFFSET_UNIT) << 32;
}

static uint64_t wqcap(const struct dsa *dsa)
{
	return dsa->total_size | (uint64_t)dsa->wqs << DSA_WQCAP_WQS_SHIFT | DSA_WQCAP_DEDICATED |
	       DSA_WQCAP_PRIORITY | DSA_WQCAP_OCCUPANCY;
}

static uint64_t read_capability(const struct dsa *dsa, uint64_t offset)
{
	switch (offset) {
	case DSA_VERSION:
		return DSA_VERSION_1;
	case DSA_GENCAP:
		return DSA_GENCAP_OVERLAP | DSA_GENCAP_CACHE_MEMORY | DSA_GENCAP_CACHE_CACHE |
		       DSA_GENCAP_CMDCAP | DSA_GENCAP_CONFIG |
		       (uint64_t)DSA_MAX_XFER_SHIFT << DSA_GENCAP_MAX_XFER_SHIFT;
	case DSA_WQCAP:
		return wqcap(dsa);
	case DSA_GRPCAP: /* as many groups as engines: more could not do anything */
		return dsa->engines | dsa->engines * DSA_READ_BUFFERS << DSA_GRPCAP_RDBUFS_SHIFT;
	case DSA_ENGCAP:
		return dsa->engines;
	case DSA_OFFSETS:
		return offsets();
	case DSA_CMDCAP:
		return dsa_commands_supported();
	}
	if (range_inside(offset, 8, DSA_OPCAP, 32))
		return dsa_opcap((unsigned int)(offset - DSA_OPCAP) / 8);
	return 0;
}

static uint64_t read_state(const struct dsa *dsa, uint64_t offset)
{
	switch (offset) {
	case DSA_GENCFG:
		return dsa->config.gencfg;
	case DSA_GENCTRL:
		return dsa->config.genctrl;
	case DSA_GENSTS:
		return dsa->state | (uint32_t)dsa->reset_type << DSA_GENSTS_RESET_SHIFT;
	case DSA_INTCAUSE:
		return dsa->config.intcause;
	case DSA_CMDSTS:
		return dsa->config.cmdsts;
	}
	if (range_inside(offset, 8, DSA_SWERR, sizeof(dsa->config.swerr)))
		return dsa->config.swerr[(offset - DSA_SWERR) / 8];
	return read_capability(dsa, offset);
}

static uint32_t read_wqcfg(const struct dsa *dsa, uint64_t offset)
{
	const struct dsa_wq *wq = &dsa->wq[offset / DSA_WQCFG_SIZE];
	unsigned int word = offset % DSA_WQCFG_SIZE / 4;

	if (word == DSA_WQCFG_STATE)
		return wq->queued | (wq->enabled ? DSA_WQCFG_ENABLED : 0);
	return wq->config[word];
}

static uint64_t read_group(const struct dsa *dsa, uint64_t offset)
{
	unsigned int group = (unsigned int)(offset / DSA_GRPCFG_SIZE);

	switch (offset % DSA_GRPCFG_SIZE) {
	case 0:
		return dsa->config.group[group].wqs;
	case DSA_GRPCFG_ENGINES:
		return dsa->config.group[group].engines;
	case DSA_GRPCFG_FLAGS:
		return dsa->config.group[group].flags;
	}
	return 0;
}

/* The eight bytes at an aligned offset; with the lock held. */
static uint64_t read_quad(const struct dsa *dsa, uint64_t offset)
{
	uint64_t at;

	if (offset < DSA_MSIXPERM)
		return read_state(dsa, offset);
	at = offset - DSA_MSIXPERM;
	if (at < (uint64_t)DSA_MSIXPERM_SIZE * (1 + dsa->wqs))
		return dsa->config.msixperm[at / DSA_MSIXPERM_SIZE];
	at = offset - DSA_GRPCFG;
	if (at < (uint64_t)DSA_GRPCFG_SIZE * dsa->engines)
		return read_group(dsa, at);
	at = offset - DSA_WQCFG;
	if (at < (uint64_t)DSA_WQCFG_SIZE * dsa->wqs)
		return read_wqcfg(dsa, at) | (uint64_t)read_wqcfg(dsa, at + 4) << 32;
	return 0;
}

static uint64_t register_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct dsa *dsa = opaque;
	uint64_t first = align_down(offset, 8);
	unsigned int shift = (unsigned int)(offset - first) * 8;
	uint64_t value;

	pthread_mutex_lock(&dsa->lock);
	value = read_quad(dsa, first) >> shift;
	if (shift + size * 8 > 64)
		value |= read_quad(dsa, first + 8) << (64 - shift);
	pthread_mutex_unlock(&dsa->lock);
	return value & mask_bytes(size);
}

/* --- writing: a word at an aligned offset, with the lock held --------------------------------- */

static void write_state(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case DSA_GENCFG:
		dsa->config.gencfg = value & DSA_GENCFG_WRITABLE;
		break;
	case DSA_GENCTRL:
		dsa->config.genctrl = value & (DSA_GENCTRL_SOFTERR | DSA_GENCTRL_HALT);
		break;
	case DSA_INTCAUSE:
		dsa->config.intcause &= ~value;
		break;
	case DSA_CMD:
		dsa_command_write(dsa, value);
		break;
	case DSA_SWERR:
		dsa->config.swerr[0] &= ~(value & (DSA_SWERR_VALID | DSA_SWERR_OVERFLOW));
		break;
	default:
		break;
	}
}

static uint64_t with_half(uint64_t old, bool high, uint32_t value)
{
	return high ? (uint32_t)old | (uint64_t)value << 32 : (old & ~0xffffffffULL) | value;
}

/* Groups are fixed while the device is enabled. */
static void write_group(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	unsigned int group = (unsigned int)(offset / DSA_GRPCFG_SIZE);
	bool high = offset & 4;

	if (dsa->state != DSA_STATE_DISABLED)
		return;
	switch (offset % DSA_GRPCFG_SIZE & ~7u) {
	case 0:
		dsa->config.group[group].wqs = with_half(dsa->config.group[group].wqs, high, value);
		break;
	case DSA_GRPCFG_ENGINES:
		dsa->config.group[group].engines =
			with_half(dsa->config.group[group].engines, high, value);
		break;
	case DSA_GRPCFG_FLAGS:
		if (!high)
			dsa->config.group[group].flags = value & GROUP_FLAGS;
		break;
	default:
		break;
	}
}

/* A queue is fixed while it is enabled; its size also while the device is. */
static void write_wqcfg(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	struct dsa_wq *wq = &dsa->wq[offset / DSA_WQCFG_SIZE];
	unsigned int word = offset % DSA_WQCFG_SIZE / 4;

	if (wq->enabled)
		return;
	if (word == DSA_WQCFG_ENTRIES && dsa->state != DSA_STATE_DISABLED)
		return;
	wq->config[word] = value & wqcfg_writable[word];
}

static void write_word(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	uint64_t at;

	if (offset < DSA_MSIXPERM) {
		write_state(dsa, offset, value);
		return;
	}
	at = offset - DSA_MSIXPERM;
	if (at < (uint64_t)DSA_MSIXPERM_SIZE * (1 + dsa->wqs)) {
		if (at % DSA_MSIXPERM_SIZE == 0)
			dsa->config.msixperm[at / DSA_MSIXPERM_SIZE] = value & DSA_MSIXPERM_MASK;
		return;
	}
	at = offset - DSA_GRPCFG;
	if (at < (uint64_t)DSA_GRPCFG_SIZE * dsa->engines) {
		write_group(dsa, at, value);
		return;
	}
	at = offset - DSA_WQCFG;
	if (at < (uint64_t)DSA_WQCFG_SIZE * dsa->wqs)
		write_wqcfg(dsa, at, value);
}

static void register_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	struct dsa *dsa = opaque;

	if (size < 4 || !is_aligned(offset, size))
		return;
	pthread_mutex_lock(&dsa->lock);
	write_word(dsa, offset, (uint32_t)value);
	if (size == 8)
		write_word(dsa, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&dsa->lock);
}

const struct io_ops dsa_register_ops = { .read = register_read, .write = register_write };
