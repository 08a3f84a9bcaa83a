/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's VFIO device interface, one call a function: what it is, its regions, its
 * interrupts, its resets. The calls themselves go through struct vfio_sys.
 *
 * Source: Linux include/uapi/linux/vfio.h, drivers/vfio/pci/vfio_pci_core.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "passthrough/vfio/internal.h"
#include "util/bits.h"

#define INFO_MAX  65536u /* no capability chain is longer */
#define RESET_MAX 256u	 /* functions of one bus */

/* VFIO_DEVICE_FEATURE_DMA_BUF, Linux 6.19: newer than the headers of some distributions. */
#define DMA_BUF 11u
struct dma_buf_request {
	uint32_t region_index, open_flags, flags, nr_ranges;
	uint64_t offset, length; /* the one range */
};

static int kernel_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static ssize_t kernel_pread(void *opaque, int fd, void *data, size_t size, uint64_t offset)
{
	ssize_t ret = pread(fd, data, size, (off_t)offset);

	return ret < 0 ? -errno : ret;
}

static ssize_t kernel_pwrite(void *opaque, int fd, const void *data, size_t size, uint64_t offset)
{
	ssize_t ret = pwrite(fd, data, size, (off_t)offset);

	return ret < 0 ? -errno : ret;
}

static int kernel_mmap(void *opaque, int fd, void *at, size_t size, bool write, uint64_t offset)
{
	void *got = mmap(at, size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, fd,
			 (off_t)offset);

	return got == MAP_FAILED ? -errno : 0;
}

const struct vfio_sys vfio_sys_kernel = {
	.ioctl = kernel_ioctl,
	.pread = kernel_pread,
	.pwrite = kernel_pwrite,
	.mmap = kernel_mmap,
};

static int call(struct vfio_function *f, unsigned long request, void *arg)
{
	return f->sys->ioctl(f->sys->opaque, f->fd, request, arg);
}

int vfio_get_info(struct vfio_function *f, struct err *err)
{
	int ret;

	f->info = (struct vfio_device_info){ .argsz = sizeof(f->info) };
	ret = call(f, VFIO_DEVICE_GET_INFO, &f->info);
	if (ret)
		return err_set(err, -ret, "%s: VFIO_DEVICE_GET_INFO: %s", f->name, strerror(-ret));
	if (!(f->info.flags & VFIO_DEVICE_FLAGS_PCI))
		return err_set(err, ENOTSUP,
			       "%s is no PCI device (VFIO flags %#x): adit assigns PCI functions "
			       "and mdevs that look like one",
			       f->name, f->info.flags);
	return 0;
}

/* The areas of a sparse-mmap capability; false: the region has none. */
static bool sparse_areas(const struct vfio_region_info *info, uint32_t size,
			 struct vfio_region *region)
{
	const char *base = (const char *)info;
	uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	for (unsigned int n = 0; at && n < 32; n++) {
		const struct vfio_region_info_cap_sparse_mmap *sparse;
		struct vfio_info_cap_header header;

		if (!range_inside(at, sizeof(header), 0, size))
			return false;
		memcpy(&header, base + at, sizeof(header));
		if (header.id != VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
			at = header.next;
			continue;
		}
		sparse = (const void *)(base + at);
		if (!range_inside(at, sizeof(*sparse), 0, size) ||
		    !range_inside(at + sizeof(*sparse),
				  (uint64_t)sparse->nr_areas * sizeof(sparse->areas[0]), 0, size))
			return false;
		for (uint32_t i = 0; i < sparse->nr_areas && i < VFIO_MAX_AREAS; i++) {
			region->areas[i].offset = sparse->areas[i].offset;
			region->areas[i].size = sparse->areas[i].size;
			region->n_areas = i + 1;
		}
		return true;
	}
	return false;
}

static void fill_region(struct vfio_region *region, const struct vfio_region_info *info,
			uint32_t size)
{
	region->size = info->size;
	region->offset = info->offset;
	region->flags = info->flags;
	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) || sparse_areas(info, size, region))
		return;
	region->areas[0].offset = 0;
	region->areas[0].size = info->size;
	region->n_areas = 1;
}

int vfio_get_region(struct vfio_function *f, unsigned int index, struct vfio_region *region,
		    struct err *err)
{
	struct vfio_region_info first = { .argsz = sizeof(first), .index = index }, *info = &first;
	uint32_t size = sizeof(first);
	int ret = 0;

	*region = (struct vfio_region){ .function = f };
	if (index >= f->info.num_regions)
		return 0;
	ret = call(f, VFIO_DEVICE_GET_REGION_INFO, &first);
	/* vfio-pci answers EINVAL for what it does not have; mdevs do for unused regions. */
	if (ret == -EINVAL)
		return 0;
	if (!ret && first.argsz > sizeof(first) && first.argsz <= INFO_MAX) {
		size = first.argsz;
		info = calloc(1, size);
		if (!info)
			return err_set(err, ENOMEM, "%s: no memory for region %u", f->name, index);
		info->argsz = size;
		info->index = index;
		ret = call(f, VFIO_DEVICE_GET_REGION_INFO, info);
	}
	if (!ret)
		fill_region(region, info, size);
	if (info != &first)
		free(info);
	if (ret)
		return err_set(err, -ret, "%s: VFIO_DEVICE_GET_REGION_INFO %u: %s", f->name, index,
			       strerror(-ret));
	return 0;
}

int vfio_get_irq(struct vfio_function *f, unsigned int index, struct vfio_irq_info *info)
{
	int ret;

	*info = (struct vfio_irq_info){ .argsz = sizeof(*info), .index = index };
	if (index >= f->info.num_irqs)
		return 0;
	ret = call(f, VFIO_DEVICE_GET_IRQ_INFO, info);
	if (ret)
		info->count = 0;
	return ret == -EINVAL ? 0 : ret;
}

int vfio_set_eventfds(struct vfio_function *f, unsigned int index, unsigned int start,
		      unsigned int count, const int *fds)
{
	size_t bytes = fds ? count * sizeof(*fds) : 0, size = sizeof(struct vfio_irq_set) + bytes;
	struct vfio_irq_set *set = calloc(1, size);
	int ret;

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		     (fds ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->start = start;
	set->count = fds ? count : 0;
	if (fds)
		memcpy(set->data, fds, bytes);
	ret = call(f, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return ret;
}

int vfio_unmask_intx(struct vfio_function *f)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE,
		.index = VFIO_PCI_INTX_IRQ_INDEX,
		.count = 1,
	};

	return call(f, VFIO_DEVICE_SET_IRQS, &set);
}

int vfio_set_ioeventfd(struct vfio_function *f, const struct vfio_region *region, uint64_t offset,
		       unsigned int size, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd event = {
		.argsz = sizeof(event),
		.flags = size, /* its bits are the sizes */
		.offset = region->offset + offset,
		.data = data,
		.fd = fd,
	};

	return call(f, VFIO_DEVICE_IOEVENTFD, &event);
}

int vfio_reset_function(struct vfio_function *f)
{
	return call(f, VFIO_DEVICE_RESET, NULL);
}

int vfio_get_dma_buf(struct vfio_function *f, unsigned int index, uint64_t offset, uint64_t size)
{
	const struct dma_buf_request request = {
		.region_index = index,
		.open_flags = O_RDWR | O_CLOEXEC,
		.nr_ranges = 1,
		.offset = offset,
		.length = size,
	};
	_Alignas(uint64_t) uint8_t bytes[sizeof(struct vfio_device_feature) + sizeof(request)];
	struct vfio_device_feature *feature = (struct vfio_device_feature *)bytes;

	*feature = (struct vfio_device_feature){
		.argsz = sizeof(bytes),
		.flags = VFIO_DEVICE_FEATURE_GET | DMA_BUF,
	};
	memcpy(feature->data, &request, sizeof(request));
	return call(f, VFIO_DEVICE_FEATURE, feature);
}

/* `data` goes with the request and comes back with the answer. */
static int feature(struct vfio_function *f, uint32_t flags, void *data, size_t size)
{
	_Alignas(uint64_t) uint8_t bytes[sizeof(struct vfio_device_feature) + sizeof(uint64_t)];
	struct vfio_device_feature *request = (struct vfio_device_feature *)bytes;
	int ret;

	*request = (struct vfio_device_feature){
		.argsz = (uint32_t)(sizeof(*request) + size),
		.flags = flags,
	};
	memcpy(request->data, data, size);
	ret = call(f, VFIO_DEVICE_FEATURE, request);
	memcpy(data, request->data, size);
	return ret < 0 ? ret : 0;
}

uint64_t vfio_get_migration(struct vfio_function *f)
{
	struct vfio_device_feature_migration migration = { 0 };

	if (feature(f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &migration,
		    sizeof(migration)))
		return 0;
	return migration.flags;
}

int vfio_get_state(struct vfio_function *f)
{
	struct vfio_device_feature_mig_state state = { .data_fd = -1 };

	if (feature(f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state,
		    sizeof(state)))
		return -1;
	return (int)MIN(state.device_state, (uint32_t)INT32_MAX);
}

int vfio_set_state(struct vfio_function *f, enum vfio_device_mig_state to, int *data_fd)
{
	struct vfio_device_feature_mig_state state = { .device_state = to, .data_fd = -1 };
	int ret = feature(f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state,
			  sizeof(state));

	*data_fd = ret ? -1 : state.data_fd;
	return ret;
}

/* Everything that a reset of its bus resets. *out is freed by the caller. */
static int reset_set(struct vfio_function *f, struct vfio_pci_hot_reset_info **out)
{
	uint32_t count = 0;
	int ret = -ENOSPC;

	/* The second time with the room that the first one asked for. */
	for (unsigned int i = 0; ret == -ENOSPC && i < 2; i++) {
		size_t size = sizeof(**out) + count * sizeof((*out)->devices[0]);

		free(*out);
		*out = calloc(1, size);
		if (!*out)
			return -ENOMEM;
		(*out)->argsz = (uint32_t)size;
		ret = call(f, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, *out);
		if (ret == -ENOSPC)
			count = MIN((*out)->count, RESET_MAX);
		else if (!ret && (*out)->count > count)
			ret = -ENOSPC;
	}
	return ret;
}

/*
 * The groups of the set, each once, in fds: more than the set has devices, or one of none of them,
 * the kernel refuses. Returns their number.
 */
static int reset_groups(const struct vfio_pci_hot_reset_info *set, const struct vfio_group *groups,
			unsigned int n_groups, int32_t *fds)
{
	int n = 0;

	for (uint32_t d = 0; d < set->count; d++) {
		const struct vfio_group *ours = NULL;
		bool had = false;

		for (unsigned int g = 0; !ours && g < n_groups; g++) {
			if (groups[g].number >= 0 &&
			    (uint32_t)groups[g].number == set->devices[d].group_id)
				ours = &groups[g];
		}
		if (!ours)
			return -EPERM;
		for (int i = 0; i < n; i++)
			had |= fds[i] == ours->fd;
		if (!had)
			fds[n++] = ours->fd;
	}
	return n;
}

static const struct vfio_neighbour *find_neighbour(const struct vfio_pci_hot_reset_info *set,
						   const struct vfio_options *options)
{
	for (uint32_t d = 0; d < set->count; d++) {
		const struct vfio_pci_dependent_device *device = &set->devices[d];
		char bdf[32];

		snprintf(bdf, sizeof(bdf), "%04x:%02x:%02x.%x", device->segment, device->bus,
			 device->devfn >> 3, device->devfn & 7u);
		for (unsigned int i = 0; i < options->n_neighbours; i++) {
			if (!strcmp(options->neighbours[i].bdf, bdf))
				return &options->neighbours[i];
		}
	}
	return NULL;
}

/* No group: what is bound to the same iommufd is known to be one owner's. */
static int reset_set_of(struct vfio_function *f, const struct vfio_pci_hot_reset_info *set,
			const struct vfio_options *options)
{
	size_t size = sizeof(struct vfio_pci_hot_reset) + set->count * sizeof(int32_t);
	struct vfio_pci_hot_reset *reset = calloc(1, size);
	int ret = 0;

	if (!reset)
		return -ENOMEM;
	if (options->n_groups)
		ret = reset_groups(set, options->groups, options->n_groups, reset->group_fds);
	if (ret >= 0) {
		reset->argsz = (uint32_t)size;
		reset->count = (uint32_t)ret;
		ret = call(f, VFIO_DEVICE_PCI_HOT_RESET, reset);
	}
	free(reset);
	return ret;
}

static uint32_t function_key(const struct vfio_pci_dependent_device *device)
{
	return (uint32_t)device->segment << 16 | (uint32_t)device->bus << 8 | device->devfn;
}

static bool is_fresh(const struct vfio_fresh *fresh, uint32_t key)
{
	for (unsigned int i = 0; fresh && i < fresh->n; i++) {
		if (fresh->function[i] == key)
			return true;
	}
	return false;
}

static bool all_fresh(const struct vfio_fresh *fresh, const struct vfio_pci_hot_reset_info *set)
{
	bool all = set->count > 0;

	for (uint32_t d = 0; d < set->count; d++)
		all &= is_fresh(fresh, function_key(&set->devices[d]));
	return all;
}

/* One that finds no room is reset once more. */
static void add_fresh(struct vfio_fresh *fresh, const struct vfio_pci_hot_reset_info *set)
{
	for (uint32_t d = 0; fresh && d < set->count && fresh->n < VFIO_FRESH_MAX; d++)
		fresh->function[fresh->n++] = function_key(&set->devices[d]);
}

int vfio_reset_bus(struct vfio_function *f, const struct vfio_options *options,
		   const struct vfio_neighbour **in_use)
{
	struct vfio_pci_hot_reset_info *set = NULL;
	int ret = reset_set(f, &set);

	*in_use = ret ? NULL : find_neighbour(set, options);
	if (*in_use)
		ret = -EBUSY;
	else if (!ret && !all_fresh(options->fresh, set)) {
		ret = reset_set_of(f, set, options);
		if (!ret)
			add_fresh(options->fresh, set);
	}
	free(set);
	return ret;
}

/* vfio-pci may take an access in pieces: what is not aligned, or wider than it can do at once. */
size_t vfio_region_copy(struct vfio_region *region, uint64_t offset, void *data, size_t size)
{
	struct vfio_function *f = region->function;
	size_t done = 0;

	while (done < size && range_inside(offset, size, 0, region->size)) {
		ssize_t n = f->sys->pread(f->sys->opaque, f->fd, (char *)data + done, size - done,
					  region->offset + offset + done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

uint64_t vfio_region_read(struct vfio_region *region, uint64_t offset, unsigned int size)
{
	uint8_t data[8];

	return vfio_region_copy(region, offset, data, size) == size ? load_le(data, size)
								    : mask_bytes(size);
}

void vfio_region_write(struct vfio_region *region, uint64_t offset, uint64_t value,
		       unsigned int size)
{
	struct vfio_function *f = region->function;
	uint8_t data[8];
	unsigned int done = 0;

	store_le(data, value, 8);
	while (done < size && range_inside(offset, size, 0, region->size)) {
		ssize_t n = f->sys->pwrite(f->sys->opaque, f->fd, data + done, size - done,
					   region->offset + offset + done);

		if (n <= 0)
			break;
		done += (unsigned int)n;
	}
}
