/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the soft provider can show on every machine: faults of all blocked accesses, page
 * requests, groups, chosen capabilities, nesting over real tables, and dirty logs.
 */
#include "tests/unit/soft-bench.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "ioasid-client/pasid-table.h"
#include "util/bits.h"

#define VTD IOASID_FORMAT_BIT(IOASID_FORMAT_VTD_S1)

/* A device of all capabilities. */
static int setup_model(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	f->device = bind_model(f, "all",
			       (struct ioasid_soft_device){ .pasid_width = 20,
							    .snoop_enforced = true,
							    .page_requests = true,
							    .nesting = VTD,
							    .dirty = true });
	return 0;
}

static void *reach_word(struct fixture *f, const struct ioasid_device *device, uint32_t pasid,
			uint64_t iova, unsigned int rights)
{
	uint64_t len = 8;

	return reach(f, device, pasid, iova, &len, rights);
}

/* --- faults ---------------------------------------------------------------------------------- */

static struct ioasid_fault one_fault(struct fixture *f)
{
	struct ioasid_fault fault[2];
	uint64_t lost;
	size_t got;

	assert_ok(ioasid_faults_read(f->ctx, fault, 2, &got, &lost, &f->err), &f->err);
	assert_int_equal(got, 1);
	assert_int_equal(lost, 0);
	return fault[0];
}

static bool readable(struct fixture *f)
{
	struct pollfd poll_fd = { .events = POLLIN };

	assert_ok(ioasid_faults_fd(f->ctx, &poll_fd.fd, &f->err), &f->err);
	return poll(&poll_fd, 1, 0) == 1;
}

static void blocked_access_is_reported_with_all_that_is_known(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space =
		alloc_with(f, (struct ioasid_space_options){ .pasid_capable = true });
	struct ioasid_fault fault;
	struct ioasid_pasid *pasid;
	struct pasid_table *table;
	struct epoch epoch;

	epoch_init(&epoch);
	assert_ok(pasid_table_create(&table, &epoch, &f->err), &f->err);
	assert_ok(ioasid_pasid_attach(f->device, space, 77, &pasid, &f->err), &f->err);
	assert_ok(pasid_table_bind(table, 5, pasid, &f->err), &f->err);
	assert_false(readable(f));
	assert_null(reach_word(f, f->device, 77, 3 * PAGE + 16, IOASID_WRITE));
	assert_true(readable(f));
	fault = one_fault(f);
	assert_string_equal(fault.label, "all");
	assert_int_equal(fault.host_pasid, 77);
	assert_int_equal(fault.guest_pasid, 5);
	assert_int_equal(fault.iova, 3 * PAGE + 16);
	assert_int_equal(fault.length, 8);
	assert_int_equal(fault.rights, IOASID_WRITE);
	assert_false(fault.waits);
	assert_false(readable(f));
	pasid_table_destroy(table);
	epoch_destroy(&epoch);
}

static void every_way_of_being_blocked_is_a_fault(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_with(f, (struct ioasid_space_options){ 0 });

	assert_null(reach_word(f, f->device, 0, 0, IOASID_READ)); /* not attached */
	one_fault(f);
	attach_to(f, f->device, space);
	assert_null(reach_word(f, f->device, 0, 0, IOASID_READ)); /* not mapped */
	one_fault(f);
	map(f, space, 0, PAGE, f->memory, IOASID_READ);
	assert_null(reach_word(f, f->device, 0, 0, IOASID_WRITE)); /* without the right */
	one_fault(f);
	assert_null(reach_word(f, f->device, 9, 0, IOASID_READ)); /* a PASID that nobody attached */
	assert_int_equal(one_fault(f).host_pasid, 9);
	assert_non_null(reach_word(f, f->device, 0, 0, IOASID_READ));
	assert_false(readable(f));
}

static void faults_past_the_ring_are_counted(void **state)
{
	struct ioasid_fault fault[512];
	struct fixture *f = *state;
	uint64_t lost;
	size_t got;

	for (uint64_t i = 0; i < 1000; i++)
		assert_null(reach_word(f, f->device, 0, i * PAGE, IOASID_READ));
	assert_ok(ioasid_faults_read(f->ctx, fault, 512, &got, &lost, &f->err), &f->err);
	assert_int_equal(got + lost, 1000);
	assert_in_range(got, 1, 511);
	for (size_t i = 0; i < got; i++)
		assert_int_equal(fault[i].iova, i * PAGE);
	assert_ok(ioasid_faults_read(f->ctx, fault, 512, &got, &lost, &f->err), &f->err);
	assert_int_equal(got + lost, 0);
}

/* --- page requests --------------------------------------------------------------------------- */

static uint64_t request(struct fixture *f, uint32_t pasid, uint64_t iova)
{
	assert_null(reach_word(f, f->device, pasid, iova, IOASID_READ | IOASID_PAGE_REQUEST));
	return ioasid_dma_request(f->dma);
}

static void page_request_waits_for_its_answer(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_with(f, (struct ioasid_space_options){ .faults = true });
	struct ioasid_fault fault;
	uint64_t cookie;

	attach_to(f, f->device, space);
	cookie = request(f, 0, PAGE);
	assert_int_not_equal(cookie, 0);
	assert_int_equal(ioasid_dma_answer(f->dma, cookie), -EAGAIN);
	fault = one_fault(f);
	assert_true(fault.waits && fault.last);
	assert_int_equal(fault.rights, IOASID_READ);
	map(f, space, PAGE, PAGE, f->memory, RW);
	assert_ok(ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_RETRY, &f->err),
		  &f->err);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), 0);
	assert_ptr_equal(reach_word(f, f->device, 0, PAGE, IOASID_READ | IOASID_PAGE_REQUEST),
			 f->memory);
	refused(f, ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_RETRY, &f->err),
		ENOENT, "no device waits");

	cookie = request(f, 0, 0);
	fault = one_fault(f);
	assert_ok(ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_INVALID, &f->err),
		  &f->err);
	assert_int_equal(ioasid_dma_answer(f->dma, cookie), -EFAULT);
	assert_int_equal(ioasid_dma_answer(f->dma, cookie), -EFAULT);
}

static void request_needs_device_space_and_wish(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *with = alloc_with(f, (struct ioasid_space_options){ .faults = true });
	struct ioasid_space *without = alloc_with(f, (struct ioasid_space_options){ 0 });
	struct ioasid_device *plain = bind_model(f, "plain", (struct ioasid_soft_device){ 0 });

	attach_to(f, f->device, without);
	assert_int_equal(request(f, 0, 0), 0);
	assert_false(one_fault(f).waits);
	attach_to(f, f->device, with);
	assert_null(reach_word(f, f->device, 0, 0, IOASID_READ));
	assert_int_equal(ioasid_dma_request(f->dma), 0);
	assert_false(one_fault(f).waits);
	attach_to(f, plain, with);
	assert_null(reach_word(f, plain, 0, 0, IOASID_READ | IOASID_PAGE_REQUEST));
	assert_int_equal(ioasid_dma_request(f->dma), 0);
	assert_false(one_fault(f).waits);
}

static void whatever_takes_the_space_away_answers(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space_options options = { .faults = true, .pasid_capable = true };
	struct ioasid_space *space = alloc_with(f, options), *other = alloc_with(f, options);
	struct ioasid_pasid *pasid;
	uint64_t cookie;

	attach_to(f, f->device, space);
	cookie = request(f, 0, 0);
	attach_to(f, f->device, other);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), -EFAULT);
	cookie = request(f, 0, 0);
	assert_ok(ioasid_detach(f->device, &f->err), &f->err);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), -EFAULT);
	assert_ok(ioasid_pasid_attach(f->device, space, 4, &pasid, &f->err), &f->err);
	cookie = request(f, 4, 0);
	assert_ok(ioasid_pasid_replace(pasid, other, &f->err), &f->err);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), -EFAULT);
	cookie = request(f, 4, 0);
	ioasid_destroy(other);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), -EFAULT);
	assert_int_equal(request(f, 4, 0), 0);
	ioasid_pasid_detach(pasid);
	attach_to(f, f->device, space);
	cookie = request(f, 0, 0);
	ioasid_dma_refuse(f->dma, true);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), -EFAULT);
	assert_int_equal(request(f, 0, 0), 0);
	ioasid_dma_refuse(f->dma, false);
	assert_int_not_equal(request(f, 0, 0), 0);
}

static void *answer_thread(void *arg)
{
	struct fixture *f = arg;
	struct ioasid_fault fault;
	uint64_t lost;
	size_t got = 0;

	while (!got) {
		if (ioasid_faults_read(f->ctx, &fault, 1, &got, &lost, NULL))
			return f;
		sched_yield();
	}
	return ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_RETRY, NULL) ? f : NULL;
}

static void wait_ends_with_the_answer_of_another_thread(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_with(f, (struct ioasid_space_options){ .faults = true });
	pthread_t thread;
	void *failed;

	attach_to(f, f->device, space);
	for (uint64_t i = 0; i < 50; i++) {
		assert_int_equal(pthread_create(&thread, NULL, answer_thread, f), 0);
		assert_int_equal(ioasid_dma_wait(f->dma, request(f, 0, i * PAGE)), 0);
		pthread_join(thread, &failed);
		assert_null(failed);
	}
}

/* --- groups and capabilities ----------------------------------------------------------------- */

static void members_of_a_group_reach_one_space(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *a = bind_model(f, "a", (struct ioasid_soft_device){ .group = 3 });
	struct ioasid_device *b = bind_model(f, "b", (struct ioasid_soft_device){ .group = 3 });
	struct ioasid_device *c = bind_model(f, "c", (struct ioasid_soft_device){ .group = 4 });
	struct ioasid_space *one = alloc_with(f, (struct ioasid_space_options){ .name = "one" });
	struct ioasid_space *two = alloc_with(f, (struct ioasid_space_options){ .name = "two" });

	map(f, one, 0, PAGE, f->memory, RW);
	map(f, two, 0, PAGE, f->memory + PAGE, RW);
	attach_to(f, a, one);
	attach_to(f, c, two);
	assert_ptr_equal(reach_word(f, b, 0, 0, IOASID_READ), f->memory);
	refused(f, ioasid_attach(b, two, &f->err), EINVAL, "group 3");
	attach_to(f, b, one);
	attach_to(f, a, two);
	assert_ptr_equal(reach_word(f, b, 0, 0, IOASID_READ), f->memory + PAGE);
	assert_ok(ioasid_detach(a, &f->err), &f->err);
	assert_ptr_equal(reach_word(f, a, 0, 0, IOASID_READ), f->memory + PAGE);
	ioasid_unbind(b);
	assert_null(reach_word(f, a, 0, 0, IOASID_READ));
	assert_ptr_equal(reach_word(f, c, 0, 0, IOASID_READ), f->memory + PAGE);
}

static void models_have_the_capabilities_that_were_chosen(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device_info info;

	ioasid_device_info(f->device, &info);
	assert_int_equal(info.pasid_width, 20);
	assert_int_equal(info.snoop, IOASID_SNOOP_ENFORCED);
	assert_int_equal(info.nesting, VTD);
	assert_true(info.dirty && info.page_requests && !info.emulated);
	ioasid_device_info(bind_model(f, "plain",
				      (struct ioasid_soft_device){
					      .addr_width = 39,
					      .reserved = { 0xfee00000, 0xfeefffff } }),
			   &info);
	assert_int_equal(info.snoop, IOASID_SNOOP_NOT_ENFORCED);
	assert_true(!info.dirty && !info.page_requests && !info.nesting && !info.pasid_width);
	assert_int_equal(info.iova_last, (1ULL << 39) - 1);
	assert_int_equal(info.n_reserved, 1);
	assert_int_equal(info.reserved[0].first, 0xfee00000);
}

static void model_that_cannot_be_is_refused(void **state)
{
	static const struct {
		struct ioasid_soft_device model;
		const char *names;
	} bad[] = {
		{ { .pasid_width = 21 }, "21 bits" },
		{ { .emulated = true, .nesting = VTD }, "emulated" },
		{ { .nesting = 1u << 7 }, "formats" },
		{ { .pasid_rights = IOASID_WRITE }, "PASID rights" },
		{ { .reserved = { 5, 4 } }, "reserved" },
		{ { .addr_width = 65 }, "65 bits" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct ioasid_source source = { .type = IOASID_SOURCE_SOFT,
						      .soft = bad[i].model };
		struct ioasid_device *device;

		refused(f, ioasid_bind(f->ctx, &source, "bad", &device, &f->err), EINVAL,
			bad[i].names);
	}
}

static void what_a_device_cannot_have_is_refused_in_either_order(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device *small =
		bind_model(f, "small",
			   (struct ioasid_soft_device){ .addr_width = 39,
							.reserved = { 0xfee00000, 0xfeefffff } });
	struct ioasid_space *space = alloc_with(f, (struct ioasid_space_options){ 0 });
	struct ioasid_space *log = alloc_with(f, (struct ioasid_space_options){ .dirty = true });

	map(f, space, 0xfee00000, PAGE, f->memory, RW);
	refused(f, ioasid_attach(small, space, &f->err), EINVAL, "reserved");
	assert_ok(ioasid_unmap(space, 0xfee00000, PAGE, &f->err), &f->err);
	map(f, space, 1ULL << 39, PAGE, f->memory, RW);
	refused(f, ioasid_attach(small, space, &f->err), EINVAL, "out of reach");
	assert_ok(ioasid_unmap(space, 1ULL << 39, PAGE, &f->err), &f->err);
	attach_to(f, small, space);
	refused(f, ioasid_map_hva(space, 0xfeeff000, PAGE, f->memory, RW, &f->err), EINVAL,
		"small");
	refused(f, ioasid_map_hva(space, 1ULL << 39, PAGE, f->memory, RW, &f->err), EINVAL,
		"small");
	map(f, space, 0xfef00000, PAGE, f->memory, RW);
	refused(f, ioasid_attach(small, log, &f->err), EOPNOTSUPP, "dirty");
	assert_ptr_equal(reach_word(f, small, 0, 0xfef00000, RW), f->memory);
}

/* --- nesting --------------------------------------------------------------------------------- */

#define PRESENT	 1u
#define WRITABLE 2u
#define USER	 4u
#define ACCESSED 0x20u
#define DIRTY	 0x40u
#define LARGE	 0x80u
#define ALL	 (PRESENT | WRITABLE | USER)
#define GUEST	 0x100000ULL /* where the fixture's memory is in the parent */

/* Tables in the fixture's memory: pages 0 to 3 are levels 4 to 1, page 4 on are data. */
struct nest {
	struct fixture *f;
	struct ioasid_space *parent, *child;
};

static uint64_t *entry(struct fixture *f, unsigned int page, unsigned int index)
{
	return (uint64_t *)(f->memory + page * PAGE) + index;
}

static void set_entry(struct fixture *f, unsigned int page, unsigned int index, uint64_t to_page,
		      uint64_t bits)
{
	__atomic_store_n(entry(f, page, index), (GUEST + to_page * PAGE) | bits, __ATOMIC_RELEASE);
}

static struct nest nest(struct fixture *f, uint64_t flags, unsigned int parent_rights)
{
	struct nest n = {
		.f = f,
		.parent = alloc_with(f, (struct ioasid_space_options){ .name = "parent",
								       .nest_parent = true }),
	};

	map(f, n.parent, GUEST, MEMORY_SIZE, f->memory, parent_rights);
	n.child = alloc_with(f, (struct ioasid_space_options){
					.name = "child",
					.parent = n.parent,
					.nesting = { .format = IOASID_FORMAT_VTD_S1,
						     .table = GUEST,
						     .addr_width = 48,
						     .flags = flags } });
	set_entry(f, 0, 0, 1, ALL);
	set_entry(f, 1, 0, 2, ALL);
	set_entry(f, 2, 0, 3, ALL);
	set_entry(f, 3, 0, 4, ALL);
	set_entry(f, 3, 1, 5, PRESENT | USER);
	set_entry(f, 3, 2, 6, PRESENT | WRITABLE);
	attach_to(f, f->device, n.child);
	return n;
}

static void *through(const struct nest *n, uint64_t iova, unsigned int rights)
{
	return reach_word(n->f, n->f->device, 0, iova, rights);
}

static void nested_space_walks_the_guests_tables(void **state)
{
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);

	assert_ptr_equal(through(&n, 8, RW), f->memory + 4 * PAGE + 8);
	assert_ptr_equal(through(&n, PAGE, IOASID_READ), f->memory + 5 * PAGE);
	assert_null(through(&n, PAGE, IOASID_WRITE));	   /* read only */
	assert_null(through(&n, 2 * PAGE, IOASID_READ));   /* the supervisor's */
	assert_null(through(&n, 3 * PAGE, IOASID_READ));   /* not present */
	assert_null(through(&n, 1ULL << 47, IOASID_READ)); /* not canonical */
	assert_null(through(&n, 0, IOASID_READ | IOASID_PRIVILEGED));
}

static void nested_space_sets_accessed_and_dirty(void **state)
{
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);

	assert_non_null(through(&n, 0, IOASID_READ));
	for (unsigned int page = 0; page < 4; page++)
		assert_int_equal(*entry(f, page, 0) & (ACCESSED | DIRTY), ACCESSED);
	assert_non_null(through(&n, 0, IOASID_WRITE));
	assert_int_equal(*entry(f, 3, 0) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
	assert_null(through(&n, PAGE, IOASID_WRITE));
	assert_int_equal(*entry(f, 3, 1) & (ACCESSED | DIRTY), 0);
}

static void supervisor_requests_go_by_the_flags(void **state)
{
	struct fixture *f = *state;
	unsigned int rights = IOASID_WRITE | IOASID_PRIVILEGED;
	struct nest n = nest(f, IOASID_VTD_S1_SRE, RW);
	struct ioasid_space *protected =
		alloc_with(f,
			   (struct ioasid_space_options){
				   .parent = n.parent,
				   .nesting = { .format = IOASID_FORMAT_VTD_S1,
						.table = GUEST,
						.addr_width = 48,
						.flags = IOASID_VTD_S1_SRE | IOASID_VTD_S1_WPE } });

	assert_non_null(through(&n, 2 * PAGE, rights));
	assert_non_null(through(&n, PAGE, rights));
	assert_null(through(&n, 2 * PAGE, IOASID_WRITE)); /* not by what the other left behind */
	attach_to(f, f->device, protected);
	assert_non_null(through(&n, 2 * PAGE, rights));
	assert_null(through(&n, PAGE, rights));
}

static void parent_has_the_last_word(void **state)
{
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);

	set_entry(f, 3, 4, 1000, ALL); /* outside of the parent */
	assert_null(through(&n, 4 * PAGE, IOASID_READ));
	assert_non_null(through(&n, 0, RW));
	assert_ok(ioasid_unmap(n.parent, GUEST, MEMORY_SIZE, &f->err), &f->err);
	assert_null(through(&n, 0, IOASID_READ));
	/* Accessed bits are set already; a parent that only reads lets reads pass. */
	map(f, n.parent, GUEST, MEMORY_SIZE, f->memory, IOASID_READ);
	assert_non_null(through(&n, 0, IOASID_READ));
	assert_null(through(&n, 0, IOASID_WRITE));
	assert_null(through(&n, PAGE, IOASID_READ)); /* its accessed bit cannot be set */
}

static void guest_tables_are_cached_until_invalidated(void **state)
{
	const struct ioasid_invalidation page = { .iova = 0, .pages = 1, .leaf = true };
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);
	size_t done;

	assert_ptr_equal(through(&n, 0, RW), f->memory + 4 * PAGE);
	set_entry(f, 3, 0, 7, ALL);
	assert_ptr_equal(through(&n, 0, RW), f->memory + 4 * PAGE);
	assert_ok(ioasid_invalidate(n.child, &page, 1, &done, &f->err), &f->err);
	assert_int_equal(done, 1);
	assert_ptr_equal(through(&n, 0, RW), f->memory + 7 * PAGE);
	refused(f, ioasid_invalidate(n.parent, &page, 1, &done, &f->err), EINVAL, "not nested");
}

static void large_pages_and_reserved_bits(void **state)
{
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);
	char *memory = aligned_alloc(2 * MIB, 2 * MIB);

	map(f, n.parent, 16 * MIB, 2 * MIB, memory, RW);
	*entry(f, 2, 1) = 16 * MIB | ALL | LARGE;
	assert_ptr_equal(through(&n, 2 * MIB + 0x12345, RW), memory + 0x12345);
	*entry(f, 2, 2) = 16 * MIB | PAGE << 1 | ALL | LARGE; /* below its size */
	assert_null(through(&n, 4 * MIB, IOASID_READ));
	*entry(f, 0, 1) = GUEST | ALL | LARGE; /* 512 GiB pages do not exist */
	assert_null(through(&n, 512 * GIB, IOASID_READ));
	*entry(f, 1, 1) = ALL | LARGE; /* 1 GiB, of which the parent has two pieces */
	assert_ptr_equal(through(&n, GIB + 16 * MIB + 5, RW), memory + 5);
	assert_ptr_equal(through(&n, GIB + GUEST, RW), f->memory);
	assert_null(through(&n, GIB, IOASID_READ));
	assert_ok(ioasid_detach(f->device, &f->err), &f->err);
	free(memory);
}

static void nested_faults_can_be_page_requests(void **state)
{
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);
	struct ioasid_space *child =
		alloc_with(f, (struct ioasid_space_options){
				      .parent = n.parent,
				      .faults = true,
				      .nesting = { .format = IOASID_FORMAT_VTD_S1,
						   .table = GUEST,
						   .addr_width = 48 } });
	uint64_t cookie;

	attach_to(f, f->device, child);
	cookie = request(f, 0, 9 * PAGE);
	assert_int_not_equal(cookie, 0);
	set_entry(f, 3, 9, 9, ALL);
	assert_ok(ioasid_fault_respond(f->ctx, one_fault(f).cookie, IOASID_RESPONSE_RETRY, &f->err),
		  &f->err);
	assert_int_equal(ioasid_dma_wait(f->dma, cookie), 0);
	assert_ptr_equal(through(&n, 9 * PAGE, RW), f->memory + 9 * PAGE);
}

static void destroying_the_parent_ends_the_child(void **state)
{
	struct fixture *f = *state;
	struct nest n = nest(f, 0, RW);

	assert_non_null(through(&n, 0, RW));
	ioasid_destroy(n.parent);
	assert_null(through(&n, 0, RW));
}

/* --- dirty logs ------------------------------------------------------------------------------ */

static uint64_t dirty(struct fixture *f, struct ioasid_space *space, uint64_t page_size, bool keep)
{
	uint64_t bitmap = 0;
	const struct ioasid_dirty range = {
		.size = 16 * PAGE, .page_size = page_size, .bitmap = &bitmap, .keep = keep
	};

	assert_ok(ioasid_dirty_read(space, &range, &f->err), &f->err);
	return bitmap;
}

/* All that there can be, in one go: what nobody wrote costs nothing. */
static uint64_t dirty_of_all(struct fixture *f, struct ioasid_space *space)
{
	uint64_t bitmap = 0;
	const struct ioasid_dirty range = {
		.size = 0 - PAGE, .page_size = 1ULL << 60, .bitmap = &bitmap, .keep = true
	};

	assert_ok(ioasid_dirty_read(space, &range, &f->err), &f->err);
	return bitmap;
}

static void log_has_what_was_written_since_it_was_read(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_with(f, (struct ioasid_space_options){ .dirty = true });

	map(f, space, 0, 16 * PAGE, f->memory, RW);
	attach_to(f, f->device, space);
	assert_non_null(reach_word(f, f->device, 0, 0, IOASID_WRITE));
	assert_int_equal(dirty(f, space, PAGE, false), 0);
	assert_ok(ioasid_dirty_track(space, true, &f->err), &f->err);
	assert_non_null(reach_word(f, f->device, 0, 0, IOASID_WRITE)); /* the IOTLB had it */
	assert_non_null(reach_word(f, f->device, 0, PAGE, IOASID_READ));
	assert_non_null(reach_word(f, f->device, 0, 6 * PAGE - 4, IOASID_WRITE)); /* two pages */
	assert_int_equal(dirty(f, space, PAGE, true), 0x61);
	assert_int_equal(dirty(f, space, 4 * PAGE, true), 3);
	assert_int_equal(dirty_of_all(f, space), 1);
	assert_int_equal(dirty(f, space, PAGE, false), 0x61);
	assert_int_equal(dirty(f, space, PAGE, false), 0);
	assert_non_null(reach_word(f, f->device, 0, 0, IOASID_WRITE));
	assert_int_equal(dirty(f, space, PAGE, true), 1);
	assert_ok(ioasid_dirty_track(space, true, &f->err), &f->err);
	assert_int_equal(dirty(f, space, PAGE, true), 0);
	assert_ok(ioasid_dirty_track(space, false, &f->err), &f->err);
	assert_non_null(reach_word(f, f->device, 0, 0, IOASID_WRITE));
	assert_int_equal(dirty(f, space, PAGE, true), 0);
}

static void parents_log_has_what_its_guest_wrote(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *parent =
		alloc_with(f, (struct ioasid_space_options){ .nest_parent = true, .dirty = true });
	struct ioasid_device *device = f->device;
	struct nest n = nest(f, 0, RW);
	struct ioasid_space *child =
		alloc_with(f, (struct ioasid_space_options){
				      .parent = parent,
				      .nesting = { .format = IOASID_FORMAT_VTD_S1,
						   .table = GUEST,
						   .addr_width = 48 } });
	uint64_t bitmap = 0;
	const struct ioasid_dirty range = {
		.iova = GUEST, .size = 16 * PAGE, .page_size = PAGE, .bitmap = &bitmap
	};

	map(f, parent, GUEST, MEMORY_SIZE, f->memory, RW);
	attach_to(f, device, child);
	assert_ok(ioasid_dirty_track(parent, true, &f->err), &f->err);
	assert_non_null(through(&n, 0, IOASID_WRITE));
	assert_ok(ioasid_dirty_read(parent, &range, &f->err), &f->err);
	/* The page, and the four tables whose accessed bits were set. */
	assert_int_equal(bitmap, 0x1f);
	bitmap = 0;
	assert_non_null(through(&n, 0, IOASID_WRITE));
	assert_ok(ioasid_dirty_read(parent, &range, &f->err), &f->err);
	assert_int_equal(bitmap, 0x10);
}

struct writer {
	struct fixture *f;
	uint64_t count; /* atomic */
	bool stop;	/* atomic */
};

/* Writes a growing number into the first page, as an engine does. */
static void *write_thread(void *arg)
{
	struct writer *w = arg;
	struct ioasid_dma *dma = NULL;

	if (ioasid_dma_open(w->f->ctx, &dma, NULL))
		return w;
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		uint64_t len = 8, *at;

		ioasid_dma_begin(dma);
		at = ioasid_translate(dma, w->f->device, 0, 0, &len, IOASID_WRITE);
		if (at)
			__atomic_store_n(at, __atomic_add_fetch(&w->count, 1, __ATOMIC_RELAXED),
					 __ATOMIC_RELEASE);
		ioasid_dma_end(dma);
	}
	ioasid_dma_close(dma);
	return NULL;
}

/* A copy made after each read that reports the page is the last state in the end. */
static void no_write_is_missing_from_the_log(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_with(f, (struct ioasid_space_options){ .dirty = true });
	struct writer w = { .f = f };
	uint64_t copy = 0;
	pthread_t thread;
	void *failed;

	map(f, space, 0, 16 * PAGE, f->memory, RW);
	attach_to(f, f->device, space);
	assert_ok(ioasid_dirty_track(space, true, &f->err), &f->err);
	assert_int_equal(pthread_create(&thread, NULL, write_thread, &w), 0);
	while (__atomic_load_n(&w.count, __ATOMIC_RELAXED) < 20000) {
		if (dirty(f, space, PAGE, false))
			copy = __atomic_load_n((uint64_t *)f->memory, __ATOMIC_ACQUIRE);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, &failed);
	assert_null(failed);
	if (dirty(f, space, PAGE, false))
		copy = *(uint64_t *)f->memory;
	assert_int_equal(copy, *(uint64_t *)f->memory);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_model, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blocked_access_is_reported_with_all_that_is_known),
		TEST(every_way_of_being_blocked_is_a_fault),
		TEST(faults_past_the_ring_are_counted),
		TEST(page_request_waits_for_its_answer),
		TEST(request_needs_device_space_and_wish),
		TEST(whatever_takes_the_space_away_answers),
		TEST(wait_ends_with_the_answer_of_another_thread),
		TEST(members_of_a_group_reach_one_space),
		TEST(models_have_the_capabilities_that_were_chosen),
		TEST(model_that_cannot_be_is_refused),
		TEST(what_a_device_cannot_have_is_refused_in_either_order),
		TEST(nested_space_walks_the_guests_tables),
		TEST(nested_space_sets_accessed_and_dirty),
		TEST(supervisor_requests_go_by_the_flags),
		TEST(parent_has_the_last_word),
		TEST(guest_tables_are_cached_until_invalidated),
		TEST(large_pages_and_reserved_bits),
		TEST(nested_faults_can_be_page_requests),
		TEST(destroying_the_parent_ends_the_child),
		TEST(log_has_what_was_written_since_it_was_read),
		TEST(parents_log_has_what_its_guest_wrote),
		TEST(no_write_is_missing_from_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
