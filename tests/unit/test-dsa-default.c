/* SPDX-License-Identifier: Apache-2.0 */
/* Default bindings: descriptors without a PASID run inside a space, and what closes stays closed.
 */
#include "tests/unit/test-dsa.h"

#define OUTSIDE (2 * MIB)
#define INSIDE	(WINDOW + 0x10000)

static uint32_t bind_default(struct dsa_rig *rig, unsigned int wq, struct ioasid_space *space)
{
	uint32_t host = 0;

	assert_ok(dsa_default_bind(rig->dsa, wq, space, IOASID_PASID_NONE, &host, &rig->err),
		  &rig->err);
	assert_int_not_equal(host, IOASID_PASID_NONE);
	return host;
}

static void enable_both(struct dsa_rig *rig)
{
	device_enable(rig);
	wq_enable(rig, 0, 0);
	wq_enable(rig, 1, 0);
}

static bool refused(struct dsa_rig *rig, unsigned int wq)
{
	struct dsa_descriptor d = noop();
	uint64_t before = counters(rig).refused_unbound;
	int ret;

	memset(rig->memory + RECORD, 0, 32);
	ret = submit(rig, wq, &d);
	assert_int_equal(command(rig, DSA_DRAIN_ALL, 0), 0);
	return ret == -EAGAIN && counters(rig).refused_unbound == before + 1 &&
	       !status_at(rig, RECORD);
}

static uint8_t run_on(struct dsa_rig *rig, unsigned int wq, const struct dsa_descriptor *d)
{
	memset(rig->memory + d->record, 0, 32);
	assert_int_equal(submit(rig, wq, d), 0);
	assert_int_equal(command(rig, DSA_DRAIN_ALL, 0), 0);
	return status_at(rig, d->record);
}

/* With and without the first key: what the guest's driver knows of PASIDs changes nothing. */
static void descriptors_without_a_pasid_stay_inside(void **state)
{
	for (unsigned int allow = 0; allow < 2; allow++) {
		RIG(rig, rig_options(allow));
		struct dsa_descriptor in, out;
		uint32_t host = bind_default(&rig, 0, rig.window);
		struct ioasid_fault fault;
		size_t got = 0;

		enable_both(&rig);
		memset(rig.memory + INSIDE + 0x1000, 0x3c, 0x100);
		in = move_with_record(INSIDE, INSIDE + 0x1000, 0x100, WINDOW);
		assert_int_equal(run_on(&rig, 0, &in), DSA_STATUS_OK);
		assert_int_equal(rig.memory[INSIDE + 0xff], 0x3c);
		out = move_with_record(OUTSIDE, INSIDE, 0x100, WINDOW);
		assert_int_equal(run_on(&rig, 0, &out), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
		assert_int_equal(record_at(&rig, WINDOW)->fault, OUTSIDE);
		assert_int_equal(rig.memory[OUTSIDE], 0);
		assert_int_equal(counters(&rig).faults, 1);
		assert_ok(ioasid_faults_read(rig.ctx, &fault, 1, &got, NULL, &rig.err), &rig.err);
		assert_int_equal(got, 1);
		assert_int_equal(fault.host_pasid, host);
		assert_int_equal(fault.iova, OUTSIDE);
		assert_int_equal(fault.rights, IOASID_WRITE);
		assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_ACTIVE);
		rig_close(&rig);
	}
}

static void first_default_closes_the_other_queues(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = noop();

	enable_both(&rig);
	assert_int_equal(run_on(&rig, 1, &d), DSA_STATUS_OK);
	bind_default(&rig, 0, rig.guest);
	assert_int_equal(run_on(&rig, 0, &d), DSA_STATUS_OK);
	assert_true(refused(&rig, 1));
	rig_close(&rig);
}

static void last_unbind_opens_nothing(void **state)
{
	RIG(rig, rig_options(false));
	uint32_t host = bind_default(&rig, DSA_ALL_WQS, rig.guest);
	struct dsa_descriptor d = noop();

	enable_both(&rig);
	assert_int_equal(run_on(&rig, 0, &d), DSA_STATUS_OK);
	assert_ok(dsa_default_unbind(rig.dsa, DSA_ALL_WQS, &rig.err), &rig.err);
	assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_FREE);
	assert_true(refused(&rig, 0));
	assert_true(refused(&rig, 1));
	rig_close(&rig);
}

static void queue_prefers_its_own(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();

	bind_default(&rig, DSA_ALL_WQS, rig.guest);
	bind_default(&rig, 0, rig.window);
	enable_both(&rig);
	assert_int_equal(run_on(&rig, 0, &d), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(run_on(&rig, 1, &d), DSA_STATUS_OK);
	assert_ok(dsa_default_unbind(rig.dsa, 0, &rig.err), &rig.err);
	assert_int_equal(run_on(&rig, 0, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

static void refusals_name_the_limit(void **state)
{
	RIG(rig, rig_options(true));
	uint32_t host = bind_default(&rig, 0, rig.window);

	assert_int_equal(dsa_default_bind(rig.dsa, 0, rig.guest, 0, NULL, &rig.err), -EEXIST);
	assert_int_equal(dsa_default_bind(rig.dsa, 2, rig.guest, 0, NULL, &rig.err), -ERANGE);
	assert_int_equal(dsa_default_bind(rig.dsa, 1, rig.guest, host, NULL, &rig.err), -EBUSY);
	assert_int_equal(dsa_default_bind(rig.dsa, 1, rig.guest, 1u << 20, NULL, &rig.err),
			 -ERANGE);
	assert_int_equal(dsa_default_unbind(rig.dsa, 1, &rig.err), -ENOENT);
	assert_int_equal(dsa_default_unbind(rig.dsa, DSA_ALL_WQS, &rig.err), -ENOENT);
	/* A guest PASID and a default are two bindings, each with a number of its own. */
	assert_int_equal(dsa_pasid_bind(rig.dsa, 5, rig.guest, host, NULL, &rig.err), -EBUSY);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.guest, 0, NULL, &rig.err), &rig.err);
	rig_close(&rig);
}

/* A PASID in WQCFG is judged by the table: the default binding is no way around the second key. */
static void default_is_no_key_for_a_pasid(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();

	bind_default(&rig, DSA_ALL_WQS, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	assert_int_equal(counters(&rig).refused_unbound, 1);
	rig_close(&rig);
}

static void shared_queue_without_pasids_uses_it_too(void **state)
{
	struct dsa_options options = rig_options(true);
	struct dsa_descriptor d = noop();

	options.wq[0].shared = true;
	RIG(rig, options);
	bind_default(&rig, 0, rig.guest);
	wqcfg_write(&rig, 0, DSA_WQCFG_MODE, 1u << DSA_WQCFG_PRIORITY_SHIFT);
	device_enable(&rig);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), 0);
	d.pasid = 77;
	assert_int_equal(portal_store(&rig, &rig.reader, portal_at(&rig, 0, 0), STORE64_ENQCMDS,
				      &d),
			 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	rig_close(&rig);
}

/* What ran over all guest memory when the first binding came has ended when it is there. */
static void closing_ends_what_saw_all_memory(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = long_move();

	enable_both(&rig);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(submit(&rig, 0, &d), 0);
	bind_default(&rig, DSA_ALL_WQS, rig.window);
	assert_quiet(&rig);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).accepted, counters(&rig).completed + counters(&rig).failed);
	rig_close(&rig);
}

static void unbind_ends_a_move_in_flight(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = long_move();

	enable_both(&rig);
	for (unsigned int round = 0; round < 4; round++) {
		uint32_t host = bind_default(&rig, 0, rig.guest);

		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(submit(&rig, 0, &d), 0);
		assert_ok(dsa_default_unbind(rig.dsa, 0, &rig.err), &rig.err);
		assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_FREE);
		assert_quiet(&rig);
	}
	rig_close(&rig);
}

static void removal_lets_go_of_the_number(void **state)
{
	RIG(rig, rig_options(false));
	const struct dsa_options options = rig_options(false);
	uint32_t host = bind_default(&rig, DSA_ALL_WQS, rig.window);

	pci_bus_remove(rig.bus, dsa_function(rig.dsa));
	assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_FREE);
	rig_add(&rig, &options);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_without_a_pasid_stay_inside),
		cmocka_unit_test(first_default_closes_the_other_queues),
		cmocka_unit_test(last_unbind_opens_nothing),
		cmocka_unit_test(queue_prefers_its_own),
		cmocka_unit_test(refusals_name_the_limit),
		cmocka_unit_test(default_is_no_key_for_a_pasid),
		cmocka_unit_test(shared_queue_without_pasids_uses_it_too),
		cmocka_unit_test(closing_ends_what_saw_all_memory),
		cmocka_unit_test(unbind_ends_a_move_in_flight),
		cmocka_unit_test(removal_lets_go_of_the_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
