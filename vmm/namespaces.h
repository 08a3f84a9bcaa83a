/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces of the VM's own, by choice: of mounts (it then sees the files that its configuration
 * names and no others), processes, networks, IPC and host name. Who is not root has a user
 * namespace with them, in which he is who he was, without capabilities.
 */
#ifndef ADIT_VMM_NAMESPACES_H
#define ADIT_VMM_NAMESPACES_H

#include <stddef.h>

#include "util/err.h"
#include "util/log.h"

struct config;
struct config_net;
struct paths_rule;

enum namespaces {
	NAMESPACE_USER = 1 << 0,
	NAMESPACE_MOUNT = 1 << 1,
	NAMESPACE_PID = 1 << 2,
	NAMESPACE_NET = 1 << 3,
	NAMESPACE_IPC = 1 << 4,
	NAMESPACE_UTS = 1 << 5,
};

#define NAMESPACES_MAX 6u

/* "mount,pid,net,ipc,uts" or some of them; "mnt" is "mount". -EINVAL. */
int namespaces_parse(unsigned int *out, const char *text, struct err *err);
/* Those that are in `which`, by their names; returns how many. */
unsigned int namespaces_names(unsigned int which, const char *names[NAMESPACES_MAX]);

/* What a configuration has that cannot be had in them: -EINVAL, the pointer first. */
int namespaces_check(unsigned int which, const struct config *config, struct err *err);
/* The same of one network that comes later. */
int namespaces_check_net(unsigned int which, const struct config_net *net, struct err *err);

struct namespaces_entered {
	unsigned int which; /* those that there are now, with NAMESPACE_USER where one came */
	int alive;	    /* poll(2) says POLLHUP when the process that waits is gone; -1: none */
};

struct namespaces_options {
	unsigned int which;
	const struct config *config;	/* its files are what is there */
	const char *api_socket;		/* NULL: none */
	const struct paths_rule *rules; /* and these */
	size_t n_rules;
	const struct log *log;
};

/*
 * On the process's only thread, for good. With NAMESPACE_PID it returns in a child, which is all
 * that the new namespace has: the process that called waits for it, hands SIGTERM and SIGINT on,
 * and ends with its status. The child does not outlive it; where it becomes another user it has to
 * say so once more (PR_SET_PDEATHSIG), and look whether it is too late.
 */
int namespaces_enter(const struct namespaces_options *options, struct namespaces_entered *entered,
		     struct err *err);

#endif
