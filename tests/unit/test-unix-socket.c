/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets at paths: made, taken over from who died, left to who serves. */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/unix-socket.h"

struct fixture {
	char folder[32], path[64];
	struct stat made;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->folder, "/tmp/adit-socket-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->folder), 0); /* each test removes its own */
	free(f);
	return 0;
}

static int listen_there(struct fixture *f)
{
	return unix_socket_listen(f->path, 0600, 16, SOCK_NONBLOCK, &f->made);
}

static bool can_connect(const struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	strcpy(address.sun_path, f->path);
	ret = connect(fd, (const struct sockaddr *)&address, sizeof(address));
	close(fd);
	return !ret;
}

static void assert_served_and_end(struct fixture *f, int fd)
{
	assert_true(fd >= 0);
	assert_true(can_connect(f));
	unix_socket_remove(f->path, &f->made);
	close(fd);
	assert_int_equal(access(f->path, F_OK), -1);
}

static void a_path_has_its_mode_and_is_served(void **state)
{
	struct fixture *f = *state;
	int fd = listen_there(f);
	struct stat st;

	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_served_and_end(f, fd);
}

static void a_leftover_is_replaced(void **state)
{
	struct fixture *f = *state;

	close(listen_there(f));
	assert_false(can_connect(f));
	assert_served_and_end(f, listen_there(f));
}

static void send_fd(int to, int fd)
{
	char bytes[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8))) = { 0 };
	struct msghdr msg = { .msg_control = bytes,
			      .msg_controllen = sizeof(bytes),
			      .msg_iov = &(struct iovec){ "x", 1 },
			      .msg_iovlen = 1 };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	*cmsg = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	_exit(sendmsg(to, &msg, 0) != 1);
}

static int receive_fd(int from)
{
	char bytes[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct msghdr msg = { .msg_control = bytes,
			      .msg_controllen = sizeof(bytes),
			      .msg_iov = &(struct iovec){ &byte, 1 },
			      .msg_iovlen = 1 };
	int fd;

	assert_int_equal(recvmsg(from, &msg, MSG_CMSG_CLOEXEC), 1);
	assert_int_equal(CMSG_FIRSTHDR(&msg)->cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* As the io_uring of a killed process keeps it for a while; here this process does. */
static void an_open_socket_of_a_dead_process_is_replaced(void **state)
{
	struct fixture *f = *state;

	/* Whether its parent has waited for it or not, it serves nobody any more. */
	for (int waited_for = 0; waited_for < 2; waited_for++) {
		int pair[2], kept;
		siginfo_t info;
		pid_t child;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		child = fork();
		assert_true(child >= 0);
		if (!child)
			send_fd(pair[1], listen_there(f));
		kept = receive_fd(pair[0]);
		assert_int_equal(waitid(P_PID, (id_t)child, &info,
					WEXITED | (waited_for ? 0 : WNOWAIT)),
				 0);
		assert_int_equal(info.si_status, 0);
		assert_true(can_connect(f));
		assert_served_and_end(f, listen_there(f));
		if (!waited_for)
			assert_int_equal(waitpid(child, NULL, 0), child);
		close(kept);
		close(pair[0]);
		close(pair[1]);
	}
}

static void a_served_path_is_left_alone(void **state)
{
	struct fixture *f = *state;
	int fd = listen_there(f);
	struct stat other;

	assert_int_equal(unix_socket_listen(f->path, 0600, 1, 0, &other), -EADDRINUSE);
	assert_served_and_end(f, fd);
}

/* One process of many: waits for the start, listens, says whether it has it, stays until the end.
 */
static void compete(struct fixture *f, int start, int said, int over)
{
	char byte;
	int fd;

	(void)!read(start, &byte, 1);
	fd = listen_there(f);
	byte = fd >= 0 ? 'y' : fd == -EADDRINUSE ? 'n' : '!';
	(void)!write(said, &byte, 1);
	(void)!read(over, &byte, 1);
	_exit(0);
}

/* Once on nothing, once on what a dead one left, and so on. */
static void of_many_who_start_at_once_one_has_it(void **state)
{
	enum {
		MANY = 6,
		ROUNDS = 100
	};
	struct fixture *f = *state;

	for (int round = 0; round < ROUNDS; round++) {
		int start[2], said[2], over[2], have = 0;
		char answer[MANY];

		assert_int_equal(pipe2(start, O_CLOEXEC), 0);
		assert_int_equal(pipe2(said, O_CLOEXEC), 0);
		assert_int_equal(pipe2(over, O_CLOEXEC), 0);
		for (int i = 0; i < MANY; i++) {
			pid_t child = fork();

			assert_true(child >= 0);
			if (child)
				continue;
			close(start[1]);
			close(over[1]);
			compete(f, start[0], said[1], over[0]);
		}
		close(start[1]); /* now all of them go */
		for (int i = 0; i < MANY; i++) {
			assert_int_equal(read(said[0], &answer[i], 1), 1);
			assert_int_not_equal(answer[i], '!');
			have += answer[i] == 'y';
		}
		assert_int_equal(have, 1);
		assert_true(can_connect(f));
		close(over[1]);
		for (int i = 0; i < MANY; i++)
			assert_true(wait(NULL) > 0);
		close(start[0]);
		close(said[0]);
		close(said[1]);
		close(over[0]);
		if (round % 2)
			assert_int_equal(unlink(f->path), 0);
	}
}

static void a_lock_that_a_killed_one_left_is_taken_over(void **state)
{
	struct fixture *f = *state;
	char lock[80];
	int held;

	snprintf(lock, sizeof(lock), "%s.lock", f->path);
	held = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(held >= 0);
	assert_int_equal(flock(held, LOCK_EX), 0);
	assert_int_equal(listen_there(f), -EADDRINUSE);
	unix_socket_clear(f->path);
	close(held);
	assert_served_and_end(f, listen_there(f));
	assert_int_equal(access(lock, F_OK), -1);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *f = *state;

	close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(listen_there(f), -EADDRINUSE);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink("/tmp", f->path), 0);
	assert_int_equal(listen_there(f), -EADDRINUSE);
	assert_int_equal(unlink(f->path), 0);
}

static void a_client_reaches_who_serves_and_nobody_else(void **state)
{
	struct fixture *f = *state;
	int fd = listen_there(f), client = unix_socket_connect(f->path, 0);
	char path[UNIX_SOCKET_PATH_MAX + 2];

	assert_true(client >= 0);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	close(client);
	close(fd);
	assert_int_equal(unix_socket_connect(f->path, 0), -ECONNREFUSED);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(unix_socket_connect(f->path, 0), -ENOENT);
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = 0;
	assert_int_equal(unix_socket_connect(path, 0), -ENAMETOOLONG);
	assert_int_equal(unix_socket_connect("", 0), -ENAMETOOLONG);
}

static void somebody_else_s_is_not_removed(void **state)
{
	struct fixture *f = *state;
	int old = listen_there(f), fd;
	struct stat made = f->made;

	assert_int_equal(unlink(f->path), 0);
	fd = listen_there(f);
	unix_socket_remove(f->path, &made);
	close(old);
	assert_served_and_end(f, fd);
}

static void paths_of_every_length_are_taken_or_refused(void **state)
{
	struct fixture *f = *state;
	char path[UNIX_SOCKET_PATH_MAX + 2];
	size_t before = strlen(f->folder);
	int fd;

	assert_int_equal(unix_socket_listen("", 0600, 1, 0, &f->made), -ENAMETOOLONG);
	memset(path, 'a', sizeof(path));
	memcpy(path, f->folder, before);
	path[before] = '/';
	path[UNIX_SOCKET_PATH_MAX + 1] = 0;
	assert_int_equal(unix_socket_listen(path, 0600, 1, 0, &f->made), -ENAMETOOLONG);
	path[UNIX_SOCKET_PATH_MAX] = 0;
	fd = unix_socket_listen(path, 0600, 1, 0, &f->made);
	assert_true(fd >= 0);
	unix_socket_remove(path, &f->made);
	close(fd);
	assert_int_equal(unix_socket_listen("/none/there", 0600, 1, 0, &f->made), -ENOENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_path_has_its_mode_and_is_served),
		T(a_leftover_is_replaced),
		T(an_open_socket_of_a_dead_process_is_replaced),
		T(a_served_path_is_left_alone),
		T(of_many_who_start_at_once_one_has_it),
		T(a_lock_that_a_killed_one_left_is_taken_over),
		T(what_is_no_socket_is_left_alone),
		T(a_client_reaches_who_serves_and_nobody_else),
		T(somebody_else_s_is_not_removed),
		T(paths_of_every_length_are_taken_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
