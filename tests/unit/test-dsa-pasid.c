/* SPDX-License-Identifier: Apache-2.0 */
/* The two keys, windows, and how a binding ends while its descriptors are anywhere. */
#include "tests/unit/test-dsa.h"

#include "ioasid-client/pasid-table.h"

#define OUTSIDE (2 * MIB) /* guest memory that the window has none of */
#define INSIDE	(WINDOW + 0x10000)

static uint32_t bind_to(struct dsa_rig *rig, uint32_t guest, struct ioasid_space *space)
{
	uint32_t host = 0;

	assert_ok(dsa_pasid_bind(rig->dsa, guest, space, IOASID_PASID_NONE, &host, &rig->err),
		  &rig->err);
	return host;
}

static int refused_bind(struct dsa_rig *rig, uint32_t guest, uint32_t want)
{
	int ret = dsa_pasid_bind(rig->dsa, guest, rig->guest, want, NULL, &rig->err);

	if (!ret || !rig->err.text[0])
		fail_msg("guest PASID %u: %d without a sentence", guest, ret);
	return ret;
}

static void bind_refusals_name_the_limit(void **state)
{
	struct dsa_options options = rig_options(true);
	uint32_t host;

	options.pasid.width = 8;
	RIG(rig, options);
	assert_int_equal(refused_bind(&rig, 0, 0), -ERANGE);
	assert_int_equal(refused_bind(&rig, 256, 0), -ERANGE);
	assert_int_equal(refused_bind(&rig, UINT32_MAX, 0), -ERANGE);
	host = bind_to(&rig, 255, rig.window);
	assert_int_not_equal(host, IOASID_PASID_NONE);
	assert_int_equal(refused_bind(&rig, 255, 0), -EEXIST);
	assert_int_equal(refused_bind(&rig, 7, host), -EBUSY);
	assert_int_equal(refused_bind(&rig, 7, 1u << 20), -ERANGE);
	assert_int_equal(dsa_pasid_unbind(rig.dsa, 7, &rig.err), -ENOENT);
	assert_ok(dsa_pasid_unbind(rig.dsa, 255, &rig.err), &rig.err);
	assert_int_equal(dsa_pasid_unbind(rig.dsa, 255, &rig.err), -ENOENT);
	assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_FREE);
	rig_close(&rig);
}

static void bind_without_the_first_key_is_refused(void **state)
{
	RIG(rig, rig_options(false));

	assert_int_equal(refused_bind(&rig, 5, 0), -EPERM);
	rig_close(&rig);
}

static void drain_faults(struct dsa_rig *rig)
{
	struct ioasid_fault fault;
	size_t got = 1;

	while (got)
		assert_ok(ioasid_faults_read(rig->ctx, &fault, 1, &got, NULL, &rig->err),
			  &rig->err);
}

/* One, of this device, under no host PASID: it never became an access. */
static void expect_fault_record(struct dsa_rig *rig, uint64_t address)
{
	struct ioasid_fault fault[2];
	size_t got = 0;

	assert_ok(ioasid_faults_read(rig->ctx, fault, 2, &got, NULL, &rig->err), &rig->err);
	assert_int_equal(got, 1);
	assert_string_equal(fault[0].label, rig->dsa->id);
	assert_int_equal(fault[0].host_pasid, IOASID_PASID_NONE);
	assert_int_equal(fault[0].iova, address);
	assert_int_equal(fault[0].rights, IOASID_WRITE);
}

/* A submission that must reach nothing and be reported. */
static void expect_refusal(struct dsa_rig *rig, unsigned int wq)
{
	struct dsa_descriptor d = move_with_record(INSIDE, INSIDE + 0x1000, 64, INSIDE + 0x8000);

	memset(rig->memory + INSIDE, 0xc7, 64);
	memset(rig->memory + INSIDE + 0x8000, 0, 32);
	swerr_ack(rig);
	drain_faults(rig);
	assert_int_equal(submit(rig, wq, &d), -EAGAIN);
	expect_fault_record(rig, d.record);
	assert_int_equal(command(rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(rig, INSIDE + 0x8000), 0);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(rig->memory[INSIDE + i], 0xc7);
	assert_int_equal(swerr_code(rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(counters(rig).accepted, 0);
}

static void pasid_without_the_first_key_is_refused(void **state)
{
	RIG(rig, rig_options(false));

	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	expect_refusal(&rig, 0);
	assert_int_equal(counters(&rig).refused_key, 1);
	rig_close(&rig);
}

static void pasid_without_the_second_key_is_refused(void **state)
{
	RIG(rig, rig_options(true));

	bind_to(&rig, 6, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	expect_refusal(&rig, 0);
	assert_int_equal(counters(&rig).refused_unbound, 1);
	rig_close(&rig);
}

static void pasid_out_of_range_is_refused(void **state)
{
	struct dsa_options options = rig_options(true);

	options.pasid.width = 4;
	RIG(rig, options);
	bind_to(&rig, 1, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 17);
	expect_refusal(&rig, 0);
	/* PASID 0, though enabled. */
	wqcfg_write(&rig, 1, DSA_WQCFG_MODE, 0x10000011);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 1), 0);
	expect_refusal(&rig, 1);
	assert_int_equal(counters(&rig).refused_width, 2);
	rig_close(&rig);
}

/* Once an ADI may use PASIDs, a queue without one does not see all guest memory any more. */
static void queue_without_pasid_is_closed_by_the_first_key(void **state)
{
	RIG(rig, rig_options(true));

	bind_to(&rig, 5, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	expect_refusal(&rig, 0);
	assert_int_equal(counters(&rig).refused_unbound, 1);
	rig_close(&rig);
}

static void pasid_of_another_function_is_no_key(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_options options = rig_options(true);
	struct dsa *first = rig.dsa;

	bind_to(&rig, 5, rig.guest);
	options.id = "dsa1";
	rig_add(&rig, &options);
	assert_ptr_not_equal(first, rig.dsa);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	expect_refusal(&rig, 0);
	rig_close(&rig);
}

static void window_is_the_limit(void **state)
{
	RIG(rig, rig_options(true));
	uint64_t record = WINDOW + 0x20;
	struct dsa_descriptor d = move_with_record(INSIDE, INSIDE + 0x1000, 0x100, record);
	static const uint8_t zero[0x100];

	bind_to(&rig, 5, rig.window);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	memset(rig.memory + INSIDE + 0x1000, 0x3c, 0x100);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_memory_equal(rig.memory + INSIDE, rig.memory + INSIDE + 0x1000, 0x100);
	assert_int_equal(pasid_table_uses(dsa_pasid_table(rig.dsa), 5), 1);
	assert_int_equal(counters(&rig).without_pasid, 0);

	d = move_with_record(OUTSIDE, INSIDE + 0x1000, 0x100, record);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record_at(&rig, record)->fault, OUTSIDE);
	assert_memory_equal(rig.memory + OUTSIDE, zero, sizeof(zero));

	memset(rig.memory + OUTSIDE, 0x77, 0x100);
	d = move_with_record(INSIDE, OUTSIDE, 0x100, record);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(rig.memory[INSIDE], 0x3c);

	/* Over its end: what lies inside is done, what lies outside is not. */
	d = move_with_record(WINDOW + WINDOW_SIZE - 0x80, INSIDE + 0x1000, 0x100, record);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record_at(&rig, record)->bytes, 0x80);
	assert_int_equal(rig.memory[WINDOW + WINDOW_SIZE], 0);

	d = move_with_record(INSIDE, INSIDE + 0x1000, 0x100, OUTSIDE);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(rig.memory[OUTSIDE], 0x77);
	rig_close(&rig);
}

static void queues_under_two_pasids_keep_apart(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = move_with_record(0x8000, 0x4000, 16, RECORD);

	bind_to(&rig, 5, rig.window);
	bind_to(&rig, 6, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	wq_enable(&rig, 1, 6);
	/* A descriptor cannot name another PASID. */
	d.pasid = 6;
	assert_int_equal(run(&rig, &d), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(submit(&rig, 1, &d), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	rig_close(&rig);
}

static void unbound_pasid_is_refused_and_its_number_free(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();
	uint32_t host = bind_to(&rig, 5, rig.guest);

	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_FREE);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	assert_int_equal(counters(&rig).refused_unbound, 1);
	/* And may come back, to another space. */
	bind_to(&rig, 5, rig.window);
	d.record = WINDOW;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

/* A move that would take long ends with a fault where it was, and its record is there. */
static void unbind_ends_a_move_in_flight(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = long_move();
	volatile struct dsa_record *record = record_at(&rig, RECORD);
	struct dsa_counters c;

	device_enable(&rig);
	wq_enable(&rig, 0, 5 /* not bound yet */);
	for (unsigned int round = 0; round < 6; round++) {
		uint32_t host = bind_to(&rig, 5, rig.guest);

		memset(rig.memory + RECORD, 0, 16 * 32);
		for (unsigned int i = 0; i < 8; i++) {
			d.record = RECORD + i * 32;
			assert_int_equal(submit(&rig, 0, &d), 0);
		}
		assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
		assert_int_equal(ioasid_pasid_state(rig.ctx, host), IOASID_PASID_FREE);
		/* All have ended: nothing is written any more. */
		assert_quiet(&rig);
		for (unsigned int i = 0; i < 8; i++) {
			uint8_t status = record[i].status & 0x7f;

			assert_true(status == DSA_STATUS_PAGE_FAULT || status == DSA_STATUS_OK);
			if (status == DSA_STATUS_PAGE_FAULT)
				assert_true(record[i].bytes < d.size);
		}
		c = counters(&rig);
		assert_int_equal(c.accepted, c.completed + c.failed);
	}
	rig_close(&rig);
}

/* Engines at rest would never come to them: the queued ones are cut off instead. */
static void unbind_does_not_wait_for_a_pause(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();
	uint32_t host = bind_to(&rig, 5, rig.guest), again;

	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	/* The number goes to somebody else: the old descriptor must not run under it. */
	assert_ok(dsa_pasid_bind(rig.dsa, 6, rig.guest, host, &again, &rig.err), &rig.err);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(counters(&rig).failed, 1);
	rig_close(&rig);
}

static void *unbind_main(void *arg)
{
	struct dsa_rig *rig = arg;

	return (void *)(intptr_t)dsa_pasid_unbind(rig->dsa, 5, NULL);
}

static bool job_revoked(struct dsa_rig *rig)
{
	bool revoked;

	pthread_mutex_lock(&rig->dsa->lock);
	revoked = rig->dsa->job[0].revoked;
	pthread_mutex_unlock(&rig->dsa->lock);
	return revoked;
}

/* The pause comes while an unbind waits already; the back end is one that never gets to work. */
static void pause_frees_an_unbind_that_waits(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();
	pthread_t thread;
	void *ret;

	rig.dsa->backend = &idle_backend;
	bind_to(&rig, 5, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	assert_int_equal(submit(&rig, 0, &d), 0);
	pthread_create(&thread, NULL, unbind_main, &rig);
	WAIT_FOR(job_revoked(&rig));
	dsa_engines_stop(rig.dsa);
	pthread_join(thread, &ret);
	assert_null(ret);
	rig_close(&rig);
}

/* One that runs takes a fault, and can still say so. */
static void unbind_faults_what_runs(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = move(0x8000, 0x4000, 64);
	struct dsa_job *job;
	pthread_t thread;
	void *ret;

	rig.dsa->backend = &idle_backend;
	rig.memory[0x4000] = 1;
	bind_to(&rig, 5, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	assert_int_equal(submit(&rig, 0, &d), 0);
	job = take_job(&rig);
	assert_non_null(job);
	pthread_create(&thread, NULL, unbind_main, &rig);
	WAIT_FOR(job_revoked(&rig));
	assert_int_equal(end_job(&rig, job).status, DSA_STATUS_PAGE_FAULT);
	pthread_join(thread, &ret);
	assert_null(ret);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(record_at(&rig, RECORD)->fault, 0x4000);
	assert_int_equal(rig.memory[0x8000], 0);
	rig_close(&rig);
}

static void destroyed_space_blocks_its_pasid(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = move(0x8000, 0x4000, 16);

	bind_to(&rig, 5, rig.guest);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	ioasid_destroy(rig.guest);
	assert_int_equal(run(&rig, &d), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	rig_close(&rig);
}

/* --- a manager binds and unbinds while a guest submits --------------------------------------- */

struct guest {
	pthread_t thread;
	struct dsa_rig *rig;
	struct epoch_reader reader;
	unsigned int wq;
	bool stop; /* atomic */
};

static void *guest_main(void *arg)
{
	struct guest *guest = arg;
	struct dsa_descriptor d = move_with_record(INSIDE, INSIDE + 0x40000, 0x20000, WINDOW);

	while (!__atomic_load_n(&guest->stop, __ATOMIC_RELAXED)) {
		d.destination = INSIDE + guest->wq * 0x80000;
		d.record = WINDOW + guest->wq * 0x1000;
		portal_store(guest->rig, &guest->reader,
			     portal_at(guest->rig, guest->wq, DSA_PORTAL_PAGE), STORE64_MOVDIR64B,
			     &d);
		sched_yield();
	}
	return NULL;
}

static void random_binding_leaks_nothing(void **state)
{
	RIG(rig, rig_options(true));
	struct guest guests[2];
	bool bound[2] = { true, true };
	const char *more = getenv("ADIT_TEST_OPS");
	unsigned long rounds = more ? strtoul(more, NULL, 0) / 100 : 1000;
	uint64_t seed = 5;
	struct dsa_counters c;

	memset(rig.memory, 0xc7, WINDOW);
	memset(rig.memory + WINDOW + WINDOW_SIZE, 0xc7, MEMORY - WINDOW - WINDOW_SIZE);
	device_enable(&rig);
	for (unsigned int i = 0; i < 2; i++) {
		bind_to(&rig, 5 + i, rig.window);
		wq_enable(&rig, i, 5 + i);
		guests[i] = (struct guest){ .rig = &rig, .wq = i };
		epoch_join(vm_epoch(rig.vm), &guests[i].reader);
		pthread_create(&guests[i].thread, NULL, guest_main, &guests[i]);
	}
	WAIT_FOR(counters(&rig).completed >= 10);
	for (unsigned long round = 0; round < rounds; round++) {
		unsigned int i = random_next(&seed) & 1;

		if (random_next(&seed) % 16 == 0) {
			dsa_engines_stop(rig.dsa);
			if (bound[i])
				assert_ok(dsa_pasid_unbind(rig.dsa, 5 + i, &rig.err), &rig.err);
			else
				bind_to(&rig, 5 + i, rig.window);
			bound[i] = !bound[i];
			dsa_engines_start(rig.dsa);
		} else if (bound[i]) {
			assert_ok(dsa_pasid_unbind(rig.dsa, 5 + i, &rig.err), &rig.err);
			bound[i] = false;
		} else {
			bind_to(&rig, 5 + i, rig.window);
			bound[i] = true;
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		__atomic_store_n(&guests[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(guests[i].thread, NULL);
		epoch_leave(vm_epoch(rig.vm), &guests[i].reader);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	for (uint64_t at = 0; at < MEMORY; at++) {
		if (at == WINDOW)
			at += WINDOW_SIZE;
		if (rig.memory[at] != 0xc7)
			fail_msg("byte at %#llx was written", (unsigned long long)at);
	}
	c = counters(&rig);
	assert_int_equal(c.accepted, c.completed + c.failed);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bind_refusals_name_the_limit),
		cmocka_unit_test(bind_without_the_first_key_is_refused),
		cmocka_unit_test(pasid_without_the_first_key_is_refused),
		cmocka_unit_test(pasid_without_the_second_key_is_refused),
		cmocka_unit_test(pasid_out_of_range_is_refused),
		cmocka_unit_test(queue_without_pasid_is_closed_by_the_first_key),
		cmocka_unit_test(pasid_of_another_function_is_no_key),
		cmocka_unit_test(window_is_the_limit),
		cmocka_unit_test(queues_under_two_pasids_keep_apart),
		cmocka_unit_test(unbound_pasid_is_refused_and_its_number_free),
		cmocka_unit_test(unbind_ends_a_move_in_flight),
		cmocka_unit_test(unbind_does_not_wait_for_a_pause),
		cmocka_unit_test(pause_frees_an_unbind_that_waits),
		cmocka_unit_test(unbind_faults_what_runs),
		cmocka_unit_test(destroyed_space_blocks_its_pasid),
		cmocka_unit_test(random_binding_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
