/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int pathv(const struct host *host, char *out, const char *fmt, va_list ap)
{
	int n = snprintf(out, SYSFS_PATH_MAX, "%s", host->root), m;

	if (n < 0 || n >= SYSFS_PATH_MAX)
		return -ENAMETOOLONG;
	m = vsnprintf(out + n, (size_t)(SYSFS_PATH_MAX - n), fmt, ap);
	return m < 0 || m >= SYSFS_PATH_MAX - n ? -ENAMETOOLONG : 0;
}

int sysfs_path(const struct host *host, char *out, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = pathv(host, out, fmt, ap);
	va_end(ap);
	return ret;
}

/* once: one read gives all there is, as that of an attribute does; /proc may answer in pieces. */
static int read_file(const char *path, bool once, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = 0;
	ssize_t n = 1;
	int ret = 0;

	out[0] = 0;
	if (fd < 0)
		return -errno;
	while (len < size && n > 0) {
		n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			ret = -errno;
		else
			len += (size_t)n;
		if (once && len)
			break;
	}
	close(fd);
	if (!ret && len == size)
		ret = -EFBIG;
	if (ret)
		len = 0;
	if (len && out[len - 1] == '\n')
		len--;
	out[len] = 0;
	return ret;
}

static bool is_attribute(const struct host *host, const char *path)
{
	return !strncmp(path + strlen(host->root), "/sys/", 5);
}

int sysfs_read(const struct host *host, char *out, size_t size, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX];
	va_list ap;
	int ret;

	out[0] = 0;
	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	return ret ? ret : read_file(path, is_attribute(host, path), out, size);
}

uint64_t sysfs_number(const struct host *host, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX], text[32];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	if (ret || read_file(path, is_attribute(host, path), text, sizeof(text)))
		return 0;
	return strtoull(text, NULL, 0);
}

int sysfs_link(const struct host *host, char *out, size_t size, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX], target[PATH_MAX];
	const char *last;
	va_list ap;
	ssize_t n;
	int ret;

	out[0] = 0;
	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	if (ret)
		return ret;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	memcpy(out, last, strlen(last) + 1);
	return 0;
}

int sysfs_real(const struct host *host, char *out, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX], root[PATH_MAX] = "";
	size_t n;
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	if (ret)
		return ret;
	if (!realpath(path, out) || (host->root[0] && !realpath(host->root, root)))
		return -errno;
	n = strlen(root);
	if (strncmp(out, root, n) != 0)
		return -EXDEV;
	memmove(out, out + n, strlen(out + n) + 1);
	return 0;
}

bool sysfs_exists(const struct host *host, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	return !ret && !access(path, F_OK);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct sysfs_names *names, const char *name)
{
	char **grown = realloc(names->name, (names->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	names->name = grown;
	grown[names->n] = strdup(name);
	if (!grown[names->n])
		return -ENOMEM;
	names->n++;
	return 0;
}

int sysfs_list(const struct host *host, struct sysfs_names *out, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX];
	struct dirent *entry;
	int ret;
	va_list ap;
	DIR *dir;

	*out = (struct sysfs_names){ 0 };
	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	dir = ret ? NULL : opendir(path);
	if (!dir)
		return 0;
	ret = 0;
	while (!ret && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			ret = add_name(out, entry->d_name);
	}
	closedir(dir);
	if (out->n)
		qsort(out->name, out->n, sizeof(*out->name), by_name);
	return ret;
}

void sysfs_names_free(struct sysfs_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	*names = (struct sysfs_names){ 0 };
}

int sysfs_write(const struct host *host, const char *text, const char *fmt, ...)
{
	char path[SYSFS_PATH_MAX];
	size_t len = strlen(text);
	va_list ap;
	int fd, ret;

	va_start(ap, fmt);
	ret = pathv(host, path, fmt, ap);
	va_end(ap);
	if (ret)
		return ret;
	if (host->write)
		return host->write(host->arg, path + strlen(host->root), text);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, len) != (ssize_t)len)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

int sysfs_open_node(const struct host *host, const char *path)
{
	char full[SYSFS_PATH_MAX];
	int fd, ret = sysfs_path(host, full, "%s", path);

	if (ret)
		return ret;
	if (host->open)
		return host->open(host->arg, path);
	fd = open(full, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int sysfs_open_again(const struct host *host, int fd)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (host->open)
		return host->open(host->arg, path);
	again = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	return again < 0 ? -errno : again;
}
