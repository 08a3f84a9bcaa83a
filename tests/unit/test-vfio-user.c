/* SPDX-License-Identifier: Apache-2.0 */
/* The vfio-user server over a device that records what it is asked: messages, limits, hostility. */
#include "tests/unit/test-vfio-user.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "passthrough/vfio-user/server.h"
#include "util/bits.h"

#define VECTORS	 3u
#define BAR_SIZE 8192u

struct fixture {
	struct peer peer;
	struct vfu_server *server;
	pthread_t thread;
	int result; /* of vfu_serve */
	struct err err;
	bool joined;

	struct vfu_area area;
	uint8_t config[4096], bar[BAR_SIZE];
	struct vfu_range range; /* the last that was mapped */
	unsigned int maps, unmaps, unmap_alls, resets;
	int map_result;
};

static int record_read(void *opaque, unsigned int region, uint64_t offset, void *data,
		       uint32_t count)
{
	struct fixture *f = opaque;

	memcpy(data, (region == VFU_REGION_CONFIG ? f->config : f->bar) + offset, count);
	return 0;
}

static int record_write(void *opaque, unsigned int region, uint64_t offset, const void *data,
			uint32_t count)
{
	struct fixture *f = opaque;

	memcpy((region == VFU_REGION_CONFIG ? f->config : f->bar) + offset, data, count);
	return 0;
}

static int record_map(void *opaque, const struct vfu_range *range)
{
	struct fixture *f = opaque;

	f->range = *range;
	f->maps++;
	return f->map_result;
}

static int record_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	struct fixture *f = opaque;

	f->unmaps++;
	return iova == f->range.iova && size == f->range.size ? 0 : -ENOENT;
}

static void record_unmap_all(void *opaque)
{
	struct fixture *f = opaque;

	f->unmap_alls++;
}

static int record_reset(void *opaque)
{
	struct fixture *f = opaque;

	f->resets++;
	return 0;
}

static const struct vfu_device_ops ops = {
	.read = record_read,
	.write = record_write,
	.map = record_map,
	.unmap = record_unmap,
	.unmap_all = record_unmap_all,
	.reset = record_reset,
};

static void *serve(void *arg)
{
	struct fixture *f = arg;

	f->result = vfu_serve(f->server, &f->err);
	/* The client learns that the connection is over, as when the process closes it. */
	vfu_stop(f->server);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct vfu_device device = {
		.ops = &ops,
		.opaque = f,
		.regions = { [0] = { .size = BAR_SIZE,
				     .read = true,
				     .write = true,
				     .mappable = true,
				     .fd_offset = 4096,
				     .areas = &f->area,
				     .n_areas = 1 },
			     [2] = { .size = 64, .read = true },
			     [VFU_REGION_CONFIG] = { .size = 4096, .read = true, .write = true } },
		.vectors = VECTORS,
		.max_maps = 2,
		.name = "test",
	};
	int pair[2];

	f->area = (struct vfu_area){ 4096, 4096 };
	device.regions[0].fd = memfd_create("bar", MFD_CLOEXEC);
	assert_true(device.regions[0].fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	f->peer.socket = pair[0];
	assert_ok(vfu_server_create(&f->server, pair[1], &device, &f->err), &f->err);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	*state = f;
	return 0;
}

static int setup_ready(void **state)
{
	int ret = setup(state);
	struct fixture *f = *state;

	assert_int_equal(peer_version(&f->peer, NULL), 0);
	return ret;
}

/* The client leaves; what the server then says is in result. */
static void leave(struct fixture *f)
{
	shutdown(f->peer.socket, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	f->joined = true;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f->joined)
		leave(f);
	vfu_server_destroy(f->server);
	peer_close(&f->peer);
	free(f);
	return 0;
}

/* --- negotiation ----------------------------------------------------------------------------- */

static void version_is_negotiated_with_limits(void **state)
{
	struct fixture *f = *state;
	const char *json;

	assert_int_equal(peer_version(&f->peer, "{\"capabilities\":{\"max_msg_fds\":8,"
						"\"max_data_xfer_size\":1048576,\"pgsizes\":4096,"
						"\"write_multiple\":true}}"),
			 0);
	json = (const char *)f->peer.reply.body + sizeof(struct vfu_version);
	assert_int_equal(f->peer.reply.body[f->peer.reply.size - 1], 0);
	assert_non_null(strstr(json, "\"max_msg_fds\":16"));
	assert_non_null(strstr(json, "\"max_dma_maps\":2"));
	assert_null(strstr(json, "write_multiple"));
}

static void minor_version_is_not_above_the_client_s(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_version(&f->peer, NULL), 0);
	assert_int_equal(load_le(f->peer.reply.body + 2, 2), 0);
}

static void other_major_version_ends_the_connection(void **state)
{
	const struct vfu_version version = { 1, 0 };
	struct fixture *f = *state;

	peer_send(&f->peer, VFU_VERSION, 0, &version, sizeof(version), NULL, 0);
	assert_true(peer_dropped(&f->peer));
	leave(f);
	assert_int_equal(f->result, -EPROTO);
	assert_non_null(strstr(f->err.text, "1.0"));
}

static void broken_json_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	uint8_t body[16] = { 0 };

	memcpy(body + 4, "{\"capabil", 10);
	peer_send(&f->peer, VFU_VERSION, 0, body, 14, NULL, 0);
	assert_true(peer_dropped(&f->peer));
}

static void json_without_its_nul_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	const char body[] = "\0\0\0\0{}";

	peer_send(&f->peer, VFU_VERSION, 0, body, 6, NULL, 0);
	assert_true(peer_dropped(&f->peer));
}

static void command_before_the_version_ends_the_connection(void **state)
{
	struct fixture *f = *state;

	peer_send(&f->peer, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	assert_true(peer_dropped(&f->peer));
	leave(f);
	assert_int_equal(f->resets, 0);
}

static void second_version_ends_the_connection(void **state)
{
	const struct vfu_version version = { 0 };
	struct fixture *f = *state;

	peer_send(&f->peer, VFU_VERSION, 0, &version, sizeof(version), NULL, 0);
	assert_true(peer_dropped(&f->peer));
}

/* --- framing --------------------------------------------------------------------------------- */

static void impossible_sizes_end_the_connection(void **state)
{
	struct fixture *f = *state;
	struct vfu_header header = { .command = VFU_DEVICE_RESET, .size = 15 };

	assert_int_equal(send(f->peer.socket, &header, sizeof(header), 0), sizeof(header));
	assert_true(peer_dropped(&f->peer));
	leave(f);
	assert_int_equal(f->result, -EPROTO);
}

static void a_size_past_the_limit_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	struct vfu_header header = { .command = VFU_REGION_WRITE, .size = UINT32_MAX };

	assert_int_equal(send(f->peer.socket, &header, sizeof(header), 0), sizeof(header));
	assert_true(peer_dropped(&f->peer));
	leave(f);
	assert_int_equal(f->result, -EPROTO);
}

static void end_within_a_message_is_a_broken_connection(void **state)
{
	struct fixture *f = *state;
	struct vfu_header header = { .command = VFU_REGION_WRITE, .size = 64 };

	assert_int_equal(send(f->peer.socket, &header, sizeof(header), 0), sizeof(header));
	leave(f);
	assert_int_equal(f->result, -ECONNRESET);
	assert_int_equal(f->unmap_alls, 1);
}

static void end_between_messages_is_an_end(void **state)
{
	struct fixture *f = *state;

	leave(f);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->unmap_alls, 1);
}

static void bytes_may_come_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct vfu_header header = { .id = 7, .command = VFU_DEVICE_RESET, .size = 16 };
	const char *bytes = (const char *)&header;

	for (size_t i = 0; i < sizeof(header); i++)
		assert_int_equal(send(f->peer.socket, bytes + i, 1, 0), 1);
	assert_int_equal(vfu_receive(f->peer.socket, &f->peer.reply), 1);
	assert_int_equal(f->peer.reply.header.id, 7);
	assert_int_equal(f->resets, 1);
}

static void unknown_commands_are_refused_and_the_connection_goes_on(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_REGION_IO_FDS, NULL, 0), EOPNOTSUPP);
	assert_int_equal(peer_call(&f->peer, 0, NULL, 0), EOPNOTSUPP);
	assert_int_equal(peer_call(&f->peer, 999, NULL, 0), EOPNOTSUPP);
	assert_int_equal(peer_call(&f->peer, VFU_DMA_READ, NULL, 0), EOPNOTSUPP);
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_RESET, NULL, 0), 0);
}

static void commands_without_reply_get_none(void **state)
{
	struct fixture *f = *state;
	uint8_t body[20] = { 0 };
	const struct vfu_region_access access = { 16, 0, 4 };

	memcpy(body, &access, sizeof(access));
	memcpy(body + sizeof(access), "abcd", 4);
	peer_send(&f->peer, VFU_REGION_WRITE, VFU_NO_REPLY, body, sizeof(body), NULL, 0);
	peer_send(&f->peer, VFU_REGION_WRITE, VFU_NO_REPLY, body, 3, NULL, 0); /* and wrong */
	assert_int_equal(peer_read(&f->peer, 0, 16, 4), 0);
	assert_memory_equal(peer_data(&f->peer), "abcd", 4);
}

static void unasked_replies_end_the_connection(void **state)
{
	struct fixture *f = *state;

	peer_send(&f->peer, VFU_REGION_READ, VFU_TYPE_REPLY, NULL, 0, NULL, 0);
	assert_true(peer_dropped(&f->peer));
}

/* --- information ----------------------------------------------------------------------------- */

static void device_information_is_a_pci_device_s(void **state)
{
	struct fixture *f = *state;
	struct vfu_device_info info = { .argsz = sizeof(info) };

	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_INFO, &info, sizeof(info)), 0);
	memcpy(&info, f->peer.reply.body, sizeof(info));
	assert_int_equal(info.flags, VFU_DEVICE_FLAG_PCI | VFU_DEVICE_FLAG_RESET);
	assert_int_equal(info.regions, 9);
	assert_int_equal(info.irqs, 5);
	info.argsz = 15;
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_INFO, &info, sizeof(info)), EINVAL);
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_INFO, &info, 15), EINVAL);
}

static void mappable_regions_come_with_descriptor_and_areas(void **state)
{
	struct fixture *f = *state;
	struct vfu_region_info info = { .argsz = 256, .index = 0 };
	struct vfu_sparse sparse;

	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info)), 0);
	memcpy(&info, f->peer.reply.body, sizeof(info));
	assert_int_equal(info.size, BAR_SIZE);
	assert_int_equal(info.offset, 4096);
	assert_int_equal(info.flags, VFU_REGION_FLAG_READ | VFU_REGION_FLAG_WRITE |
					     VFU_REGION_FLAG_MMAP | VFU_REGION_FLAG_CAPS);
	assert_int_equal(f->peer.reply.n_fds, 1);
	assert_int_equal(info.cap_offset, sizeof(info));
	memcpy(&sparse, f->peer.reply.body + info.cap_offset, sizeof(sparse));
	assert_int_equal(sparse.id, VFU_CAP_SPARSE_MMAP);
	assert_int_equal(sparse.count, 1);
	assert_memory_equal(f->peer.reply.body + info.cap_offset + sizeof(sparse), &f->area,
			    sizeof(f->area));
}

static void little_room_gets_the_size_and_no_areas(void **state)
{
	struct fixture *f = *state;
	struct vfu_region_info info = { .argsz = sizeof(info), .index = 0 };

	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info)), 0);
	memcpy(&info, f->peer.reply.body, sizeof(info));
	assert_int_equal(f->peer.reply.size, sizeof(info));
	assert_int_equal(info.cap_offset, 0);
	assert_int_equal(info.argsz, sizeof(info) + 16 + 16);
}

static void absent_regions_have_no_size(void **state)
{
	struct fixture *f = *state;
	struct vfu_region_info info = { .argsz = sizeof(info), .index = 5 };

	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info)), 0);
	memcpy(&info, f->peer.reply.body, sizeof(info));
	assert_int_equal(info.size, 0);
	assert_int_equal(info.flags, 0);
	info = (struct vfu_region_info){ .argsz = sizeof(info), .index = 9 };
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info)),
			 EINVAL);
}

static void only_msix_has_vectors(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 5; i++) {
		struct vfu_irq_info info = { .argsz = sizeof(info), .index = i };

		assert_int_equal(peer_call(&f->peer, VFU_DEVICE_GET_IRQ_INFO, &info, sizeof(info)),
				 0);
		memcpy(&info, f->peer.reply.body, sizeof(info));
		assert_int_equal(info.count, i == VFU_IRQ_MSIX ? VECTORS : 0);
	}
}

/* --- regions --------------------------------------------------------------------------------- */

static void regions_are_read_and_written(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_write(&f->peer, 0, BAR_SIZE - 8, "12345678", 8), 0);
	assert_int_equal(peer_read(&f->peer, 0, BAR_SIZE - 8, 8), 0);
	assert_memory_equal(peer_data(&f->peer), "12345678", 8);
	assert_int_equal(peer_read(&f->peer, VFU_REGION_CONFIG, 0, 4096), 0);
	assert_int_equal(f->peer.reply.size, 16 + 4096);
}

static void accesses_outside_are_refused(void **state)
{
	static const struct vfu_region_access bad[] = {
		{ BAR_SIZE - 7, 0, 8 },
		{ BAR_SIZE, 0, 1 },
		{ UINT64_MAX, 0, 1 },
		{ UINT64_MAX - 3, 0, 8 },
		{ 0, 0, 0 },
		{ 0, 0, BAR_SIZE + 1 },
		{ 0, 1, 1 },
		{ 0, 9, 1 },
		{ 0, UINT32_MAX, 1 },
		{ 4095, 7, 2 },
		{ 0, 0, UINT32_MAX },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t body[24] = { 0 };

		assert_int_equal(peer_call(&f->peer, VFU_REGION_READ, &bad[i], 16), EINVAL);
		memcpy(body, &bad[i], 16);
		assert_int_equal(peer_call(&f->peer, VFU_REGION_WRITE, body, 24), EINVAL);
	}
	assert_int_equal(peer_call(&f->peer, VFU_REGION_READ, &bad[0], 15), EINVAL);
}

static void a_write_s_count_is_its_data_s(void **state)
{
	const struct vfu_region_access access = { 0, 0, 8 };
	struct fixture *f = *state;
	uint8_t body[32] = { 0 };

	memcpy(body, &access, sizeof(access));
	assert_int_equal(peer_call(&f->peer, VFU_REGION_WRITE, body, 23), EINVAL);
	assert_int_equal(peer_call(&f->peer, VFU_REGION_WRITE, body, 25), EINVAL);
	assert_int_equal(peer_call(&f->peer, VFU_REGION_WRITE, body, 24), 0);
}

static void a_read_only_region_is_not_written(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_read(&f->peer, 2, 0, 8), 0);
	assert_int_equal(peer_write(&f->peer, 2, 0, "12345678", 8), EINVAL);
}

/* --- DMA ranges ------------------------------------------------------------------------------ */

static void ranges_reach_the_device_with_their_descriptor(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("ram", MFD_CLOEXEC);

	assert_int_equal(peer_map(&f->peer, 0x100000, 0x2000, 3, fd, 0x1000), 0);
	assert_true(f->range.fd >= 0);
	assert_int_equal(f->range.iova, 0x100000);
	assert_int_equal(f->range.size, 0x2000);
	assert_int_equal(f->range.offset, 0x1000);
	assert_true(f->range.read && f->range.write);
	assert_int_equal(peer_unmap(&f->peer, 0x100000, 0x2000), 0);
	assert_int_equal(f->peer.reply.size, sizeof(struct vfu_dma_unmap));
	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 1, -1, 0), 0);
	assert_int_equal(f->range.fd, -1);
	assert_false(f->range.write);
	close(fd);
}

static void impossible_ranges_are_refused(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("ram", MFD_CLOEXEC);

	assert_int_equal(peer_map(&f->peer, 0, 0, 3, -1, 0), EINVAL);
	assert_int_equal(peer_map(&f->peer, 1, 0x1000, 3, -1, 0), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0, 0x1001, 3, -1, 0), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0x2000, ~0xfffull, 3, -1, 0), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 0, -1, 0), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 7, -1, 0), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 3, fd, 1), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 3, fd, ~0xfffull), EINVAL);
	assert_int_equal(peer_map(&f->peer, 0, 0x2000, 3, fd, INT64_MAX & ~0xfffull), EINVAL);
	assert_int_equal(f->maps, 0);
	assert_int_equal(peer_unmap(&f->peer, 0, 0), EINVAL);
	assert_int_equal(f->unmaps, 0);
	close(fd);
}

static void no_more_ranges_than_were_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 3, -1, 0), 0);
	assert_int_equal(peer_map(&f->peer, 0x1000, 0x1000, 3, -1, 0), 0);
	assert_int_equal(peer_map(&f->peer, 0x2000, 0x1000, 3, -1, 0), ENOSPC);
	assert_int_equal(peer_unmap(&f->peer, 0x1000, 0x1000), 0);
	assert_int_equal(peer_map(&f->peer, 0x2000, 0x1000, 3, -1, 0), 0);
}

static void a_range_that_the_device_refuses_does_not_count(void **state)
{
	struct fixture *f = *state;

	f->map_result = -EEXIST;
	for (int i = 0; i < 5; i++)
		assert_int_equal(peer_map(&f->peer, 0, 0x1000, 3, -1, 0), EEXIST);
	f->map_result = 0;
	assert_int_equal(peer_map(&f->peer, 0, 0x1000, 3, -1, 0), 0);
}

static void all_ranges_can_be_unmapped_at_once(void **state)
{
	const struct vfu_dma_unmap all = { sizeof(all), VFU_DMA_UNMAP_ALL, 0, 0 };
	struct fixture *f = *state;

	assert_int_equal(peer_call(&f->peer, VFU_DMA_UNMAP, &all, sizeof(all)), 0);
	leave(f); /* which unmaps all once more */
	assert_int_equal(f->unmap_alls, 2);
}

/* --- interrupts ------------------------------------------------------------------------------ */

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void an_eventfd_gets_its_vector_s_interrupts(void **state)
{
	struct fixture *f = *state;
	int fds[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };

	assert_int_equal(peer_irqs(&f->peer, 0, 1, 2, fds, 2), 0);
	vfu_fire(f->server, 0);
	vfu_fire(f->server, 2);
	vfu_fire(f->server, 2);
	vfu_fire(f->server, VECTORS);
	assert_int_equal(count_of(fds[0]), 0);
	assert_int_equal(count_of(fds[1]), 2);
	/* QEMU's first step: a vector without a descriptor. */
	assert_int_equal(peer_irqs(&f->peer, 0, 2, 1, NULL, 0), 0);
	vfu_fire(f->server, 2);
	vfu_fire(f->server, 1);
	assert_int_equal(count_of(fds[0]), 1);
	assert_int_equal(count_of(fds[1]), 0);
	assert_int_equal(peer_irqs(&f->peer, VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_TRIGGER, 0, 0, NULL,
				   0),
			 0);
	vfu_fire(f->server, 1);
	assert_int_equal(count_of(fds[0]), 0);
	close(fds[0]);
	close(fds[1]);
}

static void a_client_may_raise_vectors_itself(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_NONBLOCK);
	uint8_t body[sizeof(struct vfu_irq_set) + 3] = { 0 };
	const struct vfu_irq_set set = { sizeof(body), VFU_IRQ_DATA_BOOL | VFU_IRQ_ACTION_TRIGGER,
					 VFU_IRQ_MSIX, 0, 3 };

	assert_int_equal(peer_irqs(&f->peer, 0, 1, 1, &fd, 1), 0);
	memcpy(body, &set, sizeof(set));
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_SET_IRQS, body, sizeof(body)), 0);
	assert_int_equal(count_of(fd), 0);
	body[sizeof(set) + 1] = 1;
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_SET_IRQS, body, sizeof(body)), 0);
	assert_int_equal(count_of(fd), 1);
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_SET_IRQS, body, sizeof(body) - 1), EINVAL);
	close(fd);
}

static void only_eventfds_are_taken(void **state)
{
	struct fixture *f = *state;
	int pipes[2], fd = memfd_create("no eventfd", MFD_CLOEXEC);

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(peer_irqs(&f->peer, 0, 0, 1, &pipes[1], 1), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, 0, 0, 1, &fd, 1), EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

static void impossible_interrupts_are_refused(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, 0), two[2] = { fd, fd };

	assert_int_equal(peer_irqs(&f->peer, 0, VECTORS, 1, &fd, 1), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, 0, UINT32_MAX, 1, &fd, 1), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, 0, 0, UINT32_MAX, &fd, 1), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, 0, 0, 1, two, 2), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, 0, 0, 3, two, 2), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, VFU_IRQ_DATA_NONE | 8, 0, 1, NULL, 0), EINVAL);
	assert_int_equal(peer_irqs(&f->peer, 0xffffffff, 0, 1, NULL, 0), EINVAL);
	close(fd);
}

static void too_many_descriptors_end_the_connection(void **state)
{
	struct fixture *f = *state;
	struct vfu_header header = { .command = VFU_DEVICE_RESET, .size = sizeof(header) };
	struct iovec iov = { &header, sizeof(header) };
	union {
		char bytes[CMSG_SPACE((VFU_MAX_FDS + 1) * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((VFU_MAX_FDS + 1) * sizeof(int));
	for (unsigned int i = 0; i <= VFU_MAX_FDS; i++)
		((int *)CMSG_DATA(c))[i] = STDERR_FILENO;
	assert_int_equal(sendmsg(f->peer.socket, &msg, 0), sizeof(header));
	assert_true(peer_dropped(&f->peer));
	leave(f);
	assert_int_equal(f->result, -EMFILE);
}

/* --- DMA by messages ------------------------------------------------------------------------- */

struct mover {
	struct fixture *f;
	bool write;
	uint8_t data[8];
	uint64_t size;
	int result;
};

static void *move(void *arg)
{
	struct mover *m = arg;

	m->result = m->write ? vfu_dma_write(m->f->server, 0x4000, m->data, m->size)
			     : vfu_dma_read(m->f->server, 0x4000, m->data, m->size);
	return NULL;
}

static void start(pthread_t *thread, struct mover *m)
{
	assert_int_equal(pthread_create(thread, NULL, move, m), 0);
}

static const struct vfu_dma_access *asked(struct fixture *f, uint16_t command)
{
	assert_int_equal(vfu_receive(f->peer.socket, &f->peer.reply), 1);
	assert_int_equal(f->peer.reply.header.command, command);
	assert_int_equal(f->peer.reply.header.flags, 0);
	return vfu_message_body(&f->peer.reply, sizeof(struct vfu_dma_access));
}

static void reply_with(struct fixture *f, uint32_t flags, const void *body, size_t size)
{
	struct vfu_header header = f->peer.reply.header;

	header.flags = VFU_TYPE_REPLY | flags;
	assert_int_equal(vfu_send_parts(f->peer.socket, &header, body, size, NULL, 0, NULL, 0), 0);
}

static void dma_is_read_by_messages(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .size = 8 };
	const struct vfu_dma_access *access;
	uint8_t body[24];
	pthread_t thread;

	start(&thread, &m);
	access = asked(f, VFU_DMA_READ);
	assert_int_equal(access->address, 0x4000);
	assert_int_equal(access->count, 8);
	memcpy(body, access, 16);
	memcpy(body + 16, "deadbeef", 8);
	reply_with(f, 0, body, sizeof(body));
	pthread_join(thread, NULL);
	assert_int_equal(m.result, 0);
	assert_memory_equal(m.data, "deadbeef", 8);
}

static void dma_is_written_by_messages(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .write = true, .data = "deadbee", .size = 8 };
	const struct vfu_dma_access *access;
	pthread_t thread;

	start(&thread, &m);
	access = asked(f, VFU_DMA_WRITE);
	assert_int_equal(f->peer.reply.size, 24);
	assert_memory_equal(access + 1, "deadbee", 8);
	reply_with(f, 0, f->peer.reply.body, 12); /* the specification's shorter answer */
	pthread_join(thread, NULL);
	assert_int_equal(m.result, 0);
}

static void a_refused_transfer_fails(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .size = 8 };
	pthread_t thread;

	start(&thread, &m);
	asked(f, VFU_DMA_READ);
	reply_with(f, VFU_ERROR, NULL, 0);
	pthread_join(thread, NULL);
	assert_int_equal(m.result, -EFAULT);
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_RESET, NULL, 0), 0);
}

static void a_short_answer_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .size = 8 };
	pthread_t thread;

	start(&thread, &m);
	asked(f, VFU_DMA_READ);
	reply_with(f, 0, f->peer.reply.body, 16);
	pthread_join(thread, NULL);
	assert_true(m.result < 0);
	assert_true(peer_dropped(&f->peer));
}

static void a_client_that_leaves_ends_the_wait(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .size = 8 };
	pthread_t thread;

	start(&thread, &m);
	asked(f, VFU_DMA_READ);
	leave(f);
	pthread_join(thread, NULL);
	assert_int_equal(m.result, -ECANCELED);
}

static void a_refusal_ends_the_wait_and_late_answers_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .size = 8 };
	uint8_t body[24] = { 0 };
	pthread_t thread;

	start(&thread, &m);
	asked(f, VFU_DMA_READ);
	vfu_dma_refuse(f->server, true);
	pthread_join(thread, NULL);
	assert_int_equal(m.result, -ECANCELED);
	assert_int_equal(vfu_dma_read(f->server, 0, m.data, 8), -ECANCELED);
	reply_with(f, 0, body, sizeof(body));
	assert_int_equal(peer_call(&f->peer, VFU_DEVICE_RESET, NULL, 0), 0);
	vfu_dma_refuse(f->server, false);
}

static void nothing_is_asked_before_the_version(void **state)
{
	struct fixture *f = *state;
	uint8_t data[8];

	assert_int_equal(vfu_dma_read(f->server, 0, data, 8), -ECANCELED);
}

static void transfers_are_split_by_what_the_client_takes(void **state)
{
	struct fixture *f = *state;
	struct mover m = { .f = f, .write = true, .size = 8 };
	pthread_t thread;

	assert_int_equal(peer_version(&f->peer, "{\"capabilities\":{\"max_data_xfer_size\":5}}"),
			 0);
	start(&thread, &m);
	assert_int_equal(asked(f, VFU_DMA_WRITE)->count, 5);
	reply_with(f, 0, f->peer.reply.body, 16);
	assert_int_equal(asked(f, VFU_DMA_WRITE)->count, 3);
	reply_with(f, 0, f->peer.reply.body, 16);
	pthread_join(thread, NULL);
	assert_int_equal(m.result, 0);
}

#define FRESH(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define READY(name) cmocka_unit_test_setup_teardown(name, setup_ready, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(version_is_negotiated_with_limits),
		FRESH(minor_version_is_not_above_the_client_s),
		FRESH(other_major_version_ends_the_connection),
		FRESH(broken_json_ends_the_connection),
		FRESH(json_without_its_nul_ends_the_connection),
		FRESH(command_before_the_version_ends_the_connection),
		READY(second_version_ends_the_connection),
		READY(impossible_sizes_end_the_connection),
		READY(a_size_past_the_limit_ends_the_connection),
		READY(end_within_a_message_is_a_broken_connection),
		READY(end_between_messages_is_an_end),
		READY(bytes_may_come_one_by_one),
		READY(unknown_commands_are_refused_and_the_connection_goes_on),
		READY(commands_without_reply_get_none),
		READY(unasked_replies_end_the_connection),
		READY(device_information_is_a_pci_device_s),
		READY(mappable_regions_come_with_descriptor_and_areas),
		READY(little_room_gets_the_size_and_no_areas),
		READY(absent_regions_have_no_size),
		READY(only_msix_has_vectors),
		READY(regions_are_read_and_written),
		READY(accesses_outside_are_refused),
		READY(a_write_s_count_is_its_data_s),
		READY(a_read_only_region_is_not_written),
		READY(ranges_reach_the_device_with_their_descriptor),
		READY(impossible_ranges_are_refused),
		READY(no_more_ranges_than_were_told),
		READY(a_range_that_the_device_refuses_does_not_count),
		READY(all_ranges_can_be_unmapped_at_once),
		READY(an_eventfd_gets_its_vector_s_interrupts),
		READY(a_client_may_raise_vectors_itself),
		READY(only_eventfds_are_taken),
		READY(impossible_interrupts_are_refused),
		READY(too_many_descriptors_end_the_connection),
		READY(dma_is_read_by_messages),
		READY(dma_is_written_by_messages),
		READY(a_refused_transfer_fails),
		READY(a_short_answer_ends_the_connection),
		READY(a_client_that_leaves_ends_the_wait),
		READY(a_refusal_ends_the_wait_and_late_answers_are_dropped),
		FRESH(nothing_is_asked_before_the_version),
		FRESH(transfers_are_split_by_what_the_client_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
