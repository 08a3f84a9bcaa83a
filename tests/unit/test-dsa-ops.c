/* SPDX-License-Identifier: Apache-2.0 */
/* What descriptors do to guest memory, and what their records say. */
#include "tests/unit/test-dsa.h"

/* A queue without PASID that sees all guest memory, one engine. */
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

static void fill(struct dsa_rig *rig, uint64_t gpa, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		rig->memory[gpa + i] = (uint8_t)random_next(&seed);
}

static void noop_completes(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = noop();

	start(&rig);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(counters(&rig).completed, 1);
	/* The descriptor's own PASID and privilege mean nothing on a dedicated queue. */
	d.pasid = 0x80012345;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

static void memmove_moves_and_touches_nothing_else(void **state)
{
	static const uint32_t sizes[] = { 1,	   63,	    64,	 4095,	  4096,	       4097,
					  0x10000, MIB - 1, MIB, MIB + 1, 3 * MIB + 17 };
	RIG(rig, plain());

	start(&rig);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t from = 2 * MIB + i * 3, to = 8 * MIB + i * 5;
		struct dsa_descriptor d = move(to, from, sizes[i]);

		fill(&rig, from, sizes[i], i);
		memset(rig.memory + to - 64, 0xc7, sizes[i] + 128);
		assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
		assert_memory_equal(rig.memory + to, rig.memory + from, sizes[i]);
		for (unsigned int g = 0; g < 64; g++) {
			assert_int_equal(rig.memory[to - 64 + g], 0xc7);
			assert_int_equal(rig.memory[to + sizes[i] + g], 0xc7);
		}
	}
	rig_close(&rig);
}

/* Every distance in both directions, compared with the C library's. */
static void overlapping_moves_are_right(void **state)
{
	RIG(rig, plain());
	uint64_t seed = 3, base = 4 * MIB;
	uint8_t *expected = malloc(MIB * 2);

	start(&rig);
	for (unsigned int round = 0; round < 300; round++) {
		uint32_t size = 1 + random_next(&seed) % (round < 250 ? 20000 : 1200000);
		uint64_t from = random_next(&seed) % 8192, to = random_next(&seed) % 8192;
		struct dsa_descriptor d = move(base + to, base + from, size);

		fill(&rig, base, 0x4000, round);
		memcpy(expected, rig.memory + base, MIB * 2);
		memmove(expected + to, expected + from, size);
		assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
		assert_memory_equal(expected, rig.memory + base, MIB * 2);
	}
	free(expected);
	rig_close(&rig);
}

static void fault_says_where_and_how_far(void **state)
{
	RIG(rig, plain());
	volatile struct dsa_record *record = record_at(&rig, RECORD);
	struct dsa_descriptor d = move(MEMORY - 0x2800, 0x4000, 0x5000);

	start(&rig);
	/* The destination runs into nothing. */
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record->bytes, 0x2800);
	assert_int_equal(record->fault, MEMORY);
	assert_int_equal(record->result, 0);
	assert_memory_equal(rig.memory + MEMORY - 0x2800, rig.memory + 0x4000, 0x2800);
	/* The source does. */
	d = move(0x8000, MEMORY - 0x1000, 0x5000);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(record->bytes, 0x1000);
	assert_int_equal(record->fault, MEMORY);
	/* Nothing of it is there. */
	d = move(0x8000, MEMORY + 0x123, 16);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT);
	assert_int_equal(record->bytes, 0);
	assert_int_equal(record->fault, MEMORY + 0x123);
	d = move(0x8000, UINT64_MAX - 8, 64);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT);
	/* Downwards: what lies past the end comes first. */
	d = move(MEMORY - 0x1000, MEMORY - 0x2000, 0x2000);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record->bytes, 0);
	assert_int_equal(record->result, 1);
	assert_int_equal(counters(&rig).failed, 5);
	assert_int_equal(counters(&rig).bytes, 0x3800);
	rig_close(&rig);
}

static void descriptors_are_checked(void **state)
{
	static const struct {
		const char *what;
		uint32_t flags; /* opcode and flags, 0: as they were */
		uint32_t size;
		int reserved; /* byte to set, -1 none */
		uint8_t status;
	} cases[] = {
		{ "size 0", 0, 0, -1, DSA_STATUS_SIZE },
		{ "past the queue's limit", 0, 0x1001, -1, DSA_STATUS_SIZE },
		{ "block on fault", 0x0300000e, 16, -1, DSA_STATUS_FLAGS },
		{ "check result", 0x0300008c, 16, -1, DSA_STATUS_FLAGS },
		{ "read back", 0x0300400c, 16, -1, DSA_STATUS_FLAGS },
		{ "reserved flag", 0x0380000c, 16, -1, DSA_STATUS_FLAGS },
		{ "reserved word", 0, 16, 38, DSA_STATUS_RESERVED },
		{ "reserved bytes", 0, 16, 63, DSA_STATUS_RESERVED },
		{ "steering", 0x0300802c, 16, -1, DSA_STATUS_OK },
		{ "cache control", 0x0300010c, 16, -1, DSA_STATUS_OK },
		{ "traffic classes", 0x03001e0c, 16, -1, DSA_STATUS_OK },
		{ "fence, strict order", 0x0300200d, 16, -1, DSA_STATUS_OK },
		{ "cache control of a no-op", 0x0000010c, 0, -1, DSA_STATUS_FLAGS },
		{ "size of a no-op", 0x0000000c, 1, -1, DSA_STATUS_RESERVED },
	};
	RIG(rig, plain());

	device_enable(&rig);
	wqcfg_write(&rig, 0, DSA_WQCFG_LIMITS, 12);
	wq_enable(&rig, 0, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dsa_descriptor d = move(0x8000, 0x4000, cases[i].size);

		if (cases[i].flags)
			d.flags = cases[i].flags;
		if (dsa_opcode(&d) == DSA_OP_NOOP)
			d.source = d.destination = 0;
		if (cases[i].reserved >= 0)
			((uint8_t *)&d)[cases[i].reserved] = 1;
		rig.memory[0x8000] = 0x55;
		rig.memory[0x4000] = (uint8_t)i;
		if (run(&rig, &d) != cases[i].status)
			fail_msg("%s: status 0x%x", cases[i].what, status_at(&rig, RECORD));
		if (cases[i].status != DSA_STATUS_OK)
			assert_int_equal(rig.memory[0x8000], 0x55);
	}
	rig_close(&rig);
}

static void invalid_flags_are_named(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = noop();

	start(&rig);
	d.flags |= 0x80c082;
	assert_int_equal(run(&rig, &d), DSA_STATUS_FLAGS);
	assert_int_equal(record_at(&rig, RECORD)->invalid_flags, 0x80c082);
	/* A record that has no address: only SWERR can say so. */
	d = noop();
	d.flags &= ~DSA_FLAG_RECORD_VALID;
	assert_int_equal(run(&rig, &d), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_FLAGS);
	assert_int_equal(reg_read(&rig, DSA_SWERR + 8, 8) >> 32, DSA_FLAG_RECORD);
	rig_close(&rig);
}

static void other_operations_are_unsupported(void **state)
{
	RIG(rig, plain());

	start(&rig);
	for (uint32_t opcode = 0; opcode < 256; opcode++) {
		struct dsa_descriptor d = noop();
		uint64_t bits = reg_read(&rig, DSA_OPCAP + opcode / 64 * 8ULL, 8);

		if (bits >> opcode % 64 & 1)
			continue;
		d.flags |= opcode << DSA_OPCODE_SHIFT;
		assert_int_equal(run(&rig, &d), DSA_STATUS_OPCODE);
	}
	assert_int_equal(counters(&rig).failed, 256 - 17);
	rig_close(&rig);
}

static void record_is_written_as_asked(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = noop();

	start(&rig);
	/* Only in case of an error. */
	d.flags &= ~DSA_FLAG_RECORD;
	assert_int_equal(run(&rig, &d), 0);
	d.flags |= 2;
	assert_int_equal(run(&rig, &d), DSA_STATUS_FLAGS);
	/* Never. */
	d = noop();
	d.flags = 0;
	assert_int_equal(run(&rig, &d), 0);
	assert_int_equal(counters(&rig).completed, 2);
	assert_int_equal(swerr_code(&rig), 0);
	rig_close(&rig);
}

static void bad_record_address_goes_to_swerr(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = move(0x8000, 0x4000, 16);

	start(&rig);
	rig.memory[0x4000] = 1;
	for (unsigned int off = 1; off < 32; off += 5) {
		d.record = RECORD + off;
		assert_int_equal(run(&rig, &d), 0);
		assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_ALIGN);
		assert_int_equal(reg_read(&rig, DSA_SWERR + 16, 8), d.record);
		assert_int_equal(rig.memory[0x8000], 0);
		swerr_ack(&rig);
	}
	/* One that leads nowhere is met when the work is done. */
	d.record = MEMORY + 0x40;
	assert_int_equal(submit(&rig, 0, &d), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	assert_int_equal(reg_read(&rig, DSA_SWERR, 8) & DSA_SWERR_WRITE, DSA_SWERR_WRITE);
	assert_int_equal(rig.memory[0x8000], 1);
	assert_int_equal(counters(&rig).completed, 0);
	rig_close(&rig);
}

static void completion_interrupt_takes_its_vector(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = noop();

	start(&rig);
	msix_enable(&rig);
	d.flags |= DSA_FLAG_INTERRUPT;
	for (unsigned int vector = 0; vector < 3; vector++) {
		d.interrupt = (uint16_t)vector;
		assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
		WAIT_FOR(fired(&rig, vector) == 1);
	}
	d.interrupt = 3;
	assert_int_equal(run(&rig, &d), DSA_STATUS_INTERRUPT);
	d.interrupt = 0xffff;
	assert_int_equal(run(&rig, &d), DSA_STATUS_INTERRUPT);
	/* Without a record, and after an error. */
	d.interrupt = 1;
	d.flags &= ~(DSA_FLAG_RECORD | DSA_FLAG_RECORD_VALID);
	assert_int_equal(run(&rig, &d), 0);
	WAIT_FOR(fired(&rig, 1) == 2);
	d = noop();
	d.flags |= DSA_FLAG_INTERRUPT | 2;
	d.interrupt = 2;
	assert_int_equal(run(&rig, &d), DSA_STATUS_FLAGS);
	WAIT_FOR(fired(&rig, 2) == 2);
	rig_close(&rig);
}

static void vectors_obey_their_permission(void **state)
{
	RIG(rig, rig_options(true));
	struct dsa_descriptor d = noop();
	static const struct {
		uint32_t permission;
		uint8_t status;
	} cases[] = {
		{ 0, DSA_STATUS_INTERRUPT },
		{ DSA_MSIXPERM_PASID | 6 << DSA_MSIXPERM_SHIFT, DSA_STATUS_INTERRUPT },
		{ DSA_MSIXPERM_PASID | 5 << DSA_MSIXPERM_SHIFT, DSA_STATUS_OK },
		{ DSA_MSIXPERM_IGNORE, DSA_STATUS_OK },
	};

	assert_ok(dsa_pasid_bind(rig.dsa, 5, rig.guest, 0, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	msix_enable(&rig);
	d.flags |= DSA_FLAG_INTERRUPT;
	d.interrupt = 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		reg_write(&rig, DSA_MSIXPERM + 8, cases[i].permission, 4);
		assert_int_equal(run(&rig, &d), cases[i].status);
	}
	WAIT_FOR(fired(&rig, 1) == 2);
	rig_close(&rig);
}

static void vector_of_a_pasid_is_closed_to_queues_without(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = noop();

	start(&rig);
	reg_write(&rig, DSA_MSIXPERM + 8, DSA_MSIXPERM_PASID | 5 << DSA_MSIXPERM_SHIFT, 4);
	d.flags |= DSA_FLAG_INTERRUPT;
	d.interrupt = 1;
	assert_int_equal(run(&rig, &d), DSA_STATUS_INTERRUPT);
	rig_close(&rig);
}

static void without_bus_mastering_nothing_is_touched(void **state)
{
	RIG(rig, plain());
	struct dsa_descriptor d = move(0x8000, 0x4000, 64);

	start(&rig);
	fill(&rig, 0x4000, 64, 1);
	bus_master(&rig, false);
	assert_int_equal(run(&rig, &d), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_HARDWARE);
	assert_int_equal(rig.memory[0x8000], 0);
	assert_int_equal(counters(&rig).failed, 1);
	bus_master(&rig, true);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	rig_close(&rig);
}

static void read_only_memory_is_not_written(void **state)
{
	RIG(rig, rig_options(true));
	struct ioasid_space *space = rig_space(&rig, "ro", 0x10000, 0x2000, IOASID_READ);
	struct dsa_descriptor d = move(0x10000, 0x11000, 64);

	assert_ok(ioasid_map_hva(space, 0x12000, 0x1000, rig.memory + 0x12000,
				 IOASID_READ | IOASID_WRITE, &rig.err),
		  &rig.err);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, space, 0, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	rig.memory[0x11000] = 1;
	d.record = 0x12000;
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(rig.memory[0x10000], 0);
	d.destination = 0x12800;
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	assert_int_equal(rig.memory[0x12800], 1);
	/* A record too is a write. */
	d.record = 0x10020;
	assert_int_equal(run(&rig, &d), 0);
	assert_int_equal(swerr_code(&rig), DSA_STATUS_RECORD_FAULT);
	rig_close(&rig);
}

static void addresses_do_not_wrap(void **state)
{
	RIG(rig, rig_options(true));
	const uint64_t top = UINT64_MAX - 4095;
	struct ioasid_space *space = rig_space(&rig, "ends", 0, 0x4000, IOASID_READ | IOASID_WRITE);
	struct dsa_descriptor d;

	assert_ok(ioasid_map_hva(space, top, 4096, rig.memory + 0x4000, IOASID_READ | IOASID_WRITE,
				 &rig.err),
		  &rig.err);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, space, 0, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	d = move(0x2000, top, 4096);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	d = move(0x2000, top, 4097);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT);
	d = move(top + 64, 0x2000, 4096);
	assert_int_equal(run(&rig, &d), DSA_STATUS_PAGE_FAULT | DSA_STATUS_WRITE);
	assert_int_equal(record_at(&rig, RECORD)->bytes, 0);
	rig_close(&rig);
}

static void groups_share_nothing(void **state)
{
	RIG(rig, rig_options(false));
	struct dsa_descriptor d = noop();

	/* Queue 0 to engine 1, queue 1 to engine 0. */
	reg_write(&rig, DSA_GRPCFG, 1, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 2, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE, 2, 8);
	reg_write(&rig, DSA_GRPCFG + DSA_GRPCFG_SIZE + DSA_GRPCFG_ENGINES, 1, 8);
	assert_int_equal(command(&rig, DSA_ENABLE_DEVICE, 0), 0);
	wq_enable(&rig, 0, 0);
	wq_enable(&rig, 1, 0);
	assert_int_equal(rig.dsa->engine_wqs[0], 2);
	assert_int_equal(rig.dsa->engine_wqs[1], 1);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	d.record = RECORD + 32;
	assert_int_equal(submit(&rig, 1, &d), 0);
	assert_int_equal(command(&rig, DSA_DRAIN_ALL, 0), 0);
	assert_int_equal(status_at(&rig, RECORD + 32), DSA_STATUS_OK);
	rig_close(&rig);
}

static void moves_between_distinct_mappings_are_joined(void **state)
{
	RIG(rig, rig_options(true));
	struct ioasid_space *space =
		rig_space(&rig, "pages", RECORD, 0x1000, IOASID_READ | IOASID_WRITE);
	struct dsa_descriptor d = move(0x100000 + 5, 0x200000 + 77, 0x20000 - 200);
	uint8_t expected[0x20000];

	/* Page after page, in another order than in memory. */
	for (uint64_t i = 0; i < 64; i++) {
		uint64_t iova = i < 32 ? 0x100000 + i * 4096 : 0x200000 + (i - 32) * 4096;

		assert_ok(ioasid_map_hva(space, iova, 4096,
					 rig.memory + 0x400000 + (i * 37 % 64) * 4096,
					 IOASID_READ | IOASID_WRITE, &rig.err),
			  &rig.err);
	}
	fill(&rig, 0x400000, 64 * 4096, 9);
	for (uint64_t i = 0; i < 32; i++)
		memcpy(expected + i * 4096, rig.memory + 0x400000 + ((i + 32) * 37 % 64) * 4096,
		       4096);
	assert_ok(dsa_pasid_bind(rig.dsa, 5, space, 0, NULL, &rig.err), &rig.err);
	device_enable(&rig);
	wq_enable(&rig, 0, 5);
	assert_int_equal(run(&rig, &d), DSA_STATUS_OK);
	for (uint64_t i = 0; i < d.size; i++) {
		uint64_t at = i + 5;

		assert_int_equal(rig.memory[0x400000 + (at / 4096 * 37 % 64) * 4096 + at % 4096],
				 expected[i + 77]);
	}
	rig_close(&rig);
}

/* Every check of every operation, one mistake at a time. */
static struct dsa_descriptor good(uint32_t opcode)
{
	struct dsa_descriptor d = move(0x90000, 0x80000, 4096);

	d.flags = opcode << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID | DSA_FLAG_RECORD;
	switch (opcode) {
	case DSA_OP_NOOP:
	case DSA_OP_DRAIN:
		d.source = d.destination = d.size = 0;
		break;
	case DSA_OP_DELTA_CREATE:
		d.delta.address = 0xa0000;
		d.delta.max_size = 80;
		break;
	case DSA_OP_DELTA_APPLY:
		d.delta_size = 10;
		break;
	case DSA_OP_DUALCAST:
		d.destination2 = 0xa0000;
		break;
	case DSA_OP_CRC:
		d.destination = 0;
		break;
	case DSA_OP_CACHE_FLUSH:
		d.source = 0;
		break;
	case DSA_OP_DIF_CHECK:
		d.destination = 0;
		d.size = 520;
		break;
	case DSA_OP_DIF_STRIP:
	case DSA_OP_DIF_UPDATE:
		d.size = 520;
		break;
	default:
		break;
	}
	if (opcode >= DSA_OP_DIF_CHECK && opcode <= DSA_OP_DIF_UPDATE &&
	    opcode != DSA_OP_DIF_INSERT)
		d.dif.source_flags = DSA_DIF_SRC_NO_GUARD | DSA_DIF_SRC_NO_REF;
	return d;
}

/* One value into some bytes of a good descriptor. */
static const struct {
	uint8_t opcode, at, len;
	uint64_t value;
	uint8_t status;
} mistakes[] = {
	{ DSA_OP_DRAIN, 16, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DRAIN, 32, 4, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_FILL, 32, 4, 0, DSA_STATUS_SIZE },
	{ DSA_OP_FILL, 40, 8, 1, DSA_STATUS_RESERVED }, /* patterns of 16 bytes came later */
	{ DSA_OP_COMPARE, 32, 4, 0, DSA_STATUS_SIZE },
	{ DSA_OP_COMPARE, 40, 1, 2, DSA_STATUS_RESERVED },
	{ DSA_OP_COMPARE, 41, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_COMPARE_PATTERN, 40, 1, 2, DSA_STATUS_RESERVED },
	{ DSA_OP_COMPARE_PATTERN, 63, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DELTA_CREATE, 16, 8, 0x80004, DSA_STATUS_ALIGN },
	{ DSA_OP_DELTA_CREATE, 24, 8, 0x90001, DSA_STATUS_ALIGN },
	{ DSA_OP_DELTA_CREATE, 40, 8, 0xa0002, DSA_STATUS_ALIGN },
	{ DSA_OP_DELTA_CREATE, 32, 4, 12, DSA_STATUS_SIZE },
	{ DSA_OP_DELTA_CREATE, 32, 4, 0x80008, DSA_STATUS_SIZE },
	{ DSA_OP_DELTA_CREATE, 48, 4, 70, DSA_STATUS_DELTA_SIZE },
	{ DSA_OP_DELTA_CREATE, 48, 4, 84, DSA_STATUS_DELTA_SIZE },
	{ DSA_OP_DELTA_CREATE, 52, 4, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DELTA_CREATE, 56, 1, 8, DSA_STATUS_RESERVED },
	{ DSA_OP_DELTA_CREATE, 57, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DELTA_CREATE, 40, 8, 0x80ff8, DSA_STATUS_OVERLAP },
	{ DSA_OP_DELTA_CREATE, 40, 8, 0x8ffb8, DSA_STATUS_OVERLAP },
	{ DSA_OP_DELTA_CREATE, 40, 8, 0x91000, DSA_STATUS_OK },
	{ DSA_OP_DELTA_APPLY, 16, 8, 0x80001, DSA_STATUS_ALIGN },
	{ DSA_OP_DELTA_APPLY, 24, 8, 0x90004, DSA_STATUS_ALIGN },
	{ DSA_OP_DELTA_APPLY, 32, 4, 4095, DSA_STATUS_SIZE },
	{ DSA_OP_DELTA_APPLY, 32, 4, 0x80008, DSA_STATUS_SIZE },
	{ DSA_OP_DELTA_APPLY, 40, 4, 0, DSA_STATUS_DELTA_SIZE },
	{ DSA_OP_DELTA_APPLY, 40, 4, 11, DSA_STATUS_DELTA_SIZE },
	{ DSA_OP_DELTA_APPLY, 44, 4, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DELTA_APPLY, 16, 8, 0x90ff8, DSA_STATUS_OVERLAP },
	{ DSA_OP_DUALCAST, 40, 8, 0xa0001, DSA_STATUS_DUALCAST },
	{ DSA_OP_DUALCAST, 40, 8, 0x90000, DSA_STATUS_OVERLAP },
	{ DSA_OP_DUALCAST, 40, 8, 0x80000, DSA_STATUS_OVERLAP },
	{ DSA_OP_DUALCAST, 16, 8, 0x90fff, DSA_STATUS_OVERLAP },
	{ DSA_OP_DUALCAST, 48, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_CRC, 24, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_CRC, 44, 4, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_CRC, 48, 8, 4, DSA_STATUS_RESERVED }, /* no seed is read */
	{ DSA_OP_CRC, 56, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_COPY_CRC, 24, 8, 0x80fff, DSA_STATUS_OVERLAP },
	{ DSA_OP_COPY_CRC, 60, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_CHECK, 32, 4, 512, DSA_STATUS_SIZE },
	{ DSA_OP_DIF_CHECK, 41, 1, 8, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_CHECK, 42, 1, 0x10, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_CHECK, 43, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_CHECK, 56, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_INSERT, 32, 4, 520, DSA_STATUS_SIZE },
	{ DSA_OP_DIF_INSERT, 40, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_INSERT, 41, 1, 8, DSA_STATUS_RESERVED }, /* nothing to pass through */
	{ DSA_OP_DIF_INSERT, 48, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_INSERT, 24, 8, 0x7f000, DSA_STATUS_OVERLAP }, /* by the fields alone */
	{ DSA_OP_DIF_STRIP, 32, 4, 521, DSA_STATUS_SIZE },
	{ DSA_OP_DIF_STRIP, 24, 8, 0x80207, DSA_STATUS_OVERLAP },
	{ DSA_OP_DIF_STRIP, 56, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_UPDATE, 41, 1, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_DIF_UPDATE, 24, 8, 0x80000, DSA_STATUS_OVERLAP },
	{ DSA_OP_CACHE_FLUSH, 16, 8, 1, DSA_STATUS_RESERVED },
	{ DSA_OP_CACHE_FLUSH, 32, 4, 0, DSA_STATUS_SIZE },
	{ DSA_OP_CACHE_FLUSH, 40, 1, 1, DSA_STATUS_RESERVED },
};

static void every_operation_is_checked(void **state)
{
	RIG(rig, plain());
	uint32_t done = 0;

	start(&rig);
	for (uint32_t opcode = 0; opcode < DSA_OPS; opcode++) {
		struct dsa_descriptor d = good(opcode);

		if (opcode == DSA_OP_BATCH || !(dsa_opcap(0) >> opcode & 1))
			continue;
		if (run(&rig, &d) != DSA_STATUS_OK)
			fail_msg("opcode 0x%x: status 0x%x", opcode, status_at(&rig, RECORD));
		done++;
	}
	assert_int_equal(done, 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++) {
		struct dsa_descriptor d = good(mistakes[i].opcode);

		memcpy((char *)&d + mistakes[i].at, &mistakes[i].value, mistakes[i].len);
		if (run(&rig, &d) != mistakes[i].status)
			fail_msg("opcode 0x%x with 0x%lx at %u: status 0x%x", mistakes[i].opcode,
				 mistakes[i].value, mistakes[i].at, status_at(&rig, RECORD));
	}
	rig_close(&rig);
}

/* Flags that are about writes are no flags of operations that only read, and so on. */
static void flags_are_each_operations_own(void **state)
{
	static const struct {
		uint32_t flag, opcodes_low, opcodes_high; /* where it is allowed: bits 0-31, 32 */
	} cases[] = {
		{ DSA_FLAG_FENCE, 0x3f03ff, 1 },
		{ DSA_FLAG_CHECK_RESULT, 0x0000e0, 0 },
		{ DSA_FLAG_CACHE, 0x3a0398, 1 },
		{ DSA_FLAG_READ_BACK, 0, 0 },
		{ DSA_FLAG_STEER, 0x3a0398, 1 },
		{ 0x40, 0, 0 },
		{ 0x010000, 0x030200, 0 },
		{ 0x020000, 0x030000, 0 },
		{ 0x040000, 0x030004, 0 },
		{ 0x080000, 0x000004, 0 },
		{ 0x100000, 0, 0 },
	};
	RIG(rig, plain());

	start(&rig);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		for (uint32_t opcode = 0; opcode < DSA_OPS; opcode++) {
			struct dsa_descriptor d = good(opcode);
			bool allowed = opcode < 32 ? cases[i].opcodes_low >> opcode & 1
						   : cases[i].opcodes_high >> (opcode - 32) & 1;

			if (!(dsa_opcap(0) >> opcode & 1))
				continue;
			d.flags |= cases[i].flag;
			run(&rig, &d);
			if (allowed != (status_at(&rig, RECORD) != DSA_STATUS_FLAGS))
				fail_msg("opcode 0x%x, flag 0x%x: status 0x%x", opcode,
					 cases[i].flag, status_at(&rig, RECORD));
		}
	}
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noop_completes),
		cmocka_unit_test(memmove_moves_and_touches_nothing_else),
		cmocka_unit_test(overlapping_moves_are_right),
		cmocka_unit_test(fault_says_where_and_how_far),
		cmocka_unit_test(descriptors_are_checked),
		cmocka_unit_test(invalid_flags_are_named),
		cmocka_unit_test(every_operation_is_checked),
		cmocka_unit_test(flags_are_each_operations_own),
		cmocka_unit_test(other_operations_are_unsupported),
		cmocka_unit_test(record_is_written_as_asked),
		cmocka_unit_test(bad_record_address_goes_to_swerr),
		cmocka_unit_test(completion_interrupt_takes_its_vector),
		cmocka_unit_test(vectors_obey_their_permission),
		cmocka_unit_test(vector_of_a_pasid_is_closed_to_queues_without),
		cmocka_unit_test(without_bus_mastering_nothing_is_touched),
		cmocka_unit_test(read_only_memory_is_not_written),
		cmocka_unit_test(addresses_do_not_wrap),
		cmocka_unit_test(groups_share_nothing),
		cmocka_unit_test(moves_between_distinct_mappings_are_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
