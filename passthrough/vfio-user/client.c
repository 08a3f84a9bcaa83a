/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/vfio-user/client-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/sandbox.h"

#define TIMEOUT_MS 10000u
#define MAX_MAPS   65535u

/* --- the end --------------------------------------------------------------------------------- */

/* Everybody who waits is told; whoever was first tells the owner. */
static void lose(struct vfu_client *client)
{
	struct vfu_pending *pending;
	bool first;

	pthread_mutex_lock(&client->lock);
	first = !client->gone && !client->closing;
	client->gone = true;
	while ((pending = TAILQ_FIRST(&client->pendings))) {
		TAILQ_REMOVE(&client->pendings, pending, link);
		pending->result = -EIO;
		pending->done = true;
	}
	pthread_cond_broadcast(&client->answered);
	pthread_mutex_unlock(&client->lock);
	shutdown(client->socket, SHUT_RDWR);
	if (first && client->options.gone)
		client->options.gone(client->options.opaque);
}

/* --- calls ----------------------------------------------------------------------------------- */

static int send_request(struct vfu_client *client, const struct vfu_request *request, uint16_t id,
			uint32_t flags)
{
	struct vfu_header header = { .id = id, .command = request->command, .flags = flags };
	int ret;

	pthread_mutex_lock(&client->send);
	ret = vfu_send_parts(client->socket, &header, request->head, request->head_size,
			     request->data, request->data_size, request->fds, request->n_fds);
	pthread_mutex_unlock(&client->send);
	if (!ret)
		return 0;
	lose(client);
	return -EIO;
}

static struct vfu_pending *find(struct vfu_client *client, uint16_t id)
{
	struct vfu_pending *pending = TAILQ_FIRST(&client->pendings);

	while (pending && pending->id != id)
		pending = TAILQ_NEXT(pending, link);
	return pending;
}

static int enlist(struct vfu_client *client, struct vfu_pending *pending)
{
	int ret = 0;

	pthread_mutex_lock(&client->lock);
	if (client->gone) {
		ret = -EIO;
	} else {
		do
			pending->id = client->next_id++;
		while (find(client, pending->id));
		TAILQ_INSERT_TAIL(&client->pendings, pending, link);
	}
	pthread_mutex_unlock(&client->lock);
	return ret;
}

static void deadline_of(const struct vfu_client *client, struct timespec *at)
{
	unsigned int ms = client->options.timeout_ms ? client->options.timeout_ms : TIMEOUT_MS;

	clock_gettime(CLOCK_MONOTONIC, at);
	at->tv_sec += ms / 1000;
	at->tv_nsec += (long)(ms % 1000) * 1000000;
	if (at->tv_nsec >= 1000000000) {
		at->tv_nsec -= 1000000000;
		at->tv_sec++;
	}
}

/* A server that does not answer in time is no better than one that is gone. */
static int wait_for(struct vfu_client *client, struct vfu_pending *pending)
{
	struct timespec deadline;
	int ret = 0;

	deadline_of(client, &deadline);
	pthread_mutex_lock(&client->lock);
	while (!pending->done && !ret)
		ret = pthread_cond_timedwait(&client->answered, &client->lock, &deadline);
	pthread_mutex_unlock(&client->lock);
	if (ret == ETIMEDOUT) {
		log_line(client->options.log, LOG_ERROR, "vfio-user",
			 "%s: its server does not answer: it is given up", client->name);
		lose(client);
	}
	/* Only now: losing it has taken the call off the list, or its answer has. */
	pthread_mutex_lock(&client->lock);
	ret = pending->result;
	pthread_mutex_unlock(&client->lock);
	return ret;
}

int vfu_client_call(struct vfu_client *client, const struct vfu_request *request,
		    struct vfu_message *reply)
{
	struct vfu_pending pending = { .command = request->command, .reply = reply };
	int ret = enlist(client, &pending);

	if (ret)
		return ret;
	send_request(client, request, pending.id, 0);
	return wait_for(client, &pending);
}

int vfu_client_post(struct vfu_client *client, const struct vfu_request *request)
{
	bool gone;

	pthread_mutex_lock(&client->lock);
	gone = client->gone;
	pthread_mutex_unlock(&client->lock);
	return gone ? -EIO : send_request(client, request, 0, VFU_NO_REPLY);
}

/* --- what comes in --------------------------------------------------------------------------- */

/* -EPROTO: nobody asked. The message's content goes to who did. */
static int take_answer(struct vfu_client *client, struct vfu_message *message)
{
	struct vfu_pending *pending;
	uint32_t error = message->header.error;
	int ret = 0;

	pthread_mutex_lock(&client->lock);
	pending = find(client, message->header.id);
	if (pending && pending->command == message->header.command) {
		TAILQ_REMOVE(&client->pendings, pending, link);
		if (message->header.flags & VFU_ERROR) {
			pending->result = error && error < 4096 ? -(int)error : -EIO;
		} else {
			*pending->reply = *message;
			*message = (struct vfu_message){ 0 };
		}
		pending->done = true;
		pthread_cond_broadcast(&client->answered);
	} else {
		ret = -EPROTO;
	}
	pthread_mutex_unlock(&client->lock);
	return ret;
}

/* Guest memory at [address, address + count); NULL: it is not shared, or not in one piece. */
static char *shared_at(const struct vfu_client *client, uint64_t address, uint64_t count)
{
	for (unsigned int i = 0; i < client->options.n_shared; i++) {
		const struct vfu_shared *range = &client->options.shared[i];

		if (range_inside(address, count, range->iova, range->size))
			return (char *)range->hva + (address - range->iova);
	}
	return NULL;
}

static int handle_dma(struct vfu_client *client, const struct vfu_message *message)
{
	const struct vfu_dma_access *access = vfu_message_body(message, sizeof(*access));
	struct vfu_header header = message->header;
	bool write = header.command == VFU_DMA_WRITE;
	char *at = NULL;
	int ret;

	if (access && access->count && access->count <= VFU_XFER_MAX &&
	    message->size - sizeof(*access) == (write ? access->count : 0))
		at = shared_at(client, access->address, access->count);
	if (at && write)
		memcpy(at, access + 1, access->count);
	if (header.flags & VFU_NO_REPLY)
		return 0;
	header.flags = VFU_TYPE_REPLY | (at ? 0 : VFU_ERROR);
	header.error = at ? 0 : EFAULT;
	pthread_mutex_lock(&client->send);
	ret = vfu_send_parts(client->socket, &header, access, at ? sizeof(*access) : 0, at,
			     at && !write ? access->count : 0, NULL, 0);
	pthread_mutex_unlock(&client->send);
	return ret;
}

static int refuse(struct vfu_client *client, const struct vfu_message *message)
{
	struct vfu_header header = message->header;
	int ret;

	if (header.flags & VFU_NO_REPLY)
		return 0;
	header.flags = VFU_TYPE_REPLY | VFU_ERROR;
	header.error = EOPNOTSUPP;
	pthread_mutex_lock(&client->send);
	ret = vfu_send_parts(client->socket, &header, NULL, 0, NULL, 0, NULL, 0);
	pthread_mutex_unlock(&client->send);
	return ret;
}

static int handle(struct vfu_client *client, struct vfu_message *message)
{
	uint32_t type = message->header.flags & VFU_TYPE_MASK;

	if (type == VFU_TYPE_REPLY)
		return take_answer(client, message);
	if (type)
		return -EPROTO;
	if (message->header.command == VFU_DMA_READ || message->header.command == VFU_DMA_WRITE)
		return handle_dma(client, message);
	return refuse(client, message);
}

static void *receive(void *arg)
{
	struct vfu_client *client = arg;
	struct vfu_message message = { 0 };

	while (vfu_receive(client->socket, &message) > 0) {
		if (handle(client, &message))
			break;
	}
	vfu_message_free(&message);
	lose(client);
	return NULL;
}

/* --- the beginning --------------------------------------------------------------------------- */

static int connect_socket(struct vfu_client *client, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	unsigned int ms = client->options.timeout_ms ? client->options.timeout_ms : TIMEOUT_MS;
	struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (!path) {
		client->socket = client->options.fd;
		(void)setsockopt(client->socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		return 0;
	}
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, EINVAL, "%s: the socket's path has more than %zu characters",
			       client->name, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->socket < 0 ||
	    setsockopt(client->socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    connect(client->socket, (struct sockaddr *)&address, sizeof(address)))
		return err_set(err, errno, "%s: cannot connect to %s: %s", client->name, path,
			       strerror(errno));
	return 0;
}

static int start_receiver(struct vfu_client *client, struct err *err)
{
	const struct sandbox_thread what = {
		.sandbox = client->options.sandbox,
		.role = SANDBOX_RECEIVER,
		.name = "vfio-user",
		.run = receive,
		.arg = client,
	};
	int ret = sandbox_start_thread(&what, &client->receiver);

	client->receiving = !ret;
	return ret ? err_set(err, -ret, "%s: no thread: %s", client->name, strerror(-ret)) : 0;
}

static int negotiate(struct vfu_client *client, struct err *err)
{
	struct vfu_message hello = { 0 }, reply = { 0 };
	int ret = vfu_version_write(&hello, VFU_MINOR, MAX_MAPS);
	const struct vfu_request request = { .command = VFU_VERSION,
					     .head = hello.body,
					     .head_size = hello.size };

	if (!ret)
		ret = vfu_client_call(client, &request, &reply);
	if (ret)
		err_set(err, -ret, "%s: its server does not negotiate: %s", client->name,
			strerror(-ret));
	else
		ret = vfu_version_read(&reply, &client->peer, err);
	vfu_message_free(&hello);
	vfu_message_free(&reply);
	return ret;
}

static int share(struct vfu_client *client, const struct vfu_shared *shared, struct err *err)
{
	const struct vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFU_DMA_READABLE | VFU_DMA_WRITABLE,
		.offset = client->options.messages ? 0 : shared->fd_offset,
		.address = shared->iova,
		.size = shared->size,
	};
	const struct vfu_request request = {
		.command = VFU_DMA_MAP,
		.head = &map,
		.head_size = sizeof(map),
		.fds = &shared->fd,
		.n_fds = client->options.messages ? 0 : 1,
	};
	struct vfu_message reply = { 0 };
	int ret = vfu_client_call(client, &request, &reply);

	vfu_message_free(&reply);
	return ret ? err_set(err, -ret, "%s: its server does not take memory at %#llx: %s",
			     client->name, (unsigned long long)shared->iova, strerror(-ret))
		   : 0;
}

static void init(struct vfu_client *client, const struct vfu_client_options *options)
{
	pthread_condattr_t attr;

	snprintf(client->name, sizeof(client->name), "%s", options->name);
	client->options = *options;
	client->sys = vfu_client_calls;
	client->sys.opaque = client;
	client->socket = -1;
	for (unsigned int i = 0; i < VFU_REGIONS; i++)
		client->regions[i].fd = -1;
	TAILQ_INIT(&client->pendings);
	pthread_mutex_init(&client->send, NULL);
	pthread_mutex_init(&client->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&client->answered, &attr);
	pthread_condattr_destroy(&attr);
}

int vfu_client_create(struct vfu_client **out, const struct vfu_client_options *options,
		      struct err *err)
{
	struct vfu_client *client = calloc(1, sizeof(*client));
	int ret;

	if (!client) {
		if (!options->socket)
			close(options->fd);
		return err_set(err, ENOMEM, "%s: no memory for a client", options->name);
	}
	init(client, options);
	ret = connect_socket(client, options->socket, err);
	if (!ret)
		ret = start_receiver(client, err);
	if (!ret)
		ret = negotiate(client, err);
	for (unsigned int i = 0; i < options->n_shared && !ret; i++)
		ret = share(client, &options->shared[i], err);
	if (ret) {
		vfu_client_destroy(client);
		return ret;
	}
	*out = client;
	return 0;
}

void vfu_client_destroy(struct vfu_client *client)
{
	if (!client)
		return;
	pthread_mutex_lock(&client->lock);
	client->closing = true;
	pthread_mutex_unlock(&client->lock);
	if (client->receiving) {
		shutdown(client->socket, SHUT_RDWR);
		pthread_join(client->receiver, NULL);
	}
	if (client->socket >= 0)
		close(client->socket);
	for (unsigned int i = 0; i < VFU_REGIONS; i++) {
		if (client->regions[i].fd >= 0)
			close(client->regions[i].fd);
	}
	pthread_cond_destroy(&client->answered);
	pthread_mutex_destroy(&client->lock);
	pthread_mutex_destroy(&client->send);
	free(client);
}

const struct vfio_sys *vfu_client_sys(const struct vfu_client *client)
{
	return &client->sys;
}
