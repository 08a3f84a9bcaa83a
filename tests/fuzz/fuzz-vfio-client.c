/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile vfio-user server can answer: for each request of the client the next piece of the
 * input is sent back, as it is or as an answer to that request, with descriptors. What comes out of
 * the client must be what passthrough/vfio, which trusts its kernel, can live with.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <pthread.h>

#include "passthrough/vfio-user/client.h"
#include "passthrough/vfio-user/wire.h"
#include "passthrough/vfio/vfio.h"
#include "tests/fuzz/replay.h"
#include "tests/fuzz/vfio-user-pieces.h"

#define AS_ANSWER  0x80u /* of a piece's first byte */
#define REGIONS	   9u
#define ROOM	   4096u
#define RAM	   65536u
#define SHARED_AT  0x100000u
#define MAX_REGION (1ULL << 40)

unsigned int replay_runs(void)
{
	return 5000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server {
	int socket;
	const uint8_t *data;
	size_t size;
};

/* True: that was an answer. */
static bool send_next(struct server *server, const struct vfu_header *asked)
{
	uint8_t bytes[PIECES_MAX];
	size_t len = MIN((size_t)load_le(server->data + 1, 2), server->size - 3);
	struct vfu_header header;
	bool answers;

	len = MIN(len, sizeof(bytes));
	memcpy(bytes, server->data + 3, len);
	answers = server->data[0] & AS_ANSWER && len >= sizeof(header);
	if (answers) {
		memcpy(&header, bytes, sizeof(header));
		header.id = asked->id;
		header.command = asked->command;
		header.size = (uint32_t)len;
		header.flags = VFU_TYPE_REPLY | (header.flags & VFU_ERROR);
		memcpy(bytes, &header, sizeof(header));
	}
	if (len)
		try_piece(server->socket, server->data[0], bytes, len);
	server->data += 3 + len;
	server->size -= 3 + len;
	return answers;
}

/* False: the input is at its end. */
static bool answer(struct server *server, const struct vfu_header *asked)
{
	while (server->size > 3) {
		if (send_next(server, asked))
			return true;
	}
	return false;
}

static void *serve(void *arg)
{
	struct server *server = arg;
	struct vfu_message request = { 0 };

	while (vfu_receive(server->socket, &request) > 0) {
		if (request.header.flags & (VFU_NO_REPLY | VFU_TYPE_REPLY))
			continue;
		if (!answer(server, &request.header))
			break;
	}
	vfu_message_free(&request);
	shutdown(server->socket, SHUT_RDWR);
	return NULL;
}

static void check_areas(const struct vfio_region_info *info)
{
	const char *base = (const char *)info;
	const struct vfio_region_info_cap_sparse_mmap *sparse;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) || !info->cap_offset ||
	    !(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return;
	if (info->cap_offset > ROOM - sizeof(*sparse))
		abort();
	sparse = (const void *)(base + info->cap_offset);
	if (sparse->nr_areas > ROOM / sizeof(sparse->areas[0]))
		abort();
	for (uint32_t i = 0; i < sparse->nr_areas; i++) {
		if (!range_inside(sparse->areas[i].offset, sparse->areas[i].size, 0, info->size))
			abort();
	}
}

static void ask_region(const struct vfio_sys *sys, uint32_t index)
{
	union {
		struct vfio_region_info info;
		uint8_t room[ROOM];
	} region = { .info = { .argsz = sizeof(region.info), .index = index } };
	uint8_t byte;
	void *at;

	if (sys->ioctl(sys->opaque, -1, VFIO_DEVICE_GET_REGION_INFO, &region.info))
		return;
	if (region.info.size > MAX_REGION || region.info.argsz > ROOM)
		abort();
	region.info.argsz = ROOM;
	if (sys->ioctl(sys->opaque, -1, VFIO_DEVICE_GET_REGION_INFO, &region.info))
		return;
	check_areas(&region.info);
	(void)sys->pread(sys->opaque, -1, &byte, 1, region.info.offset);
	(void)sys->pwrite(sys->opaque, -1, &byte, 1, region.info.offset);
	if (!(region.info.flags & VFIO_REGION_INFO_FLAG_MMAP) || region.info.size > MEMFD_SIZE)
		return;
	at = mmap(NULL, MEMFD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		abort();
	/* What was said to be there can be touched. */
	if (!sys->mmap(sys->opaque, -1, at, region.info.size, true, region.info.offset))
		*(volatile uint8_t *)at = 1;
	munmap(at, MEMFD_SIZE);
}

static void ask_all(const struct vfio_sys *sys)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	static const int fds[] = { -1, STDERR_FILENO, STDERR_FILENO };
	union {
		struct vfio_irq_set set;
		uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(fds)];
	} irqs = { .set = { .argsz = sizeof(irqs),
			    .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			    .index = VFIO_PCI_MSIX_IRQ_INDEX,
			    .count = 3 } };

	memcpy(irqs.set.data, fds, sizeof(fds));
	if (!sys->ioctl(sys->opaque, -1, VFIO_DEVICE_GET_INFO, &info) &&
	    (info.num_regions > REGIONS || info.num_irqs > 5))
		abort();
	for (uint32_t i = 0; i < REGIONS; i++)
		ask_region(sys, i);
	for (uint32_t i = 0; i < 5; i++) {
		struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = i };

		if (!sys->ioctl(sys->opaque, -1, VFIO_DEVICE_GET_IRQ_INFO, &irq) &&
		    irq.count > 2048)
			abort();
	}
	(void)sys->ioctl(sys->opaque, -1, VFIO_DEVICE_SET_IRQS, &irqs.set);
	(void)sys->ioctl(sys->opaque, -1, VFIO_DEVICE_RESET, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ram[RAM];
	struct vfu_client_options options = { .name = "fuzz",
					      .messages = true,
					      .timeout_ms = 20, /* broken framing hides answers */
					      .shared = { { SHARED_AT, RAM, ram, -1, 0 } },
					      .n_shared = 1 };
	struct server server = { .data = data, .size = size };
	struct vfu_client *client;
	pthread_t thread;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		abort();
	server.socket = pair[0];
	options.fd = pair[1];
	if (pthread_create(&thread, NULL, serve, &server))
		abort();
	if (!vfu_client_create(&client, &options, NULL)) {
		ask_all(vfu_client_sys(client));
		vfu_client_destroy(client);
	}
	pthread_join(thread, NULL);
	close(pair[0]);
	return 0;
}
