/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the vfio-user server know of each other's state; beside them only their tests
 * include this. server.c has the connection and its dispatch, server-info.c what the device is,
 * server-access.c regions and DMA ranges, server-irq.c interrupts, server-dma.c requests to the
 * client.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_SERVER_INTERNAL_H
#define ADIT_PASSTHROUGH_VFIO_USER_SERVER_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "passthrough/vfio-user/server.h"
#include "passthrough/vfio-user/version.h"

/* A request to the client that waits for its answer; on the stack of who waits. */
struct vfu_waiter {
	uint16_t id, command;
	uint64_t address;
	void *data; /* where a read's bytes go */
	uint32_t count;
	int result; /* 1: not yet; 0 or -errno */
	TAILQ_ENTRY(vfu_waiter) link;
};
TAILQ_HEAD(vfu_waiters, vfu_waiter);

struct vfu_server {
	struct vfu_device device;
	int socket;
	bool negotiated;
	struct vfu_limits peer;
	uint64_t ranges; /* that the device has taken */

	pthread_mutex_t send; /* one message at a time on the socket */

	pthread_mutex_t dma; /* the members below; never held while sending */
	pthread_cond_t answered;
	struct vfu_waiters waiters;
	uint16_t next_id;
	unsigned int refused; /* vfu_dma_refuse calls not yet undone */
	bool gone;

	pthread_mutex_t irq;
	int *eventfd; /* device.vectors of them; -1: none */
};

/*
 * Answers one command. 0: reply's body and descriptors are the answer; -errno: the answer is that
 * error. A handler is called only after the negotiation. Descriptors that it does not take out of
 * the request are closed by the caller; those it puts into the reply stay its own (reply->n_fds is
 * reset, not closed).
 */
typedef int vfu_handler(struct vfu_server *server, struct vfu_message *request,
			struct vfu_message *reply);

vfu_handler vfu_handle_device_info, vfu_handle_region_info, vfu_handle_irq_info;
vfu_handler vfu_handle_region_read, vfu_handle_region_write;
vfu_handler vfu_handle_dma_map, vfu_handle_dma_unmap;
vfu_handler vfu_handle_set_irqs;

/* A reply came in. -EPROTO: nobody waits for it, or it is not what was asked for. */
int vfu_dma_answered(struct vfu_server *server, const struct vfu_message *reply);
/* The connection is over: nobody waits any more. */
void vfu_dma_end(struct vfu_server *server);
/* On the thread that serves, at the end: who waits in a write to an eventfd waits no more. */
void vfu_irqs_wake(struct vfu_server *server);
/* Closes all eventfds. */
void vfu_irqs_clear(struct vfu_server *server);

/*
 * Serves one received message. 1: *reply is to be sent; 0: no answer; -errno: the connection cannot
 * go on. The request's descriptors are closed.
 */
int vfu_dispatch(struct vfu_server *server, struct vfu_message *request, struct vfu_message *reply,
		 struct err *err);

/* Room for a body of zeroes. NULL: no memory. */
void *vfu_reply_body(struct vfu_message *reply, uint32_t size);

#endif
