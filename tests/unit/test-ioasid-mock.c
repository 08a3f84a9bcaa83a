/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iommufd provider on the mock devices of a kernel with CONFIG_IOMMUFD_TEST (the rig's mock
 * kernel), on which nesting, page requests, dirty logs and PASIDs work without hardware.
 *
 * A mock device has no VFIO cdev. The seam under the provider stands in for it: what the provider
 * asks of the cdev goes to the mock's own ioctl, and the two data formats that the mock does not
 * share with VT-d are put in their place. All else reaches the kernel as it is.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ioasid-client/pasid-table.h"
#include "ioasid-client/provider.h"
#include "ioasid-client/providers/iommufd.h"
#include "util/bits.h"

/* --- the mock's ioctl: drivers/iommu/iommufd/iommufd_test.h of Linux 7.2 --------------------- */

enum {
	MOCK_REPLACE = 10,
	MOCK_DEVICE = 12, /* with flags */
	MOCK_DIRTY = 13,
	MOCK_CHECK_IOTLB = 14,
	MOCK_PAGE_FAULT = 15,
	MOCK_PASID_ATTACH = 18,
	MOCK_PASID_REPLACE = 19,
	MOCK_PASID_DETACH = 20,
	MOCK_PASID_CHECK = 21,
	MOCK_CHECK_MAP = 3,
	MOCK_CHECK_REFS = 4,
};

#define MOCK_FLAG_PASID	   4u
#define MOCK_FIRST	   (1ULL << 24)
#define MOCK_LAST	   ((1ULL << 31) - 1)
#define MOCK_PASID_BITS	   20u
#define MOCK_HWPT_DATA	   0xdeadu
#define MOCK_INVALIDATE	   0xdeadbeefu
#define MOCK_IOTLBS	   4u
#define MOCK_IOTLB_DEFAULT 0xbadbeefu
#define MOCK_CMD	   _IO(';', 0x80 + 32)
/* Of this one, every second attachment fails with ENOMEM. */
#define MOCK_PASID_FAILS 1024u

struct mock_cmd {
	uint32_t size, op, id, reserved;
	union {
		struct {
			uint32_t stdev, hwpt, idev, flags;
		} device;
		struct {
			uint32_t pt;
		} replace;
		struct {
			uint64_t iova, length, ptr;
		} check_map;
		struct {
			uint64_t length, ptr;
			uint32_t refs;
		} check_refs;
		struct {
			uint32_t flags, pad;
			uint64_t iova, length, page_size, ptr, out_count;
		} dirty;
		struct {
			uint32_t id, iotlb;
		} check_iotlb;
		struct {
			uint32_t dev, pasid, group, perm;
			uint64_t address;
		} page_fault;
		struct {
			uint32_t pasid, pt;
		} pasid;
	};
	uint32_t last;
};

/* --- the seam -------------------------------------------------------------------------------- */

#define PAGE   ((uint64_t)IOASID_PAGE_SIZE)
#define RW     (IOASID_READ | IOASID_WRITE)
#define PASIDS (MOCK_PASID_FAILS + 1)
#define NO_PT  0u

struct mock {
	struct ioasid_seam seam;
	char root[64];
	int iommufd;		     /* once something was bound */
	uint32_t empty, stdev, idev; /* empty: where the RID is while the library has it detached */
	uint32_t last_hwpt; /* that was allocated with data or for PASIDs, logs and so on */
	bool attached[PASIDS];
};

static int command(const struct mock *mock, struct mock_cmd *cmd)
{
	cmd->size = sizeof(*cmd);
	return ioctl(mock->iommufd, MOCK_CMD, cmd) < 0 ? -errno : 0;
}

static int mock_replace(const struct mock *mock, uint32_t pt)
{
	struct mock_cmd cmd = { .op = MOCK_REPLACE, .id = mock->stdev, .replace.pt = pt };

	return command(mock, &cmd);
}

/*
 * A mock device begins its life attached, and stays so: for "detached" stands a page table in which
 * nothing is mapped, of a kind that PASIDs can be beside.
 */
static int mock_bind(struct mock *mock, struct vfio_cdev_bind *bind)
{
	struct mock_cmd cmd = { .op = MOCK_DEVICE, .device.flags = MOCK_FLAG_PASID };
	struct ifd ifd = { .seam = &ioasid_seam_kernel, .fd = bind->iommufd };
	struct ifd_hwpt_alloc alloc = { .flags = IFD_HWPT_PASID };
	int r = ifd_ioas_alloc(&ifd, &alloc.pt_id);

	if (r)
		return r;
	mock->iommufd = bind->iommufd;
	cmd.id = alloc.pt_id;
	r = command(mock, &cmd);
	if (r)
		return r;
	mock->stdev = cmd.device.stdev;
	mock->idev = bind->out_devid = alloc.dev_id = cmd.device.idev;
	r = ifd_hwpt_alloc(&ifd, &alloc, &mock->empty);
	return r ? r : mock_replace(mock, mock->empty);
}

static int mock_attach(struct mock *mock, const struct vfio_cdev_attach *attach)
{
	struct mock_cmd cmd = { .id = mock->stdev };
	int r;

	if (!(attach->flags & VFIO_CDEV_PASID))
		return mock_replace(mock, attach->pt_id);
	if (attach->pasid >= PASIDS)
		return -EINVAL;
	cmd.op = mock->attached[attach->pasid] ? MOCK_PASID_REPLACE : MOCK_PASID_ATTACH;
	cmd.pasid.pasid = attach->pasid;
	cmd.pasid.pt = attach->pt_id;
	r = command(mock, &cmd);
	if (!r)
		mock->attached[attach->pasid] = true;
	return r;
}

static int mock_detach(struct mock *mock, const struct vfio_cdev_detach *detach)
{
	struct mock_cmd cmd = { .op = MOCK_PASID_DETACH, .id = mock->stdev };
	int r;

	if (!(detach->flags & VFIO_CDEV_PASID))
		return mock_replace(mock, mock->empty);
	cmd.pasid.pasid = detach->pasid;
	r = command(mock, &cmd);
	if (!r)
		mock->attached[detach->pasid] = false;
	return r;
}

/* Says "VT-d that nests", for the provider nests nothing else. */
static int mock_hw_info(const struct mock *mock, struct ifd_hw_info *info)
{
	struct ifd_hw_info ask = *info;
	struct ifd_hw_vtd vtd = { .ecap_reg = 1ULL << 26 };

	ask.data_len = 0;
	ask.data_uptr = 0;
	if (ioctl(mock->iommufd, IFD_GET_HW_INFO, &ask) < 0)
		return -errno;
	info->out_data_type = IFD_HW_VTD;
	info->out_max_pasid_log2 = ask.out_max_pasid_log2;
	info->out_capabilities = ask.out_capabilities;
	memcpy((void *)(uintptr_t)info->data_uptr, &vtd, MIN(sizeof(vtd), info->data_len));
	return 0;
}

static int mock_hwpt(struct mock *mock, struct ifd_hwpt_alloc *alloc)
{
	struct {
		uint32_t iotlb, pagetable_type;
	} data = { .iotlb = MOCK_IOTLB_DEFAULT };
	struct ifd_hwpt_alloc ask = *alloc;

	if (alloc->data_type == IFD_HWPT_DATA_VTD_S1) {
		ask.data_type = MOCK_HWPT_DATA;
		ask.data_len = sizeof(data);
		ask.data_uptr = seam_ptr(&data);
	}
	if (ioctl(mock->iommufd, IFD_HWPT_ALLOC, &ask) < 0)
		return -errno;
	mock->last_hwpt = alloc->out_hwpt_id = ask.out_hwpt_id;
	return 0;
}

/* The mock's IOTLB has four entries: page n is its entry n, a range from 0 without end all. */
static int mock_invalidate(const struct mock *mock, struct ifd_invalidate *request)
{
	const struct ifd_vtd_s1_invalidate *from = (void *)(uintptr_t)request->data_uptr;
	struct {
		uint32_t flags, iotlb;
	} entries[64] = { 0 };
	struct ifd_invalidate ask = *request;
	int r;

	for (uint32_t i = 0; i < MIN(request->entry_num, ARRAY_SIZE(entries)); i++) {
		entries[i].flags = from[i].npages == UINT64_MAX;
		entries[i].iotlb = (uint32_t)(from[i].addr / PAGE);
	}
	ask.data_type = MOCK_INVALIDATE;
	ask.data_uptr = seam_ptr(entries);
	ask.entry_len = sizeof(entries[0]);
	r = ioctl(mock->iommufd, IFD_HWPT_INVALIDATE, &ask) < 0 ? -errno : 0;
	request->entry_num = ask.entry_num;
	return r;
}

/* Whether the request is only asked for: the kernel refuses its size, and nothing lies behind it.
 */
static bool is_probe(const void *arg)
{
	return *(const uint32_t *)arg < 2 * sizeof(uint32_t);
}

static int mock_ioctl(const struct ioasid_seam *seam, int fd, unsigned long request, void *arg)
{
	struct mock *mock = seam->arg;

	if (is_probe(arg))
		return ioasid_seam_kernel.ioctl(seam, fd, request, arg);
	switch (request) {
	case VFIO_CDEV_BIND:
		return mock_bind(mock, arg);
	case VFIO_CDEV_ATTACH:
		return mock_attach(mock, arg);
	case VFIO_CDEV_DETACH:
		return mock_detach(mock, arg);
	case IFD_GET_HW_INFO:
		return mock_hw_info(mock, arg);
	case IFD_HWPT_ALLOC:
		return mock_hwpt(mock, arg);
	case IFD_HWPT_INVALIDATE:
		return mock_invalidate(mock, arg);
	default:
		return ioasid_seam_kernel.ioctl(seam, fd, request, arg);
	}
}

/* --- a context over it ----------------------------------------------------------------------- */

struct fixture {
	struct mock mock;
	struct ioasid_ctx *ctx;
	struct ioasid_device *device;
	char *memory;
	struct err err;
};

#define MEMORY_SIZE (16 * PAGE)

static void make_dir(const char *root, const char *path)
{
	char text[256];

	snprintf(text, sizeof(text), "%s%s", root, path);
	for (char *slash = strchr(text + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(text, 0700);
		*slash = '/';
	}
	mkdir(text, 0700);
}

static void make_link(const char *root, const char *path, const char *to)
{
	char text[256];

	snprintf(text, sizeof(text), "%s%s", root, path);
	assert_int_equal(symlink(to, text), 0);
}

/* A sysfs in which /dev/null is the cdev of a function behind a VT-d. */
static void make_sysfs(struct mock *mock)
{
	char path[64];
	struct stat st;

	snprintf(mock->root, sizeof(mock->root), "/tmp/ioasid-mock-XXXXXX");
	assert_non_null(mkdtemp(mock->root));
	assert_int_equal(stat("/dev/null", &st), 0);
	make_dir(mock->root, "/sys/dev/char");
	make_dir(mock->root, "/sys/devices/mock/0000:00:01.0/vfio-dev/vfio0");
	make_dir(mock->root, "/sys/kernel/iommu_groups/0/devices/0000:00:01.0");
	make_link(mock->root, "/sys/devices/mock/0000:00:01.0/iommu", "../../virtual/iommu/dmar0");
	make_link(mock->root, "/sys/devices/mock/0000:00:01.0/iommu_group",
		  "../../../kernel/iommu_groups/0");
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	make_link(mock->root, path, "../../devices/mock/0000:00:01.0/vfio-dev/vfio0");
}

static bool mock_is_here(void)
{
	struct mock_cmd cmd = { .size = sizeof(cmd) };
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	bool here = fd >= 0 && ioctl(fd, MOCK_CMD, &cmd) < 0 && errno != ENOTTY;

	if (fd >= 0)
		close(fd);
	return here;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct ioasid_target target = { .node = "/dev/iommu",
					      .fd = -1,
					      .seam = &f->mock.seam };
	struct ioasid_source source = { .type = IOASID_SOURCE_CDEV };

	*state = f;
	make_sysfs(&f->mock);
	f->mock.seam =
		(struct ioasid_seam){ .ioctl = mock_ioctl, .root = f->mock.root, .arg = &f->mock };
	f->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	assert_ok(ioasid_ctx_open_target(&f->ctx, IOASID_PROVIDER_IOMMUFD, &target, &f->err),
		  &f->err);
	source.cdev.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_ok(ioasid_bind(f->ctx, &source, "mock", &f->device, &f->err), &f->err);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char text[128];

	ioasid_ctx_close(f->ctx);
	munmap(f->memory, MEMORY_SIZE);
	snprintf(text, sizeof(text), "rm -rf '%s'", f->mock.root);
	assert_int_equal(system(text), 0);
	free(f);
	return 0;
}

static struct ioasid_space *alloc_space(struct fixture *f, struct ioasid_space_options options)
{
	struct ioasid_space *space = NULL;

	options.name = "space";
	assert_ok(ioasid_alloc(f->ctx, &options, &space, &f->err), &f->err);
	return space;
}

static void map(struct fixture *f, struct ioasid_space *space)
{
	assert_ok(ioasid_map_hva(space, MOCK_FIRST, MEMORY_SIZE, f->memory, RW, &f->err), &f->err);
}

static void attach(struct fixture *f, struct ioasid_space *space)
{
	assert_ok(ioasid_attach(f->device, space, &f->err), &f->err);
}

/* Whether the page table maps all of the memory. */
static int mapped(struct fixture *f, uint32_t hwpt)
{
	struct mock_cmd cmd = { .op = MOCK_CHECK_MAP,
				.id = hwpt,
				.check_map = { .iova = MOCK_FIRST,
					       .length = MEMORY_SIZE,
					       .ptr = (uintptr_t)f->memory } };

	return command(&f->mock, &cmd);
}

static int pasid_on(struct fixture *f, uint32_t pasid, uint32_t hwpt)
{
	struct mock_cmd cmd = { .op = MOCK_PASID_CHECK, .id = f->mock.stdev };

	cmd.pasid.pasid = pasid;
	cmd.pasid.pt = hwpt;
	return command(&f->mock, &cmd);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void device_says_what_the_mock_can(void **state)
{
	struct fixture *f = *state;
	struct ioasid_device_info info;

	ioasid_device_info(f->device, &info);
	assert_int_equal(info.pasid_width, MOCK_PASID_BITS);
	assert_true(info.dirty);
	assert_int_equal(info.nesting, IOASID_FORMAT_BIT(IOASID_FORMAT_VTD_S1));
	assert_int_equal(info.iova_first, MOCK_FIRST);
	assert_int_equal(info.iova_last, MOCK_LAST);
}

static void attach_puts_the_mapping_into_the_page_table(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_space(f, (struct ioasid_space_options){ 0 });

	map(f, space);
	attach(f, space);
	assert_int_equal(mapped(f, f->mock.last_hwpt), 0);
	assert_ok(ioasid_unmap(space, MOCK_FIRST, MEMORY_SIZE, &f->err), &f->err);
	assert_int_not_equal(mapped(f, f->mock.last_hwpt), 0);
	assert_ok(ioasid_detach(f->device, &f->err), &f->err);
}

/* Whether each page of the memory is pinned so often. */
static int pinned(struct fixture *f, uint32_t times)
{
	struct mock_cmd cmd = {
		.op = MOCK_CHECK_REFS,
		.check_refs = { .length = MEMORY_SIZE, .ptr = (uintptr_t)f->memory, .refs = times }
	};

	return command(&f->mock, &cmd);
}

static void pages_are_pinned_while_a_page_table_has_them(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *one = alloc_space(f, (struct ioasid_space_options){ 0 }),
			    *two = alloc_space(f, (struct ioasid_space_options){ 0 });
	const struct ioasid_copy copy = { .from = one,
					  .from_iova = MOCK_FIRST,
					  .iova = MOCK_FIRST,
					  .size = MEMORY_SIZE,
					  .rights = RW };
	struct ioasid_pasid *pasid;

	map(f, one);
	assert_int_equal(pinned(f, 0), 0);
	attach(f, one);
	assert_int_equal(pinned(f, 1), 0);
	/* A copy pins nothing twice, whatever reaches it. */
	assert_ok(ioasid_copy(two, &copy, &f->err), &f->err);
	ioasid_destroy(two);
	assert_int_equal(pinned(f, 1), 0);
	two = alloc_space(f, (struct ioasid_space_options){ .pasid_capable = true });
	assert_ok(ioasid_pasid_attach(f->device, two, 3, &pasid, &f->err), &f->err);
	assert_ok(ioasid_copy(two, &copy, &f->err), &f->err);
	assert_int_equal(mapped(f, f->mock.last_hwpt), 0);
	assert_int_equal(pinned(f, 1), 0);
	ioasid_destroy(one);
	assert_int_equal(pinned(f, 1), 0);
	ioasid_pasid_detach(pasid);
	assert_int_equal(pinned(f, 0), 0);
}

static void a_move_ends_what_was_mapped_before(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *one = alloc_space(f, (struct ioasid_space_options){ 0 }),
			    *two = alloc_space(f, (struct ioasid_space_options){ 0 });
	uint32_t before;

	map(f, one);
	attach(f, one);
	before = f->mock.last_hwpt;
	attach(f, two);
	assert_int_not_equal(f->mock.last_hwpt, before);
	assert_int_equal(mapped(f, before), -ENOENT); /* that page table is gone */
	assert_int_equal(mapped(f, f->mock.last_hwpt), -EINVAL);
	map(f, two);
	assert_int_equal(mapped(f, f->mock.last_hwpt), 0);
	ioasid_destroy(two);
	assert_null(ioasid_device_space(f->device));
	assert_int_equal(pinned(f, 0), 0);
}

static void rid_and_pasids_come_and_go_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space_options options = { .pasid_capable = true };
	struct ioasid_space *rid = alloc_space(f, (struct ioasid_space_options){ 0 }),
			    *one = alloc_space(f, options);
	struct ioasid_pasid *pasid, *other;
	uint32_t hwpt, of_rid;

	map(f, one);
	assert_ok(ioasid_pasid_attach(f->device, one, 5, &pasid, &f->err), &f->err);
	hwpt = f->mock.last_hwpt;
	attach(f, rid);
	of_rid = f->mock.last_hwpt;
	attach(f, one);
	assert_int_equal(f->mock.last_hwpt, of_rid); /* one has a page table that serves both */
	assert_ok(ioasid_pasid_attach(f->device, one, 6, &other, &f->err), &f->err);
	assert_ok(ioasid_detach(f->device, &f->err), &f->err);
	assert_int_equal(pasid_on(f, 5, hwpt), 0);
	assert_int_equal(pasid_on(f, 6, hwpt), 0);
	assert_int_equal(ioasid_pasid_attach(f->device, one, 1u << MOCK_PASID_BITS, &other,
					     &f->err),
			 -ERANGE);
	ioasid_pasid_detach(other);
	assert_int_equal(pasid_on(f, 6, NO_PT), 0);
	assert_int_equal(pasid_on(f, 5, hwpt), 0);
	ioasid_pasid_detach(pasid);
	assert_int_equal(pasid_on(f, 5, NO_PT), 0);
	assert_int_equal(pinned(f, 0), 0);
}

static void a_move_that_the_iommu_refuses_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space_options options = { .pasid_capable = true };
	struct ioasid_space *one = alloc_space(f, options), *two = alloc_space(f, options);
	struct ioasid_pasid *pasid;
	uint32_t hwpt;

	map(f, one);
	assert_ok(ioasid_pasid_attach(f->device, one, MOCK_PASID_FAILS, &pasid, &f->err), &f->err);
	hwpt = f->mock.last_hwpt;
	assert_int_equal(ioasid_pasid_replace(pasid, two, &f->err), -ENOMEM);
	assert_int_equal(pasid_on(f, MOCK_PASID_FAILS, hwpt), 0);
	assert_int_equal(mapped(f, hwpt), 0);
	ioasid_destroy(two); /* nothing is left in it */
	assert_int_equal(pasid_on(f, MOCK_PASID_FAILS, hwpt), 0);
	ioasid_pasid_detach(pasid);
	assert_int_equal(pasid_on(f, MOCK_PASID_FAILS, NO_PT), 0);
}

static void pasids_go_to_their_spaces(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space_options options = { .pasid_capable = true };
	struct ioasid_space *rid = alloc_space(f, options), *one = alloc_space(f, options),
			    *two = alloc_space(f, options);
	struct ioasid_pasid *pasid;
	uint32_t hwpt;

	map(f, one);
	attach(f, rid);
	assert_int_equal(pasid_on(f, 5, NO_PT), 0);
	assert_ok(ioasid_pasid_attach(f->device, one, 5, &pasid, &f->err), &f->err);
	hwpt = f->mock.last_hwpt;
	assert_int_equal(mapped(f, hwpt), 0);
	assert_int_equal(pasid_on(f, 5, hwpt), 0);
	assert_ok(ioasid_pasid_replace(pasid, two, &f->err), &f->err);
	assert_int_equal(pasid_on(f, 5, f->mock.last_hwpt), 0);
	assert_int_not_equal(f->mock.last_hwpt, hwpt);
	ioasid_pasid_hold(pasid);
	ioasid_destroy(two);
	assert_int_equal(pasid_on(f, 5, NO_PT), 0);
	assert_int_equal(ioasid_pasid_state(f->ctx, 5), IOASID_PASID_PARKED);
	ioasid_pasid_detach(pasid);
	ioasid_pasid_release(pasid);
	assert_int_equal(ioasid_pasid_state(f->ctx, 5), IOASID_PASID_FREE);
}

static void log_has_what_the_mock_wrote(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *space = alloc_space(f, (struct ioasid_space_options){ .dirty = true });
	uint64_t written = 0x8005, seen = 0;
	const struct ioasid_dirty range = {
		.iova = MOCK_FIRST, .size = MEMORY_SIZE, .page_size = PAGE, .bitmap = &seen
	};
	struct mock_cmd cmd = { .op = MOCK_DIRTY,
				.dirty = { .iova = MOCK_FIRST,
					   .length = MEMORY_SIZE,
					   .page_size = PAGE,
					   .ptr = (uintptr_t)&written } };

	/* Page by page and backwards: a leaf of several pages would be dirty as a whole. */
	for (uint64_t at = 0; at < MEMORY_SIZE; at += PAGE)
		assert_ok(ioasid_map_hva(space, MOCK_FIRST + at, PAGE,
					 f->memory + (MEMORY_SIZE - PAGE - at), RW, &f->err),
			  &f->err);
	attach(f, space);
	assert_ok(ioasid_dirty_track(space, true, &f->err), &f->err);
	cmd.id = f->mock.last_hwpt;
	assert_int_equal(command(&f->mock, &cmd), 0);
	assert_int_equal(cmd.dirty.out_count, 3);
	assert_ok(ioasid_dirty_read(space, &range, &f->err), &f->err);
	assert_int_equal(seen, written);
	seen = 0;
	assert_ok(ioasid_dirty_read(space, &range, &f->err), &f->err);
	assert_int_equal(seen, 0);
	assert_ok(ioasid_dirty_track(space, false, &f->err), &f->err);
}

static struct ioasid_space *nest(struct fixture *f, struct ioasid_space *parent, bool faults)
{
	return alloc_space(f, (struct ioasid_space_options){
				      .parent = parent,
				      .faults = faults,
				      .pasid_capable = true,
				      .nesting = { .format = IOASID_FORMAT_VTD_S1,
						   .table = MOCK_FIRST,
						   .addr_width = 48 } });
}

static int iotlb_is(struct fixture *f, uint32_t hwpt, uint32_t i, uint32_t value)
{
	struct mock_cmd cmd = { .op = MOCK_CHECK_IOTLB,
				.id = hwpt,
				.check_iotlb = { .id = i, .iotlb = value } };

	return command(&f->mock, &cmd);
}

static void nested_space_is_invalidated_where_it_is_asked(void **state)
{
	const struct ioasid_invalidation one = { .iova = 2 * PAGE, .pages = 1 },
					 all = { .pages = UINT64_MAX };
	struct fixture *f = *state;
	struct ioasid_space *parent =
		alloc_space(f, (struct ioasid_space_options){ .nest_parent = true });
	struct ioasid_space *child = nest(f, parent, false);
	uint32_t hwpt;
	size_t done;

	map(f, parent);
	attach(f, child);
	hwpt = f->mock.last_hwpt;
	for (uint32_t i = 0; i < MOCK_IOTLBS; i++)
		assert_int_equal(iotlb_is(f, hwpt, i, MOCK_IOTLB_DEFAULT), 0);
	assert_ok(ioasid_invalidate(child, &one, 1, &done, &f->err), &f->err);
	assert_int_equal(done, 1);
	for (uint32_t i = 0; i < MOCK_IOTLBS; i++)
		assert_int_equal(iotlb_is(f, hwpt, i, i == 2 ? 0 : MOCK_IOTLB_DEFAULT), 0);
	assert_ok(ioasid_invalidate(child, &all, 1, &done, &f->err), &f->err);
	for (uint32_t i = 0; i < MOCK_IOTLBS; i++)
		assert_int_equal(iotlb_is(f, hwpt, i, 0), 0);
	ioasid_destroy(parent);
	assert_null(ioasid_device_space(f->device));
}

static void a_pasid_nests_whatever_the_rid_does(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *parent =
		alloc_space(f, (struct ioasid_space_options){ .nest_parent = true });
	struct ioasid_space *rid = alloc_space(f, (struct ioasid_space_options){ 0 });
	struct ioasid_pasid *pasid[2];
	uint32_t hwpt;

	map(f, parent);
	assert_ok(ioasid_pasid_attach(f->device, nest(f, parent, false), 4, &pasid[0], &f->err),
		  &f->err);
	hwpt = f->mock.last_hwpt;
	assert_int_equal(pasid_on(f, 4, hwpt), 0);
	attach(f, rid);
	assert_ok(ioasid_pasid_attach(f->device, nest(f, parent, false), 5, &pasid[1], &f->err),
		  &f->err);
	assert_int_equal(pasid_on(f, 5, f->mock.last_hwpt), 0);
	assert_int_equal(pasid_on(f, 4, hwpt), 0);
	/* Both over one page table of the parent. */
	assert_int_equal(pinned(f, 1), 0);
	ioasid_destroy(parent);
	assert_int_equal(pasid_on(f, 4, NO_PT), 0);
	assert_int_equal(pasid_on(f, 5, NO_PT), 0);
	assert_ptr_equal(ioasid_device_space(f->device), rid);
	assert_int_equal(pinned(f, 0), 0);
}

static void page_fault(struct fixture *f, uint32_t pasid)
{
	struct mock_cmd cmd = { .op = MOCK_PAGE_FAULT,
				.page_fault = { .dev = f->mock.idev,
						.pasid = pasid,
						.group = 9,
						.perm = RW,
						.address = 0xdeadbeaf000 } };

	assert_int_equal(command(&f->mock, &cmd), 0);
}

static struct ioasid_fault one_fault(struct fixture *f)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct ioasid_fault fault[4];
	uint64_t lost;
	size_t got;

	assert_ok(ioasid_faults_fd(f->ctx, &poll_fd.fd, &f->err), &f->err);
	assert_int_equal(poll(&poll_fd, 1, 10000), 1);
	assert_ok(ioasid_faults_read(f->ctx, fault, ARRAY_SIZE(fault), &got, &lost, &f->err),
		  &f->err);
	assert_int_equal(got, 1);
	return fault[0];
}

static void page_requests_are_decoded_and_answered(void **state)
{
	struct fixture *f = *state;
	struct ioasid_space *parent =
		alloc_space(f, (struct ioasid_space_options){ .nest_parent = true });
	struct ioasid_space *child = nest(f, parent, true);
	struct ioasid_pasid *pasid;
	struct pasid_table *table;
	struct ioasid_fault fault;
	struct epoch epoch;

	epoch_init(&epoch);
	assert_ok(pasid_table_create(&table, &epoch, &f->err), &f->err);
	map(f, parent);
	attach(f, child);
	page_fault(f, 0);
	fault = one_fault(f);
	assert_string_equal(fault.label, "mock");
	assert_int_equal(fault.host_pasid, IOASID_PASID_NONE);
	assert_int_equal(fault.iova, 0xdeadbeaf000);
	assert_int_equal(fault.rights, RW);
	assert_true(fault.waits && fault.last);
	assert_int_equal(fault.page_group, 9);
	assert_ok(ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_RETRY, &f->err),
		  &f->err);
	assert_int_equal(ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_RETRY, &f->err),
			 -ENOENT);

	assert_ok(ioasid_pasid_attach(f->device, child, 7, &pasid, &f->err), &f->err);
	assert_ok(pasid_table_bind(table, 3, pasid, &f->err), &f->err);
	page_fault(f, 7);
	fault = one_fault(f);
	assert_int_equal(fault.host_pasid, 7);
	assert_int_equal(fault.guest_pasid, 3);
	assert_ok(ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_INVALID, &f->err),
		  &f->err);
	page_fault(f, 7);
	fault = one_fault(f);
	ioasid_pasid_detach(pasid); /* answers */
	assert_int_equal(ioasid_fault_respond(f->ctx, fault.cookie, IOASID_RESPONSE_INVALID,
					      &f->err),
			 -ENOENT);
	pasid_table_destroy(table);
	epoch_destroy(&epoch);
}

static void mock_devices_are_here(void **state)
{
	skip_because("no kernel with CONFIG_IOMMUFD_TEST: make test-long has one in the rig");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest none[] = { cmocka_unit_test(mock_devices_are_here) };
	const struct CMUnitTest tests[] = {
		TEST(device_says_what_the_mock_can),
		TEST(attach_puts_the_mapping_into_the_page_table),
		TEST(pages_are_pinned_while_a_page_table_has_them),
		TEST(a_move_ends_what_was_mapped_before),
		TEST(pasids_go_to_their_spaces),
		TEST(rid_and_pasids_come_and_go_in_any_order),
		TEST(a_move_that_the_iommu_refuses_changes_nothing),
		TEST(log_has_what_the_mock_wrote),
		TEST(nested_space_is_invalidated_where_it_is_asked),
		TEST(a_pasid_nests_whatever_the_rid_does),
		TEST(page_requests_are_decoded_and_answered),
	};

	if (!mock_is_here())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
