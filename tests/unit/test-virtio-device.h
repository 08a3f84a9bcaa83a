/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device without a VM: its loop runs on a thread of its own, the test is the driver, which
 * writes to the registers of BAR 0 and waits for interrupts.
 */
#ifndef ADIT_TESTS_UNIT_TEST_VIRTIO_DEVICE_H
#define ADIT_TESTS_UNIT_TEST_VIRTIO_DEVICE_H

#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "passthrough/pci/internal.h"
#include "tests/unit/test-virtio.h"
#include "util/loop.h"
#include "vmm/virtio/internal.h"

#define BENCH_QUEUES	 8u
#define BENCH_QUEUE_SIZE 32u
#define BENCH_POLL_NS	 100000u
#define BENCH_BUFFERS	 (GUEST_BASE + 0x200000) /* the test's own memory from here on */

struct bench {
	struct driver_memory memory;
	struct loop *loop;
	pthread_t thread;
	struct virtio_host host;
	struct virtio_device *device;
	struct driver_queue q[BENCH_QUEUES];
	pthread_rwlock_t epoch;	   /* of threads that play vCPUs beside an unplug */
	int unplugged;		   /* an eventfd: the device is freed */
	int irq[BENCH_QUEUES + 1]; /* by vector; the last queue's is n_queues, config is 0 */
};

static inline void bench_open(struct bench *b)
{
	struct err err;

	memset(b, 0, sizeof(*b));
	driver_memory_init(&b->memory);
	assert_ok(loop_create(&b->loop, &err), &err);
	loop_poll_most(b->loop, BENCH_POLL_NS);
	b->host = (struct virtio_host){ .loop = b->loop, .memory = &b->memory.table };
	for (size_t i = 0; i < ARRAY_SIZE(b->irq); i++) {
		b->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
		assert_true(b->irq[i] >= 0);
	}
}

static inline void bench_interrupt(void *arg, uint16_t vector)
{
	struct bench *b = arg;

	assert_true(vector < ARRAY_SIZE(b->irq));
	assert_int_equal(eventfd_write(b->irq[vector], 1), 0);
}

static inline void *bench_thread(void *arg)
{
	assert_int_equal(loop_run(arg), 0);
	return NULL;
}

/* The device is made and its loop runs. */
static inline void bench_run(struct bench *b, struct virtio_device *device)
{
	b->device = device;
	device->interrupt = bench_interrupt;
	device->interrupt_arg = b;
	__atomic_store_n(&device->function->command, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY,
			 __ATOMIC_RELEASE);
	assert_int_equal(pthread_create(&b->thread, NULL, bench_thread, b->loop), 0);
}

static inline void bench_close(struct bench *b)
{
	if (b->thread) {
		loop_stop(b->loop);
		pthread_join(b->thread, NULL);
	}
	if (b->device)
		pci_function_destroy(b->device->function);
	loop_destroy(b->loop);
	for (size_t i = 0; i < ARRAY_SIZE(b->irq); i++)
		close(b->irq[i]);
	free(b->memory.bytes);
}

/* What a bus does: nobody is in the function any more, then it goes. On the loop. */
static inline void bench_gone(void *arg)
{
	struct bench *b = arg;
	struct virtio_device *device = b->device;

	pthread_rwlock_wrlock(&b->epoch);
	b->device = NULL;
	pthread_rwlock_unlock(&b->epoch);
	pci_function_destroy(device->function);
	assert_int_equal(eventfd_write(b->unplugged, 1), 0);
}

/* A guest that writes to registers and rings, until there is nothing to write to. */
static inline void *bench_guest(void *arg)
{
	struct bench *b = arg;
	bool there = true;

	for (unsigned int i = 0; there; i++) {
		pthread_rwlock_rdlock(&b->epoch);
		there = b->device;
		if (there) {
			virtio_pci_write(b->device,
					 VIRTIO_BAR_NOTIFY + VIRTIO_NOTIFY_STEP * (i & 1), 0, 2);
			if (i % 16 == 7)
				virtio_pci_write(b->device, 0x14, i & 64 ? 0 : 0xf, 1);
			(void)virtio_pci_read(b->device, 0x14, 1);
		}
		pthread_rwlock_unlock(&b->epoch);
	}
	return NULL;
}

/* Under the feet of two such guests; returns when the device is freed. */
static inline void bench_unplug(struct bench *b)
{
	pthread_rwlockattr_t attr;
	pthread_t guest[2];
	eventfd_t one;

	/* Two guests that never rest would keep out who waits for neither. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&b->epoch, &attr);
	pthread_rwlockattr_destroy(&attr);
	b->unplugged = eventfd(0, EFD_CLOEXEC);
	assert_true(b->unplugged >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&guest[i], NULL, bench_guest, b), 0);
	virtio_unplug(b->device, bench_gone, b);
	assert_int_equal(eventfd_read(b->unplugged, &one), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(guest[i], NULL);
	close(b->unplugged);
	pthread_rwlock_destroy(&b->epoch);
}

static inline uint64_t reg(struct bench *b, uint64_t offset, unsigned int size)
{
	return virtio_pci_read(b->device, offset, size);
}

static inline void set(struct bench *b, uint64_t offset, uint64_t value, unsigned int size)
{
	virtio_pci_write(b->device, offset, value, size);
}

/* Common configuration, virtio 1.2 section 4.1.4.3. */
#define REG_OFFERED_SELECT  0x00
#define REG_OFFERED	    0x04
#define REG_ACCEPTED_SELECT 0x08
#define REG_ACCEPTED	    0x0c
#define REG_CONFIG_VECTOR   0x10
#define REG_QUEUES	    0x12
#define REG_STATUS	    0x14
#define REG_GENERATION	    0x15
#define REG_SELECT	    0x16
#define REG_SIZE	    0x18
#define REG_VECTOR	    0x1a
#define REG_ENABLE	    0x1c
#define REG_DESC	    0x20
#define REG_DRIVER	    0x28
#define REG_DEVICE	    0x30
#define REG_QUEUE_RESET	    0x3a

static inline uint64_t bench_offered(struct bench *b)
{
	uint64_t low;

	set(b, REG_OFFERED_SELECT, 0, 4);
	low = reg(b, REG_OFFERED, 4);
	set(b, REG_OFFERED_SELECT, 1, 4);
	return low | reg(b, REG_OFFERED, 4) << 32;
}

/* Resets, and waits as a driver must. */
static inline void bench_reset(struct bench *b)
{
	set(b, REG_STATUS, 0, 1);
	while (reg(b, REG_STATUS, 1))
		sched_yield();
}

/* Up to FEATURES_OK; returns whether it stuck. */
static inline bool bench_agree(struct bench *b, uint64_t features)
{
	bench_reset(b);
	set(b, REG_STATUS, STATUS_ACKNOWLEDGE, 1);
	set(b, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 1);
	set(b, REG_ACCEPTED_SELECT, 0, 4);
	set(b, REG_ACCEPTED, features & 0xffffffff, 4);
	set(b, REG_ACCEPTED_SELECT, 1, 4);
	set(b, REG_ACCEPTED, features >> 32, 4);
	set(b, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK, 1);
	return reg(b, REG_STATUS, 1) & STATUS_FEATURES_OK;
}

static inline void bench_queue(struct bench *b, unsigned int index, uint64_t features)
{
	struct driver_queue *q = &b->q[index];

	driver_queue_init(q, &b->memory, GUEST_BASE + (uint64_t)RING_BYTES * index,
			  BENCH_QUEUE_SIZE, features & VIRTIO_FEATURE(FEATURE_PACKED),
			  features & VIRTIO_FEATURE(FEATURE_EVENT_IDX));
	set(b, REG_SELECT, index, 2);
	set(b, REG_SIZE, BENCH_QUEUE_SIZE, 2);
	set(b, REG_VECTOR, index + 1, 2);
	set(b, REG_DESC, q->base, 8);
	set(b, REG_DRIVER, q->base + RING_DRIVER, 8);
	set(b, REG_DEVICE, q->base + RING_DEVICE, 8);
	set(b, REG_ENABLE, 1, 2);
	assert_int_equal(reg(b, REG_ENABLE, 2), 1);
	driver_want_next(q);
}

/* All the way to DRIVER_OK with the first n queues. */
static inline void bench_start(struct bench *b, uint64_t features, unsigned int n)
{
	assert_true(bench_agree(b, features));
	set(b, REG_CONFIG_VECTOR, 0, 2);
	for (unsigned int i = 0; i < n; i++)
		bench_queue(b, i, features);
	set(b, REG_STATUS, 0x0f, 1);
	assert_int_equal(reg(b, REG_STATUS, 1), 0x0f);
}

/* Resets one queue (2.6.1), and waits as a driver must. */
static inline void bench_queue_reset(struct bench *b, unsigned int index)
{
	set(b, REG_SELECT, index, 2);
	set(b, REG_QUEUE_RESET, 1, 2);
	while (reg(b, REG_QUEUE_RESET, 2))
		sched_yield();
	assert_int_equal(reg(b, REG_ENABLE, 2), 0);
}

static inline void bench_kick(struct bench *b, unsigned int queue)
{
	set(b, VIRTIO_BAR_NOTIFY + VIRTIO_NOTIFY_STEP * queue, queue, 2);
}

/* Between these two the test is the loop. */
static inline void bench_stop_loop(struct bench *b)
{
	loop_stop(b->loop);
	pthread_join(b->thread, NULL);
}

static inline void bench_run_loop(struct bench *b)
{
	assert_int_equal(pthread_create(&b->thread, NULL, bench_thread, b->loop), 0);
}

/* One turn of a queue; how many buffers the device took. */
static inline unsigned int bench_kick_here(struct bench *b, unsigned int queue)
{
	uint64_t before;

	virtio_lock(b->device);
	before = b->device->counters.buffers;
	b->device->options.ops->kick(b->device->options.opaque, queue);
	before = b->device->counters.buffers - before;
	virtio_unlock(b->device);
	return (unsigned int)before;
}

static inline void bench_wait(struct bench *b, unsigned int vector)
{
	eventfd_t one;

	assert_int_equal(eventfd_read(b->irq[vector], &one), 0);
}

/*
 * The device of `from`, paused, is saved, and that of `to` goes on with it: with the guest's memory
 * as it was then, and the driver's own account of its queues.
 */
static inline void bench_go_on(struct bench *to, struct bench *from)
{
	struct state_out out = { 0 };
	struct state_in in;
	struct err err;

	virtio_pause(from->device);
	assert_ok(virtio_device_save(from->device, &out, &err), &err);
	assert_int_equal(out.ret, 0);
	memcpy(to->memory.bytes, from->memory.bytes, GUEST_BYTES);
	memcpy(to->q, from->q, sizeof(to->q));
	for (size_t i = 0; i < BENCH_QUEUES; i++)
		to->q[i].memory = &to->memory;
	assert_ok(state_open(&in, out.data, out.len, &err), &err);
	assert_ok(virtio_device_load(to->device, &in), &err);
	assert_ok(state_close(&in), &err);
	state_out_free(&out);
	virtio_resume(from->device);
}

/* Until the queue has a used buffer; returns its id. */
static inline int bench_take(struct bench *b, unsigned int queue, uint32_t *written)
{
	for (;;) {
		int id = driver_take(&b->q[queue], written);

		if (id < 0) {
			driver_want_next(&b->q[queue]);
			id = driver_take(&b->q[queue], written);
		}
		if (id >= 0)
			return id;
		bench_wait(b, queue + 1);
	}
}

/* The layouts that a driver may choose: split or packed, with and without event indices. */
#define BENCH_VERSION_1	 VIRTIO_FEATURE(FEATURE_VERSION_1)
#define BENCH_RING_RESET VIRTIO_FEATURE(FEATURE_RING_RESET)
static const uint64_t bench_layouts[] = {
	BENCH_VERSION_1,
	BENCH_VERSION_1 | VIRTIO_FEATURE(FEATURE_EVENT_IDX) | VIRTIO_FEATURE(FEATURE_INDIRECT),
	BENCH_VERSION_1 | VIRTIO_FEATURE(FEATURE_PACKED),
	BENCH_VERSION_1 | VIRTIO_FEATURE(FEATURE_PACKED) | VIRTIO_FEATURE(FEATURE_EVENT_IDX) |
		VIRTIO_FEATURE(FEATURE_INDIRECT),
};

#endif
