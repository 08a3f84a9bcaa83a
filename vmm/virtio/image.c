/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "util/bits.h"

#define SECTOR	      512u
#define LOCK_TRIES    200u
#define LOCK_PAUSE_NS 10000000L

static const struct {
	const char *name, *magic;
	unsigned int len;
} formats[] = {
	{ "qcow2", "QFI\xfb", 4 },
	{ "vmdk", "KDMV", 4 },
	{ "vhdx", "vhdxfile", 8 },
	{ "qed", "QED", 4 },
};

static int refuse_formats(const struct image *image, const char *path, struct err *err)
{
	/* Aligned, since the file may be open for direct I/O. */
	char head[4096] __attribute__((aligned(4096)));
	ssize_t n = pread(image->fd, head, sizeof(head), 0);

	for (size_t i = 0; n >= 8 && i < ARRAY_SIZE(formats); i++) {
		if (!memcmp(head, formats[i].magic, formats[i].len))
			return err_set(
				err, EINVAL,
				"%s: is a %s image and disks are raw: convert it with "
				"\"qemu-img convert -O raw %s %s.raw\", or say \"image_type\": "
				"\"Raw\" if these bytes are the guest's own",
				path, formats[i].name, path, path);
	}
	return 0;
}

/*
 * A VM that was killed holds its image until its io_uring is down, which is when the last of its
 * writes has ended: some milliseconds after the process.
 */
static int lock_image(const struct image *image, const struct image_options *options,
		      struct err *err)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	struct flock lock = { .l_type = options->readonly ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET };

	for (unsigned int tries = LOCK_TRIES; tries; tries--) {
		if (!fcntl(image->fd, F_OFD_SETLK, &lock))
			return 0;
		/* A file system without locks is no reason to refuse. */
		if (errno != EAGAIN && errno != EACCES)
			return 0;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return err_set(err, EBUSY,
		       "%s: is in use by another VM: give each its own image, or share it "
		       "\"readonly\" in all of them",
		       options->path);
}

int64_t image_size(const struct image *image)
{
	uint64_t bytes;
	struct stat st;

	if (image->block_device) {
		if (ioctl(image->fd, BLKGETSIZE64, &bytes))
			return -errno;
	} else {
		if (fstat(image->fd, &st))
			return -errno;
		bytes = (uint64_t)st.st_size;
	}
	return (int64_t)MIN(align_down(bytes, SECTOR), (uint64_t)INT64_MAX);
}

int image_grow(const struct image *image, uint64_t bytes, struct err *err)
{
	int64_t size = image_size(image);

	if (size < 0)
		return err_set(err, (int)-size, "its size: %s", strerror((int)-size));
	if (bytes == (uint64_t)size)
		return 0;
	if (image->block_device)
		return err_set(err, EINVAL,
			       "is a block device of %lld bytes: resize it on the host, then leave "
			       "the size out",
			       (long long)size);
	if (bytes < (uint64_t)size || bytes > INT64_MAX || !is_aligned(bytes, image->logical))
		return err_set(
			err, EINVAL,
			"%llu bytes: it has %lld and can only grow, by whole blocks of %u; to "
			"make it smaller, shrink the guest's file systems, then the file, and "
			"leave the size out",
			(unsigned long long)bytes, (long long)size, image->logical);
	if (ftruncate(image->fd, (off_t)bytes))
		return err_set(err, errno, "cannot have %llu bytes: %s", (unsigned long long)bytes,
			       strerror(errno));
	return 0;
}

static uint32_t block_size(uint32_t bytes, uint32_t least)
{
	return is_pow2(bytes) && bytes >= least && bytes <= 1 * MIB ? bytes : least;
}

/* A limit of a device's queue, which a partition has from the disk that it is on. */
static uint64_t queue_limit(dev_t dev, const char *name, uint64_t unknown)
{
	static const char *const folders[] = { "queue", "../queue" };
	unsigned long long value;
	char path[128];
	bool got = false;

	for (size_t i = 0; i < ARRAY_SIZE(folders) && !got; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev),
			 folders[i], name);
		file = fopen(path, "re");
		if (!file)
			continue;
		got = fscanf(file, "%llu", &value) == 1;
		fclose(file);
	}
	return got ? value : unknown;
}

/*
 * Block devices punch holes by their own way to write zeros (Linux block/fops.c), so what can be
 * discarded hangs on that, and only its grain on what the device says of discards.
 */
static void measure_discards(struct image *image, dev_t dev)
{
	uint64_t grain = queue_limit(dev, "discard_granularity", 0);

	if (!queue_limit(dev, "write_zeroes_max_bytes", UINT64_MAX))
		image->granule = 0;
	else if (grain && grain <= 1 * GIB && is_aligned(grain, image->logical))
		image->granule = (uint32_t)grain;
	else
		image->granule = image->physical;
}

static void measure_device(struct image *image, dev_t dev)
{
	unsigned int physical = 0, minimum = 0, optimal = 0;
	int logical = 0, misaligned = 0;

	(void)ioctl(image->fd, BLKSSZGET, &logical);
	(void)ioctl(image->fd, BLKPBSZGET, &physical);
	(void)ioctl(image->fd, BLKIOMIN, &minimum);
	(void)ioctl(image->fd, BLKIOOPT, &optimal);
	(void)ioctl(image->fd, BLKALIGNOFF, &misaligned);
	image->logical = block_size((uint32_t)logical, SECTOR);
	image->physical = block_size(physical, image->logical);
	image->minimum = MAX(minimum, image->physical);
	image->optimal = optimal;
	/* -1: it lies on its disk as no whole number of blocks says. */
	image->misaligned = misaligned > 0 ? (uint32_t)misaligned : 0;
	measure_discards(image, dev);
}

/* Linux 6.1 says what direct I/O wants; before, 4096 is right nearly everywhere. */
static void measure_direct(struct image *image)
{
	uint32_t memory = 0, offset = 0;
#ifdef STATX_DIOALIGN
	struct statx stx = { 0 };

	if (!statx(image->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		memory = stx.stx_dio_mem_align;
		offset = stx.stx_dio_offset_align;
	}
#endif
	if (!offset)
		memory = offset = image->block_device ? image->logical : 4096;
	image->memory_align = is_pow2(memory) && memory <= 1 * MIB ? memory : 4096;
	image->logical = block_size(offset, image->logical);
	image->physical = MAX(image->physical, image->logical);
	image->minimum = MAX(image->minimum, image->physical);
	if (image->granule)
		image->granule = (uint32_t)align_up(image->granule, image->logical);
}

static int measure(struct image *image, const struct image_options *options, struct err *err)
{
	struct stat st;
	int64_t size;

	if (fstat(image->fd, &st))
		return err_set(err, errno, "%s: %s", options->path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL, "%s: a disk must be a file or a block device",
			       options->path);
	image->block_device = S_ISBLK(st.st_mode);
	image->logical = SECTOR;
	image->physical = image->minimum = image->granule = 4096;
	image->memory_align = 1;
	if (image->block_device)
		measure_device(image, st.st_rdev);
	if (options->direct)
		measure_direct(image);
	size = image_size(image);
	if (size < 0)
		return err_set(err, (int)-size, "%s: its size: %s", options->path,
			       strerror((int)-size));
	image->size = align_down((uint64_t)size, image->logical);
	if (!image->size)
		return err_set(err, EINVAL,
			       "%s: is smaller than one block of %u bytes: make it larger with "
			       "\"truncate -s 1G %s\"",
			       options->path, image->logical, options->path);
	return 0;
}

/*
 * A descriptor that was handed over is opened anew where that is allowed: its lock and its flags
 * are then ours. Else it is used as it is, if it is as it must be.
 */
static int adopt(struct image *image, const struct image_options *options, const char *name,
		 int flags, struct err *err)
{
	int mode = fcntl(options->fd, F_GETFL);
	struct stat st;

	if (mode < 0 || fstat(options->fd, &st))
		return err_set(err, errno, "%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL, "%s: a disk must be a file or a block device", name);
	if ((mode & O_ACCMODE) != O_RDWR && (!options->readonly || (mode & O_ACCMODE) != O_RDONLY))
		return err_set(err, EINVAL, "%s: is not open for %s: hand over one that is, or %s",
			       name, options->readonly ? "reading" : "reading and writing",
			       options->readonly ? "use a path" : "set \"readonly\"");
	image->fd = open(name, flags);
	if (image->fd >= 0)
		return 0;
	if (options->direct && !(mode & O_DIRECT))
		return err_set(err, EINVAL,
			       "%s: is not open for direct I/O: hand over one that is, or leave "
			       "out \"direct\"",
			       name);
	image->fd = fcntl(options->fd, F_DUPFD_CLOEXEC, 3);
	return image->fd < 0 ? err_set(err, errno, "%s: %s", name, strerror(errno)) : 0;
}

/*
 * A file system that the host has mounted does not survive a guest that writes beneath it. Only
 * looked at: a claim that was kept would outlive the image for as long as the kernel takes to end
 * its ring, and be in the way of the machine's next life.
 */
static int refuse_used(const char *path, struct err *err)
{
	struct stat st;
	int fd;

	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || errno != EBUSY)
		return 0;
	return err_set(err, EBUSY,
		       "%s: is in use by the host (mounted, swap, or a part of another device): "
		       "take it out of use there, or give it to the guest \"readonly\"",
		       path);
}

static int open_path(struct image *image, const struct image_options *options, int flags,
		     struct err *err)
{
	int ret = options->readonly ? 0 : refuse_used(options->path, err);

	if (ret)
		return ret;
	image->fd = open(options->path, flags);
	if (image->fd < 0 && errno == EINVAL && options->direct)
		return err_set(err, EINVAL,
			       "%s: its file system has no direct I/O: leave out \"direct\"",
			       options->path);
	if (image->fd < 0)
		return err_set(err, errno, "%s: cannot be opened for %s: %s", options->path,
			       options->readonly ? "reading" : "reading and writing",
			       strerror(errno));
	return 0;
}

int image_open(struct image *image, const struct image_options *options, struct err *err)
{
	int flags = O_CLOEXEC | (options->readonly ? O_RDONLY : O_RDWR) |
		    (options->direct ? O_DIRECT : 0);
	struct image_options named = *options;
	char name[40];
	int ret;

	memset(image, 0, sizeof(*image));
	image->fd = -1;
	if (options->path) {
		ret = open_path(image, options, flags, err);
	} else {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", options->fd);
		named.path = name;
		ret = adopt(image, options, name, flags, err);
	}
	if (ret)
		return ret;
	ret = measure(image, &named, err);
	if (!ret && !options->unlocked)
		ret = lock_image(image, &named, err);
	if (!ret && !options->raw)
		ret = refuse_formats(image, named.path, err);
	if (ret)
		image_close(image);
	return ret;
}

void image_close(struct image *image)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (image->fd < 0)
		return;
	/* A ring that is going away may hold the file a little longer, and the lock with it. */
	(void)fcntl(image->fd, F_OFD_SETLK, &lock);
	close(image->fd);
	image->fd = -1;
}
