/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/vfio-user/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/bits.h"

void vfu_message_close_fds(struct vfu_message *message)
{
	for (unsigned int i = 0; i < message->n_fds; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	}
	message->n_fds = 0;
}

void vfu_message_free(struct vfu_message *message)
{
	vfu_message_close_fds(message);
	free(message->body);
	*message = (struct vfu_message){ 0 };
}

int vfu_message_resize(struct vfu_message *message, uint32_t size)
{
	uint8_t *body;

	if (size > message->capacity) {
		body = realloc(message->body, size);
		if (!body)
			return -ENOMEM;
		message->body = body;
		message->capacity = size;
	}
	message->size = size;
	return 0;
}

void *vfu_message_body(const struct vfu_message *message, size_t size)
{
	return message->size >= size ? message->body : NULL;
}

int vfu_message_take_fd(struct vfu_message *message, unsigned int index)
{
	int fd;

	if (index >= message->n_fds)
		return -1;
	fd = message->fds[index];
	message->fds[index] = -1;
	return fd;
}

/* --- receiving ------------------------------------------------------------------------------- */

/* Every descriptor that arrived is kept or closed, whatever else is wrong. */
static int keep_fds(struct vfu_message *message, struct msghdr *msg)
{
	int ret = msg->msg_flags & MSG_CTRUNC ? -EMFILE : 0;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n =
			c->cmsg_len < CMSG_LEN(0) ? 0 : (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (message->n_fds < VFU_MAX_FDS) {
				message->fds[message->n_fds++] = fd;
			} else {
				close(fd);
				ret = -EMFILE;
			}
		}
	}
	return ret;
}

/* 1: all of it. 0: the stream ended before the first byte. */
static int receive_bytes(int socket, void *out, size_t len, struct vfu_message *message)
{
	union {
		char bytes[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	size_t done = 0;

	while (done < len) {
		struct iovec iov = { (char *)out + done, len - done };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.bytes,
				      .msg_controllen = sizeof(control.bytes) };
		ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
		int ret;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		ret = keep_fds(message, &msg);
		if (ret)
			return ret;
		if (!n)
			return done ? -ECONNRESET : 0;
		done += (size_t)n;
	}
	return 1;
}

int vfu_receive(int socket, struct vfu_message *message)
{
	uint32_t size;
	int ret;

	vfu_message_close_fds(message);
	ret = receive_bytes(socket, &message->header, sizeof(message->header), message);
	if (ret <= 0)
		return ret;
	size = message->header.size;
	if (size < sizeof(message->header) || size > VFU_MESSAGE_MAX)
		return -EPROTO;
	ret = vfu_message_resize(message, size - (uint32_t)sizeof(message->header));
	if (ret || !message->size)
		return ret ? ret : 1;
	ret = receive_bytes(socket, message->body, message->size, message);
	return ret ? ret : -ECONNRESET;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Moves the vector past n sent bytes. */
static void advance(struct msghdr *msg, size_t n)
{
	while (msg->msg_iovlen && n >= msg->msg_iov->iov_len) {
		n -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (msg->msg_iovlen) {
		msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
		msg->msg_iov->iov_len -= n;
	}
}

static void attach_fds(struct msghdr *msg, void *control, const int *fds, unsigned int n)
{
	struct cmsghdr *c = control;

	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(n * sizeof(int));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
}

int vfu_send_parts(int socket, struct vfu_header *header, const void *head, size_t head_size,
		   const void *data, size_t data_size, const int *fds, unsigned int n_fds)
{
	struct iovec iov[] = { { header, sizeof(*header) },
			       { (void *)head, head_size },
			       { (void *)data, data_size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	union {
		char bytes[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };

	if (n_fds > VFU_MAX_FDS || head_size + data_size > VFU_MESSAGE_MAX - sizeof(*header))
		return -EMSGSIZE;
	header->size = (uint32_t)(sizeof(*header) + head_size + data_size);
	if (fds && n_fds)
		attach_fds(&msg, &control, fds, n_fds);
	while (msg.msg_iovlen) {
		ssize_t n = sendmsg(socket, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		/* The descriptors went with the first byte. */
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
		advance(&msg, (size_t)n);
	}
	return 0;
}

int vfu_send(int socket, struct vfu_message *message)
{
	return vfu_send_parts(socket, &message->header, message->body, message->size, NULL, 0,
			      message->fds, message->n_fds);
}
