/* SPDX-License-Identifier: Apache-2.0 */
/* Virtqueues of both layouts against a driver that keeps the rules, and one that does not. */
#include "tests/unit/test-virtio.h"

#include <errno.h>

#define BUFFERS (GUEST_BASE + 0x100000)

struct pair {
	struct driver_memory memory;
	struct driver_queue driver;
	struct virtq device;
	struct virtq_chain chain;
};

static struct pair *pair_new(uint16_t size, bool packed, bool event_idx)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	driver_memory_init(&p->memory);
	driver_queue_init(&p->driver, &p->memory, GUEST_BASE, size, packed, event_idx);
	driver_connect(&p->driver, &p->device);
	return p;
}

static void pair_free(struct pair *p)
{
	free(p->memory.bytes);
	free(p);
}

static int pop(struct pair *p)
{
	struct err err = { 0 };
	int ret = virtq_pop(&p->device, &p->chain, &err);

	if (ret < 0)
		assert_int_not_equal(err.text[0], 0);
	return ret;
}

static void push(struct pair *p, uint32_t written)
{
	virtq_push(&p->device, p->chain.id, p->chain.slots, written);
	assert_true(virtq_publish(&p->device));
}

#define LAYOUTS(packed, event)                                                            \
	for (int layout_ = 0; layout_ < 4; layout_++)                                     \
		for (bool packed = layout_ & 1, event = layout_ & 2, once_ = true; once_; \
		     once_ = false)

/* --- drivers that keep the rules ------------------------------------------------------------- */

static void buffers_arrive_whole_and_come_back(void **state)
{
	LAYOUTS(packed, event)
	{
		struct pair *p = pair_new(packed ? 7 : 8, packed, event);

		for (unsigned int round = 0; round < 1000; round++) {
			const struct driver_piece pieces[] = {
				{ BUFFERS, 16, false },
				{ BUFFERS + 0x1000, round % 50 + 1, false },
				{ BUFFERS + 0x2000, 512, true },
			};
			uint32_t written;
			char text[8];
			int id;

			memcpy(guest_at(&p->memory, BUFFERS), "head", 5);
			id = driver_add(&p->driver, pieces, 3);
			assert_true(id >= 0);
			assert_int_equal(pop(p), 1);
			assert_int_equal(p->chain.id, id);
			assert_int_equal(p->chain.n_out, 2);
			assert_int_equal(p->chain.n_in, 1);
			assert_int_equal(p->chain.out_bytes, 17 + round % 50);
			assert_int_equal(p->chain.in_bytes, 512);
			assert_int_equal(virtq_read(&p->chain, 0, text, 5), 5);
			assert_string_equal(text, "head");
			assert_int_equal(virtq_write(&p->chain, 510, "xyz", 3), 2);
			push(p, round);
			assert_int_equal(pop(p), 0);
			assert_int_equal(driver_take(&p->driver, &written), id);
			assert_int_equal(written, round);
			assert_int_equal(driver_take(&p->driver, NULL), -1);
		}
		pair_free(p);
	}
}

static void buffers_may_come_back_in_any_order(void **state)
{
	LAYOUTS(packed, event)
	{
		struct pair *p = pair_new(16, packed, event);

		srand(1);
		for (unsigned int round = 0; round < 500; round++) {
			struct {
				uint16_t id, slots;
			} held[16];
			unsigned int n = 0, total;
			struct driver_piece pieces[4];

			for (unsigned int i = 0; i < 4; i++)
				pieces[i] = (struct driver_piece){ BUFFERS + i * 64, 64, i > 1 };
			while (driver_add(&p->driver, pieces, 1 + (unsigned int)rand() % 4) >= 0)
				;
			while (pop(p) > 0) {
				held[n].id = p->chain.id;
				held[n++].slots = p->chain.slots;
			}
			for (total = n; n;) {
				unsigned int i = (unsigned int)rand() % n;

				virtq_push(&p->device, held[i].id, held[i].slots, 7);
				held[i] = held[--n];
			}
			/* Nothing is seen before the batch is published, then all of it. */
			assert_int_equal(driver_take(&p->driver, NULL), -1);
			assert_true(virtq_publish(&p->device));
			while (driver_take(&p->driver, NULL) >= 0)
				total--;
			assert_int_equal(total, 0);
			assert_int_equal(p->driver.n_free, 16);
			assert_int_equal(p->device.in_flight, 0);
		}
		pair_free(p);
	}
}

static void indirect_tables_are_followed(void **state)
{
	LAYOUTS(packed, event)
	{
		struct pair *p = pair_new(4, packed, event);
		struct driver_piece pieces[40];

		for (unsigned int i = 0; i < 40; i++)
			pieces[i] = (struct driver_piece){ BUFFERS + 0x1000 + i * 16, 16, i >= 10 };
		for (unsigned int round = 0; round < 50; round++) {
			int id = driver_add_indirect(&p->driver, BUFFERS, pieces, 40);

			assert_int_equal(pop(p), 1);
			assert_int_equal(p->chain.id, id);
			assert_int_equal(p->chain.n_out, 10);
			assert_int_equal(p->chain.n_in, 30);
			push(p, 1);
			assert_int_equal(driver_take(&p->driver, NULL), id);
		}
		pair_free(p);
	}
}

/* Virtio 1.2 section 2.7.5.3.2: direct descriptors, then one indirect. */
static void split_chain_may_end_in_an_indirect_table(void **state)
{
	struct pair *p = pair_new(8, false, false);
	const struct driver_piece in[] = { { BUFFERS + 64, 8, true }, { BUFFERS + 128, 8, true } };

	driver_add_indirect(&p->driver, BUFFERS + 0x1000, in, 2);
	put_desc(driver_desc(&p->driver, 5), BUFFERS, 16, DRV_NEXT, 0);
	*driver_area16(&p->driver, 4) = 5;
	assert_int_equal(pop(p), 1);
	assert_int_equal(p->chain.n_out, 1);
	assert_int_equal(p->chain.n_in, 2);
	pair_free(p);
}

static void interrupts_come_when_the_driver_asked(void **state)
{
	const struct driver_piece piece = { BUFFERS, 16, true };

	LAYOUTS(packed, event)
	{
		struct pair *p = pair_new(4, packed, event);

		/* The first answer after a start is always an interrupt or what the flag says. */
		for (unsigned int round = 0; round < 40; round++) {
			driver_want_next(&p->driver);
			driver_add(&p->driver, &piece, 1);
			driver_add(&p->driver, &piece, 1);
			assert_int_equal(pop(p), 1);
			push(p, 16);
			assert_true(virtq_should_notify(&p->device));
			assert_int_equal(pop(p), 1);
			push(p, 16);
			/* The driver has not asked again; without event indices it gets another. */
			assert_int_equal(virtq_should_notify(&p->device), !event);
			assert_true(driver_take(&p->driver, NULL) >= 0);
			assert_true(driver_take(&p->driver, NULL) >= 0);
			driver_want_none(&p->driver);
			driver_add(&p->driver, &piece, 1);
			assert_int_equal(pop(p), 1);
			push(p, 16);
			assert_false(virtq_should_notify(&p->device));
			assert_true(driver_take(&p->driver, NULL) >= 0);
		}
		pair_free(p);
	}
}

static bool driver_would_kick(const struct pair *p, uint16_t before)
{
	if (p->driver.packed) {
		uint16_t flags = *device_area16(&p->driver, 2);

		if (flags != 2)
			return flags == 0;
		return *device_area16(&p->driver, 0) ==
		       (before | (p->driver.avail_wrap ? 0x8000 : 0));
	}
	if (!p->driver.event_idx)
		return !(*device_area16(&p->driver, 0) & 1);
	return *device_area16(&p->driver, 4 + 8u * p->driver.size) == before;
}

static void kicks_are_asked_for_and_none_is_lost(void **state)
{
	const struct driver_piece piece = { BUFFERS, 16, true };

	LAYOUTS(packed, event)
	{
		struct pair *p = pair_new(4, packed, event);

		assert_false(virtq_kicks_on(&p->device));
		assert_true(driver_would_kick(p, 0));
		virtq_kicks_off(&p->device);
		if (packed || !event)
			assert_false(driver_would_kick(p, 0));
		driver_add(&p->driver, &piece, 1);
		assert_true(virtq_kicks_on(&p->device));
		assert_int_equal(pop(p), 1);
		assert_false(virtq_kicks_on(&p->device));
		assert_true(driver_would_kick(p, 1));
		pair_free(p);
	}
}

/* --- drivers that do not --------------------------------------------------------------------- */

static void misplaced_rings_are_refused(void **state)
{
	struct pair *p = pair_new(8, false, false);
	struct virtq q = p->device;
	struct err err;

	const uint64_t bad[] = { GUEST_BASE + 8,
				 0,
				 GUEST_BASE - 16,
				 GUEST_BASE + GUEST_BYTES - 64,
				 GUEST_BASE + GUEST_BYTES,
				 ~0ULL - 15,
				 1ULL << 63 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		q = p->device;
		q.desc = bad[i];
		assert_int_equal(virtq_start(&q, &p->memory.table, &err), -EINVAL);
		q = p->device;
		q.driver = bad[i] | 1;
		assert_int_equal(virtq_start(&q, &p->memory.table, &err), -EINVAL);
		q = p->device;
		q.device = bad[i] == GUEST_BASE + 8 ? GUEST_BASE + 2 : bad[i];
		if (i != 3)
			assert_int_equal(virtq_start(&q, &p->memory.table, &err), -EINVAL);
	}
	for (unsigned int size = 0; size < 8; size++) {
		q = p->device;
		q.size = (uint16_t)size;
		assert_int_equal(virtq_start(&q, &p->memory.table, &err),
				 is_pow2(size) ? 0 : -EINVAL);
		q.packed = true;
		assert_int_equal(virtq_start(&q, &p->memory.table, &err), size ? 0 : -EINVAL);
	}
	pair_free(p);
}

/* One descriptor of a ring of four, made available as it is. */
static int offer(bool packed, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	struct pair *p = pair_new(4, packed, false);
	int ret;

	for (unsigned int i = 0; i < 4; i++) {
		if (packed)
			put_desc(driver_desc(&p->driver, i), gpa, len, 0,
				 (uint16_t)(flags | DRV_AVAIL));
		else
			put_desc(driver_desc(&p->driver, i), gpa, len, flags, next);
	}
	*driver_area16(&p->driver, 2) = packed ? 0 : 1;
	ret = pop(p);
	/* A broken ring is not written to. */
	if (ret < 0)
		assert_int_equal(*device_area16(&p->driver, 2), 0);
	pair_free(p);
	return ret;
}

static void buffers_outside_memory_break_the_queue(void **state)
{
	const struct {
		uint64_t gpa;
		uint32_t len;
	} bad[] = { { 0, 16 },
		    { GUEST_BASE - 1, 16 },
		    { GUEST_BASE + GUEST_BYTES - 8, 16 },
		    { GUEST_BASE + GUEST_BYTES, 1 },
		    { ~0ULL, 16 },
		    { ~0ULL - 15, 16 },
		    { GUEST_BASE, 0xffffffff } };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(offer(false, bad[i].gpa, bad[i].len, 0, 0), -EPROTO);
		assert_int_equal(offer(true, bad[i].gpa, bad[i].len, 0, 0), -EPROTO);
	}
	assert_int_equal(offer(false, GUEST_BASE, GUEST_BYTES, 0, 0), 1);
	assert_int_equal(offer(true, GUEST_BASE, GUEST_BYTES, 0, 0), 1);
}

static void circles_break_the_queue(void **state)
{
	assert_int_equal(offer(false, GUEST_BASE, 16, DRV_NEXT, 0), -EPROTO);
	assert_int_equal(offer(false, GUEST_BASE, 16, DRV_NEXT, 1), -EPROTO);
	assert_int_equal(offer(false, GUEST_BASE, 16, DRV_NEXT, 4), -EPROTO);
	assert_int_equal(offer(false, GUEST_BASE, 16, DRV_NEXT, 0xffff), -EPROTO);
	assert_int_equal(offer(true, GUEST_BASE, 16, DRV_NEXT, 0), -EPROTO);
	/* The descriptors lie at GUEST_BASE: as indirect tables, they refer to themselves. */
	assert_int_equal(offer(false, GUEST_BASE, 64, DRV_INDIRECT, 0), -EPROTO);
	assert_int_equal(offer(false, GUEST_BASE, 64, DRV_INDIRECT | DRV_NEXT, 1), -EPROTO);
	assert_int_equal(offer(true, GUEST_BASE, 64, DRV_INDIRECT | DRV_NEXT, 1), -EPROTO);
}

static void bad_indirect_tables_break_the_queue(void **state)
{
	const uint32_t lengths[] = { 0, 1, 15, 17, 16 * (VIRTQ_SIZE_MAX + 1), 0xfffffff0 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		assert_int_equal(offer(false, BUFFERS, lengths[i], DRV_INDIRECT, 0), -EPROTO);
		assert_int_equal(offer(true, BUFFERS, lengths[i], DRV_INDIRECT, 0), -EPROTO);
	}
	assert_int_equal(offer(false, GUEST_BASE - 16, 32, DRV_INDIRECT, 0), -EPROTO);
	assert_int_equal(offer(true, GUEST_BASE - 16, 32, DRV_INDIRECT, 0), -EPROTO);
}

static void indirect_without_agreement_breaks_the_queue(void **state)
{
	const struct driver_piece piece = { BUFFERS, 16, true };

	for (int packed = 0; packed < 2; packed++) {
		struct pair *p = pair_new(4, packed, false);

		p->device.indirect = false;
		driver_add_indirect(&p->driver, BUFFERS + 64, &piece, 1);
		assert_int_equal(pop(p), -EPROTO);
		pair_free(p);
	}
}

static void readable_after_writable_breaks_the_queue(void **state)
{
	const struct driver_piece pieces[] = { { BUFFERS, 16, true }, { BUFFERS, 16, false } };

	LAYOUTS(packed, event)
	{
		struct pair *p = pair_new(4, packed, event);

		driver_add(&p->driver, pieces, 2);
		assert_int_equal(pop(p), -EPROTO);
		pair_free(p);
	}
}

static void more_buffers_than_entries_break_the_queue(void **state)
{
	struct pair *p = pair_new(4, false, false);
	const struct driver_piece piece = { BUFFERS, 16, true };

	*driver_area16(&p->driver, 2) = 5;
	assert_int_equal(pop(p), -EPROTO);
	*driver_area16(&p->driver, 2) = 0xffff;
	assert_int_equal(pop(p), -EPROTO);
	pair_free(p);

	/* The same head again and again, while it is in use. */
	p = pair_new(4, false, false);
	driver_add(&p->driver, &piece, 1);
	for (unsigned int i = 0; i < 4; i++) {
		*driver_area16(&p->driver, 4 + 2 * i) = 0;
		*driver_area16(&p->driver, 2) = (uint16_t)(i + 1);
		assert_int_equal(pop(p), 1);
	}
	*driver_area16(&p->driver, 2) = 5;
	assert_int_equal(pop(p), -EPROTO);
	pair_free(p);

	p = pair_new(4, true, false);
	for (unsigned int i = 0; i < 4; i++) {
		driver_add(&p->driver, &piece, 1);
		assert_int_equal(pop(p), 1);
	}
	put_desc(driver_desc(&p->driver, 0), BUFFERS, 16, 0, DRV_USED);
	assert_int_equal(pop(p), -EPROTO);
	pair_free(p);
}

static void head_past_the_table_breaks_the_queue(void **state)
{
	struct pair *p = pair_new(4, false, false);

	*driver_area16(&p->driver, 4) = 4;
	*driver_area16(&p->driver, 2) = 1;
	assert_int_equal(pop(p), -EPROTO);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_arrive_whole_and_come_back),
		cmocka_unit_test(buffers_may_come_back_in_any_order),
		cmocka_unit_test(indirect_tables_are_followed),
		cmocka_unit_test(split_chain_may_end_in_an_indirect_table),
		cmocka_unit_test(interrupts_come_when_the_driver_asked),
		cmocka_unit_test(kicks_are_asked_for_and_none_is_lost),
		cmocka_unit_test(misplaced_rings_are_refused),
		cmocka_unit_test(buffers_outside_memory_break_the_queue),
		cmocka_unit_test(circles_break_the_queue),
		cmocka_unit_test(bad_indirect_tables_break_the_queue),
		cmocka_unit_test(indirect_without_agreement_breaks_the_queue),
		cmocka_unit_test(readable_after_writable_breaks_the_queue),
		cmocka_unit_test(more_buffers_than_entries_break_the_queue),
		cmocka_unit_test(head_past_the_table_breaks_the_queue),
	};

	return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
