/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host PASIDs of a device on iommufd, in adit bench map: what one costs to attach and to detach
 * while there are no others, and while there are many. Beside the same ioctls without
 * ioasid-client.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/map.h"
#include "bench/results.h"
#include "ioasid-client/providers/iommufd-uapi.h"
#include "util/bits.h"

#define MEMORY	    MIB /* there is some; none of it is entered anew for a PASID */
#define OTHERS	    255u
#define WIDTH_LEAST 10u /* bits, of so many and those that come and go */
#define PAIRS	    32u
#define NUMBER	    1000u /* the one that comes and goes */

enum row {
	ATTACH,
	DETACH,
	ATTACH_BESIDE,
	DETACH_BESIDE,
	ROWS
};

struct pasids {
	struct bench_options options; /* its cdev: a device that has them */
	char cdev[64];
	struct map_memory memory;
};

/* What both do: so many pairs, and their mean. */
struct way {
	int (*attach)(void *arg, uint32_t number, struct err *err);
	int (*detach)(void *arg, uint32_t number, struct err *err);
	void *arg;
};

static int time_pairs(const struct way *way, double *attach, double *detach, struct err *err)
{
	int r = 0;

	*attach = *detach = 0;
	for (unsigned int i = 0; !r && i < PAIRS; i++) {
		double start = map_now_us();

		r = way->attach(way->arg, NUMBER, err);
		*attach += map_now_us() - start;
		if (r)
			break;
		start = map_now_us();
		r = way->detach(way->arg, NUMBER, err);
		*detach += map_now_us() - start;
	}
	*attach /= PAIRS;
	*detach /= PAIRS;
	return r;
}

static int time_all(const struct way *way, double us[ROWS], struct err *err)
{
	int r = time_pairs(way, &us[ATTACH], &us[DETACH], err);

	for (uint32_t other = 1; !r && other <= OTHERS; other++)
		r = way->attach(way->arg, other, err);
	return r ? r : time_pairs(way, &us[ATTACH_BESIDE], &us[DETACH_BESIDE], err);
}

/* --- through ioasid-client ------------------------------------------------------------------- */

struct ours {
	struct ioasid_device *device;
	struct ioasid_space *space;
	struct ioasid_pasid *pasid[NUMBER + 1];
};

static int our_attach(void *arg, uint32_t number, struct err *err)
{
	struct ours *ours = arg;

	return ioasid_pasid_attach(ours->device, ours->space, number, &ours->pasid[number], err);
}

static int our_detach(void *arg, uint32_t number, struct err *err)
{
	const struct ours *ours = arg;

	(void)err;
	ioasid_pasid_detach(ours->pasid[number]);
	return 0;
}

/* -EOPNOTSUPP: it has too few. */
static int open_ours(struct ours *ours, struct ioasid_ctx *ctx, const struct pasids *pasids,
		     struct err *err)
{
	const struct ioasid_space_options wanted = { .name = "bench", .pasid_capable = true };
	struct ioasid_device_info info;
	int r = map_bind(&map_iommufd, &pasids->options, ctx, &ours->device, err);

	if (r)
		return r;
	ioasid_device_info(ours->device, &info);
	if (info.pasid_width < WIDTH_LEAST)
		return err_set(err, EOPNOTSUPP, "%s has %u bits of PASID, and %u are needed",
			       info.name, info.pasid_width, WIDTH_LEAST);
	r = ioasid_alloc(ctx, &wanted, &ours->space, err);
	if (!r)
		r = ioasid_map_hva(ours->space, MAP_IOVA, MEMORY, pasids->memory.at,
				   IOASID_READ | IOASID_WRITE, err);
	return r ? r : ioasid_attach(ours->device, ours->space, err);
}

static int our_turn(const struct pasids *pasids, double us[ROWS], struct err *err)
{
	struct ours ours = { 0 };
	const struct way way = { our_attach, our_detach, &ours };
	struct ioasid_ctx *ctx;
	int r = ioasid_ctx_open(&ctx, IOASID_PROVIDER_IOMMUFD, NULL, err);

	if (r)
		return r;
	r = open_ours(&ours, ctx, pasids, err);
	if (!r && us)
		r = time_all(&way, us, err);
	ioasid_ctx_close(ctx);
	return r;
}

/* --- by the bare ioctls ---------------------------------------------------------------------- */

struct bare {
	int iommufd, device;
	uint32_t hwpt;
};

static int bare_attach(void *arg, uint32_t number, struct err *err)
{
	const struct bare *bare = arg;
	struct vfio_cdev_attach attach = {
		.argsz = sizeof(attach),
		.flags = number ? VFIO_CDEV_PASID : 0,
		.pt_id = bare->hwpt,
		.pasid = number,
	};

	return ioctl(bare->device, VFIO_CDEV_ATTACH, &attach)
		       ? err_set(err, errno, "attach of PASID %u by the bare ioctl: %m", number)
		       : 0;
}

static int bare_detach(void *arg, uint32_t number, struct err *err)
{
	const struct bare *bare = arg;
	struct vfio_cdev_detach detach = { .argsz = sizeof(detach),
					   .flags = VFIO_CDEV_PASID,
					   .pasid = number };

	return ioctl(bare->device, VFIO_CDEV_DETACH, &detach)
		       ? err_set(err, errno, "detach of PASID %u by the bare ioctl: %m", number)
		       : 0;
}

static int bare_open(struct bare *bare, const struct pasids *pasids, struct err *err)
{
	struct ifd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_cdev_bind bind = { .argsz = sizeof(bind) };
	struct ifd_hwpt_alloc hwpt = { .size = sizeof(hwpt), .flags = IFD_HWPT_PASID };
	struct ifd_ioas_map map = {
		.size = sizeof(map),
		.flags = IFD_MAP_FIXED_IOVA | IFD_MAP_WRITEABLE | IFD_MAP_READABLE,
		.user_va = (uintptr_t)pasids->memory.at,
		.length = MEMORY,
		.iova = MAP_IOVA,
	};

	bare->iommufd = bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (bare->iommufd >= 0)
		bare->device = open(pasids->options.cdev, O_RDWR | O_CLOEXEC);
	if (bare->iommufd < 0 || bare->device < 0 || ioctl(bare->device, VFIO_CDEV_BIND, &bind) ||
	    ioctl(bare->iommufd, IFD_IOAS_ALLOC, &alloc))
		return err_set(err, errno, "iommufd by the bare ioctls: %m");
	map.ioas_id = hwpt.pt_id = alloc.out_ioas_id;
	hwpt.dev_id = bind.out_devid;
	if (ioctl(bare->iommufd, IFD_IOAS_MAP, &map) || ioctl(bare->iommufd, IFD_HWPT_ALLOC, &hwpt))
		return err_set(err, errno, "a page table for PASIDs by the bare ioctls: %m");
	bare->hwpt = hwpt.out_hwpt_id;
	return bare_attach(bare, 0, err);
}

static int bare_turn(const struct pasids *pasids, double us[ROWS], struct err *err)
{
	struct bare bare = { -1, -1, 0 };
	const struct way way = { bare_attach, bare_detach, &bare };
	int r = bare_open(&bare, pasids, err);

	if (!r)
		r = time_all(&way, us, err);
	if (bare.device >= 0)
		close(bare.device);
	if (bare.iommufd >= 0)
		close(bare.iommufd);
	return r;
}

/* --- the contest ----------------------------------------------------------------------------- */

static int pasids_turn(struct turn *turn, struct err *err)
{
	double us[ROWS];
	int r = turn->party ? bare_turn(turn->opaque, us, err) : our_turn(turn->opaque, us, err);

	for (unsigned int row = 0; !r && row < ROWS; row++)
		turn_put(turn, row, us[row]);
	return r;
}

static int hold(struct pasids *pasids, struct bench_run *run, struct err *err)
{
	static const struct contest_row rows[ROWS] = {
		[ATTACH] = { .name = "iommufd: PASID attach, no others",
			     .unit = "us",
			     .target = 1.1 },
		[DETACH] = { .name = "iommufd: PASID detach, no others",
			     .unit = "us",
			     .target = 1.1 },
		[ATTACH_BESIDE] = { .name = "iommufd: PASID attach, 255 others",
				    .unit = "us",
				    .target = 1.1 },
		[DETACH_BESIDE] = { .name = "iommufd: PASID detach, 255 others",
				    .unit = "us",
				    .target = 1.1 },
	};
	struct contest contest = {
		.name = "PASIDs of a device",
		.parties = { "adit", "bare ioctls" },
		.party_count = 2,
		.rows = rows,
		.row_count = ROWS,
		.turn = pasids_turn,
		.opaque = pasids,
	};

	return contest_hold(&contest, run, err);
}

static void say_none(struct bench_run *run, const struct err *why)
{
	results_note(run->results, "iommufd: PASIDs: not measured: %s", why->text);
}

/* The device of --cdev; with --devices of all functions that vfio-pci has the first that can. */
static bool find_one(struct pasids *pasids, struct bench_run *run)
{
	char bdf[FUNCTIONS_MAX][BDF_CHARS + 1];
	unsigned int n = run->options->devices ? FUNCTIONS_MAX : 0;
	struct err why = { 0 };

	if (run->options->cdev && !our_turn(pasids, NULL, &why))
		return true;
	while (n && functions_find(bdf, n, &why))
		n--;
	pasids->options.cdev = pasids->cdev;
	for (unsigned int i = 0; i < n; i++) {
		function_cdev(bdf[i], pasids->cdev, sizeof(pasids->cdev));
		why = (struct err){ 0 };
		if (pasids->cdev[0] && !our_turn(pasids, NULL, &why))
			return true;
	}
	say_none(run, &why);
	return false;
}

int bench_map_pasids(struct bench_run *run, struct err *err)
{
	struct pasids pasids = { .options = *run->options };
	int ret = 0;

	if (!run->options->cdev && !run->options->devices)
		return 0; /* map-kernel.c says so */
	if (map_memory_new(&pasids.memory, 12, MEMORY))
		return err_set(err, ENOMEM, "%llu bytes of memory", MEMORY);
	if (find_one(&pasids, run))
		ret = hold(&pasids, run, err);
	map_memory_free(&pasids.memory);
	return ret;
}
