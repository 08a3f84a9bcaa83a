/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VFIO calls as vfio-user messages, and the server's answers as a careful kernel would give them:
 * passthrough/vfio trusts its kernel, so everything is checked here.
 *
 * A region's place in "the device's descriptor" is its index, as in the kernel's vfio-pci.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passthrough/vfio-user/client-internal.h"
#include "util/bits.h"

#define REGION_SHIFT  40
#define REGION_SIZE   (1ULL << REGION_SHIFT) /* larger ones would run into the next */
#define ACCESS_MAX    4096u
#define VECTORS_MAX   2048u
#define INFO_MAX      4096u
#define STORE64_BYTES 64u

/* A call whose answer has at least `size` bytes, which are copied to out. */
static int call(struct vfu_client *client, uint16_t command, const void *head, size_t head_size,
		void *out, size_t size, struct vfu_message *reply)
{
	const struct vfu_request request = { .command = command,
					     .head = head,
					     .head_size = head_size };
	const void *body;
	int ret = vfu_client_call(client, &request, reply);

	if (ret || !size)
		return ret;
	body = vfu_message_body(reply, size);
	if (!body)
		return -EPROTO;
	memcpy(out, body, size);
	return 0;
}

/* --- information ----------------------------------------------------------------------------- */

static int get_info(struct vfu_client *client, struct vfio_device_info *out)
{
	struct vfu_device_info info = { .argsz = sizeof(info) };
	struct vfu_message reply = { 0 };
	int ret =
		call(client, VFU_DEVICE_GET_INFO, &info, sizeof(info), &info, sizeof(info), &reply);

	vfu_message_free(&reply);
	if (ret)
		return ret;
	out->flags = info.flags & (VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
	out->num_regions = MIN(info.regions, VFU_REGIONS);
	out->num_irqs = MIN(info.irqs, VFU_IRQS);
	return 0;
}

/* May it be mapped into a guest? A file that shrinks would take the pages away under it. */
static bool lasts(int fd, uint64_t offset, uint64_t size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && seals & F_SEAL_SHRINK && !fstat(fd, &st) &&
	       is_aligned(offset, VFU_PAGE) && range_inside(offset, size, 0, (uint64_t)st.st_size);
}

static void keep_fd(struct vfu_client *client, unsigned int index, int fd, uint64_t offset,
		    uint64_t size)
{
	struct vfu_client_region *region = &client->regions[index];

	pthread_mutex_lock(&client->lock);
	if (region->fd >= 0)
		close(region->fd);
	*region = (struct vfu_client_region){ .fd = fd, .fd_offset = offset, .size = size };
	pthread_mutex_unlock(&client->lock);
}

/* Every area inside the region and of whole pages; a chain that leads elsewhere is none. */
static bool areas_fit(const struct vfu_message *reply, const struct vfu_region_info *info)
{
	const struct vfu_sparse *sparse;
	const struct vfu_area *area;

	if (!(info->flags & VFU_REGION_FLAG_CAPS) || !info->cap_offset)
		return true;
	if (!is_aligned(info->cap_offset, 8) ||
	    !range_inside(info->cap_offset, sizeof(*sparse), 0, reply->size))
		return false;
	sparse = (const void *)(reply->body + info->cap_offset);
	area = (const void *)(sparse + 1);
	if (sparse->id != VFU_CAP_SPARSE_MMAP || sparse->next ||
	    !range_inside(info->cap_offset + sizeof(*sparse),
			  (uint64_t)sparse->count * sizeof(*area), 0, reply->size))
		return false;
	for (uint32_t i = 0; i < sparse->count; i++) {
		if (!area[i].size || !is_aligned(area[i].offset | area[i].size, VFU_PAGE) ||
		    !range_inside(area[i].offset, area[i].size, 0, info->size))
			return false;
	}
	return true;
}

/* `out` has room for out->argsz bytes. */
static int take_region(struct vfu_client *client, struct vfu_message *reply,
		       struct vfu_region_info *info, struct vfio_region_info *out)
{
	uint32_t room = out->argsz, index = out->index;
	bool caps = info->flags & VFU_REGION_FLAG_CAPS && info->argsz > sizeof(*info);

	if (info->index != index || info->size > REGION_SIZE || info->argsz > INFO_MAX ||
	    (caps && reply->size > sizeof(*info) && reply->size > info->argsz))
		return -EPROTO;
	if (info->flags & VFU_REGION_FLAG_MMAP) {
		int fd = vfu_message_take_fd(reply, 0);

		if (fd >= 0 && lasts(fd, info->offset, info->size) && areas_fit(reply, info)) {
			keep_fd(client, index, fd, info->offset, info->size);
		} else {
			if (fd >= 0)
				close(fd);
			info->flags &= ~(VFU_REGION_FLAG_MMAP | VFU_REGION_FLAG_CAPS);
		}
	}
	if (!(info->flags & VFU_REGION_FLAG_CAPS))
		info->argsz = sizeof(*info);
	info->offset = (uint64_t)index << REGION_SHIFT;
	if (room > sizeof(*info) && reply->size > sizeof(*info) &&
	    info->flags & VFU_REGION_FLAG_CAPS)
		memcpy(out, reply->body, MIN(room, reply->size));
	else
		info->cap_offset = 0;
	memcpy(out, info, sizeof(*info));
	return 0;
}

static int get_region(struct vfu_client *client, struct vfio_region_info *out)
{
	struct vfu_region_info info = { .argsz = MIN(out->argsz, INFO_MAX), .index = out->index };
	struct vfu_message reply = { 0 };
	int ret;

	_Static_assert(sizeof(info) == sizeof(*out), "the protocol's structure is the kernel's");
	if (out->index >= VFU_REGIONS || out->argsz < sizeof(*out))
		return -EINVAL;
	ret = call(client, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info), &info, sizeof(info),
		   &reply);
	if (!ret)
		ret = take_region(client, &reply, &info, out);
	vfu_message_free(&reply);
	return ret;
}

static int get_irq(struct vfu_client *client, struct vfio_irq_info *out)
{
	struct vfu_irq_info info = { .argsz = sizeof(info), .index = out->index };
	struct vfu_message reply = { 0 };
	int ret = call(client, VFU_DEVICE_GET_IRQ_INFO, &info, sizeof(info), &info, sizeof(info),
		       &reply);

	vfu_message_free(&reply);
	if (ret)
		return ret;
	out->flags = info.flags;
	out->count = MIN(info.count, VECTORS_MAX);
	return 0;
}

/* --- interrupts ------------------------------------------------------------------------------ */

static int send_irqs(struct vfu_client *client, const struct vfu_irq_set *set, const int *fds,
		     unsigned int n_fds)
{
	const struct vfu_request request = { .command = VFU_DEVICE_SET_IRQS,
					     .head = set,
					     .head_size = sizeof(*set),
					     .fds = fds,
					     .n_fds = n_fds };
	struct vfu_message reply = { 0 };
	int ret = vfu_client_call(client, &request, &reply);

	vfu_message_free(&reply);
	return ret;
}

/* Vectors with and without a descriptor cannot go in one message; nor can more than it takes. */
static int set_irqs(struct vfu_client *client, const struct vfio_irq_set *kernel)
{
	struct vfu_irq_set set = { .argsz = sizeof(set),
				   .flags = kernel->flags,
				   .index = kernel->index,
				   .start = kernel->start,
				   .count = kernel->count };
	unsigned int most = MIN(client->peer.max_fds, VFU_MAX_FDS), done = 0;
	int ret = 0;

	if (!(kernel->flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return send_irqs(client, &set, NULL, 0);
	while (!ret && done < kernel->count) {
		unsigned int n = 0;
		int fds[VFU_MAX_FDS], first;

		memcpy(&first, kernel->data + done * sizeof(int), sizeof(first));
		while (n < most && done + n < kernel->count) {
			memcpy(&fds[n], kernel->data + (done + n) * sizeof(int), sizeof(int));
			if ((fds[n] < 0) != (first < 0))
				break;
			n++;
		}
		set.start = kernel->start + done;
		set.count = n;
		ret = send_irqs(client, &set, fds, first < 0 ? 0 : n);
		done += n;
	}
	return ret;
}

static int reset(struct vfu_client *client)
{
	struct vfu_message reply = { 0 };
	int ret = call(client, VFU_DEVICE_RESET, NULL, 0, NULL, 0, &reply);

	vfu_message_free(&reply);
	return ret;
}

static int client_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(opaque, arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region(opaque, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq(opaque, arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(opaque, arg);
	case VFIO_DEVICE_RESET:
		return reset(opaque);
	default:
		return -ENOTTY;
	}
}

/* --- accesses -------------------------------------------------------------------------------- */

static ssize_t client_pread(void *opaque, int fd, void *data, size_t size, uint64_t offset)
{
	const struct vfu_region_access access = {
		.offset = offset & (REGION_SIZE - 1),
		.region = (uint32_t)(offset >> REGION_SHIFT),
		.count = (uint32_t)MIN(size, ACCESS_MAX),
	};
	uint8_t answer[sizeof(access) + ACCESS_MAX];
	struct vfu_message reply = { 0 };
	int ret = call(opaque, VFU_REGION_READ, &access, sizeof(access), answer,
		       sizeof(access) + access.count, &reply);

	vfu_message_free(&reply);
	if (ret)
		return ret;
	memcpy(data, answer + sizeof(access), access.count);
	return (ssize_t)access.count;
}

/* Posted, as a write on a bus is; the next read comes behind it. */
static ssize_t client_pwrite(void *opaque, int fd, const void *data, size_t size, uint64_t offset)
{
	const struct vfu_region_access access = {
		.offset = offset & (REGION_SIZE - 1),
		.region = (uint32_t)(offset >> REGION_SHIFT),
		.count = (uint32_t)MIN(size, ACCESS_MAX),
	};
	const struct vfu_request request = { .command = VFU_REGION_WRITE,
					     .head = &access,
					     .head_size = sizeof(access),
					     .data = data,
					     .data_size = access.count };
	int ret = vfu_client_post(opaque, &request);

	return ret ? ret : (ssize_t)access.count;
}

static int client_store64(void *opaque, int fd, const void *data, uint64_t offset)
{
	ssize_t n = client_pwrite(opaque, fd, data, STORE64_BYTES, offset);

	return n < 0 ? (int)n : 0;
}

static int client_mmap(void *opaque, int fd, void *at, size_t size, bool write, uint64_t offset)
{
	struct vfu_client *client = opaque;
	uint64_t index = offset >> REGION_SHIFT, within = offset & (REGION_SIZE - 1);
	const struct vfu_client_region *region;
	void *got;

	if (index >= VFU_REGIONS)
		return -EINVAL;
	region = &client->regions[index];
	if (region->fd < 0 || !range_inside(within, size, 0, region->size))
		return -EINVAL;
	got = mmap(at, size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED,
		   region->fd, (off_t)(region->fd_offset + within));
	return got == MAP_FAILED ? -errno : 0;
}

const struct vfio_sys vfu_client_calls = {
	.ioctl = client_ioctl,
	.pread = client_pread,
	.pwrite = client_pwrite,
	.mmap = client_mmap,
	.store64 = client_store64,
};
