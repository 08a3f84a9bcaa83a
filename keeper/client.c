/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/protocol.h"

static int send_request(int keeper, const struct keeper_request *request)
{
	ssize_t n;

	do
		n = send(keeper, request, sizeof(*request), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*request) ? 0 : -EPIPE;
}

static int receive_reply(int keeper, struct keeper_reply *reply, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = reply, .iov_len = sizeof(*reply) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *header;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(keeper, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return n == (ssize_t)sizeof(*reply) && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		       ? 0
		       : -EPIPE;
}

/* Asks, and puts a refusal into err. Without a wanted descriptor none is left open. */
static int ask(int keeper, struct keeper_request request, struct keeper_reply *reply, int *wanted,
	       struct err *err)
{
	int fd = -1, ret = send_request(keeper, &request);

	if (!ret)
		ret = receive_reply(keeper, reply, &fd);
	if (ret)
		err_set(err, EPIPE, "the keeper that started this VM is gone");
	if (!ret && reply->code) {
		reply->text[KEEPER_TEXT - 1] = 0;
		ret = err_set(err, reply->code < 0 ? -reply->code : EPROTO, "%s", reply->text);
	}
	reply->name[HOST_NAME_CHARS] = 0;
	if (!ret && wanted && fd < 0)
		ret = err_set(err, EPROTO, "the keeper sent no descriptor");
	if (fd >= 0 && (ret || !wanted))
		close(fd);
	else if (wanted)
		*wanted = fd;
	return ret;
}

static void read_found(const struct keeper_reply *reply, struct host_found *out)
{
	*out = (struct host_found){
		.device = { .kind = (enum host_kind)reply->kind },
		.by_group = reply->by_group,
		.group = reply->group,
	};
	memcpy(out->device.text, reply->name, sizeof(reply->name));
}

int keeper_take(int keeper, unsigned int index, struct host_found *out, struct err *err)
{
	const struct keeper_request request = { .op = KEEPER_TAKE, .index = index };
	struct keeper_reply reply;
	int ret = ask(keeper, request, &reply, NULL, err);

	if (!ret)
		read_found(&reply, out);
	return ret;
}

int keeper_release(int keeper, unsigned int index, struct err *err)
{
	struct keeper_reply reply;

	return ask(keeper, (struct keeper_request){ .op = KEEPER_RELEASE, .index = index }, &reply,
		   NULL, err);
}

int keeper_open(int keeper, unsigned int index, enum host_way way, struct host_found *out,
		struct err *err)
{
	const struct keeper_request request = { .op = KEEPER_OPEN, .index = index, .way = way };
	struct keeper_reply reply;
	int fd = -1, ret = ask(keeper, request, &reply, &fd, err);

	if (ret)
		return ret;
	read_found(&reply, out);
	return fd;
}

int keeper_open_iommu(int keeper, bool container, struct err *err)
{
	const struct keeper_request request = { .op = KEEPER_IOMMU, .way = container };
	struct keeper_reply reply;
	int fd = -1, ret = ask(keeper, request, &reply, &fd, err);

	return ret ? ret : fd;
}
