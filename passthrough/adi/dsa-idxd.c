/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host work queue (/dev/dsa/wqN.M, type user) as the way to the device: one helper process for
 * each host PASID (idxd-helper.h). The PASID that the device sees is the kernel's own, given to the
 * helper's address space; the table's number is ours and names the helper. When the helper is gone,
 * the kernel has drained its descriptors: so killing it is what makes unbind final.
 *
 * Untested on hardware: there was none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passthrough/adi/dsa-hardware.h"
#include "passthrough/adi/idxd-helper.h"
#include "passthrough/adi/idxd-spawner.h"
#include "util/bits.h"

static const char *const steps[] = { "its start", "its greeting", "mapping the window",
				     "opening the queue" };

static int send_hello(const struct idxd_process *idxd, const struct idxd_hello *hello, int memory)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { .iov_base = (void *)hello, .iov_len = sizeof(*hello) };
	const struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &memory, sizeof(memory));
	return sendmsg(idxd->fd, &message, MSG_NOSIGNAL) == sizeof(*hello) ? 0 : -EPIPE;
}

/* All of a guest's memory is one file. */
static int make_hello(const struct dsa *dsa, const struct dsa_piece *pieces, unsigned int n,
		      struct idxd_hello *hello, struct err *err)
{
	*hello = (struct idxd_hello){ .n = n };
	for (unsigned int i = 0; i < n; i++) {
		if (pieces[i].fd < 0 || pieces[i].fd != pieces[0].fd)
			return err_set(err, EINVAL,
				       "%s: guest memory is not one file; a host work queue needs "
				       "it to be shared",
				       dsa->id);
		hello->piece[i].size = pieces[i].size;
		hello->piece[i].fd_offset = pieces[i].fd_offset;
		hello->piece[i].writable = pieces[i].rights & IOASID_WRITE ? 1 : 0;
	}
	return n ? 0 : err_set(err, EINVAL, "%s: the space maps nothing", dsa->id);
}

static int greet(struct dsa *dsa, struct idxd_process *idxd, struct dsa_channel *channel,
		 const struct dsa_piece *pieces, unsigned int n, struct err *err)
{
	struct idxd_ready ready = { 0 };
	struct idxd_hello hello;
	int ret = make_hello(dsa, pieces, n, &hello, err);

	if (ret)
		return ret;
	if (send_hello(idxd, &hello, pieces[0].fd) ||
	    recv(idxd->fd, &ready, sizeof(ready), 0) != sizeof(ready))
		return err_set(err, EPIPE, "%s: the helper for %s ended before it was ready",
			       dsa->id, dsa->host.node);
	if (ready.error)
		return err_set(err, ready.error, "%s: the helper for %s failed at %s: %s%s",
			       dsa->id, dsa->host.node, steps[MIN(ready.step, 3u)],
			       strerror(ready.error),
			       ready.error == EOPNOTSUPP
				       ? " (a user queue needs an IOMMU with SVA on the host)"
				       : "");
	channel->reach.n = n;
	for (unsigned int i = 0; i < n; i++) {
		channel->reach.piece[i].iova = pieces[i].iova;
		channel->reach.piece[i].size = pieces[i].size;
		channel->reach.piece[i].rights = pieces[i].rights;
		channel->reach.piece[i].at = ready.at[i];
	}
	return 0;
}

static int idxd_open(struct dsa *dsa, struct dsa_channel *channel, const struct dsa_piece *pieces,
		     unsigned int n, struct err *err)
{
	struct idxd_process *idxd = calloc(1, sizeof(*idxd));
	int ret;

	if (!idxd)
		return err_set(err, ENOMEM, "no memory for a helper");
	ret = idxd_spawn(dsa->spawner, dsa->host.node, idxd, err);
	if (ret) {
		free(idxd);
		return err_prefix(err, "%s", dsa->id);
	}
	ret = greet(dsa, idxd, channel, pieces, n, err);
	if (ret) {
		idxd_process_end(idxd);
		close(idxd->fd);
		free(idxd);
		return ret;
	}
	channel->priv = idxd;
	return 0;
}

static int idxd_run(struct dsa_channel *channel, const struct dsa_job *live,
		    struct dsa_descriptor *descriptor, struct dsa_record *record)
{
	const struct idxd_process *idxd = channel->priv;
	struct idxd_end end;
	ssize_t n;

	if (send(idxd->fd, descriptor, sizeof(*descriptor), MSG_NOSIGNAL) != sizeof(*descriptor))
		return -EPIPE;
	do
		n = recv(idxd->fd, &end, sizeof(end), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(end))
		return -EPIPE;
	if (end.error)
		return -EIO;
	*record = end.record;
	return 0;
}

static void idxd_stop(struct dsa_channel *channel)
{
	idxd_process_end(channel->priv);
}

static void idxd_close(struct dsa_channel *channel)
{
	struct idxd_process *idxd = channel->priv;

	idxd_process_end(idxd);
	close(idxd->fd);
	free(idxd);
}

const struct dsa_channel_ops dsa_idxd_channel = {
	.open = idxd_open,
	.run = idxd_run,
	.stop = idxd_stop,
	.close = idxd_close,
};
