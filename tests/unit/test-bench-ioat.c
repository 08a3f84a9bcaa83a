/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench dma's driver of I/OAT against a model of its registers, made from the descriptions in
 * Linux's drivers/dma/ioat: nothing here or elsewhere emulates one. The model is strict: registers
 * have their widths, and what is walked before it was set up is an error.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/dma-device.h"
#include "tests/unit/check.h"
#include "util/bits.h"

#define WALK	  (4 * MIB)
#define SIZE	  (DMA_OWN + WALK)
#define BASE	  GIB
#define PATIENT	  600000000000u /* ticks: minutes */
#define IMPATIENT 20000000u

enum state {
	ACTIVE,
	DONE,
	SUSPENDED,
	HALTED
};

struct descriptor {
	uint32_t size, control;
	uint64_t source, destination, next, reserved[4];
};

struct model {
	struct dma_device device;
	struct dma_result result;
	uint8_t version, xfercap;
	/* The channel. */
	bool was_reset, moved_on; /* the chain's address was taken */
	uint16_t control, count;
	uint64_t chain, completion, next;
	uint32_t error;
	enum state status;
	uint64_t stalls_after, walked;
	unsigned int words; /* completion words that were written */
};

static struct model *of(const struct dma_device *d)
{
	return (struct model *)container_of(d, struct model, device);
}

/* NULL: nothing is there. */
static uint8_t *at(struct model *m, uint64_t address, uint64_t size)
{
	return range_inside(address, size, BASE, SIZE) ? m->device.memory + (address - BASE) : NULL;
}

static void report(struct model *m, uint64_t descriptor)
{
	uint64_t word = descriptor | m->status;
	uint8_t *to = at(m, m->completion, 8);

	assert_non_null(to);
	memcpy(to, &word, sizeof(word));
	m->words++;
}

static void halt(struct model *m, uint64_t descriptor, uint32_t error)
{
	m->error |= error;
	m->status = HALTED;
	report(m, descriptor);
}

static void walk_one(struct model *m)
{
	uint64_t address = m->next;
	struct descriptor d;
	uint8_t *from, *to;

	assert_non_null(at(m, address, sizeof(d)));
	memcpy(&d, at(m, address, sizeof(d)), sizeof(d));
	m->walked++;
	m->next = d.next;
	assert_int_equal(d.control & ~0x28u, 0);
	if (!(d.control & 0x20)) {
		assert_in_range(d.size, 1, 1u << m->xfercap);
		from = at(m, d.source, d.size);
		to = at(m, d.destination, d.size);
		if (!from || !to) {
			halt(m, address, from ? 2 : 1);
			return;
		}
		memmove(to, from, d.size);
	}
	m->status = DONE;
	if (d.control & 8)
		report(m, address);
}

static void issue(struct model *m, uint16_t count)
{
	assert_true(m->was_reset);
	assert_int_equal(m->control & 0x0c, 0x0c); /* errors abort, and are written */
	assert_int_equal(m->chain % 64, 0);
	if (!m->moved_on)
		m->next = m->chain;
	m->moved_on = true;
	while (m->count != count && m->status != HALTED && m->walked < m->stalls_after) {
		m->count++;
		walk_one(m);
	}
}

static void set_half(uint64_t *value, bool high, uint64_t half)
{
	*value =
		high ? (*value & UINT32_MAX) | half << 32 : (*value & ~(uint64_t)UINT32_MAX) | half;
}

static uint64_t model_read(const struct dma_device *d, uint32_t where, unsigned int size)
{
	struct model *m = of(d);

	switch (where << 4 | size) {
	case 0x001:
		return 1;
	case 0x011:
		return m->xfercap;
	case 0x081:
		return m->version;
	case 0x841: /* no command takes time */
		return 0;
	case 0x888:
		return m->status;
	case 0xa84:
		return m->error;
	}
	fail_msg("a read of %u bytes at %#x", size, where);
	return 0;
}

static void model_write(const struct dma_device *d, uint32_t where, uint64_t value,
			unsigned int size)
{
	struct model *m = of(d);

	switch (where << 4 | size) {
	case 0x802:
		m->control = (uint16_t)value;
		return;
	case 0x841:
		if (value & 0x20) {
			m->was_reset = true;
			m->moved_on = false;
			m->count = 0;
			m->status = SUSPENDED;
		} else {
			assert_int_equal(value, 4);
			m->status = m->status == ACTIVE ? SUSPENDED : m->status;
		}
		return;
	case 0x862:
		issue(m, (uint16_t)value);
		return;
	case 0x904:
	case 0x944:
		set_half(&m->chain, where == 0x94, value);
		return;
	case 0x984:
	case 0x9c4:
		set_half(&m->completion, where == 0x9c, value);
		return;
	case 0xa84:
		m->error &= ~(uint32_t)value;
		return;
	}
	fail_msg("a write of %u bytes at %#x", size, where);
}

static struct model *start(void)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	*m = (struct model){
		.device = { .driver = &dma_ioat_driver,
			    .read = model_read,
			    .write = model_write,
			    .memory = calloc(1, SIZE),
			    .address = BASE,
			    .size = SIZE,
			    .patience = PATIENT },
		.version = 0x33,
		.xfercap = 20,
		.stalls_after = UINT64_MAX,
		.error = 0x8000, /* whoever had it before */
	};
	assert_non_null(m->device.memory);
	return m;
}

static void end(struct model *m)
{
	free(m->device.memory);
	free(m);
}

static const struct dma_load plain = {
	.bytes = DMA_PAGE, .batch = 1, .depth = 16, .size = WALK, .ticks = 1, .least = 1024
};

static void the_channel_comes_up_with_its_limits(void **state)
{
	struct model *m = start();

	(void)state;
	assert_true(m->device.driver->start(&m->device));
	assert_int_equal(m->device.lanes, DMA_LANES);
	assert_int_equal(m->device.bytes_max, DMA_SOURCE_BYTES);
	assert_int_equal(m->device.batch_max, 32);
	assert_int_equal(m->error, 0);
	m->xfercap = 12;
	assert_true(m->device.driver->start(&m->device));
	assert_int_equal(m->device.bytes_max, 4096);
	end(m);
}

static void other_versions_are_not_driven(void **state)
{
	static const uint8_t versions[] = { 0x12, 0x20, 0x40, 0xff };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct model *m = start();

		m->version = versions[i];
		assert_false(m->device.driver->start(&m->device));
		assert_string_equal(m->device.at, "its version, which is none of 3");
		end(m);
	}
}

/* Long enough for the ring, and its 16-bit count, to wrap. */
static void moves_arrive_while_the_ring_goes_round(void **state)
{
	struct dma_load load = plain;
	struct model *m = start();

	(void)state;
	assert_true(m->device.driver->start(&m->device));
	assert_true(dma_prove(&m->device, &load));
	memset(m->device.memory + DMA_OWN, 0, WALK);
	load.least = 70000;
	assert_true(dma_run(&m->device, &load, &m->result));
	assert_in_range(m->walked, 70000, 70200);
	for (uint64_t place = 0; place < WALK; place += DMA_PAGE)
		assert_memory_equal(m->device.memory + DMA_OWN + place,
				    m->device.memory + DMA_SOURCE, DMA_PAGE);
	end(m);
}

static void of_a_run_the_last_one_is_reported(void **state)
{
	struct dma_load load = plain;
	struct model *m = start();

	(void)state;
	load.batch = 32;
	load.depth = 8;
	load.least = 300;
	assert_true(m->device.driver->start(&m->device));
	assert_true(dma_prove(&m->device, &load));
	m->words = 0;
	m->walked = 0;
	assert_true(dma_run(&m->device, &load, &m->result));
	assert_int_equal(m->words, m->result.done);
	assert_int_equal(m->walked, 32 * m->result.done);
	end(m);
}

static void what_moves_from_memory_goes_to_the_sink(void **state)
{
	struct dma_load load = plain;
	struct model *m = start();

	(void)state;
	load.writes = 100;
	assert_true(m->device.driver->start(&m->device));
	memset(m->device.memory + DMA_OWN, 7, WALK);
	assert_true(dma_run(&m->device, &load, &m->result));
	assert_memory_equal(m->device.memory + DMA_SINK, m->device.memory + DMA_OWN, DMA_PAGE);
	end(m);
}

static void an_address_that_nobody_mapped_ends_the_load_with_its_error(void **state)
{
	struct dma_load load = plain;
	struct model *m = start();
	uint32_t value = 0;

	(void)state;
	load.size = 2 * WALK;
	assert_true(m->device.driver->start(&m->device));
	assert_false(dma_run(&m->device, &load, &m->result));
	assert_int_equal(m->device.error, 2);
	assert_string_equal(m->device.driver->describe(&m->device, &value), "CHANERR");
	assert_int_equal(value, 2);
	/* And it can be had again. */
	m->device.driver->stop(&m->device);
	assert_true(m->device.driver->start(&m->device));
	assert_true(dma_prove(&m->device, &plain));
	end(m);
}

static void a_channel_that_stalls_is_not_waited_for(void **state)
{
	struct model *m = start();
	uint32_t value = 0;

	(void)state;
	m->stalls_after = 100;
	assert_true(m->device.driver->start(&m->device));
	m->device.patience = IMPATIENT;
	assert_false(dma_run(&m->device, &plain, &m->result));
	assert_int_equal(m->device.failed, 0);
	assert_int_equal(m->result.done, 99);
	assert_string_equal(m->device.driver->describe(&m->device, &value), "CHANSTS");
	end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_channel_comes_up_with_its_limits),
		cmocka_unit_test(other_versions_are_not_driven),
		cmocka_unit_test(moves_arrive_while_the_ring_goes_round),
		cmocka_unit_test(of_a_run_the_last_one_is_reported),
		cmocka_unit_test(what_moves_from_memory_goes_to_the_sink),
		cmocka_unit_test(an_address_that_nobody_mapped_ends_the_load_with_its_error),
		cmocka_unit_test(a_channel_that_stalls_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
