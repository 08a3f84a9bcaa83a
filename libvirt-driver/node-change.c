/* SPDX-License-Identifier: Apache-2.0 */
/* One child a change; what it says comes by a pipe, whose end is its own. */
#include "libvirt-driver/node-change.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 16u

struct node_change {
	struct daemon *daemon;
	struct node_change *next;
	struct node_task task;
	struct ticket ticket;
	pid_t pid;
	int fd;
	struct loop_watch *watch;
};

/* --- in the child ---------------------------------------------------------------------------- */

static int take(const struct host *host, const char *bdf, struct err *err)
{
	struct change_function before;
	bool needed;
	int ret = change_function_plan(host, bdf, NULL, 0, &before, &needed, err);

	if (!ret && needed)
		ret = change_function_take(host, &before, err);
	return ret;
}

/* Whose it was is not known any more: by a driver of no name it goes to whoever wants it. */
static int give_back(const struct host *host, const char *bdf, struct err *err)
{
	struct change_function before = { .driver = "none" };

	memcpy(before.bdf, bdf, sizeof(before.bdf));
	return change_function_return(host, &before, err);
}

static int reset(const struct host *host, const char *bdf, struct err *err)
{
	int ret = sysfs_write(host, "1", "/sys/bus/pci/devices/%s/reset", bdf);

	return ret ? err_set(err, -ret, "%s: cannot be reset: %s", bdf, strerror(-ret)) : 0;
}

static int carry_out(const struct host *host, const struct node_task *task, struct err *err)
{
	int ret;

	switch (task->verb) {
	case NODE_DETACH:
		return take(host, task->bdf, err);
	case NODE_REATTACH:
		return give_back(host, task->bdf, err);
	case NODE_RESET:
		return reset(host, task->bdf, err);
	case NODE_CREATE:
		ret = change_mdev_plan(host, &task->mdev, err);
		return ret ? ret : change_mdev_create(host, &task->mdev, err);
	case NODE_REMOVE:
		return change_mdev_remove(host, &task->mdev, err);
	}
	return err_set(err, EINVAL, "no such task");
}

static void child(const struct host *host, const struct node_task *task, int fd)
{
	struct err err = { 0 };
	sigset_t none;
	int ret;

	/* Of the daemon's descriptors it keeps the pipe, and where its log lines go. */
	dup2(fd, STDERR_FILENO + 1);
	close_range(STDERR_FILENO + 2, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	ret = carry_out(host, task, &err);
	if (ret && write(STDERR_FILENO + 1, err.text, strlen(err.text)) < 0)
		_exit(2);
	_exit(ret ? 1 : 0);
}

/* --- in the daemon --------------------------------------------------------------------------- */

static void forget(struct node_change *change)
{
	struct node_change **at = &change->daemon->changes;

	while (*at != change)
		at = &(*at)->next;
	*at = change->next;
	loop_unwatch(change->watch);
	close(change->fd);
	free(change);
}

void node_changes_forget(struct daemon *daemon)
{
	while (daemon->changes)
		forget(daemon->changes);
}

static void on_end(void *arg, uint32_t ready)
{
	struct node_change *change = arg;
	struct xdr_out body = { .max = WIRE_MAX_STRING };
	struct refusal refusal = { 0 };
	char text[sizeof(refusal.err.text)];
	ssize_t n = read(change->fd, text, sizeof(text) - 1);
	int status = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	waitpid(change->pid, &status, 0);
	text[n > 0 ? n : 0] = 0;
	if (!status && n <= 0) {
		if (change->task.with_text)
			xdr_put_string(&body, change->task.text);
		ticket_answer(change->daemon, &change->ticket, &body, NULL);
	} else {
		refuse(&refusal, FAULT_OPERATION_FAILED, "%s",
		       n > 0 ? text : "it could not be done");
		ticket_answer(change->daemon, &change->ticket, NULL, &refusal);
	}
	free(body.bytes);
	forget(change);
}

static int spawn(struct node_change *change, const struct host *host)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	change->pid = fork();
	if (!change->pid)
		child(host, &change->task, fds[1]);
	close(fds[1]);
	change->fd = fds[0];
	if (change->pid < 0)
		return -errno;
	return loop_watch(change->daemon->loop, fds[0], POLLIN, on_end, change, &change->watch,
			  NULL);
}

int node_change(struct call *call, const struct node_task *task)
{
	struct daemon *daemon = call->daemon;
	struct node_change *change;
	unsigned int n = 0;
	int ret;

	for (change = daemon->changes; change; change = change->next)
		n++;
	if (n >= AT_ONCE)
		return refuse(&call->refusal, FAULT_OPERATION_FAILED,
			      "%u changes to devices are under way already", AT_ONCE);
	change = calloc(1, sizeof(*change));
	if (!change)
		return refuse(&call->refusal, FAULT_NO_MEMORY, "no memory for a change");
	change->daemon = daemon;
	change->task = *task;
	change->ticket = call->ticket;
	change->fd = -1;
	change->next = daemon->changes;
	daemon->changes = change;
	ret = spawn(change, daemon->host);
	if (!ret)
		return CALL_LATER;
	if (change->pid > 0)
		waitpid(change->pid, NULL, 0);
	forget(change);
	return refuse(&call->refusal, FAULT_OPERATION_FAILED, "no process for the change: %s",
		      strerror(-ret));
}
