/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio-user messages as bytes and descriptors on a UNIX socket: the layout of every message, and
 * sending and receiving one whole message. Nothing here knows what a message does.
 *
 * A received message is a private copy with its length checked against the header and against
 * VFU_MESSAGE_MAX; its descriptors belong to the message until somebody takes them.
 *
 * Source: the vfio-user protocol specification, QEMU docs/interop/vfio-user.rst, version 0.0.
 */
#ifndef ADIT_PASSTHROUGH_VFIO_USER_WIRE_H
#define ADIT_PASSTHROUGH_VFIO_USER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFU_MAX_FDS	16u /* of one message; told to the peer as max_msg_fds; QEMU takes no more */
#define VFU_XFER_MAX	(1u << 20) /* bytes of data in one message: max_data_xfer_size */
#define VFU_MESSAGE_MAX (sizeof(struct vfu_header) + VFU_XFER_MAX + 64)
#define VFU_PAGE	4096u

enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP,
	VFU_DMA_UNMAP,
	VFU_DEVICE_GET_INFO,
	VFU_DEVICE_GET_REGION_INFO,
	VFU_DEVICE_GET_REGION_IO_FDS,
	VFU_DEVICE_GET_IRQ_INFO,
	VFU_DEVICE_SET_IRQS,
	VFU_REGION_READ,
	VFU_REGION_WRITE,
	VFU_DMA_READ,  /* server to client */
	VFU_DMA_WRITE, /* server to client */
	VFU_DEVICE_RESET,
	VFU_REGION_WRITE_MULTI = 15,
};

#define VFU_TYPE_MASK  0xfu
#define VFU_TYPE_REPLY 0x1u
#define VFU_NO_REPLY   0x10u
#define VFU_ERROR      0x20u

struct vfu_header {
	uint16_t id, command;
	uint32_t size; /* header included */
	uint32_t flags;
	uint32_t error; /* a positive errno, in replies with VFU_ERROR */
};

struct vfu_version {
	uint16_t major, minor; /* JSON follows, with its NUL */
};

#define VFU_DMA_READABLE  1u
#define VFU_DMA_WRITABLE  2u
#define VFU_DMA_UNMAP_ALL 2u /* VFIO_DMA_UNMAP_FLAG_ALL; QEMU sends it */

struct vfu_dma_map {
	uint32_t argsz, flags;
	uint64_t offset, address, size;
};

struct vfu_dma_unmap {
	uint32_t argsz, flags;
	uint64_t address, size;
};

#define VFU_DEVICE_FLAG_RESET 1u
#define VFU_DEVICE_FLAG_PCI   2u

struct vfu_device_info {
	uint32_t argsz, flags, regions, irqs;
};

#define VFU_REGION_FLAG_READ  1u
#define VFU_REGION_FLAG_WRITE 2u
#define VFU_REGION_FLAG_MMAP  4u
#define VFU_REGION_FLAG_CAPS  8u

struct vfu_region_info {
	uint32_t argsz, flags, index, cap_offset;
	uint64_t size, offset;
};

#define VFU_CAP_SPARSE_MMAP 1u

struct vfu_area {
	uint64_t offset, size;
};

/* A capability of a region: what of it can be mapped. `count` areas follow. */
struct vfu_sparse {
	uint16_t id, version;
	uint32_t next;
	uint32_t count, reserved;
};

#define VFU_IRQ_FLAG_EVENTFD  1u
#define VFU_IRQ_FLAG_NORESIZE 8u

struct vfu_irq_info {
	uint32_t argsz, flags, index, count;
};

#define VFU_IRQ_DATA_NONE      1u
#define VFU_IRQ_DATA_BOOL      2u
#define VFU_IRQ_DATA_EVENTFD   4u
#define VFU_IRQ_DATA_MASK      7u
#define VFU_IRQ_ACTION_TRIGGER 32u
#define VFU_IRQ_ACTION_MASK    56u

struct vfu_irq_set {
	uint32_t argsz, flags, index, start, count; /* one byte a vector follows DATA_BOOL */
};

struct vfu_region_access {
	uint64_t offset;
	uint32_t region, count; /* data follows writes, and replies to reads */
};

struct vfu_dma_access {
	uint64_t address, count; /* data follows as above */
};

_Static_assert(sizeof(struct vfu_header) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_dma_map) == 32, "wire layout");
_Static_assert(sizeof(struct vfu_dma_unmap) == 24, "wire layout");
_Static_assert(sizeof(struct vfu_device_info) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_region_info) == 32, "wire layout");
_Static_assert(sizeof(struct vfu_sparse) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_irq_info) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_irq_set) == 20, "wire layout");
_Static_assert(sizeof(struct vfu_region_access) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_dma_access) == 16, "wire layout");

/* Indices of VFIO PCI devices: <linux/vfio.h>, VFIO_PCI_*_REGION_INDEX and _IRQ_INDEX. */
#define VFU_REGION_CONFIG 7u
#define VFU_REGIONS	  9u /* BAR0 to BAR5, ROM, configuration, VGA */
#define VFU_IRQ_MSIX	  2u
#define VFU_IRQS	  5u /* INTx, MSI, MSI-X, error, request */

struct vfu_message {
	struct vfu_header header;
	uint8_t *body; /* aligned for every structure above; `size` bytes are valid */
	uint32_t size, capacity;
	int fds[VFU_MAX_FDS];
	unsigned int n_fds;
};

/* Frees the body and closes the descriptors; the message is empty then. */
void vfu_message_free(struct vfu_message *message);
void vfu_message_close_fds(struct vfu_message *message);
/* Makes room for a body of `size` bytes and sets its size; the bytes are undefined. -ENOMEM. */
int vfu_message_resize(struct vfu_message *message, uint32_t size);
/* The body as a structure of at least `size` bytes, or NULL where it is shorter. */
void *vfu_message_body(const struct vfu_message *message, size_t size);
/* Takes a descriptor out of the message: it is the caller's. -1: there is none of that number. */
int vfu_message_take_fd(struct vfu_message *message, unsigned int index);

/*
 * Waits for one message and reads it into *message, whose former content is dropped. 1, or 0 where
 * the peer ended the connection between messages. -EPROTO: a length that no message has; -EMFILE:
 * too many descriptors; -ECONNRESET: the peer went away within a message. The stream cannot be
 * used after a negative result.
 */
int vfu_receive(int socket, struct vfu_message *message);
/* Sends it whole, header.size filled in; descriptors stay the message's. 0 or -errno. */
int vfu_send(int socket, struct vfu_message *message);
/* The same from pieces: the body is head and then data, either may be empty. */
int vfu_send_parts(int socket, struct vfu_header *header, const void *head, size_t head_size,
		   const void *data, size_t data_size, const int *fds, unsigned int n_fds);

#endif
