/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile vfio-user client can send: any bytes, cut at any place, with any descriptors. The
 * input is a list of pieces: a byte that says how many descriptors of which kinds go with it, two
 * bytes of length, the bytes. The device checks that it is called inside what it declared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passthrough/vfio-user/server-internal.h"
#include "util/bits.h"

#define PIECES_MAX 16384u /* bytes, so that the socket's buffer holds them all */
#define VECTORS	   3u

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

/* Kinds of descriptors: one bit of the piece's first byte each. */
static void send_piece(int socket, uint8_t kinds, const uint8_t *bytes, size_t size)
{
	int fds[3];
	unsigned int n = 0;
	struct iovec iov = { (void *)bytes, size };
	union {
		char bytes[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (kinds & 1)
		fds[n++] = eventfd(0, 0);
	if (kinds & 2)
		fds[n++] = memfd_create("fuzz", MFD_CLOEXEC);
	if (kinds & 4)
		fds[n++] = eventfd(0, 0);
	if (n) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n * sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
	}
	if (sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && size)
		abort();
	while (n)
		close(fds[--n]);
}

static void send_all(int socket, const uint8_t *data, size_t size)
{
	while (size > 3) {
		size_t len = MIN((size_t)load_le(data + 1, 2), size - 3);

		if (len)
			send_piece(socket, data[0], data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
	shutdown(socket, SHUT_WR);
}

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
