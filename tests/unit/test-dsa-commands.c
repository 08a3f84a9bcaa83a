/* SPDX-License-Identifier: Apache-2.0 */
/* The command register: errors in CMDSTS, completion by poll and by interrupt, drain and abort. */
#include "tests/unit/test-dsa.h"

static struct dsa_options two_queues(void)
{
	struct dsa_options options = rig_options(false);

	options.engines = 1;
	return options;
}

static void unknown_commands_are_invalid(void **state)
{
	RIG(rig, two_queues());

	for (uint32_t code = 0; code < 32; code++) {
		if (reg_read(&rig, DSA_CMDCAP, 4) & 1u << code)
			continue;
		assert_int_equal(command(&rig, code, 0), DSA_CMD_INVALID);
	}
	rig_close(&rig);
}

static void device_enable_names_what_is_wrong(void **state)
{
	RIG(rig, two_queues());

	bus_master(&rig, false);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_BUS_MASTER);
	bus_master(&rig, true);
	wqcfg_write(&rig, 0, 0, 17);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_WQ_SIZES);
	wqcfg_write(&rig, 0, 0, 16);
	reg_write(&rig, DSA_GRPCFG, 4, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_GROUP_WQ);
	reg_write(&rig, DSA_GRPCFG, 3, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_GROUP_NO_ENGINE);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 2, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_GROUP_ENGINE);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	device_enable(&rig);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_DEVICE_ENABLED);
	rig_close(&rig);
}

static void member_of_two_groups_is_refused(void **state)
{
	RIG(rig, rig_options(false));

	reg_write(&rig, DSA_GRPCFG, 3, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 1, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE, 2, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_GROUP_WQ);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE, 0, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE + DSA_GRPCFG_ENGINES, 3, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), DSA_CMD_GROUP_ENGINE);
	rig_close(&rig);
}

static void queue_enable_names_what_is_wrong(void **state)
{
	static const struct {
		unsigned int word;
		uint32_t value, error;
	} cases[] = {
		{ DSA_WQCFG_MODE, 0x01, DSA_CMD_WQ_PRIORITY },
		{ DSA_WQCFG_LIMITS, 10 | 15 << 5, DSA_CMD_WQ_MAX_BATCH },
		{ DSA_WQCFG_LIMITS, DSA_MAX_XFER_SHIFT + 1, DSA_CMD_WQ_MAX_XFER },
	};
	RIG(rig, two_queues());

	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), DSA_CMD_DEVICE_NOT_ENABLED);
	wqcfg_write(&rig, 1, 0, 0);
	device_enable(&rig);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 2), DSA_CMD_WQ_INDEX);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0xfffff), DSA_CMD_WQ_INDEX);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 1), DSA_CMD_WQ_SIZE);
	/* A back end that cannot make descriptors wait. */
	rig.dsa->gencap &= ~DSA_GENCAP_BLOCK_ON_FAULT;
	wqcfg_write(&rig, 0, DSA_WQCFG_MODE, 0x11 | DSA_WQCFG_BLOCK_ON_FAULT);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), DSA_CMD_WQ_BLOCK_ON_FAULT);
	wqcfg_write(&rig, 0, DSA_WQCFG_MODE, 0x11);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t before = wqcfg_read(&rig, 0, cases[i].word);

		wqcfg_write(&rig, 0, cases[i].word, cases[i].value);
		assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), cases[i].error);
		wqcfg_write(&rig, 0, cases[i].word, before);
	}
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), 0);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), DSA_CMD_WQ_ENABLED);
	rig_close(&rig);
}

static void queue_without_a_group_is_refused(void **state)
{
	RIG(rig, two_queues());

	reg_write(&rig, DSA_GRPCFG, 1, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 1, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), 0);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 1), DSA_CMD_CONFIG);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), 0);
	rig_close(&rig);
}

static void queue_commands_check_their_operand(void **state)
{
	RIG(rig, two_queues());

	assert_int_equal(command(&rig, DSA_DISABLE_DEVICE, 0), DSA_CMD_DISABLE_NOT_ENABLED);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (uint32_t code = DSA_DISABLE_WQ; code <= DSA_RESET_WQ; code++) {
		assert_int_equal(command(&rig, code, 0), DSA_CMD_WQ_INDEX);
		assert_int_equal(command(&rig, code, 4), DSA_CMD_WQ_INDEX);
		assert_int_equal(command(&rig, code, 1 | 1 << 16), DSA_CMD_WQ_INDEX);
		assert_int_equal(command(&rig, code, 2), DSA_CMD_WQ_NOT_ENABLED);
		assert_int_equal(command(&rig, code, 3), DSA_CMD_WQ_NOT_ENABLED);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_WQ, 1), 0);
	assert_int_equal(command(&rig, DSA_ABORT_WQ, 1), 0);
	assert_int_equal(command(&rig, DSA_DISABLE_WQ, 1), 0);
	assert_int_equal(command(&rig, DSA_DISABLE_DEVICE, 0), 0);
	rig_close(&rig);
}

static void interrupt_comes_only_where_asked(void **state)
{
	RIG(rig, two_queues());

	msix_enable(&rig);
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	assert_int_equal(fired(&rig, 0), 0);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), 0);
	reg_write(&rig, DSA_CMD, DSA_CMD_INT_REQ | DSA_RESET_DEVICE << 20, 4);
	WAIT_FOR(fired(&rig, 0) == 1);
	assert_int_equal(reg_read(&rig, DSA_CMDSTS, 4), 0);
	assert_int_equal(reg_read(&rig, DSA_INTCAUSE, 4), DSA_INTCAUSE_CMD);
	reg_write(&rig, DSA_INTCAUSE, DSA_INTCAUSE_CMD, 4);
	/* An error is a completion too. */
	reg_write(&rig, DSA_CMD, DSA_CMD_INT_REQ, 4);
	assert_int_equal(fired(&rig, 0), 2);
	assert_int_equal(reg_read(&rig, DSA_CMDSTS, 4), DSA_CMD_INVALID);
	rig_close(&rig);
}

/* Engines at rest keep what is queued, so that a drain shows what it waits for. */
static void drain_waits_for_what_was_there_before(void **state)
{
	RIG(rig, two_queues());
	struct dsa_descriptor d = noop();

	msix_enable(&rig);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	wq_enable(&rig, 1, 0);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(submit(&rig, 0, &d), 0);
	/* Nothing of queue 1 is waited for. */
	assert_int_equal(command(&rig, DSA_DRAIN_WQ, 2), 0);
	reg_write(&rig, DSA_CMD, DSA_CMD_INT_REQ | DSA_DRAIN_WQ << 20 | 1, 4);
	assert_true(reg_read(&rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
	/* The queue goes on accepting, and another command is not taken. */
	assert_int_equal(submit(&rig, 0, &d), 0);
	command_start(&rig, DSA_RESET_DEVICE, 0);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_ENABLED);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_STATE) & 0xffff, 3);
	assert_int_equal(fired(&rig, 0), 0);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command_end(&rig), 0);
	WAIT_FOR(fired(&rig, 0) == 1);
	assert_true(counters(&rig).completed >= 2);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).completed, 3);
	rig_close(&rig);
}

static void disable_drains_and_refuses_meanwhile(void **state)
{
	RIG(rig, two_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	wq_enable(&rig, 1, 0);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	command_start(&rig, DSA_DISABLE_DEVICE, 0);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DRAINING);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	assert_int_equal(submit(&rig, 1, &d), -EAGAIN);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command_end(&rig), 0);
	assert_int_equal(reg_read(&rig, DSA_GENSTS, 4) & 3, DSA_STATE_DISABLED);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	assert_int_equal(counters(&rig).completed, 1);
	rig_close(&rig);
}

static void abort_drops_what_is_queued(void **state)
{
	RIG(rig, two_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	wq_enable(&rig, 1, 0);
	dsa_engines_stop(rig.dsa);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(submit(&rig, 0, &d), 0);
	d.record = RECORD + 32;
	assert_int_equal(submit(&rig, 1, &d), 0);
	assert_int_equal(command(&rig, DSA_ABORT_WQ, 1), 0);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_STATE), DSA_WQCFG_ENABLED);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(status_at(&rig, RECORD + 32), DSA_STATUS_OK);
	assert_int_equal(counters(&rig).aborted, 5);
	assert_int_equal(counters(&rig).completed, 1);
	rig_close(&rig);
}

static void queue_reset_keeps_the_size(void **state)
{
	RIG(rig, two_queues());
	struct dsa_descriptor d = noop();

	wqcfg_write(&rig, 0, 0, 9);
	wqcfg_write(&rig, 0, 3, 12);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(command(&rig, DSA_RESET_WQ, 1), 0);
	dsa_engines_start(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	assert_int_equal(wqcfg_read(&rig, 0, 0), 9);
	assert_int_equal(wqcfg_read(&rig, 0, 3), DSA_MAX_XFER_SHIFT | 10 << DSA_WQCFG_BATCH_SHIFT);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), 0);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

static void pasid_commands_take_the_guest_number(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();

	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.guest, 900, NULL, &rig.err), &rig.err);
	assert_ok(dsa_pasid_bind(rig.dsa, 6, rig.guest, 5, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	wq_enable(&rig, 1, 6);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	d.record = RECORD + 32;
	assert_int_equal(submit(&rig, 1, &d), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_PASID, 900), 0);
	command_start(&rig, DSA_DRAIN_PASID, 5);
	assert_true(reg_read(&rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command_end(&rig), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(submit(&rig, 1, &d), 0);
	assert_int_equal(command(&rig, DSA_ABORT_PASID, 6), 0);
	assert_int_equal(counters(&rig).aborted, 1);
	dsa_engines_start(rig.dsa);
	rig_close(&rig);
}

static void abort_ends_what_runs_without_a_trace(void **state)
{
	static const uint32_t aborts[] = { DSA_ABORT_ALL, DSA_RESET_DEVICE };
	RIG(rig, two_queues());
	struct dsa_descriptor d = move(0x8000, 0x4000, 64);
	struct dsa_job *job;

	rig.dsa->backend = &idle_backend;
	rig.memory[0x4000] = 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(aborts); i++) {
		command(&rig, DSA_RESET_DEVICE, 0);
		device_enable(&rig);
		wq_enable(&rig, 0, 0);
		assert_int_equal(submit(&rig, 0, &d), 0);
		job = take_job(&rig);
		assert_non_null(job);
		command_start(&rig, aborts[i], 0);
		assert_true(reg_read(&rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
		assert_int_equal(end_job(&rig, job).status, 0);
		assert_int_equal(reg_read(&rig, DSA_CMDSTS, 4), 0);
		assert_int_equal(status_at(&rig, RECORD), 0);
		assert_int_equal(rig.memory[0x8000], 0);
		assert_int_equal(counters(&rig).aborted, i + 1);
	}
	rig_close(&rig);
}

/* A long move is under way: it ends soon, and nothing is written once the reset is through. */
static void reset_ends_a_move_in_flight(void **state)
{
	RIG(rig, two_queues());
	struct dsa_descriptor d = long_move();

	for (unsigned int round = 0; round < 4; round++) {
		device_enable(&rig);
		wq_enable(&rig, 0, 0);
		for (unsigned int i = 0; i < 16; i++)
			assert_int_equal(submit(&rig, 0, &d), 0);
		WAIT_FOR(wqcfg_read(&rig, 0, DSA_WQCFG_STATE) % 0x10000 < 16);
		command_start(&rig, DSA_RESET_DEVICE, 0);
		assert_int_equal(command_end(&rig), 0);
		assert_quiet(&rig);
	}
	assert_int_equal(counters(&rig).accepted,
			 counters(&rig).aborted + counters(&rig).completed + counters(&rig).failed);
	rig_close(&rig);
}

static void function_level_reset_ends_a_move_in_flight(void **state)
{
	RIG(rig, two_queues());
	struct dsa_descriptor d = long_move();
	uint32_t devctl = dsa_function(rig.dsa)->express + PCI_EXP_DEVCTL;
	struct dsa_counters c;

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(wqcfg_read(&rig, 0, DSA_WQCFG_STATE) % 0x10000 < 16);
	command_start(&rig, DSA_DRAIN_ALL, 0);
	mmio_write(&rig, cfg_at(&rig, devctl), PCI_EXP_DEVCTL_BCR_FLR, 2);
	c = counters(&rig);
	/* One that the reset takes the bus from before it is aborted has failed. */
	assert_int_equal(c.accepted, c.aborted + c.completed + c.failed);
	assert_int_equal(rig.dsa->config.cmdsts, 0);
	assert_quiet(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_commands_are_invalid),
		cmocka_unit_test(device_enable_names_what_is_wrong),
		cmocka_unit_test(member_of_two_groups_is_refused),
		cmocka_unit_test(queue_enable_names_what_is_wrong),
		cmocka_unit_test(queue_without_a_group_is_refused),
		cmocka_unit_test(queue_commands_check_their_operand),
		cmocka_unit_test(interrupt_comes_only_where_asked),
		cmocka_unit_test(drain_waits_for_what_was_there_before),
		cmocka_unit_test(disable_drains_and_refuses_meanwhile),
		cmocka_unit_test(abort_drops_what_is_queued),
		cmocka_unit_test(abort_ends_what_runs_without_a_trace),
		cmocka_unit_test(queue_reset_keeps_the_size),
		cmocka_unit_test(pasid_commands_take_the_guest_number),
		cmocka_unit_test(reset_ends_a_move_in_flight),
		cmocka_unit_test(function_level_reset_ends_a_move_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
