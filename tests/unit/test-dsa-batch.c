/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: order, fences, limits, faults of the list, and what is reported of each descriptor. */
#include "tests/unit/test-dsa.h"

#define LIST	0x20000ULL
#define RECORDS 0x40000ULL

static struct dsa_options plain(void)
{
	struct dsa_options options = rig_options(false);

	options.engines = 1;
	return options;
}

static void start(struct dsa_rig *rig)
{
	device_enable(rig);
	wq_enable(rig, 0, 0);
}

static struct dsa_descriptor *listed(struct dsa_rig *rig, unsigned int i)
{
	return (struct dsa_descriptor *)(rig->memory + LIST) + i;
}

/* Descriptor i of the list, with a record of its own. */
static struct dsa_descriptor *put(struct dsa_rig *rig, unsigned int i, struct dsa_descriptor d)
{
	d.record = RECORDS + i * 32ULL;
	memset(rig->memory + d.record, 0, 32);
	*listed(rig, i) = d;
	return listed(rig, i);
}

static uint8_t status_of(struct dsa_rig *rig, unsigned int i)
{
	return status_at(rig, RECORDS + i * 32ULL);
}

static struct dsa_descriptor batch(uint32_t count)
{
	return (struct dsa_descriptor){
		.flags = DSA_OP_BATCH << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD,
		.record = RECORD,
		.source = LIST,
		.size = count,
	};
}

static struct dsa_descriptor fill(uint64_t to, uint64_t pattern, uint32_t size)
{
	struct dsa_descriptor d = move(to, pattern, size);

	d.flags = (d.flags & DSA_FLAGS_MASK) | DSA_OP_FILL << DSA_OPCODE_SHIFT;
	return d;
}

static struct dsa_descriptor compare(uint64_t a, uint64_t b, uint32_t size, uint8_t expected)
{
	struct dsa_descriptor d = move(b, a, size);

	d.flags = (d.flags & DSA_FLAGS_MASK) | DSA_OP_COMPARE << DSA_OPCODE_SHIFT |
		  DSA_FLAG_CHECK_RESULT;
	d.expected = expected;
	return d;
}

static void descriptors_take_effect_in_their_order(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(1000);

	start(&rig);
	/* A byte that wanders through memory, and each step needs the one before it. */
	for (unsigned int i = 0; i < 1000; i++)
		put(&rig, i, move(0x80001 + i, 0x80000 + i, 1));
	rig.memory[0x80000] = 0x5a;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 1000);
	assert_int_equal(rig.memory[0x80000 + 1000], 0x5a);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(status_of(&rig, i), DSA_STATUS_OK);
	assert_int_equal(counters(&rig).bytes, 1000);
	assert_int_equal(counters(&rig).accepted, 1);
	rig_close(&rig);
}

static void descriptors_of_many_sections_complete(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(12);

	start(&rig);
	for (unsigned int i = 0; i < 12; i++)
		put(&rig, i,
		    i & 1 ? move(LONG_IOVA, LONG_IOVA + MIB / 2, (i + 1) * (MIB / 2) - 7)
			  : fill(0x100000, i, 64 + i));
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 12);
	rig_close(&rig);
}

static void failure_is_told_and_the_rest_goes_on(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(4);

	start(&rig);
	put(&rig, 0, fill(0x80000, 1, 8));
	put(&rig, 1, fill(MEMORY, 2, 8));
	put(&rig, 2, fill(0x80008, 3, 0));
	put(&rig, 3, fill(0x80010, 4, 8));
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 4);
	assert_int_equal(status_of(&rig, 0), DSA_STATUS_OK);
	assert_int_equal(status_of(&rig, 1), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record_at(&rig, RECORDS + 32)->fault, MEMORY);
	assert_int_equal(status_of(&rig, 2), DSA_STATUS_SIZE);
	assert_int_equal(status_of(&rig, 3), DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x80010], 4);
	rig_close(&rig);
}

static void fence_stops_a_batch_that_failed(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(4);

	start(&rig);
	put(&rig, 0, fill(MEMORY, 2, 8));
	put(&rig, 1, fill(0x80000, 1, 8));
	put(&rig, 2, fill(0x80008, 3, 8))->flags |= DSA_FLAG_FENCE;
	put(&rig, 3, fill(0x80010, 4, 8));
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 2);
	assert_int_equal(rig.memory[0x80000], 1);
	assert_int_equal(rig.memory[0x80008], 0);
	assert_int_equal(rig.memory[0x80010], 0);
	assert_int_equal(status_of(&rig, 2), 0);
	/* One that did not fail goes past it. */
	put(&rig, 0, fill(0x80000, 2, 8));
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x80010], 4);
	rig_close(&rig);
}

static void fence_makes_the_rest_depend_on_a_comparison(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(2);

	start(&rig);
	put(&rig, 0, compare(0x80000, 0x81000, 64, 0));
	put(&rig, 1, fill(0x82000, 9, 8))->flags |= DSA_FLAG_FENCE;
	rig.memory[0x81005] = 1;
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(status_of(&rig, 0), DSA_STATUS_FALSE);
	assert_int_equal(rig.memory[0x82000], 0);
	rig.memory[0x81005] = 0;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x82000], 9);
	rig_close(&rig);
}

static void batches_are_checked(void **state)
{
	static const struct {
		const char *what;
		uint32_t count, list, flags, destination;
		uint8_t status;
	} cases[] = {
		{ "none", 0, LIST, 0, 0, DSA_STATUS_BATCH_SIZE },
		{ "one", 1, LIST, 0, 0, DSA_STATUS_BATCH_SIZE },
		{ "two", 2, LIST, 0, 0, DSA_STATUS_OK },
		{ "the queue's limit", 8, LIST, 0, 0, DSA_STATUS_OK },
		{ "one more", 9, LIST, 0, 0, DSA_STATUS_BATCH_SIZE },
		{ "all ones", ~0u, LIST, 0, 0, DSA_STATUS_BATCH_SIZE },
		{ "an unaligned list", 2, LIST + 32, 0, 0, DSA_STATUS_BATCH_ALIGN },
		{ "a destination", 2, LIST, 0, 1, DSA_STATUS_RESERVED },
		{ "cache control", 2, LIST, DSA_FLAG_CACHE, 0, DSA_STATUS_FLAGS },
		{ "block on fault", 2, LIST, DSA_FLAG_BLOCK_ON_FAULT, 0, DSA_STATUS_FLAGS },
	};
	RIG(rig, plain());

	device_enable(&rig);
	wqcfg_write(&rig, 0, DSA_WQCFG_LIMITS, 20 | 3 << DSA_WQCFG_BATCH_SHIFT);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 9; i++)
		put(&rig, i, noop());
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dsa_descriptor d = batch(cases[i].count);

		d.source = cases[i].list;
		d.flags |= cases[i].flags;
		d.destination = cases[i].destination;
		if (run(&rig, &d) != cases[i].status)
			fail_msg("%s: status 0x%x", cases[i].what, status_at(&rig, RECORD));
	}
	rig_close(&rig);
}

static void batches_and_drains_do_not_nest(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(3), drain = noop();

	start(&rig);
	drain.flags |= DSA_OP_DRAIN << DSA_OPCODE_SHIFT;
	put(&rig, 0, batch(2));
	put(&rig, 1, drain);
	put(&rig, 2, noop());
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(status_of(&rig, 0), DSA_STATUS_OPCODE);
	assert_int_equal(status_of(&rig, 1), DSA_STATUS_OPCODE);
	assert_int_equal(status_of(&rig, 2), DSA_STATUS_OK);
	rig_close(&rig);
}

static void fault_of_the_list_ends_the_batch(void **state)
{
	RIG(rig, rig_options(true));
	struct ioasid_space *space =
		rig_space(&rig, "list", RECORD, 0x1000, IOASID_READ | IOASID_WRITE);
	struct dsa_descriptor d = batch(130);

	/* Two pages of the list, and a page of records: 128 descriptors are there. */
	assert_ok(ioasid_map_hva(space, LIST, 0x2000, rig.memory + LIST, IOASID_READ, &rig.err),
		  &rig.err);
	assert_ok(ioasid_map_hva(space, RECORDS, 0x2000, rig.memory + RECORDS,
				 IOASID_READ | IOASID_WRITE, &rig.err),
		  &rig.err);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, space, 0, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	for (unsigned int i = 0; i < 130; i++)
		put(&rig, i, noop());
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAULT);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 128);
	assert_int_equal(record_at(&rig, RECORD)->fault, LIST + 0x2000);
	assert_int_equal(status_of(&rig, 127), DSA_STATUS_OK);
	assert_int_equal(status_of(&rig, 128), 0);
	d.source = MEMORY * 2;
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAULT);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 0);
	d.source = -64ULL;
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAULT);
	rig_close(&rig);
}

/* What a vCPU does to the list once it was read changes nothing; here a descriptor does it. */
static void list_is_read_once(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(2), other = fill(0x90000, 7, 8);

	start(&rig);
	memcpy(rig.memory + 0xa0000, &other, sizeof(other));
	put(&rig, 0, move(LIST + 64, 0xa0000, 64));
	put(&rig, 1, fill(0x90000, 3, 8));
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x90000], 3);
	rig_close(&rig);
}

static void unreportable_descriptor_goes_to_swerr(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(3);

	start(&rig);
	put(&rig, 0, noop());
	put(&rig, 1, fill(MEMORY, 1, 8))->flags &= ~(DSA_FLAG_RECORD | DSA_FLAG_RECORD_VALID);
	put(&rig, 2, noop());
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(reg_read(&rig, DSA_SWERR, 8) & DSA_SWERR_BATCH, DSA_SWERR_BATCH);
	assert_int_equal(reg_read(&rig, DSA_SWERR + 8, 8) & 0xffff, 1);
	swerr_ack(&rig);
	/* A record that is not there is a failure too. */
	put(&rig, 1, noop())->record = MEMORY + 64;
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(status_of(&rig, 2), DSA_STATUS_OK);
	rig_close(&rig);
}

static void interrupts_of_a_batch_are_merged(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(1000);

	start(&rig);
	msix_enable(&rig);
	for (unsigned int i = 0; i < 1000; i++) {
		struct dsa_descriptor *one = put(&rig, i, noop());

		one->flags |= DSA_FLAG_INTERRUPT;
		one->interrupt = 1;
	}
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	WAIT_FOR(fired(&rig, 1) >= 1);
	assert_true(fired(&rig, 1) < 100);
	rig_close(&rig);
}

static void abort_ends_a_batch_between_descriptors(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = batch(1024);

	start(&rig);
	for (unsigned int i = 0; i < 1024; i++)
		put(&rig, i, long_move());
	for (unsigned int i = 0; i < 1024; i++)
		listed(&rig, i)->record = RECORDS + i * 32ULL;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(status_of(&rig, 0));
	assert_int_equal(command(&rig, DSA_ABORT_ALL, 0), 0);
	assert_quiet(&rig);
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(counters(&rig).aborted, 1);
	rig_close(&rig);
}

static void unbind_ends_a_batch(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = batch(1024);

	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.guest, 9, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	for (unsigned int i = 0; i < 1024; i++)
		put(&rig, i, long_move())->record = RECORDS + i * 32ULL;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(status_of(&rig, 0));
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	assert_quiet(&rig);
	assert_int_equal(ioasid_pasid_state(rig.ctx, 9), IOASID_PASID_FREE);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_take_effect_in_their_order),
		cmocka_unit_test(descriptors_of_many_sections_complete),
		cmocka_unit_test(failure_is_told_and_the_rest_goes_on),
		cmocka_unit_test(fence_stops_a_batch_that_failed),
		cmocka_unit_test(fence_makes_the_rest_depend_on_a_comparison),
		cmocka_unit_test(batches_are_checked),
		cmocka_unit_test(batches_and_drains_do_not_nest),
		cmocka_unit_test(fault_of_the_list_ends_the_batch),
		cmocka_unit_test(list_is_read_once),
		cmocka_unit_test(unreportable_descriptor_goes_to_swerr),
		cmocka_unit_test(interrupts_of_a_batch_are_merged),
		cmocka_unit_test(abort_ends_a_batch_between_descriptors),
		cmocka_unit_test(unbind_ends_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
