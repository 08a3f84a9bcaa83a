/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host itself does with a function: file systems mounted on its disks, swap on them, and a
 * default route over its network interfaces. Taking such a function from its driver would take the
 * ground from under the host, so nothing in adit does.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/host.h"
#include "util/bits.h"

#define DEPTH 8 /* levels of device mapper and md over one another that are followed */

struct use {
	const struct host *host;
	const char *bdf;
	struct sysfs_names disks; /* /sys/class/block: disks, partitions, mapped devices */
	bool *mine;		  /* of each: whether it is on the function */
	char *out;
	size_t size, len;
};

/* "0000:3b:00.0" as a whole part of a path. */
static bool goes_through(const char *path, const char *part)
{
	size_t n = strlen(part);
	const char *p = path;

	while ((p = strstr(p, part))) {
		if (p > path && p[-1] == '/' && (p[n] == '/' || !p[n]))
			return true;
		p += n;
	}
	return false;
}

static void say(struct use *use, const char *what, const char *name, const char *where)
{
	int n;

	if (use->len >= use->size)
		return;
	n = snprintf(use->out + use->len, use->size - use->len, "%s%s %s%s%s", use->len ? ", " : "",
		     what, name, *where ? " at " : "", where);
	if (n > 0)
		use->len += (size_t)n;
}

/*
 * The head of a multipath NVMe namespace is a virtual device: its subsystem links the controllers,
 * which are under their functions.
 */
static bool nvme_is_mine(struct use *use, const char *path)
{
	struct sysfs_names links;
	char subsystem[PATH_MAX], real[PATH_MAX], *end;
	bool mine = false;

	if (!strstr(path, "/nvme-subsystem/"))
		return false;
	snprintf(subsystem, sizeof(subsystem), "%s", path);
	end = strstr(subsystem, "/nvme-subsystem/") + strlen("/nvme-subsystem/");
	end += strcspn(end, "/");
	*end = 0;
	if (!sysfs_list(use->host, &links, "%s", subsystem)) {
		for (size_t i = 0; i < links.n && !mine; i++)
			mine = !strncmp(links.name[i], "nvme", 4) &&
			       !sysfs_real(use->host, real, "%s/%s", subsystem, links.name[i]) &&
			       goes_through(real, use->bdf);
	}
	sysfs_names_free(&links);
	return mine;
}

static bool disk_is_mine(struct use *use, const char *disk, unsigned int depth)
{
	struct sysfs_names slaves;
	char path[PATH_MAX];
	bool mine;

	if (sysfs_real(use->host, path, "/sys/class/block/%s", disk))
		return false;
	mine = goes_through(path, use->bdf) || nvme_is_mine(use, path);
	if (mine || depth == DEPTH)
		return mine;
	if (!sysfs_list(use->host, &slaves, "/sys/class/block/%s/slaves", disk)) {
		for (size_t i = 0; i < slaves.n && !mine; i++)
			mine = disk_is_mine(use, slaves.name[i], depth + 1);
	}
	sysfs_names_free(&slaves);
	return mine;
}

static int find_disks(struct use *use)
{
	int ret = sysfs_list(use->host, &use->disks, "/sys/class/block");

	if (ret)
		return ret;
	use->mine = calloc(use->disks.n + 1, sizeof(*use->mine));
	if (!use->mine)
		return -ENOMEM;
	for (size_t i = 0; i < use->disks.n; i++)
		use->mine[i] = disk_is_mine(use, use->disks.name[i], 0);
	return 0;
}

/* The disk of a mount: by its number, or by its source where the number is anonymous (btrfs). */
static const char *my_disk(struct use *use, const char *number, const char *source)
{
	char dev[HOST_TEXT], path[PATH_MAX];
	const char *name = "";

	if (!strncmp(source, "/dev/", 5) && !sysfs_real(use->host, path, "%s", source))
		name = strrchr(path, '/') + 1;
	for (size_t i = 0; i < use->disks.n; i++) {
		if (!use->mine[i])
			continue;
		if (!strcmp(name, use->disks.name[i]) ||
		    (!sysfs_read(use->host, dev, sizeof(dev), "/sys/class/block/%s/dev",
				 use->disks.name[i]) &&
		     !strcmp(dev, number)))
			return use->disks.name[i];
	}
	return NULL;
}

/* Calls fn for each line of a file of /proc. */
static void each_line(struct use *use, const char *path, void (*fn)(struct use *, char *line))
{
	char full[SYSFS_PATH_MAX], *line = NULL;
	size_t room = 0;
	FILE *file;

	if (sysfs_path(use->host, full, "%s", path))
		return;
	file = fopen(full, "re");
	if (!file)
		return;
	while (getline(&line, &room, file) >= 0) {
		line[strcspn(line, "\n")] = 0;
		fn(use, line);
	}
	free(line);
	fclose(file);
}

/* proc_pid_mountinfo(5): id parent major:minor root mount-point options ... - type source ... */
static void on_mount(struct use *use, char *line)
{
	char *field[5], *rest = line, *tail, *source, at[256];
	const char *disk, *seen;

	for (unsigned int i = 0; i < ARRAY_SIZE(field); i++)
		field[i] = strsep(&rest, " ");
	tail = rest ? strstr(rest, " - ") : NULL;
	if (!field[4] || !tail)
		return;
	tail += 3;
	strsep(&tail, " ");
	source = strsep(&tail, " ");
	if (!source)
		return;
	disk = my_disk(use, field[2], source);
	/* The same mount is seen again in the other namespace: once is enough. */
	snprintf(at, sizeof(at), " at %s", field[4]);
	seen = strstr(use->out, at);
	if (disk && !(seen && strchr(",", seen[strlen(at)])))
		say(use, "file system of", disk, field[4]);
}

static void on_swap(struct use *use, char *line)
{
	char *rest = line;
	const char *source = strsep(&rest, " \t"), *disk;

	disk = source ? my_disk(use, "", source) : NULL;
	if (disk)
		say(use, "swap on", disk, "");
}

static void say_route(struct use *use, const char *interface, const char *family)
{
	char path[PATH_MAX];

	if (*interface && strcmp(interface, "lo") != 0 &&
	    !sysfs_real(use->host, path, "/sys/class/net/%s", interface) &&
	    goes_through(path, use->bdf))
		say(use, family, interface, "");
}

/* "eth0 00000000 gateway ...": the destination is hex. */
static void on_route4(struct use *use, char *line)
{
	char *rest = line;
	const char *interface = strsep(&rest, "\t "), *to = strsep(&rest, "\t ");

	if (to && !strcmp(to, "00000000"))
		say_route(use, interface, "the IPv4 default route over");
}

/* 32 hex digits of destination, its prefix length, ..., the interface last. */
static void on_route6(struct use *use, char *line)
{
	const char *interface = strrchr(line, ' ');

	if (interface && !strncmp(line, "00000000000000000000000000000000 00 ", 36) &&
	    strncmp(line + 36 + 36, "00000000000000000000000000000000", 32) != 0)
		say_route(use, interface + 1, "the IPv6 default route over");
}

int host_function_use(const struct host *host, const char *bdf, char *out, size_t size)
{
	struct use use = { .host = host, .bdf = bdf, .out = out, .size = size };
	int ret = find_disks(&use);

	out[0] = 0;
	if (!ret) {
		/* Mounts of other namespaces than init's and ours cannot be seen from here. */
		each_line(&use, "/proc/self/mountinfo", on_mount);
		each_line(&use, "/proc/1/mountinfo", on_mount);
		each_line(&use, "/proc/swaps", on_swap);
		each_line(&use, "/proc/net/route", on_route4);
		each_line(&use, "/proc/net/ipv6_route", on_route6);
	}
	free(use.mine);
	sysfs_names_free(&use.disks);
	return ret;
}
