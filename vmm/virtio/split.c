/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split layout: a descriptor table, the driver's ring of heads and the device's ring of used
 * ones. One file, because the order of its loads and stores is what makes it right.
 *
 * Source: OASIS virtio 1.2, section 2.7.
 */
#include <errno.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/virtio/queue-internal.h"

/* Offsets in the available and used rings: flags, idx, entries, and one event index behind. */
#define RING_FLAGS   0u
#define RING_IDX     2u
#define RING_ENTRIES 4u
#define USED_SIZE    8u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	   1u

struct split_desc {
	uint64_t address;
	uint32_t len;
	uint16_t flags, next;
};

static uint8_t *used_event(const struct virtq *q)
{
	return q->driver_area + RING_ENTRIES + 2UL * q->size;
}

static uint8_t *avail_event(const struct virtq *q)
{
	return q->device_area + RING_ENTRIES + (size_t)USED_SIZE * q->size;
}

static struct split_desc copy_desc(const uint8_t *table, unsigned int index)
{
	struct split_desc d;

	memcpy(&d, table + (size_t)DESC_SIZE * index, sizeof(d));
	return d;
}

/* An indirect table is a chain of its own; its references lead only inside it. */
static int walk_indirect(const struct virtq *q, struct virtq_chain *chain,
			 const struct split_desc *at, struct err *err)
{
	unsigned int entries, index = 0;
	const uint8_t *table = virtq_indirect_table(q, at->address, at->len, &entries, err);

	if (!table)
		return -EPROTO;
	for (unsigned int step = 0; step < entries; step++) {
		struct split_desc d = copy_desc(table, index);
		int ret;

		if (d.flags & DESC_INDIRECT)
			return err_set(err, EPROTO, "an indirect table inside an indirect table");
		ret = virtq_chain_add(q, chain, d.address, d.len, d.flags & DESC_WRITE, err);
		if (ret || !(d.flags & DESC_NEXT))
			return ret;
		if (d.next >= entries)
			return err_set(err, EPROTO, "indirect descriptor %u of %u leads to %u",
				       index, entries, d.next);
		index = d.next;
	}
	return err_set(err, EPROTO, "an indirect table of %u entries that runs in a circle",
		       entries);
}

static int walk(const struct virtq *q, struct virtq_chain *chain, unsigned int index,
		struct err *err)
{
	for (unsigned int step = 0; step < q->size; step++) {
		struct split_desc d = copy_desc(q->desc_ring, index);
		int ret;

		if (d.flags & DESC_INDIRECT) {
			if (d.flags & DESC_NEXT)
				return err_set(err, EPROTO, "descriptor %u is indirect and goes on",
					       index);
			return walk_indirect(q, chain, &d, err);
		}
		ret = virtq_chain_add(q, chain, d.address, d.len, d.flags & DESC_WRITE, err);
		if (ret || !(d.flags & DESC_NEXT))
			return ret;
		if (d.next >= q->size)
			return err_set(err, EPROTO, "descriptor %u of %u leads to %u", index,
				       q->size, d.next);
		index = d.next;
	}
	return err_set(err, EPROTO, "a chain of descriptors that runs in a circle");
}

bool split_ready(const struct virtq *q)
{
	return ring_load16(q->driver_area + RING_IDX) != q->next_avail;
}

int split_pop(struct virtq *q, struct virtq_chain *chain, struct err *err)
{
	uint16_t idx = ring_load16(q->driver_area + RING_IDX);
	uint16_t ready = (uint16_t)(idx - q->next_avail), head;
	int ret;

	if (!ready)
		return 0;
	if (ready > q->size - q->in_flight)
		return err_set(
			err, EPROTO,
			"%u buffers are available beside %u in use: the queue has %u entries",
			ready, q->in_flight, q->size);
	head = ring_load16(q->driver_area + RING_ENTRIES + 2UL * (q->next_avail & (q->size - 1u)));
	if (head >= q->size)
		return err_set(err, EPROTO, "head %u: the queue has %u entries", head, q->size);
	ret = walk(q, chain, head, err);
	if (ret)
		return ret;
	chain->id = head;
	q->next_avail++;
	q->in_flight++;
	return 1;
}

void split_push(struct virtq *q, uint16_t id, uint32_t written)
{
	const uint32_t element[2] = { id, written };

	memcpy(q->device_area + RING_ENTRIES + (size_t)USED_SIZE * (q->next_used & (q->size - 1u)),
	       element, sizeof(element));
	q->next_used++;
	q->staged++;
}

void split_publish(struct virtq *q)
{
	ring_store16(q->device_area + RING_IDX, q->next_used);
}

bool split_should_notify(struct virtq *q)
{
	uint16_t old = q->signalled;
	bool valid = q->signalled_valid;

	if (!q->event_idx)
		return !(ring_load16(q->driver_area + RING_FLAGS) & AVAIL_NO_INTERRUPT);
	q->signalled = q->next_used;
	q->signalled_valid = true;
	return !valid || virtq_passes(ring_load16(used_event(q)), q->next_used, old);
}

void split_kicks_off(struct virtq *q)
{
	/* With event indices there is no flag: one that lies behind asks for nothing. */
	if (q->event_idx)
		ring_store16(avail_event(q), (uint16_t)(q->next_avail - 1));
	else
		ring_store16(q->device_area + RING_FLAGS, USED_NO_NOTIFY);
}

bool split_kicks_on(struct virtq *q)
{
	if (q->event_idx)
		ring_store16(avail_event(q), q->next_avail);
	else
		ring_store16(q->device_area + RING_FLAGS, 0);
	/* The wish first, then the look: the driver does it the other way round. */
	__sync_synchronize();
	return split_ready(q);
}
