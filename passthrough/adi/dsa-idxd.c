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
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "passthrough/adi/dsa-hardware.h"
#include "passthrough/adi/idxd-helper.h"
#include "util/bits.h"

struct idxd {
	int fd;	     /* the socket */
	int process; /* a descriptor of the helper, so that nobody else is ever ended */
	pid_t pid;
	bool reaped;
};

extern char **environ;

static const char *const steps[] = { "its start", "its greeting", "mapping the window",
				     "opening the queue" };

static void wait_for(struct idxd *idxd)
{
	while (waitpid(idxd->pid, NULL, 0) < 0 && errno == EINTR)
		;
	idxd->reaped = true;
}

/* This same program, told to be a helper. */
static int start_helper(struct idxd *idxd, struct err *err)
{
	static char name[] = "adit", word[] = IDXD_HELPER_WORD;
	char *argv[] = { name, word, NULL };
	posix_spawn_file_actions_t actions;
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "socketpair: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair[1], IDXD_HELPER_FD);
	ret = posix_spawn(&idxd->pid, "/proc/self/exe", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pair[1]);
	if (ret) {
		close(pair[0]);
		return err_set(err, ret, "starting a helper: %s%s", strerror(ret),
			       ret == EPERM ? " (the sandbox lets no process be started once a "
					      "guest has run: bind at start, and reset by a new "
					      "adit run; or use --sandbox=off)"
					    : "");
	}
	idxd->fd = pair[0];
	idxd->process = (int)syscall(SYS_pidfd_open, idxd->pid, 0);
	if (idxd->process >= 0)
		return 0;
	ret = errno;
	close(idxd->fd); /* by which it ends */
	wait_for(idxd);
	return err_set(err, ret, "a helper cannot be held: pidfd_open: %s", strerror(ret));
}

static int send_hello(const struct idxd *idxd, const struct idxd_hello *hello, int memory)
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
	if (!dsa->host.node || strlen(dsa->host.node) >= sizeof(hello->node))
		return err_set(err, EINVAL,
			       "%s: the host work queue's path is missing or longer than %zu",
			       dsa->id, sizeof(hello->node) - 1);
	memcpy(hello->node, dsa->host.node, strlen(dsa->host.node) + 1);
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

static int greet(struct dsa *dsa, struct idxd *idxd, struct dsa_channel *channel,
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

static void end_helper(struct idxd *idxd)
{
	if (idxd->reaped)
		return;
	syscall(SYS_pidfd_send_signal, idxd->process, SIGKILL, NULL, 0);
	wait_for(idxd);
	close(idxd->process);
}

static int idxd_open(struct dsa *dsa, struct dsa_channel *channel, const struct dsa_piece *pieces,
		     unsigned int n, struct err *err)
{
	struct idxd *idxd = calloc(1, sizeof(*idxd));
	int ret;

	if (!idxd)
		return err_set(err, ENOMEM, "no memory for a helper");
	ret = start_helper(idxd, err);
	if (ret) {
		free(idxd);
		return ret;
	}
	ret = greet(dsa, idxd, channel, pieces, n, err);
	if (ret) {
		end_helper(idxd);
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
	const struct idxd *idxd = channel->priv;
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
	end_helper(channel->priv);
}

static void idxd_close(struct dsa_channel *channel)
{
	struct idxd *idxd = channel->priv;

	end_helper(idxd);
	close(idxd->fd);
	free(idxd);
}

const struct dsa_channel_ops dsa_idxd_channel = {
	.open = idxd_open,
	.run = idxd_run,
	.stop = idxd_stop,
	.close = idxd_close,
};
