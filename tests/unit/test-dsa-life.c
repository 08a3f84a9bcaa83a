/* SPDX-License-Identifier: Apache-2.0 */
/* Making, pausing and removing a virtual DSA, also with work under way. */
#include "tests/unit/test-dsa.h"

#include <dirent.h>

/* By name: the kernel and sanitizers have threads of their own in a process. */
static unsigned int engine_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[300], name[32] = "";
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		comm = fopen(path, "re");
		if (!comm)
			continue;
		if (fgets(name, sizeof(name), comm))
			n += !strcmp(name, "dsa-engine\n");
		fclose(comm);
	}
	closedir(dir);
	return n;
}

static void bad_options_are_refused_by_name(void **state)
{
	struct dsa_rig rig;
	struct dsa_options good = rig_options(true), cases[10];
	struct dsa *dsa;

	if (!rig_open(&rig, NULL))
		skip_because("no VM: %s", rig.err.text);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		cases[i] = good;
	cases[0].id = "";
	cases[1].id = "a name of more than sixty-three characters, which a label cannot have";
	cases[2].wqs = 0;
	cases[3].wqs = DSA_MAX_WQS + 1;
	cases[4].wq[1].size = 0;
	cases[5].wq[1].size = DSA_MAX_WQ_SIZE - 15;
	cases[6].engines = 0;
	cases[7].engines = DSA_MAX_ENGINES + 1;
	cases[8].pasid.width = 0;
	cases[9].pasid.width = 21;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		rig.err = (struct err){ 0 };
		assert_int_equal(dsa_create(&dsa, rig.vm, rig.ctx, rig.guest, &cases[i], &rig.err),
				 -EINVAL);
		assert_true(rig.err.text[0]);
	}
	/* A label that is taken leaves nothing behind either. */
	rig_add(&rig, &good);
	assert_int_equal(dsa_create(&dsa, rig.vm, rig.ctx, rig.guest, &good, &rig.err), -EEXIST);
	rig_close(&rig);
}

static void function_off_the_bus_can_be_destroyed(void **state)
{
	struct dsa_rig rig;
	const struct dsa_options options = rig_options(true);

	if (!rig_open(&rig, NULL))
		skip_because("no VM: %s", rig.err.text);
	for (unsigned int i = 0; i < 2; i++) {
		struct dsa *dsa;

		assert_ok(dsa_create(&dsa, rig.vm, rig.ctx, rig.guest, &options, &rig.err),
			  &rig.err);
		assert_ok(dsa_pasid_bind(dsa, 5, rig.window, 9, NULL, &rig.err), &rig.err);
		pci_function_destroy(dsa_function(dsa));
		assert_int_equal(ioasid_pasid_state(rig.ctx, 9), IOASID_PASID_FREE);
	}
	rig_close(&rig);
}

static void engines_start_with_the_first_queue(void **state)
{
	RIG(rig, rig_options(false));

	device_enable(&rig);
	assert_int_equal(engine_threads(), 0);
	wq_enable(&rig, 0, 0);
	WAIT_FOR(engine_threads() == 2);
	wq_enable(&rig, 1, 0);
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	assert_int_equal(engine_threads(), 2);
	rig_close(&rig);
	WAIT_FOR(engine_threads() == 0);
}

static void pause_stops_between_descriptors(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	dsa_engines_stop(rig.dsa);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	dsa_engines_start(rig.dsa);
	pthread_mutex_lock(&rig.dsa->lock);
	assert_null(dsa_job_take(rig.dsa, 0));
	assert_int_equal(rig.dsa->running, 0);
	pthread_mutex_unlock(&rig.dsa->lock);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_STATE) & 0xffff, 1);
	dsa_engines_start(rig.dsa);
	WAIT_FOR(status_at(&rig, RECORD) == DSA_STATUS_OK);
	/* One start too many changes nothing. */
	dsa_engines_start(rig.dsa);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(wqcfg_read(&rig, 0, DSA_WQCFG_STATE) & 0xffff, 1);
	rig_close(&rig);
}

static void pause_waits_for_a_move_in_flight(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = long_move();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR((wqcfg_read(&rig, 0, DSA_WQCFG_STATE) & 0xffff) < 3);
	dsa_engines_stop(rig.dsa);
	assert_quiet(&rig);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).completed, 3);
	rig_close(&rig);
}

/* The bus frees the function while engines work for it. */
static void removal_ends_what_is_in_flight(void **state)
{
	RIG(rig, rig_options(true));
	const struct dsa_options options = rig_options(true);
	struct dsa_descriptor d = long_move();

	for (unsigned int round = 0; round < 4; round++) {
		assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.guest, 9, NULL, &rig.err), &rig.err);
		device_enable(&rig);
		wq_enable(&rig, 0, 5);
		for (unsigned int i = 0; i < 10; i++)
			assert_int_equal(submit(&rig, 0, &d), 0);
		if (round & 1)
			dsa_engines_stop(rig.dsa);
		pci_bus_remove(rig.bus, dsa_function(rig.dsa));
		assert_quiet(&rig);
		assert_int_equal(ioasid_pasid_state(rig.ctx, 9), IOASID_PASID_FREE);
		rig_add(&rig, &options);
	}
	rig_close(&rig);
}

static void two_functions_work_side_by_side(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_options options = rig_options(false);
	struct dsa *first = rig.dsa;
	struct dsa_descriptor d = move(0x8000, 0x4000, 16);

	options.id = "dsa1";
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	rig_add(&rig, &options);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	rig.memory[0x4000] = 9;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x8000], 9);
	rig.dsa = first;
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	assert_int_equal(counters(&rig).refused_unbound, 1);
	rig_close(&rig);
}

/* Any thread may do anything at any time; the account must balance. */
struct chaos {
	pthread_t thread;
	struct dsa_rig *rig;
	struct epoch_reader reader;
	uint64_t seed;
	unsigned long rounds;
};

static void chaos_write(struct chaos *chaos, uint64_t address, uint64_t value, unsigned int size)
{
	epoch_enter(vm_epoch(chaos->rig->vm), &chaos->reader);
	iomap_write(vm_mmio(chaos->rig->vm), address, &value, size);
	epoch_exit(&chaos->reader);
}

static void chaos_step(struct chaos *chaos)
{
	static const uint32_t commands[] = {
		DSA_ENABLE_DEVICE << 20,  DSA_ENABLE_WQ << 20,	    DSA_ENABLE_WQ << 20 | 1,
		DSA_DRAIN_ALL << 20,	  DSA_ABORT_ALL << 20,	    DSA_RESET_WQ << 20 | 1,
		DSA_DISABLE_WQ << 20 | 2, DSA_DISABLE_DEVICE << 20, DSA_RESET_DEVICE << 20,
	};
	struct dsa_rig *rig = chaos->rig;
	uint32_t draw = random_next(&chaos->seed);
	struct dsa_descriptor d = move(LONG_IOVA, LONG_IOVA + MIB / 2, 1 + draw % (2 * MIB));

	switch (draw % 8) {
	case 0:
		chaos_write(chaos, reg_at(rig, DSA_GRPCFG), 3, 8);
		chaos_write(chaos, reg_at(rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES), 3, 8);
		break;
	case 1:
	case 2:
		chaos_write(chaos, reg_at(rig, DSA_CMD),
			    commands[draw / 8 % ARRAY_SIZE(commands)] |
				    (draw & 0x100 ? DSA_CMD_INT_REQ : 0),
			    4);
		break;
	default:
		portal_store(rig, &chaos->reader, portal_at(rig, draw >> 4 & 1, 0),
			     STORE64_MOVDIR64B, &d);
	}
}

static void *chaos_main(void *arg)
{
	struct chaos *chaos = arg;

	for (unsigned long i = 0; i < chaos->rounds; i++)
		chaos_step(chaos);
	return NULL;
}

static void accounts_balance_after_chaos(void **state)
{
	RIG(rig, rig_options(false));
	const char *more = getenv("ADIT_TEST_OPS");
	struct dsa_descriptor d = noop();
	struct chaos chaos[2];
	struct dsa_counters c;

	msix_enable(&rig);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	for (unsigned int i = 0; i < 2; i++) {
		chaos[i] = (struct chaos){ .rig = &rig,
					   .seed = i + 1,
					   .rounds = more ? strtoul(more, NULL, 0) / 50 : 5000 };
		epoch_join(vm_epoch(rig.vm), &chaos[i].reader);
		pthread_create(&chaos[i].thread, NULL, chaos_main, &chaos[i]);
	}
	for (unsigned int i = 0; i < 20; i++) {
		dsa_engines_stop(rig.dsa);
		sched_yield();
		dsa_engines_start(rig.dsa);
	}
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(chaos[i].thread, NULL);
		epoch_leave(vm_epoch(rig.vm), &chaos[i].reader);
	}
	command_end(&rig);
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	c = counters(&rig);
	assert_int_equal(c.accepted, c.completed + c.failed + c.aborted);
	assert_true(c.accepted > 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_options_are_refused_by_name),
		cmocka_unit_test(function_off_the_bus_can_be_destroyed),
		cmocka_unit_test(engines_start_with_the_first_queue),
		cmocka_unit_test(pause_stops_between_descriptors),
		cmocka_unit_test(pause_waits_for_a_move_in_flight),
		cmocka_unit_test(removal_ends_what_is_in_flight),
		cmocka_unit_test(two_functions_work_side_by_side),
		cmocka_unit_test(accounts_balance_after_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
