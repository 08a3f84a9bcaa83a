/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that wait: for a page that may yet come, for older ones of their queue, for their
 * turn beside other queues; and memory that is gone although it was mapped.
 */
#include "tests/unit/test-dsa.h"

#include <unistd.h>

#define HOLE  (8 * GIB) /* nothing is there until a test maps it */
#define PASID 5u

static uint64_t record_of(unsigned int i)
{
	return RECORD + i * 32ULL;
}

/* Both queues under one PASID, and descriptors may block; one engine. */
static struct dsa_options one_engine(void)
{
	struct dsa_options options = rig_options(true);

	options.engines = 1;
	return options;
}

static void start(struct dsa_rig *rig)
{
	assert_ok(dsa_pasid_bind(rig->dsa, PASID, rig->guest, 9, NULL, &rig->err), &rig->err);
	device_enable(rig);
	for (unsigned int wq = 0; wq < 2; wq++) {
		wqcfg_write(rig, wq, DSA_WQCFG_MODE,
			    DSA_WQCFG_DEDICATED | DSA_WQCFG_BLOCK_ON_FAULT |
				    1u << DSA_WQCFG_PRIORITY_SHIFT | DSA_WQCFG_PASID_ENABLE |
				    PASID << DSA_WQCFG_PASID_SHIFT);
		assert_int_equal(command(rig, DSA_ENABLE_WQ, wq), 0);
	}
}

static struct dsa_descriptor blocking_move(uint64_t to, uint64_t from, uint32_t size,
					   unsigned int record)
{
	struct dsa_descriptor d = move_with_record(to, from, size, record_of(record));

	d.flags |= DSA_FLAG_BLOCK_ON_FAULT;
	return d;
}

static bool waits(struct dsa_rig *rig)
{
	bool waiting;

	pthread_mutex_lock(&rig->dsa->lock);
	waiting = rig->dsa->waiting;
	pthread_mutex_unlock(&rig->dsa->lock);
	return waiting;
}

static void map_hole(struct dsa_rig *rig)
{
	assert_ok(ioasid_map_hva(rig->guest, HOLE, 0x4000, rig->memory + 0x100000,
				 IOASID_READ | IOASID_WRITE, &rig->err),
		  &rig->err);
}

static void blocked_descriptor_goes_on_when_its_page_comes(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE + 100, 0x8000, 0x3000, 0);

	start(&rig);
	rig.memory[0x8000] = 0x77;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	assert_int_equal(status_at(&rig, record_of(0)), 0);
	map_hole(&rig);
	WAIT_FOR(status_at(&rig, record_of(0)) == DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x100000 + 100], 0x77);
	assert_int_equal(record_at(&rig, record_of(0))->bytes, 0x3000);
	assert_int_equal(record_at(&rig, record_of(0))->fault, 0);
	rig_close(&rig);
}

/* With the flag but on a queue that does not allow it, and on one without the flag. */
static void blocking_must_be_allowed_by_the_queue(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);

	start(&rig);
	assert_int_equal(command(&rig, DSA_DISABLE_WQ, 2), 0);
	wq_enable(&rig, 1, PASID);
	assert_int_equal(submit(&rig, 1, &d), 0);
	WAIT_FOR(status_at(&rig, record_of(0)) == DSA_STATUS_FLAGS);
	assert_int_equal(record_at(&rig, record_of(0))->invalid_flags, DSA_FLAG_BLOCK_ON_FAULT);
	d = move_with_record(HOLE, 0x8000, 64, record_of(1));
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(status_at(&rig, record_of(1)) == (DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE));
	rig_close(&rig);
}

static void blocked_descriptor_holds_up_its_own_queue_alone(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);

	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	d = move_with_record(0xa000, 0x8000, 64, record_of(1));
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	d.record = record_of(2);
	assert_int_equal(submit(&rig, 1, &d), 0);
	WAIT_FOR(status_at(&rig, record_of(2)) == DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, record_of(1)), 0);
	map_hole(&rig);
	WAIT_FOR(status_at(&rig, record_of(1)) == DSA_STATUS_OK);
	rig_close(&rig);
}

static void unbind_ends_what_is_blocked(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);

	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	assert_ok(dsa_pasid_unbind(rig.dsa, PASID, &rig.err), &rig.err);
	assert_int_equal(status_at(&rig, record_of(0)), DSA_STATUS_PAGE_REFUSED | DSA_STATUS_WRITE);
	assert_int_equal(record_at(&rig, record_of(0))->fault, HOLE);
	assert_int_equal(ioasid_pasid_state(rig.ctx, 9), IOASID_PASID_FREE);
	rig_close(&rig);
}

static void abort_and_reset_end_what_is_blocked(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);

	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	assert_int_equal(command(&rig, DSA_ABORT_WQ, 1), 0);
	assert_false(waits(&rig));
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
	map_hole(&rig);
	assert_int_equal(rig.dsa->waiting + rig.dsa->running, 0);
	assert_int_equal(status_at(&rig, record_of(0)), 0);
	assert_int_equal(counters(&rig).aborted, 2);
	rig_close(&rig);
}

static void pause_does_not_wait_for_what_is_blocked(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);

	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	dsa_engines_stop(rig.dsa);
	map_hole(&rig);
	pthread_mutex_lock(&rig.dsa->lock);
	assert_int_equal(rig.dsa->running, 0);
	pthread_mutex_unlock(&rig.dsa->lock);
	assert_int_equal(status_at(&rig, record_of(0)), 0);
	dsa_engines_start(rig.dsa);
	WAIT_FOR(status_at(&rig, record_of(0)) == DSA_STATUS_OK);
	/* Paused and blocked: the PASID can go away all the same. */
	d = blocking_move(HOLE + GIB, 0x8000, 64, 1);
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	dsa_engines_stop(rig.dsa);
	assert_ok(dsa_pasid_unbind(rig.dsa, PASID, &rig.err), &rig.err);
	dsa_engines_start(rig.dsa);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, record_of(1)), 0);
	rig_close(&rig);
}

static void removal_ends_what_is_blocked(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);
	const struct dsa_options options = one_engine();

	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	pci_bus_remove(rig.bus, dsa_function(rig.dsa));
	assert_int_equal(ioasid_pasid_state(rig.ctx, 9), IOASID_PASID_FREE);
	rig_add(&rig, &options);
	rig_close(&rig);
}

static void member_of_a_batch_blocks_it(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = noop(), *list = (struct dsa_descriptor *)(rig.memory + 0x20000);

	start(&rig);
	list[0] = blocking_move(HOLE, 0x8000, 64, 1);
	list[1] = move_with_record(0xa000, 0x8000, 64, record_of(2));
	d.flags |= DSA_OP_BATCH << DSA_OPCODE_SHIFT;
	d.source = 0x20000;
	d.size = 2;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	assert_int_equal(status_at(&rig, record_of(2)), 0);
	map_hole(&rig);
	WAIT_FOR(status_at(&rig, RECORD) == DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, record_of(1)), DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, record_of(2)), DSA_STATUS_OK);
	rig_close(&rig);
}

/* --- page requests --------------------------------------------------------------------------- */

/* A space of its own, whose pages somebody brings when he is asked. */
static struct ioasid_space *start_paged(struct dsa_rig *rig)
{
	const struct ioasid_space_options options = {
		.name = "paged",
		.pasid_capable = true,
		.faults = true,
	};
	struct ioasid_space *space;

	assert_ok(ioasid_alloc(rig->ctx, &options, &space, &rig->err), &rig->err);
	assert_ok(ioasid_map_hva(space, 0, MEMORY, rig->memory, IOASID_READ | IOASID_WRITE,
				 &rig->err),
		  &rig->err);
	assert_ok(dsa_pasid_bind(rig->dsa, PASID, space, 9, NULL, &rig->err), &rig->err);
	device_enable(rig);
	for (unsigned int wq = 0; wq < 2; wq++) {
		wqcfg_write(rig, wq, DSA_WQCFG_MODE,
			    DSA_WQCFG_DEDICATED | DSA_WQCFG_BLOCK_ON_FAULT |
				    1u << DSA_WQCFG_PRIORITY_SHIFT | DSA_WQCFG_PASID_ENABLE |
				    PASID << DSA_WQCFG_PASID_SHIFT);
		assert_int_equal(command(rig, DSA_ENABLE_WQ, wq), 0);
	}
	return space;
}

static bool next_fault(struct dsa_rig *rig, struct ioasid_fault *fault)
{
	size_t got = 0;

	assert_ok(ioasid_faults_read(rig->ctx, fault, 1, &got, NULL, &rig->err), &rig->err);
	return got;
}

/* The descriptor waits, and this is what it asked for. */
static struct ioasid_fault asked(struct dsa_rig *rig)
{
	struct ioasid_fault fault;

	WAIT_FOR(next_fault(rig, &fault));
	assert_true(fault.waits);
	assert_int_equal(fault.host_pasid, 9);
	WAIT_FOR(waits(rig));
	return fault;
}

static void answer(struct dsa_rig *rig, const struct ioasid_fault *fault,
		   enum ioasid_response response)
{
	assert_ok(ioasid_fault_respond(rig->ctx, fault->cookie, response, &rig->err), &rig->err);
}

static void map_paged(struct dsa_rig *rig, struct ioasid_space *space, uint64_t iova)
{
	assert_ok(ioasid_map_hva(space, iova, 0x1000, rig->memory + 0x100000 + (iova - HOLE),
				 IOASID_READ | IOASID_WRITE, &rig->err),
		  &rig->err);
}

/* One request a page: it does not look by itself, so no other fault comes. */
static void blocked_descriptor_asks_for_each_page(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 0x3000, 0);
	struct ioasid_space *space = start_paged(&rig);
	struct ioasid_fault fault;

	memset(rig.memory + 0x8000, 0x77, 0x3000);
	assert_int_equal(submit(&rig, 0, &d), 0);
	for (uint64_t at = HOLE; at < HOLE + 0x3000; at += 0x1000) {
		fault = asked(&rig);
		assert_int_equal(fault.iova, at);
		assert_int_equal(fault.rights, IOASID_WRITE);
		assert_int_equal(status_at(&rig, record_of(0)), 0);
		map_paged(&rig, space, at);
		answer(&rig, &fault, IOASID_RESPONSE_RETRY);
	}
	WAIT_FOR(status_at(&rig, record_of(0)) == DSA_STATUS_OK);
	assert_memory_equal(rig.memory + 0x100000, rig.memory + 0x8000, 0x3000);
	assert_false(next_fault(&rig, &fault));
	rig_close(&rig);
}

static void refused_page_ends_its_descriptor(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);
	struct ioasid_fault fault;

	start_paged(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	fault = asked(&rig);
	answer(&rig, &fault, IOASID_RESPONSE_INVALID);
	WAIT_FOR(status_at(&rig, record_of(0)));
	assert_int_equal(status_at(&rig, record_of(0)), DSA_STATUS_PAGE_REFUSED | DSA_STATUS_WRITE);
	assert_int_equal(record_at(&rig, record_of(0))->fault, HOLE);
	assert_false(next_fault(&rig, &fault));
	rig_close(&rig);
}

static void member_of_a_batch_asks_too(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = noop(), *list = (struct dsa_descriptor *)(rig.memory + 0x20000);
	struct ioasid_space *space = start_paged(&rig);
	struct ioasid_fault fault;

	list[0] = blocking_move(HOLE, 0x8000, 64, 1);
	list[1] = blocking_move(HOLE + 0x1000, 0x8000, 64, 2);
	d.flags |= DSA_OP_BATCH << DSA_OPCODE_SHIFT;
	d.source = 0x20000;
	d.size = 2;
	assert_int_equal(submit(&rig, 0, &d), 0);
	fault = asked(&rig);
	map_paged(&rig, space, HOLE);
	answer(&rig, &fault, IOASID_RESPONSE_RETRY);
	fault = asked(&rig);
	assert_int_equal(status_at(&rig, record_of(1)), DSA_STATUS_OK);
	answer(&rig, &fault, IOASID_RESPONSE_INVALID);
	WAIT_FOR(status_at(&rig, RECORD) == DSA_STATUS_BATCH_FAILED);
	assert_int_equal(status_at(&rig, record_of(2)), DSA_STATUS_PAGE_REFUSED | DSA_STATUS_WRITE);
	assert_false(next_fault(&rig, &fault));
	rig_close(&rig);
}

/* Who asked is gone: nobody takes the answer, and none is owed. */
static void commands_end_what_waits_for_an_answer(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);
	struct ioasid_fault fault;

	start_paged(&rig);
	for (unsigned int i = 0; i < 3; i++) {
		if (i)
			assert_int_equal(command(&rig, DSA_ENABLE_WQ, 0), 0);
		assert_int_equal(submit(&rig, 0, &d), 0);
		fault = asked(&rig);
		if (!i)
			assert_int_equal(command(&rig, DSA_ABORT_WQ, 1), 0);
		if (i < 2)
			assert_int_equal(command(&rig, i ? DSA_RESET_WQ : DSA_DISABLE_WQ, 1), 0);
		else
			assert_int_equal(command(&rig, DSA_RESET_DEVICE, 0), 0);
		assert_int_equal(ioasid_fault_respond(rig.ctx, fault.cookie, IOASID_RESPONSE_RETRY,
						      &rig.err),
				 -ENOENT);
		if (i == 1)
			wqcfg_write(&rig, 0, DSA_WQCFG_MODE,
				    DSA_WQCFG_DEDICATED | DSA_WQCFG_BLOCK_ON_FAULT |
					    1u << DSA_WQCFG_PRIORITY_SHIFT |
					    DSA_WQCFG_PASID_ENABLE |
					    PASID << DSA_WQCFG_PASID_SHIFT);
	}
	assert_int_equal(status_at(&rig, record_of(0)), 0);
	rig_close(&rig);
}

/* Drain and disable wait as the device would, for as long as the answer takes. */
static void drain_and_disable_wait_for_the_answer(void **state)
{
	static const uint32_t codes[] = { DSA_DRAIN_WQ, DSA_DISABLE_WQ };
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);
	struct ioasid_fault fault;

	start_paged(&rig);
	for (unsigned int i = 0; i < ARRAY_SIZE(codes); i++) {
		memset(rig.memory + record_of(0), 0, 32);
		assert_int_equal(submit(&rig, 0, &d), 0);
		fault = asked(&rig);
		command_start(&rig, codes[i], 1);
		assert_true(reg_read(&rig, DSA_CMDSTS, 4) & DSA_CMDSTS_ACTIVE);
		answer(&rig, &fault, IOASID_RESPONSE_INVALID);
		assert_int_equal(command_end(&rig), 0);
		assert_int_equal(status_at(&rig, record_of(0)),
				 DSA_STATUS_PAGE_REFUSED | DSA_STATUS_WRITE);
	}
	rig_close(&rig);
}

/* Unbinding, removal and losing the bus answer for whoever does not. */
static void nothing_waits_for_an_answer_for_ever(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);
	const struct dsa_options options = one_engine();
	struct ioasid_fault fault;

	start_paged(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	fault = asked(&rig);
	assert_ok(dsa_pasid_unbind(rig.dsa, PASID, &rig.err), &rig.err);
	assert_int_equal(status_at(&rig, record_of(0)), DSA_STATUS_PAGE_REFUSED | DSA_STATUS_WRITE);
	pci_bus_remove(rig.bus, dsa_function(rig.dsa));
	rig_add(&rig, &options);
	start_paged(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	fault = asked(&rig);
	bus_master(&rig, false);
	assert_int_equal(command(&rig, DSA_DRAIN_WQ, 1), 0);
	bus_master(&rig, true);
	assert_int_equal(submit(&rig, 0, &d), 0);
	fault = asked(&rig);
	pci_bus_remove(rig.bus, dsa_function(rig.dsa));
	assert_int_equal(ioasid_fault_respond(rig.ctx, fault.cookie, IOASID_RESPONSE_RETRY,
					      &rig.err),
			 -ENOENT);
	rig_add(&rig, &options);
	rig_close(&rig);
}

/* --- drain ----------------------------------------------------------------------------------- */

static void drain_ends_after_the_older_of_its_queue(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = blocking_move(HOLE, 0x8000, 64, 0);

	/* Two engines: while one holds the blocked descriptor the other takes the drain. */
	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(waits(&rig));
	d = noop();
	d.flags |= DSA_OP_DRAIN << DSA_OPCODE_SHIFT | DSA_DRAIN_NO_READ_BACK;
	d.record = record_of(1);
	assert_int_equal(submit(&rig, 0, &d), 0);
	/* Another queue's drain has nothing to wait for. */
	d.record = record_of(2);
	assert_int_equal(submit(&rig, 1, &d), 0);
	WAIT_FOR(status_at(&rig, record_of(2)) == DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, record_of(1)), 0);
	map_hole(&rig);
	WAIT_FOR(status_at(&rig, record_of(1)) == DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, record_of(0)), DSA_STATUS_OK);
	rig_close(&rig);
}

static void drain_reads_nothing_back(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = noop();

	start(&rig);
	d.flags |= DSA_OP_DRAIN << DSA_OPCODE_SHIFT | 0x10000;
	assert_int_equal(run(&rig, &d), DSA_STATUS_FLAGS);
	d = noop();
	d.flags |= DSA_OP_DRAIN << DSA_OPCODE_SHIFT;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	d.source = 0x8000;
	assert_int_equal(run(&rig, &d), DSA_STATUS_RESERVED);
	rig_close(&rig);
}

/* --- turns ----------------------------------------------------------------------------------- */

/* 256 GiB in one batch take a minute; the other queue of the engine does not wait for them. */
static void huge_batch_leaves_the_other_queue_its_turns(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = noop(), *list = (struct dsa_descriptor *)(rig.memory + 0x20000);

	start(&rig);
	for (unsigned int i = 0; i < 1024; i++) {
		list[i] = long_move();
		list[i].flags &= ~(DSA_FLAG_RECORD | DSA_FLAG_RECORD_VALID);
		list[i].record = 0;
	}
	d.flags |= DSA_OP_BATCH << DSA_OPCODE_SHIFT;
	d.source = 0x20000;
	d.size = 1024;
	assert_int_equal(submit(&rig, 0, &d), 0);
	for (unsigned int i = 1; i < 20; i++) {
		struct dsa_descriptor small =
			move_with_record(0xa000, 0x8000, 64 + i, record_of(i));

		assert_int_equal(submit(&rig, 1, &small), 0);
		WAIT_FOR(status_at(&rig, record_of(i)) == DSA_STATUS_OK);
	}
	assert_int_equal(status_at(&rig, RECORD), 0);
	assert_int_equal(command(&rig, DSA_ABORT_ALL, 0), 0);
	rig_close(&rig);
}

/* It would take a minute too; what is left of it is done, or aborted, afterwards. */
static void pause_does_not_wait_for_a_huge_batch(void **state)
{
	RIG(rig, one_engine());
	struct dsa_descriptor d = noop(), *list = (struct dsa_descriptor *)(rig.memory + 0x20000);
	unsigned int next = 1;

	start(&rig);
	for (unsigned int i = 0; i < 1024; i++) {
		list[i] = long_move();
		list[i].record = 0x80000 + i * 32ULL;
	}
	d.flags |= DSA_OP_BATCH << DSA_OPCODE_SHIFT;
	d.source = 0x20000;
	d.size = 1024;
	assert_int_equal(submit(&rig, 0, &d), 0);
	WAIT_FOR(status_at(&rig, 0x80000) == DSA_STATUS_OK);
	for (unsigned int i = 0; i < 3; i++) {
		dsa_engines_stop(rig.dsa);
		assert_quiet(&rig);
		assert_int_equal(rig.dsa->waiting, 1);
		dsa_engines_start(rig.dsa);
	}
	while (status_at(&rig, 0x80000 + next * 32ULL))
		next++;
	WAIT_FOR(status_at(&rig, 0x80000 + next * 32ULL) == DSA_STATUS_OK);
	assert_int_equal(status_at(&rig, RECORD), 0);
	dsa_engines_stop(rig.dsa);
	assert_int_equal(command(&rig, DSA_ABORT_ALL, 0), 0);
	dsa_engines_start(rig.dsa);
	assert_int_equal(counters(&rig).aborted, 1);
	rig_close(&rig);
}

/* --- memory that is gone --------------------------------------------------------------------- */

struct shrunk {
	int fd;
	uint8_t *memory;
};

/* A file of four pages at HOLE of which two are left: the last two raise SIGBUS. */
static struct shrunk shrunk_file(struct dsa_rig *rig)
{
	struct shrunk file = { .fd = memfd_create("shrunk", MFD_CLOEXEC) };

	assert_true(file.fd >= 0);
	assert_int_equal(ftruncate(file.fd, 0x4000), 0);
	file.memory = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	assert_ptr_not_equal(file.memory, MAP_FAILED);
	assert_ok(ioasid_map_hva(rig->guest, HOLE, 0x4000, file.memory, IOASID_READ | IOASID_WRITE,
				 &rig->err),
		  &rig->err);
	assert_int_equal(ftruncate(file.fd, 0x2000), 0);
	return file;
}

static void close_shrunk(struct dsa_rig *rig, const struct shrunk *file)
{
	assert_ok(ioasid_unmap(rig->guest, HOLE, 0x4000, &rig->err), &rig->err);
	munmap(file->memory, 0x4000);
	close(file->fd);
}

static void lost_memory_ends_the_descriptor_alone(void **state)
{
	RIG(rig, one_engine());
	struct shrunk file = shrunk_file(&rig);
	struct dsa_descriptor d = move(HOLE + 0x1000, 0x8000, 0x2000);

	start(&rig);
	assert_int_equal(run(&rig, &d), DSA_STATUS_TRANSLATION | DSA_STATUS_WRITE);
	assert_in_range(record_at(&rig, RECORD)->fault, HOLE + 0x1000, HOLE + 0x2fff);
	d = move(0x8000, HOLE + 0x2010, 64);
	assert_int_equal(run(&rig, &d), DSA_STATUS_TRANSLATION);
	assert_in_range(record_at(&rig, RECORD)->fault, HOLE + 0x2000, HOLE + 0x2fff);
	d.flags |= DSA_FLAG_BLOCK_ON_FAULT;
	assert_int_equal(run(&rig, &d), DSA_STATUS_TRANSLATION);
	/* What is left of it serves. */
	d = move(HOLE + 0x1000, 0x8000, 0x1000);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(counters(&rig).failed, 3);
	close_shrunk(&rig, &file);
	rig_close(&rig);
}

static void lost_record_goes_to_swerr(void **state)
{
	RIG(rig, one_engine());
	struct shrunk file = shrunk_file(&rig);
	struct dsa_descriptor d = move_with_record(0xa000, 0x8000, 64, HOLE + 0x3000);

	start(&rig);
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(reg_read(&rig, DSA_SWERR + 16, 8), HOLE + 0x3000);
	close_shrunk(&rig, &file);
	rig_close(&rig);
}

static void lost_memory_within_a_batch(void **state)
{
	RIG(rig, one_engine());
	struct shrunk file = shrunk_file(&rig);
	struct dsa_descriptor d = noop(), *list = (struct dsa_descriptor *)(rig.memory + 0x20000);

	start(&rig);
	list[0] = move_with_record(HOLE + 0x2000, 0x8000, 64, record_of(1));
	list[1] = move_with_record(0xa000, 0x8000, 64, HOLE + 0x2000);
	list[2] = move_with_record(0xa000, 0x8000, 64, record_of(2));
	d.flags |= DSA_OP_BATCH << DSA_OPCODE_SHIFT;
	d.source = 0x20000;
	d.size = 3;
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAILED);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 3);
	assert_int_equal(status_at(&rig, record_of(1)), DSA_STATUS_TRANSLATION | DSA_STATUS_WRITE);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(status_at(&rig, record_of(2)), DSA_STATUS_OK);
	/* The list itself. */
	d.source = HOLE + 0x2000;
	assert_int_equal(run(&rig, &d), DSA_STATUS_BATCH_FAULT);
	assert_in_range(record_at(&rig, RECORD)->fault, HOLE + 0x2000, HOLE + 0x2fff);
	close_shrunk(&rig, &file);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocked_descriptor_goes_on_when_its_page_comes),
		cmocka_unit_test(blocking_must_be_allowed_by_the_queue),
		cmocka_unit_test(blocked_descriptor_holds_up_its_own_queue_alone),
		cmocka_unit_test(unbind_ends_what_is_blocked),
		cmocka_unit_test(abort_and_reset_end_what_is_blocked),
		cmocka_unit_test(pause_does_not_wait_for_what_is_blocked),
		cmocka_unit_test(removal_ends_what_is_blocked),
		cmocka_unit_test(member_of_a_batch_blocks_it),
		cmocka_unit_test(blocked_descriptor_asks_for_each_page),
		cmocka_unit_test(refused_page_ends_its_descriptor),
		cmocka_unit_test(member_of_a_batch_asks_too),
		cmocka_unit_test(commands_end_what_waits_for_an_answer),
		cmocka_unit_test(drain_and_disable_wait_for_the_answer),
		cmocka_unit_test(nothing_waits_for_an_answer_for_ever),
		cmocka_unit_test(drain_ends_after_the_older_of_its_queue),
		cmocka_unit_test(drain_reads_nothing_back),
		cmocka_unit_test(huge_batch_leaves_the_other_queue_its_turns),
		cmocka_unit_test(pause_does_not_wait_for_a_huge_batch),
		cmocka_unit_test(lost_memory_ends_the_descriptor_alone),
		cmocka_unit_test(lost_record_goes_to_swerr),
		cmocka_unit_test(lost_memory_within_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
