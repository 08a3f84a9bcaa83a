/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ioasid.h says of contexts, devices and host PASIDs, on the soft provider.
 */
#include "tests/unit/soft-bench.h"

#include <fcntl.h>
#include <unistd.h>

#include "util/bits.h"

/* --- contexts -------------------------------------------------------------------------------- */

static void context_names_its_provider(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ioasid_ctx_provider(f->ctx), "soft");
	assert_string_equal(ioasid_ctx_reason(f->ctx), "");
}

static void kernel_providers_say_why_they_do_not_answer(void **state)
{
	static const enum ioasid_provider_id ids[] = { IOASID_PROVIDER_IOMMUFD,
						       IOASID_PROVIDER_TYPE1 };
	struct fixture *f = *state;
	struct ioasid_ctx *ctx = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		refused(f, ioasid_ctx_open(&ctx, ids[i], "/nonexistent/node", &f->err), ENOTSUP,
			"there is no /nonexistent/node; load");
		refused(f, ioasid_ctx_open(&ctx, ids[i], "/dev/null", &f->err), ENOTSUP,
			"/dev/null does not answer as");
	}
	assert_null(ctx);
}

static void what_is_handed_over_stays_the_callers_when_refused(void **state)
{
	struct fixture *f = *state;
	struct ioasid_ctx *ctx = NULL;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_IOMMUFD, fd, &f->err), ENOTSUP,
		"does not answer");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_TYPE1, fd, &f->err), ENOTSUP,
		"does not answer");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_SOFT, fd, &f->err), EINVAL,
		"needs no descriptor");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_AUTO, fd, &f->err), ENOTSUP,
		"no provider answers");
	refused(f, ioasid_ctx_open_fd(&ctx, IOASID_PROVIDER_AUTO, -1, &f->err), EBADF, "none");
	assert_int_equal(close(fd), 0);
}

static void auto_takes_what_answers_and_keeps_why(void **state)
{
	struct fixture *f = *state;
	struct ioasid_ctx *ctx = NULL;

	assert_ok(ioasid_ctx_open(&ctx, IOASID_PROVIDER_AUTO, "/nonexistent/iommu", &f->err),
		  &f->err);
	assert_string_equal(ioasid_ctx_provider(ctx), "soft");
	assert_non_null(strstr(ioasid_ctx_reason(ctx), "iommufd"));
	assert_non_null(strstr(ioasid_ctx_reason(ctx), "type1"));
	ioasid_ctx_close(ctx);
}

static void soft_refuses_a_node(void **state)
{
	struct fixture *f = *state;
	struct ioasid_ctx *ctx = NULL;

	refused(f, ioasid_ctx_open(&ctx, IOASID_PROVIDER_SOFT, "/dev/iommu", &f->err), EINVAL,
		"/dev/iommu");
	refused(f, ioasid_ctx_open(&ctx, (enum ioasid_provider_id)77, NULL, &f->err), EINVAL, "77");
}

static void isolation_is_named(void **state)
{
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_SOFTWARE), "software-checked");
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_RID), "iommu-rid");
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_PASID), "iommu-pasid");
	assert_string_equal(ioasid_isolation_name(IOASID_ISOLATION_VENDOR), "vendor-mdev");
}

static void close_frees_all_and_ends_reach(void **state)
{
	struct fixture *f = *state;
	uint64_t one = 1;

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	pasid_attach(f, 7);
	alloc_space(f, "other", false);
	bind_device(f, "dev1", 0);
	assert_ptr_equal(reach1(f, 7, 0), f->memory);
	ioasid_ctx_close(f->ctx);
	f->ctx = NULL;
	assert_null(reach(f, f->device, IOASID_PASID_NONE, 0, &one, IOASID_READ));
	assert_null(reach(f, f->device, 7, 0, &one, IOASID_READ));
}

static void held_pasid_outlives_its_context(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *pasid = pasid_attach(f, 9);

	ioasid_pasid_hold(pasid);
	ioasid_ctx_close(f->ctx);
	f->ctx = NULL;
	assert_int_equal(ioasid_pasid_number(pasid), 9);
	ioasid_pasid_release(pasid);
}

/* --- devices --------------------------------------------------------------------------------- */

static void bind_refuses_bad_labels(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *device = NULL;
	const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT };
	char text[65];

	memset(text, 'x', sizeof(text));
	text[64] = '\0';
	refused(f, ioasid_bind(f->ctx, &source, text, &device, &f->err), EINVAL, "63");
	refused(f, ioasid_bind(f->ctx, &source, "", &device, &f->err), EINVAL, "63");
	refused(f, ioasid_bind(f->ctx, &source, "a\nb", &device, &f->err), EINVAL, "printable");
	refused(f, ioasid_bind(f->ctx, &source, NULL, &device, &f->err), EINVAL, "label");
	refused(f, ioasid_bind(f->ctx, &source, "dev0", &device, &f->err), EEXIST, "dev0");
	assert_null(device);
	text[63] = '\0';
	device = bind_device(f, text, 20);
	ioasid_unbind(device);
}

static void bind_refuses_sources_of_other_providers(void **state)
{
	struct fixture *f = *state;
	const struct ioasid_source cdev = { .type = IOASID_SOURCE_CDEV, .cdev = { .fd = -1 } };
	const struct ioasid_source wide = { .type = IOASID_SOURCE_SOFT,
					    .soft = { .pasid_width = 21 } };
	struct ioasid_device *device = NULL;

	refused(f, ioasid_bind(f->ctx, &cdev, "dev1", &device, &f->err), ENOTSUP, "dev1");
	refused(f, ioasid_bind(f->ctx, &wide, "dev1", &device, &f->err), EINVAL, "21");
}

static void label_is_free_again_after_unbind(void **state)
{
	struct fixture *f = *state;

	ioasid_unbind(f->device);
	f->device = bind_device(f, "dev0", 20);
}

static void device_info_says_what_it_is(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device_info info;

	ioasid_device_info(f->device, &info);
	assert_string_equal(info.label, "dev0");
	assert_int_equal(info.pasid_width, 20);
	assert_true(info.page_sizes & PAGE);
	assert_true(info.iova_first < info.iova_last);
	assert_int_equal(info.isolation, IOASID_ISOLATION_SOFTWARE);
	assert_int_equal(info.snoop, IOASID_SNOOP_ENFORCED);
}

static void device_reaches_nothing_before_attach(void **state)
{
	struct fixture *f = *state;

	map(f, f->space, 0, PAGE, f->memory, RW);
	assert_null(reach1(f, IOASID_PASID_NONE, 0));
	assert_null(reach1(f, 1, 0));
}

static void attach_opens_and_detach_blocks(void **state)
{
	struct fixture *f = *state;

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 5), f->memory + 5);
	ioasid_detach(f->device, NULL);
	assert_null(reach1(f, IOASID_PASID_NONE, 5));
	ioasid_detach(f->device, NULL);
	attach(f);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 5), f->memory + 5);
}

static void attach_replaces_the_space(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *other = alloc_space(f, "other", false);

	map(f, f->space, 0, PAGE, f->memory, RW);
	map(f, other, 0, PAGE, f->memory + PAGE, RW);
	attach(f);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 0), f->memory);
	assert_ok(ioasid_attach(f->device, other, &f->err), &f->err);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 0), f->memory + PAGE);
	ioasid_destroy(f->space);
	assert_ptr_equal(reach1(f, IOASID_PASID_NONE, 0), f->memory + PAGE);
}

static void attach_refuses_a_space_of_another_context(void **state)
{
	struct fixture *f = *state;
	struct fixture other = { 0 };
	struct ioasid_space *space;
	struct ioasid_pasid *pasid = NULL;

	assert_ok(ioasid_ctx_open(&other.ctx, IOASID_PROVIDER_SOFT, NULL, &other.err), &other.err);
	space = alloc_space(&other, "elsewhere", true);
	refused(f, ioasid_attach(f->device, space, &f->err), EINVAL, "elsewhere");
	refused(f, ioasid_pasid_attach(f->device, space, 1, &pasid, &f->err), EINVAL, "elsewhere");
	ioasid_ctx_close(other.ctx);
}

static void unbind_blocks_and_parks(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *pasid = pasid_attach(f, 3);

	map(f, f->space, 0, PAGE, f->memory, RW);
	assert_ptr_equal(reach1(f, 3, 0), f->memory);
	ioasid_unbind(f->device);
	assert_int_equal(ioasid_pasid_state(f->ctx, 3), IOASID_PASID_PARKED);
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 3), IOASID_PASID_FREE);
}

/* --- host PASIDs ----------------------------------------------------------------------------- */

static void pasid_reaches_its_space_for_its_device_only(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *other = bind_device(f, "dev1", 20);
	uint64_t one = 1;

	map(f, f->space, 0, PAGE, f->memory, RW);
	pasid_attach(f, 5);
	assert_ptr_equal(reach1(f, 5, 0), f->memory);
	assert_null(reach1(f, 4, 0));
	assert_null(reach1(f, IOASID_PASID_NONE, 0));
	assert_null(reach1(f, IOASID_PASID_MAX + 1, 0));
	assert_null(reach1(f, (1u << 20) + 5, 0));
	assert_null(reach1(f, UINT32_MAX, 0));
	assert_null(reach(f, other, 5, 0, &one, IOASID_READ));
}

static void pasid_spaces_are_apart(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *other = alloc_space(f, "other", true);
	struct ioasid_pasid *pasid;

	map(f, f->space, 0, PAGE, f->memory, RW);
	map(f, other, 0, PAGE, f->memory + PAGE, RW);
	pasid_attach(f, 1);
	assert_ok(ioasid_pasid_attach(f->device, other, 2, &pasid, &f->err), &f->err);
	attach(f);
	assert_ptr_equal(reach1(f, 1, 0), f->memory);
	assert_ptr_equal(reach1(f, 2, 0), f->memory + PAGE);
	assert_ptr_equal(reach1(f, 0, 0), f->memory);
	ioasid_pasid_detach(pasid);
	assert_null(reach1(f, 2, 0));
	assert_ptr_equal(reach1(f, 1, 0), f->memory);
}

static void pasid_attach_checks_its_arguments(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *narrow = bind_device(f, "narrow", 4);
	struct ioasid_device *none = bind_device(f, "none", 0);
	struct ioasid_space *plain = alloc_space(f, "plain", false);
	struct ioasid_pasid *pasid = NULL;

	refused(f, ioasid_pasid_attach(narrow, f->space, 16, &pasid, &f->err), ERANGE, "1 to 15");
	refused(f, ioasid_pasid_attach(f->device, f->space, 1u << 20, &pasid, &f->err), ERANGE,
		"1048576");
	refused(f, ioasid_pasid_attach(none, f->space, 1, &pasid, &f->err), EOPNOTSUPP, "none");
	refused(f, ioasid_pasid_attach(f->device, plain, 1, &pasid, &f->err), EINVAL, "plain");
	assert_null(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 1), IOASID_PASID_FREE);
	assert_ok(ioasid_pasid_attach(narrow, f->space, 15, &pasid, &f->err), &f->err);
	pasid_attach(f, IOASID_PASID_MAX);
}

static void pasid_number_is_refused_while_active_or_parked(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *pasid = pasid_attach(f, 8), *again = NULL;

	refused(f, ioasid_pasid_attach(f->device, f->space, 8, &again, &f->err), EBUSY, "active");
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_ACTIVE);
	ioasid_pasid_hold(pasid);
	ioasid_pasid_hold(pasid);
	ioasid_pasid_detach(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_PARKED);
	refused(f, ioasid_pasid_attach(f->device, f->space, 8, &again, &f->err), EBUSY, "parked");
	ioasid_pasid_release(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_PARKED);
	assert_int_equal(ioasid_pasid_number(pasid), 8);
	ioasid_pasid_release(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 8), IOASID_PASID_FREE);
	pasid_attach(f, 8);
}

static void any_pasid_is_never_a_parked_one(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *narrow = bind_device(f, "narrow", 2);
	struct ioasid_pasid *pasid[4] = { 0 };

	for (int i = 0; i < 3; i++) {
		assert_ok(ioasid_pasid_attach(narrow, f->space, IOASID_PASID_NONE, &pasid[i],
					      &f->err),
			  &f->err);
		assert_in_range(ioasid_pasid_number(pasid[i]), 1, 3);
	}
	ioasid_pasid_hold(pasid[1]);
	ioasid_pasid_detach(pasid[1]);
	refused(f, ioasid_pasid_attach(narrow, f->space, IOASID_PASID_NONE, &pasid[3], &f->err),
		ENOSPC, "1 to 3");
	ioasid_pasid_release(pasid[1]);
	assert_ok(ioasid_pasid_attach(narrow, f->space, IOASID_PASID_NONE, &pasid[3], &f->err),
		  &f->err);
}

static void numbers_that_are_no_pasid_are_free(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ioasid_pasid_state(f->ctx, IOASID_PASID_NONE), IOASID_PASID_FREE);
	assert_int_equal(ioasid_pasid_state(f->ctx, IOASID_PASID_MAX + 1), IOASID_PASID_FREE);
	assert_int_equal(ioasid_pasid_state(f->ctx, UINT32_MAX), IOASID_PASID_FREE);
}

static void holding_does_not_keep_dma_open(void **state)
{
	struct fixture *f = *state;
	struct ioasid_pasid *pasid = pasid_attach(f, 6);

	map(f, f->space, 0, PAGE, f->memory, RW);
	ioasid_pasid_hold(pasid);
	assert_non_null(reach1(f, 6, 0));
	ioasid_pasid_detach(pasid);
	assert_null(reach1(f, 6, 0));
	ioasid_pasid_release(pasid);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_guest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(context_names_its_provider),
		TEST(kernel_providers_say_why_they_do_not_answer),
		TEST(what_is_handed_over_stays_the_callers_when_refused),
		TEST(auto_takes_what_answers_and_keeps_why),
		TEST(soft_refuses_a_node),
		TEST(isolation_is_named),
		TEST(close_frees_all_and_ends_reach),
		TEST(held_pasid_outlives_its_context),
		TEST(bind_refuses_bad_labels),
		TEST(bind_refuses_sources_of_other_providers),
		TEST(label_is_free_again_after_unbind),
		TEST(device_info_says_what_it_is),
		TEST(device_reaches_nothing_before_attach),
		TEST(attach_opens_and_detach_blocks),
		TEST(attach_replaces_the_space),
		TEST(attach_refuses_a_space_of_another_context),
		TEST(unbind_blocks_and_parks),
		TEST(pasid_reaches_its_space_for_its_device_only),
		TEST(pasid_spaces_are_apart),
		TEST(pasid_attach_checks_its_arguments),
		TEST(pasid_number_is_refused_while_active_or_parked),
		TEST(any_pasid_is_never_a_parked_one),
		TEST(numbers_that_are_no_pasid_are_free),
		TEST(holding_does_not_keep_dma_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
