/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's RPC: the numbers and the frame. Numbers and layouts are facts of libvirt's public
 * protocol documentation ("RPC protocol & APIs"), checked against virsh.
 */
#ifndef ADIT_LIBVIRT_DRIVER_WIRE_H
#define ADIT_LIBVIRT_DRIVER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "libvirt-driver/xdr.h"

#define WIRE_PROGRAM_REMOTE    0x20008086u
#define WIRE_PROGRAM_KEEPALIVE 0x6b656570u
#define WIRE_VERSION	       1u
#define WIRE_HEADER	       28u	   /* bytes, with the length */
#define WIRE_MAX_MESSAGE       (32u << 20) /* what clients accept */
#define WIRE_MAX_STRING	       (4u << 20)
#define WIRE_MAX_FDS	       32u

enum wire_type {
	WIRE_CALL,
	WIRE_REPLY,
	WIRE_MESSAGE, /* nobody answers it */
	WIRE_STREAM,
	WIRE_CALL_WITH_FDS,
	WIRE_REPLY_WITH_FDS,
	WIRE_STREAM_HOLE,
};

enum wire_status {
	WIRE_OK,
	WIRE_ERROR,
	WIRE_CONTINUE,
};

enum wire_keepalive {
	KEEPALIVE_PING = 1,
	KEEPALIVE_PONG = 2,
};

/* virErrorNumber */
enum fault {
	FAULT_INTERNAL = 1,
	FAULT_NO_MEMORY = 2,
	FAULT_NO_SUPPORT = 3,
	FAULT_INVALID_ARG = 8,
	FAULT_OPERATION_FAILED = 9,
	FAULT_XML = 27,
	FAULT_DOM_EXIST = 28,
	FAULT_OPERATION_DENIED = 29,
	FAULT_RPC = 39,
	FAULT_NO_DOMAIN = 42,
	FAULT_NO_NODE_DEVICE = 53,
	FAULT_OPERATION_INVALID = 55,
	FAULT_CONFIG_UNSUPPORTED = 67,
	FAULT_NO_METADATA = 80,
	FAULT_OPERATION_UNSUPPORTED = 84,
	FAULT_RESOURCE_BUSY = 87,
	FAULT_DEVICE_MISSING = 99,
};

struct wire_header {
	uint32_t program, version;
	int32_t procedure, type;
	uint32_t serial;
	int32_t status;
};

/* The frame's whole length from its first four bytes; 0 where no frame has it (or it is past max).
 */
uint32_t wire_length(const uint8_t first[4], uint32_t max);
/* Behind the length; what is behind the header is left in `in`. */
void wire_get_header(struct xdr_in *in, struct wire_header *header);

/*
 * Descriptors that follow a whole frame, each with one byte behind it, which the length does not
 * count; -EPROTO where they are too many, or it does not say how many.
 */
int wire_fds(const uint8_t *frame, uint32_t len);

/* A frame: begin, put what it carries, end. Returns where it begins, for wire_end. */
size_t wire_begin(struct xdr_out *out, const struct wire_header *header);
void wire_end(struct xdr_out *out, size_t at);

/* The body of an error reply. */
void wire_put_error(struct xdr_out *out, enum fault fault, const char *text);

#endif
