/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every ioctl of a call made to fail in turn, by the seam, on the kernel's providers with real DMA:
 * a call that fails leaves the state as it was, or blocked where ioasid.h says so.
 */
#include "tests/unit/ioasid-rows.h"

#define A 0x200000u
#define B 0x400000u

struct inject {
	struct ioasid_seam seam;
	int left;	    /* calls that go through before one fails; negative: none fails */
	bool all;	    /* those after it too */
	bool failed;	    /* one did */
	unsigned long only; /* this request fails, and no other; 0: see above */
	int error;
	const struct ioasid_seam *below; /* the kernel's, or a fake's */
};

static int inject_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct inject *inject = seam->arg;

	if (inject->only == request)
		return -inject->error;
	if (inject->left == 0) {
		inject->failed = true;
		if (!inject->all)
			inject->left = -1;
		return -inject->error;
	}
	if (inject->left > 0)
		inject->left--;
	return inject->below->ioctl(inject->below, fd, request, arg);
}

static void inject_start(struct inject *inject, struct bench *b, const struct row *row)
{
	b->fake = NULL;
	*inject = (struct inject){ .left = -1, .below = &ioasid_seam_kernel };
	if (row->fake) {
		b->fake = malloc(sizeof(*b->fake));
		fake_start(b->fake, row->provider == IOASID_PROVIDER_TYPE1);
		inject->below = &b->fake->seam;
	}
	inject->seam = (struct ioasid_seam){ .ioctl = inject_ioctl,
					     .root = inject->below->root,
					     .arg = inject };
}

/* A device at A in space one; another space in which A is another page. */
struct scene {
	struct bench b;
	struct inject inject;
	struct ioasid_space *one, *two, *made;
};

static void arm(struct scene *s, int left, int error)
{
	s->inject.left = left;
	s->inject.error = error;
	s->inject.failed = false;
	s->inject.all = false;
}

static void disarm(struct scene *s)
{
	s->inject.left = -1;
}

static void scene_start(struct scene *s, const struct row *row)
{
	*s = (struct scene){ 0 };
	inject_start(&s->inject, &s->b, row);
	bench_start(&s->b, row, &s->inject.seam);
	s->one = space_of(&s->b, "one");
	s->two = space_of(&s->b, "two");
	map_page(&s->b, s->one, A, 1, RW);
	map_page(&s->b, s->two, A, 3, RW);
	attach(&s->b, s->one);
	assert_true(writes(&s->b, A, page(&s->b, 1)));
}

static void as_it_was(struct scene *s)
{
	assert_ptr_equal(ioasid_device_space(s->b.device), s->one);
	assert_true(writes(&s->b, A, page(&s->b, 1)));
	assert_false(writes(&s->b, B, page(&s->b, 2)));
	assert_false(writes(&s->b, A, page(&s->b, 3)));
}

static void blocked(struct scene *s)
{
	assert_null(ioasid_device_space(s->b.device));
	assert_false(writes(&s->b, A, page(&s->b, 1)));
	assert_false(writes(&s->b, A, page(&s->b, 3)));
}

static void again(struct scene *s)
{
	const struct row *row = s->b.row;

	bench_end(&s->b);
	scene_start(s, row);
}

/* A call, and what takes its success back. */
struct call {
	int (*run)(struct scene *s);
	void (*undo)(struct scene *s);
	bool may_block; /* -EIO says that all is blocked now */
};

static int run_alloc(struct scene *s)
{
	const struct ioasid_space_options options = { .name = "made" };

	return ioasid_alloc(s->b.ctx, &options, &s->made, &s->b.err);
}

static void undo_alloc(struct scene *s)
{
	ioasid_destroy(s->made);
}

static int run_map(struct scene *s)
{
	const struct ioasid_mapping mapping = {
		.iova = B,
		.size = PAGE,
		.hva = page(&s->b, 2),
		.rights = RW,
		.fd = s->b.memfd,
		.fd_offset = 2 * PAGE,
	};

	return ioasid_map(s->one, &mapping, &s->b.err);
}

static int run_batch(struct scene *s)
{
	struct ioasid_mapping m[3];

	for (unsigned int i = 0; i < 3; i++)
		m[i] = (struct ioasid_mapping){ .iova = B + i * PAGE,
						.size = PAGE,
						.hva = page(&s->b, 2 + i),
						.rights = RW,
						.fd = IOASID_NO_FD };
	return ioasid_map_batch(s->one, m, 3, &s->b.err);
}

static void undo_map(struct scene *s)
{
	assert_true(writes(&s->b, B, page(&s->b, 2)));
	assert_ok(ioasid_unmap(s->one, B, 16 * PAGE, &s->b.err), &s->b.err);
}

static int run_copy(struct scene *s)
{
	const struct ioasid_copy copy = {
		.from = s->two, .from_iova = A, .iova = B, .size = PAGE, .rights = RW
	};

	return ioasid_copy(s->one, &copy, &s->b.err);
}

static void undo_copy(struct scene *s)
{
	assert_true(writes(&s->b, B, page(&s->b, 3)));
	assert_ok(ioasid_unmap(s->one, B, PAGE, &s->b.err), &s->b.err);
}

static int run_replace(struct scene *s)
{
	return ioasid_attach(s->b.device, s->two, &s->b.err);
}

static void undo_replace(struct scene *s)
{
	assert_true(writes(&s->b, A, page(&s->b, 3)));
	attach(&s->b, s->one);
}

/* Fails each of the call's ioctls in turn. What fails twice is a call with that many. */
static void fail_each(struct scene *s, const struct call *call, int error)
{
	unsigned int failures = 0;
	int r;

	for (int n = 0;; n++) {
		arm(s, n, error);
		r = call->run(s);
		disarm(s);
		if (r == -EIO && call->may_block) {
			blocked(s);
			again(s);
		} else if (r) {
			as_it_was(s);
		} else {
			call->undo(s);
		}
		failures += r != 0;
		if (!s->inject.failed)
			break;
	}
	assert_int_equal(r, 0);
	/* Allocation may need no ioctl at all. */
	print_message("%s: %u failures\n", s->b.row->name, failures);
}

static void fail_each_call(void **state, const struct call *call)
{
	static const int errors[] = { ENOMEM, EINVAL, EIO };
	const struct row *row = *state;
	struct scene s;

	need_row(row);
	scene_start(&s, row);
	for (unsigned int i = 0; i < 3; i++)
		fail_each(&s, call, errors[i]);
	as_it_was(&s);
	bench_end(&s.b);
}

static void alloc_fails_cleanly(void **state)
{
	fail_each_call(state, &(struct call){ run_alloc, undo_alloc, false });
}

static void map_fails_cleanly(void **state)
{
	fail_each_call(state, &(struct call){ run_map, undo_map, true });
}

static void a_batch_fails_cleanly(void **state)
{
	fail_each_call(state, &(struct call){ run_batch, undo_map, true });
}

static void copy_fails_cleanly(void **state)
{
	fail_each_call(state, &(struct call){ run_copy, undo_copy, true });
}

static void replace_fails_cleanly_or_blocks(void **state)
{
	fail_each_call(state, &(struct call){ run_replace, undo_replace, true });
}

static void a_kernel_without_map_file_maps_by_address(void **state)
{
	const struct row *row = *state;
	struct ioasid_caps caps;
	struct scene s;

	need_row(row);
	scene_start(&s, row);
	ioasid_ctx_caps(s.b.ctx, &caps);
	if (!caps.map_file) {
		bench_end(&s.b);
		skip_because("%s maps no descriptors", row->name);
	}
	arm(&s, 0, ENOTTY);
	assert_ok(run_map(&s), &s.b.err);
	assert_true(s.inject.failed);
	ioasid_ctx_caps(s.b.ctx, &caps);
	assert_false(caps.map_file);
	undo_map(&s);
	bench_end(&s.b);
}

static void an_unmap_that_fails_blocks_the_space(void **state)
{
	const struct row *row = *state;
	struct scene s;

	need_row(row);
	scene_start(&s, row);
	arm(&s, 0, EBUSY);
	refused(&s.b, ioasid_unmap(s.one, A, PAGE, &s.b.err), EIO, "the space is blocked");
	disarm(&s);
	blocked(&s);
	refused(&s.b, run_map(&s), EIO, "destroy it");
	refused(&s.b, ioasid_attach(s.b.device, s.one, &s.b.err), EIO, "destroy it");
	assert_ok(ioasid_unmap(s.one, A, PAGE, &s.b.err), &s.b.err);
	/* The device is not: it goes on elsewhere. */
	attach(&s.b, s.two);
	assert_true(writes(&s.b, A, page(&s.b, 3)));
	ioasid_destroy(s.one);
	bench_end(&s.b);
}

/* The first way of detaching fails, and then the second blocks it. */
static void a_detach_that_fails_blocks_all_the_same(void **state)
{
	const struct row *row = *state;
	struct scene s;

	need_row(row);
	scene_start(&s, row);
	arm(&s, 0, EBUSY);
	assert_ok(ioasid_detach(s.b.device, &s.b.err), &s.b.err);
	disarm(&s);
	assert_true(s.inject.failed);
	blocked(&s);
	attach(&s.b, s.two);
	assert_true(writes(&s.b, A, page(&s.b, 3)));
	assert_ok(ioasid_detach(s.b.device, &s.b.err), &s.b.err);
	blocked(&s);
	bench_end(&s.b);
}

static void what_cannot_be_detached_accepts_only_unbind(void **state)
{
	const struct row *row = *state;
	struct scene s;

	need_row(row);
	scene_start(&s, row);
	arm(&s, 0, EBUSY);
	s.inject.all = true;
	refused(&s.b, ioasid_detach(s.b.device, &s.b.err), EIO, "unbind");
	disarm(&s);
	assert_null(ioasid_device_space(s.b.device));
	refused(&s.b, ioasid_attach(s.b.device, s.two, &s.b.err), EIO, "unbind");
	edu_close(&s.b);
	ioasid_unbind(s.b.device);
	assert_ok(bench_bind(&s.b), &s.b.err);
	edu_arm(&s.b);
	assert_false(writes(&s.b, A, page(&s.b, 1)));
	attach(&s.b, s.two);
	assert_true(writes(&s.b, A, page(&s.b, 3)));
	bench_end(&s.b);
}

/* In a free group: what the kernel's errno means is said, with what to do. */
static void a_bind_that_the_kernel_refuses_says_why(void **state)
{
	static const struct {
		enum ioasid_provider_id provider;
		unsigned long request;
		int error, code;
		const char *says;
	} cases[] = {
		{ IOASID_PROVIDER_IOMMUFD, VFIO_CDEV_BIND, EPERM, EPERM,
		  "interrupt remapping is off, so it could forge interrupts; switch that on" },
		{ IOASID_PROVIDER_IOMMUFD, VFIO_CDEV_BIND, EBUSY, EBUSY,
		  "held by another program" },
		{ IOASID_PROVIDER_IOMMUFD, VFIO_CDEV_BIND, EINVAL, EBUSY, "is bound already" },
		{ IOASID_PROVIDER_IOMMUFD, VFIO_CDEV_BIND, EACCES, EACCES, "give the VF token" },
		{ IOASID_PROVIDER_IOMMUFD, VFIO_CDEV_BIND, ENOTTY, ENOTSUP,
		  "CONFIG_VFIO_DEVICE_CDEV" },
		{ IOASID_PROVIDER_TYPE1, VFIO_SET_IOMMU, EPERM, EPERM,
		  "interrupt remapping is off, so its devices could forge interrupts" },
		{ IOASID_PROVIDER_TYPE1, VFIO_GROUP_SET_CONTAINER, EBUSY, EBUSY,
		  "cannot join a container" },
	};
	const struct row *row = *state;
	struct scene s;

	need_row(row);
	if (!row->fake)
		skip_because("%s: what a real kernel refuses is the fake rows' business",
			     row->name);
	scene_start(&s, row);
	ioasid_unbind(s.b.device);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].provider != row->provider)
			continue;
		s.inject.only = cases[i].request;
		s.inject.error = cases[i].error;
		refused(&s.b, bench_bind(&s.b), cases[i].code, cases[i].says);
	}
	s.inject.only = 0;
	assert_ok(bench_bind(&s.b), &s.b.err);
	bench_end(&s.b);
}

static void bind_fails_cleanly(void **state)
{
	const struct row *row = *state;
	struct scene s;
	int r, n;

	need_row(row);
	scene_start(&s, row);
	edu_close(&s.b);
	ioasid_unbind(s.b.device);
	for (n = 0;; n++) {
		arm(&s, n, EIO);
		r = bench_bind(&s.b);
		disarm(&s);
		/* The context keeps nothing of it: the same label is free, and the device. */
		if (r)
			assert_ok(bench_bind(&s.b), &s.b.err);
		if (!s.inject.failed)
			break;
		ioasid_unbind(s.b.device);
	}
	assert_int_equal(r, 0);
	assert_true(n > 2);
	edu_arm(&s.b);
	attach(&s.b, s.one);
	as_it_was(&s);
	bench_end(&s.b);
}

static void open_fails_cleanly(void **state)
{
	const struct row *row = *state;
	struct scene s = { 0 };
	int r, n;

	need_row(row);
	inject_start(&s.inject, &s.b, row);
	s.b.row = row;
	s.b.seam = &s.inject.seam;
	for (n = 0;; n++) {
		arm(&s, n, EIO);
		r = bench_open(&s.b);
		if (!s.inject.failed)
			break;
		assert_int_equal(r, -ENOTSUP);
		assert_null(s.b.ctx);
	}
	assert_ok(r, &s.b.err);
	assert_int_equal(n, 2);
	ioasid_ctx_close(s.b.ctx);
	if (s.b.fake)
		fake_end(s.b.fake);
	free(s.b.fake);
}

static const struct row rows[] = {
	{ "fake iommufd", IOASID_PROVIDER_IOMMUFD, true, true },
	{ "fake type1", IOASID_PROVIDER_TYPE1, true, true },
	{ "iommufd", IOASID_PROVIDER_IOMMUFD, true, false },
	{ "type1", IOASID_PROVIDER_TYPE1, true, false },
};

int main(void)
{
	static const struct CMUnitTest suite[] = {
		cmocka_unit_test(alloc_fails_cleanly),
		cmocka_unit_test(map_fails_cleanly),
		cmocka_unit_test(a_batch_fails_cleanly),
		cmocka_unit_test(copy_fails_cleanly),
		cmocka_unit_test(replace_fails_cleanly_or_blocks),
		cmocka_unit_test(a_kernel_without_map_file_maps_by_address),
		cmocka_unit_test(an_unmap_that_fails_blocks_the_space),
		cmocka_unit_test(a_detach_that_fails_blocks_all_the_same),
		cmocka_unit_test(what_cannot_be_detached_accepts_only_unbind),
		cmocka_unit_test(a_bind_that_the_kernel_refuses_says_why),
		cmocka_unit_test(bind_fails_cleanly),
		cmocka_unit_test(open_fails_cleanly),
	};

	return run_rows(rows, ARRAY_SIZE(rows), suite, ARRAY_SIZE(suite));
}
