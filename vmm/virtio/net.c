/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue pairs between rings and taps, and the control queue.
 *
 * A received frame goes through a buffer of ours: it may need several of the guest's (mergeable
 * buffers), whose number stands in the header of the first, and they become visible together.
 *
 * Source: OASIS virtio 1.2, section 5.1; USO: 1.3.
 */
#include "vmm/virtio/net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include "passthrough/pci/pci.h"
#include "util/bits.h"
#include "util/clock.h"
#include "vmm/virtio/tap.h"
#include "vmm/virtio/vectors.h"
#include "vmm/virtio/vhost.h"

#define NET_TYPE    1u
#define NET_CLASS   0x020000u
#define NET_HEADER  TAP_HEADER_BYTES
#define BUFFERS_AT  10u /* num_buffers in the header */
#define FRAME_MAX   (65536u + 64u + NET_HEADER)
#define TURN_FRAMES 64u /* received in one turn of the loop */

#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct net;

struct net_pair {
	struct net *net;
	unsigned int index;
	struct loop_watch *watch; /* of the tap; NULL while nothing can be received */
	struct limiter rx, tx;
	struct loop_timer *rx_timer, *tx_timer;
	/* A frame on its way into the guest's buffers. */
	size_t len, done;
	unsigned int buffers;
	struct iovec first[NET_HEADER]; /* where the header went: at most a byte a piece */
	unsigned int n_first;
	uint8_t *frame;
};

struct net {
	struct virtio_device *device;
	struct virtio_host host;
	char id[64];
	struct tap tap;
	struct virtio_net_config config;
	unsigned int n, active; /* pairs */
	bool switched;		/* by the last command: what the tap was asked for takes long */
	struct net_pair pairs[TAP_PAIRS_MAX];
	struct log_limit limit;
	/* With vhost: who moves frames, and which rings it has. */
	struct vhost *vhost;
	struct virtio_vectors *vectors;
	bool handed[2 * TAP_PAIRS_MAX];
	int broken; /* an eventfd, -1: none */
	struct loop_watch *broken_watch;
};

/* --- receiving ------------------------------------------------------------------------------- */

static void tap_ready(void *arg, uint32_t ready);

static void listen_on(struct net_pair *pair, bool on)
{
	struct net *net = pair->net;
	struct err err;

	if (!on) {
		loop_unwatch(pair->watch);
		pair->watch = NULL;
	} else if (!pair->watch && loop_watch(net->host.loop, net->tap.fd[pair->index], POLLIN,
					      tap_ready, pair, &pair->watch, &err)) {
		log_limited(net->host.log, &net->limit, LOG_ERROR, "net", "%s: %s", net->id,
			    err.text);
	}
}

/* The pieces of a new frame's header, whose number of buffers is not known yet. */
static void remember_header(struct net_pair *pair, const struct virtq_chain *chain)
{
	size_t left = NET_HEADER;

	pair->n_first = 0;
	for (unsigned int i = chain->n_out; left && i < chain->n_out + chain->n_in; i++) {
		struct iovec v = chain->iov[i];

		v.iov_len = MIN(v.iov_len, left);
		left -= v.iov_len;
		pair->first[pair->n_first++] = v;
	}
}

/* True: the frame is whole in the guest, or dropped. False: more buffers are needed. */
static bool deliver(struct net_pair *pair)
{
	struct virtio_device *device = pair->net->device;
	const struct virtq_chain *chain = &device->chain;
	unsigned int queue = 2 * pair->index;
	bool mergeable = virtio_has(device, VIRTIO_NET_F_MRG_RXBUF);
	uint16_t buffers;

	while (pair->done < pair->len) {
		size_t n = pair->len - pair->done;

		if (!virtio_pop(device, queue))
			return false;
		if (!pair->done && chain->in_bytes < NET_HEADER) {
			virtio_break(device, "queue %u: a receive buffer of %llu bytes", queue,
				     (unsigned long long)chain->in_bytes);
			return true;
		}
		if (!mergeable && chain->in_bytes < n) {
			virtio_push(device, queue, chain->id, chain->slots, 0);
			return true;
		}
		if (!pair->done)
			remember_header(pair, chain);
		n = virtq_write(chain, 0, pair->frame + pair->done, n);
		virtio_push(device, queue, chain->id, chain->slots, (uint32_t)n);
		pair->done += n;
		pair->buffers++;
	}
	buffers = (uint16_t)pair->buffers;
	iov_write(pair->first, pair->n_first, BUFFERS_AT, &buffers, sizeof(buffers));
	return true;
}

static void rx_timer(void *arg)
{
	struct net_pair *pair = arg;

	virtio_lock(pair->net->device);
	loop_timer_cancel(pair->rx_timer);
	pair->rx_timer = NULL;
	virtio_again(pair->net->device, 2 * pair->index);
	virtio_unlock(pair->net->device);
}

static bool within(struct net_pair *pair, struct limiter *limiter, struct loop_timer **timer,
		   void (*fn)(void *arg))
{
	uint64_t wait = limiter_wait(limiter, clock_ns());
	struct err err;

	/* Without a timer the limit would be a stop: then it is none. */
	return !wait || loop_timer(pair->net->host.loop, wait, fn, pair, timer, &err);
}

/* Frames from the tap while there are frames, buffers, and turns. */
static void receive(struct net_pair *pair)
{
	struct net *net = pair->net;
	unsigned int queue = 2 * pair->index, left = TURN_FRAMES;

	while (left-- && virtio_live(net->device, queue) && !pair->rx_timer) {
		if (!pair->len) {
			ssize_t n = read(net->tap.fd[pair->index], pair->frame, FRAME_MAX);

			if (n < (ssize_t)NET_HEADER)
				break;
			pair->len = (size_t)n;
			pair->done = pair->buffers = 0;
			limiter_take(&pair->rx, (uint64_t)n);
		}
		if (!deliver(pair)) {
			/* The tap is left alone until the driver brings buffers. */
			listen_on(pair, false);
			if (virtio_kicks_on(net->device, queue))
				virtio_again(net->device, queue);
			return;
		}
		pair->len = 0;
		virtio_flush(net->device, queue);
		if (!within(pair, &pair->rx, &pair->rx_timer, rx_timer)) {
			listen_on(pair, false);
			return;
		}
	}
}

static void tap_ready(void *arg, uint32_t ready)
{
	struct net_pair *pair = arg;
	struct net *net = pair->net;

	virtio_lock(net->device);
	if (ready & (POLLERR | POLLNVAL)) {
		listen_on(pair, false);
		log_limited(net->host.log, &net->limit, LOG_WARN, "net",
			    "%s: its tap is gone or down", net->id);
	} else if (!virtio_live(net->device, 2 * pair->index)) {
		listen_on(pair, false); /* paused or reset: a kick listens again */
	} else {
		receive(pair);
	}
	virtio_unlock(net->device);
}

/* --- sending --------------------------------------------------------------------------------- */

static void tx_timer(void *arg)
{
	struct net_pair *pair = arg;

	virtio_lock(pair->net->device);
	loop_timer_cancel(pair->tx_timer);
	pair->tx_timer = NULL;
	virtio_again(pair->net->device, 2 * pair->index + 1);
	virtio_unlock(pair->net->device);
}

static bool send_one(void *opaque, unsigned int queue)
{
	struct net *net = opaque;
	struct net_pair *pair = &net->pairs[queue / 2];
	const struct virtq_chain *chain = &net->device->chain;

	/* The kernel checks the header; a frame that it does not take is lost, as on a wire. */
	if (chain->out_bytes >= NET_HEADER && chain->out_bytes <= FRAME_MAX) {
		ssize_t n = writev(net->tap.fd[pair->index], chain->iov, (int)chain->n_out);

		if (n < 0 && errno != EAGAIN && errno != EINVAL)
			log_limited(net->host.log, &net->limit, LOG_WARN, "net",
				    "%s: frames are lost: %s", net->id, strerror(errno));
	}
	limiter_take(&pair->tx, chain->out_bytes);
	virtio_push(net->device, queue, chain->id, chain->slots, 0);
	return within(pair, &pair->tx, &pair->tx_timer, tx_timer);
}

/* --- control --------------------------------------------------------------------------------- */

static int use_pairs(struct net *net, unsigned int pairs)
{
	int ret;

	if (pairs == net->active)
		return 0;
	net->switched = true;
	ret = tap_use(&net->tap, pairs);
	if (ret)
		(void)tap_use(&net->tap, net->active);
	else
		net->active = pairs;
	return ret;
}

static int command(struct net *net, const struct virtq_chain *chain)
{
	struct virtio_net_ctrl_hdr header;
	uint8_t mac[6];
	uint16_t pairs;

	if (virtq_read(chain, 0, &header, sizeof(header)) != sizeof(header))
		return -EINVAL;
	if (header.class == VIRTIO_NET_CTRL_MAC && header.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET &&
	    virtq_read(chain, sizeof(header), mac, sizeof(mac)) == sizeof(mac)) {
		memcpy(net->config.mac, mac, sizeof(mac));
		return 0;
	}
	if (header.class != VIRTIO_NET_CTRL_MQ || header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    virtq_read(chain, sizeof(header), &pairs, sizeof(pairs)) != sizeof(pairs) || !pairs ||
	    pairs > net->n)
		return -EINVAL;
	return use_pairs(net, pairs);
}

static bool control_one(void *opaque, unsigned int queue)
{
	struct net *net = opaque;
	const struct virtq_chain *chain = &net->device->chain;
	uint8_t ack;

	net->switched = false;
	ack = command(net, chain) ? VIRTIO_NET_ERR : VIRTIO_NET_OK;
	virtio_push(net->device, queue, chain->id, chain->slots,
		    (uint32_t)virtq_write(chain, 0, &ack, 1));
	/* Queues come and go under a lock of the whole host's network. */
	if (net->switched)
		virtio_again(net->device, queue);
	return !net->switched;
}

static unsigned int control_queue(const struct net *net)
{
	return virtio_has(net->device, VIRTIO_NET_F_MQ) ? 2 * net->n : 2;
}

/* --- vhost-net ------------------------------------------------------------------------------- */

static void hand_over(struct net *net, unsigned int queue)
{
	struct virtio_queue *q = &net->device->queues[queue];
	const struct vhost_ring ring = {
		.vq = &q->vq,
		.kick = q->kick_fd,
		.call = virtio_vectors_fd(net->vectors, q->vector),
		.broken = net->broken,
		.tap = net->tap.fd[queue / 2],
	};
	struct err err;

	if (net->handed[queue])
		return;
	virtio_hand_over(net->device, queue, true);
	net->handed[queue] = true;
	if (vhost_ring_start(net->vhost, queue, &ring, &err))
		virtio_break(net->device, "queue %u: %s", queue, err.text);
	/* What was taken off the eventfd here asks again. */
	virtio_again(net->device, queue);
}

/* Any thread: its kicks are counted and nobody's, until it is handed over again or taken back. */
static void stop_ring(struct net *net, unsigned int queue)
{
	if (net->handed[queue])
		vhost_ring_stop(net->vhost, queue, &net->device->queues[queue].vq);
	net->handed[queue] = false;
}

static void on_pause(void *opaque)
{
	struct net *net = opaque;

	for (unsigned int i = 0; i < 2 * net->n; i++)
		stop_ring(net, i);
}

/* On the loop. */
static void take_back(struct net *net, unsigned int queue)
{
	stop_ring(net, queue);
	virtio_hand_over(net->device, queue, false);
}

static void take_all_back(struct net *net)
{
	for (unsigned int i = 0; net->vhost && i < 2 * net->n; i++)
		take_back(net, i);
}

/* On the loop. Which ring it was, the kernel does not say. */
static void ring_broken(void *arg, uint32_t ready)
{
	struct net *net = arg;
	eventfd_t count;

	virtio_lock(net->device);
	if (!eventfd_read(net->broken, &count) && net->device->running) {
		virtio_break(net->device, "vhost-net cannot go on with a queue");
		take_all_back(net);
	}
	virtio_unlock(net->device);
}

static int open_vhost(struct net *net, const struct net_options *options, struct err *err)
{
	const struct vhost_options vhost = {
		.pairs = net->n,
		.memory = net->host.memory,
		.hot = options->hot,
		.sys = options->sys,
	};
	int ret = vhost_create(&net->vhost, &vhost, err);

	if (ret)
		return err_prefix(err, "%s", net->id);
	net->broken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (net->broken < 0)
		return err_set(err, errno, "%s: eventfd: %s", net->id, strerror(errno));
	return loop_watch(net->host.loop, net->broken, POLLIN, ring_broken, net, &net->broken_watch,
			  err);
}

static void close_vhost(struct net *net)
{
	vhost_destroy(net->vhost);
	virtio_vectors_destroy(net->vectors);
	loop_unwatch(net->broken_watch);
	if (net->broken >= 0)
		close(net->broken);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_kick(void *opaque, unsigned int queue)
{
	struct net *net = opaque;
	bool control = virtio_has(net->device, VIRTIO_NET_F_CTRL_VQ);

	if (control && queue == control_queue(net)) {
		virtio_drain(net->device, queue, control_one);
	} else if (queue / 2 < net->n && net->vhost) {
		hand_over(net, queue);
	} else if (queue / 2 < net->n && queue & 1) {
		if (!net->pairs[queue / 2].tx_timer)
			virtio_drain(net->device, queue, send_one);
	} else if (queue / 2 < net->n && !net->pairs[queue / 2].rx_timer) {
		listen_on(&net->pairs[queue / 2], true);
		receive(&net->pairs[queue / 2]);
	}
}

static void on_start(void *opaque)
{
	struct net *net = opaque;
	const struct {
		unsigned int feature, flag;
	} rows[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM }, { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 }, { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
		{ VIRTIO_NET_F_GUEST_USO4, TUN_F_USO4 }, { VIRTIO_NET_F_GUEST_USO6, TUN_F_USO6 },
	};
	const unsigned int uso = TUN_F_USO4 | TUN_F_USO6;
	unsigned int flags = 0;
	struct err err;
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		flags |= virtio_has(net->device, rows[i].feature) ? rows[i].flag : 0;
	/* A tap takes both or refuses everything that it was asked (Linux drivers/net/tun.c). */
	if ((flags & uso) != uso)
		flags &= ~uso;
	ret = tap_offload(&net->tap, flags);
	if (!ret)
		ret = tap_use(&net->tap, net->active);
	if (ret)
		log_limited(net->host.log, &net->limit, LOG_WARN, "net", "%s: tap: %s", net->id,
			    strerror(-ret));
	if (net->vhost && vhost_start(net->vhost, net->device->accepted, &err))
		virtio_break(net->device, "%s", err.text);
}

static bool on_stop(void *opaque)
{
	struct net *net = opaque;

	take_all_back(net);
	for (unsigned int i = 0; i < net->n; i++) {
		listen_on(&net->pairs[i], false);
		net->pairs[i].len = 0;
	}
	net->active = 1;
	return true;
}

/* A frame that is half in the queue's buffers is lost. */
static bool on_stop_queue(void *opaque, unsigned int queue)
{
	struct net *net = opaque;

	if (net->vhost && queue / 2 < net->n)
		take_back(net, queue);
	if (queue / 2 < net->n && !(queue & 1)) {
		listen_on(&net->pairs[queue / 2], false);
		net->pairs[queue / 2].len = 0;
	}
	return true;
}

static void on_save(void *opaque, struct state_out *out)
{
	struct net *net = opaque;

	state_put(out, net->active);
	state_put_bytes(out, net->config.mac, sizeof(net->config.mac));
}

/* A frame that was half in its buffers is lost: they are empty again. */
static void on_load(void *opaque, struct state_in *in)
{
	struct net *net = opaque;

	net->active = (unsigned int)state_take(in, net->n);
	if (!net->active)
		state_refuse(in, "no queue pair is in use");
	state_take_bytes(in, net->config.mac, sizeof(net->config.mac));
}

/* Section 5.1.3.1: which features stand on which. */
static const char *refuse(void *opaque, uint64_t features)
{
	const uint64_t guest_tso =
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6);
	const uint64_t guest = guest_tso | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO4) |
			       VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO6);
	const uint64_t host_tso =
		VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6);
	const uint64_t host = host_tso | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_USO);

	if (features & guest && !(features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)))
		return "receive offloads without GUEST_CSUM";
	if (features & host && !(features & VIRTIO_FEATURE(VIRTIO_NET_F_CSUM)))
		return "send offloads without CSUM";
	if ((features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN) && !(features & guest_tso)) ||
	    (features & VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN) && !(features & host_tso)))
		return "ECN without TSO";
	if (features & VIRTIO_FEATURE(VIRTIO_NET_F_MQ) &&
	    !(features & VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ)))
		return "several queue pairs without a control queue";
	return NULL;
}

static void config_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	struct net *net = opaque;

	memcpy(data, (const uint8_t *)&net->config + offset, size);
}

static void on_free(void *opaque)
{
	struct net *net = opaque;

	for (unsigned int i = 0; i < net->n; i++) {
		listen_on(&net->pairs[i], false);
		loop_timer_cancel(net->pairs[i].rx_timer);
		loop_timer_cancel(net->pairs[i].tx_timer);
		free(net->pairs[i].frame);
	}
	close_vhost(net);
	tap_close(&net->tap);
	free(net);
}

static const struct virtio_ops net_ops = {
	.refuse = refuse,
	.config_read = config_read,
	.start = on_start,
	.kick = on_kick,
	.stop = on_stop,
	.stop_queue = on_stop_queue,
	.pause = on_pause,
	.save = on_save,
	.load = on_load,
	.free = on_free,
};

static uint64_t features_of(const struct net *net, const struct net_options *options)
{
	uint64_t f = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR);

	if (options->mtu)
		f |= VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	if (net->n > 1)
		f |= VIRTIO_FEATURE(VIRTIO_NET_F_MQ);
	if (options->csum)
		f |= VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	if (options->csum && options->tso)
		f |= VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN);
	if (options->csum && options->uso && net->tap.uso)
		f |= VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO4) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_USO6) |
		     VIRTIO_FEATURE(VIRTIO_NET_F_HOST_USO);
	return f;
}

static int fill_config(struct net *net, const struct net_options *options, struct err *err)
{
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.max_virtqueue_pairs = (uint16_t)net->n;
	net->config.mtu = options->mtu;
	if (options->mac) {
		memcpy(net->config.mac, options->mac, sizeof(net->config.mac));
		return 0;
	}
	if (getrandom(net->config.mac, sizeof(net->config.mac), 0) !=
	    (ssize_t)sizeof(net->config.mac))
		return err_set(err, EIO, "%s: no random bytes for a MAC address", net->id);
	/* Of one station, locally administered. */
	net->config.mac[0] = (uint8_t)((net->config.mac[0] & 0xfe) | 0x02);
	return 0;
}

static int make_pairs(struct net *net, const struct net_options *options, struct err *err)
{
	for (unsigned int i = 0; i < options->pairs; i++) {
		struct net_pair *pair = &net->pairs[i];

		pair->net = net;
		pair->index = i;
		limiter_init(&pair->rx, &options->bytes, &options->ops, clock_ns());
		limiter_init(&pair->tx, &options->bytes, &options->ops, clock_ns());
		pair->frame = malloc(FRAME_MAX);
		if (!pair->frame)
			return err_set(err, ENOMEM, "%s: no memory for a frame", net->id);
		net->n++;
	}
	return fill_config(net, options, err);
}

/* From here on net belongs to its function, or is gone. */
static int make_device(struct net *net, const struct net_options *options, struct err *err)
{
	const struct virtio_options device = {
		.name = net->id,
		.type = NET_TYPE,
		.class_code = NET_CLASS,
		.features = features_of(net, options),
		.packed = options->packed && !net->vhost, /* the kernel knows split rings alone */
		.queues = 2 * net->n + 1,
		.queue_size = options->queue_size,
		.config_size = sizeof(net->config),
		.ops = &net_ops,
		.opaque = net,
	};

	int ret = virtio_device_create(&net->device, &net->host, &device, err);

	if (ret) {
		on_free(net);
		return ret;
	}
	if (net->vhost)
		ret = virtio_vectors_create(&net->vectors, net->device, err);
	if (ret)
		pci_function_destroy(net->device->function);
	return ret;
}

int net_create(struct virtio_device **out, const struct virtio_host *host,
	       const struct net_options *options, struct err *err)
{
	struct net *net;
	int ret;

	if (!options->pairs || options->pairs > TAP_PAIRS_MAX)
		return err_set(err, EINVAL, "%s: %u queue pairs: 1 to %u are possible", options->id,
			       options->pairs, TAP_PAIRS_MAX);
	net = calloc(1, sizeof(*net));
	if (!net)
		return err_set(err, ENOMEM, "%s: no memory for the device", options->id);
	snprintf(net->id, sizeof(net->id), "%s", options->id);
	net->host = *host;
	net->active = 1;
	net->broken = -1;
	ret = tap_open(&net->tap, options->tap, options->fd, options->pairs, err);
	if (!ret)
		ret = make_pairs(net, options, err);
	if (!ret && options->vhost)
		ret = open_vhost(net, options, err);
	if (ret) {
		on_free(net);
		return ret;
	}
	ret = make_device(net, options, err);
	if (ret)
		return ret;
	*out = net->device;
	return 0;
}
