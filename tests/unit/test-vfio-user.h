/* SPDX-License-Identifier: Apache-2.0 */
/* A vfio-user client that says what it is told to, right or wrong, for the tests of the server. */
#ifndef ADIT_TESTS_UNIT_TEST_VFIO_USER_H
#define ADIT_TESTS_UNIT_TEST_VFIO_USER_H

#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passthrough/vfio-user/wire.h"

struct peer {
	int socket;
	uint16_t id;
	struct vfu_message reply; /* the last one */
	/* Of the server's own requests, which come between: in reply. NULL: there are none. */
	void (*asked)(void *arg);
	void *arg;
};

static inline void peer_send(struct peer *peer, uint16_t command, uint32_t flags, const void *body,
			     size_t size, const int *fds, unsigned int n_fds)
{
	struct vfu_header header = { .id = ++peer->id, .command = command, .flags = flags };

	assert_int_equal(vfu_send_parts(peer->socket, &header, body, size, NULL, 0, fds, n_fds), 0);
}

/* 0 or the errno of the reply, which is in peer->reply. */
static inline int peer_call_fds(struct peer *peer, uint16_t command, const void *body, size_t size,
				const int *fds, unsigned int n_fds)
{
	const struct vfu_header *header = &peer->reply.header;

	peer_send(peer, command, 0, body, size, fds, n_fds);
	for (;;) {
		assert_int_equal(vfu_receive(peer->socket, &peer->reply), 1);
		if (!peer->asked || header->flags & VFU_TYPE_REPLY)
			break;
		peer->asked(peer->arg);
	}
	assert_int_equal(header->id, peer->id);
	assert_int_equal(header->command, command);
	assert_int_equal(header->flags & VFU_TYPE_MASK, VFU_TYPE_REPLY);
	if (!(header->flags & VFU_ERROR))
		return 0;
	assert_int_equal(peer->reply.size, 0);
	return (int)header->error;
}

static inline int peer_call(struct peer *peer, uint16_t command, const void *body, size_t size)
{
	return peer_call_fds(peer, command, body, size, NULL, 0);
}

static inline int peer_version(struct peer *peer, const char *json)
{
	uint8_t body[512] = { 0 };
	size_t size = sizeof(struct vfu_version);

	if (json) {
		memcpy(body + size, json, strlen(json) + 1);
		size += strlen(json) + 1;
	}
	return peer_call(peer, VFU_VERSION, body, size);
}

static inline int peer_read(struct peer *peer, uint32_t region, uint64_t offset, uint32_t count)
{
	const struct vfu_region_access access = { offset, region, count };

	return peer_call(peer, VFU_REGION_READ, &access, sizeof(access));
}

static inline int peer_write(struct peer *peer, uint32_t region, uint64_t offset, const void *data,
			     uint32_t count)
{
	uint8_t body[sizeof(struct vfu_region_access) + 4096];
	const struct vfu_region_access access = { offset, region, count };

	memcpy(body, &access, sizeof(access));
	memcpy(body + sizeof(access), data, count);
	return peer_call(peer, VFU_REGION_WRITE, body, sizeof(access) + count);
}

static inline const void *peer_data(const struct peer *peer)
{
	return peer->reply.body + sizeof(struct vfu_region_access);
}

static inline int peer_map(struct peer *peer, uint64_t iova, uint64_t size, uint32_t flags, int fd,
			   uint64_t offset)
{
	const struct vfu_dma_map map = { sizeof(map), flags, offset, iova, size };

	return peer_call_fds(peer, VFU_DMA_MAP, &map, sizeof(map), &fd, fd >= 0);
}

static inline int peer_unmap(struct peer *peer, uint64_t iova, uint64_t size)
{
	const struct vfu_dma_unmap unmap = { sizeof(unmap), 0, iova, size };

	return peer_call(peer, VFU_DMA_UNMAP, &unmap, sizeof(unmap));
}

/* flags 0: as VFIO clients set eventfds. */
static inline int peer_irqs(struct peer *peer, uint32_t flags, uint32_t start, uint32_t count,
			    const int *fds, unsigned int n_fds)
{
	const struct vfu_irq_set set = { sizeof(set),
					 flags ? flags
					       : VFU_IRQ_DATA_EVENTFD | VFU_IRQ_ACTION_TRIGGER,
					 VFU_IRQ_MSIX, start, count };

	return peer_call_fds(peer, VFU_DEVICE_SET_IRQS, &set, sizeof(set), fds, n_fds);
}

/* The server ended the connection: nothing more comes. */
static inline bool peer_dropped(struct peer *peer)
{
	return vfu_receive(peer->socket, &peer->reply) <= 0;
}

static inline void peer_close(struct peer *peer)
{
	vfu_message_free(&peer->reply);
	close(peer->socket);
}

#endif
