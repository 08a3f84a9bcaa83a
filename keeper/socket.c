/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/unix-socket.h"

#define FOLDER (O_PATH | O_DIRECTORY | O_CLOEXEC)

/* "a/b" in its two parts; "b" is in ".". */
static int split(const char *path, char folder[KEEPER_SOCKET_ROOM], const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	*name = slash ? slash + 1 : path;
	if (n >= KEEPER_SOCKET_ROOM || !**name || strlen(*name) > UNIX_SOCKET_PATH_MAX)
		return -EINVAL;
	/* Its line in a journal ends at the first newline. */
	if (strchr(path, '\n'))
		return -EINVAL;
	memcpy(folder, path, n);
	folder[n] = 0;
	if (!n)
		snprintf(folder, KEEPER_SOCKET_ROOM, "%s", slash ? "/" : ".");
	return 0;
}

int keeper_socket_find(struct keeper_socket *out, const char *path)
{
	char folder[KEEPER_SOCKET_ROOM], link[64];
	const char *name;
	ssize_t n;
	int ret = split(path, folder, &name);

	*out = (struct keeper_socket){ .folder = -1 };
	if (ret)
		return ret;
	out->folder = open(folder, FOLDER);
	if (out->folder < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", out->folder);
	n = readlink(link, out->path, sizeof(out->path));
	ret = n < 0 ? -errno : 0;
	/* "/" keeps its slash: two are as good as one. */
	if (!ret && (size_t)n + 1 + strlen(name) >= sizeof(out->path))
		ret = -ENAMETOOLONG;
	if (!ret) {
		out->path[n] = '/';
		out->name = out->path + n + 1;
		memcpy(out->path + n + 1, name, strlen(name) + 1);
		if (!strchr(out->path, '\n'))
			return 0;
		ret = -EINVAL;
	}
	close(out->folder);
	out->folder = -1;
	return ret;
}

int keeper_socket_again(struct keeper_socket *out, const char *path)
{
	struct open_how how = { .flags = FOLDER, .resolve = RESOLVE_NO_SYMLINKS };
	char folder[KEEPER_SOCKET_ROOM];
	const char *name;
	int ret = *path == '/' ? split(path, folder, &name) : -EINVAL;

	*out = (struct keeper_socket){ .folder = -1 };
	if (ret || strlen(path) >= sizeof(out->path))
		return ret ? ret : -ENAMETOOLONG;
	out->folder = (int)syscall(SYS_openat2, AT_FDCWD, folder, &how, sizeof(how));
	if (out->folder < 0)
		return -errno;
	memcpy(out->path, path, strlen(path) + 1);
	out->name = out->path + (name - path);
	return 0;
}

bool keeper_socket_clear(const struct keeper_socket *socket)
{
	char path[UNIX_SOCKET_PATH_MAX + 1];
	int n;

	if (socket->folder < 0)
		return false;
	n = snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", socket->folder, socket->name);
	return n < (int)sizeof(path) && !unix_socket_clear(path);
}
