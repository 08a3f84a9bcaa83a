/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation of the assigned DSA and the errors that each can end with, through its portal.
 *
 * Words: pasid=5 window=0x2000000 size=0x1000000 (what the PASID reaches); wait_ms=2000; stores
 * (eight 8-byte stores instead of MOVDIR64B).
 */
#include "dsa.h"
#include "kit.h"
#include "operations.h"

/* One mistake a row: `value` at byte `at`, `len` bytes, of a descriptor that is right otherwise. */
static const struct mistake {
	const char *name;
	uint8_t opcode, at, len;
	uint32_t size;
	uint64_t value;
	uint8_t status;
} mistakes[] = {
	{ "opcode_unknown", 0x0f, 7, 1, 64, 0x0f, 0x10 },
	{ "flag_of_no_operation", OP_MEMMOVE, 6, 1, 64, 0x80, 0x11 },
	{ "flag_of_another_operation", OP_MEMMOVE, 4, 1, 64, 0x8c, 0x11 },
	{ "reserved_bytes", OP_MEMMOVE, 63, 1, 64, 1, 0x12 },
	{ "size_zero", OP_MEMMOVE, 32, 4, 64, 0, 0x13 },
	{ "size_past_the_limit", OP_MEMMOVE, 32, 4, 64, 0xffffffff, 0x13 },
	{ "interrupt_of_no_vector", OP_MEMMOVE, 36, 2, 64, 0x7777, 0x19 },
	{ "batch_of_one", 1, 32, 4, 2, 1, 0x14 },
	{ "batch_of_too_many", 1, 32, 4, 2, 0x10000, 0x14 },
	{ "batch_list_unaligned", 1, 16, 1, 2, 0x20, 0x18 },
	{ "delta_size_odd", 7, 32, 4, 64, 63, 0x13 },
	{ "delta_record_small", 7, 48, 4, 64, 70, 0x15 },
	{ "delta_unaligned", 7, 16, 1, 64, 0x41, 0x1c },
	{ "dualcast_pages", 9, 40, 1, 64, 1, 0x17 },
	{ "copy_crc_overlap", 0x11, 24, 8, 64, 0, 0x16 },
	{ "dif_size", 0x13, 32, 4, 512, 511, 0x13 },
	{ "dif_pass_through_of_insert", 0x13, 41, 1, 512, 8, 0x12 },
};

static void put(struct dsa_descriptor *descriptor, const struct mistake *mistake)
{
	uint64_t value = mistake->value;

	/* The operations' destination on their source. */
	if (mistake->at == 24)
		value = descriptor->source + 8;
	memcpy((uint8_t *)descriptor + mistake->at, &value, mistake->len);
	if (mistake->at == 36)
		descriptor->flags |= FLAG_RCI;
}

static void check_mistake(struct operations *ops, const struct mistake *mistake)
{
	struct dsa_descriptor d = operations_make(ops, mistake->opcode, mistake->size);
	uint8_t status;

	if (mistake->opcode == 1) {
		d.source &= ~63UL;
		d.destination = 0;
	}
	if (mistake->opcode == 7)
		d.reserved1[1] = 80;
	if (mistake->opcode == 7 || mistake->opcode == 9)
		d.reserved1[0] = (d.destination & ~0xfffUL) + 0x8000 + (d.destination & 0xfff);
	put(&d, mistake);
	status = operations_submit(ops, &d);
	test_check(mistake->name, status == mistake->status, "status 0x%x instead of 0x%x", status,
		   mistake->status);
}

/* Each operation that has an address may name one that the PASID does not reach. */
static void check_faults(struct operations *ops, uint64_t outside)
{
	static const uint8_t reading[] = { OP_MEMMOVE, 0x05, 0x06, 0x09, 0x10, 0x11 };
	static const uint8_t writing[] = { OP_MEMMOVE, 0x04, 0x09, 0x11 };
	uint8_t status;

	for (unsigned int i = 0; i < ARRAY_SIZE(reading); i++) {
		struct dsa_descriptor d = operations_make(ops, reading[i], 256);

		d.source = outside - 100;
		d.reserved1[0] = reading[i] == 9 ? d.destination + 0x10000 : 0;
		if (reading[i] == 0x10)
			d.destination = 0;
		/* What it is compared with is there, and the same. */
		if (reading[i] == 0x05 || reading[i] == 0x06)
			memset((void *)d.source, 0, 100);
		if (reading[i] == 0x05)
			memset((void *)d.destination, 0, 256);
		if (reading[i] == 0x06)
			d.destination = 0;
		status = operations_submit(ops, &d);
		test_check("fault_of_a_read",
			   status == STATUS_PAGE_FAULT && operations_record(ops)->bytes == 100 &&
				   operations_record(ops)->fault_address == outside,
			   "opcode 0x%x: status 0x%x after %u bytes", reading[i], status,
			   operations_record(ops)->bytes);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(writing); i++) {
		struct dsa_descriptor d = operations_make(ops, writing[i], 256);

		d.destination = outside - 100;
		d.reserved1[0] = writing[i] == 9 ? d.destination - 0x10000 : 0;
		status = operations_submit(ops, &d);
		test_check("fault_of_a_write",
			   status == (STATUS_PAGE_FAULT | STATUS_WRITE) &&
				   operations_record(ops)->bytes == 100,
			   "opcode 0x%x: status 0x%x after %u bytes", writing[i], status,
			   operations_record(ops)->bytes);
	}
}

static void check_all(struct operations *ops)
{
	for (const struct operation_check *check = operation_checks; check->name; check++)
		test_check(check->name, check->run(ops),
			   "status 0x%x (0x%x was expected), result %u, %u bytes", ops->status,
			   ops->expected, operations_record(ops)->result,
			   operations_record(ops)->bytes);
}

int payload_main(void)
{
	uint64_t window = command_number("window", 32 * MIB);
	uint64_t size = command_number("size", 16 * MIB);
	static struct dsa dsa;
	struct operations ops = {
		.dsa = &dsa,
		.area = (uint8_t *)window,
		.wait = command_number("wait_ms", 2000) * (CYCLES_SECOND / 1000),
	};
	int rc;

	if (!pci_init() || !dsa_find(&dsa, 0)) {
		test_fail("operations_adi", "no function 8086:0b25");
		return 1;
	}
	dsa.movdir64b_missing = command_word("stores", NULL);
	rc = dsa_start(&dsa);
	if (!rc)
		rc = dsa_queue_enable(&dsa, (uint32_t)command_number("pasid", 5));
	if (!test_check("operations_queue", !rc, "CMDSTS 0x%x", (uint32_t)rc))
		return 1;
	check_all(&ops);
	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++)
		check_mistake(&ops, &mistakes[i]);
	check_faults(&ops, window + size);
	dsa_queue_disable(&dsa);
	return (int)test_failures();
}
