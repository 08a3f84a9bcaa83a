/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses to the device's regions, and the ranges of the client's memory that it may reach. */
#include "passthrough/vfio-user/server-internal.h"

#include <errno.h>
#include <string.h>

#include "util/bits.h"

/* --- regions --------------------------------------------------------------------------------- */

static const struct vfu_region *accessed(const struct vfu_server *server,
					 const struct vfu_region_access *access)
{
	const struct vfu_region *region;

	if (access->region >= VFU_REGIONS || !access->count || access->count > VFU_XFER_MAX)
		return NULL;
	region = &server->device.regions[access->region];
	return range_inside(access->offset, access->count, 0, region->size) ? region : NULL;
}

int vfu_handle_region_read(struct vfu_server *server, struct vfu_message *request,
			   struct vfu_message *reply)
{
	const struct vfu_region_access *access = vfu_message_body(request, sizeof(*access));
	const struct vfu_device *device = &server->device;
	const struct vfu_region *region;
	uint8_t *body;

	if (!access)
		return -EINVAL;
	region = accessed(server, access);
	if (!region || !region->read)
		return -EINVAL;
	if (!device->ops->read)
		return -EOPNOTSUPP;
	body = vfu_reply_body(reply, (uint32_t)sizeof(*access) + access->count);
	if (!body)
		return -ENOMEM;
	memcpy(body, access, sizeof(*access));
	return device->ops->read(device->opaque, access->region, access->offset,
				 body + sizeof(*access), access->count);
}

int vfu_handle_region_write(struct vfu_server *server, struct vfu_message *request,
			    struct vfu_message *reply)
{
	const struct vfu_region_access *access = vfu_message_body(request, sizeof(*access));
	const struct vfu_device *device = &server->device;
	const struct vfu_region *region;
	uint8_t *body;

	if (!access)
		return -EINVAL;
	region = accessed(server, access);
	if (!region || !region->write || request->size - sizeof(*access) != access->count)
		return -EINVAL;
	if (!device->ops->write)
		return -EOPNOTSUPP;
	body = vfu_reply_body(reply, sizeof(*access));
	if (!body)
		return -ENOMEM;
	memcpy(body, access, sizeof(*access));
	return device->ops->write(device->opaque, access->region, access->offset, access + 1,
				  access->count);
}

/* --- the client's memory --------------------------------------------------------------------- */

static bool page_aligned(uint64_t v)
{
	return is_aligned(v, VFU_PAGE);
}

static int check_map(const struct vfu_server *server, const struct vfu_dma_map *map,
		     unsigned int n_fds)
{
	if (map->argsz < sizeof(*map) || map->flags & ~(VFU_DMA_READABLE | VFU_DMA_WRITABLE) ||
	    !map->flags || n_fds > 1)
		return -EINVAL;
	if (!map->size || !page_aligned(map->address) || !page_aligned(map->size) ||
	    range_wraps(map->address, map->size))
		return -EINVAL;
	/* An offset must be one of a file: off_t has 63 bits. */
	if (n_fds && (!page_aligned(map->offset) ||
		      !range_inside(map->offset, map->size, 0, (uint64_t)INT64_MAX)))
		return -EINVAL;
	return server->ranges < server->device.max_maps ? 0 : -ENOSPC;
}

int vfu_handle_dma_map(struct vfu_server *server, struct vfu_message *request,
		       struct vfu_message *reply)
{
	const struct vfu_dma_map *map = vfu_message_body(request, sizeof(*map));
	const struct vfu_device *device = &server->device;
	struct vfu_range range;
	int ret;

	if (!map)
		return -EINVAL;
	ret = check_map(server, map, request->n_fds);
	if (ret)
		return ret;
	range = (struct vfu_range){
		.iova = map->address,
		.size = map->size,
		.read = map->flags & VFU_DMA_READABLE,
		.write = map->flags & VFU_DMA_WRITABLE,
		.fd = request->n_fds ? request->fds[0] : -1,
		.offset = request->n_fds ? map->offset : 0,
	};
	ret = device->ops->map ? device->ops->map(device->opaque, &range) : -EOPNOTSUPP;
	if (!ret)
		server->ranges++;
	return ret;
}

static int unmap(struct vfu_server *server, const struct vfu_dma_unmap *unmap)
{
	const struct vfu_device *device = &server->device;
	int ret;

	if (unmap->flags & VFU_DMA_UNMAP_ALL) {
		if (!device->ops->unmap_all)
			return -EOPNOTSUPP;
		device->ops->unmap_all(device->opaque);
		server->ranges = 0;
		return 0;
	}
	if (!unmap->size || !page_aligned(unmap->address) || !page_aligned(unmap->size) ||
	    range_wraps(unmap->address, unmap->size))
		return -EINVAL;
	if (!device->ops->unmap)
		return -EOPNOTSUPP;
	ret = device->ops->unmap(device->opaque, unmap->address, unmap->size);
	if (!ret && server->ranges)
		server->ranges--;
	return ret;
}

int vfu_handle_dma_unmap(struct vfu_server *server, struct vfu_message *request,
			 struct vfu_message *reply)
{
	const struct vfu_dma_unmap *asked = vfu_message_body(request, sizeof(*asked));
	void *body;
	int ret;

	if (!asked || asked->argsz < sizeof(*asked) || asked->flags & ~VFU_DMA_UNMAP_ALL)
		return -EINVAL;
	ret = unmap(server, asked);
	if (ret)
		return ret;
	body = vfu_reply_body(reply, sizeof(*asked));
	if (!body)
		return -ENOMEM;
	memcpy(body, asked, sizeof(*asked));
	return 0;
}
