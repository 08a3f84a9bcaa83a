/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper as a process: starts its child, hands signals on, answers, and when the child has
 * ended sees to it that nothing of it is left: neither processes nor changes to the host.
 *
 * What may wait for the kernel runs in a worker process, so that a child that keeps a device open
 * while it gives it back cannot stop the keeper from passing a signal on. State and reply are
 * shared with the worker; the keeper looks at them only when there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "util/bits.h"

#define FAILED	     1
#define MESSAGE_ROOM 64 /* more than a request, so that a longer one is seen to be longer */

struct shared {
	struct keeper_state state;
	struct keeper_reply reply;
	int fd; /* of the reply; always -1 from a worker */
};

struct run {
	const struct keeper_plan *plan;
	const struct log *log;
	struct log_limit limit;
	struct shared *shared;
	struct journal journal;
	struct keeper_socket sockets[KEEPER_MAX_SOCKETS];
	unsigned int n_sockets;
	pid_t child, worker; /* worker 0: none */
	int child_fd, worker_fd, sock, signals;
	sigset_t before; /* the signal mask that the child gets */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* --- the child ------------------------------------------------------------------------------- */

static void become_child(struct run *run, pid_t keeper, int sock, char **argv)
{
	/* The VM does not outlive its keeper: who ends the one means both. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(FAILED);
	sigprocmask(SIG_SETMASK, &run->before, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (fcntl(sock, F_SETFD, 0) == 0)
		execvp(argv[0], argv);
	log_line(run->log, LOG_ERROR, "keeper", "%s: cannot be run: %s", argv[0], strerror(errno));
	_exit(FAILED);
}

/* argv with --keeper-fd=N at its end; one block, to be freed. */
static char **extend(char *const *argv, int sock)
{
	size_t n = 0;
	char **out, *option;

	while (argv[n])
		n++;
	out = calloc(1, (n + 2) * sizeof(*out) + 32);
	if (!out)
		return NULL;
	option = (char *)(out + n + 2);
	memcpy(out, argv, n * sizeof(*out));
	snprintf(option, 32, "--keeper-fd=%d", sock);
	out[n] = option;
	return out;
}

static int spawn(struct run *run, char *const *argv)
{
	int socks[2], ret = 0;
	pid_t keeper = getpid();
	char **command;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	command = extend(argv, socks[1]);
	run->child = command ? fork() : -1;
	if (run->child == 0)
		become_child(run, keeper, socks[1], command);
	if (run->child < 0)
		ret = command ? -errno : -ENOMEM;
	free(command);
	close(socks[1]);
	run->sock = socks[0];
	if (!ret) {
		run->child_fd = pidfd_of(run->child);
		ret = run->child_fd < 0 ? -errno : 0;
	}
	return ret;
}

/*
 * Descriptors that were inherited for the child are not the keeper's: held here, they would keep a
 * device busy. Its own few stay.
 */
static void drop_inherited(const struct run *run)
{
	int keep[4 + KEEPER_MAX_SOCKETS] = { run->journal.fd, run->child_fd, run->sock,
					     run->signals };
	unsigned int next = STDERR_FILENO + 1, n = 4;

	for (unsigned int i = 0; i < run->n_sockets; i++)
		keep[n++] = run->sockets[i].folder;
	for (;;) {
		unsigned int lowest = ~0u;

		for (unsigned int i = 0; i < n; i++) {
			if (keep[i] >= (int)next && (unsigned int)keep[i] < lowest)
				lowest = (unsigned int)keep[i];
		}
		if (lowest > next)
			syscall(SYS_close_range, next, lowest - 1 + (lowest == ~0u), 0);
		if (lowest == ~0u)
			return;
		next = lowest + 1;
	}
}

/* --- signals --------------------------------------------------------------------------------- */

static int open_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &run->before);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signals < 0 ? -errno : 0;
}

/* Processes that the child left to us; the child and the worker are seen by their descriptors. */
static void reap_orphans(const struct run *run)
{
	siginfo_t info = { 0 };

	while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid &&
	       info.si_pid != run->child && info.si_pid != run->worker) {
		waitpid(info.si_pid, NULL, 0);
		info.si_pid = 0;
	}
}

static void on_signal(const struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap_orphans(run);
		/* A terminal tells the whole group, so the child has it already. */
		else if (info.ssi_code != SI_KERNEL)
			syscall(SYS_pidfd_send_signal, run->child_fd, info.ssi_signo, NULL, 0);
	}
}

/* --- requests -------------------------------------------------------------------------------- */

static void send_reply(struct run *run)
{
	struct shared *shared = run->shared;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = &shared->reply, .iov_len = sizeof(shared->reply) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (shared->fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &shared->fd, sizeof(int));
	}
	/* A child that asks and does not listen is not waited for. */
	if (sendmsg(run->sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		close_fd(&run->sock);
	close_fd(&shared->fd);
	if (shared->reply.code)
		log_limited(run->log, &run->limit, LOG_DEBUG, "keeper", "%.*s", KEEPER_TEXT,
			    shared->reply.text);
}

static void start_worker(struct run *run, const void *message, size_t size)
{
	struct shared *shared = run->shared;

	/* What the child hears if the worker does not live to say otherwise. */
	shared->fd = -1;
	shared->reply = (struct keeper_reply){ .code = -EIO, .text = "the keeper's worker died" };
	run->worker = fork();
	if (run->worker == 0) {
		keeper_answer(run->plan, &shared->state, message, size, &shared->reply,
			      &shared->fd);
		_exit(0);
	}
	run->worker_fd = run->worker > 0 ? pidfd_of(run->worker) : -1;
	if (run->worker < 0)
		run->worker = 0;
	if (run->worker_fd >= 0)
		return;
	if (run->worker)
		waitpid(run->worker, NULL, 0);
	run->worker = 0;
	send_reply(run);
}

static void end_worker(struct run *run)
{
	waitpid(run->worker, NULL, 0);
	run->worker = 0;
	close_fd(&run->worker_fd);
}

static void on_request(struct run *run)
{
	char message[MESSAGE_ROOM];
	/* Without room for them, descriptors that the child sends are dropped by the kernel. */
	ssize_t n = recv(run->sock, message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&run->sock);
		return;
	}
	n = MIN(n, MESSAGE_ROOM);
	if (keeper_may_wait(message, (size_t)n)) {
		start_worker(run, message, (size_t)n);
		return;
	}
	keeper_answer(run->plan, &run->shared->state, message, (size_t)n, &run->shared->reply,
		      &run->shared->fd);
	send_reply(run);
}

/* Until the child has ended. While a worker is at it, further requests wait in the socket. */
static void serve(struct run *run)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->child_fd, .events = POLLIN },
			{ .fd = run->signals, .events = POLLIN },
			{ .fd = run->worker ? run->worker_fd : -1, .events = POLLIN },
			{ .fd = run->worker ? -1 : run->sock, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			on_signal(run);
		if (fds[0].revents)
			return;
		if (fds[2].revents) {
			end_worker(run);
			if (run->sock >= 0)
				send_reply(run);
		} else if (fds[3].revents) {
			on_request(run);
		}
	}
}

/* --- the end --------------------------------------------------------------------------------- */

static int status_of(const struct run *run)
{
	int status = 0;

	if (waitpid(run->child, &status, 0) != run->child)
		return FAILED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_line(run->log, LOG_ERROR, "keeper", "the VM was killed by signal %d (%s)",
		 WTERMSIG(status), strsignal(WTERMSIG(status)));
	return FAILED;
}

/* Kills what our own children are, one generation a round: theirs become ours (subreaper). */
static void kill_orphans(void)
{
	const struct host host = { .root = "" };

	for (;;) {
		char text[4096], *rest = text, *word;
		unsigned int killed = 0;

		sysfs_read(&host, text, sizeof(text), "/proc/self/task/%d/children", (int)getpid());
		while ((word = strsep(&rest, " "))) {
			pid_t pid = (pid_t)strtol(word, NULL, 10);

			if (pid > 0 && !kill(pid, SIGKILL)) {
				waitpid(pid, NULL, 0);
				killed++;
			}
		}
		if (!killed)
			return;
	}
}

/* Those that it removed itself are not there; what another listens on by now is not touched. */
static void clear_sockets(struct run *run)
{
	for (unsigned int i = 0; i < run->n_sockets; i++) {
		if (keeper_socket_clear(&run->sockets[i]))
			log_line(run->log, LOG_INFO, "keeper",
				 "%s: was left behind, and is removed", run->sockets[i].path);
		close_fd(&run->sockets[i].folder);
	}
	run->n_sockets = 0;
}

static void clean_up(struct run *run)
{
	unsigned int failed;

	close_fd(&run->sock);
	/* The child's end closed its devices, so a worker that waits for them comes to its end. */
	if (run->worker)
		end_worker(run);
	kill_orphans();
	clear_sockets(run);
	failed = keeper_undo(run->plan, &run->shared->state, run->log);
	if (failed) {
		log_line(run->log, LOG_ERROR, "keeper",
			 "%u devices could not be given back; 'adit doctor --clean' tries again",
			 failed);
		journal_leave(&run->journal);
	} else {
		journal_close(&run->journal);
	}
}

/* Where a folder is not there, or not ours to see, the VM says what is wrong with the path. */
static int find_sockets(struct run *run, struct err *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < run->plan->n_sockets && !ret; i++) {
		struct keeper_socket *found = &run->sockets[run->n_sockets];

		if (keeper_socket_find(found, run->plan->sockets[i]))
			continue;
		run->n_sockets++;
		ret = journal_socket(&run->journal, found, err);
	}
	return ret;
}

static int prepare(struct run *run, struct err *err)
{
	unsigned int done, failed;
	int ret = journal_clean(&run->plan->host, run->plan->run_dir, stderr, &done, &failed, err);

	if (ret)
		return ret;
	ret = journal_open(&run->journal, run->plan->run_dir, err);
	if (ret)
		return ret;
	ret = find_sockets(run, err);
	if (ret)
		return ret;
	run->shared = mmap(NULL, sizeof(*run->shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->shared == MAP_FAILED) {
		run->shared = NULL;
		return err_set(err, ENOMEM, "no memory for the keeper");
	}
	run->shared->fd = -1;
	run->shared->state.journal = &run->journal;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* A log that nobody reads any more must not end who has things to give back. */
	signal(SIGPIPE, SIG_IGN);
	ret = open_signals(run);
	return ret ? err_set(err, -ret, "no signalfd for the keeper") : 0;
}

int keeper_run(const struct keeper_plan *plan, char *const *argv, const struct log *log)
{
	struct run run = {
		.plan = plan,
		.log = log,
		.journal = { .fd = -1 },
		.child_fd = -1,
		.worker_fd = -1,
		.sock = -1,
		.signals = -1,
	};
	struct err err = { 0 };
	int status = FAILED, ret = prepare(&run, &err);

	if (!ret) {
		ret = spawn(&run, argv);
		if (ret)
			err_set(&err, -ret, "%s: cannot be started: %s", argv[0], strerror(-ret));
	}
	if (!ret) {
		ret = journal_child(&run.journal, run.child, &err);
		drop_inherited(&run);
	}
	if (!ret)
		serve(&run);
	else
		log_line(log, LOG_ERROR, "keeper", "%s", err.text);
	if (ret && run.child > 0)
		kill(run.child, SIGKILL);
	if (run.child > 0)
		status = status_of(&run);
	if (run.shared)
		clean_up(&run);
	close_fd(&run.child_fd);
	close_fd(&run.signals);
	if (run.shared)
		munmap(run.shared, sizeof(*run.shared));
	return status;
}
