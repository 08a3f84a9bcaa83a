/* SPDX-License-Identifier: Apache-2.0 */
/* Shared queues: what they take, up to where, under which PASID, and what retry means. */
#include "tests/unit/test-dsa.h"

#define LIMITED	  DSA_PORTAL_PAGE
#define UNLIMITED 0u
#define PRIVILEGE (1u << 31)

/* Queue 0 shared with a threshold below its size, queue 1 dedicated. */
static struct dsa_options shared_queue(bool pasids)
{
	struct dsa_options options = rig_options(pasids);

	options.wq[0].size = 8;
	options.wq[0].shared = true;
	options.wq[0].threshold = 5;
	return options;
}

static int enqueue(struct dsa_rig *rig, uint64_t portal, enum store64_kind kind, uint32_t pasid,
		   struct dsa_descriptor d)
{
	d.pasid = pasid;
	return portal_store(rig, &rig->reader, portal_at(rig, 0, portal), kind, &d);
}

static void bind_to(struct dsa_rig *rig, uint32_t guest, struct ioasid_space *space)
{
	assert_ok(dsa_pasid_bind(rig->dsa, guest, space, IOASID_PASID_NONE, NULL, &rig->err),
		  &rig->err);
}

static void enable_shared(struct dsa_rig *rig)
{
	device_enable(rig);
	assert_int_equal(command(rig, DSA_ENABLE_WQ, 0), 0);
}

static void descriptor_names_its_pasid(void **state)
{
	RIG(rig, shared_queue(true));
	struct dsa_descriptor in_window = noop();

	in_window.record = WINDOW;
	bind_to(&rig, 5, rig.window);
	bind_to(&rig, 6, rig.guest);
	enable_shared(&rig);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, in_window), 0);
	assert_int_equal(enqueue(&rig, UNLIMITED, STORE64_ENQCMD, 6, noop()), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, WINDOW), DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	/* PASID 5 does not reach what PASID 6 does. */
	memset(rig.memory + RECORD, 0, 32);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, noop()), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	rig_close(&rig);
}

/* Retry would never end: the command counts as taken, and the refusal is reported. */
static void refused_pasids_are_taken_and_reported(void **state)
{
	static const uint32_t foreign[] = { 0, 6, 16, 0xfffff };
	struct dsa_options options = shared_queue(true);

	options.pasid.width = 4;
	RIG(rig, options);
	bind_to(&rig, 5, rig.guest);
	enable_shared(&rig);
	for (unsigned int i = 0; i < ARRAY_SIZE(foreign); i++) {
		swerr_ack(&rig);
		assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, foreign[i], noop()), 0);
		assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
		assert_int_equal(reg_read(&rig, DSA_SWERR, 8) >> 40 & 0xfffff, foreign[i]);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(counters(&rig).refused_width, 3);
	assert_int_equal(counters(&rig).refused_unbound, 1);
	assert_int_equal(counters(&rig).accepted, 0);
	assert_int_equal(counters(&rig).retried, 0);
	rig_close(&rig);
}

static void pasid_needs_the_first_key_here_too(void **state)
{
	RIG(rig, shared_queue(false));

	wqcfg_write(&rig, 0, DSA_WQCFG_MODE,
		    DSA_WQCFG_PASID_ENABLE | 1u << DSA_WQCFG_PRIORITY_SHIFT);
	enable_shared(&rig);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, noop()), 0);
	assert_int_equal(counters(&rig).refused_key, 1);
	assert_int_equal(counters(&rig).accepted, 0);
	rig_close(&rig);
}

static void privilege_is_cleared(void **state)
{
	RIG(rig, shared_queue(true));
	struct dsa_job *job;

	rig.dsa->backend = &idle_backend;
	bind_to(&rig, 5, rig.guest);
	enable_shared(&rig);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5 | PRIVILEGE, noop()), 0);
	job = take_job(&rig);
	assert_non_null(job);
	assert_int_equal(job->descriptor.pasid, 5);
	assert_int_equal(job->guest, 5);
	end_job(&rig, job);
	rig_close(&rig);
}

static void dedicated_descriptor_loses_its_pasid_and_privilege(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = noop();
	struct dsa_job *job;

	rig.dsa->backend = &idle_backend;
	d.pasid = ~0u;
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	assert_int_equal(submit(&rig, 0, &d), 0);
	job = take_job(&rig);
	assert_non_null(job);
	assert_int_equal(job->descriptor.pasid, 0);
	end_job(&rig, job);
	rig_close(&rig);
}

static void limited_portal_fills_up_to_the_threshold(void **state)
{
	RIG(rig, shared_queue(true));

	bind_to(&rig, 5, rig.guest);
	enable_shared(&rig);
	dsa_engines_stop(rig.dsa);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, noop()), 0);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, noop()), -EAGAIN);
	/* The same of the IMS pages: 2 is unlimited, 3 is not. */
	assert_int_equal(enqueue(&rig, 3 * DSA_PORTAL_PAGE, STORE64_ENQCMDS, 5, noop()), -EAGAIN);
	assert_int_equal(enqueue(&rig, 2 * DSA_PORTAL_PAGE, STORE64_ENQCMDS, 5, noop()), 0);
	for (unsigned int i = 6; i < 8; i++)
		assert_int_equal(enqueue(&rig, UNLIMITED, STORE64_ENQCMDS, 5, noop()), 0);
	assert_int_equal(enqueue(&rig, UNLIMITED, STORE64_ENQCMDS, 5, noop()), -EAGAIN);
	/* One that would be refused is told the same: a full queue judges nobody. */
	assert_int_equal(enqueue(&rig, UNLIMITED, STORE64_ENQCMDS, 6, noop()), -EAGAIN);
	assert_int_equal(swerr_code(&rig), 0);
	assert_int_equal(counters(&rig).retried, 4);
	assert_int_equal(counters(&rig).dropped, 0);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).completed, 8);
	rig_close(&rig);
}

static void wrong_kind_of_store_is_dropped_or_retried(void **state)
{
	RIG(rig, shared_queue(true));
	struct dsa_descriptor d = noop();

	bind_to(&rig, 5, rig.guest);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, noop()), -EAGAIN);
	enable_shared(&rig);
	wq_enable(&rig, 1, 5);
	d.pasid = 5;
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	for (unsigned int i = 0; i < 64; i += 8)
		mmio_write(&rig, portal_at(&rig, 0, i), load_le((char *)&d + i, 8), 8);
	assert_int_equal(counters(&rig).dropped, 2);
	assert_int_equal(portal_store(&rig, &rig.reader, portal_at(&rig, 1, 0), STORE64_ENQCMDS,
				      &d),
			 -EAGAIN);
	assert_int_equal(portal_store(&rig, &rig.reader, portal_at(&rig, 1, 0), STORE64_ENQCMD, &d),
			 -EAGAIN);
	assert_int_equal(counters(&rig).retried, 3);
	assert_int_equal(counters(&rig).accepted, 0);
	assert_int_equal(swerr_code(&rig), 0);
	rig_close(&rig);
}

static void threshold_past_the_size_is_refused(void **state)
{
	RIG(rig, shared_queue(true));

	device_enable(&rig);
	wqcfg_write(&rig, 0, DSA_WQCFG_THRESHOLD, 9);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), DSA_CMD_WQ_SIZE);
	wqcfg_write(&rig, 0, DSA_WQCFG_THRESHOLD, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), 0);
	rig_close(&rig);
}

static void unbind_ends_only_its_own_pasid(void **state)
{
	RIG(rig, shared_queue(true));
	struct dsa_descriptor d = noop();

	bind_to(&rig, 5, rig.guest);
	bind_to(&rig, 6, rig.guest);
	enable_shared(&rig);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 5, d), 0);
	d.record = RECORD + 32;
	assert_int_equal(enqueue(&rig, LIMITED, STORE64_ENQCMDS, 6, d), 0);
	assert_ok(dsa_pasid_unbind(rig.dsa, 5, &rig.err), &rig.err);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(status_at(&rig, RECORD + 32), DSA_STATUS_OK);
	rig_close(&rig);
}

/* Two vCPUs fill a small queue without end: retry is the only answer that loses nothing. */
struct sender {
	pthread_t thread;
	struct dsa_rig *rig;
	struct epoch_reader reader;
	uint32_t pasid;
	unsigned int taken;
};

#define SENDS 2000u

static void *send_all(void *arg)
{
	struct sender *sender = arg;
	struct dsa_descriptor d = noop();

	d.pasid = sender->pasid;
	d.record = WINDOW + sender->pasid * 32ULL;
	while (sender->taken < SENDS) {
		if (portal_store(sender->rig, &sender->reader, portal_at(sender->rig, 0, LIMITED),
				 STORE64_ENQCMDS, &d) == 0)
			sender->taken++;
		else
			sched_yield();
	}
	return NULL;
}

static void retry_loses_nothing(void **state)
{
	RIG(rig, shared_queue(true));
	struct sender senders[2];

	bind_to(&rig, 5, rig.window);
	bind_to(&rig, 6, rig.window);
	enable_shared(&rig);
	for (unsigned int i = 0; i < 2; i++) {
		senders[i] = (struct sender){ .rig = &rig, .pasid = 5 + i };
		epoch_join(vm_epoch(rig.vm), &senders[i].reader);
		pthread_create(&senders[i].thread, NULL, send_all, &senders[i]);
	}
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(senders[i].thread, NULL);
		epoch_leave(vm_epoch(rig.vm), &senders[i].reader);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).completed, 2 * SENDS);
	assert_int_equal(counters(&rig).dropped, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptor_names_its_pasid),
		cmocka_unit_test(refused_pasids_are_taken_and_reported),
		cmocka_unit_test(pasid_needs_the_first_key_here_too),
		cmocka_unit_test(privilege_is_cleared),
		cmocka_unit_test(dedicated_descriptor_loses_its_pasid_and_privilege),
		cmocka_unit_test(limited_portal_fills_up_to_the_threshold),
		cmocka_unit_test(wrong_kind_of_store_is_dropped_or_retried),
		cmocka_unit_test(threshold_past_the_size_is_refused),
		cmocka_unit_test(unbind_ends_only_its_own_pasid),
		cmocka_unit_test(retry_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
