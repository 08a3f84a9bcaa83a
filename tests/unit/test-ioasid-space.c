/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ioasid.h says of spaces and what is mapped in them, on the soft provider, and what that
 * costs there.
 */
#include "tests/unit/soft-bench.h"

#include "ioasid-client/providers/soft.h"
#include "util/bits.h"

static void space_has_its_name(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space_options options = { .name = "" };
	struct ioasid_space *space = NULL;

	assert_string_equal(ioasid_space_name(f->space), "guest");
	refused(f, ioasid_alloc(f->ctx, &options, &space, &f->err), EINVAL, "63");
}

static void map_checks_its_arguments(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *s = f->space;
	char *m = f->memory;
	const struct {
		uint64_t iova, size;
		void *hva;
		unsigned int rights;
		const char *names;
	} bad[] = {
		{ 1, PAGE, m, RW, "0x1" },
		{ 0, PAGE + 1, m, RW, "0x1001" },
		{ 0, PAGE, m + 8, RW, "multiples of 4096" },
		{ 0, 0, m, RW, "empty" },
		{ 0 - PAGE, 2 * PAGE, m, RW, "64 bits" },
		{ 0, PAGE * 2, (void *)(0 - PAGE), RW, "64 bits" },
		{ 0, PAGE, NULL, RW, "NULL" },
		{ 0, PAGE, m, 0, "rights" },
		{ 0, PAGE, m, 4 | IOASID_READ, "rights" },
	};

	attach(f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(f,
			ioasid_map_hva(s, bad[i].iova, bad[i].size, bad[i].hva, bad[i].rights,
				       &f->err),
			EINVAL, bad[i].names);
	assert_null(reach1(f, IOASID_PASID_NONE, 0));
	refused(f, ioasid_unmap(s, 1, PAGE, &f->err), EINVAL, "0x1");
	refused(f, ioasid_unmap(s, 0, 0, &f->err), EINVAL, "empty");
	refused(f, ioasid_unmap(s, 0 - PAGE, 2 * PAGE, &f->err), EINVAL, "64 bits");
}

static void map_refuses_any_overlap(void **state)
{
	struct fixture *f = *state;

	map(f, f->space, 4 * PAGE, 4 * PAGE, f->memory, RW);
	refused(f, ioasid_map_hva(f->space, 7 * PAGE, PAGE, f->memory, RW, &f->err), EEXIST,
		"0x7000");
	refused(f, ioasid_map_hva(f->space, 0, 5 * PAGE, f->memory, RW, &f->err), EEXIST, "0x4000");
	refused(f, ioasid_map_hva(f->space, 0, 1 * TIB, f->memory, RW, &f->err), EEXIST, "0x4000");
	map(f, f->space, 3 * PAGE, PAGE, f->memory, RW);
	map(f, f->space, 8 * PAGE, PAGE, f->memory, RW);
	attach(f);
	assert_null(reach1(f, IOASID_PASID_NONE, 2 * PAGE));
	assert_null(reach1(f, IOASID_PASID_NONE, 9 * PAGE));
}

static void rights_are_kept(void **state)
{
	struct fixture *f = *state;
	static const struct {
		unsigned int have, want;
		bool may;
	} cases[] = {
		{ IOASID_READ, IOASID_READ, true },
		{ IOASID_READ, IOASID_WRITE, false },
		{ IOASID_READ, RW, false },
		{ IOASID_WRITE, IOASID_WRITE, true },
		{ IOASID_WRITE, IOASID_READ, false },
		{ RW, RW, true },
		{ RW, IOASID_READ, true },
		{ RW, IOASID_WRITE, true },
		{ RW, 0, false },
		{ RW, 4 | IOASID_READ, false },
	};

	attach(f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* One page and several are kept differently. */
		for (uint64_t size = PAGE; size <= 2 * PAGE; size += PAGE) {
			uint64_t len = 16;

			map(f, f->space, PAGE, size, f->memory, cases[i].have);
			/* Twice: the second is answered by an IOTLB. */
			for (int again = 0; again < 2; again++) {
				void *p = reach(f, f->device, IOASID_PASID_NONE, PAGE, &len,
						cases[i].want);

				assert_ptr_equal(p, cases[i].may ? f->memory : NULL);
				assert_int_equal(len, cases[i].may ? 16 : 0);
				len = 16;
			}
			assert_ok(ioasid_unmap(f->space, PAGE, size, &f->err), &f->err);
		}
	}
}

static void length_is_what_is_contiguous(void **state)
{
	struct fixture *f = *state;
	char *m = f->memory;
	uint64_t len;

	attach(f);
	map(f, f->space, 0, PAGE, m, RW);
	map(f, f->space, PAGE, 2 * PAGE, m + PAGE, RW);
	map(f, f->space, 3 * PAGE, PAGE, m + 3 * PAGE, IOASID_READ);
	map(f, f->space, 4 * PAGE, PAGE, m + 8 * PAGE, RW);

	len = 8;
	assert_ptr_equal(reach(f, f->device, 0, 16, &len, RW), m + 16);
	assert_int_equal(len, 8);
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, 16, &len, RW), m + 16);
	assert_int_equal(len, 3 * PAGE - 16);
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, 16, &len, IOASID_READ), m + 16);
	assert_int_equal(len, 4 * PAGE - 16);
	len = PAGE + 1;
	assert_non_null(reach(f, f->device, 0, 2 * PAGE - 1, &len, RW));
	assert_int_equal(len, PAGE + 1);
	len = 0;
	assert_non_null(reach(f, f->device, 0, 0, &len, RW));
	assert_int_equal(len, 0);
	len = 8;
	assert_null(reach(f, f->device, 0, 5 * PAGE, &len, RW));
	assert_int_equal(len, 0);
}

static void terabytes_are_mapped_at_any_address(void **state)
{
	struct fixture *f = *state;
	char *m = (char *)0x100000000000;
	const uint64_t start = 5 * PAGE, size = 4 * TIB + 3 * PAGE;
	uint64_t len;

	attach(f);
	map(f, f->space, start, size, m, RW);
	map(f, f->space, 0 - 2 * PAGE, 2 * PAGE, m, RW);
	map(f, f->space, 1ULL << 63, PAGE, m, RW);
	assert_ptr_equal(reach1(f, 0, start), m);
	assert_ptr_equal(reach1(f, 0, start + size - 1), m + size - 1);
	assert_null(reach1(f, 0, start - 1));
	assert_null(reach1(f, 0, start + size));
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, GIB, &len, RW), m + GIB - start);
	assert_int_equal(len, start + size - GIB);
	len = UINT64_MAX;
	assert_ptr_equal(reach(f, f->device, 0, UINT64_MAX, &len, RW), m + 2 * PAGE - 1);
	assert_int_equal(len, 1);
	assert_ok(ioasid_unmap(f->space, 0, 1ULL << 63, &f->err), &f->err);
	assert_null(reach1(f, 0, start));
	assert_ptr_equal(reach1(f, 0, 1ULL << 63), m);
	assert_ptr_equal(reach1(f, 0, 0 - 2 * PAGE), m);
	assert_ok(ioasid_unmap(f->space, 1ULL << 63, 1ULL << 63, &f->err), &f->err);
	assert_null(reach1(f, 0, 1ULL << 63));
}

static void unmap_takes_whole_mappings_only(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *s = f->space;

	attach(f);
	map(f, s, 2 * PAGE, 2 * PAGE, f->memory, RW);
	map(f, s, 6 * PAGE, 2 * PAGE, f->memory, RW);
	refused(f, ioasid_unmap(s, 0, 2 * PAGE, &f->err), ENOENT, "0x1fff");
	refused(f, ioasid_unmap(s, 3 * PAGE, 5 * PAGE, &f->err), EINVAL, "straddles");
	refused(f, ioasid_unmap(s, 0, 7 * PAGE, &f->err), EINVAL, "straddles");
	refused(f, ioasid_unmap(s, 2 * PAGE, PAGE, &f->err), EINVAL, "straddles");
	assert_non_null(reach1(f, 0, 2 * PAGE));
	assert_non_null(reach1(f, 0, 7 * PAGE));
	assert_ok(ioasid_unmap(s, 0, 9 * PAGE, &f->err), &f->err);
	assert_null(reach1(f, 0, 2 * PAGE));
	assert_null(reach1(f, 0, 7 * PAGE));
	refused(f, ioasid_unmap(s, 0, 9 * PAGE, &f->err), ENOENT, "nothing is mapped");
}

static void unmapped_address_takes_a_new_mapping(void **state)
{
	struct fixture *f = *state;

	attach(f);
	for (int i = 0; i < 16; i++) {
		map(f, f->space, 0, PAGE, f->memory + i * PAGE, RW);
		assert_ptr_equal(reach1(f, 0, 0), f->memory + i * PAGE);
		assert_ok(ioasid_unmap(f->space, 0, PAGE, &f->err), &f->err);
		assert_null(reach1(f, 0, 0));
	}
}

/* The soft provider's tree, looked at from inside: what mappings cost, and that it comes back. */
static unsigned int nodes_below(const struct soft_node *node)
{
	unsigned int n = 1;

	if (!node)
		return 0;
	for (unsigned int i = 0; i < SOFT_SLOTS; i++) {
		if (node->slot[i] && !(soft_slot_bits(node->slot[i]) & SOFT_TAGS))
			n += nodes_below((const struct soft_node *)node->slot[i]);
	}
	return n;
}

static unsigned int nodes(struct fixture *f)
{
	const struct soft_space *soft = f->space->priv;

	return nodes_below(soft->map.root);
}

static void terabytes_cost_few_tables(void **state)
{
	struct fixture *f = *state;

	map(f, f->space, 3 * PAGE, 16 * TIB + 3 * PAGE, (char *)0x100000000000, RW);
	assert_in_range(nodes(f), 1, 2 * 9);
}

static void unmap_frees_empty_tables(void **state)
{
	struct fixture *f = *state;
	unsigned int before;

	map(f, f->space, 0, PAGE, f->memory, RW);
	map(f, f->space, 65 * PAGE, PAGE, f->memory, RW);
	before = nodes(f);
	for (unsigned int shift = 19; shift < 64; shift++)
		map(f, f->space, 1ULL << shift, PAGE, f->memory, RW);
	assert_true(nodes(f) > before);
	for (unsigned int shift = 19; shift < 64; shift++)
		assert_ok(ioasid_unmap(f->space, 1ULL << shift, PAGE, &f->err), &f->err);
	assert_int_equal(nodes(f), before);
	assert_ok(ioasid_unmap(f->space, 0, TIB, &f->err), &f->err);
	assert_int_equal(nodes(f), 0);
}

static void pages_in_a_row_share_a_table(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 4096; i++)
		map(f, f->space, i * PAGE, PAGE, (char *)0x100000000000 + i * PAGE, RW);
	assert_int_equal(nodes(f), 1);
	attach(f);
	for (uint64_t i = 0; i < 4096; i++)
		assert_ptr_equal(reach1(f, 0, i * PAGE), (char *)0x100000000000 + i * PAGE);
	for (uint64_t i = 0; i < 4096; i++)
		assert_ok(ioasid_unmap(f->space, i * PAGE, PAGE, &f->err), &f->err);
	assert_int_equal(nodes(f), 0);
}

static void page_out_of_the_row_is_mapped_as_well(void **state)
{
	struct fixture *f = *state;
	uint64_t one = 1;

	attach(f);
	for (uint64_t i = 0; i < 12; i++)
		map(f, f->space, i * PAGE, PAGE, f->memory + i * PAGE, RW);
	/* Other memory, other rights, a mapping of two pages: each in the middle of the row. */
	assert_ok(ioasid_unmap(f->space, 3 * PAGE, 6 * PAGE, &f->err), &f->err);
	map(f, f->space, 3 * PAGE, PAGE, f->memory, RW);
	map(f, f->space, 5 * PAGE, PAGE, f->memory + 5 * PAGE, IOASID_READ);
	map(f, f->space, 6 * PAGE, 2 * PAGE, f->memory + 6 * PAGE, RW);
	for (uint64_t i = 0; i < 12; i++)
		assert_ptr_equal(reach1(f, 0, i * PAGE), i == 3		    ? f->memory
							 : i == 4 || i == 8 ? NULL
									    : f->memory + i * PAGE);
	assert_null(reach(f, f->device, 0, 5 * PAGE, &one, IOASID_WRITE));
	refused(f, ioasid_unmap(f->space, 7 * PAGE, PAGE, &f->err), EINVAL, "straddles");
}

static void destroy_blocks_its_users_and_parks(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *pasid = pasid_attach(f, 4);

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	assert_non_null(reach1(f, 0, 0));
	assert_non_null(reach1(f, 4, 0));
	ioasid_destroy(f->space);
	assert_null(reach1(f, 0, 0));
	assert_null(reach1(f, 4, 0));
	assert_int_equal(ioasid_pasid_state(f->ctx, 4), IOASID_PASID_PARKED);
	f->space = alloc_space(f, "guest", true);
	map(f, f->space, 0, PAGE, f->memory, RW);
	assert_null(reach1(f, 0, 0));
	assert_null(reach1(f, 4, 0));
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 4), IOASID_PASID_FREE);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_guest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(space_has_its_name),
		TEST(map_checks_its_arguments),
		TEST(map_refuses_any_overlap),
		TEST(rights_are_kept),
		TEST(length_is_what_is_contiguous),
		TEST(terabytes_are_mapped_at_any_address),
		TEST(unmap_takes_whole_mappings_only),
		TEST(unmapped_address_takes_a_new_mapping),
		TEST(terabytes_cost_few_tables),
		TEST(unmap_frees_empty_tables),
		TEST(pages_in_a_row_share_a_table),
		TEST(page_out_of_the_row_is_mapped_as_well),
		TEST(destroy_blocks_its_users_and_parks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
