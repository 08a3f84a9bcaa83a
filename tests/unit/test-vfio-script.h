/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole life of a served DSA as one string of messages, so that it can end at any byte: the
 * device is found, set up and put to work; then its memory goes, and it is reset.
 */
#ifndef ADIT_TESTS_UNIT_TEST_VFIO_SCRIPT_H
#define ADIT_TESTS_UNIT_TEST_VFIO_SCRIPT_H

#include "tests/unit/test-vfio-dsa.h"

#include <sys/socket.h>

/* The client's memory, by one descriptor, and places in it. */
struct script_memory {
	uint64_t at, size;
	uint64_t source, target, record;
	int fd, interrupt;
};

struct script {
	uint8_t bytes[4096];
	size_t size;
	struct {
		size_t at;
		int fds[2];
		unsigned int n_fds;
	} message[32];
	unsigned int n;
};

static inline void script_say(struct script *s, uint16_t command, const void *body, size_t size,
			      const int *fds, unsigned int n_fds)
{
	const struct vfu_header header = { .id = (uint16_t)s->n,
					   .command = command,
					   .size = (uint32_t)(sizeof(header) + size) };

	assert_true(s->n < ARRAY_SIZE(s->message) && s->size + header.size <= sizeof(s->bytes));
	s->message[s->n].at = s->size;
	s->message[s->n].n_fds = n_fds;
	for (unsigned int i = 0; i < n_fds; i++)
		s->message[s->n].fds[i] = fds[i];
	s->n++;
	memcpy(s->bytes + s->size, &header, sizeof(header));
	if (size)
		memcpy(s->bytes + s->size + sizeof(header), body, size);
	s->size += header.size;
}

static inline void script_write(struct script *s, uint32_t region, uint64_t offset,
				const void *data, uint32_t count)
{
	const struct vfu_region_access access = { offset, region, count };
	uint8_t body[sizeof(access) + 64];

	memcpy(body, &access, sizeof(access));
	memcpy(body + sizeof(access), data, count);
	script_say(s, VFU_REGION_WRITE, body, sizeof(access) + count, NULL, 0);
}

static inline void script_register(struct script *s, uint64_t offset, uint64_t value)
{
	script_write(s, DSA_BAR_REGISTERS, offset, &value, offset < DSA_MSIXPERM ? 4 : 8);
}

static inline void script_command(struct script *s, enum dsa_command command)
{
	script_register(s, DSA_CMD, (uint64_t)command << DSA_CMD_CODE_SHIFT);
}

/* As peer_enable has it. */
static inline void script_set_up(struct script *s)
{
	script_command(s, DSA_RESET_DEVICE);
	script_register(s, DSA_GRPCFG, 1);
	script_register(s, DSA_GRPCFG + DSA_GRPCFG_ENGINES, 1);
	script_register(s, DSA_WQCFG, 16);
	script_register(s, DSA_WQCFG + 8,
			(uint64_t)28 << 32 | DSA_WQCFG_DEDICATED | 1 << DSA_WQCFG_PRIORITY_SHIFT);
	script_command(s, DSA_ENABLE_DEVICE);
	script_command(s, DSA_ENABLE_WQ);
}

static inline void script_make(struct script *s, const struct script_memory *memory)
{
	const struct vfu_version version = { 0, 0 };
	const struct vfu_device_info device = { .argsz = sizeof(device) };
	const struct vfu_region_info region = { .argsz = sizeof(region), .index = 2 };
	const struct vfu_irq_info irq = { .argsz = sizeof(irq), .index = VFU_IRQ_MSIX };
	const struct vfu_dma_map map = { sizeof(map), VFU_DMA_READABLE | VFU_DMA_WRITABLE, 0,
					 memory->at, memory->size };
	const struct vfu_dma_unmap unmap = { sizeof(unmap), 0, memory->at, memory->size };
	const struct vfu_irq_set set = { sizeof(set), VFU_IRQ_DATA_EVENTFD | VFU_IRQ_ACTION_TRIGGER,
					 VFU_IRQ_MSIX, 0, 2 };
	const struct vfu_region_access status = { DSA_GENSTS, DSA_BAR_REGISTERS, 4 };
	const struct dsa_descriptor d = {
		.flags = DSA_OP_MEMMOVE << DSA_OPCODE_SHIFT | DSA_FLAG_RECORD_VALID |
			 DSA_FLAG_RECORD | DSA_FLAG_INTERRUPT,
		.record = memory->record,
		.source = memory->source,
		.destination = memory->target,
		.size = 4096,
		.interrupt = 1,
	};
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	const int fds[2] = { memory->interrupt, memory->interrupt };

	*s = (struct script){ 0 };
	script_say(s, VFU_VERSION, &version, sizeof(version), NULL, 0);
	script_say(s, VFU_DEVICE_GET_INFO, &device, sizeof(device), NULL, 0);
	script_say(s, VFU_DEVICE_GET_REGION_INFO, &region, sizeof(region), NULL, 0);
	script_say(s, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0);
	script_say(s, VFU_DMA_MAP, &map, sizeof(map), &memory->fd, 1);
	script_write(s, VFU_REGION_CONFIG, PCI_COMMAND, &on, sizeof(on));
	script_say(s, VFU_DEVICE_SET_IRQS, &set, sizeof(set), fds, 2);
	script_set_up(s);
	script_write(s, DSA_BAR_PORTALS, DSA_PORTAL_PAGE, &d, sizeof(d));
	script_say(s, VFU_REGION_READ, &status, sizeof(status), NULL, 0);
	script_say(s, VFU_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0);
	script_say(s, VFU_DEVICE_RESET, NULL, 0, NULL, 0);
}

/* Its first bytes, cut of them. */
static inline void script_send(int socket, const struct script *s, size_t cut)
{
	for (unsigned int i = 0; i < s->n && s->message[i].at < cut; i++) {
		size_t at = s->message[i].at, end = i + 1 < s->n ? s->message[i + 1].at : s->size;
		struct iovec iov = { (void *)(s->bytes + at), MIN(end, cut) - at };
		union {
			char bytes[CMSG_SPACE(2 * sizeof(int))];
			struct cmsghdr header;
		} control = { { 0 } };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		unsigned int n = s->message[i].n_fds;

		if (n) {
			control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n * sizeof(int)),
							   .cmsg_level = SOL_SOCKET,
							   .cmsg_type = SCM_RIGHTS };
			memcpy(CMSG_DATA(&control.header), s->message[i].fds, n * sizeof(int));
			msg.msg_control = control.bytes;
			msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		}
		assert_int_equal(sendmsg(socket, &msg, MSG_NOSIGNAL), iov.iov_len);
	}
}

/* Another client, that sends so much and ends: at once, or while it could still be answered. */
static inline void script_cut(int socket, const struct script *s, size_t cut)
{
	script_send(socket, s, cut);
	if (cut % 2)
		close(socket);
	else
		shutdown(socket, SHUT_WR);
}

#endif
