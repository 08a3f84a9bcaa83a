/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a VM needs, from its configuration: a Landlock domain of them, or a root directory
 * (new-root.h). Sockets and links are made and removed, so their folders are allowed for that, and
 * should hold nothing else.
 */
#ifndef ADIT_VMM_PATHS_H
#define ADIT_VMM_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

#define PATHS_MAX_RULES 16u

struct config;

/* What an operator allows beside: for devices that come later. */
struct paths_rule {
	char *path; /* to be freed */
	bool write;
};

/* "path=/srv/vm,access=rw", as Cloud Hypervisor writes it; r or rw. -EINVAL. */
int paths_rule_parse(struct paths_rule *out, const char *text, struct err *err);

/*
 * Calls fn for each, with what of util/landlock.h is done there (0: connecting to sockets), until
 * it fails. Files that are written to and are not there yet are made.
 */
int paths_each(const struct config *config, const char *api_socket, const struct paths_rule *rules,
	       size_t n, int (*fn)(void *arg, const char *path, unsigned int what, struct err *err),
	       void *arg, struct err *err);

/* Calls fn for each socket that the VM listens on. */
void paths_sockets(const struct config *config, const char *api_socket,
		   void (*fn)(void *arg, const char *path), void *arg);

/*
 * On the process's first thread, before there are others, and for good. api_socket may be NULL.
 * -EOPNOTSUPP where the kernel has no Landlock.
 */
int paths_confine(const struct config *config, const char *api_socket,
		  const struct paths_rule *rules, size_t n, struct err *err);

#endif
