/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory device: what its driver asks for is done, refused or put off as the standard says,
 * beside the loop, and a reset waits for what is under way.
 */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>
#include <linux/virtio_mem.h>

#include "vmm/hot-ram.h"
#include "vmm/virtio/mem.h"

#define BLOCK	 (2 * MIB)
#define BLOCKS	 8u
#define BASE	 (4 * GIB)
#define REQUEST	 BENCH_BUFFERS
#define ANSWER	 (BENCH_BUFFERS + 0x1000)
#define FEATURES VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)

struct tent {
	struct bench b;
	struct mem *mem;
	struct hot_ram *hot;
	/* A user of blocks that takes its time, or has no room. */
	int entered, go; /* eventfds */
	bool waits, full;
};

static int on_add(void *arg, const struct hot_ram_block *block, struct err *err)
{
	struct tent *t = arg;
	eventfd_t one;

	if (__atomic_load_n(&t->full, __ATOMIC_SEQ_CST))
		return err_set(err, ENOMEM, "the IOMMU has no room");
	if (!__atomic_load_n(&t->waits, __ATOMIC_SEQ_CST))
		return 0;
	assert_int_equal(eventfd_write(t->entered, 1), 0);
	assert_int_equal(eventfd_read(t->go, &one), 0);
	return 0;
}

static int on_remove(void *arg, const struct hot_ram_block *block, struct err *err)
{
	return 0;
}

static void join(struct tent *t, bool dma)
{
	const struct hot_ram_user user = {
		.name = "a device", .dma = dma, .add = on_add, .remove = on_remove, .arg = t
	};
	struct err err;

	assert_ok(hot_ram_join(t->hot, &user, &err), &err);
}

static void open_tent(struct tent *t, uint64_t wanted)
{
	const struct hot_ram_options options = {
		.gpa = BASE, .size = BLOCKS * BLOCK, .block_size = BLOCK, .shared = true
	};
	struct err err;

	memset(t, 0, sizeof(*t));
	t->entered = eventfd(0, EFD_CLOEXEC);
	t->go = eventfd(0, EFD_CLOEXEC);
	assert_true(t->entered >= 0 && t->go >= 0);
	bench_open(&t->b);
	assert_ok(hot_ram_create(&t->hot, &options, &err), &err);
	t->b.memory.table.hot = t->hot;
	assert_ok(mem_create(&t->mem, &t->b.host,
			     &(struct mem_options){ .hot = t->hot, .wanted = wanted }, &err),
		  &err);
	join(t, false);
	bench_run(&t->b, mem_device(t->mem));
}

static void close_tent(struct tent *t)
{
	bench_close(&t->b);
	hot_ram_destroy(t->hot);
	close(t->entered);
	close(t->go);
}

static void write_request(struct tent *t, uint16_t type, uint64_t addr, uint16_t n)
{
	const struct virtio_mem_req request = { .type = type, .u.plug = { addr, n, { 0 } } };

	memcpy(guest_at(&t->b.memory, REQUEST), &request, sizeof(request));
	memset(guest_at(&t->b.memory, ANSWER), 0xee, 64);
}

static void send(struct tent *t, uint16_t type, uint64_t addr, uint16_t n)
{
	const struct driver_piece pieces[] = { { REQUEST, sizeof(struct virtio_mem_req), false },
					       { ANSWER, sizeof(struct virtio_mem_resp), true } };

	write_request(t, type, addr, n);
	driver_add(&t->b.q[0], pieces, 2);
	bench_kick(&t->b, 0);
}

static struct virtio_mem_resp receive(struct tent *t)
{
	struct virtio_mem_resp answer;
	uint32_t written;

	bench_take(&t->b, 0, &written);
	assert_int_equal(written, sizeof(answer));
	memcpy(&answer, guest_at(&t->b.memory, ANSWER), sizeof(answer));
	return answer;
}

static unsigned int ask(struct tent *t, uint16_t type, uint64_t addr, uint16_t n)
{
	send(t, type, addr, n);
	return receive(t).type;
}

static void requests_are_answered_on_every_layout(void **state)
{
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		struct virtio_mem_resp answer;

		bench_start(&t.b, bench_layouts[i] | FEATURES, 1);
		assert_int_equal(ask(&t, VIRTIO_MEM_REQ_PLUG, BASE + BLOCK, 3),
				 VIRTIO_MEM_RESP_ACK);
		assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 40, 8), 3 * BLOCK);
		send(&t, VIRTIO_MEM_REQ_STATE, BASE, 2);
		answer = receive(&t);
		assert_int_equal(answer.type, VIRTIO_MEM_RESP_ACK);
		assert_int_equal(answer.u.state.state, VIRTIO_MEM_STATE_MIXED);
		assert_int_equal(ask(&t, VIRTIO_MEM_REQ_UNPLUG, BASE + 2 * BLOCK, 1),
				 VIRTIO_MEM_RESP_ACK);
		assert_int_equal(ask(&t, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_ACK);
		assert_int_equal(hot_ram_plugged(t.hot), 0);
	}
	close_tent(&t);
}

static void what_is_wrong_is_an_error_and_changes_nothing(void **state)
{
	const struct {
		uint16_t type, n;
		uint64_t addr;
		unsigned int expected;
	} rows[] = {
		{ VIRTIO_MEM_REQ_PLUG, 1, BASE + 4096, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 1, BASE - BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 2, BASE - BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 2, BASE + 7 * BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 0, BASE, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 65535, BASE, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 1, BASE + 3 * BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 2, BASE + 2 * BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_PLUG, 4, BASE + 4 * BLOCK, VIRTIO_MEM_RESP_NACK },
		{ VIRTIO_MEM_REQ_UNPLUG, 1, BASE, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_UNPLUG, 2, BASE + 2 * BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_UNPLUG, 2, -BLOCK, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_STATE, 9, BASE, VIRTIO_MEM_RESP_ERROR },
		{ VIRTIO_MEM_REQ_STATE, 1, UINT64_MAX, VIRTIO_MEM_RESP_ERROR },
		{ 4, 1, BASE, VIRTIO_MEM_RESP_ERROR },
		{ 0xffff, 1, BASE, VIRTIO_MEM_RESP_ERROR },
	};
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	bench_start(&t.b, bench_layouts[1] | FEATURES, 1);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_PLUG, BASE + 3 * BLOCK, 1), VIRTIO_MEM_RESP_ACK);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(ask(&t, rows[i].type, rows[i].addr, rows[i].n), rows[i].expected);
		assert_int_equal(hot_ram_plugged(t.hot), BLOCK);
		assert_int_equal(hot_ram_state(t.hot, 3, 1), HOT_RAM_PLUGGED);
	}
	close_tent(&t);
}

static void a_request_that_is_cut_short_breaks_the_device(void **state)
{
	const struct driver_piece rows[][2] = {
		{ { REQUEST, sizeof(struct virtio_mem_req) - 1, false }, { ANSWER, 10, true } },
		{ { REQUEST, sizeof(struct virtio_mem_req), false }, { ANSWER, 9, true } },
	};
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bench_start(&t.b, bench_layouts[i] | FEATURES, 1);
		write_request(&t, VIRTIO_MEM_REQ_PLUG, BASE, 1);
		driver_add(&t.b.q[0], rows[i], 2);
		bench_kick(&t.b, 0);
		bench_wait(&t.b, 0);
		assert_true(reg(&t.b, REG_STATUS, 1) & STATUS_NEEDS_RESET);
		assert_int_equal(hot_ram_plugged(t.hot), 0);
	}
	close_tent(&t);
}

static void an_answer_may_be_in_pieces(void **state)
{
	struct driver_piece pieces[1 + sizeof(struct virtio_mem_resp)] = {
		{ REQUEST, sizeof(struct virtio_mem_req), false }
	};
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	bench_start(&t.b, bench_layouts[3] | FEATURES, 1);
	for (unsigned int i = 0; i < sizeof(struct virtio_mem_resp); i++)
		pieces[1 + i] = (struct driver_piece){ ANSWER + 3 * i, 1, true };
	for (unsigned int type = VIRTIO_MEM_REQ_PLUG; type <= VIRTIO_MEM_REQ_STATE; type++) {
		const uint8_t *answer = guest_at(&t.b.memory, ANSWER);

		write_request(&t, (uint16_t)type, BASE, 1);
		driver_add(&t.b.q[0], pieces, ARRAY_SIZE(pieces));
		bench_kick(&t.b, 0);
		bench_take(&t.b, 0, NULL);
		for (unsigned int i = 0; i < 10; i++) {
			uint8_t expected = i == 8 && type == VIRTIO_MEM_REQ_STATE
						   ? VIRTIO_MEM_STATE_UNPLUGGED
						   : 0;

			assert_int_equal(answer[3 * i], expected);
			assert_int_equal(answer[3 * i + 1], 0xee);
		}
	}
	close_tent(&t);
}

static void what_is_wanted_is_told_and_bounds_what_is_given(void **state)
{
	struct mem_stats stats;
	struct err err;
	struct tent t;

	open_tent(&t, 2 * BLOCK);
	assert_false(bench_agree(&t.b, BENCH_VERSION_1));
	bench_start(&t.b, bench_layouts[1] | FEATURES, 1);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE, 8), BLOCK);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 16, 8), BASE);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 24, 8), BLOCKS * BLOCK);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 32, 8), BLOCKS * BLOCK);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 48, 8), 2 * BLOCK);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_PLUG, BASE, 3), VIRTIO_MEM_RESP_NACK);
	assert_ok(mem_resize(t.mem, 3 * BLOCK, &err), &err);
	bench_wait(&t.b, 0);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 48, 8), 3 * BLOCK);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_PLUG, BASE, 3), VIRTIO_MEM_RESP_ACK);
	mem_read_stats(t.mem, &stats);
	assert_int_equal(stats.wanted, 3 * BLOCK);
	assert_int_equal(stats.plugged, 3 * BLOCK);
	assert_int_equal(stats.most, BLOCKS * BLOCK);
	assert_int_equal(mem_resize(t.mem, BLOCK + 4096, &err), -EINVAL);
	assert_int_equal(mem_resize(t.mem, (BLOCKS + 1) * BLOCK, &err), -EINVAL);
	assert_non_null(strstr(err.text, "whole blocks of 2 MiB up to 16 MiB"));
	/* A driver writes nothing here. */
	set(&t.b, VIRTIO_BAR_DEVICE + 48, 0, 8);
	assert_int_equal(reg(&t.b, VIRTIO_BAR_DEVICE + 48, 8), 3 * BLOCK);
	close_tent(&t);
}

static void what_the_host_cannot_do_now_is_put_off(void **state)
{
	struct err err;
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	bench_start(&t.b, bench_layouts[2] | FEATURES, 1);
	__atomic_store_n(&t.full, true, __ATOMIC_SEQ_CST);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_PLUG, BASE, 2), VIRTIO_MEM_RESP_BUSY);
	assert_int_equal(hot_ram_plugged(t.hot), 0);
	__atomic_store_n(&t.full, false, __ATOMIC_SEQ_CST);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_PLUG, BASE, 2), VIRTIO_MEM_RESP_ACK);
	/* A device that does DMA comes. */
	hot_ram_leave(t.hot, &t);
	join(&t, true);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_UNPLUG, BASE, 1), VIRTIO_MEM_RESP_BUSY);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_BUSY);
	assert_int_equal(mem_resize(t.mem, BLOCK, &err), -EBUSY);
	assert_non_null(strstr(err.text, "mapped for DMA by a device"));
	assert_ok(mem_resize(t.mem, 2 * BLOCK, &err), &err);
	assert_int_equal(hot_ram_plugged(t.hot), 2 * BLOCK);
	close_tent(&t);
}

/* The next request waits; other devices of the loop do not. */
static void one_request_is_under_way_and_the_loop_goes_on(void **state)
{
	struct tent t;
	eventfd_t one;

	open_tent(&t, 4 * BLOCK);
	bench_start(&t.b, bench_layouts[3] | FEATURES, 1);
	__atomic_store_n(&t.waits, true, __ATOMIC_SEQ_CST);
	send(&t, VIRTIO_MEM_REQ_PLUG, BASE, 1);
	assert_int_equal(eventfd_read(t.entered, &one), 0);
	__atomic_store_n(&t.waits, false, __ATOMIC_SEQ_CST);
	send(&t, VIRTIO_MEM_REQ_PLUG, BASE + BLOCK, 1);
	for (unsigned int i = 0; i < 100; i++)
		bench_kick(&t.b, 0);
	assert_int_equal(eventfd_write(t.go, 1), 0);
	assert_int_equal(receive(&t).type, VIRTIO_MEM_RESP_ACK);
	bench_take(&t.b, 0, NULL);
	assert_int_equal(hot_ram_plugged(t.hot), 2 * BLOCK);
	close_tent(&t);
}

static void *let_go(void *arg)
{
	struct tent *t = arg;

	/* The driver has asked for its reset by now, or will meet one that is over. */
	sched_yield();
	assert_int_equal(eventfd_write(t->go, 1), 0);
	return NULL;
}

static void begin_and_wait_inside(struct tent *t, pthread_t *thread)
{
	eventfd_t one;

	__atomic_store_n(&t->waits, true, __ATOMIC_SEQ_CST);
	send(t, VIRTIO_MEM_REQ_PLUG, BASE, 1);
	assert_int_equal(eventfd_read(t->entered, &one), 0);
	__atomic_store_n(&t->waits, false, __ATOMIC_SEQ_CST);
	assert_int_equal(pthread_create(thread, NULL, let_go, t), 0);
}

static void resets_wait_for_what_is_under_way_and_unplug_nothing(void **state)
{
	pthread_t thread;
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	bench_start(&t.b, bench_layouts[1] | FEATURES, 1);
	begin_and_wait_inside(&t, &thread);
	bench_reset(&t.b);
	pthread_join(thread, NULL);
	bench_start(&t.b, bench_layouts[3] | FEATURES | BENCH_RING_RESET, 1);
	send(&t, VIRTIO_MEM_REQ_STATE, BASE, 1);
	assert_int_equal(receive(&t).u.state.state, VIRTIO_MEM_STATE_PLUGGED);
	assert_int_equal(ask(&t, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_ACK);
	begin_and_wait_inside(&t, &thread);
	bench_queue_reset(&t.b, 0);
	pthread_join(thread, NULL);
	bench_queue(&t.b, 0, bench_layouts[3]);
	send(&t, VIRTIO_MEM_REQ_STATE, BASE, 1);
	assert_int_equal(receive(&t).u.state.state, VIRTIO_MEM_STATE_PLUGGED);
	close_tent(&t);
}

static void it_leaves_under_way(void **state)
{
	pthread_t thread;
	struct tent t;

	open_tent(&t, 4 * BLOCK);
	bench_start(&t.b, bench_layouts[1] | FEATURES, 1);
	begin_and_wait_inside(&t, &thread);
	bench_unplug(&t.b);
	pthread_join(thread, NULL);
	close_tent(&t);
}

/* Knuth's multiplier of MMIX. */
static unsigned int draw(uint64_t *seed, unsigned int below)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned int)(*seed >> 33) % below;
}

/* Any requests, beside an array of booleans: the answer, and what is plugged afterwards. */
static void any_requests_are_answered_as_a_model_does(void **state)
{
	bool model[BLOCKS] = { 0 };
	unsigned int plugged = 0;
	uint64_t seed = 5;
	struct tent t;

	open_tent(&t, 5 * BLOCK);
	bench_start(&t.b, bench_layouts[3] | FEATURES, 1);
	for (unsigned int run = 0; run < 3000; run++) {
		unsigned int type = draw(&seed, 5), first = draw(&seed, BLOCKS + 2);
		unsigned int n = draw(&seed, 5), skew = draw(&seed, 8) ? 0 : 4096, on = 0;
		bool inside = n && first + n <= BLOCKS && !skew, set = type == VIRTIO_MEM_REQ_PLUG;
		unsigned int expected = VIRTIO_MEM_RESP_ACK, same;
		struct virtio_mem_resp answer;

		for (unsigned int i = first; inside && i < first + n; i++)
			on += model[i];
		same = set ? 0 : n;
		if (type > VIRTIO_MEM_REQ_STATE || (type != VIRTIO_MEM_REQ_UNPLUG_ALL && !inside))
			expected = VIRTIO_MEM_RESP_ERROR;
		else if (set && plugged + n > 5)
			expected = VIRTIO_MEM_RESP_NACK;
		else if (type <= VIRTIO_MEM_REQ_UNPLUG && on != same)
			expected = VIRTIO_MEM_RESP_ERROR;
		send(&t, (uint16_t)type, BASE + first * BLOCK + skew, (uint16_t)n);
		answer = receive(&t);
		assert_int_equal(answer.type, expected);
		if (expected)
			continue;
		if (type == VIRTIO_MEM_REQ_STATE)
			assert_int_equal(answer.u.state.state, !on ? VIRTIO_MEM_STATE_UNPLUGGED
							       : on == n ? VIRTIO_MEM_STATE_PLUGGED
									 : VIRTIO_MEM_STATE_MIXED);
		else if (type == VIRTIO_MEM_REQ_UNPLUG_ALL)
			memset(model, 0, sizeof(model));
		else
			memset(model + first, set, n);
		plugged = 0;
		for (unsigned int i = 0; i < BLOCKS; i++)
			plugged += model[i];
		assert_int_equal(hot_ram_plugged(t.hot), plugged * BLOCK);
	}
	close_tent(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_answered_on_every_layout),
		cmocka_unit_test(what_is_wrong_is_an_error_and_changes_nothing),
		cmocka_unit_test(a_request_that_is_cut_short_breaks_the_device),
		cmocka_unit_test(an_answer_may_be_in_pieces),
		cmocka_unit_test(what_is_wanted_is_told_and_bounds_what_is_given),
		cmocka_unit_test(what_the_host_cannot_do_now_is_put_off),
		cmocka_unit_test(one_request_is_under_way_and_the_loop_goes_on),
		cmocka_unit_test(resets_wait_for_what_is_under_way_and_unplug_nothing),
		cmocka_unit_test(it_leaves_under_way),
		cmocka_unit_test(any_requests_are_answered_as_a_model_does),
	};

	return cmocka_run_group_tests_name("virtio-mem", tests, NULL, NULL);
}
