/* SPDX-License-Identifier: Apache-2.0 */
/* One child a change; what it says comes by a pipe, whose end is its own. */
#include "libvirt-driver/node-change.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvirt-driver/node-watch.h"

#define AT_ONCE 16u

struct node_change {
	struct daemon *daemon;
	struct node_change *next;
	struct node_task task;
	struct ticket ticket;
	struct node_then then; /* fn NULL: nobody */
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

/* One that cannot be made keeps no other from it; the last that could not is told of. */
static int autostart(const struct host *host, struct err *err)
{
	struct node_defined_list list;
	struct host_mdev there;
	int ret = node_defined_read(&list, host);

	for (size_t i = 0; i < list.n; i++) {
		const struct node_defined *defined = &list.item[i];

		/* mdevctl's rule of udev may have made it. */
		if (defined->autostart && host_mdev_read(host, defined->mdev.uuid, &there) &&
		    node_defined_make(defined, host, err))
			ret = -EIO;
	}
	node_defined_free(&list);
	return ret;
}

/* The last first; one that cannot be given back keeps no other from it. */
static int give_all_back(const struct host *host, const struct node_task *task, struct err *err)
{
	int ret = 0;

	for (size_t i = task->n_functions; i--;) {
		if (change_function_return(host, &task->functions[i], err))
			ret = -EIO;
	}
	return ret;
}

static int carry_out(const struct host *host, const struct node_task *task, struct err *err)
{
	switch (task->verb) {
	case NODE_DETACH:
		return take(host, task->bdf, err);
	case NODE_REATTACH:
		return give_back(host, task->bdf, err);
	case NODE_RESET:
		return reset(host, task->bdf, err);
	case NODE_CREATE:
		return node_defined_make(&task->mdev, host, err);
	case NODE_REMOVE:
		return change_mdev_remove(host, &task->mdev.mdev, err);
	case NODE_TAKE:
		return change_function_take(host, task->functions, err);
	case NODE_RETURN:
		return give_all_back(host, task, err);
	case NODE_AUTOSTART:
		return autostart(host, err);
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
	if (change->fd >= 0)
		close(change->fd);
	json_object_put(change->task.mdev.attributes);
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
	struct daemon *daemon = change->daemon;
	struct node_then then = change->then;
	struct xdr_out body = { .max = WIRE_MAX_STRING };
	struct refusal refusal = { 0 };
	char text[sizeof(refusal.err.text)];
	ssize_t n = read(change->fd, text, sizeof(text) - 1);
	bool failed = false;
	struct node_task task;
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
		failed = true;
		if (!then.fn && !change->ticket.session)
			log_line(daemon->log, LOG_ERROR, "node", "%s", refusal.err.text);
		ticket_answer(change->daemon, &change->ticket, NULL, &refusal);
	}
	free(body.bytes);
	task = change->task;
	task.mdev.attributes = NULL;
	forget(change);
	node_watch_look(daemon);
	if (then.fn)
		then.fn(then.arg, daemon, &task, failed ? &refusal : NULL);
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

/* NULL, with what is wrong in the refusal. */
static struct node_change *begin(struct daemon *daemon, const struct node_task *task,
				 struct refusal *refusal)
{
	struct node_change *change;
	unsigned int n = 0;
	int ret;

	for (change = daemon->changes; change; change = change->next) {
		n++;
		if (*task->bdf && !strcmp(change->task.bdf, task->bdf)) {
			refuse(refusal, FAULT_RESOURCE_BUSY, "%s is being changed already",
			       task->bdf);
			return NULL;
		}
	}
	if (n >= AT_ONCE) {
		refuse(refusal, FAULT_OPERATION_FAILED,
		       "%u changes to devices are under way already", AT_ONCE);
		return NULL;
	}
	change = calloc(1, sizeof(*change));
	if (!change) {
		refuse(refusal, FAULT_NO_MEMORY, "no memory for a change");
		return NULL;
	}
	change->daemon = daemon;
	change->task = *task;
	json_object_get(change->task.mdev.attributes);
	change->fd = -1;
	change->next = daemon->changes;
	daemon->changes = change;
	ret = spawn(change, daemon->host);
	change->task.functions = NULL;
	if (!ret)
		return change;
	if (change->pid > 0)
		waitpid(change->pid, NULL, 0);
	forget(change);
	refuse(refusal, FAULT_OPERATION_FAILED, "no process for the change: %s", strerror(-ret));
	return NULL;
}

int node_change(struct call *call, const struct node_task *task)
{
	struct node_change *change = begin(call->daemon, task, &call->refusal);

	if (!change)
		return CALL_REFUSED;
	change->ticket = call->ticket;
	return CALL_LATER;
}

static bool is_marked(const struct host *host)
{
	struct node_defined_list list;
	bool is = false;

	node_defined_read(&list, host);
	for (size_t i = 0; i < list.n; i++)
		is |= list.item[i].autostart;
	node_defined_free(&list);
	return is;
}

int node_change_then(struct daemon *daemon, const struct node_task *task,
		     const struct node_then *then, struct refusal *refusal)
{
	struct node_change *change = begin(daemon, task, refusal);

	if (!change)
		return CALL_REFUSED;
	change->then = *then;
	return 0;
}

bool node_autostart(struct daemon *daemon, const struct node_then *then)
{
	const struct node_task task = { .verb = NODE_AUTOSTART };
	struct refusal refusal = { 0 };

	if (!daemon->host || !is_marked(daemon->host))
		return false;
	if (!node_change_then(daemon, &task, then, &refusal))
		return true;
	log_line(daemon->log, LOG_ERROR, "node", "%s", refusal.err.text);
	return false;
}
