/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: a ring in guest memory that errors go to which no completion record can tell,
 * instead of SWERR, where the guest set one up. Each entry is an event and the record that the
 * guest did not get. The log's own address is judged as a descriptor's: with a PASID by the table,
 * without one by the default binding of all queues. An entry that cannot be written, since the ring
 * is full or its address reaches nothing, is reported in SWERR after all.
 *
 * Source: Intel DSA Architecture Specification 341204 (3.0), chapter 5 (event log) and sections
 * 9.2 (EVLCFG, EVLSTATUS); entries laid out as Linux's idxd driver reads them. That a log too small
 * for the driver's minimum is a configuration error (11h), and one whose PASID is not bound 13h, is
 * our choice, as is that enabling the device empties the log.
 */
#include "ioasid-client/pasid-table.h"
#include "passthrough/adi/dsa-internal.h"

struct event {
	uint64_t words[2]; /* as SWERR begins, without its valid and overflow bits */
	uint64_t address;
	uint64_t reserved;
	struct dsa_record record;
};
_Static_assert(sizeof(struct event) == 64, "an entry of a DSA's event log is 64 bytes");

static bool enabled(const struct dsa *dsa)
{
	return dsa->event_log && dsa->config.gencfg & DSA_GENCFG_EVENT_LOG &&
	       dsa->state != DSA_STATE_DISABLED;
}

static uint16_t entries(const struct dsa *dsa)
{
	return (uint16_t)(dsa->config.evlcfg[1] & DSA_EVLCFG_SIZE);
}

/* The host PASID that the log is written under; false where the guest may write nothing so. */
static bool log_pasid(struct dsa *dsa, uint32_t *host)
{
	uint32_t guest = dsa->config.evlcfg[1] >> DSA_EVLCFG_PASID_SHIFT & DSA_DESCRIPTOR_PASID;

	if (dsa->config.evlcfg[0] & DSA_EVLCFG_PASID) {
		*host = pasid_table_lookup(dsa->table, guest);
		return pasid_gate_pass(&dsa->gate, guest, *host) == PASID_ADMIT;
	}
	*host = dsa->fallback[DSA_ALL_WQS];
	return *host || dsa->open;
}

enum dsa_cmd_error dsa_event_log_start(struct dsa *dsa)
{
	uint32_t host;

	dsa->config.evl.head = dsa->config.evl.tail = 0;
	dsa->config.evl.pending = false;
	if (!dsa->event_log || !(dsa->config.gencfg & DSA_GENCFG_EVENT_LOG))
		return DSA_CMD_OK;
	if (entries(dsa) < DSA_EVENT_LOG_MIN)
		return DSA_CMD_CONFIG;
	return log_pasid(dsa, &host) ? DSA_CMD_OK : DSA_CMD_PASID;
}

uint64_t dsa_event_log_status(const struct dsa *dsa)
{
	return dsa->config.evl.head | (uint64_t)dsa->config.evl.tail << DSA_EVLSTATUS_TAIL_SHIFT |
	       (dsa->config.evl.pending ? DSA_EVLSTATUS_PENDING : 0);
}

/* The guest moves the head; writing one to the pending bit clears it. */
void dsa_event_log_written(struct dsa *dsa, bool high, uint32_t value)
{
	if (!high && (value & DSA_EVLSTATUS_HEAD) < entries(dsa))
		dsa->config.evl.head = (uint16_t)(value & DSA_EVLSTATUS_HEAD);
	if (high && (uint64_t)value << 32 & DSA_EVLSTATUS_PENDING)
		dsa->config.evl.pending = false;
}

/* An entry is aligned to its size, so it lies in one page. */
static bool store(struct dsa *dsa, uint32_t host, uint64_t address, const struct event *event)
{
	const uint64_t *from = (const uint64_t *)event;
	uint64_t len = sizeof(*event), *to;

	ioasid_dma_begin(dsa->log_dma);
	to = ioasid_translate(dsa->log_dma, dsa->device, host, address, &len, IOASID_WRITE);
	if (len != sizeof(*event))
		to = NULL;
	for (unsigned int i = 0; to && i < sizeof(*event) / 8; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELEASE);
	ioasid_dma_end(dsa->log_dma);
	return to;
}

static bool add(struct dsa *dsa, const struct event *event)
{
	uint16_t tail = dsa->config.evl.tail, next = (uint16_t)((tail + 1) % entries(dsa));
	uint64_t base = dsa->config.evlcfg[0] & DSA_EVLCFG_BASE;
	uint32_t host;

	if (next == dsa->config.evl.head || !pci_function_bus_master(dsa->function) ||
	    !log_pasid(dsa, &host) || !store(dsa, host, base + tail * sizeof(*event), event))
		return false;
	dsa->config.evl.tail = next;
	return true;
}

bool dsa_event_log(struct dsa *dsa, const struct dsa_job *job, uint8_t code, uint64_t address,
		   uint32_t invalid_flags)
{
	struct event event = {
		.address = address,
		.record = { .status = code, .fault = address, .invalid_flags = invalid_flags },
	};

	if (!enabled(dsa))
		return false;
	dsa_error_words(job, code, invalid_flags, event.words);
	if (!add(dsa, &event))
		return false;
	if (dsa->config.evl.pending)
		return true;
	dsa->config.evl.pending = true;
	if (dsa->config.genctrl & DSA_GENCTRL_EVENT_LOG)
		dsa_interrupt(dsa, DSA_INTCAUSE_EVENT_LOG);
	else
		dsa->config.intcause |= DSA_INTCAUSE_EVENT_LOG;
	return true;
}
