/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by name and number, and that who became one has nothing left of root. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/user.h"

static char etc[] = "/tmp/adit-user-XXXXXX";

static void write_list(const char *name, const char *text)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", etc, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make_lists(void **state)
{
	assert_non_null(mkdtemp(etc));
	write_list("passwd", "root:x:0:0::/:/bin/sh\n"
			     "adit:x:812:813::/nonexistent:/bin/false\n"
			     "wheel:x:900:0::/nonexistent:/bin/false\n");
	write_list("group", "root:x:0:\nadit:x:813:\nkvm:x:104:other,adit\n"
			    "aditors:x:105:other,adit2\nvfio:x:106:adit\n");
	return 0;
}

static int remove_lists(void **state)
{
	static const char *const names[] = { "passwd", "group" };
	char path[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", etc, names[i]);
		unlink(path);
	}
	return rmdir(etc);
}

static void a_name_has_its_group_and_those_it_is_a_member_of(void **state)
{
	static const char *const names[] = { "adit", "812" };
	struct user user;
	struct err err;

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(user_find(&user, etc, names[i], NULL, &err), 0);
		assert_int_equal(user.uid, 812);
		assert_int_equal(user.gid, 813);
		assert_int_equal(user.n_groups, 2);
		assert_int_equal(user.groups[0], 104);
		assert_int_equal(user.groups[1], 106);
	}
}

static void another_group_can_be_named(void **state)
{
	struct user user;
	struct err err;

	assert_int_equal(user_find(&user, etc, "adit", "kvm", &err), 0);
	assert_int_equal(user.gid, 104);
	assert_int_equal(user_find(&user, etc, "adit", "77", &err), 0);
	assert_int_equal(user.gid, 77);
	assert_int_equal(user_find(&user, etc, "4711", "kvm", &err), 0);
	assert_int_equal(user.uid, 4711);
	assert_int_equal(user.n_groups, 0);
}

static void refused(const char *name, const char *group, const char *why)
{
	struct user user;
	struct err err = { 0 };

	assert_int_equal(user_find(&user, etc, name, group, &err), -EINVAL);
	if (!strstr(err.text, why))
		fail_msg("%s:%s: '%s' does not say '%s'", name, group ? group : "", err.text, why);
}

static void what_is_not_there_is_refused(void **state)
{
	refused("nobody-here", NULL, "is not in");
	refused("", NULL, "is not in");
	refused("-1", NULL, "is not in");
	refused("4294967295", NULL, "is not in");
	refused("99999999999999999999", "5", "is not in");
	refused("12x", NULL, "is not in");
	refused("4711", NULL, "--group");
	refused("adit", "nogroup-here", "is not in");
}

static void root_is_refused(void **state)
{
	refused("root", NULL, "shall not have");
	refused("0", "5", "shall not have");
	refused("adit", "root", "shall not have");
	refused("wheel", NULL, "shall not have");
}

static bool has_no_capabilities(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned int none = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		none += !strcmp(line, "CapEff:\t0000000000000000\n") ||
			!strcmp(line, "CapPrm:\t0000000000000000\n") ||
			!strcmp(line, "CapAmb:\t0000000000000000\n");
	if (file)
		fclose(file);
	return none == 3;
}

/* In a process of its own; its exit status says which step failed. */
static int become(const struct user *user)
{
	struct rlimit limit;
	gid_t groups[8];
	struct err err;

	if (user_become(user, &err))
		return 1;
	if (getuid() != user->uid || geteuid() != user->uid || getgid() != user->gid)
		return 2;
	if (getgroups(8, groups) != 1 || groups[0] != 104)
		return 3;
	if (!has_no_capabilities())
		return 4;
	if (!setuid(0) || !setgid(0))
		return 5;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur != limit.rlim_max)
		return 6;
	/* Once more is nothing more; somebody else is refused. */
	if (user_become(user, &err))
		return 7;
	if (user_become(&(struct user){ .uid = 5, .gid = 5 }, &err) != -EPERM)
		return 8;
	return 0;
}

static void nothing_of_root_is_left(void **state)
{
	const struct user user = { .uid = 4711, .gid = 4712, .groups = { 104 }, .n_groups = 1 };
	int status;
	pid_t pid;

	if (geteuid())
		skip_because("only root can become another user");
	pid = fork();
	if (!pid)
		_exit(become(&user));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_its_group_and_those_it_is_a_member_of),
		cmocka_unit_test(another_group_can_be_named),
		cmocka_unit_test(what_is_not_there_is_refused),
		cmocka_unit_test(root_is_refused),
		cmocka_unit_test(nothing_of_root_is_left),
	};

	return cmocka_run_group_tests(tests, make_lists, remove_lists);
}
