/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What spaces cost that several functions share, in adit bench map --devices N. Of iommufd: the
 * first that comes has all memory pinned, the others find it so; what is mapped and unmapped then
 * is so for all. Beside the same ioctls without ioasid-client. Of type1: groups that are bound
 * together, the last of them when the others are attached, beside one container (map-groups.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/map-devices.h"
#include "bench/results.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/bits.h"

/* --- through ioasid-client ------------------------------------------------------------------- */

static bool by_groups(const struct map_devices *devices)
{
	return devices->provider == &map_type1;
}

static struct ioasid_source source_of(const struct map_devices *devices, unsigned int i, int fd)
{
	if (by_groups(devices))
		return (struct ioasid_source){
			.type = IOASID_SOURCE_GROUP,
			.group = { .fd = fd, .name = devices->bdf[i], .together = true },
		};
	return (struct ioasid_source){ .type = IOASID_SOURCE_CDEV, .cdev = { .fd = fd } };
}

struct ours {
	struct ioasid_ctx *ctx;
	struct ioasid_space *space;
	struct ioasid_device *device[FUNCTIONS_MAX];
};

static int bind_one(const struct map_devices *devices, struct ours *ours, unsigned int i,
		    struct err *err)
{
	int fd = open(devices->node[i], O_RDWR | O_CLOEXEC);
	const struct ioasid_source source = source_of(devices, i, fd);
	char label[24];
	int r;

	if (fd < 0)
		return err_set(err, errno, "%s: %m", devices->node[i]);
	snprintf(label, sizeof(label), "device %u", i);
	r = ioasid_bind(ours->ctx, &source, label, &ours->device[i], err);
	if (r)
		close(fd);
	return r;
}

/* All; of groups the last comes later. */
static int bind_first(const struct map_devices *devices, struct ours *ours, struct err *err)
{
	unsigned int n = devices->n - by_groups(devices);
	int r = 0;

	for (unsigned int i = 0; !r && i < n; i++)
		r = bind_one(devices, ours, i, err);
	return r;
}

static int attach_last(const struct map_devices *devices, struct ours *ours, struct err *err)
{
	unsigned int last = devices->n - 1;
	int r = by_groups(devices) ? bind_one(devices, ours, last, err) : 0;

	return r ? r : ioasid_attach(ours->device[last], ours->space, err);
}

static int detach_last(const struct map_devices *devices, struct ours *ours, struct err *err)
{
	unsigned int last = devices->n - 1;

	if (!by_groups(devices))
		return ioasid_detach(ours->device[last], err);
	ioasid_unbind(ours->device[last]);
	return 0;
}

static int time_ours(const struct map_devices *devices, struct ours *ours, double us[SHARED_ROWS],
		     struct err *err)
{
	const struct map_memory *memory = &devices->memory;
	double since = map_now_us();
	int r = ioasid_attach(ours->device[0], ours->space, err);

	us[SHARED_FIRST] = map_lap(&since);
	for (unsigned int i = 1; !r && i < devices->n - 1; i++)
		r = ioasid_attach(ours->device[i], ours->space, err);
	map_lap(&since);
	if (!r)
		r = attach_last(devices, ours, err);
	us[SHARED_LAST] = map_lap(&since);
	if (!r)
		r = ioasid_map_hva(ours->space, SHARED_MORE_IOVA, SHARED_MORE, memory->at,
				   IOASID_READ | IOASID_WRITE, err);
	us[SHARED_MAP] = map_lap(&since);
	if (!r)
		r = ioasid_unmap(ours->space, SHARED_MORE_IOVA, SHARED_MORE, err);
	us[SHARED_UNMAP] = map_lap(&since);
	if (!r)
		r = detach_last(devices, ours, err);
	us[SHARED_DETACH] = map_lap(&since);
	return r;
}

static int our_turn(const struct map_devices *devices, double us[SHARED_ROWS], struct err *err)
{
	const struct ioasid_space_options wanted = { .name = "bench" };
	struct ours ours = { 0 };
	int r = ioasid_ctx_open(&ours.ctx, devices->provider->provider, NULL, err);

	if (r)
		return r;
	r = bind_first(devices, &ours, err);
	if (!r)
		r = ioasid_alloc(ours.ctx, &wanted, &ours.space, err);
	if (!r)
		r = ioasid_map_hva(ours.space, MAP_IOVA, SHARED_MEMORY, devices->memory.at,
				   IOASID_READ | IOASID_WRITE, err);
	if (!r)
		r = time_ours(devices, &ours, us, err);
	ioasid_ctx_close(ours.ctx);
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
static int bare_open(struct bare *bare, const struct map_devices *devices)
{
	struct ifd_ioas_alloc alloc = { .size = sizeof(alloc) };

	bare->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (bare->iommufd < 0)
		return -1;
	for (unsigned int i = 0; i < devices->n; i++) {
		struct vfio_cdev_bind bind = { .argsz = sizeof(bind), .iommufd = bare->iommufd };

		bare->device[i] = open(devices->node[i], O_RDWR | O_CLOEXEC);
		if (bare->device[i] < 0 || ioctl(bare->device[i], VFIO_CDEV_BIND, &bind))
			return -1;
	}
	if (ioctl(bare->iommufd, IFD_IOAS_ALLOC, &alloc))
		return -1;
	bare->ioas = alloc.out_ioas_id;
	return bare_map(bare, &devices->memory, MAP_IOVA, SHARED_MEMORY);
}

static int time_bare(const struct bare *bare, const struct map_devices *devices,
		     double us[SHARED_ROWS])
{
	unsigned int last = devices->n - 1;
	double since = map_now_us();
	int r = bare_attach(bare, 0);

	us[SHARED_FIRST] = map_lap(&since);
	for (unsigned int i = 1; !r && i < last; i++)
		r = bare_attach(bare, i);
	map_lap(&since);
	if (!r)
		r = bare_attach(bare, last);
	us[SHARED_LAST] = map_lap(&since);
	if (!r)
		r = bare_map(bare, &devices->memory, SHARED_MORE_IOVA, SHARED_MORE);
	us[SHARED_MAP] = map_lap(&since);
	if (!r)
		r = bare_unmap(bare, SHARED_MORE_IOVA, SHARED_MORE);
	us[SHARED_UNMAP] = map_lap(&since);
	if (!r)
		r = bare_detach(bare, last);
	us[SHARED_DETACH] = map_lap(&since);
	return r;
}

static int bare_turn(const struct map_devices *devices, double us[SHARED_ROWS], struct err *err)
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

/* --- the contests ---------------------------------------------------------------------------- */

static int devices_turn(struct turn *turn, struct err *err)
{
	const struct map_devices *devices = turn->opaque;
	double us[SHARED_ROWS] = { 0 };
	int r;

	if (!turn->party)
		r = our_turn(devices, us, err);
	else if (by_groups(devices))
		r = map_groups_turn(devices, us, err);
	else
		r = bare_turn(devices, us, err);
	for (unsigned int row = 0; !r && row < SHARED_ROWS; row++)
		turn_put(turn, row, us[row]);
	return r;
}

static int find_devices(struct map_devices *devices, unsigned int n, struct err *err)
{
	int ret = functions_find(devices->bdf, n, err);

	devices->n = n;
	for (unsigned int i = 0; !ret && i < n; i++) {
		function_cdev(devices->bdf[i], devices->node[i], sizeof(devices->node[i]));
		if (!devices->node[i][0])
			ret = err_set(err, ENODEV,
				      "%s: it has no VFIO character device "
				      "(CONFIG_VFIO_DEVICE_CDEV)",
				      devices->bdf[i]);
	}
	return ret;
}

/* False: two of them are in one group, or have none that can be opened. */
static bool find_groups(struct map_devices *devices)
{
	for (unsigned int i = 0; i < devices->n; i++) {
		function_group(devices->bdf[i], devices->node[i], sizeof(devices->node[i]));
		if (!devices->node[i][0])
			return false;
		for (unsigned int before = 0; before < i; before++) {
			if (!strcmp(devices->node[before], devices->node[i]))
				return false;
		}
	}
	return true;
}

static int hold(struct map_devices *devices, struct bench_run *run, struct err *err)
{
	bool groups = by_groups(devices);
	const char *const parts[SHARED_ROWS] = {
		[SHARED_FIRST] = "attach of the first",
		[SHARED_LAST] = groups ? "bind and attach of the last" : "attach of the last",
		[SHARED_MAP] = "map 16 MiB",
		[SHARED_UNMAP] = "unmap 16 MiB",
		[SHARED_DETACH] = groups ? "unbind of the last" : "detach of the last",
	};
	struct contest_row rows[SHARED_ROWS];
	char names[SHARED_ROWS][80];
	struct contest contest = {
		.name = groups ? "groups of one space" : "devices of one space",
		.parties = { "adit", groups ? "one container" : "bare ioctls" },
		.party_count = 2,
		.rows = rows,
		.row_count = SHARED_ROWS,
		.turn = devices_turn,
		.opaque = devices,
	};

	for (int row = 0; row < SHARED_ROWS; row++) {
		snprintf(names[row], sizeof(names[row]), "%s, 64 MiB in 4K pages, %u %s: %s",
			 devices->provider->name, devices->n, groups ? "groups" : "devices",
			 parts[row]);
		rows[row] = (struct contest_row){
			.name = names[row],
			.unit = "us",
			/* Before a group comes to others it is looked at. */
			.target = groups && row == SHARED_LAST ? 0 : 1.02,
		};
	}
	return contest_hold(&contest, run, err);
}

static int measure(struct map_devices *devices, struct bench_run *run, struct err *err)
{
	int ret;

	devices->provider = &map_iommufd;
	ret = hold(devices, run, err);
	if (ret)
		return ret;
	devices->provider = &map_type1;
	if (find_groups(devices))
		return hold(devices, run, err);
	results_note(run->results,
		     "type1, several groups: the first %u functions are not in as "
		     "many groups that can be opened",
		     devices->n);
	return 0;
}

int bench_map_devices(struct bench_run *run, struct err *err)
{
	struct map_devices *devices;
	int ret;

	if (!run->options->devices) {
		results_note(run->results, "several devices of one space: not measured without "
					   "--devices N");
		return 0;
	}
	if (run->options->devices < 2)
		return err_set(err, EINVAL, "--devices 1: a space is shared by 2 and more");
	devices = calloc(1, sizeof(*devices));
	if (!devices)
		return err_set(err, ENOMEM, "no memory");
	ret = find_devices(devices, run->options->devices, err);
	if (!ret && map_memory_new(&devices->memory, 12, SHARED_MEMORY))
		ret = err_set(err, ENOMEM, "%llu bytes of memory", SHARED_MEMORY);
	if (!ret) {
		ret = measure(devices, run, err);
		map_memory_free(&devices->memory);
	}
	free(devices);
	return ret;
}
