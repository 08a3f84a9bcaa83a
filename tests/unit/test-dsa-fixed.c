/* SPDX-License-Identifier: Apache-2.0 */
/* A function that is configured from outside, interrupt handles, and halt. */
#include "tests/unit/test-dsa.h"

/* Queues 0 and 2 in group 0, queue 1 (shared) in group 1; three engines. */
static struct dsa_options fixed_function(void)
{
	struct dsa_options options = rig_options(true);

	options.fixed = true;
	options.wqs = 3;
	options.engines = 3;
	options.wq[1].size = 8;
	options.wq[1].shared = true;
	options.wq[1].threshold = 6;
	options.wq[1].group = 1;
	options.wq[2].size = 4;
	return options;
}

static void guest_finds_queues_and_groups_configured(void **state)
{
	RIG(rig, fixed_function());

	for (unsigned int round = 0; round < 2; round++) {
		assert_int_equal(reg_read(&rig, DSA_GENCAP, 8) >> 31 & 1, 0);
		assert_int_equal(reg_read(&rig, DSA_GRPCFG, 8), 5);
		assert_int_equal(reg_read(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 8), 5);
		assert_int_equal(reg_read(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE, 8), 2);
		assert_int_equal(reg_read(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE + DSA_GRPCFG_ENGINES,
					  8),
				 2);
		assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_ENTRIES), 16);
		assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_MODE), 0x11);
		assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_STATE), DSA_WQCFG_MODE_SUPPORT);
		assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_THRESHOLD), 6);
		assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_MODE), 0x10000010);
		assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_STATE), 0);
		assert_int_equal(wqcfg_read(&rig, 2, DSA_WQCFG_ENTRIES), 4);
		assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	}
	rig_close(&rig);
}

static void guest_cannot_change_it(void **state)
{
	RIG(rig, fixed_function());

	reg_write(&rig, DSA_GRPCFG, 0, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 0, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_FLAGS, 0, 8);
	assert_int_equal(reg_read(&rig, DSA_GRPCFG, 8), 5);
	for (unsigned int wq = 0; wq < 2; wq++) {
		for (unsigned int word = 0; word < DSA_WQCFG_WORDS; word++)
			wqcfg_write(&rig, wq, word, 0);
	}
	/* Of a dedicated queue the mode and its PASID are the guest's, of a shared one nothing. */
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_ENTRIES), 16);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_MODE), 0x10);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_LIMITS) & 0x1f, DSA_MAX_XFER_SHIFT);
	assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_THRESHOLD), 6);
	assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_MODE), 0x10000010);
	wqcfg_write(&rig, 0, DSA_WQCFG_MODE, ~0u);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_MODE), 0x1fffff11);
	rig_close(&rig);
}

static void it_works_as_it_is(void **state)
{
	RIG(rig, fixed_function());
	struct dsa_descriptor d = noop();

	assert_ok(dsa_default_bind(rig.dsa, 0, rig.guest, 0, NULL, &rig.err), &rig.err);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.guest, 0, NULL, &rig.err), &rig.err);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(command(&rig, DSA_ENABLE_WQ, i), 0);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	d.pasid = 5;
	memset(rig.memory + RECORD, 0, 32);
	assert_int_equal(portal_store(&rig, &rig.reader, portal_at(&rig, 1, 0), STORE64_ENQCMDS,
				      &d),
			 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	/* Queue resets leave it as it was, too. */
	assert_int_equal(command(&rig, DSA_RESET_WQ, 7), 0);
	assert_int_equal(wqcfg_read(&rig, 1, DSA_WQCFG_MODE), 0x10000010);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 1), 0);
	rig_close(&rig);
}

static void sixteen_queues_in_four_groups(void **state)
{
	struct dsa_options options = rig_options(false);

	options.fixed = true;
	options.wqs = 16;
	options.engines = 4;
	for (unsigned int i = 0; i < 16; i++) {
		options.wq[i].size = 8;
		options.wq[i].group = i % 4;
	}
	RIG(rig, options);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), 0);
	for (unsigned int i = 0; i < 16; i++) {
		struct dsa_descriptor d = noop();

		d.record = RECORD + i * 32;
		assert_int_equal(command(&rig, DSA_ENABLE_WQ, i), 0);
		assert_int_equal(submit(&rig, i, &d), 0);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_WQ, 0xffff), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(status_at(&rig, RECORD + i * 32), DSA_STATUS_OK);
	assert_int_equal(command(&rig, DSA_DISABLE_WQ, 0x8001), 0);
	assert_int_equal(command(&rig, DSA_DISABLE_WQ, 0x8000), DSA_CMD_WQ_NOT_ENABLED);
	rig_close(&rig);
}

static void bad_shapes_are_refused(void **state)
{
	struct dsa_rig rig;
	struct dsa_options cases[2] = { fixed_function(), fixed_function() };
	struct dsa *dsa;

	if (!rig_open(&rig, NULL))
		skip_because("no VM: %s", rig.err.text);
	cases[0].wq[1].threshold = 9;
	cases[1].wq[2].group = 3;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		rig.err = (struct err){ 0 };
		assert_int_equal(dsa_create(&dsa, rig.vm, rig.ctx, rig.guest, &cases[i], &rig.err),
				 -EINVAL);
		assert_true(rig.err.text[0]);
	}
	rig_close(&rig);
}

/* --- interrupt handles ----------------------------------------------------------------------- */

static struct dsa_options with_handles(void)
{
	struct dsa_options options = rig_options(false);

	options.interrupt_handles = true;
	return options;
}

static uint16_t request(struct dsa_rig *rig, uint32_t vector)
{
	uint32_t status = command(rig, DSA_REQUEST_INT_HANDLE, vector);

	assert_int_equal(status & 0xff, 0);
	return (uint16_t)(status >> DSA_CMDSTS_RESULT_SHIFT);
}

static void handle_names_the_vector(void **state)
{
	RIG(rig, with_handles());
	struct dsa_descriptor d = noop();
	uint16_t handle;

	assert_int_equal(reg_read(&rig, DSA_CMDCAP, 4), 0x7ffe);
	msix_enable(&rig);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	handle = request(&rig, 1);
	assert_int_not_equal(handle, 1);
	d.flags |= DSA_FLAG_INTERRUPT;
	d.interrupt = handle;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	WAIT_FOR(fired(&rig, 1) == 1);
	/* The index is no handle, and neither is one of another vector. */
	d.interrupt = 1;
	assert_int_equal(run(&rig, &d), DSA_STATUS_INTERRUPT);
	d.interrupt = handle + 1;
	assert_int_equal(run(&rig, &d), DSA_STATUS_INTERRUPT);
	assert_int_equal(command(&rig, DSA_RELEASE_INT_HANDLE, handle), 0);
	d.interrupt = handle;
	assert_int_equal(run(&rig, &d), DSA_STATUS_INTERRUPT);
	assert_int_equal(fired(&rig, 1), 1);
	rig_close(&rig);
}

static void bad_handles_are_refused(void **state)
{
	RIG(rig, with_handles());
	uint16_t handle;

	assert_int_equal(command(&rig, DSA_REQUEST_INT_HANDLE, 3), DSA_CMD_INT_INDEX);
	assert_int_equal(command(&rig, DSA_REQUEST_INT_HANDLE, 1 | 1 << 16), DSA_CMD_INT_INDEX);
	assert_int_equal(command(&rig, DSA_REQUEST_INT_HANDLE, 0xfffff), DSA_CMD_INT_INDEX);
	assert_int_equal(command(&rig, DSA_RELEASE_INT_HANDLE, 0), DSA_CMD_INT_INDEX);
	handle = request(&rig, 2);
	assert_int_equal(command(&rig, DSA_RELEASE_INT_HANDLE, handle | 1 << 16),
			 DSA_CMD_INT_INDEX);
	/* A reset takes them all. */
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	assert_int_equal(command(&rig, DSA_RELEASE_INT_HANDLE, handle), DSA_CMD_INT_INDEX);
	rig_close(&rig);
}

static void without_them_the_commands_are_unknown(void **state)
{
	RIG(rig, rig_options(false));

	assert_int_equal(command(&rig, DSA_REQUEST_INT_HANDLE, 1), DSA_CMD_INVALID);
	assert_int_equal(command(&rig, DSA_RELEASE_INT_HANDLE, 1), DSA_CMD_INVALID);
	rig_close(&rig);
}

/* --- halt ------------------------------------------------------------------------------------ */

static void halt(struct dsa_rig *rig)
{
	pthread_mutex_lock(&rig->dsa->lock);
	dsa_halt(rig->dsa);
	pthread_mutex_unlock(&rig->dsa->lock);
}

static void halt_is_told_and_ends_with_a_function_level_reset(void **state)
{
	RIG(rig, rig_options(false));
	uint32_t devctl = dsa_function(rig.dsa)->express + PCI_EXP_DEVCTL;
	uint64_t bars[2] = { reg_at(&rig, 0), portal_at(&rig, 0, 0) };
	struct dsa_descriptor d = noop();

	msix_enable(&rig);
	reg_write(&rig, DSA_GENCTRL, DSA_GENCTRL_HALT, 4);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	halt(&rig);
	dsa_engines_start(rig.dsa);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4),
			 DSA_STATE_HALTED | DSA_RESET_FLR << DSA_GENSTS_RESET_SHIFT);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), DSA_INTCAUSE_HALT);
	assert_int_equal(fired(&rig, 0), 1);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), DSA_CMD_DEVICE_NOT_ENABLED);
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), DSA_CMD_HARDWARE);
	halt(&rig);
	assert_int_equal(fired(&rig, 0), 1);

	mmio_write(&rig, cfg_at(&rig, devctl), PCI_EXP_DEVCTL_BCR_FLR, 2);
	mmio_write(&rig, cfg_at(&rig, PCI_BASE_ADDRESS_0), bars[0], 8);
	mmio_write(&rig, cfg_at(&rig, PCI_BASE_ADDRESS_2), bars[1], 8);
	bus_master(&rig, true);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(counters(&rig).aborted, 1);
	rig_close(&rig);
}

/* A command that waits for descriptors when the halt comes still ends. */
static void halt_ends_a_command_that_waits(void **state)
{
	static const uint32_t waiting[] = { DSA_DRAIN_ALL, DSA_DISABLE_DEVICE, DSA_RESET_DEVICE };

	for (unsigned int i = 0; i < ARRAY_SIZE(waiting); i++) {
		RIG(rig, rig_options(false));
		struct dsa_descriptor d = noop();
		struct dsa_job *job;

		rig.dsa->backend = &idle_backend;
		device_enable(&rig);
		wq_enable(&rig, 0, 0);
		assert_int_equal(submit(&rig, 0, &d), 0);
		job = take_job(&rig);
		assert_non_null(job);
		command_start(&rig, waiting[i], 0);
		halt(&rig);
		assert_true(reg_read(&rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
		assert_int_equal(end_job(&rig, job).status, 0);
		assert_false(reg_read(&rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
		assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_HALTED);
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_finds_queues_and_groups_configured),
		cmocka_unit_test(guest_cannot_change_it),
		cmocka_unit_test(it_works_as_it_is),
		cmocka_unit_test(sixteen_queues_in_four_groups),
		cmocka_unit_test(bad_shapes_are_refused),
		cmocka_unit_test(handle_names_the_vector),
		cmocka_unit_test(bad_handles_are_refused),
		cmocka_unit_test(without_them_the_commands_are_unknown),
		cmocka_unit_test(halt_is_told_and_ends_with_a_function_level_reset),
		cmocka_unit_test(halt_ends_a_command_that_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
