/* SPDX-License-Identifier: Apache-2.0 */
/* What a client is told of the device: flags, regions with what of them it may map, interrupts. */
#include "passthrough/vfio-user/server-internal.h"

#include <errno.h>
#include <string.h>

#include "util/bits.h"

int vfu_handle_device_info(struct vfu_server *server, struct vfu_message *request,
			   struct vfu_message *reply)
{
	const struct vfu_device_info *asked = vfu_message_body(request, sizeof(*asked));
	struct vfu_device_info *info;

	if (!asked || asked->argsz < sizeof(*info))
		return -EINVAL;
	info = vfu_reply_body(reply, sizeof(*info));
	if (!info)
		return -ENOMEM;
	*info = (struct vfu_device_info){
		.argsz = sizeof(*info),
		.flags = VFU_DEVICE_FLAG_PCI |
			 (server->device.ops->reset ? VFU_DEVICE_FLAG_RESET : 0),
		.regions = VFU_REGIONS,
		.irqs = VFU_IRQS,
	};
	return 0;
}

static uint32_t region_flags(const struct vfu_region *region)
{
	if (!region->size)
		return 0;
	return (region->read ? VFU_REGION_FLAG_READ : 0) |
	       (region->write ? VFU_REGION_FLAG_WRITE : 0) |
	       (region->mappable ? VFU_REGION_FLAG_MMAP : 0) |
	       (region->mappable && region->n_areas ? VFU_REGION_FLAG_CAPS : 0);
}

static uint32_t caps_size(const struct vfu_region *region)
{
	if (!(region_flags(region) & VFU_REGION_FLAG_CAPS))
		return 0;
	return (uint32_t)(sizeof(struct vfu_sparse) + region->n_areas * sizeof(struct vfu_area));
}

static void write_caps(void *out, const struct vfu_region *region)
{
	const struct vfu_sparse sparse = { .id = VFU_CAP_SPARSE_MMAP,
					   .version = 1,
					   .count = region->n_areas };

	memcpy(out, &sparse, sizeof(sparse));
	memcpy((char *)out + sizeof(sparse), region->areas,
	       region->n_areas * sizeof(struct vfu_area));
}

/* Where the client's room is too small for the capabilities, argsz says how much it takes. */
int vfu_handle_region_info(struct vfu_server *server, struct vfu_message *request,
			   struct vfu_message *reply)
{
	const struct vfu_region_info *asked = vfu_message_body(request, sizeof(*asked));
	const struct vfu_region *region;
	struct vfu_region_info *info;
	uint32_t needed;
	bool caps;

	if (!asked || asked->argsz < sizeof(*info) || asked->index >= VFU_REGIONS)
		return -EINVAL;
	region = &server->device.regions[asked->index];
	needed = (uint32_t)sizeof(*info) + caps_size(region);
	caps = needed > sizeof(*info) && asked->argsz >= needed;
	info = vfu_reply_body(reply, caps ? needed : (uint32_t)sizeof(*info));
	if (!info)
		return -ENOMEM;
	*info = (struct vfu_region_info){
		.argsz = needed,
		.flags = region_flags(region),
		.index = asked->index,
		.cap_offset = caps ? (uint32_t)sizeof(*info) : 0,
		.size = region->size,
		.offset = region->mappable ? region->fd_offset : 0,
	};
	if (caps)
		write_caps(info + 1, region);
	if (info->flags & VFU_REGION_FLAG_MMAP) {
		reply->fds[0] = region->fd;
		reply->n_fds = 1;
	}
	return 0;
}

int vfu_handle_irq_info(struct vfu_server *server, struct vfu_message *request,
			struct vfu_message *reply)
{
	const struct vfu_irq_info *asked = vfu_message_body(request, sizeof(*asked));
	struct vfu_irq_info *info;

	if (!asked || asked->argsz < sizeof(*info) || asked->index >= VFU_IRQS)
		return -EINVAL;
	info = vfu_reply_body(reply, sizeof(*info));
	if (!info)
		return -ENOMEM;
	*info = (struct vfu_irq_info){ .argsz = sizeof(*info), .index = asked->index };
	if (asked->index == VFU_IRQ_MSIX) {
		info->count = server->device.vectors;
		info->flags = VFU_IRQ_FLAG_EVENTFD | VFU_IRQ_FLAG_NORESIZE;
	}
	return 0;
}
