/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs, /dev and /proc below a root, which is "" in life and a made-up tree in tests. What is read
 * is short text: one attribute, the end of a link, the names in a directory.
 */
#ifndef ADIT_KEEPER_SYSFS_H
#define ADIT_KEEPER_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYSFS_PATH_MAX 512

struct host {
	const char *root; /* "" or a directory that has its own sys, dev and proc */
	/*
	 * NULL in life. Tests play the kernel: what a write makes of the tree, and what a node
	 * opens as. Paths are without the root; 0 or a descriptor, or -errno.
	 */
	int (*write)(void *arg, const char *path, const char *text);
	int (*open)(void *arg, const char *path);
	void *arg;
};

/* Paths are formatted; they start with "/sys", "/dev", "/proc" or "/etc". -ENAMETOOLONG past the
 * limit. */
int sysfs_path(const struct host *host, char *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The attribute without its last newline. -EFBIG where it does not fit. */
int sysfs_read(const struct host *host, char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Decimal, or hex after 0x; 0 where it cannot be read. */
uint64_t sysfs_number(const struct host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The last part of a link's target. */
int sysfs_link(const struct host *host, char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Where a path really is, without the root; out: PATH_MAX bytes. */
int sysfs_real(const struct host *host, char *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool sysfs_exists(const struct host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Sorted names without those that start with a dot; none where the directory cannot be read. */
struct sysfs_names {
	char **name;
	size_t n;
};
/* -ENOMEM alone. Free it in any case. */
int sysfs_list(const struct host *host, struct sysfs_names *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void sysfs_names_free(struct sysfs_names *names);

/* One write(2) of the text to an attribute that is there. 0 or -errno. */
int sysfs_write(const struct host *host, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A device node, for reading and writing, close-on-exec. A link in its place is refused (-ELOOP).
 */
int sysfs_open_node(const struct host *host, const char *path);
/* The node that a descriptor is of, once more, by whatever name: a new open file of it. */
int sysfs_open_again(const struct host *host, int fd);

#endif
