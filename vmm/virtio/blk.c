/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device as its driver sees it: configuration, the checks on every request, answers.
 *
 * A request is a header of 16 readable bytes, data, and one writable byte of status at the end,
 * however the driver cuts it into descriptors.
 *
 * Source: OASIS virtio 1.2, section 5.2.
 */
#include "vmm/virtio/blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/clock.h"
#include "vmm/virtio/blk-internal.h"

#define BLK_TYPE     2u
#define BLK_CLASS    0x018000u
#define HEADER_BYTES 16u
#define WZ_UNMAP     1u

struct virtio_device *blk_device(struct blk *blk)
{
	return blk->device;
}

/* --- answers --------------------------------------------------------------------------------- */

static uint8_t status_of(int error)
{
	if (!error)
		return VIRTIO_BLK_S_OK;
	return error == -EOPNOTSUPP || error == -ENOTTY ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* A device that was pulled has no bytes: reads find its end then, and writes no room. */
static const char *reason_of(const struct blk *blk, int error)
{
	if (blk->image.block_device && image_size(&blk->image) <= 0)
		return "the device is gone";
	return error == -ENODATA ? "the image ends before" : strerror(-error);
}

void blk_done(struct blk *blk, struct blk_request *r, int error)
{
	static const char *const names[] = { "read", "write", "flush", "discard", "zero" };

	if (error && status_of(error) != VIRTIO_BLK_S_UNSUPP)
		log_limited(blk->host.log, &blk->limit, LOG_WARN, "blk",
			    "%s: %s of %llu bytes at %llu: %s", blk->id, names[r->op],
			    (unsigned long long)r->bytes, (unsigned long long)r->offset,
			    reason_of(blk, error));
	if (!blk->device->stopping) {
		*(volatile uint8_t *)r->status = status_of(error);
		virtio_push(blk->device, r->queue, r->id, r->slots, error ? 1 : r->used);
		blk->touched |= BIT_U64(r->queue);
	}
	blk_request_put(blk, r);
}

/* No more is begun; something is in flight then, and its end looks again. */
static bool is_full(const struct blk *blk)
{
	return blk->in_flight == BLK_DEPTH || blk->bounced >= BLK_BOUNCED_MAX;
}

void blk_answer(struct blk *blk)
{
	uint64_t touched = blk->touched, starved = blk->starved, stopping = blk->stopping_queues;

	blk->touched = 0;
	for (; touched; touched &= touched - 1) {
		virtio_flush(blk->device, (unsigned int)__builtin_ctzll(touched));
		if (blk->behind <= BLK_POLL_DEPTH)
			virtio_expect(blk->device, (unsigned int)__builtin_ctzll(touched));
	}
	if (!blk->in_flight)
		virtio_settled(blk->device);
	if (blk->stopping && !blk->in_flight) {
		blk->stopping = false;
		virtio_stopped(blk->device);
	}
	for (; stopping; stopping &= stopping - 1) {
		unsigned int queue = (unsigned int)__builtin_ctzll(stopping);

		if (blk->queue_in_flight[queue])
			continue;
		blk->stopping_queues &= ~BIT_U64(queue);
		virtio_queue_stopped(blk->device, queue);
	}
	if (blk->device->stopping || is_full(blk))
		return;
	blk->starved = 0;
	for (; starved; starved &= starved - 1)
		virtio_again(blk->device, (unsigned int)__builtin_ctzll(starved));
}

/* --- requests -------------------------------------------------------------------------------- */

/* The writable part without its last byte, which is where the status goes. */
static int split_status(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain)
{
	const struct iovec *last;

	if (!chain->in_bytes || chain->out_bytes < HEADER_BYTES) {
		virtio_break(blk->device, "a request of %llu readable and %llu writable bytes",
			     (unsigned long long)chain->out_bytes,
			     (unsigned long long)chain->in_bytes);
		return -EPROTO;
	}
	last = &chain->iov[chain->n_out + chain->n_in - 1];
	r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	return 0;
}

/* Copies pieces [skip, skip + bytes) of iov. */
static int take_pieces(struct blk_request *r, const struct iovec *iov, unsigned int n,
		       uint64_t skip, uint64_t bytes)
{
	if (blk_request_room(r, n))
		return -ENOMEM;
	r->n_iov = 0;
	for (unsigned int i = 0; i < n && bytes; i++) {
		uint64_t len = iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = MIN(len - skip, bytes);
		r->iov[r->n_iov++] = (struct iovec){ .iov_base = (char *)iov[i].iov_base + skip,
						     .iov_len = (size_t)len };
		bytes -= len;
		skip = 0;
	}
	return 0;
}

static int check_range(const struct blk *blk, uint64_t sector, uint64_t bytes)
{
	uint64_t sectors = bytes / BLK_SECTOR;

	if (!is_aligned(bytes, BLK_SECTOR) ||
	    !range_inside(sector, sectors, 0, blk->config.capacity))
		return -ERANGE;
	return 0;
}

static int set_transfer(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain,
			uint64_t sector, enum blk_op op)
{
	bool read = op == BLK_READ;
	uint64_t bytes = read ? chain->in_bytes - 1 : chain->out_bytes - HEADER_BYTES;
	int ret;

	r->op = op;
	r->bytes = bytes;
	ret = check_range(blk, sector, bytes);
	if (!ret && blk->readonly && !read)
		ret = -EROFS;
	if (ret)
		return ret;
	r->offset = sector * BLK_SECTOR;
	r->used = read ? (uint32_t)MIN(bytes + 1, UINT32_MAX) : 1;
	if (read)
		return take_pieces(r, chain->iov + chain->n_out, chain->n_in, 0, bytes);
	return take_pieces(r, chain->iov, chain->n_out, HEADER_BYTES, bytes);
}

/* Discard and write-zeroes: one segment, as the configuration says. */
static int set_range(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain,
		     enum blk_op op)
{
	struct virtio_blk_discard_write_zeroes segment;
	uint32_t flags;
	int ret;

	r->op = op;
	r->used = 1;
	if (chain->out_bytes != HEADER_BYTES + sizeof(segment))
		return -EINVAL;
	virtq_read(chain, HEADER_BYTES, &segment, sizeof(segment));
	flags = segment.flags;
	r->bytes = (uint64_t)segment.num_sectors * BLK_SECTOR;
	r->unmap = flags & WZ_UNMAP;
	if (flags & ~WZ_UNMAP || (op == BLK_DISCARD && flags))
		return -EOPNOTSUPP;
	if (blk->readonly)
		return -EROFS;
	if (segment.num_sectors > BLK_ZERO_SECTORS)
		return -EINVAL;
	ret = check_range(blk, segment.sector, r->bytes);
	r->offset = segment.sector * BLK_SECTOR;
	return ret;
}

/* 0: the request is set up; 1: it is answered at once; -errno: refused. */
static int set_up(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;

	r->offset = r->bytes = 0;
	r->op = BLK_FLUSH;
	r->used = 1;
	virtq_read(chain, 0, &header, sizeof(header));
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		return set_transfer(blk, r, chain, header.sector, BLK_READ);
	case VIRTIO_BLK_T_OUT:
		return set_transfer(blk, r, chain, header.sector, BLK_WRITE);
	case VIRTIO_BLK_T_FLUSH:
		return 0;
	case VIRTIO_BLK_T_DISCARD:
		return set_range(blk, r, chain, BLK_DISCARD);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return set_range(blk, r, chain, BLK_ZERO);
	case VIRTIO_BLK_T_GET_ID:
		r->used += (uint32_t)virtq_write(chain, 0, blk->serial,
						 MIN(sizeof(blk->serial), chain->in_bytes - 1));
		return 1;
	default:
		return -EOPNOTSUPP;
	}
}

static void on_timer(void *arg)
{
	struct blk *blk = arg;

	virtio_lock(blk->device);
	loop_timer_cancel(blk->timer);
	blk->timer = NULL;
	blk->throttled = false;
	for (unsigned int i = 0; i < blk->device->n_queues; i++)
		virtio_again(blk->device, i);
	virtio_unlock(blk->device);
}

/* True where more may be done now; else a timer looks again. */
static bool within_limits(struct blk *blk)
{
	uint64_t wait = limiter_wait(&blk->limiter, clock_ns());
	struct err err;

	if (!wait)
		return true;
	/* Without a timer the limit would be a stop: then it is none. */
	if (loop_timer(blk->host.loop, wait, on_timer, blk, &blk->timer, &err))
		return true;
	blk->throttled = true;
	return false;
}

/* One buffer, which is in the device's chain. False: no more now. */
static bool take(void *opaque, unsigned int queue)
{
	struct blk *blk = opaque;
	const struct virtq_chain *chain = &blk->device->chain;
	struct blk_request *r = blk_request_get(blk);
	int ret;

	/* Every request that is not free is in flight, and kick() looked before. */
	if (!r) {
		virtio_break(blk->device, "the monitor is out of memory");
		return false;
	}
	r->queue = (uint16_t)queue;
	r->id = chain->id;
	r->slots = chain->slots;
	if (split_status(blk, r, chain)) {
		blk_request_put(blk, r);
		return false;
	}
	ret = set_up(blk, r, chain);
	limiter_take(&blk->limiter, r->bytes);
	/* Of no bytes it is done; the kernel refuses to make a hole of none. */
	if (ret || (r->op != BLK_FLUSH && !r->bytes))
		blk_done(blk, r, MIN(ret, 0));
	else
		blk_start(blk, r);
	if (is_full(blk)) {
		blk->starved |= BIT_U64(queue);
		return false;
	}
	return within_limits(blk);
}

static void on_kick(void *opaque, unsigned int queue)
{
	struct blk *blk = opaque;

	if (blk->throttled)
		return;
	if (is_full(blk)) {
		blk->starved |= BIT_U64(queue);
		return;
	}
	if (!blk->in_flight)
		blk->behind = 0;
	virtio_drain(blk->device, queue, take);
	blk_submit(blk);
	/* What the page cache had is complete already. */
	blk_reap(blk);
	blk_answer(blk);
}

static bool on_stop(void *opaque)
{
	struct blk *blk = opaque;

	blk->starved = blk->touched = blk->stopping_queues = 0;
	blk->config.wce = 1;
	blk->stopping = blk->in_flight;
	return !blk->stopping;
}

static bool on_stop_queue(void *opaque, unsigned int queue)
{
	struct blk *blk = opaque;

	blk->starved &= ~BIT_U64(queue);
	if (!blk->queue_in_flight[queue])
		return true;
	blk->stopping_queues |= BIT_U64(queue);
	return false;
}

static bool is_busy(void *opaque)
{
	return ((struct blk *)opaque)->in_flight;
}

static void on_save(void *opaque, struct state_out *out)
{
	struct blk *blk = opaque;

	state_put(out, blk->config.capacity);
	state_put(out, blk->config.wce);
}

/* What the guest has in its caches goes with one image, which nobody else knows. */
static void on_load(void *opaque, struct state_in *in)
{
	struct blk *blk = opaque;
	uint64_t capacity = state_take(in, UINT64_MAX / BLK_SECTOR);

	if (capacity != blk->config.capacity)
		state_refuse(in, "the guest's disk has %llu bytes and its image here %llu",
			     (unsigned long long)capacity * BLK_SECTOR,
			     (unsigned long long)blk->config.capacity * BLK_SECTOR);
	blk->config.wce = state_take_bool(in);
}

/* --- configuration --------------------------------------------------------------------------- */

static void config_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	struct blk *blk = opaque;

	memcpy(data, (const uint8_t *)&blk->config + offset, size);
}

static void config_write(void *opaque, uint32_t offset, const void *data, unsigned int size)
{
	struct blk *blk = opaque;

	if (offset == offsetof(struct virtio_blk_config, wce) && size == 1 &&
	    virtio_has(blk->device, VIRTIO_BLK_F_CONFIG_WCE))
		blk->config.wce = *(const uint8_t *)data & 1;
}

static void fill_config(struct blk *blk, const struct blk_options *options)
{
	const struct image *image = &blk->image;
	struct virtio_blk_config *config = &blk->config;

	config->capacity = image->size / BLK_SECTOR;
	config->seg_max = options->queue_size - 2u;
	config->blk_size = image->logical;
	config->physical_block_exp = (uint8_t)__builtin_ctz(image->physical / image->logical);
	config->alignment_offset = (uint8_t)MIN(image->misaligned / image->logical, UINT8_MAX);
	config->min_io_size = (uint16_t)MIN(image->minimum / image->logical, UINT16_MAX);
	config->opt_io_size = image->optimal / image->logical;
	config->wce = 1;
	config->num_queues = (uint16_t)options->queues;
	config->max_discard_sectors = config->max_write_zeroes_sectors = BLK_ZERO_SECTORS;
	config->max_discard_seg = config->max_write_zeroes_seg = 1;
	config->discard_sector_alignment = image->granule / BLK_SECTOR;
	config->write_zeroes_may_unmap = !!image->granule;
}

int blk_resize(struct blk *blk, uint64_t bytes, struct err *err)
{
	uint64_t capacity;
	int64_t size;

	if (bytes && blk->readonly)
		return err_set(err, EROFS, "%s: is read-only: it does not grow", blk->id);
	if (bytes && image_grow(&blk->image, bytes, err))
		return err_prefix(err, "%s", blk->id);
	size = image_size(&blk->image);
	if (size < 0)
		return err_set(err, (int)-size, "%s: its size: %s", blk->id, strerror((int)-size));
	capacity = align_down((uint64_t)size, blk->image.logical) / BLK_SECTOR;
	virtio_lock(blk->device);
	if (capacity != blk->config.capacity) {
		blk->config.capacity = capacity;
		virtio_config_changed(blk->device);
		log_line(blk->host.log, LOG_INFO, "blk", "%s: has %llu bytes now", blk->id,
			 (unsigned long long)capacity * BLK_SECTOR);
	}
	virtio_unlock(blk->device);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_free(void *opaque)
{
	struct blk *blk = opaque;

	loop_timer_cancel(blk->timer);
	blk_io_close(blk);
	image_close(&blk->image);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.config_read = config_read,
	.config_write = config_write,
	.kick = on_kick,
	.stop = on_stop,
	.stop_queue = on_stop_queue,
	.save = on_save,
	.load = on_load,
	.busy = is_busy,
	.free = on_free,
};

static uint64_t features_of(const struct blk *blk, const struct blk_options *options)
{
	uint64_t features =
		VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_CONFIG_WCE);

	if (options->queues > 1)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (blk->readonly)
		return features | VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	if (blk->image.granule)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD);
	return features | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
}

static int make_device(struct blk *blk, const struct blk_options *options, struct err *err)
{
	const struct virtio_options device = {
		.name = blk->id,
		.type = BLK_TYPE,
		.class_code = BLK_CLASS,
		.features = features_of(blk, options),
		.packed = options->packed,
		.queues = options->queues,
		.queue_size = options->queue_size,
		.config_size = sizeof(blk->config),
		.ops = &blk_ops,
		.opaque = blk,
	};

	return virtio_device_create(&blk->device, &blk->host, &device, err);
}

int blk_create(struct blk **out, const struct virtio_host *host, const struct blk_options *options,
	       struct err *err)
{
	const char *serial = options->serial ? options->serial : options->id;
	struct blk *blk;
	int ret;

	if (!options->queues || options->queues > BLK_QUEUES_MAX || options->queue_size < 4)
		return err_set(err, EINVAL,
			       "%s: %u queues of %u entries: 1 to %u queues of at least 4 are "
			       "possible",
			       options->id, options->queues, options->queue_size, BLK_QUEUES_MAX);
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return err_set(err, ENOMEM, "%s: no memory for the disk", options->id);
	snprintf(blk->id, sizeof(blk->id), "%s", options->id);
	memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
	blk->host = *host;
	blk->readonly = options->image.readonly;
	blk->direct = options->image.direct;
	blk->pinned = options->pinned;
	limiter_init(&blk->limiter, &options->bytes, &options->ops, clock_ns());
	ret = image_open(&blk->image, &options->image, err);
	if (!ret) {
		fill_config(blk, options);
		ret = blk_io_open(blk, err);
	}
	if (!ret)
		ret = make_device(blk, options, err);
	if (ret) {
		on_free(blk);
		return ret;
	}
	*out = blk;
	return 0;
}
