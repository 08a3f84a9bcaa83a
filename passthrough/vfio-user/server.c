/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/vfio-user/server-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bits.h"

void *vfu_reply_body(struct vfu_message *reply, uint32_t size)
{
	if (vfu_message_resize(reply, size))
		return NULL;
	return size ? memset(reply->body, 0, size) : reply->body;
}

/* --- dispatch -------------------------------------------------------------------------------- */

static int handle_reset(struct vfu_server *server, struct vfu_message *request,
			struct vfu_message *reply)
{
	const struct vfu_device *device = &server->device;

	return device->ops->reset ? device->ops->reset(device->opaque) : -EOPNOTSUPP;
}

static vfu_handler *const handlers[] = {
	[VFU_DMA_MAP] = vfu_handle_dma_map,
	[VFU_DMA_UNMAP] = vfu_handle_dma_unmap,
	[VFU_DEVICE_GET_INFO] = vfu_handle_device_info,
	[VFU_DEVICE_GET_REGION_INFO] = vfu_handle_region_info,
	[VFU_DEVICE_GET_IRQ_INFO] = vfu_handle_irq_info,
	[VFU_DEVICE_SET_IRQS] = vfu_handle_set_irqs,
	[VFU_REGION_READ] = vfu_handle_region_read,
	[VFU_REGION_WRITE] = vfu_handle_region_write,
	[VFU_DEVICE_RESET] = handle_reset,
};

/* First and once. A peer that we cannot speak to is left, as the specification asks. */
static int negotiate(struct vfu_server *server, const struct vfu_message *request,
		     struct vfu_message *reply, struct err *err)
{
	int ret;

	if (request->header.command != VFU_VERSION || server->negotiated)
		return err_set(err, EPROTO, "command %u came %s the version was negotiated",
			       request->header.command, server->negotiated ? "after" : "before");
	ret = vfu_version_read(request, &server->peer, err);
	if (ret)
		return ret;
	ret = vfu_version_write(reply, MIN(server->peer.minor, (uint16_t)VFU_MINOR),
				server->device.max_maps);
	if (ret)
		return err_set(err, -ret, "no memory for the version reply");
	server->negotiated = true;
	vfu_dma_refuse(server, false);
	return 0;
}

static int answer(struct vfu_server *server, struct vfu_message *request, struct vfu_message *reply)
{
	unsigned int command = request->header.command;
	vfu_handler *handler = command < ARRAY_SIZE(handlers) ? handlers[command] : NULL;

	return handler ? handler(server, request, reply) : -EOPNOTSUPP;
}

static int dispatch(struct vfu_server *server, struct vfu_message *request,
		    struct vfu_message *reply, struct err *err)
{
	const struct vfu_header *header = &request->header;
	uint32_t type = header->flags & VFU_TYPE_MASK;
	int ret;

	if (type == VFU_TYPE_REPLY) {
		ret = vfu_dma_answered(server, request);
		return ret ? err_set(err, -ret, "reply %u to command %u, which was not asked for",
				     header->id, header->command)
			   : 0;
	}
	if (type)
		return err_set(err, EPROTO, "message type %u: there are commands and replies",
			       type);
	reply->size = 0;
	reply->n_fds = 0;
	reply->header = (struct vfu_header){
		.id = header->id,
		.command = header->command,
		.flags = VFU_TYPE_REPLY,
	};
	if (!server->negotiated || header->command == VFU_VERSION) {
		ret = negotiate(server, request, reply, err);
		return ret ? ret : 1;
	}
	ret = answer(server, request, reply);
	if (header->flags & VFU_NO_REPLY)
		return 0;
	if (ret) {
		reply->header.flags |= VFU_ERROR;
		reply->header.error = (uint32_t)-ret;
		reply->size = 0;
		reply->n_fds = 0;
	}
	return 1;
}

int vfu_dispatch(struct vfu_server *server, struct vfu_message *request, struct vfu_message *reply,
		 struct err *err)
{
	int ret = dispatch(server, request, reply, err);

	vfu_message_close_fds(request);
	return ret;
}

/* --- the connection -------------------------------------------------------------------------- */

static int send_reply(struct vfu_server *server, struct vfu_message *reply)
{
	int ret;

	pthread_mutex_lock(&server->send);
	ret = vfu_send(server->socket, reply);
	pthread_mutex_unlock(&server->send);
	reply->n_fds = 0; /* they are the device's */
	return ret;
}

/* 1: go on. */
static int serve_one(struct vfu_server *server, struct vfu_message *request,
		     struct vfu_message *reply, struct err *err)
{
	int ret = vfu_receive(server->socket, request);

	if (ret < 0)
		return err_set(err, -ret, "receiving from the client: %s", strerror(-ret));
	if (!ret)
		return 0;
	ret = vfu_dispatch(server, request, reply, err);
	if (ret < 0)
		return ret;
	if (!ret)
		return 1;
	ret = send_reply(server, reply);
	return ret ? err_set(err, -ret, "answering the client: %s", strerror(-ret)) : 1;
}

int vfu_serve(struct vfu_server *server, struct err *err)
{
	struct vfu_message request = { 0 }, reply = { 0 };
	const struct vfu_device *device = &server->device;
	int ret;

	do
		ret = serve_one(server, &request, &reply, err);
	while (ret > 0);
	/* Also a thread that waits in a send to a client which does not read must come back. */
	vfu_stop(server);
	vfu_dma_end(server);
	vfu_irqs_wake(server);
	if (device->ops->unmap_all)
		device->ops->unmap_all(device->opaque);
	vfu_irqs_clear(server);
	vfu_message_free(&request);
	vfu_message_free(&reply);
	return ret;
}

void vfu_stop(struct vfu_server *server)
{
	shutdown(server->socket, SHUT_RDWR);
}

int vfu_server_create(struct vfu_server **out, int socket, const struct vfu_device *device,
		      struct err *err)
{
	struct vfu_server *server = NULL;
	int *eventfd = NULL;

	if (device->vectors <= VFU_MAX_VECTORS) {
		server = calloc(1, sizeof(*server));
		eventfd = calloc(device->vectors + 1, sizeof(*eventfd));
	}
	if (!server || !eventfd) {
		free(server);
		free(eventfd);
		close(socket);
		return err_set(err, ENOMEM, "no memory for a connection with %u vectors",
			       device->vectors);
	}
	server->eventfd = eventfd;
	server->refused = 1; /* until the version is negotiated */
	server->device = *device;
	server->socket = socket;
	for (unsigned int i = 0; i < device->vectors; i++)
		server->eventfd[i] = -1;
	pthread_mutex_init(&server->send, NULL);
	pthread_mutex_init(&server->dma, NULL);
	pthread_cond_init(&server->answered, NULL);
	pthread_mutex_init(&server->irq, NULL);
	TAILQ_INIT(&server->waiters);
	*out = server;
	return 0;
}

void vfu_server_destroy(struct vfu_server *server)
{
	if (!server)
		return;
	vfu_irqs_clear(server);
	close(server->socket);
	pthread_mutex_destroy(&server->irq);
	pthread_cond_destroy(&server->answered);
	pthread_mutex_destroy(&server->dma);
	pthread_mutex_destroy(&server->send);
	free(server->eventfd);
	free(server);
}
