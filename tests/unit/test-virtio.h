/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver's side of a virtqueue for tests, split and packed: guest memory is one array, buffers
 * are given as pieces, and used ones come back by id. It does what a good driver does; tests that
 * want a bad one write to the ring themselves.
 */
#ifndef ADIT_TESTS_UNIT_TEST_VIRTIO_H
#define ADIT_TESTS_UNIT_TEST_VIRTIO_H

#include <stdlib.h>
#include <string.h>

#include "tests/unit/check.h"
#include "util/bits.h"
#include "vmm/virtio/queue.h"

#define GUEST_BASE   0x100000ULL
#define GUEST_BYTES  (8u << 20)
#define RING_BYTES   0x10000u /* of one queue: descriptors, driver area, device area */
#define RING_DRIVER  0x8000u
#define RING_DEVICE  0xc000u
#define DRV_NEXT     1u
#define DRV_WRITE    2u
#define DRV_INDIRECT 4u
#define DRV_AVAIL    0x80u
#define DRV_USED     0x8000u

struct driver_memory {
	uint8_t *bytes;
	struct virtio_memory table;
};

struct driver_queue {
	struct driver_memory *memory;
	uint64_t base; /* guest address of its RING_BYTES */
	uint16_t size;
	bool packed, event_idx;
	uint16_t next_avail, last_used, free_head, n_free;
	bool avail_wrap, used_wrap;
	uint16_t next[VIRTQ_SIZE_MAX], length[VIRTQ_SIZE_MAX];
};

struct driver_piece {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

static inline void driver_memory_init(struct driver_memory *m)
{
	m->bytes = calloc(1, GUEST_BYTES);
	assert_non_null(m->bytes);
	m->table = (struct virtio_memory){
		.n = 1, .range[0] = { .gpa = GUEST_BASE, .size = GUEST_BYTES, .hva = m->bytes }
	};
}

static inline void *guest_at(struct driver_memory *m, uint64_t gpa)
{
	return m->bytes + (gpa - GUEST_BASE);
}

static inline void driver_queue_init(struct driver_queue *q, struct driver_memory *m, uint64_t base,
				     uint16_t size, bool packed, bool event_idx)
{
	*q = (struct driver_queue){ .memory = m,
				    .base = base,
				    .size = size,
				    .packed = packed,
				    .event_idx = event_idx,
				    .avail_wrap = true,
				    .used_wrap = true,
				    .n_free = size };
	memset(guest_at(m, base), 0, RING_BYTES);
	for (uint16_t i = 0; i < size; i++)
		q->next[i] = (uint16_t)(i + 1);
}

static inline uint8_t *driver_desc(const struct driver_queue *q, unsigned int index)
{
	return (uint8_t *)guest_at(q->memory, q->base) + 16UL * index;
}
static inline uint16_t *driver_area16(const struct driver_queue *q, unsigned int offset)
{
	return (uint16_t *)guest_at(q->memory, q->base + RING_DRIVER + offset);
}
static inline uint16_t *device_area16(const struct driver_queue *q, unsigned int offset)
{
	return (uint16_t *)guest_at(q->memory, q->base + RING_DEVICE + offset);
}

static inline void put_desc(uint8_t *at, uint64_t gpa, uint32_t len, uint16_t a, uint16_t b)
{
	memcpy(at, &gpa, 8);
	memcpy(at + 8, &len, 4);
	memcpy(at + 12, &a, 2);
	__atomic_store_n((uint16_t *)(void *)(at + 14), b, __ATOMIC_RELEASE);
}

/* Returns the id of the buffer, or -1 where the queue has no room. */
static inline int driver_add_split(struct driver_queue *q, const struct driver_piece *pieces,
				   unsigned int n)
{
	uint16_t head = q->free_head, at = head, idx = *driver_area16(q, 2);

	if (q->n_free < n)
		return -1;
	for (unsigned int i = 0; i < n; i++) {
		bool last = i + 1 == n;
		uint16_t flags =
			(uint16_t)((pieces[i].write ? DRV_WRITE : 0) | (last ? 0 : DRV_NEXT));

		put_desc(driver_desc(q, at), pieces[i].gpa, pieces[i].len, flags, q->next[at]);
		if (last)
			q->free_head = q->next[at];
		at = q->next[at];
	}
	q->length[head] = (uint16_t)n;
	q->n_free = (uint16_t)(q->n_free - n);
	*driver_area16(q, 4 + 2u * (idx % q->size)) = head;
	__atomic_store_n(driver_area16(q, 2), (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
	return head;
}

static inline int driver_add_packed(struct driver_queue *q, const struct driver_piece *pieces,
				    unsigned int n)
{
	uint16_t id = q->free_head, slot = q->next_avail, first = slot, first_flags = 0;

	if (q->n_free < n)
		return -1;
	q->free_head = q->next[id];
	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags =
			(uint16_t)((pieces[i].write ? DRV_WRITE : 0) | (i + 1 == n ? 0 : DRV_NEXT) |
				   (q->avail_wrap ? DRV_AVAIL : DRV_USED));
		uint8_t *d = driver_desc(q, slot);

		memcpy(d, &pieces[i].gpa, 8);
		memcpy(d + 8, &pieces[i].len, 4);
		memcpy(d + 12, &id, 2);
		if (i)
			__atomic_store_n((uint16_t *)(void *)(d + 14), flags, __ATOMIC_RELEASE);
		else
			first_flags = flags;
		if (++slot == q->size) {
			slot = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	q->next_avail = slot;
	q->length[id] = (uint16_t)n;
	q->n_free = (uint16_t)(q->n_free - n);
	__atomic_store_n((uint16_t *)(void *)(driver_desc(q, first) + 14), first_flags,
			 __ATOMIC_SEQ_CST);
	return id;
}

static inline int driver_add(struct driver_queue *q, const struct driver_piece *pieces,
			     unsigned int n)
{
	return q->packed ? driver_add_packed(q, pieces, n) : driver_add_split(q, pieces, n);
}

/* One descriptor that refers to a table at `table`, which is written here. */
static inline int driver_add_indirect(struct driver_queue *q, uint64_t table,
				      const struct driver_piece *pieces, unsigned int n)
{
	const struct driver_piece one = { table, 16 * n, false };
	int id;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)((pieces[i].write ? DRV_WRITE : 0) |
					    (i + 1 == n || q->packed ? 0 : DRV_NEXT));
		uint8_t *d = guest_at(q->memory, table + 16UL * i);

		if (q->packed)
			put_desc(d, pieces[i].gpa, pieces[i].len, 0, flags);
		else
			put_desc(d, pieces[i].gpa, pieces[i].len, flags, (uint16_t)(i + 1));
	}
	if (q->packed) {
		uint16_t slot = q->next_avail;

		/* The flag has to be there before the descriptor becomes available. */
		id = q->free_head;
		q->free_head = q->next[id];
		put_desc(driver_desc(q, slot), one.gpa, one.len, (uint16_t)id,
			 (uint16_t)(DRV_INDIRECT | (q->avail_wrap ? DRV_AVAIL : DRV_USED)));
		if (++slot == q->size) {
			slot = 0;
			q->avail_wrap = !q->avail_wrap;
		}
		q->next_avail = slot;
	} else {
		uint16_t idx = *driver_area16(q, 2);

		id = q->free_head;
		q->free_head = q->next[id];
		put_desc(driver_desc(q, (unsigned int)id), one.gpa, one.len, DRV_INDIRECT, 0);
		*driver_area16(q, 4 + 2u * (idx % q->size)) = (uint16_t)id;
		__atomic_store_n(driver_area16(q, 2), (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
	}
	q->length[id] = 1;
	q->n_free--;
	return id;
}

static inline void driver_free(struct driver_queue *q, uint16_t id)
{
	uint16_t n = q->length[id], last = id;

	assert_int_not_equal(n, 0);
	q->length[id] = 0;
	if (!q->packed) {
		for (uint16_t i = 1; i < n; i++)
			last = q->next[last];
	}
	q->next[last] = q->free_head;
	q->free_head = id;
	q->n_free = (uint16_t)(q->n_free + n);
}

/* The id of the next used buffer, or -1. */
static inline int driver_take(struct driver_queue *q, uint32_t *written)
{
	uint32_t len;
	uint16_t id;

	if (q->packed) {
		uint8_t *d = driver_desc(q, q->last_used);
		uint16_t flags = __atomic_load_n((uint16_t *)(void *)(d + 14), __ATOMIC_ACQUIRE);
		unsigned int next;

		if (!!(flags & DRV_AVAIL) != q->used_wrap || !!(flags & DRV_USED) != q->used_wrap)
			return -1;
		memcpy(&len, d + 8, 4);
		memcpy(&id, d + 12, 2);
		assert_true(id < q->size);
		next = q->last_used + (unsigned int)q->length[id];
		if (next >= q->size) {
			next -= q->size;
			q->used_wrap = !q->used_wrap;
		}
		q->last_used = (uint16_t)next;
	} else {
		uint8_t *ring = guest_at(q->memory, q->base + RING_DEVICE + 4);
		uint32_t element[2];

		if (__atomic_load_n(device_area16(q, 2), __ATOMIC_ACQUIRE) == q->last_used)
			return -1;
		memcpy(element, ring + 8UL * (q->last_used % q->size), sizeof(element));
		assert_true(element[0] < q->size);
		id = (uint16_t)element[0];
		len = element[1];
		q->last_used++;
	}
	driver_free(q, id);
	if (written)
		*written = len;
	return id;
}

/* Asks for an interrupt at the next used buffer (event index), or at all. */
static inline void driver_want_next(struct driver_queue *q)
{
	if (!q->event_idx) {
		__atomic_store_n(driver_area16(q, q->packed ? 2 : 0), (uint16_t)0,
				 __ATOMIC_SEQ_CST);
		return;
	}
	if (q->packed) {
		__atomic_store_n(driver_area16(q, 0),
				 (uint16_t)(q->last_used | (q->used_wrap ? 0x8000 : 0)),
				 __ATOMIC_SEQ_CST);
		__atomic_store_n(driver_area16(q, 2), (uint16_t)2, __ATOMIC_SEQ_CST);
	} else {
		__atomic_store_n(driver_area16(q, 4 + 2u * q->size), q->last_used,
				 __ATOMIC_SEQ_CST);
	}
}
static inline void driver_want_none(struct driver_queue *q)
{
	if (q->packed || !q->event_idx)
		__atomic_store_n(driver_area16(q, q->packed ? 2 : 0), (uint16_t)1,
				 __ATOMIC_SEQ_CST);
}

/* The device's side of the same queue. */
static inline void driver_connect(const struct driver_queue *q, struct virtq *vq)
{
	struct err err;

	*vq = (struct virtq){ .size = q->size,
			      .desc = q->base,
			      .driver = q->base + RING_DRIVER,
			      .device = q->base + RING_DEVICE,
			      .packed = q->packed,
			      .event_idx = q->event_idx,
			      .indirect = true };
	assert_ok(virtq_start(vq, &q->memory->table, &err), &err);
}

#endif
