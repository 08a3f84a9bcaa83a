/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that comes and goes: every I/O space has a block before the guest, the guest loses it
 * first, and whatever fails in the middle leaves everything as it was.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/hot-ram.h"

#define BASE   (4 * GIB)
#define BLOCK  (2 * MIB)
#define BLOCKS 24u
#define USERS  4u /* the guest is the last */

/* What each user has, and in which order they were told. */
struct world {
	struct hot_ram *hot;
	struct hot_ram_user user[USERS];
	bool has[USERS][BLOCKS];
	unsigned int joined;
	unsigned int calls;
	unsigned int fail_at; /* the call of this number fails; 0: none */
	int sequence[64];     /* user, + 100 for a removal */
	unsigned int n_sequence;
};

struct seat {
	struct world *world;
	unsigned int index;
};

static unsigned int index_of(const struct hot_ram_block *block)
{
	assert_int_equal(block->size, BLOCK);
	assert_true(block->gpa >= BASE && is_aligned(block->gpa, BLOCK));
	return (unsigned int)((block->gpa - BASE) / BLOCK);
}

static int told(struct seat *seat, const struct hot_ram_block *block, bool add, struct err *err)
{
	struct world *w = seat->world;
	unsigned int i = index_of(block);

	if (++w->calls == w->fail_at)
		return err_set(err, ENOMEM, "user %u has no room", seat->index);
	assert_int_equal(w->has[seat->index][i], !add);
	w->has[seat->index][i] = add;
	/* Nobody loses what the guest still has, and the guest gets what all others have. */
	for (unsigned int u = 0; u + 1 < w->joined && w->joined == USERS; u++)
		assert_true(w->has[u][i] || !w->has[USERS - 1][i]);
	if (w->n_sequence < ARRAY_SIZE(w->sequence))
		w->sequence[w->n_sequence++] = (int)seat->index + (add ? 0 : 100);
	return 0;
}

static int on_add(void *arg, const struct hot_ram_block *block, struct err *err)
{
	return told(arg, block, true, err);
}

static int on_remove(void *arg, const struct hot_ram_block *block, struct err *err)
{
	return told(arg, block, false, err);
}

static struct seat seats[USERS];

static void join(struct world *w, unsigned int index, bool dma)
{
	struct err err;
	const struct hot_ram_user user = { .name = "a space",
					   .dma = dma,
					   .guest = index == USERS - 1,
					   .add = on_add,
					   .remove = on_remove,
					   .arg = &seats[index] };

	seats[index] = (struct seat){ w, index };
	assert_ok(hot_ram_join(w->hot, &user, &err), &err);
	w->joined++;
}

static void open_world(struct world *w)
{
	const struct hot_ram_options options = {
		.gpa = BASE, .size = BLOCKS * BLOCK, .block_size = BLOCK, .shared = true
	};
	struct err err;

	*w = (struct world){ 0 };
	assert_ok(hot_ram_create(&w->hot, &options, &err), &err);
}

/* The guest joins before the last space does, and is the last all the same. */
static void open_full_world(struct world *w)
{
	open_world(w);
	join(w, USERS - 1, false);
	for (unsigned int i = 0; i + 1 < USERS; i++)
		join(w, i, false);
}

static void assert_all_have(const struct world *w, const bool *expected)
{
	for (unsigned int i = 0; i < BLOCKS; i++) {
		for (unsigned int u = 0; u < USERS; u++)
			assert_int_equal(w->has[u][i], expected[i]);
		assert_int_equal(!!hot_ram_at(w->hot, BASE + i * BLOCK + 100, 8), expected[i]);
	}
}

static void blocks_are_few_and_whole(void **state)
{
	uint64_t block;
	struct err err;

	assert_ok(hot_ram_block_size(2 * MIB, 0, &block, &err), &err);
	assert_int_equal(block, 2 * MIB);
	assert_ok(hot_ram_block_size(GIB, 0, &block, &err), &err);
	assert_int_equal(block, 2 * MIB);
	assert_ok(hot_ram_block_size(64 * GIB, 0, &block, &err), &err);
	assert_int_equal(block, 128 * MIB);
	assert_ok(hot_ram_block_size(3 * GIB, GIB, &block, &err), &err);
	assert_int_equal(block, GIB);
	assert_ok(hot_ram_block_size(16 * TIB, 0, &block, &err), &err);
	assert_int_equal(block, 32 * GIB);
	assert_int_equal(hot_ram_block_size(GIB + 2 * MIB, 0, &block, &err), -EINVAL);
	assert_non_null(strstr(err.text, "whole blocks of 4 MiB"));
	assert_int_equal(hot_ram_block_size(0, 0, &block, &err), -EINVAL);
	assert_int_equal(hot_ram_block_size(GIB + 2 * MIB, GIB, &block, &err), -EINVAL);
}

static void every_space_has_a_block_before_the_guest_and_longer(void **state)
{
	const int order[] = { 0, 1, 2, 3, 103, 102, 101, 100 };
	struct world w;
	struct err err;

	open_full_world(&w);
	assert_ok(hot_ram_plug(w.hot, 5, 1, &err), &err);
	assert_int_equal(hot_ram_plugged(w.hot), BLOCK);
	assert_ok(hot_ram_unplug(w.hot, 5, 1, &err), &err);
	assert_int_equal(hot_ram_plugged(w.hot), 0);
	assert_int_equal(w.n_sequence, ARRAY_SIZE(order));
	assert_memory_equal(w.sequence, order, sizeof(order));
	hot_ram_destroy(w.hot);
}

static void a_failure_in_the_middle_leaves_everything_as_it_was(void **state)
{
	bool before[BLOCKS] = { [7] = true, [12] = true };
	struct world w;
	struct err err;

	open_full_world(&w);
	assert_ok(hot_ram_plug(w.hot, 7, 1, &err), &err);
	assert_ok(hot_ram_plug(w.hot, 12, 1, &err), &err);
	for (unsigned int fail = 1; fail <= 4 * USERS; fail++) {
		w.calls = 0;
		w.fail_at = fail;
		assert_int_equal(hot_ram_plug(w.hot, 8, 4, &err), -ENOMEM);
		assert_non_null(strstr(err.text, "has no room"));
		assert_all_have(&w, before);
	}
	w.fail_at = 0;
	assert_ok(hot_ram_plug(w.hot, 8, 4, &err), &err);
	memset(before + 7, true, 6);
	memset(hot_ram_at(w.hot, BASE + 7 * BLOCK, 6 * BLOCK), 0x55, 6 * BLOCK);
	for (unsigned int fail = 1; fail <= 6 * USERS; fail++) {
		w.calls = 0;
		w.fail_at = fail;
		assert_int_equal(hot_ram_unplug(w.hot, 7, 6, &err), -ENOMEM);
		assert_all_have(&w, before);
		/* Nothing went back to the host either. */
		for (unsigned int i = 7; i < 13; i++)
			assert_int_equal(*hot_ram_at(w.hot, BASE + i * BLOCK, 1), 0x55);
	}
	hot_ram_destroy(w.hot);
}

static void who_joins_late_gets_what_is_plugged_or_has_not_joined(void **state)
{
	struct world w;
	struct err err;

	open_world(&w);
	join(&w, USERS - 1, false);
	assert_ok(hot_ram_plug(w.hot, 3, 4, &err), &err);
	for (unsigned int fail = 1; fail <= 4; fail++) {
		const struct hot_ram_user user = {
			.name = "a space", .add = on_add, .remove = on_remove, .arg = &seats[0]
		};

		seats[0] = (struct seat){ &w, 0 };
		w.calls = 0;
		w.fail_at = fail;
		assert_int_equal(hot_ram_join(w.hot, &user, &err), -ENOMEM);
		for (unsigned int i = 0; i < BLOCKS; i++)
			assert_false(w.has[0][i]);
	}
	w.fail_at = 0;
	join(&w, 0, false);
	for (unsigned int i = 0; i < BLOCKS; i++)
		assert_int_equal(w.has[0][i], i >= 3 && i < 7);
	hot_ram_leave(w.hot, &seats[0]);
	assert_ok(hot_ram_unplug(w.hot, 3, 4, &err), &err);
	assert_true(w.has[0][3]); /* it was told nothing any more */
	assert_false(w.has[USERS - 1][3]);
	assert_int_equal(hot_ram_join(NULL, NULL, &err), 0);
	hot_ram_destroy(w.hot);
}

static void nothing_is_unplugged_under_dma_and_the_sentence_says_why(void **state)
{
	bool plugged[BLOCKS] = { [1] = true };
	struct world w;
	struct err err;

	open_full_world(&w);
	assert_ok(hot_ram_plug(w.hot, 1, 1, &err), &err);
	assert_null(hot_ram_pinned_by(w.hot));
	hot_ram_leave(w.hot, &seats[1]);
	memset(w.has[1], 0, sizeof(w.has[1]));
	join(&w, 1, true);
	assert_string_equal(hot_ram_pinned_by(w.hot), "a space");
	assert_int_equal(hot_ram_unplug(w.hot, 1, 1, &err), -EBUSY);
	assert_non_null(strstr(err.text, "mapped for DMA by a space stays plugged"));
	assert_int_equal(hot_ram_unplug_all(w.hot, &err), -EBUSY);
	assert_all_have(&w, plugged);
	hot_ram_leave(w.hot, &seats[1]);
	assert_ok(hot_ram_unplug_all(w.hot, &err), &err);
	assert_int_equal(hot_ram_plugged(w.hot), 0);
	hot_ram_destroy(w.hot);
}

static void unplugged_memory_reads_as_zeros_again(void **state)
{
	for (int shared = 0; shared < 2; shared++) {
		const struct hot_ram_options options = { .gpa = BASE,
							 .size = BLOCKS * BLOCK,
							 .block_size = BLOCK,
							 .shared = shared,
							 .prefault = true };
		struct hot_ram *hot;
		struct err err;

		assert_ok(hot_ram_create(&hot, &options, &err), &err);
		assert_ok(hot_ram_plug(hot, 0, 2, &err), &err);
		memset(hot_ram_at(hot, BASE, 2 * BLOCK), 0x55, 2 * BLOCK);
		assert_ok(hot_ram_unplug(hot, 1, 1, &err), &err);
		assert_ok(hot_ram_plug(hot, 1, 1, &err), &err);
		assert_int_equal(*hot_ram_at(hot, BASE + BLOCK - 1, 1), 0x55);
		assert_int_equal(*hot_ram_at(hot, BASE + BLOCK, 1), 0);
		assert_int_equal(*hot_ram_at(hot, BASE + 2 * BLOCK - 1, 1), 0);
		hot_ram_destroy(hot);
	}
}

/* By devices that still have pointers; blocks that are plugged keep what they hold. */
static void what_is_filled_after_an_unplug_goes_back_before_more_is_plugged(void **state)
{
	static const bool goes[] = { true, true, false, true, false, true };

	for (int shared = 0; shared < 2; shared++) {
		const struct hot_ram_options options = {
			.gpa = BASE, .size = BLOCKS * BLOCK, .block_size = BLOCK, .shared = shared
		};
		struct hot_ram *hot;
		struct err err;
		uint8_t *at;

		assert_ok(hot_ram_create(&hot, &options, &err), &err);
		assert_ok(hot_ram_plug(hot, 0, ARRAY_SIZE(goes), &err), &err);
		at = hot_ram_at(hot, BASE, ARRAY_SIZE(goes) * BLOCK);
		assert_non_null(at);
		for (unsigned int i = 0; i < ARRAY_SIZE(goes); i++) {
			if (goes[i])
				assert_ok(hot_ram_unplug(hot, i, 1, &err), &err);
		}
		memset(at, 0x55, ARRAY_SIZE(goes) * BLOCK);
		/* A call that changes nothing takes nothing either. */
		assert_int_equal(hot_ram_plug(hot, 2, 1, &err), -EEXIST);
		assert_int_equal(at[0], 0x55);
		assert_ok(hot_ram_plug(hot, BLOCKS - 1, 1, &err), &err);
		for (unsigned int i = 0; i < ARRAY_SIZE(goes); i++) {
			assert_int_equal(at[i * BLOCK], goes[i] ? 0 : 0x55);
			assert_int_equal(at[(i + 1) * BLOCK - 1], goes[i] ? 0 : 0x55);
		}
		hot_ram_destroy(hot);
	}
}

static void huge_pages_that_are_missing_refuse_the_block(void **state)
{
	const struct hot_ram_options options = { .gpa = BASE,
						 .size = 512 * GIB,
						 .block_size = GIB,
						 .hugepage_size = GIB,
						 .shared = true };
	struct hot_ram *hot;
	struct err err;

	/* More than any host of today has reserved; the region itself takes none. */
	if (hot_ram_create(&hot, &options, &err)) {
		print_message("no huge pages of 1 GiB here: %s\n", err.text);
		skip();
	}
	assert_int_equal(hot_ram_plug(hot, 0, 512, &err) < 0, 1);
	assert_non_null(strstr(err.text, "too few free huge pages"));
	assert_int_equal(hot_ram_plugged(hot), 0);
	hot_ram_destroy(hot);
}

/* Knuth's multiplier of MMIX. */
static unsigned int draw(uint64_t *seed, unsigned int below)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned int)(*seed >> 33) % below;
}

static enum hot_ram_state expected_state(const bool *plugged, unsigned int first, unsigned int n)
{
	unsigned int on = 0;

	for (unsigned int i = first; i < first + n; i++)
		on += plugged[i];
	return !on ? HOT_RAM_UNPLUGGED : on == n ? HOT_RAM_PLUGGED : HOT_RAM_MIXED;
}

/* Requests in and out of range, some of which fail somewhere, beside an array of booleans. */
static void any_requests_leave_the_bitmap_that_a_model_has(void **state)
{
	bool model[BLOCKS] = { 0 };
	uint64_t seed = 8;
	struct world w;
	struct err err;

	open_full_world(&w);
	for (unsigned int run = 0; run < 20000; run++) {
		unsigned int first = draw(&seed, BLOCKS + 4), n = draw(&seed, 8), count = 0;
		bool inside = n && first + n <= BLOCKS, plug = draw(&seed, 2);
		int expected = 0, ret;

		w.calls = 0;
		w.fail_at = draw(&seed, 4) ? 0 : 1 + draw(&seed, 40);
		if (!inside)
			expected = -ERANGE;
		else if (expected_state(model, first, n) !=
			 (plug ? HOT_RAM_UNPLUGGED : HOT_RAM_PLUGGED))
			expected = plug ? -EEXIST : -ENOENT;
		else if (w.fail_at && w.fail_at <= n * USERS)
			expected = -ENOMEM;
		ret = plug ? hot_ram_plug(w.hot, first, n, &err)
			   : hot_ram_unplug(w.hot, first, n, &err);
		assert_int_equal(ret, expected);
		for (unsigned int i = first; !ret && i < first + n; i++)
			model[i] = plug;
		assert_all_have(&w, model);
		for (unsigned int i = 0; i < BLOCKS; i++)
			count += model[i];
		assert_int_equal(hot_ram_plugged(w.hot), count * BLOCK);
		if (inside) {
			enum hot_ram_state now = expected_state(model, first, n);
			const uint8_t *at =
				hot_ram_at(w.hot, BASE + first * BLOCK + 1, n * BLOCK - 2);

			assert_int_equal(hot_ram_state(w.hot, first, n), now);
			assert_int_equal(!!at, now == HOT_RAM_PLUGGED);
		}
	}
	assert_null(hot_ram_at(w.hot, BASE - 1, 2));
	assert_null(hot_ram_at(w.hot, BASE + BLOCKS * BLOCK - 1, 2));
	assert_null(hot_ram_at(w.hot, UINT64_MAX, 1));
	hot_ram_destroy(w.hot);
}

static void *look_up(void *arg)
{
	struct world *w = arg;
	unsigned int found = 0;

	while (hot_ram_at(w->hot, BASE, 1)) {
		for (unsigned int i = 1; i < 3; i++) {
			uint8_t *at = hot_ram_at(w->hot, BASE + i * BLOCK, BLOCK);

			if (at)
				found += __atomic_load_n(at, __ATOMIC_RELAXED) == 0;
		}
	}
	return found < UINT32_MAX ? NULL : w;
}

static void lookups_run_beside_plugging(void **state)
{
	struct world w;
	pthread_t thread;
	struct err err;

	open_full_world(&w);
	assert_ok(hot_ram_plug(w.hot, 0, 1, &err), &err);
	assert_int_equal(pthread_create(&thread, NULL, look_up, &w), 0);
	for (unsigned int i = 0; i < 500; i++) {
		assert_ok(hot_ram_plug(w.hot, 1, 2, &err), &err);
		assert_ok(hot_ram_unplug(w.hot, 1, 2, &err), &err);
	}
	assert_ok(hot_ram_unplug_all(w.hot, &err), &err);
	pthread_join(thread, NULL);
	hot_ram_destroy(w.hot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_few_and_whole),
		cmocka_unit_test(every_space_has_a_block_before_the_guest_and_longer),
		cmocka_unit_test(a_failure_in_the_middle_leaves_everything_as_it_was),
		cmocka_unit_test(who_joins_late_gets_what_is_plugged_or_has_not_joined),
		cmocka_unit_test(nothing_is_unplugged_under_dma_and_the_sentence_says_why),
		cmocka_unit_test(unplugged_memory_reads_as_zeros_again),
		cmocka_unit_test(what_is_filled_after_an_unplug_goes_back_before_more_is_plugged),
		cmocka_unit_test(huge_pages_that_are_missing_refuse_the_block),
		cmocka_unit_test(any_requests_leave_the_bitmap_that_a_model_has),
		cmocka_unit_test(lookups_run_beside_plugging),
	};

	return cmocka_run_group_tests_name("hot-ram", tests, NULL, NULL);
}
