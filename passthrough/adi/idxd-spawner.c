/* SPDX-License-Identifier: Apache-2.0 */
#include "passthrough/adi/idxd-spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "passthrough/adi/idxd-helper.h"
#include "util/sandbox.h"

#define SOCKET IDXD_HELPER_FD /* the spawner's */

struct request {
	char node[IDXD_NODE_ROOM];
};

/* With the helper's two descriptors, where error is 0. */
struct answer {
	int32_t error;
};

struct idxd_spawner {
	int fd;
	pid_t pid;
	pthread_mutex_t lock; /* one request at a time */
};

extern char **environ;

/* --- a helper -------------------------------------------------------------------------------- */

/* The kernel lets go of what it had before anybody hears of its end. */
static void wait_for(const struct idxd_process *process)
{
	struct pollfd end = { .fd = process->process, .events = POLLIN };

	if (process->pid) {
		while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
			;
		return;
	}
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
}

void idxd_process_end(struct idxd_process *process)
{
	if (process->process < 0)
		return;
	syscall(SYS_pidfd_send_signal, process->process, SIGKILL, NULL, 0);
	wait_for(process);
	close(process->process);
	process->process = -1;
}

/* As a child of this process, which may have threads and a guest's memory: 0 or an errno. */
static int spawn_here(const char *node, struct idxd_process *out)
{
	static char name[] = "adit", word[] = IDXD_HELPER_WORD;
	char path[IDXD_NODE_ROOM];
	char *argv[] = { name, word, path, NULL };
	posix_spawn_file_actions_t actions;
	int pair[2], ret;

	memcpy(path, node, strlen(node) + 1);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair[1], IDXD_HELPER_FD);
	ret = posix_spawn(&out->pid, "/proc/self/exe", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pair[1]);
	out->fd = pair[0];
	if (!ret) {
		out->process = (int)syscall(SYS_pidfd_open, out->pid, 0);
		if (out->process >= 0)
			return 0;
		ret = errno;
		close(out->fd); /* by which it ends */
		wait_for(out);
		return ret;
	}
	close(out->fd);
	return ret;
}

/* --- the spawner ----------------------------------------------------------------------------- */

/* In the child: of what is open, its end of the pair and the log alone. */
static __attribute__((noreturn)) void become_helper(int fd, const char *node,
						    const struct sandbox *sandbox)
{
	prctl(PR_SET_NAME, "adit-queue");
	if (dup3(fd, IDXD_HELPER_FD, O_CLOEXEC) < 0 ||
	    syscall(SYS_close_range, IDXD_HELPER_FD + 1, ~0u, 0))
		_exit(1);
	_exit(idxd_helper_main(IDXD_HELPER_FD, node, sandbox));
}

/* The spawner has one thread and nothing of the guest's, so a fork of it is a helper. */
static int fork_helper(const char *node, const struct sandbox *sandbox, struct idxd_process *out)
{
	int pair[2], ret = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return errno;
	pid = fork();
	if (!pid)
		become_helper(pair[1], node, sandbox);
	if (pid < 0)
		ret = errno;
	close(pair[1]);
	/* It waits to be greeted, or for the other end to close: until then it is this pid's. */
	if (!ret) {
		out->process = (int)syscall(SYS_pidfd_open, pid, 0);
		ret = out->process < 0 ? errno : 0;
	}
	if (ret)
		close(pair[0]);
	else
		out->fd = pair[0];
	return ret;
}

/* /dev/dsa/wqN.M */
static bool is_queue(const char *path)
{
	unsigned int device, queue;
	int end = 0;

	return sscanf(path, "/dev/dsa/wq%u.%u%n", &device, &queue, &end) == 2 && !path[end];
}

static bool is_known(const char *path, const char *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(path, nodes[i]))
			return true;
	}
	return is_queue(path);
}

static int send_answer(const struct answer *answer, const struct idxd_process *process)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(2 * sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { .iov_base = (void *)answer, .iov_len = sizeof(*answer) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (process) {
		const int fds[] = { process->fd, process->process };

		memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(SOCKET, &message, MSG_NOSIGNAL) == sizeof(*answer) ? 0 : -errno;
}

/* Until whoever asks has ended: the helpers that it has end by themselves then. */
static void serve(const char *const *nodes, size_t n, const struct sandbox *sandbox)
{
	struct request request;

	while (recv(SOCKET, &request, sizeof(request), 0) == sizeof(request)) {
		struct idxd_process process = { .fd = -1, .process = -1 };
		struct answer answer = { .error = EACCES };
		bool good = memchr(request.node, 0, sizeof(request.node)) &&
			    is_known(request.node, nodes, n);

		if (good)
			answer.error = fork_helper(request.node, sandbox, &process);
		if (send_answer(&answer, answer.error ? NULL : &process))
			return;
		if (!answer.error) {
			close(process.fd);
			close(process.process);
		}
	}
}

/* What a VM's process has open is not for its helpers: the socket and the log stay. */
static __attribute__((noreturn)) void become_spawner(pid_t parent, int fd, const char *const *nodes,
						     size_t n, const struct sandbox *sandbox)
{
	struct err err;
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_NAME, "adit-queues");
	/* What a terminal sends to all is the VM's affair; helpers that have ended leave nothing.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	if (fd != SOCKET && dup3(fd, SOCKET, O_CLOEXEC) < 0)
		_exit(1);
	if (syscall(SYS_close_range, SOCKET + 1, ~0u, 0))
		_exit(1);
	if (sandbox_start(sandbox, &err)) {
		log_line(sandbox->log, LOG_ERROR, "sandbox", "%s", err.text);
		_exit(1);
	}
	sandbox_enter(sandbox, SANDBOX_STARTER);
	serve(nodes, n, sandbox);
	_exit(0);
}

int idxd_spawner_start(struct idxd_spawner **out, const char *const *nodes, size_t n,
		       const struct sandbox *sandbox, struct err *err)
{
	struct idxd_spawner *spawner = calloc(1, sizeof(*spawner));
	pid_t parent = getpid();
	int pair[2];

	*out = NULL;
	if (!spawner)
		return err_set(err, ENOMEM, "no memory for who starts helpers");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(spawner);
		return err_set(err, errno, "socketpair: %s", strerror(errno));
	}
	spawner->pid = fork();
	if (!spawner->pid)
		become_spawner(parent, pair[1], nodes, n, sandbox);
	close(pair[1]);
	spawner->fd = pair[0];
	if (spawner->pid < 0) {
		int error = errno;

		close(pair[0]);
		free(spawner);
		return err_set(err, error, "no process that starts helpers: %s", strerror(error));
	}
	pthread_mutex_init(&spawner->lock, NULL);
	*out = spawner;
	return 0;
}

void idxd_spawner_end(struct idxd_spawner *spawner)
{
	if (!spawner)
		return;
	close(spawner->fd); /* by which it ends */
	while (waitpid(spawner->pid, NULL, 0) < 0 && errno == EINTR)
		;
	pthread_mutex_destroy(&spawner->lock);
	free(spawner);
}

/* --- who asks -------------------------------------------------------------------------------- */

static int receive_answer(int fd, struct answer *answer, struct idxd_process *out)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = answer, .iov_len = sizeof(*answer) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fds[2];
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(*answer))
		return EPIPE;
	if (answer->error)
		return answer->error;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(fds)))
		return EMFILE; /* there was no room for both here */
	memcpy(fds, CMSG_DATA(header), sizeof(fds));
	*out = (struct idxd_process){ .fd = fds[0], .process = fds[1] };
	return 0;
}

static int ask(struct idxd_spawner *spawner, const char *node, struct idxd_process *out)
{
	struct request request = { 0 };
	struct answer answer = { 0 };
	int ret;

	memcpy(request.node, node, strlen(node));
	pthread_mutex_lock(&spawner->lock);
	if (send(spawner->fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		ret = EPIPE;
	else
		ret = receive_answer(spawner->fd, &answer, out);
	pthread_mutex_unlock(&spawner->lock);
	return ret;
}

static const char *why(const struct idxd_spawner *spawner, int error)
{
	if (!spawner && error == EPERM)
		return " (the sandbox lets no process be started once a guest has run, and who "
		       "would start it is there only for VMs whose configuration has a host work "
		       "queue, or on hosts that have /dev/dsa at their start)";
	if (spawner && error == EACCES)
		return " (only /dev/dsa/wqN.M, and what the configuration named at the start)";
	return "";
}

int idxd_spawn(struct idxd_spawner *spawner, const char *node, struct idxd_process *out,
	       struct err *err)
{
	int ret;

	*out = (struct idxd_process){ .fd = -1, .process = -1 };
	if (!node || strlen(node) >= IDXD_NODE_ROOM)
		return err_set(err, EINVAL,
			       "the host work queue's path is missing or longer than %d",
			       IDXD_NODE_ROOM - 1);
	ret = spawner ? ask(spawner, node, out) : spawn_here(node, out);
	if (!ret)
		return 0;
	return err_set(err, ret, "starting a helper for %s: %s%s", node, strerror(ret),
		       why(spawner, ret));
}
