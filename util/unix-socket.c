/* SPDX-License-Identifier: Apache-2.0 */
#include "util/unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A socket refuses connections between bind(2) and listen(2), as one does that nobody serves; so
 * who makes or removes one is alone then. The lock is a file beside the socket that goes with it:
 * left behind by who was killed there, it is taken over. A Landlock domain does not let one make it
 * (who may make files in a folder could read or write what is there): then it goes without.
 */
struct turn {
	char path[UNIX_SOCKET_PATH_MAX + sizeof(".lock")];
	int fd;
};

/* 0, -EADDRINUSE: it is somebody else's turn, or -errno. */
static int turn_take(struct turn *turn, const char *path)
{
	struct stat ours, there;

	snprintf(turn->path, sizeof(turn->path), "%s.lock", path);
	for (;;) {
		turn->fd = open(turn->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
				0600);
		if (turn->fd < 0)
			return errno == EACCES ? 0 : -errno;
		if (flock(turn->fd, LOCK_EX | LOCK_NB) < 0) {
			close(turn->fd);
			return -EADDRINUSE;
		}
		if (!fstat(turn->fd, &ours) && !lstat(turn->path, &there) &&
		    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
			return 0;
		close(turn->fd); /* removed meanwhile, and perhaps made anew */
	}
}

static void turn_end(struct turn *turn)
{
	if (turn->fd < 0)
		return;
	unlink(turn->path);
	close(turn->fd);
}

/*
 * Whether all threads of a process have ended, and only its number is left until somebody waits for
 * it. From proc(5), which takes no right over the process, as a pidfd would; in doubt it lives.
 */
static bool has_ended(pid_t pid)
{
	char path[32], text[1024], state, *p;
	long threads;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	/* The name in parentheses may hold anything; the state is the third field, 20 the threads.
	 */
	p = strrchr(text, ')');
	return p &&
	       sscanf(p + 1,
		      " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld",
		      &state, &threads) == 2 &&
	       (state == 'Z' || state == 'X') && threads <= 1;
}

/*
 * Whether somebody serves it. What a killed process listened on stays open for some time after it:
 * its io_uring is taken down on a work queue. So its number (from listen(2)) is asked for as well.
 */
static bool is_served(int fd, const struct sockaddr_un *address)
{
	struct ucred listener;
	socklen_t size = sizeof(listener);

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return errno != ECONNREFUSED;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) < 0 || !listener.pid ||
	       (!kill(listener.pid, 0) ? !has_ended(listener.pid) : errno != ESRCH);
}

/* 0 after removing a socket that nobody serves. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, ret = -EADDRINUSE;

	if (lstat(address->sun_path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!is_served(fd, address))
		ret = unlink(address->sun_path) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int bind_at(int fd, const struct sockaddr_un *address)
{
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

/* The mode of a descriptor before bind(2) becomes the mode of the path. */
static int listen_at(int fd, const struct sockaddr_un *address, mode_t mode, int backlog,
		     struct stat *made)
{
	int ret = fchmod(fd, mode) < 0 ? -errno : bind_at(fd, address);

	if (ret == -EADDRINUSE) {
		ret = remove_stale(address);
		if (!ret)
			ret = bind_at(fd, address);
	}
	if (ret)
		return ret;
	if ((!made || !lstat(address->sun_path, made)) && !listen(fd, backlog))
		return 0;
	ret = -errno;
	unlink(address->sun_path);
	return ret;
}

static bool set_path(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path || strlen(path) > UNIX_SOCKET_PATH_MAX)
		return false;
	memcpy(address->sun_path, path, strlen(path));
	return true;
}

/* A socket, for that path. */
static int open_for(struct sockaddr_un *address, const char *path, int flags)
{
	int fd;

	if (!set_path(address, path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	return fd < 0 ? -errno : fd;
}

int unix_socket_clear(const char *path)
{
	struct sockaddr_un address;
	struct turn turn;
	int ret;

	if (!set_path(&address, path))
		return -ENAMETOOLONG;
	ret = turn_take(&turn, path);
	if (ret)
		return ret;
	ret = remove_stale(&address);
	turn_end(&turn);
	return ret;
}

int unix_socket_listen(const char *path, mode_t mode, int backlog, int flags, struct stat *made)
{
	struct sockaddr_un address;
	struct turn turn;
	int fd, ret;

	fd = open_for(&address, path, flags);
	if (fd < 0)
		return fd;
	ret = turn_take(&turn, path);
	if (!ret) {
		ret = listen_at(fd, &address, mode, backlog, made);
		turn_end(&turn);
	}
	if (ret)
		close(fd);
	return ret ? ret : fd;
}

int unix_socket_connect(const char *path, int flags)
{
	struct sockaddr_un address;
	int fd, ret;

	fd = open_for(&address, path, flags);
	if (fd < 0)
		return fd;
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

void unix_socket_remove(const char *path, const struct stat *made)
{
	struct stat now;

	if (!lstat(path, &now) && now.st_dev == made->st_dev && now.st_ino == made->st_ino)
		unlink(path);
}
