/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another user and group than who started the process: looked up first, become then, for good.
 * Names are those of /etc/passwd and /etc/group: a static program asks no other service.
 */
#ifndef ADIT_VMM_USER_H
#define ADIT_VMM_USER_H

#include <stddef.h>
#include <sys/types.h>

#include "util/err.h"

#define USER_MAX_GROUPS 64u

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_MAX_GROUPS]; /* supplementary: those that have the user as a member */
	size_t n_groups;
};

/*
 * user, group: a name or a number; group may be NULL where the user has one of its own. etc: the
 * folder of passwd and group. -EINVAL with a sentence; root is refused.
 */
int user_find(struct user *out, const char *etc, const char *user, const char *group,
	      struct err *err);

/*
 * On the process's first thread, before there are others. Without any capability, and no way back;
 * memory may be locked without a limit, or to the hard one, for the devices that a guest gets. Who
 * is that user already stays so. -EPERM with a sentence for others than root.
 */
int user_become(const struct user *user, struct err *err);

/* All of them, for good where no program is started. 0 or -errno. */
int user_give_up_capabilities(void);

#endif
