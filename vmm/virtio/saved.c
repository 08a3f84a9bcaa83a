/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's registers and queues, saved and loaded. A queue is saved as one place: what the driver
 * made available up to there is used. What a device took and keeps (a buffer that waits for
 * something) lies behind that place and is taken again by the device that goes on; so it must be
 * what was taken last, which it is where nothing is under way (ops->busy).
 *
 * A device that was running is loaded as one whose driver has just said that it is ready: its loop
 * starts it and looks at every queue.
 */
#include <errno.h>
#include <time.h>

#include "util/bits.h"
#include "vmm/virtio/internal.h"

#define VERSION		1
#define SETTLE_SECONDS	10
#define PACKED_POSITION 0x7fffu

/* --- saving ---------------------------------------------------------------------------------- */

static bool settled(const struct virtio_device *device)
{
	const struct virtio_ops *ops = device->options.ops;

	for (unsigned int i = 0; i < device->n_queues; i++) {
		if (device->queues[i].resetting)
			return false;
	}
	return !device->stopping && !(ops->busy && ops->busy(device->options.opaque));
}

void virtio_settled(struct virtio_device *device)
{
	pthread_cond_broadcast(&device->settled);
}

static int settle(struct virtio_device *device, struct err *err)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += SETTLE_SECONDS;
	while (!settled(device) && !ret)
		ret = pthread_cond_timedwait(&device->settled, &device->lock, &until);
	return settled(device) ? 0
			       : err_set(err, EBUSY,
					 "%s: what it has under way has not ended in %u seconds: "
					 "ask again later",
					 device->name, SETTLE_SECONDS);
}

/* The place up to which everything is used, and visible. */
static uint16_t place_of(const struct virtq *vq)
{
	bool wrap = vq->used_wrap;
	unsigned int at = vq->next_used;

	if (!vq->packed)
		return (uint16_t)(at - vq->staged);
	if (at < vq->staged) {
		at += vq->size;
		wrap = !wrap;
	}
	return (uint16_t)((at - vq->staged) | (wrap ? 1u << 15 : 0));
}

static void save_queue(const struct virtio_queue *q, struct state_out *out)
{
	state_put(out, q->vq.size);
	state_put(out, q->vq.desc);
	state_put(out, q->vq.driver);
	state_put(out, q->vq.device);
	state_put(out, q->vector);
	state_put(out, q->enabled);
	if (!q->enabled)
		return;
	state_put(out, place_of(&q->vq));
	state_put(out, q->vq.signalled);
	state_put(out, q->vq.signalled_valid);
}

static int save(struct virtio_device *device, struct state_out *out, struct err *err)
{
	state_begin(out, VERSION, "virtio %s", device->name);
	state_put(out, device->accepted);
	state_put(out, device->offered_select);
	state_put(out, device->accepted_select);
	state_put(out, device->queue_select);
	state_put(out, device->config_vector);
	state_put(out, device->status);
	state_put(out, device->generation);
	state_put(out, device->isr);
	state_put(out, device->n_queues);
	for (unsigned int i = 0; i < device->n_queues; i++)
		save_queue(&device->queues[i], out);
	device->options.ops->save(device->options.opaque, out);
	state_end(out);
	return 0;
}

int virtio_device_save(struct virtio_device *device, struct state_out *out, struct err *err)
{
	int ret;

	if (!device->options.ops->save)
		return err_set(err, EOPNOTSUPP, "%s: a snapshot does not carry this device",
			       device->name);
	virtio_lock(device);
	ret = device->leaving
		      ? err_set(err, EBUSY, "%s: is being removed: ask again later", device->name)
		      : settle(device, err);
	if (!ret)
		ret = save(device, out, err);
	virtio_unlock(device);
	return ret;
}

/* --- loading --------------------------------------------------------------------------------- */

static void load_place(struct virtq *vq, struct state_in *in)
{
	uint16_t place = (uint16_t)state_take(in, UINT16_MAX);
	unsigned int at = place & PACKED_POSITION;

	if (!vq->packed) {
		vq->next_avail = vq->next_used = place;
	} else if (at < vq->size) {
		vq->next_avail = vq->next_used = (uint16_t)at;
		vq->avail_wrap = vq->used_wrap = place >> 15;
	} else {
		state_refuse(in, "place %u of a queue of %u entries", at, vq->size);
	}
	vq->signalled = (uint16_t)state_take(in, UINT16_MAX);
	vq->signalled_valid = state_take_bool(in);
}

static uint16_t take_vector(const struct virtio_device *device, struct state_in *in)
{
	uint16_t vector = (uint16_t)state_take(in, UINT16_MAX);

	if (vector > device->n_queues && vector != VIRTIO_NO_VECTOR)
		state_refuse(in, "vector %u: there are %u", vector, device->n_queues + 1);
	return vector;
}

static void load_queue(struct virtio_device *device, unsigned int index, struct state_in *in)
{
	struct virtio_queue *q = &device->queues[index];
	struct err why;

	q->vq.size = (uint16_t)state_take(in, device->options.queue_size);
	q->vq.desc = state_take(in, UINT64_MAX);
	q->vq.driver = state_take(in, UINT64_MAX);
	q->vq.device = state_take(in, UINT64_MAX);
	q->vector = take_vector(device, in);
	if (!q->vq.size)
		state_refuse(in, "queue %u has no entries", index);
	if (!state_take_bool(in) || in->ret)
		return;
	if (!(device->status & STATUS_FEATURES_OK)) {
		state_refuse(in, "queue %u is enabled and no features were agreed on", index);
		return;
	}
	q->vq.packed = virtio_has(device, FEATURE_PACKED);
	q->vq.event_idx = virtio_has(device, FEATURE_EVENT_IDX);
	q->vq.indirect = virtio_has(device, FEATURE_INDIRECT);
	if (virtq_start(&q->vq, device->host.memory, &why)) {
		state_refuse(in, "queue %u: %s", index, why.text);
		return;
	}
	load_place(&q->vq, in);
	q->enabled = true;
}

/* As the driver's way to FEATURES_OK checks it. */
static void check_features(struct virtio_device *device, struct state_in *in)
{
	const struct virtio_ops *ops = device->options.ops;
	const char *why = NULL;

	if (!(device->status & STATUS_FEATURES_OK)) {
		if (device->status & STATUS_DRIVER_OK)
			state_refuse(in, "the driver is ready and no features were agreed on");
		return;
	}
	if (device->accepted & ~device->offered)
		why = "this machine's device does not offer all of them";
	else if (!virtio_has(device, FEATURE_VERSION_1))
		why = "a driver of before virtio 1.0";
	else if (ops->refuse)
		why = ops->refuse(device->options.opaque, device->accepted);
	if (why)
		state_refuse(in, "features %#llx: %s", (unsigned long long)device->accepted, why);
}

static void load(struct virtio_device *device, struct state_in *in)
{
	const unsigned int bits = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK |
				  STATUS_FEATURES_OK | STATUS_NEEDS_RESET | STATUS_FAILED;

	device->accepted = state_take(in, UINT64_MAX);
	device->offered_select = (uint32_t)state_take(in, UINT32_MAX);
	device->accepted_select = (uint32_t)state_take(in, UINT32_MAX);
	device->queue_select = (uint16_t)state_take(in, UINT16_MAX);
	device->config_vector = take_vector(device, in);
	device->status = (uint8_t)(state_take(in, UINT8_MAX) & bits);
	device->generation = (uint8_t)state_take(in, UINT8_MAX);
	device->isr = (uint8_t)state_take(in, ISR_QUEUE | ISR_CONFIG);
	check_features(device, in);
	if (state_take(in, VIRTIO_QUEUES_MAX) != device->n_queues)
		state_refuse(in, "it has not %u queues as here", device->n_queues);
	for (unsigned int i = 0; i < device->n_queues && !in->ret; i++)
		load_queue(device, i, in);
	if (!in->ret)
		device->options.ops->load(device->options.opaque, in);
}

int virtio_device_load(struct virtio_device *device, struct state_in *in)
{
	int ret;

	state_enter(in, VERSION, "virtio %s", device->name);
	virtio_lock(device);
	if (!device->options.ops->load)
		state_refuse(in, "this machine's device cannot go on where another was");
	else if (!in->ret)
		load(device, in);
	ret = state_leave(in);
	if (!ret && device->status & STATUS_DRIVER_OK)
		loop_post(device->host.loop, &device->work);
	virtio_unlock(device);
	return ret;
}
