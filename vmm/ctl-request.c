/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ctl-request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/unix-socket.h"

static int send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t did = send(fd, bytes, n, MSG_NOSIGNAL);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return -errno;
		bytes += did;
		n -= (size_t)did;
	}
	return 0;
}

/* Descriptors come with the head's first byte. */
static int send_head(const struct ctl_request *request, int fd, char *head)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(request->fds))] = { 0 };
	struct iovec first = { .iov_base = head, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &first,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = CMSG_SPACE(request->n_fds * sizeof(int)) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	if (!request->n_fds)
		return send_all(fd, head, strlen(head));
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(request->n_fds * sizeof(int));
	memcpy(CMSG_DATA(rights), request->fds, request->n_fds * sizeof(int));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) != 1)
		return -errno;
	return send_all(fd, head + 1, strlen(head) - 1);
}

int ctl_send(const struct ctl_request *request)
{
	int fd = unix_socket_connect(request->socket, 0), ret;
	char head[256];

	if (fd < 0)
		return fd;
	snprintf(head, sizeof(head),
		 "%s " API_PREFIX "%s HTTP/1.1\r\nHost: adit\r\nConnection: close\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 request->method, request->verb, request->len);
	ret = send_head(request, fd, head);
	if (!ret && request->len)
		ret = send_all(fd, request->body, request->len);
	/* It may have answered and closed before it had all. */
	if (!ret || ret == -EPIPE)
		return fd;
	close(fd);
	return ret;
}

int ctl_receive(int fd, struct http *http, const char *begun, size_t len)
{
	enum http_state state = HTTP_MORE;
	char bytes[4096];
	size_t taken;

	if (len)
		state = http_feed(http, begun, len, &taken);
	while (state == HTTP_MORE) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			state = http_end(http);
			break;
		}
		state = http_feed(http, bytes, (size_t)n, &taken);
	}
	return state == HTTP_DONE ? 0 : -EPROTO;
}
