/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adit bench dma's driver of DSA against the function that adit composes, in this process:
 * registers and portals are reached as a guest's accesses end up.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/dma-device.h"
#include "bench/dsa-rig.h"
#include "ioasid-client/pasid-table.h"
#include "kvm-glue/vm.h"
#include "passthrough/adi/dsa.h"
#include "passthrough/pci/pci.h"
#include "tests/unit/check.h"
#include "util/bits.h"

#define WALK	  (4 * MIB)
#define SIZE	  (DMA_OWN + WALK)
#define PATIENT	  600000000000u /* ticks: minutes */
#define IMPATIENT 50000000u	/* of what never comes */
#define NOTED	  256u		/* stores */

struct fixture {
	struct dma_device device;
	struct dsa_rig rig;
	struct err err;
	struct dma_result result;
	bool deaf;		/* the portal loses what comes */
	uint64_t hidden_gencap; /* bits of it */
	unsigned int stores, table_writes;
	uint8_t queue[NOTED]; /* that a store went to */
};

static struct fixture *of(const struct dma_device *d)
{
	return (struct fixture *)container_of(d, struct fixture, device);
}

static uint64_t bar(const struct fixture *f)
{
	return pci_function_bar_address(dsa_function(f->rig.dsa), DSA_BAR_REGISTERS);
}

static uint64_t rig_read(const struct dma_device *d, uint32_t at, unsigned int size)
{
	struct fixture *f = of(d);
	uint64_t value = 0;

	if (d->lost)
		return UINT64_MAX >> (64 - 8 * size);
	epoch_enter(vm_epoch(f->rig.vm), &f->rig.reader);
	iomap_read(vm_mmio(f->rig.vm), bar(f) + at, &value, size);
	epoch_exit(&f->rig.reader);
	return at == DSA_GENCAP ? value & ~f->hidden_gencap : value;
}

static void rig_write(const struct dma_device *d, uint32_t at, uint64_t value, unsigned int size)
{
	struct fixture *f = of(d);

	f->table_writes += at >= DSA_GRPCFG;
	epoch_enter(vm_epoch(f->rig.vm), &f->rig.reader);
	iomap_write(vm_mmio(f->rig.vm), bar(f) + at, &value, size);
	epoch_exit(&f->rig.reader);
}

static void rig_store64(struct dma_device *d, uint32_t at, const void *data)
{
	struct fixture *f = of(d);

	/* The limited portal of a queue, in its 64-byte slots. */
	assert_in_range(at % DSA_WQ_PORTALS, DSA_PORTAL_PAGE, 2 * DSA_PORTAL_PAGE - 64);
	assert_int_equal(at % 64, 0);
	f->queue[f->stores++ % NOTED] = (uint8_t)(at / DSA_WQ_PORTALS);
	if (f->deaf)
		return;
	epoch_enter(vm_epoch(f->rig.vm), &f->rig.reader);
	f->rig.portal->ops->store64(f->rig.portal->opaque, at, STORE64_MOVDIR64B, data);
	epoch_exit(&f->rig.reader);
}

/* queues: of several with PASIDs, of which one is `unbound`; else of a single one. */
static struct fixture *start_as(bool queues, uint32_t unbound)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	if (queues ? dsa_rig_open_queues(&f->rig, SIZE, unbound, &f->err)
		   : dsa_rig_open(&f->rig, SIZE, 1, false, &f->err)) {
		free(f);
		return NULL;
	}
	f->device = (struct dma_device){
		.driver = &dma_dsa_driver,
		.read = rig_read,
		.write = rig_write,
		.store64 = rig_store64,
		.memory = f->rig.memory,
		.size = SIZE,
		.patience = PATIENT,
	};
	return f;
}

static struct fixture *start(void)
{
	return start_as(false, 0);
}

static void end(struct fixture *f)
{
	dsa_rig_close(&f->rig);
	free(f);
}

#define START(f)                               \
	do {                                   \
		(f) = start();                 \
		if (!(f))                      \
			skip_because("no VM"); \
	} while (0)

static const struct dma_load plain = {
	.bytes = DMA_PAGE, .batch = 1, .depth = 16, .size = WALK, .ticks = 1, .least = 1024
};

/* Every page that was walked over holds what a move brings. */
static void expect_source(const struct fixture *f, uint64_t size, uint32_t bytes)
{
	const uint8_t *source = f->rig.memory + DMA_SOURCE;

	for (uint64_t at = 0; at + bytes <= size; at += bytes)
		assert_memory_equal(f->rig.memory + DMA_OWN + at, source, bytes);
}

static void the_function_comes_up_with_its_limits(void **state)
{
	struct fixture *f;

	(void)state;
	START(f);
	assert_true(f->device.driver->start(&f->device));
	assert_int_equal(f->device.lanes, DSA_RIG_QUEUE);
	assert_int_equal(f->device.bytes_max, DMA_SOURCE_BYTES);
	assert_int_equal(f->device.bytes_step, 1);
	assert_int_equal(f->device.batch_max, 64);
	assert_int_equal(f->stores, 1);
	end(f);
}

static void what_moves_to_memory_is_the_source(void **state)
{
	static const uint32_t sizes[] = { 64, 100, DMA_PAGE, 3 * DMA_PAGE, DMA_SOURCE_BYTES };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct dma_load load = plain;
		struct fixture *f;

		START(f);
		load.bytes = sizes[i];
		load.size = sizes[i] * 16ULL;
		load.least = 16;
		assert_true(f->device.driver->start(&f->device));
		assert_true(dma_prove(&f->device, &load));
		memset(f->rig.memory + DMA_OWN, 0, load.size);
		assert_true(dma_run(&f->device, &load, &f->result));
		expect_source(f, load.size, load.bytes);
		end(f);
	}
}

static void what_moves_from_memory_leaves_it_alone(void **state)
{
	struct dma_load load = plain;
	struct fixture *f;

	(void)state;
	START(f);
	load.writes = 100;
	assert_true(f->device.driver->start(&f->device));
	memset(f->rig.memory + DMA_OWN, 7, WALK);
	assert_true(dma_run(&f->device, &load, &f->result));
	for (uint64_t at = 0; at < WALK; at++)
		assert_int_equal(f->rig.memory[DMA_OWN + at], 7);
	assert_memory_equal(f->rig.memory + DMA_SINK, f->rig.memory + DMA_OWN, DMA_PAGE);
	end(f);
}

static void batches_move_all_their_members(void **state)
{
	struct dma_load load = plain;
	struct fixture *f;

	(void)state;
	START(f);
	load.batch = 16;
	load.depth = 4;
	load.least = 64;
	assert_true(f->device.driver->start(&f->device));
	assert_true(dma_prove(&f->device, &load));
	memset(f->rig.memory + DMA_OWN, 0, WALK);
	f->stores = 0;
	assert_true(dma_run(&f->device, &load, &f->result));
	assert_int_equal(f->stores, f->result.done);
	expect_source(f, WALK, DMA_PAGE);
	end(f);
}

static void an_address_that_nobody_mapped_ends_the_load_with_its_status(void **state)
{
	struct dma_load load = plain;
	struct fixture *f;

	(void)state;
	START(f);
	load.size = 2 * WALK; /* the second half is not there */
	assert_true(f->device.driver->start(&f->device));
	assert_false(dma_run(&f->device, &load, &f->result));
	assert_int_equal(f->device.error, DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	end(f);
}

static void a_batch_with_a_member_that_fails_is_a_failure(void **state)
{
	struct dma_load load = plain;
	struct fixture *f;

	(void)state;
	START(f);
	load.size = 2 * WALK;
	load.batch = 64;
	load.depth = 1;
	assert_true(f->device.driver->start(&f->device));
	assert_false(dma_run(&f->device, &load, &f->result));
	assert_int_equal(f->device.error, DSA_STATUS_BATCH_FAILED);
	end(f);
}

static void engines_that_stall_are_not_waited_for(void **state)
{
	struct fixture *f;
	uint32_t value = 0;

	(void)state;
	START(f);
	assert_true(f->device.driver->start(&f->device));
	dsa_engines_stop(f->rig.dsa);
	f->device.patience = IMPATIENT;
	assert_false(dma_run(&f->device, &plain, &f->result));
	assert_int_equal(f->device.failed, 0);
	assert_string_equal(f->device.at, "a load");
	assert_string_equal(f->device.driver->describe(&f->device, &value), "GENSTS");
	assert_int_equal(value & 3, DSA_STATE_ENABLED);
	dsa_engines_start(f->rig.dsa);
	end(f);
}

static void a_portal_that_loses_descriptors_is_found_at_the_start(void **state)
{
	struct fixture *f;

	(void)state;
	START(f);
	f->deaf = true;
	f->device.torn = true;
	f->device.patience = IMPATIENT;
	assert_false(f->device.driver->start(&f->device));
	assert_non_null(strstr(f->device.at, "for want of MOVDIR64B"));
	end(f);
}

static void a_function_whose_way_is_gone_is_not_waited_for(void **state)
{
	struct fixture *f;
	uint32_t value = 0;

	(void)state;
	START(f);
	assert_true(f->device.driver->start(&f->device));
	f->deaf = true;
	f->device.lost = true;
	assert_false(dma_run(&f->device, &plain, &f->result));
	f->device.driver->stop(&f->device);
	assert_string_equal(f->device.driver->describe(&f->device, &value),
			    "nobody answers, GENSTS");
	f->device.lost = false;
	end(f);
}

/* That it then works is for the served one of tests/cli/test-bench.sh: a rig's can be configured.
 */
static void tables_of_a_function_that_is_fixed_are_not_written(void **state)
{
	struct fixture *f;

	(void)state;
	START(f);
	f->hidden_gencap = DSA_GENCAP_CONFIG;
	f->device.driver->start(&f->device);
	assert_int_equal(f->table_writes, 0);
	f->hidden_gencap = 0;
	assert_true(f->device.driver->start(&f->device));
	assert_in_range(f->table_writes, 7, 100);
	end(f);
}

/* --- several queues, each under a PASID ------------------------------------------------------ */

#define START_QUEUES(f, unbound)                   \
	do {                                       \
		(f) = start_as(true, unbound);     \
		if (!(f))                          \
			skip_because("no VM");     \
		(f)->device.wanted.count = QUEUES; \
	} while (0)
#define QUEUES DSA_RIG_QUEUES

static uint64_t uses(const struct fixture *f, uint32_t pasid)
{
	return pasid_table_uses(dsa_pasid_table(f->rig.dsa), pasid);
}

static void operations_go_round_the_queues_each_under_its_pasid(void **state)
{
	struct dma_load load = plain;
	uint64_t before[QUEUES];
	struct fixture *f;

	(void)state;
	START_QUEUES(f, 0);
	f->device.wanted.pasids = true;
	load.queues = QUEUES;
	load.depth = 2;
	load.least = 401;
	assert_true(f->device.driver->start(&f->device));
	assert_int_equal(f->device.lanes, DSA_MAX_WQ_SIZE / QUEUES);
	/* Two lanes take two goes, so that each queue is one's. */
	assert_true(dma_prove(&f->device, &load));
	for (uint32_t i = 0; i < QUEUES; i++) {
		before[i] = uses(f, i + 1);
		assert_int_equal(before[i], 1 + 2); /* the first descriptor; two patterns */
	}
	memset(f->rig.memory + DMA_OWN, 0, WALK);
	assert_true(dma_run(&f->device, &load, &f->result));
	for (uint32_t i = 0; i < QUEUES; i++)
		assert_in_range(uses(f, i + 1) - before[i], f->result.done / QUEUES,
				f->result.done / QUEUES + 1);
	expect_source(f, 401ULL * DMA_PAGE, DMA_PAGE);
	end(f);
}

static void so_many_in_a_row_are_one_queues(void **state)
{
	struct dma_load load = plain;
	struct fixture *f;

	(void)state;
	START_QUEUES(f, 0);
	f->device.wanted.pasids = true;
	load.queues = 3;
	load.in_row = 7;
	load.depth = 4;
	load.least = 100;
	assert_true(f->device.driver->start(&f->device));
	f->stores = 0;
	assert_true(dma_run(&f->device, &load, &f->result));
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(f->queue[i], i / 7 % 3);
	end(f);
}

static void queues_with_lanes_of_their_own_take_no_turns(void **state)
{
	struct dma_load load = plain;
	unsigned int in[QUEUES] = { 0 };
	struct fixture *f;

	(void)state;
	START_QUEUES(f, 0);
	load.queues = QUEUES;
	load.own_lanes = true;
	load.depth = 2 * QUEUES;
	load.least = 1;
	load.ticks = 0;
	assert_true(f->device.driver->start(&f->device));
	f->stores = 0;
	assert_true(dma_prove(&f->device, &load));
	assert_int_equal(f->stores, 2 * load.depth); /* two patterns */
	for (unsigned int i = 0; i < f->stores; i++)
		in[f->queue[i]]++;
	for (unsigned int i = 0; i < QUEUES; i++)
		assert_int_equal(in[i], 2 * 2);
	assert_true(dma_run(&f->device, &load, &f->result));
	end(f);
}

static void queues_without_pasids_use_none(void **state)
{
	struct dma_load load = plain;
	struct fixture *f;

	(void)state;
	START_QUEUES(f, 0);
	load.queues = QUEUES;
	load.depth = 4;
	assert_true(f->device.driver->start(&f->device));
	assert_true(dma_run(&f->device, &load, &f->result));
	for (uint32_t i = 1; i <= QUEUES; i++)
		assert_int_equal(uses(f, i), 0);
	end(f);
}

static void a_pasid_that_is_bound_to_nothing_is_found_at_the_start(void **state)
{
	struct fixture *f;
	uint32_t value = 0;

	(void)state;
	START_QUEUES(f, 3);
	f->device.wanted.pasids = true;
	f->device.patience = IMPATIENT;
	assert_false(f->device.driver->start(&f->device));
	assert_string_equal(f->device.at, "its first descriptor");
	assert_string_equal(f->device.driver->describe(&f->device, &value), "SWERR");
	assert_int_equal(value >> DSA_SWERR_WQ_SHIFT & 0xff, 2);
	end(f);
}

static void queues_that_are_not_used_leave_their_entries_to_the_others(void **state)
{
	static const struct {
		unsigned int wanted, lanes;
	} rows[] = {
		{ 0, DMA_LANES }, /* of 128, more than there are lanes */
		{ 1, DMA_LANES },
		{ 4, 32 },
		{ 8, 16 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dma_load load = plain;
		struct fixture *f;

		START_QUEUES(f, 0);
		f->device.wanted.count = rows[i].wanted;
		load.queues = rows[i].wanted;
		assert_true(f->device.driver->start(&f->device));
		assert_int_equal(f->device.lanes, rows[i].lanes);
		load.depth = rows[i].lanes;
		assert_true(dma_run(&f->device, &load, &f->result));
		end(f);
	}
}

static void more_queues_than_there_are_is_refused(void **state)
{
	struct fixture *f;

	(void)state;
	START(f);
	f->device.wanted.count = 2;
	assert_false(f->device.driver->start(&f->device));
	assert_non_null(strstr(f->device.at, "too few"));
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_function_comes_up_with_its_limits),
		cmocka_unit_test(what_moves_to_memory_is_the_source),
		cmocka_unit_test(what_moves_from_memory_leaves_it_alone),
		cmocka_unit_test(batches_move_all_their_members),
		cmocka_unit_test(an_address_that_nobody_mapped_ends_the_load_with_its_status),
		cmocka_unit_test(a_batch_with_a_member_that_fails_is_a_failure),
		cmocka_unit_test(engines_that_stall_are_not_waited_for),
		cmocka_unit_test(a_portal_that_loses_descriptors_is_found_at_the_start),
		cmocka_unit_test(a_function_whose_way_is_gone_is_not_waited_for),
		cmocka_unit_test(tables_of_a_function_that_is_fixed_are_not_written),
		cmocka_unit_test(operations_go_round_the_queues_each_under_its_pasid),
		cmocka_unit_test(so_many_in_a_row_are_one_queues),
		cmocka_unit_test(queues_with_lanes_of_their_own_take_no_turns),
		cmocka_unit_test(queues_without_pasids_use_none),
		cmocka_unit_test(a_pasid_that_is_bound_to_nothing_is_found_at_the_start),
		cmocka_unit_test(queues_that_are_not_used_leave_their_entries_to_the_others),
		cmocka_unit_test(more_queues_than_there_are_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
