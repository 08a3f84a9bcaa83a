/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile vfio-user client can send: any bytes, cut at any place, with any descriptors. The
 * device checks that it is called inside what it declared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/vfio-user/server-internal.h"
#include "tests/fuzz/vfio-user-pieces.h"
#include "util/bits.h"

#define VECTORS 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t sizes[VFU_REGIONS] = { [0] = 8192, [2] = 64, [VFU_REGION_CONFIG] = 4096 };

static void check_access(unsigned int region, uint64_t offset, uint32_t count)
{
	if (region >= VFU_REGIONS || !count || !range_inside(offset, count, 0, sizes[region]))
		abort();
}

static int device_read(void *opaque, unsigned int region, uint64_t offset, void *data,
		       uint32_t count)
{
	check_access(region, offset, count);
	memset(data, 0x5a, count);
	return 0;
}

static int device_write(void *opaque, unsigned int region, uint64_t offset, const void *data,
			uint32_t count)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	check_access(region, offset, count);
	if (region == 2)
		abort();
	for (uint32_t i = 0; i < count; i++)
		sum ^= bytes[i];
	return sum == 0xff ? -1 : 0;
}

static int device_map(void *opaque, const struct vfu_range *range)
{
	if (!range->size || range_wraps(range->iova, range->size) ||
	    !is_aligned(range->iova | range->size | range->offset, VFU_PAGE) ||
	    !(range->read || range->write))
		abort();
	return range->iova & 0x1000 ? -EEXIST : 0;
}

static int device_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	return iova & 0x1000 ? -ENOENT : 0;
}

static void device_unmap_all(void *opaque)
{
}

static int device_reset(void *opaque)
{
	return 0;
}

static const struct vfu_device_ops ops = { .read = device_read,
					   .write = device_write,
					   .map = device_map,
					   .unmap = device_unmap,
					   .unmap_all = device_unmap_all,
					   .reset = device_reset };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfu_device device = { .ops = &ops, .vectors = VECTORS, .max_maps = 4, .name = "" };
	struct vfu_message request = { 0 }, reply = { 0 };
	struct vfu_server *server;
	struct err err;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	for (unsigned int i = 0; i < VFU_REGIONS; i++)
		device.regions[i] =
			(struct vfu_region){ .size = sizes[i], .read = true, .write = i != 2 };
	if (vfu_server_create(&server, pair[1], &device, &err))
		abort();
	send_all(pair[0], data, MIN(size, PIECES_MAX));
	while (vfu_receive(pair[1], &request) > 0 &&
	       vfu_dispatch(server, &request, &reply, &err) >= 0)
		vfu_fire(server, (unsigned int)reply.size % (VECTORS + 1));
	vfu_dma_end(server);
	vfu_message_free(&request);
	vfu_message_free(&reply);
	vfu_server_destroy(server);
	close(pair[0]);
	return 0;
}
