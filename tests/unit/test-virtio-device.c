/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport and the device's life: what a driver reads and writes in which order, features,
 * resets at any moment, and what becomes of a driver that breaks the rules. The device under it
 * fills buffers with their number, or keeps them until it is told.
 */
#include "tests/unit/test-virtio-device.h"

#include <errno.h>

struct echo {
	struct virtio_device *device;
	bool keeps;	 /* buffers stay in flight */
	bool slow_stop;	 /* a reset waits for echo_finish */
	bool slow_queue; /* so does that of one queue */
	bool stop_asked, queue_asked;
	unsigned int starts, stops, kicks, freed;
	uint8_t config[8];
};

static bool echo_one(void *opaque, unsigned int queue)
{
	struct echo *echo = opaque;
	const struct virtq_chain *chain = &echo->device->chain;
	uint8_t byte = 0;

	if (echo->keeps)
		return true;
	(void)virtq_read(chain, 0, &byte, 1);
	byte++;
	virtio_push(echo->device, queue, chain->id, chain->slots,
		    (uint32_t)virtq_write(chain, 0, &byte, 1));
	return true;
}

static void echo_kick(void *opaque, unsigned int queue)
{
	struct echo *echo = opaque;

	echo->kicks++;
	virtio_drain(echo->device, queue, echo_one);
}

static void echo_start(void *opaque)
{
	((struct echo *)opaque)->starts++;
}

static bool echo_stop(void *opaque)
{
	struct echo *echo = opaque;

	echo->stops++;
	echo->stop_asked = true;
	return !echo->slow_stop;
}

static bool echo_stop_queue(void *opaque, unsigned int queue)
{
	struct echo *echo = opaque;

	echo->queue_asked = true;
	return !echo->slow_queue;
}

static void echo_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	memcpy(data, ((struct echo *)opaque)->config + offset, size);
}

static void echo_write(void *opaque, uint32_t offset, const void *data, unsigned int size)
{
	memcpy(((struct echo *)opaque)->config + offset, data, size);
}

static const char *echo_refuse(void *opaque, uint64_t features)
{
	return (features & 3) == 2 ? "feature 1 needs feature 0" : NULL;
}

static void echo_free(void *opaque)
{
	((struct echo *)opaque)->freed++;
}

static const struct virtio_ops echo_ops = { .refuse = echo_refuse,
					    .config_read = echo_read,
					    .config_write = echo_write,
					    .start = echo_start,
					    .kick = echo_kick,
					    .stop = echo_stop,
					    .stop_queue = echo_stop_queue,
					    .free = echo_free };

static void open_echo(struct bench *b, struct echo *echo)
{
	const struct virtio_options options = { .name = "echo",
						.type = 30,
						.class_code = 0xff0000,
						.features = 3,
						.packed = true,
						.queues = 2,
						.queue_size = 64,
						.config_size = sizeof(echo->config),
						.ops = &echo_ops,
						.opaque = echo };
	struct err err;

	memset(echo, 0, sizeof(*echo));
	bench_open(b);
	assert_ok(virtio_device_create(&echo->device, &b->host, &options, &err), &err);
	bench_run(b, echo->device);
}

static void close_echo(struct bench *b, struct echo *echo)
{
	bench_close(b);
	assert_int_equal(echo->freed, 1);
}

static void echo_once(struct bench *b, unsigned int queue)
{
	const struct driver_piece pieces[] = { { BENCH_BUFFERS, 1, false },
					       { BENCH_BUFFERS + 64, 1, true } };
	uint8_t *in = guest_at(&b->memory, BENCH_BUFFERS);
	uint8_t *out = guest_at(&b->memory, BENCH_BUFFERS + 64);
	uint32_t written;

	*in = (uint8_t)rand();
	assert_true(driver_add(&b->q[queue], pieces, 2) >= 0);
	bench_kick(b, queue);
	bench_take(b, queue, &written);
	assert_int_equal(written, 1);
	assert_int_equal(*out, (uint8_t)(*in + 1));
}

static void buffers_are_answered_in_every_layout(void **state)
{
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		bench_start(&b, bench_layouts[i], 2);
		for (unsigned int n = 0; n < 100; n++)
			echo_once(&b, n & 1);
	}
	bench_reset(&b);
	assert_int_equal(echo.starts, ARRAY_SIZE(bench_layouts));
	assert_int_equal(echo.stops, ARRAY_SIZE(bench_layouts));
	close_echo(&b, &echo);
}

static void buffers_from_before_driver_ok_are_found(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	assert_true(bench_agree(&b, BENCH_VERSION_1));
	bench_queue(&b, 0, BENCH_VERSION_1);
	driver_add(&b.q[0], &piece, 1);
	bench_kick(&b, 0);
	set(&b, REG_STATUS, 0x0f, 1);
	bench_take(&b, 0, NULL);
	close_echo(&b, &echo);
}

static void features_that_do_not_fit_are_refused(void **state)
{
	struct bench b;
	struct echo echo;
	uint64_t offered;

	open_echo(&b, &echo);
	offered = bench_offered(&b);
	assert_true(offered & BENCH_VERSION_1);
	set(&b, REG_OFFERED_SELECT, 2, 4);
	assert_int_equal(reg(&b, REG_OFFERED, 4), 0);
	assert_true(bench_agree(&b, offered));
	/* Not offered; not modern; against the device's own rule. */
	assert_false(bench_agree(&b, BENCH_VERSION_1 | 1ULL << 20));
	assert_false(bench_agree(&b, BENCH_VERSION_1 | 1ULL << 63));
	assert_false(bench_agree(&b, 1));
	assert_false(bench_agree(&b, BENCH_VERSION_1 | 2));
	/* Once agreed on, they stand. */
	assert_true(bench_agree(&b, BENCH_VERSION_1));
	set(&b, REG_ACCEPTED_SELECT, 0, 4);
	set(&b, REG_ACCEPTED, 3, 4);
	assert_int_equal(reg(&b, REG_ACCEPTED, 4), 0);
	close_echo(&b, &echo);
}

static void a_driver_out_of_order_must_reset(void **state)
{
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	set(&b, REG_STATUS, STATUS_DRIVER_OK, 1);
	assert_int_equal(reg(&b, REG_STATUS, 1) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	bench_reset(&b);
	set(&b, REG_ENABLE, 1, 2);
	assert_int_equal(reg(&b, REG_STATUS, 1) & STATUS_NEEDS_RESET, STATUS_NEEDS_RESET);
	bench_start(&b, BENCH_VERSION_1, 1);
	echo_once(&b, 0);
	close_echo(&b, &echo);
}

static void a_broken_ring_needs_a_reset_and_says_so(void **state)
{
	const struct driver_piece bad = { 0, 16, true };
	struct bench b;
	struct echo echo;
	struct log log = { .fd = -1, .level = LOG_WARN };
	char text[2048];
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	open_echo(&b, &echo);
	log.fd = fds[1];
	b.device->host.log = &log;
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		uint8_t generation;

		bench_start(&b, bench_layouts[i], 2);
		generation = (uint8_t)reg(&b, REG_GENERATION, 1);
		driver_add(&b.q[0], &bad, 1);
		bench_kick(&b, 0);
		bench_wait(&b, 0);
		assert_int_equal(reg(&b, REG_STATUS, 1), 0x0f | STATUS_NEEDS_RESET);
		assert_int_not_equal(reg(&b, REG_GENERATION, 1), generation);
		assert_int_equal(reg(&b, VIRTIO_BAR_ISR, 1) & ISR_CONFIG, ISR_CONFIG);
		assert_int_equal(reg(&b, VIRTIO_BAR_ISR, 1), 0);
		n = read(fds[0], text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = 0;
		assert_non_null(strstr(text, "echo: the driver broke the rules"));
		assert_ptr_equal(strchr(text, '\n'), text + n - 1);
		/* The other queue is dead too, and nothing more is said. */
		bench_kick(&b, 1);
		bench_kick(&b, 0);
		set(&b, REG_STATUS, 0x0f, 1);
		assert_int_equal(reg(&b, REG_STATUS, 1), 0x0f | STATUS_NEEDS_RESET);
	}
	bench_start(&b, BENCH_VERSION_1, 1);
	echo_once(&b, 0);
	close_echo(&b, &echo);
	close(fds[0]);
	close(fds[1]);
}

/* Status reads 0 only when the device has let go. */
static void a_reset_waits_for_what_is_in_flight(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;
	bool asked = false, kicked = false;

	open_echo(&b, &echo);
	virtio_lock(b.device);
	echo.keeps = echo.slow_stop = true;
	virtio_unlock(b.device);
	bench_start(&b, BENCH_VERSION_1, 1);
	driver_add(&b.q[0], &piece, 1);
	bench_kick(&b, 0);
	while (!kicked) {
		virtio_lock(b.device);
		kicked = echo.kicks;
		virtio_unlock(b.device);
		sched_yield();
	}
	set(&b, REG_STATUS, 0, 1);
	while (!asked) {
		assert_int_not_equal(reg(&b, REG_STATUS, 1), 0);
		/* Registers are dead meanwhile. */
		set(&b, REG_STATUS, 1, 1);
		set(&b, REG_SELECT, 1, 2);
		virtio_lock(b.device);
		asked = echo.stop_asked;
		virtio_unlock(b.device);
	}
	assert_int_not_equal(reg(&b, REG_STATUS, 1), 0);
	virtio_lock(b.device);
	/* Its answer comes too late and goes nowhere. */
	virtio_push(b.device, 0, 0, 1, 8);
	virtio_flush(b.device, 0);
	virtio_stopped(b.device);
	echo.keeps = echo.slow_stop = false;
	virtio_unlock(b.device);
	assert_int_equal(reg(&b, REG_STATUS, 1), 0);
	assert_int_equal(driver_take(&b.q[0], NULL), -1);
	bench_start(&b, BENCH_VERSION_1, 1);
	echo_once(&b, 0);
	close_echo(&b, &echo);
}

static void resets_at_any_moment_leave_a_working_device(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	for (unsigned int i = 0; i < 300; i++) {
		unsigned int n = i % 20;

		bench_start(&b, bench_layouts[i % ARRAY_SIZE(bench_layouts)], 2);
		while (n--) {
			driver_add(&b.q[n & 1], &piece, 1);
			bench_kick(&b, n & 1);
		}
		if (i % 3 == 0)
			set(&b, REG_STATUS, 0, 1);
	}
	bench_start(&b, BENCH_VERSION_1, 1);
	echo_once(&b, 0);
	close_echo(&b, &echo);
}

/* Virtio 1.2 section 2.6.1: it starts anew with other values, and the other queue never notices. */
static void one_queue_is_reset_alone(void **state)
{
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	assert_true(bench_offered(&b) & BENCH_RING_RESET);
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		uint64_t features = bench_layouts[i] | BENCH_RING_RESET;

		bench_start(&b, features, 2);
		for (unsigned int n = 0; n < 40; n++) {
			echo_once(&b, 0);
			echo_once(&b, 1);
			bench_queue_reset(&b, 0);
			assert_int_equal(reg(&b, REG_SIZE, 2), 64);
			assert_int_equal(reg(&b, REG_DESC, 8), 0);
			assert_int_equal(reg(&b, REG_VECTOR, 2), VIRTIO_NO_VECTOR);
			echo_once(&b, 1);
			bench_kick(&b, 0);
			bench_queue(&b, 0, features);
			assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
		}
	}
	assert_int_equal(echo.starts, ARRAY_SIZE(bench_layouts));
	close_echo(&b, &echo);
}

static void a_queue_reset_waits_for_what_is_in_flight(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;
	bool asked = false, kicked = false;

	open_echo(&b, &echo);
	virtio_lock(b.device);
	echo.keeps = echo.slow_queue = true;
	virtio_unlock(b.device);
	bench_start(&b, BENCH_VERSION_1 | BENCH_RING_RESET, 2);
	driver_add(&b.q[0], &piece, 1);
	bench_kick(&b, 0);
	while (!kicked) {
		virtio_lock(b.device);
		kicked = echo.kicks;
		virtio_unlock(b.device);
		sched_yield();
	}
	set(&b, REG_SELECT, 0, 2);
	set(&b, REG_QUEUE_RESET, 1, 2);
	while (!asked) {
		assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 1);
		/* Its registers are dead meanwhile. */
		set(&b, REG_DESC, 0x5550, 8);
		set(&b, REG_ENABLE, 1, 2);
		virtio_lock(b.device);
		asked = echo.queue_asked;
		echo.keeps = false;
		virtio_unlock(b.device);
	}
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 1);
	echo_once(&b, 1);
	virtio_lock(b.device);
	/* Its answer comes too late and goes nowhere. */
	virtio_push(b.device, 0, 0, 1, 8);
	virtio_flush(b.device, 0);
	virtio_queue_stopped(b.device, 0);
	echo.slow_queue = false;
	virtio_unlock(b.device);
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
	assert_int_equal(driver_take(&b.q[0], NULL), -1);
	bench_queue(&b, 0, BENCH_VERSION_1);
	echo_once(&b, 0);
	/* The whole device goes while one queue is going. */
	virtio_lock(b.device);
	echo.slow_queue = true;
	virtio_unlock(b.device);
	set(&b, REG_SELECT, 0, 2);
	set(&b, REG_QUEUE_RESET, 1, 2);
	bench_start(&b, BENCH_VERSION_1, 1);
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
	echo_once(&b, 0);
	close_echo(&b, &echo);
}

static void a_queue_reset_that_was_not_agreed_on_is_none(void **state)
{
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	bench_start(&b, BENCH_VERSION_1, 1);
	set(&b, REG_SELECT, 0, 2);
	set(&b, REG_QUEUE_RESET, 1, 2);
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
	assert_int_equal(reg(&b, REG_ENABLE, 2), 1);
	echo_once(&b, 0);
	/* Agreed on, but nothing is enabled, or there is no such queue. */
	assert_true(bench_agree(&b, BENCH_VERSION_1 | BENCH_RING_RESET));
	set(&b, REG_SELECT, 1, 2);
	set(&b, REG_QUEUE_RESET, 1, 2);
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
	set(&b, REG_SELECT, 2, 2);
	set(&b, REG_QUEUE_RESET, 1, 2);
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
	/* Before DRIVER_OK it is done at once. */
	bench_queue(&b, 0, BENCH_VERSION_1);
	set(&b, REG_SELECT, 0, 2);
	set(&b, REG_QUEUE_RESET, 1, 2);
	assert_int_equal(reg(&b, REG_QUEUE_RESET, 2), 0);
	assert_int_equal(reg(&b, REG_ENABLE, 2), 0);
	close_echo(&b, &echo);
}

static void queue_registers_stand_while_enabled(void **state)
{
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	bench_start(&b, BENCH_VERSION_1, 1);
	set(&b, REG_SELECT, 0, 2);
	set(&b, REG_SIZE, 8, 2);
	set(&b, REG_DESC, 0x1234, 8);
	set(&b, REG_ENABLE, 0, 2);
	assert_int_equal(reg(&b, REG_SIZE, 2), BENCH_QUEUE_SIZE);
	assert_int_equal(reg(&b, REG_DESC, 8), GUEST_BASE);
	assert_int_equal(reg(&b, REG_ENABLE, 2), 1);
	set(&b, REG_VECTOR, 77, 2);
	assert_int_equal(reg(&b, REG_VECTOR, 2), VIRTIO_NO_VECTOR);
	set(&b, REG_SELECT, 2, 2);
	assert_int_equal(reg(&b, REG_SIZE, 2), 0);
	set(&b, REG_ENABLE, 1, 2);
	assert_int_equal(reg(&b, REG_ENABLE, 2), 0);
	set(&b, REG_SELECT, 1, 2);
	set(&b, REG_SIZE, 65, 2);
	assert_int_equal(reg(&b, REG_SIZE, 2), 64);
	close_echo(&b, &echo);
}

static void registers_take_every_width(void **state)
{
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	set(&b, REG_SELECT, 0, 2);
	set(&b, REG_DESC, 0x89abcdef, 4);
	set(&b, REG_DESC + 4, 0x01234567, 4);
	assert_int_equal(reg(&b, REG_DESC, 8), 0x0123456789abcdef);
	set(&b, REG_DESC + 2, 0x55, 1);
	assert_int_equal(reg(&b, REG_DESC, 8), 0x012345678955cdef);
	assert_int_equal(reg(&b, REG_DESC + 1, 4), 0x678955cd);
	/* queue_size and queue_msix_vector at once. */
	set(&b, REG_SIZE, 16 | 2 << 16, 4);
	assert_int_equal(reg(&b, REG_SIZE, 4), 16 | 2 << 16);
	assert_int_equal(reg(&b, REG_QUEUES, 2), 2);
	/* Holes and ends. */
	assert_int_equal(reg(&b, 0x38, 8), 0);
	assert_int_equal(reg(&b, 0x36, 4), 0);
	set(&b, 0x36, ~0ULL, 8);
	set(&b, VIRTIO_BAR_DEVICE + 6, 0xffff, 4);
	assert_int_equal(reg(&b, VIRTIO_BAR_DEVICE, 8), 0);
	set(&b, VIRTIO_BAR_DEVICE + 6, 0xbbaa, 2);
	assert_int_equal(reg(&b, VIRTIO_BAR_DEVICE, 8), 0xbbaaULL << 48);
	set(&b, VIRTIO_BAR_NOTIFY + 4 * 2, 0, 2);
	set(&b, VIRTIO_BAR_TABLE - 1, 0, 8);
	close_echo(&b, &echo);
}

static void without_bus_mastering_memory_is_not_touched(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;
	bool refused = false;

	open_echo(&b, &echo);
	__atomic_store_n(&b.device->function->command, 0, __ATOMIC_RELEASE);
	bench_start(&b, BENCH_VERSION_1, 1);
	driver_add(&b.q[0], &piece, 1);
	bench_kick(&b, 0);
	while (!refused) {
		virtio_lock(b.device);
		refused = b.device->no_master;
		virtio_unlock(b.device);
		sched_yield();
	}
	assert_int_equal(driver_take(&b.q[0], NULL), -1);
	__atomic_store_n(&b.device->function->command, PCI_COMMAND_MASTER, __ATOMIC_RELEASE);
	b.device->function->ops->config_written(b.device, PCI_COMMAND, 2);
	bench_take(&b, 0, NULL);
	close_echo(&b, &echo);
}

static void a_paused_device_stands_still_and_goes_on(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	bench_start(&b, BENCH_VERSION_1, 1);
	echo_once(&b, 0);
	virtio_pause(b.device);
	virtio_pause(b.device);
	driver_add(&b.q[0], &piece, 1);
	bench_kick(&b, 0);
	assert_int_equal(driver_take(&b.q[0], NULL), -1);
	virtio_resume(b.device);
	virtio_lock(b.device);
	assert_false(virtio_live(b.device, 0));
	virtio_unlock(b.device);
	virtio_resume(b.device);
	bench_take(&b, 0, NULL);
	close_echo(&b, &echo);
}

/* In every state: never started, working, broken, paused, in the middle of a reset. */
/* Of a driver that has given nothing beyond `idx` or, packed, `slot`: whether the next wants one.
 */
struct place {
	uint16_t idx, slot;
	bool wrap;
};

static struct place place_of(const struct driver_queue *q)
{
	return (struct place){ *driver_area16(q, 2), q->next_avail, q->avail_wrap };
}

static bool wants_kick(const struct driver_queue *q, const struct place *place)
{
	const uint16_t *first = device_area16(q, 0), *second = device_area16(q, 2);
	const uint16_t *event = device_area16(q, 4 + 8u * q->size);
	uint16_t kind;

	if (!q->packed && q->event_idx)
		return __atomic_load_n(event, __ATOMIC_SEQ_CST) == place->idx;
	if (!q->packed)
		return !__atomic_load_n(first, __ATOMIC_SEQ_CST);
	kind = __atomic_load_n(second, __ATOMIC_SEQ_CST);
	if (kind == 2) /* of one place alone, whose wrap counter is the highest bit */
		return __atomic_load_n(first, __ATOMIC_SEQ_CST) ==
		       (place->slot | (place->wrap ? 0x8000 : 0));
	return kind != 1;
}

#define LOOK_NS 100000000000u
#define PACES	1000u

/* On the loop, as if the driver had taught it. */
static void look_long(void *arg)
{
	struct virtio_device *device = arg;

	loop_poll_most(device->host.loop, LOOK_NS);
	device->queues[0].poller.ns = LOOK_NS;
}

/* A driver whose requests follow each other closely does without kicks. */
static void a_queue_that_is_looked_at_wants_no_kicks(void **state)
{
	const struct driver_piece pieces[] = { { BENCH_BUFFERS, 1, false },
					       { BENCH_BUFFERS + 64, 1, true } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		struct bench b;
		struct echo echo;
		struct loop_work work = { .fn = look_long };
		uint32_t written;

		open_echo(&b, &echo);
		bench_start(&b, bench_layouts[i], 1);
		work.arg = echo.device;
		loop_post(b.loop, &work);
		while (__atomic_load_n(&work.pending, __ATOMIC_ACQUIRE))
			sched_yield();
		echo_once(&b, 0);
		for (unsigned int n = 0; n < 100; n++) {
			struct place place = place_of(&b.q[0]);

			assert_false(wants_kick(&b.q[0], &place));
			assert_true(driver_add(&b.q[0], pieces, 2) >= 0);
			bench_take(&b, 0, &written);
			assert_int_equal(written, 1);
		}
		/* Paused, nobody looks; afterwards it finds what was brought meanwhile. */
		virtio_pause(b.device);
		assert_true(driver_add(&b.q[0], pieces, 2) >= 0);
		virtio_resume(b.device);
		bench_take(&b, 0, &written);
		/* After a reset the queue is another. */
		bench_start(&b, bench_layouts[i], 1);
		echo_once(&b, 0);
		close_echo(&b, &echo);
	}
}

/* At every pace: what comes when nobody looks any more, or just then, is kicked for, or found. */
static void a_driver_that_kicks_when_asked_is_answered(void **state)
{
	const struct driver_piece pieces[] = { { BENCH_BUFFERS, 1, false },
					       { BENCH_BUFFERS + 64, 1, true } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
		unsigned int kicks = 0;
		struct bench b;
		struct echo echo;
		uint32_t written;

		open_echo(&b, &echo);
		bench_start(&b, bench_layouts[i], 1);
		for (unsigned int n = 0; n < PACES; n++) {
			struct place place = place_of(&b.q[0]);

			for (volatile int wait = rand() % (n % 3 ? 300 : 30000); wait; wait--)
				;
			assert_true(driver_add(&b.q[0], pieces, 2) >= 0);
			__sync_synchronize();
			if (wants_kick(&b.q[0], &place)) {
				bench_kick(&b, 0);
				kicks++;
			}
			bench_take(&b, 0, &written);
			assert_int_equal(written, 1);
		}
		assert_true(kicks > 0);
		close_echo(&b, &echo);
	}
}

/* Under the feet of who looks at it. */
static void a_queue_that_is_looked_at_is_reset(void **state)
{
	struct bench b;
	struct echo echo;
	struct loop_work work = { .fn = look_long };

	(void)state;
	open_echo(&b, &echo);
	work.arg = echo.device;
	for (unsigned int n = 0; n < 50; n++) {
		bench_start(&b, bench_layouts[n % ARRAY_SIZE(bench_layouts)] | BENCH_RING_RESET, 2);
		loop_post(b.loop, &work);
		echo_once(&b, 0);
		if (n & 1) {
			bench_queue_reset(&b, 0);
			echo_once(&b, 1);
		}
	}
	close_echo(&b, &echo);
}

static void a_device_leaves_while_the_guest_uses_it(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true }, bad = { 0, 16, true };
	struct bench b;
	struct echo echo;

	for (unsigned int i = 0; i < 60; i++) {
		open_echo(&b, &echo);
		if (i % 6)
			bench_start(&b, bench_layouts[i % ARRAY_SIZE(bench_layouts)], 2);
		if (i % 6 > 1)
			driver_add(&b.q[0], &piece, 1);
		if (i % 6 == 3)
			driver_add(&b.q[1], &bad, 1);
		if (i % 6 == 4)
			virtio_pause(b.device);
		if (i % 6 == 5)
			set(&b, REG_STATUS, 0, 1);
		bench_unplug(&b);
		close_echo(&b, &echo);
	}
}

struct slow {
	struct bench *b;
	struct echo *echo;
	struct loop_work end;
	bool gone;
};

static void slow_gone(void *arg)
{
	struct slow *slow = arg;

	slow->gone = true;
	bench_gone(slow->b);
}

/* On the loop: what was in flight has ended. */
static void slow_end(void *arg)
{
	struct slow *slow = arg;
	struct virtio_device *device = slow->b->device;

	assert_false(slow->gone);
	virtio_lock(device);
	virtio_push(device, 0, 0, 1, 8);
	virtio_flush(device, 0);
	virtio_stopped(device);
	virtio_unlock(device);
	assert_false(slow->gone);
}

static void a_device_that_leaves_waits_for_what_is_in_flight(void **state)
{
	const struct driver_piece piece = { BENCH_BUFFERS, 8, true };
	struct bench b;
	struct echo echo;
	struct slow slow = { .b = &b, .echo = &echo };
	bool asked = false, kicked = false;
	eventfd_t one;

	open_echo(&b, &echo);
	pthread_rwlock_init(&b.epoch, NULL);
	b.unplugged = eventfd(0, EFD_CLOEXEC);
	slow.end = (struct loop_work){ .fn = slow_end, .arg = &slow };
	virtio_lock(b.device);
	echo.keeps = echo.slow_stop = true;
	virtio_unlock(b.device);
	bench_start(&b, BENCH_VERSION_1, 1);
	driver_add(&b.q[0], &piece, 1);
	bench_kick(&b, 0);
	while (!kicked) {
		virtio_lock(b.device);
		kicked = echo.kicks;
		virtio_unlock(b.device);
		sched_yield();
	}
	virtio_unplug(b.device, slow_gone, &slow);
	while (!asked) {
		/* Nothing that the driver writes counts. */
		set(&b, REG_STATUS, 0, 1);
		assert_int_not_equal(reg(&b, REG_STATUS, 1), 0);
		virtio_lock(b.device);
		asked = echo.stop_asked;
		virtio_unlock(b.device);
	}
	loop_post(b.loop, &slow.end);
	assert_int_equal(eventfd_read(b.unplugged, &one), 0);
	assert_int_equal(driver_take(&b.q[0], NULL), -1);
	assert_int_equal(echo.stops, 1);
	close(b.unplugged);
	pthread_rwlock_destroy(&b.epoch);
	close_echo(&b, &echo);
}

/* Any bytes in any register: nothing may crash, hang or run a queue that is not whole. */
static void random_registers_do_no_harm(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	struct bench b;
	struct echo echo;

	open_echo(&b, &echo);
	srand(7);
	for (unsigned int i = 0; i < 100000; i++) {
		unsigned int size = sizes[rand() & 3];
		uint64_t at = (uint64_t)rand() % (rand() & 1 ? 0x40 : VIRTIO_BAR_TABLE - 8);
		uint64_t value = rand() & 1 ? (uint64_t)rand() << 32 | (uint32_t)rand()
					    : (uint64_t)rand() & 0xf;

		if (rand() & 1)
			set(&b, at, value, size);
		else
			(void)reg(&b, at, size);
	}
	bench_start(&b, BENCH_VERSION_1, 1);
	while (driver_take(&b.q[0], NULL) >= 0)
		;
	echo_once(&b, 0);
	close_echo(&b, &echo);
}

static unsigned int find_capability(const uint8_t *config, unsigned int type, unsigned int from)
{
	for (unsigned int at = from ? config[from + 1] : config[PCI_CAPABILITY_LIST]; at;
	     at = config[at + 1]) {
		if (config[at] == PCI_CAP_ID_VNDR && config[at + 3] == type)
			return at;
	}
	return 0;
}

static void the_function_has_the_capabilities_of_the_specification(void **state)
{
	struct bench b;
	struct echo echo;
	const uint8_t *config;

	open_echo(&b, &echo);
	config = pci_function_config(b.device->function);
	assert_int_equal(load_le(config, 4), 0x1af4u | (0x1040u + 30) << 16);
	assert_true(config[PCI_REVISION_ID] >= 1);
	for (unsigned int type = 1; type <= 5; type++) {
		unsigned int at = find_capability(config, type, 0);

		assert_int_not_equal(at, 0);
		assert_true(config[at + 2] >= 16);
		assert_int_equal(config[at + 4], 0);
		assert_int_equal(find_capability(config, type, at), 0);
		if (type == 2)
			assert_int_equal(load_le(config + at + 16, 4), VIRTIO_NOTIFY_STEP);
	}
	close_echo(&b, &echo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_are_answered_in_every_layout),
		cmocka_unit_test(buffers_from_before_driver_ok_are_found),
		cmocka_unit_test(features_that_do_not_fit_are_refused),
		cmocka_unit_test(a_driver_out_of_order_must_reset),
		cmocka_unit_test(a_broken_ring_needs_a_reset_and_says_so),
		cmocka_unit_test(a_reset_waits_for_what_is_in_flight),
		cmocka_unit_test(resets_at_any_moment_leave_a_working_device),
		cmocka_unit_test(one_queue_is_reset_alone),
		cmocka_unit_test(a_queue_reset_waits_for_what_is_in_flight),
		cmocka_unit_test(a_queue_reset_that_was_not_agreed_on_is_none),
		cmocka_unit_test(queue_registers_stand_while_enabled),
		cmocka_unit_test(registers_take_every_width),
		cmocka_unit_test(without_bus_mastering_memory_is_not_touched),
		cmocka_unit_test(a_paused_device_stands_still_and_goes_on),
		cmocka_unit_test(a_queue_that_is_looked_at_wants_no_kicks),
		cmocka_unit_test(a_driver_that_kicks_when_asked_is_answered),
		cmocka_unit_test(a_queue_that_is_looked_at_is_reset),
		cmocka_unit_test(a_device_leaves_while_the_guest_uses_it),
		cmocka_unit_test(a_device_that_leaves_waits_for_what_is_in_flight),
		cmocka_unit_test(random_registers_do_no_harm),
		cmocka_unit_test(the_function_has_the_capabilities_of_the_specification),
	};

	return cmocka_run_group_tests_name("virtio-device", tests, NULL, NULL);
}
