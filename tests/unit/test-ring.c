/* SPDX-License-Identifier: Apache-2.0 */
/* A confined ring does what it was made for; the kernel refuses it everything else. */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/ring.h"

static const uint8_t poll_only[] = { IORING_OP_POLL_ADD };

static void make_with(struct io_uring *ring, uint8_t sqe_flags, uint8_t may_flags)
{
	const struct ring_limits limits = {
		.ops = poll_only,
		.n_ops = ARRAY_SIZE(poll_only),
		.sqe_flags = sqe_flags,
		.may_flags = may_flags,
	};
	int ret = ring_open(ring, 4, 0);

	if (ret == -ENOSYS || ret == -EPERM)
		skip_because("no io_uring");
	assert_int_equal(ret, 0);
	assert_int_equal(ring_confine(ring, &limits), 0);
}

static void make(struct io_uring *ring, uint8_t sqe_flags)
{
	make_with(ring, sqe_flags, 0);
}

/* What the one prepared request ends with. */
static int result(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	assert_int_equal(io_uring_submit(ring), 1);
	assert_int_equal(io_uring_wait_cqe(ring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static void ring_does_what_it_may(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct io_uring ring;

	make(&ring, 0);
	io_uring_prep_poll_add(io_uring_get_sqe(&ring), fd, POLLIN);
	assert_int_equal(result(&ring), POLLIN);
	io_uring_queue_exit(&ring);
	close(fd);
}

static void ring_refuses_other_operations(void **state)
{
	struct io_uring ring;
	char byte;

	make(&ring, 0);
	io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/", O_RDONLY, 0);
	assert_int_equal(result(&ring), -EACCES);
	io_uring_prep_read(io_uring_get_sqe(&ring), 0, &byte, 1, 0);
	assert_int_equal(result(&ring), -EACCES);
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	assert_int_equal(result(&ring), -EACCES);
	io_uring_queue_exit(&ring);
}

static void ring_refuses_flags_that_were_not_named(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct io_uring_sqe *sqe;
	struct io_uring ring;

	make(&ring, 0);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	sqe->flags |= IOSQE_ASYNC;
	assert_int_equal(result(&ring), -EACCES);
	io_uring_queue_exit(&ring);
	close(fd);
}

static void ring_takes_flags_that_may_be_and_refuses_others(void **state)
{
	static const struct {
		uint8_t flags;
		int result;
	} rows[] = { { 0, POLLIN },
		     { IOSQE_ASYNC, POLLIN },
		     { IOSQE_IO_DRAIN, -EACCES },
		     { IOSQE_ASYNC | IOSQE_IO_DRAIN, -EACCES } };
	int fd = eventfd(1, EFD_CLOEXEC);
	struct io_uring_sqe *sqe;
	struct io_uring ring;

	make_with(&ring, 0, IOSQE_ASYNC);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_poll_add(sqe, fd, POLLIN);
		sqe->flags |= rows[i].flags;
		assert_int_equal(result(&ring), rows[i].result);
	}
	io_uring_queue_exit(&ring);
	close(fd);
}

/* A ring for one registered file does not reach descriptors by their number. */
static void ring_for_registered_files_refuses_others(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct io_uring ring;

	make(&ring, IOSQE_FIXED_FILE);
	io_uring_prep_poll_add(io_uring_get_sqe(&ring), fd, POLLIN);
	assert_int_equal(result(&ring), -EACCES);
	io_uring_queue_exit(&ring);
	close(fd);
}

static void ring_registers_nothing_afterwards(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct io_uring ring;

	make(&ring, 0);
	assert_int_equal(io_uring_register_files(&ring, &fd, 1), -EACCES);
	io_uring_queue_exit(&ring);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_does_what_it_may),
		cmocka_unit_test(ring_refuses_other_operations),
		cmocka_unit_test(ring_refuses_flags_that_were_not_named),
		cmocka_unit_test(ring_takes_flags_that_may_be_and_refuses_others),
		cmocka_unit_test(ring_for_registered_files_refuses_others),
		cmocka_unit_test(ring_registers_nothing_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
