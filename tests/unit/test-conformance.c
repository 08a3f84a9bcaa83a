/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One suite over all providers: what ioasid.h promises, shown by DMA (ioasid-rows.h says whose).
 * Where providers differ the capability that says so decides what is expected.
 */
#include "tests/unit/ioasid-rows.h"

#include <signal.h>
#include <sys/wait.h>

#define A 0x200000u
#define B 0x400000u
#define C 0x600000u

static struct bench *start(void **state, struct bench *b)
{
	const struct row *row = *state;

	need_row(row);
	b->fake = NULL;
	bench_start(b, row, &ioasid_seam_kernel);
	return b;
}

static void nothing_moves_before_the_first_attach(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	map_page(b, s, A, 1, RW);
	assert_false(writes(b, A, page(b, 1)));
	assert_null(ioasid_device_space(b->device));
	bench_end(b);
}

static void moves_while_mapped_and_attached(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	map_page(b, s, A, 1, RW);
	attach(b, s);
	map_page(b, s, B, 2, RW);
	assert_true(writes(b, A, page(b, 1)));
	assert_true(writes(b, B, page(b, 2)));
	assert_true(reads(b, A, page(b, 1), B, page(b, 2)));
	assert_false(writes(b, C, page(b, 3)));
	bench_end(b);
}

static void moves_nothing_after_unmap(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	map_page(b, s, A, 1, RW);
	map_page(b, s, B, 2, RW);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	assert_ok(ioasid_unmap(s, A, PAGE, &b->err), &b->err);
	assert_false(writes(b, A, page(b, 1)));
	assert_true(writes(b, B, page(b, 2)));
	map_page(b, s, A, 3, RW);
	assert_true(writes(b, A, page(b, 3)));
	bench_end(b);
}

static void moves_nothing_after_detach(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	map_page(b, s, A, 1, RW);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	assert_ok(ioasid_detach(b->device, &b->err), &b->err);
	assert_false(writes(b, A, page(b, 1)));
	map_page(b, s, B, 2, RW);
	assert_false(writes(b, B, page(b, 2)));
	assert_ok(ioasid_detach(b->device, &b->err), &b->err);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	assert_true(writes(b, B, page(b, 2)));
	bench_end(b);
}

static void moves_nothing_after_destroy(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	map_page(b, s, A, 1, RW);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	ioasid_destroy(s);
	assert_false(writes(b, A, page(b, 1)));
	assert_null(ioasid_device_space(b->device));
	bench_end(b);
}

static void moves_into_the_space_that_it_is_moved_to(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *one = space_of(b, "one"), *two = space_of(b, "two");

	map_page(b, one, A, 1, RW);
	map_page(b, one, B, 2, RW);
	map_page(b, two, A, 3, RW);
	attach(b, one);
	assert_true(writes(b, A, page(b, 1)));
	attach(b, two);
	assert_true(writes(b, A, page(b, 3)));
	assert_false(writes(b, A, page(b, 1)));
	assert_false(writes(b, B, page(b, 2)));
	ioasid_destroy(one);
	assert_true(writes(b, A, page(b, 3)));
	bench_end(b);
}

static void writes_nothing_where_it_may_only_read(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	map_page(b, s, A, 1, IOASID_READ);
	map_page(b, s, B, 2, RW);
	attach(b, s);
	assert_false(writes(b, A, page(b, 1)));
	assert_true(reads(b, A, page(b, 1), B, page(b, 2)));
	bench_end(b);
}

static void refusals_change_nothing(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	for (unsigned int i = 0; i < 3; i++)
		assert_ok(ioasid_map_hva(s, A + 2 * i * PAGE, 2 * PAGE, page(b, 2 * i), RW,
					 &b->err),
			  &b->err);
	attach(b, s);
	refused(b, ioasid_unmap(s, A, 5 * PAGE, &b->err), EINVAL, "straddles");
	refused(b, ioasid_unmap(s, A + PAGE, 3 * PAGE, &b->err), EINVAL, "straddles");
	refused(b, ioasid_unmap(s, A + PAGE, PAGE, &b->err), EINVAL, "straddles");
	refused(b, ioasid_unmap(s, C, PAGE, &b->err), ENOENT, "nothing is mapped");
	refused(b, ioasid_map_hva(s, A + 5 * PAGE, 2 * PAGE, page(b, 8), RW, &b->err), EEXIST,
		"overlaps");
	refused(b, ioasid_unmap(s, A, 0, &b->err), EINVAL, "empty");
	assert_true(writes(b, A, page(b, 0)));
	assert_true(writes(b, A + 5 * PAGE, page(b, 5)));
	assert_false(writes(b, A + 6 * PAGE, page(b, 9)));
	assert_ok(ioasid_unmap(s, A, 6 * PAGE, &b->err), &b->err);
	assert_false(writes(b, A + 5 * PAGE, page(b, 5)));
	bench_end(b);
}

static void a_batch_is_mapped_whole_or_not_at_all(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");
	struct ioasid_mapping m[3];

	for (unsigned int i = 0; i < 3; i++)
		m[i] = (struct ioasid_mapping){ .iova = A + i * PAGE,
						.size = PAGE,
						.hva = page(b, 1 + i),
						.rights = RW,
						.fd = IOASID_NO_FD };
	map_page(b, s, A + 2 * PAGE, 8, RW);
	attach(b, s);
	refused(b, ioasid_map_batch(s, m, 3, &b->err), EEXIST, "overlaps");
	assert_false(writes(b, A, page(b, 1)));
	assert_ok(ioasid_map_batch(s, m, 2, &b->err), &b->err);
	assert_true(writes(b, A + PAGE, page(b, 2)));
	bench_end(b);
}

static void a_copy_moves_and_outlives_its_original(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *from = space_of(b, "from"), *to = space_of(b, "to");
	struct ioasid_copy copy = {
		.from = from, .from_iova = A, .iova = B, .size = 2 * PAGE, .rights = RW
	};

	refused(b, ioasid_copy(to, &copy, &b->err), ENOENT, "nothing is mapped");
	map_page(b, from, A, 1, RW);
	map_page(b, from, A + PAGE, 5, IOASID_READ);
	attach(b, to);
	assert_ok(ioasid_copy(to, &copy, &b->err), &b->err);
	refused(b, ioasid_copy(to, &copy, &b->err), EEXIST, "overlaps");
	ioasid_destroy(from);
	assert_true(writes(b, B, page(b, 1)));
	assert_false(writes(b, B + PAGE, page(b, 5)));
	assert_true(reads(b, B + PAGE, page(b, 5), B, page(b, 1)));
	assert_ok(ioasid_unmap(to, B, 2 * PAGE, &b->err), &b->err);
	assert_false(writes(b, B, page(b, 1)));
	bench_end(b);
}

static void maps_and_unmaps_are_counted_with_their_time(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s"), *other = space_of(b, "other");
	struct ioasid_copy copy = {
		.from = s, .from_iova = A, .iova = B, .size = PAGE, .rights = RW
	};
	struct ioasid_space_stats stats;

	ioasid_space_stats(s, &stats);
	assert_int_equal(stats.maps + stats.map_ns + stats.unmaps + stats.unmap_ns, 0);
	map_page(b, s, A, 1, RW);
	refused(b, ioasid_map_hva(s, A, PAGE, page(b, 2), RW, &b->err), EEXIST, "overlaps");
	assert_ok(ioasid_copy(other, &copy, &b->err), &b->err);
	assert_ok(ioasid_unmap(s, A, PAGE, &b->err), &b->err);
	ioasid_space_stats(s, &stats);
	assert_int_equal(stats.maps, 2);
	assert_int_equal(stats.map_bytes, PAGE);
	assert_true(stats.map_longest_ns > 0 && stats.map_longest_ns <= stats.map_ns);
	assert_int_equal(stats.unmaps, 1);
	assert_true(stats.unmap_ns > 0 && stats.unmap_longest_ns == stats.unmap_ns);
	/* A range that no provider is asked for is no call. */
	assert_int_equal(ioasid_map_hva(s, A + 1, PAGE, page(b, 2), RW, NULL), -EINVAL);
	assert_int_equal(ioasid_unmap(s, A + 1, PAGE, NULL), -EINVAL);
	ioasid_space_stats(s, &stats);
	assert_int_equal(stats.maps + stats.unmaps, 3);
	ioasid_space_stats(other, &stats);
	assert_int_equal(stats.maps + stats.unmaps, 1);
	assert_int_equal(stats.map_bytes, PAGE);
	bench_end(b);
}

static void the_device_says_what_it_is(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_device_info info;
	bool found = false;

	ioasid_device_info(b->device, &info);
	assert_string_equal(info.label, "edu");
	assert_true(info.page_sizes & PAGE);
	assert_true(info.n_iova > 0 && info.iova[0].first == info.iova_first);
	assert_true(info.iova[info.n_iova - 1].last == info.iova_last);
	assert_false(info.emulated);
	if (b->row->kernel) {
		assert_string_equal(info.name, row_bdf(b->row));
		assert_true(info.snoop != IOASID_SNOOP_NONE);
		assert_int_equal(info.isolation, IOASID_ISOLATION_RID);
		assert_int_equal(info.pasid_width, 0);
		assert_true(info.group >= 0 && info.n_members == 1);
		assert_string_equal(info.members[0].name, row_bdf(b->row));
		assert_string_equal(info.members[0].driver, "vfio-pci");
		assert_true(ioasid_device_fd(b->device) >= 0 && ioasid_ctx_fd(b->ctx) >= 0);
		for (size_t i = 0; i < info.n_reserved; i++)
			found |= info.reserved[i].first == 0xfee00000;
		assert_true(found || b->row->fake);
		print_message("%s: %s, snooping %s, %zu ranges to %#llx\n", b->row->name, info.hw,
			      info.snoop == IOASID_SNOOP_ENFORCED ? "enforced" : "not enforced",
			      info.n_iova, (unsigned long long)info.iova_last);
	} else {
		assert_int_equal(info.isolation, IOASID_ISOLATION_SOFTWARE);
	}
	bench_end(b);
}

static void what_is_reserved_is_not_mapped(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s"), *early = space_of(b, "early");

	if (!b->row->kernel) {
		bench_end(b);
		skip_because("soft reserves nothing");
	}
	attach(b, s);
	assert_true(ioasid_map_hva(s, 0xfee00000, PAGE, page(b, 1), RW, &b->err) < 0);
	assert_non_null(strstr(b->err.text, "0xfee00000"));
	map_page(b, s, A, 1, RW);
	map_page(b, early, 0xfee00000, 2, RW);
	map_page(b, early, A, 3, RW);
	assert_true(ioasid_attach(b->device, early, &b->err) < 0);
	/* It is where it was. */
	assert_ptr_equal(ioasid_device_space(b->device), s);
	assert_true(writes(b, A, page(b, 1)));
	bench_end(b);
}

static void snoop_policies_hold_to_what_the_iommu_says(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space_options options = { .name = "enforce", .snoop = IOASID_SNOOP_ENFORCE };
	struct ioasid_space *enforce, *allow;
	struct ioasid_device_info info;

	ioasid_device_info(b->device, &info);
	assert_ok(ioasid_alloc(b->ctx, &options, &enforce, &b->err), &b->err);
	options = (struct ioasid_space_options){ .name = "allow", .snoop = IOASID_SNOOP_ALLOW };
	assert_ok(ioasid_alloc(b->ctx, &options, &allow, &b->err), &b->err);
	map_page(b, enforce, A, 1, RW);
	map_page(b, allow, A, 1, RW);
	if (info.snoop == IOASID_SNOOP_ENFORCED) {
		refused(b, ioasid_attach(b->device, allow, &b->err), EOPNOTSUPP, "no way to stop");
		attach(b, enforce);
	} else {
		refused(b, ioasid_attach(b->device, enforce, &b->err), EINVAL, "cannot");
		attach(b, allow);
	}
	assert_true(writes(b, A, page(b, 1)));
	bench_end(b);
}

static void what_a_provider_lacks_is_refused(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s"), *made;
	const struct ioasid_space_options options[] = {
		{ .name = "faults", .faults = true },
		{ .name = "dirty", .dirty = true },
		{ .name = "parent", .nest_parent = true },
	};
	struct ioasid_caps caps;
	struct ioasid_pasid *pasid;
	bool has[3];

	ioasid_ctx_caps(b->ctx, &caps);
	has[0] = caps.faults != IOASID_FAULTS_NONE;
	has[1] = caps.dirty;
	has[2] = caps.nesting;
	for (unsigned int i = 0; i < 3; i++) {
		int r = ioasid_alloc(b->ctx, &options[i], &made, &b->err);

		if (has[i])
			assert_ok(r, &b->err);
		else
			refused(b, r, EOPNOTSUPP, ioasid_ctx_provider(b->ctx));
	}
	if (b->row->kernel)
		refused(b, ioasid_pasid_attach(b->device, s, 1, &pasid, &b->err), EOPNOTSUPP,
			"no PASIDs");
	if (b->row->provider == IOASID_PROVIDER_TYPE1)
		assert_false(caps.pasids || caps.atomic_replace || caps.copy || caps.nesting ||
			     caps.dirty || caps.faults);
	bench_end(b);
}

static void memory_is_counted_while_it_is_pinned(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");
	struct ioasid_memory memory;

	map_page(b, s, A, 1, RW);
	map_page(b, s, B, 2, RW);
	attach(b, s);
	ioasid_memory(b->ctx, &memory);
	assert_int_equal(memory.pinned, b->row->kernel ? 2 * PAGE : 0);
	assert_true(b->row->kernel == (memory.accounting != IOASID_ACCOUNTING_NONE));
	assert_ok(ioasid_unmap(s, A, PAGE, &b->err), &b->err);
	ioasid_memory(b->ctx, &memory);
	assert_int_equal(memory.pinned, b->row->kernel ? PAGE : 0);
	ioasid_destroy(s);
	ioasid_memory(b->ctx, &memory);
	assert_int_equal(memory.pinned, 0);
	bench_end(b);
}

/* --- every order of closing: nothing moves afterwards ---------------------------------------- */

enum step {
	STEP_UNMAP,
	STEP_DETACH,
	STEP_DESTROY,
	STEP_UNBIND,
	STEPS
};

static void take_step(struct bench *b, struct ioasid_space *s, unsigned int step, const bool *done)
{
	switch (step) {
	case STEP_UNMAP:
		if (!done[STEP_DESTROY])
			assert_ok(ioasid_unmap(s, A, PAGE, &b->err), &b->err);
		break;
	case STEP_DETACH:
		if (!done[STEP_UNBIND])
			assert_ok(ioasid_detach(b->device, &b->err), &b->err);
		break;
	case STEP_DESTROY:
		ioasid_destroy(s);
		break;
	default:
		ioasid_unbind(b->device);
		break;
	}
}

/* edu's registers stay mapped, and with them its descriptor open, to the end: it can still try. */
static void close_in_order(struct bench *b, unsigned int order)
{
	struct ioasid_space *s = space_of(b, "s");
	bool done[STEPS] = { false };

	map_page(b, s, A, 1, RW);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	for (unsigned int left = STEPS; left; left--) {
		unsigned int skipped = order % left, step = 0;

		order /= left;
		while (done[step] || skipped--)
			step++;
		take_step(b, s, step, done);
		done[step] = true;
		if (b->row->kernel || !done[STEP_UNBIND])
			assert_false(writes(b, A, page(b, 1)));
	}
	edu_close(b);
	assert_ok(bench_bind(b), &b->err);
	edu_arm(b);
}

static void every_order_of_closing_leaves_nothing_moving(void **state)
{
	struct bench b_, *b = start(state, &b_);

	for (unsigned int order = 0; order < 24; order++)
		close_in_order(b, order);
	bench_end(b);
}

static void closing_the_context_stops_all(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_space *s = space_of(b, "s");

	if (!b->row->kernel) {
		bench_end(b);
		skip_because("a model ends with its context");
	}
	map_page(b, s, A, 1, RW);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	ioasid_ctx_close(b->ctx);
	assert_false(writes(b, A, page(b, 1)));
	edu_close(b);
	/* The device can be had again, by a new context. */
	assert_ok(bench_open(b), &b->err);
	assert_ok(bench_bind(b), &b->err);
	edu_arm(b);
	s = space_of(b, "again");
	map_page(b, s, A, 1, RW);
	attach(b, s);
	assert_true(writes(b, A, page(b, 1)));
	bench_end(b);
}

/* Has the device begin a transfer to A, says so, and waits to be killed. */
static void begin_and_wait(struct bench *b, int said)
{
	struct ioasid_space *s;

	assert_ok(bench_open(b), &b->err);
	assert_ok(bench_bind(b), &b->err);
	edu_arm(b);
	s = space_of(b, "s");
	map_page(b, s, A, 1, RW);
	attach(b, s);
	memset(page(b, 1), 0, 16);
	edu_set(b, EDU_FROM, EDU_BUFFER);
	edu_set(b, EDU_TO, A);
	edu_set(b, EDU_COUNT, 16);
	edu_set(b, EDU_COMMAND, EDU_START | EDU_OUT);
	if (write(said, "", 1) == 1)
		pause();
	_exit(1);
}

/* False: the device had moved its bytes before that. */
static bool killed_in_time(struct bench *b)
{
	int said[2], status;
	char byte;
	pid_t child;

	assert_int_equal(pipe(said), 0);
	child = fork();
	if (!child)
		begin_and_wait(b, said[1]);
	close(said[1]);
	assert_int_equal(read(said[0], &byte, 1), 1);
	close(said[0]);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	return !page(b, 1)[0];
}

static void a_transfer_of_who_was_killed_moves_nothing_after(void **state)
{
	struct bench b_, *b = start(state, &b_);
	bool in_time = false;

	if (!b->row->kernel || b->row->fake) {
		bench_end(b);
		skip_because("%s has no DMA that goes on by itself", b->row->name);
	}
	edu_close(b);
	ioasid_ctx_close(b->ctx);
	for (unsigned int tries = 0; !in_time && tries < 20; tries++)
		in_time = killed_in_time(b);
	assert_ok(bench_open(b), &b->err);
	assert_ok(bench_bind(b), &b->err);
	edu_open(b);
	/* The device goes on until it is done, to where it may no longer. */
	while (*(volatile uint64_t *)(b->bar + EDU_COMMAND) & EDU_START)
		usleep(2000);
	if (in_time)
		assert_int_equal(page(b, 1)[0], 0);
	bench_end(b);
	if (!in_time)
		skip_because("the machine is too slow to be killed within a transfer of edu");
}

/* --- who may have a device ------------------------------------------------------------------- */

static void a_device_is_had_once(void **state)
{
	struct bench b_, *b = start(state, &b_), other = { .row = b->row, .seam = b->seam };

	if (!b->row->kernel || b->row->fake) {
		bench_end(b);
		skip_because("%s: models are made, not had", b->row->name);
	}
	assert_ok(bench_open(&other), &other.err);
	/* A group's node cannot even be opened twice. */
	if (b->row->provider == IOASID_PROVIDER_TYPE1)
		assert_true(open_vfio(edu_bdf(), true) < 0 && errno == EBUSY);
	else
		refused(&other, bench_bind(&other), EBUSY, "bound already");
	ioasid_ctx_close(other.ctx);
	bench_end(b);
}

/* ADIT_TEST_SHARED: a function on vfio-pci whose group has a member that a host driver holds. */
static void a_partial_group_is_refused_by_name(void **state)
{
	const char *shared = getenv("ADIT_TEST_SHARED");
	const struct row *row = *state;
	struct bench b = { .row = row, .seam = &ioasid_seam_kernel };
	struct ioasid_source source;

	need_row(row);
	if (!row->kernel || row->fake || !shared)
		skip_because("%s: ADIT_TEST_SHARED names no function of a partly held group",
			     row->name);
	assert_ok(bench_open(&b), &b.err);
	source = row_source(row, shared);
	refused(&b, ioasid_bind(b.ctx, &source, "shared", &b.device, &b.err), EPERM,
		"is held by driver");
	print_message("%s: %s\n", row->name, b.err.text);
	assert_non_null(strstr(b.err.text, "shared: IOMMU group"));
	assert_non_null(strstr(b.err.text, "give it to vfio-pci"));
	source_close(&source);
	ioasid_ctx_close(b.ctx);
}

/* ADIT_TEST_GROUP: two functions on vfio-pci that are all of a group. */
static void a_group_goes_to_one_space(void **state)
{
	const char *pair = getenv("ADIT_TEST_GROUP");
	const struct row *row = *state;
	struct bench b = { .row = row, .seam = &ioasid_seam_kernel };
	struct ioasid_device *device[2];
	struct ioasid_space *one, *two;
	struct ioasid_device_info info;
	char name[2][16];
	int group = -1;

	need_row(row);
	if (!row->kernel || row->fake || !pair)
		skip_because("%s: ADIT_TEST_GROUP names no two functions of a group", row->name);
	assert_int_equal(sscanf(pair, "%15s %15s", name[0], name[1]), 2);
	assert_ok(bench_open(&b), &b.err);
	for (unsigned int i = 0; i < 2; i++) {
		struct ioasid_source source = row_source(row, name[i]);

		/* A group's node opens once: its second device comes with a dup of that. */
		if (source.type == IOASID_SOURCE_GROUP && !i)
			group = dup(source.group.fd);
		else if (source.type == IOASID_SOURCE_GROUP)
			source.group.fd = group;
		assert_ok(ioasid_bind(b.ctx, &source, name[i], &device[i], &b.err), &b.err);
	}
	ioasid_device_info(device[1], &info);
	assert_true(info.n_members >= 2); /* the bridge is one too */
	one = space_of(&b, "one");
	two = space_of(&b, "two");
	assert_ok(ioasid_attach(device[0], one, &b.err), &b.err);
	refused(&b, ioasid_attach(device[1], two, &b.err), EINVAL, "shares IOMMU group");
	assert_ok(ioasid_attach(device[1], one, &b.err), &b.err);
	assert_ok(ioasid_attach(device[1], two, &b.err), &b.err);
	assert_ptr_equal(ioasid_device_space(device[0]), two);
	assert_ok(ioasid_detach(device[0], &b.err), &b.err);
	ioasid_destroy(one);
	assert_ok(ioasid_attach(device[0], two, &b.err), &b.err);
	ioasid_unbind(device[1]);
	ioasid_destroy(two);
	assert_null(ioasid_device_space(device[0]));
	ioasid_ctx_close(b.ctx);
}

/* ADIT_TEST_EDU2: another edu on vfio-pci, in a group of its own. */
static void groups_of_a_context_reach_what_each_is_attached_to(void **state)
{
	const char *second = getenv("ADIT_TEST_EDU2");
	struct bench b_, other, *b = start(state, &b_), *both[2] = { b, &other };
	struct ioasid_space *one, *two;
	struct ioasid_source source;
	struct ioasid_memory memory;

	if (!b->row->kernel || b->row->fake || !second) {
		bench_end(b);
		skip_because("%s: ADIT_TEST_EDU2 names no second edu function", b->row->name);
	}
	other = *b;
	other.bar = NULL;
	source = row_source(b->row, second);
	assert_ok(ioasid_bind(b->ctx, &source, "second", &other.device, &b->err), &b->err);
	edu_arm(&other);
	one = space_of(b, "one");
	two = space_of(b, "two");
	map_page(b, one, A, 1, RW);
	map_page(b, two, A, 3, RW);
	attach(b, one);
	assert_false(writes(&other, A, page(b, 1)));
	attach(&other, one);
	map_page(b, one, B, 2, RW);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(writes(both[i], A, page(b, 1)));
		assert_true(writes(both[i], B, page(b, 2)));
	}
	/* type1 pins for each of them. */
	ioasid_memory(b->ctx, &memory);
	assert_int_equal(memory.pinned, (b->row->provider == IOASID_PROVIDER_TYPE1 ? 4 : 2) * PAGE);

	attach(&other, two);
	assert_true(writes(&other, A, page(b, 3)));
	assert_false(writes(&other, B, page(b, 2)));
	assert_true(writes(b, A, page(b, 1)));
	assert_ok(ioasid_unmap(one, A, PAGE, &b->err), &b->err);
	assert_true(writes(&other, A, page(b, 3)));
	assert_ok(ioasid_detach(b->device, &b->err), &b->err);
	assert_false(writes(b, B, page(b, 2)));
	attach(b, two);
	assert_ok(ioasid_unmap(two, A, PAGE, &b->err), &b->err);
	for (unsigned int i = 0; i < 2; i++)
		assert_false(writes(both[i], A, page(b, 3)));

	map_page(b, two, A, 4, RW);
	edu_close(&other);
	ioasid_unbind(other.device);
	assert_true(writes(b, A, page(b, 4)));
	bench_end(b);
}

static void bind_together(struct bench *b, const char *bdf)
{
	struct ioasid_source source = row_source(b->row, bdf);

	source.group.together = true;
	assert_ok(ioasid_bind(b->ctx, &source, bdf, &b->device, &b->err), &b->err);
}

/* As a VM binds its devices: what one reaches the other does, and memory is pinned once. */
static void groups_that_are_bound_together_are_one(void **state)
{
	const char *second = getenv("ADIT_TEST_EDU2");
	struct bench b_, other, *b = start(state, &b_);
	struct ioasid_space *one, *two;
	struct ioasid_memory memory;

	if (b->row->provider != IOASID_PROVIDER_TYPE1 || b->row->fake || !second) {
		bench_end(b);
		skip_because("%s: no containers, or ADIT_TEST_EDU2 names no second edu function",
			     b->row->name);
	}
	edu_close(b);
	ioasid_unbind(b->device);
	bind_together(b, row_bdf(b->row));
	edu_arm(b);
	other = *b;
	other.bar = NULL;
	bind_together(&other, second);
	edu_arm(&other);
	one = space_of(b, "one");
	two = space_of(b, "two");
	map_page(b, one, A, 1, RW);
	map_page(b, two, A, 3, RW);
	assert_false(writes(b, A, page(b, 1)));
	attach(b, one);
	assert_true(writes(&other, A, page(b, 1)));
	refused(b, ioasid_attach(other.device, two, &b->err), EINVAL, "was bound together with");
	attach(&other, one);
	map_page(b, one, B, 2, RW);
	assert_true(writes(b, B, page(b, 2)));
	assert_true(writes(&other, B, page(b, 2)));
	ioasid_memory(b->ctx, &memory);
	assert_int_equal(memory.pinned, 2 * PAGE);

	attach(&other, two);
	assert_ptr_equal(ioasid_device_space(b->device), two);
	assert_true(writes(b, A, page(b, 3)));
	assert_false(writes(b, B, page(b, 2)));
	assert_ok(ioasid_detach(b->device, &b->err), &b->err);
	assert_true(writes(b, A, page(b, 3)));
	edu_close(&other);
	ioasid_unbind(other.device);
	assert_false(writes(b, A, page(b, 3)));

	/* One that comes later, and goes. */
	attach(b, two);
	bind_together(&other, second);
	edu_open(&other);
	memset(page(b, 3), PATTERN, 16);
	edu_move(&other, A, 16, false);
	assert_true(writes(&other, A, page(b, 3)));
	attach(&other, two);
	ioasid_memory(b->ctx, &memory);
	assert_int_equal(memory.pinned, PAGE);
	edu_close(&other);
	ioasid_unbind(other.device);
	assert_true(writes(b, A, page(b, 3)));
	bench_end(b);
}

/* What a descriptor is is read from it. */
static void a_descriptor_is_believed_only_as_far_as_it_shows(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_source source = { .type = IOASID_SOURCE_CDEV };
	struct ioasid_device *device;

	if (!b->row->kernel || b->row->fake) {
		bench_end(b);
		skip_because("%s has no descriptors of a kernel", b->row->name);
	}
	if (b->row->provider == IOASID_PROVIDER_TYPE1)
		source = (struct ioasid_source){ .type = IOASID_SOURCE_GROUP,
						 .group = { .name = row_bdf(b->row) } };
	source.cdev.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	refused(b, ioasid_bind(b->ctx, &source, "null", &device, &b->err), EINVAL, "is no VFIO");
	close(source.cdev.fd);
	source.cdev.fd = b->memfd;
	refused(b, ioasid_bind(b->ctx, &source, "memfd", &device, &b->err), EINVAL,
		"no character device");
	source.type = b->row->provider == IOASID_PROVIDER_TYPE1 ? IOASID_SOURCE_CDEV
								: IOASID_SOURCE_GROUP;
	refused(b, ioasid_bind(b->ctx, &source, "other", &device, &b->err), ENOTSUP, "provider");
	bench_end(b);
}

static void a_vf_is_had_with_its_token_alone(void **state)
{
	struct bench b_, *b = start(state, &b_);
	struct ioasid_source source;

	if (!b->row->fake) {
		bench_end(b);
		skip_because("%s: nobody holds the function that this one would be of",
			     b->row->name);
	}
	ioasid_unbind(b->device);
	b->fake->vf_token = "83b8f4f2-509f-382f-3c1e-E6bfe0fa1001";
	memcpy(b->fake->vf_token_bytes,
	       "\x83\xb8\xf4\xf2\x50\x9f\x38\x2f\x3c\x1e\xe6\xbf\xe0\xfa\x10\x01", 16);
	source = row_source(b->row, row_bdf(b->row));
	refused(b, ioasid_bind(b->ctx, &source, "vf", &b->device, &b->err), EACCES,
		"give the VF token");
	source.vf_token = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002";
	refused(b, ioasid_bind(b->ctx, &source, "vf", &b->device, &b->err), EACCES, "is not the");
	source.vf_token = "83b8f4f2-509f-382f-3c1e-e6bfe0fa10010";
	refused(b, ioasid_bind(b->ctx, &source, "vf", &b->device, &b->err), EINVAL, "no UUID");
	source.vf_token = b->fake->vf_token;
	assert_ok(ioasid_bind(b->ctx, &source, "vf", &b->device, &b->err), &b->err);
	bench_end(b);
}

/* ADIT_TEST_MDEV: an mdev's UUID. */
static void an_mdev_has_no_iommu_of_its_own(void **state)
{
	const char *uuid = getenv("ADIT_TEST_MDEV");
	const struct row *row = *state;
	struct bench b = { .row = row, .seam = &ioasid_seam_kernel };
	struct ioasid_space_options options = { .name = "e", .snoop = IOASID_SNOOP_ENFORCE };
	struct ioasid_space *s, *enforce;
	struct ioasid_source source;
	struct ioasid_device_info info;

	need_row(row);
	if (!row->kernel || row->fake || !uuid)
		skip_because("%s: ADIT_TEST_MDEV names no mdev", row->name);
	bench_memory(&b);
	assert_ok(bench_open(&b), &b.err);
	source = row_source(row, uuid);
	assert_ok(ioasid_bind(b.ctx, &source, "mdev", &b.device, &b.err), &b.err);
	ioasid_device_info(b.device, &info);
	assert_true(info.emulated);
	assert_string_equal(info.name, uuid);
	assert_string_equal(info.hw, "none");
	assert_int_equal(info.isolation, IOASID_ISOLATION_VENDOR);
	assert_int_equal(info.snoop, IOASID_SNOOP_NONE);
	assert_true(ioasid_device_fd(b.device) >= 0);
	s = space_of(&b, "s");
	assert_ok(ioasid_alloc(b.ctx, &options, &enforce, &b.err), &b.err);
	map_page(&b, s, A, 1, RW);
	refused(&b, ioasid_attach(b.device, enforce, &b.err), EINVAL, "no IOMMU of its own");
	assert_ok(ioasid_attach(b.device, s, &b.err), &b.err);
	map_page(&b, s, B, 2, RW);
	assert_ok(ioasid_unmap(s, A, PAGE, &b.err), &b.err);
	assert_ok(ioasid_detach(b.device, &b.err), &b.err);
	assert_ok(ioasid_attach(b.device, s, &b.err), &b.err);
	bench_end(&b);
}

static const struct row rows[] = {
	{ "soft", IOASID_PROVIDER_SOFT, false, false },
	{ "fake iommufd", IOASID_PROVIDER_IOMMUFD, true, true },
	{ "fake type1", IOASID_PROVIDER_TYPE1, true, true },
	{ "iommufd", IOASID_PROVIDER_IOMMUFD, true, false },
	{ "type1", IOASID_PROVIDER_TYPE1, true, false },
};

int main(void)
{
	static const struct CMUnitTest suite[] = {
		cmocka_unit_test(nothing_moves_before_the_first_attach),
		cmocka_unit_test(moves_while_mapped_and_attached),
		cmocka_unit_test(moves_nothing_after_unmap),
		cmocka_unit_test(moves_nothing_after_detach),
		cmocka_unit_test(moves_nothing_after_destroy),
		cmocka_unit_test(moves_into_the_space_that_it_is_moved_to),
		cmocka_unit_test(writes_nothing_where_it_may_only_read),
		cmocka_unit_test(refusals_change_nothing),
		cmocka_unit_test(a_batch_is_mapped_whole_or_not_at_all),
		cmocka_unit_test(a_copy_moves_and_outlives_its_original),
		cmocka_unit_test(maps_and_unmaps_are_counted_with_their_time),
		cmocka_unit_test(the_device_says_what_it_is),
		cmocka_unit_test(what_is_reserved_is_not_mapped),
		cmocka_unit_test(snoop_policies_hold_to_what_the_iommu_says),
		cmocka_unit_test(what_a_provider_lacks_is_refused),
		cmocka_unit_test(memory_is_counted_while_it_is_pinned),
		cmocka_unit_test(every_order_of_closing_leaves_nothing_moving),
		cmocka_unit_test(closing_the_context_stops_all),
		cmocka_unit_test(a_transfer_of_who_was_killed_moves_nothing_after),
		cmocka_unit_test(a_device_is_had_once),
		cmocka_unit_test(a_partial_group_is_refused_by_name),
		cmocka_unit_test(a_group_goes_to_one_space),
		cmocka_unit_test(groups_of_a_context_reach_what_each_is_attached_to),
		cmocka_unit_test(groups_that_are_bound_together_are_one),
		cmocka_unit_test(a_descriptor_is_believed_only_as_far_as_it_shows),
		cmocka_unit_test(a_vf_is_had_with_its_token_alone),
		cmocka_unit_test(an_mdev_has_no_iommu_of_its_own),
	};

	return run_rows(rows, ARRAY_SIZE(rows), suite, ARRAY_SIZE(suite));
}
