/* SPDX-License-Identifier: Apache-2.0 */
/* What a Landlock domain, and one made from a configuration, lets a process reach. */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/landlock.h"
#include "vmm/config.h"
#include "vmm/paths.h"

static char folder[] = "/tmp/adit-landlock-XXXXXX";

static const char *const files[] = { "in/a", "in/b", "out/a", "out/log" };
static const char *const made[] = { "in/socket", "in/link", "in/new", "out/socket", "out/made" };

static const char *in(const char *name)
{
	static char paths[4][64];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static int make_tree(void **state)
{
	assert_non_null(mkdtemp(folder));
	assert_int_equal(mkdir(in("in"), 0700), 0);
	assert_int_equal(mkdir(in("out"), 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int fd = open(in(files[i]), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, "text", 4), 4);
		close(fd);
	}
	return 0;
}

static int remove_tree(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(in(files[i]));
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		unlink(in(made[i]));
	rmdir(in("in"));
	rmdir(in("out"));
	return rmdir(folder);
}

/* The error that opening it gives; 0: none. */
static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int try_socket(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	ret = bind(fd, (struct sockaddr *)&at, sizeof(at)) ? errno : 0;
	close(fd);
	return ret;
}

static int try_tcp(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ret = connect(fd, (struct sockaddr *)&to, sizeof(to)) ? errno : 0;
	close(fd);
	return ret;
}

/* Inside: each step that is not as it should be ends the process with its line. */
#define STEP(condition)                                           \
	do {                                                      \
		if (!(condition)) {                               \
			fprintf(stderr, "not: %s\n", #condition); \
			_exit(1);                                 \
		}                                                 \
	} while (0)

static void in_a_process(void (*inside)(void))
{
	struct err err;
	int status;
	pid_t pid;

	if (!landlock_abi(&err))
		skip_because("this kernel has no Landlock");
	pid = fork();
	if (!pid) {
		inside();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void *try_in_a_thread(void *arg)
{
	return (void *)(intptr_t)try_open(in("out/a"), O_RDONLY);
}

static void be_in_a_domain(void)
{
	unsigned int abi = landlock_abi(NULL);
	struct landlock landlock;
	int held = open(in("out/a"), O_RDWR | O_CLOEXEC);
	pthread_t thread;
	void *error;
	char byte;
	struct err err;

	STEP(!landlock_begin(&landlock, &err));
	STEP(!landlock_allow(&landlock, in("in"), LANDLOCK_READ | LANDLOCK_SOCKET | LANDLOCK_LINK,
			     &err));
	STEP(!landlock_allow(&landlock, in("in/b"), LANDLOCK_READ | LANDLOCK_WRITE, &err));
	STEP(!landlock_allow(&landlock, in("not-there"), LANDLOCK_READ, &err));
	STEP(!landlock_enter(&landlock, &err));

	STEP(try_open(in("in/a"), O_RDONLY) == 0);
	STEP(try_open(in("in/a"), O_RDWR) == EACCES);
	STEP(try_open(in("in/b"), O_RDWR) == 0);
	STEP(try_open(in("in"), O_RDONLY | O_DIRECTORY) == 0);
	STEP(try_open(in("out/a"), O_RDONLY) == EACCES);
	STEP(try_open(in("in/../out/a"), O_RDONLY) == EACCES);
	STEP(try_open(in("in/new"), O_WRONLY | O_CREAT) == EACCES);
	STEP(try_open("/etc/passwd", O_RDONLY) == EACCES);
	STEP(try_socket(in("in/socket")) == 0);
	STEP(try_socket(in("out/socket")) == EACCES);
	STEP(unlink(in("in/socket")) == 0);
	STEP(unlink(in("out/log")) == -1 && errno == EACCES);
	STEP(symlink(in("out/a"), in("in/link")) == 0);
	STEP(try_open(in("in/link"), O_RDONLY) == EACCES);
	STEP(rename(in("in/b"), in("out/made")) == -1 && (errno == EACCES || errno == EXDEV));
	STEP(link(in("out/a"), in("in/new")) == -1 && (errno == EACCES || errno == EXDEV));
	STEP(pread(held, &byte, 1, 0) == 1 && byte == 't');
	STEP(abi < 4 || try_tcp() == EACCES);
	STEP(abi < 6 || (kill(getppid(), 0) == -1 && errno == EPERM));
	STEP(kill(getpid(), 0) == 0);
	STEP(!pthread_create(&thread, NULL, try_in_a_thread, NULL));
	STEP(!pthread_join(thread, &error));
	STEP((intptr_t)error == EACCES);
}

static void what_is_not_allowed_is_refused(void **state)
{
	in_a_process(be_in_a_domain);
}

static void be_a_vm(void)
{
	struct paths_rule rule;
	char text[1024];
	struct config config;
	struct err err;

	snprintf(text, sizeof(text),
		 "{\"payload\": {\"kernel\": \"%s/in/a\"},"
		 " \"disks\": [{\"path\": \"%s/in/b\"}],"
		 " \"serial\": {\"mode\": \"File\", \"file\": \"%s/out/made\"},"
		 " \"vsock\": {\"cid\": 3, \"socket\": \"%s/in/socket\"}}",
		 folder, folder, folder, folder);
	STEP(!config_parse(&config, text, strlen(text), &err));
	snprintf(text, sizeof(text), "path=%s/out/a,access=rw", folder);
	STEP(!paths_rule_parse(&rule, text, &err));
	STEP(!paths_confine(&config, in("in/api"), &rule, 1, &err));
	free(rule.path);
	config_free(&config);

	STEP(try_open(in("in/a"), O_RDONLY) == 0);
	STEP(try_open(in("in/a"), O_WRONLY) == EACCES);
	STEP(try_open(in("in/b"), O_RDWR) == 0);
	STEP(try_open(in("out/made"), O_WRONLY | O_APPEND | O_CREAT) == 0);
	STEP(try_open(in("out/made"), O_RDONLY) == EACCES);
	STEP(try_open(in("out/a"), O_RDWR) == 0);
	STEP(try_open(in("out/log"), O_RDONLY) == EACCES);
	STEP(try_open(in("out/new"), O_WRONLY | O_CREAT) == EACCES);
	STEP(try_socket(in("in/socket")) == 0);
	STEP(try_socket(in("out/socket")) == EACCES);
	STEP(try_open("/proc/self/status", O_RDONLY) == 0);
	STEP(try_open("/dev/net/tun", O_RDWR) != 0);
	STEP(try_open("/dev/ptmx", O_RDWR | O_NOCTTY) == EACCES);
	STEP(try_open("/dev/vfio/vfio", O_RDWR) != 0);
	STEP(try_open("/etc/passwd", O_RDONLY) == EACCES);
}

static void a_vm_reaches_what_its_configuration_names(void **state)
{
	in_a_process(be_a_vm);
}

static void rules_are_written_as_cloud_hypervisors(void **state)
{
	static const char *const bad[] = { "",
					   "path=",
					   "/srv",
					   "path=/srv",
					   "path=,access=rw",
					   "access=rw,path=/srv",
					   "path=/srv,access=",
					   "path=/srv,access=w",
					   "path=/srv,access=rwx" };
	struct paths_rule rule;
	struct err err;

	assert_int_equal(paths_rule_parse(&rule, "path=/srv/a b,access=r", &err), 0);
	assert_string_equal(rule.path, "/srv/a b");
	assert_false(rule.write);
	free(rule.path);
	assert_int_equal(paths_rule_parse(&rule, "path=x,access=rw", &err), 0);
	assert_true(rule.write);
	free(rule.path);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(paths_rule_parse(&rule, bad[i], &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_allowed_is_refused),
		cmocka_unit_test(a_vm_reaches_what_its_configuration_names),
		cmocka_unit_test(rules_are_written_as_cloud_hypervisors),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
