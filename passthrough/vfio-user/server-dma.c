/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA to and from a client that shares no memory: VFIO_USER_DMA_READ and _WRITE requests of ours
 * on the connection's socket, whose answers come in between the client's own requests.
 */
#include "passthrough/vfio-user/server-internal.h"

#include <errno.h>
#include <string.h>

#include "util/bits.h"

/* With the lock held. */
static struct vfu_waiter *find(struct vfu_server *server, uint16_t id)
{
	struct vfu_waiter *waiter = TAILQ_FIRST(&server->waiters);

	while (waiter && waiter->id != id)
		waiter = TAILQ_NEXT(waiter, link);
	return waiter;
}

/* With the lock held. */
static void finish(struct vfu_server *server, struct vfu_waiter *waiter, int result)
{
	waiter->result = result;
	TAILQ_REMOVE(&server->waiters, waiter, link);
}

static void cancel_all(struct vfu_server *server)
{
	struct vfu_waiter *waiter;

	while ((waiter = TAILQ_FIRST(&server->waiters)))
		finish(server, waiter, -ECANCELED);
	pthread_cond_broadcast(&server->answered);
}

/* Does the answer hold what was asked for? The count of a write's answer is 4 or 8 bytes. */
static int accept_answer(const struct vfu_waiter *waiter, const struct vfu_message *reply)
{
	const struct vfu_dma_access *access;

	if (reply->header.command != waiter->command)
		return -EPROTO;
	if (reply->header.flags & VFU_ERROR)
		return -EFAULT;
	if (waiter->command == VFU_DMA_WRITE)
		return 0;
	access = vfu_message_body(reply, sizeof(*access) + waiter->count);
	if (!access || access->address != waiter->address || access->count != waiter->count)
		return -EPROTO;
	memcpy(waiter->data, access + 1, waiter->count);
	return 0;
}

/* An answer to what was cancelled meanwhile is dropped: its number says whether it can be one. */
int vfu_dma_answered(struct vfu_server *server, const struct vfu_message *reply)
{
	struct vfu_waiter *waiter;
	int ret = 0;

	pthread_mutex_lock(&server->dma);
	waiter = find(server, reply->header.id);
	if (waiter) {
		ret = accept_answer(waiter, reply);
		finish(server, waiter, ret);
		pthread_cond_broadcast(&server->answered);
	} else if (reply->header.command != VFU_DMA_READ &&
		   reply->header.command != VFU_DMA_WRITE) {
		ret = -EPROTO;
	}
	pthread_mutex_unlock(&server->dma);
	return ret == -EFAULT ? 0 : ret;
}

void vfu_dma_end(struct vfu_server *server)
{
	pthread_mutex_lock(&server->dma);
	server->gone = true;
	cancel_all(server);
	pthread_mutex_unlock(&server->dma);
}

void vfu_dma_refuse(struct vfu_server *server, bool refuse)
{
	pthread_mutex_lock(&server->dma);
	if (refuse) {
		server->refused++;
		cancel_all(server);
	} else {
		server->refused--;
	}
	pthread_mutex_unlock(&server->dma);
}

/* Numbers that a late answer could still carry are used again only after 2^16 others. */
static int enlist(struct vfu_server *server, struct vfu_waiter *waiter)
{
	int ret = 0;

	pthread_mutex_lock(&server->dma);
	if (server->gone || server->refused) {
		ret = -ECANCELED;
	} else {
		do
			waiter->id = server->next_id++;
		while (find(server, waiter->id));
		waiter->result = 1;
		TAILQ_INSERT_TAIL(&server->waiters, waiter, link);
	}
	pthread_mutex_unlock(&server->dma);
	return ret;
}

static int wait_for(struct vfu_server *server, struct vfu_waiter *waiter)
{
	pthread_mutex_lock(&server->dma);
	while (waiter->result > 0)
		pthread_cond_wait(&server->answered, &server->dma);
	pthread_mutex_unlock(&server->dma);
	return waiter->result;
}

/* One request of at most what the client takes. */
static int request(struct vfu_server *server, struct vfu_waiter *waiter, const void *data)
{
	const struct vfu_dma_access access = { waiter->address, waiter->count };
	struct vfu_header header = { .command = waiter->command };
	int ret = enlist(server, waiter);

	if (ret)
		return ret;
	header.id = waiter->id;
	pthread_mutex_lock(&server->send);
	ret = vfu_send_parts(server->socket, &header, &access, sizeof(access), data,
			     data ? waiter->count : 0, NULL, 0);
	pthread_mutex_unlock(&server->send);
	if (ret) {
		/* The stream is broken: whoever reads it finds out as well. */
		vfu_dma_end(server);
		vfu_stop(server);
	}
	return wait_for(server, waiter);
}

static int transfer(struct vfu_server *server, uint16_t command, uint64_t iova, uint8_t *in,
		    const uint8_t *out, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		struct vfu_waiter waiter = {
			.command = command,
			.address = iova + done,
			.data = in ? in + done : NULL,
			.count = (uint32_t)MIN(size - done, (uint64_t)server->peer.max_xfer),
		};
		int ret = request(server, &waiter, out ? out + done : NULL);

		if (ret)
			return ret;
		done += waiter.count;
	}
	return 0;
}

int vfu_dma_read(struct vfu_server *server, uint64_t iova, void *data, uint64_t size)
{
	return transfer(server, VFU_DMA_READ, iova, data, NULL, size);
}

int vfu_dma_write(struct vfu_server *server, uint64_t iova, const void *data, uint64_t size)
{
	return transfer(server, VFU_DMA_WRITE, iova, NULL, data, size);
}
