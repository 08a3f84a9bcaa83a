/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap's functions (vmm/virtio/tap.h) without one, instead of those of the archive: datagrams go
 * the way that frames would, whole or not at all, and the fuzzer has the other ends.
 */
#ifndef ADIT_TESTS_FUZZ_WIRE_H
#define ADIT_TESTS_FUZZ_WIRE_H

#include <linux/if_tun.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "vmm/virtio/tap.h"

#define WIRE_PAIRS     2u
#define WIRE_FRAME_MAX (TAP_HEADER_BYTES + 65536u + 64u)

static int wire_end[WIRE_PAIRS], wire_tap[WIRE_PAIRS];

int tap_open(struct tap *tap, const char *name, int fd, unsigned int pairs, struct err *err)
{
	*tap = (struct tap){ .uso = true };
	for (unsigned int i = 0; i < pairs; i++) {
		int ends[2];

		if (i == WIRE_PAIRS || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends))
			abort();
		tap->fd[tap->n++] = wire_tap[i] = ends[0];
		wire_end[i] = ends[1];
	}
	return 0;
}

void tap_close(struct tap *tap)
{
}

/* What a guest did not take, nobody asks for (virtio 1.2, section 5.1.3.1). */
int tap_offload(const struct tap *tap, unsigned int flags)
{
	if (flags & ~(unsigned int)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | 0x60) ||
	    (flags && !(flags & TUN_F_CSUM)))
		abort();
	return 0;
}

int tap_use(const struct tap *tap, unsigned int pairs)
{
	if (!pairs || pairs > tap->n)
		abort();
	return 0;
}

/* Takes all frames off one end, and looks at their sizes. */
static inline void wire_empty(int fd)
{
	static char frame[WIRE_FRAME_MAX + 1];
	ssize_t n;

	while ((n = recv(fd, frame, sizeof(frame), 0)) >= 0) {
		if ((size_t)n < TAP_HEADER_BYTES || (size_t)n > WIRE_FRAME_MAX)
			abort();
	}
}

#endif
