/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets between the guest's queues and connections: what the guest says to whom, and what it is
 * told, as far as it has buffers and credit.
 *
 * Source: OASIS virtio 1.2, section 5.10.
 */
#include "vmm/virtio/vsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/bits.h"
#include "vmm/virtio/vsock-internal.h"

#define VSOCK_TYPE	 19u
#define VSOCK_CLASS	 0x028000u
#define VSOCK_QUEUE_SIZE 256u
#define QUEUE_RX	 0u
#define QUEUE_TX	 1u
#define QUEUE_EVENT	 2u
#define HEADER		 sizeof(struct virtio_vsock_hdr)

/* --- to the guest ---------------------------------------------------------------------------- */

static struct virtio_vsock_hdr header_of(struct conn *conn, uint16_t op, uint32_t len)
{
	conn->told_forwarded = conn->forwarded;
	return (struct virtio_vsock_hdr){
		.src_cid = VSOCK_HOST_CID,
		.dst_cid = conn->vsock->config.guest_cid,
		.src_port = conn->host_port,
		.dst_port = conn->guest_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = op == VIRTIO_VSOCK_OP_SHUTDOWN ? conn->shutdown_flags : 0,
		.buf_alloc = VSOCK_BUFFER,
		.fwd_cnt = conn->forwarded,
	};
}

/* The next receive buffer, checked, in the device's chain. */
static bool take_buffer(struct vsock *vsock)
{
	struct virtio_device *device = vsock->device;

	if (!virtio_pop(device, QUEUE_RX)) {
		vsock->starved = true;
		return false;
	}
	if (device->chain.in_bytes >= HEADER)
		return true;
	virtio_break(device, "a receive buffer of %llu bytes: a packet's header has %zu",
		     (unsigned long long)device->chain.in_bytes, HEADER);
	return false;
}

static void put_packet(struct vsock *vsock, const struct virtio_vsock_hdr *header, const void *data)
{
	const struct virtq_chain *chain = &vsock->device->chain;

	virtq_write(chain, 0, header, HEADER);
	virtq_write(chain, HEADER, data, header->len);
	virtio_push(vsock->device, QUEUE_RX, chain->id, chain->slots,
		    (uint32_t)HEADER + header->len);
}

static bool tell_resets(struct vsock *vsock)
{
	while (vsock->n_resets) {
		if (!take_buffer(vsock))
			return false;
		put_packet(vsock, &vsock->resets[--vsock->n_resets], NULL);
	}
	return true;
}

static uint16_t op_of(unsigned int what)
{
	switch (what) {
	case TELL_REQUEST:
		return VIRTIO_VSOCK_OP_REQUEST;
	case TELL_RESPONSE:
		return VIRTIO_VSOCK_OP_RESPONSE;
	case TELL_CREDIT:
		return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	case TELL_SHUTDOWN:
		return VIRTIO_VSOCK_OP_SHUTDOWN;
	default:
		return VIRTIO_VSOCK_OP_RST;
	}
}

static bool tell(struct conn *conn)
{
	while (conn->tell) {
		unsigned int what = conn->tell & -conn->tell;
		struct virtio_vsock_hdr header;

		if (!take_buffer(conn->vsock))
			return false;
		header = header_of(conn, op_of(what), 0);
		put_packet(conn->vsock, &header, NULL);
		conn->tell &= ~what;
	}
	return true;
}

/* The host's side has ended: nothing more is read, and the guest hears of it. */
static void end_input(struct conn *conn)
{
	conn->host_ended = true;
	if (conn->guest_ended && !conn->used) {
		conn_reset(conn);
		return;
	}
	conn->tell |= TELL_SHUTDOWN;
	conn->shutdown_flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
}

/* One packet of data, if there is some. A buffer is taken only for data that is there. */
static bool read_once(struct conn *conn)
{
	struct vsock *vsock = conn->vsock;
	size_t room = MIN(conn_credit(conn), sizeof(vsock->data));
	struct virtio_vsock_hdr header;
	ssize_t n;

	n = recv(conn->fd, vsock->data, room, MSG_DONTWAIT | MSG_PEEK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0) {
		conn_reset(conn);
		return true;
	}
	if (!n) {
		end_input(conn);
		return true;
	}
	if (!take_buffer(vsock))
		return false;
	room = MIN((size_t)n, (size_t)(vsock->device->chain.in_bytes - HEADER));
	/* What was peeked at is there; now it is taken. */
	n = room ? recv(conn->fd, vsock->data, room, MSG_DONTWAIT) : 0;
	header = header_of(conn, VIRTIO_VSOCK_OP_RW, n > 0 ? (uint32_t)n : 0);
	put_packet(vsock, &header, vsock->data);
	conn->tx_count += header.len;
	return true;
}

static bool serve(struct conn *conn)
{
	if (conn->state == CONN_OPEN && !conn->host_ended && !conn->tell && conn_credit(conn) &&
	    !read_once(conn))
		return false;
	return tell(conn);
}

void vsock_pump(struct vsock *vsock)
{
	struct conn *conn, *next;

	if (!virtio_live(vsock->device, QUEUE_RX))
		return;
	vsock->starved = false;
	if (tell_resets(vsock)) {
		for (conn = vsock->conns; conn; conn = conn->next) {
			if (conn->state != CONN_HELLO && (!tell(conn) || !serve(conn)))
				break;
		}
	}
	virtio_flush(vsock->device, QUEUE_RX);
	if (vsock->starved && virtio_kicks_on(vsock->device, QUEUE_RX))
		virtio_again(vsock->device, QUEUE_RX);
	for (conn = vsock->conns; conn; conn = next) {
		next = conn->next;
		if (conn->state == CONN_DEAD && !conn->tell)
			conn_free(conn);
		else if (conn->fd >= 0)
			conn_watch(conn);
	}
}

/* --- from the guest -------------------------------------------------------------------------- */

static struct conn *find(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	for (struct conn *conn = vsock->conns; conn; conn = conn->next) {
		if (conn->state != CONN_HELLO && conn->state != CONN_DEAD &&
		    conn->guest_port == header->src_port && conn->host_port == header->dst_port)
			return conn;
	}
	return NULL;
}

/* Section 5.10.6.4.1: what belongs to no connection is answered with a reset, but a reset is not.
 */
static void refuse(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	if (header->op == VIRTIO_VSOCK_OP_RST || vsock->n_resets == VSOCK_RESETS)
		return;
	vsock->resets[vsock->n_resets++] = (struct virtio_vsock_hdr){
		.src_cid = header->dst_cid,
		.dst_cid = vsock->config.guest_cid,
		.src_port = header->dst_port,
		.dst_port = header->src_port,
		.type = header->type,
		.op = VIRTIO_VSOCK_OP_RST,
	};
}

static void connect_guest(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	int ret = conn_dial(vsock, header->src_port, header->dst_port);

	if (!ret) {
		vsock->conns->peer_buffer = header->buf_alloc;
		vsock->conns->peer_forwarded = header->fwd_cnt;
		return;
	}
	log_limited(vsock->host.log, &vsock->limit, LOG_DEBUG, "vsock", "%s_%u: %s", vsock->path,
		    header->dst_port, strerror(-ret));
	refuse(vsock, header);
}

static void hear(struct conn *conn, const struct virtio_vsock_hdr *header,
		 const struct virtq_chain *chain)
{
	conn->peer_buffer = header->buf_alloc;
	conn->peer_forwarded = header->fwd_cnt;
	switch (header->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (conn->state == CONN_ASKED)
			conn_accepted(conn);
		else
			conn_reset(conn);
		break;
	case VIRTIO_VSOCK_OP_RST:
		conn_free(conn);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		conn_shutdown(conn, header->flags);
		break;
	case VIRTIO_VSOCK_OP_RW:
		if (conn->state != CONN_OPEN || !conn_take(conn, chain, HEADER, header->len))
			conn_reset(conn);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		conn->tell |= TELL_CREDIT;
		break;
	default:
		conn_reset(conn);
	}
}

static bool hear_one(void *opaque, unsigned int queue)
{
	struct vsock *vsock = opaque;
	const struct virtq_chain *chain = &vsock->device->chain;
	struct virtio_vsock_hdr header = { 0 };
	struct conn *conn;

	/* Its source is what the device says it is: of others nothing is heard. */
	if (virtq_read(chain, 0, &header, HEADER) == HEADER &&
	    header.src_cid == vsock->config.guest_cid) {
		bool whole = header.dst_cid == VSOCK_HOST_CID &&
			     header.type == VIRTIO_VSOCK_TYPE_STREAM &&
			     header.len <= chain->out_bytes - HEADER;

		conn = whole ? find(vsock, &header) : NULL;
		if (conn)
			hear(conn, &header, chain);
		else if (whole && header.op == VIRTIO_VSOCK_OP_REQUEST)
			connect_guest(vsock, &header);
		else
			refuse(vsock, &header);
	}
	virtio_push(vsock->device, queue, chain->id, chain->slots, 0);
	return true;
}

/* --- events ---------------------------------------------------------------------------------- */

/* Section 5.10.6.7: the driver ends its connections, and looks at its context id again. */
static void tell_lost(struct vsock *vsock)
{
	const struct virtio_vsock_event event = { .id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET };
	struct virtio_device *device = vsock->device;
	const struct virtq_chain *chain = &device->chain;

	if (vsock->lost && virtio_pop(device, QUEUE_EVENT)) {
		virtio_push(device, QUEUE_EVENT, chain->id, chain->slots,
			    (uint32_t)virtq_write(chain, 0, &event, sizeof(event)));
		virtio_flush(device, QUEUE_EVENT);
		vsock->lost = false;
	}
	if (vsock->lost && virtio_kicks_on(device, QUEUE_EVENT))
		virtio_again(device, QUEUE_EVENT);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_kick(void *opaque, unsigned int queue)
{
	struct vsock *vsock = opaque;

	if (queue == QUEUE_TX)
		virtio_drain(vsock->device, QUEUE_TX, hear_one);
	if (queue == QUEUE_TX || queue == QUEUE_RX)
		vsock_pump(vsock);
	if (queue == QUEUE_EVENT)
		tell_lost(vsock);
}

static bool on_stop(void *opaque)
{
	struct vsock *vsock = opaque;

	while (vsock->conns)
		conn_free(vsock->conns);
	vsock->n_resets = 0;
	vsock->lost = false;
	return true;
}

/* Its connections are sockets of this process, and stay here. */
static void on_save(void *opaque, struct state_out *out)
{
}

static void on_load(void *opaque, struct state_in *in)
{
	((struct vsock *)opaque)->lost = true;
}

static void config_read(void *opaque, uint32_t offset, void *data, unsigned int size)
{
	memcpy(data, (const uint8_t *)&((struct vsock *)opaque)->config + offset, size);
}

static void on_free(void *opaque)
{
	struct vsock *vsock = opaque;

	on_stop(vsock);
	vsock_unlisten(vsock);
	free(vsock);
}

static const struct virtio_ops vsock_ops = {
	.config_read = config_read,
	.kick = on_kick,
	.stop = on_stop,
	.save = on_save,
	.load = on_load,
	.free = on_free,
};

int vsock_create(struct virtio_device **out, const struct virtio_host *host, uint64_t cid,
		 const char *path, struct err *err)
{
	struct vsock *vsock;
	struct virtio_options options = {
		.name = "vsock",
		.type = VSOCK_TYPE,
		.class_code = VSOCK_CLASS,
		.packed = true,
		.queues = 3,
		.queue_size = VSOCK_QUEUE_SIZE,
		.config_size = sizeof(vsock->config),
		.ops = &vsock_ops,
	};
	int ret;

	if (strlen(path) >= sizeof(vsock->path))
		return err_set(err, EINVAL, "/vsock/socket: %s: is longer than %zu bytes", path,
			       sizeof(vsock->path) - 1);
	vsock = calloc(1, sizeof(*vsock));
	if (!vsock)
		return err_set(err, ENOMEM, "no memory for the vsock device");
	vsock->host = *host;
	vsock->config.guest_cid = cid;
	vsock->listen_fd = -1;
	vsock->next_port = VSOCK_FIRST_PORT;
	snprintf(vsock->path, sizeof(vsock->path), "%s", path);
	options.opaque = vsock;
	ret = vsock_listen(vsock, err);
	if (!ret)
		ret = virtio_device_create(&vsock->device, host, &options, err);
	if (ret) {
		on_free(vsock);
		return ret;
	}
	*out = vsock->device;
	return 0;
}
