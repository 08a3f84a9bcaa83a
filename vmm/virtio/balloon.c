/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages as numbers (inflate), as buffers (reporting), and statistics.
 *
 * Source: OASIS virtio 1.2, section 5.5.
 */
#include "vmm/virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/bits.h"

#define BALLOON_TYPE	   5u
#define BALLOON_CLASS	   0x00ff00u
#define BALLOON_QUEUE_SIZE 128u
#define QUEUE_INFLATE	   0u
#define QUEUE_DEFLATE	   1u
#define PAGE		   4096u
#define NUMBERS_MAX	   1024u /* of one buffer that are looked at; Linux sends 256 */
#define TURN_RUNS	   64u	 /* of pages; after so many no buffer is begun in one turn */

struct balloon {
	struct virtio_device *device;
	struct virtio_host host;
	bool shared;
	uint32_t stats_ms;
	void (*reached)(void *arg, uint64_t bytes);
	void *arg;
	unsigned int barred; /* by so many; under the device's lock, as all from here on */
	struct virtio_balloon_config config;
	unsigned int runs; /* that were given back in this turn */
	bool asked;	   /* for another size, which the guest has not reached yet */
	struct balloon_stats stats;
	/* The buffer in which the driver waits to be asked for statistics. */
	bool holds;
	uint16_t id, slots;
	struct loop_timer *timer;
	struct log_limit limit;
};

struct virtio_device *balloon_device(struct balloon *balloon)
{
	return balloon->device;
}

/* Which queues there are depends on what was agreed on; Linux counts without gaps. */
static unsigned int stats_queue(const struct balloon *balloon)
{
	return virtio_has(balloon->device, VIRTIO_BALLOON_F_STATS_VQ) ? 2 : UINT32_MAX;
}

static unsigned int reporting_queue(const struct balloon *balloon)
{
	if (!virtio_has(balloon->device, VIRTIO_BALLOON_F_REPORTING))
		return UINT32_MAX;
	return virtio_has(balloon->device, VIRTIO_BALLOON_F_STATS_VQ) ? 3 : 2;
}

/* The whole pages inside [at, at + len) go back to the host; they read as zeros afterwards. */
static uint64_t give_back(struct balloon *balloon, uint8_t *at, uint64_t len)
{
	uint64_t skip = -(uintptr_t)at & (PAGE - 1), whole;

	balloon->runs++;
	if (len < skip + PAGE)
		return 0;
	whole = align_down(len - skip, PAGE);
	if (balloon->barred) {
		log_limited(balloon->host.log, &balloon->limit, LOG_INFO, "balloon",
			    "%llu bytes stay the guest's: devices do DMA to its memory",
			    (unsigned long long)whole);
		return 0;
	}
	if (madvise(at + skip, whole, balloon->shared ? MADV_REMOVE : MADV_DONTNEED)) {
		/* Huge pages go back whole or not at all. */
		log_limited(balloon->host.log, &balloon->limit, LOG_DEBUG, "balloon",
			    "%llu bytes do not come free: %s", (unsigned long long)whole,
			    strerror(errno));
		return 0;
	}
	return whole;
}

/* --- inflate, deflate ------------------------------------------------------------------------ */

/* Each run is a system call, and a guest can name very many. */
static bool may_go_on(struct balloon *balloon, unsigned int queue)
{
	if (balloon->runs < TURN_RUNS)
		return true;
	virtio_again(balloon->device, queue);
	return false;
}

/* Runs of pages, up or down, are one call each. Numbers of no RAM are ignored. */
static void inflate(struct balloon *balloon, const uint32_t *numbers, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint64_t low = numbers[i], high = low;
		uint8_t *at;

		for (i++; i < n && (numbers[i] == high + 1 || numbers[i] + 1ULL == low); i++) {
			low = MIN(low, numbers[i]);
			high = MAX(high, numbers[i]);
		}
		at = virtio_memory_at(balloon->host.memory, low * PAGE, (high - low + 1) * PAGE);
		if (at)
			give_back(balloon, at, (high - low + 1) * PAGE);
	}
}

static bool inflate_one(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;
	const struct virtq_chain *chain = &balloon->device->chain;
	uint32_t numbers[NUMBERS_MAX];
	size_t n = virtq_read(chain, 0, numbers, sizeof(numbers)) / sizeof(numbers[0]);

	inflate(balloon, numbers, n);
	virtio_push(balloon->device, queue, chain->id, chain->slots, 0);
	return may_go_on(balloon, queue);
}

/* Pages that the guest takes back come with the first touch. */
static bool deflate_one(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;
	const struct virtq_chain *chain = &balloon->device->chain;

	virtio_push(balloon->device, queue, chain->id, chain->slots, 0);
	return true;
}

/* --- reporting ------------------------------------------------------------------------------- */

static bool report_one(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;
	const struct virtq_chain *chain = &balloon->device->chain;

	for (unsigned int i = chain->n_out; i < chain->n_out + chain->n_in; i++)
		balloon->stats.reported +=
			give_back(balloon, chain->iov[i].iov_base, chain->iov[i].iov_len);
	virtio_push(balloon->device, queue, chain->id, chain->slots, 0);
	return may_go_on(balloon, queue);
}

/* --- statistics ------------------------------------------------------------------------------ */

static void ask(void *arg)
{
	struct balloon *balloon = arg;

	virtio_lock(balloon->device);
	loop_timer_cancel(balloon->timer);
	balloon->timer = NULL;
	if (balloon->holds && virtio_live(balloon->device, 2)) {
		balloon->holds = false;
		virtio_push(balloon->device, 2, balloon->id, balloon->slots, 0);
		virtio_flush(balloon->device, 2);
	}
	virtio_unlock(balloon->device);
}

static bool stats_one(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;
	const struct virtq_chain *chain = &balloon->device->chain;
	struct virtio_balloon_stat stat;

	for (uint64_t at = 0; at < chain->out_bytes && at < 64 * sizeof(stat); at += sizeof(stat)) {
		if (virtq_read(chain, at, &stat, sizeof(stat)) == sizeof(stat) &&
		    stat.tag < BALLOON_STATS)
			balloon->stats.value[stat.tag] = stat.val;
	}
	/* One buffer waits for the next question; a driver that brings more gets them back. */
	if (balloon->holds) {
		virtio_push(balloon->device, queue, chain->id, chain->slots, 0);
		return true;
	}
	balloon->holds = true;
	balloon->id = chain->id;
	balloon->slots = chain->slots;
	return true;
}

/* Also of a buffer that was there when a pause kept the question back. */
static void ask_later(struct balloon *balloon)
{
	struct err err;

	if (balloon->holds && !balloon->timer)
		(void)loop_timer(balloon->host.loop, (uint64_t)balloon->stats_ms * 1000000, ask,
				 balloon, &balloon->timer, &err);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_kick(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;

	balloon->runs = 0;
	if (queue == QUEUE_INFLATE) {
		virtio_drain(balloon->device, queue, inflate_one);
	} else if (queue == QUEUE_DEFLATE) {
		virtio_drain(balloon->device, queue, deflate_one);
	} else if (queue == stats_queue(balloon)) {
		virtio_drain(balloon->device, queue, stats_one);
		ask_later(balloon);
	} else if (queue == reporting_queue(balloon)) {
		virtio_drain(balloon->device, queue, report_one);
	}
}

static void forget(struct balloon *balloon)
{
	balloon->holds = false;
	balloon->config.actual = 0;
	memset(balloon->stats.value, 0xff, sizeof(balloon->stats.value));
}

static bool on_stop(void *opaque)
{
	forget(opaque);
	return true;
}

static bool on_stop_queue(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;

	if (queue == stats_queue(balloon))
		balloon->holds = false;
	return true;
}

/* Statistics are the past's; the driver's buffer for them is taken again. */
static void on_save(void *opaque, struct state_out *out)
{
	struct balloon *balloon = opaque;

	state_put(out, balloon->config.num_pages);
	state_put(out, balloon->config.actual);
}

static void on_load(void *opaque, struct state_in *in)
{
	struct balloon *balloon = opaque;

	balloon->config.num_pages = (uint32_t)state_take(in, UINT32_MAX);
	balloon->config.actual = (uint32_t)state_take(in, UINT32_MAX);
}

static void config_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	memcpy(data, (const uint8_t *)&((struct balloon *)opaque)->config + offset, size);
}

static void config_write(void *opaque, uint32_t offset, const void *data, unsigned int size)
{
	struct balloon *balloon = opaque;

	if (offset != offsetof(struct virtio_balloon_config, actual) || size != 4)
		return;
	memcpy(&balloon->config.actual, data, 4);
	if (!balloon->asked || balloon->config.actual != balloon->config.num_pages)
		return;
	balloon->asked = false;
	if (balloon->reached)
		balloon->reached(balloon->arg, (uint64_t)balloon->config.actual * PAGE);
}

/* With the lock held. */
static int check_size(const struct balloon *balloon, uint64_t size, struct err *err)
{
	if (!size || !balloon->barred)
		return 0;
	return err_set(
		err, EBUSY,
		"a balloon of %llu bytes: devices or ADIs do DMA to guest memory, so none of it "
		"comes free; take them out first",
		(unsigned long long)size);
}

int balloon_check(struct balloon *balloon, uint64_t size, struct err *err)
{
	int ret;

	virtio_lock(balloon->device);
	ret = check_size(balloon, size, err);
	virtio_unlock(balloon->device);
	return ret;
}

int balloon_resize(struct balloon *balloon, uint64_t size, struct err *err)
{
	int ret;

	virtio_lock(balloon->device);
	ret = check_size(balloon, size, err);
	if (!ret) {
		balloon->config.num_pages = (uint32_t)MIN(size / PAGE, UINT32_MAX);
		balloon->asked = balloon->config.num_pages != balloon->config.actual;
		virtio_config_changed(balloon->device);
	}
	virtio_unlock(balloon->device);
	return ret;
}

int balloon_bar(struct balloon *balloon, const char *who, struct err *err)
{
	uint64_t wanted, actual;
	int ret = 0;

	if (!balloon)
		return 0;
	virtio_lock(balloon->device);
	wanted = (uint64_t)balloon->config.num_pages * PAGE;
	actual = (uint64_t)balloon->config.actual * PAGE;
	if (wanted || actual)
		ret = err_set(
			err, EBUSY,
			"%s: does DMA to guest memory, of which the balloon has %llu bytes and "
			"shall have %llu: set \"desired_balloon\" to 0 and wait until the "
			"guest has taken all back",
			who, (unsigned long long)actual, (unsigned long long)wanted);
	else
		balloon->barred++;
	virtio_unlock(balloon->device);
	return ret;
}

void balloon_unbar(struct balloon *balloon)
{
	if (!balloon)
		return;
	virtio_lock(balloon->device);
	balloon->barred--;
	virtio_unlock(balloon->device);
}

void balloon_read_stats(struct balloon *balloon, struct balloon_stats *stats)
{
	virtio_lock(balloon->device);
	*stats = balloon->stats;
	stats->wanted = (uint64_t)balloon->config.num_pages * PAGE;
	stats->actual = (uint64_t)balloon->config.actual * PAGE;
	virtio_unlock(balloon->device);
}

static void on_free(void *opaque)
{
	struct balloon *balloon = opaque;

	loop_timer_cancel(balloon->timer);
	free(balloon);
}

static const struct virtio_ops balloon_ops = {
	.config_read = config_read,
	.config_write = config_write,
	.kick = on_kick,
	.stop = on_stop,
	.stop_queue = on_stop_queue,
	.save = on_save,
	.load = on_load,
	.free = on_free,
};

int balloon_create(struct balloon **out, const struct virtio_host *host,
		   const struct balloon_options *options, struct err *err)
{
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	const struct virtio_options device = {
		.name = "balloon",
		.type = BALLOON_TYPE,
		.class_code = BALLOON_CLASS,
		.features =
			(options->stats_ms ? VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) : 0) |
			(options->reporting ? VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING) : 0) |
			(options->deflate_on_oom ? VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM)
						 : 0),
		.packed = true,
		.queues = 2 + !!options->stats_ms + options->reporting,
		.queue_size = BALLOON_QUEUE_SIZE,
		.config_size = sizeof(balloon->config),
		.ops = &balloon_ops,
		.opaque = balloon,
	};
	int ret;

	if (!balloon)
		return err_set(err, ENOMEM, "no memory for the balloon");
	balloon->host = *host;
	balloon->shared = options->shared;
	balloon->stats_ms = options->stats_ms;
	balloon->barred = options->barred;
	balloon->reached = options->reached;
	balloon->arg = options->arg;
	balloon->config.num_pages = (uint32_t)(options->size / PAGE);
	forget(balloon);
	ret = virtio_device_create(&balloon->device, host, &device, err);
	if (ret) {
		free(balloon);
		return ret;
	}
	*out = balloon;
	return 0;
}
