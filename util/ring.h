/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An io_uring that can do a few named things and nothing else, for ever. A ring carries out system
 * calls that no seccomp filter sees; so what it may be asked for is told to the kernel before it is
 * enabled (IORING_REGISTER_RESTRICTIONS, Linux 5.10), and cannot be changed afterwards.
 */
#ifndef ADIT_UTIL_RING_H
#define ADIT_UTIL_RING_H

#include <liburing.h>
#include <stdint.h>

#define RING_MAX_OPS 16u

struct ring_limits {
	const uint8_t *ops; /* IORING_OP_... that may be asked for */
	unsigned int n_ops; /* up to RING_MAX_OPS */
	uint8_t sqe_flags;  /* IOSQE_... that every request has */
	uint8_t may_flags;  /* and that it may have; no others */
};

/*
 * Made disabled: files and buffers can be registered, nothing submitted, until ring_confine.
 * 0 or -errno.
 */
int ring_open(struct io_uring *ring, unsigned int entries, unsigned int flags);
/* Registers the limits and enables the ring; from here on nothing can be registered with it. */
int ring_confine(struct io_uring *ring, const struct ring_limits *limits);

#endif
