/* SPDX-License-Identifier: Apache-2.0 */
/* What there was, and the kernel's word that it may have changed. */
#include "libvirt-driver/node-watch.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libvirt-driver/node.h"
#include "libvirt-driver/session.h"
#include "util/bits.h"
#include "util/state.h"

/* Kernel events come in bursts; one look is for all of a burst. */
#define BURST_NS      20000000ull
#define KERNEL_GROUP  1 /* NETLINK_KOBJECT_UEVENT: 1 is the kernel's own, 2 is udev's */
#define MESSAGE_BYTES 4096u

struct was {
	char name[NODE_NAME];
	char driver[HOST_TEXT];
	bool active, persistent, autostart;
	uint32_t attributes; /* that are defined: a checksum */
};

struct node_watch {
	struct daemon *daemon;
	struct was *was;
	size_t n;
	int fd;	   /* -1: the kernel tells nothing */
	int files; /* -1: nor who writes definitions */
	struct loop_watch *watch, *files_watch;
	struct loop_timer *timer;
};

static struct was what_is(const struct node *node)
{
	struct was was = {
		.active = node_is_active(node),
		.persistent = node_is_persistent(node),
		.autostart = node->defined && node->defined->autostart,
	};
	const char *attributes = node->defined && node->defined->attributes
					 ? json_object_to_json_string(node->defined->attributes)
					 : "";

	was.attributes = state_checksum(attributes, strlen(attributes));
	memcpy(was.name, node->name, sizeof(was.name));
	if (node->function)
		memcpy(was.driver, node->function->driver, sizeof(was.driver));
	return was;
}

static void watch_files(const struct node_watch *watch);

static int take(struct was **out, size_t *n, const struct host *host)
{
	struct nodes nodes;

	if (nodes_read(&nodes, host))
		return -ENOMEM;
	*out = calloc(nodes.n, sizeof(**out));
	*n = nodes.n;
	for (size_t i = 0; *out && i < nodes.n; i++)
		(*out)[i] = what_is(&nodes.node[i]);
	nodes_free(&nodes);
	return *out ? 0 : -ENOMEM;
}

/* Both lists have nearly the same order: from where the last one was. */
static const struct was *find(const struct was *list, size_t n, const char *name, size_t *at)
{
	for (size_t i = 0; i < n; i++) {
		const struct was *was = &list[(*at + i) % n];

		if (strcmp(was->name, name) != 0)
			continue;
		*at = (*at + i + 1) % n;
		return was;
	}
	return NULL;
}

static void tell_difference(struct daemon *daemon, const struct was *before, const struct was *now)
{
	static const struct was nothing;
	const char *name = now ? now->name : before->name;
	bool both = before && now;

	before = before ? before : &nothing;
	now = now ? now : &nothing;
	if (now->persistent && !before->persistent)
		sessions_tell_node(daemon, name, NODE_DEFINED);
	if (now->active && !before->active)
		sessions_tell_node(daemon, name, NODE_CREATED);
	if (!now->active && before->active)
		sessions_tell_node(daemon, name, NODE_DELETED);
	if (!now->persistent && before->persistent)
		sessions_tell_node(daemon, name, NODE_UNDEFINED);
	if (both && now->active == before->active &&
	    (strcmp(now->driver, before->driver) != 0 || now->autostart != before->autostart ||
	     (now->persistent && before->persistent && now->attributes != before->attributes)))
		sessions_tell_node(daemon, name, NODE_UPDATED);
}

void node_watch_look(struct daemon *daemon)
{
	struct node_watch *watch = daemon->node_watch;
	struct was *now;
	size_t n, at = 0;

	if (!watch)
		return;
	if (!sessions_want_nodes(daemon)) {
		node_watch_end(daemon);
		return;
	}
	watch_files(watch);
	if (take(&now, &n, daemon->host))
		return;
	for (size_t i = 0; i < watch->n; i++) {
		if (!find(now, n, watch->was[i].name, &at))
			tell_difference(daemon, &watch->was[i], NULL);
	}
	at = 0;
	for (size_t i = 0; i < n; i++)
		tell_difference(daemon, find(watch->was, watch->n, now[i].name, &at), &now[i]);
	free(watch->was);
	watch->was = now;
	watch->n = n;
}

/* --- the kernel's word ----------------------------------------------------------------------- */

static void on_burst(void *arg)
{
	struct node_watch *watch = arg;

	loop_timer_cancel(watch->timer);
	watch->timer = NULL;
	node_watch_look(watch->daemon);
}

/* "ACTION@PATH" and then KEY=VALUE, a NUL behind each. */
static bool is_about_us(const char *text, size_t n)
{
	static const char *const ours[] = { "SUBSYSTEM=pci", "SUBSYSTEM=mdev",
					    "SUBSYSTEM=mdev_bus" };

	for (size_t at = 0; at < n; at += strlen(text + at) + 1) {
		for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
			if (!strcmp(text + at, ours[i]))
				return true;
		}
	}
	return false;
}

/* One look is for all that comes within a burst. */
static void look_soon(struct node_watch *watch)
{
	if (!watch->timer)
		loop_timer(watch->daemon->loop, BURST_NS, on_burst, watch, &watch->timer, NULL);
}

static void on_kernel(void *arg, uint32_t ready)
{
	struct node_watch *watch = arg;
	char text[MESSAGE_BYTES + 1];
	struct sockaddr_nl from = { 0 };
	bool look = false;
	ssize_t n;

	for (;;) {
		socklen_t len = sizeof(from);

		n = recvfrom(watch->fd, text, MESSAGE_BYTES, 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			break;
		text[n] = 0;
		/* Others may send, and are no kernel. */
		look |= !from.nl_pid && is_about_us(text, (size_t)n);
	}
	/* What was lost could have been about anything. */
	look |= errno == ENOBUFS;
	if (look)
		look_soon(watch);
}

/* Without it, a client is told of what clients do alone. */
static void listen_to_kernel(struct node_watch *watch)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	struct daemon *daemon = watch->daemon;

	if (*daemon->host->root)
		return;
	watch->fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (watch->fd >= 0 &&
	    !bind(watch->fd, (const struct sockaddr *)&address, sizeof(address)) &&
	    !loop_watch(daemon->loop, watch->fd, POLLIN, on_kernel, watch, &watch->watch, NULL))
		return;
	log_line(daemon->log, LOG_WARN, "node",
		 "the kernel's events cannot be heard: %s; devices that come by themselves are not "
		 "told of",
		 strerror(errno));
}

/* --- definitions ----------------------------------------------------------------------------- */

static void on_files(void *arg, uint32_t ready)
{
	char events[4096] __attribute__((aligned(8)));
	struct node_watch *watch = arg;

	while (read(watch->files, events, sizeof(events)) > 0)
		;
	look_soon(watch);
}

/* Of mdevctl, or of a person; one that is watched already stays so. A parent may be new. */
static void watch_files(const struct node_watch *watch)
{
	const uint32_t events = IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_TO |
				IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW;
	const struct host *host = watch->daemon->host;
	struct sysfs_names parents;
	char path[SYSFS_PATH_MAX];

	if (watch->files < 0)
		return;
	/* Where the folder itself is not there yet, it comes into this one. */
	if (!sysfs_path(host, path, "/etc"))
		inotify_add_watch(watch->files, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
	if (!sysfs_path(host, path, NODE_DEFINED_DIR))
		inotify_add_watch(watch->files, path, events);
	sysfs_list(host, &parents, NODE_DEFINED_DIR);
	for (size_t i = 0; i < parents.n; i++) {
		if (!sysfs_path(host, path, NODE_DEFINED_DIR "/%s", parents.name[i]))
			inotify_add_watch(watch->files, path, events);
	}
	sysfs_names_free(&parents);
}

static void listen_to_files(struct node_watch *watch)
{
	watch->files = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->files >= 0 && !loop_watch(watch->daemon->loop, watch->files, POLLIN, on_files,
					     watch, &watch->files_watch, NULL))
		watch_files(watch);
	else
		log_line(watch->daemon->log, LOG_WARN, "node",
			 NODE_DEFINED_DIR
			 " cannot be watched: what mdevctl changes is told of with "
			 "the next change");
}

int node_watch_begin(struct daemon *daemon, struct refusal *refusal)
{
	struct node_watch *watch;

	if (daemon->node_watch)
		return 0;
	if (!daemon->host)
		return refuse(refusal, FAULT_NO_SUPPORT, "this daemon knows no devices");
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return refuse(refusal, FAULT_NO_MEMORY, "no memory for the host's devices");
	*watch = (struct node_watch){ .daemon = daemon, .fd = -1, .files = -1 };
	daemon->node_watch = watch;
	/* What comes between is heard of, and seen already. */
	listen_to_kernel(watch);
	listen_to_files(watch);
	if (!take(&watch->was, &watch->n, daemon->host))
		return 0;
	node_watch_end(daemon);
	return refuse(refusal, FAULT_NO_MEMORY, "no memory for the host's devices");
}

void node_watch_end(struct daemon *daemon)
{
	struct node_watch *watch = daemon->node_watch;

	if (!watch)
		return;
	daemon->node_watch = NULL;
	loop_unwatch(watch->watch);
	loop_unwatch(watch->files_watch);
	loop_timer_cancel(watch->timer);
	if (watch->fd >= 0)
		close(watch->fd);
	if (watch->files >= 0)
		close(watch->files);
	free(watch->was);
	free(watch);
}
