/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One queue of buffers to be filled.
 *
 * Source: OASIS virtio 1.2, section 5.4.
 */
#include "vmm/virtio/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/bits.h"

#define RNG_TYPE       4u
#define RNG_CLASS      0x00ff00u
#define RNG_QUEUE_SIZE 64u
/* Of one buffer: a guest that wants more asks again, and others have their turn meanwhile. */
#define RNG_BYTES 4096u

struct rng {
	struct virtio_device *device;
	int fd; /* -1: getrandom(2) */
	const struct log *log;
	struct log_limit limit;
};

static size_t random_bytes(struct rng *rng, void *data, size_t len)
{
	ssize_t n;

	if (rng->fd < 0)
		n = getrandom(data, len, GRND_NONBLOCK);
	else
		n = read(rng->fd, data, len);
	if (n > 0)
		return (size_t)n;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		log_limited(rng->log, &rng->limit, LOG_WARN, "rng", "no random bytes: %s",
			    strerror(errno));
	return 0;
}

static bool fill_one(void *opaque, unsigned int queue)
{
	struct rng *rng = opaque;
	const struct virtq_chain *chain = &rng->device->chain;
	uint8_t bytes[RNG_BYTES];
	size_t len = random_bytes(rng, bytes, (size_t)MIN(chain->in_bytes, sizeof(bytes)));

	virtio_push(rng->device, queue, chain->id, chain->slots,
		    (uint32_t)virtq_write(chain, 0, bytes, len));
	return true;
}

static void on_kick(void *opaque, unsigned int queue)
{
	virtio_drain(((struct rng *)opaque)->device, queue, fill_one);
}

/* It keeps nothing of a guest. */
static void on_save(void *opaque, struct state_out *out)
{
}

static void on_load(void *opaque, struct state_in *in)
{
}

static void on_free(void *opaque)
{
	struct rng *rng = opaque;

	if (rng->fd >= 0)
		close(rng->fd);
	free(rng);
}

static const struct virtio_ops rng_ops = {
	.kick = on_kick,
	.save = on_save,
	.load = on_load,
	.free = on_free,
};

/* Regular files end, and pipes block: of a character device neither is true. */
static int open_source(struct rng *rng, const char *src, struct err *err)
{
	struct stat st;

	rng->fd = open(src, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (rng->fd < 0)
		return err_set(err, errno, "/rng/src: %s: %s", src, strerror(errno));
	if (fstat(rng->fd, &st) || !S_ISCHR(st.st_mode))
		return err_set(err, EINVAL,
			       "/rng/src: %s is no character device: use /dev/urandom or "
			       "/dev/hwrng",
			       src);
	return 0;
}

int rng_create(struct virtio_device **out, const struct virtio_host *host, const char *src,
	       struct err *err)
{
	struct rng *rng = calloc(1, sizeof(*rng));
	const struct virtio_options options = {
		.name = "rng",
		.type = RNG_TYPE,
		.class_code = RNG_CLASS,
		.packed = true,
		.queues = 1,
		.queue_size = RNG_QUEUE_SIZE,
		.ops = &rng_ops,
		.opaque = rng,
	};
	int ret = 0;

	if (!rng)
		return err_set(err, ENOMEM, "no memory for the entropy device");
	rng->fd = -1;
	rng->log = host->log;
	if (src)
		ret = open_source(rng, src, err);
	if (!ret)
		ret = virtio_device_create(&rng->device, host, &options, err);
	if (ret) {
		on_free(rng);
		return ret;
	}
	*out = rng->device;
	return 0;
}
