/* SPDX-License-Identifier: Apache-2.0 */
/* One request of HTTP to adit's API, without waiting. */
#include "libvirt-driver/api.h"

#include <errno.h>
#include <http_parser.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/unix-socket.h"

#define BODY_MAX (64u << 10) /* of an answer, or of one line: the rest is dropped */

struct api {
	int fd;
	struct loop_watch *watch;
	struct api_handler handler;
	http_parser parser;
	bool whole;
	size_t len;
	char body[BODY_MAX + 1];
};

static int on_body(http_parser *parser, const char *bytes, size_t n)
{
	struct api *api = parser->data;

	for (size_t i = 0; i < n; i++) {
		if (api->handler.line && bytes[i] == '\n') {
			api->body[api->len] = 0;
			api->len = 0;
			api->handler.line(api->handler.arg, api->body);
		} else if (api->len < BODY_MAX) {
			api->body[api->len++] = bytes[i];
		}
	}
	return 0;
}

static int on_whole(http_parser *parser)
{
	struct api *api = parser->data;

	api->whole = true;
	return 0;
}

static void end(struct api *api)
{
	loop_unwatch(api->watch);
	api->watch = NULL;
	api->body[api->len] = 0;
	/* It may close us: nothing after it. */
	api->handler.done(api->handler.arg, api->whole ? api->parser.status_code : 0, api->body);
}

/* False: nothing more is there now, or it is over (and may be closed). */
static bool take(struct api *api)
{
	static const http_parser_settings settings = {
		.on_body = on_body,
		.on_message_complete = on_whole,
	};
	char bytes[4096];
	ssize_t n = recv(api->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* Length 0 tells the parser that there is no more. */
	if (http_parser_execute(&api->parser, &settings, bytes, (size_t)MAX(n, 0)) !=
		    (size_t)MAX(n, 0) ||
	    n <= 0 || api->whole) {
		end(api);
		return false;
	}
	return true;
}

static void on_readable(void *arg, uint32_t ready)
{
	take(arg);
}

void api_drain(struct api *api)
{
	while (api && api->watch && take(api))
		;
}

static int send_all(int fd, const char *text, size_t len, const int *fds, size_t n_fds)
{
	char control[CMSG_SPACE(API_MAX_FDS * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)text, len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *head = (void *)control;

	if (n_fds > API_MAX_FDS)
		return -E2BIG;
	if (n_fds) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		*head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(head), fds, n_fds * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EPIPE;
}

/* A fresh socket has room for one request, which is a device at most. */
static int send_request(int fd, const struct api_request *request)
{
	const char *body = request->body ? request->body : "";
	char *text;
	int n = asprintf(&text,
			 "%s /api/v1/%s HTTP/1.1\r\nHost: adit\r\nConnection: close\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 request->method, request->verb, strlen(body), body);
	int ret;

	if (n < 0)
		return -ENOMEM;
	ret = send_all(fd, text, (size_t)n, request->fds, request->n_fds);
	free(text);
	return ret;
}

static int check_owner(int fd, uid_t uid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	return peer.uid == uid ? 0 : -EPERM;
}

int api_ask(struct api **out, struct loop *loop, const char *socket,
	    const struct api_request *request, const struct api_handler *handler)
{
	struct api *api = calloc(1, sizeof(*api));
	int ret;

	*out = NULL;
	if (!api)
		return -ENOMEM;
	api->handler = *handler;
	http_parser_init(&api->parser, HTTP_RESPONSE);
	api->parser.data = api;
	api->fd = unix_socket_connect(socket, SOCK_NONBLOCK);
	ret = api->fd;
	if (ret < 0)
		goto fail;
	ret = check_owner(api->fd, request->uid);
	if (ret)
		goto fail;
	ret = send_request(api->fd, request);
	if (ret)
		goto fail;
	ret = loop_watch(loop, api->fd, POLLIN, on_readable, api, &api->watch, NULL);
	if (ret)
		goto fail;
	*out = api;
	return 0;
fail:
	api_close(api);
	return ret;
}

pid_t api_peer(const struct api *api)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(api->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ? -1 : peer.pid;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	loop_unwatch(api->watch);
	if (api->fd >= 0)
		close(api->fd);
	free(api);
}
