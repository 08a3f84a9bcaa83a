/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed layout: one ring that both sides write, each descriptor's flags saying by two wrap
 * bits whose it is, and one event structure of either side.
 *
 * Source: OASIS virtio 1.2, section 2.8.
 */
#include <errno.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/virtio/queue-internal.h"

#define DESC_AVAIL 0x80u
#define DESC_USED  0x8000u
#define DESC_FLAGS 14u /* offset */

/* Event suppression structure, section 2.8.14. */
#define EVENT_OFF_WRAP 0u
#define EVENT_FLAGS    2u
#define EVENT_ENABLE   0u
#define EVENT_DISABLE  1u
#define EVENT_DESC     2u
#define EVENT_WRAP     0x8000u

struct packed_desc {
	uint64_t address;
	uint32_t len;
	uint16_t id, flags;
};

static uint8_t *slot_at(const struct virtq *q, unsigned int slot)
{
	return q->desc_ring + (size_t)DESC_SIZE * slot;
}

bool packed_ready(const struct virtq *q)
{
	uint16_t flags = ring_load16(slot_at(q, q->next_avail) + DESC_FLAGS);

	return !!(flags & DESC_AVAIL) == q->avail_wrap && !!(flags & DESC_USED) != q->avail_wrap;
}

/* Entries of an indirect table are used in order; of their flags only WRITE counts (2.8.7). */
static int walk_indirect(const struct virtq *q, struct virtq_chain *chain,
			 const struct packed_desc *at, struct err *err)
{
	unsigned int entries;
	const uint8_t *table = virtq_indirect_table(q, at->address, at->len, &entries, err);
	int ret = 0;

	if (!table)
		return -EPROTO;
	for (unsigned int i = 0; i < entries && !ret; i++) {
		struct packed_desc d;

		memcpy(&d, table + (size_t)DESC_SIZE * i, sizeof(d));
		ret = virtq_chain_add(q, chain, d.address, d.len, d.flags & DESC_WRITE, err);
	}
	return ret;
}

/* The list from next_avail on; its length goes to chain->slots, its id comes from its end. */
static int walk(const struct virtq *q, struct virtq_chain *chain, struct err *err)
{
	unsigned int slot = q->next_avail, left = q->size - q->in_flight;

	for (unsigned int n = 1; n <= left; n++) {
		struct packed_desc d;
		int ret;

		memcpy(&d, slot_at(q, slot), sizeof(d));
		if (d.flags & DESC_INDIRECT) {
			if (d.flags & DESC_NEXT || n > 1)
				return err_set(err, EPROTO,
					       "slot %u is indirect and part of a list", slot);
			ret = walk_indirect(q, chain, &d, err);
		} else {
			ret = virtq_chain_add(q, chain, d.address, d.len, d.flags & DESC_WRITE,
					      err);
		}
		if (ret)
			return ret;
		if (!(d.flags & DESC_NEXT)) {
			chain->id = d.id;
			chain->slots = (uint16_t)n;
			return 0;
		}
		slot = slot + 1 == q->size ? 0 : slot + 1;
	}
	return err_set(err, EPROTO,
		       "a list of more descriptors than the %u that are not in use have room for",
		       left);
}

int packed_pop(struct virtq *q, struct virtq_chain *chain, struct err *err)
{
	unsigned int next;
	int ret;

	if (!packed_ready(q))
		return 0;
	ret = walk(q, chain, err);
	if (ret)
		return ret;
	next = q->next_avail + (unsigned int)chain->slots;
	if (next >= q->size) {
		next -= q->size;
		q->avail_wrap = !q->avail_wrap;
	}
	q->next_avail = (uint16_t)next;
	q->in_flight = (uint16_t)(q->in_flight + chain->slots);
	return 1;
}

/* The first of a batch becomes visible last, so that the driver sees all or none (2.8.6). */
void packed_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t written)
{
	uint8_t *at = slot_at(q, q->next_used);
	uint16_t flags = q->used_wrap ? DESC_AVAIL | DESC_USED : 0;
	unsigned int next = q->next_used + (unsigned int)slots;

	if (written)
		flags |= DESC_WRITE;
	memcpy(at + 8, &written, sizeof(written));
	memcpy(at + 12, &id, sizeof(id));
	if (!q->staged) {
		q->first_slot = q->next_used;
		q->first_flags = flags;
	} else {
		ring_store16(at + DESC_FLAGS, flags);
	}
	q->staged = (uint16_t)(q->staged + slots);
	if (next >= q->size) {
		next -= q->size;
		q->used_wrap = !q->used_wrap;
		q->signalled = (uint16_t)(q->signalled - q->size);
	}
	q->next_used = (uint16_t)next;
}

void packed_publish(struct virtq *q)
{
	ring_store16(slot_at(q, q->first_slot) + DESC_FLAGS, q->first_flags);
}

bool packed_should_notify(struct virtq *q)
{
	uint16_t flags = ring_load16(q->driver_area + EVENT_FLAGS), old = q->signalled, event;
	bool valid = q->signalled_valid;

	q->signalled = q->next_used;
	q->signalled_valid = true;
	if (flags != EVENT_DESC || !q->event_idx)
		return flags != EVENT_DISABLE;
	event = ring_load16(q->driver_area + EVENT_OFF_WRAP);
	if (!!(event & EVENT_WRAP) != q->used_wrap)
		event = (uint16_t)((event & ~EVENT_WRAP) - q->size);
	else
		event &= (uint16_t)~EVENT_WRAP;
	return !valid || virtq_passes(event, q->next_used, old);
}

void packed_kicks_off(struct virtq *q)
{
	ring_store16(q->device_area + EVENT_FLAGS, EVENT_DISABLE);
}

bool packed_kicks_on(struct virtq *q)
{
	if (q->event_idx)
		ring_store16(q->device_area + EVENT_OFF_WRAP,
			     (uint16_t)(q->next_avail | (q->avail_wrap ? EVENT_WRAP : 0)));
	/* The flags name the kind, so they come after what they point to. */
	ring_store16(q->device_area + EVENT_FLAGS, q->event_idx ? EVENT_DESC : EVENT_ENABLE);
	__sync_synchronize();
	return packed_ready(q);
}
