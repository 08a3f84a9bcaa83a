/* SPDX-License-Identifier: Apache-2.0 */
/* The portals: which stores are a descriptor, and that slots never mix. */
#include "tests/unit/test-dsa.h"

static struct dsa_options three_queues(void)
{
	struct dsa_options options = rig_options(false);

	options.wqs = 3;
	options.wq[2].size = 4;
	options.engines = 1;
	return options;
}

static void portal_write(struct dsa_rig *rig, unsigned int wq, uint64_t offset, const void *bytes,
			 unsigned int at, unsigned int size)
{
	mmio_write(rig, portal_at(rig, wq, offset + at), load_le((const char *)bytes + at, size),
		   size);
}

static void all_four_portals_accept(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (uint64_t offset = 0; offset < DSA_WQ_PORTALS; offset += DSA_PORTAL_PAGE + 0x40) {
		memset(rig.memory + RECORD, 0, 32);
		assert_int_equal(portal_store(&rig, &rig.reader, portal_at(&rig, 0, offset),
					      STORE64_MOVDIR64B, &d),
				 0);
		assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
		assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	}
	rig_close(&rig);
}

static void enqueue_instructions_are_told_to_retry(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();
	uint64_t at = portal_at(&rig, 0, 0);

	assert_int_equal(portal_store(&rig, &rig.reader, at, STORE64_ENQCMD, &d), -EAGAIN);
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	assert_int_equal(portal_store(&rig, &rig.reader, at, STORE64_ENQCMD, &d), -EAGAIN);
	assert_int_equal(portal_store(&rig, &rig.reader, at, STORE64_ENQCMDS, &d), -EAGAIN);
	assert_int_equal(counters(&rig).accepted, 0);
	rig_close(&rig);
}

static void disabled_queue_drops(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();

	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	device_enable(&rig);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	wq_enable(&rig, 1, 0);
	assert_int_equal(submit(&rig, 0, &d), -EAGAIN);
	/* Behind the last queue, up to the power of two. */
	assert_int_equal(submit(&rig, 3, &d), -EAGAIN);
	mmio_write(&rig, portal_at(&rig, 3, 0), 0, 8);
	assert_int_equal(counters(&rig).dropped, 5);
	assert_int_equal(counters(&rig).accepted, 0);
	rig_close(&rig);
}

static void full_queue_drops_and_says_so(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 2, 0);
	dsa_engines_stop(rig.dsa);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(submit(&rig, 2, &d), 0);
	assert_int_equal(swerr_code(&rig), 0);
	assert_int_equal(submit(&rig, 2, &d), -EAGAIN);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_HARDWARE);
	assert_int_equal(counters(&rig).dropped, 1);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).completed, 4);
	assert_int_equal(submit(&rig, 2, &d), 0);
	rig_close(&rig);
}

/* Each order of stores, 8 and 4 bytes wide mixed, submits once, with the last of them. */
static void stores_are_gathered_in_any_order(void **state)
{
	RIG(rig, three_queues());
	uint64_t seed = 7;

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int round = 0; round < 200; round++) {
		uint64_t slot = random_next(&seed) % 256 * 64;
		struct dsa_descriptor d = noop();
		unsigned int order[8];

		for (unsigned int i = 0; i < 8; i++) {
			unsigned int j = random_next(&seed) % (i + 1);

			order[i] = order[j];
			order[j] = i;
		}
		memset(rig.memory + RECORD, 0, 32);
		for (unsigned int i = 0; i < 8; i++) {
			assert_int_equal(counters(&rig).accepted, round);
			if (random_next(&seed) & 1) {
				portal_write(&rig, 0, slot, &d, order[i] * 8, 8);
				continue;
			}
			portal_write(&rig, 0, slot, &d, order[i] * 8 + 4, 4);
			assert_int_equal(counters(&rig).accepted, round);
			portal_write(&rig, 0, slot, &d, order[i] * 8, 4);
		}
		assert_int_equal(counters(&rig).accepted, round + 1);
		assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
		assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	}
	rig_close(&rig);
}

static void half_a_slot_never_reaches_the_next(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop(), bad = noop();

	bad.flags = ~0u;
	bad.record = RECORD + 32;
	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	wq_enable(&rig, 1, 0);
	/* Left half written: the same slot elsewhere, the neighbours, the same slot. */
	for (unsigned int i = 0; i < 32; i += 8) {
		portal_write(&rig, 1, 0x1040, &bad, i, 8);
		portal_write(&rig, 0, 0x0040, &bad, i, 8);
		portal_write(&rig, 0, 0x1000, &bad, i, 8);
		portal_write(&rig, 0, 0x1080, &bad, i, 8);
		portal_write(&rig, 0, 0x1040, &bad, i, 8);
	}
	/* Begun anew from its first byte: the old half is gone. */
	for (unsigned int i = 0; i < 64; i += 8) {
		assert_int_equal(counters(&rig).accepted, 0);
		portal_write(&rig, 0, 0x1040, &d, i, 8);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).accepted, 1);
	assert_int_equal(counters(&rig).completed, 1);
	assert_int_equal(status_at(&rig, RECORD), DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, RECORD + 32), 0);
	rig_close(&rig);
}

static void sixty_four_byte_store_discards_half_a_slot(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 56; i += 8)
		portal_write(&rig, 0, DSA_PORTAL_PAGE, &d, i, 8);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	portal_write(&rig, 0, DSA_PORTAL_PAGE, &d, 56, 8);
	assert_int_equal(counters(&rig).accepted, 1);
	rig_close(&rig);
}

static void disable_discards_half_a_slot(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 56; i += 8)
		portal_write(&rig, 0, 0, &d, i, 8);
	assert_int_equal(command(&rig, DSA_DISABLE_WQ, 1), 0);
	wq_enable(&rig, 0, 0);
	portal_write(&rig, 0, 0, &d, 56, 8);
	assert_int_equal(counters(&rig).accepted, 0);
	rig_close(&rig);
}

static void small_and_unaligned_stores_are_nothing(void **state)
{
	RIG(rig, three_queues());
	struct dsa_descriptor d = noop();

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 64; i++)
		portal_write(&rig, 0, 0, &d, i, 1);
	for (unsigned int i = 0; i < 64; i += 2)
		portal_write(&rig, 0, 0, &d, i, 2);
	for (unsigned int i = 4; i < 60; i += 8)
		portal_write(&rig, 0, 0, &d, i, 8);
	assert_int_equal(counters(&rig).accepted, 0);
	assert_int_equal(counters(&rig).dropped, 64 + 32 + 7);
	assert_int_equal(mmio_read(&rig, portal_at(&rig, 0, 0), 8), ~0ULL);
	rig_close(&rig);
}

/* Against a model: any stores at all, of any width and place, over few slots. */
static void gathering_follows_its_model(void **state)
{
	RIG(rig, three_queues());
	uint8_t have[4][16] = { 0 };
	uint64_t seed = 11, whole = 0;

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int slot = random_next(&seed) % 4, size = random_next(&seed) & 1 ? 8 : 4;
		unsigned int at = random_next(&seed) % (64 / size) * size, count = 0;
		bool over = false;

		/* Mostly in order, or no slot would ever be whole. */
		if (random_next(&seed) % 32) {
			for (at = 0; have[slot][at / 4]; at += 4)
				;
			size = at % 8 ? 4 : size;
		}
		mmio_write(&rig, portal_at(&rig, 0, slot * 64ULL + at), 0, size);
		for (unsigned int w = at / 4; w < (at + size) / 4; w++)
			over |= have[slot][w];
		if (over)
			memset(have[slot], 0, 16);
		for (unsigned int w = at / 4; w < (at + size) / 4; w++)
			have[slot][w] = 1;
		for (unsigned int w = 0; w < 16; w++)
			count += have[slot][w];
		if (count == 16) {
			whole++;
			memset(have[slot], 0, 16);
		}
		assert_int_equal(counters(&rig).accepted + counters(&rig).dropped, whole);
	}
	assert_true(whole > 0);
	rig_close(&rig);
}

struct sender {
	pthread_t thread;
	struct dsa_rig *rig;
	struct epoch_reader reader;
	unsigned int number;
};

#define SENDS 200u

/* Each with slots of its own, as drivers on several CPUs have. */
static void *send_all(void *arg)
{
	struct sender *sender = arg;
	struct dsa_rig *rig = sender->rig;

	for (unsigned int i = 0; i < SENDS; i++) {
		uint64_t record = RECORD + (sender->number * SENDS + i) * 32ULL;
		uint64_t slot = (sender->number * 16 + i % 16) * 64ULL;
		struct dsa_descriptor d = noop();

		d.record = record;
		for (unsigned int w = 0; w < 8; w++) {
			uint64_t word = load_le((char *)&d + w * 8UL, 8);

			epoch_enter(vm_epoch(rig->vm), &sender->reader);
			iomap_write(vm_mmio(rig->vm), portal_at(rig, 0, slot + w * 8), &word, 8);
			epoch_exit(&sender->reader);
		}
		/* A dedicated queue is the driver's to count: one at a time fits. */
		while (!status_at(rig, record))
			sched_yield();
	}
	return NULL;
}

static void several_cpus_gather_at_once(void **state)
{
	RIG(rig, three_queues());
	struct sender senders[3];

	device_enable(&rig);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < 3; i++) {
		senders[i] = (struct sender){ .rig = &rig, .number = i };
		epoch_join(vm_epoch(rig.vm), &senders[i].reader);
		pthread_create(&senders[i].thread, NULL, send_all, &senders[i]);
	}
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(senders[i].thread, NULL);
		epoch_leave(vm_epoch(rig.vm), &senders[i].reader);
	}
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(counters(&rig).completed, 3 * SENDS);
	assert_int_equal(counters(&rig).failed, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_four_portals_accept),
		cmocka_unit_test(enqueue_instructions_are_told_to_retry),
		cmocka_unit_test(disabled_queue_drops),
		cmocka_unit_test(full_queue_drops_and_says_so),
		cmocka_unit_test(stores_are_gathered_in_any_order),
		cmocka_unit_test(half_a_slot_never_reaches_the_next),
		cmocka_unit_test(sixty_four_byte_store_discards_half_a_slot),
		cmocka_unit_test(disable_discards_half_a_slot),
		cmocka_unit_test(small_and_unaligned_stores_are_nothing),
		cmocka_unit_test(gathering_follows_its_model),
		cmocka_unit_test(several_cpus_gather_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
