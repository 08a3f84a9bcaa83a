/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What iommufd's spaces cost that several functions share, in adit bench map --devices N: the first
 * that comes has all memory pinned, the others find it so; what is mapped and unmapped then is so
 * for all. Beside the same ioctls without ioasid-client.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/map.h"
#include "bench/results.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/bits.h"

#define MEMORY	  (64 * MIB)
#define MORE	  (16 * MIB) /* of it, that is mapped while all are attached */
#define MORE_IOVA (MAP_IOVA + MEMORY)

enum row {
	FIRST,
	LAST,
	MAP,
	UNMAP,
	DETACH,
	ROWS
};

struct devices {
	unsigned int n;
	char cdev[FUNCTIONS_MAX][64];
	struct map_memory memory;
};

/* When it began; us since then. */
static double lap(double *since)
{
	double now = map_now_us(), us = now - *since;

	*since = now;
	return us;
}

/* --- through ioasid-client ------------------------------------------------------------------- */

static int bind_all(const struct devices *devices, struct ioasid_ctx *ctx,
		    struct ioasid_device **device, struct err *err)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < devices->n; i++) {
		struct ioasid_source source = {
			.type = IOASID_SOURCE_CDEV,
			.cdev = { .fd = open(devices->cdev[i], O_RDWR | O_CLOEXEC) },
		};
		char label[24];

		if (source.cdev.fd < 0)
			return err_set(err, errno, "%s: %m", devices->cdev[i]);
		snprintf(label, sizeof(label), "device %u", i);
		r = ioasid_bind(ctx, &source, label, &device[i], err);
		if (r)
			close(source.cdev.fd);
	}
	return r;
}

static int time_ours(const struct devices *devices, struct ioasid_device **device,
		     struct ioasid_space *space, double us[ROWS], struct err *err)
{
	const struct map_memory *memory = &devices->memory;
	unsigned int last = devices->n - 1;
	double since = map_now_us();
	int r = ioasid_attach(device[0], space, err);

	us[FIRST] = lap(&since);
	for (unsigned int i = 1; !r && i < last; i++)
		r = ioasid_attach(device[i], space, err);
	lap(&since);
	if (!r)
		r = ioasid_attach(device[last], space, err);
	us[LAST] = lap(&since);
	if (!r)
		r = ioasid_map_hva(space, MORE_IOVA, MORE, memory->at, IOASID_READ | IOASID_WRITE,
				   err);
	us[MAP] = lap(&since);
	if (!r)
		r = ioasid_unmap(space, MORE_IOVA, MORE, err);
	us[UNMAP] = lap(&since);
	if (!r)
		r = ioasid_detach(device[last], err);
	us[DETACH] = lap(&since);
	return r;
}

static int our_turn(const struct devices *devices, double us[ROWS], struct err *err)
{
	const struct ioasid_space_options wanted = { .name = "bench" };
	struct ioasid_device *device[FUNCTIONS_MAX] = { 0 };
	struct ioasid_space *space = NULL;
	struct ioasid_ctx *ctx;
	int r = ioasid_ctx_open(&ctx, IOASID_PROVIDER_IOMMUFD, NULL, err);

	if (r)
		return r;
	r = bind_all(devices, ctx, device, err);
	if (!r)
		r = ioasid_alloc(ctx, &wanted, &space, err);
	if (!r)
		r = ioasid_map_hva(space, MAP_IOVA, MEMORY, devices->memory.at,
				   IOASID_READ | IOASID_WRITE, err);
	if (!r)
		r = time_ours(devices, device, space, us, err);
	ioasid_ctx_close(ctx);
	return r;
}

/* --- by the bare ioctls ---------------------------------------------------------------------- */

struct bare {
	int iommufd, device[FUNCTIONS_MAX];
	uint32_t ioas;
};

static int bare_map(const struct bare *bare, const struct map_memory *memory, uint64_t iova,
		    uint64_t size)
{
	struct ifd_ioas_map map = {
		.size = sizeof(map),
		.flags = IFD_MAP_FIXED_IOVA | IFD_MAP_WRITEABLE | IFD_MAP_READABLE,
		.ioas_id = bare->ioas,
		.user_va = (uintptr_t)memory->at,
		.length = size,
		.iova = iova,
	};

	return ioctl(bare->iommufd, IFD_IOAS_MAP, &map);
}

static int bare_unmap(const struct bare *bare, uint64_t iova, uint64_t size)
{
	struct ifd_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = bare->ioas, .iova = iova, .length = size
	};

	return ioctl(bare->iommufd, IFD_IOAS_UNMAP, &unmap);
}

static int bare_attach(const struct bare *bare, unsigned int i)
{
	struct vfio_cdev_attach attach = { .argsz = sizeof(attach), .pt_id = bare->ioas };

	return ioctl(bare->device[i], VFIO_CDEV_ATTACH, &attach);
}

static int bare_detach(const struct bare *bare, unsigned int i)
{
	struct vfio_cdev_detach detach = { .argsz = sizeof(detach) };

	return ioctl(bare->device[i], VFIO_CDEV_DETACH, &detach);
}

/* 0 or -1 with errno. */
static int bare_open(struct bare *bare, const struct devices *devices)
{
	struct ifd_ioas_alloc alloc = { .size = sizeof(alloc) };

	bare->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (bare->iommufd < 0)
		return -1;
	for (unsigned int i = 0; i < devices->n; i++) {
		struct vfio_cdev_bind bind = { .argsz = sizeof(bind), .iommufd = bare->iommufd };

		bare->device[i] = open(devices->cdev[i], O_RDWR | O_CLOEXEC);
		if (bare->device[i] < 0 || ioctl(bare->device[i], VFIO_CDEV_BIND, &bind))
			return -1;
	}
	if (ioctl(bare->iommufd, IFD_IOAS_ALLOC, &alloc))
		return -1;
	bare->ioas = alloc.out_ioas_id;
	return bare_map(bare, &devices->memory, MAP_IOVA, MEMORY);
}

static int time_bare(const struct bare *bare, const struct devices *devices, double us[ROWS])
{
	unsigned int last = devices->n - 1;
	double since = map_now_us();
	int r = bare_attach(bare, 0);

	us[FIRST] = lap(&since);
	for (unsigned int i = 1; !r && i < last; i++)
		r = bare_attach(bare, i);
	lap(&since);
	if (!r)
		r = bare_attach(bare, last);
	us[LAST] = lap(&since);
	if (!r)
		r = bare_map(bare, &devices->memory, MORE_IOVA, MORE);
	us[MAP] = lap(&since);
	if (!r)
		r = bare_unmap(bare, MORE_IOVA, MORE);
	us[UNMAP] = lap(&since);
	if (!r)
		r = bare_detach(bare, last);
	us[DETACH] = lap(&since);
	return r;
}

static int bare_turn(const struct devices *devices, double us[ROWS], struct err *err)
{
	struct bare bare;
	int r = 0;

	memset(bare.device, 0xff, sizeof(bare.device));
	if (bare_open(&bare, devices) || time_bare(&bare, devices, us))
		r = err_set(err, errno, "iommufd by the bare ioctls, %u devices: %m", devices->n);
	for (unsigned int i = 0; i < devices->n; i++) {
		if (bare.device[i] >= 0)
			close(bare.device[i]);
	}
	if (bare.iommufd >= 0)
		close(bare.iommufd);
	return r;
}

/* --- the contest ----------------------------------------------------------------------------- */

static int devices_turn(struct turn *turn, struct err *err)
{
	double us[ROWS] = { 0 };
	int r = turn->party ? bare_turn(turn->opaque, us, err) : our_turn(turn->opaque, us, err);

	for (unsigned int row = 0; !r && row < ROWS; row++)
		turn_put(turn, row, us[row]);
	return r;
}

static int find_devices(struct devices *devices, unsigned int n, struct err *err)
{
	char bdf[FUNCTIONS_MAX][BDF_CHARS + 1];
	int ret = functions_find(bdf, n, err);

	devices->n = n;
	for (unsigned int i = 0; !ret && i < n; i++) {
		function_cdev(bdf[i], devices->cdev[i], sizeof(devices->cdev[i]));
		if (!devices->cdev[i][0])
			ret = err_set(err, ENODEV,
				      "%s: it has no VFIO character device "
				      "(CONFIG_VFIO_DEVICE_CDEV)",
				      bdf[i]);
	}
	return ret;
}

static int hold(struct devices *devices, struct bench_run *run, struct err *err)
{
	static const char *const parts[ROWS] = {
		[FIRST] = "attach of the first",
		[LAST] = "attach of the last",
		[MAP] = "map 16 MiB",
		[UNMAP] = "unmap 16 MiB",
		[DETACH] = "detach of the last",
	};
	struct contest_row rows[ROWS];
	char names[ROWS][80];
	struct contest contest = {
		.name = "devices of one space",
		.parties = { "adit", "bare ioctls" },
		.party_count = 2,
		.rows = rows,
		.row_count = ROWS,
		.turn = devices_turn,
		.opaque = devices,
	};

	for (int row = 0; row < ROWS; row++) {
		snprintf(names[row], sizeof(names[row]),
			 "iommufd, 64 MiB in 4K pages, %u devices: %s", devices->n, parts[row]);
		rows[row] = (struct contest_row){
			.name = names[row],
			.unit = "us",
			.target = 1.02,
		};
	}
	return contest_hold(&contest, run, err);
}

int bench_map_devices(struct bench_run *run, struct err *err)
{
	struct devices *devices;
	int ret;

	if (!run->options->devices) {
		results_note(run->results, "iommufd, several devices of one space: not measured "
					   "without --devices N");
		return 0;
	}
	if (run->options->devices < 2)
		return err_set(err, EINVAL, "--devices 1: a space is shared by 2 and more");
	devices = calloc(1, sizeof(*devices));
	if (!devices)
		return err_set(err, ENOMEM, "no memory");
	ret = find_devices(devices, run->options->devices, err);
	if (!ret && map_memory_new(&devices->memory, 12, MEMORY))
		ret = err_set(err, ENOMEM, "%llu bytes of memory", MEMORY);
	if (!ret) {
		ret = hold(devices, run, err);
		map_memory_free(&devices->memory);
	}
	free(devices);
	return ret;
}
