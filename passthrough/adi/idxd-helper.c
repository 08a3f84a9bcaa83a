/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file that needs little of the monitor's, for it runs in a process of its own: maps, opens,
 * submits, waits. Descriptors are submitted by write(), which the queue's driver offers since Linux
 * 6.10 (and stable kernels of May 2024): it checks them once more and fills in the PASID itself;
 * its mapped portal needs CAP_SYS_RAWIO on every device of the day.
 *
 * Source: Linux drivers/dma/idxd/cdev.c.
 */
#include "passthrough/adi/idxd-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/sandbox.h"

#define SPINS 4096u /* looks at the record before the first nap */

/* The only memory beside the window that the device is told of. */
struct private_page {
	struct dsa_record record __attribute__((aligned(4096)));
	char rest[4096 - sizeof(struct dsa_record)];
};

static int receive_hello(int fd, struct idxd_hello *hello, int *memory)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = hello, .iov_len = sizeof(*hello) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (n < 0)
		return -errno;
	if (n != sizeof(*hello) || !header || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)) || hello->n > DSA_MAX_PIECES)
		return -EPROTO;
	memcpy(memory, CMSG_DATA(header), sizeof(*memory));
	return 0;
}

/* Pieces that follow each other in guest memory follow each other here, too. */
static int map_window(const struct idxd_hello *hello, int memory, struct idxd_ready *ready)
{
	uint64_t total = 0;
	char *at;

	for (uint32_t i = 0; i < hello->n; i++) {
		if (hello->piece[i].size > (1ULL << 46) - total)
			return -E2BIG;
		total += hello->piece[i].size;
	}
	at = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < hello->n; i++) {
		int rights = PROT_READ | (hello->piece[i].writable ? PROT_WRITE : 0);

		if (mmap(at, hello->piece[i].size, rights, MAP_SHARED | MAP_FIXED, memory,
			 (off_t)hello->piece[i].fd_offset) == MAP_FAILED)
			return -errno;
		ready->at[i] = (uintptr_t)at;
		at += hello->piece[i].size;
	}
	return 0;
}

/* 0, or -errno with ready->step: 1 the greeting, 2 the window, 3 the queue. */
static int set_up(int fd, const char *node, struct idxd_ready *ready, int *queue)
{
	struct idxd_hello hello;
	int memory = -1, ret;

	ready->step = 1;
	ret = receive_hello(fd, &hello, &memory);
	if (ret)
		return ret;
	ready->step = 2;
	ret = map_window(&hello, memory, ready);
	close(memory);
	if (ret)
		return ret;
	ready->step = 3;
	*queue = open(node, O_RDWR | O_CLOEXEC);
	return *queue < 0 ? -errno : 0;
}

/* -EPIPE: the monitor is gone, and so shall we be; the kernel then ends what the device does. */
static int wait_for_record(int fd, const struct dsa_record *record)
{
	const struct timespec nap = { .tv_nsec = 10000 };
	struct pollfd end = { .fd = fd };

	for (unsigned int n = 0; !__atomic_load_n(&record->status, __ATOMIC_ACQUIRE); n++) {
		if (n < SPINS)
			continue;
		if (poll(&end, 1, 0) > 0)
			return -EPIPE;
		nanosleep(&nap, NULL);
	}
	return 0;
}

static int submit(int queue, const struct dsa_descriptor *descriptor)
{
	ssize_t n = write(queue, descriptor, sizeof(*descriptor));

	if (n < 0)
		return -errno;
	return n == sizeof(*descriptor) ? 0 : -EIO;
}

static int serve(int fd, int queue, struct private_page *page)
{
	struct dsa_descriptor descriptor;
	struct idxd_end end;
	ssize_t n;

	while ((n = recv(fd, &descriptor, sizeof(descriptor), 0)) == sizeof(descriptor)) {
		int ret;

		memset(&page->record, 0, sizeof(page->record));
		descriptor.record = (uintptr_t)&page->record;
		ret = submit(queue, &descriptor);
		if (!ret)
			ret = wait_for_record(fd, &page->record);
		if (ret == -EPIPE)
			return 1;
		end = (struct idxd_end){ .error = -ret, .record = page->record };
		if (send(fd, &end, sizeof(end), MSG_NOSIGNAL) != sizeof(end))
			return 1;
	}
	return n ? 1 : 0;
}

int idxd_helper_main(int fd, const char *node, const struct sandbox *sandbox)
{
	static struct private_page page;
	struct idxd_ready ready = { 0 };
	int queue = -1;

	if (!sandbox) /* else it had them taken before it was forked */
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	ready.error = -set_up(fd, node, &ready, &queue);
	/*
	 * The device reaches all that this process maps, not the window alone, and who leads it
	 * astray leads the process: it may then open nothing, and ask for little.
	 */
	sandbox_enter(sandbox, SANDBOX_QUEUE);
	if (send(fd, &ready, sizeof(ready), MSG_NOSIGNAL) != sizeof(ready) || ready.error)
		return 1;
	return serve(fd, queue, &page);
}
