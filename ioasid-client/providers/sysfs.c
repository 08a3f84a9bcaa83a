/* SPDX-License-Identifier: Apache-2.0 */
#include "ioasid-client/providers/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/bits.h"

static int link_text(const char *path, char *text, size_t size)
{
	ssize_t n = readlink(path, text, size - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

/* The last component of where a link leads; "" where there is none. */
static void link_name(const char *path, char *name, size_t size)
{
	char text[PATH_MAX];
	const char *slash;

	name[0] = '\0';
	if (link_text(path, text, sizeof(text)))
		return;
	slash = strrchr(text, '/');
	snprintf(name, size, "%.*s", (int)size - 1, slash ? slash + 1 : text);
}

/* Where sysfs shows the node that the descriptor is open on: text of the link. */
static int node_link(const struct ioasid_seam *seam, int fd, char *text, size_t size,
		     struct err *err)
{
	char path[PATH_MAX];
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, errno, "descriptor %d: %s", fd, strerror(errno));
	if (!S_ISCHR(st.st_mode))
		return err_set(err, EINVAL, "descriptor %d is no character device", fd);
	snprintf(path, sizeof(path), "%s/sys/dev/char/%u:%u", seam->root, major(st.st_rdev),
		 minor(st.st_rdev));
	if (link_text(path, text, size))
		return err_set(err, EINVAL,
			       "sysfs does not know character device %u:%u; is /sys mounted?",
			       major(st.st_rdev), minor(st.st_rdev));
	return 0;
}

static int group_of(const char *device)
{
	char path[PATH_MAX], name[32];
	char *end;
	long group;

	snprintf(path, sizeof(path), "%s/iommu_group", device);
	link_name(path, name, sizeof(name));
	group = strtol(name, &end, 10);
	return name[0] && !*end && group >= 0 && group < INT_MAX ? (int)group : -1;
}

static void fill(const char *path, const char *name, struct sysfs_device *device)
{
	char link[PATH_MAX], subsystem[32];

	snprintf(link, sizeof(link), "%s/subsystem", path);
	link_name(link, subsystem, sizeof(subsystem));
	*device = (struct sysfs_device){
		.mdev = !strcmp(subsystem, "mdev"),
		.group = group_of(path),
	};
	/* iommu -> ../../virtual/iommu/dmar0: the kernel's name of the IOMMU */
	snprintf(link, sizeof(link), "%s/iommu", path);
	link_name(link, device->iommu, sizeof(device->iommu));
	snprintf(device->name, sizeof(device->name), "%s", name);
}

int sysfs_cdev(const struct ioasid_seam *seam, int fd, struct sysfs_device *device, struct err *err)
{
	char link[PATH_MAX], path[PATH_MAX + 64];
	char *end, *name;
	int r;

	r = node_link(seam, fd, link, sizeof(link), err);
	if (r)
		return r;
	/* ../../devices/pci0000:00/0000:00:04.0/vfio-dev/vfio0 */
	end = strstr(link, "/vfio-dev/");
	if (!end)
		return err_set(err, EINVAL,
			       "%s is no VFIO character device; open /dev/vfio/devices/vfioN",
			       link);
	*end = '\0';
	name = strrchr(link, '/');
	if (!name || strncmp(link, "../../", 6) != 0)
		return err_set(err, EINVAL, "sysfs shows the device at %s, which is no path", link);
	snprintf(path, sizeof(path), "%s/sys/%s", seam->root, link + 6);
	fill(path, name + 1, device);
	return 0;
}

int sysfs_group(const struct ioasid_seam *seam, int fd, struct err *err)
{
	char link[PATH_MAX];
	const char *name;
	char *end;
	long group;
	int r;

	r = node_link(seam, fd, link, sizeof(link), err);
	if (r)
		return r;
	/* ../../devices/virtual/vfio/7 */
	name = strstr(link, "/virtual/vfio/");
	if (!name)
		return err_set(err, EINVAL, "%s is no VFIO group; open /dev/vfio/N", link);
	name += strlen("/virtual/vfio/");
	group = strtol(name, &end, 10);
	if (end == name || *end || group < 0 || group >= INT_MAX)
		return err_set(err, EINVAL,
			       "VFIO group %s is not behind an IOMMU; adit does not use those",
			       name);
	return (int)group;
}

int sysfs_named(const struct ioasid_seam *seam, const char *name, struct sysfs_device *device,
		struct err *err)
{
	static const char *const buses[] = { "pci", "mdev" };
	char path[PATH_MAX];
	struct stat st;

	if (!name || strchr(name, '/') || strlen(name) >= sizeof(device->name))
		return err_set(err, EINVAL, "'%s' is no device's name; give a BDF or a UUID",
			       name ? name : "");
	for (size_t i = 0; i < ARRAY_SIZE(buses); i++) {
		snprintf(path, sizeof(path), "%s/sys/bus/%s/devices/%s", seam->root, buses[i],
			 name);
		if (stat(path, &st))
			continue;
		fill(path, name, device);
		return 0;
	}
	return err_set(err, ENODEV, "there is no PCI function or mdev %s", name);
}

const char *sysfs_hw(const struct sysfs_device *device)
{
	if (device->mdev)
		return "none";
	if (!strncmp(device->iommu, "dmar", 4))
		return "intel-vtd";
	return !strncmp(device->iommu, "ivhd", 4) ? "amd-iommu" : "unknown";
}

int sysfs_members(const struct ioasid_seam *seam, int group, struct ioasid_member **members,
		  size_t *n)
{
	char path[PATH_MAX], link[PATH_MAX + 300];
	struct ioasid_member *list = NULL;
	const struct dirent *entry;
	DIR *dir;
	int r = 0;

	*members = NULL;
	*n = 0;
	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/devices", seam->root, group);
	dir = group < 0 ? NULL : opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct ioasid_member *more;

		if (entry->d_name[0] == '.')
			continue;
		more = realloc(list, (*n + 1) * sizeof(*list));
		if (!more) {
			free(list);
			*n = 0;
			list = NULL;
			r = -ENOMEM;
			break;
		}
		list = more;
		snprintf(list[*n].name, sizeof(list[*n].name), "%.39s", entry->d_name);
		snprintf(link, sizeof(link), "%s/%s/driver", path, entry->d_name);
		link_name(link, list[*n].driver, sizeof(list[*n].driver));
		++*n;
	}
	if (dir)
		closedir(dir);
	*members = list;
	return r;
}

static int by_start(const void *a, const void *b)
{
	const struct ioasid_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

int sysfs_reserved(const struct ioasid_seam *seam, int group, struct ioasid_range **ranges,
		   size_t *n)
{
	struct ioasid_range *list = NULL, range;
	char path[PATH_MAX];
	FILE *file;

	*ranges = NULL;
	*n = 0;
	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/reserved_regions", seam->root,
		 group);
	file = group < 0 ? NULL : fopen(path, "re");
	if (!file)
		return 0;
	/* 0x00000000fee00000 0x00000000feefffff msi */
	while (fscanf(file, "%" SCNx64 " %" SCNx64 " %*s", &range.first, &range.last) == 2) {
		struct ioasid_range *more = realloc(list, (*n + 1) * sizeof(*list));

		if (!more) {
			free(list);
			fclose(file);
			*n = 0;
			return -ENOMEM;
		}
		list = more;
		list[(*n)++] = range;
	}
	fclose(file);
	if (list)
		qsort(list, *n, sizeof(*list), by_start);
	*ranges = list;
	return 0;
}

/* Drivers that leave a group's DMA to VFIO: they do no DMA of their own. */
static bool yields(const char *driver)
{
	return !driver[0] || !strncmp(driver, "vfio", 4) || !strcmp(driver, "pcieport") ||
	       !strcmp(driver, "pci-stub");
}

int sysfs_explain_group(const struct ioasid_seam *seam, const struct sysfs_device *device, int code,
			struct err *err)
{
	struct ioasid_member *members, *holder = NULL;
	size_t n;
	int r;

	if (sysfs_members(seam, device->group, &members, &n))
		n = 0;
	for (size_t i = 0; i < n && !holder; i++) {
		if (!yields(members[i].driver))
			holder = &members[i];
	}
	if (holder)
		r = err_set(
			err, code,
			"IOMMU group %d: member %s is held by driver %s; give it to vfio-pci (or "
			"leave it without a driver), for the group is one to the IOMMU",
			device->group, holder->name, holder->driver);
	else if (n > 1)
		r = err_set(
			err, code,
			"IOMMU group %d: another program holds one of its %zu members; only one "
			"may use a group, so end that program or give it this device too",
			device->group, n);
	else
		r = err_set(
			err, code,
			"device %s of IOMMU group %d is held by another program; end that first",
			device->name, device->group);
	free(members);
	return r;
}

bool sysfs_group_is_free(const struct ioasid_seam *seam, const struct sysfs_device *device)
{
	struct ioasid_member *members;
	bool is_free = true;
	size_t n;

	if (sysfs_members(seam, device->group, &members, &n))
		return false;
	for (size_t i = 0; i < n && is_free; i++)
		is_free = yields(members[i].driver);
	/* Of several, another may be open in another program. */
	is_free = is_free && n == 1;
	free(members);
	return is_free;
}

int sysfs_explain_token(const struct sysfs_device *device, bool token, struct err *err)
{
	if (token)
		return err_set(err, EACCES,
			       "device %s: the VF token is not the one that the holder of its "
			       "physical function set; give that one",
			       device->name);
	return err_set(err, EACCES,
		       "device %s: VFIO holds its physical function, or its VFs; give the VF token "
		       "that was set there",
		       device->name);
}
