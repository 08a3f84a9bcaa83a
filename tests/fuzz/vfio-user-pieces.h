/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzzer's input as what a vfio-user client sends: a list of pieces, each a byte that says which
 * descriptors go with it, two bytes of length, and the bytes.
 */
#ifndef ADIT_TESTS_FUZZ_VFIO_USER_PIECES_H
#define ADIT_TESTS_FUZZ_VFIO_USER_PIECES_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bits.h"

#define PIECES_MAX 16384u /* bytes, so that the socket's buffer holds them all */
#define MEMFD_SIZE (64 * 1024)

static int piece_memfd(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, MEMFD_SIZE) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		abort();
	return fd;
}

/* Kinds of descriptors: one bit of the piece's first byte each. */
static inline bool try_piece(int socket, uint8_t kinds, const uint8_t *bytes, size_t size)
{
	int fds[3];
	unsigned int n = 0;
	bool sent;
	struct iovec iov = { (void *)bytes, size };
	union {
		char bytes[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (kinds & 1)
		fds[n++] = eventfd(0, 0);
	if (kinds & 2)
		fds[n++] = piece_memfd();
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
	sent = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
	while (n)
		close(fds[--n]);
	return sent;
}

static inline void must_send(int socket, uint8_t kinds, const uint8_t *bytes, size_t size)
{
	if (!try_piece(socket, kinds, bytes, size))
		abort();
}

static inline void send_all(int socket, const uint8_t *data, size_t size)
{
	while (size > 3) {
		size_t len = MIN((size_t)load_le(data + 1, 2), size - 3);

		if (len)
			must_send(socket, data[0], data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
	shutdown(socket, SHUT_WR);
}

#endif
