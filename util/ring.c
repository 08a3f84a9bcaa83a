/* SPDX-License-Identifier: Apache-2.0 */
#include "util/ring.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of which the loop's ring makes use and can do without. */
#define SINCE_5_19 (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

/* A kernel that knows no disabled rings gets no ring. */
int ring_open(struct io_uring *ring, unsigned int entries, unsigned int flags)
{
	int ret = io_uring_queue_init(entries, ring, flags | IORING_SETUP_R_DISABLED);

	if (ret == -EINVAL && flags & SINCE_5_19)
		ret = io_uring_queue_init(entries, ring,
					  (flags & ~SINCE_5_19) | IORING_SETUP_R_DISABLED);
	return ret;
}

/* The shared liburing of Debian 12 declares wrappers of the two operations, but exports none. */
static int tell(const struct io_uring *ring, unsigned int op, const void *arg, unsigned int n)
{
	return syscall(SYS_io_uring_register, ring->ring_fd, op, arg, n) < 0 ? -errno : 0;
}

int ring_confine(struct io_uring *ring, const struct ring_limits *limits)
{
	struct io_uring_restriction rules[RING_MAX_OPS + 3] = { 0 };
	unsigned int n = 0;
	int ret;

	if (limits->n_ops > RING_MAX_OPS)
		return -E2BIG;
	for (; n < limits->n_ops; n++)
		rules[n] = (struct io_uring_restriction){
			.opcode = IORING_RESTRICTION_SQE_OP,
			.sqe_op = limits->ops[n],
		};
	/* What is required is allowed; what is neither is refused with EACCES. */
	rules[n++] = (struct io_uring_restriction){
		.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED,
		.sqe_flags = limits->sqe_flags,
	};
	rules[n++] = (struct io_uring_restriction){
		.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		.sqe_flags = limits->may_flags,
	};
	/* Newer kernels restrict registrations only where one is named: this one does no harm. */
	rules[n++] = (struct io_uring_restriction){
		.opcode = IORING_RESTRICTION_REGISTER_OP,
		.register_op = IORING_REGISTER_ENABLE_RINGS,
	};
	ret = tell(ring, IORING_REGISTER_RESTRICTIONS, rules, n);
	return ret ? ret : tell(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
