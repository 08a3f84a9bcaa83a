/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things are closed in every order and nothing stays reachable or leaks; and whatever blocks DMA
 * waits for an engine that is inside. On the soft provider.
 */
#include "tests/unit/soft-bench.h"

#include <pthread.h>
#include <sched.h>

/* --- in every order of closing: nothing stays reachable, nothing leaks (ASan) ---------------- */

enum step {
	STEP_DETACH,
	STEP_PASID,
	STEP_RELEASE,
	STEP_UNBIND,
	STEP_DESTROY,
	STEP_UNMAP,
	STEPS
};

static void take_step(struct fixture *f, enum step step, const bool *done,
		      struct ioasid_pasid *pasid)
{
	switch (step) {
	case STEP_DETACH:
		if (!done[STEP_UNBIND])
			ioasid_detach(f->device, NULL);
		break;
	case STEP_PASID:
		ioasid_pasid_detach(pasid);
		break;
	case STEP_RELEASE:
		ioasid_pasid_release(pasid);
		break;
	case STEP_UNBIND:
		ioasid_unbind(f->device);
		break;
	case STEP_DESTROY:
		ioasid_destroy(f->space);
		break;
	default:
		if (!done[STEP_DESTROY])
			assert_ok(ioasid_unmap(f->space, 0, PAGE, &f->err), &f->err);
		break;
	}
}

static void close_in_order(struct fixture *f, unsigned int order)
{
	struct ioasid_pasid *pasid = pasid_attach(f, 11);
	bool done[STEPS] = { false };

	ioasid_pasid_hold(pasid);
	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	assert_non_null(reach1(f, 0, 0));
	assert_non_null(reach1(f, 11, 0));
	for (unsigned int left = STEPS; left; left--) {
		unsigned int skipped = order % left;
		unsigned int step = 0;

		order /= left;
		while (done[step] || skipped--)
			step++;
		take_step(f, (enum step)step, done, pasid);
		done[step] = true;
		if (!done[STEP_UNBIND]) {
			bool gone = done[STEP_UNMAP] || done[STEP_DESTROY];

			assert_true(!reach1(f, 11, 0) == (gone || done[STEP_PASID]));
			assert_true(!reach1(f, 0, 0) == (gone || done[STEP_DETACH]));
		}
		assert_true((ioasid_pasid_state(f->ctx, 11) == IOASID_PASID_FREE) ==
			    (done[STEP_PASID] && done[STEP_RELEASE]));
	}
}

static void any_order_of_closing_leaves_nothing_open(void **state)
{
	struct fixture *f = *state;

	for (unsigned int order = 0; order < 720; order++) {
		close_in_order(f, order);
		f->device = bind_device(f, "dev0", 20);
		f->space = alloc_space(f, "guest", true);
	}
}

/* --- sections: the calls that block DMA wait for the engine ---------------------------------- */

struct blocker {
	struct fixture *f;
	struct ioasid_pasid *pasid;
	void (*call)(struct blocker *blocker);
	bool returned; /* atomic */
};

static void call_unmap(struct blocker *b)
{
	ioasid_unmap(b->f->space, 0, PAGE, NULL);
}

static void call_detach(struct blocker *b)
{
	ioasid_detach(b->f->device, NULL);
}

static void call_pasid_detach(struct blocker *b)
{
	ioasid_pasid_detach(b->pasid);
}

static void call_destroy(struct blocker *b)
{
	ioasid_destroy(b->f->space);
}

static void call_unbind(struct blocker *b)
{
	ioasid_unbind(b->f->device);
}

static void call_close(struct blocker *b)
{
	ioasid_ctx_close(b->f->ctx);
	b->f->ctx = NULL;
}

static void *blocker_thread(void *arg)
{
	struct blocker *b = arg;

	b->call(b);
	__atomic_store_n(&b->returned, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/*
 * The section stays open until the blocked state is seen from inside it: from then on the call is
 * past its unlinking, and must not have returned.
 */
static void wait_for_section(struct fixture *f, void (*call)(struct blocker *), uint32_t pasid)
{
	struct blocker b = { .f = f, .call = call };
	unsigned int tries = 0;
	bool blocked, early;
	volatile char *p;
	pthread_t thread;
	uint64_t one = 1;

	map(f, f->space, 0, PAGE, f->memory, RW);
	attach(f);
	b.pasid = pasid_attach(f, 1);
	ioasid_dma_begin(f->dma);
	p = ioasid_translate(f->dma, f->device, pasid, 0, &one, RW);
	assert_ptr_equal(p, f->memory);
	assert_int_equal(pthread_create(&thread, NULL, blocker_thread, &b), 0);
	for (blocked = false; !blocked && tries < 1000000; tries++) {
		one = 1;
		sched_yield();
		blocked = !ioasid_translate(f->dma, f->device, pasid, 0, &one, RW);
	}
	for (int i = 0; i < 100; i++)
		sched_yield();
	early = __atomic_load_n(&b.returned, __ATOMIC_SEQ_CST);
	*p = 1;
	/* Before any assertion: a section left open would hang the teardown. */
	ioasid_dma_end(f->dma);
	pthread_join(thread, NULL);
	assert_true(blocked);
	assert_false(early);
}

static void unmap_waits_for_open_sections(void **state)
{
	wait_for_section(*state, call_unmap, 1);
}

static void detach_waits_for_open_sections(void **state)
{
	wait_for_section(*state, call_detach, IOASID_PASID_NONE);
}

static void pasid_detach_waits_for_open_sections(void **state)
{
	wait_for_section(*state, call_pasid_detach, 1);
}

static void destroy_waits_for_open_sections(void **state)
{
	wait_for_section(*state, call_destroy, IOASID_PASID_NONE);
}

static void unbind_waits_for_open_sections(void **state)
{
	wait_for_section(*state, call_unbind, IOASID_PASID_NONE);
}

static void close_waits_for_open_sections(void **state)
{
	wait_for_section(*state, call_close, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_guest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_order_of_closing_leaves_nothing_open),
		TEST(unmap_waits_for_open_sections),
		TEST(detach_waits_for_open_sections),
		TEST(pasid_detach_waits_for_open_sections),
		TEST(destroy_waits_for_open_sections),
		TEST(unbind_waits_for_open_sections),
		TEST(close_waits_for_open_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
