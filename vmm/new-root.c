/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By the system calls of Linux 5.12 (open_tree, move_mount, mount_setattr): a file is taken with
 * its mount before anything covers it, made harmless while nobody sees it, and put in its place.
 */
#include "vmm/new-root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/landlock.h"
#include "vmm/namespaces.h"
#include "vmm/paths.h"

/* Of linux/mount.h, which older C libraries do not get on with; the same on every architecture. */
#define OPEN_TREE     428
#define MOVE_MOUNT    429
#define MOUNT_SETATTR 442

#define TREE_CLONE     1u
#define TREE_CLOEXEC   ((unsigned int)O_CLOEXEC)
#define TREE_RECURSIVE 0x8000u /* AT_RECURSIVE */
#define MOVE_FROM_FD   4u      /* MOVE_MOUNT_F_EMPTY_PATH */
#define ATTR_RDONLY    1u
#define ATTR_NOSUID    2u

struct attr {
	uint64_t set, clear, propagation, userns;
};

/* Until it becomes the root: a folder that there always is. */
#define STAGE "/proc"

#define MOST 256u

struct taken {
	char *path; /* absolute */
	int fd;
	bool folder;
};

struct building {
	char cwd[PATH_MAX];
	struct taken taken[MOST];
	size_t n;
};

static int change(int fd, bool recursive, unsigned int attributes)
{
	const struct attr attr = { .set = attributes };

	return syscall(MOUNT_SETATTR, fd, "", AT_EMPTY_PATH | (recursive ? TREE_RECURSIVE : 0),
		       &attr, sizeof(attr))
		       ? -errno
		       : 0;
}

static int take_tree(struct taken *taken, const char *path, bool write)
{
	struct stat st;

	taken->fd =
		(int)syscall(OPEN_TREE, AT_FDCWD, path, TREE_CLONE | TREE_CLOEXEC | TREE_RECURSIVE);
	if (taken->fd < 0 || fstat(taken->fd, &st))
		return -errno;
	taken->folder = S_ISDIR(st.st_mode);
	return change(taken->fd, true, ATTR_NOSUID | (write ? 0 : ATTR_RDONLY));
}

/* What is not there now will not be; who needs it says so when it is opened. */
static int take(void *arg, const char *path, unsigned int what, struct err *err)
{
	struct building *b = arg;
	struct taken *taken = &b->taken[b->n];
	bool write = what & ~LANDLOCK_READ;
	int ret;

	for (size_t i = 0; i < b->n; i++) {
		if (!strcmp(b->taken[i].path, path))
			return 0;
	}
	if (b->n == MOST)
		return err_set(err, E2BIG,
			       "--namespaces=mount: the configuration names more than %u "
			       "files",
			       MOST);
	ret = take_tree(taken, path, write);
	if (ret == -ENOENT || ret == -EACCES || ret == -ENOTDIR)
		return 0;
	if (ret == -ENOSYS)
		return err_set(err, ENOSYS, "--namespaces=mount: needs Linux 5.12");
	if (ret)
		return err_set(err, -ret, "--namespaces=mount: %s: %s", path, strerror(-ret));
	if (asprintf(&taken->path, "%s%s%s", *path == '/' ? "" : b->cwd, *path == '/' ? "" : "/",
		     path) < 0)
		return err_set(err, ENOMEM, "out of memory");
	b->n++;
	return 0;
}

/* The folders of a path, as far as it has any; `path` is as it was when this returns. */
static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int ret;

		*slash = 0;
		ret = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (ret)
			return ret;
	}
	return 0;
}

/* Where a folder that holds it was put before, it is there already. */
static int make_place(char *path, bool folder)
{
	int ret = make_folders(path), fd;

	if (ret || !access(path, F_OK))
		return ret;
	if (folder)
		return mkdir(path, 0755) ? -errno : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int put(const struct taken *taken, struct err *err)
{
	char at[PATH_MAX];
	int ret = -ENAMETOOLONG;

	if (snprintf(at, sizeof(at), STAGE "%s", taken->path) < (int)sizeof(at))
		ret = make_place(at, taken->folder);
	if (!ret && syscall(MOVE_MOUNT, taken->fd, "", AT_FDCWD, at, MOVE_FROM_FD))
		ret = -errno;
	return ret ? err_set(err, -ret, "--namespaces=mount: showing %s: %s", taken->path,
			     strerror(-ret))
		   : 0;
}

/* Where a container shows /proc with parts covered, the kernel gives nobody another: then as it is.
 */
static void renew_proc(void)
{
	(void)mount("proc", STAGE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int build(struct building *b, bool own_proc, struct err *err)
{
	char at[PATH_MAX + 8];
	int ret = 0;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("adit", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=1m"))
		return err_set(err, errno, "--namespaces=mount: a new root: %s", strerror(errno));
	for (size_t i = 0; i < b->n && !ret; i++)
		ret = put(&b->taken[i], err);
	if (ret)
		return ret;
	if (own_proc)
		renew_proc();
	/* Relative paths were made absolute by it; it may be empty now. */
	snprintf(at, sizeof(at), STAGE "%s/", b->cwd);
	ret = make_folders(at);
	return ret ? err_set(err, -ret, "--namespaces=mount: %s: %s", b->cwd, strerror(-ret)) : 0;
}

/* The old root lies over the new one for a moment (pivot_root(2), "pivot_root(".", ".")"). */
static int go(const char *cwd, struct err *err)
{
	int root = open(STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ret = root < 0 ? -errno : change(root, false, ATTR_RDONLY);

	if (!ret && (fchdir(root) || syscall(SYS_pivot_root, ".", ".") ||
		     umount2(".", MNT_DETACH) || chdir(cwd)))
		ret = -errno;
	if (root >= 0)
		close(root);
	return ret ? err_set(err, -ret, "--namespaces=mount: a new root: %s%s", strerror(-ret),
			     ret == -EINVAL ? " (an initramfs cannot be left; mount another root "
					      "first)"
					    : "")
		   : 0;
}

int new_root_enter(const struct namespaces_options *options, bool own_proc, struct err *err)
{
	struct building *b = calloc(1, sizeof(*b));
	int ret;

	if (!b)
		return err_set(err, ENOMEM, "out of memory");
	ret = getcwd(b->cwd, sizeof(b->cwd))
		      ? paths_each(options->config, options->api_socket, options->rules,
				   options->n_rules, take, b, err)
		      : err_set(err, errno, "--namespaces=mount: where this is: %s",
				strerror(errno));
	if (!ret)
		ret = build(b, own_proc, err);
	if (!ret)
		ret = go(b->cwd, err);
	for (size_t i = 0; i < b->n; i++) {
		close(b->taken[i].fd);
		free(b->taken[i].path);
	}
	free(b);
	return ret;
}
