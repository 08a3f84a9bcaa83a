/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests between the queue, which is the loop's, and the worker. One is under way at most: the
 * next is not looked at before.
 *
 * Source: OASIS virtio 1.2, section 5.15.
 */
#include "vmm/virtio/mem.h"

#include <errno.h>
#include <linux/virtio_mem.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/sandbox.h"
#include "vmm/hot-ram.h"

#define MEM_TYPE       24u
#define MEM_CLASS      0x00ff00u
#define MEM_QUEUE_SIZE 128u
#define MEM_QUEUE      0u

struct request {
	uint16_t type;
	unsigned int first, n; /* blocks */
};

struct mem {
	struct virtio_device *device;
	struct virtio_host host;
	struct hot_ram *hot;
	const struct hot_ram_options *region;
	uint64_t wanted; /* under the device's lock */
	struct log_limit limit;

	/* The request under way, of the loop with the device's lock. */
	bool busy;
	uint16_t id, slots;
	struct iovec answer[sizeof(struct virtio_mem_resp)]; /* at most a byte a piece */
	unsigned int n_answer;
	bool stopping, queue_stopping; /* who waits for its end */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock; the worker has request and result while `begun`. */
	bool begun, quit;
	struct request request;
	int ret;
	struct err err;
	struct loop_work done;
};

struct virtio_device *mem_device(struct mem *mem)
{
	return mem->device;
}

/* --- the worker ------------------------------------------------------------------------------ */

static int carry_out(struct mem *mem)
{
	const struct request *request = &mem->request;

	switch (request->type) {
	case VIRTIO_MEM_REQ_PLUG:
		return hot_ram_plug(mem->hot, request->first, request->n, &mem->err);
	case VIRTIO_MEM_REQ_UNPLUG:
		return hot_ram_unplug(mem->hot, request->first, request->n, &mem->err);
	default:
		return hot_ram_unplug_all(mem->hot, &mem->err);
	}
}

static void *work(void *arg)
{
	struct mem *mem = arg;

	pthread_mutex_lock(&mem->lock);
	while (!mem->quit) {
		if (!mem->begun) {
			pthread_cond_wait(&mem->changed, &mem->lock);
			continue;
		}
		pthread_mutex_unlock(&mem->lock);
		mem->ret = carry_out(mem);
		pthread_mutex_lock(&mem->lock);
		mem->begun = false;
		loop_post(mem->host.loop, &mem->done);
	}
	pthread_mutex_unlock(&mem->lock);
	return NULL;
}

static void begin(struct mem *mem, const struct request *request)
{
	mem->busy = true;
	pthread_mutex_lock(&mem->lock);
	mem->request = *request;
	mem->begun = true;
	pthread_cond_signal(&mem->changed);
	pthread_mutex_unlock(&mem->lock);
}

static int start_worker(struct mem *mem, const struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_thread what = {
		.sandbox = sandbox,
		.role = SANDBOX_MEMORY,
		.name = "memory",
		.run = work,
		.arg = mem,
	};
	int ret = sandbox_start_thread(&what, &mem->thread);

	mem->started = !ret;
	return ret ? err_set(err, -ret, "no thread for the memory device: %s", strerror(-ret)) : 0;
}

static void end_worker(struct mem *mem)
{
	if (mem->started) {
		pthread_mutex_lock(&mem->lock);
		mem->quit = true;
		pthread_cond_signal(&mem->changed);
		pthread_mutex_unlock(&mem->lock);
		pthread_join(mem->thread, NULL);
	}
	pthread_cond_destroy(&mem->changed);
	pthread_mutex_destroy(&mem->lock);
}

/* --- answers --------------------------------------------------------------------------------- */

static void write_answer(const struct iovec *iov, unsigned int n, uint16_t type, uint16_t state)
{
	const struct virtio_mem_resp answer = { .type = type, .u.state.state = state };

	iov_write(iov, n, 0, &answer, sizeof(answer));
}

static bool answer_now(struct mem *mem, uint16_t type, uint16_t state)
{
	const struct virtq_chain *chain = &mem->device->chain;

	write_answer(chain->iov + chain->n_out, chain->n_in, type, state);
	virtio_push(mem->device, MEM_QUEUE, chain->id, chain->slots,
		    sizeof(struct virtio_mem_resp));
	return true;
}

/* The writable part is the guest's only until its buffer is pushed: where it is, is kept. */
static void keep_answer(struct mem *mem)
{
	const struct virtq_chain *chain = &mem->device->chain;
	size_t left = sizeof(struct virtio_mem_resp);

	mem->id = chain->id;
	mem->slots = chain->slots;
	mem->n_answer = 0;
	for (unsigned int i = chain->n_out; left && i < chain->n_out + chain->n_in; i++) {
		struct iovec v = chain->iov[i];

		v.iov_len = MIN(v.iov_len, left);
		left -= v.iov_len;
		if (v.iov_len)
			mem->answer[mem->n_answer++] = v;
	}
}

/* A driver's mistake is an error; what the host cannot do now may go another time. */
static uint16_t answer_of(struct mem *mem)
{
	switch (mem->ret) {
	case 0:
		return VIRTIO_MEM_RESP_ACK;
	case -ERANGE:
	case -EEXIST:
	case -ENOENT:
		return VIRTIO_MEM_RESP_ERROR;
	default:
		log_limited(mem->host.log, &mem->limit, LOG_WARN, "memory", "%s", mem->err.text);
		return VIRTIO_MEM_RESP_BUSY;
	}
}

/* On the loop: the worker has finished. */
static void on_done(void *arg)
{
	struct mem *mem = arg;
	struct virtio_device *device = mem->device;
	uint16_t answer;

	virtio_lock(device);
	pthread_mutex_lock(&mem->lock);
	answer = answer_of(mem);
	pthread_mutex_unlock(&mem->lock);
	mem->busy = false;
	if (mem->stopping) {
		mem->stopping = mem->queue_stopping = false;
		virtio_stopped(device);
	} else if (mem->queue_stopping) {
		mem->queue_stopping = false;
		virtio_queue_stopped(device, MEM_QUEUE);
	} else {
		write_answer(mem->answer, mem->n_answer, answer, 0);
		virtio_push(device, MEM_QUEUE, mem->id, mem->slots, sizeof(struct virtio_mem_resp));
		virtio_flush(device, MEM_QUEUE);
		virtio_again(device, MEM_QUEUE);
	}
	virtio_unlock(device);
}

/* --- requests -------------------------------------------------------------------------------- */

static bool find_blocks(const struct mem *mem, uint64_t addr, uint16_t n, struct request *request)
{
	const struct hot_ram_options *region = mem->region;

	if (!n || !is_aligned(addr, region->block_size) ||
	    !range_inside(addr, n * region->block_size, region->gpa, region->size))
		return false;
	request->first = (unsigned int)((addr - region->gpa) / region->block_size);
	request->n = n;
	return true;
}

static bool answer_state(struct mem *mem, const struct request *request)
{
	static const uint16_t states[] = {
		[HOT_RAM_UNPLUGGED] = VIRTIO_MEM_STATE_UNPLUGGED,
		[HOT_RAM_PLUGGED] = VIRTIO_MEM_STATE_PLUGGED,
		[HOT_RAM_MIXED] = VIRTIO_MEM_STATE_MIXED,
	};

	return answer_now(mem, VIRTIO_MEM_RESP_ACK,
			  states[hot_ram_state(mem->hot, request->first, request->n)]);
}

static bool one(void *opaque, unsigned int queue)
{
	struct mem *mem = opaque;
	const struct virtq_chain *chain = &mem->device->chain;
	struct request request = { 0 };
	struct virtio_mem_req asked;

	if (virtq_read(chain, 0, &asked, sizeof(asked)) < sizeof(asked) ||
	    chain->in_bytes < sizeof(struct virtio_mem_resp)) {
		virtio_break(mem->device,
			     "queue %u: a request of %llu bytes with %llu for its answer", queue,
			     (unsigned long long)chain->out_bytes,
			     (unsigned long long)chain->in_bytes);
		return false;
	}
	request.type = asked.type;
	/* Where the blocks are named is the same for all types that name some. */
	if (asked.type > VIRTIO_MEM_REQ_STATE ||
	    (asked.type != VIRTIO_MEM_REQ_UNPLUG_ALL &&
	     !find_blocks(mem, asked.u.plug.addr, asked.u.plug.nb_blocks, &request)))
		return answer_now(mem, VIRTIO_MEM_RESP_ERROR, 0);
	if (asked.type == VIRTIO_MEM_REQ_STATE)
		return answer_state(mem, &request);
	if (asked.type == VIRTIO_MEM_REQ_PLUG &&
	    hot_ram_plugged(mem->hot) + request.n * mem->region->block_size > mem->wanted)
		return answer_now(mem, VIRTIO_MEM_RESP_NACK, 0);
	keep_answer(mem);
	begin(mem, &request);
	return false;
}

static void on_kick(void *opaque, unsigned int queue)
{
	struct mem *mem = opaque;

	if (!mem->busy)
		virtio_drain(mem->device, queue, one);
}

/* --- life ------------------------------------------------------------------------------------ */

static bool on_stop(void *opaque)
{
	struct mem *mem = opaque;

	mem->stopping = mem->busy;
	return !mem->busy;
}

static bool on_stop_queue(void *opaque, unsigned int queue)
{
	struct mem *mem = opaque;

	mem->queue_stopping = mem->busy;
	return !mem->busy;
}

/* A driver that reads unplugged memory, as dumps once did, would find no memory there (5.15.6). */
static const char *refuse(void *opaque, uint64_t features)
{
	if (features & VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE))
		return NULL;
	return "unplugged memory cannot be read here";
}

static void config_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	const struct mem *mem = opaque;
	const struct virtio_mem_config config = {
		.block_size = mem->region->block_size,
		.addr = mem->region->gpa,
		.region_size = mem->region->size,
		.usable_region_size = mem->region->size,
		.plugged_size = hot_ram_plugged(mem->hot),
		.requested_size = mem->wanted,
	};

	memcpy(data, (const uint8_t *)&config + offset, size);
}

static int check_size(struct mem *mem, uint64_t wanted, struct err *err)
{
	const char *name = hot_ram_pinned_by(mem->hot);

	if (!is_aligned(wanted, mem->region->block_size) || wanted > mem->region->size)
		return err_set(
			err, EINVAL,
			"%llu bytes of plugged memory are not whole blocks of %llu MiB up to "
			"%llu MiB",
			(unsigned long long)wanted,
			(unsigned long long)(mem->region->block_size / MIB),
			(unsigned long long)(mem->region->size / MIB));
	if (wanted < hot_ram_plugged(mem->hot) && name)
		return err_set(
			err, EBUSY,
			"%llu MiB are plugged and mapped for DMA by %s: they stay the guest's, "
			"since their pages are pinned and in the reach of devices",
			(unsigned long long)(hot_ram_plugged(mem->hot) / MIB), name);
	return 0;
}

int mem_resize(struct mem *mem, uint64_t wanted, struct err *err)
{
	int ret;

	virtio_lock(mem->device);
	ret = check_size(mem, wanted, err);
	if (!ret && wanted != mem->wanted) {
		mem->wanted = wanted;
		virtio_config_changed(mem->device);
	}
	virtio_unlock(mem->device);
	return ret;
}

void mem_read_stats(struct mem *mem, struct mem_stats *stats)
{
	virtio_lock(mem->device);
	*stats = (struct mem_stats){ .wanted = mem->wanted,
				     .plugged = hot_ram_plugged(mem->hot),
				     .most = mem->region->size };
	virtio_unlock(mem->device);
}

static void on_free(void *opaque)
{
	struct mem *mem = opaque;

	end_worker(mem);
	free(mem);
}

static const struct virtio_ops mem_ops = {
	.refuse = refuse,
	.config_read = config_read,
	.kick = on_kick,
	.stop = on_stop,
	.stop_queue = on_stop_queue,
	.free = on_free,
};

int mem_create(struct mem **out, const struct virtio_host *host, const struct mem_options *options,
	       struct err *err)
{
	struct mem *mem = calloc(1, sizeof(*mem));
	const struct virtio_options device = {
		.name = "memory",
		.type = MEM_TYPE,
		.class_code = MEM_CLASS,
		.features = VIRTIO_FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
		.packed = true,
		.queues = 1,
		.queue_size = MEM_QUEUE_SIZE,
		.config_size = sizeof(struct virtio_mem_config),
		.ops = &mem_ops,
		.opaque = mem,
	};
	int ret;

	if (!mem)
		return err_set(err, ENOMEM, "no memory for the memory device");
	mem->host = *host;
	mem->hot = options->hot;
	mem->region = hot_ram_options(options->hot);
	mem->wanted = options->wanted;
	mem->done = (struct loop_work){ .fn = on_done, .arg = mem };
	pthread_mutex_init(&mem->lock, NULL);
	pthread_cond_init(&mem->changed, NULL);
	ret = start_worker(mem, options->sandbox, err);
	if (!ret)
		ret = virtio_device_create(&mem->device, host, &device, err);
	if (ret) {
		on_free(mem);
		return ret;
	}
	*out = mem;
	return 0;
}
