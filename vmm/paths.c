/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/landlock.h"
#include "vmm/config.h"

#define READ_WRITE (LANDLOCK_READ | LANDLOCK_WRITE)

struct fixed {
	const char *path;
	unsigned int what;
};

/* Of any VM. What is in /sys and /proc is only read; other processes' are not shown by Landlock. */
static const struct fixed always[] = {
	{ "/dev/kvm", READ_WRITE },
	{ "/sys", LANDLOCK_READ },	     /* who a device is */
	{ "/proc", LANDLOCK_READ },	     /* ourselves */
	{ "/etc/localtime", LANDLOCK_READ }, /* the RTC */
	{ "/usr/share/zoneinfo", LANDLOCK_READ },
};

static const struct fixed of_nets[] = { { "/dev/net/tun", READ_WRITE } };
static const struct fixed of_terminals[] = { { "/dev/ptmx", READ_WRITE },
					     { "/dev/pts", READ_WRITE } };
static const struct fixed of_devices[] = { { "/dev/vfio", READ_WRITE },
					   { "/dev/iommu", READ_WRITE },
					   { "/dev/ioasid", READ_WRITE } };

struct builder {
	int (*fn)(void *arg, const char *path, unsigned int what, struct err *err);
	void *arg;
	struct err *err;
	int ret; /* of the first that failed */
};

static void allow(struct builder *b, const char *path, unsigned int what)
{
	if (path && !b->ret)
		b->ret = b->fn(b->arg, path, what, b->err);
}

static void allow_fixed(struct builder *b, const struct fixed *fixed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		allow(b, fixed[i].path, fixed[i].what);
}

static void allow_folder_of(struct builder *b, const char *path, unsigned int what)
{
	char folder[PATH_MAX], *slash;

	if (!path)
		return;
	if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
		return; /* nobody can open it either */
	slash = strrchr(folder, '/');
	if (!slash)
		snprintf(folder, sizeof(folder), ".");
	else if (slash == folder)
		folder[1] = 0;
	else
		*slash = 0;
	allow(b, folder, what);
}

/* A file to write to is made now, if it is not there: so nothing else can be made beside it. */
static void allow_log(struct builder *b, const char *path)
{
	int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	allow(b, path, LANDLOCK_WRITE);
}

static void allow_sink(struct builder *b, enum config_serial mode, const char *path)
{
	switch (mode) {
	case SERIAL_FILE:
		allow_log(b, path);
		break;
	case SERIAL_PTY:
		allow_fixed(b, of_terminals, ARRAY_SIZE(of_terminals));
		allow_folder_of(b, path, LANDLOCK_LINK);
		break;
	case SERIAL_SOCKET:
		allow_folder_of(b, path, LANDLOCK_SOCKET);
		break;
	case SERIAL_TTY:
	case SERIAL_NULL:
		break;
	}
}

static void allow_virtio(struct builder *b, const struct config *config)
{
	for (size_t i = 0; i < config->n_disks; i++)
		allow(b, config->disks[i].path,
		      config->disks[i].readonly ? LANDLOCK_READ : READ_WRITE);
	if (config->n_net)
		allow_fixed(b, of_nets, ARRAY_SIZE(of_nets));
	for (size_t i = 0; i < config->n_net; i++) {
		if (config->net[i].vhost)
			allow(b, "/dev/vhost-net", READ_WRITE);
	}
	if (config->rng.present)
		allow(b, config->rng.src, LANDLOCK_READ);
	if (config->vsock.present)
		allow_folder_of(b, config->vsock.socket, LANDLOCK_SOCKET);
	if (!config->console.present)
		return;
	allow_sink(b, config->console.sink.mode, config->console.sink.path);
	for (size_t i = 0; i < config->console.n_ports; i++)
		allow_sink(b, config->console.ports[i].sink.mode,
			   config->console.ports[i].sink.path);
}

static void allow_assigned(struct builder *b, const struct config *config)
{
	/* Connecting to one takes no right of Landlock's. */
	for (size_t i = 0; i < config->n_user_devices; i++)
		allow_folder_of(b, config->user_devices[i].socket, 0);
	for (size_t i = 0; i < config->n_adis; i++)
		allow(b, config->adis[i].node, READ_WRITE);
	if (config->n_devices)
		allow_fixed(b, of_devices, ARRAY_SIZE(of_devices));
	allow(b, config->iommu.node, READ_WRITE);
}

int paths_each(const struct config *config, const char *api_socket, const struct paths_rule *rules,
	       size_t n, int (*fn)(void *arg, const char *path, unsigned int what, struct err *err),
	       void *arg, struct err *err)
{
	struct builder b = { .fn = fn, .arg = arg, .err = err };

	allow_fixed(&b, always, ARRAY_SIZE(always));
	allow(&b, config->payload.kernel, LANDLOCK_READ);
	allow(&b, config->payload.initramfs, LANDLOCK_READ);
	allow_sink(&b, config->serial.mode, config->serial.path);
	allow_virtio(&b, config);
	allow_assigned(&b, config);
	allow_folder_of(&b, api_socket, LANDLOCK_SOCKET);
	for (size_t i = 0; i < n; i++)
		allow(&b, rules[i].path,
		      LANDLOCK_READ |
			      (rules[i].write ? LANDLOCK_WRITE | LANDLOCK_SOCKET | LANDLOCK_MAKE
					      : 0));
	return b.ret;
}

static void socket_of(const struct config_sink *sink, void (*fn)(void *arg, const char *path),
		      void *arg)
{
	if (sink->mode == SERIAL_SOCKET)
		fn(arg, sink->path);
}

void paths_sockets(const struct config *config, const char *api_socket,
		   void (*fn)(void *arg, const char *path), void *arg)
{
	const struct config_console *console = &config->console;

	if (api_socket)
		fn(arg, api_socket);
	if (config->serial.mode == SERIAL_SOCKET)
		fn(arg, config->serial.path);
	if (config->vsock.present)
		fn(arg, config->vsock.socket);
	if (!console->present)
		return;
	socket_of(&console->sink, fn, arg);
	for (size_t i = 0; i < console->n_ports; i++)
		socket_of(&console->ports[i].sink, fn, arg);
}

static int allow_in(void *arg, const char *path, unsigned int what, struct err *err)
{
	return landlock_allow(arg, path, what, err);
}

int paths_confine(const struct config *config, const char *api_socket,
		  const struct paths_rule *rules, size_t n, struct err *err)
{
	struct landlock landlock;
	int ret = landlock_begin(&landlock, err);

	if (ret)
		return ret;
	ret = paths_each(config, api_socket, rules, n, allow_in, &landlock, err);
	if (!ret)
		return landlock_enter(&landlock, err);
	landlock_drop(&landlock);
	return ret;
}

int paths_rule_parse(struct paths_rule *out, const char *text, struct err *err)
{
	static const char prefix[] = "path=", access[] = ",access=";
	const char *at = strstr(text, access);
	const char *word = at ? at + sizeof(access) - 1 : "";
	size_t skip = sizeof(prefix) - 1;

	if (strncmp(text, prefix, skip) != 0 || !at || at == text + skip ||
	    (strcmp(word, "r") != 0 && strcmp(word, "rw") != 0))
		return err_set(err, EINVAL, "%s: write it as path=/srv/vm,access=rw (r or rw)",
			       text);
	out->write = !strcmp(word, "rw");
	out->path = strndup(text + skip, (size_t)(at - text) - skip);
	return out->path ? 0 : err_set(err, ENOMEM, "out of memory");
}
