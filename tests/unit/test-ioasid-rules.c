/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of ioasid.h that hold whatever provider serves, shown on the soft one: groups, snoop
 * policies, widths, copies, batches, ranges of host PASIDs, and what a provider without an
 * operation says.
 */
#include "tests/unit/soft-bench.h"

#include <sys/mman.h>
#include <unistd.h>

#include "ioasid-client/provider.h"

static void map_pages(struct fixture *f, struct ioasid_space *in, uint64_t iova, uint64_t pages,
		      char *at)
{
	assert_ok(ioasid_map_hva(in, iova, pages * PAGE, at, RW, &f->err), &f->err);
}

static void a_member_joins_its_group_where_that_is(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *a = bind_model(f, "a", (struct ioasid_soft_device){ .group = 7 });
	struct ioasid_device *b = bind_model(f, "b", (struct ioasid_soft_device){ .group = 7 });
	struct ioasid_device *c = bind_model(f, "c", (struct ioasid_soft_device){ .group = 8 });
	struct ioasid_space *one = alloc_space(f, "one", true), *two = alloc_space(f, "two", true);

	assert_ok(ioasid_attach(a, one, &f->err), &f->err);
	refused(f, ioasid_attach(b, two, &f->err), EINVAL, "group 7");
	refused(f, ioasid_attach(b, two, &f->err), EINVAL, "with a");
	assert_null(ioasid_device_space(b));
	assert_ok(ioasid_attach(c, two, &f->err), &f->err);
	assert_ok(ioasid_attach(b, one, &f->err), &f->err);
}

static void moving_a_member_moves_its_group(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *a = bind_model(f, "a", (struct ioasid_soft_device){ .group = 7 });
	struct ioasid_device *b = bind_model(f, "b", (struct ioasid_soft_device){ .group = 7 });
	struct ioasid_device *idle =
		bind_model(f, "idle", (struct ioasid_soft_device){ .group = 7 });
	struct ioasid_space *one = alloc_space(f, "one", true), *two = alloc_space(f, "two", true);

	map_pages(f, one, 0, 1, f->memory);
	map_pages(f, two, 0, 1, f->memory + PAGE);
	assert_ok(ioasid_attach(a, one, &f->err), &f->err);
	assert_ok(ioasid_attach(b, one, &f->err), &f->err);
	assert_ok(ioasid_attach(a, two, &f->err), &f->err);
	assert_ptr_equal(ioasid_device_space(b), two);
	assert_null(ioasid_device_space(idle));
	assert_ptr_equal(reach_byte(f, b, IOASID_PASID_NONE, 0, IOASID_WRITE), f->memory + PAGE);
	assert_ok(ioasid_detach(a, &f->err), &f->err);
	assert_ptr_equal(ioasid_device_space(b), two);
	assert_ok(ioasid_detach(b, &f->err), &f->err);
	assert_ok(ioasid_attach(idle, one, &f->err), &f->err);
}

static void snoop_policies_refuse_what_the_iommu_cannot_do(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *strict =
		bind_model(f, "strict", (struct ioasid_soft_device){ .snoop_enforced = true });
	struct ioasid_device *loose = bind_model(f, "loose", (struct ioasid_soft_device){ 0 });
	struct ioasid_device *mdev =
		bind_model(f, "mdev", (struct ioasid_soft_device){ .emulated = true });
	struct ioasid_space *enforce =
		alloc_with(f, (struct ioasid_space_options){ .name = "e",
							     .snoop = IOASID_SNOOP_ENFORCE });
	struct ioasid_space *allow =
		alloc_with(f, (struct ioasid_space_options){ .name = "n",
							     .snoop = IOASID_SNOOP_ALLOW });

	assert_ok(ioasid_attach(strict, enforce, &f->err), &f->err);
	assert_ok(ioasid_attach(loose, allow, &f->err), &f->err);
	refused(f, ioasid_attach(loose, enforce, &f->err), EINVAL, "loose");
	assert_ptr_equal(ioasid_device_space(loose), allow);
	refused(f, ioasid_attach(strict, allow, &f->err), EOPNOTSUPP, "no way to stop");
	refused(f, ioasid_attach(mdev, enforce, &f->err), EINVAL, "no IOMMU of its own");
	refused(f, ioasid_attach(mdev, allow, &f->err), EINVAL, "no IOMMU of its own");
}

static void a_space_wider_than_the_device_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *narrow =
		bind_model(f, "narrow", (struct ioasid_soft_device){ .addr_width = 39 });
	struct ioasid_space *wide =
		alloc_with(f, (struct ioasid_space_options){ .name = "wide", .addr_width = 48 });
	struct ioasid_space *fits =
		alloc_with(f, (struct ioasid_space_options){ .name = "fits", .addr_width = 39 });

	refused(f, ioasid_attach(narrow, wide, &f->err), EINVAL, "48 bits");
	assert_ok(ioasid_attach(narrow, fits, &f->err), &f->err);
	refused(f, ioasid_map_hva(fits, 1ULL << 39, PAGE, f->memory, RW, &f->err), EINVAL, "39");
	map_pages(f, fits, (1ULL << 39) - PAGE, 1, f->memory);
}

static void a_batch_is_mapped_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *dev = bind_model(f, "dev", (struct ioasid_soft_device){ 0 });
	struct ioasid_space *s = alloc_space(f, "s", true);
	struct ioasid_mapping m[3];

	for (unsigned int i = 0; i < 3; i++)
		m[i] = (struct ioasid_mapping){ .iova = 2 * i * PAGE,
						.size = PAGE,
						.hva = f->memory + i * PAGE,
						.rights = RW,
						.fd = IOASID_NO_FD };
	map_pages(f, s, 4 * PAGE, 1, f->memory + 9 * PAGE);
	assert_ok(ioasid_attach(dev, s, &f->err), &f->err);
	refused(f, ioasid_map_batch(s, m, 3, &f->err), EEXIST, "0x4000");
	assert_null(reach_byte(f, dev, IOASID_PASID_NONE, 0, IOASID_READ));
	m[1].rights = 0;
	refused(f, ioasid_map_batch(s, m, 2, &f->err), EINVAL, "rights");
	assert_null(reach_byte(f, dev, IOASID_PASID_NONE, 0, IOASID_READ));
	m[1].rights = IOASID_READ;
	assert_ok(ioasid_map_batch(s, m, 2, &f->err), &f->err);
	assert_ptr_equal(reach_byte(f, dev, IOASID_PASID_NONE, 2 * PAGE, IOASID_READ),
			 f->memory + PAGE);
}

static void a_copy_outlives_its_original_and_has_no_more_rights(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *dev = bind_model(f, "dev", (struct ioasid_soft_device){ 0 });
	struct ioasid_space *from = alloc_space(f, "from", true), *to = alloc_space(f, "to", true);
	struct ioasid_copy copy = { .from = from,
				    .from_iova = PAGE,
				    .iova = 0x100 * PAGE,
				    .size = 4 * PAGE,
				    .rights = RW };

	map_pages(f, from, 0, 3, f->memory);
	assert_ok(ioasid_map_hva(from, 3 * PAGE, PAGE, f->memory + 8 * PAGE, IOASID_READ, &f->err),
		  &f->err);
	map_pages(f, from, 4 * PAGE, 2, f->memory + 10 * PAGE);
	assert_ok(ioasid_copy(to, &copy, &f->err), &f->err);
	assert_ok(ioasid_unmap(from, 0, 6 * PAGE, &f->err), &f->err);
	assert_ok(ioasid_attach(dev, to, &f->err), &f->err);
	assert_ptr_equal(reach_byte(f, dev, 0, 0x100 * PAGE, IOASID_WRITE), f->memory + PAGE);
	assert_ptr_equal(reach_byte(f, dev, 0, 0x102 * PAGE, IOASID_READ), f->memory + 8 * PAGE);
	assert_null(reach_byte(f, dev, 0, 0x102 * PAGE, IOASID_WRITE));
	assert_ptr_equal(reach_byte(f, dev, 0, 0x103 * PAGE, IOASID_WRITE), f->memory + 10 * PAGE);
	assert_null(reach_byte(f, dev, 0, 0x104 * PAGE, IOASID_READ));
}

static void a_copy_that_fails_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *dev = bind_model(f, "dev", (struct ioasid_soft_device){ 0 });
	struct ioasid_space *from = alloc_space(f, "from", true), *to = alloc_space(f, "to", true);
	struct ioasid_copy copy = { .from = from, .size = 3 * PAGE, .rights = RW };

	map_pages(f, from, 0, 2, f->memory);
	assert_ok(ioasid_attach(dev, to, &f->err), &f->err);
	refused(f, ioasid_copy(to, &copy, &f->err), ENOENT, "0x2000");
	assert_null(reach_byte(f, dev, 0, 0, IOASID_READ));
	map_pages(f, to, PAGE, 1, f->memory + 5 * PAGE);
	copy.size = 2 * PAGE;
	refused(f, ioasid_copy(to, &copy, &f->err), EEXIST, "0x1000");
	assert_null(reach_byte(f, dev, 0, 0, IOASID_READ));
	assert_ptr_equal(reach_byte(f, dev, 0, PAGE, IOASID_READ), f->memory + 5 * PAGE);
}

static void a_pasid_moves_between_spaces(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *dev =
		bind_model(f, "d", (struct ioasid_soft_device){ .pasid_width = 4 });
	struct ioasid_space *one = alloc_space(f, "one", true), *two = alloc_space(f, "two", true);
	struct ioasid_space *plain =
		alloc_with(f, (struct ioasid_space_options){ .name = "plain" });
	struct ioasid_pasid *pasid;

	map_pages(f, one, 0, 1, f->memory);
	map_pages(f, two, 0, 1, f->memory + PAGE);
	assert_ok(ioasid_pasid_attach(dev, one, 3, &pasid, &f->err), &f->err);
	assert_ptr_equal(reach_byte(f, dev, 3, 0, IOASID_READ), f->memory);
	refused(f, ioasid_pasid_replace(pasid, plain, &f->err), EINVAL, "plain");
	assert_ok(ioasid_pasid_replace(pasid, two, &f->err), &f->err);
	assert_ptr_equal(reach_byte(f, dev, 3, 0, IOASID_READ), f->memory + PAGE);
	ioasid_destroy(one);
	assert_ptr_equal(reach_byte(f, dev, 3, 0, IOASID_READ), f->memory + PAGE);
	ioasid_destroy(two);
	assert_null(reach_byte(f, dev, 3, 0, IOASID_READ));
	one = alloc_space(f, "one", true);
	refused(f, ioasid_pasid_replace(pasid, one, &f->err), ENOENT, "parked");
	ioasid_pasid_detach(pasid);
}

static void numbers_of_a_device_mean_nothing_to_another(void **state)
{
	struct fixture *f = *state;
	const struct ioasid_soft_device model = { .pasid_width = 8 };
	struct ioasid_device *a = bind_model(f, "a", model), *b = bind_model(f, "b", model);
	struct ioasid_space *one = alloc_space(f, "one", true), *two = alloc_space(f, "two", true);
	struct ioasid_pasid *of_a, *of_b, *any;

	map_pages(f, one, 0, 1, f->memory);
	map_pages(f, two, 0, 1, f->memory + PAGE);
	assert_ok(ioasid_device_pasid_range(a, 16, 31, &f->err), &f->err);
	assert_ok(ioasid_pasid_attach(a, one, 16, &of_a, &f->err), &f->err);
	assert_ok(ioasid_pasid_attach(b, two, 16, &of_b, &f->err), &f->err);
	assert_ptr_equal(reach_byte(f, a, 16, 0, IOASID_READ), f->memory);
	assert_ptr_equal(reach_byte(f, b, 16, 0, IOASID_READ), f->memory + PAGE);
	assert_int_equal(ioasid_device_pasid_state(a, 16), IOASID_PASID_ACTIVE);
	ioasid_pasid_detach(of_b);
	assert_int_equal(ioasid_pasid_state(f->ctx, 16), IOASID_PASID_FREE);
	assert_int_equal(ioasid_device_pasid_state(a, 16), IOASID_PASID_ACTIVE);
	assert_ok(ioasid_pasid_attach(a, two, IOASID_PASID_NONE, &any, &f->err), &f->err);
	assert_int_equal(ioasid_pasid_number(any), 17);
	refused(f, ioasid_pasid_attach(a, one, 32, &of_b, &f->err), ERANGE, "16 to 31");
	refused(f, ioasid_device_pasid_range(a, 1, 3, &f->err), EBUSY, "active");
	refused(f, ioasid_device_pasid_range(b, 1, 256, &f->err), ERANGE, "8 bits");
	refused(f, ioasid_device_pasid_range(b, 0, 5, &f->err), EINVAL, "0 to 5");
	/* The holder of a number outlives the device that it was of. */
	ioasid_pasid_hold(any);
	ioasid_unbind(a);
	ioasid_pasid_detach(any);
	ioasid_pasid_detach(of_a);
	ioasid_pasid_release(any);
}

static void the_range_of_a_context_limits_what_it_hands_out(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *dev =
		bind_model(f, "d", (struct ioasid_soft_device){ .pasid_width = 8 });
	struct ioasid_space *s = alloc_space(f, "s", true);
	struct ioasid_pasid *pasid[3];

	assert_ok(ioasid_ctx_pasid_range(f->ctx, 100, 101, &f->err), &f->err);
	for (unsigned int i = 0; i < 2; i++) {
		assert_ok(ioasid_pasid_attach(dev, s, 0, &pasid[i], &f->err), &f->err);
		assert_int_equal(ioasid_pasid_number(pasid[i]), 100 + i);
	}
	refused(f, ioasid_pasid_attach(dev, s, 0, &pasid[2], &f->err), ENOSPC, "100 to 101");
	refused(f, ioasid_pasid_attach(dev, s, 99, &pasid[2], &f->err), ERANGE, "100 to 101");
	assert_ok(ioasid_ctx_pasid_range(f->ctx, 1, 200, &f->err), &f->err);
	assert_ok(ioasid_pasid_attach(dev, s, 0, &pasid[2], &f->err), &f->err);
	assert_int_equal(ioasid_pasid_number(pasid[2]), 1);
}

/* A provider in which the kernel refuses what it should not. */
static int broken_unmap(struct ioasid_space *s, uint64_t iova, uint64_t size,
			struct ioasid_garbage *garbage, struct err *err)
{
	return err_set(err, EIO, "stopped midway");
}

static int broken_detach(struct ioasid_device *dev, struct ioasid_space *from, struct err *err)
{
	ioasid_soft.detach(dev, from, NULL);
	return err_set(err, EIO, "cannot be blocked");
}

static int broken_pasid_detach(struct ioasid_pasid *pasid, struct err *err)
{
	return err_set(err, EIO, "cannot be blocked");
}

static void an_unmap_that_stops_midway_blocks_the_space(void **state)
{
	struct fixture *f = *state;
	struct ioasid_provider broken = ioasid_soft;
	struct ioasid_device *dev =
		bind_model(f, "d", (struct ioasid_soft_device){ .pasid_width = 4 });
	struct ioasid_space *s = alloc_space(f, "s", true), *other = alloc_space(f, "other", true);
	struct ioasid_pasid *pasid;

	broken.unmap = broken_unmap;
	map_pages(f, s, 0, 2, f->memory);
	assert_ok(ioasid_attach(dev, s, &f->err), &f->err);
	assert_ok(ioasid_pasid_attach(dev, s, 5, &pasid, &f->err), &f->err);
	f->ctx->provider = &broken;
	refused(f, ioasid_unmap(s, 0, 2 * PAGE, &f->err), EIO, "midway");
	f->ctx->provider = &ioasid_soft;
	assert_null(ioasid_device_space(dev));
	assert_null(reach_byte(f, dev, 0, 0, IOASID_READ));
	assert_null(reach_byte(f, dev, 5, 0, IOASID_READ));
	assert_int_equal(ioasid_pasid_state(f->ctx, 5), IOASID_PASID_PARKED);
	refused(f, ioasid_attach(dev, s, &f->err), EIO, "destroy it");
	refused(f, ioasid_map_hva(s, 8 * PAGE, PAGE, f->memory, RW, &f->err), EIO, "destroy it");
	assert_ok(ioasid_unmap(s, 0, 2 * PAGE, &f->err), &f->err);
	assert_ok(ioasid_attach(dev, other, &f->err), &f->err);
	ioasid_pasid_detach(pasid);
}

static void what_cannot_be_blocked_is_never_used_again(void **state)
{
	struct fixture *f = *state;
	struct ioasid_provider broken = ioasid_soft;
	struct ioasid_device *dev =
		bind_model(f, "d", (struct ioasid_soft_device){ .pasid_width = 4 });
	struct ioasid_space *s = alloc_space(f, "s", true);
	struct ioasid_pasid *pasid, *again;

	broken.detach = broken_detach;
	broken.pasid_detach = broken_pasid_detach;
	assert_ok(ioasid_attach(dev, s, &f->err), &f->err);
	assert_ok(ioasid_pasid_attach(dev, s, 5, &pasid, &f->err), &f->err);
	f->ctx->provider = &broken;
	ioasid_pasid_detach(pasid);
	f->ctx->provider = &ioasid_soft;
	assert_int_equal(ioasid_pasid_state(f->ctx, 5), IOASID_PASID_PARKED);
	refused(f, ioasid_pasid_attach(dev, s, 5, &again, &f->err), EBUSY, "parked");
	f->ctx->provider = &broken;
	refused(f, ioasid_detach(dev, &f->err), EIO, "blocked");
	f->ctx->provider = &ioasid_soft;
	assert_null(ioasid_device_space(dev));
	refused(f, ioasid_attach(dev, s, &f->err), EIO, "unbind it");
	ioasid_unbind(dev);
}

static void type1_like(struct ioasid_ctx *ctx, struct ioasid_caps *caps)
{
	*caps = (struct ioasid_caps){ 0 };
}

static void what_a_provider_lacks_is_said(void **state)
{
	struct fixture *f = *state;
	struct ioasid_provider bare = ioasid_soft;
	const struct ioasid_space_options nested = { .name = "n", .nest_parent = true };
	struct ioasid_space *s;
	struct ioasid_memory memory;

	bare.caps = type1_like;
	bare.memory = NULL;
	bare.faults_fd = NULL;
	f->ctx->provider = &bare;
	refused(f, ioasid_alloc(f->ctx, &nested, &s, &f->err), EOPNOTSUPP, "nests no spaces");
	refused(f, ioasid_faults_fd(f->ctx, &(int){ 0 }, &f->err), EOPNOTSUPP, "no faults");
	assert_ok(ioasid_memory_predict(f->ctx, UINT64_MAX / 2, &memory, &f->err), &f->err);
	assert_int_equal(memory.accounting, IOASID_ACCOUNTING_NONE);
	assert_int_equal(ioasid_ctx_fd(f->ctx), -1);
	f->ctx->provider = &ioasid_soft;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		TEST(a_member_joins_its_group_where_that_is),
		TEST(moving_a_member_moves_its_group),
		TEST(snoop_policies_refuse_what_the_iommu_cannot_do),
		TEST(a_space_wider_than_the_device_is_refused),
		TEST(a_batch_is_mapped_whole_or_not_at_all),
		TEST(a_copy_outlives_its_original_and_has_no_more_rights),
		TEST(a_copy_that_fails_leaves_nothing),
		TEST(a_pasid_moves_between_spaces),
		TEST(numbers_of_a_device_mean_nothing_to_another),
		TEST(the_range_of_a_context_limits_what_it_hands_out),
		TEST(an_unmap_that_stops_midway_blocks_the_space),
		TEST(what_cannot_be_blocked_is_never_used_again),
		TEST(what_a_provider_lacks_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
