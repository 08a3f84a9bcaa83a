/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/user.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/bits.h"

/* ~0 is "leave as it is" to the kernel. */
static bool parse_number(const char *text, unsigned int *out)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end || errno || value >= UINT_MAX)
		return false;
	*out = (unsigned int)value;
	return true;
}

static FILE *open_list(const char *etc, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", etc, name);
	return fopen(path, "re");
}

/* name: to be found; where it is a number, it may be missing, and *name is what it is called. */
static bool find_passwd(struct user *out, const char *etc, const char *text, char *name,
			size_t size, bool *number)
{
	FILE *file = open_list(etc, "passwd");
	struct passwd *entry;
	bool found = false;
	unsigned int uid = 0;

	*number = parse_number(text, &uid);
	while (file && !found && (entry = fgetpwent(file))) {
		found = *number ? entry->pw_uid == uid : !strcmp(entry->pw_name, text);
		if (!found)
			continue;
		out->uid = entry->pw_uid;
		out->gid = entry->pw_gid;
		snprintf(name, size, "%s", entry->pw_name);
	}
	if (file)
		fclose(file);
	if (*number)
		out->uid = uid;
	return found;
}

static bool is_member(const struct group *entry, const char *name)
{
	for (char **member = entry->gr_mem; *member; member++) {
		if (!strcmp(*member, name))
			return true;
	}
	return false;
}

/* Groups that have the user as a member; more than there is room for are a reason to stop. */
static int find_groups(struct user *out, const char *etc, const char *name, struct err *err)
{
	FILE *file = open_list(etc, "group");
	struct group *entry;
	int ret = 0;

	while (file && !ret && (entry = fgetgrent(file))) {
		if (!is_member(entry, name))
			continue;
		if (out->n_groups == USER_MAX_GROUPS)
			ret = err_set(err, EINVAL, "user %s: is in more than %u groups", name,
				      USER_MAX_GROUPS);
		else
			out->groups[out->n_groups++] = entry->gr_gid;
	}
	if (file)
		fclose(file);
	return ret;
}

static int find_group(struct user *out, const char *etc, const char *text, struct err *err)
{
	FILE *file;
	struct group *entry;
	bool found = parse_number(text, &out->gid);

	if (found)
		return 0;
	file = open_list(etc, "group");
	while (file && !found && (entry = fgetgrent(file))) {
		found = !strcmp(entry->gr_name, text);
		if (found)
			out->gid = entry->gr_gid;
	}
	if (file)
		fclose(file);
	return found ? 0
		     : err_set(err, EINVAL,
			       "group %s: is not in %s/group; name one that is, or give its number",
			       text, etc);
}

int user_find(struct user *out, const char *etc, const char *user, const char *group,
	      struct err *err)
{
	char name[128] = "";
	bool number, found;
	int ret = 0;

	*out = (struct user){ 0 };
	found = find_passwd(out, etc, user, name, sizeof(name), &number);
	if (!found && !number)
		return err_set(err, EINVAL,
			       "user %s: is not in %s/passwd; name one that is, or give its number",
			       user, etc);
	if (!found && !group)
		return err_set(err, EINVAL,
			       "user %s: is not in %s/passwd and so has no group; name one with "
			       "--group",
			       user, etc);
	if (found)
		ret = find_groups(out, etc, name, err);
	if (!ret && group)
		ret = find_group(out, etc, group, err);
	if (ret)
		return ret;
	if (!out->uid || !out->gid)
		return err_set(err, EINVAL,
			       "user %s: has uid %u and gid %u, and 0 is what a VM shall not have; "
			       "name another",
			       user, out->uid, out->gid);
	return 0;
}

int user_give_up_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static bool is_already(const struct user *user)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	getresuid(&r, &e, &s);
	getresgid(&gr, &ge, &gs);
	return r == user->uid && e == r && s == r && gr == user->gid && ge == gr && gs == gr;
}

/*
 * Root may lock what it likes, and devices keep all memory of their guest locked. Without
 * CAP_SYS_RESOURCE as far as the hard limit goes; who meets it is told then.
 */
static void allow_locked_memory(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (!setrlimit(RLIMIT_MEMLOCK, &limit) || getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &limit);
}

int user_become(const struct user *user, struct err *err)
{
	if (is_already(user))
		return 0;
	if (geteuid())
		return err_set(err, EPERM, "uid %u cannot become uid %u and gid %u: only root can",
			       geteuid(), user->uid, user->gid);
	allow_locked_memory();
	if (setgroups(user->n_groups, user->groups) || setresgid(user->gid, user->gid, user->gid) ||
	    setresuid(user->uid, user->uid, user->uid) || user_give_up_capabilities())
		return err_set(err, errno, "becoming uid %u and gid %u: %s", user->uid, user->gid,
			       strerror(errno));
	/* What cannot be, but would make all of it worthless. */
	if (!is_already(user) || !setresuid(0, 0, 0) || !setresgid(0, 0, 0))
		return err_set(err, EPERM, "uid %u can become root again", user->uid);
	return 0;
}
