/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks on block devices, and on file systems that run out or go away: loop devices over files of a
 * small tmpfs in a mount namespace of the test's own. Needs root and /dev/loop-control.
 */
#include "tests/unit/test-virtio-blk.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define BYTES	  (1u << 20)  /* of the files behind */
#define ROOM	  "size=3M"   /* of the file system that they are on */
#define FAR_BYTES (64u << 20) /* more than that */

static char folder[] = "/tmp/adit-blk-XXXXXX";
static const char *missing; /* why nothing of this can be had */

/* In a namespace that goes with the process, whatever becomes of it. */
static int set_up(void **state)
{
	(void)state;
	if (geteuid())
		missing = "needs root";
	else if (!mkdtemp(folder))
		missing = "no folder in /tmp";
	else if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		 mount("tmpfs", folder, "tmpfs", 0, ROOM))
		missing = "needs a mount namespace";
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	return 0;
}

struct device {
	char back[64], path[24]; /* the file behind, and the device */
	int file, fd;
};

static int make_file(char path[64], off_t bytes)
{
	int fd;

	snprintf(path, 64, "%s/image", folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	return fd;
}

/* False, and skipped: the kernel has no loop devices. */
static bool make_device(struct device *d, off_t bytes, uint32_t block)
{
	struct loop_config config = { .block_size = block, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = missing ? -1 : open("/dev/loop-control", O_RDWR | O_CLOEXEC), ret = -1;

	*d = (struct device){ .file = -1, .fd = -1 };
	if (control < 0)
		return false;
	d->file = make_file(d->back, bytes);
	config.fd = (uint32_t)d->file;
	/* Another may take the free one first. */
	for (int tries = 0; ret && tries < 100; tries++) {
		snprintf(d->path, sizeof(d->path), "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		d->fd = open(d->path, O_RDWR | O_CLOEXEC);
		ret = d->fd < 0 ? -1 : ioctl(d->fd, LOOP_CONFIGURE, &config);
		if (ret && d->fd >= 0)
			close(d->fd);
	}
	close(control);
	if (ret)
		close(d->file);
	return !ret;
}

/* With the last descriptor the device lets go of its file. */
static void free_device(struct device *d)
{
	close(d->fd);
	close(d->file);
	unlink(d->back);
}

#define NEED_DEVICE(d, bytes, block)                                                         \
	do {                                                                                 \
		if (!make_device((d), (bytes), (block)))                                     \
			skip_because("%s", missing ? missing : "no loop device can be had"); \
	} while (0)

static uint64_t field(struct disk *d, size_t offset, unsigned int size)
{
	return reg(&d->b, VIRTIO_BAR_DEVICE + offset, size);
}
#define FIELD(d, name)                                       \
	field((d), offsetof(struct virtio_blk_config, name), \
	      sizeof(((struct virtio_blk_config *)NULL)->name))

static off_t stored(const struct device *d)
{
	struct stat st;

	assert_int_equal(fstat(d->file, &st), 0);
	return st.st_blocks * 512;
}

/* --- tests ----------------------------------------------------------------------------------- */

static void size_blocks_and_topology_are_the_devices(void **state)
{
	static const uint32_t blocks[] = { 512, 4096 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		struct device device;
		struct blk_options options;
		unsigned int physical, least, best;
		struct disk d;

		NEED_DEVICE(&device, BYTES, blocks[i]);
		assert_int_equal(ioctl(device.fd, BLKPBSZGET, &physical), 0);
		assert_int_equal(ioctl(device.fd, BLKIOMIN, &least), 0);
		assert_int_equal(ioctl(device.fd, BLKIOOPT, &best), 0);
		for (int direct = 0; direct < 2; direct++) {
			options = plain(device.path);
			options.image.direct = direct;
			open_disk(&d, &options);
			start(&d, BENCH_VERSION_1);
			assert_true(bench_offered(&d.b) & VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY));
			assert_int_equal(FIELD(&d, capacity), BYTES / 512);
			assert_int_equal(FIELD(&d, blk_size), blocks[i]);
			assert_int_equal(blocks[i] << FIELD(&d, physical_block_exp), physical);
			assert_int_equal(FIELD(&d, alignment_offset), 0);
			assert_int_equal(FIELD(&d, min_io_size) * blocks[i], least);
			assert_int_equal(FIELD(&d, opt_io_size) * blocks[i], best);
			assert_int_equal(FIELD(&d, discard_sector_alignment) * 512 % blocks[i], 0);
			assert_int_not_equal(FIELD(&d, discard_sector_alignment), 0);
			bench_close(&d.b);
		}
		free_device(&device);
	}
}

static void what_is_written_to_a_device_is_read(void **state)
{
	struct device device;
	struct blk_options options;
	struct disk d;

	(void)state;
	NEED_DEVICE(&device, BYTES, 4096);
	options = plain(device.path);
	for (int mode = 0; mode < 4; mode++) {
		options.image.direct = mode & 1;
		options.pinned = mode & 2;
		open_disk(&d, &options);
		for (size_t i = 0; i < ARRAY_SIZE(bench_layouts); i++) {
			start(&d, bench_layouts[i]);
			for (unsigned int n = 0; n < 10; n++)
				round_trip(&d, n & 1, (n * 48) & ~7u, 4096 << (n & 3));
			assert_int_equal(request(&d, 0, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), 0);
		}
		/* What does not fit the device's blocks is an error, not half a block. */
		if (options.image.direct)
			assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, 1, 512, NULL),
					 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, BYTES / 512 - 8, 8192, NULL),
				 VIRTIO_BLK_S_IOERR);
		bench_close(&d.b);
	}
	free_device(&device);
}

static void discards_and_zeros_reach_what_is_behind(void **state)
{
	struct device device;
	struct blk_options options;
	struct disk d;
	off_t full;

	(void)state;
	NEED_DEVICE(&device, BYTES, 512);
	options = plain(device.path);
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	for (unsigned int way = 0; way < 3; way++) {
		fill(&d, 512 * 1024);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, 0, 512 * 1024, NULL), 0);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), 0);
		full = stored(&device);
		assert_true(full >= 512 * 1024);
		assert_int_equal(request_range(&d,
					       way == 0 ? VIRTIO_BLK_T_DISCARD
							: VIRTIO_BLK_T_WRITE_ZEROES,
					       256, 512, way == 1),
				 0);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), 0);
		if (way < 2)
			assert_int_equal(stored(&device), full - 256 * 1024);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 256, 256 * 1024, NULL), 0);
		assert_true(are_zeros(&d, 256 * 1024));
	}
	assert_int_equal(request_range(&d, VIRTIO_BLK_T_DISCARD, BYTES / 512 - 8, 9, 0),
			 VIRTIO_BLK_S_IOERR);
	bench_close(&d.b);
	free_device(&device);
}

static void resize_behind(struct device *device, off_t bytes)
{
	assert_int_equal(ftruncate(device->file, bytes), 0);
	assert_int_equal(ioctl(device->fd, LOOP_SET_CAPACITY), 0);
}

static void a_device_that_was_resized_is_told_to_the_guest(void **state)
{
	struct device device;
	struct blk_options options;
	struct disk d;
	struct err err;

	(void)state;
	NEED_DEVICE(&device, BYTES, 512);
	options = plain(device.path);
	options.image.direct = true;
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	resize_behind(&device, 2 * BYTES);
	assert_int_equal(FIELD(&d, capacity), BYTES / 512);
	assert_ok(blk_resize(d.blk, 0, &err), &err);
	bench_wait(&d.b, 0);
	assert_int_equal(FIELD(&d, capacity), 2 * BYTES / 512);
	round_trip(&d, 0, 2 * BYTES / 512 - 8, 4096);
	/* Its size is the host's affair. */
	assert_ok(blk_resize(d.blk, 2 * BYTES, &err), &err);
	assert_int_equal(blk_resize(d.blk, 4 * BYTES, &err), -EINVAL);
	assert_non_null(strstr(err.text, "resize it on the host"));
	/* It shrinks beneath the guest: errors there, and then it knows. */
	resize_behind(&device, BYTES);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, BYTES / 512, 4096, NULL),
			 VIRTIO_BLK_S_IOERR);
	fill(&d, 4096);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, BYTES / 512, 4096, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_ok(blk_resize(d.blk, 0, &err), &err);
	bench_wait(&d.b, 0);
	assert_int_equal(FIELD(&d, capacity), BYTES / 512);
	round_trip(&d, 0, BYTES / 512 - 8, 4096);
	bench_close(&d.b);
	free_device(&device);
}

/* What is behind it ends: reads fail, of what is cached too late. Nothing else happens. */
static void what_is_behind_a_device_goes_away(void **state)
{
	struct device device;
	struct blk_options options;
	struct disk d;

	(void)state;
	NEED_DEVICE(&device, BYTES, 512);
	options = plain(device.path);
	for (int pinned = 0; pinned < 2; pinned++) {
		options.image.direct = true;
		options.pinned = pinned;
		open_disk(&d, &options);
		start(&d, bench_layouts[3]);
		round_trip(&d, 0, 64, 65536);
		assert_int_equal(ftruncate(device.file, 0), 0);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 64, 65536, NULL),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, 1, VIRTIO_BLK_T_IN, 0, 4096, NULL),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(ftruncate(device.file, BYTES), 0);
		round_trip(&d, 1, 64, 65536);
		bench_close(&d.b);
	}
	free_device(&device);
}

/* More is promised than is there: the guest hears of it where it writes, or where it flushes. */
static void a_device_without_room_behind_is_an_error_to_the_guest(void **state)
{
	struct device device;
	struct blk_options options;
	unsigned int bad;
	struct disk d;

	(void)state;
	NEED_DEVICE(&device, FAR_BYTES, 512);
	options = plain(device.path);
	for (int direct = 1; direct >= 0; direct--) {
		options.image.direct = direct;
		open_disk(&d, &options);
		start(&d, BENCH_VERSION_1);
		bad = 0;
		for (unsigned int i = 0; i < 8; i++) {
			fill(&d, 1 << 20);
			bad += !!request(&d, 0, VIRTIO_BLK_T_OUT, i * 2048, 1 << 20, NULL);
		}
		bad += !!request(&d, 0, VIRTIO_BLK_T_FLUSH, 0, 0, NULL);
		assert_in_range(bad, 1, 8);
		assert_int_equal(ftruncate(device.file, 0), 0);
		assert_int_equal(ftruncate(device.file, FAR_BYTES), 0);
		bench_close(&d.b);
	}
	free_device(&device);
}

static void a_file_system_without_room_is_an_error_to_the_guest(void **state)
{
	struct blk_options options;
	unsigned int bad = 0;
	struct disk d;
	char path[64];
	int fd;

	(void)state;
	if (missing)
		skip_because("%s", missing);
	fd = make_file(path, FAR_BYTES);
	options = plain(path);
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	for (unsigned int i = 0; i < 8; i++) {
		fill(&d, 1 << 20);
		bad += request(&d, 0, VIRTIO_BLK_T_OUT, i * 2048, 1 << 20, NULL) ==
		       VIRTIO_BLK_S_IOERR;
	}
	assert_in_range(bad, 5, 6);
	/* A discard makes room, and a request that failed can be made again. */
	assert_int_equal(request_range(&d, VIRTIO_BLK_T_DISCARD, 0, 2048, 0), 0);
	round_trip(&d, 0, 7 * 2048, 1 << 19);
	bench_close(&d.b);
	close(fd);
	unlink(path);
}

/* tmpfs has holes and no other way to zeros: each way that is missing is found out once. */
static void zeros_come_by_what_the_file_system_can(void **state)
{
	struct blk_options options;
	struct stat st;
	struct disk d;
	char path[64];
	int fd;

	(void)state;
	if (missing)
		skip_because("%s", missing);
	fd = make_file(path, BYTES);
	options = plain(path);
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	for (unsigned int unmap = 0; unmap < 4; unmap++) {
		fill(&d, 1 << 19);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_OUT, 0, 1 << 19, NULL), 0);
		assert_int_equal(request_range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1024, unmap & 1),
				 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_blocks, unmap & 1 ? 0 : 1024);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 1 << 19, NULL), 0);
		assert_true(are_zeros(&d, 1 << 19));
	}
	bench_close(&d.b);
	close(fd);
	unlink(path);
}

/* The driver wants no cache (5.2.6.1): zeros are on stable storage when they are answered too. */
static void zeros_without_a_cache_are_flushed(void **state)
{
	struct blk_options options;
	struct disk d;
	char path[64];
	int fd;

	(void)state;
	if (missing)
		skip_because("%s", missing);
	fd = make_file(path, BYTES);
	options = plain(path);
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	set(&d.b, VIRTIO_BAR_DEVICE + offsetof(struct virtio_blk_config, wce), 0, 1);
	for (unsigned int unmap = 0; unmap < 2; unmap++) {
		round_trip(&d, 0, 0, 1 << 16);
		assert_int_equal(request_range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 128, unmap), 0);
		assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 1 << 16, NULL), 0);
		assert_true(are_zeros(&d, 1 << 16));
	}
	bench_close(&d.b);
	close(fd);
	unlink(path);
}

/* As a file system that is mounted holds it. */
static void a_device_that_the_host_uses_is_for_reading_only(void **state)
{
	struct device device;
	struct blk_options options;
	struct disk d;
	int claim;

	(void)state;
	NEED_DEVICE(&device, BYTES, 512);
	options = plain(device.path);
	claim = open(device.path, O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(claim >= 0);
	assert_refused(&options, EBUSY, "in use by the host");
	options.image.readonly = true;
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	assert_int_equal(request(&d, 0, VIRTIO_BLK_T_IN, 0, 512, NULL), 0);
	bench_close(&d.b);
	close(claim);
	/* Who hands a descriptor over may hold the claim. */
	claim = open(device.path, O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(claim >= 0);
	options = plain(NULL);
	options.image.fd = claim;
	open_disk(&d, &options);
	start(&d, BENCH_VERSION_1);
	round_trip(&d, 0, 0, 4096);
	bench_close(&d.b);
	close(claim);
	free_device(&device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_blocks_and_topology_are_the_devices),
		cmocka_unit_test(what_is_written_to_a_device_is_read),
		cmocka_unit_test(discards_and_zeros_reach_what_is_behind),
		cmocka_unit_test(a_device_that_was_resized_is_told_to_the_guest),
		cmocka_unit_test(what_is_behind_a_device_goes_away),
		cmocka_unit_test(a_device_without_room_behind_is_an_error_to_the_guest),
		cmocka_unit_test(a_file_system_without_room_is_an_error_to_the_guest),
		cmocka_unit_test(zeros_come_by_what_the_file_system_can),
		cmocka_unit_test(zeros_without_a_cache_are_flushed),
		cmocka_unit_test(a_device_that_the_host_uses_is_for_reading_only),
	};

	return cmocka_run_group_tests_name("virtio-blk-device", tests, set_up, tear_down);
}
