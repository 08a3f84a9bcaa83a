/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a device: from reset over negotiated features to running queues, and back at any
 * moment. One file, because the status register is the one state machine that all of it follows.
 *
 * Source: OASIS virtio 1.2, sections 2.1, 2.2, 2.4, 3.1.
 */
#include "vmm/virtio/device.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "vmm/virtio/internal.h"

/* Buffers after which the used ones are shown: of a split ring's elements, a cache line. */
#define DRAIN_FLUSH 8u

static bool broken(const struct virtio_device *device)
{
	return device->status & STATUS_NEEDS_RESET;
}

static void raise(struct virtio_device *device, uint8_t isr, uint16_t vector)
{
	device->isr |= isr;
	if (vector != VIRTIO_NO_VECTOR)
		device->interrupt(device->interrupt_arg, vector);
}

static void raise_config(struct virtio_device *device)
{
	device->generation++;
	if (device->status & STATUS_DRIVER_OK)
		raise(device, ISR_CONFIG, device->config_vector);
}

void virtio_break(struct virtio_device *device, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (broken(device) || device->stopping)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_limited(device->host.log, &device->limit, LOG_WARN, "virtio",
		    "%s: the driver broke the rules and must reset the device: %s", device->name,
		    text);
	device->status |= STATUS_NEEDS_RESET;
	raise_config(device);
}

void virtio_config_changed(struct virtio_device *device)
{
	raise_config(device);
}

/* --- queues ---------------------------------------------------------------------------------- */

bool virtio_live(struct virtio_device *device, unsigned int queue)
{
	if (!device->running || device->stopping || broken(device) || device->pauses ||
	    !device->queues[queue].enabled)
		return false;
	if (pci_function_bus_master(device->function))
		return true;
	device->no_master = true;
	return false;
}

bool virtio_pop(struct virtio_device *device, unsigned int queue)
{
	struct err err;
	int ret;

	if (!virtio_live(device, queue))
		return false;
	ret = virtq_pop(&device->queues[queue].vq, &device->chain, &err);
	if (ret < 0)
		virtio_break(device, "queue %u: %s", queue, err.text);
	if (ret <= 0)
		return false;
	device->counters.buffers++;
	device->counters.read_bytes += device->chain.out_bytes;
	return true;
}

/* Not virtio_live: what was in flight when the machine was paused still completes. */
static bool may_answer(const struct virtio_device *device, unsigned int queue)
{
	return device->running && !device->stopping && !broken(device) &&
	       device->queues[queue].enabled && pci_function_bus_master(device->function);
}

void virtio_push(struct virtio_device *device, unsigned int queue, uint16_t id, uint16_t slots,
		 uint32_t written)
{
	if (!may_answer(device, queue))
		return;
	virtq_push(&device->queues[queue].vq, id, slots, written);
	device->counters.written_bytes += written;
}

void virtio_flush(struct virtio_device *device, unsigned int queue)
{
	struct virtio_queue *q = &device->queues[queue];

	if (may_answer(device, queue) && virtq_publish(&q->vq) && virtq_should_notify(&q->vq))
		raise(device, ISR_QUEUE, q->vector);
}

void virtio_read_counters(struct virtio_device *device, struct virtio_counters *counters)
{
	virtio_lock(device);
	*counters = device->counters;
	for (unsigned int i = 0; i < device->n_queues; i++)
		counters->in_flight +=
			device->queues[i].enabled ? device->queues[i].vq.in_flight : 0;
	virtio_unlock(device);
	counters->interrupts = pci_function_interrupts(device->function);
}

void virtio_kicks_off(struct virtio_device *device, unsigned int queue)
{
	if (virtio_live(device, queue))
		virtq_kicks_off(&device->queues[queue].vq);
}

bool virtio_kicks_on(struct virtio_device *device, unsigned int queue)
{
	return virtio_live(device, queue) && virtq_kicks_on(&device->queues[queue].vq);
}

void virtio_again(struct virtio_device *device, unsigned int queue)
{
	virtio_doorbell(device, queue);
}

void virtio_drain(struct virtio_device *device, unsigned int queue,
		  bool (*one)(void *opaque, unsigned int queue))
{
	struct virtio_queue *q = &device->queues[queue];
	unsigned int left = q->vq.size;
	bool more = true;

	virtio_kicks_off(device, queue);
	while (more) {
		while (left && virtio_pop(device, queue)) {
			left--;
			if (!one(device->options.opaque, queue)) {
				virtio_flush(device, queue);
				return;
			}
			/* The driver brings more while we go on. */
			if (!(left % DRAIN_FLUSH))
				virtio_flush(device, queue);
		}
		virtio_flush(device, queue);
		if (!q->vq.in_flight)
			virtio_expect(device, queue);
		more = !q->poller.on && virtio_kicks_on(device, queue);
		/* A guest that fills as fast as we drain must not keep the loop from others. */
		if (more && !left) {
			virtio_again(device, queue);
			return;
		}
	}
}

void virtio_doorbell(struct virtio_device *device, unsigned int queue)
{
	/* EAGAIN: the counter is full of kicks already. */
	if (eventfd_write(device->queues[queue].kick_fd, 1) < 0 && errno != EAGAIN)
		abort();
}

/* --- queues that are looked at, for a while, without kicks ----------------------------------- */

void virtio_expect(struct virtio_device *device, unsigned int queue)
{
	struct virtio_queue *q = &device->queues[queue];

	if (virtio_live(device, queue) && loop_poll(device->host.loop, &q->poller))
		virtq_kicks_off(&q->vq);
}

static void take(struct virtio_queue *q)
{
	struct virtio_device *device = q->device;

	loop_poll_came(device->host.loop, &q->poller);
	device->options.ops->kick(device->options.opaque, (unsigned int)(q - device->queues));
}

static bool on_look(void *arg)
{
	struct virtio_queue *q = arg;
	struct virtio_device *device = q->device;
	bool live, found;

	virtio_lock(device);
	live = virtio_live(device, (unsigned int)(q - device->queues));
	found = live && virtq_ready(&q->vq);
	if (found)
		take(q);
	else if (!live)
		loop_poll_end(device->host.loop, &q->poller);
	virtio_unlock(device);
	return found;
}

static bool on_rest(void *arg)
{
	struct virtio_queue *q = arg;
	struct virtio_device *device = q->device;
	bool found;

	virtio_lock(device);
	found = virtio_kicks_on(device, (unsigned int)(q - device->queues));
	if (found)
		take(q);
	virtio_unlock(device);
	return found;
}

static void on_kick(void *arg, uint32_t ready)
{
	struct virtio_queue *q = arg;
	struct virtio_device *device = q->device;
	unsigned int index = (unsigned int)(q - device->queues);
	eventfd_t count = 0;

	(void)eventfd_read(q->kick_fd, &count);
	virtio_lock(device);
	device->counters.doorbells += count;
	if (virtio_live(device, index))
		take(q);
	virtio_unlock(device);
}

void virtio_hand_over(struct virtio_device *device, unsigned int queue, bool handed)
{
	struct virtio_queue *q = &device->queues[queue];
	struct err err;

	if (handed) {
		loop_unwatch(q->watch);
		q->watch = NULL;
	} else if (!q->watch &&
		   loop_watch(device->host.loop, q->kick_fd, POLLIN, on_kick, q, &q->watch, &err)) {
		log_limited(device->host.log, &device->limit, LOG_ERROR, "virtio",
			    "%s: queue %u: %s", device->name, queue, err.text);
	}
}

void virtio_enable_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_queue *q = &device->queues[queue];
	struct err err;

	if (q->enabled || q->resetting || device->stopping || broken(device))
		return;
	if (!(device->status & STATUS_FEATURES_OK)) {
		virtio_break(device, "queue %u enabled before the features were agreed on", queue);
		return;
	}
	q->vq.packed = virtio_has(device, FEATURE_PACKED);
	q->vq.event_idx = virtio_has(device, FEATURE_EVENT_IDX);
	q->vq.indirect = virtio_has(device, FEATURE_INDIRECT);
	if (virtq_start(&q->vq, device->host.memory, &err)) {
		virtio_break(device, "queue %u: %s", queue, err.text);
		return;
	}
	q->enabled = true;
	/* A queue that comes after DRIVER_OK; its first kick may have been lost. */
	if (device->running)
		virtio_look_again(device);
}

static void queue_power_on(struct virtio_device *device, struct virtio_queue *q)
{
	q->vq.size = device->options.queue_size;
	q->vq.desc = q->vq.driver = q->vq.device = 0;
	q->enabled = q->reset_asked = q->resetting = false;
	q->vector = VIRTIO_NO_VECTOR;
}

void virtio_queue_stopped(struct virtio_device *device, unsigned int queue)
{
	queue_power_on(device, &device->queues[queue]);
	virtio_settled(device);
}

/* Section 2.6.1. Also of a device that its driver broke: it waits for this as for any reset. */
void virtio_reset_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_queue *q = &device->queues[queue];

	if (!virtio_has(device, FEATURE_RING_RESET) || device->stopping || !q->enabled)
		return;
	q->enabled = false;
	if (!device->running) {
		queue_power_on(device, q);
		return;
	}
	q->reset_asked = q->resetting = true;
	loop_post(device->host.loop, &device->work);
}

static void stop_queues(struct virtio_device *device)
{
	const struct virtio_ops *ops = device->options.ops;

	for (unsigned int i = 0; i < device->n_queues; i++) {
		if (!device->queues[i].reset_asked)
			continue;
		device->queues[i].reset_asked = false;
		if (!ops->stop_queue || ops->stop_queue(device->options.opaque, i))
			virtio_queue_stopped(device, i);
	}
}

/* --- status ---------------------------------------------------------------------------------- */

static void power_on(struct virtio_device *device)
{
	device->accepted = 0;
	device->offered_select = device->accepted_select = 0;
	device->queue_select = 0;
	device->config_vector = VIRTIO_NO_VECTOR;
	device->status = device->isr = 0;
	device->kick_all = device->no_master = false;
	for (unsigned int i = 0; i < device->n_queues; i++)
		queue_power_on(device, &device->queues[i]);
}

void virtio_stopped(struct virtio_device *device)
{
	device->running = false;
	/* Whoever calls is of the device, which goes when nobody is in it. */
	if (device->leaving) {
		loop_post(device->host.loop, &device->work);
		return;
	}
	device->stopping = false;
	power_on(device);
	virtio_settled(device);
}

void virtio_reset(struct virtio_device *device)
{
	if (device->stopping)
		return;
	if (!device->running) {
		power_on(device);
		return;
	}
	device->stopping = true;
	loop_post(device->host.loop, &device->work);
}

static void agree(struct virtio_device *device)
{
	const struct virtio_ops *ops = device->options.ops;
	const char *why = NULL;

	if (device->accepted & ~device->offered)
		why = "features that were not offered";
	else if (!virtio_has(device, FEATURE_VERSION_1))
		why = "a driver of before virtio 1.0";
	else if (ops->refuse)
		why = ops->refuse(device->options.opaque, device->accepted);
	if (why)
		log_limited(device->host.log, &device->limit, LOG_WARN, "virtio",
			    "%s: features %#llx are refused: %s", device->name,
			    (unsigned long long)device->accepted, why);
	else
		device->status |= STATUS_FEATURES_OK;
}

/* Bits are only added (section 2.1.1); the reset alone takes them away. */
void virtio_write_status(struct virtio_device *device, uint8_t status)
{
	uint8_t added = (uint8_t)(status & ~device->status);

	if (!status) {
		virtio_reset(device);
		return;
	}
	if (device->stopping || broken(device))
		return;
	device->status |= added & (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FAILED);
	if (added & STATUS_FEATURES_OK)
		agree(device);
	if (!(added & STATUS_DRIVER_OK))
		return;
	if (!(device->status & STATUS_FEATURES_OK)) {
		virtio_break(device, "the driver is ready before the features were agreed on");
		return;
	}
	device->status |= STATUS_DRIVER_OK;
	loop_post(device->host.loop, &device->work);
}

static void kick_all(struct virtio_device *device)
{
	device->kick_all = false;
	for (unsigned int i = 0; i < device->n_queues; i++) {
		if (virtio_live(device, i))
			device->options.ops->kick(device->options.opaque, i);
	}
}

/*
 * True: nothing is in flight, and this was the last run of the work: everybody posts it with the
 * lock held and nobody once it leaves, but it may have been posted again while it waited for the
 * lock to run.
 */
static bool leave(struct virtio_device *device)
{
	const struct virtio_ops *ops = device->options.ops;

	if (!device->leave_begun && device->running &&
	    (!ops->stop || ops->stop(device->options.opaque)))
		device->running = false;
	device->leave_begun = true;
	return !device->running && !__atomic_load_n(&device->work.pending, __ATOMIC_SEQ_CST);
}

/* On the loop: what the driver's registers ask for. */
static void on_work(void *arg)
{
	struct virtio_device *device = arg;
	const struct virtio_ops *ops = device->options.ops;

	virtio_lock(device);
	if (device->leaving) {
		bool gone = leave(device);

		virtio_unlock(device);
		if (gone)
			device->gone(device->gone_arg);
		return;
	}
	if (!device->stopping)
		stop_queues(device);
	if (device->stopping) {
		if (!ops->stop || ops->stop(device->options.opaque))
			virtio_stopped(device);
	} else if ((device->status & STATUS_DRIVER_OK) && !device->running) {
		device->running = true;
		if (ops->start)
			ops->start(device->options.opaque);
		kick_all(device);
	} else if (device->kick_all) {
		kick_all(device);
	}
	virtio_unlock(device);
}

void virtio_look_again(struct virtio_device *device)
{
	if (device->leaving)
		return;
	device->kick_all = true;
	loop_post(device->host.loop, &device->work);
}

void virtio_pause(struct virtio_device *device)
{
	virtio_lock(device);
	if (!device->pauses++ && device->options.ops->pause)
		device->options.ops->pause(device->options.opaque);
	virtio_unlock(device);
}

void virtio_resume(struct virtio_device *device)
{
	virtio_lock(device);
	if (!--device->pauses)
		virtio_look_again(device);
	virtio_unlock(device);
}

void virtio_unplug(struct virtio_device *device, void (*gone)(void *arg), void *arg)
{
	virtio_lock(device);
	device->gone = gone;
	device->gone_arg = arg;
	device->leaving = device->stopping = true;
	loop_post(device->host.loop, &device->work);
	virtio_unlock(device);
}

/* --- construction ---------------------------------------------------------------------------- */

void virtio_device_destroy(struct virtio_device *device)
{
	for (unsigned int i = 0; device->queues && i < device->n_queues; i++) {
		loop_unwatch(device->queues[i].watch);
		loop_poll_end(device->host.loop, &device->queues[i].poller);
		if (device->queues[i].kick_fd >= 0)
			close(device->queues[i].kick_fd);
	}
	pthread_cond_destroy(&device->settled);
	pthread_mutex_destroy(&device->lock);
	free(device->queues);
	free(device);
}

static int make_queues(struct virtio_device *device, struct err *err)
{
	device->queues = calloc(device->n_queues, sizeof(*device->queues));
	if (!device->queues)
		return err_set(err, ENOMEM, "%s: no memory for %u queues", device->name,
			       device->n_queues);
	for (unsigned int i = 0; i < device->n_queues; i++)
		device->queues[i].kick_fd = -1;
	for (unsigned int i = 0; i < device->n_queues; i++) {
		struct virtio_queue *q = &device->queues[i];
		int ret;

		q->device = device;
		q->poller = (struct loop_poller){ .look = on_look, .rest = on_rest, .arg = q };
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->kick_fd < 0)
			return err_set(err, errno, "%s: eventfd for queue %u: %s", device->name, i,
				       strerror(errno));
		ret = loop_watch(device->host.loop, q->kick_fd, POLLIN, on_kick, q, &q->watch, err);
		if (ret)
			return ret;
	}
	return 0;
}

int virtio_device_create(struct virtio_device **out, const struct virtio_host *host,
			 const struct virtio_options *options, struct err *err)
{
	struct virtio_device *device;
	pthread_condattr_t attr;
	int ret;

	if (!options->queues || options->queues > VIRTIO_QUEUES_MAX ||
	    !is_pow2(options->queue_size) || options->queue_size > VIRTQ_SIZE_MAX)
		return err_set(err, EINVAL,
			       "%s: %u queues of %u entries: 1 to %u queues of a power of two up "
			       "to %u are possible",
			       options->name, options->queues, options->queue_size,
			       VIRTIO_QUEUES_MAX, VIRTQ_SIZE_MAX);
	device = calloc(1, sizeof(*device));
	if (!device)
		return err_set(err, ENOMEM, "%s: no memory for the device", options->name);
	snprintf(device->name, sizeof(device->name), "%s", options->name);
	device->options = *options;
	device->host = *host;
	device->n_queues = options->queues;
	device->offered = options->features | VIRTIO_FEATURE(FEATURE_VERSION_1) |
			  VIRTIO_FEATURE(FEATURE_INDIRECT) | VIRTIO_FEATURE(FEATURE_EVENT_IDX) |
			  VIRTIO_FEATURE(FEATURE_RING_RESET) |
			  (options->packed ? VIRTIO_FEATURE(FEATURE_PACKED) : 0);
	device->work = (struct loop_work){ .fn = on_work, .arg = device };
	pthread_mutex_init(&device->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&device->settled, &attr);
	pthread_condattr_destroy(&attr);
	ret = make_queues(device, err);
	if (!ret)
		ret = virtio_pci_create(device, err);
	if (ret) {
		virtio_device_destroy(device);
		return ret;
	}
	power_on(device);
	device->owned = true;
	*out = device;
	return 0;
}
