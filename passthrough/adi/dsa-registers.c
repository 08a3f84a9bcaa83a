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

/*
 * What stays writable of a fixed queue (table 9-7): threshold, mode and PASID, and these not of a
 * shared one, whose Mode Support is 0 (section 7.5).
 */
static const uint32_t wqcfg_writable_fixed[DSA_WQCFG_WORDS] = {
	[DSA_WQCFG_THRESHOLD] = 0xffff,
	[DSA_WQCFG_MODE] = DSA_WQCFG_DEDICATED | DSA_WQCFG_PASID_ENABLE |
			   DSA_DESCRIPTOR_PASID << DSA_WQCFG_PASID_SHIFT,
};

bool dsa_wq_shared(const struct dsa *dsa, unsigned int wq)
{
	return !(dsa->wq[wq].config[DSA_WQCFG_MODE] & DSA_WQCFG_DEDICATED);
}

/* A shared queue starts with the PASIDs of its descriptors, where the ADI may use any. */
void dsa_wq_reset(struct dsa *dsa, unsigned int wq)
{
	uint32_t *config = dsa->wq[wq].config, size = config[DSA_WQCFG_ENTRIES];
	bool shared = dsa->shape[wq].shared;

	memset(config, 0, sizeof(dsa->wq[wq].config));
	config[DSA_WQCFG_ENTRIES] = size;
	config[DSA_WQCFG_THRESHOLD] = shared ? dsa->shape[wq].threshold : 0;
	config[DSA_WQCFG_MODE] = 1u << DSA_WQCFG_PRIORITY_SHIFT |
				 (shared ? 0 : DSA_WQCFG_DEDICATED) |
				 (shared && dsa->gate.allow ? DSA_WQCFG_PASID_ENABLE : 0);
	config[DSA_WQCFG_LIMITS] = DSA_MAX_XFER_SHIFT | dsa->max_batch_shift
								<< DSA_WQCFG_BATCH_SHIFT;
}

/* Engines are dealt out to the groups that have queues. */
static void fixed_groups(struct dsa *dsa)
{
	unsigned int groups = 1;

	for (unsigned int i = 0; i < dsa->wqs; i++) {
		dsa->config.group[dsa->shape[i].group].wqs |= BIT_U64(i);
		groups = MAX(groups, dsa->shape[i].group + 1);
	}
	for (unsigned int i = 0; i < dsa->engines; i++)
		dsa->config.group[i % groups].engines |= BIT_U64(i);
	for (unsigned int i = 0; i < groups; i++)
		dsa->config.group[i].flags = DSA_GROUP_CLASSES;
}

void dsa_registers_reset(struct dsa *dsa, enum dsa_reset_type type)
{
	memset(&dsa->config, 0, sizeof(dsa->config));
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		dsa_wq_reset(dsa, i);
		dsa->wq[i].config[DSA_WQCFG_ENTRIES] = dsa->shape[i].size;
	}
	if (dsa->fixed)
		fixed_groups(dsa);
	dsa->state = DSA_STATE_DISABLED;
	dsa->reset_type = type;
}

void dsa_interrupt(struct dsa *dsa, uint32_t cause)
{
	dsa->config.intcause |= cause;
	pci_function_msix_fire(dsa->function, 0);
}

/* --- reading --------------------------------------------------------------------------------- */

static uint64_t offsets(void)
{
	return DSA_GRPCFG / DSA_OFFSET_UNIT | (uint64_t)(DSA_WQCFG / DSA_OFFSET_UNIT) << 16 |
	       (uint64_t)(DSA_MSIXPERM / DSA_OFFSET_UNIT) << 32;
}

static uint64_t wqcap(const struct dsa *dsa)
{
	return dsa->total_size | (uint64_t)dsa->wqs << DSA_WQCAP_WQS_SHIFT | DSA_WQCAP_SHARED |
	       DSA_WQCAP_DEDICATED | DSA_WQCAP_PRIORITY | DSA_WQCAP_OCCUPANCY;
}

static uint64_t gencap(const struct dsa *dsa)
{
	return dsa->gencap | DSA_GENCAP_CMDCAP | (dsa->fixed ? 0 : DSA_GENCAP_CONFIG) |
	       (dsa->event_log ? DSA_GENCAP_EVENT_LOG : 0) |
	       (uint64_t)DSA_MAX_XFER_SHIFT << DSA_GENCAP_MAX_XFER_SHIFT |
	       (uint64_t)dsa->max_batch_shift << DSA_GENCAP_MAX_BATCH_SHIFT;
}

static uint64_t read_capability(const struct dsa *dsa, uint64_t offset)
{
	switch (offset) {
	case DSA_VERSION:
		return DSA_VERSION_1;
	case DSA_GENCAP:
		return gencap(dsa);
	case DSA_WQCAP:
		return wqcap(dsa);
	case DSA_GRPCAP: /* as many groups as engines: more could not do anything */
		return dsa->engines | dsa->engines * DSA_READ_BUFFERS << DSA_GRPCAP_RDBUFS_SHIFT;
	case DSA_ENGCAP:
		return dsa->engines;
	case DSA_OFFSETS:
		return offsets();
	case DSA_CMDCAP:
		return dsa_commands_supported(dsa);
	}
	if (range_inside(offset, 8, DSA_OPCAP, sizeof(dsa->opcap)))
		return dsa->opcap[(offset - DSA_OPCAP) / 8];
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
	case DSA_EVLCFG:
	case DSA_EVLCFG + 8:
		return dsa->config.evlcfg[(offset - DSA_EVLCFG) / 8];
	case DSA_EVLSTATUS:
		return dsa_event_log_status(dsa);
	}
	if (range_inside(offset, 8, DSA_SWERR, sizeof(dsa->config.swerr)))
		return dsa->config.swerr[(offset - DSA_SWERR) / 8];
	return read_capability(dsa, offset);
}

static uint32_t read_wqcfg(const struct dsa *dsa, uint64_t offset)
{
	unsigned int index = (unsigned int)(offset / DSA_WQCFG_SIZE);
	const struct dsa_wq *wq = &dsa->wq[index];
	unsigned int word = offset % DSA_WQCFG_SIZE / 4;

	if (word == DSA_WQCFG_STATE)
		return wq->queued | (wq->enabled ? DSA_WQCFG_ENABLED : 0) |
		       (dsa->fixed && !dsa->shape[index].shared ? DSA_WQCFG_MODE_SUPPORT : 0);
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

/* --- writing: a word at an aligned offset, with the lock held -------------------------------- */

/* Where errors go is fixed while the device is enabled. */
static void write_gencfg(struct dsa *dsa, uint32_t value)
{
	uint32_t writable = DSA_GENCFG_WRITABLE;

	if (dsa->event_log && dsa->state == DSA_STATE_DISABLED)
		writable |= DSA_GENCFG_EVENT_LOG;
	dsa->config.gencfg = (dsa->config.gencfg & ~writable) | (value & writable);
}

static uint64_t with_half(uint64_t old, bool high, uint32_t value)
{
	return high ? (uint32_t)old | (uint64_t)value << 32 : (old & ~0xffffffffULL) | value;
}

static void write_evlcfg(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	static const uint64_t writable[2] = {
		DSA_EVLCFG_PASID | DSA_EVLCFG_BASE,
		DSA_EVLCFG_SIZE | (uint64_t)DSA_DESCRIPTOR_PASID << DSA_EVLCFG_PASID_SHIFT,
	};
	unsigned int quad = (unsigned int)(offset - DSA_EVLCFG) / 8;

	if (!dsa->event_log || dsa->state != DSA_STATE_DISABLED)
		return;
	dsa->config.evlcfg[quad] =
		with_half(dsa->config.evlcfg[quad], offset & 4, value) & writable[quad];
}

static void write_state(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case DSA_GENCFG:
		write_gencfg(dsa, value);
		break;
	case DSA_GENCTRL:
		dsa->config.genctrl = value & (DSA_GENCTRL_SOFTERR | DSA_GENCTRL_HALT |
					       (dsa->event_log ? DSA_GENCTRL_EVENT_LOG : 0));
		break;
	case DSA_EVLCFG:
	case DSA_EVLCFG + 4:
	case DSA_EVLCFG + 8:
	case DSA_EVLCFG + 12:
		write_evlcfg(dsa, offset, value);
		break;
	case DSA_EVLSTATUS:
	case DSA_EVLSTATUS + 4:
		dsa_event_log_written(dsa, offset & 4, value);
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

/* Groups are fixed while the device is enabled. */
static void write_group(struct dsa *dsa, uint64_t offset, uint32_t value)
{
	unsigned int group = (unsigned int)(offset / DSA_GRPCFG_SIZE);
	bool high = offset & 4;

	if (dsa->fixed || dsa->state != DSA_STATE_DISABLED)
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
	unsigned int index = (unsigned int)(offset / DSA_WQCFG_SIZE);
	unsigned int word = offset % DSA_WQCFG_SIZE / 4;
	uint32_t *config = &dsa->wq[index].config[word], writable = wqcfg_writable[word];

	if (dsa->wq[index].enabled)
		return;
	if (word == DSA_WQCFG_ENTRIES && dsa->state != DSA_STATE_DISABLED)
		return;
	if (dsa->fixed)
		writable = dsa->shape[index].shared ? 0 : wqcfg_writable_fixed[word];
	*config = (*config & ~writable) | (value & writable);
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

/* --- saved devices --------------------------------------------------------------------------- */

/* Writes words as a guest would; false where they do not read back so. */
static bool write_back(struct dsa *dsa, uint64_t at, const void *words, size_t bytes)
{
	bool same = true;

	for (size_t i = 0; i < bytes; i += 4) {
		uint32_t value = (uint32_t)load_le((const char *)words + i, 4);

		write_word(dsa, at + i, value);
		same &= (uint32_t)(read_quad(dsa, align_down(at + i, 8)) >> (at + i) % 8 * 8) ==
			value;
	}
	return same;
}

static bool write_tables(struct dsa *dsa, const struct dsa_config *c,
			 uint32_t wqcfg[][DSA_WQCFG_WORDS])
{
	bool ok = write_back(dsa, DSA_EVLCFG, c->evlcfg, sizeof(c->evlcfg));

	for (unsigned int i = 0; i <= dsa->wqs; i++)
		ok &= write_back(dsa, DSA_MSIXPERM + DSA_MSIXPERM_SIZE * (uint64_t)i,
				 &c->msixperm[i], 4);
	for (unsigned int i = 0; i < dsa->engines; i++) {
		uint64_t at = DSA_GRPCFG + DSA_GRPCFG_SIZE * (uint64_t)i;

		ok &= write_back(dsa, at, &c->group[i].wqs, 8);
		ok &= write_back(dsa, at + DSA_GRPCFG_ENGINES, &c->group[i].engines, 8);
		ok &= write_back(dsa, at + DSA_GRPCFG_FLAGS, &c->group[i].flags, 8);
	}
	/* Its state, which is a word of it, comes later. */
	for (unsigned int i = 0; i < dsa->wqs; i++) {
		uint64_t at = DSA_WQCFG + DSA_WQCFG_SIZE * (uint64_t)i;

		ok &= write_back(dsa, at, wqcfg[i], 4UL * DSA_WQCFG_STATE);
	}
	return ok;
}

static void enable(struct dsa *dsa, enum dsa_device_state state, uint32_t enabled,
		   struct state_in *in)
{
	enum dsa_cmd_error error =
		state == DSA_STATE_DISABLED ? DSA_CMD_OK : dsa_device_restore(dsa);

	if (enabled && state != DSA_STATE_ENABLED)
		error = DSA_CMD_DEVICE_NOT_ENABLED;
	dsa->state = state;
	for (unsigned int i = 0; i < dsa->wqs && !error; i++) {
		if (enabled & 1u << i)
			error = dsa_wq_restore(dsa, i);
	}
	if (error)
		state_refuse(in, "the device cannot be enabled with what its registers hold: %#x",
			     error);
}

static void take_status(struct dsa *dsa, struct state_in *in)
{
	struct dsa_config *c = &dsa->config;
	unsigned int most = MAX((unsigned int)(c->evlcfg[1] & DSA_EVLCFG_SIZE), 1u) - 1;

	c->intcause = (uint32_t)state_take(in, DSA_INTCAUSE_ERROR | DSA_INTCAUSE_CMD |
						       DSA_INTCAUSE_HALT | DSA_INTCAUSE_EVENT_LOG);
	state_take_bytes(in, c->swerr, sizeof(c->swerr));
	c->handles =
		(uint32_t)state_take(in, dsa->interrupt_handles ? BIT_U64(dsa->wqs + 1) - 1 : 0);
	c->evl.head = (uint16_t)state_take(in, most);
	c->evl.tail = (uint16_t)state_take(in, most);
	c->evl.pending = state_take_bool(in);
}

void dsa_registers_load(struct dsa *dsa, struct state_in *in)
{
	struct dsa_config c = { 0 };
	uint32_t wqcfg[DSA_MAX_WQS][DSA_WQCFG_WORDS], enabled = 0;
	enum dsa_device_state state;
	bool ok;

	c.gencfg = (uint32_t)state_take(in, UINT32_MAX);
	c.genctrl = (uint32_t)state_take(in, UINT32_MAX);
	state_take_bytes(in, c.evlcfg, sizeof(c.evlcfg));
	state_take_bytes(in, c.msixperm, sizeof(c.msixperm));
	state_take_bytes(in, c.group, sizeof(c.group));
	for (unsigned int i = 0; i < dsa->wqs; i++)
		state_take_bytes(in, wqcfg[i], sizeof(wqcfg[i]));
	state = (enum dsa_device_state)state_take(in, DSA_STATE_DRAINING);
	dsa->reset_type = (enum dsa_reset_type)state_take(in, DSA_RESET_COLD);
	for (unsigned int i = 0; i < dsa->wqs; i++)
		enabled |= (uint32_t)state_take_bool(in) << i;
	if (in->ret)
		return;
	ok = write_back(dsa, DSA_GENCFG, &c.gencfg, 4);
	ok &= write_back(dsa, DSA_GENCTRL, &c.genctrl, 4);
	ok &= write_tables(dsa, &c, wqcfg);
	if (ok)
		enable(dsa, state, enabled, in);
	else
		state_refuse(in,
			     "registers hold what a guest cannot write to this machine's device");
	take_status(dsa, in);
}
